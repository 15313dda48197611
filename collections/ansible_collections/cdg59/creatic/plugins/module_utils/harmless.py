# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What others wrote, made harmless where it enters: for a terminal, a mail, a journal, a page, a file.

Standard library only: agents have this very file by a link.
"""

from __future__ import annotations

import unicodedata
from typing import Any

REPLACEMENT_CHARACTER = "\N{REPLACEMENT CHARACTER}"
"""What stands for a character that is not let through: a reader sees that there was something."""
# Of Unicode's categories: controls (C0, DEL, C1), formats (marks that turn the direction of writing, that have no
# width, tags), halves of a character, what is for private use, what is no character; what ends a line or a paragraph
# without being a line feed.
_UNPRINTABLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def text(told: str) -> str:
    """A text of several lines: its line feeds and tabulations stay."""
    return "".join(
        one if one in "\n\t" or _is_printable(one) else REPLACEMENT_CHARACTER for one in told.replace("\r\n", "\n")
    )


def line(told: str) -> str:
    """A text on one line: what would begin another is shown as what it is, no line of ours."""
    return "".join(one if _is_printable(one) else REPLACEMENT_CHARACTER for one in told)


def _is_printable(one: str) -> bool:
    return " " <= one <= "~" or unicodedata.category(one) not in _UNPRINTABLE_CATEGORIES


def tree(told: Any) -> Any:
    """The same, of each text of what was read as JSON, keys included."""
    if isinstance(told, str):
        return text(told)
    if isinstance(told, dict):
        return {tree(key): tree(one) for key, one in told.items()}
    return [tree(one) for one in told] if isinstance(told, list) else told
