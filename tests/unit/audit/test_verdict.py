"""The rules of verdicts, one by one."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.action.audit_plan import target as planned

from creatic.audit.controls import Control, Waiver
from creatic.audit.sources import Rule, in_container
from creatic.audit.verdict import (
    Found,
    findings,
    judge_control,
    judge_machine,
    owners_of,
)

from .conftest import Catalogue, T, check, collected, entry, example, found, results_of, target, waiver

TEST = T + "test_a"
PASS, FAIL, ABSENT = (Rule("rule", result) for result in ("pass", "fail", "notapplicable"))
AUTOMATED = entry("R9", tests=[TEST], oscap=["rule"])
MANUAL = entry("R1", statut="manuel", attestation="J'atteste.", oscap=["rule"])


def verdict(control: Control, machine: Found, waivers: dict[str, Waiver] | None = None) -> str:
    """Verdict of a control, its rules chosen as in an audit."""
    owners = owners_of([control], machine.openscap)
    rules = [rule for rule in (machine.openscap.rules if machine.openscap else ()) if owners[rule.name]]
    return str(judge_control(control, machine, rules, Catalogue([control], waivers or {}))["verdict"])


@pytest.mark.parametrize(
    ("rules", "checks", "waivers", "expected"),
    [
        ([PASS], [check("test_a")], [], "conforme"),
        ([ABSENT], [check("test_a")], [], "conforme"),
        ([PASS], [], [], "conforme"),
        ([FAIL], [check("test_a")], [], "non_conforme"),
        ([PASS], [check("test_a", "echec")], [], "non_conforme"),
        ([FAIL], [check("test_a")], ["rule"], "derogation"),
        ([FAIL], [check("test_a")], ["R9"], "derogation"),
        ([PASS], [check("test_a", "echec")], ["test_a"], "derogation"),
        ([FAIL], [check("test_a", "echec")], ["test_a"], "non_conforme"),
        ([ABSENT], [check("test_a", "ignore")], ["test_a"], "derogation"),
        ([PASS], [check("test_a", "ignore")], ["test_a"], "conforme"),
        # A waiver of a rule does not cover the test of the control.
        ([FAIL], [check("test_a", "echec")], ["rule"], "non_conforme"),
        ([FAIL], [check("test_a", "echec")], ["R9"], "derogation"),
        ([ABSENT], [check("test_a", "ignore")], [], "non_verifie"),
        ([ABSENT], [check("test_a", "ignore")], ["R9"], "derogation"),
        ([], [], [], "non_verifie"),
        ([PASS], [check("test_a", "perdu")], [], "non_verifie"),
        ([Rule("rule", "error")], [check("test_a")], [], "non_verifie"),
        # A failure that was seen stands, whatever was lost afterwards.
        ([FAIL], [check("test_a", "perdu")], [], "non_conforme"),
    ],
)
def test_automated_control(rules: list[Rule], checks: list[Any], waivers: list[str], expected: str) -> None:
    assert verdict(AUTOMATED, found(rules, checks), {name: waiver() for name in waivers}) == expected


def test_a_manual_control_is_attested_unless_a_rule_fails() -> None:
    assert verdict(MANUAL, found([PASS])) == "a_attester"
    assert verdict(MANUAL, found([FAIL])) == "non_conforme"
    assert verdict(MANUAL, found([FAIL]), {"rule": waiver()}) == "a_attester"


def test_a_control_that_does_not_apply() -> None:
    assert verdict(entry("R3", statut="sans_objet", motif="x", oscap=["rule"]), found([FAIL])) == "sans_objet"


def test_nothing_is_claimed_of_a_host_that_was_not_reached() -> None:
    gone = {"phase": "constats", "nature": "injoignable", "tache": "x", "raison": "x", "remede": "x"}
    machine = found(collected=None, openscap=None, incident=gone)
    assert verdict(AUTOMATED, machine) == "non_verifie"
    assert verdict(MANUAL, machine) == "non_verifie"
    assert machine.state == "injoignable"
    assert found(incident=gone).state == "perdue"
    assert found(checks=[check("test_a", "perdu")]).state == "perdue"
    assert found(target=target(system="windows"), collected=None).state == "hors_portee"


def test_a_level_asks_for_its_controls_only() -> None:
    catalogue = Catalogue([entry("R1", "minimal"), entry("R2", "enhanced")])
    _, judged = judge_machine(found(target=target(level="intermediary")), catalogue)
    assert set(judged) == {"R1"}
    _, judged = judge_machine(found(target=target(level="high")), catalogue)
    assert set(judged) == {"R1", "R2"}


def test_waivers_are_asked_for_the_machine_as_it_is() -> None:
    catalogue = Catalogue([AUTOMATED])
    judge_machine(found([FAIL]), catalogue)
    assert ("rule", "intermediary", "tdt_connector", True) in catalogue.asked


@pytest.mark.parametrize("said", ["podman", "docker", "none", "", "lxc"])
@pytest.mark.parametrize("known", [True, False])
def test_what_a_machine_says_of_itself_waives_nothing(said: str, known: bool) -> None:
    facts = collected()
    facts["systeme"]["conteneur"] = said
    catalogue = Catalogue([AUTOMATED])
    rules, checks = [FAIL], [check("test_a", "ignore")]
    machine, _ = judge_machine(found(rules, checks, collected=facts, target=target(container=known)), catalogue)
    assert {asked[3] for asked in catalogue.asked} == {known}
    assert machine["conteneur"] is known
    judge_machine(found(collected=None, openscap=None, target=target(container=known)), catalogue)
    assert {asked[3] for asked in catalogue.asked} == {known}


@pytest.mark.parametrize(
    ("variables", "container"),
    [
        ({}, False),
        ({"creatic_env": "lab"}, True),
        ({"creatic_env": "lab", "creatic_machine": "uml"}, False),
        ({"creatic_env": "example"}, False),
        ({"creatic_env": "example", "creatic_machine": "conteneur"}, True),
    ],
)
def test_the_inventory_says_what_is_a_container(variables: dict[str, Any], container: bool) -> None:
    assert in_container(variables) is container
    more = {"group_names": ["tdt_connector"], "creatic_niveau": "minimal"}
    assert planned("a", variables | more, ["tdt_connector"], "").container is container


def test_a_rule_goes_to_the_controls_that_name_it_else_to_those_it_refers_to() -> None:
    controls = [entry("R9", oscap=["named"]), entry("R10")]
    rules = (
        Rule("named", "pass", controls=("R10",)),
        Rule("refers", "pass", controls=("R10", "R99")),
        Rule("nobody's", "fail", controls=("R99",)),
    )
    machine = found(rules)
    assert owners_of(controls, machine.openscap) == {"named": ["R9"], "refers": ["R10"], "nobody's": []}


def test_openscap_and_its_controls_agree_on_what_is_waived() -> None:
    """A rule that a control claims is waived with it, whatever the rule refers to."""
    control = entry("R9", tests=[TEST], oscap=["rule"])
    machine, judged = judge_machine(
        found([Rule("rule", "fail", controls=("R10",))], [check("test_a")]), Catalogue([control], {"R9": waiver()})
    )
    assert judged["R9"]["verdict"] == "derogation"
    assert machine["openscap"]["non_deroges"] == 0
    assert machine["openscap"]["ecarts"][0]["controles"] == ["R9"]


def test_each_cause_counts_once() -> None:
    machine, judged = judge_machine(
        found(
            [FAIL, Rule("loose", "fail")],
            [check("test_a", "echec"), check("test_of_the_profile", "echec")],
            drift=[{"tache": "x", "chemins": [], "diff": ""}, {"tache": "y", "chemins": [], "diff": ""}],
        ),
        Catalogue([AUTOMATED]),
    )
    # R9 (test and rule), the loose rule, the profile's test, the drift
    assert findings(machine, judged) == 4


def test_an_audit_is_good_only_without_gap_and_with_every_host() -> None:
    good = found([PASS], [check("test_a")])
    assert results_of([good], Catalogue([AUTOMATED]))["verdict"]["conforme"]
    drifted = found([PASS], [check("test_a")], drift=[{"tache": "x", "chemins": [], "diff": ""}])
    assert not results_of([drifted], Catalogue([AUTOMATED]))["verdict"]["conforme"]
    gone = {"phase": "constats", "nature": "injoignable", "tache": "x", "raison": "x", "remede": "x"}
    lost = found(target=target("other"), collected=None, openscap=None, incident=gone)
    results = results_of([good, lost], Catalogue([AUTOMATED]))
    assert (results["verdict"]["conforme"], results["verdict"]["machines_non_auditees"]) == (False, ["other"])
    assert results["controles"][0]["machines"]["gondecourt-connecteur"]["verdict"] == "conforme"


def test_groups_sum_up() -> None:
    results = example()
    (commune,) = results["communes"]
    assert (commune["nom"], commune["machines"], commune["auditees"], commune["ecarts"]) == ("Gondecourt", 2, 1, 3)
    assert [group["nom"] for group in results["profils"]] == ["commune_pc", "tdt_connector"]
    assert results["derogations"] == [
        {
            "motif": "le noyau est celui de la machine hôte",
            "responsable": "RSSI du groupement",
            "fin": "2027-11-01",
            "objets": ["sysctl_kptr"],
            "machines": ["gondecourt-connecteur"],
        }
    ]


def test_the_trend_compares_what_both_saw() -> None:
    catalogue = Catalogue([AUTOMATED, entry("R10", tests=[T + "test_b"])])
    before = results_of([found([PASS], [check("test_a"), check("test_b", "echec")])], catalogue)
    new = found(target=target("new"), checks=[check("test_a", host="new")])
    after = results_of([found([FAIL], [check("test_a"), check("test_b")]), new], catalogue, before)
    change = after["tendance"]
    assert [(one["controle"], one["avant"], one["apres"]) for one in change["ameliores"]] == [
        ("R10", "non_conforme", "conforme")
    ]
    assert [(one["controle"], one["avant"], one["apres"]) for one in change["regresses"]] == [
        ("R9", "conforme", "non_conforme")
    ]
    assert change["machines_nouvelles"] == ["new"]
    assert results_of([new], catalogue)["tendance"] is None


def test_what_was_not_looked_at_has_not_regressed() -> None:
    catalogue = Catalogue([AUTOMATED])
    before = results_of([found([PASS], [check("test_a")])], catalogue)
    gone = {"phase": "constats", "nature": "injoignable", "tache": "x", "raison": "x", "remede": "x"}
    change = results_of([found(collected=None, openscap=None, incident=gone)], catalogue, before)["tendance"]
    assert (change["ameliores"], change["regresses"], change["non_compares"]) == ([], [], 1)
