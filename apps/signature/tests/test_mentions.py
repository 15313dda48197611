"""Who signs stands on the document: looked for in its text, as people write it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from reportlab.pdfgen import canvas
from signature_actes import mentions, receive
from signature_actes.refusal import DocumentRefusedError

ANNE = ["Anne-Lise Le Goff", "adjointe au maire", "délégation"]


def written(folder: Path, *lines: str) -> Path:
    path = folder / "arrete.pdf"
    page = canvas.Canvas(str(path))
    page.rect(50, 50, 100, 100)
    for rank, line in enumerate(lines):
        page.drawString(60, 700 - 20 * rank, line)
    page.save()
    return path


@pytest.mark.parametrize(
    "lines",
    [
        ("Pour le maire et par délégation,", "Anne-Lise Le Goff, adjointe au maire"),
        ("LE GOFF ANNE LISE", "L'ADJOINTE AU MAIRE", "(délégations de l'arrêté 12)"),
        ("Anne-Lise LE GOFF,", "adjointe", "au maire, par DELEGATION"),
        ("Par délé-", "gation, l'adjointe au maire, Anne-", "Lise Le Goff"),
    ],
)
def test_a_name_and_a_quality_are_found_as_people_write_them(tmp_path: Path, lines: tuple[str, ...]) -> None:
    assert mentions.check(written(tmp_path, *lines), ANNE)


@pytest.mark.parametrize(
    ("lines", "lacks"),
    [
        (("Anne-Lise Le Goff", "adjointe au maire"), "« délégation »"),
        (("Le maire, Claire Dubois", "par délégation, adjointe au maire"), "« Anne-Lise Le Goff »"),
        (("Marianne-Lise Le Goffic, adjointe au maire, délégation",), "« Anne-Lise Le Goff »"),
        (("Lise Anne Le Goff, délégation",), "« Anne-Lise Le Goff », « adjointe au maire »"),
    ],
)
def test_what_lacks_is_named(tmp_path: Path, lines: tuple[str, ...], lacks: str) -> None:
    with pytest.raises(DocumentRefusedError) as refused:
        mentions.check(written(tmp_path, *lines), ANNE)
    assert str(refused.value).startswith(f"arrete.pdf : le document ne porte pas {lacks}. Le nom et la qualité de qui")


def test_an_image_has_no_text(tmp_path: Path) -> None:
    assert not mentions.check(written(tmp_path), ANNE)


def test_the_service_looks_for_them(tmp_path: Path) -> None:
    def ask(path: Path) -> dict[str, Any]:
        request = {"nom": "a.pdf", "signataires": [], "origine": path.stat().st_size, "signe": 0, "mentions": ANNE}
        output = io.BytesIO()
        receive.answer(io.BytesIO(json.dumps(request).encode() + b"\n" + path.read_bytes()), output, {})
        found: dict[str, Any] = json.loads(output.getvalue())
        return found

    assert ask(written(tmp_path, "Anne-Lise Le Goff, adjointe au maire, par délégation")) == {
        "taille": 0,
        "texte": True,
    }
    assert ask(written(tmp_path)) == {"taille": 0, "texte": False}
    assert "ne porte pas" in ask(written(tmp_path, "Le maire"))["refus"]
