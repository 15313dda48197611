"""What an audit does not take from a machine, does not count, and leaves readable."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from creatic_audit import scan
from lxml import html

from creatic.audit import scap, sources
from creatic.audit.controls import Control
from creatic.audit.follow import Follower
from creatic.audit.oscal import assessment_results
from creatic.audit.page import _verdict_share, report
from creatic.audit.sources import AuditError, Rule, read_arf
from creatic.audit.verdict import findings, judge_machine

from .conftest import ARF, Catalogue, T, check, entry, example, found, results_of, target, waiver


def said(results: dict[str, Any]) -> str:
    """The words of an audit's page."""
    text = " ".join(" ".join(str(part) for part in html.fromstring(report(results)).itertext()).split())
    return text.replace("\u00a0", " ").replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


ABSENT = {"phase": "constats", "nature": "injoignable", "tache": "t", "raison": "éteinte", "remede": "Allumer."}


@pytest.mark.parametrize("place", ["Restrict\n Pointers", "R9", "42.25", "2</set-value>"])
def test_nothing_of_this_machine_comes_into_what_another_says(tmp_path: Path, place: str) -> None:
    (tmp_path / "secret").write_text("canary")
    entity = f'<!DOCTYPE a [<!ENTITY x SYSTEM "file://{tmp_path}/secret"><!ENTITY y "canary">]>'
    for name in ("x", "y"):
        text = ARF.replace(place, f"&{name};" + place.partition("<")[1] + place.partition("<")[2], 1)
        assert f"&{name};" in text
        assert "canary" not in repr(read_arf(f"{entity}{text}".encode()))


def test_what_a_machine_declares_unfolds_in_no_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five times what was read, in one attribute: of a verdict of 45 MB, two gigabytes and a minute."""
    monkeypatch.setattr(sources, "_MAX_TAG", 20_000)
    entity = f'<!DOCTYPE a [<!ENTITY a "{"A" * 4000}">]>'
    padding = f"<!--{' ' * 15_000}-->" * 10
    unfolded = f'{padding}<TestResult><rule-result idref="{"&a;" * 100}"/></TestResult>'
    with pytest.raises(AuditError, match="type de document"):
        read_arf(f"{entity}<a>{unfolded}</a>".encode())
    assert read_arf(f"<a>{padding}{ARF}</a>".encode()) == read_arf(ARF.encode())


def test_what_a_machine_says_is_kept_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed, a verdict of empty elements is small: it took the memory of everybody's audit."""
    monkeypatch.setattr(sources, "_MAX_HELD", 1000)
    monkeypatch.setattr(sources, "_MAX_NAMESPACES", 500)
    monkeypatch.setattr(sources, "_MAX_TAG", 20_000)
    attributes, spaces = (" ".join(f'{name}{rank}="x"' for rank in range(3000)) for name in ("a", "xmlns:a"))
    for said in (
        *(f"<a><{name}>{'<b/>' * 1000}</{name}></a>" for name in ("TestResult", "Rule")),
        f"<a><TestResult>{f'<b {attributes[:9000].rpartition(" ")[0]}/>' * 2}</TestResult></a>",
        f"<a {spaces[:18_000].rpartition(' ')[0]}/>",
        f"<a {attributes}/>",
    ):
        with pytest.raises(AuditError, match="démesuré"):
            read_arf(said.encode())
    passed = ARF.replace("<TestResult", "<b/>" * 2000 + "<TestResult", 1)  # it forgets what it does not want
    assert read_arf(passed.encode()) == read_arf(ARF.encode())


