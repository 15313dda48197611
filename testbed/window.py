"""A window of Chromium on the site of the délibérations."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from preuve_navigateur.chromium import Chromium

from testbed.deliberations import Site
from testbed.nss import trust
from testbed.patience import wait_for

ALLOWED = 180  # seconds, on a machine that is busy


class Window:
    """A window of Chromium which knows the groupement's authorities and finds the site alone."""

    def __init__(self, chromium: Chromium, site: Site, pictures: str) -> None:
        self._chromium = chromium
        self._site = site
        self._pictures = pictures

    def see(self, path: str, name: str, said: str) -> tuple[str, list[str]]:
        """Open a page, wait for what it has to say; gives what it shows and the addresses that it asked for."""
        self._chromium._events.clear()
        visit = self._chromium.visit(f"https://{self._site.name}{path}", ALLOWED)
        assert (visit.error, visit.status, visit.waited) == ("", 200, False), (path, visit.error, visit.status)
        text = ""

        def told() -> bool:
            nonlocal text
            text = str(self.run("document.body.innerText"))
            return said in text

        wait_for(told, lambda: f"« {said} » sur {path}, qui montre « {text[:500]} »", every=1)  # lists come by scripts
        if self._pictures:
            Path(self._pictures, f"{name}.png").write_bytes(visit.picture)
        return text, self.asked()

    def draw(self, page: Path) -> None:
        """Leave a picture of a page of this machine, beside it."""
        page.with_suffix(".png").write_bytes(self._chromium.visit(page.as_uri(), ALLOWED).picture)

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
        classes = "document.body ? document.body.className : ''"
        wait_for(lambda: "userrole-authenticated" in str(self.run(classes)), f"la connexion de {login}", every=1)


@contextmanager
def open_window(site: Site, folder: Path, pictures: str = "") -> Iterator[Window]:
    """Open one.

    Args:
        site: the site, of which the authorities are trusted.
        folder: an empty one, of the browser's.
        pictures: folder where pictures of the pages are left, for people to look at.
    """
    trust(folder, site.trust)
    program = folder / "chromium"
    program.write_text(
        "#!/bin/sh\n"
        f"export HOME={folder}\n"
        # In a container, root has no other sandbox than the machine's.
        "exec /usr/bin/chromium --no-sandbox --disable-gpu "
        f"'--host-resolver-rules=MAP {site.name} {site.address}, MAP * ~NOTFOUND, EXCLUDE {site.address}' \"$@\"\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    with Chromium(program=str(program)) as chromium:
        yield Window(chromium, site, pictures)
