"""Proves over TLS that certificates do what they should: a server shows its own, a client's is accepted."""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.parse
from pathlib import Path

from cryptography import x509

from creatic_agent.errors import CreaticError
from creatic_agent.reasons import because

from .inventory import Watched

TIMEOUT = 15.0  # seconds


class ProbeError(CreaticError, cause="sonde"):
    """The probe could not be made; the message (French) says why. It proves nothing either way."""


def _context(etc: Path) -> ssl.SSLContext:
    """A context which trusts the groupement's authority only, and checks the whole chain against the CRLs."""
    context = ssl.create_default_context(cafile=str(etc / "pki" / "ca.pem"))
    context.load_verify_locations(cafile=str(etc / "pki" / "crl.pem"))
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    # A chain which may end at the issuing CA has no issuer for the root's CRL, and would always fail.
    context.verify_flags &= ~ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def served(one: Watched, etc: Path, address: str, port: int) -> str:
    """Ask a server for its certificate; returns why (French) it is not the right one, or an empty string.

    Args:
        address: where to connect; the name asked for is the certificate's first DNS name.
    """
    if one.certificate is None:
        return one.problem
    names = one.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    name = names.get_values_for_type(x509.DNSName)[0]
    try:
        with (
            socket.create_connection((address, port), TIMEOUT) as raw,
            _context(etc).wrap_socket(raw, server_hostname=name) as tls,
        ):
            shown = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")
    except ssl.SSLCertVerificationError as error:
        return f"le serveur montre un certificat refusé : {error.verify_message}"
    except OSError as error:
        raise ProbeError(f"{name} ne répond pas sur {address}, port {port} : {because(error)}") from error
    if shown.serial_number != one.certificate.serial_number:
        return f"le serveur montre encore le certificat n° {shown.serial_number:040x}"
    return ""


def accepted(one: Watched, etc: Path, url: str) -> str:
    """Show a client certificate to a server; returns why (French) it was refused, or an empty string.

    nginx completes the handshake and answers 400 to a certificate it refuses (495 and 496 within);
    other servers send a TLS alert. Both count as a refusal.

    Raises:
        ProbeError: the server cannot be reached or its own certificate is not good.
    """
    parts = urllib.parse.urlsplit(url)
    context = _context(etc)
    try:
        context.load_cert_chain(one.path.with_name("fullchain.pem"), one.path.with_name("key.pem"))
    except (OSError, ssl.SSLError) as error:
        raise ProbeError(f"certificat « {one.name} » : clé ou chaîne illisible ({error})") from error
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port or 443, timeout=TIMEOUT, context=context)
    try:
        connection.connect()
    except ssl.SSLCertVerificationError as error:
        raise ProbeError(f"{url} : le certificat du serveur est refusé ({error.verify_message})") from error
    except ssl.SSLError as error:
        return f"refusé par {parts.hostname} ({error.reason})"
    except OSError as error:
        raise ProbeError(f"{url} ne répond pas : {because(error)}") from error
    try:
        connection.request("GET", parts.path or "/")
        status = connection.getresponse().status
    except (ssl.SSLError, ConnectionError, http.client.HTTPException) as error:
        return f"refusé par {parts.hostname} ({error})"
    finally:
        connection.close()
    return f"refusé par {parts.hostname} (HTTP {status})" if status in (400, 401, 403, 495, 496) else ""
