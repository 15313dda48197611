#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Give a server the trusted lists of the control node, never older ones than it has."""

from __future__ import annotations

DOCUMENTATION = r"""
module: trusted_lists_file
short_description: Give a server the trusted lists of the control node, never older ones than it has
description:
  - C(confiance.json) as M(cdg59.creatic.trusted_lists) writes it. Without content, or with lists older than the
    server's (a control node that came back from a backup), the server keeps its own, and is told so.
options:
  path: {description: File of the server., type: path, required: true}
  content: {description: "Its content, empty when the control node has none.", type: str, required: true}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff]
"""

EXAMPLES = r"""
- name: Ensure the parapheur knows who issues qualified certificates
  cdg59.creatic.trusted_lists_file:
    path: /etc/parapheur/confiance.json
    content: "{{ lookup('ansible.builtin.file', '/srv/creatic/confiance/confiance.json') }}"
"""

RETURN = "extends_documentation_fragment: cdg59.creatic.modules"

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import run
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import Change, StateError, result, write

SPEC: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str", "required": True},
}


def _place_file(module: AnsibleModule) -> dict[str, Any]:
    path, wanted = Path(module.params["path"]), module.params["content"]
    before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    if not wanted or wanted == before:
        return result([])
    if told := older(wanted, before):
        module.warn(f"{path} : {told}")
        return result([])
    if not module.check_mode:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, wanted)
    return result([Change(str(path), _numbers_text(before), _numbers_text(wanted))])


def numbers(text: str) -> dict[str, int]:
    """Number of each list, that of the lists under EU.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is no such file.
    """
    told = json.loads(text)
    return {"EU": int(told["lotl"]["numero"])} | {name: int(one["numero"]) for name, one in told["listes"].items()}


def older(wanted: str, before: str) -> str:
    """Why lists do not replace those of a server (French); nothing when they may.

    Raises:
        StateError: what is wanted is none.
    """
    try:
        ours = numbers(wanted)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StateError(
            "confiance.json du poste de commande ne se lit pas. À faire : supprimez-le, puis fab parapheur.confiance"
        ) from None
    try:
        theirs = numbers(before)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    late = sorted(name for name, number in ours.items() if number < theirs.get(name, 0))
    if ours["EU"] == theirs.get("EU"):  # those of countries that the same list of the lists names, and that were lost
        late += sorted(theirs.keys() - ours.keys())
    return f"les listes du serveur sont plus récentes ({', '.join(late)}), elles sont gardées" if late else ""


def _numbers_text(text: str) -> str:
    try:
        return ", ".join(f"{name} n° {number}" for name, number in sorted(numbers(text).items()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def main() -> None:
    run(SPEC, _place_file)


if __name__ == "__main__":
    main()
