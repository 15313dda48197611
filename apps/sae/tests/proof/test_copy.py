"""The copy out of the room: it grows, and a gateway that rewrites its past is caught by it."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from sae.journal import Journal, copy
from sae.journal.export import export
from sae.journal.format import events_name, seal_name
from sae.journal.verify import Report, VerifyError
from sae.store import FileStore

from apps.sae.tests.proof.conftest import Archive


def pull(archive: Archive) -> Report:
    """What fab archive.sceaux does."""
    kept = archive.folder / "copie"
    received = archive.folder / f"recu-{len(list(archive.folder.iterdir()))}"
    export(archive.journal, archive.store, archive.folder / f"{received.name}.d", max(0, copy.last(kept) - 1))
    copy.pack(archive.folder / f"{received.name}.d", archive.folder / f"{received.name}.tar")
    copy.unpack(archive.folder / f"{received.name}.tar", received)
    return copy.receive(received, kept, archive.root)


def test_the_copy_follows_the_journal(archive: Archive) -> None:
    archive.add(12)
    archive.seal()
    assert pull(archive).faults == []
    assert copy.last(archive.folder / "copie") == 2
    first = (archive.folder / "copie" / seal_name(1)).read_bytes()
    archive.add(12)
    archive.seal()
    report = pull(archive)
    assert (report.faults, report.warnings, report.seals, report.events) == ([], [], 4, 25)
    assert pull(archive).faults == []  # nothing new
    assert copy.verify(archive.folder / "copie", archive.root).faults == []
    assert (archive.folder / "copie" / seal_name(1)).read_bytes() == first
    assert sorted(path.name for path in (archive.folder / "copie").iterdir()) == sorted(
        name(number) for number in range(1, 5) for name in (seal_name, events_name)
    )


def test_a_journal_made_again_is_refused(archive: Archive) -> None:
    archive.add(12)
    archive.seal()
    pull(archive)
    with Journal(archive.folder / "autre.sqlite") as other:
        archive.journal, archive.store = other, FileStore(archive.folder / "autre-stockage")
        archive.add(30)
        archive.seal()
        told = pull(archive).sentences()
    assert "sceau-00000002.json : réécrit : ce n'est plus celui qui avait été copié" in told
    assert any("chaîne rompue" in line for line in told)
    assert copy.last(archive.folder / "copie") == 2


def test_a_journal_that_was_cut_is_refused(archive: Archive) -> None:
    archive.add(25)
    archive.seal()
    pull(archive)
    archive.journal.query("DELETE FROM sceau WHERE numero = 3")
    assert pull(archive).sentences()[-1] == (
        "fin du journal : coupée : la porte des archives ne montre plus le sceau 3, qui avait été copié"
    )


def test_a_changed_event_does_not_enter(archive: Archive) -> None:
    archive.add(5)
    archive.seal()
    archive.journal.query("DROP TRIGGER jamais_change")
    archive.journal.query("UPDATE evenement SET ligne = replace(ligne, 'n° 1', 'n° 9') WHERE seq = 3")
    assert "événement 3 : modifié" in pull(archive).sentences()[0]
    assert copy.last(archive.folder / "copie") == 0


def test_what_is_no_export_is_refused(archive: Archive) -> None:
    (archive.folder / "x.tar").write_text("rien")
    with pytest.raises(VerifyError, match="pas un export"):
        copy.unpack(archive.folder / "x.tar", archive.folder / "x")
    outside = archive.folder / "mechant.tar"
    with tarfile.open(outside, "w") as members:
        members.add(archive.root, "../../evasion")
    with pytest.raises(VerifyError, match="pas un export"):
        copy.unpack(outside, archive.folder / "y" / "z")
    assert not list(Path(archive.folder).rglob("evasion"))
