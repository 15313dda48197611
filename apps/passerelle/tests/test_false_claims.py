"""A connector's word deletes nothing: not without the archive's word of that very act, nor before thirty days."""

from __future__ import annotations

import base64
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from passerelle import cli, metrics
from passerelle.acts import BadRequest
from passerelle.eliminations import Eliminations
from passerelle.files import Files
from tdt_connector.handover import Passerelle
from tdt_connector.journal import Journal

from apps.passerelle.tests.test_eliminations import GONDECOURT, REQUEST, Town, attested, kept, words
from creatic.pki import x509 as pki_x509
from creatic_agent import attestation
from testbed.chain import COMMUNES, World
from testbed.connector import Authority

CLAIM = "/connecteur/eliminations"


@pytest.fixture
def town(tmp_path: Path, authority: Authority, world: World) -> Iterator[Town]:
    yield Town(tmp_path, authority, world)


@pytest.fixture(scope="module")
def impostor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive's certificate, by an authority of the same names."""
    other = Authority(tmp_path_factory.mktemp("ailleurs") / "groupement", "groupement de test")
    return other.issue("attestations", "signature", common_name=attestation.SIGNER, organization="CDG59", siren="")


def _claim(word: Any = None, archive: str = "aip-1") -> dict[str, Any]:
    return {"archive": archive, "demande": REQUEST, "attestation": word}


def _false(town: Town) -> int:
    return town.work.counts()["fausse"]


