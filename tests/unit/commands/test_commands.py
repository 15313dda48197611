"""What fab says of a command line that it does not understand."""

from __future__ import annotations

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.commands import FrenchParser
from invoke import Collection, Context, task
from invoke.exceptions import ParseError


@task
def environnement(_context: Context, dossier: str = "") -> None:
    """Choisit."""


@task(name="list")
def listing(_context: Context, jours: str = "", statut_: str = "", tous: bool = False) -> None:
    """Montre."""


@task(positional=["slug"])
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
            "pki.lits",
            "La commande « pki.lits » n'existe pas. Vouliez-vous dire « pki.list » ? "
            "« fab --list » montre les commandes.",
        ),
        ("xyzzy", "La commande « xyzzy » n'existe pas. « fab --list » montre les commandes."),
        ("l'un", "La commande « l'un » n'existe pas. « fab --list » montre les commandes."),
        (
            "pki.list --jour 3",
            "fab pki.list : l'option « --jour » n'existe pas. Vouliez-vous dire « --jours » ? "
            "« fab pki.list --help » montre ses options.",
        ),
        ("--rien", "L'option « --rien » n'existe pas. « fab --list » montre les commandes."),
        (
            "pki.list --jours",
            "fab pki.list : l'option « --jours » attend une valeur. « fab pki.list --help » montre ses options.",
        ),
        ("commune.new", "fab commune.new : il manque slug. « fab commune.new --help » les explique."),
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
        ("environnement pki.list", ""),
    ],
)
def test_a_folder_may_be_given_or_not(parser: FrenchParser, line: str, given: str) -> None:
    [found, *others] = parser.parse_argv(line.split(" "))
    assert found.as_kwargs["dossier"] == given
    assert [one.name for one in others] == (["pki.list"] if line.endswith("list") else [])
