# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The groupement as its files say it: communes, settings, and the inventory they make."""
