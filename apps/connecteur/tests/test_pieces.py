"""The pieces alone: configuration, description, checks, classification, journal, hot folder, storage, multipart."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import ssl
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from tdt_connector import certificate, checks, classification, depot, receipt, storage
from tdt_connector.client import FilePart, Multipart, explain
from tdt_connector.config import ConfigError, Delays, Line, load, luhn
from tdt_connector.depot import DepotWatcher
from tdt_connector.description import DescriptionError, parse
from tdt_connector.drivers import DRIVERS
from tdt_connector.errors import Denied, TdtError, Uncertain, Unreachable
from tdt_connector.journal import AlreadyUsed, Journal, SeenFile, State, StateChanged
from tdt_connector.proof import test_number as make_number
from tdt_connector.proof import test_pdf as make_pdf

from creatic_agent.act import File
from testbed import helios
from testbed.connector import SIREN, Authority
from testbed.forbidden import forbidden

SHARED = Path(__file__).parents[3].parent / "shared" / "protocol" / "actes"

# -- configuration ----------------------------------------------------------------------------------------

GOOD = f'url: https://tdt.test\nsiren: "{SIREN}"\ndepartement: "059"\n'


def test_config_defaults_and_paths(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(GOOD + "delais: {depot: 1}\n")
    config = load(tmp_path / "c.yml", DRIVERS)
    assert (config.siren, config.delais.depot, config.delais.stabilite) == (SIREN, 1, 5)
    assert config.max_bytes == 150_000_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "ce n'est pas un objet ; ses champs sont url, siren, "),
        ("a: [", "ligne 1 : ce n'est pas du YAML valide"),
        ("url: https://tdt.test\n", "champ « siren » : champ obligatoire absent"),
        (GOOD.replace(SIREN, "215902668"), "champ « siren » : « 215902668 » n'est pas un SIREN"),
        (GOOD.replace("https", "http"), "champ « url » : « http://tdt.test » n'est pas une adresse https"),
        (GOOD.replace('"059"', "59"), "champ « departement » : « 59 » doit être un texte"),
        (GOOD + "urll: x\n", "champ « urll » : champ inconnu ; vouliez-vous dire « url » ?"),
        (GOOD + "dossier: relatif\n", "champ « dossier » : « relatif » doit être un chemin absolu"),
        (GOOD + "taille_max_mo: -1\n", "champ « taille_max_mo » : « -1.0 » doit être un nombre supérieur à zéro"),
        (GOOD + "delais: {depott: 1}\n", "champ « delais.depott » : champ inconnu ; vouliez-vous dire « depot » ?"),
        (GOOD + "compte: {identifiant: a}\n", "champ « compte.fichier_mot_de_passe » : champ obligatoire absent"),
        (GOOD + "tdt: autre\n", "« autre » n'est pas un TdT connu ; choisissez parmi : s2low."),
    ],
)
def test_config_faults_name_file_field_and_fix(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, DRIVERS)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


ARCHIVE = "{url: https://sae.test/, service: SAE, regle: ACTES-10, sort: detruire, certificat: /c}"


def test_config_delays_are_those_of_the_guide(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(GOOD)
    delays = load(tmp_path / "c.yml", DRIVERS).delais
    assert (delays.depot, delays.stabilite, delays.incomplet) == (2, 5, 300)
    assert (delays.sondage_min, delays.sondage_max, delays.rapprochement, delays.reprise_max) == (5, 900, 60, 300)
    assert (delays.reception, delays.nomenclature, delays.nomenclature_demande) == (900, 900, 86400)
    assert (delays.nomenclature_attente, delays.nomenclature_max, delays.statut3, delays.http) == (
        90,
        172800,
        172800,
        60,
    )


def test_config_archive_and_passerelle(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text(GOOD)
    assert (load(path, DRIVERS).archive_url, load(path, DRIVERS).passerelle_url) == ("", "")
    path.write_text(f"{GOOD}archivage: {ARCHIVE}\npasserelle: {{url: https://p.test/, certificat: /p}}\n")
    found = load(path, DRIVERS)
    assert (found.archive_url, found.archive_agency, found.archive_rule) == ("https://sae.test", "SAE", "ACTES-10")
    assert (found.archive_action, found.archive_certificate) == ("Destroy", Path("/c"))
    assert (found.passerelle_url, found.passerelle_certificate) == ("https://p.test", Path("/p"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("archivage: x", "champ « archivage » : ce n'est pas un objet ; ses champs sont url, service, "),
        (
            f"archivage: {ARCHIVE.replace(', certificat: /c', '')}",
            "« archivage.certificat » : champ obligatoire",
        ),
        (f"archivage: {ARCHIVE.replace('}', ', regle_flux: PES-10}')}", "« archivage.sort_flux » vont ensemble"),
        (
            f"archivage: {ARCHIVE.replace('}', ', durees: [{rule: R, action: x, access: A}]}')}",
            "action » : « x »",
        ),
        (f"archivage: {ARCHIVE.replace('SAE', '3')}", "champ « archivage.service » : « 3 » doit être un texte"),
        (
            f"archivage: {ARCHIVE.replace('https', 'http')}",
            "n'est pas une adresse https ; exemple : https://sae.exemple",
        ),
        (f"archivage: {ARCHIVE.replace('detruire', 'x')}", "« x » est inconnu ; écrivez conserver ou detruire."),
        ("passerelle: x", "champ « passerelle » : ce n'est pas un objet ; ses champs sont url, certificat."),
        ("passerelle: {url: https://p.test}", "champ « passerelle.certificat » : champ obligatoire absent"),
        ("passerelle: {url: http://p.test, certificat: /p}", "exemple : https://passerelle.exemple.fr"),
        ("delais: {depot: 0}", "champ « delais.depot » : « 0.0 » doit être un nombre supérieur à zéro."),
        ("delais: {depot: true}", "champ « delais.depot » : « True » doit être un nombre, sans guillemets."),
        (
            "compte: {identifiant: a, fichier_mot_de_passe: /absent}",
            "illisible (il n'existe pas) ; vérifiez son chemin",
        ),
        ('departement: "59"', "« 59 » n'est pas un département sur 3 caractères ; exemple : 059"),
    ],
)
def test_config_faults_of_each_part(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text((GOOD.replace('departement: "059"\n', "") if "departement" in text else GOOD) + text + "\n")
    with pytest.raises(ConfigError) as caught:
        load(path, DRIVERS)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_who_may_not_read_the_configuration_is_told_so(tmp_path: Path) -> None:
    """A rollout would change nothing to it."""
    path = tmp_path / "config.yml"
    path.write_text(GOOD)
    with (
        forbidden(path),
        pytest.raises(ConfigError, match=r"n'a pas le droit de le lire\. Lancez la commande avec sudo\.$"),
    ):
        load(path, DRIVERS)


def test_config_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent.yml : lecture impossible \(il n'existe pas\)\. Relancez"):
        load(tmp_path / "absent.yml", DRIVERS)


def test_config_tells_every_fault_at_once(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text("url: http://tdt.test\nsiren: 215902669\ndepartment: x\ntdt: autre\ndelais: {http: -1}\n")
    with pytest.raises(ConfigError) as caught:
        load(path, DRIVERS)
    lines = str(caught.value).splitlines()
    assert lines.pop() == "À faire : corrigez l'inventaire, puis relancez le déploiement."
    assert all(line.startswith(f"{path}, champ « ") for line in lines)
    found = sorted(line.split("«")[1].split("»")[0].strip() for line in lines)
    assert found == ["delais.http", "departement", "department", "siren", "tdt", "url"]


def test_config_table_of_durations_as_the_role_writes_it(tmp_path: Path) -> None:
    lines = (
        '[{"access": "AR048", "action": "conserver", "matters": ["4.1"], "natures": [3], "rule": "LONGUE-99"}, '
        '{"access": "AR038", "action": "detruire", "flows": true, "rule": "PES-10"}]'
    )
    path = tmp_path / "c.yml"
    path.write_text(f"{GOOD}archivage: {ARCHIVE.replace('}', f', durees: {lines}}}')}\n")
    found = load(path, DRIVERS)
    assert found.archive_schedule == (
        Line("LONGUE-99", "Keep", "AR048", frozenset({3}), ("4.1",)),
        Line("PES-10", "Destroy", "AR038", flows=True),
    )
    assert (found.archive_flow_rule, found.archive_flow_action) == ("PES-10", "Keep")


def test_config_secret_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canari-59\n")
    account = f"compte: {{identifiant: gondecourt, fichier_mot_de_passe: {tmp_path}/secret}}\n"
    (tmp_path / "c.yml").write_text(GOOD + account)
    config = load(tmp_path / "c.yml", DRIVERS)
    assert config.mot_de_passe == "canari-59"
    assert "canari-59" not in repr(config)


def test_luhn() -> None:
    assert luhn(SIREN)
    assert not luhn("215902668")


# -- description ------------------------------------------------------------------------------------------


def test_description_keeps_what_was_typed() -> None:
    description = parse(b"numero: 2026_010\nclassification: 1.10\ndate: 2026-01-15\ntype: 99_DE\nobjet: 0012\n")
    assert (description.number, description.matter, description.date) == ("2026_010", "1.10", "2026-01-15")
    assert description.subject == "0012"


@pytest.mark.parametrize(
    ("line", "subject"),
    [
        ("objet: Marché n° 12 : lot #3", "Marché n° 12 : lot #3"),
        ("objet: L'école « d'été »", "L'école « d'été »"),
        ('objet: "Entre : guillemets"', "Entre : guillemets"),
        ("objet: Sur deux\n  lignes", "Sur deux lignes"),
        ("objet: >\n  Plié\n  aussi", "Plié aussi"),
        ("objet: [1] premier", "[1] premier"),
        ("objet: Fin de ligne Windows : ici\r", "Fin de ligne Windows : ici"),
    ],
)
def test_subjects_are_read_as_people_write_them(line: str, subject: str) -> None:
    assert parse(f"numero: A\n{line}\ndate: 2026-01-15\n".encode()).subject == subject


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_windows_encodings_are_understood(encoding: str) -> None:
    assert parse("objet: Été à l'école".encode(encoding)).subject == "Été à l'école"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "est vide"),
        (b"a: [", "n'est pas lisible"),
        (b"- a\n- b\n", "est vide ; il faut des lignes"),
        (b"numero: [1]\n", "« numero » : un seul texte est attendu"),
        (b"genre: facture\n", "« facture » est inconnu ; écrivez acte ou pes"),
        (b"fichier: a/b.pdf\n", "sans dossier"),
        (b"fichier: resume.json\n", "réservé au connecteur"),
        (b"fichier: a.pdf\nannexes: [{fichier: a.pdf, type: X}]\n", "« a.pdf » est cité deux fois"),
        (b"annexes: non\n", "une liste est attendue"),
        (b"x: &a [*a, *a]\n", "champ « x » inconnu"),
        (b"objett: Voirie\n", "champ « objett » inconnu ; vouliez-vous dire « objet » ?"),
        (b"#" * 70000, "dépasse 64 ko"),
    ],
)
def test_description_faults(content: bytes, words: str) -> None:
    with pytest.raises(DescriptionError) as caught:
        parse(content)
    assert words in str(caught.value)


# -- checks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "clean", "lost"),
    [
        ("École d’été", "École d'été", []),
        ("E\u0301cole", "École", []),  # decomposed, as macOS writes it
        ("Œuvre — 100 € … « oui »", "OEuvre - 100 EUR ... « oui »", []),
        ("a\u00a0b\tc\nd", "a b c d", []),
        ("emoji 🎉 et Ł", "emoji 🎉 et Ł", ["🎉", "Ł"]),
        ("cloche\x07", "cloche\x07", ["\x07"]),
    ],
)
def test_subjects_are_made_fit_for_latin1(text: str, clean: str, lost: list[str]) -> None:
    result, _, unfit = checks.to_latin1(text)
    assert (result, unfit) == (clean, lost)
    if not lost:
        result.encode("latin-1")


def test_what_is_replaced_is_told() -> None:
    assert checks.to_latin1("L’œuvre")[1] == [
        "le protocole n'admet que l'ISO-8859-1 : « œ » devient « oe », « ’ » devient « ' »"
    ]
    assert checks.to_latin1("L'oeuvre")[1] == []


@pytest.mark.parametrize("number", ["A", "2026_001", "A_B", "ABCDEFGHIJKLMNO", "0"])
def test_good_numbers(number: str) -> None:
    assert checks.check_number(number) is None


@pytest.mark.parametrize("number", ["", "_A", "A_", "a", "A B", "A-B", "É", "ABCDEFGHIJKLMNOP", "A\n"])
def test_bad_numbers(number: str) -> None:
    assert checks.check_number(number)


def test_dates() -> None:
    today = date(2026, 11, 25)
    assert checks.check_date("25/11/2026", today) == ("2026-11-25", None)
    assert checks.check_date("2026-11-25", today) == ("2026-11-25", None)
    assert "dans le futur" in (checks.check_date("2026-11-26", today)[1] or "")
    assert "n'est pas une date" in (checks.check_date("2026-02-30", today)[1] or "")


def test_what_is_not_said_is_asked_for() -> None:
    assert checks.check_number("") == "champ « numero » absent ; indiquez le numéro de l'acte (exemple : 2026_012)."
    expected = "champ « date » absent ; indiquez la date de la décision (exemple : 2026-11-25)."
    assert checks.check_date("", date(2026, 11, 25)) == ("", expected)


def test_a_number_is_proposed_when_one_can_be_made() -> None:
    rule = "n'est pas admis (seuls A-Z, 0-9 et _ sont admis, sans _ au début ni à la fin)"
    assert checks.check_number("n° 12/é") == f"champ « numero » : « n° 12/é » {rule} ; proposition : N_12_E."
    assert checks.check_number("-") == f"champ « numero » : « - » {rule}."
    assert checks.check_number("_" * 15) == f"champ « numero » : « {'_' * 15} » {rule}."
    assert checks.check_number("A" * 16) == f"champ « numero » : « {'A' * 16} » compte 16 caractères ; 15 au plus."


def test_a_document_without_a_page_or_a_byte(tmp_path: Path) -> None:
    from pypdf import PdfWriter

    path = tmp_path / "a.pdf"
    path.touch()
    assert checks.check_pdf(path) == "« a.pdf » est vide (0 octet) ; déposez de nouveau le document."
    assert checks.check_annex(path) == "annexe « a.pdf » vide (0 octet) ; déposez de nouveau le document."
    PdfWriter().write(path)
    assert checks.check_pdf(path) == "« a.pdf » est un PDF sans page ; exportez-le de nouveau."
    assert checks.check_annex(path) == "annexe « a.pdf » est un PDF sans page ; exportez-le de nouveau."
    path.write_bytes(b"x")
    told = checks.check_annex(path)
    assert told == "annexe « a.pdf » n'est pas un PDF, quel que soit son nom ; exportez le document en PDF."
    path.write_bytes(b" " * 1019 + make_pdf("Acte", "1"))
    assert checks.check_pdf(path) is None
    path.write_bytes(b" " * 1020 + make_pdf("Acte", "1"))
    assert "n'est pas un PDF" in (checks.check_pdf(path) or "")


@pytest.mark.parametrize("head", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_annexes_may_be_images(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "a.pdf").write_bytes(head + bytes(20))
    assert checks.check_annex(tmp_path / "a.pdf") is None


def test_the_limit_itself_is_too_much(tmp_path: Path) -> None:
    assert checks.check_size(999_999, 1_000_000) is None
    assert checks.check_size(1_000_000, 1_000_000) == (
        "les fichiers pèsent 1 Mo ; le TdT refuse un envoi de 1 Mo ou plus. "
        "Réduisez les images du PDF ou transmettez les annexes par voie papier (document_papier: oui)."
    )


def pes(siret: str = f"{SIREN}00011", tag: str = "PES_Aller") -> bytes:
    content = helios.flow(siret=siret, slips=("",)).replace(b"PES_Aller", tag.encode())
    return content if siret else content.replace(b'<IdColl V=""/>', b"")


def test_a_flow_is_read_before_it_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "flux.xml"
    for content, told in (
        (pes(), None),
        (b"", "« flux.xml » est vide (0 octet) ; exportez-le de nouveau du logiciel de comptabilité."),
        (b"<a>", "« flux.xml » n'est pas du XML lisible ("),
        (pes(tag="PES_Retour"), "« flux.xml » n'est pas un flux PES (élément PES_Aller attendu, {http"),
        (
            pes(""),
            "« flux.xml » porte l'identifiant «  » (EnTetePES/IdColl), qui n'est pas de la collectivité 215902669",
        ),
        (
            pes("21590035800011"),
            "« flux.xml » porte l'identifiant « 21590035800011 » (EnTetePES/IdColl), qui n'est pas",
        ),
        (pes() + b" " * 10_000, "les fichiers pèsent 0 Mo"),
    ):
        path.write_bytes(content)
        faults = checks.check_pes(path, SIREN, 10_000)
        assert len(faults) == (0 if told is None else 1)
        if told:
            assert faults[0].startswith(told)


XML = '<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:Reference URI="{}"/>'
XML += "</ds:SignedInfo></ds:Signature>"


def slip(name: str, reference: str | None = None, kind: str = "Depense") -> str:
    """A bordereau, and the signature in it that names something."""
    signature = "" if reference is None else XML.format(reference)
    return f'<PES_{kind}Aller><Bordereau Id="{name}"><Piece/>{signature}</Bordereau></PES_{kind}Aller>'


@pytest.mark.parametrize(
    ("content", "root", "unsigned"),
    [
        ("", "", None),  # an attachment, a contract: no bordereau
        ("<PES_Marche><Bordereau/></PES_Marche>", "", None),
        (slip("B1"), "", "1 sur 1"),
        (slip("B1", "#B1"), "", None),
        (slip("B1", "#B1") + slip("T1", "#T1", "Recette"), "", None),
        (slip("B1", "#B1") + slip("B2"), "", "2 sur 2"),
        (slip("B1", "#B2") + slip("B2", "#B2"), "", "1 sur 2"),  # somebody else's signature
        (slip("", "#"), "", "1 sur 1"),
        (slip("", ""), "", "1 sur 1"),
        (slip("B1") + XML.format("#F"), ' Id="F"', None),
        (slip("B1") + XML.format(""), "", None),
        (slip("B1") + XML.format("#G"), ' Id="F"', "1 sur 1"),
        (slip("B1") + XML.format("#"), "", "1 sur 1"),
        (slip("B1") + f"<PES_PJ>{XML.format('')}</PES_PJ>", "", "1 sur 1"),
        (slip("B1").replace("<Piece/>", f"<Piece>{XML.format('#B1')}</Piece>"), "", "1 sur 1"),
        (slip("B1") + "<ds:Signature xmlns:ds='x'/>", "", "1 sur 1"),
        ("".join(slip(f"B{rank}") for rank in range(9)), "", "1, 2, 3, 4, 5… sur 9"),
    ],
)
def test_an_unsigned_flow_does_not_leave_where_flows_are_signed(
    tmp_path: Path, content: str, root: str, unsigned: str | None
) -> None:
    path = tmp_path / "flux.xml"
    empty = helios.flow(slips=(), pj="JVBERi0=").decode("iso-8859-1").replace("<n:PES_Aller", f"<n:PES_Aller{root}")
    path.write_text(empty.replace("</n:PES_Aller>", f"{content}</n:PES_Aller>"), encoding="iso-8859-1")
    assert checks.check_pes(path, SIREN, 10**6) == []
    faults = checks.check_pes(path, SIREN, 10**6, signed=True)
    if unsigned is None:
        assert faults == []
    else:
        assert faults[0].startswith(f"« flux.xml » n'est pas signé (bordereau n° {unsigned}), et la commune signe")
        assert "D1617-23" in faults[0]


def test_the_test_act_is_valid() -> None:
    from datetime import datetime

    numbers = {make_number(datetime(2026, 11, 25, 23, 59, second)) for second in (0, 1, 59)}
    assert len(numbers) == 3
    assert all(checks.check_number(number) is None and len(number) == 15 for number in numbers)


def test_the_test_pdf_is_a_pdf(tmp_path: Path) -> None:
    from pypdf import PdfReader

    (tmp_path / "a.pdf").write_bytes(make_pdf("Acte de (test) : été", "TEST_1"))
    assert checks.check_pdf(tmp_path / "a.pdf") is None
    text = PdfReader(tmp_path / "a.pdf").pages[0].extract_text()
    assert "Acte de (test) : été" in text
    assert "aucune portée juridique" in text


# -- classification ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "version", "matter"),
    [("classification-exemple.xml", "2019-03-01", "1.3.3"), ("exemple_codes_matieres.xml", "2017-12-08", "1.1")],
)
def test_real_classifications(name: str, version: str, matter: str) -> None:
    if not SHARED.exists():
        pytest.skip("the reference data of ../shared is not beside this clone")
    found = classification.parse((SHARED / name).read_bytes())
    assert found.version.isoformat() == version
    assert set(found.natures) == set("123456")
    assert matter in found.matters
    for wanted in ("1", "DE", "de", "Délibérations", "deliberation"):
        nature = found.nature(wanted)
        assert nature and nature.code == "1", wanted
    nature = found.nature("Actes individuels")
    assert nature and "99_AI" in nature.types


def nomenclature(version: str = "2026-01-01", natures: str = "1", matters: str = "7") -> bytes:
    kinds = '<a:TypePJNatureActe a:CodeTypePJ="99_DE" a:Libelle="Délibération"/>'
    known = "".join(
        f'<a:NatureActe a:CodeNatureActe="{code}" a:TypeAbrege="DE" a:Libelle="Délibérations">{kinds}</a:NatureActe>'
        for code in natures
    )
    inside = "".join(
        f'<a:Matiere1 a:CodeMatiere="{code}" a:Libelle="Finances"><a:Matiere2 a:CodeMatiere="5" a:Libelle="Aides"/>'
        "</a:Matiere1>"
        for code in matters
    )
    return (
        f'<a:RetourClassification xmlns:a="http://www.interieur.gouv.fr/ACTES#v1.1-20040216">'
        f"<a:DateClassification>{version}</a:DateClassification><a:NaturesActes>{known}</a:NaturesActes>"
        f"<a:Matieres>{inside}</a:Matieres></a:RetourClassification>"
    ).encode()


def test_a_classification_says_natures_and_matters() -> None:
    found = classification.parse(nomenclature())
    assert found.version == date(2026, 1, 1)
    assert found.matters == {"7": "Finances", "7.5": "Aides"}
    assert found.natures["1"].types == {"99_DE": "Délibération"}
    for wanted in ("1", "DE", "de", "Délibérations", "deliberation"):
        assert found.nature(wanted) == found.natures["1"]
    assert found.nature("arrêté") is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "la nomenclature reçue n'est pas du XML lisible"),
        (b"KO\nErreur", "la nomenclature reçue n'est pas du XML lisible"),
        (b"<!DOCTYPE x><x/>", "la nomenclature reçue n'est pas du XML lisible"),
        (b"<a/>", "le document reçu n'est pas une nomenclature (RetourClassification attendu)"),
        (nomenclature(version="hier"), "la nomenclature reçue n'a pas de date de version valide"),
        (nomenclature(natures=""), "la nomenclature reçue est vide (natures ou matières absentes)"),
        (nomenclature(matters=""), "la nomenclature reçue est vide (natures ou matières absentes)"),
        (
            nomenclature().replace(b"Matieres", b"Autres"),
            "la nomenclature reçue est vide (natures ou matières absentes)",
        ),
    ],
)
def test_what_is_wrong_with_a_classification(content: bytes, told: str) -> None:
    with pytest.raises(classification.ClassificationError) as caught:
        classification.parse(content)
    assert str(caught.value).startswith(told)


# -- ARActe -----------------------------------------------------------------------------------------------

ACT = checks.Submission(
    number="2026_001", subject="Objet", date="2026-01-15", nature="1", nature_short="DE", matter="7.5", type="99_DE",
    main=File("a.pdf"),
)  # fmt: skip # one call
IDACTE = f"059-{SIREN}-20260115-2026_001-DE"


def aracte(
    idacte: str = IDACTE, received: str = "2026-01-16", version: str = "2026-01-01", tag: str = "ARActe"
) -> bytes:
    return (
        f'<a:{tag} xmlns:a="http://www.interieur.gouv.fr/ACTES#v1.1-20040216" a:IDActe="{idacte}" '
        f'a:DateReception="{received}"><a:ClassificationDateVersionEnCours>{version}'
        f"</a:ClassificationDateVersionEnCours></a:{tag}>"
    ).encode()


def test_the_journal_gives_back_an_act_that_it_kept_before() -> None:
    """As a connector wrote it before acts had one set of names, and still does: the one of before may come back."""
    kept = {
        "number": "2026_001", "subject": "Objet", "date": "2026-01-15", "nature": "1", "nature_short": "DE",
        "matter": ["7", "5", "1"], "type": "99_DE", "file": "a.pdf", "annexes": [["plan.pdf", "99_AU"]],
        "paper": True, "on_hold": False, "remarks": ["description lue en UTF-16"],
    }  # fmt: skip # a row
    act = checks.Submission.from_dict(json.loads(json.dumps(kept)))
    assert (act.matter, act.levels, act.file) == ("7.5.1", ("7", "5", "1"), "a.pdf")
    assert [(one.name, one.type) for one in act.annexes] == [("plan.pdf", "99_AU")]
    assert json.loads(json.dumps(act.to_dict())) == kept


def test_a_field_that_is_a_list_is_told_once() -> None:
    with pytest.raises(DescriptionError) as caught:
        parse(b"numero: 2026_1\ntype: [a, b]\n")
    assert [line for line in caught.value.faults if "type" in line] == ["champ « type » : un seul texte est attendu."]


def test_an_aracte_is_of_its_act() -> None:
    assert receipt.parse(aracte(), ACT, SIREN) == receipt.Receipt(IDACTE, "2026-01-16", date(2026, 1, 1))
    assert receipt.parse(b"\n" + aracte(version=""), ACT, SIREN).classification is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"KO", "l'ARActe reçu n'est pas du XML lisible ("),
        (aracte(tag="Anomalie"), "le document reçu à la place de l'ARActe n'en est pas un"),
        (aracte(idacte="59-1"), "l'ARActe reçu porte un identifiant mal formé : « 59-1 »"),
        (aracte(idacte=IDACTE.replace("DE", "AR")), "l'ARActe reçu concerne un autre acte : « "),
        (aracte(idacte=IDACTE.replace("_001", "_002")), "l'ARActe reçu concerne un autre acte : « "),
        (aracte(idacte=IDACTE.replace(SIREN, "215903600")), "l'ARActe reçu concerne un autre acte : « "),
        (aracte(received="16/01/2026"), "l'ARActe reçu n'a pas de date de réception valide"),
    ],
)
def test_another_aracte_is_refused(content: bytes, told: str) -> None:
    with pytest.raises(receipt.ReceiptError) as caught:
        receipt.parse(content, ACT, SIREN)
    assert str(caught.value).startswith(told)


# -- the client certificate -------------------------------------------------------------------------------


def test_a_damaged_certificate_key_or_list_is_told(tmp_path: Path, authority: Authority) -> None:
    folder, lists = tmp_path / "commune", tmp_path / "crl.pem"
    shutil.copytree(authority.folder / "commune", folder)
    own = certificate.read(folder, lists)
    assert (own.key_matches, own.signed_by_chain, own.revoked_on) == (True, True, None)
    assert own.days_left in (364, 365)
    shutil.copy(authority.crl(), lists)
    assert certificate.read(folder, lists).revoked_on is None
    shutil.copy(authority.crl(folder), lists)
    assert certificate.read(folder, lists).revoked_on is not None
    for text in ("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "-----END X509 CRL-----\n"):
        lists.write_text(text)
        with pytest.raises(certificate.CertificateError, match=f"^liste de révocation endommagée : {lists} "):
            certificate.read(folder, lists)
    lists.unlink()
    for name in ("cert.pem", "key.pem", "chain.pem"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(b"abime")
        with pytest.raises(
            certificate.CertificateError, match=f"^fichier de certificat ou de clé endommagé dans {folder}"
        ):
            certificate.read(folder, lists)
        (folder / name).unlink()
        with pytest.raises(certificate.CertificateError, match=f"^{folder / name} : il n'existe pas$"):
            certificate.read(folder, lists)
        (folder / name).write_bytes(whole)


# -- journal ----------------------------------------------------------------------------------------------


def test_journal_survives_and_remembers(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        row = journal.add("ref", "acte", [SeenFile("a\udce9.pdf", 1, 2, 3, "x")], detail="nom \udce9")
        row = journal.move(row, State.CHECKED, numero="N1", acte={"subject": "é"})
    with Journal(tmp_path / "j") as journal:
        (again,) = journal.find("N1")
        assert again == row
        assert again.files[0].name == "a\udce9.pdf"
        assert [(event[1], event[2]) for event in journal.events(row)] == [(None, "depose"), ("depose", "verifie")]
        assert journal.integrity() == "ok"


def test_journal_is_durable(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        assert journal._db.execute("PRAGMA synchronous").fetchone()[0] == 2
        assert journal._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ([], State.SENT),  # never sent without an intention
        ([], State.INTENT),
        ([State.CHECKED], State.SENT),
        ([State.CHECKED, State.INTENT], State.ACKNOWLEDGED),
        ([State.CHECKED, State.INTENT, State.SENT], State.CHECKED),  # what was sent is never sent again
        ([State.CHECKED, State.INTENT, State.SENT], State.INTENT),
        ([State.CHECKED, State.INTENT, State.SENT], State.REJECTED),
        ([State.REJECTED], State.CHECKED),
    ],
)
def test_journal_refuses_impossible_moves(tmp_path: Path, path: list[State], wanted: State) -> None:
    with Journal(tmp_path / "j") as journal:
        row = journal.add("ref", "acte", [])
        for state in path:
            row = journal.move(row, state)
        with pytest.raises(StateChanged):
            journal.move(row, wanted)


def test_journal_refuses_a_stale_row(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        row = journal.add("ref", "acte", [])
        journal.move(row, State.CHECKED)
        with pytest.raises(StateChanged):
            journal.move(row, State.REJECTED)
        with pytest.raises(StateChanged):
            journal.note(row, detail="x")


def test_journal_keeps_numbers_and_pes_unique(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        first, second = (journal.add(ref, "acte", []) for ref in "ab")
        first = journal.move(first, State.CHECKED, numero="N")
        with pytest.raises(AlreadyUsed):
            journal.move(second, State.CHECKED, numero="N")
        journal.move(first, State.REJECTED)
        journal.move(second, State.CHECKED, numero="N")
        one, two = (journal.add(ref, "pes", []) for ref in "cd")
        journal.move(one, State.CHECKED, empreinte="s")
        with pytest.raises(AlreadyUsed):
            journal.move(two, State.CHECKED, empreinte="s")


def test_journal_knows_its_columns_and_its_deposits(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        row = journal.add("ref", "acte", [SeenFile("é.yml", 1, 2, 3, "x"), SeenFile("é.pdf", 4, 5, 6, "y")])
        with pytest.raises(ValueError, match=r"unknown columns \{'etat'\}"):
            journal.note(row, etat="acquitte")
        with pytest.raises(KeyError):
            journal.get(59)
        with pytest.raises(KeyError):
            journal.get(None)
        newer = journal.add("autre", "acte", [SeenFile("é.yml", 7, 8, 9, "z")])
        assert [one.ref for one in journal.with_file("é.yml")] == ["autre", "ref"]
        assert [one.ref for one in journal.with_file("é.pdf")] == ["ref"]
        assert journal.with_file(".yml") == []
        assert journal.find("autre") == [newer]
        for key in ("a:1", "a:2", "b:1"):
            journal.set_value(key, key.upper())
        assert journal.values("a:") == {"a:1": "A:1", "a:2": "A:2"}
        journal.forget("a:1")
        assert journal.values("a:") == {"a:2": "A:2"}
        assert journal.value("a:1", "rien") == "rien"


# -- hot folder -------------------------------------------------------------------------------------------


class Watched:
    """A depot/ with a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, 1000.0
        self.watcher = DepotWatcher(folder, Delays(), 1000, clock=lambda: self.now)

    def look(self, later: float = 0) -> list[tuple[str, tuple[str, ...], bool]]:
        self.now += later
        return [(group.kind, group.names, bool(group.problem)) for group in self.watcher.ready(set())]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


