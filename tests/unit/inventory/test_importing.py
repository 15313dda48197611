"""Communes from a table: what it writes, what it leaves, what it tells of what a spreadsheet program damages."""

from __future__ import annotations

import contextlib
import io
import stat
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
import yaml

from creatic.registry import groupement, importing, sheet
from creatic.registry.edited_yaml import Edited
from creatic.registry.sheet import SheetError
from creatic_agent import spreadsheet

SETTINGS = """---
plugin: cdg59.creatic.groupement
departement: "059"
adresses: 10.59.0.0/16
territoires: {lille: Métropole de Lille, cambresis: Cambrésis}
"""
GONDECOURT = """---
# Relu avec la mairie le 3 mars.
nom: Gondecourt
siren: "215902669"
insee: "59266"
territoire: lille
agents: 80   # compté en janvier
vague: 2
services: [teletransmission, parapheur]
postes:
  - nom: pc-secretariat
    adresse: 10.59.2.10
    systeme: debian
    certificats: []

# La machine qui envoie les actes.
connecteur:
  adresse: 10.59.2.20
  tdt: s2low

# Personnes.
comptes:
  - {identifiant: claire.dubois, prenom: Claire, nom: Dubois, courriel: mairie@gondecourt.test}   # maire depuis 2020

# Circuits.
parapheur:
  redacteurs: [claire.dubois]
  maire: {titulaire: claire.dubois}
"""
HEAD = ["Commune", "SIREN", "Territoire", "Agents"]
LOOS = ["Loos", "215903600", "lille", "120"]
LILLE = ["Wannehain", "215906389", "lille", "12"]
TABLE = "urn:oasis:names:tc:opendocument:xmlns"
Plan = Callable[..., importing.Plan]


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    (tmp_path / "communes").mkdir()
    (tmp_path / "groupement.yml").write_text(SETTINGS)
    (tmp_path / "communes" / "gondecourt.yml").write_text(GONDECOURT)
    return tmp_path


@pytest.fixture
def plan(inventory: Path) -> Plan:
    """What rows, headings first, make of the inventory."""

    def made(*rows: list[Any]) -> importing.Plan:
        return importing.plan(inventory, ods(inventory / "liste.ods", rows))

    return made


def ods(path: Path, rows: Any) -> Path:
    path.write_bytes(spreadsheet.make({"Feuille1": (rows[0], rows[1:])}))
    return path


def odf(path: Path, rows: str, more: str = "", before: str = "") -> Path:
    """An ODS of one's own making."""
    spaces = " ".join(f'xmlns:{one}="{TABLE}:{one}:1.0"' for one in ("office", "table", "text"))
    body = f"<office:body><office:spreadsheet><table:table>{rows}</table:table></office:spreadsheet></office:body>"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "content.xml", f"{before}<office:document-content {spaces}>{body}{more}</office:document-content>"
        )
    return path


def xml_row(*cells: str, times: int = 1) -> str:
    shown = "".join(f"<table:table-cell><text:p>{escape(one)}</text:p></table:table-cell>" for one in cells)
    return f'<table:table-row table:number-rows-repeated="{times}">{shown}</table:table-row>'


def told(made: importing.Plan) -> list[str]:
    return [str(one) for one in made.refused]


def test_a_row_makes_the_file_that_the_command_writes(inventory: Path, plan: Plan) -> None:
    made = plan([*HEAD, "Poste 1"], [*LOOS, "pc-mairie"])
    assert told(made) == []
    assert importing.carry_out(inventory, made) == []
    written = inventory / "communes" / "loos.yml"
    text = written.read_bytes()
    assert stat.S_IMODE(written.stat().st_mode) == 0o644
    written.unlink()
    groupement.new_commune(inventory, "loos", siren="215903600", agents=120, territoire="lille")
    assert written.read_bytes() == text
    assert groupement.check(inventory) == []


