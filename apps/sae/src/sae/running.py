"""How the commands of the archive room are done, and what they say of what stops them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from creatic_agent.reasons import because


def format_retry_message(error: Exception) -> str:
    """Say that a command was cut, and is to be run again, in French."""
    return f"interrompu, relancez : {because(error)}"


def run(
    program: str,
    arguments: argparse.Namespace,
    opened: Callable[[Path], AbstractContextManager[object]],
    refused: tuple[type[Exception], ...],
    broken: tuple[type[Exception], ...],
    why: Callable[[Exception], str] = format_retry_message,
) -> int:
    """Do what was asked.

    Args:
        program: its name.
        arguments: parsed by what `commands` made.
        opened: what the commands work with, of a configuration.
        refused: exceptions which say, in French, why it is not done.
        broken: those after which it is to be run again.
        why: what is said of these, in French.

    Returns:
        What the command gives; 1 when it is refused, 2 when it is to be run again.
    """
    try:
        with opened(arguments.config) as one:
            return int(arguments.action(one, arguments))
    except refused as error:
        print(f"{program} : {error}", file=sys.stderr)
        return 1
    except broken as error:
        print(f"{program} : {why(error)}", file=sys.stderr)
    return 2