PDF = b"%PDF-1.4\n%%EOF\n"


def test_a_pair_is_taken_once_it_has_not_changed_for_a_while(watched: Watched) -> None:
    (watched.folder / "a.yml").write_bytes(b"numero: A\n")
    (watched.folder / "a.PDF").write_bytes(PDF)
    assert watched.look() == []
    assert watched.look(4) == []
    (watched.folder / "a.PDF").write_bytes(PDF + b"\n")
    assert watched.look(4) == []
    assert watched.look(5) == [("acte", ("a.yml", "a.PDF"), False)]


def test_a_description_waits_for_what_it_names(watched: Watched) -> None:
    (watched.folder / "a.yml").write_bytes(b"fichier: b.pdf\nannexes: [{fichier: c.pdf, type: X}]\n")
    (watched.folder / "b.pdf").write_bytes(PDF)
    watched.look()
    assert watched.look(290) == []
    (watched.folder / "c.pdf").write_bytes(PDF)
    watched.look()
    assert watched.look(6) == [("acte", ("a.yml", "b.pdf", "c.pdf"), False)]


def test_what_is_missing_is_told_after_five_minutes(watched: Watched) -> None:
    (watched.folder / "a.yml").write_bytes(b"numero: A\n")
    watched.look()
    assert watched.look(301) == [("autre", ("a.yml",), True)]


