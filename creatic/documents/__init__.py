# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Documents that an auditor, an archivist or a commune asks for first, written from what runs."""
