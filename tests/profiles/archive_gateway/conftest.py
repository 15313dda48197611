"""The door as services versants see it, over mTLS from the control node, and what only the gateway itself can tell."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))


from testbed import sae as sips
from testbed.archive_gateway import AGENCY, SIRENS, Gateway
from testbed.patience import wait_for
from tests.profiles.archive_node.conftest import Node, all_nodes
from tests.profiles.services import on_the_lab_alone

TOP = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def gateway(hostvars: dict[str, Any], creatic_home: Path) -> Gateway:
    """The gateway under test."""
    on_the_lab_alone(hostvars, "ces essais versent des archives et demandent des certificats")
    known = f"UserKnownHostsFile={creatic_home / 'ssh' / 'known_hosts'}"
    options = ["-o", "ControlMaster=auto", "-o", f"ControlPath={creatic_home}/ssh/%C", "-o", "ControlPersist=30"]
    address = f"{hostvars['ansible_user']}@{hostvars['ansible_host']}"
    ssh = ["ssh", "-q", "-i", str(creatic_home / "ssh" / "id_ed25519"), "-o", known, *options, address]
    return Gateway(hostvars["ansible_host"], hostvars["creatic_names"][0], creatic_home, ssh)


@pytest.fixture
def nodes(request: pytest.FixtureRequest, gateway: Gateway) -> Iterator[list[Node]]:
    """The storage, which Swift's own auditors leave to sae-fixite, and its timer to the test, while that lasts."""
    gateway.run("systemctl stop sae-fixite.timer")
    state = "systemctl show --property=ActiveState --value sae-fixite.service"
    wait_for(lambda: gateway.run(state).strip() != "activating", "la fin de la relecture en cours")
    room = all_nodes(request.config.getoption("--environment"))
    for node in room:
        node.run("systemctl stop swift-object-auditor.service")
    yield room
    for node in room:
        node.run("systemctl start swift-object-auditor.service")
    gateway.run("systemctl start sae-fixite.timer")


@pytest.fixture
def message() -> str:
    """An identifier that no SIP had before."""
    return f"ESSAI-{time.time_ns()}"


@pytest.fixture
def sip(message: str) -> Callable[..., bytes]:
    """Makes a good SIP, of files that no other SIP has."""

    def make(holder: str = "gondecourt", files: Mapping[str, bytes] | None = None, **fields: str) -> bytes:
        given = files or own_files(message)
        return sips.sip(given, **{"message": message, "agency": AGENCY, "sender": SIRENS[holder], **fields})

    return make


def own_files(message: str) -> dict[str, bytes]:
    """An act and its ARActe, which bear the message's identifier."""
    mark = hashlib.sha256(message.encode()).hexdigest().encode()
    return {"content/acte.pdf": sips.PDF + b"% " + mark + b"\n", "content/ARActe.xml": sips.ARACTE}
