"""The connector: what a commune deposits, what the TdT, the préfecture, the DGFiP and the archive answer."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from datetime import date
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tdt_connector import (
    acquit,
    archive,
    checks,
    classification,
    description,
    prefecture,
    receipt,
    s2low,
    unpacking,
)
from tdt_connector.errors import TdtError

from apps.connecteur.tests.test_acquit import NEW, OLD
from creatic_agent import flow, totem
from creatic_agent.act import File
from testbed import budget, helios
from testbed.sae import PDF, old_pdf
from tests.fuzz import spoilt as words
from tests.fuzz.spoilt import asked, refuses, spoilt
from tests.fuzz.test_archive import REPLY, scratch

SIREN = "215902669"
ACT = checks.Submission(
    number="2026_014", subject="Décision", date="2026-11-02", nature="1", nature_short="DE", matter="7.1",
    main=File("a.pdf"),
)  # fmt: skip # one call
ACTES = "http://www.interieur.gouv.fr/ACTES#v1.1-20040216"
ARACTE = (
    f'<?xml version="1.0" encoding="ISO-8859-1"?><actes:ARActe xmlns:actes="{ACTES}" '
    'actes:DateReception="2026-11-03" actes:IDActe="059-215902669-20261102-2026_014-DE"><actes:ActeRecu '
    'actes:Date="2026-11-02" actes:NumeroInterne="2026_014" actes:CodeNatureActe="1"><actes:Objet>é</actes:Objet>'
    "</actes:ActeRecu><actes:ClassificationDateVersionEnCours>2024-01-01</actes:ClassificationDateVersionEnCours>"
    "</actes:ARActe>"
).encode("latin-1")
NOMENCLATURE = (
    f'<?xml version="1.0" encoding="ISO-8859-1"?><actes:RetourClassification xmlns:actes="{ACTES}">'
    "<actes:DateClassification>2024-01-01</actes:DateClassification><actes:NaturesActes><actes:NatureActe "
    'actes:CodeNatureActe="1" actes:Libelle="Délibérations" actes:TypeAbrege="DE"><actes:TypePJNatureActe '
    'actes:CodeTypePJ="99_DE" actes:Libelle="x"/></actes:NatureActe></actes:NaturesActes><actes:Matieres>'
    '<actes:Matiere1 actes:CodeMatiere="7" actes:Libelle="Finances"><actes:Matiere2 actes:CodeMatiere="1" '
    'actes:Libelle="Budget"/></actes:Matiere1></actes:Matieres></actes:RetourClassification>'
).encode("latin-1")
LETTER = (
    f'<?xml version="1.0" encoding="ISO-8859-1"?><actes:DemandePieceComplementaire xmlns:actes="{ACTES}" '
    'actes:IDActe="059-215902669-20261102-2026_014-DE" actes:DateCourrierPref="2026-11-09">'
    "<actes:DescriptionPieces>le plan</actes:DescriptionPieces></actes:DemandePieceComplementaire>"
).encode("latin-1")


@given(content=spoilt([helios.flow(), helios.flow(pj="AAAA", root="F1"), helios.flow(pieces=3)], words.XML))
def test_flows(content: bytes) -> None:
    with scratch() as folder:
        path = folder / "flux.xml"
        path.write_bytes(content)
        with asked():
            assert all(isinstance(one, str) for one in checks.check_pes(path, SIREN, 10_000_000, signed=True))


@given(content=spoilt([budget.make(), budget.make(sealed=False)], words.XML))
def test_budgets(content: bytes) -> None:
    with scratch() as folder:
        path = folder / "budget.xml"
        path.write_bytes(content)
        with asked():
            found, _ = totem.check(path, SIREN, "2026-01-15", 2.0)
        if not found:
            refuses(lambda: totem.page(path))
        refuses(lambda: totem.page(path), flow.FlowError)


@given(content=spoilt([OLD, NEW], words.XML))
def test_acquits(content: bytes) -> None:
    refuses(lambda: acquit.parse(io.BytesIO(content)), acquit.AcquitError)


@given(content=spoilt([ARACTE], words.XML))
def test_receipts(content: bytes) -> None:
    refuses(lambda: receipt.parse(content, ACT, SIREN), receipt.ReceiptError)


@given(content=spoilt([NOMENCLATURE], words.XML))
def test_nomenclatures(content: bytes) -> None:
    refuses(lambda: classification.parse(content), classification.ClassificationError)


@given(content=spoilt([LETTER], words.XML))
def test_letters(content: bytes) -> None:
    with scratch() as folder:
        (folder / "lettre-1.xml").write_bytes(content)
        refuses(lambda: prefecture.read(folder.iterdir()))


@given(content=spoilt([REPLY], words.XML))
def test_answers_of_the_archive(content: bytes) -> None:
    refuses(lambda: archive._outcome("059-1", content), archive.ArchiveError)


ANSWERS = [
    b"OK\n12345\n", b"KO\nActe d&eacute;j&agrave; transmis<br/>", b"OK\n4\n" + ARACTE, b"KO", b"OK\r\n" + b"9" * 5000,
    json.dumps([{"id": 1, "type": "2", "number": "2026_1", "related_transaction_id": "9"}]).encode(),
    b"<helios><resultat>KO</resultat><message>non</message></helios>", b"[" * 20_000,
]  # fmt: skip # a table


@given(content=spoilt(ANSWERS, words.XML))
def test_answers_of_s2low(content: bytes) -> None:
    def read() -> None:
        s2low._transaction(s2low._ok(content))

    for one in (
        read,
        lambda: s2low._json(content),
        lambda: s2low._helios_ok(s2low._xml(content)),
        lambda: s2low._code(s2low.decode(content)),
        lambda: s2low._given(content),
    ):
        refuses(one, TdtError)


DESCRIPTIONS = [
    "numero: 2026_014\ndate: 2026-11-02\nobjet: Décision modificative\nnature: délibération\nclassification: 7.1\n",
    "numero: 1\nobjet: |\n  deux\n  lignes\nannexes:\n  - {fichier: a.pdf, type: 99_DE}\n",
]


YAML = (b"&a *a", b"!!python/object:os.system", b"- ", b"? ", b"{", b"|", b"\t", b"1_000", b"0x7", b"!<")


@given(content=spoilt([*(one.encode() for one in DESCRIPTIONS), DESCRIPTIONS[0].encode("utf-16")], YAML))
def test_descriptions(content: bytes) -> None:
    refuses(lambda: description.parse(content), description.DescriptionError)


def archived(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as made:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


LETTERS = archived(("lettre.xml", LETTER), ("pièce.pdf", PDF), ("vide", b""))


@given(data=st.data())
def test_archives_of_letters(data: Any) -> None:
    """As they come, and once the compression is undone: what is spoilt is read."""
    content = data.draw(spoilt([LETTERS]))
    if data.draw(st.booleans()):
        content = gzip.compress(data.draw(spoilt([gzip.decompress(LETTERS)])), 1)
    with scratch() as folder:
        refuses(lambda: unpacking.unpack(content, folder), unpacking.UnpackError)


@given(content=spoilt([PDF, old_pdf("page 1", "page 2"), old_pdf("x", version=(1, 7))], words.PDF))
def test_documents(content: bytes) -> None:
    with scratch() as folder:
        path = folder / "acte.pdf"
        path.write_bytes(content)
        with asked():
            checks.check_pdf(path)
            checks.check_annex(path)


@given(number=st.text(max_size=30), day=st.text(max_size=30), text=st.text(max_size=200))
def test_fields(number: str, day: str, text: str) -> None:
    with asked():
        checks.check_number(number)
        checks.check_date(day, date(2026, 12, 1))
        checks.to_latin1(text)


def test_samples_are_good(tmp_path: Path) -> None:
    """What is spoilt was taken before."""
    assert receipt.parse(ARACTE, ACT, SIREN).idacte
    assert classification.parse(NOMENCLATURE).natures
    (tmp_path / "lettre-1.xml").write_bytes(LETTER)
    assert prefecture.read(tmp_path.iterdir()).idacte
    unpacking.unpack(LETTERS, tmp_path)
    for content in DESCRIPTIONS:
        description.parse(content.encode())
