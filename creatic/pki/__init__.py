# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Certificates: the authority on the control node, and what a machine does with its own."""
