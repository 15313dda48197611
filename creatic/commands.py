# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""How fab speaks: its help in French, former names of commands, and what comes nearest to what it does not know."""

from __future__ import annotations

import contextlib
import copy
import difflib
import inspect
import io
import itertools
import os
import re
import select
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import fabric
from fabric.main import Fab
from invoke.exceptions import Exit, ParseError, ThreadException
from invoke.parser import Argument, Parser, ParserContext, ParseResult
from invoke.tasks import Task
from invoke.util import helpline

from creatic.registry import environment

TOP = Path(__file__).parents[1]

# Commands whose one value may be left out, which invoke admits of options alone.
OPTIONAL = {
    "environnement": "--dossier",
    "communes.importer": "--fichier",
    "poste.certifier": "--nom",
    "serveurs": "--machines",
    "correctifs": "--machines",
    "droit": "--genre",
}
# Commands whose one value is a list: written with commas, or as so many words.
SEVERAL = ("commune.deployer", "serveurs", "correctifs", "machine.appliquer", "poste.installeur")
# Names that commands had, which answer until the next version.
FORMER = {
    "communes": "commune.deployer",
    "pki.listes": "pki.revocations",
    "parapheur.listes": "parapheur.revocations",
    "confiance.listes": "parapheur.confiance",
    "acces.liste": "acces.registre",
    "supervision.silence": "supervision.taire",
}
# What « fab --list » shows first.
DAILY = (
    "matin",
    "inventaire.controle",
    "commune.deployer",
    "serveurs",
    "flotte.etat",
    "sauvegarde.etat",
    "archive.etat",
    "pki.echeances",
    "supervision.taire",
    "historique",
)
# Who one is and what one wants: the nouns of commands, each of them once.
AUDIENCES = {
    "Technicien : équiper une commune, de son fichier à la preuve": (
        "environnement",
        "inventaire",
        "commune",
        "communes",
        "poste",
        "agent",
    ),
    "Exploitation : les machines, leurs correctifs, leurs alertes": (
        "matin",
        "preparer",
        "serveurs",
        "machine",
        "correctifs",
        "version",
        "reseau",
        "supervision",
        "historique",
    ),
    "Exploitation : les sauvegardes": ("sauvegarde",),
    "Exploitation : les communes en accès sortant, et les vagues": ("flotte",),
    "Archives : la salle et ce qu'elle garde": ("archive",),
    "Auditeur : constater, vérifier, documenter": ("audit", "preuves", "documents", "droit"),
    "Autorité : les certificats, et qui signe": ("pki", "parapheur"),
    "Autorité : les accès et les comptes": ("acces", "comptes"),
    "Banc d'essai": ("banc",),
}
# Headings of invoke's lists.
_HEADINGS = (
    (re.compile(r"^Available tasks:", re.MULTILINE), "Commandes :"),
    (re.compile(r"^Available '(.+)' tasks:", re.MULTILINE), r"Commandes de « \1 » :"),
    (re.compile(r"^Default(?: '(.+)')? task: (.+)", re.MULTILINE), r"Sans autre mot, « \1 » fait : \2"),
)
_FORMATS = ("flat", "nested", "json")  # of --list-format
_HELP = "« fab --list » montre les commandes"


