# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Swift's rings, from what the inventory says of the archive nodes.

A ring says on which devices each partition is kept; it is built from a *builder*, which remembers every earlier
placement and lives on the control node. The same inventory and builder give the same ring. Swift's own RingBuilder
does the placement (class docs: https://docs.openstack.org/swift/latest/overview_ring.html); here is what to ask of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.registry import ip

# Ring and port of its server, on the storage network.
PORTS = {"account": 6202, "container": 6201, "object": 6200}
# Percent by which a device may differ from its share before partitions are moved again.
_MAX_IMBALANCE_PERCENT = 1.0
# Copies that a room which has them never goes below, whatever its inventory says.
_MIN_REPLICA_COUNT = 3


class RingError(CreaticError, cause="anneaux"):
    """The rings cannot be what is asked for; the message (French) says what to change. Nothing was changed."""


@dataclass(frozen=True)
class Device:
    """One disk of one node.

    Attributes:
        node: inventory name of its node.
        ip: address of the node on the storage network.
        name: folder under /srv/node.
        zone: failure domain; replicas of a partition go to different zones first.
        weight: share of the data, relative to the other devices. 0 drains it.
    """

    node: str
    ip: str
    name: str
    zone: int
    weight: float

    @property
    def key(self) -> tuple[str, str]:
        return self.ip, self.name


def devices_of(nodes: Iterable[Mapping[str, Any]], replicas: int) -> list[Device]:
    """Every device of the nodes, checked.

    Args:
        nodes: name, address, zone, weight, devices (names under /srv/node).

    Raises:
        RingError: a duplicate, an address that is not one, a weight that is not one, too few devices.
    """
    found: dict[tuple[str, str], Device] = {}
    for node in nodes:
        name = str(node["name"])
        try:
            address = str(ip.address(str(node["address"])))
        except ValueError:
            raise RingError(f"{name}, archive_node_address : « {node['address']} » n'est pas une adresse IP") from None
        weight = float(node["weight"])
        if weight < 0 or not math.isfinite(weight):
            raise RingError(f"{name}, archive_node_weight : nombre positif attendu, ou 0 pour vider le nœud")
        if not node["devices"]:
            raise RingError(f"{name}, archive_node_devices : au moins un disque")
        for device in node["devices"]:
            one = Device(name, address, str(device), int(node["zone"]), weight)
            if one.key in found:
                raise RingError(f"{name} : {address}/{device} est déjà déclaré par {found[one.key].node}")
            found[one.key] = one
    kept = [device for device in found.values() if device.weight > 0]
    if len(kept) < replicas:
        raise RingError(
            f"il faut au moins {replicas} disques de poids non nul pour {replicas} copies, il y en a {len(kept)} : "
            "remettez un nœud en service ou ajoutez-en un à l'inventaire"
        )
    return sorted(found.values(), key=lambda device: (device.zone, device.node, device.name))


@dataclass
class Plan:
    """What separates a builder from the inventory."""

    add: list[Device] = field(default_factory=list)
    reweigh: list[tuple[int, Device]] = field(default_factory=list)
    remove: list[tuple[int, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.add or self.reweigh or self.remove)

    def lines(self) -> list[str]:
        """The plan in French."""
        return [
            *(f"{one.node}/{one.name} ajouté (zone {one.zone}, poids {one.weight:g})" for one in self.add),
            *(f"{one.node}/{one.name} : poids {one.weight:g}" for _, one in self.reweigh),
            *(f"{name} retiré" for _, name in self.remove),
        ]


def plan(known: Iterable[Mapping[str, Any] | None], wanted: Iterable[Device], lost: Iterable[str]) -> Plan:
    """Compare a builder's devices with the wanted ones.

    Args:
        known: the builder's ``devs``: id, ip, device, zone, weight, parts, meta (name of the node); None for a hole.
        lost: nodes which were destroyed: their data is taken from the other replicas.

    Raises:
        RingError: a device that still holds data would be taken away, or moved to another zone.
    """
    result = Plan()
    target = {device.key: device for device in wanted}
    for dev in known:
        if dev is None:
            continue
        name = f"{dev.get('meta') or dev['ip']}/{dev['device']}"
        device = target.pop((dev["ip"], dev["device"]), None)
        if device is None:
            if dev["parts"] and dev.get("meta") not in set(lost):
                raise RingError(
                    f"{name} n'est plus à l'inventaire et garde des archives : videz-le d'abord "
                    "(archive_node_weight: 0, puis un passage), ou déclarez le nœud perdu (archive_node_lost)"
                )
            result.remove.append((dev["id"], name))
        elif device.zone != dev["zone"]:
            raise RingError(
                f"{name} ne peut pas passer de la zone {dev['zone']} à la zone {device.zone} : "
                "videz-le, retirez-le, puis remettez-le"
            )
        elif not math.isclose(device.weight, dev["weight"]):
            result.reweigh.append((dev["id"], device))
    result.add = [device for device in wanted if device.key in target]
    return result


@dataclass
class Rebuilt:
    """One ring after a pass.

    Attributes:
        changes: what was done, French.
        waiting: seconds before the next move is allowed (min_part_hours), 0 when nothing is left to do.
        moved: partition replicas that changed place.
    """

    changes: list[str] = field(default_factory=list)
    waiting: int = 0
    moved: int = 0


def rebuild(
    ring: str,
    path: Path,
    wanted: list[Device],
    *,
    part_power: int,
    replicas: int,
    min_part_hours: int,
    lost: Iterable[str] = (),
) -> Rebuilt:
    """Bring one builder to the wanted devices and write its ring beside it, when something moves.

    Args:
        ring: account, container or object.
        path: the builder; made when absent. The ring is written as ``path`` with the suffix ``.ring.gz``.

    Raises:
        RingError: see `plan`; or a part power that is not the builder's, or fewer copies than three where there are.
    """
    from swift.common.ring import RingBuilder  # Debian's, on the archive nodes only

    fresh = not path.exists()
    builder = RingBuilder(part_power, replicas, min_part_hours) if fresh else RingBuilder.load(str(path))
    if builder.part_power != part_power:
        raise RingError(
            f"anneau {ring} : construit avec 2^{builder.part_power} partitions, que l'on ne change pas après coup ; "
            "remettez archive_node_part_power"
        )
    had = int(builder.replicas)
    if replicas < min(had, _MIN_REPLICA_COUNT):
        raise RingError(
            f"anneau {ring} : {had} copies de chaque archive, jamais moins ; remettez archive_node_replicas"
        )
    todo = plan(builder.devs, wanted, lost)
    result = Rebuilt(changes=[f"anneau {ring} : {line}" for line in todo.lines()])
    if had != replicas:
        # The rebalance below gives each partition its new place, or takes one back; replicators bring what is missing
        # there, and let nothing go that its other places do not have.
        builder.set_replicas(replicas)
        result.changes.append(f"anneau {ring} : {replicas} copies de chaque archive, au lieu de {had}")
    if builder.min_part_hours != min_part_hours:
        builder.change_min_part_hours(min_part_hours)
    for identifier, _ in todo.remove:
        builder.remove_dev(identifier)
    for identifier, device in todo.reweigh:
        builder.set_dev_weight(identifier, device.weight)
    for device in todo.add:
        builder.add_dev(
            {
                "region": 1,
                "zone": device.zone,
                "ip": device.ip,
                "port": PORTS[ring],
                "replication_ip": device.ip,
                "replication_port": PORTS[ring],
                "device": device.name,
                "weight": device.weight,
                "meta": device.node,
            }
        )
    changed = bool(todo) or had != replicas
    uneven = not fresh and not changed and builder.get_balance() > _MAX_IMBALANCE_PERCENT
    if not (changed or uneven):
        return result
    # Moves are counted by partition: none moves twice within min_part_hours, so that one replica at most is away.
    if uneven and builder.min_part_seconds_left > 0:
        result.waiting = builder.min_part_seconds_left
        return result
    result.moved, balance, _ = builder.rebalance(seed=f"creatic-{ring}-{builder.version}")
    if not changed and not result.moved:
        return result
    builder.validate()
    if result.moved:
        result.changes.append(f"anneau {ring} : {result.moved} partitions placées")
    if balance > _MAX_IMBALANCE_PERCENT:
        result.waiting = max(builder.min_part_seconds_left, 1)
    builder.save(str(path))
    builder.get_ring().save(str(path.with_name(f"{ring}.ring.gz")))
    return result
