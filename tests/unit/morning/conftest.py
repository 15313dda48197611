"""A morning of two communes, one of which has a hostile name, with records of what was done to them."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from creatic.morning.pages import Pages
from creatic.morning.screen import Finding, Morning

MOMENT = dt.datetime(2026, 11, 28, 7, 30, tzinfo=dt.UTC)
HOSTILE = "<script>alert('x')</script>\"'&{{ 7 * 7 }}</style>\u202e"
OWNERS = {"gondecourt-connecteur": "gondecourt", "gondecourt-pc": "gondecourt", "loos-connecteur": "loos"}


def state(slug: str, nom: str, **changes: Any) -> dict[str, Any]:
    """The last known state of a commune, as etat.json has it."""
    commune = {"slug": slug, "nom": nom, "vague": 2, "territoire": "Lille", "taille": "moyenne", "siren": "215902669"}
    host = {"deploye": True, "prouve": True, "resume": "déployé et prouvé", "date": MOMENT.isoformat(), "passage": "p"}
    hosts = {name: host for name, owner in OWNERS.items() if owner == slug}
    whole = {"commune": commune, "passage": "p", "hotes": hosts, "equipee": True, "prete": True, "manques": []}
    return whole | {"dernier": MOMENT.isoformat()} | changes


def record(home: Path, kind: str, name: str, facts: dict[str, Any], **pieces: Any) -> None:
    """A record that ended, with pieces (their names have no suffix)."""
    run = home / kind / name
    run.mkdir(parents=True)
    file = {"evidence": "passage", "audits": "resultats", "exercices": "exercice", "correctifs": "correctifs",
            "departs": "depart"}[kind]  # fmt: skip # one table
    base = {"fin": f"{name[:10]}T08:00:00+00:00", "operateur": "lea@poste", "code": "commit 0123456789abcdef"}
    (run / f"{file}.json").write_text(json.dumps(base | facts))
    for slug, report in pieces.items():
        (run / slug).mkdir()
        (run / slug / "preuve.json").write_text(json.dumps(report))


def proof(*, prete: bool, gaps: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """What is read of the evidence of a commune."""
    return {"prete": prete, "equipee": True, "complet": True, "hotes": [], "manques": gaps or []}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two rollouts, an audit, updates, a drill, and a departure of another commune."""
    gap = {"objet": "connecteur", "raison": HOSTILE, "remede": "x", "hote": ""}
    both = {"communes": ["gondecourt", "loos"], "code": "commit fedcba9876543210 (modifié localement)"}
    record(tmp_path, "evidence", "2026-10-01T070000Z", {"communes": ["gondecourt"]},
           gondecourt=proof(prete=False, gaps=[gap, gap]))  # fmt: skip # a call on a line
    record(tmp_path, "evidence", "2026-11-20T070000Z", both, gondecourt=proof(prete=True), loos=proof(prete=True))
    machine = {"nom": "gondecourt-pc", "etat": "auditee", "incident": None, "ecarts": [1, 2]}
    record(tmp_path, "audits", "2026-11-21T070000Z", {"machines": [machine]})
    updated = {"nom": "gondecourt-pc", "etat": "fait", "pret": True, "paquets": ["a"]}
    record(tmp_path, "correctifs", "2026-11-22T070000Z", {"machines": [updated]})
    record(
        tmp_path,
        "exercices",
        "2026-11-23T070000Z",
        {"machine": "gondecourt-connecteur", "reussi": False, "raison": "illisible"},
    )
    record(tmp_path, "departs", "2026-11-24T070000Z", {"agent": {"nom": "Karim", "commune": "gondecourt"}})
    lines = [
        {
            "id": "1",
            "le": "2026-11-20T07:00:00+00:00",
            "par": "lea@poste",
            "commande": "fab commune.deployer gondecourt,loos",
        },
        {"id": "1", "resultat": "réussi", "secondes": 4},
        {"id": "2", "le": "2026-11-21T07:00:00+00:00", "par": "lea@poste", "commande": "fab audit --limite=gondecourt"},
    ]
    (tmp_path / "historique.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    return tmp_path


@pytest.fixture
def found() -> Morning:
    """A grave finding and one to watch."""
    communes = {"gondecourt": state("gondecourt", HOSTILE), "loos": state("loos", "Loos", prete=False)}
    findings = [
        Finding(False, "", "ged", "disque /srv plein à 95 %", "faites de la place"),
        Finding(False, "gondecourt", "gondecourt-pc", HOSTILE, HOSTILE),
        Finding(True, "loos", "loos-connecteur", "un redémarrage est demandé par Debian", "fab correctifs"),
    ]
    return Morning(MOMENT, findings=findings, communes=communes, acts={"gondecourt": 5}, answered=(4, 5))


@pytest.fixture
def pages(home: Path, found: Morning) -> Pages:
    """Their pages, not written yet."""
    return Pages(home, found, "cdg59", OWNERS)
