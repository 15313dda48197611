# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the GED, the parapheur and the délibérations are told through their own interfaces."""
