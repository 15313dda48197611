"""From depot/ to the ARActe on disk, against the real simulator; and what is refused on the way."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import signal
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from pypdf import PdfReader, PdfWriter
from tdt_connector.client import Client
from tdt_connector.contact import waits
from tdt_connector.driver import Incoming
from tdt_connector.drivers import connect
from tdt_connector.journal import Journal, State
from tdt_connector.letters import received
from tdt_connector.proof import test_pdf as make_pdf
from tdt_connector.s2low import S2low
from tdt_simulator.testing import TdtServer

from testbed.connector import FAST, SIREN, Authority, Commune, platform


def test_an_act_goes_from_depot_to_its_aracte(commune: Commune, tdt: TdtServer) -> None:
    commune.drop("2026_001")
    commune.run()
    row = commune.row()
    assert (row.state, row.idacte) == (State.ACKNOWLEDGED, "059-215902669-20260115-2026_001-DE")
    assert not commune.folder("en_cours")
    (folder,) = commune.folder("acquittes")
    assert folder.name == row.idacte
    names = {path.name for path in folder.iterdir()}
    results = {"ARActe.xml", "acte-tamponne.pdf", "bordereau.pdf", "resume.json"}
    assert names == {"2026_001.pdf", "2026_001.yml", *results}
    summary = json.loads((folder / "resume.json").read_text())
    assert summary["objet_transmis"] == "Délibération n° 12 : école d'été"
    assert summary["aracte_le"] == row.acknowledged_on
    assert "« ’ » devient « ' »" in summary["remarques"][0]
    (act,) = tdt.acts(number="2026_001")
    assert act["objet"] == "Délibération n° 12 : école d'été"
    assert (folder / "2026_001.pdf").stat().st_mode & 0o777 == 0o640


def test_annexes_paper_and_every_field_reach_the_tdt(commune: Commune, tdt: TdtServer) -> None:
    commune.put("plan.pdf", make_pdf("Plan", "1"))
    commune.put("photo.png", b"\x89PNG\r\n\x1a\n" + bytes(50))
    annexes = "[{fichier: plan.pdf, type: 99_AU}, {fichier: photo.png, type: 99_AU}]"
    commune.drop("2026_002", nature="6", type="99_AU", classification="9.1", annexes=annexes, document_papier="oui")
    commune.run()
    (act,) = tdt.acts(number="2026_002")
    assert commune.row("2026_002").state is State.ACKNOWLEDGED
    assert (act["nature"], act["classification"]) in {("6", "9.1"), (6, "9.1"), ("AU", "9.1")}
    client = Client(commune.config)
    (folder,) = commune.folder("acquittes")
    files = json.loads(client.get(f"/modules/actes/actes_transac_get_files_list.php?transaction={act['transaction']}"))
    assert [item["code_pj"] for item in files[1:]] == ["99_AU", "99_AU", "99_AU"]
    client.close()
    assert {"plan.pdf", "photo.png"} <= {path.name for path in folder.iterdir()}


def test_an_act_on_hold_is_recorded_and_not_transmitted(commune: Commune, tdt: TdtServer) -> None:
    commune.drop("2026_003", en_attente="oui")
    commune.run(until=lambda: any(row.remote_status == 17 for row in commune.rows()))
    (act,) = tdt.acts()
    assert act["statut"] == 17
    driver = connect(commune.config)
    driver.cancel_act(act["transaction"])
    driver.close()
    commune.run()
    assert commune.row("2026_003").state is State.CANCELLED
    (folder,) = commune.folder("annules")
    assert "Annulé au TdT" in (folder / "motif.txt").read_text()


def encrypted() -> bytes:
    writer = PdfWriter()
    writer.append(PdfReader(io.BytesIO(make_pdf("Acte", "1"))))
    writer.encrypt("secret")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


BIG = b"%PDF-1.4\n" + b"0" * 1_000_000 + b"\n%%EOF"


BAD_ACTS: list[tuple[dict[str, str], bytes | None, str]] = [
    ({"numero": "2026/12"}, None, "« 2026/12 » n'est pas admis (seuls A-Z, 0-9 et _ sont admis, sans _ au début"),
    ({"numero": "2026/12"}, None, "proposition : 2026_12"),
    ({"numero": "DELIBERATION_2026"}, None, "compte 17 caractères ; 15 au plus"),
    ({"numero": ""}, None, "Champ « numero » absent"),
    ({"date": "2999-01-01"}, None, "le 01/01/2999 est dans le futur"),
    ({"date": "le 3 mai"}, None, "« le 3 mai » n'est pas une date"),
    ({"nature": "9"}, None, "« 9 » est inconnue ; choisissez parmi : 1 ("),
    ({"nature": "inconnue"}, None, "« inconnue » est inconnue"),
    ({"classification": "12.7"}, None, "la matière « 12.7 » n'existe pas dans la nomenclature du 01/01/"),
    ({"classification": '"7"'}, None, "« 7 » est trop large ; choisissez une sous-matière : 7.1 ("),
    ({"type": ""}, None, "Champ « type » absent ; types admis pour"),
    ({"type": "99_AR"}, None, "« 99_AR » n'est pas admis pour"),
    (
        {"annexes": "[{fichier: ANNEXE, type: ''}]"},
        None,
        "-a.pdf », champ « type » absent",
    ),
    ({"annexes": "[ANNEXE]"}, None, "Annexe n° 1 : il faut « fichier » et « type »"),
    ({"objet": ""}, None, "Champ « objet » absent"),
    ({"objet": "x" * 500}, None, "500 caractères ; 499 au plus"),
    ({"objet": "Voirie 東京"}, None, "impossibles à transmettre en ISO-8859-1 : « 東 » (U+6771)"),
    ({"objett": "Voirie"}, None, "Champ « objett » inconnu ; vouliez-vous dire « objet » ?"),
    ({"document_papier": "peut-être"}, None, "« peut-être » n'est ni oui ni non"),
    ({"fichier": "../../etc/passwd"}, None, "doit être un nom de fichier, sans dossier"),
    ({"fichier": "absent.pdf"}, None, "jamais déposé : « absent.pdf »"),
    ({}, b"PK\x03\x04 un document Word", "n'est pas un PDF, quel que soit son nom"),
    ({}, b"", "est vide (0 octet)"),
    ({}, b"%PDF-1.4\nabc\n%%EOF", "est un PDF endommagé"),
    ({}, make_pdf("Acte", "1")[:-30], "est un PDF"),
    ({}, encrypted(), "protégé par un mot de passe"),
    ({}, BIG, "les fichiers pèsent 1 Mo ; le TdT refuse un envoi de 1 Mo ou plus"),
]


@pytest.fixture(scope="module")
def refusals(authority: Authority) -> Iterator[list[tuple[str, set[str]]]]:
    """Every bad act, dropped at once: for each, the reason given and the names of the files kept."""
    with tempfile.TemporaryDirectory() as folder, platform(Path(folder) / "tdt", authority) as tdt:
        commune = Commune(Path(folder) / "commune", tdt.url, authority, taille_max_mo=1)
        for rank, (fields, pdf, _) in enumerate(BAD_ACTS):
            stem = f"cas{rank:02d}"
            commune.put(f"{stem}-a.pdf", make_pdf("Annexe", "1"))
            named = {name: value.replace("ANNEXE", f"{stem}-a.pdf") for name, value in fields.items()}
            commune.drop("2026_001", **{"pdf": pdf, "stem": stem, **named})
        commune.run()
        assert not tdt.acts()
        found = []
        for rank in range(len(BAD_ACTS)):
            folders = [path for path in commune.folder("rejets") if f"-cas{rank:02d}" in path.name]
            motives = " ".join((path / "motif.txt").read_text() for path in folders)
            found.append((motives, {item.name for path in folders for item in path.iterdir()}))
        yield found


@pytest.mark.parametrize("rank", range(len(BAD_ACTS)), ids=[reason[:40] for _, _, reason in BAD_ACTS])
def test_a_bad_act_is_refused_with_its_reason(refusals: list[tuple[str, set[str]]], rank: int) -> None:
    motives, kept = refusals[rank]
    assert BAD_ACTS[rank][2].lower() in motives.lower()
    assert "Rien n'a été transmis" in motives
    assert {f"cas{rank:02d}.pdf", f"cas{rank:02d}.yml", f"cas{rank:02d}-a.pdf"} <= kept


def test_every_fault_of_an_act_is_told_at_once(commune: Commune) -> None:
    commune.drop("2026_001", date="2999-01-01", nature="9", classification="99.9", pdf=b"non")
    commune.run()
    motive = commune.motive()
    for word in ("futur", "« 9 »", "99.9", "n'est pas un PDF"):
        assert word in motive


def test_a_150_mb_file_is_refused_without_being_read(commune: Commune, tdt: TdtServer) -> None:
    commune.drop("2026_001", pdf=b"%PDF-1.4\n")
    with (commune.root / "depot" / "2026_001.pdf").open("ab") as stream:
        stream.truncate(150_000_000)  # a hole: as big as wanted, nothing on disk
    commune.run()
    assert "Les fichiers pèsent 150 Mo ; le TdT refuse un envoi de 150 Mo ou plus" in commune.motive()
    (folder,) = commune.folder("rejets")
    assert (folder / "2026_001.pdf").stat().st_size == 150_000_000
    assert not tdt.acts()


def test_a_file_still_being_written_is_waited_for(commune: Commune, tdt: TdtServer) -> None:
    whole = make_pdf("Acte", "2026_001")
    commune.drop("2026_001", pdf=whole[:100])
    start = time.monotonic()

    def write_on() -> bool:
        # It stops for longer than the stability delay, then goes on.
        if time.monotonic() > start + 0.3:
            commune.put("2026_001.pdf", whole)
        return time.monotonic() > start + 0.35

    commune.run(until=write_on)
    commune.run()
    assert commune.row().state is State.ACKNOWLEDGED
    assert len(tdt.acts()) == 1


def test_temporary_names_are_left_alone(commune: Commune) -> None:
    for name in ("a.pdf.part", ".cache", "~$b.docx", "c.TMP"):
        commune.put(name, b"x")
    commune.run_beyond(lambda: True, 0.8)
    assert len(commune.folder("depot")) == 4
    assert not commune.rows()


def test_a_pdf_without_description_is_explained_after_a_while(commune: Commune) -> None:
    commune.put("seul.pdf", make_pdf("Acte", "1"))
    commune.put("notes.txt", b"bonjour")
    commune.run(until=lambda: len(commune.folder("rejets")) == 2 and commune.settled())
    motives = " ".join((folder / "motif.txt").read_text() for folder in commune.folder("rejets"))
    assert "Déposez avec lui « seul.yml »" in motives
    assert "aucun fichier de description ne le cite" in motives


def test_a_link_is_never_followed(commune: Commune, tdt: TdtServer) -> None:
    secret = commune.root / "secret.pdf"
    secret.write_bytes(make_pdf("Secret", "1"))
    commune.drop("2026_001")
    (commune.root / "depot" / "2026_001.pdf").unlink()
    (commune.root / "depot" / "2026_001.pdf").symlink_to(secret)
    commune.run()
    assert "n'est pas un fichier ordinaire" in commune.motive()
    assert secret.exists()
    assert not tdt.acts()


def test_a_number_is_used_once(commune: Commune, tdt: TdtServer) -> None:
    commune.drop("2026_001")
    commune.run()
    commune.drop("2026_001", objet="Autre acte")
    commune.run()
    assert "« 2026_001 » est déjà celui de l'acte déposé le" in commune.motive()
    assert len(tdt.acts()) == 1


def test_a_rejected_number_can_be_used_again(commune: Commune, tdt: TdtServer) -> None:
    commune.drop("2026_001", date="2999-01-01")
    commune.run()
    commune.drop("2026_001")
    commune.run()
    assert commune.row().state is State.ACKNOWLEDGED
    assert len(tdt.acts()) == 1


def post_elsewhere(commune: Commune, number: str, **fields: str) -> None:
    """Another connector of the same commune sends this act; ours knows nothing of it."""
    commune.drop(number, **fields)
    commune.run()
    for path in commune.config.folder_state.iterdir():
        path.unlink()


def test_a_number_used_by_another_software_is_refused(commune: Commune, tdt: TdtServer) -> None:
    post_elsewhere(commune, "2026_001", objet="Un autre objet")
    commune.drop("2026_001")
    commune.run()
    assert "déjà utilisé au TdT par un autre acte (transaction" in commune.motive()
    assert "« Un autre objet »" in commune.motive()
    assert len(tdt.acts()) == 1


def test_same_number_date_and_subject_but_another_document_is_refused(commune: Commune, tdt: TdtServer) -> None:
    post_elsewhere(commune, "2026_001")
    commune.drop("2026_001", pdf=make_pdf("Version corrigée", "2026_001"))
    commune.run()
    assert "déjà utilisé au TdT par un autre acte" in commune.motive()
    assert len(tdt.acts()) == 1


def test_the_very_same_act_is_found_again_after_the_journal_was_lost(commune: Commune, tdt: TdtServer) -> None:
    post_elsewhere(commune, "2026_001")
    commune.drop("2026_001")
    commune.run()
    assert commune.row().state is State.ACKNOWLEDGED
    assert len(tdt.acts()) == 1
    first, second = commune.folder("acquittes")  # nothing of what was there is overwritten
    assert second.name == f"{first.name}_{commune.row().ref}"


def test_refused_by_the_prefecture(commune: Commune, tdt: TdtServer) -> None:
    commune.introduce()
    tdt.fault("bloque3")
    commune.drop("2026_001")
    commune.run(until=lambda: any(row.remote_status == 3 for row in commune.rows()))
    tdt.store.force(tdt.acts()[0]["transaction"], 6, "Document illisible")
    commune.run()
    assert commune.row().state is State.REFUSED
    assert "Refusé par la préfecture" in commune.motive()
    assert "un suffixe suffit" in commune.motive()


def test_in_error_at_the_tdt(commune: Commune, tdt: TdtServer) -> None:
    tdt.fault("anomalie", times=1)
    commune.drop("2026_001")
    commune.run()
    assert commune.row().state is State.ERROR
    assert "Mis en erreur par le TdT : " in commune.motive()


def test_an_outdated_nomenclature_holds_the_acts_until_the_new_one(commune: Commune, tdt: TdtServer) -> None:
    tdt.fault("classification")
    tdt.fault("bloque3")  # the préfecture does not answer
    commune.drop("2026_001")
    commune.run(until=lambda: any(row.detail for row in commune.rows()))
    assert "la préfecture n'a pas encore répondu" in commune.rows()[0].detail
    tdt.clear_faults("bloque3")
    commune.run()
    assert commune.row().state is State.ACKNOWLEDGED


def test_a_nomenclature_that_goes_back_in_time_holds_the_acts(commune: Commune, tdt: TdtServer) -> None:
    commune.drop("2026_001")
    commune.run()
    commune.config = replace(commune.config, delais=replace(FAST, nomenclature=0.01))
    tdt.fault("classification")
    seen: set[str] = set()

    def watch() -> bool:
        with Journal(commune.config.journal) as journal:
            seen.add(journal.value("nomenclature_version"))
            if len(seen) == 2 and "2026_002" not in {row.number for row in commune.rows()}:
                commune.drop("2026_002")
                commune.run(until=lambda: commune.settled() and len(commune.rows()) == 2)
                return True
        return False

    commune.run(until=watch)
    assert "2019-03-01" in seen
    assert commune.row("2026_002").state is State.ACKNOWLEDGED


def test_a_nomenclature_that_cannot_be_checked_any_more_is_stale(commune: Commune, tdt: TdtServer) -> None:
    commune.drop("2026_001")
    commune.run()
    tdt.fault("panne", target="classification_fetch")
    commune.config = replace(commune.config, delais=replace(FAST, nomenclature=0.01, nomenclature_max=0.5))
    with Journal(commune.config.journal) as journal:
        journal.set_value("nomenclature_le", int(time.time()) - 10)
    commune.drop("2026_002")
    commune.run_beyond(lambda: "nomenclature périmée" in commune.rows()[-1].detail)
    assert commune.rows()[-1].state is State.DEPOSITED
    assert "nomenclature périmée" in commune.rows()[-1].detail
    with commune.agent() as agent:
        assert agent.cycle() > 0  # it waits, it does not spin
    tdt.clear_faults()
    commune.run()
    assert commune.row("2026_002").state is State.ACKNOWLEDGED


def test_an_aracte_of_another_act_is_never_filed(commune: Commune, tdt: TdtServer, authority: Authority) -> None:
    commune.introduce()
    tdt.fault("bloque3")
    commune.drop("2026_001")
    commune.run(until=lambda: any(row.state is State.SENT for row in commune.rows()))
    other = Commune(commune.root.parent / "autre", tdt.url, authority)
    tdt.clear_faults()
    other.drop("2026_777")
    other.run()
    with Journal(commune.config.journal) as journal:
        journal.note(commune.row(), transaction_tdt=other.row("2026_777").transaction, prochain=0)
    commune.run()
    assert commune.row().state is State.TO_RECONCILE
    assert "concerne un autre acte" in commune.row().detail
    assert not commune.folder("acquittes")


def test_a_pes_goes_to_its_acknowledgement(commune: Commune, tdt: TdtServer) -> None:
    content = commune.drop_pes("budget.xml")
    commune.run()
    (sent,) = tdt.pes(siren=SIREN)
    assert sent["sha1"] == hashlib.sha1(content, usedforsecurity=False).hexdigest()
    (folder,) = commune.folder("acquittes")
    assert folder.name == f"PES-{sent['id']}-budget"
    assert {path.name for path in folder.iterdir()} == {"budget.xml", "acquittement.xml", "resume.json"}


def test_the_same_pes_is_sent_once(commune: Commune, tdt: TdtServer) -> None:
    commune.drop_pes("a.xml")
    commune.run()
    commune.drop_pes("b.xml")
    commune.run()
    assert "a déjà été transmis (même contenu)" in commune.motive()
    assert len(tdt.pes()) == 1


def test_a_pes_sent_by_another_software_is_not_sent_again(commune: Commune, tdt: TdtServer) -> None:
    commune.drop_pes("a.xml")
    commune.run()
    for path in commune.config.folder_state.iterdir():
        path.unlink()
    commune.drop_pes("a.xml")
    commune.run()
    assert "a déjà été transmis au TdT (transaction" in commune.motive()
    assert len(tdt.pes()) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "est vide"),
        (b"<a><b></a>", "n'est pas du XML lisible"),
        (b"<facture/>", "n'est pas un flux PES"),
        (
            b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><PES_Aller>&x;</PES_Aller>',
            "n'est pas du XML lisible",
        ),
    ],
)
def test_a_bad_pes_is_refused(commune: Commune, tdt: TdtServer, content: bytes, reason: str) -> None:
    commune.put("flux.xml", content)
    commune.run()
    assert reason in commune.motive()
    assert not tdt.pes()


def test_a_pes_of_another_commune_is_refused(commune: Commune, tdt: TdtServer) -> None:
    commune.drop_pes(siret="21590035800011")
    commune.run()
    assert "n'est pas de la collectivité 215902669" in commune.motive()
    assert not tdt.pes()


def test_letters_and_pes_retour_are_kept_then_marked_as_read(commune: Commune, tdt: TdtServer) -> None:
    commune.config = replace(commune.config, delais=replace(FAST, reception=0.1))
    commune.drop("2026_001")
    commune.run()
    tdt.letter(tdt.acts()[0]["transaction"], "observations", "Motif à préciser")
    tdt.store.add_pes_retour(SIREN, "retour.xml", b"<PES_Retour/>")
    commune.run(until=lambda: bool(commune.folder("lettres") and commune.folder("pes_retour")))
    commune.run(until=lambda: unread(commune) == 1)  # the letter, until a person takes it
    commune.take_letters()
    commune.run(until=lambda: not unread(commune))
    (folder,) = commune.folder("lettres")
    assert "lettre-d-observations-2026_001" in folder.name
    assert any(tarfile.is_tarfile(path) for path in folder.iterdir())
    assert any(path.suffix == ".pdf" for path in folder.iterdir())
    (retour,) = commune.folder("pes_retour")
    assert next(retour.iterdir()).read_bytes() == b"<PES_Retour/>"


def unread(commune: Commune) -> int:
    """Documents that still wait at the TdT."""
    driver = connect(commune.config)
    try:
        return len(driver.incoming())
    finally:
        driver.close()


@pytest.mark.parametrize("step", ["réception", "reçu"])
def test_killed_while_receiving_a_letter_it_is_kept_once(commune: Commune, tdt: TdtServer, step: str) -> None:
    commune.config = replace(commune.config, delais=replace(FAST, reception=0.1))
    commune.drop("2026_001")
    commune.run()
    tdt.letter(tdt.acts()[0]["transaction"], "pieces", "Il manque le plan")

    def hear(name: str) -> None:
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    assert commune.child(lambda: commune.run(until=lambda: False, on_step=hear)) == -signal.SIGKILL
    commune.run(until=lambda: bool(commune.folder("lettres")))
    commune.take_letters()
    commune.run(until=lambda: not unread(commune))
    assert len(commune.folder("lettres")) == 1


def archive_of(*files: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        folder = tarfile.TarInfo("dossier")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    return buffer.getvalue()


ARCHIVE = archive_of(
    ("envoi/lettre.pdf", b"%PDF-1.4 lettre"), ("envoi/plan.png", b"plan"), ("lettre-59.tar.gz", b"piege")
)
NOISE = random.Random(59).randbytes(100_000)  # noqa: S311 - what gzip cannot make smaller
LONG = archive_of(("envoi/lettre.pdf", b"%PDF-1.4 lettre"), ("envoi/plan.png", NOISE))


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (b"%PDF-1.7 lettre", {"lettre-59.pdf": b"%PDF-1.7 lettre"}),
        (b"<lettre/>", {"lettre-59.xml": b"<lettre/>"}),
        (b"", {"lettre-59.bin": b""}),
        (b"\r\n %PDF-1.4 lettre", {"lettre-59.pdf": b"\r\n %PDF-1.4 lettre"}),
        (b"<!DOCTYPE html><p>Indisponible", {"lettre-59.html": b"<!DOCTYPE html><p>Indisponible"}),
        (ARCHIVE, {"lettre-59.tar.gz": ARCHIVE, "lettre.pdf": b"%PDF-1.4 lettre", "plan.png": b"plan"}),
        (LONG[:50_000], {"lettre-59.tar.gz": LONG[:50_000], "lettre.pdf": b"%PDF-1.4 lettre"}),
        (b"\x1f\x8b", {"lettre-59.tar.gz": b"\x1f\x8b"}),
        (b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 50, {"lettre-59.tar.gz": b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 50}),
        (gzip.compress(b"rien d'une archive"), {"lettre-59.tar.gz": gzip.compress(b"rien d'une archive")}),
    ],
    ids=["pdf", "xml", "empty", "pdf after blanks", "html", "archive", "cut", "head only", "damaged", "no archive"],
)
def test_a_document_is_kept_as_it_came_and_an_archive_opened(
    commune: Commune, monkeypatch: pytest.MonkeyPatch, content: bytes, kept: dict[str, bytes]
) -> None:
    read: list[Incoming] = []
    letter = Incoming(59, "lettre", "Lettre d'observations")
    monkeypatch.setattr(S2low, "incoming", lambda driver: [] if read else [letter])
    monkeypatch.setattr(S2low, "fetch", lambda driver, item: content)
    monkeypatch.setattr(S2low, "mark_read", lambda driver, item: read.append(item))
    commune.run(until=lambda: bool(commune.folder("lettres")))
    commune.take_letters()
    commune.run(until=lambda: bool(read))
    (folder,) = commune.folder("lettres")
    assert folder.name.endswith("-lettre-d-observations-59")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept
    assert read == [letter]


def test_a_clock_that_was_ahead_holds_nothing_back(
    commune: Commune, tdt: TdtServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that began at a wrong hour, and was set right: the préfecture's letters would have come weeks later."""
    ahead = [20 * 86400.0]
    clock = SimpleNamespace(**{**vars(time), "time": lambda: time.time() + ahead[0]})
    for name, module in list(sys.modules.items()):
        if name.startswith("tdt_connector.") and getattr(module, "time", None) is time:
            monkeypatch.setattr(module, "time", clock)
    commune.drop("2026_001")
    commune.run(until=lambda: [row.state for row in commune.rows()] == [State.SENT])
    ahead[0] = 0
    commune.run(timeout=10)
    assert [row.state for row in commune.rows()] == [State.ACKNOWLEDGED]
    ahead[0] = 20 * 86400.0
    commune.run_beyond(lambda: True)
    ahead[0] = 0
    tdt.letter(tdt.acts()[0]["transaction"], "observations", "Motif à préciser")
    commune.run(until=lambda: bool(received(commune.config)), timeout=10)
    with Journal(commune.config.journal) as journal:
        assert abs(float(journal.value("cycle_le")) - time.time()) < 60  # a sign of life hides no death


