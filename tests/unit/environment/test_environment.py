"""Which environment is chosen, what is refused of a choice, and whose a state is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from creatic.registry import environment
from creatic.registry.environment import InvalidEnvironmentError


def inventory(folder: Path, settings: str = "creatic_env: production\n") -> Path:
    (folder / "communes").mkdir(parents=True)
    (folder / "group_vars").mkdir()
    (folder / "groupement.yml").write_text("plugin: cdg59.creatic.groupement\n")
    (folder / "group_vars" / "all.yml").write_text(settings)
    return folder


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository with two inventories."""
    inventory(tmp_path / "depot" / "inventories" / "production")
    inventory(tmp_path / "depot" / "inventories" / "lab", "creatic_env: lab\n")
    return tmp_path / "depot"


def test_without_a_choice_there_is_no_environment(top: Path) -> None:
    with pytest.raises(InvalidEnvironmentError) as refused:
        environment.chosen(top, {})
    assert str(refused.value) == (
        "Aucun environnement n'est choisi, rien n'est lancé. À faire, une fois : fab environnement DOSSIER (ou, pour "
        "un seul shell : export CREATIC_INVENTORY=DOSSIER). Inventaires de ce dépôt : inventories/lab, "
        "inventories/production."
    )


def test_the_choice_is_written_once_and_the_variable_wins(top: Path, tmp_path: Path) -> None:
    environment.choose(top, "inventories/production")
    found = environment.chosen(top, {})
    assert (str(found), found.origin, found.lab) == (
        "Environnement : production (inventories/production)",
        "fab environnement",
        False,
    )
    assert found.folder == top / "inventories" / "production"
    assert {path.name for path in top.iterdir()} == {environment.LINK, "inventories"}  # nothing else is left

    found = environment.chosen(top, {"CREATIC_INVENTORY": "inventories/lab/"})
    assert (found.shown, found.origin, found.lab) == ("inventories/lab", "la variable CREATIC_INVENTORY", True)

    outside = inventory(tmp_path / "ailleurs", "creatic_env: recette # la nôtre\n")
    environment.choose(top, str(outside))
    assert environment.chosen(top, {}).shown == str(outside)


def test_what_is_chosen_may_be_named_from_the_current_folder(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(top / "inventories")
    assert environment.choose(top, "lab").shown == "inventories/lab"
    assert environment.choose(top, "inventories/production").shown == "inventories/production"


def test_a_bad_choice_keeps_the_one_before(top: Path) -> None:
    environment.choose(top, "inventories/production")
    with pytest.raises(InvalidEnvironmentError, match="« inventories/prod » n'existe pas"):
        environment.choose(top, "inventories/prod")
    assert environment.chosen(top, {}).name == "production"


def test_what_is_not_a_link_of_ours_is_left_alone(top: Path) -> None:
    (top / environment.LINK).mkdir()
    for act in (lambda: environment.choose(top, "inventories/lab"), lambda: environment.chosen(top, {})):
        with pytest.raises(InvalidEnvironmentError, match="n'est pas un lien fait par fab environnement"):
            act()
    assert (top / environment.LINK).is_dir()


def _loop(folder: Path) -> None:
    (folder / "x").rename(folder / "y")
    (folder / "x").symlink_to("x")


def _file(folder: Path) -> None:
    (folder / "x").rename(folder / "y")
    (folder / "x").write_text("")


def _without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "x" / name).rename(folder / "x" / f"{name}-non")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: (folder / "x").rename(folder / "y"), r"« inventories/x » n'existe pas \(choisi par"),
        (_loop, "« inventories/x » est un lien qui revient sur lui-même"),
        (_file, "« inventories/x » n'est pas un dossier"),
        (_without("communes"), "« inventories/x » n'est pas un inventaire : il y manque communes "),
        (_without("groupement.yml"), "« inventories/x » n'est pas un inventaire : il y manque groupement.yml "),
        (_without("group_vars/all.yml"), "x/group_vars/all.yml : le fichier n'existe pas. À faire : écrivez"),
    ],
)
@pytest.mark.parametrize("by_variable", [True, False])
def test_a_choice_that_went_bad_is_refused_with_its_fix(
    top: Path, harm: Callable[[Path], object], said: str, by_variable: bool
) -> None:
    inventory(top / "inventories" / "x")
    if not by_variable:
        environment.choose(top, "inventories/x")
    harm(top / "inventories")
    with pytest.raises(InvalidEnvironmentError, match=said) as refused:
        environment.chosen(top, {"CREATIC_INVENTORY": "inventories/x"} if by_variable else {})
    fix = "corrigez la variable" if by_variable else "fab environnement DOSSIER"
    assert fix in str(refused.value) or "écrivez dans group_vars/all.yml" in str(refused.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "La variable CREATIC_INVENTORY est vide"),
        ("inventories/lab,inventories/production", "Ansible n'admet pas de virgule"),
        ("inventories/" + 300 * "x", "ne peut pas être lu"),
        ("~personne/inventaire", "« ~personne/inventaire » n'existe pas"),
    ],
)
def test_a_variable_that_names_no_folder_is_refused(top: Path, given: str, said: str) -> None:
    environment.choose(top, "inventories/lab")
    with pytest.raises(InvalidEnvironmentError, match=said):
        environment.chosen(top, {"CREATIC_INVENTORY": given})


