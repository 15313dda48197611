"""Definitive archives leave by a transfer that a public archives service accepted, and by no other way."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

sys.path.insert(0, str(Path(__file__).parents[4]))

from sae import inventory, transfer
from sae.config import ConfigError
from sae.elimination import Agent, Eliminator, OperationRefusedError, Requests, Trust
from sae.journal import Journal
from sae.signature import sign
from sae.store import FileStore, ObjectRetainedError, StoreError
from sae.transfer import Service, Transferrer, Transfers
from sae.versement import seda

from apps.sae.tests.proof.commune import ACCOUNTS, Maire, assembled, groupement, keep, proof, subject
from testbed.authority import Authority

PAST, FUTURE = int(time.time()) - 86400, int(time.time()) + 86400
SCHEMA = Path(__file__).parents[5] / "shared" / "protocol" / "seda" / "seda-2.3-main.xsd"
AD = "AD59"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return groupement(tmp_path_factory.mktemp("pki"), "Alice Martin", "Bruno Petit", "Archives departementales")


class Room:
    """An archive that transfers and eliminates."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder, self.authority = folder, authority
        self.journal = Journal(folder / "journal.sqlite")
        self.store = FileStore(folder / "stockage")
        self.book, self.requests = Transfers(folder / "transferts.sqlite"), Requests(folder / "eliminations.sqlite")
        self.service = Service(AD)
        agents = [Agent("Alice Martin", subject("Alice Martin")), Agent("Bruno Petit", subject("Bruno Petit"))]
        self.trust = Trust(authority.root, None, agents)

    def transferrer(self) -> Transferrer:
        stores = [("stockage", self.store)]
        return Transferrer(
            "SAE-59", self.service, self.journal, self.store, stores, self.book, self.trust, ("gondecourt",)
        )

    def eliminator(self) -> Eliminator:
        return Eliminator(
            self.journal, self.store, self.requests, self.trust, proof(self.authority), Maire(), accounts=ACCOUNTS
        )

    def keep(self, aip: str, until: int = PAST, action: str = "Keep", files: dict[str, bytes] | None = None) -> str:
        """An AIP at the storage, and in the journal."""
        packed = io.BytesIO()
        content = {
            "premis.xml": b"<premis/>",
            "sip/manifest.xml": b"<m/>",
            "sip/content/Delib n\xc2\xb0 1.pdf": b"%PDF",
        }
        content = files if files is not None else {name.encode().decode(): data for name, data in content.items()}
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name, data in {"../inventory.json": b"{}", **content}.items():
                info = tarfile.TarInfo(f"{aip}/v1/content/{name}" if name[0] != "." else f"{aip}/inventory.json")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        return keep(self.journal, self.store, aip, packed.getvalue(), until, action)

    def prepare(self, *aips: str) -> str:
        path = self.transferrer().prepare("gondecourt", aips, self.folder / "transferts")
        return path.stem.removeprefix("transfert-")

    def sip(self, identifier: str) -> dict[str, bytes]:
        with tarfile.open(self.folder / "transferts" / f"transfert-{identifier}.tar") as archive:
            return {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr] # files

    def sign(self, document: bytes, name: str = "Alice Martin") -> bytes:
        return sign(document, self.authority.folder / name.replace(" ", "_"))

    def answer(self, text: bytes, name: str = "Alice Martin") -> tuple[str, bool]:
        return self.transferrer().answer(text, self.sign(text, name))

    def events(self) -> list[tuple[str, str]]:
        return [(one.event, one.outcome) for one in self.journal.events() if one.event.startswith("transfert.")]

    def eliminate(self, *aips: str) -> int:
        eliminator = self.eliminator()
        text = assembled(eliminator, aips, "transférées")
        approval = eliminator.deposit(text, self.sign(text))
        return eliminator.execute(eliminator.approve(approval, self.sign(approval, "Bruno Petit")))


@pytest.fixture
def room(tmp_path: Path, authority: Authority) -> Iterator[Room]:
    made = Room(tmp_path, authority)
    with closing(made.journal), closing(made.book), closing(made.requests):
        yield made


def reply(request: str, accepted: bool = True, agency: str = AD, sender: str = "SAE-59", **fields: Any) -> bytes:
    from datetime import UTC, datetime

    return seda.reply(
        identifier="REP-1", request=request, when=datetime.now(UTC), agency=agency, sender=sender,
        accepted=accepted, comments=["Versement pris en charge" if accepted else "Plan de classement inconnu"],
        events=[], aip="AD-2026-7" if accepted else None, **fields,
    )  # fmt: skip # one call by its parts


