"""What Word and Excel save, signed here or elsewhere: two tables, neither of which contradicts the other."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from signature_actes import door, pades, structure
from signature_actes.check import check_pdf
from signature_actes.files import AmbiguousPdfError, DamagedPdfError
from signature_actes.person import Person
from signature_actes.refusal import DocumentRefusedError
from signature_actes.stamp import LocalUnit

from apps.signature.tests.conftest import SIREN, Issuer, run, software
from apps.signature.tests.test_sameness import appended, shown, sign, text
from apps.signature.tests.test_structure import number_of
from apps.signature.tests.writers import TITLE, word

CLAIRE = Person("Claire Dubois", SIREN)
Entries = dict[int, tuple[int, int, int]]


def signed_elsewhere(issuer: Issuer, source: Path) -> Path:
    """By a program that ends the last line before what it adds (Acrobat, Jsign, iText)."""
    ended = source.with_name(f"termine-{source.name}")
    ended.write_bytes(source.read_bytes() + b"\r\n")
    return sign(issuer, ended)


def test_it_is_read_in_one_way(tmp_path: Path) -> None:
    path = word(tmp_path / "word.pdf")
    assert structure.read(path) == structure.Layout(1, hybrid=True, linearized=False)
    assert "No syntax" in run("qpdf", "--check", path)
    assert TITLE in shown(path) and "Page 2" in shown(path)


@pytest.mark.parametrize("pages", [1, 3])
def test_signed_elsewhere_it_is_whole(issuer: Issuer, tmp_path: Path, pages: int) -> None:
    source = word(tmp_path / "word.pdf", pages=pages)
    path = signed_elsewhere(issuer, source)
    for original in (None, source):
        assert asyncio.run(check_pdf(path, CLAIRE, issuer.trust, original)).holder == "Claire Dubois"
    assert "Signature is Valid" in run("pdfsig", path)
    # At the door it stays what it is; a second person signs below, and the seal proves both.
    assert not door.admit(path, tmp_path / "ecrit.pdf")
    two, sealed = tmp_path / "deux.pdf", tmp_path / "scelle.pdf"
    asyncio.run(pades.sign(path, two, software(issuer, issuer.person())))
    asyncio.run(pades.seal(two, sealed, software(issuer, issuer.person()), LocalUnit(issuer.tsa()), issuer.trust))
    assert two.read_bytes().startswith(path.read_bytes())
    for last, original in ((two, path), (two, source), (sealed, path)):
        assert asyncio.run(check_pdf(last, CLAIRE, issuer.trust, original)).holder == "Claire Dubois"
    assert run("pdfsig", sealed).count("Signature is Valid") == 3


def test_signed_here_it_is_written_again_first(issuer: Issuer, tmp_path: Path) -> None:
    source, plain, path = word(tmp_path / "word.pdf"), tmp_path / "circuit.pdf", tmp_path / "signe.pdf"
    before = source.read_bytes()
    assert door.admit(source, plain) and structure.read(plain).is_plain
    assert source.read_bytes() == before and shown(plain) == shown(source)
    asyncio.run(pades.sign(plain, path, software(issuer, issuer.person())))
    assert asyncio.run(check_pdf(path, CLAIRE, issuer.trust, plain)).holder == "Claire Dubois"


def test_what_is_added_begins_on_a_line_of_its_own(issuer: Issuer, tmp_path: Path) -> None:
    """Word ends its file with no end of line: who builds the table again looks at the beginnings of lines."""
    source, path = word(tmp_path / "word.pdf"), tmp_path / "signe.pdf"
    asyncio.run(pades.sign(source, path, software(issuer, issuer.person())))
    assert not re.search(rb"%%EOF\d", path.read_bytes())
    assert asyncio.run(check_pdf(path, CLAIRE, issuer.trust, source)).holder == "Claire Dubois"


def test_altered_it_is_told_as_altered(issuer: Issuer, tmp_path: Path) -> None:
    path = signed_elsewhere(issuer, word(tmp_path / "word.pdf"))
    path.write_bytes(path.read_bytes().replace(b"(Secretariat)", b"(secretariat)"))
    with pytest.raises(DocumentRefusedError, match="modifié"):
        asyncio.run(check_pdf(path, CLAIRE, issuer.trust))


def moved(number: int, to: int) -> Callable[[Entries], None]:
    def change(entries: Entries) -> None:
        entries[number] = entries[to]

    return change


def in_table(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(table: bytes) -> bytes:
        assert old in table
        return table.replace(old, new)

    return change


# 1 catalog, 2 pages, 3 and 4 a page and its content, 5 and 6 another, 8 properties, 9 to 11 packed in 12.
CONTRADICTED: dict[str, dict[str, object]] = {
    "a content is another's": {"second": moved(4, 6)},
    "a page is another's": {"second": moved(3, 5)},
    "a page is free in the second": {"second": lambda entries: entries.update({3: (0, 0, 65535)})},
    "a page is packed in the second": {"hidden": {3: b"<</Type/Page/Parent 2 0 R/Contents 6 0 R>>"}},
    "a page is packed, and free in the first": {
        "hidden": {5: b"<</Type/Page/Parent 2 0 R/Contents 4 0 R>>"},
        "table": lambda table: re.sub(rb"(?s)\A((?:[^\n]*\n){7})\d{10} 00000 n", rb"\g<1>0000000000 65535 f", table),
    },
    "one that is packed is elsewhere": {"second": moved(10, 9)},
    "one that is packed is free": {"second": lambda entries: entries.update({10: (0, 0, 65535)})},
    "the first has a second of its own": {"table": in_table(b"/Info", b"/XRefStm 9 /Info")},
    "the first follows another": {"table": in_table(b"/Info", b"/Prev 9 /Info")},
    "the first has another catalog": {"table": in_table(b"/Root 1 0 R", b"/Root 3 0 R")},
    "generations differ": {"second": lambda entries: entries.update({4: (1, entries[4][1], 1)})},
}  # fmt: skip # a case a line


@pytest.mark.parametrize("what", CONTRADICTED)
def test_two_tables_that_differ_are_no_document(issuer: Issuer, tmp_path: Path, what: str) -> None:
    path = word(tmp_path / "word.pdf", **CONTRADICTED[what])  # type: ignore[arg-type] # of several types
    with pytest.raises(structure.AmbiguousStructureError):
        structure.read(path)
    with pytest.raises(
        (AmbiguousPdfError, DamagedPdfError), match=r"n'est pas lisible d'une seule façon|le PDF est abîmé"
    ) as told:
        asyncio.run(pades.sign(path, tmp_path / "signe.pdf", software(issuer, issuer.person())))
    assert "À faire" in str(told.value) and "modifi" not in str(told.value)
    assert not (tmp_path / "signe.pdf").exists()


def test_signed_elsewhere_two_tables_that_differ_are_told_without_an_accusation(issuer: Issuer, tmp_path: Path) -> None:
    path = signed_elsewhere(issuer, word(tmp_path / "word.pdf", second=moved(4, 6)))
    with pytest.raises(DocumentRefusedError, match="n'est pas lisible d'une seule façon") as told:
        asyncio.run(check_pdf(path, CLAIRE, issuer.trust))
    assert "modifi" not in str(told.value) and "fauss" not in str(told.value)
    with pytest.raises(DocumentRefusedError, match="n'est pas lisible d'une seule façon"):
        door.admit(path, tmp_path / "ecrit.pdf")


def test_an_object_that_the_second_table_hides_is_not_replaced_unseen(issuer: Issuer, tmp_path: Path) -> None:
    """The comparison still sees what was changed between the circuit and the signature."""
    source = word(tmp_path / "word.pdf")
    ended = tmp_path / "fini.pdf"
    ended.write_bytes(source.read_bytes() + b"\r\n")
    forged = appended(ended, tmp_path / "ombre.pdf", {number_of(source, "content"): text("Autre texte")})
    path = sign(issuer, forged)
    with pytest.raises(DocumentRefusedError, match="ce n'est pas le document du circuit"):
        asyncio.run(check_pdf(path, CLAIRE, issuer.trust, source))
