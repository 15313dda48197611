# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""A state wanted of one machine: files, packages, units, disks, and what protects its administrators."""
