# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""ANSSI-BP-028 on a host: one module for each kind of setting."""
