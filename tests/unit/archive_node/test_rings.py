"""What the rings ask of the inventory, and the secrets of the room. The placement itself is Swift's (molecule)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.action.archive_rings import ActionModule, room_secrets
from ansible_collections.cdg59.creatic.plugins.module_utils.archive import rings as archive_rings
from ansible_collections.cdg59.creatic.plugins.module_utils.archive.rings import RingError, devices_of, plan
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


# -- what a builder is asked; Swift places the partitions -----------------------------------------------------------


class Builder:
    """Swift's RingBuilder, which notes what it is asked."""

    made: list[Builder] = []  # noqa: RUF012 - emptied by each test
    balance, left, moves, after = 0.0, 0, 7, 0.0

    def __init__(self, part_power: int, replicas: int, min_part_hours: int) -> None:
        self.part_power, self.replicas, self.min_part_hours = part_power, float(replicas), min_part_hours
        self.devs: list[dict[str, Any] | None] = []
        self.asked: list[str] = []
        self.version = 3
        self.min_part_seconds_left = Builder.left
        Builder.made.append(self)

    @classmethod
    def load(cls, _path: str) -> Builder:
        found = cls(10, 3, 1)
        found.devs = list(BUILT)
        return found

    def set_replicas(self, number: int) -> None:
        self.asked.append(f"copies {number}")

    def change_min_part_hours(self, hours: int) -> None:
        self.asked.append(f"heures {hours}")

    def remove_dev(self, identifier: int) -> None:
        self.asked.append(f"retire {identifier}")

    def set_dev_weight(self, identifier: int, weight: float) -> None:
        self.asked.append(f"pèse {identifier} {weight:g}")

    def add_dev(self, device: dict[str, Any]) -> None:
        self.asked.append(f"ajoute {device['meta']} {device['region']} {device['port']} {device['replication_port']}")

    def get_balance(self) -> float:
        return Builder.balance

    def rebalance(self, seed: str) -> tuple[int, float, int]:
        self.asked.append(seed)
        return Builder.moves, Builder.after, 0

    def validate(self) -> None:
        self.asked.append("valide")

    def save(self, path: str) -> None:
        self.asked.append(f"écrit {Path(path).name}")

    def get_ring(self) -> Any:
        return SimpleNamespace(save=lambda path: self.asked.append(f"écrit {Path(path).name}"))


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> type[Builder]:
    ring = ModuleType("swift.common.ring")
    ring.RingBuilder = Builder  # type: ignore[attr-defined] # as Swift's
    for name, played in (
        ("swift", ModuleType("swift")),
        ("swift.common", ModuleType("swift.common")),
        ("swift.common.ring", ring),
    ):
        monkeypatch.setitem(sys.modules, name, played)
    Builder.made, Builder.balance, Builder.left, Builder.moves, Builder.after = [], 0.0, 0, 7, 0.0
    return Builder


def rebuilt(
    path: Path, ring: str = "object", hours: int = 1, nodes: list[dict[str, Any]] | None = None, replicas: int = 3
) -> Any:
    wanted = devices_of(nodes or THREE, replicas)
    return archive_rings.rebuild(ring, path, wanted, part_power=10, replicas=replicas, min_part_hours=hours)


@pytest.mark.parametrize(("ring", "port"), [("account", 6202), ("container", 6201), ("object", 6200)])
def test_a_new_ring_has_every_device_at_its_port(tmp_path: Path, builder: type[Builder], ring: str, port: int) -> None:
    result = rebuilt(tmp_path / f"{ring}.builder", ring)
    [made] = builder.made
    assert (made.part_power, made.replicas, made.min_part_hours) == (10, 3, 1)
    assert sorted(made.asked[:3]) == [f"ajoute sae{rank} 1 {port} {port}" for rank in (1, 2, 3)]
    assert made.asked[3:] == [f"creatic-{ring}-3", "valide", f"écrit {ring}.builder", f"écrit {ring}.ring.gz"]
    assert (result.moved, result.waiting) == (7, 0)
    assert result.changes[-1] == f"anneau {ring} : 7 partitions placées"


