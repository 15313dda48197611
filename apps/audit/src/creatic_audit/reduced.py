"""OpenSCAP's result as a relevé bears it: each rule that was asked, and its result; the rest stays on this machine.

What a rule is, and how grave, is no machine's to say: who judges reads it of the pinned content.
"""

from __future__ import annotations

import io
import re
from typing import Any
from xml.etree import ElementTree

_SHORT = re.compile(r"^xccdf_org\.ssgproject\.content_\w+?_")


class Unreadable(Exception):
    """What OpenSCAP wrote has no result; the message is French."""


def reduced(arf: bytes) -> dict[str, Any]:
    """Reduce an ARF, which this machine's own OpenSCAP has just written.

    Returns:
        ``score`` (out of 100) and ``regles``: result by short name of the rule.

    Raises:
        Unreadable: it is cut, or has no result.
    """
    rules: dict[str, str] = {}
    score: float | None = None
    inside = False
    try:
        for event, node in ElementTree.iterparse(io.BytesIO(arf), ("start", "end")):  # noqa: S314 - written by this machine's OpenSCAP, not by others
            name = node.tag.rpartition("}")[2]
            if name == "TestResult":
                inside = event == "start"
            if event == "start" or (inside and name not in ("rule-result", "score")):
                continue
            if inside and name == "score":
                score = round(float(node.text or 0), 1)
            elif inside:
                result = next((child.text or "" for child in node if child.tag.endswith("}result")), "").strip()
                if result != "notselected":
                    rules[_SHORT.sub("", str(node.get("idref")))] = result or "unknown"
            node.clear()
    except (ElementTree.ParseError, ValueError) as error:
        raise Unreadable(f"le résultat d'OpenSCAP est illisible : {error}") from error
    if score is None:
        raise Unreadable("le résultat d'OpenSCAP est vide")
    return {"score": score, "regles": rules}
