# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What is asked of an inventory before anything is done with it: it stands above the rooms that it asks."""