def test_a_second_import_changes_nothing(inventory: Path, plan: Plan) -> None:
    rows = [[*HEAD, "Prénom du maire", "Nom du maire", "Courriel du maire"], [*LOOS, "Anne", "Petit", "a@loos.test"]]
    importing.carry_out(inventory, plan(*rows))
    before = (inventory / "communes" / "loos.yml").read_bytes()
    again = plan(*rows)
    assert ([one.slug for one in again.same], again.new, again.changed, again.refused) == (["loos"], [], [], [])
    importing.carry_out(inventory, again)
    assert (inventory / "communes" / "loos.yml").read_bytes() == before


def test_a_correction_changes_its_field_and_keeps_all_that_people_wrote(inventory: Path, plan: Plan) -> None:
    head = [*HEAD, "Poste 1", "Adresse du poste 1", "Poste 2", "Adresse du poste 2", "Système du poste 2"]
    people = ["Prénom de la secrétaire", "Nom de la secrétaire", "Courriel de la secrétaire", "Courriel du maire"]
    people += ["Prénom du maire", "Nom du maire"]
    row = ["Gondecourt", "215902669", "Lille", "95", "pc-secretariat", "10.59.2.11", "pc-etat-civil", "10.59.2.12"]
    row += ["windows", "Paul", "Renard", "mairie@gondecourt.test", "claire@gondecourt.test", "Claire", "Dubois"]
    made = plan([*head, *people], row)
    assert told(made) == []
    [one] = made.changed
    assert one.lines()[:2] == ["agents : 80 → 95", "postes[0].adresse : 10.59.2.10 → 10.59.2.11"]
    assert one.lines()[2].startswith("postes[1] : rien → {nom: pc-etat-civil, adresse: 10.59.2.12, systeme: windows")
    assert one.lines()[3:] == [
        "comptes[0].courriel : mairie@gondecourt.test → claire@gondecourt.test",
        "comptes[1] : rien → {identifiant: paul.renard, prenom: Paul, nom: Renard, courriel: mairie@gondecourt.test}",
    ]
    importing.carry_out(inventory, made)
    poste = (
        "    certificats: []\n  - nom: pc-etat-civil\n    adresse: 10.59.2.12\n    systeme: windows"
        "   # debian ou windows\n"
        "    certificats:\n      - titulaire: Secrétariat général   # la personne ou le service\n"
        "        usage: authentification   # ou signature\n"
        "        # groupement : un TdT de production (RGS) le refuse. Chez lui, source: fichier (.p12 d'un\n"
        "        # prestataire, avec fichier: et secret:) ou source: jeton (clé USB).\n"
        "        source: groupement\n"
    )
    account = (
        "\n  - {identifiant: paul.renard, prenom: Paul, nom: Renard, courriel: mairie@gondecourt.test}\n\n# Circuits"
    )
    expected = (
        GONDECOURT.replace("agents: 80", "agents: 95").replace("2.10", "2.11").replace("    certificats: []\n", poste)
    )
    expected = expected.replace("mairie@gondecourt.test", "claire@gondecourt.test").replace("\n\n# Circuits", account)
    assert (inventory / "communes" / "gondecourt.yml").read_text() == expected
    assert groupement.check(inventory) == []


def test_an_elected_mayor_signs_and_the_former_one_keeps_the_account(inventory: Path, plan: Plan) -> None:
    head = ["Commune", "SIREN", "Prénom du maire", "Nom du maire", "Courriel du maire"]
    made = plan(head, ["Gondecourt", "215902669", "Luc", "Mahieu", "luc@gondecourt.test"])
    assert [name for name, _before, _now in made.changed[0].changes] == ["comptes[1]", "parapheur.maire.titulaire"]
    assert made.changed[0].data["parapheur"]["maire"] == {"titulaire": "luc.mahieu"}
    assert len(made.changed[0].data["comptes"]) == 2


def test_circuits_are_written_of_who_prepares_approves_and_signs(plan: Plan) -> None:
    people = [f"{kind} du {role}" for role in ("maire", "DGS", "secrétaire") for kind in ("Prénom", "Nom", "Courriel")]
    names = ["Anne", "Petit", "a@l.test", "Léa", "Roux", "l@l.test", "Jean", "Martin", "j@l.test"]
    made = plan([*HEAD, *people, "Services", "Population"], [*LOOS, *names, "Télétransmission ; parapheur", "21000"])
    assert told(made) == []
    assert made.new[0].data["parapheur"] == {
        "redacteurs": ["jean.martin"],
        "dgs": {"titulaire": "lea.roux"},
        "maire": {"titulaire": "anne.petit"},
    }
    assert made.idle == 1


