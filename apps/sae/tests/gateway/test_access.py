"""Who asks to read: judged by law, answered with reasons, permitted by a decision that is his alone, all sealed."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from pypdf import PdfReader
from sae import access, access_command
from sae.access import Desk, Register
from sae.api import create_app
from sae.config import ACCESS
from sae.elimination import Agent, OperationRefusedError, Trust
from sae.journal import Journal
from sae.store import FileStore, StoreError

from creatic_agent.identity import HEADER
from testbed.authority import Authority
from testbed.connector import Authority as Accounts
from testbed.sae import AGENCY, GONDECOURT, LOOS, PDF, SIREN, Gateway, bag, sip, tar

FREE = "<Rule>AR038</Rule><StartDate>2026-01-15</StartDate>"
PRIVATE = "<Rule>AR048</Rule><StartDate>2026-01-15</StartDate>"
OPENS = date(2076, 1, 16)
NOW = time.time()
TODAY = datetime.fromtimestamp(NOW, UTC).date()
UNTIL = TODAY + timedelta(days=30)
DECISION = b"%PDF-1.7 autorisation"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The groupement's, with its agents."""
    made = Authority(tmp_path_factory.mktemp("pki") / "groupement", "du groupement")
    for name in ("Alice Martin", "Bruno Petit"):
        made.issue(name, ExtendedKeyUsageOID.CLIENT_AUTH)
    return made


class Room:
    """A gateway with archives in it, its desk of access, and the agents' desks."""

    def __init__(self, gateway: Gateway, authority: Authority) -> None:
        self.gateway, self.authority = gateway, authority
        self.book = Register(gateway.config.folder / access.NAME)
        self.days = self.storage_days = 0

    def desk(self) -> Desk:
        agents = [
            Agent("Alice Martin", "CN=Alice Martin,O=Groupement d'essai,C=FR"),
            Agent("Bruno Petit", "CN=Bruno Petit,O=Groupement d'essai,C=FR", frozenset({"loos"})),
        ]
        return Desk(
            self.gateway.journal,
            self.gateway.store,
            self.book,
            Trust(self.authority.root, None, agents),
            self.gateway.config.accounts,
            AGENCY,
            {**ACCESS, "AR062": 100},
            clock=lambda: NOW + 86400 * self.days,
            storage_clock=lambda: NOW + 86400 * (self.days + self.storage_days),
            title=lambda account, aip: f"Acte {aip[:4]}",
            who="archiviste",
        )

    def keep(self, name: str = "ACTE-1", access: str = FREE, account: Any = GONDECOURT) -> str:
        package = sip({"content/acte.pdf": PDF + name.encode()}, message=name, access=access, sender=account.siren)
        aip = self.gateway.deposit(package, account).aip
        assert aip
        return aip

    def sign(self, document: bytes, name: str = "Alice Martin") -> bytes:
        folder, work = self.authority.folder / name.replace(" ", "_"), self.gateway.root
        (work / "document").write_bytes(document)
        command = (
            f"openssl cms -sign -binary -outform DER -signer {folder}/cert.pem -inkey {folder}/key.pem "
            f"-certfile {folder}/chain.pem -in {work}/document -out {work}/signature"
        )
        subprocess.run(command.split(), check=True)
        return (work / "signature").read_bytes()

    def permitted(self, mark: str, until: date = UNTIL, document: bytes = DECISION) -> bytes:
        """A derogation, asked for, decided, signed and deposited; gives its text."""
        desk = self.desk()
        desk.derogate(mark, "thèse sur l'école")
        text = desk.decide(mark, document, "AD59 2026-45", until, "maire, 12/11/2026", mark)
        desk.deposit(text, self.sign(text))
        return text

    def events(self) -> list[tuple[str, str, str | None]]:
        return [(one.event, one.outcome, one.aip) for one in self.gateway.journal.events() if "acces." in one.event]


@pytest.fixture
def room(gateway: Gateway, authority: Authority) -> Iterator[Room]:
    made = Room(gateway, authority)
    yield made
    made.book.close()


