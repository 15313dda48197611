# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Silences of the supervision: what is announced is not told, for a time, by somebody, for a reason."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Container, Iterator, Sequence
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import answers

LONGEST = dt.timedelta(days=30)
"""A fault that nobody is told of for longer would be forgotten."""
_AMTOOL = ["amtool", "--alertmanager.url=http://127.0.0.1:9093"]
_SILENCE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MINUTES_BY_UNIT = {"j": 1440, "h": 60, "min": 1}


class SilenceError(CreaticError, cause="silence"):
    """Nothing was silenced; the message (French) names what is wrong and the fix."""


def minutes(text: str) -> int:
    """Read a duration like ``4h``, ``90min`` or ``2j``, in minutes.

    Raises:
        SilenceError: it is none, or is longer than `LONGEST`.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,5})(j|h|min)", text.strip().lower())
    if not found:
        raise SilenceError(f"--duree : « {text} » n'est pas une durée ; attendu : 4h, 90min, 2j")
    total = int(found[1]) * _MINUTES_BY_UNIT[found[2]]
    if total > LONGEST // dt.timedelta(minutes=1):
        raise SilenceError(f"--duree : « {text} » refusé ; un silence dure {LONGEST.days} jours au plus")
    return total


def silence_command(
    target: str, lasting: str, reason: str, author: str, communes: Container[str], machines: Container[str]
) -> list[str]:
    """The command that silences a commune or a machine, on the supervision.

    Args:
        target: short name of a commune, or name of a machine.
        lasting: see `minutes`.
        reason: why; it is shown with the silence.
        author: who asks.
        communes, machines: those of the inventory.

    Raises:
        SilenceError: what is asked cannot be.
    """
    if target in communes:
        label = "commune"
    elif target in machines:
        label = "machine"
    else:
        raise SilenceError(f"« {target} » n'est ni une commune ni une machine de l'inventaire : rien n'est tu")
    if not reason.strip():
        raise SilenceError("--motif : dites pourquoi ; c'est ce que lira qui s'étonnera du silence")
    # Ansible carries it: braces would be a template.
    kept = reason.translate({ord("{"): "(", ord("}"): ")"})
    told = " ".join("".join(char if char.isprintable() else " " for char in kept).split())[:200]
    return [*_AMTOOL, "silence", "add", f"--author={author}", f"--comment={told}", f"--duration={minutes(lasting)}m",
            f'{label}="{target}"']  # fmt: skip # a list by rows


def ended(silence: str) -> list[str]:
    """The command that ends a silence.

    Raises:
        SilenceError: this is no identifier of a silence.
    """
    if not _SILENCE_ID.fullmatch(silence):
        raise SilenceError(f"« {silence} » n'est pas l'identifiant d'un silence : fab supervision.silences les montre")
    return [*_AMTOOL, "silence", "expire", silence]


def list_command() -> list[str]:
    """The command that lists silences."""
    return [*_AMTOOL, "silence", "query", "--output=json"]


def rows(text: str) -> Iterator[tuple[str, str, str, str, str]]:
    """Silences to show, the first to end first: identifier, of whom, until when (local time), author, reason.

    Args:
        text: what `listed` gave; Ansible's own words may stand before.

    Raises:
        SilenceError: it is no list of silences.
    """
    start = text.find("[")
    try:
        found = answers.parse_json_output(text[start:]) if start >= 0 else None
        known = sorted(found or (), key=lambda one: str(one["endsAt"]))
        yield from [
            (one["id"], _silenced_target(one["matchers"]), _local_time(one["endsAt"]), one["createdBy"], one["comment"])
            for one in known
        ]
    except (ValueError, KeyError, TypeError):
        found = None
    if found is None:
        raise SilenceError("la supervision ne répond pas, ou n'est pas déployée : fab serveurs supervision")


def _silenced_target(matchers: Sequence[Any]) -> str:
    return ", ".join(f"{one['name']} {one['value']}" for one in matchers)


def _local_time(moment: str) -> str:
    return dt.datetime.fromisoformat(moment).astimezone().strftime("%d/%m/%Y %H:%M")
