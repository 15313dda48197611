"""What was written about an act is archived with it, or after it as an archive that names the act's: once."""

from __future__ import annotations

import argparse
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from lxml import etree
from tdt_connector import archive, attached, cli, letters, sip
from tdt_connector.answers import ANSWERS, RECEIPT
from tdt_connector.config import Config
from tdt_connector.handover import ELIMINATED
from tdt_connector.journal import Journal

from apps.connecteur.tests.test_archive import TERMS, Door, acquitted, archive_command, opened, reply
from testbed.sae import PDF, SIREN, FakeClamd, Gateway

KEY = "ab" * 16
MESSAGE = (
    '<actes:DemandePieceComplementaire xmlns:actes="http://www.interieur.gouv.fr/ACTES#v1.1-20040216"'
    ' actes:IDActe="{about}" actes:DateCourrierPref="2026-11-09"><actes:DescriptionPieces>Le plan'
    "</actes:DescriptionPieces></actes:DemandePieceComplementaire>"
)
N = f"{{{sip.NAMESPACE}}}"


@dataclass
class Commune:
    """A connector in front of the archive's door, its act, and what is written about it."""

    config: Config
    act: Path
    door: type[Door]

    def letter(self, number: int, about: str | None = None, came: str = "20261110") -> Path:
        """A request for pieces is received."""
        folder = self.config.dossier / "lettres" / f"{came}-demande-de-pieces-{number}"
        folder.mkdir(parents=True)
        message = MESSAGE.format(about=self.act.name if about is None else about)
        for name, content in {
            "lettre.pdf": PDF, "message.xml": message.encode(), f"lettre-{number}.tar.gz": b"\x1f\x8b", "vide.pdf": b"",
        }.items():  # fmt: skip # a table
            (folder / name).write_bytes(content)
        return folder

    def answer(self, folder: Path, number: int, state: str = "acquittee") -> Path:
        """The commune answers it."""
        place = folder / f"reponse-{KEY}"
        place.mkdir()
        for name, content in {"1.pdf": PDF, "2.pdf": PDF, RECEIPT: b'<?xml version="1.0"?><AR/>'}.items():
            (place / name).write_bytes(content)
        told = {
            "lettre": number, "type": "pieces", "sens": "reponse", "etat": state, "date_reception": "2026-11-20",
            "fichiers": [f"/ailleurs/{name}" for name in ("1.pdf", "2.pdf")],
        }  # fmt: skip # a table
        with Journal(self.config.journal) as journal:
            journal.set_value(ANSWERS + KEY, json.dumps(told))
        return place

    def deposit(self) -> list[str]:
        """All that is due goes to the archive; gives the SIPs' identifiers."""
        before = len(self.door.asked)
        archive_command(self.config, tous=True)
        return [sent(body) for _method, _path, body in self.door.asked[before:]]

    def words(self) -> dict[str, str]:
        """Where each stands."""
        with Journal(self.config.journal) as journal:
            return {one.unit.name: one.words for one in attached.standings(self.config, journal)}

    def units(self) -> list[sip.Unit]:
        with Journal(self.config.journal) as journal:
            return attached.units(self.config, journal)


def sent(body: bytes) -> str:
    """Identifier of a SIP."""
    return body.partition(b"<MessageIdentifier>")[2].partition(b"<")[0].decode()


@pytest.fixture
def commune(tmp_path: Path) -> Iterator[Commune]:
    """An acquitted act, and a door that takes all."""
    act = acquitted(tmp_path)
    with opened(act) as (found, config):
        found.answers["/v1/versements"] = (201, reply(), "text/xml")
        yield Commune(config, act, found)


def test_what_is_there_when_the_act_leaves_goes_with_it_described_on_its_own(
    commune: Commune, clamd: FakeClamd, tmp_path: Path
) -> None:
    folder = commune.letter(7)
    commune.answer(folder, 7)
    package, again = io.BytesIO(), io.BytesIO()
    for target in (package, again):
        sip.build(commune.act, SIREN, TERMS, target, commune.units())
    assert package.getvalue() == again.getvalue()
    gateway = Gateway(tmp_path)
    answer = gateway.deposit(package.getvalue())
    assert answer.accepted, answer.reasons
    kept = gateway.registry.archive("gondecourt", str(answer.aip))
    assert kept is not None
    names = {one["nom"] for one in kept.files}
    assert {"content/courrier-7-lettre.pdf", "content/courrier-7-message.xml"} < names
    assert {f"content/reponse-{KEY[:12]}-{name}" for name in ("1.pdf", "2.pdf", RECEIPT)} < names
    assert len(names) == 8  # neither the archive as it came nor the empty file; with the act, its ARActe, the manifest
    start = package.getvalue().index(b"<?xml")
    root = etree.fromstring(package.getvalue()[start : package.getvalue().index(b"</ArchiveTransfer>") + 18])
    parts = [one for one in root.iter(f"{N}ArchiveUnit") if str(one.get("id")).startswith("C")]
    assert [[node.text for node in one.iterfind(f"{N}Content/*")] for one in parts] == [
        ["File", "Demande de pièces complémentaires du 09/11/2026", "COURRIER-7", "Courrier du représentant de l'État",
         "2026-11-09", "2026-11-10"],
        ["File", "Réponse à la préfecture (demande de pièces complémentaires)", f"REPONSE-{KEY[:12]}",
         "Réponse au représentant de l'État", "2026-11-10", "2026-11-20"],
    ]  # fmt: skip # a table


