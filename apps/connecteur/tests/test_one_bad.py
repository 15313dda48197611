"""One bad deposit or letter never keeps the others, and is told or kept as it came."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tdt_connector import depot, unpacking
from tdt_connector.description import DescriptionError, parse
from tdt_connector.driver import Incoming
from tdt_connector.errors import Denied, Refused, TdtError, Uncertain
from tdt_connector.journal import State
from tdt_connector.proof import test_pdf as make_pdf
from tdt_connector.s2low import S2low
from tdt_connector.unpacking import UnpackError, unpack
from tdt_simulator.testing import TdtServer

from apps.connecteur.tests.test_s2low import driver
from testbed.connector import Commune
from testbed.patience import allowed

FULL = 65000  # bytes of a description that is nearly too big

DESCRIPTIONS: dict[str, bytes] = {
    "timestamp": b"date: !!timestamp hier\n",
    "int": b"numero: !!int abc\n",
    "float": b"numero: !!float x\n",
    "bool": b"en_attente: !!bool zz\n",
    "binary": b"objet: !!binary '*'\n",
    "set": b"objet: !!set {a, b}\n",
    "python": b"objet: !!python/object/apply:os.system [id]\n",
    "own tag": b"objet: !important x\n",
    "brackets": b"numero: " + b"[" * 3000 + b"]" * 3000 + b"\n",
    "braces": b"numero: " + b"{" * FULL,
    "dashes": b"- " * (FULL // 2),
    "questions": b"? " * (FULL // 2),
    "steps": b"".join(b" " * rank + b"a:\n" for rank in range(340)),
    "merge bomb": b"a: &a {x: 1}\n"
    + b"".join(
        b"%c: &%c {<<: [%s]}\n" % (98 + rank, 98 + rank, b", ".join([b"*%c" % (97 + rank)] * 9)) for rank in range(12)
    ),
    "alias bomb": b"a: &a [x]\n"
    + b"".join(
        b"%c: &%c [%s]\n" % (98 + rank, 98 + rank, b", ".join([b"*%c" % (97 + rank)] * 9)) for rank in range(12)
    ),
    "itself": b"annexes: &a [*a, *a]\n",
    "no character": b'objet: "\\UFFFFFFFF"\n',
    "half a character": b'type: "\\ud800"\n',
    "nul": b"objet: a\0b\n",
    "nul in a name": b'fichier: "a\\0b.pdf"\n',
    "not utf-8": bytes(range(128, 256)) * 4,
    "utf-16": b"\xff\xfe\x00\xd8",
    "list as a field": b"? [a, b]\n: 1\n",
    "two numbers": b"numero: A\nobjet: x\nnumero: B\n",
    "two files of one annex": b"numero: A\nannexes:\n- {fichier: a.pdf, fichier: b.pdf, type: X}\n",
    "two documents": b"---\nnumero: A\n---\nnumero: B\n",
    "unknown version": b"%YAML 9.9\n---\nnumero: A\n",
    "many annexes": b"annexes:\n- &a {fichier: x.pdf, type: X}\n" + b"- *a\n" * 12000,
    "many fields": b"".join(b"k%d: 1\n" % rank for rank in range(7000)),
    "many texts": b"numero: [" + b"a," * 30000 + b"]\n",
    "spaces in a subject": b"objet: a" + b" " * 60000 + b"b\nnature: [1]\n",
    "a description as the act": b"fichier: acte.yml\n",
    "too big": b"#" * 70000,
}


@pytest.mark.parametrize("name", [*DESCRIPTIONS])
def test_a_description_that_makes_no_sense_is_told_at_once(name: str) -> None:
    started = time.process_time()
    try:
        parse(DESCRIPTIONS[name])
    except DescriptionError as error:
        assert str(error) and len(str(error)) < 20_000
    else:
        assert name == "half a character"  # read well: the check of its type refuses it
    assert time.process_time() - started < allowed(8)


def test_a_field_written_twice_is_told_with_its_line() -> None:
    """YAML would keep the last one: the act would go out under a number that was not meant."""
    with pytest.raises(DescriptionError, match="ligne 3 : champ « numero » déjà écrit plus haut"):
        parse(DESCRIPTIONS["two numbers"])


def test_a_tag_is_told_with_its_line() -> None:
    with pytest.raises(DescriptionError, match="ligne 2 : « ! » en tête d'un texte"):
        parse(b"numero: A\nobjet: !Urgent\n")
    assert parse(b"numero: !!str 012\n").number == "012"


def test_lists_in_lists_are_told_with_their_line() -> None:
    told = "ligne 2 : trop de listes les unes dans les autres ; il en faut une, « annexes »"
    with pytest.raises(DescriptionError, match=told):
        parse(b"numero: A\nnature: [[[[x]]]]\n")
    with pytest.raises(DescriptionError) as other:
        parse(b"numero: A\nnature: [[[x]]]\n")
    assert "trop de listes" not in str(other.value)


def dropped(commune: Commune) -> None:
    """Every bad description, each with its act, and what else is no deposit."""
    for rank, content in enumerate(DESCRIPTIONS.values()):
        commune.put(f"a{rank:02d}.yml", content)
        commune.put(f"a{rank:02d}.pdf", make_pdf("Acte", "1"))
    depot = commune.config.folder_depot
    (depot / "b1.yml").symlink_to("/etc/passwd")
    (depot / "b2.xml").symlink_to("b2.xml")
    (depot / "b3.pdf").symlink_to("/nulle/part")
    (depot / "b4.yml").mkdir()
    os.mkfifo(depot / "b5.yml")
    for name in ("b6.yml", "b7.xml"):
        commune.put(name, b"numero: A\n").chmod(0)
    commune.put(os.fsdecode(b"b8-\xe9\n.yml"), b"numero: !!int x\n")
    commune.put(f"{'b' * 251}.yml", b"numero: !!int x\n")
    for name in ("motif.txt", "resume.json", "acquittement.xml"):
        commune.put(name, b"<a/>")
    commune.drop("2026_900", stem="bordereau")


def test_bad_deposits_do_not_keep_a_good_act(commune: Commune, tdt: TdtServer) -> None:
    dropped(commune)
    commune.drop("2026_001", stem="z")  # looked at last
    commune.run(until=lambda: any(row.number == "2026_001" and row.filed for row in commune.rows()))
    commune.run(until=lambda: [path.name for path in commune.folder("depot")] == ["b4.yml"] and all_filed(commune))
    assert [act["numero"] for act in tdt.acts()] == ["2026_001"]
    told = {path.name.split("-")[2]: (path / "motif.txt").read_text() for path in commune.folder("rejets")}
    assert len(told) > len(DESCRIPTIONS)
    assert "n'est pas un fichier ordinaire" in told["b1"]
    kept = [path for path in commune.folder("rejets") if "-motif-" in path.name]
    assert {path.name for path in kept[0].iterdir()} == {"motif.txt", "depot-motif.txt"}
    assert "« bordereau.pdf » : ce nom est réservé au connecteur" in told["bordereau"]


def all_filed(commune: Commune) -> bool:
    return all(row.filed for row in commune.rows())


def test_a_bug_met_on_a_deposit_sets_it_aside(
    commune: Commune, tdt: TdtServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = depot.descriptions.parse

    def broken(content: bytes) -> object:
        if b"2026_001" in content:
            raise RuntimeError("boum")
        return real(content)

    monkeypatch.setattr(depot.descriptions, "parse", broken)
    commune.drop("2026_001")
    commune.drop("2026_002")
    commune.run(until=lambda: commune.settled() and len(commune.folder("rejets")) == 2)
    assert [act["numero"] for act in tdt.acts()] == ["2026_002"]
    motives = "".join((path / "motif.txt").read_text() for path in commune.folder("rejets"))
    assert "Le connecteur n'a pas su le lire (RuntimeError) ; prévenez le groupement." in motives


# -- letters ----------------------------------------------------------------------------------------------


def member(name: str, content: bytes = b"x", **fields: object) -> Callable[[tarfile.TarFile], None]:
    def add(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        for field, value in fields.items():
            setattr(info, field, value)
        archive.addfile(info, io.BytesIO(content))

    return add


def archive_of(*members: Callable[[tarfile.TarFile], None], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for add in members:
            add(archive)
    return gzip.compress(buffer.getvalue(), 1)


GOOD = member("envoi/lettre.pdf", b"%PDF-1.4 lettre")
WHOLE = archive_of(GOOD, member("plan.png", os.urandom(60_000)))
HUGE = gzip.compress(tarfile.TarInfo("gros").tobuf()[:124] + b"77777777777" + b"\0" * 389, 1)
HEADER = tarfile.TarInfo("x")
HEADER.type, HEADER.size = tarfile.GNUTYPE_LONGNAME, 30_000_000

LETTERS: dict[str, bytes] = {
    **{f"cut at {cut}": WHOLE[:cut] for cut in (2, 5, 10, 12, 30, 200, 600, 30_000, len(WHOLE) - 9, len(WHOLE) - 1)},
    "dots": archive_of(member(".."), member("a/.."), member("."), member("/"), member(""), GOOD),
    "nul": archive_of(member("x", pax_headers={"path": "a\0b"}), GOOD),
    "not utf-8": archive_of(member(os.fsdecode(b"\xe9\xff.pdf")), GOOD, form=tarfile.GNU_FORMAT),
    "long name": archive_of(member("n" * 300), member("é" * 130), GOOD),
    "same name twice": archive_of(member("a/plan.pdf"), member("b/plan.pdf"), GOOD),
    "links": archive_of(
        member("lien", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("dur", b"", type=tarfile.LNKTYPE, linkname="../../journal"),
        member("tube", b"", type=tarfile.FIFOTYPE),
        member("noeud", b"", type=tarfile.CHRTYPE),
        GOOD,
    ),
    "bad size": archive_of(member("x", pax_headers={"size": "abc"}), GOOD),
    "huge": HUGE,
    "huge header": gzip.compress(HEADER.tobuf() + b"a" * 30_000_000, 1),
    "noise": b"\x1f\x8b\x08" + os.urandom(5000),
    "zeros": gzip.compress(bytes(3_000_000), 1),
    "bad checksum": WHOLE[:-8] + struct.pack("<LL", 1, 2),
    "no archive": gzip.compress(b"<lettre/>"),
}


def test_what_can_be_had_of_a_letter_is_brought_out(tmp_path: Path) -> None:
    for name in ("dots", "nul", "not utf-8", "long name", "same name twice", "links", "bad size"):
        folder = tmp_path / name
        folder.mkdir()
        try:
            unpack(LETTERS[name], folder)
        except UnpackError as error:
            assert "archive" in str(error)
        if name != "bad size":
            assert (folder / "lettre.pdf").read_bytes() == b"%PDF-1.4 lettre", name
        assert all(path.is_file() and not path.is_symlink() for path in folder.iterdir())
    assert [path.name for path in tmp_path.iterdir() if path.name not in LETTERS] == []


def test_what_is_damaged_or_unseen_in_an_archive_is_told(tmp_path: Path) -> None:
    """A letter whose bytes changed on the way, and a file whose name would keep it from being given."""
    for name, content in {
        "checksum": LETTERS["bad checksum"],
        "end": WHOLE[:-4],
        "after": WHOLE + b"autre chose",
        "hidden": archive_of(GOOD, member("envoi/.lettre.pdf")),
    }.items():
        (tmp_path / name).mkdir()
        with pytest.raises(UnpackError):
            unpack(content, tmp_path / name)
        assert (tmp_path / name / "lettre.pdf").read_bytes() == b"%PDF-1.4 lettre"
        assert not (tmp_path / name / ".lettre.pdf").exists()
    halves = gzip.decompress(WHOLE)
    (tmp_path / "parts").mkdir()
    unpack(gzip.compress(halves[:700]) + gzip.compress(halves[700:]) + bytes(100), tmp_path / "parts")
    assert (tmp_path / "parts" / "plan.png").stat().st_size == 60_000


def test_an_archive_is_brought_out_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "_BYTES_MAX", 100_000)
    monkeypatch.setattr(unpacking, "_MEMBERS_MAX", 5)
    for name, content in {
        "bytes": archive_of(member("zeros", bytes(1_000_000))),
        "passed over": archive_of(member("zeros", bytes(1_000_000), type=tarfile.CONTTYPE), member("b")),
        "members": archive_of(*(member(f"f{rank}") for rank in range(9))),
    }.items():
        (tmp_path / name).mkdir()
        with pytest.raises(UnpackError):
            unpack(content, tmp_path / name)
        assert sum(path.stat().st_size for path in (tmp_path / name).iterdir()) < 100_000


class Letters:
    """Letters that wait at the TdT, what asking for each does, and those that were marked as read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, contents: dict[str, bytes | Exception]) -> None:
        self.waiting = {
            Incoming(rank, "lettre", name): content for rank, (name, content) in enumerate(contents.items())
        }
        self.read: list[str] = []
        monkeypatch.setattr(S2low, "incoming", lambda driver: [*self.waiting])
        monkeypatch.setattr(S2low, "fetch", lambda driver, item: self.fetch(item))
        monkeypatch.setattr(S2low, "mark_read", lambda driver, item: self.mark(item))

    def fetch(self, item: Incoming) -> bytes:
        content = self.waiting[item]
        if isinstance(content, Exception):
            raise content
        return content

    def mark(self, item: Incoming) -> None:
        self.read.append(item.title)
        del self.waiting[item]


