# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Units of systemd: those that must run, those that must not, asked in one call."""

from __future__ import annotations

import time

from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import Change, StateError, run

PROPERTIES = (
    "Id",
    "LoadState",
    "UnitFileState",
    "ActiveState",
    "ConditionResult",
    "Type",
    "RemainAfterExit",
    "NeedDaemonReload",
    "NRestarts",
)


# On its way to another state by itself: a timer's reload, a restart that goes on.
PASSING = ("activating", "deactivating", "reloading", "refreshing")
SETTLED_IN_S = 10.0
LIVED_S = 2.0


def states(units: list[str]) -> dict[str, dict[str, str]]:
    """Properties of the units, by name, once none is on its way to another state or ten seconds have passed."""
    if not units:
        return {}
    deadline = time.monotonic() + SETTLED_IN_S
    while True:
        out = run(["systemctl", "show", f"--property={','.join(PROPERTIES)}", *units], "systemctl ne répond pas")
        blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in out.strip().split("\n\n")]
        found = dict(zip(units, blocks, strict=True))
        passing = any(one.get("ActiveState") in PASSING and not _is_job(one) for one in found.values())
        if not passing or time.monotonic() > deadline:
            return found
        time.sleep(0.25)


def fallen(units: list[str]) -> list[str]:
    """Those of the units just started that do not stay up.

    A service of type simple counts as started before its program has read its configuration: it must have lived for
    two seconds; one that systemd starts again has ten until it does.
    """
    deadline = time.monotonic() + SETTLED_IN_S
    restarts = dict.fromkeys(units, "0")
    while True:
        time.sleep(LIVED_S)
        found = states(units)
        down = [unit for unit in units if found[unit].get("ActiveState") == "failed"]
        before, restarts = restarts, {unit: found[unit].get("NRestarts", "0") for unit in units}
        again = [unit for unit in units if restarts[unit] != before[unit]]
        if down or not again or time.monotonic() > deadline:
            return [*down, *(unit for unit in again if unit not in down)]


def _is_job(state: dict[str, str]) -> bool:
    """Whether something else starts it, and it ends by itself."""
    return state.get("Type") == "oneshot" and state.get("RemainAfterExit") == "no"


def apply(on: list[str], off: list[str], jobs: list[str], check: bool = False) -> list[Change]:
    """Enable and start what must run, stop and mask what must not, and start jobs without waiting for them.

    A unit whose conditions are not met on this machine (a container has no audit, no AppArmor, no clock of its
    own) is enabled; systemd has it start where it can.

    Args:
        on: units to enable and start.
        off: units which must neither run nor be startable; those not installed are left alone.
        jobs: oneshot units to start in the background when their own conditions ask for it.
        check: report only.

    Raises:
        StateError: a unit is unknown or does not start.
    """
    found = states(on + off + jobs)
    if any(state["NeedDaemonReload"] == "yes" for state in found.values()) and not check:
        run(["systemctl", "daemon-reload"], "relecture des unités")
    changes = []
    for unit in on:
        changes += _enable_unit(unit, found[unit], check) + _start_unit(unit, found[unit], check)
    for unit in off:
        changes += _mask_unit(unit, found[unit], check)
    for unit in jobs:
        if found[unit]["ActiveState"] in ("inactive", "failed") and not check:
            run(["systemctl", "start", "--no-block", unit], f"{unit} : lancement")
    return changes


def _enable_unit(unit: str, state: dict[str, str], check: bool) -> list[Change]:
    if state["LoadState"] == "masked" and not check:
        run(["systemctl", "unmask", unit], f"{unit} : levée du masque")
    if state["LoadState"] == "not-found" and not check:
        raise StateError(f"l'unité {unit} n'existe pas sur cette machine : son paquet est-il installé ?")
    if state["UnitFileState"] in ("enabled", "static", "alias"):
        return []
    if not check:
        run(["systemctl", "enable", unit], f"{unit} : activation")
    return [Change(unit, state["UnitFileState"], "enabled")]


def _start_unit(unit: str, state: dict[str, str], check: bool) -> list[Change]:
    if _is_job(state):
        return []
    if state["ActiveState"] == "active":
        return []
    if check:
        startable = state["ConditionResult"] != "no" or state["ActiveState"] == "failed"
        return [Change(unit, state["ActiveState"], "active")] if startable else []
    if state["ActiveState"] in ("reloading", "activating"):
        return []
    run(["systemctl", "start", unit], f"{unit} : démarrage")
    started = states([unit])[unit]["ActiveState"] == "active"
    return [Change(unit, state["ActiveState"], "active")] if started else []


def _mask_unit(unit: str, state: dict[str, str], check: bool) -> list[Change]:
    if state["LoadState"] in ("not-found", "masked"):
        return []
    if not check:
        run(["systemctl", "mask", "--now", unit], f"{unit} : arrêt")
    return [Change(unit, f"{state['UnitFileState']}, {state['ActiveState']}", "masked")]
