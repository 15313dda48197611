"""Small trusted lists (ETSI TS 119 612), signed with real keys: the list of the lists, a country's, its authorities."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from lxml import etree
from signxml import SignatureMethod
from signxml.xades import XAdESDataObjectFormat, XAdESSigner

Pair = tuple[x509.Certificate, rsa.RSAPrivateKey]
_NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
_URI = "http://uri.etsi.org/TrstSvc"
_QC_STATEMENTS = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.3")
FOR_SIGNATURES = bytes.fromhex("301f3008060604008e4601013013060604008e4601063009060704008e46010601")
FOR_SEALS = FOR_SIGNATURES[:-1] + b"\x02"


def authority(name: str, issuer: Pair | None = None, ca: bool = True) -> Pair:
    """A self-signed certificate, or one of an issuer: an authority, or who signs a list."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "FR"), x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder(
            issuer[0].subject if issuer else subject, subject, key.public_key(), x509.random_serial_number(),
            _NOW - dt.timedelta(days=2), _NOW + dt.timedelta(days=900),
        )
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.KeyUsage(not ca, not ca, False, False, False, ca, ca, False, False), critical=True)
    )  # fmt: skip # one call by its parts
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


def person(
    name: str,
    issuer: Pair,
    statements: bytes | None = FOR_SIGNATURES,
    start: dt.datetime = _NOW - dt.timedelta(days=1),
    end: dt.datetime = _NOW + dt.timedelta(days=300),
) -> Pair:
    """A supplier's certificate; qualified for signatures, unless told otherwise."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "BE"), x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder(issuer[0].subject, subject, key.public_key(), x509.random_serial_number(), start, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(True, True, False, False, False, False, False, False, False), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer[1].public_key()), critical=False)
    )
    if statements:
        builder = builder.add_extension(x509.UnrecognizedExtension(_QC_STATEMENTS, statements), critical=False)
    return builder.sign(issuer[1], hashes.SHA256()), key


def revocations(issuer: Pair, *revoked: x509.Certificate) -> bytes:
    """An authority's revocation list (PEM)."""
    builder = x509.CertificateRevocationListBuilder(
        issuer[0].subject, _NOW - dt.timedelta(hours=1), _NOW + dt.timedelta(days=7)
    ).add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer[1].public_key()), critical=False)
    for one in revoked:
        entry = x509.RevokedCertificateBuilder(one.serial_number, _NOW - dt.timedelta(hours=2))
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(issuer[1], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _certificate(one: x509.Certificate) -> str:
    der = base64.b64encode(one.public_bytes(serialization.Encoding.DER)).decode()
    return f"<DigitalId><X509Certificate>{der}</X509Certificate></DigitalId>"


def _stamp(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _list(
    territory: str, number: int, inside: str, after: str, issued: dt.datetime, next_update: dt.datetime | None
) -> str:
    following = f"<dateTime>{_stamp(next_update)}</dateTime>" if next_update else ""
    return (
        '<TrustServiceStatusList xmlns="http://uri.etsi.org/02231/v2#" Id="liste" '
        'TSLTag="http://uri.etsi.org/19612/TSLTag"><SchemeInformation>'
        f"<TSLVersionIdentifier>5</TSLVersionIdentifier><TSLSequenceNumber>{number}</TSLSequenceNumber>"
        f"<TSLType>{_URI}/TrustedList/TSLType/EUgeneric</TSLType>"
        f'<SchemeInformationURI><URI xml:lang="en">https://liste.test/info</URI></SchemeInformationURI>'
        f"<SchemeTerritory>{territory}</SchemeTerritory>{inside}"
        f"<ListIssueDateTime>{_stamp(issued)}</ListIssueDateTime><NextUpdate>{following}</NextUpdate>"
        f"</SchemeInformation>{after}</TrustServiceStatusList>"
    )


def sign(text: str, signer: Pair) -> bytes:
    """Sign a list (XAdES, enveloped)."""
    form = XAdESDataObjectFormat(Description="liste", MimeType="text/xml")
    made = XAdESSigner(data_object_format=form, signature_algorithm=SignatureMethod.RSA_SHA256).sign(
        etree.fromstring(text.encode()), key=signer[1], cert=[signer[0]]
    )
    return etree.tostring(made, xml_declaration=True, encoding="UTF-8")


def lotl(
    signer: Pair,
    lists: Sequence[tuple[str, str, Sequence[x509.Certificate]]],
    number: int = 300,
    issued: dt.datetime = _NOW - dt.timedelta(days=1),
    next_update: dt.datetime | None = _NOW + dt.timedelta(days=180),
) -> bytes:
    """The list of the lists: territory, address and signers of each."""
    pointers = "".join(
        "<OtherTSLPointer><ServiceDigitalIdentities><ServiceDigitalIdentity>"
        + "".join(map(_certificate, signers))
        + f"</ServiceDigitalIdentity></ServiceDigitalIdentities><TSLLocation>{url}</TSLLocation><AdditionalInformation>"
        f"<OtherInformation><SchemeTerritory>{territory}</SchemeTerritory></OtherInformation>"
        '<OtherInformation><m:MimeType xmlns:m="http://uri.etsi.org/02231/v2/additionaltypes#">'
        "application/vnd.etsi.tsl+xml</m:MimeType></OtherInformation></AdditionalInformation></OtherTSLPointer>"
        for territory, url, signers in lists
    )
    pointers = f"<PointersToOtherTSL>{pointers}</PointersToOtherTSL>"
    return sign(_list("EU", number, pointers, "", issued, next_update), signer)


def national(
    signer: Pair,
    territory: str,
    authorities: Sequence[x509.Certificate],
    number: int = 10,
    status: str = "granted",
    issued: dt.datetime = _NOW - dt.timedelta(days=1),
    next_update: dt.datetime | None = _NOW + dt.timedelta(days=180),
) -> bytes:
    """The list of a country, whose services issue certificates qualified for signatures."""
    services = "".join(
        f"<TSPService><ServiceInformation><ServiceTypeIdentifier>{_URI}/Svctype/CA/QC</ServiceTypeIdentifier>"
        f'<ServiceName><Name xml:lang="en">Service {rank}</Name></ServiceName>'
        f"<ServiceDigitalIdentity>{_certificate(one)}</ServiceDigitalIdentity>"
        f"<ServiceStatus>{_URI}/TrustedList/Svcstatus/{status}</ServiceStatus>"
        f"<StatusStartingTime>{_stamp(_NOW - dt.timedelta(days=100))}</StatusStartingTime>"
        '<ServiceInformationExtensions><Extension Critical="true"><AdditionalServiceInformation>'
        f'<URI xml:lang="en">{_URI}/TrustedList/SvcInfoExt/ForeSignatures</URI>'
        "</AdditionalServiceInformation></Extension></ServiceInformationExtensions>"
        "</ServiceInformation></TSPService>"
        for rank, one in enumerate(authorities)
    )
    provider = (
        '<TrustServiceProviderList><TrustServiceProvider><TSPInformation><TSPName><Name xml:lang="en">Prestataire'
        f"</Name></TSPName></TSPInformation><TSPServices>{services}</TSPServices></TrustServiceProvider>"
        "</TrustServiceProviderList>"
    )
    return sign(_list(territory, number, "", provider, issued, next_update), signer)
