"""An authority of its own for each test, a clock which can be moved, and openssl as the judge."""

from __future__ import annotations

import datetime as dt
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.pki import common as pki_common
from ansible_collections.cdg59.creatic.plugins.module_utils.pki import host as pki_host
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import Request

from creatic.pki import authority as pki
from creatic.pki import deadlines as pki_deadlines
from creatic.pki import renewal as pki_renewal
from creatic.pki import upkeep as pki_upkeep
from creatic.pki import x509 as pki_x509
from creatic.pki.authority import Authority
from creatic.pki.keys import Passphrases
from creatic.pki.registry import Owner
from creatic.pki.x509 import Settings

SETTINGS = Settings("Groupement Cre@tic", "Cre@tic essai", "1.3.6.1.4.1.59999.59.1", "http://pki.creatic.test")
CLIENT = Request("tdt", "client", "Connecteur de Gondecourt", "Commune de Gondecourt", "215902669")
SERVER = Request("web", "server", "tdt.creatic.test", dns=("tdt.creatic.test", "www.creatic.test"))
SIGNATURE = Request("preuves", "signature", "Preuves de déploiement", "Groupement Cre@tic")
TSA = Request("horodatage", "tsa", "Horodatage du groupement", "Groupement Cre@tic")
SUPERVISION = Request("supervision", "supervision", "veille", dns=("veille",))
CODE = Request("programmes", "code", "Groupement Cre@tic", "Groupement Cre@tic", key_type="rsa", holder="service")
HOST = Owner("gondecourt-connecteur", "gondecourt")


def followed(work: Callable[..., Any], end: Callable[[], object]) -> Callable[..., None]:
    """The same work, after which the process ends."""

    def then_die(*arguments: Any) -> None:
        work(*arguments)
        end()

    return then_die


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "pki"


@pytest.fixture
def begun() -> dt.datetime:
    """When the test began, before its authority was made: what moves a clock counts from there, at any pace."""
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


@pytest.fixture
def authority(directory: Path, begun: dt.datetime) -> Authority:
    made = Authority(directory, Passphrases(directory, generate=True))
    made.ensure(SETTINGS)
    return made


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch, begun: dt.datetime) -> Callable[[int], None]:
    """Stop every clock of the PKI that many days after the test's beginning."""

    def move(days: int) -> None:
        for module in (pki, pki_common, pki_deadlines, pki_host, pki_renewal, pki_upkeep, pki_x509):
            monkeypatch.setattr(module, "utc_now", lambda: begun + dt.timedelta(days=days))

    return move


def issue(authority: Authority, request: Request = CLIENT, owner: Owner = HOST) -> pki.Issued:
    """Make a key and have it certified."""
    return authority.issue(request.csr(request.new_key()), request, owner)


def openssl(*arguments: str | Path, text: str = "", ok: bool = True) -> str:
    """Run openssl; returns what it printed. `ok` is whether it must succeed."""
    done = subprocess.run(["openssl", *map(str, arguments)], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout + done.stderr


def judge(authority: Authority, tmp_path: Path, pem: str, *options: str, ok: bool = True) -> str:
    """Have openssl verify a certificate against what the authority publishes, CRLs included."""
    leaf = tmp_path / "leaf.pem"
    leaf.write_text(pem)
    published = authority.directory / "publie"
    root, issuing, crl = published / "racine.pem", published / "emettrice.pem", published / "crl.pem"
    arguments: tuple[str | Path, ...] = ("-crl_check_all", "-CAfile", root, "-untrusted", issuing, "-CRLfile", crl)
    return openssl("verify", "-x509_strict", *arguments, *options, leaf, ok=ok)
