"""How the commands of the archive room are said: `sae-elimination demander --compte …`; standard library alone."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

DEFAULT_PATH = Path("/etc/sae/config.json")


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
