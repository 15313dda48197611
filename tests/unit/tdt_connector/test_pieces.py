"""The pieces alone: configuration, description, checks, classification, journal, hot folder, storage, multipart."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest
from tdt_connector import checks, classification, storage
from tdt_connector.client import FilePart, Multipart
from tdt_connector.config import ConfigError, Delays, load, luhn
from tdt_connector.depot import DepotWatcher
from tdt_connector.description import DescriptionError, parse
from tdt_connector.journal import AlreadyUsed, Journal, SeenFile, State, StateChanged
from tdt_connector.proof import test_number as make_number
from tdt_connector.proof import test_pdf as make_pdf

from tests.unit.tdt_connector.connector_harness import SIREN

SHARED = Path(__file__).parents[3].parent / "shared" / "protocol" / "actes"

# -- configuration ----------------------------------------------------------------------------------------

GOOD = f'url: https://tdt.test\nsiren: "{SIREN}"\ndepartement: "059"\n'


def test_config_defaults_and_paths(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(GOOD + "delais: {depot: 1}\n")
    config = load(tmp_path / "c.yml")
    assert (config.siren, config.delais.depot, config.delais.stabilite) == (SIREN, 1, 5)
    assert config.max_bytes == 150_000_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "fichier vide"),
        ("a: [", "ligne 1 : ce n'est pas du YAML valide"),
        ("url: https://tdt.test\n", "champ « siren » : champ obligatoire absent"),
        (GOOD.replace(SIREN, "215902668"), "champ « siren » : « 215902668 » n'est pas un SIREN"),
        (GOOD.replace("https", "http"), "champ « url » : « http://tdt.test » n'est pas une adresse https"),
        (GOOD.replace('"059"', "59"), "champ « departement » : « 59 » doit être un texte"),
        (GOOD + "urll: x\n", "champ « urll » : champ inconnu ; vouliez-vous dire « url » ?"),
        (GOOD + "dossier: relatif\n", "champ « dossier » : « relatif » doit être un chemin absolu"),
        (GOOD + "taille_max_mo: -1\n", "champ « taille_max_mo » : « -1 » doit être un nombre supérieur à zéro"),
        (GOOD + "delais: {depott: 1}\n", "champ « delais » : n'accepte que"),
        (GOOD + "compte: {identifiant: a}\n", "champ « compte » : attend exactement"),
        (GOOD + "tdt: autre\n", "« autre » n'est pas un TdT connu"),
    ],
)
def test_config_faults_name_file_field_and_fix(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


ARCHIVE = "{url: https://sae.test/, service: SAE, regle: ACTES-10, sort: detruire, certificat: /c}"


def test_config_delays_are_those_of_the_guide(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(GOOD)
    delays = load(tmp_path / "c.yml").delais
    assert (delays.depot, delays.stabilite, delays.incomplet) == (2, 5, 300)
    assert (delays.sondage_min, delays.sondage_max, delays.rapprochement, delays.reprise_max) == (5, 900, 60, 300)
    assert (delays.reception, delays.nomenclature, delays.nomenclature_demande) == (900, 900, 86400)
    assert (delays.nomenclature_attente, delays.nomenclature_max, delays.statut3, delays.http) == (
        90,
        172800,
        172800,
        60,
    )


def test_config_archive_and_gateway(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text(GOOD)
    assert (load(path).archive_url, load(path).gateway_url) == ("", "")
    path.write_text(f"{GOOD}archivage: {ARCHIVE}\npasserelle: {{url: https://p.test/, certificat: /p}}\n")
    found = load(path)
    assert (found.archive_url, found.archive_agency, found.archive_rule) == ("https://sae.test", "SAE", "ACTES-10")
    assert (found.archive_action, found.archive_certificate) == ("Destroy", Path("/c"))
    assert (found.gateway_url, found.gateway_certificate) == ("https://p.test", Path("/p"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("archivage: x", "champ « archivage » : attend exactement certificat, regle, service, sort, url."),
        ("archivage: {url: https://sae.test}", "champ « archivage » : attend exactement certificat, regle, service, "),
        (f"archivage: {ARCHIVE.replace('SAE', '3')}", "champ « archivage » : attend exactement"),
        (
            f"archivage: {ARCHIVE.replace('https', 'http')}",
            "n'est pas une adresse https ; exemple : https://sae.exemple",
        ),
        (f"archivage: {ARCHIVE.replace('detruire', 'x')}", "« x » est inconnu ; écrivez conserver ou detruire."),
        ("passerelle: x", "champ « passerelle » : attend exactement « url » et « certificat »."),
        ("passerelle: {url: https://p.test}", "champ « passerelle » : attend exactement « url » et « certificat »."),
        ("passerelle: {url: http://p.test, certificat: /p}", "exemple : https://passerelle.exemple.fr"),
        ("delais: {depot: 0}", "champ « delais.depot » : « 0 » doit être un nombre supérieur à zéro."),
        ("delais: {depot: true}", "champ « delais.depot » : « True » doit être un nombre supérieur à zéro."),
        ("compte: {identifiant: a, fichier_mot_de_passe: /absent}", "fichier illisible ; vérifiez son chemin"),
        ('departement: "59"', "« 59 » n'est pas un département sur 3 caractères ; exemple : 059"),
    ],
)
def test_config_faults_of_each_part(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text((GOOD.replace('departement: "059"\n', "") if "departement" in text else GOOD) + text + "\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_config_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent.yml : lecture impossible \(No such file or directory\)\. Relancez"):
        load(tmp_path / "absent.yml")


def test_config_secret_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canari-59\n")
    account = f"compte: {{identifiant: gondecourt, fichier_mot_de_passe: {tmp_path}/secret}}\n"
    (tmp_path / "c.yml").write_text(GOOD + account)
    config = load(tmp_path / "c.yml")
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


@pytest.mark.parametrize("content", [b"", b"<a/>", b"KO\nErreur", b"<!DOCTYPE x><x/>"])
def test_bad_classifications(content: bytes) -> None:
    with pytest.raises(classification.ClassificationError):
        classification.parse(content)


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


# -- storage and multipart --------------------------------------------------------------------------------


def test_write_replaces_at_once_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a"
    storage.write(target, b"un")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError("disque plein")))
    with pytest.raises(OSError, match="disque plein"):
        storage.write(target, b"deux")
    assert target.read_bytes() == b"un"
    assert list(tmp_path.iterdir()) == [target]


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
