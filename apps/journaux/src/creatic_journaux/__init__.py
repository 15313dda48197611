# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Gathers the machines' journals: each under the name of its certificate, sealed each day, kept a year."""
