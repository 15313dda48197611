"""What the archive eliminated goes from connector, passerelle, GED and parapheur; nothing else does, nor comes back."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import psycopg
import pytest
import requests
from lxml import etree
from passerelle import cli, eliminations, metrics
from passerelle.acts import BadRequest
from passerelle.eliminations import Eliminations
from passerelle.files import Files
from passerelle.letters import PARIS, Letters
from passerelle.overview import period, reckon
from passerelle.proofs import Proofs
from psycopg.types.json import Jsonb
from sae.journal import canonical
from sae.signature import sign
from tdt_connector import sip
from tdt_connector.archive import ACCEPTED, ArchiveError, unarchived
from tdt_connector.eliminations import Eliminations as Connector
from tdt_connector.errors import HandoverError
from tdt_connector.handover import Passerelle
from tdt_connector.journal import Journal, SeenFile, State

from creatic_agent import attestation, https
from testbed.chain import COMMUNES, FINISHED, FakeConnector, World, id_acte
from testbed.connector import Authority, Commune

REQUEST = "0b0e8a52-0000-4000-8000-000000000001"
GONDECOURT = COMMUNES["gondecourt"]
REPLY = (
    f'<ArchiveTransferReply xmlns="{sip.NAMESPACE}"><ReplyCode>OK</ReplyCode>'
    "<Operation><SystemId>{}</SystemId></Operation></ArchiveTransferReply>"
)


def attested(signer: Path, **changes: Any) -> dict[str, str]:
    """What the archive signs of an elimination (roles/archive_gateway: sae.elimination), or somebody in its place."""
    said: dict[str, Any] = {
        "siren": GONDECOURT.siren, "archive": "aip-1", "request": REQUEST, "message": "", "digests": [],
        "when": datetime.now(UTC).isoformat(), "visa": "AD59 2026-123",
    }  # fmt: skip # a table
    text = canonical.encode(attestation.fields(**said | changes)).encode()
    return attestation.packed(text, sign(text, signer))


class Sae:
    """The archive's door, as a connector sees it (roles/archive_gateway: sae.copies)."""

    def __init__(self, signer: Path, digests: Callable[[str], list[str]]) -> None:
        self._signer, self._digests = signer, digests
        self.listed: list[dict[str, Any]] = []
        self.planned: list[dict[str, Any]] = []
        self.said: dict[str, dict[str, Any]] = {}
        self.away, self.page = False, 1000

    def eliminate(self, archive: str, name: str) -> None:
        message = name if name.startswith(("PES-", "PREUVE-", "COURRIER-")) else f"ACTE-{name}"
        word = attested(self._signer, archive=archive, message=message, digests=self._digests(name))
        self.listed.append(
            {"rang": len(self.listed) + 10, "archive": archive, "identifiant": message, "attestation": word}
        )

    def eliminations(self, query: str) -> tuple[list[dict[str, Any]], bool]:
        if self.away:
            raise ArchiveError("la porte des archives ne répond pas")
        if query.startswith("prevues=1"):
            left = [one for one in self.planned if one["archive"] > query.partition("&apres=")[2]]
            return left[: self.page], len(left) > self.page
        after = int(query.removeprefix("apres="))
        found = [one | {"demande": REQUEST, "copies": self.state(one["archive"])} for one in self.listed]
        return [one for one in found if one["rang"] > after], False

    def state(self, archive: str) -> str:
        places = self.said.get(archive, {}).get("lieux", {})
        return "attente" if any(one["etat"] == "attente" for one in places.values()) else "supprime" * bool(places)

    def report(self, archive: str, said: dict[str, Any]) -> None:
        self.said[archive] = said

    def places(self, archive: str) -> dict[str, str]:
        return {name: one["etat"] for name, one in self.said[archive]["lieux"].items()}


