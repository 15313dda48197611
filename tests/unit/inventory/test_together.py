"""What is wrong of files taken together: each alone is right, and was deployed without a word."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from creatic.check import needs, together
from creatic.check.inspection import Inspection, Tree
from creatic.registry import groupement

TOP = Path(__file__).parents[3]
TREE = Tree(TOP)
Spoil = Callable[[Path], object]


def changed(file: str, old: str, new: str) -> Spoil:
    def spoil(folder: Path) -> None:
        text = (folder / file).read_text(encoding="utf-8")
        assert text.count(old) >= 1
        (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")

    return spoil


def second(profile: str, name: str) -> Spoil:
    head = f"    {profile}:\n      hosts:\n"
    server = f"        {name}:\n          ansible_host: 10.159.0.99\n          creatic_names: [{name}.example.org]\n"
    return changed("servers.yml", head, head + server)


LOOS, BERGUES = "communes/loos.yml", "communes/bergues.yml"
SPOILT: dict[str, tuple[Spoil, str]] = {
    "accents read as another encoding": (
        changed(LOOS, "Direction générale", "Direction gÃ©nÃ©rale"),
        "communes/loos.yml, ligne 24 : des accents sont abîmés (« Ã© »), par un copier-coller ou une conversion. À "
        "faire : récrivez-les, et enregistrez le fichier en UTF-8.",
    ),
    "a commune's file that an editor renamed": (
        lambda folder: shutil.copy(folder / LOOS, folder / "communes/lomme.yml.txt"),
        "communes/lomme.yml.txt : rien ne lit ce fichier : l'éditeur a ajouté une fin à son nom. À faire : renommez-le "
        "en lomme.yml, ou sortez-le.",
    ),
    "a variables' file that an editor renamed": (
        lambda folder: (folder / "group_vars/systeme_windows.yml").rename(
            folder / "group_vars/systeme_windows.yml.txt"
        ),
        "group_vars/systeme_windows.yml.txt : rien ne lit ce fichier : l'éditeur a ajouté une fin à son nom. À faire : "
        "renommez-le en systeme_windows.yml, ou sortez-le.",
    ),
    "a second passerelle": (
        second("passerelle", "relais2"),
        "servers.yml, ligne 56 : une seconde machine passerelle, « relais » : les autres n'en connaîtraient qu'une. À "
        "faire : gardez-en une dans le groupe passerelle ; pour en changer, suivez « Une machine perdue » "
        "(docs/exploitation.md).",
    ),
    "two maires": (
        changed(LOOS, "  maire: sonia.dupuis", "  maire: marc.vasseur"),
        "communes/loos.yml, ligne 45, deliberations.maire : le maire est « marc.vasseur » pour le conseil, et "
        "« sonia.dupuis » pour le parapheur. À faire : écrivez la même personne aux deux endroits : un adjoint qui "
        "supplée le maire va dans suppleants.",
    ),
    "a maire who is not of the council": (
        changed(LOOS, "elus: [Sonia Dupuis, ", "elus: ["),
        "communes/loos.yml, ligne 46, deliberations.elus : le maire, Sonia Dupuis, n'y est pas. À faire : écrivez-le "
        "en premier, comme dans comptes.",
    ),
    "a président who is not of the council": (
        changed(BERGUES, "      elus: [Sophie Vandamme, Nora", "      elus: [Nora"),
        "communes/bergues.yml, ligne 60, entites[0].deliberations.elus : le président, Sophie Vandamme, n'y est pas. À "
        "faire : écrivez-le en premier, comme dans comptes.",
    ),
    "an entity of a machine's name": (
        changed(BERGUES, "  - nom: ccas", "  - nom: pc-secretariat"),
        "communes/bergues.yml, ligne 50, entites[0].nom : le nom « bergues-pc-secretariat » est celui d'une machine. À "
        "faire : donnez un autre nom court à l'entité.",
    ),
}


@pytest.mark.parametrize("case", SPOILT)
def test_it_is_told_once_with_its_place_and_its_fix(tmp_path: Path, case: str) -> None:
    spoil, said = SPOILT[case]
    folder = tmp_path / "example"
    shutil.copytree(TOP / "inventories" / "example", folder)
    spoil(folder)
    assert [str(problem) for problem in Inspection(folder, TREE).run()] == [said]


@pytest.mark.parametrize(
    "profile", ["parapheur", "ged", "deliberations", "archive_gateway", "backup_server", "guichet"]
)
def test_a_second_server_is_refused_where_the_others_know_one(tmp_path: Path, profile: str) -> None:
    folder = tmp_path / "example"
    shutil.copytree(TOP / "inventories" / "example", folder)
    second(profile, "second")(folder)
    [problem] = Inspection(folder, TREE).run()
    assert problem.message.startswith(f"une seconde machine {profile}, « ")
    shutil.copy(TOP / "inventories/example/servers.yml", folder)
    second("archive_node", "sae4")(folder)  # the room may grow
    assert Inspection(folder, TREE).run() == []


@pytest.mark.parametrize("place", ["all/main.yml", "passerelle.yml"])
def test_the_groupement_s_siren_is_no_commune_s_wherever_it_is_written(tmp_path: Path, place: str) -> None:
    """It opens all communes' pages; Ansible reads it in several files, or computes it."""
    folder = tmp_path / "example"
    shutil.copytree(TOP / "inventories" / "example", folder)
    line, every = 'creatic_groupement_siren: "285900015"', folder / "group_vars/all.yml"
    if place == "passerelle.yml":
        changed("group_vars/all.yml", line, "")(folder)
        (folder / "group_vars" / place).write_text(f"{line[:26]}\"{{{{ '285900' ~ '015' }}}}\"\n", encoding="utf-8")
    else:
        content = every.read_text(encoding="utf-8")
        every.unlink()
        (folder / "group_vars/all").mkdir()
        (folder / "group_vars" / place).write_text(content, encoding="utf-8")
    changed(LOOS, '"215903600"', '"285900015"')(folder)
    told = [
        str(one) for one in needs.inspect_needs(folder, TOP, doors=False)[0] if "celui du groupement" in one.message
    ]
    assert told == [
        "communes/loos.yml, siren : le SIREN « 285900015 » est celui du groupement (creatic_groupement_siren). À "
        "faire : corrigez celui des deux qui se trompe : chacun a le sien.",
    ]


def test_an_entity_s_is_not_the_groupement_s_either() -> None:
    commune = groupement.Commune("bergues", {"siren": "215900671", "entites": [{"siren": "285900015"}]}, "059")
    [told] = together.borrowed([commune], "285900015")
    assert (told.file, told.field) == ("communes/bergues.yml", "entites[0].siren")
    assert [*together.borrowed([commune], "")] == []
