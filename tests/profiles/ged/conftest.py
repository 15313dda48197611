"""The document store as agents of the communes see it: over TLS, by its pages and by its API."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from creatic.applications import ged

sys.path.insert(0, str(Path(__file__).parents[3]))  # the tests import this file


from testbed.communes import subscribers
from testbed.ged import Store
from tests.profiles.services import on_the_lab_alone


@pytest.fixture(scope="session")
def store(hostvars: dict[str, Any], creatic_home: Path) -> Store:
    on_the_lab_alone(hostvars, "ces essais déposent des documents et lisent les premiers mots de passe")
    return Store(hostvars["ansible_host"], hostvars["creatic_names"][0], creatic_home)


@pytest.fixture(scope="session")
def wanted(pytestconfig: pytest.Config, whole_inventory: dict[str, Any]) -> dict[str, Any]:
    """The configuration that the inventory wants."""
    folder = Path(pytestconfig.getoption("--environment"))
    communes = subscribers(folder, "ged")
    found: dict[str, Any] = json.loads(
        json.dumps(
            ged.configuration(
                ged.read_plan(folder / "ged.yml"), communes, "passerelle" if "passerelle" in whole_inventory else ""
            )
        )
    )  # as Ansible hands it over
    return found


@dataclass(frozen=True)
class Document:
    """A document of Gondecourt, deposited for the tests."""

    number: int
    file: int
    label: str
    content: bytes


@pytest.fixture(scope="session")
def document(store: Store) -> Iterator[Document]:
    # A word that nothing else holds: numbers alone are not looked for.
    mark = "".join("abcdefghij"[int(digit)] for digit in str(time.time_ns()))
    label = f"Délibération {mark}"
    content = b"%PDF-1.4\n% " + label.encode() + bytes(range(256)) * 40 + b"\n%%EOF\n"
    number = store.deposit("claire.dubois", "Gondecourt - Délibération [215902669]", label, content)
    [file] = store.listed("claire.dubois", f"/documents/{number}/files/")
    yield Document(number, int(file["id"]), label, content)
    for _trash_then_delete in range(2):
        path = f"/documents/{number}/" if not _trash_then_delete else f"/trashed_documents/{number}/"
        store.api("admin", "DELETE", path)