@pytest.mark.parametrize(("left", "wait"), [(-1, False), (5, True), (59, True), (61, False), (1e9, False)])
def test_no_hour_is_waited_for_longer_than_its_own_delay(left: float, wait: bool) -> None:
    assert waits(time.time() + left, 60) is wait


def test_two_clerks_with_the_same_file_name_lose_nothing(commune: Commune, tdt: TdtServer) -> None:
    commune.drop("2026_001", stem="acte")
    replaced = False

    def hear(step: str) -> None:
        nonlocal replaced
        if step == "pris au journal" and not replaced:
            replaced = True
            commune.put(
                "acte.yml", (commune.root / "depot" / "acte.yml").read_bytes().replace(b"2026_001", b"2026_002")
            )

    commune.run(on_step=hear, until=lambda: commune.settled() and bool(commune.folder("rejets")))
    # The first act left; the second clerk's description stayed, and waits for its PDF until it is explained.
    assert commune.row().state is State.ACKNOWLEDGED
    assert "jamais déposé : « acte.pdf »" in commune.motive()
    assert len(tdt.acts()) == 1


def test_an_unsigned_flow_goes_back_to_who_dropped_it(commune: Commune, tdt: TdtServer) -> None:
    commune.config = replace(commune.config, flux_signes=True)
    content = commune.drop_pes("mandats.xml")
    commune.run()
    (folder,) = (commune.root / "rejets").iterdir()
    assert (folder / "mandats.xml").read_bytes() == content
    assert "n'est pas signé" in (folder / "motif.txt").read_text()
    assert not list((commune.root / "depot").iterdir())
