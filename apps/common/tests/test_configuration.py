"""The one reader of what roles write: every fault at once, in French, with file, field and fix; secrets unseen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest

from creatic_agent.configuration import (
    UNWRITTEN,
    ConfigError,
    From,
    Key,
    Number,
    Secret,
    SomePath,
    Whole,
    absolute,
    by,
    filled,
    load,
    one_of,
    positive,
    section,
)
from testbed.forbidden import forbidden


@dataclass(frozen=True)
class Commune:
    nom: str
    siren: Annotated[str, filled]
    habitants: Whole = 0
    services: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.habitants > 10**8:
            raise ValueError("il n'y a pas tant d'habitants ; corrigez « habitants ».")


@dataclass(frozen=True)
class Settings:
    machine: str
    communes: Annotated[dict[str, Commune], From(list[Commune], by("siren"))]
    folder: Annotated[Path, Key("dossier"), absolute]
    rate: Annotated[Number, Key("debit")] = 1
    rules: Annotated[Mapping[str, Whole], Key("regles")] = field(default_factory=dict)
    delay: Annotated[float, Key("delai"), positive] = 2
    signed: Annotated[bool, Key("signe")] = False
    fate: Annotated[str, Key("sort"), From(str, one_of({"conserver": "Keep", "detruire": "Destroy"}))] = "Keep"
    database: Annotated[str, UNWRITTEN] = "dbname=x"
    web: Annotated[SomePath, Key("autorites_web")] = None
    delegate: str | None = None
    relay: Annotated[str, Key("courriel.relais", needed=True)] = ""
    port: Annotated[int, Key("courriel.port")] = 25
    password: Annotated[Secret, Key("mot_de_passe")] = field(default="", repr=False)
    code: str = field(default="", repr=False)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)


FIX = "À faire : corrigez l'inventaire, puis relancez le déploiement."
GIVEN: dict[str, Any] = {
    "machine": "passerelle",
    "communes": [{"nom": "Gondecourt", "siren": "215902669"}],
    "dossier": "/var/lib/x",
}


def write(folder: Path, content: object, name: str = "config.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def told(path: Path, **more: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, Settings, **more)
    return str(caught.value)


def test_what_is_declared_is_read_with_its_types(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(" canari-59\n")
    found = load(
        write(
            tmp_path,
            GIVEN
            | {
                "communes": [
                    {"nom": "Gondecourt", "siren": "215902669", "habitants": "3900", "services": ["ged", "archivage"]}
                ],
                "regles": {"ACTES-10": "10", "ACTES-5": 5},
                "delai": 3,
                "debit": "2.5",
                "signe": True,
                "sort": "detruire",
                "autorites_web": "",
                "courriel": {"relais": "relais.test"},
                "mot_de_passe": str(tmp_path / "secret"),
                "keys": {"gondecourt": "canari-60"},
            },
        ),
        Settings,
    )
    assert found.communes == {"215902669": Commune("Gondecourt", "215902669", 3900, ("ged", "archivage"))}
    assert (found.rate, found.rules, found.delay, found.signed, found.fate) == (
        2.5,
        {"ACTES-10": 10, "ACTES-5": 5},
        3.0,
        True,
        "Destroy",
    )
    assert (found.web, found.delegate, found.relay, found.port) == (None, None, "relais.test", 25)
    assert (found.folder, found.password) == (Path("/var/lib/x"), "canari-59")
    assert "canari" not in repr(found)


def test_yaml_is_read_by_the_name_of_its_file(tmp_path: Path) -> None:
    text = 'machine: m\ncommunes: [{nom: A, siren: "1"}]\ndossier: /d\ncourriel:\nsigne: true\n'
    assert load(write(tmp_path, text, "c.yml"), Settings).signed
    assert "c.yml, ligne 1 : ce n'est pas du YAML valide" in told(write(tmp_path, "a: [", "c.yml"))


def test_every_fault_is_told_at_once_with_its_field(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {
            "machin": "x",
            "communes": [{"nom": "A", "siren": ""}, {"nom": "B", "siren": "2", "habitants": "trois"}, "C"],
            "dossier": "relatif",
            "regles": {"ACTES-10": True},
            "delai": "2",
            "signe": "oui",
            "sort": "garder",
            "courriel": {"port": 25.5, "hote": "x"},
            "zzz": 1,
        },
    )
    lines = told(path).splitlines()
    assert lines.pop() == "À faire : corrigez l'inventaire, puis relancez le déploiement."
    assert sorted(line.removeprefix(f"{path}, champ ") for line in lines) == [
        "« communes.1.siren » : ce champ est vide ; remplissez-le.",
        "« communes.2.habitants » : « trois » doit être un nombre entier, sans guillemets.",
        "« communes.3 » : ce n'est pas un objet ; ses champs sont nom, siren, habitants, services.",
        "« courriel.hote » : champ inconnu ; retirez-le.",
        "« courriel.port » : « 25.5 » doit être un nombre entier, sans guillemets.",
        "« courriel.relais » : champ obligatoire absent ; ajoutez-le.",
        "« delai » : « 2 » doit être un nombre, sans guillemets.",
        "« dossier » : « relatif » doit être un chemin absolu.",
        "« machin » : champ inconnu ; vouliez-vous dire « machine » ?",
        "« machine » : champ obligatoire absent ; ajoutez-le.",
        "« regles.ACTES-10 » : « True » doit être un nombre entier, sans guillemets.",
        "« signe » : « oui » n'est pas un choix ; écrivez true ou false.",
        "« sort » : « garder » est inconnu ; écrivez conserver ou detruire.",
        "« zzz » : champ inconnu ; retirez-le.",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"communes": [GIVEN["communes"][0]] * 2}, "« communes » : « 215902669 » y est deux fois"),
        ({"communes": {}}, "« communes » : ce n'est pas une liste"),
        ({"communes": [GIVEN["communes"][0] | {"habitants": 10**9}]}, "« communes.1 » : il n'y a pas tant d'habitants"),
        ({"machine": None}, "« machine » : une valeur vide doit être un texte"),
        ({"machine": 59}, "« machine » : « 59 » doit être un texte ; mettez-le entre guillemets."),
        ({"dossier": ""}, "« dossier » : «  » doit être un chemin"),
        ({"delai": 0}, "« delai » : « 0.0 » doit être un nombre supérieur à zéro."),
        ({"delai": float("nan")}, "« delai » : « nan » doit être un nombre"),
        ({"delai": float("inf")}, "« delai » : « inf » doit être un nombre"),
        ({"delai": 10**400}, "doit être un nombre"),
        ({"delai": True}, "« delai » : « True » doit être un nombre"),
        ({"database": "x"}, "« database » : champ inconnu"),
        ({"debit": "1e5"}, "« debit » : « 1e5 » doit être un nombre"),
        ({"debit": "nan"}, "« debit » : « nan » doit être un nombre"),
        ({"debit": True}, "« debit » : « True » doit être un nombre"),
        ({"signe": 1}, "« signe » : « 1 » n'est pas un choix"),
        ({"regles": []}, "« regles » : ce n'est pas un objet"),
        ({"regles": {"A": "-1"}}, "« regles.A » : « -1 » doit être un nombre entier"),
        ({"courriel": "x"}, "« courriel » : ce n'est pas un objet ; ses champs sont relais, port."),
        ({"autorites_web": ["x"]}, "« autorites_web » : une liste doit être un texte"),
    ],
)
def test_a_value_of_another_type_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = write(tmp_path, GIVEN | changes)
    said = told(path)
    assert said.startswith(f"{path}, champ ")
    assert words in said
    assert said.endswith(". À faire : corrigez l'inventaire, puis relancez le déploiement.")
    assert len(said.splitlines()) == 1


def test_what_is_hidden_is_in_no_message(tmp_path: Path) -> None:
    """A secret that was written where another type is expected, or under another's name."""
    wrong = GIVEN | {"code": 5959595959, "keys": {"gondecourt": 5959595959}, "machine": {"mot": "5959595959"}}
    said = told(write(tmp_path, wrong | {"mot_de_passe": str(tmp_path / "absent")}))
    assert "5959595959" not in said
    assert "champ « code » : cette valeur doit être un texte" in said
    assert "champ « keys.gondecourt » : cette valeur doit être un texte" in said
    assert "champ « mot_de_passe » : « " in said and "fichier illisible (il n'existe pas) ; vérifiez son chemin" in said
    # In the place of an object, or of the file that has it.
    assert "canari-61" not in told(write(tmp_path, GIVEN | {"courriel": "canari-61", "keys": "canari-61"}))
    said = told(write(tmp_path, GIVEN | {"mot_de_passe": "canari-61"}))
    assert said.endswith("« mot_de_passe » : ce n'est pas le chemin absolu d'un fichier ; donnez-le. " + FIX)
    (tmp_path / "binaire").write_bytes(b"\xff\xfe")
    assert "ce n'est pas du texte" in told(write(tmp_path, GIVEN | {"mot_de_passe": str(tmp_path / "binaire")}))


