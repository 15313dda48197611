# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""An audit, from its sources to its verdicts, its pages and its OSCAL."""
