"""What is sealed, judged whole by others: pyHanko's AdES validation (ETSI EN 319 102-1), poppler's pdfsig, qpdf.

The door's own check reads with pyHanko too, but not by this procedure, which takes what is in the file alone.
"""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.ades.report import AdESFailure, AdESPassed
from pyhanko.sign.validation.ades import AdESBasicValidationResult, ades_basic_validation, ades_lta_validation
from pyhanko.sign.validation.policy_decl import (
    LocalKnowledge,
    PdfSignatureValidationSpec,
    RevinfoOnlineFetchingRule,
    RevocationInfoGatheringSpec,
    SignatureValidationSpec,
)
from pyhanko_certvalidator.context import CertValidationPolicySpec
from pyhanko_certvalidator.policy_decl import REQUIRE_REVINFO, CertRevTrustPolicy
from pyhanko_certvalidator.registry import SimpleTrustManager
from pyhanko_certvalidator.revinfo.archival import CRLContainer
from signature_actes import pades
from signature_actes.stamp import LocalUnit
from signature_actes.trust import Trust

from apps.signature.tests.conftest import Issuer, run, software
from apps.signature.tests.test_pades import pdfsig


@pytest.fixture
def both(issuer: Issuer, tmp_path: Path) -> tuple[Issuer, Trust]:
    """The groupement's authority, and what it and the person's are trusted for."""
    groupement = Issuer("du groupement", tmp_path / "groupement")
    folders = (issuer.folder, groupement.folder)
    return groupement, Trust.read([one / "ca.pem" for one in folders], [one / "crl.pem" for one in folders])


@pytest.fixture
def sealed(issuer: Issuer, both: tuple[Issuer, Trust], act: Path, tmp_path: Path) -> Path:
    """A délibération signed by a person, then sealed."""
    groupement, trust = both
    signed, target = tmp_path / "signe.pdf", tmp_path / "cachete.pdf"
    asyncio.run(pades.sign(act, signed, software(issuer, issuer.person())))
    seal = software(groupement, groupement.person("Cachet du parapheur", "285900015"))
    asyncio.run(pades.seal(signed, target, seal, LocalUnit(groupement.tsa()), trust))
    return target


def asked(trust: Trust, local: bool = False) -> SignatureValidationSpec:
    """Nothing is fetched, revocation is required.

    Args:
        local: certificates and lists are given beside the file.
    """
    policy = CertValidationPolicySpec(
        trust_manager=SimpleTrustManager.build(trust_roots=trust.roots),
        revinfo_policy=CertRevTrustPolicy(REQUIRE_REVINFO),
    )
    offline = RevocationInfoGatheringSpec(online_fetching_rule=RevinfoOnlineFetchingRule.LOCAL_ONLY)
    beside = LocalKnowledge(known_crls=[CRLContainer(one) for one in trust.crls], known_certs=list(trust.others))
    return SignatureValidationSpec(policy, offline, local_knowledge=beside if local else LocalKnowledge())


def test_the_seal_is_valid_for_long_from_the_file_alone(sealed: Path, both: tuple[Issuer, Trust]) -> None:
    reader = PdfFileReader(io.BytesIO(sealed.read_bytes()))
    _, seal = reader.embedded_regular_signatures
    found = asyncio.run(ades_lta_validation(seal, PdfSignatureValidationSpec(asked(both[1]))))
    assert found.ades_subindic is AdESPassed.OK, found.failure_msg
    assert found.api_status is not None and found.api_status.bottom_line


def basic(data: bytes, trust: Trust) -> AdESBasicValidationResult[Any]:
    """The person's signature has no timestamp of its own: it is judged as a basic one."""
    person = PdfFileReader(io.BytesIO(data)).embedded_regular_signatures[0]
    return asyncio.run(
        ades_basic_validation(person.signed_data, asked(trust, local=True), raw_digest=person.compute_digest())
    )


def test_the_person_s_signature_is_valid_and_an_altered_act_s_is_not(sealed: Path, both: tuple[Issuer, Trust]) -> None:
    data = bytearray(sealed.read_bytes())
    found = basic(bytes(data), both[1])
    assert found.ades_subindic is AdESPassed.OK, found.failure_msg
    data[data.index(b"/Producer") + 12] ^= 1
    assert basic(bytes(data), both[1]).ades_subindic is AdESFailure.HASH_FAILURE


def test_qpdf_and_poppler_find_nothing_to_say(sealed: Path, issuer: Issuer) -> None:
    told = run("qpdf", "--check", sealed)
    assert "No syntax or stream encoding errors found" in told
    assert "warning" not in told.lower()
    assert [one["Signature Validation"] for one in pdfsig(issuer, sealed)[:2]] == ["Signature is Valid."] * 2
    assert "Délibération 2026-11-05" in run("pdftotext", sealed, "-")