def words(letter: bytes) -> str:
    """The text of a letter, on one line."""
    return " ".join(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(letter)).pages).split())


COPY = b"%PDF-1.7 copie sans les adresses"


def test_what_is_not_read_whole_is_communicated_without_what_may_not_be(room: Room, tmp_path: Path) -> None:
    private, other = room.keep("A", PRIVATE), room.keep("B", PRIVATE)
    desk, place = room.desk(), tmp_path / "remise"
    mark, _verdicts = desk.record_request("gondecourt", [private, other], "Jeanne Petit", "citoyen")
    desk.conceal(mark, private, COPY, "adresses  (CRPA, L311-6)")
    letter, given, kept = desk.answer(mark)
    assert (given, kept) == (0, 1)
    said = words(letter)
    for wanted in ("2 archives", "communiquées en partie", "L311-7", "occulté : adresses (CRPA, L311-6)", "CADA"):
        assert wanted in said, (wanted, said)
    (tmp_path / "autre.pdf").write_bytes(COPY + b", encore")
    done = {one.aip: one for one in desk.hand_over(mark, place, [tmp_path / "autre.pdf"])}
    assert done[private].place is None and "manque : donnez-la" in done[private].why
    (tmp_path / "copie.pdf").write_bytes(COPY)
    files = [tmp_path / "autre.pdf", tmp_path / "copie.pdf"]
    done = {one.aip: one for one in desk.hand_over(mark, place, files)}
    assert done[other].place is None and done[private].place == place / f"{private}-occulte.pdf"
    assert [one.read_bytes() for one in place.iterdir()] == [COPY]  # nothing of the archive itself
    assert ("acces.occultation", "succes", private) in room.events()
    assert [one for one in room.events() if one[0] == "acces.remise"] == [("acces.remise", "succes", private)]
    # Of another request, nothing is known of it.
    again, _verdicts = desk.record_request("gondecourt", [private], "Luc Roux", "citoyen")
    assert desk.hand_over(again, place, files)[0].place is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"aip": "inconnue"}, "n'est pas une archive de la demande"),
        ({"document": b"PK"}, "attendue en PDF"),
        ({"document": PDF + b"A"}, "rien n'y est occulté"),
        ({"reason": " "}, "--motif"),
        ({"access": FREE}, "se communique en entier"),
        ({"access": ""}, "règle"),
    ],
)
def test_a_copy_that_is_none_is_refused(room: Room, change: dict[str, Any], said: str) -> None:
    aip = room.keep("A", change.get("access", PRIVATE))
    desk = room.desk()
    mark, _verdicts = desk.record_request("gondecourt", [aip], "Jeanne Petit", "citoyen")
    with pytest.raises(OperationRefusedError, match=said):
        desk.conceal(mark, change.get("aip", aip), change.get("document", COPY), change.get("reason", "adresses"))
    assert desk.book.concealed(mark) == {} and "acces.occultation" not in [one[0] for one in room.events()]


def test_a_derogation_given_since_has_the_archive_communicated_whole(room: Room, tmp_path: Path) -> None:
    aip = room.keep("A", PRIVATE)
    desk = room.desk()
    mark, _verdicts = desk.record_request("gondecourt", [aip], "Jeanne Petit", "chercheur")
    desk.conceal(mark, aip, COPY, "adresses")
    room.permitted(mark)
    assert desk.answer(mark)[1:] == (1, 0)
    [done] = desk.hand_over(mark, tmp_path / "remise")
    assert done.place and done.place.is_dir()


