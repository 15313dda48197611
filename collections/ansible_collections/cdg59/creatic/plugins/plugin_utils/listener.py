# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What every callback of the collection is for Ansible: beside the output, and only where it is enabled."""

from __future__ import annotations

from ansible.plugins.callback import CallbackBase


class Listener(CallbackBase):
    """Base of the callbacks; a subclass gives its name, ``CALLBACK_NAME``."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NEEDS_ENABLED = True
