# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Tables for a terminal, whose cells are texts: what others wrote is neither rich's markup nor a terminal's command."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils import harmless


class Grid:
    """A table; the only one that is printed here.

    Args:
        titles: of its columns.
        right: those of numbers.
        options: of each column, as rich takes them.
        lines: a line between two rows, and a frame.
    """

    def __init__(self, *titles: str, right: Sequence[str] = (), lines: bool = False, **options: Any) -> None:
        from rich import box
        from rich.table import Table

        style: dict[str, Any] = {"box": box.ROUNDED, "show_lines": True} if lines else {"box": box.SIMPLE}
        self._table = Table(**style, header_style="bold")
        for title in titles:
            self._table.add_column(text(title), justify="right" if title in right else "left", **options)

    def add(self, *cells: str | tuple[str, str]) -> None:
        """Add a row; a cell is a text, or a text and its style."""
        self._table.add_row(*(text(*([one] if isinstance(one, str) else one)) for one in cells))

    @property
    def count(self) -> int:
        """Rows."""
        return self._table.row_count

    def show(self, width: int = 160) -> None:
        """Print it."""
        from rich.console import Console

        Console(width=width).print(self._table)

    def render_text(self, width: int, *, color: bool) -> str:
        """As it would be printed."""
        from rich.console import Console

        stream = io.StringIO()
        Console(file=stream, width=width, force_terminal=color, no_color=not color, highlight=False).print(self._table)
        return stream.getvalue().rstrip("\n")


def text(told: str, style: str = "") -> Any:
    """A text that rich shows as it is."""
    from rich.text import Text

    return Text(harmless.text(told), style)
