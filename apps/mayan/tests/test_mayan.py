"""Mayan with what we add to it: accounts, tokens, open pages, circuits, doors, in a process of its own Python."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
from pathlib import Path

import pytest
import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.host import locked_venv
from cryptography.hazmat.primitives.asymmetric import ec
from reportlab.pdfgen import canvas
from signature_actes import receive

from apps.signature.tests.conftest import PEM, Issuer, private_pem
from testbed.patience import allowed
from testbed.unix import UnixService

HERE = Path(__file__).parent
ROLE = HERE.parents[2] / "roles" / "mayan"
LOOS = "215903600"
CACHE = Path("~/.cache/creatic").expanduser()


def wanted() -> locked_venv.Wanted:
    """The environment that the role installs."""
    tasks = yaml.safe_load((ROLE / "tasks" / "environment.yml").read_text(encoding="utf-8"))
    [given] = [one["cdg59.creatic.locked_venv"] for one in tasks if "cdg59.creatic.locked_venv" in one]
    variables = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))
    files = ROLE / "files"
    return locked_venv.Wanted(
        Path(given["root"]),
        files / given["requirements"],
        files / given["build_requirements"],
        tuple(given["assets_command"]),
        files / given["assets_lock"],
        {path: (files / name).read_bytes() for path, name in variables["__mayan_site_packages"].items()},
    )


@pytest.fixture(scope="session")
def python() -> Path:
    """Mayan's Python, unpacked once from the bundle that a deployment left in the cache."""
    name = wanted().name
    bundle, unpacked = CACHE / "bundles" / f"{name}.tar", CACHE / "essais"
    if not bundle.exists() or not Path(locked_venv.PYTHON).exists():
        pytest.skip(f"needs {locked_venv.PYTHON}, and Mayan's bundle, which deploying the GED or the parapheur makes")
    unpacked.mkdir(exist_ok=True)
    with (unpacked / ".verrou").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not locked_venv.is_installed(unpacked, name):
            locked_venv.install(unpacked, name, bundle)
        locked_venv.remove_others(unpacked, [name])
    return unpacked / name / "bin" / "python"


class Signatures(UnixService):
    """The service that prepares, judges and signs: the real one, but for its seal."""

    def __init__(self, path: Path, issuer: Issuer) -> None:
        signers = {"autorites": [str(issuer.folder / "ca.pem")], "crl": [str(issuer.folder / "crl.pem")]}
        self._config = {"signataires": signers}
        super().__init__(path)

    def _answer(self, link: socket.socket) -> None:
        with link.makefile("rb") as source, link.makefile("wb") as target:
            receive.answer(source, target, self._config)


@pytest.fixture
def signatures(tmp_path: Path) -> dict[str, str]:
    """The service of signatures, people's keys, and documents, for `lots_in_process`."""
    folder = tmp_path / "lots"
    folder.mkdir()
    issuer = Issuer("du prestataire", folder / "prestataire")
    people = {
        "claire": issuer.person("Claire Dubois", LOOS),
        "claire-ec": issuer.person("Claire Dubois", LOOS, key=ec.generate_private_key(ec.SECP256R1())),
        "anne": issuer.person("Anne Petit", LOOS),
    }
    for name, (certificate, key) in people.items():
        chain = [one.public_bytes(PEM).decode() for one in (certificate, issuer.issuing[0])]
        (folder / f"{name}.json").write_text(json.dumps(chain), encoding="ascii")
        (folder / f"{name}.key").write_bytes(private_pem(key))
    for name in ("acte", "corrige"):
        page = canvas.Canvas(str(folder / f"{name}.pdf"))
        page.drawString(100, 700, f"Délibération 2026-11-05 : {name}")
        page.save()
    Signatures(folder / "sceau.sock", issuer)
    return {"CREATIC_LOTS": str(folder), "CREATIC_SCEAU": str(folder / "sceau.sock")}


@pytest.mark.costly
@pytest.mark.parametrize("script", ["in_process.py", "doors_in_process.py", "lots_in_process.py"])
def test_mayan(python: Path, script: str, tmp_path: Path, signatures: dict[str, str]) -> None:
    done = subprocess.run(
        [python, "-B", "-W", "ignore", HERE / script],
        # Mayan keeps its locks in the last one.
        env=os.environ
        | (signatures if script.startswith("lots") else {})
        | {"HOME": "/nonexistent", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=allowed(300),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