def test_two_people_of_one_name_have_two_logins(plan: Plan) -> None:
    head = [*HEAD, "Prénom du maire", "Nom du maire", "Courriel du maire"]
    made = plan(head, [*LOOS, "Claire", "Dubois", "c@loos.test"], [*LILLE, "Claire", "Dubois", "c@w.test"])
    assert told(made) == []
    assert [one.data["comptes"][0]["identifiant"] for one in made.new] == [
        "claire.dubois.loos",
        "claire.dubois.wannehain",
    ]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (["Loos", "215903601", "lille", "1"], "SIREN : la clé de « 215903601 » est fausse"),
        (["Loos", "2,15904E+08", "lille", "1"], "SIREN : « 2,15904E+08 » n'a pas les 9 chiffres d'un SIREN"),
        (["Loos", "21590360000017", "lille", "1"], "SIREN : « 21590360000017 » a 14 chiffres : c'est un SIRET"),
        (["Loos", "", "lille", "1"], "SIREN : la cellule est vide"),
        (["Loos", "215903600", "lile", "1"], "Territoire : le territoire « lile » n'est pas déclaré"),
        (["Loos", "215903600", "lille", "une"], "Agents : « une » n'est pas un nombre entier"),
        (["Loos", "215903600", "lille", "#REF!"], "Agents : « #REF! » est l'erreur d'une formule"),
        (["Loos", "215903600", "lille", ""], "Agents : la cellule est vide"),
        (
            ["Gondecourt", "215903600", "lille", "1"],
            "SIREN : communes/gondecourt.yml est déjà celui du SIREN 215902669",
        ),
        (["{{ x }}", "215903600", "lille", "1"], "Commune : "),
        (["Lo\u202eos {}", "215903600", "lille", "1"], "Commune : "),
    ],
)
def test_a_bad_row_is_told_and_keeps_no_other(inventory: Path, plan: Plan, row: list[str], expected: str) -> None:
    made = plan(HEAD, row, LILLE)
    assert [one for one in told(made) if one.startswith(f"liste.ods, ligne 2, {expected}") and "À faire : " in one], (
        told(made)
    )
    assert [one.slug for one in made.new] == ["wannehain"]
    assert importing.carry_out(inventory, made) == []
    assert {one.name for one in (inventory / "communes").iterdir()} == {"gondecourt.yml", "wannehain.yml"}


@pytest.mark.parametrize(
    ("columns", "row", "expected"),
    [
        (["INSEE"], ["59350"], "INSEE : le SIREN 215903600 est celui de la commune 59360, non « 59350 »"),
        (["INSEE"], ["5936"], "INSEE : « 5936 » n'est pas un code INSEE de 5 caractères"),
        (["Code postal"], ["591200"], "Code postal : « 591200 » n'est pas un code postal"),
        (["Services"], ["teletransmision"], "Services : "),
        (["Adresse du connecteur"], ["10.59.2"], "Adresse du connecteur : « 10.59.2 » n'est pas une adresse IP"),
        (["Adresse du connecteur"], ["10.59.2.10"], "Adresse du connecteur : l'adresse « 10.59.2.10 » est déjà dans "),
        (["Adresse du poste 1"], ["10.59.3.10"], "Poste 1 : la cellule est vide"),
        (["Nom du maire"], ["Petit"], "Prénom du maire : la cellule est vide"),
        (["Prénom du maire", "Nom du maire"], ["Anne", "Petit"], "Courriel du maire : la cellule est vide"),
        (
            ["Prénom du maire", "Nom du maire", "Courriel du maire"],
            ["Anne", "Petit", "anne"],
            "Courriel du maire : la valeur « anne » n'est pas admise",
        ),
        (["Fichier"], ["../loos"], "Fichier : le nom du fichier n'est pas admis"),
        (["Fichier"], ["gondecourt"], "INSEE : le SIREN 215903600 est celui de la commune 59360, non « 59266 »"),
    ],
)
def test_a_bad_cell_is_told_by_its_column(plan: Plan, columns: list[str], row: list[str], expected: str) -> None:
    made = plan([*HEAD, *columns], [*LOOS, *row])
    assert made.new == []
    assert [one for one in told(made) if f"liste.ods, ligne 2, {expected}" in one], told(made)


