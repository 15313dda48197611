# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What is wrong this morning, asked of every machine and of the control node's own records."""
