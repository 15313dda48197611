# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Clerks' PCs that come by themselves: tokens, what they ask, what is signed for them."""