def test_two_rows_of_one_commune_are_both_refused(plan: Plan) -> None:
    made = plan(HEAD, LOOS, ["Loos-lez-Lille", *LOOS[1:]], LILLE, ["WANNEHAIN", "215906512", "lille", "3"])
    assert [one.split(". À")[0] for one in told(made)] == [
        "liste.ods, ligne 2, SIREN : la ligne 3 a aussi ce SIREN",
        "liste.ods, ligne 3, SIREN : la ligne 2 a aussi ce SIREN",
        "liste.ods, ligne 4, Commune : la ligne 5 a aussi le fichier communes/wannehain.yml",
        "liste.ods, ligne 5, Commune : la ligne 4 a aussi le fichier communes/wannehain.yml",
    ]


def test_two_rows_that_share_an_address_keep_the_others(plan: Plan) -> None:
    head = [*HEAD, "Adresse du connecteur"]
    made = plan(head, [*LOOS, "10.59.9.20"], [*LILLE, "10.59.9.20"], ["Gondecourt", "215902669", "lille", "81", ""])
    assert [one.slug for one in made.new] == ["loos"] and [one.slug for one in made.changed] == ["gondecourt"]
    assert "ligne 3, Adresse du connecteur : l'adresse « 10.59.9.20 » est déjà dans communes/loos.yml" in told(made)[0]


def test_a_file_with_faults_is_left_and_keeps_no_other(inventory: Path, plan: Plan) -> None:
    (inventory / "communes" / "gondecourt.yml").write_text(GONDECOURT.replace("vague: 2", "vague: deux"))
    made = plan(HEAD, ["Gondecourt", "215902669", "lille", "81"], LOOS)
    assert told(made)[0].startswith("liste.ods, ligne 2, Commune : communes/gondecourt.yml a déjà des défauts")
    assert [one.slug for one in made.new] == ["loos"]


def test_a_file_that_somebody_changes_meanwhile_is_left(inventory: Path, plan: Plan) -> None:
    made = plan(HEAD, ["Gondecourt", "215902669", "lille", "81"], LOOS, LILLE)
    (inventory / "communes" / "gondecourt.yml").write_text(GONDECOURT + "# à l'instant\n")
    (inventory / "communes" / "loos.yml").write_text("nom: Loos\n")
    assert [one.file for one in importing.carry_out(inventory, made)] == [
        "communes/loos.yml",
        "communes/gondecourt.yml",
    ]
    assert (inventory / "communes" / "gondecourt.yml").read_text().endswith("# à l'instant\n")
    assert (inventory / "communes" / "wannehain.yml").exists()


TEXT = "Commune;SIREN;Territoire;Agents;N° de dossier\r\n"
TEXT += "Loos ;215\u00a0903\u00a0600;Lille;120,0;7\r\n;;;;\r\nÉcole;;;;\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("mark", [";", ",", "\t"])
def test_a_csv_is_read_as_excel_and_libreoffice_write_it(inventory: Path, encoding: str, mark: str) -> None:
    text = TEXT.replace("120,0", "120.0").replace(";", mark)
    (inventory / "liste.csv").write_bytes(text.encode(encoding))
    made = importing.plan(inventory, inventory / "liste.csv")
    assert made.new[0].data["agents"] == 120 and made.new[0].data["siren"] == "215903600"
    assert made.unread == ["N° de dossier"]
    assert {one.line for one in made.refused} == {4}


