"""The control node's state that came back in a folder apart (fab sauvegarde.exercice poste-de-commande): it opens, it
signs, it verifies, and nothing of it is missing. With --home, it is compared with the state it was saved from."""

from __future__ import annotations

import datetime as dt
import fnmatch
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError, Request
from cryptography.hazmat.primitives.serialization import pkcs12

from creatic.access import authority as access
from creatic.evidence import store as evidence_store
from creatic.evidence.seal import sha256
from creatic.pki.authority import Authority
from creatic.pki.registry import Owner

REQUEST = Request("essai", "client", "Essai de restauration", "Groupement Cre@tic", "285900015")
# Copied by SQLite, or made again by what works there, or never saved: what opens the backup, the lab's holders' keys.
ELSEWHERE = (
    "*.sqlite*",
    "*/verrou",
    "verrous/*",
    "*/.en-cours-*",
    "sauvegarde-du-poste/*",
    "titulaires/*.cle",
    "sauvegardes/poste-de-commande/*",
)


@pytest.fixture(scope="session")
def restored(pytestconfig: pytest.Config) -> Path:
    return Path(pytestconfig.getoption("--restored"))


@pytest.fixture(scope="session")
def live(pytestconfig: pytest.Config) -> Path:
    """The control node that works."""
    home = pytestconfig.getoption("--home")
    if not home:
        pytest.skip("le poste de commande est perdu : rien à comparer")
    return Path(home)


def test_nothing_older_than_the_backup_is_missing(restored: Path, live: Path) -> None:
    """Whatever lies in the state's folder is saved, without being declared. First: what follows signs here."""
    found = json.loads((restored.parents[1] / "constats.json").read_text(encoding="utf-8"))
    began = dt.datetime.fromisoformat(found["restauration"]["date"]).timestamp()
    compared, missing = 0, []
    for path in live.rglob("*"):
        name = str(path.relative_to(live))
        if not path.is_file() or path.is_symlink() or any(fnmatch.fnmatch(name, one) for one in ELSEWHERE):
            continue
        if path.stat().st_mtime < began and path.stat().st_ctime < began:
            compared += 1
            copy = restored / name
            if not copy.is_file() or sha256(copy) != sha256(path):
                missing.append(name)
    assert missing == []
    assert compared > 50


def test_the_registry_is_whole_and_of_the_same_authority(restored: Path, live: Path) -> None:
    mine, its = Authority(restored / "pki"), Authority(live / "pki")
    assert mine.verify() == []
    roots = mine.roots().values()  # one may have been renewed since
    assert roots and all(root in its.published()["root"] for root in roots)
    serials = {row["serie"] for row in mine.listing()}
    assert serials
    assert serials <= {row["serie"] for row in its.listing()}


def test_the_issuing_authority_opens_and_signs(restored: Path, tmp_path: Path) -> None:
    authority = Authority(restored / "pki")
    issued = authority.issue(REQUEST.csr(REQUEST.new_key()), REQUEST, Owner("essai"))
    told = authority.published()
    for name, content in (("cert.pem", issued.pem), ("ca.pem", told["root"]), ("chain.pem", told["chain"])):
        (tmp_path / name).write_text(content, encoding="ascii")
    command: list[str | Path] = ["openssl", "verify", "-CAfile", tmp_path / "ca.pem"]
    done = subprocess.run(
        [*command, "-untrusted", tmp_path / "chain.pem", tmp_path / "cert.pem"], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert authority.verify() == []


def test_production_does_not_know_what_was_signed_here(live: Path) -> None:
    assert [row for row in Authority(live / "pki").listing() if row["hote"] == "essai"] == []


def test_the_ssh_authority_opens_and_signs(restored: Path, tmp_path: Path) -> None:
    key = tmp_path / "cle"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    demand = access.Demand(
        "auditeur", dt.timedelta(minutes=5), access.principals("auditeur", [], []), "Essai", "exercice", "essai"
    )
    _event, text = access.SshAuthority(restored / "acces").grant(demand, access.public_key(Path(f"{key}.pub")))
    (tmp_path / "cle-cert.pub").write_text(text, encoding="utf-8")
    shown = subprocess.run(
        ["ssh-keygen", "-L", "-f", tmp_path / "cle-cert.pub"], capture_output=True, text=True, check=True
    ).stdout
    ours = subprocess.run(
        ["ssh-keygen", "-l", "-f", restored / "acces" / "publie" / "autorite.pub"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[1]
    assert f"Signing CA: ED25519 {ours}" in shown


def test_every_evidence_verifies_in_its_chain(restored: Path) -> None:
    results = evidence_store.verify_home(restored, evidence_store.seal_keys(restored).root)
    assert {name: one.faults for name, one in results.items() if not one.intact} == {}


def opens(file: Path, password: bytes) -> bool:
    """Whether a .p12 opens with a password, and holds a key and its certificate."""
    try:
        key, certificate, _more = pkcs12.load_key_and_certificates(file.read_bytes(), password)
    except ValueError:
        return False
    return key is not None and certificate is not None


def test_secrets_are_those_of_their_files(restored: Path) -> None:
    """Passphrases of the authorities: above. Each provider's file opens with one of the passwords that came back."""
    secrets = restored / "secrets"
    assert secrets.stat().st_mode & 0o077 == 0
    files = list(secrets.glob("*.p12"))
    passwords = [path.read_bytes().strip() for path in secrets.iterdir() if path.is_file() and path not in files]
    assert [file.name for file in files if not any(opens(file, password) for password in passwords)] == []


def test_a_wrong_passphrase_signs_nothing(restored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the proof above is worth: the key is under its passphrase, which came back with it."""
    monkeypatch.setenv("CREATIC_PKI_EMETTRICE", "une autre phrase que la bonne")
    with pytest.raises(PkiError, match="Phrase secrète fausse"):
        Authority(restored / "pki").issue(REQUEST.csr(REQUEST.new_key()), REQUEST, Owner("essai"))


def test_the_administrators_key_opens_a_machine(restored: Path, whole_inventory: dict[str, Any]) -> None:
    variables = whole_inventory["_meta"]["hostvars"]
    server = variables[min(whole_inventory["backup_server"]["hosts"])]
    options = [
        "-F",
        "none",
        "-i",
        str(restored / "ssh" / "id_ed25519"),
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "BatchMode=yes",
    ]
    options += ["-o", f"UserKnownHostsFile={restored / 'ssh' / 'known_hosts'}", "-o", "StrictHostKeyChecking=yes"]
    target = f"{server['ansible_user']}@{server['ansible_host']}"
    done = subprocess.run(["ssh", *options, target, "true"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
