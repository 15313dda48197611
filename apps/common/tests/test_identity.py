"""Whose certificate it is that nginx verified."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from creatic_agent.identity import (
    NOBODY,
    Denied,
    Identity,
    Kind,
    certificate_of,
    holder_of,
    identity_of,
    kind_of,
    names_of,
    shown,
    siren_of,
)
from testbed.authority import certificate

UNIT, IDENTIFIER = NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.ORGANIZATION_IDENTIFIER
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
MAIL, ANY = ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE


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


@pytest.mark.parametrize(
    ("usages", "calls"),
    [([], True), ([CLIENT], True), ([MAIL, CLIENT], True), ([MAIL], False), ([SERVER], False), ([ANY], False)],
)
def test_who_signs_is_told_from_who_calls(usages: list[x509.ObjectIdentifier], calls: bool) -> None:
    """As TLS reads usages: none said is any, and « any » said is not enough."""
    named = x509.NameAttribute(NameOID.COMMON_NAME, "Claire Dubois")
    subject = x509.Name([named, x509.NameAttribute(UNIT, "0002 215902669")])
    extensions = [x509.ExtendedKeyUsage(usages)] * bool(usages)
    made = certificate("", None, subject=subject, extensions=extensions)[0]
    claire = Identity(Kind.PERSON, "215902669", "Claire Dubois")
    assert holder_of(made) == claire
    assert identity_of(made) == (claire if calls else NOBODY)
    authority = certificate("", None, subject=subject, ca=True)[0]
    assert holder_of(authority) == identity_of(authority) == NOBODY


def test_a_name_may_be_written_with_the_hyphens_of_a_word_processor() -> None:
    """A PC's holder is as its commune's file says; the authority certifies it."""
    assert kind_of("Accueil Saint\u2011Omer") is kind_of("Accueil Saint\u2010Omer") is Kind.PERSON


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ([(NameOID.COMMON_NAME, "Claire Dubois")], "qui ne porte pas de SIREN"),
        ([(NameOID.COMMON_NAME, "Claire Dubois"), (UNIT, "0002 215902669")], "au SIREN 215902669"),
        (
            [(NameOID.COMMON_NAME, "Machine - pc"), (UNIT, "0002 215902669")],
            "de machine, qui n'a affaire qu'au guichet",
        ),
        ([(NameOID.COMMON_NAME, "Passerelle des archives"), (UNIT, "0002 215902669")], "d'un service du groupement"),
        ([(NameOID.COMMON_NAME, "\u202ePasserelle"), (UNIT, "0002 215902669")], "au nom que personne ne porte"),
    ],
)
def test_a_refusal_says_what_a_certificate_is_and_nothing_that_its_holder_chose(
    attributes: list[tuple[x509.ObjectIdentifier, str]], said: str
) -> None:
    assert shown(bearing(*attributes)).startswith(said)