def test_a_damaged_letter_is_kept_as_it_came_and_keeps_no_other(
    commune: Commune, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents: dict[str, bytes | Exception] = {**LETTERS, "bonne": b"%PDF-1.7 lettre"}
    letters = Letters(monkeypatch, contents)
    commune.run(until=lambda: len(commune.folder("lettres")) == len(contents))
    commune.take_letters()
    commune.run(until=lambda: not letters.waiting)
    assert letters.read == [*contents]
    kept = {path.name.rpartition("-")[2]: path for path in commune.folder("lettres")}
    for rank, content in enumerate(contents.values()):
        files = [path for path in kept[str(rank)].iterdir() if path.name.startswith("lettre-")]
        assert [path.read_bytes() for path in files] == [content]


@pytest.mark.parametrize(
    "error", [Uncertain("panne (HTTP 500)"), Refused("absent"), ValueError("bogue"), OSError("disque")]
)
def test_a_letter_that_cannot_be_had_keeps_no_other(
    commune: Commune, tdt: TdtServer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    letters = Letters(monkeypatch, {"mauvaise": error, "bonne": b"%PDF-1.7 lettre"})
    commune.drop("2026_001")
    commune.run(until=lambda: bool(commune.folder("lettres")) and commune.settled())
    commune.take_letters()
    commune.run(until=lambda: bool(letters.read))
    assert letters.read == ["bonne"]
    assert commune.row().state is State.ACKNOWLEDGED


def test_a_document_of_the_list_that_makes_no_sense_keeps_no_other() -> None:
    listed = [{"id": "x", "type": "2"}, 7, None, {"type": "2"}, {"id": "3", "type": "2", "number": ["a"]}]
    retours = b"<l><pes_retour><id>?</id></pes_retour><pes_retour><id>4</id><nom>r</nom></pes_retour></l>"
    found = driver(list_document=json.dumps(listed).encode(), helios_get_list=retours).incoming()
    assert [(item.id, item.kind) for item in found] == [(3, "lettre"), (4, "pes_retour")]


def test_an_account_without_one_of_the_modules_gets_the_other_s_documents() -> None:
    letters, retours = b'[{"id": 3, "type": "2"}]', b"<l><pes_retour><id>4</id></pes_retour></l>"
    none = "KO\nAccès refusé : module".encode()
    assert [item.id for item in driver(list_document=none, helios_get_list=retours).incoming()] == [4]
    assert [item.id for item in driver(list_document=letters, helios_get_list=none).incoming()] == [3]
    with pytest.raises(Denied):
        driver(list_document=none, helios_get_list=none).incoming()


def test_a_refusal_is_no_letter() -> None:
    with pytest.raises(TdtError):
        driver(get_document=b"KO\nDocument introuvable").fetch(Incoming(1, "lettre", "x"))
    with pytest.raises(Refused):
        driver(get_retour=b"").fetch(Incoming(1, "pes_retour", "x"))
    assert driver(get_retour=b"<r/>").fetch(Incoming(1, "pes_retour", "x")) == b"<r/>"


def test_a_transaction_that_gets_no_answer_keeps_no_other(
    commune: Commune, tdt: TdtServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = S2low.act_status
    asked: list[int] = []

    def status(self: S2low, transaction: int) -> object:
        asked.append(transaction)
        if transaction == min(asked):
            raise Uncertain("le TdT est en panne (HTTP 500).", "panne")
        return real(self, transaction)

    monkeypatch.setattr(S2low, "act_status", status)
    commune.drop("2026_001")
    commune.drop("2026_002")
    commune.run(until=lambda: any(row.state is State.ACKNOWLEDGED for row in commune.rows()))
