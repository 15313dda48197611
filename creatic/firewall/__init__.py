# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Flows that roles ask for, as nftables rules, and their commit."""