class Town:
    """Gondecourt's connector, in front of a passerelle, a GED and a parapheur where acts are at their end."""

    def __init__(self, root: Path, authority: Authority, world: World) -> None:
        own = authority.folder / "connecteur"
        self.world, self.sae = world, Sae(authority.folder / "attestations", self.digests)
        self.commune = Commune(
            root / "commune", "https://tdt.test", authority,
            certificat=own, passerelle_url=world.web.url, passerelle_certificate=own, revocation=world.config.crl,
            groupement=authority.bundle,
        )  # fmt: skip # one call by its parts
        self.config = self.commune.config
        self.work = Eliminations(world.config, world.store, Files(world.config.folder))
        with Journal(self.config.journal):
            pass

    def digests(self, name: str) -> list[str]:
        """What was in the archive of an act."""
        with self.world.store.transaction() as connection:
            rows = connection.execute("SELECT reference FROM acte WHERE suivi->'tdt'->>'id_acte' = %s", (name,))
            return [self.world.act(one["reference"]).document for one in rows.fetchall()]

    def archived(
        self, uid: str, archive: str, annexes: int = 0, who: str = "Dupont", **changes: Any
    ) -> tuple[str, Path]:
        """An act at the end of its chain; gives its reference and its folder at the connector."""
        world, connector = self.world, FakeConnector(self.world.chain, GONDECOURT)
        reference = world.deliberations.adopt(uid, annexes=annexes, **changes)
        world.reach(reference, "teletransmission")
        [act] = connector.pull()
        connector.say(reference, "transmise")
        connector.acknowledge(act)
        world.drain()
        connector.say(reference, "versee", archive=archive)
        world.drain()
        world.deliberations.publish()
        world.chain.arrivals.look()
        world.drain()
        assert world.step(reference) == FINISHED, world.act(reference)
        for path in (world.root / "fichiers").iterdir():
            os.utime(path, (1, 1))
        folder = self.folder(id_acte(GONDECOURT, act), archive)
        with Journal(self.config.journal) as journal:
            row = journal.add(uid, "acte", [SeenFile(f"arrêté {who}.pdf", 1, 2, 3), SeenFile("x.yml", 1, 2, 3)])
            row = journal.move(row, State.CHECKED, numero=act["numero"], acte={"subject": f"M. {who}"})
            row = journal.move(row, State.INTENT, detail=f"M. {who}")
            row = journal.move(row, State.SENT, transaction_tdt=7)
            journal.move(row, State.ACKNOWLEDGED, idacte=folder.name, classe=1)
        return reference, folder

    def settle(self, *uids: str) -> None:
        """The council settles the procès-verbal of the meeting that adopted these acts."""
        for uid in uids:
            self.world.deliberations.settle(uid)
        self.world.chain.arrivals.look()
        self.world.drain()

    def folder(self, name: str, archive: str) -> Path:
        folder = self.config.dossier / "acquittes" / name
        folder.mkdir()
        (folder / "ARActe.xml").write_bytes(b"<ARActe/>")
        (folder / "resume.json").write_text(json.dumps({"depose_le": "2026-03-02T08:00:00+01:00"}))
        (folder / ACCEPTED).write_text(REPLY.format(archive))
        return folder

    def connector(self, journal: Journal) -> Connector:
        return Connector(self.config, journal, self.sae, Passerelle(self.config, journal))  # type: ignore[arg-type] # stands for the archive's door

    def run(self, hours: float = 7) -> tuple[list[str], list[str]]:
        """A run of the connector, some hours after the one before."""
        with Journal(self.config.journal) as journal:
            for key, text in journal.values("elimination:").items():
                told = json.loads(text)
                journal.set_value(key, json.dumps(told | {"revoir": max(0, (told.get("revoir") or 0) - hours * 3600)}))
            return self.connector(journal).apply()

    def planned(self) -> list[str]:
        with Journal(self.config.journal) as journal:
            return list(self.connector(journal).planned())

    def next_day(self) -> None:
        with Journal(self.config.journal) as journal:
            journal.set_value("eliminations:tout_le", 0)
        with self.world.store.transaction() as connection:
            connection.execute("UPDATE elimination SET vue_le = now() - interval '2 days'")

    def days_later(self, days: float = 31) -> None:
        """Let the days run, at the passerelle and on the connector."""
        with self.world.store.transaction() as connection:
            connection.execute("UPDATE elimination SET part_le = part_le - %s", (timedelta(days=days),))
        with Journal(self.config.journal) as journal:
            for key, text in journal.values("elimination:").items():
                told = json.loads(text)
                if told["depuis"]:
                    journal.set_value(key, json.dumps(told | {"depuis": told["depuis"] - days * 86400}))

    def eliminate(self) -> tuple[list[str], list[str]]:
        """All the runs that it takes, and the thirty days."""
        self.run()
        self.days_later()
        self.work.work()
        return self.run()


@pytest.fixture
def town(tmp_path: Path, authority: Authority, world: World) -> Iterator[Town]:
    yield Town(tmp_path, authority, world)


def kept(town: Town) -> tuple[int, int, int]:
    """Documents of the GED, dossiers of the parapheur, files of the passerelle."""
    files = [one for one in (town.world.root / "fichiers").iterdir() if not one.name.startswith(".")]
    return len(town.world.ged.documents), len(town.world.parapheur.dossiers), len(files)


def words(town: Town) -> str:
    """All that the passerelle's base and the connector's journal say."""
    tables = ("acte", "passage", "elimination")
    with town.world.store.transaction() as connection:
        said = [
            str(connection.execute(psycopg.sql.SQL("SELECT * FROM {}").format(psycopg.sql.Identifier(one))).fetchall())
            for one in tables
        ]
    with Journal(town.config.journal) as journal:
        said += [str(journal.recent(50)), *(str(journal.events(row)) for row in journal.recent(50))]
    return " ".join(said)