def test_a_citizen_gets_what_is_communicable_and_reasons_for_the_rest(room: Room, tmp_path: Path) -> None:
    free, private = room.keep("A"), room.keep("B", PRIVATE)
    desk = room.desk()
    mark, verdicts = desk.record_request(
        "gondecourt", [free, private, free], " Jeanne  Petit ", "citoyen", "l'école", "1 rue X"
    )
    assert (verdicts[free].communicable, verdicts[private].communicable) == (True, False)
    assert verdicts[private].since == OPENS
    letter, given, kept = desk.answer(mark.lower())
    assert (given, kept) == (1, 1)
    said = words(letter)
    for wanted in (
        "Jeanne Petit",
        mark,
        "communicable de plein droit",
        "à partir du 16/01/2076 seulement",
        "L213-2",
        "CADA",
        "dans les deux mois",
        "L342-1 et R343-1",
        "L213-3",
    ):
        assert wanted in said, (wanted, said)
    done = {one.aip: one for one in desk.hand_over(mark, tmp_path / "remise")}
    assert done[private].place is None and "16/01/2076" in done[private].why
    place = done[free].place
    assert place is not None
    subprocess.run(["sha512sum", "--check", "--quiet", "--strict", "manifest-sha512.txt"], cwd=place, check=True)
    assert (place / "data/sip/content/acte.pdf").read_bytes() == PDF + b"A"
    assert {one.name for one in (place / "data/sip").iterdir()} == {"content", "manifest.xml"}
    assert [one.name for one in (tmp_path / "remise").iterdir()] == [free]
    assert sorted(room.events()[1:], key=str) == sorted(
        [
            ("acces.reponse", "refus", None),
            ("acces.remise", "succes", free),
            ("acces.refus", "refus", private),
        ],
        key=str,
    )
    assert room.events()[0] == ("acces.demande", "succes", None)
    # The applicant's name is in the register, and nowhere in what can never be erased.
    assert not any("Jeanne" in line for _, line in room.gateway.journal.lines())
    [line] = desk.book.lines("gondecourt", TODAY.year)
    assert (line["demandeur"], line["archives"], line["archives_remises"]) == ("Jeanne Petit", 2, 1)
    assert not list(desk.book.lines("loos")) and not list(desk.book.lines("", 2001))
    desk.hand_over(mark, tmp_path / "remise")  # again: each handing over is told, nothing is written twice
    assert [one for one in room.events() if one[0] == "acces.remise"] == [("acces.remise", "succes", free)] * 2


def test_archives_of_others_do_not_exist(room: Room) -> None:
    mine, other = room.keep("A"), room.keep("B", account=LOOS)
    desk = room.desk()
    for aips, applicant, quality, said in (
        ([other], "Jeanne Petit", "citoyen", "aucune archive du compte « gondecourt » n'a cet identifiant"),
        ([mine, "../../etc"], "Jeanne Petit", "citoyen", "../../etc : aucune archive"),
        ([mine], "  ", "citoyen", "le demandeur est à nommer"),
        ([mine], "Jeanne\u202ePetit", "citoyen", "caractères imprimables"),
        ([mine], "J" * 501, "citoyen", "500 caractères"),
        ([mine], "Jeanne Petit", "maire", "qualité « maire » inconnue"),
        ([], "Jeanne Petit", "citoyen", "0 sont données"),
        ([f"a{number}" for number in range(501)], "Jeanne Petit", "citoyen", "501 sont données"),
    ):
        with pytest.raises(OperationRefusedError, match=r"demande refusée") as refused:
            desk.record_request("gondecourt", aips, applicant, quality)
        assert said in str(refused.value)
    with pytest.raises(OperationRefusedError, match="compte « seclin » inconnu"):
        desk.record_request("seclin", [mine], "Jeanne Petit", "citoyen")
    with pytest.raises(OperationRefusedError, match="un jour à venir"):
        desk.record_request("gondecourt", [mine], "Jeanne Petit", "citoyen", received=TODAY + timedelta(days=1))
    with pytest.raises(OperationRefusedError, match="aucune demande « DA-0000 »"):
        desk.answer("DA-0000")
    assert not room.events() and not list(room.book.lines())


