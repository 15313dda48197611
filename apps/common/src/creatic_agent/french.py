# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""argparse in French, and names of any bytes told to who reads."""

from __future__ import annotations

import argparse
import io
import sys

_FRENCH = {
    "usage: ": "usage : ",
    "positional arguments": "arguments",
    "options": "options",
    "show this help message and exit": "affiche cette aide",
    "the following arguments are required: %s": "il manque : %s",
    "unrecognized arguments: %s": "arguments inconnus : %s",
    "expected one argument": "une valeur est attendue",
    "argument %(argument_name)s: %(message)s": "argument %(argument_name)s : %(message)s",
    "invalid %(type)s value: %(value)r": "valeur incorrecte : %(value)r",
    "invalid choice: %(value)r (choose from %(choices)s)": "choix inconnu : %(value)r (possibles : %(choices)s)",
    "not allowed with argument %s": "incompatible avec %s",
    "%(prog)s: error: %(message)s\n": "%(prog)s : erreur : %(message)s\n",
}


def speak() -> None:
    """Make argparse's own words French; it has no other way."""
    vars(argparse)["_"] = lambda text: _FRENCH.get(text, text)
    tell_any_name()


def tell_any_name() -> None:
    """Have no name that is not UTF-8 end what prints it: its odd bytes are told as \\udcXX."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not what a test puts in their place
            stream.reconfigure(errors="backslashreplace")