def test_a_ring_that_is_right_is_left_alone(tmp_path: Path, builder: type[Builder]) -> None:
    path = tmp_path / "object.builder"
    path.touch()
    for balance in (0.0, 1.0):
        builder.balance = balance
        assert rebuilt(path) == archive_rings.Rebuilt(changes=[])
    assert rebuilt(path, hours=2).changes == []
    assert [made.asked for made in builder.made] == [[], [], ["heures 2"]]


def test_an_uneven_ring_waits_then_is_evened(tmp_path: Path, builder: type[Builder]) -> None:
    path = tmp_path / "object.builder"
    path.touch()
    builder.balance, builder.left = 1.1, 60
    assert (rebuilt(path).waiting, builder.made[-1].asked) == (60, [])
    builder.left = 0
    result = rebuilt(path)
    assert (result.moved, result.waiting, builder.made[-1].asked[-1]) == (7, 0, "écrit object.ring.gz")
    builder.moves = 0
    assert rebuilt(path).moved == 0
    assert builder.made[-1].asked == ["creatic-object-3"]
    builder.moves, builder.after = 7, 1.1
    assert rebuilt(path).waiting == 1


def test_what_changes_is_asked_of_the_builder(tmp_path: Path, builder: type[Builder]) -> None:
    path = tmp_path / "object.builder"
    path.touch()
    result = rebuilt(path, nodes=[node(1, weight=50.0), node(2), node(3), node(4)])
    assert {"pèse 1 50", "ajoute sae4 1 6200 6200"} <= set(builder.made[0].asked)
    assert result.changes[-1] == "anneau object : 7 partitions placées"


@pytest.mark.parametrize(
    ("power", "replicas", "told"),
    [(11, 3, r"construit avec 2\^10 partitions, que l'on ne"), (10, 2, "3 copies de chaque archive, jamais moins")],
)
def test_what_would_lose_archives_is_refused(
    tmp_path: Path, builder: type[Builder], power: int, replicas: int, told: str
) -> None:
    path = tmp_path / "object.builder"
    path.touch()
    with pytest.raises(RingError, match=f"^anneau object : {told}"):
        archive_rings.rebuild(
            "object", path, devices_of(THREE, 3), part_power=power, replicas=replicas, min_part_hours=1
        )
    assert [made.asked for made in builder.made] == [[]]


def test_a_fourth_node_gives_a_fourth_copy_where_it_is_chosen(tmp_path: Path, builder: type[Builder]) -> None:
    path = tmp_path / "object.builder"
    path.touch()
    result = rebuilt(path, nodes=[*THREE, node(4)], replicas=4)
    asked = builder.made[0].asked
    assert asked.index("copies 4") < asked.index("creatic-object-3")
    assert "anneau object : 4 copies de chaque archive, au lieu de 3" in result.changes
    with pytest.raises(RingError, match="il faut au moins 4 disques"):
        rebuilt(path, replicas=4)


def test_a_new_account_has_its_key_without_a_look_at_the_rings(tmp_path: Path) -> None:
    args = {"nodes": THREE, "rings": False, "accounts": ["loos"], "dir": str(tmp_path), "secrets_dir": str(tmp_path)}
    task = MagicMock(args=args, check_mode=False, async_val=0)
    action = ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    given = {"inventory_hostname": "documents", "ansible_play_batch": ["gondecourt-pc", "documents"]}
    with pytest.raises(AnsibleActionFail, match="la salle d'archives n'est pas encore là"):
        action.run(task_vars=given)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "object.builder").touch()
    room_secrets(tmp_path, ["sae"], "", built=False, check=False)
    assert action.run(task_vars=given) == {"changed": False, "changes": []}
    assert sorted(json.loads((tmp_path / "comptes.json").read_text())) == ["loos", "sae"]
