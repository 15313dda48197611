"""A folder of .p12 files as a provider sends them: each goes where a commune's file asks for it, by its subject."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from creatic.check import received
from creatic.registry.groupement import Commune
from testbed.provider import PASSWORD, deliver, packed

LOOS, CCAS, STRANGER = "215903600", "265903608", "215900671"
TITLE = "Service des assemblées"


def loos(*more: dict[str, Any]) -> list[received.Place]:
    """Places of a commune with a PC, a connector and the CCAS' own."""
    postes = [{"titulaire": TITLE, "fichier": "a.p12", "secret": "a.p12.pass"}, {"titulaire": "X", "source": "jeton"}]
    data = {
        "siren": LOOS,
        "postes": [{"certificats": [*postes, *more]}],
        "connecteur": {"certificat": {"fichier": "c.p12", "secret": "c.p12.pass"}},
        "entites": [{"siren": CCAS, "connecteur": {"certificat": {"fichier": "ccas.p12", "secret": "ccas.mdp"}}}],
    }
    return received.places([Commune("loos", data, "059")])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "recus").mkdir()
    (tmp_path / "secrets").mkdir()
    return tmp_path / "recus"


def sent(folder: Path, name: str, cn: str, siren: str, beside: str = ".p12.pass", word: str = PASSWORD) -> None:
    """A file of the provider's, and its password beside it."""
    (folder / f"{name}.p12").write_bytes(packed(("CN", cn), ("OU", f"0002 {siren}")))
    if beside:
        (folder / f"{name}{beside}").write_text(f"{word}\r\n", encoding="utf-8")


def planned(folder: Path, *more: dict[str, Any]) -> received.Plan:
    return received.plan(folder, loos(*more), folder.parent / "secrets")


@pytest.mark.parametrize(
    ("name", "cn", "siren", "goes"),
    [
        ("0001", "SERVICE DES ASSEMBLEES", LOOS, "a.p12"),
        ("0002", "Connecteur Loos", LOOS, "c.p12"),
        ("c", "Mairie de Loos", LOOS, "c.p12"),
        ("0003", "Connecteur du CCAS", CCAS, "ccas.p12"),
    ],
    ids=["by its holder", "a connector", "by the name of its file", "an entity's"],
)
@pytest.mark.parametrize("beside", [".p12.pass", ".pass", ".mdp", ".txt"])
def test_a_file_goes_where_its_commune_asks_for_it(
    folder: Path, name: str, cn: str, siren: str, goes: str, beside: str
) -> None:
    sent(folder, name, cn, siren, beside)
    plan = planned(folder)
    assert ([place.file for _one, place in plan.moves], plan.left) == ([goes], [])
    received.carry_out(plan, folder.parent / "secrets")
    [place] = [one for one in loos() if one.file == goes]
    put = folder.parent / "secrets"
    assert (put / place.secret).read_text(encoding="utf-8") == f"{PASSWORD}\n"
    assert (put / goes).read_bytes() == (folder / f"{name}.p12").read_bytes()
    assert {path.stat().st_mode & 0o777 for path in put.iterdir()} == {0o600}
    assert PASSWORD not in "".join(plan.lines())
    again = planned(folder)
    assert again.moves == [] and "y est déjà, valable jusqu'au" in again.kept[0]


@pytest.mark.parametrize(
    ("cn", "siren", "beside", "word", "said"),
    [
        ("Mairie", LOOS, ".pass", PASSWORD, "peut aller à plusieurs places : a.p12 ("),
        ("Mairie", STRANGER, ".pass", PASSWORD, f"aucun fichier de commune n'attend de certificat du SIREN {STRANGER}"),
        ("Mairie", "peu importe", ".pass", PASSWORD, "ne dit pas de quel SIREN il est"),
        ("Mairie", LOOS, "", PASSWORD, "aucun mot de passe n'est à côté. À faire : écrivez le sien"),
        ("Mairie", LOOS, ".pass", "un autre", "ne s'ouvre pas avec le mot de passe de"),
    ],
)
def test_what_nobody_can_place_is_told_and_keeps_no_other(
    folder: Path, cn: str, siren: str, beside: str, word: str, said: str
) -> None:
    sent(folder, "0001", cn, siren, beside, word)
    sent(folder, "0002", "Connecteur", LOOS)
    plan = planned(folder)
    assert [place.file for _one, place in plan.moves] == ["c.p12"]
    [line] = plan.left
    assert line.startswith("0001.p12 : ") and said in line and word not in line.replace("mot de passe", "")
    assert "Rien n'a été changé" not in line and "/tmp" not in line


def test_two_for_one_place_are_not_taken_for_one(folder: Path) -> None:
    sent(folder, "0001", TITLE, LOOS)
    sent(folder, "0002", TITLE, LOOS)
    plan = planned(folder)
    assert [one.path.name for one, _place in plan.moves] == ["0001.p12"]
    assert "0001.p12 va à la même place" in plan.left[0]


def test_a_file_that_lasts_longer_takes_the_place_of_another(folder: Path) -> None:
    put = folder.parent / "secrets"
    (folder / "new.p12").write_bytes(packed(("CN", TITLE), ("OU", f"0002 {LOOS}"), days=700))
    (folder / "new.pass").write_text(PASSWORD, encoding="utf-8")
    deliver(put, "a.p12", "a.p12.pass", LOOS)
    plan = planned(folder)
    received.carry_out(plan, put)
    assert (put / "a.p12").read_bytes() == (folder / "new.p12").read_bytes()
    assert received.missing_places(loos(), put) == [
        "communes/loos.yml, connecteur.certificat : c.p12 manque encore.",
        "communes/loos.yml, entites[0].connecteur.certificat : ccas.p12 manque encore.",
    ]


def test_what_leads_elsewhere_or_is_no_file_is_not_read(folder: Path) -> None:
    sent(folder.parent, "elsewhere", TITLE, LOOS)
    (folder / "link.p12").symlink_to(folder.parent / "elsewhere.p12")
    (folder / "folder.p12").mkdir()
    (folder / "large.pfx").write_bytes(b"x" * (received.MAXIMUM_SIZE + 1))
    plan = planned(folder)
    assert plan.moves == [] and len(plan.left) == 3 and all("ce n'est pas un fichier .p12" in one for one in plan.left)


@pytest.mark.parametrize("name", ["recus", "nulle-part"])
def test_a_folder_of_nothing_is_told(folder: Path, name: str) -> None:
    with pytest.raises(received.ReceivedError, match="À faire : donnez "):
        received.plan(folder.parent / name, loos(), folder)


def test_a_name_that_came_is_one_line_of_the_terminal_and_commands_it_nothing(folder: Path) -> None:
    """An escape of a file's name wrote the operator's clipboard, its line feed a line that looked like ours."""
    (folder / "a\x1b]52;c;UQ==\x07\nb\u202e.p12").write_bytes(b"x")
    [line] = planned(folder).lines()
    assert line.startswith("a\ufffd]52;c;UQ==\ufffd\ufffdb\ufffd.p12 : ") and line.isprintable()
