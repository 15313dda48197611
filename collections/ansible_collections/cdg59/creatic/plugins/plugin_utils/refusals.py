# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What a filter says of what it refuses."""

from __future__ import annotations

import functools
from collections.abc import Callable

from ansible.errors import AnsibleFilterError


def refusing[**Given, Made](*refusals: type[Exception]) -> Callable[[Callable[Given, Made]], Callable[Given, Made]]:
    """Make a filter of a function whose refusals have a message in French: Ansible shows it, and no traceback."""

    def decorate(work: Callable[Given, Made]) -> Callable[Given, Made]:
        @functools.wraps(work)
        def run(*args: Given.args, **kwargs: Given.kwargs) -> Made:
            try:
                return work(*args, **kwargs)
            except refusals as error:
                raise AnsibleFilterError(str(error)) from None

        return run

    return decorate
