"""Three things are never told for one another: what was altered, what is not read here, what no rule of ours takes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import signers
from pyhanko.sign.fields import FieldMDPAction, FieldMDPSpec, MDPPerm, SigFieldSpec, SigSeedSubFilter
from signature_actes import door, pades
from signature_actes.check import check_pdf
from signature_actes.person import Person
from signature_actes.refusal import DocumentRefusedError

from apps.signature.tests.conftest import SIREN, Issuer, software
from apps.signature.tests.test_receive import ask

CLAIRE = Person("Claire Dubois", SIREN)
ALTERED = re.compile(r"modifié|altéré|abîm|fauss")


def signed(issuer: Issuer, source: Path, spec: SigFieldSpec | None = None, **options: Any) -> Path:
    """As Acrobat can be asked to."""
    target = source.with_name("ailleurs.pdf")
    described: dict[str, Any] = {"subfilter": SigSeedSubFilter.PADES, "field_name": "Maire", **options}
    signer = signers.PdfSigner(
        signers.PdfSignatureMetadata(**described), software(issuer, issuer.person()), new_field_spec=spec
    )
    with source.open("rb") as stream, target.open("wb") as output:
        asyncio.run(signer.async_sign_pdf(IncrementalPdfFileWriter(stream, strict=False), output=output))
    return target


def told(issuer: Issuer, path: Path) -> str:
    with pytest.raises(DocumentRefusedError) as refused:
        asyncio.run(check_pdf(path, CLAIRE, issuer.trust))
    assert "À faire : " in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("algorithm", ["sha1", "md5"])
def test_an_algorithm_of_the_past_is_no_forgery(issuer: Issuer, act: Path, algorithm: str) -> None:
    path = signed(issuer, act, md_algorithm=algorithm, subfilter=SigSeedSubFilter.ADOBE_PKCS7_DETACHED)
    said = told(issuer, path)
    assert "n'est pas admise ici" in said and algorithm in said
    assert not ALTERED.search(said)
    # Altered as well, it is told so: the digest differs, whatever made it.
    path.write_bytes(path.read_bytes().replace(b"/MediaBox", b"/MediaBoy", 1))
    assert "modifié après la signature" in told(issuer, path)


def test_what_is_altered_is_told_so(issuer: Issuer, act: Path) -> None:
    path = signed(issuer, act)
    path.write_bytes(path.read_bytes().replace(b"/MediaBox", b"/MediaBoy", 1))
    assert "le document a été modifié après la signature" in told(issuer, path)


def test_a_signature_that_its_key_did_not_make(issuer: Issuer, act: Path) -> None:
    """The document is what was signed; the last bytes of the CMS are the value of the signature."""
    path = signed(issuer, act)
    data = path.read_bytes()
    start = data.index(b"/Contents <") + 11
    end = len(data[start : data.index(b">", start)].rstrip(b"0")) + start
    place = end - 60 - end % 2
    other = b"00" if data[place : place + 2] != b"00" else b"11"
    path.write_bytes(data[:place] + other + data[place + 2 :])
    said = told(issuer, path)
    assert "n'a pas fait cette signature" in said and "modifié" not in said


def test_a_signature_of_a_kind_that_is_not_read_here(issuer: Issuer, act: Path) -> None:
    path = signed(issuer, act)
    data = path.read_bytes()
    start = data.index(b"/Contents <") + 11
    path.write_bytes(data[:start] + b"3003020105" + data[start + 10 :])
    said = told(issuer, path)
    assert "ne se lit pas ici" in said and not ALTERED.search(said)
    with pytest.raises(DocumentRefusedError, match="ne se lit pas ici"):  # before anybody signs
        door.admit(path, act.with_name("ecrit.pdf"))


def test_a_signed_file_that_is_not_whole_is_not_read_here(issuer: Issuer, act: Path) -> None:
    path = signed(issuer, act)
    path.write_bytes(path.read_bytes()[:-200])
    said = told(issuer, path)
    assert "ne se lit pas ici" in said and not ALTERED.search(said)


@pytest.mark.parametrize(("added", "whole"), [(b"\r\n", True), (bytes(60), True), (b" ", True), (b"\nfin\n", False)])
def test_blanks_that_a_message_adds_are_no_alteration(issuer: Issuer, act: Path, added: bytes, whole: bool) -> None:
    path = signed(issuer, act)
    path.write_bytes(path.read_bytes() + added)
    if whole:
        assert asyncio.run(check_pdf(path, CLAIRE, issuer.trust, act)).holder == "Claire Dubois"
    else:
        told(issuer, path)


def test_a_later_signature_is_no_alteration(issuer: Issuer, act: Path) -> None:
    path = act.with_name("deux.pdf")
    asyncio.run(pades.sign(signed(issuer, act), path, software(issuer, issuer.person("Karim Lefèvre"))))
    said = told(issuer, path)
    assert "signe en dernier" in said and not ALTERED.search(said)


LOCKS: dict[str, Callable[[Issuer, Path], Path]] = {
    "certified": lambda issuer, source: signed(
        issuer, source, certify=True, docmdp_permissions=MDPPerm.NO_CHANGES
    ),
    "locked": lambda issuer, source: signed(
        issuer,
        source,
        SigFieldSpec(
            "Maire", field_mdp_spec=FieldMDPSpec(FieldMDPAction.ALL), doc_mdp_update_value=MDPPerm.NO_CHANGES
        ),
    ),
    "all fields locked": lambda issuer, source: signed(
        issuer, source, SigFieldSpec("Maire", field_mdp_spec=FieldMDPSpec(FieldMDPAction.ALL))
    ),
}  # fmt: skip # a table


@pytest.mark.parametrize("how", LOCKS)
def test_a_document_that_nobody_may_sign_below_is_told_at_the_door(issuer: Issuer, act: Path, how: str) -> None:
    path = LOCKS[how](issuer, act)
    assert asyncio.run(check_pdf(path, CLAIRE, issuer.trust)).holder == "Claire Dubois"  # a good signature
    with pytest.raises(DocumentRefusedError, match=r"Claire Dubois a certifié ou verrouillé ce document.*À faire"):
        door.admit(path, act.with_name("ecrit.pdf"))
    answer, _rest = ask({}, path.read_bytes(), b"", [])
    assert "a certifié ou verrouillé" in answer["refus"]


def test_what_may_be_signed_below_is_let_in(issuer: Issuer, act: Path) -> None:
    form = signed(issuer, act, certify=True, docmdp_permissions=MDPPerm.FILL_FORMS)
    assert not door.admit(form, act.with_name("ecrit.pdf"))
    other = FieldMDPSpec(FieldMDPAction.INCLUDE, fields=["Montant"])
    assert not door.admit(signed(issuer, act, SigFieldSpec("Maire", field_mdp_spec=other)), act.with_name("ecrit.pdf"))


def test_a_lock_on_a_piece_that_nobody_signs_is_no_matter(issuer: Issuer, act: Path) -> None:
    path = LOCKS["certified"](issuer, act)
    assert not door.admit(path, act.with_name("ecrit.pdf"), door.Form.KEPT)
