"""The same of a Windows PC, as far as Wine is one: what it did is read in its registry, in its stores and at servers,
since much of Wine answers that all is well.
"""

from __future__ import annotations

import html
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from creatic.audit import postes
from testbed.control_node import HOME
from testbed.patience import wait_for
from testbed.poste import LONG, computer
from testbed.wine import RUN, Seat, beside, dos, seated

from .test_poste import (
    DOOR,
    HOLDER,
    HOSTS,
    ISSUED,
    LOGIN,
    MAYOR,
    PARAPHEUR,
    PROVIDER,
    TRANSMISSION,
    audited,
    brought,
    certified,
    described,
    gone_after,
    judged,
    lasting,
    number,
    provided,
    revoked,
    to_sign,
)

pytestmark = pytest.mark.pc

COMPUTER, PASSWORD = "pc-conseil", "mot de passe é"
NAME = f"gondecourt-{COMPUTER}"
FILE, SECRET = "essai-maire.p12", "essai-maire.mdp"
SIGNATURE = {"titulaire": MAYOR, "usage": "signature", "source": "fichier", "fichier": FILE, "secret": SECRET}
INSTALLED = r"C:\Program Files\creatic-poste"
PROGRAM = rf"{INSTALLED}\creatic-poste.exe"


@contextmanager
def delivered() -> Iterator[Path]:
    """The maire's .p12, as the provider gave it, where the commune's file says."""
    key, leaf = provided()
    above = x509.load_pem_x509_certificates((PROVIDER / "publie/emettrice.pem").read_bytes())
    how = serialization.BestAvailableEncryption(PASSWORD.encode())
    file, secret = (HOME / "secrets" / one for one in (FILE, SECRET))
    file.write_bytes(pkcs12.serialize_key_and_certificates(b"maire", key, leaf, above, how))
    secret.write_text(f"{PASSWORD}\n", encoding="utf-8")
    secret.chmod(0o600)
    try:
        yield file
    finally:
        file.unlink()
        secret.unlink()


def address(waiting: dict[int, str]) -> str:
    """The maire chooses dossiers on the page; what it opens."""
    headers = PARAPHEUR.browser(LOGIN)
    page = PARAPHEUR.ask("GET", "/parapheur/", headers).data.decode()
    asked = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert asked, page
    fields = [("csrfmiddlewaretoken", asked[1])]
    for one in waiting:
        value = re.search(rf'name="dossier" type="checkbox" value="({one}:\d+)"', page)
        assert value, page
        fields.append(("dossier", value[1]))
    more = {"Referer": f"https://{PARAPHEUR.name}/parapheur/"}
    sent = PARAPHEUR.ask("POST", "/parapheur/", headers | more, fields=fields, encode_multipart=False)
    place = sent.headers.get("Location") or sent.headers["X-Redirect-Location"]
    opened = PARAPHEUR.ask("GET", place.removeprefix(f"https://{PARAPHEUR.name}"), headers).data.decode()
    found = re.search(r'href="(creatic:[^"]+)"', opened)
    assert found, opened
    return html.unescape(found[1])


def sign(seat: Seat, clicker: Path, waiting: dict[int, str]) -> None:
    """Windows opens the program by the address, and the maire agrees."""
    quiet = subprocess.DEVNULL  # what is opened has its own time
    subprocess.run(seat.command("start", address(waiting)), check=True, stdin=quiet, stdout=quiet, stderr=quiet)
    title = "Signature de documents"
    steps = [{"title": title, "has": 101, "press": 1}, {"title": title, "press": 1}]
    shown = seat.run(clicker, json.dumps(steps))
    assert all(one in shown for one in waiting.values()), shown
    assert f"{len(waiting)} documents signés." in shown, shown
    assert "a_signer" not in [PARAPHEUR.shown(one)["etat"] for one in waiting]


def test_a_windows_pc_is_equipped_signs_renews_and_is_refused_once_revoked(tmp_path: Path) -> None:
    inventory = described(tmp_path, COMPUTER, "windows", ISSUED, SIGNATURE)
    with delivered() as file:
        shared = brought(inventory, tmp_path, NAME)
        (shared / FILE).write_bytes(file.read_bytes())
        clicker, visitor = (beside(one, shared) for one in ("clicker", "visitor"))
        for one in shared.iterdir():
            one.chmod(0o755)
        with gone_after(inventory, NAME), computer(COMPUTER, shared, HOSTS) as pc, seated(pc) as seat:
            scene(inventory, seat, shared, clicker, visitor)


def scene(inventory: Path, seat: Seat, shared: Path, clicker: Path, visitor: Path) -> None:
    package, root, before = shared / "poste.msi", HOME / "pki/publie/racine.pem", seat.state()
    asked: list[str | Path] = ["osslsigncode", "verify", "-CAfile", root, "-TSA-CAfile", root, "-in", package]
    subprocess.run(asked, check=True, stdout=subprocess.DEVNULL)
    seat.msiexec("/i", package)
    opens = seat.query(RUN)[RUN.replace("HKLM", "HKEY_LOCAL_MACHINE")]["creatic-poste"].replace("\\\\", "\\")
    told = re.fullmatch(r'"([^"]+)" (\w+)', opens)
    assert told and told[1].startswith(INSTALLED), opens
    with lasting(80):
        certified(inventory, NAME, seat.command(*told.groups()))  # the first session
    [first] = seat.certificates()
    [container] = seat.containers()

    def visit(door: str) -> str:
        return seat.run(visitor, rf"{INSTALLED}\poste.json", door)

    # What the servers saw, by the key that stays in Windows.
    assert HOLDER in visit(DOOR) and number(first) in visit(TRANSMISSION)
    assert "installé" in seat.run(PROGRAM, "fichier", dos(shared / FILE), typed=f"{PASSWORD}\n")
    assert len(seat.certificates()) == 2
    waiting = to_sign()
    sign(seat, clicker, waiting)
    judged(waiting, shared.parent / "juges")
    assert "installé, jusqu'au" in certified(inventory, NAME, seat.command(PROGRAM, "renouveler"))
    assert first not in seat.certificates() and container not in seat.containers()
    [second] = [one for one in seat.certificates() if one.issuer == first.issuer]
    assert number(second) in visit(TRANSMISSION)
    assert "installé, jusqu'au" in seat.run(PROGRAM, "verifier")
    assert "sont envoyés au groupement" in seat.run(PROGRAM, "constats")
    assert audited(inventory, NAME)["etat"] == postes.JUDGED
    revoked(inventory, NAME, number(second), visit)
    said = seat.run(PROGRAM, "renouveler", "--json")
    assert json.loads(said)["certificats"][0]["cause"] == "certificat_refuse", said
    assert second in seat.certificates()
    seat.msiexec("/x", package)
    wait_for(lambda: seat.state() == before, lambda: f"plus rien : {seat.state()}", LONG / 10)