def test_a_transfer_is_accepted_then_two_persons_eliminate(room: Room) -> None:
    gone, stays = room.keep("aip-1"), room.keep("aip-2")
    with pytest.raises(OperationRefusedError, match="qu'après son transfert"):
        room.eliminate(gone)
    assert [one.aip for one in room.transferrer().due("gondecourt")] == [gone, stays]
    identifier = room.prepare(gone)
    assert [one.aip for one in room.transferrer().due("gondecourt")] == [stays]
    with pytest.raises(OperationRefusedError, match="qu'après son transfert"):
        room.eliminate(gone)  # offered is not taken
    assert room.answer(reply(identifier)) == (identifier, True)
    assert room.events() == [("transfert.prepare", "succes"), ("transfert.accepte", "succes")]
    told = next(one.detail for one in room.journal.events(aip=gone) if one.event == "transfert.accepte")
    assert (told["conserve_par"], told["proprietaire"], told["reponse"]) == (AD, "gondecourt", "REP-1")
    assert [one.aip for one in room.eliminator().due("gondecourt")] == [gone]
    with pytest.raises(ObjectRetainedError, match="sans limite"):
        room.store.delete("gondecourt", "aip", "aip-1.tar")  # two persons, not the account's key
    assert room.eliminate(gone) == 1
    assert list(room.store.names("gondecourt", "aip")) == ["aip-2.tar"]
    assert list(inventory.of_account(room.journal, "gondecourt")) == [stays]
    note = room.store.head("sae", "transferts", "AUTH_gondecourt/aip/aip-1.tar")
    assert note and note["retain-until"] == "253402300799"
    with pytest.raises(ObjectRetainedError):
        room.store.delete("sae", "transferts", "AUTH_gondecourt/aip/aip-1.tar")
    kept = list(room.store.names("sae", "transferts"))
    assert [one for one in kept if identifier in one] == [f"reponse-{identifier}.xml", f"reponse-{identifier}.xml.p7s"]


def test_what_leaves_is_what_came_in_with_its_digests(room: Room, tmp_path: Path) -> None:
    empty = {"premis.xml": b"<premis/>", "sip/vide.txt": b"", "sip/étrange.p/df": b"x"}
    room.keep("aip-1"), room.keep("aip-2", files=empty)
    sip = room.sip(room.prepare("aip-1", "aip-2"))
    manifest = sip.pop("manifest.xml")
    (tmp_path / "m.xml").write_bytes(manifest)
    read = seda.read(tmp_path / "m.xml", "", 10**6, AD)
    assert {one.name: one.digest for one in read.files} == {
        name: hashlib.sha512(data).hexdigest() for name, data in sip.items()
    }
    assert sorted(sip.values()) == sorted([b"<premis/>", b"<m/>", b"%PDF", *empty.values()])
    assert (read.agency, [rule.action for rule in read.rules]) == ("SAE-59", ["Keep"])


@pytest.mark.parametrize("version", seda.VERSIONS)
def test_a_transfer_conforms_to_each_version(room: Room, version: str) -> None:
    room.service = Service(AD, version, agreement="ACCORD-1")
    room.keep("aip-1")
    manifest = room.sip(room.prepare("aip-1"))["manifest.xml"]
    assert seda.namespace(version).encode() in manifest and b"ACCORD-1" in manifest


def test_the_official_schema_accepts_what_leaves(room: Room) -> None:
    if not SCHEMA.is_file():
        pytest.skip("the official schemas are not there (../shared/protocol/seda)")
    package = Path(seda.__file__).parent

    class Beside(etree.Resolver):
        def resolve(self, url: str, public_id: str, context: Any) -> Any:  # type: ignore[override] # the stubs lack it
            name = url.rpartition("/")[2]
            folder = package if name in ("xml.xsd", "xlink.xsd") else SCHEMA.parent
            return self.resolve_string((folder / name).read_bytes(), context, base_url=url)

    parser = etree.XMLParser()
    parser.resolvers.add(Beside())
    schema = etree.XMLSchema(etree.parse(SCHEMA, parser))
    room.keep("aip-1")
    room.service = Service(AD, agreement="ACCORD-1")
    schema.assertValid(etree.fromstring(room.sip(room.prepare("aip-1"))["manifest.xml"]))