def test_who_may_not_read_is_told_to_use_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sudo = "votre compte n'a pas le droit de le lire. Lancez la commande avec sudo."
    path, file, read = (
        write(tmp_path, GIVEN | {"mot_de_passe": str(tmp_path / "secret")}),
        tmp_path / "secret",
        Path.read_text,
    )

    def kept(one: Path, **more: Any) -> str:
        if one == file:
            raise PermissionError(13, "Permission denied", str(one))
        return read(one, **more)

    monkeypatch.setattr(Path, "read_text", kept)
    assert told(path) == f"{file} : {sudo}"
    with forbidden(path):
        assert told(path) == f"{path} : {sudo}"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "lecture impossible (il n'existe pas). Relancez le déploiement."),
        ("{", "config.json, ligne 1 : ce n'est pas du JSON valide. Relancez le déploiement."),
        ("[]", "config.json : ce n'est pas un objet ; ses champs sont machine, communes, dossier, "),
        ("null", "config.json : ce n'est pas un objet"),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "config.json" if content is None else write(tmp_path, content)
    assert words in told(path)
    path.write_bytes(b'{"machine": "\xe9"}')
    assert "config.json : ce n'est pas du JSON valide. Relancez le déploiement." in told(path)


def test_a_part_is_read_by_who_needs_it(tmp_path: Path) -> None:
    path = write(tmp_path, GIVEN | {"fixite": {"nom": "x", "siren": 1}})
    assert "champ « fixite » : champ inconnu" in told(path)
    assert load(path, Settings, others=["fixite"]).machine == "passerelle"
    assert load(path, Settings, others=["fixite", "machine"], machine="donnée").machine == "donnée"
    assert "champ « machine » : champ inconnu" in told(path, others=["fixite"], machine="donnée")
    with pytest.raises(ConfigError, match=r"champ « fixite\.siren » : « 1 » doit être un texte"):
        section(path, "fixite", Commune)
    with pytest.raises(ConfigError, match=r"champ « absente\.nom » : champ obligatoire absent"):
        section(path, "absente", Commune)


def test_what_only_the_caller_knows_is_checked_with_the_rest(tmp_path: Path) -> None:
    def known(name: str) -> str:
        raise ValueError(f"« {name} » n'est pas connu.")

    said = told(write(tmp_path, GIVEN | {"delai": -1}), checks={"machine": known})
    assert "champ « machine » : « passerelle » n'est pas connu." in said
    assert "champ « delai » : « -1.0 » doit être un nombre supérieur à zéro." in said
