#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Collects the proofs of a host into the evidence of the running rollout."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.proof import ProofError, read_files, run
from ansible_collections.cdg59.creatic.plugins.module_utils.host.preflight import read_certificates

DOCUMENTATION = """
module: proof
short_description: Runs a proof command on a host and keeps what it proves
description:
  - Runs the command on the host, reads the JSON that it prints, fetches the files that it names into the
    evidence of the running rollout, and notes the certificates in place.
  - Fails, in French, when a required proof is missing or not made. What was collected is kept all the same.
  - Works only while the callback plugin P(cdg59.creatic.rollout#callback) follows the rollout.
options:
  argv: {description: The command and its arguments., type: list, elements: str, required: true}
  user: {description: Account that runs it., type: str, default: root}
  timeout: {description: Seconds after which the command is given up., type: int, default: 300}
  required:
    description: Keys of the proofs without which the host is not ready.
    type: list
    elements: str
    default: []
extends_documentation_fragment: cdg59.creatic.modules
"""

EXAMPLES = """
- name: Prove the browser
  cdg59.creatic.proof:
    argv: [/usr/lib/creatic/preuve-navigateur]
    user: agent
    required: [navigateur]
"""

RETURN = """
creatic_proof:
  description: Proofs (C(preuves)), fetched files (C(fichiers)) and certificates in place (C(certificats)).
  type: dict
  returned: always, except in check mode
"""

SPEC = {
    "argv": {"type": "list", "elements": "str", "required": True},
    "user": {"type": "str", "default": "root"},
    "timeout": {"type": "int", "default": 300},
    "required": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    if module.check_mode:
        module.exit_json(changed=False, msg=f"la preuve {module.params['argv'][0]} serait faite")
    proof: dict[str, object] = {"preuves": [], "fichiers": [], "certificats": []}
    try:
        proof["certificats"] = [item for item in read_certificates(Path("/etc/creatic/pki")) if "illisible" not in item]
        proofs, paths = run(module.params["argv"], module.params["user"], module.params["timeout"])
        proof["preuves"] = proofs
        proof["fichiers"] = read_files(paths)
    except ProofError as error:
        module.fail_json(msg=str(error), creatic_proof=proof)
    module.exit_json(changed=False, creatic_proof=proof)


if __name__ == "__main__":
    main()
