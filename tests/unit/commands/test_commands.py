"""What fab says of a command line that it does not understand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fabric.main import Fab
from invoke import Collection, Context, task
from invoke.exceptions import Exit, ParseError

from creatic import commands as spoken
from creatic.cli import auditeur, common, exploitation
from creatic.commands import AUDIENCES, DAILY, FORMER, FrenchParser
from creatic.evidence import store
from creatic.registry import groupement
from creatic_agent import law
from testbed.control_node import REPO
from testbed.programs import fabs


@task
def environnement(_context: Context, dossier: str = "") -> None:
    """Choisit."""


@task(name="registre")
def listing(_context: Context, jours: str = "", statut_: str = "", tous: bool = False) -> None:
    """Montre."""


@task(name="nouvelle", positional=["slug"])
def new(_context: Context, slug: str, siren: str) -> None:
    """Écrit."""


@task(name="deployer")
def deploy(_context: Context, communes: str, limite: str = "") -> None:
    """Déploie."""


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
            "fab pki.registre : « 3 » est de trop : ce n'est pas une de ses valeurs. "
            "« fab pki.registre --help » montre ses options.",
        ),
        (
            "pki.registre --tous=3",
            "fab pki.registre : « 3 » est de trop : ce n'est pas une de ses valeurs. "
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
        ("environnement pki.registre", "pki.registre"),
    ],
)
def test_a_folder_may_be_given_or_not(parser: FrenchParser, line: str, given: str) -> None:
    [found] = parser.parse_argv(line.split(" "))
    assert (found.name, found.as_kwargs["dossier"]) == ("environnement", given)


@pytest.mark.parametrize(
    ("line", "first", "other"),
    [
        ("pki.registre environnement", "pki.registre", "environnement"),
        ("pki.registre --jours 3 pki.listes", "pki.registre", "pki.revocations"),
        ("environnement inventories/lab pki.registre", "environnement", "pki.registre"),
        ("commune.nouvelle loos --siren 1 environnement", "commune.nouvelle", "environnement"),
    ],
)
def test_a_line_does_one_command(line: str, first: str, other: str) -> None:
    pki = Collection("pki", listing)
    pki.add_task(listing, name="revocations")
    known = Collection(environnement, pki, commune=Collection(new)).to_contexts()
    with pytest.raises(ParseError) as refused:
        FrenchParser(contexts=known).parse_argv(line.split())
    assert str(refused.value) == (
        f"fab {first} : « {other} » est de trop : ce n'est pas une de ses valeurs, et une ligne ne fait qu'une "
        f"commande. Rien n'est fait. « fab {first} --help » montre ses options."
    )


@pytest.mark.parametrize("line", ["serveurs documents", "serveurs ged documents", "serveurs --machines documents"])
def test_a_server_called_as_a_command_is_no_command(line: str) -> None:
    @task(name="serveurs")
    def servers(_context: Context, machines: str = "tous") -> None:
        """Déploie."""

    @task(name="documents")
    def documents(_context: Context) -> None:
        """Écrit."""

    known = Collection(servers, documents).to_contexts()
    [found] = FrenchParser(contexts=known).parse_argv(line.split())
    assert found.name == "serveurs"
    assert found.as_kwargs["machines"].split(",") == [word for word in line.split()[1:] if word != "--machines"]
    asked = FrenchParser(initial=Fab(name="Fabric", version="1").initial_context, contexts=known)
    assert asked.parse_argv([*line.split(), "--help"])[0].args["help"].value == "serveurs"


@pytest.mark.parametrize("line", ["pki.listes --jours=3", "pki.listes --jours 3"])
def test_a_former_name_answers_and_says_the_new_one(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = FrenchParser(contexts=Collection(pki=Collection(revocations=listing)).to_contexts())
    [found] = parser.parse_argv(line.split())
    assert (found.name, found.as_kwargs["jours"]) == ("pki.revocations", "3")
    assert capsys.readouterr().err == (
        "fab pki.listes s'appelle désormais fab pki.revocations ; l'ancien nom répond jusqu'à la version suivante.\n"
    )
    with pytest.raises(ParseError, match=r"^fab pki\.revocations : l'option « --jour » n'existe pas\."):
        parser.parse_argv(["pki.listes", "--jour", "3"])


def test_a_former_name_is_a_word_as_others_where_no_command_is(capsys: pytest.CaptureFixture[str]) -> None:
    """A commune, a reason or a word to look for may be written as a command was."""
    parser = FrenchParser(contexts=Collection(listing, commune=Collection(new, deployer=deploy)).to_contexts())
    [found] = parser.parse_argv(["registre", "--jours", "communes"])
    assert found.as_kwargs["jours"] == "communes"
    assert parser.parse_argv(["commune.nouvelle", "communes", "--siren", "1"])[0].as_kwargs["slug"] == "communes"
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("commune.deployer loos", "loos"),
        ("commune.deployer loos,anor", "loos,anor"),
        ("commune.deployer loos anor bergues --limite vague_2", "loos,anor,bergues"),
        ("commune.deployer loos, anor", "loos,,anor"),  # a comma more is none
        ("communes loos anor", "loos,anor"),
        ("commune.deployer --communes loos", "loos"),
        ("commune.deployer loos environnement", "loos,environnement"),
    ],
)
def test_several_communes_are_so_many_words(line: str, given: str) -> None:
    parser = FrenchParser(contexts=Collection(environnement, commune=Collection(deployer=deploy)).to_contexts())
    [found] = parser.parse_argv(line.split())
    assert (found.name, found.as_kwargs["communes"]) == ("commune.deployer", given)
    assert found.as_kwargs["limite"] == ("vague_2" if "--limite" in line else "")


@cache
def fab(*arguments: str, inventory: str = "inventories/example") -> str:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments], cwd=REPO, env=os.environ | {"CREATIC_INVENTORY": inventory},
        capture_output=True, text=True, check=False,
    )  # fmt: skip # one call by its parts
    return done.stdout + done.stderr


@cache
def commands() -> dict[str, dict[str, Any]]:
    """What a program knows of each command: its example, which commands that is, whether it is the lab's."""
    asked = (
        "import json, shlex, fabfile\n"
        "from creatic.commands import FrenchParser\n"
        "told = {}\n"
        "for name, other in fabfile.namespace.task_names.items():\n"
        "    task = fabfile.namespace[name]\n"
        "    typed = shlex.split(task.example)\n"
        "    found = FrenchParser(contexts=fabfile.namespace.to_contexts()).parse_argv(typed[1:])\n"
        "    told[name] = {'example': typed, 'found': [one.name for one in found], 'lab': task.lab,\n"
        "                  'names': [name, *other]}\n"
        "print(json.dumps(told))\n"
    )
    done = subprocess.run([sys.executable, "-c", asked], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return dict(json.loads(done.stdout))


def listed(inventory: str) -> dict[str, list[str]]:
    """The names that « fab --list » shows under each of its heads."""
    shelves: dict[str, list[str]] = {}
    for line in fab("--list", inventory=inventory).splitlines():
        if found := re.match(r"  ([a-z]\S+)", line):
            shelves[[*shelves][-1]].append(found[1])
        elif line and not line.startswith(" "):
            shelves[line] = []
    return shelves


def test_the_list_begins_with_the_ten_of_each_day_then_says_each_command_once_by_audience() -> None:
    daily, *heads = listed("inventories/example").values()
    names = [name for head in heads for name in head]
    assert daily == [*DAILY] and len({*DAILY}) == 10 and "commune.deployer" in daily and "matin" in daily
    assert sorted(names) == sorted(name for name, one in commands().items() if not one["lab"])
    nouns = [noun for head in AUDIENCES.values() for noun in head]
    assert sorted(nouns) == sorted({name.partition(".")[0] for name in commands()})
    assert not {*names, *daily} & FORMER.keys() and {*FORMER.values()} <= {*names}


def test_commands_of_the_lab_are_listed_in_its_environment_alone_and_answer_everywhere() -> None:
    here, elsewhere, nowhere = (listed(f"inventories/{name}") for name in ("lab", "example", "rien"))
    assert here.pop("Banc d'essai") == ["banc.demarrer", "banc.arreter", "banc.etat"]
    assert here == elsewhere == nowhere
    assert "banc" not in fab("--list", "--list-format=json") and "banc" not in fab("--help")
    assert "fab banc.demarrer" in fab("banc.demarrer", "--help")
    refused = fab("banc.demarrer")
    assert "celle du banc d'essai" in refused and "À faire" in refused
    assert "fab environnement inventories/lab" in refused and "CREATIC_INVENTORY=inventories/lab" in refused


def test_the_list_loads_nothing_of_ansible() -> None:
    asked = "import sys, fabfile; print([name for name in sys.modules if name.partition('.')[0] == 'ansible'])"
    done = subprocess.run([sys.executable, "-c", asked], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


def test_names_that_no_commune_has_are_the_commands_of_one_word() -> None:
    every = {name for one in commands().values() for name in one["names"]}
    assert {name for name in every if "." not in name} == {*groupement.COMMANDS}


def test_each_command_has_an_example_that_can_be_typed() -> None:
    assert len(commands()) > 40
    for name, one in commands().items():
        [found] = one["found"]
        assert one["example"][0] == "fab" and found == name, name


def test_a_command_says_what_it_awaits_and_shows_its_example() -> None:
    told = fab("--help", "commune.deployer")
    assert told.startswith("Usage : fab commune.deployer COMMUNE [COMMUNE…] [--options]\n")
    needed = told.partition("À donner :")[2].partition("Options :")[0]
    assert "COMMUNE " in needed and "--limite VALEUR" in told.partition("Options :")[2]
    assert re.search(r"^Exemple : fab commune\.deployer \w+", told, re.MULTILINE)
    granted = fab("acces.delivrer", "--help")
    assert granted.startswith("Usage : fab acces.delivrer ROLE --duree DUREE --cle CLE [--options]\n")
    assert "--commune VALEUR" in granted and "auditeur ou prestataire" in granted.partition("Options :")[0]
    assert fab("--help", "environnement").startswith("Usage : fab environnement [DOSSIER] [--options]\n")
    assert fab("--help", "serveurs").startswith("Usage : fab serveurs [MACHINE…] [--options]\n")
    assert fab("--help", "archive.sceaux").startswith("Usage : fab archive.sceaux\n")
    assert not re.search(
        "Usage: |Docstring|Options:|other tasks|STRING|Available", told + granted + fab("--list", "pki")
    )


def test_a_profile_is_applied_to_known_machines_by_known_slices_alone() -> None:
    refused = {
        "loos-pc-direktion": "Machine ou profil inconnu : loos-pc-direktion. À faire : vouliez-vous dire loos-pc-",
        "zzz,sae1": "Machine ou profil inconnu : zzz. À faire : leurs noms sont dans communes/ et servers.yml.",
        "all": "Machine ou profil inconnu : all.",
        "sae1 --tranche firewall": "--tranche firewall : inconnue. À faire : l'une de confiance, ",
        "toutes --restaurer": "--restaurer et --journal-neuf s'excluent, et sont d'une seule machine",
        "archive_node --restaurer": "--restaurer et --journal-neuf s'excluent, et sont d'une seule machine",
        "loos-connecteur --restaurer --journal-neuf": "--restaurer et --journal-neuf s'excluent",
        "loos-connecteur --restaurer --tranche sauvegarde": "--restaurer et --journal-neuf s'excluent",
    }
    calls: list[tuple[list[str], dict[str, str]]] = [(["machine.appliquer", *line.split()], {}) for line in refused]
    done = fabs(calls, REPO, os.environ | {"CREATIC_INVENTORY": "inventories/example"})
    for said, one in zip(refused.values(), done, strict=True):
        assert one.returncode == 2 and said in one.stderr, one


def test_a_machine_that_somebody_deploys_is_not_touched_and_no_turn_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "home", lambda: tmp_path)
    locks = tmp_path / "verrous"
    with exploitation._hold_locks(["loos", "serveur-sae1"]):
        assert store.lock_holder(locks, "loos") and store.lock_holder(locks, "serveur-sae1")
    assert not store.lock_holder(locks, "loos") and not store.lock_holder(locks, "serveur-sae1")
    with subprocess.Popen(["sleep", "60"]) as other:
        store.lock_commune(locks, "serveur-sae1", other.pid, "bob@mairie")
        with (
            pytest.raises(Exit, match=r"bob@mairie.*Rien n'est fait"),
            exploitation._hold_locks(["loos", "serveur-sae1"]),
        ):
            pytest.fail("it was done all the same")
        assert not store.lock_holder(locks, "loos") and store.lock_holder(locks, "serveur-sae1")
        other.kill()


def test_a_commune_without_a_page_keeps_none_from_the_others(tmp_path: Path) -> None:
    [done] = fabs(
        [(["audit.commune", "toutes"], {})],
        REPO,
        os.environ | {"CREATIC_INVENTORY": "inventories/example", "CREATIC_HOME": str(tmp_path)},
    )
    communes = [path.stem for path in (REPO / "inventories/example/communes").glob("*.yml")]
    assert done.returncode == 2 and len(communes) > 1
    for name in communes:
        assert f"{name}, page refusée : aucun audit" in done.stderr, done.stderr
    assert f"Pages refusées : {len(communes)} ;" in done.stderr


def test_a_former_name_explains_the_command_of_today() -> None:
    calls = [line for old, new in FORMER.items() for line in (["--help", old], [old, "--help"], ["--help", new])]
    done = iter(fabs([(line, {}) for line in calls], REPO, os.environ | {"CREATIC_INVENTORY": "inventories/example"}))
    for old, new in FORMER.items():
        first, last, today = next(done), next(done), next(done)
        said = f"fab {old} s'appelle désormais fab {new} ; l'ancien nom répond jusqu'à la version suivante.\n"
        assert first.stdout == last.stdout == today.stdout and today.stdout.startswith(f"Usage : fab {new}")
        assert (first.stderr, last.stderr, today.stderr) == (said, said, "")


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
        "for name, other in fabfile.namespace.task_names.items():\n"
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
        ("-c x matin", "Pas de commandes de nom « x » ici : lancez fab depuis le dossier du projet."),
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


@pytest.mark.parametrize("line", ["--help", "commune.deployer --help", "environnement"])
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
        "commands.French.run = lambda _program: Context().run('while sleep 0.1; do echo on; done')\n"
        "commands.main()\n"
    )
    with subprocess.Popen([sys.executable, "-c", asked], cwd=REPO, stdout=-1, stderr=-1, text=True) as program:
        assert program.stdout and program.stderr and program.stdout.readline() == "on\n"
        program.stdout.close()
        told = program.stderr.read()
    assert (program.returncode, told) == (141, "")