@pytest.mark.parametrize(
    ("cell", "read"),
    [
        ("59.0", "59"),
        ("59,00", "59"),
        ("215\u202f902\u00a0669", "215902669"),
        ("59266", "59266"),
        ("2.5", "2.5"),
        ("01004", "01004"),
        ("2,16E+08", "2,16E+08"),
        ("2A004", "2A004"),
    ],
)
def test_numbers_are_as_they_were(cell: str, read: str) -> None:
    assert sheet.digits(sheet.cleaned_text(cell)) == read


def test_a_lost_zero_comes_back_where_the_department_has_one(inventory: Path) -> None:
    (inventory / "groupement.yml").write_text(SETTINGS.replace('"059"', '"001"'))
    (inventory / "communes" / "gondecourt.yml").unlink()
    rows = [[*HEAD, "INSEE", "Code postal"], ["Ambérieu", "210100046", "lille", 12.0, 1004, 1500]]
    [one] = importing.plan(inventory, ods(inventory / "liste.ods", rows)).new
    assert (one.data["insee"], one.data["code_postal"], one.data["agents"]) == ("01004", "01500", 12)


def test_headings_may_stand_below_a_title(plan: Plan) -> None:
    assert [one.row for one in plan(["Liste du centre de gestion"], [], HEAD, LOOS).new] == [4]


@pytest.mark.parametrize("rows", [[["Nom", "Code"], ["Loos", "1"]], [[*HEAD, "Code INSEE", "INSEE"], LOOS]])
def test_a_table_of_something_else_is_refused(plan: Plan, rows: list[list[str]]) -> None:
    with pytest.raises(SheetError, match="À faire : "):
        plan(*rows)


def test_the_model_is_read_and_names_each_column(inventory: Path) -> None:
    (inventory / "modele.ods").write_bytes(importing.model())
    [(_number, cells)] = sheet.read(inventory / "modele.ods")
    assert cells == [heading for heading, _others, _example in importing.COLUMNS.values()]
    assert importing.plan(inventory, inventory / "modele.ods") == importing.Plan()


BILLION = "<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'>]>"


WIDE = xml_row(*LOOS).replace("<table:table-cell>", '<table:table-cell table:number-columns-repeated="9999999">')


@pytest.mark.parametrize(
    ("rows", "refused"),
    [
        (xml_row(*HEAD) + xml_row(*LOOS, times=1048576), True),
        (xml_row(*HEAD) + xml_row("\u200b", times=9999999) * 20_000, False),
        (xml_row(*HEAD) + WIDE * 9, False),
        (xml_row(*HEAD) + xml_row("a" * 1_000_000, times=4000), False),
        ("<a>" * 100_000, True),
        (" " * (sheet.MOST_XML + 1), True),
        (xml_row("&a;"), True),
    ],
    ids=["rows", "empty rows", "columns", "long text", "depth", "zip bomb", "no headings"],
)
def test_a_hostile_file_is_bounded(inventory: Path, rows: str, refused: bool) -> None:
    path = odf(inventory / "liste.ods", rows)
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(SheetError, match="À faire : ") if refused else contextlib.nullcontext():
            assert importing.plan(inventory, path).new == []
        assert tracemalloc.get_traced_memory()[1] < 300 << 20
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < 60


def test_entities_are_never_read(inventory: Path) -> None:
    secret = inventory / "secret"
    secret.write_text("mot de passe")
    before = f'<!DOCTYPE x [<!ENTITY a SYSTEM "{secret}">]>'
    path = odf(
        inventory / "liste.ods",
        "<table:table-row><table:table-cell><text:p>&a;</text:p></table:table-cell></table:table-row>",
        before=before,
    )
    with pytest.raises(SheetError, match="ni un tableau ODS ni un CSV"):
        sheet.read(path)


@pytest.mark.parametrize(
    "raw", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1", b"Commune\x00;SIREN", b"%PDF-1.7", b"Commune;\x81\x8d"]
)
def test_what_is_no_table_is_told(inventory: Path, raw: bytes) -> None:
    (inventory / "liste.csv").write_bytes(raw)
    with pytest.raises(SheetError, match="n'est ni un tableau ODS ni un CSV"):
        sheet.read(inventory / "liste.csv")


