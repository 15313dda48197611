# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""EU trusted lists: who issues qualified certificates (eIDAS, article 22; decision 2015/1505; ETSI TS 119 612).

The list of the lists (LOTL) is signed by certificates that the configuration pins; it names those that sign the list of
each country. All are kept as they were published::

    confiance/eu-lotl.xml  confiance/FR.xml …  confiance/confiance.json  confiance/autorites.pem

and judged anew at each turn, by the LOTL that is kept: a list whose signatory it no longer names counts no more.
``confiance.json`` is what servers are given: services that issue qualified certificates, and nothing of the rest. A
list that cannot be had, is not signed by who it must, or is older than the one that is kept replaces nothing.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import Change, StateError, write
from asn1crypto import x509
from cryptography.x509 import load_der_x509_certificate
from lxml import etree
from pyhanko.sign.validation.qualified import eutl_parse
from pyhanko.sign.validation.qualified.tsp import (
    CAServiceInformation,
    CertSubjectDNCriterion,
    CriteriaList,
    Criterion,
    KeyUsageCriterion,
    PolicySetCriterion,
)
from signxml.exceptions import SignXMLException
from signxml.xades import XAdESSignatureConfiguration, XAdESVerifier

MAX_BYTES = 60 * 1024 * 1024  # of a list; the largest are some 6 MB
LOTL = "eu-lotl.xml"
COMPILED = "confiance.json"
AUTHORITIES = "autorites.pem"
FIGURES = "confiance.prom"
_TSL = "http://uri.etsi.org/02231/v2#"
_TERRITORY = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True)
class Signed:
    """A list whose signature is good: what was signed, and what it says of itself."""

    xml: str
    territory: str
    number: int
    issued: dt.datetime
    next_update: dt.datetime | None

    @property
    def age(self) -> tuple[int, dt.datetime]:
        """What grows with each list of a territory."""
        return (self.number, self.issued)


@dataclass
class Outcome:
    """What a turn did.

    Attributes:
        faults: French, what could not be had or counts no more.
        changes: files that changed.
        complete: all that the LOTL names was had today.
        numbers: of the lists that servers are given, by territory.
    """

    faults: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    complete: bool = True
    numbers: dict[str, int] = field(default_factory=dict)

    def fault(self, text: str) -> None:
        """Note what could not be had."""
        self.faults.append(text)
        self.complete = False


def _parse_date(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text.strip().replace("Z", "+00:00")) if text and text.strip() else None


def verify(xml: bytes, signers: Sequence[x509.Certificate]) -> Signed:
    """Check the signature of a list (XAdES, ETSI TS 119 612, annex B); gives what was signed and nothing else.

    Args:
        signers: certificates, one of which must have signed.

    Raises:
        StateError: French, without the address, which the caller says.
    """
    if b"<!DOCTYPE" in xml[:4096] or len(xml) > MAX_BYTES:
        raise StateError("ce n'est pas une liste de confiance (DOCTYPE, ou taille démesurée)")
    for one in signers:
        try:
            found = XAdESVerifier().verify(
                xml,
                x509_cert=load_der_x509_certificate(one.dump()),
                expect_config=XAdESSignatureConfiguration(require_x509=True, expect_references=True),
            )
        except (SignXMLException, etree.XMLSyntaxError, ValueError, TypeError, KeyError):
            continue
        for part in found if isinstance(found, list) else [found]:
            if part.signed_xml is not None and part.signed_xml.tag == f"{{{_TSL}}}TrustServiceStatusList":
                return _parse_list(part.signed_data)
    raise StateError("elle n'est signée par aucun des certificats attendus, ou a été modifiée")


def _parse_list(data: bytes) -> Signed:
    root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True))

    def text(path: str) -> str | None:
        found = root.find("t:SchemeInformation/" + path, {"t": _TSL})
        return None if found is None else found.text

    try:
        number, issued = int(text("t:TSLSequenceNumber") or ""), _parse_date(text("t:ListIssueDateTime"))
        following, territory = _parse_date(text("t:NextUpdate/t:dateTime")), (text("t:SchemeTerritory") or "").strip()
    except ValueError:
        issued, territory = None, ""
    if issued is None or issued.tzinfo is None or not _TERRITORY.fullmatch(territory):
        raise StateError("son numéro, sa date ou son pays ne se lisent pas")
    return Signed(data.decode("utf-8"), territory, number, issued, following)


