"""What the collector and the doors answer ends nothing but itself, however deep or large."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError

from creatic.fleet import assemble
from creatic.morning import series
from creatic.postes import door
from creatic.supervision import journals, silences

DEEP = "[" * 200_000
PLAIN: dict[str, Any] = {"jour": "2026-12-02", "precedent": None, "numero": 1, "fichiers": []}
FILE = {"nom": "pc.log.gz", "sha256": "0" * 64, "octets": 1, "lignes": 1}


def refused(ask: Callable[[], Any]) -> bool:
    try:
        return ask() is None
    except CreaticError:
        return True


@pytest.mark.parametrize(
    "told",
    [
        DEEP, json.dumps(['{"jour":' + DEEP]), "[1]", json.dumps([json.dumps(PLAIN) + "x"]),
        json.dumps([json.dumps(PLAIN | {"numero": 10**300})]),
        json.dumps([json.dumps(PLAIN | {"fichiers": [FILE | {"octets": 10**4000}]})]),
    ],
    ids=["deep", "a deep day", "no text", "more than a day", "a name too long for a disk", "too long to write"],
)  # fmt: skip # a list of cases
def test_what_the_collector_says_is_told_of_it_alone(tmp_path: Path, told: str) -> None:
    assert refused(lambda: journals._parse_manifests(told))
    assert refused(lambda: journals.differences(tmp_path, told.replace("[", '{"a":[', 1)))


def test_what_the_supervision_says_is_told_of_it_alone() -> None:
    assert series.curves('[{"a":' + DEEP, dt.datetime(2026, 12, 2, tzinfo=dt.UTC)) == []
    assert refused(lambda: [*silences.rows(DEEP)])


@pytest.mark.parametrize("opening", ['{"maintenant": ', '{"constats": ', '{"releves": '])
def test_what_a_door_says_is_told_of_it_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opening: str) -> None:
    monkeypatch.setattr(assemble.Door, "_run_ansible", lambda *_words: f"guichet | CHANGED\n{opening}{DEEP}")
    guichet, enrolment = assemble.Door(tmp_path, tmp_path), door.Door(tmp_path, tmp_path)
    for ask in (
        guichet.read_status,
        lambda: guichet.releves("", ()),
        lambda: enrolment.facts(""),
        lambda: enrolment.statement(0),
    ):
        assert refused(ask)