def test_a_folder_closed_to_the_account_is_told(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_arguments: False)  # root may read everything
    with pytest.raises(InvalidEnvironmentError, match="« inventories/lab » est fermé au compte « "):
        environment.chosen(top, {"CREATIC_INVENTORY": "inventories/lab"})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("creatic_env: [x\n", ", ligne 1 : erreur de syntaxe YAML, près de « creatic_env: [x »"),
        ("\x00", ", ligne 1 : caractère de contrôle interdit"),
        ("a: \xff\n", ", ligne 1 : le fichier n'est pas en UTF-8"),
        ("", ", creatic_env : champ absent. À faire : écrivez dans group_vars/all.yml le nom"),
        ("- creatic_env\n", " : le fichier ne contient pas de champs"),
        ("---\nautre: 1\n", ", creatic_env : champ absent"),
        ("a: 1\ncreatic_env: {x: 1}\n", ", ligne 2, creatic_env : ce n'est pas un nom"),
        ("creatic_env: no\n", ", ligne 1, creatic_env : ce n'est pas un nom"),
        ("creatic_env: 59\n", "entre guillemets si ce ne sont que des chiffres"),
        ("creatic_env: ../lab\n", ", ligne 1, creatic_env : ce n'est pas un nom"),
        ("? [creatic_env]\n: x\n", ", ligne 1 : un nom de champ est une liste ou un groupe de champs"),
        ("creatic_env: '{{ autre }}'\n", ", ligne 1, creatic_env : ce n'est pas un nom"),
    ],
)
def test_a_settings_file_without_a_name_is_refused(top: Path, settings: str, said: str) -> None:
    path = top / "inventories" / "production" / "group_vars" / "all.yml"
    path.write_text(settings, encoding="latin-1")
    with pytest.raises(InvalidEnvironmentError) as refused:
        environment.choose(top, "inventories/production")
    assert f"inventories/production/group_vars/all.yml{said}" in str(refused.value) or said in str(refused.value)


def test_the_name_is_read_beside_secrets_and_templates(top: Path) -> None:
    path = top / "inventories" / "production" / "group_vars" / "all.yml"
    path.write_text("a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\ncreatic_env: '59'\nb: \"{{ creatic_env }}\"\n")
    assert environment.choose(top, "inventories/production").name == "59"


# -- The state --------------------------------------------------------------------------------------------------------


def test_the_state_of_an_environment_is_where_its_inventory_says(top: Path) -> None:
    found = environment.chosen(top, {"CREATIC_INVENTORY": "inventories/lab"})
    assert found.home({"CREATIC_HOME": "/srv/etat"}) == Path("/srv/etat/lab")
    assert found.home({}) == Path("~/.local/share/creatic/lab").expanduser()


