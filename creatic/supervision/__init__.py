# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What Prometheus is told: which machines to ask, and what their figures mean."""
