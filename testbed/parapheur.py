"""The parapheur as people and the passerelle use it."""

from __future__ import annotations

import io
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reportlab.pdfgen import canvas

from testbed import helios
from testbed.ged import Store

SIRENS = {"gondecourt": "215902669", "la-madeleine": "215903683"}


def pdf(text: str) -> bytes:
    """A document of one page."""
    buffer = io.BytesIO()
    page = canvas.Canvas(buffer)
    page.drawString(100, 700, text)
    page.save()
    return buffer.getvalue()


def flow(mark: str) -> bytes:
    """A flow of accounts of Gondecourt, with one bordereau."""
    return helios.flow(f"PES{mark}", f"{SIRENS['gondecourt']}00011", slips=("B1",))


def word() -> str:
    """A word that nothing else holds."""
    return "".join("abcdefghij"[int(digit)] for digit in str(time.time_ns()))


@dataclass
class Parapheur(Store):
    """The parapheur, and the passwords of its accounts."""

    def password_file(self, login: str) -> Path:
        """Where the password of an account is."""
        folder = self.home / "secrets" / "parapheur"
        return folder / "admin" if login == "admin" else folder / "comptes" / login

    def deposit_act(self, login: str = "passerelle", content: bytes | None = None, **changes: str) -> Any:
        """Bring a document; the answer."""
        fields: dict[str, Any] = {
            "commune": "gondecourt", "circuit": "deliberation", "reference": f"deliberations:{word()}",
            "objet": "Budget primitif 2027", "numero": "2026-11-05", "date": "2026-11-05",
        } | changes  # fmt: skip # a table
        given = pdf(fields["reference"]) if content is None else content
        fields["fichier"] = ("flux.xml" if given.startswith(b"<") else "budget.pdf", given, "application/octet-stream")
        return self.api(login, "POST", "/creatic/dossiers/", fields=fields)

    def act(self, login: str, number: int, wish: str, file: bytes | None = None, **fields: str) -> Any:
        """What somebody does in a dossier; the answer."""
        given: dict[str, Any] = dict(fields)
        if file is not None:
            name = "flux-signe.xml" if file.startswith(b"<") else "acte-signe.pdf"
            given["fichier"] = (name, file, "application/octet-stream")
        return self.api(login, "POST", f"/creatic/dossiers/{number}/{wish}/", fields=given)

    def shown(self, number: int, login: str = "passerelle") -> dict[str, Any]:
        """A dossier, as somebody sees it."""
        answer = self.api(login, "GET", f"/creatic/dossiers/{number}/")
        assert answer.status == 200, answer.data[:300]
        found: dict[str, Any] = answer.json()
        return found

    def file(self, number: int, login: str = "passerelle") -> bytes:
        """Its last file."""
        answer = self.api(login, "GET", f"/creatic/dossiers/{number}/fichier/")
        assert answer.status == 200
        return bytes(answer.data)

    def page(self, login: str, path: str) -> Any:
        """One page of somebody's."""
        return self.ask("GET", path, self.browser(login))

    def send(self, login: str, path: str, fields: dict[str, Any]) -> Any:
        """Fill a form of a page as somebody's browser does; the answer."""
        headers = self.browser(login)
        page = self.ask("GET", path, headers)
        assert page.status == 200, page.status
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.data.decode())
        assert found, "la page n'a pas de formulaire"
        given = {"csrfmiddlewaretoken": found[1], **fields}
        return self.ask("POST", path, headers | {"Referer": f"https://{self.name}{path}"}, fields=given)