def test_only_what_is_kept_and_due_is_transferred_once(room: Room) -> None:
    room.keep("gone", action="Destroy"), room.keep("useful", until=FUTURE), room.keep("good")
    identifier = room.prepare("good")
    for aip, why in (
        ("gone", "sort final est la destruction"),
        ("useful", "encore utile au service versant"),
        ("good", f"déjà dans le transfert {identifier}"),
        ("nothing", "aucune archive du compte"),
    ):
        with pytest.raises(OperationRefusedError, match=why):
            room.prepare(aip)
    with pytest.raises(OperationRefusedError, match="aucune n'est à transférer"):
        room.prepare()
    with pytest.raises(OperationRefusedError, match="compte « loos » inconnu"):
        room.transferrer().prepare("loos", ["good"], room.folder)
    room.answer(reply(identifier))
    with pytest.raises(OperationRefusedError, match="déjà transférée"):
        room.prepare("good")


def test_a_damaged_archive_is_not_handed_over(room: Room) -> None:
    aip = room.keep("aip-1")
    path = room.folder / "stockage" / "gondecourt" / "aip" / f"{aip}.tar"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(StoreError, match="pas ceux du journal"):
        room.prepare(aip)
    assert list((room.folder / "transferts").iterdir()) == [] and room.events() == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda r: reply("un-autre"), "aucun transfert « un-autre »"),
        (lambda r: reply(r, agency="AD62"), "la réponse est de « AD62 »"),
        (lambda r: reply(r, sender="SAE-62"), "faite à « SAE-62 »"),
        (lambda r: reply(r)[:-30], "bien formé"),
        (lambda r: b"<!DOCTYPE a><a/>", "DOCTYPE"),
        (lambda r: reply(r).replace(b"ArchiveTransferReply", b"ArchiveTransfer"), "n'est pas un ArchiveTransferReply"),
        (lambda r: reply(r).replace(b"<ReplyCode>OK</ReplyCode>", b""), "pas de « ReplyCode »"),
        (lambda r: reply(r).replace(b"<ReplyCode>OK<", b"<ReplyCode>OK</ReplyCode><ReplyCode>KO<"), "plusieurs"),
        (
            lambda r: reply(r).replace(b"<ManagementMetadata/>", b"<X><MessageDigest>ab</MessageDigest></X>"),
            "un fichier que le transfert n'a pas",
        ),
    ],
)
def test_an_answer_that_is_none_changes_nothing(room: Room, change: Any, why: str) -> None:
    aip = room.keep("aip-1")
    identifier = room.prepare(aip)
    with pytest.raises(OperationRefusedError, match=why):
        room.answer(change(identifier))
    assert room.events()[-1] == ("transfert.reponse", "refus")
    assert room.eliminator().due("gondecourt") == []
    assert room.answer(reply(identifier)) == (identifier, True)


def test_an_answer_counts_signed_by_who_may(room: Room) -> None:
    identifier = room.prepare(room.keep("aip-1"))
    text = reply(identifier)
    with pytest.raises(OperationRefusedError, match="n'est pas un agent habilité"):
        room.answer(text, "Archives departementales")
    with pytest.raises(OperationRefusedError, match="modifié"):
        room.transferrer().answer(text.replace(b"REP-1", b"REP-2"), room.sign(text))
    room.service = Service(AD, signer=subject("Archives departementales"), root=room.authority.root, deposit=False)
    with pytest.raises(OperationRefusedError, match="a signé, et non"):
        room.answer(text)
    assert room.answer(text, "Archives departementales") == (identifier, True)
    told = next(one.detail for one in room.journal.events() if one.event == "transfert.accepte")
    assert told["proprietaire"] == AD and "Archives departementales" in told["signataire"]


def test_a_refusal_leaves_the_archive_here(room: Room) -> None:
    aip = room.keep("aip-1")
    identifier = room.prepare(aip)
    assert room.answer(reply(identifier, accepted=False)) == (identifier, False)
    assert room.events()[-1] == ("transfert.refuse", "refus")
    with pytest.raises(OperationRefusedError, match="a déjà une autre réponse"):
        room.answer(reply(identifier))  # a refusal is not taken back by a later message
    assert room.eliminator().due("gondecourt") == []
    other = room.prepare(aip)  # corrected, offered again
    assert room.answer(reply(other)) == (other, True)


def test_a_transfer_without_an_answer_may_be_dropped(room: Room) -> None:
    aip = room.keep("aip-1")
    identifier = room.prepare(aip)
    room.transferrer().drop(identifier, "accord à revoir")
    with pytest.raises(OperationRefusedError, match="est abandonné"):
        room.answer(reply(identifier))
    other = room.prepare(aip)
    room.answer(reply(other))
    with pytest.raises(OperationRefusedError, match="ne s'abandonne plus"):
        room.transferrer().drop(other, "")


