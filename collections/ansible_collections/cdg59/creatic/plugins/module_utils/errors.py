# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The one family of what is refused or cannot be done.

Standard library only. Agents have this very file by a link (`creatic_agent.errors`).
"""

from __future__ import annotations

from typing import Any


class CreaticError(Exception):
    """Something is refused, or cannot be done: `message` says it to people, in French; `cause` says it to programs.

    A cause is a word that stays the same when the message is written better. A class says its own, as an argument
    (``class Away(CreaticError, cause="absent")``), and an error may say a closer one. Who stands at a door (a command,
    a module, an action plugin) catches this one; a class is for who must tell it from others.
    """

    cause = "defaut"
    misuse = False
    """Whether what was asked is at fault, rather than what was done: a command ends with 2 then."""

    def __init_subclass__(cls, cause: str = "", misuse: bool | None = None, **given: Any) -> None:
        super().__init_subclass__(**given)
        cls.cause = cause or cls.cause
        cls.misuse = cls.misuse if misuse is None else misuse

    def __init__(self, message: str = "", cause: str = "") -> None:
        super().__init__(message)
        if cause:
            self.cause = cause

    @property
    def message(self) -> str:
        return str(self)
