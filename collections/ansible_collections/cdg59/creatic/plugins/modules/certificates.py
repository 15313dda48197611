#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/pki/host.py; the action plugin of the same name talks to the authority."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certificates
short_description: Have any number of certificates of the groupement's authority on a host
description:
  - One task makes the missing keys on the host, has the authority of the control node sign, installs, and
    brings the trust bundle, the CRLs and the system store up to date.
  - Private keys never leave the host. Only CSRs travel.
  - The module runs once on a host where nothing is to be issued, twice where something is.
options:
  certificates:
    description: The wanted certificates. Empty only updates trust and CRLs.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Folder under C(/etc/creatic/pki)., type: str, required: true}
      profile:
        description: What the certificate is for.
        type: str
        required: true
        choices: [client, server, signature, supervision, tsa]
      common_name: {description: CN. A server's defaults to its first DNS name., type: str}
      holder:
        description: Who bears it; a person by default, who bears none of the names of machines and services.
        type: str
        choices: [person, connector, machine, service]
      organization: {description: O. Required except for a server., type: str}
      siren: {description: SIREN of the organization; becomes the OU "0002 <SIREN>". Required for a client., type: str}
      dns: {description: DNS names of a server., type: list, elements: str, default: []}
      group:
        description: Unix group which may read the key. Default as the present key has it, else root.
        type: str
      key_type: {description: "Type of this key, when not I(key_type).", type: str, choices: [ecdsa, rsa]}
  passphrase:
    description: Passphrase of the issuing CA, when it is neither in the environment nor in a file.
    type: str
  renew_days: {description: Renew a certificate when fewer days remain., type: int, default: 30}
  key_type: {description: Type of the keys., type: str, choices: [ecdsa, rsa], default: ecdsa}
  only_existing:
    description: Leaves alone a host which has no certificates folder yet, because it was never rolled out.
    type: bool
    default: false
  plan: {description: Set by the action plugin., type: dict}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff, cdg59.creatic.modules.authority]
"""

EXAMPLES = r"""
- name: Ensure the certificates are in place
  cdg59.creatic.certificates:
    authority_dir: "{{ creatic_pki_dir }}"
    certificates:
      - name: tdt
        profile: client
        common_name: Connecteur de Gondecourt
        holder: connector
        organization: Commune de Gondecourt
        siren: "215902669"
        group: tdt-connector
"""

RETURN = r"""
certificates:
  description: Name, serial number, expiry (ISO 8601) and reason of the renewal of each certificate.
  returned: always
  type: list
  elements: dict
renewed:
  description: Names of the certificates issued by this run, or to issue in check mode.
  returned: always
  type: list
  elements: str
crl_changed: {description: Whether C(crl.pem) changed., returned: always, type: bool}
authorities:
  description: Key identifiers (hexadecimal) of the authorities that the host believes, each with its list.
  returned: always
  type: list
  elements: str
newer_lists:
  description: >-
    Lists of the host that come after the control node's (French): another control node acts with the same state, or
    this one came back from an older backup.
  returned: when the trust files were looked at
  type: list
  elements: str
absent:
  description: Whether the host has no certificates folder, with I(only_existing).
  returned: always
  type: bool
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

try:
    from ansible_collections.cdg59.creatic.plugins.module_utils.pki import host as pki_host

    HAS_CRYPTOGRAPHY = True
except ImportError:  # a fresh host in check mode does not have python3-cryptography yet
    HAS_CRYPTOGRAPHY = False
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import entries, run
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import lines_diff

ROOT = Path("/etc/creatic/pki")


SPEC: dict[str, Any] = {
    "certificates": entries(
        {
            "name": {"type": "str", "required": True},
            "profile": {
                "type": "str",
                "required": True,
                "choices": ["client", "server", "signature", "supervision", "tsa"],
            },
            "common_name": {"type": "str"},
            "holder": {"type": "str", "choices": ["person", "connector", "machine", "service"]},
            "organization": {"type": "str"},
            "siren": {"type": "str"},
            "dns": {"type": "list", "elements": "str", "default": []},
            "group": {"type": "str"},
            "key_type": {"type": "str", "choices": ["ecdsa", "rsa"], "no_log": False},
        },
        default=[],
    ),
    "authority_dir": {"type": "path", "required": True},
    "passphrase": {"type": "str", "no_log": True},
    "renew_days": {"type": "int", "default": 30},
    "key_type": {"type": "str", "choices": ["ecdsa", "rsa"], "default": "ecdsa", "no_log": False},
    "commune": {"type": "str", "default": ""},
    "only_existing": {"type": "bool", "default": False},
    "plan": {"type": "dict"},
}


def _make_answer(**more: Any) -> dict[str, Any]:
    """What the action plugin reads, as it is where nothing was looked at, but for what is given."""
    nothing = {"changed": False, "states": [], "renewed": [], "crl_changed": False, "authorities": [], "diff": []}
    return nothing | {"absent": False} | more


def _converge_host(module: AnsibleModule) -> dict[str, Any]:
    plan = module.params["plan"]
    if plan is None:
        module.fail_json(msg="cdg59.creatic.certificates ne se lance que par son greffon d'action")
    if module.params["only_existing"] and not ROOT.is_dir():
        return _make_answer(absent=True)
    if not HAS_CRYPTOGRAPHY:
        if not module.check_mode:
            module.fail_json(msg="le paquet python3-cryptography manque sur cette machine : installez-le")
        names = [entry["request"]["name"] for entry in plan["certificates"]]
        diff = [lines_diff([f"{name}, à émettre" for name in names])]
        return _make_answer(changed=True, renewed=names, crl_changed=True, diff=diff)
    store = pki_host.HostStore(ROOT, module.check_mode)
    crl_changed = False
    wanted = [pki_host.Wanted.from_dict(entry) for entry in plan["certificates"]]
    if plan["issued"]:
        states = store.install_issued(wanted, plan)
    else:
        crl_changed = store.trust(plan["ca"], plan["crl"], plan["history"])
        store.system_store(plan["store_name"], plan["roots"])
        states = [store.inspect(one, plan["chain"], module.params["renew_days"]) for one in wanted]
    return _make_answer(
        changed=bool(store.changes),
        states=states,
        renewed=[state["name"] for state in states if state["reason"]],
        crl_changed=crl_changed,
        authorities=store.held_authority_ids(),
        newer_lists=store.newer,
        diff=[
            {
                "before": change.before,
                "after": change.after,
                "before_header": change.path,
                "after_header": change.path,
            }
            for change in store.changes
        ],
        # What the action plugin sent is long and is no input of the task.
        invocation={"module_args": {"certificates": module.params["certificates"]}},
    )


def main() -> None:
    run(SPEC, _converge_host)


if __name__ == "__main__":
    main()
