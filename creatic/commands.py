# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""How fab speaks: its help in French, former names of commands, and what comes nearest to what it does not know."""

from __future__ import annotations

import contextlib
import difflib
import functools
import io
import os
import re
import select
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import fabric.main
import invoke.program
from fabric.main import Fab
from invoke.exceptions import Exit, ParseError, ThreadException
from invoke.parser import Parser, ParserContext, ParseResult
from invoke.program import Program

# Commands whose one value may be left out, which invoke admits of options alone.
OPTIONAL = {"environnement": "--dossier", "serveurs": "--machines", "correctifs": "--machines"}
# Names that commands and options had, and still answer to.
FORMER = {
    "rollout": "communes",
    "lab.up": "banc.demarrer",
    "lab.down": "banc.arreter",
    "lab.status": "banc.etat",
    "commune.new": "commune.nouvelle",
    "commune.check": "inventaire.controle",
    "access.grant": "acces.delivrer",
    "access.list": "acces.liste",
    "access.revoke": "acces.revoquer",
    "archive.patch": "archive.correctifs",
    "archive.status": "archive.etat",
    "audit.run": "audit.lancer",
    "audit.verify": "audit.verifier",
    "backup.drill": "sauvegarde.exercice",
    "backup.save": "sauvegarde.faire",
    "backup.recover": "sauvegarde.reprendre",
    "backup.rollback": "sauvegarde.revenir",
    "backup.status": "sauvegarde.etat",
    "evidence.verify": "preuves.verifier",
    "pki.list": "pki.registre",
    "pki.revoke": "pki.revoquer",
    "pki.rotate": "pki.rotation",
    "pki.verify": "pki.verifier",
    "--for": "--duree",
    "--level": "--niveau",
    "--limit": "--limite",
    "--profile": "--profil",
}
# Headings of invoke's help.
HEADINGS = {
    "Available tasks:": "Commandes :",
    "Usage: ": "Usage : ",
    "[--core-opts] ": "",
    "[other tasks here ...]": "",
    "Docstring:": "Ce qu'elle fait :",
    "Options:": "Options :",
    "  none": "  aucune",
    "=STRING": "=VALEUR",
    " STRING": " VALEUR",
    "=INT": "=NOMBRE",
    " INT": " NOMBRE",
}
_SUB_HEADINGS = (
    (re.compile(r"^Available '(.+)' tasks:", re.MULTILINE), r"Commandes de « \1 » :"),
    (re.compile(r"^Default(?: '(.+)')? task: (.+)", re.MULTILINE), r"Sans autre mot, « \1 » fait : \2"),
)
_FORMATS = ("flat", "nested", "json")  # of --list-format
_HELP = "« fab --list » montre les commandes"


class FrenchParser(Parser):
    """invoke's parser (2.2), which explains itself in English."""

    _line: Sequence[str] = ()

    def parse_argv(self, argv: list[str]) -> ParseResult:
        """Parse as invoke does.

        Raises:
            ParseError: with a French message.
        """
        try:
            # Without commands it reads what stands before them, and leaves them as they are.
            if not self.contexts:
                return super().parse_argv(argv)
            found = super().parse_argv(self._asking(self._named(self._renamed(argv))))
        except ParseError as error:
            raise ParseError(self._explained(str(error), error.context), error.context) from None
        except ValueError as error:  # of int(): what is asked to be one
            told = str(error).rpartition(": ")[2].strip("'")
            raise ParseError(f"« {told} » n'est pas un nombre entier, que son option attend. {_HELP}.", None) from None
        if not any(one.name is None and one.args["help"].value for one in found):
            for one in found:
                _must_be_whole(one)
        return found

    def _renamed(self, argv: list[str]) -> list[str]:
        self._line = argv
        now = []
        for token in argv:
            name, equal, value = token.partition("=")
            if name in FORMER and name not in self.contexts:
                print(f"« {name} » s'appelle désormais « {FORMER[name]} ».", file=sys.stderr)
                name = FORMER[name]
            now.append(f"{name}{equal}{value}")
        return now

    def _named(self, argv: list[str]) -> list[str]:
        for index, token in enumerate(argv[:-1]):
            after = argv[index + 1]
            if token in OPTIONAL and not after.startswith("-") and after not in self.contexts:
                return [*argv[: index + 1], OPTIONAL[token], *argv[index + 1 :]]
        return argv

    def _asking(self, argv: list[str]) -> list[str]:
        """Have a command's --help explain it: invoke takes it for the first value that the command awaits."""
        name = ""
        for token in argv:
            if token in ("-h", "--help") and name and token not in self.contexts[name].flags:
                return [name, *("…" for _value in self.contexts[name].missing_positional_args), "--help"]
            name = token if token in self.contexts else name
        return argv

    def _explained(self, told: str, context: object) -> str:
        name = getattr(context, "name", None)
        of_command = f"fab {name} : " if name else ""
        aid = f"« fab {name} --help » montre ses options" if name else _HELP
        if found := re.fullmatch(r"No idea what (['\"])(.*)\1 is!", told, re.DOTALL):
            word = found[2]
            if word.startswith("-") and not name:
                return self._before_any_command(word)
            if word.startswith("-"):
                nearest = _nearest(word, getattr(context, "flags", ()))
                return f"{of_command}l'option « {word} » n'existe pas.{nearest} {aid}."
            if name:
                nearest = _nearest(word, self.contexts)
                return f"{of_command}« {word} » est de trop : ni une de ses valeurs, ni une commande.{nearest} {aid}."
            return f"La commande « {word} » n'existe pas.{_nearest(word, self.contexts)} {_HELP}."
        if found := re.fullmatch(r"'(.+)' did not receive required positional arguments: (.+)", told):
            return f"fab {found[1]} : il manque {found[2].replace("'", '')}. « fab {found[1]} --help » les explique."
        if found := re.match(r"Flag <Argument: ([\w-]+).* needed value", told):
            return f"{of_command}l'option « --{found[1].replace('_', '-')} » attend une valeur. {aid}."
        if found := re.match(r"Flag '(.+)' doesn't take any value!", told):
            return f"{of_command}l'option « {found[1]} » ne prend pas de valeur. {aid}."
        if found := re.match(r"(['\"])(.+)\1 is ambiguous", told):
            return f"{of_command}« {found[2]} » se lit de deux façons. {aid}."
        return f"{of_command}ces mots ne se comprennent pas ({told}). {aid}."

    def _before_any_command(self, word: str) -> str:
        """What is said of an option that stands where commands do."""
        owners = [name for name in self._line if word in getattr(self.contexts.get(name), "flags", ())]
        if owners:
            return f"L'option « {word} » s'écrit après sa commande : fab {owners[0]} {word} …"
        return f"L'option « {word} » n'existe pas.{_nearest(word, ('--help', '--list', '--version'), 0.7)} {_HELP}."


