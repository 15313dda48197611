"""Requests to Swift made on the nodes themselves: nobody else may reach the proxies, and that is tested too."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from creatic.registry import listing
from testbed.certificates import issued

TOP = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("swift_calls.py")
# The gateway's own account is Swift's administrator: what it is refused, everybody is.
ACCOUNT = "sae"


@dataclass
class Answer:
    """Answer of a proxy."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float


@dataclass
class Node:
    """A node of the room, over SSH."""

    name: str
    address: str
    server_name: str
    ssh: list[str] = field(repr=False)
    key: str = field(repr=False)
    keys: Path
    env: str

    def run(self, script: str, stdin: str = "", check: bool = True, timeout: float = 120) -> str:
        """Output of a shell script run as root."""
        command = [*self.ssh, "sudo", "sh", "-c", f"'{script}'"]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=timeout)
        assert not check or done.returncode == 0, f"{self.name}: {script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def calls(self, *calls: dict[str, Any], **plan: Any) -> list[Answer]:
        """Make requests on this node, by default to its proxy, as the administrator."""
        wanted = {"url": "http://127.0.0.1:8080", "name": self.server_name, "user": f"{ACCOUNT}:sae", "key": self.key}
        ready = [
            one | ({"body": base64.b64encode(one["body"]).decode()} if isinstance(one.get("body"), bytes) else {})
            for one in calls
        ]
        code = base64.b64encode(SCRIPT.read_bytes()).decode()
        out = self.run(
            f'python3 -c "import base64; exec(base64.b64decode(\\"{code}\\"))"',
            json.dumps(wanted | plan | {"calls": ready}),
            timeout=600,
        )
        return [
            Answer(one["status"], one["headers"], base64.b64decode(one["body"]), one["seconds"])
            for one in json.loads(out)
        ]

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request; ``Retain_Until="…"`` becomes the header X-Object-Meta-Retain-Until."""
        named = {_NAMES.get(key, key.replace("_", "-")): value for key, value in headers.items()}
        request: dict[str, Any] = {"method": method, "path": f"/v1/AUTH_{ACCOUNT}{path}", "headers": named}
        return self.calls(request | ({"body": body} if body is not None else {}))[0]


_NAMES = {"Retain_Until": "X-Object-Meta-Retain-Until", "Worm": "X-Container-Meta-Worm"}


def make_node(hostvars: dict[str, Any], home: Path) -> Node:
    """A node from its variables of the inventory."""
    keys = home / "secrets" / "archive" / "comptes.json"
    known = f"UserKnownHostsFile={home / 'ssh' / 'known_hosts'}"
    options = ["-o", "ConnectTimeout=30", "-o", "ControlMaster=auto", "-o", f"ControlPath={home}/ssh/%C"]
    options += ["-o", "ControlPersist=30"]
    address = f"{hostvars['ansible_user']}@{hostvars['ansible_host']}"
    return Node(
        hostvars["name"],
        hostvars["ansible_host"],
        hostvars["creatic_names"][0],
        # ControlPath: one connection for all; a node that restarts gets a new one.
        ["ssh", "-q", "-i", str(home / "ssh" / "id_ed25519"), "-o", known, *options, address],
        json.loads(keys.read_text("utf-8"))[ACCOUNT],
        keys,
        str(hostvars["creatic_env"]),
    )


@pytest.fixture(scope="session")
def node(hostvars: dict[str, Any], creatic_home: Path) -> Node:
    """The node under test."""
    return make_node(hostvars, creatic_home)


def all_nodes(environment: str) -> list[Node]:
    """Every node of an inventory, by name."""
    done = subprocess.run(
        ["ansible-inventory", "-i", environment, "--list", "--limit", "archive_node"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=True,
    )
    inventory = listing.read(done.stdout)
    variables = inventory["_meta"]["hostvars"]
    home = Path(os.environ.get("CREATIC_HOME") or "~/.local/share/creatic").expanduser()
    return [
        make_node(variables[name] | {"name": name}, home / str(variables[name]["creatic_env"]))
        for name in sorted(inventory["archive_node"]["hosts"])
    ]


@pytest.fixture(scope="session")
def nodes(request: pytest.FixtureRequest) -> list[Node]:
    """The whole room."""
    return all_nodes(request.config.getoption("--environment"))


@pytest.fixture(scope="session")
def client_certificate() -> Callable[[str, str], str]:
    """Issues a client certificate of the groupement's authority; gives its chain and key, PEM. Lab only."""

    def issue(common_name: str, siren: str) -> str:
        home = Path(os.environ.get("CREATIC_HOME") or "~/.local/share/creatic").expanduser() / "lab"
        name = f"essai-{hashlib.sha256(f'{common_name} {siren}'.encode()).hexdigest()[:8]}"
        folder = issued(home, name, "client", common_name, siren, "Essai")
        return (folder / "fullchain.pem").read_text() + (folder / "key.pem").read_text()

    return issue
