"""The clerk's certificates, as Chromium's store has them now."""

from __future__ import annotations

import datetime as dt
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

WARN_DAYS = 30  # an RGS renewal takes weeks, but the expiry watch warns from 90 days on
_TIMEOUT = 20  # seconds


@dataclass(frozen=True)
class Wanted:
    """A certificate which must be there: shown name, name in the store, token which holds it (or empty)."""

    name: str
    nss_name: str
    token: str


@dataclass(frozen=True)
class State:
    """Its state.

    Attributes:
        problem: what is wrong, in French, with the fix; empty when it can serve.
        days: whole days left, None when it is not there.
        end: last day (JJ/MM/AAAA), empty when it is not there.
    """

    wanted: Wanted
    problem: str = ""
    days: int | None = None
    end: str = ""


def read(store: Path, wanted: Wanted) -> x509.Certificate | None:
    """Return the certificate which the store has under that name (the one which lasts longest)."""
    place = ["-h", wanted.token] if wanted.token else []
    command = ["certutil", "-L", "-d", f"sql:{store}", *place, "-n", wanted.nss_name, "-a"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode or b"BEGIN CERTIFICATE" not in done.stdout:
        return None
    found = x509.load_pem_x509_certificates(done.stdout)
    return max(found, key=lambda certificate: certificate.not_valid_after_utc)


def revoked_by(certificate: x509.Certificate, crls: bytes) -> str:
    """Return the day (JJ/MM/AAAA) a certificate was revoked by its issuer's CRL, or an empty text."""
    end = b"-----END X509 CRL-----\n"
    for part in crls.split(end):
        if b"BEGIN X509 CRL" not in part:
            continue
        crl = x509.load_pem_x509_crl(part + end)
        if crl.issuer != certificate.issuer:
            continue
        entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
        if entry is not None:
            return entry.revocation_date_utc.strftime("%d/%m/%Y")
    return ""


def state(wanted: Wanted, certificate: x509.Certificate | None, crls: bytes, now: dt.datetime) -> State:
    """Tell whether a certificate can serve."""
    if certificate is None:
        fix = f"brancher le jeton « {wanted.token} »" if wanted.token else "relancer le déploiement de ce poste"
        return State(wanted, f"le certificat « {wanted.name} » n'est pas sur ce poste : {fix}")
    end = certificate.not_valid_after_utc.strftime("%d/%m/%Y")
    days = (certificate.not_valid_after_utc - now).days
    problem = ""
    day = revoked_by(certificate, crls)
    if day:
        problem = (
            f"le certificat « {wanted.name} » est révoqué depuis le {day} : le TdT le refuse, il en faut un nouveau"
        )
    elif certificate.not_valid_after_utc <= now:
        problem = f"le certificat « {wanted.name} » a expiré le {end} : il faut le renouveler"
    return State(wanted, problem, days, end)