def _load_kept_list(path: Path, signers: Sequence[x509.Certificate]) -> Signed | None:
    try:
        return verify(path.read_bytes(), signers)
    except (OSError, StateError):
        return None


def _obtain_list(
    path: Path,
    url: str,
    territory: str,
    signers: Sequence[x509.Certificate],
    fetch: Callable[[str], bytes],
    now: dt.datetime,
    read: Callable[[str], Any],
    outcome: Outcome,
    check_only: bool,
) -> tuple[Signed, Any] | None:
    """One list and what is read of it: the published one, or the kept one with a word on why."""
    kept = _load_kept_list(path, signers)
    content = None
    try:
        if not url.startswith(("https://", "http://")):
            raise StateError("ce n'est pas une adresse http")
        xml = fetch(url)
        found = verify(xml, signers)
        if found.territory != territory:
            raise StateError(f"c'est celle de {found.territory}, et non de {territory}")
        if found.issued > now:
            raise StateError(f"elle est datée du futur ({found.issued:%d/%m/%Y %H:%M})")
        if kept and found.age < kept.age:
            raise StateError(f"elle est plus ancienne (n° {found.number}) que celle qui est gardée (n° {kept.number})")
        if found.next_update and found.next_update <= now:
            raise StateError(f"elle est périmée depuis le {found.next_update:%d/%m/%Y}")
        content, text = _parse_content(read, found), xml.decode("utf-8")
    except (StateError, OSError, ValueError, HTTPException) as error:  # a cut answer is the last
        what = f"la liste n° {kept.number} est gardée" if kept else "aucune n'est gardée"
        outcome.fault(f"{territory}, {url} : {error} ; {what}")
        return (kept, _parse_content(read, kept)) if kept else None
    if kept is None or kept.xml != found.xml:
        before = f"liste n° {kept.number}" if kept else ""
        outcome.changes.append(Change(str(path), before, f"liste n° {found.number}"))
        if not check_only:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, text)
    return found, content


def _parse_content(read: Callable[[str], Any], found: Signed) -> Any:
    try:
        return read(found.xml)
    except Exception as error:  # noqa: BLE001 # a signed list may still be malformed
        raise StateError(f"elle ne se lit pas ({type(error).__name__})") from None


def refresh(
    folder: Path,
    url: str,
    pinned: Sequence[x509.Certificate],
    fetch: Callable[[str], bytes],
    now: dt.datetime,
    check_only: bool = False,
) -> Outcome:
    """Bring the lists up to what is published, and write what servers are given of them.

    Args:
        folder: where they are kept.
        url: of the LOTL.
        pinned: certificates that may sign the LOTL; no list names them, the configuration does.
        fetch: gives what is at an address, or raises OSError or ValueError.
        now: present, with its zone.
        check_only: write nothing.
    """
    outcome = Outcome()
    taken = _obtain_list(
        folder / LOTL, url, "EU", pinned, fetch, now, eutl_parse.parse_lotl_unsafe, outcome, check_only
    )
    if taken is None:
        return outcome
    lotl, named = taken
    services: list[dict[str, Any]] = []
    certificates: dict[str, str] = {}
    lists: dict[str, Any] = {}
    for one in named.references:
        if eutl_parse.LOTL_RULE in one.scheme_rules or not _TERRITORY.fullmatch(one.territory):
            continue
        path = folder / f"{one.territory}.xml"
        signers = one.tlso_certs
        had = _obtain_list(
            path, one.location_uri, one.territory, signers, fetch, now, _parse_services, outcome, check_only
        )
        if had is None:
            continue
        found, read = had
        services += [_describe_service(service, one.territory, certificates) for service in read]
        outcome.numbers[one.territory] = found.number
        lists[one.territory] = {"numero": found.number, "prochaine": _to_iso(found.next_update)}
    given = {
        "version": 1,
        "lotl": {"numero": lotl.number, "emise": _to_iso(lotl.issued), "prochaine": _to_iso(lotl.next_update)},
        "listes": lists,
        "certificats": certificates,
        "services": services,
    }
    text = json.dumps(given, ensure_ascii=False, sort_keys=True) + "\n"
    path = folder / COMPILED
    if services and (not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text):
        outcome.changes.append(Change(str(path), "", f"{len(services)} services, {len(lists)} pays"))
        if not check_only:
            write(path, text)
            # Who signs the revocation lists of suppliers' certificates.
            write(folder / AUTHORITIES, "".join(_to_pem(der) for _name, der in sorted(certificates.items())))
    return outcome


