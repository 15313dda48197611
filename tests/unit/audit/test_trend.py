"""The trend over audits, by territory and month."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from odfdo import Document

from creatic.audit import trend
from creatic.audit.sources import AuditError, Rule

from .conftest import Catalogue, entry, found, results_of, target

CATALOGUE = Catalogue([entry(f"R{number}", oscap=[f"r{number}"]) for number in range(1, 5)])


def audit(day: str, bad: int, territory: str = "lille", **more: Any) -> dict[str, Any]:
    """An audit of a commune's machine, of whose four controls some fail, and of a central server."""
    rules = [Rule(f"r{number}", "fail" if number <= bad else "pass") for number in range(1, 5)]
    commune = {"slug": "x", "nom": "X", "territoire": territory}
    central = found(rules[2:], target=target("sae1", commune={}))
    results = results_of([found(rules, target=target("x-pc", commune=commune), **more), central], CATALOGUE, name=day)
    return results | {"fin": f"{day}T04:02:30+00:00"}


def kept(home: Path, *audits: dict[str, Any]) -> Path:
    """A control node that keeps these."""
    for one in audits:
        folder = home / "audits" / f"{one['audit']}T040000Z"
        folder.mkdir(parents=True)
        (folder / "resultats.json").write_text(json.dumps(one), encoding="utf-8")
    return home


def test_a_machine_counts_once_a_month_as_it_was_last_judged() -> None:
    unseen = {"phase": "releves", "nature": "silence", "tache": "", "raison": "se tait", "remede": ""}
    lost = audit("2026-10-29", 0, incident=unseen, openscap=None, collected=None, drift=None)
    cells = trend.cells([audit("2026-09-03", 2), audit("2026-10-03", 4), audit("2026-10-20", 1), lost])
    told = {(cell.territory, cell.month): cell for cell in cells}
    assert list(told) == [
        *(("Serveurs centraux", "2026-09"), ("Serveurs centraux", "2026-10")),
        *(("lille", "2026-09"), ("lille", "2026-10")),
    ]
    lille = told["lille", "2026-10"]
    assert (lille.machines, lille.judged, lille.share, lille.audits) == (1, 4, 75.0, ["2026-10-20"])
    assert told["lille", "2026-09"].share == 50.0 and told["lille", "2026-09"].security == 1


def test_nothing_judged_is_no_zero() -> None:
    unseen = {"phase": "releves", "nature": "silence", "tache": "", "raison": "se tait", "remede": ""}
    cells = trend.cells([audit("2026-10-29", 0, incident=unseen, openscap=None, collected=None, drift=None)])
    assert [cell.share for cell in cells if cell.territory == "lille"] == [None]
    assert "rien de jugé" in trend.page(cells, "essai")
    assert cells[-1].row()[8] == ""


def test_page_and_sheet(home: Path) -> None:
    kept(home, audit("2026-09-03", 2), audit("2026-10-20", 1, territory="<b>lille</b>"), audit("2026-11-20", 0))
    cut = audit("2026-12-01", 4) | {"interrompu": "Constats"}
    kept(home, cut)
    (home / "audits" / "2026-12-02T040000Z").mkdir()
    cells, page, sheet = trend.draw(home, "essai")
    assert {cell.month for cell in cells} == {"2026-09", "2026-10", "2026-11"}
    assert "septembre 2026" in page and "<b>lille</b>" not in page and "+50 points" in page
    table = Document(io.BytesIO(sheet)).body.get_table(0)
    assert table is not None
    rows = [row.get_values() for row in table.rows]
    assert rows[0] == trend.HEAD
    assert ["lille", "2026-09"] in [row[:2] for row in rows]
    assert next(row for row in rows if row[:2] == ["lille", "2026-11"])[8] == 100


def test_without_an_audit_there_is_no_trend(home: Path) -> None:
    with pytest.raises(AuditError, match="Aucun audit entier"):
        trend.draw(home, "essai")