def test_a_service_versant_has_its_own_whatever_the_delay(room: Room, tmp_path: Path) -> None:
    desk = room.desk()
    mark, _ = desk.record_request("gondecourt", [room.keep("A", PRIVATE)], "Mairie de Gondecourt", "service")
    assert desk.answer(mark)[1:] == (1, 0)
    [one] = desk.hand_over(mark, tmp_path / "remise")
    assert one.place is not None
    with pytest.raises(OperationRefusedError, match="rien de la demande"):
        desk.derogate(mark, "pour voir")


def test_a_decision_permits_its_request_until_its_day(room: Room, tmp_path: Path) -> None:
    private = room.keep("A", PRIVATE)
    desk = room.desk()
    mark, _ = desk.record_request("gondecourt", [private], "Jeanne Petit", "chercheur")
    text = room.permitted(mark)
    asked = words(bytes(room.book.request(mark)["derogation"]))
    assert "thèse sur l'école" in asked and mark in asked and private in asked
    assert json.loads(text)["jusqua"] == UNTIL.isoformat()
    letter, given, _ = desk.answer(mark)
    assert given == 1 and f"autorisée jusqu'au {UNTIL:%d/%m/%Y} (décision AD59 2026-45" in words(letter)
    assert desk.hand_over(mark, tmp_path / "1")[0].place
    room.days = 30  # its last day
    assert desk.hand_over(mark, tmp_path / "2")[0].place
    room.storage_days = 1  # one of the two clocks says that it is over
    [one] = desk.hand_over(mark, tmp_path / "3")
    assert one.place is None and "dérogation AD59 2026-45 terminée le" in one.why
    room.days, room.storage_days = 31, -5
    assert desk.hand_over(mark, tmp_path / "4")[0].place is None
    assert not list((tmp_path / "3").iterdir()) and not list((tmp_path / "4").iterdir())
    [derogation] = [one for one in room.gateway.journal.events() if one.event == "acces.derogation"]
    assert derogation.detail["agent"] == "Alice Martin" and derogation.detail["reference"] == "AD59 2026-45"
    assert derogation.detail["decision_sha512"] == json.loads(text)["decision_sha512"]
    # To somebody else, of the same archive: nothing.
    room.days = 0
    other, _ = desk.record_request("gondecourt", [private], "Paul Durand", "chercheur")
    assert desk.hand_over(other, tmp_path / "5")[0].place is None


