"""What the préfecture writes of an act, what the commune answers and the receipt stand beside the act in the GED."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import pytest
from passerelle import filing
from passerelle.errors import Away, Refused
from passerelle.files import Files
from passerelle.filing import Filing
from passerelle.ged import Ged
from psycopg.types.json import Jsonb

from apps.passerelle.tests.test_chain import GONDECOURT, looked, through
from apps.passerelle.tests.test_letters import SAME
from creatic_agent.act import Act
from testbed.chain import FINISHED, FakeConnector, World

NUMBER = "059-215902669-20261120-2026_D1-DE"
CABINET = "Gondecourt [215902669] / Assemblées / Délibérations"


@dataclass
class Gondecourt:
    """Its connector and its agent, in front of the passerelle."""

    world: World
    ask: Any

    def bring(self, number: int, about: str = NUMBER, files: dict[str, bytes] | None = None, **more: Any) -> Any:
        """The connector brings a letter with its files."""
        given = files if files is not None else {"lettre.pdf": b"%PDF-1.4 lettre", f"lettre-{number}.tar.gz": b"\x1f"}
        listed = [
            {"nom": name, "sha256": hashlib.sha256(content).hexdigest(), "octets": len(content)}
            for name, content in given.items()
        ]
        told = {"lettre": number, "type": "pieces", "date": "2026-11-24", "recu_le": "2026-11-25", "id_acte": about}
        answer = self.ask("connecteur", "/connecteur/lettres", "POST", json=told | {"fichiers": listed} | more)
        for rank, content in enumerate(given.values()) if answer.ok else ():
            assert self.ask("connecteur", f"/connecteur/lettres/{number}/{rank}", "PUT", data=content).ok
        return answer

    def reply(self) -> str:
        """An agent answers the first letter, with a piece; the answer's key."""
        files = [("document", ("Réponse.pdf", b"%PDF-1.4 reponse")), ("pieces", ("plan.png", b"\x89PNG plan"))]
        data = {"geste": "repondre", "sens": "reponse"}
        path = "/lettres/1"
        assert self.ask("poste", path, "POST", data=data, files=files, headers=SAME, allow_redirects=False).ok
        [one] = self.ask("connecteur", "/connecteur/lettres").json()["results"]
        return str(one["reponse"]["cle"])

    def say(self, key: str, state: str, receipt: str = "") -> None:
        told = {"lettre": 7, "reponse": key, "etat": state, "ar": receipt}
        assert self.ask("connecteur", "/connecteur/lettres/suivi", "POST", json=told).ok

    def file(self) -> int:
        """A turn of the worker; gives how many letters it filed."""
        config, store = self.world.config, self.world.store
        return Filing(config, store, Files(self.world.root), self.world.chain.servers.ged).turn()

    def hasten(self) -> None:
        """What was put off is due."""
        with self.world.store.transaction() as connection:
            connection.execute("UPDATE lettre SET suivi = jsonb_set(suivi, '{ged,prochain}', '\"2026-01-01\"')")

    def labels(self) -> list[str]:
        """What the document store has of letters."""
        found = [one["label"].partition(" - ")[2] for one in self.world.ged.documents.values()]
        return sorted(one for one in found if one not in ("ARActe", "Délibération d1"))

    def page(self, number: int = 1) -> str:
        return str(self.ask("poste", f"/lettres/{number}").text)

    def track(self, number: int = 1) -> dict[str, Any]:
        with self.world.store.transaction() as connection:
            [row] = connection.execute("SELECT suivi FROM lettre WHERE numero = %s", (number,)).fetchall()
        return dict(row["suivi"])


@pytest.fixture
def empty(world: World, ask: Any) -> Gondecourt:
    """Its act is not here."""
    return Gondecourt(world, ask)


@pytest.fixture
def gondecourt(empty: Gondecourt) -> Iterator[Gondecourt]:
    """An act of it went through the chain."""
    act = Act(reference="deliberations:d1", commune="gondecourt", number="2026_D1", date="2026-11-20",
              subject="Délibération d1", circuit="deliberation", uid="d1")  # fmt: skip # one call by its parts
    with empty.world.store.transaction() as connection:
        empty.world.store.add(connection, act.reference, act.commune, act.to_wire(), FINISHED)
        track = {"tdt": {"id_acte": NUMBER, "etat": "acquittee", "date_reception": "2026-11-21"}, "ged": [1, 2]}
        empty.world.store.change(connection, act.reference, track=track)
    yield empty


def finish(world: World) -> str:
    reference = world.deliberations.adopt("d1")
    world.chain.arrivals.look()
    through(world, looked(world), FakeConnector(world.chain, GONDECOURT), reference)
    return reference


