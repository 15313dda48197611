#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""How a machine is this morning."""

from __future__ import annotations

DOCUMENTATION = r"""
module: machine_report
short_description: Tell how a machine is, without changing anything
description:
  - The figures that its programs leave for Prometheus, its failed units, its disks, its clock, the restart that Debian
    asks for.
extends_documentation_fragment: cdg59.creatic.modules
"""

EXAMPLES = r"""
- name: Ask how the machine is
  cdg59.creatic.machine_report:
"""

RETURN = r"""
report: {description: See module_utils/host/report.py., returned: always, type: dict}
"""

from ansible_collections.cdg59.creatic.plugins.module_utils.host import module, report


def main() -> None:
    module.run({}, lambda _: {"changed": False, "report": report.look()})


if __name__ == "__main__":
    main()
