# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""SSH access for a time: the authority, the accounts, the door."""
