"""Acts by day are told where two mornings tell them; a machine that lies draws nothing absurd."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from creatic.morning import curves

TODAY = dt.date(2026, 11, 28)
KEY = "tdt_connector_deposits{etat=acquitte}"


def mornings(home: Path, **days: Any) -> None:
    (home / "matin").mkdir()
    for day, known in days.items():
        told = {machine: {KEY: value} for machine, value in known.items()} if isinstance(known, dict) else known
        (home / "matin" / f"2026-11-{day.removeprefix('j')}.json").write_text(json.dumps(told))


def values(curve: curves.Curve) -> list[float | None]:
    return [value for _, value in curve.points][-5:]


def test_a_day_is_what_was_added_since_the_morning_before(tmp_path: Path) -> None:
    mornings(tmp_path, j25={"a": 10}, j26={"a": 12, "b": 100}, j28={"a": 15, "b": 101})
    whole, each = curves.acts(tmp_path, {"a": "loos", "b": "bergues"}, TODAY)
    assert [day for day, _ in whole.points][-1] == "28/11/2026" and len(whole.points) == curves.DAYS
    assert values(whole) == [None, None, 2, None, 4]
    assert values(each["loos"]) == [None, None, 2, None, 3] and values(each["bergues"]) == [None, None, 0, None, 1]


@pytest.mark.parametrize("last", [{"a": 5}, {"a": 1e300}, {"a": "x"}, [], "x", {"b": 9}])
def test_what_goes_down_or_is_absurd_counts_for_nothing(tmp_path: Path, last: Any) -> None:
    mornings(tmp_path, j27={"a": 10}, j28=last)
    whole, each = curves.acts(tmp_path, {"a": "loos"}, TODAY)
    assert values(whole)[-1] in (0, None) and not each


def test_acts_of_an_entity_are_counted_with_its_communes(tmp_path: Path) -> None:
    mornings(tmp_path, j27={"a": 10}, j28={"a": 12})
    ccas, odd = KEY.replace("{", "{entite=loos-ccas,"), KEY.replace("{", "{autre=x,")
    for day, count in (("27", 4), ("28", 9)):
        path = tmp_path / "matin" / f"2026-11-{day}.json"
        told = json.loads(path.read_text())
        told["a"] |= {ccas: count, odd: count}
        path.write_text(json.dumps(told))
    whole, each = curves.acts(tmp_path, {"a": "loos"}, TODAY)
    assert values(whole)[-1] == values(each["loos"])[-1] == 7


def test_nothing_is_known_before_two_mornings(tmp_path: Path) -> None:
    assert curves.acts(tmp_path, {}, TODAY)[0].known_values == []
    mornings(tmp_path, j28={"a": 3})
    assert curves.acts(tmp_path, {"a": "loos"}, TODAY)[0].known_values == []


@pytest.mark.parametrize(("most", "top"), [(0, 1), (1, 1), (3, 5), (10, 10), (11, 20), (499, 500), (501, 1000)])
def test_its_axis_ends_at_a_round_number(most: float, top: float) -> None:
    assert curves.Curve("t", "u", [("a", most), ("b", 0)]).top == top


def test_a_line_is_cut_where_nothing_is_known() -> None:
    one = curves.Curve("t", "u", [("a", 0), ("b", 10), ("c", None), ("d", 5), ("e", None)], bars=False)
    assert one.lines(400, 100) == ["0.0,100.0 100.0,0.0", "300.0,50.0 300.0,50.0"]
    assert [left for left, _, _ in one.bar_rectangles(500, 100)] == [0, 100, 300]
