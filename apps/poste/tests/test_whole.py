"""A Windows PC from its MSI to its uninstall, on a computer of its own name: what each step did is read in its
registry, in its stores, and by what doors saw.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import re
import secrets
import subprocess
from pathlib import Path

import pytest

from apps.poste.tests.test_installer import DESCRIBED, maker
from apps.poste.tests.test_poste import HOLDER, ISSUED, Door, authority, door, now, pem, sha256
from apps.poste.tests.test_signer import PASSWORD, SIGNATURE, TITLE, Site, judged, provided, site
from apps.signature.tests.conftest import Issuer, issuer
from creatic.postes.installer import Maker
from testbed.poste import computer
from testbed.wine import RUN, beside, dos, seated

__all__ = ["authority", "door", "issuer", "maker", "site"]  # fixtures
COMPUTER, FILE = "pc-conseil", "maire.p12"
INSTALLED = r"C:\Program Files\creatic-poste"
PROGRAM = rf"{INSTALLED}\creatic-poste.exe"

pytestmark = [
    pytest.mark.wine,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a PC is a mount namespace"),
]


def brought(maker: Maker, door: Door, site: Site, issuer: Issuer, shared: Path) -> None:
    """What is carried to the PC, and the maire's .p12."""
    token = base64.b32encode(secrets.token_bytes(32)).decode().rstrip("=")
    door.tokens[token] = COMPUTER
    changes = {
        "nom": COMPUTER, "poste": f"gondecourt-{COMPUTER}", "enrolement": f"https://localhost:{door.port}",
        "racines": [pem(door.authority.root), pem(site.authority.root)], "autorites": [pem(door.authority.issuing)],
        "sites": [site.origin], "certificats": [ISSUED, SIGNATURE | {"source": "fichier"}],
    }  # fmt: skip # as the file has it
    end = now() + dt.timedelta(days=14)
    maker.make(DESCRIBED | changes, "windows", (token, end), shared, now()).rename(shared / "poste.msi")
    provided(shared / FILE, issuer, issuer.person())


def test_a_pc_from_its_installer_to_its_uninstall(
    maker: Maker, door: Door, site: Site, issuer: Issuer, tmp_path: Path
) -> None:
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o711)  # the agent's way to what is shared
    shared = tmp_path / "partage"
    shared.mkdir()
    brought(maker, door, site, issuer, shared)
    clicker, visitor = (beside(one, shared) for one in ("clicker", "visitor"))
    for one in shared.iterdir():
        one.chmod(0o755)
    documents = [site.add(), site.add("xml")]
    with computer(COMPUTER, shared, {}) as pc, seated(pc) as seat:
        before = seat.state()
        seat.msiexec("/i", shared / "poste.msi")
        opens = seat.query(RUN)[RUN.replace("HKLM", "HKEY_LOCAL_MACHINE")]["creatic-poste"].replace("\\\\", "\\")
        told = re.fullmatch(r'"([^"]+)" (\w+)', opens)
        assert told and told[1].startswith(INSTALLED), opens
        seat.run(*told.groups())  # the first session
        assert seat.certificates() == door.issued and len(door.issued) == len(seat.containers()) == 1
        # By the key that stays in Windows.
        door.shown.clear()
        seat.run(visitor, rf"{INSTALLED}\poste.json", f"https://localhost:{door.port}/identite")
        assert [one[:2] for one in door.shown] == [("/identite", sha256(door.issued[0]))]
        assert "installé" in seat.run(PROGRAM, "fichier", dos(shared / FILE), typed=f"{PASSWORD}\n")
        quiet = subprocess.DEVNULL  # what is opened has its own time
        subprocess.run(seat.command("start", site.address()), check=True, stdin=quiet, stdout=quiet, stderr=quiet)
        steps = [{"title": TITLE, "has": 101, "press": 1}, {"title": TITLE, "press": 1}]
        assert "2 documents signés." in seat.run(clicker, json.dumps(steps))
        judged(issuer, *documents)
        assert "installé, jusqu'au" in seat.run(PROGRAM, "renouveler")
        former, second = door.issued
        assert second in seat.certificates() and former not in seat.certificates()
        assert f"({HOLDER}) : installé, jusqu'au" in seat.run(PROGRAM, "verifier")
        assert "sont envoyés au groupement" in seat.run(PROGRAM, "constats")
        door.revoked = "Ce certificat a été révoqué. Demandez-en un nouveau au groupement."
        [refused] = json.loads(seat.run(PROGRAM, "renouveler", "--json"))["certificats"]
        assert refused["cause"] == "certificat_refuse" and second in seat.certificates()
        seat.msiexec("/x", shared / "poste.msi")
        assert seat.state() == before