def test_a_letter_its_answer_and_the_receipt_are_filed_beside_the_act_once(gondecourt: Gondecourt) -> None:
    assert gondecourt.bring(7).ok
    assert "attend que son acte soit classé" in gondecourt.page() and gondecourt.file() == 1
    letter = "Demande de pièces complémentaires du 24/11/2026 : lettre.pdf"
    assert gondecourt.labels() == [letter]  # the archive as it came says nothing more
    assert "classé à côté de l&#39;acte" in gondecourt.page() and "Dans la GED" in gondecourt.page()
    key = gondecourt.reply()
    assert gondecourt.file() == 0  # it did not leave yet
    gondecourt.say(key, "transmise")
    assert gondecourt.file() == 1
    assert len(gondecourt.labels()) == 3
    gondecourt.say(key, "acquittee", "<AR>é</AR>")
    assert "sa réponse le sera bientôt" in gondecourt.page()
    assert gondecourt.file() == 1 and gondecourt.file() == 0
    found = gondecourt.labels()
    assert [one.partition(" du ")[0] for one in found] == [
        "Accusé de réception de la réponse (demande de pièces complémentaires)",
        "Demande de pièces complémentaires", "Réponse", "Réponse",
    ]  # fmt: skip # a table
    assert "avec la réponse" in gondecourt.page()
    documents = gondecourt.world.ged.documents
    assert len(documents) == 4 and all(len(one["files"]) == 1 for one in documents.values())
    assert set(documents) == gondecourt.world.ged.cabinets[CABINET]
    assert {one["metadata"]["numero"] for one in documents.values()} == {"2026_D1"}
    kept = gondecourt.track()["ged"]
    assert len(kept["documents"]) == 4 and kept["envois"] == {}


def test_what_is_filed_is_not_brought_again_with_what_follows(gondecourt: Gondecourt) -> None:
    assert gondecourt.bring(7).ok and gondecourt.file() == 1
    gondecourt.say(gondecourt.reply(), "transmise")
    with mock.patch.object(Ged, "file", autospec=True, side_effect=Ged.file) as brought:
        assert gondecourt.file() == 1
    assert sorted(call.args[4].filename for call in brought.call_args_list) == ["Réponse.pdf", "plan.png"]


def test_an_act_that_claims_another_body_s_number_takes_no_letter_of_it(gondecourt: Gondecourt) -> None:
    other = NUMBER.replace("215902669", "215900286")
    with gondecourt.world.store.transaction() as connection:
        claimed = {"tdt": {"id_acte": other, "etat": "acquittee", "date_reception": "2026-11-21"}, "ged": [1, 2]}
        gondecourt.world.store.change(connection, "deliberations:d1", track=claimed)
    assert gondecourt.bring(7, about=other).ok
    assert gondecourt.file() == 0 and gondecourt.labels() == []


def test_a_passerelle_that_forgot_what_it_filed_files_nothing_twice(gondecourt: Gondecourt) -> None:
    assert gondecourt.bring(7).ok and gondecourt.file() == 1
    with gondecourt.world.store.transaction() as connection:
        connection.execute("UPDATE lettre SET suivi = suivi - 'ged'")
    assert gondecourt.file() == 1
    assert len(gondecourt.labels()) == 1


def test_the_same_letter_under_two_numbers_is_one_document(gondecourt: Gondecourt) -> None:
    assert gondecourt.bring(7).ok and gondecourt.bring(8).ok and gondecourt.bring(7).ok
    assert gondecourt.file() == 2
    assert len(gondecourt.labels()) == 1


def test_a_letter_without_its_act_waits_in_a_list_until_the_act_is_filed(empty: Gondecourt) -> None:
    assert empty.bring(7).ok and empty.file() == 0
    for page in (empty.page(), empty.ask("poste", "/").text):
        assert "attend son acte, que la passerelle ne connaît pas" in page
    finish(empty.world)
    assert empty.file() == 1
    assert len(empty.labels()) == 1 and "que la passerelle ne connaît pas" not in empty.ask("poste", "/").text


@pytest.mark.parametrize("siren", ["215903683", ""])
def test_a_letter_about_another_body_s_act_is_never_filed_and_is_told(gondecourt: Gondecourt, siren: str) -> None:
    """Whatever the connector says: the act's identifier names its body."""
    about = "059-215903683-20261120-2026_D1-DE"
    assert gondecourt.bring(7, about, siren=siren).ok and gondecourt.file() == 0
    assert gondecourt.labels() == []
    assert "autre collectivité (SIREN 215903683)" in gondecourt.page()
    assert "pas classé : il nomme l&#39;acte d&#39;une autre collectivité" in gondecourt.ask("poste", "/").text


