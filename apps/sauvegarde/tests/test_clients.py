"""A machine registers its own key for its backups, and no other one's."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from creatic_sauvegarde import keys

from apps.sauvegarde.tests.test_client import settings
from creatic.backup import clients as backup_clients


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Two machines as their profiles leave them in the registry."""
    found = {}
    for name in ("ecole", "mairie"):
        place = settings(tmp_path_factory.mktemp(name))
        object.__setattr__(place, "client", name)
        keys.ensure(place, only_ssh=True)
        found[name] = of(name, place.folder) | {"folder": place.folder}
    return found


def of(name: str, folder: Path) -> dict[str, Any]:
    return {
        "name": name,
        "key": (folder / "cle.pub").read_text(),
        "proof": (folder / keys.PROOF).read_text(),
        "sealed": "scellé",
    }


def ask(*clients: dict[str, Any]) -> tuple[list[str], list[str]]:
    told = backup_clients.sort(clients)
    assert all("proof" not in one for one in told["bons"])
    return [one["name"] for one in told["bons"]], told["refuses"]


def test_each_registers_its_own(made: dict[str, dict[str, Any]]) -> None:
    assert ask(made["ecole"], made["mairie"]) == (["ecole", "mairie"], [])


@pytest.mark.parametrize("proof", ["mairie", "ecole", ""])
def test_another_s_key_is_refused_and_its_machine_keeps_it(made: dict[str, dict[str, Any]], proof: str) -> None:
    key = made["mairie"]["key"]
    thief = {"name": "annexe", "key": key, "proof": made[proof]["proof"] if proof else "", "sealed": ""}
    good, [refused] = ask(thief, made["ecole"], made["mairie"])
    assert good == ["ecole", "mairie"]
    assert refused == (
        "annexe : rien ne prouve que cette clé est la sienne, qui est aussi donnée par mairie ; rejouez son profil"
    )
    # The same before the other one is registered, and with another comment.
    thief["key"] = " ".join(key.split()[:2]) + " autre"
    assert ask(thief)[0] == []


def test_a_key_that_was_copied_is_of_nobody(made: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    place = settings(tmp_path)
    for name in ("cle", "cle.pub"):
        (place.folder / name).write_bytes((made["mairie"]["folder"] / name).read_bytes())
        (place.folder / name).chmod(0o600)
    object.__setattr__(place, "client", "annexe")
    assert keys.ensure(place, only_ssh=True) == ["preuve de la clé SSH"]
    assert keys.ensure(place, only_ssh=True) == []
    good, refused = ask(of("annexe", place.folder), made["ecole"], made["mairie"])
    assert good == ["ecole"]
    assert [one.partition(" : ")[0] for one in refused] == ["annexe", "mairie"]


HEAD = b"\0\0\0\x0bssh-ed25519\0\0\0\x20"


@pytest.mark.parametrize(
    "key",
    [
        "", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-rsa AAAA", "pas une clé", 'command="sh" ssh-ed25519 AAAA',
        f"ssh-ed25519 {base64.b64encode(HEAD + bytes(31)).decode()}",
        f"ssh-ed25519 {base64.b64encode(HEAD + bytes(33)).decode()}",
        f"ssh-ed25519 {base64.b64encode(HEAD + bytes(32)).decode()}\nssh-ed25519 AAAA",
    ],
)  # fmt: skip # a case a line
def test_what_is_no_key_is_refused(made: dict[str, dict[str, Any]], key: str) -> None:
    good, [refused] = ask(made["mairie"] | {"name": "annexe", "key": key}, made["ecole"])
    assert (good, refused.partition(",")[0]) == (["ecole"], "annexe : cle.pub n'est pas une clé publique ssh-ed25519")


def test_a_proof_that_is_no_text_keeps_no_other(made: dict[str, dict[str, Any]]) -> None:
    good, refused = ask(made["ecole"], made["mairie"] | {"proof": "\ud800"})
    assert good == ["ecole"] and "rien ne prouve" in refused[0]
