"""Mayan with what we add to it: accounts, tokens, open pages, circuits, doors, in a process of its own Python."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.host import locked_venv
from cryptography.hazmat.primitives.asymmetric import ec
from reportlab.pdfgen import canvas
from signature_actes import receive

from apps.signature.tests.conftest import PEM, Issuer, private_pem
from testbed.browser import Person, people
from testbed.patience import allowed
from testbed.unix import UnixService

HERE = Path(__file__).parent
ROLE = HERE.parents[2] / "roles" / "mayan"
LOOS = "215903600"
CACHE = Path("~/.cache/creatic").expanduser()
WEASYPRINT = str(Path(sys.executable).with_name("weasyprint"))  # machines have Debian's


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
@pytest.mark.parametrize(
    "script", ["in_process.py", "doors_in_process.py", "lots_in_process.py", "arretes_in_process.py"]
)
def test_mayan(python: Path, script: str, tmp_path: Path, signatures: dict[str, str]) -> None:
    done = subprocess.run(
        [python, "-B", "-W", "ignore", HERE / script],
        # Mayan keeps its locks in the last one.
        env=os.environ
        | (signatures if script.startswith("lots") else {})
        | {"HOME": "/nonexistent", "TMPDIR": str(tmp_path), "CREATIC_WEASYPRINT": WEASYPRINT},
        capture_output=True,
        text=True,
        timeout=allowed(300),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]


@pytest.mark.costly
def test_the_page_opens_the_program_and_shows_each_document(
    python: Path, signatures: dict[str, str], tmp_path: Path
) -> None:
    """By the keyboard alone, under the policy that nginx gives; axe has nothing grave to say."""
    variables = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))
    policy = variables["__mayan_content_security_policy"].strip()
    folder, home = Path(signatures["CREATIC_LOTS"]), tmp_path / "maison"
    home.mkdir()
    mayan = subprocess.Popen(
        [python, "-B", "-W", "ignore", HERE / "lots_page_in_process.py"],
        env=os.environ | signatures | {"HOME": "/nonexistent", "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "mayan.log").open("wb"),
        text=True,
    )
    assert mayan.stdin and mayan.stdout

    def asked(line: str) -> str:
        assert mayan.stdin and mayan.stdout
        mayan.stdin.write(f"{line}\n")
        mayan.stdin.flush()
        return mayan.stdout.readline().strip()

    def under_the_policy(route: Any) -> None:
        answer = route.fetch(max_redirects=0)
        route.fulfill(response=answer, headers=answer.headers | {"content-security-policy": policy})

    try:
        url = mayan.stdout.readline().strip()
        assert url, (tmp_path / "mayan.log").read_text(encoding="utf-8")[-3000:]
        authorities = str(folder / "prestataire" / "ca.pem")
        with people({"localhost": "127.0.0.1"}, authorities, home) as browsers, browsers.one() as maire:
            page, faults = maire.page, []
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.route("**/parapheur/**", under_the_policy)
            maire.go(f"{url}/authentication/login/?next=/parapheur/")
            page.locator("input[type=text]").first.fill("claire.dubois")
            page.locator("input[type=password]").fill("Choisi-par-moi-8")
            page.keyboard.press("Enter")
            page.wait_for_url(f"{url}/parapheur/")
            assert maire.faults() == []
            maire.by_keyboard("Les signer tous (2)")
            opens = page.locator("#lot-ouvrir").get_attribute("href") or ""
            assert opens.startswith("creatic:signer?site=https%3A%2F%2Fp.test&lot=")
            assert opens.rpartition("=")[2] not in page.url
            page.locator("#lot-aide").wait_for(state="visible")  # nobody answers
            assert "n'est peut-être pas installé" in maire.read()
            assert maire.faults() == []
            assert asked(opens) == "2"
            page.locator("#lot-aide").wait_for(state="hidden")
            for given, said, now in (
                ("right", "signe", "Signature en cours sur votre poste : 1 sur 2."),
                ("wrong", "refuse", "1 document signé, sur 2."),
            ):
                assert asked(given) == said
                page.get_by_text(now).wait_for()
            assert "la signature reçue n'est pas de ce document" in maire.read()
            assert maire.faults() == []
            # In another tab: the browser's own question, whether the program may open, has this one's keyboard.
            again = Person(page.context.new_page())
            again.go(page.url)
            assert "1 signé" in again.read()
            assert again.page.locator("#lot-ouvrir").count() == 0
            again.by_keyboard("Recommencer, pour ce qui n'est pas signé")
            assert again.page.locator("tbody tr").count() == 1
            assert faults == []
    finally:
        mayan.stdin.close()
        mayan.wait(allowed(60))
    assert mayan.returncode == 0, (tmp_path / "mayan.log").read_text(encoding="utf-8")[-3000:]
