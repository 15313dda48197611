"""Acts as PDF: all that the model says, and nothing that tells who typed it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pypdf
import pytest
from creatic_parapheur import drafting, drawing
from creatic_parapheur.drawing import Whose
from creatic_parapheur.refusal import RefusedError
from signature_actes import door, mentions

from apps.parapheur.tests.test_drafting import CIRCULATION, composed, given

LOOS = Whose("Commune de Loos", "Loos", "Le maire", "Claire Dubois, maire")


@pytest.fixture(autouse=True)
def weasyprint(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the project's own environment: machines have Debian's."""
    monkeypatch.setenv("CREATIC_WEASYPRINT", str(Path(sys.executable).with_name("weasyprint")))


@pytest.mark.costly
def test_an_act_is_drawn_whole_and_names_no_author() -> None:
    drawn = drawing.draw(composed("circulation", CIRCULATION), LOOS, "AR_2026_012")
    read = pypdf.PdfReader(io.BytesIO(drawn))
    text = " ".join(" ".join(one.extract_text() for one in read.pages).split())
    for said in (
        "Commune de Loos", "Arrêté n° AR_2026_012", "Objet : Circulation et stationnement", "Vu le code général",
        "Considérant que la réfection", "ARRÊTE", "Article 1er", "Article 4", "Fait à Loos, le 2 mars 2026",
        "Claire Dubois, maire", "page 1 / 1",
    ):  # fmt: skip # a list
        assert said in text, said
    assert "PROJET" not in text
    metadata: dict[str, object] = dict(read.metadata or {})
    assert metadata.get("/Title") == "Arrêté n° AR_2026_012"
    assert set(metadata) <= {"/Title", "/Producer"} and read.xmp_metadata is None


@pytest.mark.costly
def test_the_door_of_the_circuit_takes_what_is_drawn_as_it_is_and_finds_who_signs(tmp_path: Path) -> None:
    file, again = tmp_path / "AR_2026_012.pdf", tmp_path / "reecrit.pdf"
    file.write_bytes(drawing.draw(composed("circulation", CIRCULATION), LOOS, "AR_2026_012"))
    assert not door.admit(file, again, door.Form.DRAWN)
    assert mentions.check(file, ["Claire Dubois", "maire"])


def test_what_was_typed_is_text_and_never_markup() -> None:
    odd = '<img src="file:///etc/passwd"> & "x" $title {lieu} <script>'
    said = drawing.page(composed("circulation", CIRCULATION | {"lieu": odd}), LOOS, "")
    assert "<img" not in said and "<script" not in said
    assert "&lt;img src=&quot;file:///etc/passwd&quot;&gt; &amp; &quot;x&quot; $title {lieu} &lt;script&gt;" in said
    assert "Arrêté (projet, sans numéro)" in said and ">PROJET<" in said


def test_a_decision_decides_and_lines_stay_lines() -> None:
    said = drawing.page(composed("decision", given(drafting.find("decision"))), LOOS, "DEC_2026_001")
    assert "DÉCIDE" in said and "Décision n° DEC_2026_001" in said and "Une ligne\nune autre." in said


def test_what_is_not_drawn_says_so_and_gives_its_turn_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for program in ("/nonexistent", "/bin/false", "/bin/true"):
        monkeypatch.setenv("CREATIC_WEASYPRINT", program)
        for _time in range(3):
            with pytest.raises(RefusedError, match="ne répond pas, et rien n'a été changé") as refused:
                drawing.draw(composed("circulation", CIRCULATION), LOOS)
            assert refused.value.status == 503


def test_what_draws_has_its_share_of_memory_and_no_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    greedy = tmp_path / "weasyprint"
    greedy.write_text("#!/usr/bin/python3\nbytearray(1_500_000_000)\nprint('%PDF-1.7')\n")
    greedy.chmod(0o755)
    monkeypatch.setenv("CREATIC_WEASYPRINT", str(greedy))
    with pytest.raises(RefusedError, match="ne répond pas"):
        drawing.draw(composed("circulation", CIRCULATION), LOOS)