def test_an_unfinished_pdf_is_waited_for_then_taken_as_it_is(watched: Watched) -> None:
    (watched.folder / "a.yml").write_bytes(b"numero: A\n")
    (watched.folder / "a.pdf").write_bytes(b"%PDF-1.4\nabc")
    watched.look()
    assert watched.look(200) == []
    assert watched.look(101) == [("acte", ("a.yml", "a.pdf"), False)]


@pytest.mark.parametrize("blanks", [bytes(9000), b"\r\n" * 3000, b""])
def test_blanks_after_its_end_do_not_make_a_pdf_unfinished(watched: Watched, blanks: bytes) -> None:
    (watched.folder / "a.yml").write_bytes(b"numero: A\n")
    (watched.folder / "a.pdf").write_bytes(PDF + blanks)
    watched.watcher = DepotWatcher(watched.folder, Delays(), 1_000_000, clock=lambda: watched.now)
    watched.look()
    assert watched.look(6) == [("acte", ("a.yml", "a.pdf"), False)]


def test_a_description_that_comes_at_the_last_moment_keeps_its_annex(watched: Watched) -> None:
    (watched.folder / "z.pdf").write_bytes(PDF)
    watched.look()
    (watched.folder / "a.yml").write_bytes(b"annexes: [{fichier: z.pdf, type: X}]\n")
    (watched.folder / "a.pdf").write_bytes(PDF)
    assert watched.look(299) == []
    assert watched.look(2) == []
    assert watched.look(3) == [("acte", ("a.yml", "a.pdf", "z.pdf"), False)]


