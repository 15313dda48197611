"""The bordereau d'élimination: what people read, and whose signature (a real one) makes it the commune's."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import signers
from pypdf import PdfReader
from sae import bordereau, sizes
from sae.bordereau import BordereauSignatureError, Verifier
from sae.config import Account
from signature_actes import receive

from apps.sae.tests.proof.commune import ACCOUNTS, SIREN, listening
from apps.signature.tests.conftest import Issuer, Pair, software

GONDECOURT = ACCOUNTS["gondecourt"]


def listed(count: int = 2, title: str = "Délibération n° 12 : budget") -> dict[str, object]:
    archives = [
        {"aip": f"aip-{number}", "identifiant": f"acte {number}", "titre": title, "sha512": f"{number:0128x}",
         "octets": 1_250_000, "verse_le": 1_400_000_000 + number, "conserve_jusqua": 1_700_000_000,
         "sort_final": "Destroy"}
        for number in range(count)
    ]  # fmt: skip # one call by its parts
    return {
        "demande": "0" * 8, "liste": bordereau.mark("gondecourt", archives), "motif": "durée échue",
        "heure": "2026-11-28T08:00:00.000000Z", "archives": archives, "compte": "gondecourt",
    }  # fmt: skip # a table


def test_the_mark_is_of_this_list_of_this_account_alone() -> None:
    one = listed()
    archives = one["archives"]
    assert isinstance(archives, list)
    mark = bordereau.mark("gondecourt", archives)
    assert len(mark) == 22 and mark == bordereau.mark("gondecourt", [dict(each) | {"titre": "x"} for each in archives])
    others = [archives[:1], archives[::-1], [archives[0] | {"sha512": "0"}, archives[1]]]
    assert (
        len({mark, bordereau.mark("seclin", archives), *(bordereau.mark("gondecourt", each) for each in others)}) == 5
    )
    assert bordereau.normal(f" {mark.lower()[:7]} {mark.lower()[7:]}\n") == mark


def test_the_bordereau_tells_what_the_law_asks() -> None:
    document = listed(120, "Arrêté <b>&</b> → « œuvre »")
    pages = PdfReader(io.BytesIO(bordereau.make(document, GONDECOURT, "sae-cdg59"))).pages
    first, last = pages[0].extract_text(), pages[-1].extract_text()
    for told in ("L212-2 et R212-14", "Gondecourt (SIREN 215902669)", "sae-cdg59", "120, 150 Mo", "du 13/05/2014 au",
                 "Arrêté <b>&</b> ? « œuvre »", "aip-0", "14/11/2023", "1,25 Mo"):  # fmt: skip # a list of words
        assert told in first, told
    assert "Claire Dubois signe ce fichier" in last.replace("\n", " ")
    for page in pages:
        assert f"Liste {document['liste']}" in page.extract_text()


@pytest.mark.parametrize(
    ("size", "told"),
    [(0, "0 o"), (7, "7 o"), (999, "999 o"), (1000, "1 ko"), (40_960, "41 ko"), (999_499, "999 ko"), (999_700, "1 Mo"),
     (1_234_567, "1,23 Mo"), (9_996_000, "10 Mo"), (99_960_000, "100 Mo"), (5 * 10**12, "5 To"), (10**16, "10000 To")],
)  # fmt: skip # a table
def test_sizes_are_french(size: int, told: str) -> None:
    assert sizes.readable(size) == told


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer("des élus", tmp_path / "pki")


@pytest.fixture
def verifier(issuer: Issuer, tmp_path: Path) -> Iterator[Verifier]:
    """The service, as systemd starts it for each connection."""
    trust = {"autorites": [str(issuer.folder / "ca.pem")], "crl": [str(issuer.folder / "crl.pem")]}

    def judge(source: BinaryIO, output: BinaryIO) -> None:
        receive.answer(source, output, {"unite": "sae-signature", "signataires": trust})

    with listening(tmp_path / "juge.sock", judge) as path:
        yield Verifier(path)


def signed(issuer: Issuer, pair: Pair, content: bytes) -> bytes:
    output = io.BytesIO()
    meta = signers.PdfSignatureMetadata(field_name="Signature1", md_algorithm="sha256")
    asyncio.run(
        signers.async_sign_pdf(
            IncrementalPdfFileWriter(io.BytesIO(content)), meta, software(issuer, pair), output=output
        )
    )
    return output.getvalue()


def test_the_maire_alone_signs_and_this_bordereau_alone(issuer: Issuer, verifier: Verifier) -> None:
    pdf = bordereau.make(listed(), GONDECOURT, "sae-cdg59")
    good = signed(issuer, issuer.person(), pdf)
    assert verifier.check(good, pdf, GONDECOURT)["signataire"] == "Claire Dubois"
    for content, account, said in (
        (pdf, GONDECOURT, "n'est pas signé"),
        (signed(issuer, issuer.person("Paul Renard"), pdf), GONDECOURT, "Claire Dubois qui est attendue"),
        (signed(issuer, issuer.person(siren="215903501"), pdf), GONDECOURT, f"pas le SIREN {SIREN}"),
        (signed(issuer, issuer.person(), bordereau.make(listed(3), GONDECOURT, "s")), GONDECOURT, "pas le document"),
        (good.replace(b"/Type", b"/Typo", 1), GONDECOURT, "bordereau-signe.pdf : "),
        (b"%PDF-1.7 rien", GONDECOURT, "bordereau-signe.pdf : "),
        (good, dataclasses.replace(GONDECOURT, signatory=""), "personne n'est déclaré"),
    ):
        with pytest.raises(BordereauSignatureError, match=said):
            verifier.check(content, pdf, account)
    pair = issuer.person()
    issuer.revoked.append(pair[0])
    issuer.write_crls()
    with pytest.raises(BordereauSignatureError, match="révoqué"):
        verifier.check(signed(issuer, pair, pdf), pdf, GONDECOURT)


def test_the_president_of_an_entity_signs_with_either_certificate(issuer: Issuer, verifier: Verifier) -> None:
    """The maire presides over the CCAS, with a certificate of the commune or one at the CCAS's SIREN."""
    ccas = Account("gondecourt-ccas", "CCAS", "265902668", signatory="Claire Dubois", signatory_siren=SIREN)
    pdf = bordereau.make(listed(), ccas, "sae-cdg59")
    for siren in ("265902668", SIREN):
        assert verifier.check(signed(issuer, issuer.person(siren=siren), pdf), pdf, ccas)["signataire"]
    for pair in (issuer.person(siren="215903501"), issuer.person("Paul Renard")):
        with pytest.raises(BordereauSignatureError):
            verifier.check(signed(issuer, pair, pdf), pdf, ccas)
    # What the CCAS's SIREN signs is nothing of the commune's.
    with pytest.raises(BordereauSignatureError, match=f"pas le SIREN {SIREN}"):
        verifier.check(signed(issuer, issuer.person(siren="265902668"), pdf), pdf, GONDECOURT)


def test_without_its_service_or_its_authorities_nothing_is_signed(issuer: Issuer, tmp_path: Path) -> None:
    def mute(source: BinaryIO, output: BinaryIO) -> None:
        source.readline()

    def unsure(source: BinaryIO, output: BinaryIO) -> None:
        receive.answer(source, output, {"unite": "sae-signature", "signataires": {"autorites": ["/absent"], "crl": []}})

    with pytest.raises(
        BordereauSignatureError, match=r"n'a pas pu être vérifiée \(.*systemctl status sae-signature.socket"
    ):
        Verifier(tmp_path / "absent").check(b"%PDF-1.7", b"%PDF-1.7", GONDECOURT)
    for judge, said in ((mute, "n'a pas pu être vérifiée"), (unsure, "fichier de confiance illisible")):
        with (
            listening(tmp_path / f"{judge.__name__}.sock", judge) as path,
            pytest.raises(BordereauSignatureError, match=said),
        ):
            Verifier(path).check(b"%PDF-1.7", b"%PDF-1.7", GONDECOURT)