def _to_pem(der: str) -> str:
    lines = "\n".join(der[at : at + 64] for at in range(0, len(der), 64))
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"


def _to_iso(moment: dt.datetime | None) -> str | None:
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds") if moment else None


def _parse_services(xml: str) -> list[CAServiceInformation]:
    found = eutl_parse.read_qualified_service_definitions(xml)
    return [one for one in found if isinstance(one, CAServiceInformation)]


def _describe_service(one: CAServiceInformation, territory: str, certificates: dict[str, str]) -> dict[str, Any]:
    base = one.base_info
    named = []
    for certificate in base.provider_certs:
        der = certificate.dump()
        digest = hashlib.sha256(der).hexdigest()
        certificates[digest] = base64.b64encode(der).decode("ascii")
        named.append(digest)
    return {
        "pays": territory,
        "nom": base.service_name,
        "type": base.service_type,
        "du": _to_iso(base.valid_from),
        "au": _to_iso(base.valid_until),
        "certificats": sorted(named),
        "pour": sorted(kind.value for kind in base.additional_info_certificate_type),
        "qualifications": sorted(
            (
                {
                    "valeurs": sorted(word.value for word in each.qualifiers),
                    "si": _describe_criterion(each.criteria_list),
                }
                for each in one.qualifications
            ),
            key=lambda each: json.dumps(each, sort_keys=True),
        ),
    }


def _describe_criterion(one: Criterion) -> dict[str, Any]:
    """A criterion of ETSI TS 119 612, 5.5.9.2, as `signature_actes.qualified` reads it."""
    if isinstance(one, CriteriaList):
        inside = sorted(
            (_describe_criterion(each) for each in one.criteria), key=lambda each: json.dumps(each, sort_keys=True)
        )
        return {"liste": one.combine_as.value, "parmi": inside}
    if isinstance(one, PolicySetCriterion):
        return {"politiques": sorted(one.required_policy_oids)}
    if isinstance(one, CertSubjectDNCriterion):
        return {"sujet": sorted(one.required_rdn_part_oids)}
    if isinstance(one, KeyUsageCriterion):
        told = one.settings
        return {
            "usages": sorted(told.key_usage or ()),
            "interdits": sorted(told.key_usage_forbidden or ()),
            "etendus": sorted(told.extd_key_usage or ()),
        }
    raise ValueError(type(one).__name__)


def pinned(paths: Sequence[Path]) -> list[x509.Certificate]:
    """Certificates that may sign the LOTL, of PEM or DER files.

    Raises:
        StateError: a file cannot be read, or there is none.
    """
    from pyhanko.keys import load_certs_from_pemder_data

    found: list[x509.Certificate] = []
    for path in paths:
        try:
            found += load_certs_from_pemder_data(path.read_bytes())
        except (OSError, ValueError) as error:
            raise StateError(f"{path} : certificats de la liste des listes illisibles ({error})") from None
    if not found:
        raise StateError(
            "aucun certificat n'est donné pour la liste des listes. À faire : écrivez parapheur_lotl_certificates, "
            "avec ceux que le Journal officiel de l'Union européenne publie (docs/parapheur.md)"
        )
    return found


def figures(home: Path, outcome: Outcome | None, now: dt.datetime, patience_days: int) -> None:
    """Leave what the morning page judges: since when all was had, and from when to say so. Nothing when it is off.

    Args:
        home: the control node's data.
        outcome: of the turn; None when no list is asked for.
        patience_days: without the lists of all, before the page says it.
    """
    path = home / "metriques" / FIGURES
    if outcome is None:
        path.unlink(missing_ok=True)
        return
    name = "creatic_trusted_lists_complete_timestamp_seconds"
    before = re.search(rf"^{name} (\d+)$", path.read_text(encoding="utf-8"), re.M) if path.is_file() else None
    last = int(now.timestamp()) if outcome.complete else int(before[1]) if before else 0
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, f"{name} {last}\ncreatic_trusted_lists_patience_seconds {patience_days * 86400}\n")