@functools.cache  # once: each is put around what was there
def speak() -> None:
    """Have invoke speak French: its parser, its help, what it refuses before and after it has read the commands."""
    invoke.program.Parser = FrenchParser
    for name in ("print_task_help", "list_tasks"):
        setattr(Program, name, _french(getattr(Program, name)))
    Program.print_help = _print_help
    for name in ("load_collection", "parse_cleanup"):
        setattr(Fab, name, _explained(getattr(Fab, name)))
    Fab.update_config = without_terminal(Fab.update_config)


def main() -> None:
    """The program ``fab`` (scripts/bootstrap): fabric's, which speaks French before it has read fabfile.py too.

    Who reads it may stop (``fab --list | head -1``): it ends without a word then, as programs that SIGPIPE ends.
    """
    speak()
    try:
        try:
            fabric.main.program.run()
        finally:
            sys.stdout.flush()
    except (BrokenPipeError, ThreadException):  # of ours, or of who repeats what a playbook says
        if not _is_unread():
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):  # what is left in them is written at the very end
            os.dup2(nowhere, stream.fileno())
        sys.exit(128 + signal.SIGPIPE)


def _is_unread() -> bool:
    """Whether nobody is left to read what is shown: its pipe has no other end."""
    ends = select.poll()
    for stream in (sys.stdout, sys.stderr):
        ends.register(stream, 0)
    return any(event & select.POLLERR for _descriptor, event in ends.poll(0))


def _explained(method: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(method)
    def told(program: Fab) -> None:
        form = program.args["list-format"].value
        if form not in _FORMATS:
            raise Exit(f"--list-format : « {form} » n'en est pas un. Attendu : {', '.join(_FORMATS)}.", code=2)
        if program._remainder_only:
            raise Exit(f"fab n'a rien à faire de ce qui suit « -- », sans commande avant. {_HELP}.", code=2)
        try:
            method(program)
        except ParseError as error:  # of --help and a word
            word = str(program.args.help.value)
            if not str(error).startswith("No idea what"):
                raise
            raise ParseError(
                f"La commande « {word} » n'existe pas.{_nearest(word, program.parser.contexts)} {_HELP}.", error.context
            ) from None
        except Exit as error:
            if found := re.match(r"Can't find any collection named '(.+)'!", error.message or ""):
                asked = "" if found[1] == "fabfile" else f" de nom « {found[1]} »"
                raise Exit(f"Pas de commandes{asked} ici : lancez fab depuis le dossier du projet.", code=2) from None
            if found := re.match(r"Sub-collection '(.+)' not found!", error.message or ""):
                raise Exit(f"Aucun groupe de commandes ne s'appelle « {found[1]} ». {_HELP}.", code=2) from None
            raise

    return told


def without_terminal(method: Callable[..., None]) -> Callable[..., None]:
    """Have a program say which option asks for a password that nobody can type: timers have no terminal."""

    @functools.wraps(method)
    def told(program: Program) -> None:
        try:
            method(program)
        except EOFError:
            asked = " ou ".join(f"--{name}" for name, one in program.args.items() if "prompt-for" in name and one.value)
            raise Exit(
                f"{asked} demande un mot de passe, et rien ne peut être tapé ici : retirez-la.", code=2
            ) from None

    return told


def _french(method: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(method)
    def told(*arguments: Any) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as text:
            method(*arguments)
        shown = re.sub("|".join(map(re.escape, HEADINGS)), lambda found: HEADINGS[found[0]], text.getvalue())
        for heading, french in _SUB_HEADINGS:
            shown = heading.sub(french, shown)
        print(shown, end="")

    return told


def _print_help(program: Program) -> None:
    print("Usage : fab COMMANDE [--options]\n\n« fab COMMANDE --help » explique une commande et ses options.\n")
    if hasattr(program, "collection"):  # read by now, but for « fab --help »
        program.list_tasks()
    else:
        print(f"{_HELP}.")  # fabfile.py is not read yet


def _must_be_whole(command: ParserContext) -> None:
    """Refuse a command without an option that it cannot do without: invoke would give it None."""
    lacking = ", ".join(f"--{name}" for name, one in command.args.items() if one.value is None)
    if command.name and lacking:
        name = command.name
        raise ParseError(f"fab {name} : il manque {lacking}. « fab {name} --help » les explique.", command)


def _nearest(word: str, known: Iterable[str], like: float = 0.5) -> str:
    found = difflib.get_close_matches(word, [str(one) for one in known], 1, like)
    return f" Vouliez-vous dire « {found[0]} » ?" if found else ""