def test_what_belongs_together_is_judged_at_one_instant(watched: Watched) -> None:
    (watched.folder / "a.yml").write_bytes(b"annexes: [{fichier: z.pdf, type: X}]\n")
    for name in ("a.pdf", "z.pdf"):
        (watched.folder / name).write_bytes(PDF)
    instants = [1000.0]
    watched.watcher = DepotWatcher(
        watched.folder, Delays(), 1000, clock=lambda: instants.pop(0) if instants[1:] else instants[0]
    )
    assert watched.watcher.ready(set()) == []
    instants[:] = [1004.9, 1004.9, 1400.0]  # the machine sleeps in the middle of a look
    assert watched.watcher.ready(set()) == []
    instants[:] = [1400.0]
    assert [group.names for group in watched.watcher.ready(set())] == [("a.yml", "a.pdf", "z.pdf")]


def test_a_pes_needs_no_description(watched: Watched) -> None:
    (watched.folder / "flux.xml").write_bytes(b"<a/>\n")
    watched.look()
    assert watched.look(5) == [("pes", ("flux.xml",), False)]


def test_too_big_is_told_before_any_copy(watched: Watched) -> None:
    (watched.folder / "flux.xml").write_bytes(b"<a>" + b" " * 1000 + b"</a>")
    watched.look()
    assert watched.look(5) == [("pes", ("flux.xml",), True)]


