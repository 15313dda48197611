"""What nginx trusts follows the files of the host, whenever they are written."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from testbed.patience import allowed

SCRIPT = Path(__file__).parents[3] / "roles/nginx_tls/files/nginx-tls-trust"


class Site:
    """A site's files, with a systemctl that notes what is asked of it."""

    def __init__(self, root: Path, active: bool) -> None:
        self.root, self.log = root, root / "appels"
        self.ca, self.crl, self.joined = root / "ca.pem", root / "crl.pem", root / "site.ca.pem"
        self.ca.write_text("ancienne\n")
        self.crl.write_text("liste 1\n")
        (root / "site.trust").write_text(f"{self.joined} {self.ca}\n{root}/site.crl.pem {self.crl}\n")
        self.program("systemctl", f'echo "$1" >>{self.log}; [ "$1" != is-active ] || exit {0 if active else 3}')
        self.program("sleep", "true")

    def program(self, name: str, what: str) -> None:
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{what}\n")
        path.chmod(0o755)

    def join(self) -> list[str]:
        """Run it as its unit does; gives what was asked of systemd."""
        self.log.unlink(missing_ok=True)
        text = SCRIPT.read_text(encoding="utf-8").replace("/etc/nginx/creatic", str(self.root))
        path = os.environ | {"PATH": f"{self.root / 'bin'}:/usr/bin:/bin"}
        subprocess.run(["/bin/sh", "-c", text], env=path, check=True, timeout=allowed(30))
        return self.log.read_text().split() if self.log.exists() else []


@pytest.fixture
def site(tmp_path: Path) -> Site:
    found = Site(tmp_path, active=True)
    found.join()
    return found


def test_a_change_reloads_nginx_once(site: Site) -> None:
    assert "reload" not in site.join()
    site.ca.write_text("ancienne\nnouvelle\n")
    assert site.join().count("reload") == 1
    assert site.joined.read_text() == "ancienne\nnouvelle\n"


@pytest.mark.parametrize("first", ["liste 1\n", "liste 2\n"], ids=["nothing before", "its list before"])
def test_what_is_written_while_it_runs_is_not_missed(site: Site, first: str) -> None:
    """systemd watches nothing until it ends: an authority comes after its list, a link after its folder."""
    site.crl.write_text(first)
    site.program("sleep", f"[ -e {site.root}/venue ] || echo nouvelle >>{site.ca}; touch {site.root}/venue")
    assert "reload" in site.join()
    assert site.joined.read_text() == "ancienne\nnouvelle\n"


def test_before_nginx_starts_nothing_is_waited_for(tmp_path: Path) -> None:
    site = Site(tmp_path, active=False)
    site.program("sleep", f"echo sleep >>{site.log}")
    assert {*site.join()} == {"is-active"}
    assert site.joined.read_text() == "ancienne\n"
