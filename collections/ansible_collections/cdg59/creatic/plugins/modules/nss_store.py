#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/pki/nss.py; the action plugin of the same name opens the .p12 files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nss_store
short_description: Have authorities, certificates and tokens in the browsers' stores of an account
description:
  - One task brings C(~/.pki/nssdb) (Chromium) and the store of each Firefox profile to their state.
  - An account which never ran Firefox is given a first profile.
  - PKCS#12 files are opened on the control node; their passwords never leave it.
options:
  account: {description: Account of the host whose stores they are., type: str, required: true}
  authorities:
    description: >-
      Trust bundle on the host (PEM). Its self-signed certificates are trusted for servers; authorities of the
      C(historique.pem) beside it that it holds no more are taken out.
    type: path
    required: true
  others:
    description: Other trust bundles (PEM texts), as that of a site which the account visits; none is taken out.
    type: list
    elements: str
    default: []
  certificates:
    description: The account's certificates. Each has one of I(folder), I(pkcs12) and I(token).
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name under which the browsers show it., type: str, required: true}
      folder: {description: "Folder on the host with C(key.pem), C(cert.pem) and C(chain.pem).", type: path}
      pkcs12:
        description: PKCS#12 file on the control node. Replaced by I(key), I(certificate) and I(chain).
        type: path
      password_file: {description: File of the control node which holds the password of I(pkcs12)., type: path}
      sirens: {description: Whose I(pkcs12) may be. Replaced by the action plugin., type: list, elements: str}
      token: {description: Label of a PKCS#11 token which already holds its certificate., type: str}
      library: {description: "PKCS#11 module of I(token), on the host.", type: path}
      key: {description: Set by the action plugin., type: str}
      certificate: {description: Set by the action plugin., type: str}
      chain: {description: Set by the action plugin., type: str}
  files_only:
    description: Only check that the PKCS#12 files open, on the control node; nothing runs on the host.
    type: bool
    default: false
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff]
"""

EXAMPLES = r"""
- name: Ensure the clerk's browsers have what the TdT asks
  cdg59.creatic.nss_store:
    account: agent
    authorities: /etc/creatic/pki/ca.pem
    certificates:
      - name: Secrétariat général
        folder: /etc/creatic/pki/secretariat-general/current
      - name: Secrétaire de mairie
        pkcs12: "{{ creatic_secrets_dir }}/mairie.p12"
        password_file: "{{ creatic_secrets_dir }}/mairie.p12.pass"
        sirens: ["{{ creatic_commune.siren }}"]
      - name: Direction des finances
        token: finances
        library: /usr/lib/x86_64-linux-gnu/opensc-pkcs11.so
"""

RETURN = r"""
certificates:
  description: Name, subject, issuer, expiry and PEM of each certificate. Nothing secret.
  returned: always
  type: list
  elements: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

try:
    from ansible_collections.cdg59.creatic.plugins.module_utils.pki import nss

    HAS_CRYPTOGRAPHY = True
except ImportError:  # a fresh host in check mode does not have python3-cryptography yet
    HAS_CRYPTOGRAPHY = False
from ansible_collections.cdg59.creatic.plugins.module_utils.host.account import (
    AccountError,
    account_exists,
    as_account,
)
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import entries, run
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import lines_diff

MATERIAL = {"key": "key.pem", "certificate": "cert.pem", "chain": "chain.pem"}


def _with_material(entry: dict[str, str | None]) -> dict[str, str | None]:
    """Read a certificate's folder; root alone can."""
    folder = entry["folder"]
    if not folder:
        return entry
    return entry | {part: Path(folder, name).read_text(encoding="ascii") for part, name in MATERIAL.items()}


SPEC: dict[str, Any] = {
    "account": {"type": "str", "required": True},
    "authorities": {"type": "path", "required": True},
    "others": {"type": "list", "elements": "str", "default": []},
    "certificates": entries(
        {
            "name": {"type": "str", "required": True},
            "folder": {"type": "path"},
            "token": {"type": "str", "no_log": False},
            "library": {"type": "path"},
            "key": {"type": "str", "no_log": True},
            "certificate": {"type": "str"},
            "chain": {"type": "str"},
        },
        default=[],
        required_one_of=[["folder", "key", "token"]],
        mutually_exclusive=[["folder", "key", "token"]],
        required_together=[["token", "library"]],
    ),
}


def _converge_stores(module: AnsibleModule) -> dict[str, Any]:
    account, bundle = module.params["account"], Path(module.params["authorities"])
    ready = account_exists(account) and HAS_CRYPTOGRAPHY and bundle.is_file()
    if module.check_mode and not ready:
        # Earlier tasks, which check mode did not run, make the account, its home and the bundle.
        return {"changed": True, "certificates": []}
    if not HAS_CRYPTOGRAPHY:
        raise AccountError("le paquet python3-cryptography manque sur cette machine : installez-le")
    entries = [
        _with_material(entry)
        for entry in module.params["certificates"]
        if not (module.check_mode and entry["folder"] and not Path(entry["folder"]).is_dir())
    ]
    authorities = "\n".join([bundle.read_text(encoding="ascii"), *module.params["others"]])
    past = bundle.with_name("historique.pem")
    history = past.read_text(encoding="ascii") if past.is_file() else ""
    result = as_account(account, lambda: nss.converge(Path.home(), authorities, entries, module.check_mode, history))
    return {
        "changed": bool(result["changes"]),
        "certificates": result["certificates"],
        "diff": lines_diff(result["changes"], account) if result["changes"] else {},
    }


def main() -> None:
    run(SPEC, _converge_stores, OSError)


if __name__ == "__main__":
    main()
