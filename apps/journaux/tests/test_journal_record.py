"""The collector's days among the evidence: what was sealed is told from what was written again since."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from creatic_journaux import seal

from creatic.evidence import store
from creatic.evidence.seal import SealKeys
from creatic.supervision import journals
from tests.unit.evidence.conftest import make_authority

TODAY = dt.date(2026, 11, 29)
HEADER = "[WARNING]: une parole d'Ansible\nveille | CHANGED | rc=0 >>\n"


class Collector:
    """Its folders, and what it answers as Ansible brings it."""

    def __init__(self, root: Path) -> None:
        self.root, self.asked = root, list[int]()
        self.begin()

    def begin(self) -> None:
        for name in ("recu", "scelles"):
            (self.root / name).mkdir(parents=True)

    def day(self, day: str, text: str = "une ligne\n", name: str = "gondecourt-connecteur") -> None:
        (self.root / "recu" / day).mkdir()
        (self.root / "recu" / day / f"{name}.log").write_text(text)
        seal.seal(self.root / "recu", self.root / "scelles", TODAY)

    def exported(self, after: int) -> str:
        self.asked.append(after)
        return HEADER + seal.exported(self.root / "scelles", after)

    def verified(self) -> str:
        return HEADER + seal.verified(self.root / "scelles")


@pytest.fixture
def collector(tmp_path: Path) -> Collector:
    made = Collector(tmp_path / "veille")
    made.day("2026-11-26")
    made.day("2026-11-27")
    return made


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    keys = make_authority(tmp_path / "autorite")
    monkeypatch.setattr(store, "seal_keys", lambda _home: keys)
    return tmp_path / "lab"


def root(home: Path) -> Path:
    keys: SealKeys = store.seal_keys(home)
    return keys.root


def test_each_day_is_sealed_once_and_verifies(home: Path, collector: Collector) -> None:
    first = journals.seal_manifests(home, "moi@poste", collector.exported)
    assert first and first[1:] == ("", False)
    assert journals.sealed_today(home)
    assert journals.seal_manifests(home, "moi@poste", collector.exported) is None
    collector.day("2026-11-28")
    second = journals.seal_manifests(home, "moi@poste", collector.exported)
    assert second and collector.asked == [0, 1, 1]
    days = [[one["jour"] for one in store.facts_of(folder)["manifestes"]] for folder, *_ in (first, second)]
    assert days == [["2026-11-26", "2026-11-27"], ["2026-11-28"]]
    kept = (second[0] / "manifeste-3.json").read_bytes()
    assert kept == (collector.root / "scelles/2026-11-28" / seal.MANIFEST).read_bytes()
    assert "2026-11-28" in (second[0] / "rapport.html").read_text(encoding="utf-8")
    results = store.verify_home(home, root(home))
    assert len(results) == 3 and all(one.intact for one in results.values())
    assert journals.differences(home, collector.verified()) == []
    (second[0] / "manifeste-3.json").write_text("{}")
    assert not store.verify_home(home, root(home))[f"journaux/{second[0].name}"].intact


def rewritten(collector: Collector) -> None:
    """Every day again, well chained, by who holds the collector."""
    (collector.root / "scelles").rename(collector.root / "avant")
    (collector.root / "scelles").mkdir()
    for day in ("2026-11-26", "2026-11-27"):
        collector.day(day, "une autre ligne\n")


def gone(collector: Collector) -> None:
    collector.root.rename(collector.root.with_name("perdu"))
    collector.begin()


def changed(collector: Collector) -> None:
    next((collector.root / "scelles/2026-11-26").glob("*.gz")).write_bytes(b"autre")


@pytest.mark.parametrize(
    ("cheat", "told"),
    [
        (rewritten, "2026-11-26 : le manifeste n'est plus celui qui a été scellé"),
        (gone, "le collecteur n'a plus aucun jour scellé"),
        (changed, "2026-11-26/gondecourt-connecteur.log.gz : modifié après le scellement"),
    ],
)
def test_what_was_written_again_differs_from_what_was_sealed(
    home: Path, collector: Collector, cheat: Callable[[Collector], None], told: str
) -> None:
    journals.seal_manifests(home, "moi@poste", collector.exported)
    cheat(collector)
    assert told in journals.differences(home, collector.verified())


def test_days_that_passed_their_term_are_not_missed(home: Path, collector: Collector) -> None:
    journals.seal_manifests(home, "moi@poste", collector.exported)
    assert seal.purge(collector.root / "scelles", 1, 1 << 30, TODAY) == 0
    assert journals.differences(home, collector.verified()) == []


@pytest.mark.parametrize("cheat", [rewritten, gone])
def test_a_collector_made_again_is_said_and_goes_on(
    home: Path, collector: Collector, cheat: Callable[[Collector], None]
) -> None:
    journals.seal_manifests(home, "moi@poste", collector.exported)
    cheat(collector)
    collector.day("2026-11-28")
    broken = journals.seal_manifests(home, "moi@poste", collector.exported)
    assert broken and broken[2] and store.facts_of(broken[0])["rupture"] is True
    assert "Rupture" in (broken[0] / "rapport.html").read_text(encoding="utf-8")
    assert journals.seal_manifests(home, "moi@poste", collector.exported) is None
    assert journals.differences(home, collector.verified()) == []


def manifest(**fields: object) -> str:
    good = {"numero": 1, "jour": "2026-11-27", "precedent": None, "fichiers": []}
    return json.dumps([json.dumps(good | fields)])


@pytest.mark.parametrize("answer", [
    "", "veille | UNREACHABLE!", "[1", "[1]", '["{}"]', manifest(numero=0), manifest(numero="1"), manifest(jour="hier"),
    manifest(jour="../x"), manifest(precedent={"jour": "2026-11-26", "sha256": "x"}), manifest(fichiers=[1]),
    manifest(fichiers=[{"nom": "../a.log.gz", "sha256": "0" * 64, "octets": 1, "lignes": 1}]),
    manifest(fichiers=[{"nom": "a.log.gz", "sha256": "0" * 64, "octets": -1, "lignes": 1}]),
    json.dumps([json.dumps({"numero": n, "jour": "2026-11-27", "precedent": None, "fichiers": []}) for n in (1, 2)]),
])  # fmt: skip # a case a line
def test_nonsense_seals_nothing(home: Path, answer: str) -> None:
    with pytest.raises(journals.JournalError) as told:
        journals.seal_manifests(home, "moi@poste", lambda _number: answer)
    none = answer in ("", "veille | UNREACHABLE!", "[1")
    assert ("le collecteur ne répond pas comme attendu : fab serveurs supervision" in str(told.value)) == none
    assert store.runs(home / journals.FOLDER) == []
    assert not list((home / journals.FOLDER).glob(".en-cours*"))


@pytest.mark.parametrize(
    "answer", ["", "{", "{}", '{"manifestes": [1], "fautes": []}', '{"manifestes": [], "fautes": 1}']
)
def test_a_check_that_answers_nonsense_finds_nothing_good(home: Path, answer: str) -> None:
    with pytest.raises(journals.JournalError, match="le collecteur ne répond pas comme attendu : fab serveurs superv"):
        journals.differences(home, answer)
