# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Words of an audit, what it looks at, and what its sources say (OpenSCAP's ARF, pytest's JUnit, Ansible's diffs)."""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import clean

from creatic.evidence.redaction import redact
from creatic.junit import LOST

PHASES = {
    "preparation": "Préparation",
    "releves": "Relevés des machines",
    "constats": "Constats (OpenSCAP, correctifs)",
    "derive": "Dérive par rapport à l'inventaire",
    "essais": "Essais des profils et des contrôles",
}

# What an audit without --limite looks at.
WHOLE = "toutes les machines de l'inventaire"

# Verdicts, the worst first: what a set of machines is worth is its worst one. docs/design/audit.md has the rules.
NON_CONFORME = "non_conforme"
NON_VERIFIE = "non_verifie"
A_ATTESTER = "a_attester"
DEROGATION = "derogation"
CONFORME = "conforme"
SANS_OBJET = "sans_objet"
VERDICTS = (NON_CONFORME, NON_VERIFIE, A_ATTESTER, DEROGATION, CONFORME, SANS_OBJET)
VERDICT_WORDS = {
    NON_CONFORME: "non conforme",
    NON_VERIFIE: "non vérifié",
    A_ATTESTER: "à attester",
    DEROGATION: "dérogation",
    CONFORME: "conforme",
    SANS_OBJET: "sans objet",
}

_MAX_DIFF_LINES = 40
_MAX_DIFF_WIDTH = 2000
_MAX_COMPARED = 200_000  # characters of a file


class AuditError(CreaticError, cause="audit"):
    """The audit cannot be made, or a bundle cannot be read; the message is French and says what to do."""


@dataclass(frozen=True)
class Target:
    """A machine to audit.

    Attributes:
        level: ANSSI-BP-028 level it is judged by.
        system: ``debian``; anything else (a PC) is not audited, and its facts are judged.
        commune: identity of its commune; empty for a central server.
        container: whether it has no kernel of its own, as the inventory says; what the machine says grants nothing.
        door: arguments of ssh(1) that lead to it; none for the control node itself.
        known: file of known hosts, which has its key.
        port: of its SSH server.
        outgoing: nobody reaches it: the guichet carries its relevé.
    """

    name: str
    profile: str
    level: str
    address: str = ""
    system: str = "debian"
    commune: Mapping[str, Any] = field(default_factory=dict)
    container: bool = False
    door: Sequence[str] = ()
    known: str = ""
    port: int = 22
    outgoing: bool = False


def in_container(variables: Mapping[str, Any]) -> bool:
    """Whether the inventory makes a host a container: ``creatic_machine``, which the lab alone may leave out."""
    default = "conteneur" if variables.get("creatic_env") == "lab" else "machine"
    return str(variables.get("creatic_machine", default)) == "conteneur"