@pytest.mark.parametrize(
    ("rule", "waived", "count"),
    [
        (Rule("loose", "fail"), False, 1),
        (Rule("loose", "fail"), True, 0),
        (Rule("loose", "error"), False, 0),
        (Rule("loose", "unknown"), False, 0),
        (Rule("loose", "fail", controls=("R9",)), False, 0),
        (Rule("loose", "fail", controls=("R8",)), False, 1),
    ],
)
@pytest.mark.parametrize("seen", [True, False])
def test_a_rule_counts_when_it_fails_for_no_reason_that_is_known_already(
    rule: Rule, waived: bool, count: int, seen: bool
) -> None:
    """R9, whose test fails, counts by itself; what OpenSCAP finds of it as well is the same finding."""
    control = entry("R9", tests=[T + "test_a"])
    waivers = {"loose": waiver()} if waived else {}
    machine, judged = judge_machine(
        found([rule] if seen else [], [check("test_a", "echec")]), Catalogue([control], waivers)
    )
    assert findings(machine, judged) == 1 + (count if seen else 0)


def test_a_status_of_openscap_is_ours_to_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """2 says that rules fail: no exception of `subprocess` may come out of it, nor of a version that is not told."""

    def run(command: list[str], check: bool = False, **_: Any) -> subprocess.CompletedProcess[str]:
        if "--results-arf" in command:
            Path(command[command.index("--results-arf") + 1]).write_bytes(b"<arf/>")
        done = subprocess.CompletedProcess(command, 2, "OpenSCAP 1.4\n", "")
        if check:
            done.check_returncode()
        return done

    monkeypatch.setattr(scan, "subprocess", SimpleNamespace(run=run, TimeoutExpired=subprocess.TimeoutExpired))
    (tmp_path / "ds.xml").touch()
    assert scan.scan("x", tmp_path, tmp_path / "ds.xml")["version"] == "OpenSCAP 1.4"


def test_a_reason_is_kept_to_a_thousand_characters() -> None:
    follower = Follower()
    follower.begin("constats", ["a"])
    follower.stopped("a", "t", {"msg": "deux\n  lignes " + "x" * 2000}, reached=True)
    reason = follower.hosts["a"]["incident"]["raison"]
    assert (len(reason), reason[:20]) == (1000, "deux lignes xxxxxxxx")


def test_a_change_names_two_hundred_files_and_three_hundred_characters_of_each() -> None:
    follower = Follower()
    follower.begin("derive", ["a"])
    told = {"changed_paths": [f"/{rank:03}{'x' * 400}" for rank in range(300)]}
    follower.done("a", "Base | Ensure", told, changed=True, hidden=False)
    (change,) = follower.hosts["a"]["derive"]
    assert (len(change["chemins"]), {len(path) for path in change["chemins"]}) == (200, {300})


def test_the_cache_of_what_openscap_judges_by_is_read_by_everybody(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with pytest.raises(scap.ScapError):
            scap.data_stream(tmp_path / "un" / "cache", print, ["http://127.0.0.1:1/"])
    finally:
        os.umask(before)
    assert (tmp_path / "un" / "cache").stat().st_mode & 0o777 == 0o755


def test_what_plainly_passes_is_counted() -> None:
    control = entry("R9", tests=[T + "test_a", T + "test_b"], oscap=["one", "two"])
    rules = [Rule("one", "pass"), Rule("two", "fixed")]
    machine, judged = judge_machine(found(rules, [check("test_a"), check("test_b")]), Catalogue([control]))
    assert (judged["R9"]["verdict"], judged["R9"]["reussis"], judged["R9"]["preuves"]) == ("conforme", 4, [])
    assert {name: count for name, count in machine["verdicts"].items() if count} == {"conforme": 1}


def test_a_verdict_is_counted_once_a_control() -> None:
    controls = [entry(name, tests=[T + test]) for name, test in (("R1", "test_a"), ("R2", "test_a"), ("R3", "test_b"))]
    machine, _ = judge_machine(found([], [check("test_a"), check("test_b", "echec")]), Catalogue(controls))
    told = {name: count for name, count in machine["verdicts"].items() if count}
    assert told == {"conforme": 2, "non_conforme": 1}


def test_apt_without_a_proxy_or_without_its_tool_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], check: bool = False, **_: Any) -> subprocess.CompletedProcess[str]:
        done = subprocess.CompletedProcess(command, 100, "", "apt-config: rien")
        if check:
            done.check_returncode()
        return done

    monkeypatch.setattr(scap, "subprocess", SimpleNamespace(run=run))
    with pytest.raises(scap.ScapError, match=r"n'a pas pu être téléchargé \(http://127\.0\.0\.1:1/"):
        scap.data_stream(tmp_path / "cache", print, ["http://127.0.0.1:1/"])


