# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the pinned OpenSCAP content asks for at a level: which rules, how grave, of which recommendation.

A machine's relevé says how each rule ended, and no more: one that leaves a rule out, or calls it another's, is found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from creatic.audit.scap import PROFILES
from creatic.audit.sources import AuditError, OpenScap, Rule, clean_text, local, rule_definition, short


@dataclasses.dataclass(frozen=True)
class Content:
    """What the content asks for at a level.

    Attributes:
        profile: short name, like ``anssi_bp28_enhanced``.
        rules: those that are selected, by short name; their results are empty.
    """

    profile: str
    rules: Mapping[str, Rule]

    def verdict(self, score: float, results: Mapping[str, str]) -> OpenScap:
        """What a machine says of these rules, each once: what it leaves out is unknown, what it adds counts not."""
        rules = (dataclasses.replace(rule, result=results.get(name, "unknown")) for name, rule in self.rules.items())
        return OpenScap(self.profile, score, tuple(rules))


def read(data_stream: Path, levels: Sequence[str]) -> dict[str, Content]:
    """Read the content, whose digest is known to be the pinned one, once for all the levels.

    Raises:
        AuditError: it has no profile of a level.
    """
    from lxml import etree

    profiles: dict[str, Any] = {}
    rules: dict[str, tuple[Rule, list[str]]] = {}  # by whole identifier, with the values that it exports
    values: dict[tuple[str, str], str] = {}  # by identifier and selector; the default one has none
    wanted = {PROFILES[level]: level for level in levels}
    for _event, node in etree.iterparse(str(data_stream), ("end",), resolve_entities=False, no_network=True):
        name, identifier = local(node.tag), str(node.get("id"))
        if name == "Profile" and identifier in wanted:
            profiles[wanted[identifier]] = [(local(one.tag), dict(one.attrib)) for one in node]
        elif name == "Value":
            for one in node:
                if local(one.tag) == "value":
                    values[identifier, one.get("selector", "")] = clean_text(one.text)
        elif name == "Rule":
            title, controls = rule_definition(node)
            exports = [str(one.get("value-id")) for one in node.iter() if local(one.tag) == "check-export"]
            rules[identifier] = (
                Rule(short(identifier), "", clean_text(node.get("severity"), 20), title, controls),
                exports,
            )
        elif name in ("Benchmark", "component", "Group", "Profile"):
            node.clear()
    if missing := [level for level in levels if level not in profiles]:
        raise AuditError(f"le contenu OpenSCAP n'a pas de profil pour le niveau « {missing[0]} »")
    return {level: _resolve_profile(PROFILES[level], profile, rules, values) for level, profile in profiles.items()}


def _resolve_profile(
    profile: str,
    parts: Sequence[tuple[str, Mapping[str, str]]],
    rules: Mapping[str, tuple[Rule, list[str]]],
    values: Mapping[tuple[str, str], str],
) -> Content:
    """The rules of a profile, which the content writes whole: every rule by its own name, no profile extended."""
    chosen: dict[str, Rule] = {}
    given: dict[str, str] = {}
    severities = {one["idref"]: one["severity"] for kind, one in parts if kind == "refine-rule" and "severity" in one}
    for kind, one in parts:
        if kind == "refine-value" and (one["idref"], one.get("selector", "")) in values:
            given[one["idref"]] = values[one["idref"], one["selector"]]
    off = {one["idref"] for kind, one in parts if kind == "select" and one.get("selected") != "true"}
    for kind, one in parts:
        if kind == "select" and one["idref"] in rules and one["idref"] not in off:
            rule, exports = rules[one["idref"]]
            asked = {name: given.get(name, values.get((name, ""), "")) for name in exports}
            chosen[rule.name] = dataclasses.replace(
                rule,
                severity=severities.get(one["idref"], rule.severity),
                values={short(name): value for name, value in asked.items() if value},
            )
    return Content(short(profile), chosen)