def test_another_zip_is_told(inventory: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    (inventory / "liste.xlsx").write_bytes(buffer.getvalue())
    with pytest.raises(SheetError, match="Enregistrer sous"):
        sheet.read(inventory / "liste.xlsx")


EDITED = "# a\nun: 1   # b\ndeux: {x: 1}\ntrois: []   # c\n# d\nquatre:\n  - a   # e\n  - b\n\n# f\ncinq: fin"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda one: one.set(("un",), "1: 2"), EDITED.replace("un: 1 ", 'un: "1: 2" ')),
        (lambda one: one.set(("deux", "y"), ["p, q"]), EDITED.replace("{x: 1}", '{x: 1, y: ["p, q"]}')),
        (lambda one: one.append(("trois",), "z"), EDITED.replace("trois: []   # c", "trois:   # c\n  - z")),
        (lambda one: one.append(("quatre",), "c"), EDITED.replace("  - b\n", "  - b\n  - c\n")),
        (lambda one: one.append(("deux", "l"), "c"), EDITED.replace("{x: 1}", "{x: 1, l: [c]}")),
        (lambda one: one.append(("six",), "c"), EDITED + "\nsix:\n  - c\n"),
        (lambda one: one.set(("quatre",), ["a"]), EDITED.replace("  - a   # e\n  - b\n", "  [a]\n")),
        (lambda one: one.set(("un",), 1), EDITED),
    ],
)
def test_an_edit_touches_nothing_else(change: Callable[[Edited], None], expected: str) -> None:
    edited = Edited(EDITED, yaml.safe_load(EDITED))
    change(edited)
    assert (edited.text, edited.refused) == (expected, "")
    assert yaml.safe_load(edited.text) == edited.data


def test_five_hundred_are_planned_in_seconds(inventory: Path) -> None:
    rows: list[Any] = [[*HEAD, "Poste 1"]]
    for number in {*range(1, 502)} - {266}:  # Gondecourt's own
        rows.append([f"Commune {number}", _siren(number), "lille", str(number), "pc-mairie"])
    (inventory / "groupement.yml").write_text(SETTINGS.replace("10.59.0.0/16", "10.0.0.0/8"))
    started = time.process_time()
    made = importing.plan(inventory, ods(inventory / "liste.ods", rows))
    assert len(made.new) == 500, told(made)[:3]
    assert importing.carry_out(inventory, made) == []
    again = importing.plan(inventory, inventory / "liste.ods")
    assert len(again.same) == 500
    assert time.process_time() - started < 60


def _siren(number: int) -> str:
    from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import siren_is_valid

    return next(one for key in range(10) if siren_is_valid(one := f"21590{number:03}{key}"))


def test_a_table_describes_pcs_that_nobody_reaches(plan: Plan, inventory: Path) -> None:
    head = [*HEAD, "Poste 1", "Adresse du poste 1", "Système du poste 1", "Accès du poste 1"]
    made = plan(
        head,
        [*LOOS, "pc-accueil", "", "", "Installeur"],
        ["Gondecourt", "215902669", "", "", "pc-accueil", "", "windows", "installeur"],
    )
    assert made.refused == []
    for one, rank in ((made.new[0], 0), (made.changed[0], 1)):
        poste = yaml.safe_load(one.source.raw)["postes"][rank]
        assert {name: poste.get(name) for name in ("nom", "acces", "systeme", "adresse")} == {
            "nom": "pc-accueil", "acces": "installeur", "systeme": "windows", "adresse": None,
        }  # fmt: skip # a record
    assert any("pc-accueil (installateur)" in line for line in importing.lines(made))
    made = plan(head, ["Gondecourt", "215902669", "", "", "pc-secretariat", "10.59.2.10", "", "installeur"])
    [problem] = made.refused
    assert "Adresse du poste 1 : ce champ ne va pas avec acces: installeur" in str(problem)
    [other] = plan(head, [*LOOS, "pc-accueil", "", "", "à distance"]).refused
    assert "Accès du poste 1" in str(other)