def test_nothing_is_a_value_before_commands_are_known() -> None:
    before = FrenchParser(initial=Fab(name="Fabric", version="1").initial_context, ignore_unknown=True)
    assert before.parse_argv(["environnement", "pki.listes"]).unparsed == ["environnement", "pki.listes"]


def test_a_password_that_nobody_can_type_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", nobody)
    program = spoken.program()
    program.create_config()
    program.parse_core(["fab", "--prompt-for-login-password"])
    with pytest.raises(Exit, match="--prompt-for-login-password demande un mot de passe") as told:
        program.update_config()
    assert told.value.code == 2


def test_the_libraries_are_left_as_they_are() -> None:
    """What is French is a program of ours: who runs another of invoke or fabric in the same Python has theirs."""
    asked = (
        "import sys; sys.path.insert(0, 'collections')\n"
        "import invoke.program, fabric.main\n"
        "kinds = (invoke.program.Program, fabric.main.Fab)\n"
        "before = invoke.program.Parser, [dict(vars(one)) for one in kinds]\n"
        "import fabfile\n"
        "print((invoke.program.Parser, [dict(vars(one)) for one in kinds]) == before)\n"
    )
    done = subprocess.run([sys.executable, "-c", asked], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.stdout == "True\n", done.stderr


def test_the_law_is_shown_by_kind_of_body(capsys: pytest.CaptureFixture[str]) -> None:
    auditeur.droit.body(Context(), "ccas")
    shown = " ".join(capsys.readouterr().out.split())
    assert "R123-16 du CASF" in shown and "trois jours au moins" in shown and "à vérifier" in shown
    auditeur.droit.body(Context(), "")
    shown = capsys.readouterr().out
    assert all(kind in shown for kind in law.KINDS)
    with pytest.raises(Exit, match=r"inconnu : « mairie »\. Connus : commune, communaute"):
        auditeur.droit.body(Context(), "mairie")
