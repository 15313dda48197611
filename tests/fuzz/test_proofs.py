"""What proves: the sealed journal as it is exported, the proof of one event, an attestation of the archives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sae.journal.seal import Seal
from sae.journal.verify import VerifyError, make_proof, verify_folder, verify_proof

from apps.sae.tests.proof.conftest import Archive, archive, authority, unit  # noqa: F401 - fixtures
from creatic_agent import attestation
from tests.fuzz.spoilt import bent, refuses, spoilt
from tests.fuzz.test_archive import scratch

WORDS = (b"[" * 20_000, b"{}", b"[]", b"null", b'"entete"', b'"jeton"', b"1e999", b"\\ud800", b'"seq":0', b"-1")


@pytest.fixture
def exported(archive: Archive) -> tuple[Path, list[tuple[str, bytes]], str]:  # noqa: F811 - the fixture
    """The authority, the files of an export of three events under seal, and the proof of one of them."""
    archive.add(3)
    archive.seal()
    folder = archive.export()
    seal = Seal.read(next(folder.glob("sceau-*.json")).read_text(encoding="utf-8"))
    line = next(event.line for event in archive.journal.events() if event.aip == "aip-1")
    files = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir()) if path.is_file()]
    return archive.root, files, make_proof(line, seal)


@given(data=st.data())
def test_journals(exported: tuple[Path, list[tuple[str, bytes]], str], data: Any) -> None:
    root, files, _ = exported
    touched = data.draw(st.sampled_from([name for name, _ in files]))
    with scratch() as folder:
        for name, content in files:
            text = content
            if name == touched:
                text = data.draw(spoilt([content, b"[" * 20_000], WORDS))
                if name.endswith(".json") and data.draw(st.booleans()):
                    text = json.dumps(data.draw(bent(json.loads(content)))).encode("utf-8", "surrogatepass")
            (folder / name).write_bytes(text)
        refuses(lambda: verify_folder(folder, root), VerifyError)


@given(data=st.data())
def test_proofs_of_one_event(exported: tuple[Path, list[tuple[str, bytes]], str], data: Any) -> None:
    root, _, proof = exported
    text = json.dumps(data.draw(bent(json.loads(proof))))
    if data.draw(st.booleans()):
        text = data.draw(spoilt([proof.encode(), b"[" * 20_000], WORDS)).decode("utf-8", "replace")
    refuses(lambda: verify_proof(text, root), VerifyError)


ATTESTATION = json.dumps(
    {
        "document": attestation.KIND,
        "format": 1,
        "siren": "215902669",
        "archive": "aip-1",
        "demande": "D-1",
        "identifiant": "ACTE-1",
        "eliminee_le": "2026-11-30T10:00:00+00:00",
        "visa": "V-1",
        "sha256": ["0" * 64],
    }
).encode()


@given(text=spoilt([ATTESTATION, b"[" * 20_000], WORDS))
def test_attestations(text: bytes) -> None:
    refuses(lambda: attestation._read(text), attestation.Unproven)
