"""What fab says of a command line that it does not understand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from fabric import Config, Executor
from fabric.main import Fab
from invoke import Collection, Context, task
from invoke.exceptions import Exit, ParseError

from creatic.commands import FORMER, FrenchParser, without_terminal
from testbed.control_node import REPO


@task
def environnement(_context: Context, dossier: str = "") -> None:
    """Choisit."""


@task(name="registre")
def listing(_context: Context, jours: str = "", statut_: str = "", tous: bool = False) -> None:
    """Montre."""


@task(name="nouvelle", positional=["slug"])
def new(_context: Context, slug: str, siren: str) -> None:
    """Écrit."""


@pytest.fixture
def parser() -> FrenchParser:
    commands = Collection(environnement)
    commands.add_collection(Collection("pki", listing))
    commands.add_collection(Collection("commune", new))
    return FrenchParser(contexts=commands.to_contexts())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "pki.registr",
            "La commande « pki.registr » n'existe pas. Vouliez-vous dire « pki.registre » ? "
            "« fab --list » montre les commandes.",
        ),
        ("xyzzy", "La commande « xyzzy » n'existe pas. « fab --list » montre les commandes."),
        ("l'un", "La commande « l'un » n'existe pas. « fab --list » montre les commandes."),
        (
            "pki.registre --jour 3",
            "fab pki.registre : l'option « --jour » n'existe pas. Vouliez-vous dire « --jours » ? "
            "« fab pki.registre --help » montre ses options.",
        ),
        ("--rien", "L'option « --rien » n'existe pas. « fab --list » montre les commandes."),
        (
            "pki.registre --jours",
            "fab pki.registre : l'option « --jours » attend une valeur. "
            "« fab pki.registre --help » montre ses options.",
        ),
        ("--jours 3 pki.registre", "L'option « --jours » s'écrit après sa commande : fab pki.registre --jours …"),
        (
            "pki.registre 3",
            "fab pki.registre : « 3 » est de trop : ni une de ses valeurs, ni une commande. "
            "« fab pki.registre --help » montre ses options.",
        ),
        (
            "pki.registre --tous=3",
            "fab pki.registre : « 3 » est de trop : ni une de ses valeurs, ni une commande. "
            "« fab pki.registre --help » montre ses options.",
        ),
        ("commune.nouvelle", "fab commune.nouvelle : il manque slug. « fab commune.nouvelle --help » les explique."),
        (
            "commune.nouvelle loos",
            "fab commune.nouvelle : il manque --siren. « fab commune.nouvelle --help » les explique.",
        ),
    ],
)
def test_what_is_not_understood_is_told_in_french(parser: FrenchParser, line: str, said: str) -> None:
    with pytest.raises(ParseError) as refused:
        parser.parse_argv(line.split(" "))
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("environnement", ""),
        ("environnement inventories/lab", "inventories/lab"),
        ("environnement --dossier inventories/lab", "inventories/lab"),
        ("environnement pki.registre", ""),
    ],
)
def test_a_folder_may_be_given_or_not(parser: FrenchParser, line: str, given: str) -> None:
    [found, *others] = parser.parse_argv(line.split(" "))
    assert found.as_kwargs["dossier"] == given
    assert [one.name for one in others] == (["pki.registre"] if line.endswith("registre") else [])


def test_a_former_name_answers_and_says_the_new_one(parser: FrenchParser, capsys: pytest.CaptureFixture[str]) -> None:
    [found] = parser.parse_argv(["pki.list", "--jours=3"])
    assert (found.name, found.as_kwargs["jours"]) == ("pki.registre", "3")
    assert capsys.readouterr().err == "« pki.list » s'appelle désormais « pki.registre ».\n"


@cache
def fab(*arguments: str) -> str:
    done = subprocess.run(
        [Path(sys.executable).parent / "fab", *arguments], cwd=REPO, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_help_is_french_and_every_name_leads_somewhere() -> None:
    listed = fab("--list")
    assert listed.startswith("Commandes :\n") and "Available" not in listed
    names = {
        name
        for line in re.findall(r"^  ([a-z.]+(?: \([a-z.]+\))?)", listed, re.MULTILINE)
        for name in re.findall(r"[a-z.]+", line)
    }
    assert {new for new in FORMER.values() if not new.startswith("-")} <= names
    assert not names & FORMER.keys()
    told = fab("--help", "acces.delivrer")
    assert told.startswith("Usage : fab acces.delivrer [--options]") and "Options :" in told
    assert not re.search("Usage: |Docstring|Options:|other tasks", told)
    for option in (new for new in FORMER.values() if new.startswith("-")):
        assert any(option in fab("--help", name) for name in ("acces.delivrer", "audit", "communes")), option


@pytest.mark.parametrize("line", ["commune.nouvelle --help", "commune.nouvelle -h", "commune.nouvelle loos --help"])
def test_a_command_explains_itself_whatever_it_still_awaits(parser: FrenchParser, line: str) -> None:
    """invoke takes --help for the first value that is awaited, and fabric's core option for one of its own."""
    whole = FrenchParser(initial=Fab(name="Fabric", version="1").initial_context, contexts=parser.contexts.values())
    core = whole.parse_argv(line.split(" "))[0]
    assert core.args["help"].value == "commune.nouvelle"