def test_a_cut_is_taken_up_by_the_same_answer(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.keep("aip-1"), room.keep("aip-2")
    identifier = room.prepare("aip-1", "aip-2")
    text = reply(identifier)
    for step in range(1, 6):
        left = [step]

        def cut(original: Any, left: list[int] = left) -> Any:
            def run(*arguments: Any, **named: Any) -> Any:
                left[0] -= 1
                if not left[0]:
                    raise StoreError("coupé")
                return original(*arguments, **named)

            return run

        with monkeypatch.context() as patch:
            for target, name in ((room.store, "put"), (room.journal, "append"), (Transferrer, "_set_state")):
                patch.setattr(target, name, cut(getattr(target, name)))
            with pytest.raises(StoreError, match="coupé"):
                room.answer(text)
    assert room.answer(text) == (identifier, True)
    assert room.answer(text) == (identifier, True)
    assert room.events() == [("transfert.prepare", "succes"), *[("transfert.accepte", "succes")] * 2]


def test_an_elimination_between_a_cut_answer_and_the_same_one_again_blocks_nothing(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.keep("aip-1"), room.keep("aip-2")
    identifier = room.prepare("aip-1", "aip-2")
    text, append = reply(identifier), room.journal.append

    def cut(*arguments: Any, **named: Any) -> int:
        if named.get("aip") == "aip-2":
            raise StoreError("coupé")
        return append(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(room.journal, "append", cut)
        with pytest.raises(StoreError, match="coupé"):
            room.answer(text)
    assert room.eliminate("aip-1") == 1
    assert room.answer(text) == (identifier, True)
    assert [one.aip for one in room.eliminator().due("gondecourt")] == ["aip-2"]


def test_who_keeps_is_the_service_that_was_sent_the_transfer(room: Room) -> None:
    identifier = room.prepare(room.keep("aip-1"))
    room.service = Service("AD62", deposit=False)  # another one is known here since
    room.answer(reply(identifier))
    told = next(one.detail for one in room.journal.events() if one.event == "transfert.accepte")
    assert (told["service"], told["conserve_par"], told["proprietaire"]) == (AD, AD, AD)


def test_the_command_tells_in_french(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    path = room.folder / "config.json"
    given: dict[str, Any] = {
        "service": "SAE-59", "regles": {}, "stockage": {"dossier": str(room.folder / "stockage")},
        "comptes": [{"nom": "gondecourt", "libelle": "Gondecourt", "siren": "215902669"}], "dossier": str(room.folder),
        "sceaux": {
            "unite": str(room.authority.folder / "Horodatage_des_archives"), "autorites": str(room.authority.root)
        },
        "elimination": {
            "autorites": str(room.authority.root), "agents": [{"nom": "Alice Martin", "sujet": subject("Alice Martin")}]
        },
    }  # fmt: skip # a table

    def run(*arguments: object) -> int:
        return transfer.main(["--config", str(path), *map(str, arguments)])

    path.write_text(json.dumps(given))
    assert run("liste") == 1
    assert "archive_gateway_transfer_agency" in capsys.readouterr().err
    for wrong in ({"seda": "1.0"}, {"nature": "don"}, {"signataire": "CN=x"}):
        path.write_text(json.dumps(given | {"transfert": {"service": AD, **wrong}}))
        with pytest.raises(ConfigError):
            transfer.service_of(path)
    # It seals nothing: the secret of the timestamps, which its account cannot read, is not asked for.
    given["sceaux"] = {"url": "https://horodatage.test", "mot_de_passe": str(room.folder / "illisible")}
    path.write_text(json.dumps(given | {"transfert": {"service": AD, "autorites": "", "signataire": ""}}))
    room.keep("aip-1")
    assert run("echues", "--compte", "gondecourt") == 0
    assert "1 archives du compte « gondecourt » sont à transférer." in capsys.readouterr().out
    assert run("preparer", "--compte", "gondecourt", "--echues", "--vers", room.folder / "sortie") == 0
    identifier = Path(capsys.readouterr().out.strip()).stem.removeprefix("transfert-")
    assert run("liste") == 0
    assert "prepare" in capsys.readouterr().out
    text = reply(identifier)
    (room.folder / "r.xml").write_bytes(text)
    (room.folder / "r.p7s").write_bytes(room.sign(text))
    assert run("repondre", room.folder / "r.xml", room.folder / "r.p7s") == 0
    assert "accepté" in capsys.readouterr().out
    assert run("abandonner", identifier) == 1
    assert run("repondre", room.folder / "absente", room.folder / "r.p7s") == 2
    assert "relancez" in capsys.readouterr().err


def test_the_book_is_a_book(tmp_path: Path) -> None:
    (tmp_path / "transferts.sqlite").write_bytes(b"autre chose" * 500)
    with pytest.raises(sqlite3.Error):
        Transfers(tmp_path / "transferts.sqlite")