class FrenchParser(Parser):
    """invoke's parser (2.2), which explains itself in English."""

    _line: Sequence[str] = ()

    def parse_argv(self, argv: list[str]) -> ParseResult:
        """Parse as invoke does; a command by its former name is the one of today.

        Raises:
            ParseError: with a French message.
        """
        try:
            # Without commands it reads what stands before them, and leaves them as they are.
            if not self.contexts:
                return super().parse_argv(argv)
            self._line = argv
            former = [_rename_context(old, self.contexts[new]) for old, new in FORMER.items() if new in self.contexts]
            known = Parser([*self.contexts.values(), *former], self.initial, self.ignore_unknown)
            found = known.parse_argv(self._move_help(self._join_words(argv)))
        except ParseError as error:
            raise ParseError(self._explain_error(str(error), error.context), error.context) from None
        except ValueError as error:  # of int(): what is asked to be one
            told = str(error).rpartition(": ")[2].strip("'")
            raise ParseError(f"« {told} » n'est pas un nombre entier, que son option attend. {_HELP}.", None) from None
        for one in found:
            one.name = one.name and today(one.name)
        asked = [one for one in found if one.name]
        if len(asked) > 1:
            raise ParseError(_one_of(asked[0].name, asked[1].name), asked[0])
        if not any(one.name is None and one.args["help"].value for one in found):
            for one in found:
                _must_be_whole(one)
        return found

    def _join_words(self, argv: Sequence[str]) -> list[str]:
        """Have the words after a command be the one value that invoke takes: its option's, or a list.

        A word there is never a command: a server may be called as one is.
        """
        place = self._command_at(argv)
        name = FORMER.get(argv[place], argv[place]) if place < len(argv) else ""
        if name not in OPTIONAL and name not in SEVERAL:
            return [*argv]
        after = place + 1
        words = [*itertools.takewhile(_is_value, argv[after:])][: None if name in SEVERAL else 1]
        given = [OPTIONAL[name]] if words and name in OPTIONAL else []
        given += [",".join(words)] if words else []
        return [*argv[:after], *given, *argv[after + len(words) :]]

    def _command_at(self, argv: Sequence[str]) -> int:
        """Where the command of a line is: its first word that is one."""
        known = (at for at, word in enumerate(argv) if FORMER.get(word, word) in self.contexts)
        return next(known, len(argv))

    def _move_help(self, argv: list[str]) -> list[str]:
        """Have a command's --help explain it: invoke takes it for the first value that the command awaits."""
        place = self._command_at(argv)
        command = self.contexts.get(FORMER.get(argv[place], argv[place])) if place < len(argv) else None
        for token in argv[place + 1 :]:
            if token in ("-h", "--help") and command and token not in command.flags:
                return [today(argv[place]), *("…" for _value in command.missing_positional_args), "--help"]
        return argv

    def _explain_error(self, told: str, context: object) -> str:
        name = today(getattr(context, "name", None) or "")
        of_command = f"fab {name} : " if name else ""
        aid = f"« fab {name} --help » montre ses options" if name else _HELP
        if found := re.fullmatch(r"No idea what (['\"])(.*)\1 is!", told, re.DOTALL):
            word = found[2]
            if word.startswith("-") and not name:
                return self._before_any_command(word)
            if word.startswith("-"):
                nearest = _nearest_word(word, getattr(context, "flags", ()))
                return f"{of_command}l'option « {word} » n'existe pas.{nearest} {aid}."
            if name:
                return f"{of_command}« {word} » est de trop : ce n'est pas une de ses valeurs. {aid}."
            return f"La commande « {word} » n'existe pas.{_nearest_word(word, self.contexts)} {_HELP}."
        if found := re.fullmatch(r"'(.+)' did not receive required positional arguments: (.+)", told):
            return f"fab {name} : il manque {found[2].replace("'", '')}. « fab {name} --help » les explique."
        if found := re.match(r"Flag <Argument: ([\w-]+).* needed value", told):
            return f"{of_command}l'option « --{found[1].replace('_', '-')} » attend une valeur. {aid}."
        if found := re.match(r"Flag '(.+)' doesn't take any value!", told):
            return f"{of_command}l'option « {found[1]} » ne prend pas de valeur. {aid}."
        if found := re.match(r"(['\"])(.+)\1 is ambiguous", told):
            return f"{of_command}« {found[2]} » se lit de deux façons. {aid}."
        return f"{of_command}ces mots ne se comprennent pas ({told}). {aid}."

    def _before_any_command(self, word: str) -> str:
        """What is said of an option that stands where commands do."""
        line = [FORMER.get(name, name) for name in self._line]
        owners = [name for name in line if word in getattr(self.contexts.get(name), "flags", ())]
        if owners:
            return f"L'option « {word} » s'écrit après sa commande : fab {owners[0]} {word} …"
        return (
            f"L'option « {word} » n'existe pas.{_nearest_word(word, ('--help', '--list', '--version'), 0.7)} {_HELP}."
        )


class Command(Task):
    """A command of ours.

    Attributes:
        example: a line that a person may type, shown by its help.
        lab: whether it is the test bench's.
    """

    def __init__(self, body: Callable[..., None], example: str, lab: bool, **options: Any) -> None:
        super().__init__(body, **options)
        self.example = example
        self.lab = lab


