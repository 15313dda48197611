"""Fixtures: a passerelle on a real PostgreSQL, in front of servers that keep the contract."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

sys.path.insert(0, str(Path(__file__).parents[3]))

from passerelle.config import Config
from passerelle.queue import Queue

from testbed import database as databases
from testbed.chain import World
from testbed.connector import Authority
from tests.unit.in_memory import in_memory  # noqa: F401 - the fixture tmp_path


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The groupement's authority, servers, connectors and PCs."""
    made = Authority(tmp_path_factory.mktemp("pki") / "groupement", "groupement de test")
    made.issue("tdt", "server")
    made.issue("connecteur", common_name="Connecteur - Gondecourt")
    made.issue("autre-connecteur", common_name="Connecteur - La Madeleine", siren="215903683")
    made.issue("poste", common_name="Secrétariat général")
    made.issue("autre-poste", common_name="Accueil", siren="215903683")
    made.issue("poste-ccas", common_name="Odile Faure", siren="265902668")
    made.issue("groupement", common_name="Exploitation", siren="285900015")
    made.issue("attestations", "signature", common_name="Attestations des archives", organization="CDG59", siren="")
    made.issue("etranger", common_name="Inconnu", siren="356000000")
    return made


@pytest.fixture(scope="session")
def server() -> Iterator[databases.Database]:
    """PostgreSQL, with a prepared database that tests copy."""
    with databases.running() as found:
        found.new(name="modele")
        Queue(replace(Config({}), database=found.address("modele"))).prepare()
        yield found


@pytest.fixture
def world(tmp_path: Path, server: databases.Database, authority: Authority) -> Iterator[World]:
    """A passerelle and what is around it."""
    made = World(tmp_path, server.new("modele"), authority)
    yield made
    made.close()


@pytest.fixture
def ask(world: World, authority: Authority) -> Any:
    """A request with somebody's certificate."""

    def asked(who: str, path: str, method: str = "GET", **given: Any) -> requests.Response:
        folder = authority.folder / who
        return requests.request(
            method,
            world.web.url + path,
            cert=(str(folder / "fullchain.pem"), str(folder / "key.pem")),
            verify=str(authority.bundle),
            timeout=120,
            **given,
        )

    return asked
