# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Commands of the groupement (``fab --list``): one file per audience."""