def test_a_decision_for_another_request_permits_nothing(room: Room, tmp_path: Path) -> None:
    desk = room.desk()
    archive = room.keep("A", PRIVATE)
    mark, other = (
        desk.record_request("gondecourt", [archive], name, "citoyen")[0] for name in ("Jeanne Petit", "Paul Durand")
    )
    with pytest.raises(OperationRefusedError, match="aucune dérogation n'a été demandée"):
        desk.decide(mark, DECISION, "R", UNTIL, "maire", mark)
    mine, his = desk.derogate(mark, "thèse"), desk.derogate(other, "thèse")
    for document, reference, until, agreed, quoted, said in (
        (DECISION, "R", UNTIL, "maire", other, f"donnée pour la demande {other}, et non pour {mark}"),
        (mine + b"signature", "R", UNTIL, "maire", other, "et non pour"),
        (DECISION, "R", UNTIL, "maire", "", f"celle-ci est {mark}"),
        (his + b"signature", "R", UNTIL, "maire", "", f"celle-ci est {mark}"),
        (mine, "R", UNTIL, "maire", mark, "c'est la demande elle-même"),
        (b"un scan", "R", UNTIL, "maire", mark, "attendue en PDF"),
        (DECISION, " ", UNTIL, "maire", mark, "référence de la décision manque"),
        (DECISION, "R", UNTIL, " ", mark, "l'accord de l'autorité"),
        (DECISION, "R", TODAY - timedelta(days=1), "maire", mark, "s'est terminée"),
    ):
        with pytest.raises(OperationRefusedError, match=said):
            desk.decide(mark, document, reference, until, agreed, quoted)
    # On the request's own file, or quoted as somebody types it.
    assert json.loads(desk.decide(mark, mine + b"signature", "R", UNTIL, "maire"))["sens"] == "accordee"
    text = desk.decide(mark, DECISION, "R", UNTIL, "maire", f" {mark.lower()} ")
    for tampered, name, said in (
        (text.replace(UNTIL.isoformat().encode(), b"2099-01-01"), "Alice Martin", "n'est pas celle que"),
        (text.replace(mark.encode(), other.encode()), "Alice Martin", "n'est pas celle que"),
        (text, "Bruno Petit", "n'est pas habilité pour le compte « gondecourt »"),
        (b"[]", "Alice Martin", "ce n'est pas une décision"),
    ):
        with pytest.raises(OperationRefusedError, match=said):
            desk.deposit(tampered, room.sign(tampered, name))
    with pytest.raises(OperationRefusedError, match="signature refusée"):
        desk.deposit(text, room.sign(text + b" "))
    assert desk.hand_over(mark, tmp_path / "1")[0].place is None  # written is not signed
    signature = room.sign(text)
    desk.deposit(text, signature)
    assert desk.decide(mark, DECISION, "R", UNTIL, "maire", mark) == text
    for again in (
        lambda: desk.decide(other, DECISION, "R", UNTIL, "maire", other),
        lambda: desk.decide(mark, DECISION, "R", UNTIL + timedelta(days=9), "maire", mark),
    ):
        with pytest.raises(OperationRefusedError, match=f"déjà la décision de la demande {mark}"):
            again()
    assert desk.hand_over(other, tmp_path / "2")[0].place is None
    # A refusal that came after it is not undone by the former, replayed.
    refusal = desk.decide(mark, DECISION + b" et refus", "R2", None, quoted=mark)
    desk.deposit(refusal, room.sign(refusal))
    desk.deposit(text, signature)
    [one] = desk.hand_over(mark, tmp_path / "3")
    assert one.place is None and "dérogation refusée (décision R2" in one.why
    assert sum(one.event == "acces.derogation" for one in room.gateway.journal.events()) == 2


def test_what_says_no_rule_waits_for_an_archivist(room: Room, tmp_path: Path) -> None:
    silent = room.keep("A", access="")
    sack = room.gateway.deposit(tar(bag())).aip or ""
    unknown = room.keep("C", "<Rule>AR777</Rule><StartDate>2026-01-15</StartDate>")
    desk = room.desk()
    mark, verdicts = desk.record_request("gondecourt", [silent, sack, unknown], "Jeanne Petit", "citoyen")
    assert not any(one.communicable or one.since for one in verdicts.values())
    assert "AR777 n'est pas connue" in verdicts[unknown].why
    with pytest.raises(OperationRefusedError, match=r"un archiviste la classe d'abord|n'est pas connue"):
        desk.derogate(mark, "thèse")
    for code, reason, said in (("AR777", "x", "AR777 » inconnue"), ("AR038", " ", "dites pourquoi")):
        with pytest.raises(OperationRefusedError, match=said):
            desk.classify("gondecourt", silent, code, TODAY, reason)
    with pytest.raises(OperationRefusedError, match="aucune archive du compte « loos »"):
        desk.classify("loos", silent, "AR038", TODAY, "x")
    assert desk.classify("gondecourt", silent, "AR038", date(2026, 1, 15), "délibération").communicable
    assert desk.classify("gondecourt", sack, "AR048", date(1970, 1, 1), "dossier de 1970").communicable
    assert [one.place is not None for one in desk.hand_over(mark, tmp_path / "1")] == [
        aip in (silent, sack) for aip in room.book.objects(mark)
    ]
    # Later, never sooner: what a law protects is not opened by a command.
    assert desk.classify("gondecourt", silent, "AR062", date(2026, 1, 15), "mineurs").since == date(2126, 1, 16)
    with pytest.raises(OperationRefusedError, match="un délai ne s'abrège pas ici"):
        desk.classify("gondecourt", silent, "AR038", date(2026, 1, 15), "je préfère")
    private = room.keep("D", PRIVATE)
    with pytest.raises(OperationRefusedError, match="un délai ne s'abrège pas ici"):
        desk.classify("gondecourt", private, "AR048", date(1950, 1, 1), "vieux")
    assert desk.classify("gondecourt", private, "AR062", date(2026, 1, 15), "mineurs").code == "AR062"
    assert [one.aip for one in room.gateway.journal.events() if one.event == "acces.classement"] == [
        silent,
        sack,
        silent,
        private,
    ]