def test_a_report_names_the_environment_of_its_state(tmp_path: Path) -> None:
    assert environment.of_state(tmp_path) == tmp_path.name
    (tmp_path / "environnement").write_text("[]")
    assert environment.of_state(tmp_path) == tmp_path.name
    (tmp_path / "environnement").write_text('{"environnement": "production", "inventaire": "x"}')
    assert environment.of_state(tmp_path) == "production"


def test_a_state_without_a_name_is_given_one_once(top: Path, tmp_path: Path) -> None:
    home, folder = tmp_path / "etat", top / "inventories" / "production"
    assert environment.claim(home, "production", folder) == ""  # nothing is made
    assert not home.exists()
    home.mkdir()
    assert environment.claim(home, "production", folder, write=False) == ""
    assert not any(home.iterdir())
    assert environment.claim(home, "production", folder) == (
        f"{home} est désormais l'état de « production » (inventaire production), et de lui seul."
    )
    assert environment.claim(home, "production", folder) == ""
    assert [path.name for path in home.iterdir()] == ["environnement"]


def test_the_state_of_another_environment_is_refused(top: Path, tmp_path: Path) -> None:
    home = tmp_path / "etat"
    home.mkdir()
    environment.claim(home, "production", top / "inventories" / "production")
    with pytest.raises(
        InvalidEnvironmentError, match=r"environnement « production » .*, et non de « lab » \(inventaire lab\)"
    ):
        environment.claim(home, "lab", top / "inventories" / "lab")
    copied = inventory(tmp_path / "copie")  # whose name nobody changed
    with pytest.raises(InvalidEnvironmentError, match=rf"\(inventaire copie\).*supprimez {home}/environnement"):
        environment.claim(home, "production", copied, write=False)
    assert json.loads((home / "environnement").read_text()) == {
        "environnement": "production",
        "inventaire": "production",
    }


def test_an_inventory_made_of_links_is_the_one_it_stands_for(top: Path, tmp_path: Path) -> None:
    home, drill = tmp_path / "etat", tmp_path / "inventaire"
    home.mkdir()
    drill.mkdir()
    for path in (top / "inventories" / "production").iterdir():
        (drill / path.name).symlink_to(path)
    environment.claim(home, "production", top / "inventories" / "production")
    assert environment.claim(home, "production", drill) == ""


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"environnement": "production"}', "\xff"])
def test_a_name_that_cannot_be_read_is_told(top: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "environnement").write_text(content, encoding="latin-1")
    with pytest.raises(InvalidEnvironmentError, match="ne dit pas de quel environnement est cet état"):
        environment.claim(tmp_path, "production", top / "inventories" / "production")


def test_a_state_that_cannot_serve_is_told(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, home = top / "inventories" / "production", tmp_path / "etat"
    home.write_text("")
    with pytest.raises(InvalidEnvironmentError, match="etat ne peut pas servir de dossier d'état"):
        environment.claim(home, "production", folder)
    home.unlink()
    (home / "pki").mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path).name != "pki")
    with pytest.raises(InvalidEnvironmentError, match=rf"^{home}/pki : accès refusé au compte « .*CREATIC_HOME"):
        environment.claim(home, "production", folder)
    assert not (home / "environnement").exists()


def test_the_inventory_among_ansible_s_sources_is_the_one_with_a_groupement(top: Path, tmp_path: Path) -> None:
    lab, more = top / "inventories" / "lab", tmp_path / "servers.yml"
    more.write_text("")
    for sources in ([lab], [lab / "groupement.yml"], [more, lab], [lab, more]):
        assert environment.folder_of(map(str, sources)) == lab
    assert environment.folder_of(["localhost,", str(more)]) is None
    environment.choose(top, "inventories/lab")
    found = environment.folder_of([str(top / environment.LINK)])
    assert found and found.resolve() == lab
