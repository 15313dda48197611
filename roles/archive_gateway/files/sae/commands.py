"""What the commands of the archive room have in common: `sae-elimination demander --compte …`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from creatic_agent.reasons import because

DEFAULT_PATH = Path("/etc/sae/config.json")


def run(
    program: str,
    arguments: argparse.Namespace,
    opened: Callable[[Path], AbstractContextManager[object]],
    refused: tuple[type[Exception], ...],
    broken: tuple[type[Exception], ...],
) -> int:
    """Do what was asked.

    Args:
        program: its name.
        arguments: parsed by what `commands` made.
        opened: what the commands work with, of a configuration.
        refused: exceptions which say, in French, why it is not done.
        broken: those after which it is to be run again.

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
        print(f"{program} : interrompu, relancez : {because(error)}", file=sys.stderr)
    return 2


def commands(
    program: str, text: str, epilog: str | None = None
) -> tuple[argparse.ArgumentParser, Callable[..., argparse.ArgumentParser]]:
    """Make the parser of a program that has commands.

    Args:
        program: its name.
        text: what it is for, in French.
        epilog: shown after its help, as it is written.

    Returns:
        The parser, and what adds a command: its name, what it does, what its help says, other names. Parsed
        arguments hold `config`, and `action`, what the command does.
    """
    parser = argparse.ArgumentParser(
        program, description=text, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, default=DEFAULT_PATH, metavar="FICHIER", help="configuration à employer")
    known = parser.add_subparsers(required=True, metavar="COMMANDE", title="commandes")

    def command(name: str, action: object, told: str, *aliases: str) -> argparse.ArgumentParser:
        sub = known.add_parser(name, help=told, description=told, aliases=aliases)
        sub.set_defaults(action=action)
        return sub

    return parser, command
