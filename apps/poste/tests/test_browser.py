"""A page opens the program in a real browser: by the .deb's own handler, on a PC of its own, whose person sees windows.

The page is of a site that stands for the parapheur (`test_signer.Site`).
"""

from __future__ import annotations

import datetime as dt
import html
import os
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from apps.poste.tests.test_installer import maker
from apps.poste.tests.test_poste import TDT, pem
from apps.poste.tests.test_signer import PIN, SIGNATURE, Site, judged, site
from apps.signature.tests.conftest import SIREN, Issuer, issuer, private_pem
from creatic.postes.installer import Maker
from testbed.patience import wait_for
from testbed.poste import AGREE, ENTER, LIBRARY, OPEN, computer, plug_in, screen

__all__ = ["issuer", "maker", "site"]  # fixtures
NAME = "gondecourt-pc-maire"

pytestmark = [
    pytest.mark.costly,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a PC is a mount namespace"),
    pytest.mark.skipif(
        not all(map(shutil.which, ("go", "chromium", "Xvfb", "xdotool", "zenity", "xdg-open", "softhsm2-util"))),
        reason="needs Go, Chromium, Xvfb, xdotool, zenity, xdg-utils and SoftHSM2 (scripts/bootstrap)",
    ),
]


def test_a_page_opens_the_program_and_a_lot_is_signed_by_the_token(
    maker: Maker, site: Site, issuer: Issuer, tmp_path: Path
) -> None:
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o711)  # the agent's way to what is shared
    shared = tmp_path / "partage"
    shared.mkdir()
    documents = [site.add(), site.add("xml")]
    certificate, key = issuer.person()
    described = {
        "groupement": "Groupement", "commune": "Gondecourt", "siren": SIREN, "poste": NAME, "nom": NAME,
        "enrolement": "https://localhost:1", "racines": [pem(site.authority.root)],
        "autorites": [pem(issuer.issuing[0])], "tdt_autorites": [], "tdt": TDT, "sites": [site.origin],
        "certificats": [SIGNATURE | {"source": "jeton", "bibliotheque": str(LIBRARY), "jeton": "mairie"}],
    }  # fmt: skip # as the file is
    package = maker.make(described, "debian", None, shared, dt.datetime.now(dt.UTC))
    (shared / "cle.pem").write_bytes(private_pem(key))
    (shared / "certificat.der").write_bytes(certificate.public_bytes(serialization.Encoding.DER))
    for file in shared.iterdir():
        file.chmod(0o644)
    page = shared / "page.html"
    ours = [Path("/usr/bin/creatic-poste"), Path("/etc/creatic/poste.json"), Path("/home/agent")]
    before = [path.exists() for path in ours]
    with computer(NAME, shared, {}) as pc, screen(pc) as seen:
        assert "posé" in pc.run("dpkg", "-i", package, account="root")
        plug_in(pc, "mairie", shared / "cle.pem", shared / "certificat.der", PIN)
        with seen.browser() as window:
            page.write_text(f'<a href="{html.escape(site.address())}">Signer</a>', encoding="utf-8")
            window.goto(page.as_uri())
            window.get_by_role("link").click()
            seen.press("class", "chromium", OPEN)
            seen.answer(AGREE)
            seen.answer(ENTER, PIN)
            wait_for(lambda: site.count == 2, lambda: f"deux signatures, le site a vu {site.asked}")
            seen.answer(ENTER)
        assert "Ce PC est prêt" in pc.run("creatic-poste", "verifier")
    judged(issuer, *documents)
    assert [path.exists() for path in ours] == before and not [*tmp_path.glob("partage-*")]
