#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/pki/pkcs11_token.py; the action plugin of the same name has the certificate signed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pkcs11_token
short_description: Prepare a PKCS#11 token, in the lab, as a certificate provider does
description:
  - The token is initialised, its key pair is born in it, an authority of the control node signs the CSR,
    the certificate is written to the token. A renewal destroys the old pair.
  - In production a token arrives ready and this module is not used.
options:
  account: {description: Account of the host which uses the token., type: str, required: true}
  library: {description: "PKCS#11 module, on the host.", type: path, required: true}
  label: {description: Label of the token., type: str, required: true}
  pin_file: {description: File of the control node which holds the PIN., type: path, required: true}
  authority_dir:
    description: Folder, on the control node, of the authority which stands in for the provider.
    type: path
    required: true
  profile:
    description:
      - What the certificate is for. The key of a C(signature) serves with the PIN alone; that of a C(client) without,
        because nobody is there to type it into a headless browser.
    type: str
    choices: [client, signature]
    default: client
  subject:
    description: I(common_name), I(organization) and I(siren) of the certificate; I(holder), for a service's.
    type: dict
    required: true
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff]
"""

EXAMPLES = r"""
- name: Ensure the token is as the provider would deliver it
  cdg59.creatic.pkcs11_token:
    account: agent
    library: /usr/lib/softhsm/libsofthsm2.so
    label: finances
    pin_file: "{{ creatic_secrets_dir }}/finances.pin"
    authority_dir: "{{ creatic_home }}/prestataire"
    subject: {common_name: Direction des finances, organization: Commune de La Madeleine, siren: "215903683"}
"""

RETURN = r"""#"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

try:
    from ansible_collections.cdg59.creatic.plugins.module_utils.pki import pkcs11_token

    HAS_PKCS11 = True
except ImportError:  # a fresh host in check mode does not have python3-pkcs11 yet
    HAS_PKCS11 = False
from ansible_collections.cdg59.creatic.plugins.module_utils.host.account import (
    AccountError,
    account_exists,
    as_account,
)
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import run
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import lines_diff

SPEC: dict[str, Any] = {
    "account": {"type": "str", "required": True},
    "library": {"type": "path", "required": True},
    "label": {"type": "str", "required": True},
    "pin": {"type": "str", "required": True, "no_log": True},
    "profile": {"type": "str", "choices": ["client", "signature"], "default": "client"},
    "subject": {"type": "dict", "required": True},
    "issued": {"type": "str", "default": ""},
}


def _prepare_token(module: AnsibleModule) -> dict[str, Any]:
    params, check = module.params, module.check_mode
    library = Path(params["library"])
    if check and not (HAS_PKCS11 and library.is_file() and account_exists(params["account"])):
        return {"changed": True, "csr": ""}
    if not (HAS_PKCS11 and library.is_file()):
        raise AccountError(f"python3-pkcs11 ou {library} manque sur cette machine : installez-les")
    result = as_account(
        params["account"],
        lambda: pkcs11_token.prepare(
            library,
            params["label"],
            params["pin"],
            params["subject"],
            params["issued"],
            private=params["profile"] == "signature",
            check=check,
        ),
    )
    return {
        "changed": bool(result["changes"]),
        "csr": result["csr"],
        "diff": lines_diff(result["changes"], params["label"]) if result["changes"] else {},
    }


def main() -> None:
    run(SPEC, _prepare_token)


if __name__ == "__main__":
    main()