def today(name: str) -> str:
    """Give the name that a command has now, and say it of one that is called by its former name."""
    if name not in FORMER:
        return name
    told = f"fab {name} s'appelle désormais fab {FORMER[name]} ; l'ancien nom répond jusqu'à la version suivante."
    print(told, file=sys.stderr)
    return FORMER[name]


def written_today(line: str) -> str:
    """Give a line that was typed, with the name that its command has now."""
    program, _, rest = line.partition(" ")
    name, space, given = rest.partition(" ")
    return f"{program} {FORMER[name]}{space}{given}" if name in FORMER else line


def _rename_context(name: str, command: ParserContext) -> ParserContext:
    """The same command by another name."""
    other = copy.deepcopy(command)
    other.name, other.aliases = name, ()
    return other


class French(Fab):
    """The program ``fab``: fabric's, which speaks French before it has read fabfile.py too."""

    def parse_core_args(self) -> None:
        """Read what stands before commands, as invoke does, whose own parser is not to be chosen here."""
        self.core = FrenchParser(initial=self.initial_context, ignore_unknown=True).parse_argv(self.argv[1:])

    def load_collection(self) -> None:
        with self._explain_refusals():
            super().load_collection()

    def parse_cleanup(self) -> None:
        with self._explain_refusals():
            super().parse_cleanup()

    def update_config(self) -> None:
        """Say which option asks for a password that nobody can type: timers have no terminal."""
        try:
            super().update_config()
        except EOFError:
            asked = " ou ".join(f"--{name}" for name, one in self.args.items() if "prompt-for" in name and one.value)
            raise Exit(
                f"{asked} demande un mot de passe, et rien ne peut être tapé ici : retirez-la.", code=2
            ) from None

    def print_help(self) -> None:
        print("Usage : fab COMMANDE [--options]\n\n« fab COMMANDE --help » explique une commande et ses options.\n")
        if hasattr(self, "collection"):  # read by now, but for « fab --help »
            self.list_tasks()
        else:
            print(f"{_HELP}.")  # fabfile.py is not read yet

    def print_task_help(self, name: str) -> None:
        """Explain a command: how it is written, what it does, what it needs, what it may be given, an example."""
        command, known = self.collection[name], self.parser.contexts[name]
        needed = [one for one in known.args.values() if one.value is None]
        others = [one for one in known.args.values() if one.value is not None]
        words = [
            f"{word} [{word}…]" if name in SEVERAL else word for word in (_required_value(name, one) for one in needed)
        ]
        if name in OPTIONAL:
            word = _value_placeholder(name, OPTIONAL[name].removeprefix("--"))
            words = [f"[{word}…]" if name in SEVERAL else f"[{word}]"]
        print(" ".join(["Usage : fab", name, *words, *(["[--options]"] if others else [])]))
        print(f"\nCe qu'elle fait :\n  {inspect.getdoc(command)}\n")
        if needed:
            print("À donner :")
            self.print_columns([(_required_value(name, one), one.help) for one in needed])
        if others:
            print("Options :")
            self.print_columns([(_option_text(one), one.help) for one in others])
        print(f"Exemple : {command.example}")

    def list_tasks(self) -> None:
        """List commands; those of the lab in its environment alone."""
        if not _in_lab():
            groups = self.collection.collections
            for name in [name for name, group in groups.items() if all(one.lab for one in group.tasks.values())]:
                del groups[name]
        if self.list_format == "flat" and not self.list_root and not self.list_depth:
            self._list_by_audience()
            return
        with contextlib.redirect_stdout(io.StringIO()) as text:
            super().list_tasks()
        shown = text.getvalue()
        for heading, french in _HEADINGS:
            shown = heading.sub(french, shown)
        print(shown, end="")

    def _list_by_audience(self) -> None:
        """List the commands: those of each day, then all by who one is and what one wants."""
        lines = {
            name: (" ".join([name, *(f"({alias})" for alias in aliases)]), helpline(self.collection[name]) or "")
            for name, aliases in self.collection.task_names.items()
        }
        width = max(len(name) for name, _said in lines.values())
        shelves = {"Chaque jour": [name for name in DAILY if name in lines]}
        for head, nouns in AUDIENCES.items():
            shelves[head] = [name for noun in nouns for name in lines if name.partition(".")[0] == noun]
        for head, names in shelves.items():
            if names:
                print(f"{head}\n")
                self.print_columns([(lines[name][0].ljust(width), lines[name][1]) for name in names])

    def _make_parser(self) -> FrenchParser:
        known = self.collection.to_contexts(ignore_unknown_help=self.config.tasks.ignore_unknown_help)
        return FrenchParser(initial=self.initial_context, contexts=known)

    @contextlib.contextmanager
    def _explain_refusals(self) -> Iterator[None]:
        """Refuse in French what invoke would take amiss, or refuses in English."""
        form = self.args["list-format"].value
        if form not in _FORMATS:
            raise Exit(f"--list-format : « {form} » n'en est pas un. Attendu : {', '.join(_FORMATS)}.", code=2)
        if self._remainder_only:
            raise Exit(f"fab n'a rien à faire de ce qui suit « -- », sans commande avant. {_HELP}.", code=2)
        asked = self.args.help
        if isinstance(asked.value, str) and asked.value in FORMER:
            asked.set_value(today(asked.value), cast=False)
        try:
            yield
        except ParseError as error:  # of --help and a word
            word = str(self.args.help.value)
            if not str(error).startswith("No idea what"):
                raise
            raise ParseError(
                f"La commande « {word} » n'existe pas.{_nearest_word(word, self.parser.contexts)} {_HELP}.",
                error.context,
            ) from None
        except Exit as error:
            if found := re.match(r"Can't find any collection named '(.+)'!", error.message or ""):
                named = "" if found[1] == "fabfile" else f" de nom « {found[1]} »"
                raise Exit(f"Pas de commandes{named} ici : lancez fab depuis le dossier du projet.", code=2) from None
            if found := re.match(r"Sub-collection '(.+)' not found!", error.message or ""):
                raise Exit(f"Aucun groupe de commandes ne s'appelle « {found[1]} ». {_HELP}.", code=2) from None
            raise