def test_people_can_read_oscal_too() -> None:
    assert len(assessment_results(example()).splitlines()) > 100


def test_a_group_says_how_many_of_its_machines_were_audited() -> None:
    machines = [found(target=target(name)) for name in ("a", "b", "c")]
    away = found(target=target("d"), collected=None, openscap=None, drift=None, incident={"nature": "injoignable"})
    (commune,) = results_of([*machines, away], Catalogue([entry("R9", tests=[T + "test_a"])]))["communes"]
    assert (commune["machines"], commune["auditees"]) == (4, 3)


def test_a_recommendation_is_named_in_twenty_characters() -> None:
    told = read_arf(ARF.replace(">R9<", f">R9{'9' * 30}<").encode())
    assert told.rules[0].controls == ("R9" + "9" * 18,)


@pytest.mark.parametrize(
    ("failing", "away", "title", "sentence"),
    [
        (False, 0, "Conforme", ""),
        (False, 1, "Audit incomplet", "Des machines n'ont pas pu être auditées ; aucun écart sur les autres."),
        (True, 0, "Non conforme", "1 écart sans dérogation, à corriger ou à faire déroger."),
        (True, 1, "Non conforme", "1 machine n'a pas pu être auditée."),
        (True, 2, "Non conforme", "2 machines n'ont pas pu être auditées."),
    ],
)
def test_the_page_says_at_its_head_what_the_audit_is_worth(failing: bool, away: int, title: str, sentence: str) -> None:
    seen = found(checks=[check("test_a", "echec" if failing else "reussi")])
    missing = [
        found(target=target(f"absent{rank}"), collected=None, openscap=None, drift=None, incident=ABSENT)
        for rank in range(away)
    ]
    results = results_of([seen, *missing], Catalogue([entry("R9", tests=[T + "test_a"])]))
    shown = said(results)
    assert title in shown
    assert sentence in shown
    assert ("Audit incomplet" in shown, "Non conforme" in shown) == (title == "Audit incomplet", failing)


@pytest.mark.parametrize(
    ("controls", "sentence"),
    [
        (
            [entry("R1", statut="manuel", attestation="J'atteste.")],
            "; 1 contrôle à attester.",
        ),
        ([entry("R2", tests=[T + "test_b"])], "; 1 contrôle sans vérification."),
        ([], "Aucun écart sans dérogation."),
    ],
)
def test_the_page_says_what_is_left_to_do_and_no_more(controls: list[Control], sentence: str) -> None:
    catalogue = Catalogue([entry("R9", tests=[T + "test_a"]), *controls])
    assert sentence in said(results_of([found(checks=[check("test_a")])], catalogue))


@pytest.mark.parametrize(("count", "shown"), [(5, "m0, m1, m2, m3, m4"), (6, "m0, m1, m2, m3 et 2 autres")])
def test_the_page_names_the_first_machines_of_many(count: int, shown: str) -> None:
    machines = [found(target=target(f"m{rank}"), checks=[check("test_a", "echec")]) for rank in range(count)]
    assert shown in said(results_of(machines, Catalogue([entry("R9", tests=[T + "test_a"])])))


def test_the_page_says_why_a_test_of_no_control_failed() -> None:
    checks = [check("test_a"), check("test_z", "echec", detail="assert 0 == 1")]
    shown = said(results_of([found(checks=checks)], Catalogue([entry("R9", tests=[T + "test_a"])])))
    assert "test_z essai du profil gondecourt-connecteur assert 0 == 1 Tendance" in shown


def test_the_parts_of_a_bar_are_hundredths_of_all_even_of_none() -> None:
    assert _verdict_share(1, {"conforme": 1, "ecart": 3}) == "25.00"
    assert _verdict_share(0, {}) == "0.00"
