"""The watch over formats: every one that the door takes in is in the table, what is at risk comes first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from sae.config import FORMATS

from creatic.archive import formats
from creatic.archive.formats import FormatsError
from creatic.registry.servers import OTHER_FILES

LINE: dict[str, Any] = {
    "puids": ["fmt/95"],
    "nom": "PDF/A-1a",
    "risque": "eleve",
    "pourquoi": "ancien",
    "faire": "convertir",
}


def counted(account: str, puid: str, size: int, files: int = 1) -> dict[str, Any]:
    return {"compte": account, "format": puid, "archives": 1, "fichiers": files, "octets": size}


def test_every_format_that_the_door_takes_in_is_watched(tmp_path: Path) -> None:
    table = formats.read(tmp_path)
    assert table.keys() == set(FORMATS)
    assert all(one.risk in formats.RISKS and one.todo for one in table.values())
    assert table["fmt/95"].risk == formats.LOW and table["fmt/14"].risk == formats.HIGH


def test_an_inventory_says_otherwise_of_those_it_names(tmp_path: Path) -> None:
    ours = formats.read(tmp_path)
    more = LINE | {"puids": ["x-fmt/430", "fmt/95"]}
    (tmp_path / formats.NAME).write_text(yaml.safe_dump({"formats": [more]}, allow_unicode=True))
    table = formats.read(tmp_path)
    assert table["fmt/95"].risk == table["x-fmt/430"].risk == formats.HIGH
    assert table["fmt/354"] == ours["fmt/354"]
    assert formats.NAME in OTHER_FILES


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([LINE | {"risque": "bof"}], "écrivez faible, a_suivre ou eleve"),
        ([LINE | {"puids": ["fmt/95; rm"]}], "écrivez un identifiant PRONOM"),
        ([LINE | {"faire": "{{ lookup('pipe', 'id') }}"}], "écrivez ce qui est à faire"),
        ([LINE, LINE], "« fmt/95 » est déjà plus haut"),
        ([], "écrivez un tiret par sorte de formats"),
        ([{"nom": "PDF"}], "formats[0].puids : champ obligatoire absent"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, lines: list[Any], said: str) -> None:
    (tmp_path / formats.NAME).write_text(json.dumps({"formats": lines}))
    with pytest.raises(FormatsError) as told:
        formats.read(tmp_path)
    assert said in str(told.value) and formats.NAME in str(told.value)


def test_the_gravest_and_the_largest_come_first(tmp_path: Path) -> None:
    found = formats.judge_holdings(
        [
            counted("a", "fmt/95", 10),
            counted("b", "fmt/95", 2_500_000),
            {**counted("a", "fmt/14", 5, 3), "converties": 1},
            counted("a", "fmt/99999", 1),
            counted("a", "fmt/18", 9),
        ],
        formats.read(tmp_path),
    )
    assert [(one.account, one.puid) for one in found] == [
        ("a", "fmt/99999"),
        ("a", "fmt/14"),
        ("a", "fmt/18"),
        ("b", "fmt/95"),
        ("a", "fmt/95"),
    ]
    assert formats.headline(found) == (
        "7 fichiers archivés, 4 formats ; 4 fichiers de 2 formats à risque (1 archives sur 2 ont leur copie : "
        "fab archive.convertir)."
    )
    assert formats.headline(found[3:]) == "2 fichiers archivés, 1 formats, aucun à risque."
    assert formats.row(found[0])[0] == "inconnu" and "ajoutez-le à formats.yml" in formats.row(found[0])[-1]
    assert formats.row(found[3])[1:6] == ("PDF/A (fmt/95)", "b", "1", "1", "2,5 Mo")
    assert "0,0" not in formats.row(found[0])[5]
    assert formats.row(found[1])[3] == "1 (1 avec copie)"
    assert {"fmt/14", "fmt/136"} <= set(formats.to_convert(formats.read(tmp_path))) and "fmt/18" not in (
        formats.to_convert(formats.read(tmp_path))
    )
    told = found[1].to_dict()
    assert (told["puid"], told["nom"], told["fichiers"], told["risque"]) == ("fmt/14", "PDF 1.0 à 1.2", 3, "eleve")
