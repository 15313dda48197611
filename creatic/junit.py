# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""A report of pytest as JUnit's readers take it: their schemas know no property of a test, and one of them no error.

Sources: junit-10.xsd, of Jenkins' xunit plugin and as pytest's own tests have it. A suite for each machine, which its
`hostname` names; the test is in `group`, and what a result is besides in `type`: both schemas have them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

LOST = "machine_perdue"  # the machine went away: its tests have not failed
_ERROR = "erreur"  # before or after the test itself
_RESULTS = ("failure", "error", "skipped")


def rewrite(path: Path) -> None:
    """Write a report again, in its place; what pytest noted of each test (`essai`, `machine`) says where it goes."""
    from lxml import etree

    root = etree.parse(path, etree.XMLParser(resolve_entities=False, huge_tree=True)).getroot()
    made: Any = etree.Element("testsuites", name=root.get("name") or "pytest tests")
    suites: dict[str, Any] = {}

    def suite(machine: str, before: Any) -> Any:
        if machine not in suites:
            named = {"name": machine or "pytest"} | ({"hostname": machine} if machine else {})
            said = {"timestamp": before.get("timestamp")} if before.get("timestamp") else {}
            suites[machine] = etree.SubElement(made, "testsuite", {**named, **said})
        return suites[machine]

    for before in root.iter("testsuite"):
        for case in before.iterfind("testcase"):
            noted = {str(one.get("name")): str(one.get("value")) for one in case.iter("property")}
            kept = {name: str(case.get(name)) for name in ("classname", "name", "time") if case.get(name)}
            kept |= {"group": noted["essai"]} if "essai" in noted else {}
            one = etree.SubElement(suite(noted.get("machine", ""), before), "testcase", kept)
            for child in case:
                _move_child(one, child, lost=noted.get("machine_perdue") == "oui")
        if not suites:
            suite("", before)
    for one in made:
        _count_results(one)
    etree.ElementTree(made).write(path, encoding="utf-8", xml_declaration=True)


def _move_child(case: Any, child: Any, *, lost: bool) -> None:
    from lxml import etree

    if child.tag in _RESULTS:
        kind = LOST if lost else _ERROR if child.tag == "error" else child.get("type")
        said = {"type": kind} if kind else {}
        tag = "failure" if child.tag == "error" else child.tag
        etree.SubElement(case, tag, said | {"message": child.get("message") or ""}).text = child.text
    elif child.tag in ("system-out", "system-err"):
        etree.SubElement(case, child.tag).text = child.text


def _count_results(suite: Any) -> None:
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(one.find("failure") is not None for one in cases)))
    suite.set("errors", "0")
    suite.set("skipped", str(sum(one.find("skipped") is not None for one in cases)))
    suite.set("time", f"{sum(float(one.get('time') or 0) for one in cases):.3f}")