def test_pipes_and_unreadable_files_are_told(watched: Watched) -> None:
    os.mkfifo(watched.folder / "tube.xml")
    watched.look()
    assert watched.look(5) == [("pes", ("tube.xml",), True)]


def test_a_description_that_is_none_waits_for_what_bears_its_name(watched: Watched) -> None:
    (watched.folder / "a.yml").symlink_to("/etc/passwd")
    (watched.folder / "a.pdf").write_bytes(PDF)
    (watched.folder / "b.yml").write_bytes(b"a: [")
    (watched.folder / "b.pdf").write_bytes(PDF)
    watched.look()
    for name in "ab":  # it is still being written
        (watched.folder / f"{name}.pdf").write_bytes(PDF + b"\n")
    assert watched.look(5) == []
    assert watched.look(5) == [("autre", ("a.yml",), True), ("autre", ("b.yml", "b.pdf"), True)]


def test_an_unfinished_flow_is_waited_for_then_taken_as_it_is(watched: Watched) -> None:
    for content in (b"<a>un", b""):
        (watched.folder / "flux.xml").write_bytes(content)
        watched.look()
        assert watched.look(299) == []
        assert watched.look(1) == [("pes", ("flux.xml",), False)]


def test_folders_and_what_is_taken_already_are_left(watched: Watched) -> None:
    (watched.folder / "dossier.xml").mkdir()
    (watched.folder / "flux.xml").write_bytes(b"<a/>")
    taken = {("flux.xml", (watched.folder / "flux.xml").stat().st_ino)}
    watched.watcher.ready(taken)
    watched.now += 400
    assert watched.watcher.ready(taken) == []