def program() -> French:
    """The program, as fabric makes its own."""
    return French(name="Fabric", version=fabric.__version__, executor_class=fabric.Executor, config_class=fabric.Config)


def main() -> None:
    """Run ``fab`` (scripts/bootstrap).

    Who reads it may stop (``fab --list | head -1``): it ends without a word then, as programs that SIGPIPE ends.
    """
    try:
        try:
            program().run()
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


def _in_lab() -> bool:
    try:
        return environment.chosen(TOP).lab
    except environment.InvalidEnvironmentError:
        return False


def _value_placeholder(command: str, name: str) -> str:
    """What stands for a value: one of them, where there may be several."""
    return (name.removesuffix("s") if command in SEVERAL else name).upper()


def _required_value(command: str, one: Argument) -> str:
    """How a value that a command cannot do without is written after it."""
    word = _value_placeholder(command, one.name)
    return word if one.positional else f"--{one.name} {word}"


def _option_text(one: Argument) -> str:
    """An option as it is written, its letter first."""
    value = " VALEUR" if one.takes_value else ""
    return ", ".join(f"{'-' if len(name) == 1 else '--'}{name}{value}" for name in sorted(one.names, key=len))


def _must_be_whole(command: ParserContext) -> None:
    """Refuse a command without an option that it cannot do without: invoke would give it None."""
    lacking = ", ".join(f"--{name}" for name, one in command.args.items() if one.value is None)
    if command.name and lacking:
        name = command.name
        raise ParseError(f"fab {name} : il manque {lacking}. « fab {name} --help » les explique.", command)


def _is_value(word: str) -> bool:
    return not word.startswith("-")


def _one_of(name: str, other: str) -> str:
    """What is said of a word that is a command's name, after a command that has no use for it."""
    return (
        f"fab {name} : « {other} » est de trop : ce n'est pas une de ses valeurs, et une ligne ne fait qu'une "
        f"commande. Rien n'est fait. « fab {name} --help » montre ses options."
    )


def _nearest_word(word: str, known: Iterable[str], like: float = 0.5) -> str:
    found = difflib.get_close_matches(word, [str(one) for one in known], 1, like)
    return f" Vouliez-vous dire « {found[0]} » ?" if found else ""