def test_copies_go_everywhere_and_nothing_else_does(town: Town) -> None:
    gone, folder = town.archived("a1", "aip-1", annexes=2, objet="Secours à M. Dupont")
    left, other = town.archived("a2", "aip-2", who="Durand")
    town.world.ged.documents[99] = {
        "kind": "Gondecourt - Délibération [215902669]",
        "files": [],
        "description": "",
        "metadata": {},
    }
    documents, dossiers, files = kept(town)
    town.sae.planned = [
        {"rang": 0, "archive": "aip-1", "identifiant": f"ACTE-{folder.name}", "demande": REQUEST, "copies": ""}
    ]
    [line] = town.planned()
    assert folder.name in line and "Secours à M. Dupont" in line and "ged : 4" in line and "parapheur : 1" in line
    second = town.sae.planned[0] | {"archive": "aip-3", "identifiant": "ACTE-partie"}
    town.sae.planned, town.sae.page = [town.sae.planned[0], second], 1
    assert [line.partition(" (")[0] for line in town.planned()] == [folder.name, "partie"]
    assert town.run() == ([], [])  # asked for is not done
    assert kept(town) == (documents, dossiers, files) and folder.is_dir()
    town.sae.eliminate("aip-1", folder.name)
    assert "Dupont" in words(town)
    done, waits = town.run()
    assert done == [] and "part le" in waits[0] and town.sae.state("aip-1") == "attente"
    town.work.work()
    town.run()
    assert kept(town) == (documents, dossiers, files) and folder.is_dir() and "Dupont" in words(town)
    town.days_later()
    done, waits = town.run()  # what is here goes once the days ran, whatever the other servers do
    assert done == [] and not folder.exists()
    town.work.work()
    assert "Dupont" not in words(town)
    done, waits = town.run()
    assert done == [f"{folder.name} : éliminé aux archives, ses copies sont supprimées."] and waits == []
    assert town.sae.places("aip-1") == dict.fromkeys(("connecteur", "passerelle", "ged", "parapheur"), "supprime")
    assert kept(town) == (documents - 4, dossiers - 1, files - 5)
    assert 99 in town.world.ged.documents  # never was in the archive
    assert other.is_dir() and "Durand" in words(town) and town.world.act(left).data["objet"] == "Délibération a2"
    assert [one.reference for one in town.world.store.shown(None)] == [left]
    assert town.world.store.counts() == {FINISHED: 1}
    begin, end = period("", "", datetime.now(PARIS).date())
    letters = Letters(town.world.store, Files(town.world.config.folder))
    found = reckon(town.world.config, town.world.store, letters, begin, end)
    assert (found.total.acts, found.total.received) == (1, 1)
    # It stays known, so that nothing takes it in again; and nothing is done twice.
    town.world.chain.arrivals.look()
    town.world.drain()
    assert town.world.act(gone).data["objet"] == "Acte éliminé" and town.run() == ([], [])
    assert kept(town) == (documents - 4, dossiers - 1, files - 5)


def test_what_is_away_is_told_and_asked_for_again(town: Town) -> None:
    _, folder = town.archived("a1", "aip-1")
    town.sae.eliminate("aip-1", folder.name)
    town.world.servers["ged"].stop()
    _, waits = town.eliminate()
    assert "la GED ne répond pas" in waits[0]
    told = town.sae.said["aip-1"]["lieux"]
    assert (told["ged"]["etat"], told["parapheur"]["etat"]) == ("attente", "supprime")
    counts = town.work.counts()
    assert (counts["attente"], counts["faite"], counts["revenue"]) == (1, 0, 0)
    town.world.servers["ged"].start()
    town.world.web.stop()
    assert "la passerelle" in town.run()[1][0] or "localhost" in town.run()[1][0]
    town.world.web.start()
    town.work.work()
    assert town.run()[1] == [] and town.sae.state("aip-1") == "supprime"
    assert town.sae.said["aip-1"]["lieux"]["parapheur"]["nombre"] == 1


def test_an_archive_that_is_away_changes_nothing(town: Town) -> None:
    _, folder = town.archived("a1", "aip-1")
    town.sae.eliminate("aip-1", folder.name)
    town.sae.away = True
    with pytest.raises(ArchiveError):
        town.run()
    assert folder.is_dir() and town.work.listed() == []
    town.sae.away = False
    assert town.eliminate()[1] == []


def test_a_ged_and_a_parapheur_restored_alone_have_it_taken_away_again(town: Town) -> None:
    _, folder = town.archived("a1", "aip-1", annexes=1)
    backup = copy.deepcopy((town.world.ged.documents, town.world.parapheur.dossiers))
    town.sae.eliminate("aip-1", folder.name)
    town.eliminate()
    assert kept(town) == (0, 0, 0)
    town.world.ged.documents, town.world.parapheur.dossiers = copy.deepcopy(backup)
    town.work.work()
    assert len(town.world.ged.documents) == 3  # looked for once a day
    town.next_day()
    town.work.work()
    # What came back has thirty days anew, and says so.
    assert kept(town)[:2] == (3, 1) and town.work.counts()["delai"] == 1
    town.days_later()
    town.work.work()
    assert kept(town) == (0, 0, 0)
    counts = town.work.counts()
    assert (counts["attente"], counts["faite"], counts["revenue"]) == (0, 1, 1)
    metrics.publish(town.world.config, town.world.store)
    assert 'passerelle_eliminations{etat="revenue"} 1' in town.world.config.metrics.read_text()
    town.next_day()
    town.work.work()
    assert town.work.counts()["revenue"] == 1