def test_a_letter_that_comes_after_is_an_archive_that_names_its_act_s(
    commune: Commune, clamd: FakeClamd, tmp_path: Path
) -> None:
    commune.letter(7)
    gateway, first, second = Gateway(tmp_path), io.BytesIO(), io.BytesIO()
    sip.build(commune.act, SIREN, TERMS, first)
    aip = str(gateway.deposit(first.getvalue()).aip)
    [unit] = commune.units()
    sip.build_unit(commune.act, unit, SIREN, TERMS, aip, second)
    answer = gateway.deposit(second.getvalue())
    assert answer.accepted, answer.reasons
    assert answer.message == f"COURRIER-7-{commune.act.name}" and str(answer.aip) != aip
    assert f"<RepositoryArchiveUnitPID>{aip}</RepositoryArchiveUnitPID>".encode() in second.getvalue()
    assert gateway.deposit(second.getvalue()).aip == answer.aip  # the same bytes, the same archive


def test_each_leaves_once_with_its_act_or_after_it(commune: Commune, capsys: pytest.CaptureFixture[str]) -> None:
    name = commune.act.name
    first = commune.letter(7)
    assert commune.words() == {"COURRIER-7": "attend le versement de son acte"}
    assert commune.deposit() == [f"ACTE-{name}"]
    assert commune.words() == {"COURRIER-7": "versé avec son acte (aip-1)"}
    assert commune.deposit() == []
    commune.answer(first, 7)
    commune.letter(8)
    commune.door.answers["/v1/versements"] = (201, reply(archive="aip-2"), "text/xml")
    assert commune.deposit() == [f"REPONSE-{KEY[:12]}-{name}", f"COURRIER-8-{name}"]
    assert f"COURRIER-8-{name} : versé" in capsys.readouterr().out
    assert commune.deposit() == []
    assert commune.words()["COURRIER-8"] == "versé (aip-2)"
    shutil.copytree(first, first.with_name("20261111-demande-de-pieces-7"))  # the same letter in two folders
    assert commune.deposit() == []


def test_an_answer_leaves_once_the_prefet_has_it(commune: Commune) -> None:
    folder = commune.letter(7)
    assert commune.deposit() == [f"ACTE-{commune.act.name}"]
    place = commune.answer(folder, 7, "envoyee")
    assert commune.deposit() == []
    shutil.rmtree(place)
    commune.answer(folder, 7, "refusee")
    assert commune.deposit() == []
    shutil.rmtree(place)
    commune.answer(folder, 7, "transmise")
    assert commune.deposit() == [f"REPONSE-{KEY[:12]}-{commune.act.name}"]


def test_a_letter_that_comes_while_the_act_s_answer_is_awaited_leaves_on_its_own(commune: Commune) -> None:
    commune.letter(7)
    commune.door.answers["/v1/versements"] = (202, b"", "text/plain")
    commune.deposit()
    commune.letter(8)
    commune.door.answers["/v1/versements"] = (201, reply(), "text/xml")
    commune.deposit()
    bodies = [body for _method, _path, body in commune.door.asked]
    assert len(bodies) == 2 and bodies[0] == bodies[1]
    assert commune.words() == {"COURRIER-7": "versé avec son acte (aip-1)", "COURRIER-8": "à verser"}


def test_a_letter_that_the_archive_refuses_keeps_no_act(commune: Commune) -> None:
    commune.letter(7)
    taken = {"/v1/versements": (201, reply(), "text/xml")}

    class Picky(dict[str, tuple[int, bytes, str]]):
        def __getitem__(self, path: str) -> tuple[int, bytes, str]:
            body = commune.door.asked[-1][2]
            return (400, reply("KO", "virus", ""), "text/xml") if b"courrier-7" in body else taken[path]

    commune.door.answers = Picky()
    assert commune.deposit() == [f"ACTE-{commune.act.name}"] * 2
    assert (commune.act / archive.ACCEPTED).is_file() and not (commune.act / archive.REFUSED).exists()
    assert commune.words() == {"COURRIER-7": "à verser"}
    assert commune.deposit() == [f"COURRIER-7-{commune.act.name}"]
    assert commune.words() == {"COURRIER-7": "REFUSÉ par les archives"}
    assert commune.deposit() == []  # until tomorrow