@dataclass(frozen=True)
class Rule:
    """What OpenSCAP says of one rule.

    Attributes:
        name: short rule id, like ``sshd_disable_root_login``.
        result: XCCDF 1.2 result: pass, fail, error, unknown, notapplicable, notchecked, informational, fixed.
        controls: ANSSI-BP-028 recommendations it refers to, like ``R33``.
        values: what the profile asks for, by variable.
    """

    name: str
    result: str
    severity: str = ""
    title: str = ""
    controls: tuple[str, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OpenScap:
    """OpenSCAP's verdict on one machine.

    Attributes:
        profile: short name, like ``anssi_bp28_enhanced``.
        score: OpenSCAP's own, out of 100.
        rules: the selected ones, in the order of the profile.
    """

    profile: str
    score: float
    rules: tuple[Rule, ...]

    def counts(self) -> dict[str, int]:
        """How many rules by result."""
        found: dict[str, int] = {}
        for rule in self.rules:
            found[rule.result] = found.get(rule.result, 0) + 1
        return found


@dataclass(frozen=True)
class Check:
    """One test run on one machine.

    Attributes:
        name: ``tests/profiles/…::test_x``, without its parameters; `case` is whole.
        result: reussi, echec, ignore (skipped), perdu (its machine went away).
        detail: reason of a failure or of a skip, one line.
    """

    name: str
    case: str
    host: str
    result: str
    detail: str = ""


def local(tag: Any) -> str:
    """Name of an element, without its namespace."""
    return str(tag).rpartition("}")[2]


_RESULTS = ("pass", "fail", "error", "unknown", "notapplicable", "notchecked", "informational", "fixed")
_SSG_PREFIX = re.compile(r"^xccdf_org\.ssgproject\.content_\w+?_")


def short(identifier: str) -> str:
    """Short name of a rule, a profile or a value."""
    return _SSG_PREFIX.sub("", identifier)


_RULE_NAME = re.compile(r"[\w.-]{1,200}")
_MAX_RULES = 5000  # the whole content has some 1,300
# Elements and attributes of what is kept at a time, each of some hundred bytes: a true verdict has tens of thousands.
_MAX_HELD = 300_000
_MAX_NAMESPACES = 100_000
_MAX_TAG = 1_000_000  # bytes: a tag is read whole before anything of it can be counted


def clean_text(text: str | None, limit: int = 300) -> str:
    """A text of an XML file, on one line, fit and bounded."""
    return clean(" ".join((text or "").split()))[:limit]


def rule_definition(node: Any) -> tuple[str, tuple[str, ...]]:
    """Title of a rule, and the recommendations it refers to."""
    title = next((child.text for child in node if local(child.tag) == "title"), "")
    references = [
        clean_text(child.text, 20)
        for child in node
        if local(child.tag) == "reference" and "cyber.gouv.fr" in str(child.get("href"))
    ]
    return clean_text(title), tuple(dict.fromkeys(references))


def _parse_verdict(verdict: Any, definitions: Mapping[str, tuple[str, tuple[str, ...]]]) -> OpenScap:
    profile, score = "", 0.0
    rules: list[Rule] = []
    values: dict[str, str] = {}
    for node in verdict:
        name = local(node.tag)
        if name == "profile":
            profile = clean_text(short(str(node.get("idref"))), 100)
        elif name == "score":
            try:
                score = float(node.text or 0)
            except ValueError:
                score = -1.0
            if not 0 <= score <= 100:
                raise AuditError(f"le résultat d'OpenSCAP est illisible : score « {clean_text(node.text, 40)} »")
        elif name == "set-value":
            values[str(node.get("idref"))] = clean_text(node.text)
        elif name == "rule-result":
            identifier = str(node.get("idref"))
            result = next(((child.text or "").strip() for child in node if local(child.tag) == "result"), "unknown")
            if result == "notselected":
                continue
            rule = short(identifier)
            if not _RULE_NAME.fullmatch(rule) or len(rules) >= _MAX_RULES:
                raise AuditError(f"le résultat d'OpenSCAP est illisible : règle « {clean_text(rule, 60)} »")
            exports = [str(one.get("value-id")) for one in node.iter() if local(one.tag) == "check-export"][:50]
            title, controls = definitions.get(identifier, ("", ()))
            rules.append(
                Rule(
                    name=rule,
                    result=result if result in _RESULTS else "unknown",
                    severity=clean_text(node.get("severity"), 20),
                    title=title,
                    controls=controls,
                    values={clean_text(short(key), 200): values[key] for key in exports if key in values},
                )
            )
    return OpenScap(profile, round(score, 1), tuple(rules))


def _check_held(count: int, most: int) -> None:
    if count > most:
        raise AuditError(f"le résultat d'OpenSCAP est démesuré : plus de {most} éléments à garder")


def _check_tags(data: bytes) -> None:
    """Refuse a tag that is too long: within one there is no other « < ».

    Attributes unfold what a document declares, up to five times all that was read; OpenSCAP declares nothing, and what
    does is no longer than one tag.
    """
    at = 0
    if b"<!DOCTYPE" in data and len(data) > _MAX_TAG:
        raise AuditError(f"le résultat d'OpenSCAP déclare un type de document, et fait plus de {_MAX_TAG} octets")
    while len(data) - at > _MAX_TAG:
        at = data.rfind(b"<", at + 1, at + 1 + _MAX_TAG)
        if at < 0:
            raise AuditError(f"le résultat d'OpenSCAP est démesuré : plus de {_MAX_TAG} octets d'un tenant")


def read_arf(data: bytes) -> OpenScap:
    """Read an asset reporting format file, as it comes: what is not wanted of it is forgotten at once.

    Raises:
        AuditError: it is not one. A host may be hostile: entities and networks are never followed.
    """
    from lxml import etree

    definitions: dict[str, tuple[str, tuple[str, ...]]] = {}
    verdict = None
    _check_tags(data)
    kept = held = spaces = 0  # elements under way whose content is wanted, and what they hold
    parts = etree.iterparse(
        io.BytesIO(data),
        ("start", "end", "start-ns"),
        encoding="utf-8",  # as OpenSCAP writes it: `_check_tags` looks at bytes
        remove_comments=True,
        remove_pis=True,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=True,
    )
    try:
        for event, node in parts:
            if event == "start-ns":
                spaces += 1
                _check_held(spaces, _MAX_NAMESPACES)
                continue
            name = local(node.tag)
            wanted = name in ("Rule", "TestResult")
            if event == "start":
                kept += wanted
                held = held + 1 + len(node.attrib) if kept else 0
                _check_held(held, _MAX_HELD)
                if not kept:
                    node.attrib.clear()
                continue
            kept -= wanted
            if name == "Rule" and len(definitions) < _MAX_RULES:
                definitions[str(node.get("id"))] = rule_definition(node)
            elif name == "TestResult":
                verdict = _parse_verdict(node, definitions)
            if not kept:
                node.clear()
                while node.getprevious() is not None:
                    del node.getparent()[0]
    except etree.XMLSyntaxError as error:
        raise AuditError(f"le résultat d'OpenSCAP est illisible : {error}") from error
    if verdict is None:
        raise AuditError("le résultat d'OpenSCAP est vide : aucun TestResult")
    return verdict


def read_junit(path: Path) -> list[Check]:
    """Read pytest's results; tests/profiles/conftest.py says of each its machine and its name (creatic/junit.py).

    Those of before say it in properties of the test.

    Raises:
        AuditError: the file is missing or cut.
    """
    from lxml import etree

    try:
        root = etree.parse(path, etree.XMLParser(resolve_entities=False, huge_tree=True)).getroot()
    except (OSError, etree.XMLSyntaxError) as error:
        raise AuditError(f"{path.name} est illisible : {error}") from error
    checks = []
    for case in root.iter("testcase"):
        properties = {str(one.get("name")): str(one.get("value")) for one in case.iter("property")}
        bad = [child for child in case if child.tag in ("failure", "error")]
        skipped = [child for child in case if child.tag == "skipped"]
        why = (bad or skipped or [None])[0]
        detail = clean_text(why.get("message") or why.text, 400) if why is not None else ""
        lost = why is not None and (why.get("type") == LOST or properties.get("machine_perdue") == "oui")
        result = "perdu" if lost else "echec" if bad else "ignore" if skipped else "reussi"
        group, suite = case.get("group"), case.getparent()
        # Elsewhere than in our own reports, hostname is of the machine that ran the tests.
        machine = str(suite.get("hostname") or "") if group and suite is not None else properties.get("machine", "")
        name = properties.get("essai") or group
        name = name or f"{case.get('classname')}::{str(case.get('name')).partition('[')[0]}"
        checks.append(Check(name, str(case.get("name")), machine, result, detail))
    return checks


def _one_diff(item: Mapping[str, Any]) -> str:
    if item.get("prepared"):
        return str(item["prepared"])
    before, after = (item.get(key) for key in ("before", "after"))
    if isinstance(before, Mapping) or isinstance(after, Mapping):
        one, two = ({} if not part else part if isinstance(part, Mapping) else {"": part} for part in (before, after))
        pairs = [(key, one.get(key), two.get(key)) for key in sorted({*one, *two})]
        return "\n".join(f"{key} : {old} → {new}" for key, old, new in pairs if old != new)
    lines_before, lines_after = (redact(str(text or "")[:_MAX_COMPARED]).splitlines() for text in (before, after))
    old_name, new_name = (str(item.get(key) or "") for key in ("before_header", "after_header"))
    lines = difflib.unified_diff(lines_before, lines_after, old_name, new_name, lineterm="", n=1)
    return "\n".join(lines)


def readable_diff(diff: Any) -> str:
    """A module's diff as text, redacted, cut when long."""
    items = diff if isinstance(diff, list) else [diff] if diff else []
    parts = (_one_diff(item)[:_MAX_COMPARED] for item in items[:_MAX_DIFF_LINES] if isinstance(item, Mapping))
    text = clean(redact("\n".join(parts)))
    lines = [line.rstrip()[:_MAX_DIFF_WIDTH] for line in text.splitlines() if line.strip()]
    if len(lines) > _MAX_DIFF_LINES:
        lines = [*lines[:_MAX_DIFF_LINES], f"… {len(lines) - _MAX_DIFF_LINES} autres lignes"]
    return "\n".join(lines)


def worst(verdicts: Iterable[str]) -> str:
    """The worst of some verdicts; *sans objet* when there is none."""
    present = set(verdicts)
    return next((verdict for verdict in VERDICTS if verdict in present), SANS_OBJET)
