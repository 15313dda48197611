#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Documentation of the action plugin of the same name, which does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: scap_content
short_description: Put OpenSCAP's data stream of Debian 13 on a host
description:
  - The control node fetches Debian's package once from a mirror of its own apt configuration, refuses it unless its
    SHA-256 is the pinned one, and keeps the data stream alone.
  - The host gets it only when it does not have it.
options:
  cache: {description: Folder of the control node in which the content is kept., type: path, required: true}
  dest: {description: Path on the host., type: path, default: /usr/share/xml/scap/ssg/content/ssg-debian13-ds.xml}
extends_documentation_fragment: cdg59.creatic.modules
"""

EXAMPLES = r"""
- name: Ensure the ANSSI-BP-028 profiles of OpenSCAP are there
  cdg59.creatic.scap_content:
    cache: "{{ creatic_home | dirname }}/cache"
"""
