#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Documentation of pki_ca; the action plugin of the same name does the work, in the control node's Python."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pki_ca
short_description: Make and run a certificate authority on the control node
description:
  - Makes the authority when there is none, renews the issuing CA and the CRLs when they near their end.
  - Has certificates whose key lives on the control node (signature, time-stamping, PKCS#12 to hand out).
  - Revokes.
  - What I(organization), I(label), I(policy_arc), I(crl_url) and I(leaf_days) do not say stays as it is. A new
    authority must be given its organization; the others are then it, 1.3.6.1.4.1.59999.59.1, none and 365.
options:
  dir: {description: Folder of the authority., type: path, required: true}
  organization: {description: O of the authority's certificates., type: str}
  label: {description: "What tells this authority from others, in its common names.", type: str}
  policy_arc:
    description: OID under which certificate policies are numbered (1 client, 2 signature, 3 server, 4 tsa).
    type: str
  crl_url: {description: URL of the folder where the DER CRLs are served. Empty for no distribution point., type: str}
  leaf_days: {description: "Life of a certificate, days.", type: int}
  passphrase_racine:
    description: Passphrase of the root, when it is neither in the environment nor in a file.
    type: str
  passphrase_emettrice:
    description: Passphrase of the issuing CA, when it is neither in the environment nor in a file.
    type: str
  generate_passphrases: {description: "Makes random passphrases, in files, for new keys.", type: bool, default: false}
  replace_issuing:
    description: After a compromise, revokes the issuing CA and all it issued, and makes another.
    type: bool
    default: false
  certificates:
    description: Certificates whose key lives on the control node, under I(certificates_dir).
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Folder under I(certificates_dir)., type: str, required: true}
      profile:
        description: What the certificate is for.
        type: str
        required: true
        choices: [client, code, server, signature, supervision, tsa]
      common_name: {description: CN. A server's defaults to its first DNS name., type: str}
      holder:
        description: Who bears it; a person by default, who bears none of the names of machines and services.
        type: str
        choices: [person, connector, machine, service]
      organization: {description: O. The authority's own by default; a server has none., type: str}
      siren: {description: SIREN of the organization. Required for a client., type: str}
      dns: {description: DNS names of a server., type: list, elements: str, default: []}
      key_type: {description: Type of the key., type: str, choices: [ecdsa, rsa], default: ecdsa}
      commune: {description: "Slug of the commune, kept in the registry.", type: str, default: ""}
      p12: {description: "Also writes key, certificate and chain to this PKCS#12 file (mode 0600).", type: path}
      p12_password: {description: Password of the PKCS#12 file., type: str}
  certificates_dir: {description: Where I(certificates) live. Required with them., type: path}
  renew_days: {description: Renew I(certificates) when fewer days remain., type: int, default: 30}
  revoke:
    description: What to revoke. One of I(serial), I(host) and I(commune).
    type: dict
    suboptions:
      serial: {description: Hexadecimal serial number., type: str}
      host: {description: All the certificates of that inventory host., type: str}
      commune: {description: All the certificates of that commune (slug)., type: str}
      replaced: {description: Only those of them that another one replaced., type: bool, default: false}
      reason:
        description: Why (non_precise, compromission, compromission_ac, changement, remplacement, cessation).
        type: str
        required: true
  renew:
    description: Takes the renewal of an authority as far as it goes; begins it when there is none.
    type: dict
    suboptions:
      authority: {description: What gets a new key., type: str, required: true, choices: [emettrice, racine]}
      machines:
        description: Those that must hold the new authority before it signs.
        type: list
        elements: str
        required: true
      holders:
        description: By machine, the key identifiers of the authorities that it was just seen to hold.
        type: dict
        default: {}
      except: {description: Machines that are not waited for., type: list, elements: str, default: []}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff, cdg59.creatic.modules.control_node]
"""

EXAMPLES = r"""
- name: Ensure the authority is there
  cdg59.creatic.pki_ca:
    dir: "{{ creatic_pki_dir }}"
    generate_passphrases: true
  delegate_to: localhost

- name: Ensure a provider's certificate is there as a file
  cdg59.creatic.pki_ca:
    dir: "{{ creatic_home }}/prestataire"
    organization: Prestataire de confiance
    label: Prestataire
    policy_arc: 1.3.6.1.4.1.59999.59.2
    certificates_dir: "{{ creatic_home }}/certificats"
    certificates:
      - name: avesnes-pc-mairie
        profile: client
        common_name: Secrétariat général
        organization: Commune d'Avesnes-les-Aubert
        siren: "215900374"
        p12: "{{ creatic_home }}/certificats/avesnes-pc-mairie.p12"
        p12_password: "{{ avesnes_p12_password }}"
"""

RETURN = r"""
revoked: {description: Rows of the registry which this run revoked., returned: always, type: list, elements: dict}
expiring:
  description: >-
    Rows of the registry still in use which expire within I(renew_days), or were signed by an authority that signs no
    more.
  returned: always
  type: list
  elements: dict
renewal:
  description: >-
    Where the renewal stands (phase, role, awaited key identifiers, lacking machines, remaining certificates, French
    lines); empty without I(renew).
  returned: always
  type: dict
certificates:
  description: Name, serial number, expiry and folder of each of I(certificates).
  returned: always
  type: list
  elements: dict
extends_documentation_fragment: cdg59.creatic.modules.changes
"""

from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import entries

REQUEST = {
    "name": {"type": "str", "required": True},
    "profile": {"type": "str", "required": True, "choices": ["client", "server", "signature", "supervision", "tsa"]},
    "common_name": {"type": "str"},
    "holder": {"type": "str", "choices": ["person", "connector", "machine", "service"]},
    "organization": {"type": "str"},
    "siren": {"type": "str"},
    "dns": {"type": "list", "elements": "str", "default": []},
    "key_type": {"type": "str", "choices": ["ecdsa", "rsa"], "default": "ecdsa", "no_log": False},
    "commune": {"type": "str", "default": ""},
    "p12": {"type": "path"},
    "p12_password": {"type": "str", "no_log": True},
}
SPEC = {
    "dir": {"type": "path", "required": True},
    "organization": {"type": "str"},
    "label": {"type": "str"},
    "policy_arc": {"type": "str"},
    "crl_url": {"type": "str"},
    "leaf_days": {"type": "int"},
    "passphrase_racine": {"type": "str", "no_log": True},
    "passphrase_emettrice": {"type": "str", "no_log": True},
    "generate_passphrases": {"type": "bool", "default": False, "no_log": False},
    "replace_issuing": {"type": "bool", "default": False},
    "certificates": entries(
        REQUEST,
        default=[],
        required_together=[["p12", "p12_password"]],
    ),
    "certificates_dir": {"type": "path"},
    "renew_days": {"type": "int", "default": 30},
    "renew": {
        "type": "dict",
        "options": {
            "authority": {"type": "str", "required": True, "choices": ["emettrice", "racine"]},
            "machines": {"type": "list", "elements": "str", "required": True},
            "holders": {"type": "dict", "default": {}},
            "except": {"type": "list", "elements": "str", "default": []},
        },
    },
    "revoke": {
        "type": "dict",
        "options": {
            "serial": {"type": "str"},
            "host": {"type": "str"},
            "commune": {"type": "str"},
            "replaced": {"type": "bool", "default": False},
            "reason": {"type": "str", "required": True},
        },
    },
}
