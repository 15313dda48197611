# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The fleet that nobody can reach: what each machine is to become, signed for it, and in which order."""
