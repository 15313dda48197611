"""The site of the délibérations as people and the passerelle use it: over TLS, by its pages and by its API."""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from reportlab.pdfgen.canvas import Canvas

from testbed.deliberations import MANAGER, WRITER, Site
from tests.profiles.services import on_the_lab_alone

sys.path.insert(0, str(Path(__file__).parents[3]))  # the tests import this file
sys.path.insert(0, str(Path(__file__).parents[3] / "apps" / "preuve_navigateur" / "src"))


def pdf_text(data: bytes) -> str:
    """The text of a PDF, on one line."""
    done = subprocess.run(["pdftotext", "-", "-"], input=data, capture_output=True, check=True)
    return " ".join(done.stdout.decode().split())


def signed(data: bytes) -> dict[str, str]:
    """A PDF as the passerelle hands it over."""
    return {"document": base64.b64encode(data).decode(), "sha256": hashlib.sha256(data).hexdigest()}


def pdf(text: str, author: str = "", heavy: int = 0) -> bytes:
    """A PDF of one page, of so many bytes more that show nothing."""
    written = io.BytesIO()
    canvas = Canvas(written, pageCompression=0)
    canvas.setAuthor(author)
    canvas.drawString(72, 720, text)
    if heavy:
        canvas.addLiteral("% " + "0" * heavy)
    canvas.save()
    return written.getvalue()


@pytest.fixture(scope="session")
def site(hostvars: dict[str, Any], creatic_home: Path) -> Site:
    on_the_lab_alone(hostvars, "ces essais tiennent des séances et lisent les premiers mots de passe")
    return Site(hostvars["ansible_host"], hostvars["creatic_names"][0], creatic_home)


@dataclass(frozen=True)
class Act:
    """A délibération of Gondecourt which went through all of its life, for the tests."""

    meeting: str
    projet: str
    number: str
    uid: str
    mark: str
    pdf: bytes

    @property
    def page(self) -> str:
        """Its public page."""
        return f"/gondecourt/publications/{self.number.lower()}"


@pytest.fixture(scope="session")
def mark() -> str:
    """A word that nothing else holds."""
    return "".join("abcdefghij"[int(digit)] for digit in str(time.time_ns()))


@pytest.fixture(scope="session")
def act(site: Site, mark: str) -> Iterator[Act]:
    meeting = site.meeting("2026-11-26", mark)
    projet = site.projet(meeting, f"Subvention {mark}")
    annex = {
        "@type": "File",
        "title": "plan.pdf",
        "file": {
            "data": base64.b64encode(pdf("Plan", author="Anne Cachee")).decode(),
            "encoding": "base64",
            "filename": "plan.pdf",
            "content-type": "application/pdf",
        },
    }
    site.done(WRITER, "POST", projet, annex)
    site.open(meeting, projet)
    number = site.adopt(projet)
    site.move(MANAGER, meeting, "clore")
    uid = str(site.done(MANAGER, "GET", projet)["UID"])
    original = site.file("passerelle", f"{projet}/@@download/document/{number}.pdf")
    sent = original + b"\n% signature\n"
    told = {"uid": uid, "etat": "acquittee", "id_acte": f"059-215902669-20261126-{number}-DE"}
    site.done("passerelle", "POST", "/@suivi", told | {"date_reception": "2026-11-27"} | signed(sent))
    assert site.ask("GET", f"/gondecourt/publications/{number.lower()}").status == 404, "nobody chose yet"
    site.publish(projet, annexes="oui")
    yield Act(meeting, projet, number, uid, mark, sent)
