#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Documentation of csr_issue; the action plugin of the same name does the work, in the control node's Python."""

from __future__ import annotations

DOCUMENTATION = r"""
module: csr_issue
short_description: Have the groupement's authority sign a CSR made by another tool
description:
  - For hosts where M(cdg59.creatic.certificates) cannot run (Windows, whose certreq makes key and CSR).
  - The same key asking for the same certificate gets the one which it already has.
options:
  csr: {description: "Certificate signing request, PEM.", type: str, required: true}
  request:
    description: What the certificate must be (name, profile, common_name, organization, siren).
    type: dict
    required: true
attributes:
  check_mode:
    support: none
extends_documentation_fragment:
  - cdg59.creatic.modules
  - cdg59.creatic.modules.control_node
  - cdg59.creatic.modules.authority
"""

EXAMPLES = r"""
- name: Have the CSR signed
  cdg59.creatic.csr_issue:
    csr: "{{ lookup('ansible.builtin.file', 'poste.csr') }}"
    authority_dir: "{{ creatic_pki_dir }}"
    request:
      name: secretariat-general
      profile: client
      common_name: Secrétariat général
      organization: Commune de Gondecourt
      siren: "215902669"
"""

RETURN = r"""
pem: {description: The certificate., returned: always, type: str}
subject_cn: {description: CN of its holder., returned: always, type: str}
issuer_cn: {description: CN of the authority which signed., returned: always, type: str}
not_after: {description: "Expiry, ISO 8601.", returned: always, type: str}
"""