def test_two_posts_of_a_connector_erase_nothing(town: Town, ask: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An act that is not signed, and one at its end; whatever days run, the whole chain is as it was."""
    caplog.set_level(logging.WARNING, logger="passerelle")
    _reference, folder = town.archived("a1", "aip-1")
    young = town.world.deliberations.adopt("a2", annexes=1)
    town.world.reach(young, "signature")
    before, acts = kept(town), [town.world.act(one) for one in (_reference, young)]
    number = town.world.act(young).data["numero"]
    for said in (
        {"archive": "aip-1", "demande": REQUEST, "id_acte": folder.name},
        {"archive": "aip-9", "demande": REQUEST, "id_acte": f"059-{GONDECOURT.siren}-20261125-{number}-DE"},
        _claim({"texte": "{}", "signature": ""}),
    ):
        for _turn in range(2):
            answer = ask("connecteur", CLAIM, "POST", json=said)
            assert answer.status_code == 403 and "Rien n'est supprimé" in answer.json()["message"]
    town.days_later()
    town.work.work()
    assert kept(town) == before and [town.world.act(one.reference) for one in acts] == acts
    # It is told: figures, log, pages of the commune and of the groupement, command.
    assert _false(town) == 6 and town.work.listed() == []
    metrics.publish(town.world.config, town.world.store)
    assert 'passerelle_eliminations{etat="fausse"} 6' in town.world.config.metrics.read_text()
    assert "Élimination refusée : gondecourt, archive aip-9" in caplog.text
    for who in ("poste", "groupement"):
        page = ask(who, "/").text
        assert "6 demandes d’élimination sans preuve" in page and "Rien n’est supprimé" in page
    assert "sans preuve" not in ask("autre-poste", "/").text
    with town.world.store.transaction() as connection:
        connection.execute("UPDATE elimination_fausse SET derniere_le = now() - interval '8 days'")
    assert _false(town) == 0


def test_only_the_archive_s_own_word_of_that_very_act_counts(
    town: Town, authority: Authority, impostor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference, folder = town.archived("a1", "aip-1", annexes=1)
    other, _elsewhere = town.archived("a2", "aip-2")
    act, signer = town.world.act(reference), authority.folder / "attestations"
    of_act: dict[str, Any] = {"message": f"ACTE-{folder.name}", "digests": [act.document]}
    person = authority.issue("personne", "signature", common_name=attestation.SIGNER, organization="CDG59")
    machine = authority.issue(
        "machine", "signature", common_name=attestation.SIGNER, organization="Gondecourt", siren=""
    )
    door = authority.issue("porte", "client", common_name=attestation.SIGNER, organization="CDG59", siren="")
    good = attested(signer, **of_act)
    text = json.loads(good["texte"]) | {"siren": COMMUNES["la-madeleine"].siren}
    wrong: list[tuple[Any, str]] = [
        (attested(authority.folder / "connecteur", **of_act), "signer|signé"),
        (attested(authority.folder / "groupement", **of_act), "signer|signé"),
        (attested(person, **of_act), "a signé l'attestation"),
        (attested(machine, **of_act), "a signé l'attestation"),
        (attested(door, **of_act), "pas fait pour signer"),
        (attested(impostor, **of_act), "autorité de confiance"),
        (good | {"texte": json.dumps(text)}, "modifié"),
        (good | {"texte": good["texte"] + " "}, "modifié"),
        (good | {"signature": base64.b64encode(b"\x30\x03\x02\x01\x01").decode()}, "signature"),
        (good | {"signature": "é"}, "n'en est pas une"),
        ([good], "n'en est pas une"),
        (attested(signer, **of_act, siren=COMMUNES["la-madeleine"].siren), "autre service versant"),
        (attested(signer, **of_act, archive="aip-2"), "autre archive"),
        (attested(signer, **of_act, request=REQUEST.replace("1", "2")), "autre demande"),
        (attested(signer, **of_act, when=(datetime.now(UTC) + timedelta(days=2)).isoformat()), "à venir"),
        (attested(signer, **of_act, when="2026-01-01T00:00:00"), "ce n'est pas une"),
        # An archive that has this document, as another act's annex say; then this one's, without its document.
        (attested(signer, message="ACTE-059-215902669-20260101-X-DE", digests=[act.document]), "et non de l'acte"),
        (attested(signer, message=f"ACTE-{folder.name}", digests=[]), "n'est pas celui qui était dans l'archive"),
        # Of which the number only begins as this one's.
        (attested(signer, **of_act | {"message": f"ACTE-{folder.name}".replace("-DE", "-B-DE")}), "et non de l'acte"),
        (attested(signer, **of_act | {"digests": [town.world.act(other).document]}), "n'est pas celui qui était"),
        (attested(signer, **of_act | {"digests": [act.data["document"]["sha256"]]}), "n'est pas celui qui était"),
    ]
    for word, why in wrong:
        with pytest.raises(BadRequest, match=why):
            town.work.ask(GONDECOURT, _claim(word))
    # An act whose row says that it is not signed yet, or archived under another number.
    for change, why in (({"step": "signature"}, "pas encore signé"), ({"archive": "aip-7"}, "sous une autre archive")):
        with town.world.store.transaction() as connection:
            track = act.track | {"tdt": act.tdt | {"archive": change.get("archive", "aip-1")}}
            town.world.store.change(connection, reference, track=track, step=change.get("step", act.step))
        with pytest.raises(BadRequest, match=why):
            town.work.ask(GONDECOURT, _claim(good))
    with town.world.store.transaction() as connection:
        town.world.store.change(connection, reference, track=act.track, step=act.step)
    # The last one is the archive's word of a second archive of the act: refused, and no lie.
    assert town.work.listed() == [] and _false(town) == len(wrong) + 1
    assert cli._eliminations(town.world.config, None) == 0  # type: ignore[arg-type] # needs no argument
    assert "DEMANDES SANS PREUVE : Gondecourt, 22" in capsys.readouterr().out
    assert town.work.ask(GONDECOURT, _claim(good))["etat"] == "attente"


def test_what_cannot_be_verified_now_is_no_lie(town: Town, authority: Authority, tmp_path: Path) -> None:
    """Lists that are missing, or stale: it is asked for again, nothing is deleted, nobody is accused."""
    _reference, folder = town.archived("a1", "aip-1")
    town.sae.eliminate("aip-1", folder.name)
    word = town.sae.listed[0]["attestation"]
    (tmp_path / "vide.pem").write_bytes(b"")
    for crl in (tmp_path / "absente.pem", tmp_path / "vide.pem"):
        blind = Eliminations(replace(town.world.config, crl=crl), town.world.store, Files(town.world.config.folder))
        with pytest.raises(BadRequest, match=r"révocation|manque") as told:
            blind.ask(GONDECOURT, _claim(word))
        assert told.value.status == 503
    before = kept(town)
    town.work.ask(GONDECOURT, _claim(word))
    town.days_later()
    blind.work()
    assert kept(town) == before and _false(town) == 0 and town.work.counts()["attente"] == 1
    town.work.work()
    assert kept(town) == (0, 0, 0)


def test_an_old_word_still_counts_and_a_revoked_one_does_not(town: Town, tmp_path: Path) -> None:
    """Its certificate ended since, as after years of backups; revoked meanwhile, everything it asked is undone."""
    reference, folder = town.archived("a1", "aip-1")
    _second, other = town.archived("a2", "aip-2")
    with mock.patch.object(pki_x509, "utc_now", lambda: datetime.now(UTC) - timedelta(days=500)):
        authority = Authority(tmp_path / "ancienne", "groupement de test")
    names: dict[str, Any] = {"common_name": attestation.SIGNER, "organization": "CDG59", "siren": ""}
    old = authority.issue("d-avant", "signature", days_ago=400, **names)
    signer = authority.issue("attestations", "signature", **names)

    def chain(*revoked: Path) -> Eliminations:
        config = replace(town.world.config, trust=str(authority.bundle), crl=authority.crl(*revoked))
        return Eliminations(config, town.world.store, Files(config.folder))

    then = (datetime.now(UTC) - timedelta(days=390)).isoformat()
    word = attested(old, message=f"ACTE-{folder.name}", digests=town.digests(folder.name), when=then)
    late = attested(old, message=f"ACTE-{folder.name}", digests=town.digests(folder.name))
    with pytest.raises(BadRequest, match="expiré"):
        chain().ask(GONDECOURT, _claim(late))
    assert chain().ask(GONDECOURT, _claim(word))["etat"] == "attente"
    second = attested(signer, archive="aip-2", message=f"ACTE-{other.name}", digests=town.digests(other.name))
    chain().ask(GONDECOURT, _claim(second, "aip-2"))
    before, act = kept(town), town.world.act(reference)
    town.days_later()
    chain(signer, old).work()
    assert kept(town) == before and town.world.act(reference) == act
    assert _false(town) == 3 and town.work.counts()["attente"] == 0
    assert all("révoqué" in one["faute"] for one in town.work.listed())
    chain().work()  # what proved false stays so, until the archive's word comes again
    assert kept(town) == before
    assert chain().ask(GONDECOURT, _claim(word))["echu"] is False
    assert town.work.counts()["delai"] == 1


def test_the_commune_takes_back_what_was_to_go(town: Town, ask: Any) -> None:
    _reference, folder = town.archived("a1", "aip-1")
    town.sae.eliminate("aip-1", folder.name)
    town.run()
    before, own = kept(town), {"Sec-Fetch-Site": "same-origin"}
    form = {"archive": "aip-1", "geste": "garder"}
    page = ask("poste", "/").text
    assert "part le" in page and "L212-2" in page and ">Garder<" in page and "AD59 2026-123" in page
    assert ">Garder<" not in ask("groupement", "/").text
    assert ask("poste", "/eliminations", "POST", data=form).status_code == 403  # from another site
    for who in ("connecteur", "groupement", "autre-connecteur"):
        assert ask(who, "/eliminations", "POST", data=form, headers=own).status_code == 403
    assert ask("autre-poste", "/eliminations", "POST", data=form, headers=own).status_code == 409
    assert ask("poste", "/eliminations", "POST", data=form | {"geste": "x"}, headers=own).status_code == 400
    done = ask("poste", "/eliminations", "POST", data=form, headers=own, allow_redirects=False)
    assert done.status_code == 303
    assert "gardé</span> par Secrétariat général" in ask("poste", "/").text
    # For good: days, turns and the connector's daily look change nothing, and nobody waits for it.
    town.days_later(400)
    town.next_day()
    town.work.work()
    assert town.run() == ([], []) and kept(town) == before and folder.is_dir() and "Dupont" in words(town)
    assert set(town.sae.places("aip-1").values()) == {"garde"} and town.work.counts()["gardee"] == 1
    # Until somebody decides otherwise: thirty days anew.
    assert ask("poste", "/eliminations", "POST", data=form | {"geste": "laisser"}, headers=own).status_code == 200
    town.work.work()
    assert "part le" in town.run()[1][0] and kept(town) == before and folder.is_dir()
    town.days_later()
    town.work.work()
    town.run()
    assert kept(town) == (0, 0, 0) and not folder.exists()
    assert ask("poste", "/eliminations", "POST", data=form, headers=own).status_code == 409


def test_what_waited_while_nobody_could_look_waits_anew(town: Town) -> None:
    """A passerelle that was off, or came back from an old backup where the days had nearly run."""
    _reference, folder = town.archived("a1", "aip-1")
    town.sae.eliminate("aip-1", folder.name)
    town.run()
    town.work.work()
    before = kept(town)
    town.days_later()
    with town.world.store.transaction() as connection:
        connection.execute("UPDATE elimination_tour SET vu_le = now() - interval '40 days'")
    town.run()  # before its first turn, the connector is told nothing else
    assert folder.is_dir()
    town.work.work()
    assert kept(town) == before and town.work.counts()["delai"] == 1
    # The connector alone was: its own days begin again, whatever the passerelle says.
    town.days_later()
    town.work.work()
    with Journal(town.config.journal) as journal:
        journal.set_value("eliminations:vu_le", 0)
    town.run()
    assert kept(town) == (0, 0, 0) and folder.is_dir()


def test_rows_of_before_the_attestations_delete_nothing(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    reference, folder = town.archived("a1", "aip-1")
    before = kept(town)
    with town.world.store.transaction() as connection:
        for archive, done in (("aip-1", None), ("aip-0", datetime(2026, 1, 1, tzinfo=UTC))):
            connection.execute(
                "INSERT INTO elimination (commune, archive, demande, reference, traces, faite_le)"
                " VALUES ('gondecourt', %s, %s, %s, '{}', %s)",
                (archive, REQUEST, reference, done),
            )
    town.work.work()
    assert kept(town) == before and town.work.counts()["sans_preuve"] == 1
    assert cli._eliminations(town.world.config, None) == 0  # type: ignore[arg-type] # needs no argument
    assert "SANS ATTESTATION" in capsys.readouterr().out
    town.sae.eliminate("aip-1", folder.name)  # the archive attests it: the thirty days begin
    assert town.eliminate()[1] == [] and kept(town) == (0, 0, 0)


def test_a_connector_believes_neither_a_bare_list_nor_a_hurried_passerelle(
    town: Town, impostor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _reference, folder = town.archived("a1", "aip-1")
    town.sae.eliminate("aip-1", folder.name)
    good = town.sae.listed[0]["attestation"]
    # A machine trusts many authorities; the archive's word is by the groupement's.
    both = town.commune.root / "systeme.pem"
    both.write_bytes(town.config.autorites.read_bytes() + (impostor.parent / "ca.pem").read_bytes())
    town.config = replace(town.config, autorites=both)
    forged = attested(impostor, message=f"ACTE-{folder.name}", digests=town.digests(folder.name))
    elsewhere = attested(town.world.authority.folder / "attestations", archive="aip-2", message=f"ACTE-{folder.name}")
    for word in (None, "x", forged, elsewhere):
        town.sae.listed[0]["attestation"] = word
        with Journal(town.config.journal) as journal:
            journal.set_value("eliminations:rang", 0)
        _done, [told] = town.run()
        assert "Rien n'est supprimé" in told and town.sae.places("aip-1") == {"connecteur": "attente"}
        town.days_later()
    assert folder.is_dir() and town.work.listed() == [] and _false(town) == 0  # it asked for nothing
    town.sae.listed[0]["attestation"] = good
    town.next_day()

    def hurried(_self: Any, _method: str, _path: str, **_given: Any) -> Any:
        answer: Callable[[], Any] = lambda: {"etat": "supprime", "lieux": {"ged": {"etat": "supprime"}}, "echu": True}  # noqa: E731 - stands for an answer
        return type("Answer", (), {"ok": True, "json": staticmethod(answer), "status_code": 200})

    monkeypatch.setattr(Passerelle, "call", hurried)
    _done, [told] = town.run()
    assert folder.is_dir() and "part le" in told
    with Journal(town.config.journal) as journal:
        connector = town.connector(journal)
        assert connector.keep("aip-1") and not connector.keep("aip-9")
    town.days_later()
    assert town.run() == ([], []) and folder.is_dir()
    with Journal(town.config.journal) as journal:
        assert town.connector(journal).let_go("aip-1")
    town.run()
    assert folder.is_dir()
    town.days_later()
    town.run()
    assert not folder.exists()


def test_what_has_days_to_wait_is_not_asked_for_at_each_run(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be thousands, and a run each five minutes, before what is to be archived."""
    _reference, folder = town.archived("a1", "aip-1")
    town.sae.eliminate("aip-1", folder.name)
    asked: list[str] = []
    call = Passerelle.call

    def counted(self: Any, method: str, path: str, **given: Any) -> Any:
        asked.append(method)
        return call(self, method, path, **given)

    monkeypatch.setattr(Passerelle, "call", counted)
    for _turn in range(3):
        town.run(hours=0)
    assert asked.count("POST") == 1
    town.run()
    assert asked.count("POST") == 2
    town.work.work()
    town.days_later()
    town.world.servers["ged"].stop()
    town.run()
    town.work.work()
    town.world.servers["ged"].start()
    for _turn in range(2):  # what is due is asked for each time, until all of it went
        town.run(hours=0)
    assert asked.count("POST") == 5
    town.work.work()
    assert town.run(hours=0)[1] == [] and kept(town) == (0, 0, 0)


def test_what_came_back_and_is_taken_back_stays(town: Town) -> None:
    """A GED restored alone, whose document somebody needs."""
    _reference, folder = town.archived("a1", "aip-1")
    document = dict(town.world.ged.documents)
    town.sae.eliminate("aip-1", folder.name)
    town.eliminate()
    town.world.ged.documents |= document
    town.next_day()
    town.work.work()
    [row] = town.work.listed()
    assert row["faite_le"] is None and row["lieux"]["ged"]["detail"] == "revenu"
    town.work.keep(GONDECOURT, "aip-1", "Odile Faure")
    town.days_later(100)
    town.work.work()
    assert len(town.world.ged.documents) == len(document)
    town.work.release(GONDECOURT, "aip-1", "Odile Faure")
    town.days_later()
    town.work.work()
    assert town.world.ged.documents == {}
    for path in (town.world.root / "fichiers").iterdir():
        os.utime(path, (1, 1))
