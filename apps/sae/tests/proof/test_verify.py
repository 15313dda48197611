"""Verification from outside: every way to cheat is seen, and the place is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from sae.journal import Journal, copy, merkle, timestamp
from sae.journal.format import events_name, seal_name
from sae.journal.log import Event
from sae.journal.seal import seal_of
from sae.journal.verify import VerifyError, make_proof, verify_folder, verify_proof

from apps.sae.tests.proof.conftest import Archive
from testbed.authority import Authority


@pytest.fixture
def exported(archive: Archive) -> Path:
    """25 events in 3 seals, of which 2 were copied out, and 2 events not sealed yet."""
    archive.add(19)
    archive.seal()
    archive.export("ancre")
    archive.add(5)
    archive.seal()
    archive.add(2)
    return archive.export()


def test_an_intact_journal_is_proved(exported: Path, archive: Archive) -> None:
    report = verify_folder(exported, archive.root, archive.folder / "ancre")
    assert report.faults == []
    assert (report.events, report.seals, report.unsealed, report.anchored) == (27, 3, 2, 2)
    assert report.warnings == ["événement 26 à 27 : pas encore scellé, tenu par le seul chaînage"]
    assert report.first and report.last and report.first <= report.last
    assert any("sans sceaux copiés" in line for line in verify_folder(exported, archive.root).warnings)


def lines(folder: Path, number: int) -> list[str]:
    return (folder / events_name(number)).read_text().splitlines()


def write(folder: Path, number: int, content: list[str]) -> None:
    (folder / events_name(number)).write_text("".join(f"{line}\n" for line in content))


def change(folder: Path) -> None:
    content = lines(folder, 2)
    write(
        folder,
        2,
        [
            line.replace("succes", "refus") if '"seq":15,' in line or line.endswith('"seq":15}') else line
            for line in content
        ],
    )


def remove(folder: Path) -> None:
    write(folder, 2, [line for line in lines(folder, 2) if not line.endswith('"seq":15}')])


def remove_and_renumber(folder: Path) -> None:
    """What a careful forger does: the hole is closed, the chain of events made again."""
    kept = [line for line in lines(folder, 2) if not line.endswith('"seq":15}')]
    previous = Event.read(lines(folder, 1)[-1]).hash.hex()
    made = []
    for seq, line in enumerate(kept, 11):
        fields = json.loads(line) | {"seq": seq, "precedent": previous}
        made.append(json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":")))
        previous = merkle.leaf(made[-1].encode()).hex()
    write(folder, 2, made)


def swap(folder: Path) -> None:
    content = lines(folder, 2)
    content[4], content[5] = content[5], content[4]
    write(folder, 2, content)


def swap_numbers_too(folder: Path) -> None:
    content = lines(folder, 2)
    content[4] = content[4].replace('"seq":15}', '"seq":99}').replace('"seq":99}', '"seq":16}')
    content[5] = content[5].replace('"seq":16}', '"seq":15}')
    content[4], content[5] = content[5], content[4]
    write(folder, 2, content)


def double(folder: Path) -> None:
    content = lines(folder, 2)
    write(folder, 2, [*content[:5], content[4], *content[5:]])


def cut_with_its_seal(folder: Path) -> None:
    (folder / events_name(3)).unlink()
    (folder / seal_name(3)).unlink()
    (folder / "evenements-non-scelles.jsonl").write_text("")


def cut_under_the_anchor(folder: Path) -> None:
    cut_with_its_seal(folder)
    (folder / events_name(2)).unlink()
    (folder / seal_name(2)).unlink()


def lose_a_seal(folder: Path) -> None:
    (folder / seal_name(1)).unlink()


def change_leaves(folder: Path) -> None:
    path = folder / seal_name(2)
    parts = json.loads(path.read_text())
    parts["feuilles"][4] = parts["feuilles"][3]
    path.write_text(json.dumps(parts))


def change_leaves_and_event(folder: Path) -> None:
    change_leaves(folder)
    change(folder)


def change_header(folder: Path) -> None:
    path = folder / seal_name(2)
    parts = json.loads(path.read_text())
    parts["entete"] = parts["entete"].replace('"dernier":20', '"dernier":19')
    path.write_text(json.dumps(parts))


def give_another_token(folder: Path) -> None:
    path = folder / seal_name(2)
    parts = json.loads(path.read_text())
    parts["jeton"] = json.loads((folder / seal_name(1)).read_text())["jeton"]
    path.write_text(json.dumps(parts))


def exchange_seals(folder: Path) -> None:
    one, two = folder / seal_name(1), folder / seal_name(2)
    first, second = one.read_text(), two.read_text()
    one.write_text(second)
    two.write_text(first)


def break_a_line(folder: Path) -> None:
    write(folder, 2, [line[:50] if line.endswith('"seq":15}') else line for line in lines(folder, 2)])


def change_unsealed(folder: Path) -> None:
    path = folder / "evenements-non-scelles.jsonl"
    path.write_text(path.read_text().replace("n° 0", "n° 8"))


def remove_unsealed(folder: Path) -> None:
    path = folder / "evenements-non-scelles.jsonl"
    path.write_text(path.read_text().splitlines(keepends=True)[1])


@pytest.mark.parametrize(
    ("cheat", "said"),
    [
        (change, "événement 15 : modifié : ce n'est plus celui que le sceau 2 a scellé"),
        (remove, "événement 15 : supprimé (le sceau 2 le connaît)"),
        (remove_and_renumber, "événement 15 : modifié"),
        (swap, "événement 15 : déplacé : il est à la ligne 16, après l'événement 16"),
        (swap_numbers_too, "événement 15 : modifié"),
        (double, "événement 15 : présent deux fois (ligne 16)"),
        (cut_under_the_anchor, "fin du journal : coupée : les sceaux 2 avaient été copiés, jusqu'à l'événement 20"),
        (lose_a_seal, "sceaux : supprimés : 1"),
        (change_leaves, "sceau-00000002.json : ses feuilles ont été modifiées ; les événements, eux, sont ceux"),
        (change_leaves_and_event, "événements 11 à 20 : un au moins a été modifié (sceau 2)"),
        (change_header, "sceau-00000002.json : l'horodatage porte sur autre chose"),
        (give_another_token, "sceau-00000002.json : l'horodatage porte sur autre chose"),
        (exchange_seals, "sceau-00000001.json : déplacé : c'est le sceau 2"),
        (break_a_line, "ligne 15 : illisible, ce n'est plus un événement (attendu : l'événement 15)"),
        (change_unsealed, "événement 27 : il ne suit pas l'événement 26 : l'un des deux a été modifié"),
        (remove_unsealed, "événement 26 : supprimé (pas encore scellé)"),
    ],
)
def test_cheating_is_seen_and_located(
    exported: Path, archive: Archive, cheat: Callable[[Path], None], said: str
) -> None:
    cheat(exported)
    report = verify_folder(exported, archive.root, archive.folder / "ancre")
    assert any(line.startswith(said) for line in report.sentences()), report.sentences()


def test_a_journal_cut_after_the_anchor_is_all_that_cannot_be_seen(exported: Path, archive: Archive) -> None:
    """And so the report says what the anchor reaches; copies are taken often."""
    cut_with_its_seal(exported)
    report = verify_folder(exported, archive.root, archive.folder / "ancre")
    assert not report.faults
    assert report.anchored == 2
    later = archive.export("ancre")
    assert verify_folder(exported, archive.root, later).sentences()[0].startswith("fin du journal : coupée")


def test_a_whole_other_journal_made_with_the_real_unit_is_seen_with_the_anchor(
    exported: Path, archive: Archive, tmp_path: Path
) -> None:
    """Root of the gateway can write and timestamp what it likes: the copies out of the room hold."""
    other = Archive(tmp_path / "autre", Journal(tmp_path / "autre.sqlite"), archive.store, archive.unit, archive.root)
    other.store = type(archive.store)(tmp_path / "autre-stockage")
    other.add(30)
    other.seal()
    forged = other.export()
    assert not verify_folder(forged, archive.root).faults
    told = verify_folder(forged, archive.root, archive.folder / "ancre").sentences()
    assert "sceau-00000001.json : réécrit : ce n'est pas celui qui avait été copié hors de la salle" in told


def test_another_authority_proves_nothing(exported: Path, archive: Archive, stranger: Authority) -> None:
    told = verify_folder(exported, stranger.root).sentences()
    assert told[0] == (
        "sceau-00000001.json : l'horodatage n'est pas valable : il ne vient pas d'une autorité de confiance"
    )


@pytest.mark.parametrize("text", ["", "[" * 100_000, '{"entete":' * 5_000, "null", "[]", '"\\ud800"', "1e999"])
def test_what_is_no_proof_is_told(archive: Archive, text: str) -> None:
    with pytest.raises(VerifyError, match=r"^ce n'est pas une preuve, ou elle est abîmée : "):
        verify_proof(text, archive.root)


def test_an_event_is_proved_alone(archive: Archive, stranger: Authority) -> None:
    archive.add(19)
    archive.seal()
    for seq in (1, 7, 10, 11, 20):
        event = next(archive.journal.events(seq, seq))
        seal = seal_of(archive.journal, seq)
        assert seal
        proof = make_proof(event.line, seal)
        found, at = verify_proof(proof, archive.root)
        assert found == event
        assert at.tzinfo is not None
        with pytest.raises(VerifyError, match="confiance"):
            verify_proof(proof, stranger.root)
        parts = json.loads(proof)
        forged = parts | {"evenement": parts["evenement"].replace('"succes"', '"refus"')}
        with pytest.raises(VerifyError, match="pas celui qui a été scellé"):
            verify_proof(json.dumps(forged), archive.root)
        with pytest.raises(VerifyError, match="abîmée"):
            verify_proof(json.dumps(parts | {"chemin": parts["chemin"][1:]}), archive.root)
        with pytest.raises(VerifyError):
            verify_proof(json.dumps(parts | {"place": 3, "taille": 4, "chemin": parts["chemin"][:2]}), archive.root)
    for text in ("", "[]", "{}", proof[:100]):
        with pytest.raises(VerifyError):
            verify_proof(text, archive.root)


ORGANIZATION = "O=Groupement d'essai,C=FR"


def dated_elsewhere(archive: Archive, unit: Path) -> str:
    """Seal what waits by this unit, whatever it is; gives the proof of the last event."""
    own, timestamp.OWN = timestamp.OWN, unit.name
    archive.unit = unit
    try:
        archive.add(3)
        archive.seal()
    finally:
        timestamp.OWN = own
    seal = seal_of(archive.journal, 4)
    assert seal
    return make_proof(next(archive.journal.events(4, 4)).line, seal)


def test_another_unit_of_the_same_authority_dates_no_journal(
    archive: Archive, authority: Authority, tmp_path: Path
) -> None:
    proof = dated_elsewhere(archive, authority.issue("parapheur"))
    wrong = f"l'horodatage vient de « CN=parapheur,{ORGANIZATION} », et non de « CN={timestamp.OWN},{ORGANIZATION} »"
    with pytest.raises(VerifyError) as told:
        verify_proof(proof, archive.root)
    assert str(told.value) == wrong
    exported = archive.export()
    assert ("sceau-00000001.json", wrong) in verify_folder(exported, archive.root).faults
    assert ("sceau-00000001.json", wrong) in copy.receive(exported, tmp_path / "copie", archive.root).faults
    assert not (tmp_path / "copie").exists()


def test_what_was_dated_before_under_another_authority_s_name_verifies(archive: Archive, authority: Authority) -> None:
    before = {NameOID.COUNTRY_NAME: "FR", NameOID.ORGANIZATION_NAME: "Groupement Cre@tic"}  # before 1.0.0, by default
    parts = [x509.NameAttribute(*one) for one in (before | {NameOID.COMMON_NAME: timestamp.OWN}).items()]
    archive.unit = authority.issue("avant", subject=x509.Name(parts))
    archive.add()
    archive.seal()
    assert verify_folder(archive.export(), archive.root).faults == []


def test_an_outside_unit_dates_when_it_is_named(archive: Archive, stranger: Authority) -> None:
    proof, root = "", archive.root
    archive.root = stranger.root
    proof = dated_elsewhere(archive, stranger.issue("TSU-2026"))
    exported = archive.export()
    for unit in (f"CN=TSU-2026,{ORGANIZATION}", ORGANIZATION):
        assert verify_proof(proof, stranger.root, unit=unit)[0].seq == 4
        assert verify_folder(exported, stranger.root, unit=unit).faults == []
        with pytest.raises(VerifyError, match="confiance"):
            verify_proof(proof, root, unit=unit)
    for unit in ("", "CN=TSU-2025", f"CN=TSU-2025,{ORGANIZATION}", "essai,C=FR", f"2026,{ORGANIZATION}"):
        with pytest.raises(VerifyError, match="l'horodatage vient de « CN=TSU-2026,"):
            verify_proof(proof, stranger.root, unit=unit)


def test_what_is_not_an_export_is_said(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "vide").mkdir()
    exported = archive.export()
    with pytest.raises(VerifyError, match="ni sceau ni événement"):
        verify_folder(tmp_path / "vide", archive.root)
    with pytest.raises(VerifyError, match="pas un dossier"):
        verify_folder(tmp_path / "absent", archive.root)
    with pytest.raises(VerifyError, match="racine de l'autorité"):
        verify_folder(exported, tmp_path / "absent.pem")
    with pytest.raises(VerifyError, match="aucun sceau"):
        verify_folder(exported, archive.root, exported)
    assert verify_folder(exported, archive.root).sentences() == ["sceaux : aucun : rien ne prouve ces événements"]
