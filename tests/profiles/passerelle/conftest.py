"""The passerelle of the lab, and what is around it: a commune's connector, the TdT simulator, the document store."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

sys.path.insert(0, str(Path(__file__).parents[3]))  # the tests import this file


from testbed.ged import Store
from testbed.passerelle import Passerelle
from tests.profiles.services import on_the_lab_alone


@pytest.fixture(scope="session")
def store(whole_inventory: dict[str, Any], creatic_home: Path) -> Store:
    """The document store."""
    one = whole_inventory["_meta"]["hostvars"]["documents"]
    return Store(one["ansible_host"], one["creatic_names"][0], creatic_home)


@pytest.fixture(scope="session")
def passerelle(host: Host, hostvars: dict[str, Any], creatic_home: Path, store: Store) -> Iterator[Passerelle]:
    on_the_lab_alone(hostvars, "ces essais transmettent des actes")
    ssh = ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-i", str(creatic_home / "ssh/id_ed25519"),
           "-o", f"UserKnownHostsFile={creatic_home}/ssh/known_hosts"]  # fmt: skip # a list by rows
    found = Passerelle(hostvars["ansible_host"], hostvars["creatic_names"][0], creatic_home, host, ssh, store)
    # As where the groupement has neither parapheur nor délibérations, nor an archive that answers: nobody signs here,
    # and acts stay where they can be looked at (tests/journeys/test_chain.py).
    starters = "tdt-connector-versement.path tdt-connector-versement.timer"
    found.on_connector(f"systemctl stop {starters} tdt-connector-versement.service")
    path = "/etc/passerelle/config.json"
    restart = "systemctl restart passerelle passerelle-web"
    kept = json.loads(found.run(f"cat {path}"))
    alone = shlex.quote(json.dumps(kept | {"serveurs": {"ged": kept["serveurs"]["ged"]}}))
    found.run(f"test -e {path}.essai || cp -a {path} {path}.essai; printf %s {alone} >{path} && {restart}")
    yield found
    found.run(f"mv {path}.essai {path} && {restart}")
    found.on_connector(f"systemctl start {starters}")