def test_the_rule_is_of_the_archive_itself(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    aip = room.keep("A", PRIVATE)
    stored = room.gateway.store._object_path("gondecourt", "aip", f"{aip}.tar")
    whole = stored.read_bytes()
    stored.write_bytes(whole.replace(b"AR048", b"AR038"))
    with pytest.raises(StoreError, match="n'est pas celui du journal"):
        room.desk().verdict("gondecourt", aip)
    stored.write_bytes(whole[:3000])
    with pytest.raises(StoreError, match=r"illisible|journal"):
        room.desk().verdict("gondecourt", aip)
    stored.write_bytes(whole)
    assert room.desk().verdict("gondecourt", aip).code == "AR048"
    monkeypatch.setattr(FileStore, "get", lambda *_: pytest.fail("read once"))
    assert room.desk().verdict("gondecourt", aip).code == "AR048"


def test_one_archive_that_cannot_be_read_keeps_no_other(room: Room, tmp_path: Path) -> None:
    good, damaged, gone = (room.keep(name) for name in "ABC")
    desk = room.desk()
    mark, _ = desk.record_request("gondecourt", [good, damaged, gone], "Jeanne Petit", "citoyen")
    stored = room.gateway.store._object_path("gondecourt", "aip", f"{damaged}.tar")
    stored.write_bytes(stored.read_bytes().replace(b"%%EOF", b"%%EOX"))
    room.gateway.journal.append("elimination.faite", account="gondecourt", aip=gone, outcome="succes", detail={})
    done = {one.aip: one for one in desk.hand_over(mark, tmp_path / "1")}
    assert done[good].place is not None and done[damaged].place is None
    assert "n'est plus conservée ici" in done[gone].why
    assert ("acces.remise_manquee", "echec", damaged) in room.events()
    assert desk.answer(mark)[1:] == (2, 1)
    # A request of what cannot be read is recorded all the same: its month runs.
    with room.book.transaction() as db:
        db.execute("DELETE FROM regle")
    other, verdicts = desk.record_request("gondecourt", [good, damaged], "Jeanne Petit", "citoyen")
    assert verdicts[good].communicable and "ne se lit pas" in verdicts[damaged].why
    assert desk.answer(other)[1:] == (1, 1)


def test_names_that_no_disk_holds_are_handed_over_as_they_are(room: Room, tmp_path: Path) -> None:
    files = {"content/=cmd|' /C calc'!A0.pdf": PDF, f"content/{'é' * 120}.pdf": PDF + b"2", "content/..pdf": PDF + b"3"}
    aip = room.gateway.deposit(sip(files, access=FREE)).aip or ""
    desk = room.desk()
    mark, _ = desk.record_request("gondecourt", [aip], '=HYPERLINK("http://x")', "citoyen", "@objet\t+1")
    [one] = desk.hand_over(mark, tmp_path / "1")
    assert one.place is not None
    assert {path.name for path in one.place.parent.iterdir()} == {one.place.name}
    assert mark in words(desk.answer(mark)[0])
    line = next(desk.book.lines())
    assert access.cell(line["demandeur"]).startswith("'=") and access.cell(line["objet"]).startswith("'@")


def test_late_ones_are_told_and_names_are_forgotten(room: Room, tmp_path: Path) -> None:
    private, free = room.keep("A", PRIVATE), room.keep("B")
    desk = room.desk()
    old = TODAY - timedelta(days=31)
    waits, _ = desk.record_request("gondecourt", [free], "Jeanne Petit", "citoyen", received=old)
    undecided, _ = desk.record_request(
        "gondecourt", [private], "Paul Durand", "citoyen", received=TODAY - timedelta(days=30)
    )
    assert room.book.list_overdue(TODAY) == ([waits], [])
    desk.derogate(undecided, "thèse")
    desk.answer(undecided)
    assert room.book.list_overdue(TODAY + timedelta(days=61)) == ([waits], [undecided])
    assert access.figures(room.gateway.config.folder, NOW) == (1, 0)
    assert access.figures(tmp_path / "nowhere", NOW) == (0, 0)
    permitted, _ = desk.record_request("gondecourt", [private], "Claire Noir", "chercheur")
    room.permitted(permitted)
    desk.answer(permitted)
    desk.answer(waits)
    room.days = 10
    assert desk.forget(TODAY + timedelta(days=5)) == 1  # the others wait, or are permitted still
    names = {line["demande"]: line["demandeur"] for line in desk.book.lines()}
    assert names == {waits: "(effacé)", undecided: "Paul Durand", permitted: "Claire Noir"}
    for again in (desk.answer, lambda mark: desk.hand_over(mark, tmp_path / "1")):
        with pytest.raises(OperationRefusedError, match="est close, son demandeur est effacé"):
            again(waits)
    room.book.rows("VACUUM")
    room.days = 31
    assert desk.forget(TODAY + timedelta(days=5)) == 1 and desk.forget(TODAY + timedelta(days=5)) == 0


def test_ten_thousand_requests_cost_what_they_are(room: Room) -> None:
    aip, desk = room.keep("A"), room.desk()
    desk.record_request("gondecourt", [aip], "Jeanne Petit", "citoyen")
    with room.book.transaction() as db:
        db.executemany(
            "INSERT INTO demande (marque, compte, recue_le, qualite, texte, empreinte, demandeur, contact, objet, par)"
            " VALUES (?, 'gondecourt', '2026-01-15', 'citoyen', x'', '', 'Jeanne', '', '', '')",
            [(f"DA-{number}",) for number in range(10_000)],
        )
        db.executemany("INSERT INTO objet VALUES (?, ?, '')", [(f"DA-{number}", aip) for number in range(10_000)])
    begun = time.process_time()
    mark, _ = desk.record_request("gondecourt", [aip], "Paul Durand", "citoyen")
    desk.answer(mark)
    asked = time.process_time() - begun
    assert len(list(desk.book.lines())) == 10_002 and len(desk.book.list_overdue(TODAY)[0]) == 10_000
    assert asked < 2 and time.process_time() - begun < 10, asked


def test_the_door_says_whether_one_s_own_archive_is_communicable(room: Room, tmp_path: Path) -> None:
    private, other = room.keep("A", PRIVATE), room.keep("B", account=LOOS)
    folder = Accounts(tmp_path / "comptes", "groupement de test").issue("g", siren=SIREN, common_name="Claire Dubois")
    headers = {HEADER: quote((folder / "cert.pem").read_text())}
    client = create_app(room.gateway.config, room.gateway.engine).test_client()
    told = client.get(f"/v1/acces/{private}", headers=headers).get_json()
    assert (told["communicable"], told["depuis"], told["regle"]) == (False, OPENS.isoformat(), "AR048")
    assert client.get(f"/v1/acces/{other}", headers=headers).status_code == 404
    assert client.get(f"/v1/acces/{private}").status_code == 403
    client.get(f"/v1/archives/{private}/content/acte.pdf", headers=headers)
    client.get(f"/v1/archives/{private}.tar", headers=headers)
    read = [one.detail for one in room.gateway.journal.events() if one.event == "archive.communication"]
    assert read == [{"par": "Claire Dubois", "fichier": "content/acte.pdf"}, {"par": "Claire Dubois"}]


def test_the_command(room: Room, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    free, private = room.keep("A"), room.keep("B", PRIVATE)
    subject = "CN=Alice Martin,O=Groupement d'essai,C=FR"
    given = {
        "service": AGENCY,
        "regles": {"ACTES-10": 10},
        "acces": {"AR062": 100},
        "dossier": str(tmp_path),
        "stockage": {"dossier": str(tmp_path / "archives")},
        "comptes": [{"nom": "gondecourt", "libelle": "Gondecourt", "siren": SIREN}],
        "elimination": {"autorites": str(room.authority.root), "agents": [{"nom": "Alice Martin", "sujet": subject}]},
    }
    (tmp_path / "config.json").write_text(json.dumps(given))

    def run(*arguments: object, status: int = 0) -> str:
        assert access_command.main(["--config", str(tmp_path / "config.json"), *map(str, arguments)]) == status
        told = capsys.readouterr()
        return told.out + told.err

    judged = run("juger", "--compte", "gondecourt", free, "x", private, status=1)
    assert f"✓ {free}" in judged and f"✗ {private}" in judged and "x : aucune archive" in judged
    who = ["--compte", "gondecourt", "--demandeur", "Jeanne Petit", "--qualite", "citoyen"]
    asked = run("demander", *who, free, private)
    mark = asked.split("Demande ")[1].split()[0]
    assert "1 archives communiquées, 1 refusées" in run("repondre", mark, "--vers", tmp_path / "r.pdf")
    assert "1 archives remises, 1 ne" in run("remettre", mark, "--vers", tmp_path / "remise", status=1)
    run("deroger", mark, "--motif", "thèse", "--vers", tmp_path / "d.pdf")
    (tmp_path / "decision.pdf").write_bytes(DECISION)
    order = ["decision", mark, "--document", tmp_path / "decision.pdf", "--reference", "AD59 2026-45", "--cite", mark]
    run(*order, "--jusquau", f"{UNTIL:%d/%m/%Y}", "--accord", "maire", "--vers", tmp_path / "d.json")
    (tmp_path / "d.p7s").write_bytes(room.sign((tmp_path / "d.json").read_bytes()))
    assert f"autorisée jusqu'au {UNTIL:%d/%m/%Y}" in run("deposer", tmp_path / "d.json", tmp_path / "d.p7s")
    assert "2 archives remises, 0 ne" in run("remettre", mark, "--vers", tmp_path / "remise")
    assert "dérogation accordée" in run("registre")
    assert "1 demandes" in run("registre", "--vers", tmp_path / "r.csv")
    with (tmp_path / "r.csv").open(encoding="utf-8-sig", newline="") as stream:
        [row] = csv.DictReader(stream, delimiter=";")
    assert row["demande"] == mark and row["decision_jusqua"] == UNTIL.isoformat()
    assert json.loads(run("registre", "--json"))[0]["archives_remises"] == 2
    assert "Aucune demande n'est en retard" in run("retards")
    assert "AR062" in run(
        "classer", "--compte", "gondecourt", free, "--regle", "AR062", "--depuis", "15/01/2026", "--motif", "mineurs"
    )
    assert "0 demandes" in run("effacer", "--avant", "01/01/2026")
    assert "aucune demande" in run("repondre", "DA-1", "--vers", tmp_path / "r.pdf", status=1)
    with pytest.raises(SystemExit):
        access_command.main(["effacer", "--avant", "demain"])
    assert "« demain » n'est pas un jour" in capsys.readouterr().err
    (tmp_path / "archives").rename(tmp_path / "ailleurs")
    run("remettre", mark, "--vers", tmp_path / "vide", status=1)


def test_a_crash_before_the_journal_is_taken_up(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    aip, desk = room.keep("A"), room.desk()
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "note", lambda *_, **__: (_ for _ in ()).throw(OSError("disque plein")))
        with pytest.raises(OSError, match="disque plein"):
            desk.record_request("gondecourt", [aip], "Jeanne Petit", "citoyen")
    assert not room.events()
    [line] = room.book.lines()
    desk.answer(line["demande"])
    assert [one[0] for one in room.events()] == ["acces.demande", "acces.reponse"]
    assert dataclasses.asdict(desk.verdict("gondecourt", aip))["communicable"]
