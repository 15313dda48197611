# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""How a module answers: the work is elsewhere, its refusals are in French."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import Change, result


def entries(options: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An argument that is a list of such dictionaries: required, unless ``more`` has its default."""
    return {"type": "list", "elements": "dict", "required": "default" not in more, "options": options, **more}


def run(
    spec: dict[str, Any],
    work: Callable[[AnsibleModule], dict[str, Any]],
    *odd: type[Exception],
    **options: Any,
) -> None:
    """Be a module, with check mode: read the arguments, do the work, answer.

    Args:
        spec: its arguments.
        work: what it does; gives the answer, ``changed`` included.
        odd: errors, besides ours, whose message is the module's.
        options: further arguments of AnsibleModule.
    """
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True, **options)
    told: tuple[type[Exception], ...] = (CreaticError, *odd)
    try:
        answer = work(module)
    except told as error:
        module.fail_json(msg=str(error))
    module.exit_json(**answer)


def proven(
    module: AnsibleModule, proofs: Sequence[dict[str, Any]], fault: str = "{detail}. {remede}"
) -> dict[str, Any]:
    """What a module that makes proofs answers; it fails when one of them is bad, and gives them all the same.

    Args:
        module: the module.
        proofs: of the evidence.
        fault: French, what is said of a bad one, from its fields.
    """
    answer = {"changed": False, "creatic_proof": {"preuves": proofs}}
    if bad := dict.fromkeys(fault.format(**one) for one in proofs if one["verdict"] == "echec"):
        module.fail_json(msg=" ".join(bad), **answer)
    return answer


def converge(spec: dict[str, Any], apply: Callable[[dict[str, Any], bool], Sequence[Change]], **options: Any) -> None:
    """Be a module that brings the machine to a state: changed, names and diff are those of the changes.

    Args:
        spec: its arguments.
        apply: given them and whether nothing may change (check mode), makes the changes and gives them.
        options: further arguments of AnsibleModule.
    """
    run(spec, lambda module: result(apply(module.params, module.check_mode)), **options)