def test_options_to_repeat_and_values_without_a_name_are_options_of_their_command() -> None:
    """invoke says nothing of one that is not: the option's letters would be taken for so many values."""
    asked = (
        "import inspect, fabfile\n"
        "for name in fabfile.namespace.task_names:\n"
        "    task = fabfile.namespace[name]\n"
        "    print(name, {*task.iterable, *(task.positional or ())} - {*inspect.signature(task.body).parameters})\n"
    )
    done = subprocess.run([sys.executable, "-c", asked], cwd=REPO, capture_output=True, text=True, check=False)
    told = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert len(told) > 30, done.stderr
    assert {name: lost for name, lost in told.items() if lost != "set()"} == {}


_PROGRAM = """
import sys
sys.path.insert(0, "collections")
sys.argv[0] = "fab"
from creatic.commands import main
main()
"""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--help", "Usage : fab COMMANDE [--options]"),
        ("--help pki.registr", "La commande « pki.registr » n'existe pas. Vouliez-vous dire « pki.registre » ?"),
        ("--list=zz", "Aucun groupe de commandes ne s'appelle « zz »."),
        ("--list pki", "Commandes de « pki » :"),
        ("--list-format=zz", "--list-format : « zz » n'en est pas un. Attendu : flat, nested, json."),
        ("-T zz -l", "« zz » n'est pas un nombre entier, que son option attend."),
        ("-c x communes", "Pas de commandes de nom « x » ici : lancez fab depuis le dossier du projet."),
        ("-- ls", "fab n'a rien à faire de ce qui suit « -- », sans commande avant."),
    ],
)
def test_the_program_speaks_french_before_it_has_read_the_commands_too(line: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *line.split()], cwd=REPO, capture_output=True, text=True, check=False
    )
    told = done.stdout + done.stderr
    assert told.startswith(said)
    assert "Traceback" not in told and bool(done.returncode) == (line not in ("--help", "--list pki"))


@pytest.mark.parametrize("line", ["--help", "communes --help", "environnement"])
def test_nobody_reads_it_any_more_and_it_ends_without_a_word(line: str, tmp_path: Path) -> None:
    given = os.environ | {"CREATIC_INVENTORY": "inventories/example", "CREATIC_HOME": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *line.split()], cwd=REPO, env=given, stdout=-1, stderr=-1, text=True
    ) as program:
        assert program.stdout and program.stderr
        program.stdout.close()
        told = program.stderr.read()
    assert program.returncode == 141
    assert told.startswith("Environnement : example") if line == "environnement" else told == ""
    assert "Traceback" not in told and "Errno" not in told and "Exception" not in told


def test_what_repeats_a_program_may_be_left_too() -> None:
    """invoke's threads meet the end of the pipe while the program goes on."""
    asked = (
        "import sys; sys.path.insert(0, 'collections'); sys.argv[0] = 'fab'\n"
        "from invoke import Context\n"
        "from creatic import commands\n"
        "commands.fabric.main.program.run = lambda: Context().run('while sleep 0.1; do echo on; done')\n"
        "commands.main()\n"
    )
    with subprocess.Popen([sys.executable, "-c", asked], cwd=REPO, stdout=-1, stderr=-1, text=True) as program:
        assert program.stdout and program.stderr and program.stdout.readline() == "on\n"
        program.stdout.close()
        told = program.stderr.read()
    assert (program.returncode, told) == (141, "")


def test_a_command_after_one_that_may_go_alone_is_one(parser: FrenchParser) -> None:
    """Before commands are known, nothing is taken for the value of one."""
    before = FrenchParser(initial=Fab(name="Fabric", version="1").initial_context, ignore_unknown=True)
    assert before.parse_argv(["environnement", "pki.list"]).unparsed == ["environnement", "pki.list"]


def test_a_password_that_nobody_can_type_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", nobody)
    monkeypatch.setattr(Fab, "update_config", without_terminal(Fab.update_config))
    program = Fab(name="Fabric", version="1", config_class=Config, executor_class=Executor)
    program.create_config()
    program.parse_core(["fab", "--prompt-for-login-password"])
    with pytest.raises(Exit, match="--prompt-for-login-password demande un mot de passe") as told:
        program.update_config()
    assert told.value.code == 2
