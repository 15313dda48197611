"""A person signs an act at the PC with the token; the act is judged where it is received, and by poppler."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reportlab.pdfgen import canvas
from testinfra.host import Host

from creatic.pki.authority import Authority
from creatic.pki.keys import Passphrases
from testbed.commune_pc import typing
from testbed.programs import SIGNING


@pytest.fixture(scope="module")
def key(hostvars: dict[str, Any]) -> dict[str, str]:
    found = [one for one in hostvars["creatic_poste"]["certificats"] if one["usage"] == "signature"]
    if not found or found[0]["source"] != "jeton":
        pytest.skip("personne ne signe à ce poste")
    return dict(found[0])


@pytest.fixture(scope="module")
def pin(key: dict[str, str], creatic_home: Path) -> str:
    return (creatic_home / "secrets" / key["secret"]).read_text(encoding="ascii").strip()


@pytest.fixture(scope="module")
def folder(host: Host, hostvars: dict[str, Any], key: dict[str, str]) -> Iterator[str]:
    """A folder of the person's, with an act; gone afterwards."""
    account = hostvars["creatic_poste"]["compte"]
    buffer = io.BytesIO()
    page = canvas.Canvas(buffer)
    page.drawString(100, 700, f"Délibération signée par {key['titulaire']}")
    page.save()
    name = host.check_output(f"sudo -u {account} mktemp -d")
    act = b64encode(buffer.getvalue()).decode()
    host.check_output(f"echo {act} | base64 -d | sudo -u {account} tee {name}/acte.pdf >/dev/null")
    yield name
    host.check_output(f"sudo rm -r {name}")


@pytest.fixture(scope="module")
def signed(
    host: Host,
    hostvars: dict[str, Any],
    creatic_home: Path,
    folder: str,
    key: dict[str, str],
    pin: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The act as the person signed it, brought to the control node."""
    status, shown = typing(hostvars, creatic_home, f"cd {folder} && signer-acte acte.pdf", pin)
    assert status == 0, shown
    assert f"Signataire : {key['titulaire']}" in shown
    assert "Déposez dans le parapheur, tel quel, chaque fichier signé." in shown
    assert pin not in shown
    place = tmp_path_factory.mktemp("acte")
    for name in ("acte.pdf", "acte-signe.pdf"):
        with host.sudo():
            (place / name).write_bytes(b64decode(host.check_output(f"base64 -w0 {folder}/{name}")))
    return place / "acte-signe.pdf"


def verifier(signed: Path, key: dict[str, str], siren: str, published: Path) -> subprocess.CompletedProcess[str]:
    """``verifier-acte`` where the act is received: with what the provider of the token publishes."""
    code = "import sys; from signature_actes.cli import verifier; sys.exit(verifier())"
    return subprocess.run(
        [sys.executable, "-c", code, str(signed), "--signataire", key["titulaire"], "--siren", siren,
         "--origine", str(signed.with_name("acte.pdf")),
         "--autorites", str(published / "ca.pem"), "--crl", str(published / "crl.pem")],
        capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": SIGNING},
    )  # fmt: skip # one call by its parts


@pytest.mark.leaves_traces
def test_poppler_finds_the_signature_valid_and_trusted(
    signed: Path, key: dict[str, str], creatic_home: Path, tmp_path: Path
) -> None:
    subprocess.run(["certutil", "-N", "-d", f"sql:{tmp_path}", "--empty-password"], check=True)
    for name, flags in (("racine", "C,C,C"), ("emettrice", ",,")):
        subprocess.run(
            ["certutil", "-A", "-d", f"sql:{tmp_path}", "-n", name, "-t", flags, "-i",
             creatic_home / "prestataire" / "publie" / f"{name}.pem"], check=True,
        )  # fmt: skip # one call by its parts
    told = subprocess.run(
        ["pdfsig", "-nssdir", f"sql:{tmp_path}", signed],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"LC_ALL": "C"},
    ).stdout
    for words in (
        f"Signer Certificate Common Name: {key['titulaire']}",
        "Signature Type: ETSI.CAdES.detached",
        "Total document signed",
        "Signature Validation: Signature is Valid.",
        "Certificate Validation: Certificate is Trusted.",
    ):
        assert words in told, told


@pytest.mark.leaves_traces
def test_the_act_is_accepted_until_the_certificate_is_revoked(
    signed: Path, key: dict[str, str], hostvars: dict[str, Any], creatic_home: Path, tmp_path: Path
) -> None:
    siren = hostvars["creatic_commune"]["siren"]
    done = verifier(signed, key, siren, creatic_home / "prestataire" / "publie")
    assert (done.returncode, done.stderr) == (0, "")
    # The provider revokes it, in a copy: the PC's token goes on as it was.
    copy = Path(shutil.copytree(creatic_home / "prestataire", tmp_path / "prestataire"))
    serial = re.search(r'"serie": "([0-9A-F]+)"', done.stdout)
    assert serial
    Authority(copy, Passphrases(creatic_home / "prestataire")).revoke("compromission", serial=serial[1])
    done = verifier(signed, key, siren, copy / "publie")
    assert done.returncode == 1
    assert f"le certificat de {key['titulaire']} est révoqué depuis le" in done.stderr


def test_the_key_stays_in_the_token_and_asks_for_the_pin(
    host: Host, hostvars: dict[str, Any], key: dict[str, str]
) -> None:
    account = hostvars["creatic_poste"]["compte"]
    script = (
        "import pkcs11; from pkcs11 import Attribute as A, ObjectClass as C\n"
        f"token = pkcs11.lib({key['bibliotheque']!r}).get_token(token_label={key['jeton']!r})\n"
        "print(len(list(token.open().get_objects({A.CLASS: C.PRIVATE_KEY}))))"
    )
    assert host.check_output(f"sudo -u {account} -H python3 -c {shlex.quote(script)}") == "0"
    listing = host.check_output(f"sudo -u {account} -H modutil -list -dbdir sql:/home/{account}/.pki/nssdb")
    assert key["jeton"] not in listing


def test_the_watch_sees_the_signing_certificate(host: Host, key: dict[str, str]) -> None:
    table = host.check_output("creatic-certificats")
    assert len(re.findall(rf"{re.escape(key['titulaire'])} .* valide$", table, re.M)) == 1, table