def test_a_file_that_cannot_be_read_is_told(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_path: Path) -> Any:
        raise PermissionError

    (watched.folder / "flux.xml").write_bytes(b"<a/>")
    watched.look()
    monkeypatch.setattr(depot, "open_regular", denied)
    watched.now += 5
    [group] = watched.watcher.ready(set())
    assert group.problem == (
        "« flux.xml » : le connecteur n'a pas le droit de le lire ; donnez la lecture au groupe du dossier."
    )


# -- storage and multipart --------------------------------------------------------------------------------


def test_links_and_pipes_are_never_opened(tmp_path: Path) -> None:
    (tmp_path / "lien").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "tube")
    for name in ("lien", "tube"):
        with pytest.raises(OSError, match=name), storage.open_regular(tmp_path / name):
            pass


def test_move_never_overwrites(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError):
        storage.move(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "b"


def test_a_file_that_grows_while_it_is_copied_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, real = tmp_path / "source", storage.fresh
    source.write_bytes(b"x" * 3_000_000)

    class Growing(io.FileIO):
        def write(self, block: Any) -> int:
            with source.open("ab") as more:
                more.write(bytes(2 * len(block)))
            return super().write(block)

    def grow(target: Path) -> Growing:
        real(target).close()
        return Growing(target, "wb")

    monkeypatch.setattr(storage, "fresh", grow)
    with pytest.raises(OSError, match="a changé pendant sa lecture"):
        storage.copy(source, tmp_path / "copie")
    assert (tmp_path / "copie").stat().st_size == 3_000_000
    with pytest.raises(OSError, match="2 au plus"):
        storage.copy(source, tmp_path / "autre", 2)


def test_everything_written_is_synced_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def record(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        real(handle)

    monkeypatch.setattr(os, "fsync", record)
    (tmp_path / "source").write_bytes(b"x")
    (tmp_path / "d").mkdir()
    storage.copy(tmp_path / "source", tmp_path / "d" / "copie")
    storage.move(tmp_path / "d" / "copie", tmp_path / "fin")
    assert synced == ["copie", tmp_path.name, "d"]


def test_multipart_is_read_by_pieces_and_in_latin1(tmp_path: Path) -> None:
    (tmp_path / "é à.pdf").write_bytes(b"x" * 200_000)
    beats: list[int] = []
    part = FilePart("acte", tmp_path / "é à.pdf", "application/pdf")
    body = Multipart([("subject", "été")], [part], "latin-1", lambda: beats.append(1))
    pieces = []
    while piece := body.read(8192):
        assert len(piece) <= 8192
        pieces.append(piece)
    whole = b"".join(pieces)
    assert len(whole) == len(body)
    assert b'name="subject"\r\n\r\n\xe9t\xe9\r\n' in whole
    assert b'filename="_ _.pdf"' in whole
    assert len(beats) > 20


def test_multipart_may_be_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"x" * 200_000)
    body = Multipart([("api", "1")], [FilePart("acte", tmp_path / "a.pdf", "application/pdf")], "latin-1", lambda: None)
    first = body.read(10)
    rest = body.read()
    assert len(first) == 10
    assert len(first + rest) == len(body)
    assert (first + rest).endswith(f"\r\n--{body.boundary}--\r\n".encode())
    assert body.read() == body.read(10) == b""


# -- what a failed exchange means ---------------------------------------------------------------------------


def unproven(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError("refusé")
    error.verify_code, error.verify_message = code, "raison d'OpenSSL"
    return error


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (9, "serveur_pas_encore_valide", "n'est pas encore valable (l'horloge de cette machine est-elle juste ?)"),
        (10, "serveur_expire", "a expiré (l'horloge de cette machine est-elle juste ?)"),
        (18, "serveur_autosigne", "est autosigné : aucune autorité de confiance ne s'en porte garante"),
        (19, "serveur_autorite", "vient d'une autorité inconnue de cette machine"),
        (20, "serveur_autorite", "vient d'une autorité inconnue de cette machine"),
        (21, "serveur_autorite", "vient d'une autorité inconnue de cette machine"),
        (23, "serveur_revoque", "a été révoqué"),
        (62, "serveur_nom", "porte un autre nom que celui du TdT"),
        (64, "serveur_nom", "porte une autre adresse que celle du TdT"),
        (3, "serveur_refuse", "est refusé (raison d'OpenSSL)"),
    ],
)
def test_a_server_that_is_not_proven(code: int, kind: str, words: str) -> None:
    told = explain(requests.exceptions.SSLError(unproven(code)), "https://tdt.test/", 60)
    assert isinstance(told, Unreachable)
    assert told.kind == kind
    assert str(told) == (
        f"le certificat du serveur tdt.test {words}. Rien n'est envoyé à un serveur qui n'est pas prouvé."
    )