def test_what_is_heavy_leaves_on_its_own(commune: Commune, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_WITH_ACT_MAX", 10)
    commune.letter(7)
    assert commune.deposit() == [f"ACTE-{commune.act.name}"]
    assert commune.deposit() == [f"COURRIER-7-{commune.act.name}"]


def test_a_letter_about_no_act_of_here_waits_and_is_listed(
    commune: Commune, capsys: pytest.CaptureFixture[str]
) -> None:
    other = f"059-{SIREN}-20261102-2026_099-DE"
    commune.letter(7, other)
    commune.letter(8, "059-215903683-20261102-2026_014-DE")
    commune.letter(9, "../../etc")
    (commune.letter(10) / "message.xml").write_bytes(b"<abime")
    assert commune.deposit() == [f"ACTE-{commune.act.name}"] and commune.deposit() == []
    words = commune.words()
    assert words["COURRIER-7"] == "attend son acte, que ce connecteur n'a pas"
    assert words["COURRIER-8"] == "jamais versé : il nomme l'acte d'une autre collectivité (SIREN 215903683)"
    assert words["COURRIER-9"] == words["COURRIER-10"] == "à voir : il ne dit pas de quel acte il parle"
    with Journal(commune.config.journal) as journal:
        journal.set_value(ELIMINATED + other, "aip-9")
        journal.set_value(f"{letters.FACTS}10", json.dumps({"id_acte": commune.act.name}))
    assert commune.words()["COURRIER-7"] == "son acte est éliminé aux archives"
    assert commune.deposit() == [f"COURRIER-10-{commune.act.name}"]  # the TdT says of which act
    assert b"lettre-10.tar.gz" in commune.door.asked[-1][2]  # of what does not read, the archive as it came too
    assert cli._letters(commune.config, argparse.Namespace(prendre=None)) == 0
    assert "COURRIER-7 (Demande de pièces complémentaires du 09/11/2026) : son acte" in capsys.readouterr().out


def test_a_folder_that_does_not_read_keeps_no_other(commune: Commune) -> None:
    commune.letter(7)
    commune.letter(8)
    with Journal(commune.config.journal) as journal:
        journal.set_value(f"{letters.FACTS}7", "{")
    assert [one.name for one in commune.units()] == ["COURRIER-8"]


def test_what_the_archive_said_of_one_and_does_not_read_keeps_no_other(commune: Commune) -> None:
    assert commune.deposit() == [f"ACTE-{commune.act.name}"]
    place = commune.letter(7) / attached.PLACE
    place.mkdir()
    (place / archive.ACCEPTED).write_bytes(b"abime")
    commune.letter(8)
    assert commune.words()["COURRIER-7"].startswith("à voir : la réponse du SAE est illisible")
    assert commune.deposit() == [f"COURRIER-8-{commune.act.name}"]


def test_what_an_act_carried_is_read_again_or_told(commune: Commune) -> None:
    commune.letter(7)
    commune.deposit()
    [unit] = archive.carried(commune.config, commune.act) or []
    assert unit == commune.units()[0]
    rule = json.loads((commune.act / archive.RULE).read_bytes())
    del rule["courriers"]  # as a version before wrote it
    (commune.act / archive.RULE).write_text(json.dumps(rule))
    assert archive.carried(commune.config, commune.act) == []
    (commune.act / archive.RULE).write_text('{"courriers": [{}]}')
    with pytest.raises(sip.SipError, match="ne se lit pas"):
        archive.carried(commune.config, commune.act)


def test_what_went_with_an_act_comes_back_and_is_compared_where_it_is(commune: Commune, tmp_path: Path) -> None:
    folder = commune.letter(7)
    commune.deposit()
    (folder / "lettre.pdf").write_bytes(b"of somebody")
    names = ("content/courrier-7-lettre.pdf", "content/courrier-7-message.xml")
    listed = json.dumps({"fichiers": [{"nom": name, "octets": 3} for name in names]}).encode()
    commune.door.answers["/v1/archives/aip-1"] = (200, listed, "application/json")
    for name in names:
        commune.door.answers[f"/v1/archives/aip-1/{name}"] = (200, b"abc", "application/octet-stream")
    found = list(archive.Sae(commune.config).bring_back(commune.act.name, tmp_path))
    assert [one.name for one in found] == ["courrier-7-lettre.pdf", "courrier-7-message.xml"]
    assert all(one.here and not one.same for one in found)
