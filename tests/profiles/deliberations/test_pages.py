"""Pages as a browser draws them: French, and nothing of them asks another server."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from preuve_navigateur.chromium import Chromium

from tests.profiles.deliberations.conftest import MANAGER, MEETINGS, Act, Site

ALLOWED = 180  # seconds, on a machine that is busy
# Where pictures of the pages are left, for people to look at.
PICTURES = os.environ.get("CREATIC_IMAGES", "")


class Window:
    """A window of Chromium which knows the groupement's authorities and finds the site alone."""

    def __init__(self, chromium: Chromium, site: Site) -> None:
        self._chromium = chromium
        self._site = site

    def see(self, path: str, name: str, said: str) -> tuple[str, list[str]]:
        """Open a page, wait for what it has to say; gives what it shows and the addresses that it asked for."""
        self._chromium._events.clear()
        visit = self._chromium.visit(f"https://{self._site.name}{path}", ALLOWED)
        assert (visit.error, visit.status, visit.waited) == ("", 200, False), (path, visit.error, visit.status)
        deadline = time.monotonic() + ALLOWED
        while said not in (text := str(self.run("document.body.innerText"))):  # lists come by scripts
            assert time.monotonic() < deadline, (path, text[:500])
            time.sleep(1)
        if PICTURES:
            Path(PICTURES, f"{name}.png").write_bytes(visit.picture)
        return text, self.asked()

    def asked(self) -> list[str]:
        """Addresses asked for, or meant to be: what a policy stopped counts too."""
        events = self._chromium._events
        urls = [
            event["params"]["request"]["url"] for event in events if event.get("method") == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith(("data:", "blob:", "about:"))]

    def run(self, script: str) -> Any:
        """Run a script in the page."""
        deadline = time.monotonic() + ALLOWED
        targets = self._chromium._call(deadline, "Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        session = self._chromium._call(deadline, "Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        value = self._chromium._call(deadline, "Runtime.evaluate", session, expression=script, returnByValue=True)
        return value["result"].get("value")

    def log_in(self, login: str) -> None:
        """Log in by the form, as people do."""
        self.see("/login", "connexion", "Mot de passe")
        password = self._site.password(login)
        self.run(
            f"document.querySelector('[name=__ac_name]').value='{login}';"
            f"document.querySelector('[name=__ac_password]').value='{password}';"
            "document.querySelector('[name=\"buttons.login\"]').click()"
        )
        deadline = time.monotonic() + ALLOWED
        while "userrole-authenticated" not in str(self.run("document.body ? document.body.className : ''")):
            assert time.monotonic() < deadline, "la connexion n'aboutit pas"
            time.sleep(1)


@pytest.fixture
def window(site: Site, tmp_path: Path) -> Iterator[Window]:
    store = tmp_path / ".pki" / "nssdb"
    store.mkdir(parents=True)
    database = f"sql:{store}"
    subprocess.run(["certutil", "-N", "-d", database, "--empty-password"], check=True)
    # One authority a call: certutil reads the first certificate of a file.
    ends = "-----END CERTIFICATE-----\n"
    parts = Path(site.trust).read_text(encoding="utf-8").split(ends)
    for rank, part in enumerate(part for part in parts if part.strip()):
        (tmp_path / "ca.pem").write_text(part + ends, encoding="utf-8")
        subprocess.run(
            ["certutil", "-A", "-d", database, "-n", f"ca{rank}", "-t", "C,,", "-i", str(tmp_path / "ca.pem")],
            check=True,
        )
    program = tmp_path / "chromium"
    program.write_text(
        "#!/bin/sh\n"
        f"export HOME={tmp_path}\n"
        # In a container, root has no other sandbox than the machine's.
        "exec /usr/bin/chromium --no-sandbox --disable-gpu "
        f"'--host-resolver-rules=MAP {site.name} {site.address}, MAP * ~NOTFOUND, EXCLUDE {site.address}' \"$@\"\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    with Chromium(program=str(program)) as chromium:
        yield Window(chromium, site)


def elsewhere(site: Site, urls: list[str]) -> list[str]:
    return [url for url in urls if urlsplit(url).hostname != site.name]


def test_public_pages_ask_nothing_of_others_and_are_french(site: Site, act: Act, window: Window) -> None:
    for name, path, said in (
        ("accueil", "/", "Délibérations des communes"),
        ("decisions", "/gondecourt/decisions", "Conseil municipal"),
        ("publications", "/gondecourt/publications", act.mark),
        ("publication", act.page, "Ouvrir le document (PDF)"),
        ("connexion", "/login", "Mot de passe"),
    ):
        text, urls = window.see(path, name, said)
        assert len(urls) > 5, path
        assert elsewhere(site, urls) == [], path
        for foreign in ("Log in", "Category", "Decisions", "IMIO", "Belgi", "Plone", "tutelle"):
            assert foreign not in text, (path, foreign)


def test_pages_of_agents_ask_nothing_of_others(site: Site, act: Act, window: Window) -> None:
    window.log_in(MANAGER)
    for name, path, said in (
        ("preparation", MEETINGS, "Ajouter une séance"),
        ("seance", act.meeting, "Ordre du jour"),
        ("projet", act.projet, "Reçue en préfecture"),
        ("nouvelle_seance", f"{MEETINGS}/++add++seance", "Membres en exercice"),
    ):
        _text, urls = window.see(path, name, said)
        assert elsewhere(site, urls) == [], path


def test_a_request_elsewhere_is_seen(site: Site, window: Window) -> None:
    """What the two tests above rest on."""
    window.see("/", "temoin", "Délibérations")
    window.run("new Image().src = 'https://ailleurs.test/x.png'")
    deadline = time.monotonic() + 10
    while not elsewhere(site, window.asked()) and time.monotonic() < deadline:
        time.sleep(0.5)
        window.run("1")
    assert elsewhere(site, window.asked()) == ["https://ailleurs.test/x.png"]
