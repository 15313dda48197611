"""Whose certificate it is that nginx verified."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from creatic_agent.identity import Denied, certificate_of, names_of, siren_of
from testbed.authority import certificate

UNIT, IDENTIFIER = NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.ORGANIZATION_IDENTIFIER


def bearing(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Certificate:
    """A certificate whose subject has these attributes."""
    return certificate("", None, subject=x509.Name([x509.NameAttribute(*one) for one in attributes]))[0]


@pytest.mark.parametrize(
    ("attributes", "siren"),
    [
        ([(UNIT, "0002 215902669")], "215902669"),
        ([(UNIT, "0002-21590266900013")], "215902669"),  # a SIRET begins with the SIREN
        ([(UNIT, "0002215902669")], "215902669"),
        ([(IDENTIFIER, "NTRFR-215902669")], "215902669"),
        ([(UNIT, "Mairie"), (UNIT, "0002 215902669"), (IDENTIFIER, "NTRFR-215902669")], "215902669"),
        ([(UNIT, "0002 215902669"), (UNIT, "0002 215903683")], None),
        ([(UNIT, "0002 215902669"), (IDENTIFIER, "NTRFR-215903683")], None),
        ([(UNIT, "0002 2159026690")], None),
        ([(UNIT, "10002 215902669")], None),
        ([(IDENTIFIER, "NTRBE-215902669")], None),
        ([(NameOID.ORGANIZATION_NAME, "0002 215902669")], None),
    ],
)
def test_a_subject_s_siren_is_the_one_it_bears(
    attributes: list[tuple[x509.ObjectIdentifier, str]], siren: str | None
) -> None:
    assert siren_of(bearing(*attributes)) == siren


def test_a_request_s_certificate_is_the_one_of_nginx_s_header() -> None:
    made = bearing((NameOID.COMMON_NAME, "Poste"), (NameOID.COMMON_NAME, "Secrétariat"), (UNIT, "0002 215902669"))
    pem = made.public_bytes(serialization.Encoding.PEM).decode()
    assert certificate_of(quote(pem)) == made
    assert names_of(made) == ["Poste", "Secrétariat"]
    for header in ("", "rien", quote("é"), quote(pem[:-40])):
        with pytest.raises(Denied, match="Aucun certificat client n'a été présenté"):
            certificate_of(header)