def test_a_connector_restored_alone_deposits_nothing_again(town: Town) -> None:
    _, folder = town.archived("a1", "aip-1")
    (folder / ACCEPTED).unlink()  # saved before its answer came
    saved = town.config.dossier.with_name("sauvegarde")
    shutil.copytree(town.config.dossier, saved)
    town.sae.eliminate("aip-1", folder.name)
    town.eliminate()
    assert not folder.exists()
    shutil.rmtree(town.config.dossier)
    saved.rename(town.config.dossier)
    assert unarchived(town.config) == [folder]
    town.run()
    assert folder.exists()  # for thirty days anew
    town.days_later()
    town.run()
    assert unarchived(town.config) == [] and not folder.exists() and "Dupont" not in words(town)
    # Its files alone came back, the journal has it: seen the next day.
    town.folder(folder.name, "aip-1")
    town.next_day()
    town.run()
    assert folder.exists()
    town.days_later()
    town.run()
    assert not folder.exists()


def test_a_passerelle_restored_alone_is_told_again(town: Town) -> None:
    reference, folder = town.archived("a1", "aip-1")
    act = town.world.act(reference)
    files = {one: one.read_bytes() for one in (town.world.root / "fichiers").iterdir()}
    town.sae.eliminate("aip-1", folder.name)
    town.eliminate()
    with town.world.store.transaction() as connection:
        connection.execute("DELETE FROM elimination")
        town.world.store.change(connection, reference, data=act.data, track=act.track)
    for path, content in files.items():
        path.write_bytes(content)
        os.utime(path, (1, 1))
    town.run()
    assert town.work.listed() == []  # the next day
    town.next_day()
    town.run()
    town.work.work()
    assert "Délibération a1" in words(town)  # told again, it waits again
    town.days_later()
    town.work.work()
    assert town.run()[1] == []
    assert kept(town) == (0, 0, 0) and "Dupont" not in words(town) and "Délibération a1" not in words(town)


def test_what_was_deposited_again_is_another_archive_and_stays(town: Town) -> None:
    _, folder = town.archived("a1", "aip-1")
    town.sae.eliminate("aip-1", folder.name)
    (folder / ACCEPTED).write_text(REPLY.format("aip-2"))
    town.eliminate()
    assert folder.is_dir() and town.sae.places("aip-1")["connecteur"] == "absent"


def test_a_letter_archived_after_its_act_stays_here_and_it_is_said(town: Town) -> None:
    """As those that went with their act: a person of the commune sorts them (sae's attestation says so)."""
    _reference, folder = town.archived("a1", "aip-1")
    letter = town.config.dossier / "lettres" / "20261110-demande-7"
    (letter / "archive").mkdir(parents=True)
    (letter / "archive" / ACCEPTED).write_text(REPLY.format("aip-2"))
    town.sae.eliminate("aip-2", f"COURRIER-7-{folder.name}")
    assert town.eliminate() == ([], [])
    assert letter.is_dir() and folder.is_dir() and town.sae.places("aip-2") == {"connecteur": "garde"}
    assert town.work.listed() == []  # the passerelle was asked for nothing
    town.next_day()
    assert town.run() == ([], [])


def test_a_dossier_de_preuve_goes_alone(town: Town) -> None:
    reference, folder = town.archived("a1", "aip-1")
    before = kept(town)
    (folder / "preuve").mkdir()
    (folder / "preuve" / ACCEPTED).write_text(REPLY.format("aip-2"))
    town.sae.eliminate("aip-2", f"PREUVE-{folder.name}")
    done, waits = town.eliminate()
    assert done[0].startswith(f"PREUVE-{folder.name} : éliminé") and waits == []
    told = {"connecteur": "supprime", "passerelle": "absent"}
    assert folder.is_dir() and not (folder / "preuve").exists() and town.sae.places("aip-2") == told
    [seen] = town.work.listed()
    assert kept(town) == before and seen["reference"] == "" and "Dupont" in words(town)
    assert town.world.act(reference).data["objet"] == "Délibération a1"
    town.sae.said["aip-2"]["seen"] = True
    town.next_day()
    assert town.run() == ([], []) and town.sae.said["aip-2"]["seen"]  # said once


