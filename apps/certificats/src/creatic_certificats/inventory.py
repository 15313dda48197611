"""Finds the certificates and CRLs of this machine.

Three sources: ``/etc/creatic/pki/*/current/cert.pem`` (the groupement's), and in
``/etc/creatic/certificats.d`` ``*.pem`` (public copies of what lives elsewhere: NSS store, token) and
``*.conf``, whose lines are ``name = /path/of/certificate.pem``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from creatic_agent.reasons import reason


@dataclass(frozen=True)
class Watched:
    """One thing which expires.

    Attributes:
        name: what the technician calls it.
        path: file it was read from.
        end: when it expires (None when the file cannot be read; `problem` then says why, in French).
        certificate: None for a CRL or an unreadable file.
    """

    name: str
    path: Path
    end: dt.datetime | None
    certificate: x509.Certificate | None = None
    problem: str = ""

    @property
    def is_crl(self) -> bool:
        """Whether it is a revocation list."""
        return self.certificate is None and self.end is not None

    @property
    def holder(self) -> str:
        """Common name, or an empty string."""
        names = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME) if self.certificate else []
        return str(names[0].value) if names else ""

    @property
    def serial(self) -> str:
        """Serial number, 40 hexadecimal digits, or an empty string."""
        return f"{self.certificate.serial_number:040x}" if self.certificate else ""

    def days(self, now: dt.datetime) -> int:
        """Whole days left; negative once expired or when unreadable."""
        return (self.end - now).days if self.end else -1

    def _extension[E: x509.ExtensionType](self, kind: type[E]) -> E | None:
        """An extension of the certificate, if it has it."""
        try:
            return self.certificate.extensions.get_extension_for_class(kind).value if self.certificate else None
        except x509.ExtensionNotFound:
            return None

    def is_for(self, usage: x509.ObjectIdentifier) -> bool:
        """Whether the certificate carries this extended key usage."""
        return usage in (self._extension(x509.ExtendedKeyUsage) or ())

    @property
    def is_server(self) -> bool:
        """Whether it is a server's certificate."""
        return self.is_for(ExtendedKeyUsageOID.SERVER_AUTH)

    @property
    def is_client(self) -> bool:
        """Whether it is a client's certificate."""
        return self.is_for(ExtendedKeyUsageOID.CLIENT_AUTH)

    @property
    def names_a_machine(self) -> bool:
        """Whether it bears a DNS name: a client's that does is for the groupement's own supervision, and for no TdT."""
        names = self._extension(x509.SubjectAlternativeName)
        return bool(names and names.get_values_for_type(x509.DNSName))


def read_certificate(name: str, path: Path) -> Watched:
    """Read a PEM (or DER) certificate; what cannot be read is reported, never left out."""
    try:
        data = path.read_bytes()
        load = x509.load_pem_x509_certificate if b"-----BEGIN" in data else x509.load_der_x509_certificate
        certificate = load(data)
    except OSError as error:
        return Watched(name, path, None, problem=f"illisible ({reason(error)})")
    except ValueError:
        return Watched(name, path, None, problem="ce fichier n'est pas un certificat")
    return Watched(name, path, certificate.not_valid_after_utc, certificate)


def _configured(path: Path) -> Iterator[Watched]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, separator, target = (part.strip() for part in text.partition("="))
        if not separator or not name or not target.startswith("/"):
            yield Watched(path.stem, path, None, problem=f"ligne {number} : « nom = /chemin » attendu")
            continue
        yield read_certificate(name, Path(target))


def certificates(etc: Path) -> list[Watched]:
    """List the certificates of the machine, the first to expire first, unreadable ones before all."""
    found = [read_certificate(path.parent.parent.name, path) for path in etc.glob("pki/*/current/cert.pem")]
    found += [
        Watched(link.parent.name, link / "cert.pem", None, problem="certificat absent")
        for link in etc.glob("pki/*/current")
        if not (link / "cert.pem").exists()
    ]
    found += [read_certificate(path.stem, path) for path in etc.glob("certificats.d/*.pem")]
    for path in etc.glob("certificats.d/*.conf"):
        found += _configured(path)
    never = dt.datetime.min.replace(tzinfo=dt.UTC)
    return sorted(found, key=lambda one: (one.end or never, one.name))


def crls(etc: Path) -> list[Watched]:
    """List the revocation lists of ``pki/crl.pem``."""
    path = etc / "pki" / "crl.pem"
    if not path.exists():
        return []
    end = b"-----END X509 CRL-----"
    found = []
    try:
        for block in path.read_bytes().split(end)[:-1]:
            crl = x509.load_pem_x509_crl(block + end)
            names = crl.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
            name = str(names[0].value) if names else "?"
            found.append(Watched(f"CRL {name}", path, crl.next_update_utc))
    except (OSError, ValueError):
        return [Watched("CRL", path, None, problem="liste de révocation illisible")]
    return found
