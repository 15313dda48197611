# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The archive room as the control node sees it: its state, its rings, its patches."""