def test_what_another_depositor_named_or_a_refused_report_keeps_no_other(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    _reference, folder = town.archived("a1", "aip-1")
    for archive, name in (("aip-8", "SIP/2026/1"), ("aip-9", "refuse"), ("aip-1", folder.name)):
        town.sae.eliminate(archive, name)
    report = town.sae.report

    def picky(archive: str, said: dict[str, Any]) -> None:
        if archive == "aip-9":
            raise ArchiveError("n'est pas éliminée pour ce compte")
        report(archive, said)

    monkeypatch.setattr(town.sae, "report", picky)
    _done, waits = town.eliminate()
    assert not folder.exists() and town.sae.places("aip-8")["connecteur"] == "absent"
    assert "refuse : n'est pas éliminée pour ce compte" in waits


def test_a_dossier_de_preuve_comes_beside_its_act_once(town: Town, ask: Any) -> None:
    reference, folder = town.archived("a1", "aip-1")
    gone, other = town.archived("a2", "aip-2", who="Durand")
    town.settle("a1", "a2")
    town.world.store.remember(town.world.act(reference), notification={"le": "2026-11-24", "mode": "remise"})
    shutil.rmtree(other)
    config = replace(town.config, archive_url="https://sae.test")
    with Journal(config.journal) as journal:
        assert Passerelle(config, journal).relay() == [f"{reference} : dossier de preuve, à verser."]
        assert Passerelle(config, journal).relay() == []
    told = (folder / "preuve" / "preuve.xml").read_text()
    assert "Camille Delattre" in told and "<mode>electronique</mode>" in told and "<etape>reprise</etape>" in told
    assert "<notification>" in told and "<le>2026-11-24</le>" in told
    # The meeting that voted it: its papers, and what their digests prove (CGCT, L2121-10, L2121-15, L2121-25).
    assert "<secretaire>Amina Benali</secretaire>" in told and "claire.dubois" in told
    papers = {path.name: path.read_bytes() for path in (folder / "preuve").glob("*.pdf")}
    assert [*sorted(papers)] == ["convocation-1.pdf", "liste.pdf", "proces-verbal.pdf"]
    assert all(hashlib.sha256(one).hexdigest() in told for one in papers.values())
    own = hashlib.sha256(papers["liste.pdf"]).hexdigest()
    for who, status in (("connecteur", 404), ("autre-connecteur", 404), ("poste", 403)):  # taken: no more to take
        assert ask(who, f"/connecteur/fichiers/{own}").status_code == status, who
    assert [town.world.act(one).track["preuve"] for one in (reference, gone)] == ["deposee", "sans_dossier"]
    said = {"reference": reference, "etat": "deposee"}
    assert ask("autre-connecteur", "/connecteur/preuves", "POST", json=said).status_code == 404
    assert ask("connecteur", "/connecteur/preuves", "POST", json=said | {"etat": "x"}).status_code == 400
    assert ask("connecteur", "/connecteur/preuves", "POST", json=[]).status_code == 400
    assert ask("poste", "/connecteur/preuves").status_code == 403


def test_a_dossier_de_preuve_lists_letters_and_holds_the_delegation_of_who_signed(town: Town, ask: Any) -> None:
    reference, folder = town.archived("a1", "aip-1")
    town.settle("a1")
    store, name = town.world.store, folder.name
    files = [{"nom": "lettre.pdf", "sha256": "1" * 64, "octets": 9}]
    data = {"type": "pieces", "numero": "", "id_acte": name, "acte": {}, "texte": "", "defaut": "", "etrangere": "",
            "date": "2026-11-24", "recu_le": "2026-11-25", "fichiers": files}  # fmt: skip # a table
    answer = {"cle": "ab", "sens": "reponse", "par": "Anne Petit", "le": "2026-11-26", "etat": "acquittee",
              "date_reception": "2026-11-27", "ar": "3" * 64,
              "fichiers": [{"nom": "reponse.pdf", "sha256": "2" * 64}]}  # fmt: skip # a table
    signed = Files(town.world.root).keep_bytes(b"%PDF-1.4 arrete de delegation")
    with store.transaction() as connection:
        query = "INSERT INTO lettre (commune, tdt, donnees, suivi) VALUES ('gondecourt', %s, %s, %s)"
        connection.execute(query, (7, Jsonb(data), Jsonb({"reponse": answer})))
        connection.execute(query, (8, Jsonb(data | {"etrangere": "215903683", "date": "2026-01-01"}), Jsonb({})))
        granted = {"circuit": "arrete", "numero": "2026-12", "date": "2026-01-05", "objet": "Délégation"}
        store.add(connection, "parapheur:12", "gondecourt", granted, FINISHED)
        store.add(connection, "parapheur:13", "la-madeleine", granted, FINISHED)
        for one in ("parapheur:12", "parapheur:13"):
            store.change(connection, one, track={"signe": signed, "tdt": {"archive": "aip-0"}})
    named = {"arrete": "2026-12", "arrete_date": "2026-01-05", "personne": "Anne Petit"}
    store.remember(town.world.act(reference), visas={"delegation": named})
    assert ask("connecteur", f"/connecteur/fichiers/{signed}").status_code == 200
    assert ask("autre-connecteur", f"/connecteur/fichiers/{signed}").status_code == 404
    config = replace(town.config, archive_url="https://sae.test")
    with Journal(config.journal) as journal:
        assert Passerelle(config, journal).relay() == [f"{reference} : dossier de preuve, à verser."]
    told = etree.fromstring((folder / "preuve" / "preuve.xml").read_bytes())
    [letter] = told.findall("courriers/element")
    assert letter.findtext("type") == "Demande de pièces complémentaires" and letter.findtext("transaction") == "7"
    assert [letter.findtext(path) for path in ("fichiers/element/sha256", "reponse/fichiers/element/sha256")] == [
        "1" * 64, "2" * 64,
    ]  # fmt: skip # a table
    assert letter.findtext("reponse/accuse_de_reception_sha256") == "3" * 64
    assert (told.findtext("delegation/archive"), told.findtext("delegation/sha256")) == ("aip-0", signed)
    assert told.findtext("parapheur/delegation/arrete") == "2026-12"
    assert (folder / "preuve" / "delegation.pdf").read_bytes() == b"%PDF-1.4 arrete de delegation"
    assert ask("connecteur", f"/connecteur/fichiers/{signed}").status_code == 404  # taken


@pytest.mark.parametrize("named", [{}, {"arrete": "2026-99", "arrete_date": "2026-01-05"}, "x", {"arrete": 1}])
def test_a_delegation_that_did_not_go_this_way_keeps_no_dossier_de_preuve(town: Town, named: Any) -> None:
    reference, folder = town.archived("a1", "aip-1")
    town.settle("a1")
    town.world.store.remember(town.world.act(reference), visas={"delegation": named})
    config = replace(town.config, archive_url="https://sae.test")
    with Journal(config.journal) as journal:
        assert Passerelle(config, journal).relay() == [f"{reference} : dossier de preuve, à verser."]
    assert not (folder / "preuve" / "delegation.pdf").exists()


def test_a_dossier_de_preuve_that_was_cut_is_taken_whole_at_the_next_run(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What had begun kept its name for ever, and the paper refused each time: this act had no dossier any more."""
    reference, folder = town.archived("a1", "aip-1")
    town.settle("a1")
    config, save = replace(town.config, archive_url="https://sae.test"), https.save

    def cut(answer: Any, stream: BinaryIO) -> Any:
        save(answer, stream)
        raise requests.ConnectionError

    with Journal(config.journal) as journal:
        monkeypatch.setattr(https, "save", cut)
        with pytest.raises(HandoverError, match="lecture interrompue"):
            Passerelle(config, journal).relay()
        monkeypatch.setattr(https, "save", save)
        (folder / "preuve" / "convocation-9.pdf").write_bytes(b"of a list that changed since")
        assert Passerelle(config, journal).relay() == [f"{reference} : dossier de preuve, à verser."]
    here = sorted(path.name for path in (folder / "preuve").iterdir())
    assert here == ["convocation-1.pdf", "liste.pdf", "preuve.xml", "proces-verbal.pdf"]


def test_a_dossier_de_preuve_waits_for_the_papers_of_its_meeting(town: Town, ask: Any) -> None:
    """Of a délibération, the council settles the procès-verbal at its next meeting, a quarter later at most."""
    reference, _folder = town.archived("a1", "aip-1")
    store = town.world.store

    def waiting() -> list[str]:
        return [one["reference"] for one in Proofs(store).waiting(GONDECOURT)]

    assert waiting() == []
    town.settle("a1")
    assert waiting() == [reference]
    [paper, *_others] = town.world.act(reference).track["seance"]["pieces"]
    for who, status in (("connecteur", 200), ("autre-connecteur", 404), ("poste", 403)):
        assert ask(who, f"/connecteur/fichiers/{paper['sha256']}").status_code == status, who
    with store.transaction() as connection:
        old = "UPDATE acte SET suivi = suivi - 'seance', modifie_le = now() - interval '181 days' WHERE reference = %s"
        connection.execute(old, (reference,))
    assert waiting() == [reference], "no procès-verbal came: what is known is kept all the same"


@pytest.mark.parametrize(
    "wrong",
    [{"nom": "../x.pdf"}, {"nom": "x.exe"}, {"nom": ""}, {"sha256": "A" * 64}, {"sha256": "b" * 64}, {"url": None}],
)
def test_a_paper_that_is_badly_announced_keeps_no_other_act(town: Town, wrong: dict[str, Any]) -> None:
    bad, _folder = town.archived("a1", "aip-1")
    good, _other = town.archived("a2", "aip-2", who="Durand")
    town.world.deliberations.settle("a1")
    town.world.deliberations.meetings["a1"]["pieces"][0] |= wrong
    town.settle("a2")
    assert "seance" not in town.world.act(bad).track and town.world.act(good).track["seance"]["arrete"]


def test_papers_of_a_meeting_go_with_the_last_of_its_acts(town: Town) -> None:
    _first, folder = town.archived("a1", "aip-1")
    last, other = town.archived("a2", "aip-2", who="Durand")
    town.settle("a1", "a2")
    pieces = town.world.act(last).track["seance"]["pieces"]
    here = [town.world.root / "fichiers" / str(one["sha256"]) for one in pieces]
    for one in here:
        os.utime(one, (1, 1))
    town.sae.eliminate("aip-1", folder.name)
    town.eliminate()
    assert len(here) == 3 and all(one.exists() for one in here)
    town.sae.eliminate("aip-2", other.name)
    town.eliminate()
    assert not any(one.exists() for one in here)


def test_a_dossier_de_preuve_waits_for_what_proves_that_its_act_is_executory(town: Town) -> None:
    """Of an arrêté, a person notes when it was published or notified, later than the chain ends."""
    reference, _folder = town.archived("a1", "aip-1")
    store, act = town.world.store, town.world.act(reference)
    with store.transaction() as connection:
        arrete = {key: value for key, value in act.data.items() if key != "uid"} | {"circuit": "arrete"}
        store.change(connection, reference, data=arrete, track=act.track | {"publication": None})

    def waiting() -> list[str]:
        return [one["reference"] for one in Proofs(store).waiting(GONDECOURT)]

    assert waiting() == []
    store.remember(town.world.act(reference), notification={"le": "2026-11-24", "mode": "remise"})
    assert waiting() == [reference]
    with store.transaction() as connection:
        late = "UPDATE acte SET suivi = suivi - 'notification', modifie_le = now() - interval '91 days'"
        connection.execute(late + " WHERE reference = %s", (reference,))
    assert waiting() == [reference], "nobody noted anything: what is known is kept all the same"


def test_accounts_are_kept_ten_years(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = town.folder("PES-41-mandats mars", "aip-9")
    town.sae.eliminate("aip-9", folder.name)
    _, waits = town.eliminate()
    assert folder.is_dir() and "l'ordonnateur le garde jusqu'au 31/12/2036" in waits[0]
    assert town.sae.places("aip-9") == {"connecteur": "attente"} and town.work.listed() == []
    (folder / "resume.json").write_text(json.dumps({"depose_le": "2015-03-02T08:00:00+01:00"}))
    assert town.eliminate()[1] == []
    assert not folder.exists()
    with town.world.store.transaction() as connection:
        given = {"circuit": "pes", "numero": "flux", "document": {"sha256": "a" * 64}, "annexes": []}
        town.world.store.add(connection, "parapheur:1", "gondecourt", given, FINISHED)
    name = f"PES-42-flux-{hashlib.sha256(b'parapheur:1').hexdigest()[:12]}"
    word = attested(town.world.authority.folder / "attestations", archive="aip-10", message=name, digests=["a" * 64])
    asked = {"archive": "aip-10", "demande": REQUEST, "id_acte": name, "attestation": word}
    with pytest.raises(BadRequest, match="Flux comptable"):
        town.work.ask(GONDECOURT, asked)
    with town.world.store.transaction() as connection:
        connection.execute("UPDATE acte SET recu_le = %s", (datetime(2015, 1, 2, tzinfo=UTC),))
    assert town.work.ask(GONDECOURT, asked)["etat"] == "attente"


def test_a_file_of_two_acts_stays_with_the_other(town: Town) -> None:
    _, folder = town.archived("a1", "aip-1", annexes=1)
    shared = town.world.deliberations.items["a1"]["annexes"]
    other, _ = town.archived("a2", "aip-2")
    with town.world.store.transaction() as connection:
        act = town.world.act(other)
        town.world.store.change(connection, other, data=act.data | {"annexes": shared})
    before = kept(town)[2]
    town.sae.eliminate("aip-1", folder.name)
    town.eliminate()
    assert (town.world.root / "fichiers" / shared[0]["sha256"]).is_file()
    assert kept(town)[2] == before - 3


def test_what_went_is_looked_for_again_without_reading_every_act(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    _, folder = town.archived("a1", "aip-1")
    town.sae.eliminate("aip-1", folder.name)
    town.eliminate()
    read: list[str] = []

    def shared(_connection: Any, reference: str, _digests: list[str]) -> set[str]:
        read.append(reference)
        return set()

    monkeypatch.setattr(Eliminations, "_shared", staticmethod(shared))
    with town.world.store.transaction() as connection:
        connection.execute("UPDATE elimination SET vue_le = now() - interval '2 days'")
    town.work.work()
    [seen] = town.work.listed()
    assert read == [] and seen["lieux"]["passerelle"]["etat"] == "supprime"
    assert time.time() - seen["vue_le"].timestamp() < 3600


def test_a_young_file_waits(town: Town) -> None:
    _, folder = town.archived("a1", "aip-1")
    for path in (town.world.root / "fichiers").iterdir():
        os.utime(path, (time.time(), time.time()))
    town.sae.eliminate("aip-1", folder.name)
    assert "moins d'une heure" in town.eliminate()[1][0]


def test_another_commune_s_act_is_never_touched(town: Town) -> None:
    reference, folder = town.archived("a1", "aip-1")
    before = kept(town)
    town.sae.eliminate("aip-1", folder.name)
    said = {"archive": "aip-1", "demande": REQUEST, "attestation": town.sae.listed[0]["attestation"]}
    with pytest.raises(BadRequest, match="d'un autre service versant"):
        town.work.ask(COMMUNES["la-madeleine"], said)
    # Even the archive's own word, of another commune's account, finds nothing but that commune's acts.
    own = attested(
        town.world.authority.folder / "attestations", siren=COMMUNES["la-madeleine"].siren,
        message=f"ACTE-{folder.name}", digests=town.digests(folder.name),
    )  # fmt: skip # one call by its parts
    said |= {"attestation": own}
    assert town.work.ask(COMMUNES["la-madeleine"], said)["etat"] == "attente"
    town.days_later()
    town.work.work()
    assert town.work.ask(COMMUNES["la-madeleine"], said)["lieux"] == {"passerelle": {"etat": "absent", "nombre": 0}}
    assert kept(town) == before and town.world.act(reference).data["objet"] == "Délibération a1"


def test_an_archive_that_two_acts_answer_to_takes_neither_away(town: Town) -> None:
    """Nothing says which: a person looks."""
    first, folder = town.archived("a1", "aip-1")
    second, _ = town.archived("a2", "aip-1")
    before = kept(town)
    town.sae.eliminate("aip-1", folder.name)
    said = {"archive": "aip-1", "demande": REQUEST, "attestation": town.sae.listed[0]["attestation"]}
    with pytest.raises(BadRequest, match=rf"à l'archive aip-1 : ({first}|{second}), ") as told:
        town.work.ask(GONDECOURT, said)
    assert told.value.status == 409
    town.work.work()
    assert kept(town) == before


@pytest.mark.parametrize("point", ["notée", "vidée", "parapheur", "ged", "fichiers"])
def test_cut_anywhere_it_is_taken_up(town: Town, point: str) -> None:
    _, folder = town.archived("a1", "aip-1", annexes=1)
    town.sae.eliminate("aip-1", folder.name)
    town.run()

    def cut(name: str) -> None:
        if name == f"élimination: {point}":
            raise KeyboardInterrupt

    broken = Eliminations(town.world.config, town.world.store, Files(town.world.config.folder), cut)
    if point == "notée":
        word = attested(town.world.authority.folder / "attestations", archive="aip-2", message="ACTE-ailleurs")
        with pytest.raises(KeyboardInterrupt):
            broken.ask(GONDECOURT, {"archive": "aip-2", "demande": REQUEST, "attestation": word})
        town.days_later()
    else:
        town.days_later()
        with pytest.raises(KeyboardInterrupt):
            broken.work()
    town.work.work()
    assert town.run()[1] == [] and kept(town) == (0, 0, 0)


def test_a_connector_cut_while_a_folder_goes_finishes(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    _, folder = town.archived("a1", "aip-1")
    town.sae.eliminate("aip-1", folder.name)
    town.run()
    town.work.work()
    town.days_later()
    with monkeypatch.context() as patch:
        patch.setattr("tdt_connector.eliminations.shutil.rmtree", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            town.run()
    assert unarchived(town.config) == []
    town.eliminate()
    assert [*folder.parent.iterdir()] == [] and town.sae.state("aip-1") == "supprime"


def test_what_is_badly_said_is_refused(town: Town, ask: Any) -> None:
    wrong: tuple[Any, ...] = (
        {}, [], {"archive": "a"}, {"demande": "d"}, {"archive": "a\x1b[2J", "demande": "d"}, {"archive": "é" * 200},
    )  # fmt: skip # a list of words
    for body in wrong:
        assert ask("connecteur", "/connecteur/eliminations", "POST", json=body).status_code == 400
    assert ask("poste", "/connecteur/eliminations", "POST", json={}).status_code == 403
    assert ask("etranger", "/connecteur/eliminations").status_code == 403
    assert ask("connecteur", "/connecteur/eliminations").json() == {"archives": []}
    assert town.work.listed() == []


def test_the_command_shows_how_far_they_are(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    _, folder = town.archived("a1", "aip-1")
    town.sae.eliminate("aip-1", folder.name)
    town.world.servers["ged"].stop()
    town.eliminate()
    assert cli._eliminations(town.world.config, None) == 0  # type: ignore[arg-type] # needs no argument
    told = capsys.readouterr().out
    assert "EN ATTENTE" in told and "la GED ne répond pas" in told and "parapheur  supprime (1)" in told
    assert eliminations.ACCOUNTS_YEARS == 10
