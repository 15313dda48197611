# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the authority signs: certificates of the CAs, of holders, CRLs; and PKCS#12 files. No state here.

RFC 5280 for the fields, RGS for the subjects (in pki_common), RFC 3161 for time-stamping.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import (
    COUNTRY,
    PROFILES,
    PkiError,
    PrivateKey,
    Request,
    load_certificate,
    pem,
    utc_now,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

ROOT, ISSUING = "racine", "emettrice"
ROOT_DAYS, ISSUING_DAYS = 3652, 1826
BACKDATE = dt.timedelta(minutes=5)  # for hosts whose clock is a little late
POLICY_NUMBERS = {"client": 1, "signature": 2, "server": 3, "tsa": 4, "supervision": 5, "code": 6}
ANY_POLICY = x509.ObjectIdentifier("2.5.29.32.0")

# What an operator types for a reason, and its RFC 5280 code.
REASONS: dict[str, x509.ReasonFlags] = {
    "non_precise": x509.ReasonFlags.unspecified,
    "compromission": x509.ReasonFlags.key_compromise,
    "compromission_ac": x509.ReasonFlags.ca_compromise,
    "changement": x509.ReasonFlags.affiliation_changed,
    "remplacement": x509.ReasonFlags.superseded,
    "cessation": x509.ReasonFlags.cessation_of_operation,
}

_KEY_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


@dataclass(frozen=True)
class Settings:
    """What an authority is. Kept in the registry.

    Attributes:
        organization: O of the CA certificates.
        label: what tells this authority from others, in its common names.
        policy_arc: OID under which its certificate policies are numbered (`POLICY_NUMBERS`).
        crl_url: folder URL where ``publie/*.crl`` are served, or empty for no distribution point.
        leaf_days: life of a certificate, days.
    """

    organization: str
    label: str
    policy_arc: str
    crl_url: str = ""
    leaf_days: int = 365

    def check(self) -> None:
        """Raise `PkiError` when a setting is wrong."""
        for name, limit in (("organization", 64), ("label", 45)):
            if not 0 < len(getattr(self, name)) <= limit:
                raise PkiError(f"autorité de certification, champ {name} : 1 à {limit} caractères attendus")
        if not re.fullmatch(r"[0-2](\.(0|[1-9][0-9]*))+", self.policy_arc):
            raise PkiError(f"autorité de certification, champ policy_arc : « {self.policy_arc} » n'est pas un OID")
        if self.crl_url and not re.fullmatch(r"http://[^\s]+[^/\s]", self.crl_url):
            raise PkiError(
                "autorité de certification, champ crl_url : attendu http://…, sans barre finale "
                "(une CRL est signée : la servir en https ferait dépendre sa vérification d'elle-même)"
            )
        if not 1 <= self.leaf_days <= 1095:
            raise PkiError("autorité de certification, champ leaf_days : 1 à 1095 jours attendus")


def subject_key(certificate: x509.Certificate) -> x509.SubjectKeyIdentifier:
    """Return the subject key identifier."""
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value


def issuer_key(certificate: x509.Certificate) -> str:
    """Return the key identifier of the issuer, hexadecimal: the same for all certificates of one CA key."""
    found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    return (found or b"").hex()


def name_part(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    """Return one attribute of the subject, or an empty string."""
    values = certificate.subject.get_attributes_for_oid(oid)
    return str(values[0].value) if values else ""


def make_root(settings: Settings, key: ec.EllipticCurvePrivateKey, mark: str = "") -> x509.Certificate:
    """Return the self-signed certificate of a root (path length 1).

    Args:
        mark: goes into its name: after a renewal, no two roots share a subject.
    """
    name = _authority_name("AC racine", mark, settings)
    builder = _authority_builder(name, key.public_key(), utc_now() + dt.timedelta(days=ROOT_DAYS), path_length=1)
    own = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return builder.issuer_name(name).add_extension(own, critical=False).sign(key, hashes.SHA384())


def make_issuing(
    settings: Settings,
    public_key: Any,
    mark: str,
    root: x509.Certificate,
    root_key: ec.EllipticCurvePrivateKey,
    root_name: str = ROOT,
) -> x509.Certificate:
    """Return the certificate of an issuing CA (path length 0).

    Args:
        mark: goes into its name: after a replacement, no two CAs share a subject.
        root_name: of the root, which its revocation list is published under.
    """
    end = min(utc_now() + dt.timedelta(days=ISSUING_DAYS), root.not_valid_after_utc)
    builder = _authority_builder(_authority_name("AC émettrice", mark, settings), public_key, end, path_length=0)
    builder = builder.issuer_name(root.subject).add_extension(_signed_by(root), critical=False)
    any_policy = x509.CertificatePolicies([x509.PolicyInformation(ANY_POLICY, None)])
    builder = builder.add_extension(any_policy, critical=False)
    if settings.crl_url:
        builder = builder.add_extension(_distribution_point(settings, root_name), critical=False)
    return builder.sign(root_key, hashes.SHA384())


def make_leaf(
    settings: Settings,
    request: Request,
    public_key: Any,
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    issuer_name: str = ISSUING,
) -> x509.Certificate:
    """Return a holder's certificate, which never outlives its issuer, whose list is published under `issuer_name`."""
    now = utc_now()
    policy = x509.ObjectIdentifier(f"{settings.policy_arc}.{POLICY_NUMBERS[request.profile]}")
    usages = x509.ExtendedKeyUsage(PROFILES[request.profile])
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject())
        .issuer_name(issuer.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(min(now + dt.timedelta(days=settings.leaf_days), issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(request), critical=True)
        .add_extension(usages, critical=request.profile == "tsa")  # RFC 3161 2.3
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(_signed_by(issuer), critical=False)
        .add_extension(x509.CertificatePolicies([x509.PolicyInformation(policy, None)]), critical=False)
    )
    if request.dns:
        names = [x509.DNSName(name) for name in request.dns]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if settings.crl_url:
        builder = builder.add_extension(_distribution_point(settings, issuer_name), critical=False)
    return builder.sign(key, hashes.SHA256())


def make_crl(
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    number: int,
    days: int,
    revoked: Iterable[tuple[int, dt.datetime, str]],
) -> x509.CertificateRevocationList:
    """Return a CRL.

    Args:
        number: CRL number, greater than the one before.
        days: until the next one is due.
        revoked: serial number, instant, and one of `REASONS` for each certificate.
    """
    now = utc_now()
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(now - BACKDATE)
        .next_update(now + dt.timedelta(days=days))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(_signed_by(issuer), critical=False)
    )
    for serial, instant, reason in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(instant)
        if reason != "non_precise":  # RFC 5280 5.3.1: leave the extension out
            entry = entry.add_extension(x509.CRLReason(REASONS[reason]), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(key, hashes.SHA384())


def make_p12(key: PrivateKey, certificate: str, chain: str, password: str, label: str) -> bytes:
    """Return a PKCS#12 file (PBES2, AES-256, HMAC-SHA-256) protected by a password.

    Args:
        certificate: PEM.
        chain: PEM of the certificates above it.
        label: friendly name.

    Raises:
        PkiError: the password is empty.
    """
    if not password:
        raise PkiError("fichier .p12 : un mot de passe est obligatoire")
    encryption = (
        serialization.PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(100_000)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(password.encode())
    )
    above = x509.load_pem_x509_certificates(chain.encode())
    return pkcs12.serialize_key_and_certificates(label.encode(), key, load_certificate(certificate), above, encryption)


def ensure_p12(path: Path, folder: Path, password: str, label: str, check: bool = False) -> bool:
    """Bring a .p12 file (0600) to the key and certificate of a folder; tells whether it changed.

    Args:
        folder: holds key.pem, cert.pem and chain.pem (a ``current`` of `pki_host.HostStore`).
    """
    if not (folder / "cert.pem").is_file():
        if check:
            return True  # issued by this run, were it not a check
        raise PkiError(f"{folder} : certificat absent")
    certificate = (folder / "cert.pem").read_text(encoding="ascii")
    with contextlib.suppress(OSError, ValueError):
        known = pkcs12.load_pkcs12(path.read_bytes(), password.encode())
        if known.key is not None and known.cert is not None and pem(known.cert.certificate) == certificate:
            return False
    if check:
        return True
    key = serialization.load_pem_private_key((folder / "key.pem").read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise PkiError(f"{folder / 'key.pem'} : type de clé inattendu")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    chain = (folder / "chain.pem").read_text(encoding="ascii")
    write(path, make_p12(key, certificate, chain, password, label), 0o600)
    return True


def _authority_name(role: str, mark: str, settings: Settings) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, COUNTRY),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, settings.organization),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{role} {settings.label} {mark}".strip()),
        ]
    )


def _authority_builder(name: x509.Name, public_key: Any, end: dt.datetime, path_length: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(utc_now() - BACKDATE)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_build_key_usages("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _signed_by(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject_key(issuer))


def _build_key_usages(*wanted: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in wanted for name in _KEY_USAGES})


def _key_usage(request: Request) -> x509.KeyUsage:
    if request.profile in ("signature", "tsa"):
        return _build_key_usages("digital_signature", "content_commitment")
    if request.profile == "server" and request.key_type == "rsa":
        return _build_key_usages("digital_signature", "key_encipherment")
    return _build_key_usages("digital_signature")


def _distribution_point(settings: Settings, name: str) -> x509.CRLDistributionPoints:
    address = x509.UniformResourceIdentifier(f"{settings.crl_url}/{name}.crl")
    return x509.CRLDistributionPoints([x509.DistributionPoint([address], None, None, None)])
