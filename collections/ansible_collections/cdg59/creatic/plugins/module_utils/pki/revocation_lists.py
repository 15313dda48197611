# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Revocation lists of other authorities: fetched where they publish them, kept only when they are theirs (RFC 5280)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import Change, StateError, write
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

MAX_BYTES = 20 * 1024 * 1024  # of a list; a large provider's is under 2 MB


@dataclass(frozen=True)
class Source:
    """Where a list is published, and where the control node keeps it (PEM)."""

    url: str
    path: Path


def read(content: bytes) -> x509.CertificateRevocationList:
    """Read a list, PEM or DER.

    Raises:
        ValueError: it is neither.
    """
    if content.lstrip().startswith(b"-----BEGIN"):
        return x509.load_pem_x509_crl(content)
    return x509.load_der_x509_crl(content)


def authorities(files: list[Path]) -> list[x509.Certificate]:
    """Certificates of PEM files.

    Raises:
        StateError: a file cannot be read.
    """
    found: list[x509.Certificate] = []
    for path in files:
        try:
            found += x509.load_pem_x509_certificates(path.read_bytes())
        except (OSError, ValueError) as error:
            raise StateError(f"{path} : certificats d'autorité illisibles ({error})") from None
    return found


def _is_signed_by(found: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    if found.issuer != issuer.subject:
        return False
    try:
        return bool(found.is_signature_valid(issuer.public_key()))  # type: ignore[arg-type] # a CA's key signs
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
        return False


def check(content: bytes, issuers: list[x509.Certificate], now: dt.datetime) -> x509.CertificateRevocationList:
    """Read a list that was fetched, and make sure that it can be used.

    Raises:
        StateError: it is no list, none of the authorities signed it, or it is not of today. French, without the
            address, which the caller says.
    """
    try:
        found = read(content)
    except ValueError:
        raise StateError("ce n'est pas une liste de révocation (DER ou PEM)") from None
    if not any(_is_signed_by(found, issuer) for issuer in issuers):
        name = found.issuer.rfc4514_string()
        raise StateError(f"elle n'est signée par aucune des autorités admises (elle se dit de {name})")
    if found.last_update_utc > now:
        raise StateError(f"elle est datée du futur ({found.last_update_utc:%d/%m/%Y %H:%M} UTC)")
    if not found.next_update_utc or found.next_update_utc <= now:
        end = f"{found.next_update_utc:%d/%m/%Y %H:%M} UTC" if found.next_update_utc else "sans date de fin"
        raise StateError(f"elle est périmée ({end})")
    return found


def refresh(
    sources: list[Source],
    issuers: list[x509.Certificate],
    fetch: Callable[[str], bytes],
    now: dt.datetime,
    check_only: bool = False,
) -> tuple[list[Change], list[str]]:
    """Bring the kept lists up to what is published. A list that cannot be used replaces nothing.

    Args:
        sources: lists and where each is kept.
        issuers: authorities that are admitted.
        fetch: gives what is at an address, or raises OSError or ValueError.
        now: present, with its zone.
        check_only: write nothing.

    Returns:
        What changed, and a French sentence for each list that could not be had; the others are kept all the same.
    """
    changes, faults = [], []
    for source in sources:
        try:
            found = check(fetch(source.url), issuers, now)
        except (StateError, OSError, ValueError) as error:
            faults.append(f"{source.url} : {error} ; {_describe_kept_list(source.path, now)}")
            continue
        text = found.public_bytes(Encoding.PEM).decode()
        before = source.path.read_text(encoding="ascii", errors="replace") if source.path.exists() else ""
        if before == text:
            continue
        present = _load_present(source.path)
        # A list that revokes nothing is false.
        if present is not None and present.issuer == found.issuer and present.last_update_utc > found.last_update_utc:
            faults.append(
                f"{source.url} : plus ancienne que celle qui est gardée ; {_describe_kept_list(source.path, now)}"
            )
            continue
        changes.append(Change(str(source.path), _validity_text(present), _validity_text(found)))
        if not check_only:
            source.path.parent.mkdir(parents=True, exist_ok=True)
            write(source.path, text)
    return changes, faults


def _load_present(path: Path) -> x509.CertificateRevocationList | None:
    try:
        return read(path.read_bytes())
    except (OSError, ValueError):
        return None


def _validity_text(found: x509.CertificateRevocationList | None) -> str:
    end = found.next_update_utc if found is not None else None
    return f"valable jusqu'au {end:%d/%m/%Y %H:%M} UTC" if end else ""


def _describe_kept_list(path: Path, now: dt.datetime) -> str:
    present = _load_present(path)
    if present is None or not present.next_update_utc:
        return f"{path} n'en a aucune : personne ne pourra signer avec cette autorité"
    if present.next_update_utc <= now:
        return f"{path} est périmée depuis le {present.next_update_utc:%d/%m/%Y} : plus personne ne peut signer"
    return f"{path} est gardée, elle est {_validity_text(present)}"