def test_another_commune_s_letter_about_this_act_is_not_filed_with_it(gondecourt: Gondecourt) -> None:
    data = {"type": "pieces", "numero": "", "id_acte": NUMBER, "acte": {}, "texte": "", "defaut": "",
            "date": "", "recu_le": "2026-11-25", "fichiers": [], "etrangere": ""}  # fmt: skip # a table
    with gondecourt.world.store.transaction() as connection:
        query = "INSERT INTO lettre (commune, tdt, donnees) VALUES ('la-madeleine', 1, %s)"
        connection.execute(query, (Jsonb(data),))
    assert gondecourt.file() == 0


def test_a_letter_that_is_not_whole_or_not_read_is_told_apart(gondecourt: Gondecourt) -> None:
    content = {"lettre.pdf": b"%PDF-1.4", "vide.xml": b"", "lettre-7.tar.gz": b"\x1f"}
    assert gondecourt.bring(7, files=content, defaut="Le message du protocole manque.").ok
    assert gondecourt.ask("connecteur", "/connecteur/lettres", "POST", json={
        "lettre": 8, "type": "pieces", "recu_le": "2026-11-25", "id_acte": NUMBER,
        "fichiers": [{"nom": "a.pdf", "sha256": "0" * 64, "octets": 4}],
    }).ok  # fmt: skip # one call by its parts
    assert gondecourt.file() == 1  # of the second, the file is not here yet
    assert [one.rpartition(" : ")[2] for one in gondecourt.labels()] == ["lettre-7.tar.gz", "lettre.pdf"]


def test_a_letter_is_not_filed_once_its_act_is_eliminated(gondecourt: Gondecourt) -> None:
    assert gondecourt.bring(7).ok
    with gondecourt.world.store.transaction() as connection:
        connection.execute("UPDATE acte SET donnees = donnees || '{\"eliminee\": \"demande-1\"}', suivi = '{}'")
    assert gondecourt.file() == 0 and gondecourt.labels() == []
    assert "ou qui est éliminé" in gondecourt.page()


def test_what_the_ged_refuses_keeps_no_other_and_is_tried_again(gondecourt: Gondecourt) -> None:
    assert gondecourt.bring(7).ok and gondecourt.bring(8, files={"b.pdf": b"%PDF-1.4 b"}).ok

    def file(client: Ged, *given: Any) -> int:
        if given[3].filename == "lettre.pdf":
            raise Refused("la GED a 2 documents « lettre » : supprimez-en.")
        return whole(client, *given)

    whole = Ged.file
    with mock.patch.object(Ged, "file", autospec=True, side_effect=file):
        assert gondecourt.file() == 1
    assert "ce sera tenté de nouveau. la GED a 2 documents" in gondecourt.page(1)
    assert gondecourt.file() == 0  # not at once
    gondecourt.hasten()
    assert gondecourt.track()["ged"]["essais"] == 1
    assert gondecourt.file() == 1
    assert "tenté de nouveau" not in gondecourt.page(1) and len(gondecourt.labels()) == 2


def test_a_ged_that_is_away_is_waited_for(gondecourt: Gondecourt) -> None:
    assert gondecourt.bring(7).ok
    gondecourt.world.servers["ged"].stop()
    with pytest.raises(Away):
        gondecourt.file()
    assert gondecourt.track()["ged"].get("essais", 0) == 0 and "tenté" not in gondecourt.page()
    gondecourt.world.servers["ged"].start()
    assert gondecourt.bring(8, files={"b.pdf": b"%PDF-1.4 b"}).ok and gondecourt.file() == 1  # the others first
    gondecourt.hasten()
    assert gondecourt.file() == 1


def test_a_body_without_a_ged_is_told_nothing_of_it(empty: Gondecourt) -> None:
    assert empty.bring(7).ok
    own = replace(GONDECOURT, services=("teletransmission",))
    empty.world.reconfigure(communes={**empty.world.config.communes, "gondecourt": own})
    assert empty.file() == 0 and "Dans la GED" not in empty.page()


def test_a_letter_of_150_mb_passes_by_pieces(gondecourt: Gondecourt) -> None:
    """The largest that a connector may bring; one byte more is refused where it comes in."""
    told = {"lettre": 9, "type": "pieces", "recu_le": "2026-11-25", "id_acte": NUMBER}
    big = {"nom": "a.pdf", "sha256": "0" * 64, "octets": 150_000_001}
    refused = gondecourt.ask("connecteur", "/connecteur/lettres", "POST", json=told | {"fichiers": [big]})
    assert refused.status_code == 413 and "150 Mo au plus" in refused.json()["message"]
    pieces = filing._pieces(
        {"tdt": 9, "donnees": {"type": "pieces", "date": "", "recu_le": "2026-11-25", "defaut": "",
                               "fichiers": [big | {"octets": 150_000_000}]}, "suivi": {}},
        gondecourt.world.act("deliberations:d1"),
        Files(gondecourt.world.root),
    )  # fmt: skip # one call by its parts
    assert [one.filename for one in pieces] == ["a.pdf"]
