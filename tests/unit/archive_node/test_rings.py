"""What the rings ask of the inventory, and the secrets of the room. The placement itself is Swift's (molecule)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.action.archive_rings import room_secrets
from ansible_collections.cdg59.creatic.plugins.module_utils.archive_rings import RingError, devices_of, plan
from ansible_collections.cdg59.creatic.plugins.modules import archive_rings as module


def node(number: int, **other: Any) -> dict[str, Any]:
    """A node as the inventory gives it."""
    given = {"name": f"sae{number}", "address": f"10.0.0.{number}", "zone": number, "weight": 100.0, "devices": ["d1"]}
    return given | other


THREE = [node(1), node(2), node(3)]


def known(number: int, **other: Any) -> dict[str, Any]:
    """A device as a builder knows it."""
    given = {"id": number, "ip": f"10.0.0.{number}", "device": "d1", "zone": number, "weight": 100.0, "parts": 128}
    return given | {"meta": f"sae{number}"} | other


BUILT = [known(1), None, known(2), known(3)]


def test_the_order_of_the_inventory_does_not_matter() -> None:
    assert devices_of(THREE, 3) == devices_of(THREE[::-1], 3)


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        (THREE[:2], "il faut au moins 3 disques"),
        ([*THREE[:2], node(3, weight=0)], "il y en a 2"),
        ([*THREE, node(4, address="sae4")], "« sae4 » n'est pas une adresse IP"),
        ([*THREE, node(4, weight=-1)], "archive_node_weight"),
        ([*THREE, node(4, weight=float("nan"))], "archive_node_weight"),
        ([*THREE, node(4, devices=[])], "archive_node_devices"),
        ([*THREE, node(4, address="10.0.0.1")], "déjà déclaré par sae1"),
        ([node(1, devices=["d1", "d1"]), *THREE[1:]], "déjà déclaré par sae1"),
    ],
)
def test_a_wrong_inventory_is_refused(nodes: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(RingError, match=told):
        devices_of(nodes, 3)


def test_nothing_to_do_on_an_even_room() -> None:
    assert not plan(BUILT, devices_of(THREE, 3), [])


def test_a_fourth_node_is_added() -> None:
    todo = plan(BUILT, devices_of([*THREE, node(4)], 3), [])
    assert todo.lines() == ["sae4/d1 ajouté (zone 4, poids 100)"]


def test_a_node_is_drained_then_removed() -> None:
    four = [*BUILT, known(4)]
    todo = plan(four, devices_of([*THREE, node(4, weight=0)], 3), [])
    assert todo.lines() == ["sae4/d1 : poids 0"]
    with pytest.raises(RingError, match="sae4/d1 n'est plus à l'inventaire et garde des archives : videz-le"):
        plan([*BUILT, known(4, weight=0.0)], devices_of(THREE, 3), [])
    assert plan([*BUILT, known(4, weight=0.0, parts=0)], devices_of(THREE, 3), []).lines() == ["sae4/d1 retiré"]


def test_a_node_that_vanishes_must_be_said_lost() -> None:
    with pytest.raises(RingError, match="archive_node_lost"):
        plan([*BUILT, known(4)], devices_of(THREE, 3), ["sae5"])
    assert plan([*BUILT, known(4)], devices_of(THREE, 3), ["sae4"]).remove == [(4, "sae4/d1")]


def test_a_node_does_not_change_zone() -> None:
    with pytest.raises(RingError, match="zone 3 à la zone 9"):
        plan(BUILT, devices_of([*THREE[:2], node(3, zone=9)], 3), [])


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    first = room_secrets(folder, ["sae", "gondecourt"], "", built=False, check=False)
    keys = json.loads((folder / "comptes.json").read_text("utf-8"))
    again = room_secrets(folder, ["sae", "loos"], "", built=True, check=False)
    assert first == again
    assert json.loads((folder / "comptes.json").read_text("utf-8")).items() >= keys.items()
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert len({*first.values(), *keys.values()}) == 5


def test_check_mode_writes_no_secret(tmp_path: Path) -> None:
    room_secrets(tmp_path / "archive", ["sae"], "", built=False, check=True)
    assert not list(tmp_path.iterdir())


def test_a_root_secret_of_the_vault_stays_there(tmp_path: Path) -> None:
    assert room_secrets(tmp_path, [], "dmF1bHQ=", built=False, check=False)["racine"] == "dmF1bHQ="
    assert "dmF1bHQ=" not in (tmp_path / "salle.json").read_text("utf-8")


def test_the_identity_of_an_existing_room_is_never_made_anew(tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match=r"salle\.json a disparu alors que la salle d'archives existe"):
        room_secrets(tmp_path, ["sae"], "", built=True, check=False)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host that is a node already."""
    (tmp_path / "swift.conf").write_text("[swift-hash]\nswift_hash_path_prefix = aa\nswift_hash_path_suffix = bb\n")
    (tmp_path / "keymaster.conf").write_text("[keymaster]\nencryption_root_secret = cc=\n")
    (tmp_path / "object.ring.gz").touch()
    monkeypatch.setattr(module, "ETC", tmp_path)
    return tmp_path


def test_a_node_of_another_room_is_refused(etc: Path) -> None:
    expected = module.identity(etc)
    assert len(expected) == 3
    module.guard(expected, builders=True)
    with pytest.raises(RingError, match=r"autres secrets \(encryption_root_secret\)"):
        module.guard(expected | {"encryption_root_secret": "0"}, builders=True)
    with pytest.raises(RingError, match=r"\*\.builder"):
        module.guard(expected, builders=False)
    (etc / "object.ring.gz").unlink()
    module.guard({}, builders=False)