def alert(reason: str) -> requests.exceptions.SSLError:
    inner = ssl.SSLError(1, f"[SSL: {reason}]")
    inner.reason = reason
    return requests.exceptions.SSLError(inner)


POOL: Any = None


@pytest.mark.parametrize(
    ("error", "expected", "kind", "words"),
    [
        (alert("SSLV3_ALERT_CERTIFICATE_REVOKED"), Denied, "client_revoque",
         "le TdT refuse le certificat client : il a été révoqué."),
        (alert("TLSV1_ALERT_UNKNOWN_CA"), Denied, "client_autorite",
         "le TdT refuse le certificat client : il vient d'une autorité que le TdT ne reconnaît pas."),
        (alert("KEY_VALUES_MISMATCH"), Denied, "client_cle", "la clé privée ne correspond pas au certificat client."),
        (alert("UNKNOWN_CA"), Uncertain, "coupure",
         "la liaison avec tdt.test a été coupée avant la réponse (SSLError)."),
        (requests.ConnectionError(urllib3.exceptions.NameResolutionError("tdt.test", POOL, socket.gaierror())),
         Unreachable, "dns", "le nom tdt.test est introuvable (DNS)."),
        (requests.ConnectionError(urllib3.exceptions.NewConnectionError(POOL, "refusé")), Unreachable, "tcp",
         "le TdT (tdt.test) refuse la connexion, ou le réseau est coupé."),
        (requests.ConnectTimeout(urllib3.exceptions.ConnectTimeoutError("lent")), Unreachable, "tcp",
         "le TdT (tdt.test) ne répond pas (délai dépassé à la connexion)."),
        (requests.ReadTimeout(urllib3.exceptions.ReadTimeoutError(POOL, "/", "lent")), Uncertain, "delai",
         "le TdT (tdt.test) n'a pas répondu en 60 s."),
        (FileNotFoundError("ca.pem"), Denied, "client_absent", "certificats inutilisables : ca.pem."),
        (requests.ConnectionError(ConnectionResetError()), Uncertain, "coupure",
         "la liaison avec tdt.test a été coupée avant la réponse (ConnectionResetError)."),
    ],
)  # fmt: skip # a case a line
def test_what_a_failed_exchange_means(error: Exception, expected: type[TdtError], kind: str, words: str) -> None:
    told = explain(error, "https://tdt.test/", 60)
    assert (type(told), told.kind, str(told)) == (expected, kind, words)
