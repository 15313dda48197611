# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What fab says of a command line that it does not understand: in French, with what comes nearest."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from invoke.exceptions import ParseError
from invoke.parser import Parser, ParseResult

# Commands whose one value may be left out, which invoke admits of options alone.
OPTIONAL = {"environnement": "--dossier", "serveurs": "--machines"}
_HELP = "« fab --list » montre les commandes"


class FrenchParser(Parser):
    """invoke's parser (2.2), which explains itself in English."""

    def parse_argv(self, argv: list[str]) -> ParseResult:
        """Parse as invoke does.

        Raises:
            ParseError: with a French message.
        """
        try:
            return super().parse_argv(self._named(argv))
        except ParseError as error:
            raise ParseError(self._explained(str(error), error.context), error.context) from None

    def _named(self, argv: list[str]) -> list[str]:
        for index, token in enumerate(argv[:-1]):
            after = argv[index + 1]
            if token in OPTIONAL and not after.startswith("-") and after not in self.contexts:
                return [*argv[: index + 1], OPTIONAL[token], *argv[index + 1 :]]
        return argv

    def _explained(self, told: str, context: object) -> str:
        name = getattr(context, "name", None)
        of_command = f"fab {name} : " if name else ""
        aid = f"« fab {name} --help » montre ses options" if name else _HELP
        if found := re.fullmatch(r"No idea what (['\"])(.*)\1 is!", told, re.DOTALL):
            word = found[2]
            if word.startswith("-"):
                nearest = _nearest(word, getattr(context, "flags", ()))
                start = f"{of_command}l'option" if name else "L'option"
                return f"{start} « {word} » n'existe pas.{nearest} {aid}."
            return f"La commande « {word} » n'existe pas.{_nearest(word, self.contexts)} {_HELP}."
        if found := re.fullmatch(r"'(.+)' did not receive required positional arguments: (.+)", told):
            return f"fab {found[1]} : il manque {found[2].replace("'", '')}. « fab {found[1]} --help » les explique."
        if found := re.match(r"Flag <Argument: ([\w-]+).* needed value", told):
            return f"{of_command}l'option « --{found[1].replace('_', '-')} » attend une valeur. {aid}."
        return f"{of_command}ces mots ne se comprennent pas ({told}). {aid}."


def _nearest(word: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(word, [str(one) for one in known], 1, 0.5)
    return f" Vouliez-vous dire « {found[0]} » ?" if found else ""
