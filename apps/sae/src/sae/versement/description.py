"""What a SIP says of itself, whichever form it came in, and the files it must then hold."""

from __future__ import annotations

import calendar
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from sae.config import Account, Config
from sae.versement.container import Member
from sae.versement.refusal import Reason, SipRefusedError, refuse

KEEP, DESTROY = "Keep", "Destroy"
SEDA_VERSION = "2.3"  # of the answer to what says none
_ALGORITHMS = {"SHA-256": "sha256", "SHA-512": "sha512"}
# Verified where a bag has them beside a strong one.
_WEAK = {"SHA-384": "sha384", "SHA-224": "sha224", "SHA-1": "sha1", "MD5": "md5"}
_DIGEST_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Declared:
    """A file as the SIP announces it, in one algorithm or several. `digest` is hexadecimal and lower case."""

    name: str
    algorithm: str
    digest: str
    size: int | None = None


@dataclass(frozen=True)
class Rule:
    """An appraisal rule of the SIP: code of the duration, day from which it counts, what happens at its end.

    Without a code it tells what happens, and another one when.
    """

    code: str
    start: date
    action: str


@dataclass(frozen=True)
class Description:
    """A SIP's description.

    Attributes:
        kind: SEDA or BagIt.
        message: identifier that the service versant gave to the SIP.
        agency: identifier of the service versant as the SIP says it; checked against the certificate.
        files: the data files announced.
        manifests: names of the SIP's own files (manifest, bag tags), kept in the AIP too.
        fingerprint: SHA-512 of what makes this SIP this one: equal for two containers of the same content.
        seda: version of SEDA of the SIP, which its answer is written in.
        agreement: under which it is deposited (ArchivalAgreement), as the SIP says it.
    """

    kind: str
    message: str
    agency: str
    title: str
    rules: Sequence[Rule]
    files: Sequence[Declared]
    manifests: Sequence[str]
    fingerprint: str
    seda: str = SEDA_VERSION
    agreement: str = ""


@dataclass(frozen=True)
class Retention:
    """Until when the archive is kept (seconds since the epoch), and its final action."""

    until: int
    action: str


def algorithm(name: str) -> str:
    """The one written form of a digest algorithm's name; raises Refusal for any other than SHA-256 and SHA-512."""
    plain = name.strip().upper().replace("_", "-")
    plain = {"SHA256": "SHA-256", "SHA512": "SHA-512"}.get(plain, plain)
    plain = plain.rpartition("#")[2].replace("SHA256", "SHA-256").replace("SHA512", "SHA-512")
    if plain not in _ALGORITHMS:
        raise refuse("MANIFESTE", f"L'algorithme d'empreinte « {name[:60]} » n'est pas admis : SHA-512 ou SHA-256.")
    return plain


def compare(description: Description, members: Mapping[str, Member]) -> None:
    """Every announced file is there, whole and unchanged, and there is no other. Raises Refusal with all the faults."""
    faults = list(dict.fromkeys(_find_faults(description, members)))
    if faults:
        raise SipRefusedError(faults)


def _find_faults(description: Description, members: Mapping[str, Member]) -> Iterator[Reason]:
    for declared in description.files:
        member = members.get(declared.name)
        if member is None:
            yield Reason("FICHIER_ABSENT", f"« {declared.name} » est annoncé et n'est pas dans le SIP.")
        elif declared.size is not None and member.size != declared.size:
            yield Reason(
                "EMPREINTE", f"« {declared.name} » fait {member.size} octets, {declared.size} étaient annoncés."
            )
        elif digest_of(member, declared.algorithm) != declared.digest:
            yield Reason("EMPREINTE", f"« {declared.name} » n'a pas l'empreinte {declared.algorithm} annoncée.")
    known = {declared.name for declared in description.files} | set(description.manifests)
    for name in members:
        if name not in known:
            yield Reason("FICHIER_EN_TROP", f"« {name} » est dans le SIP et n'est pas annoncé.")


def digest_of(member: Member, name: str) -> str:
    """Digest of a file of the SIP, hexadecimal."""
    if name == "SHA-512":
        return member.sha512
    digest = hashlib.new((_ALGORITHMS | _WEAK)[name], usedforsecurity=name in _ALGORITHMS)
    with member.path.open("rb") as stream:
        while block := stream.read(_DIGEST_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def check_sender(description: Description, account: Account) -> None:
    """The SIP names the account of the certificate and no other. Raises Refusal (code COMPTE)."""
    said = description.agency.replace(" ", "")
    if said != account.name and said[:9] != account.siren:
        raise refuse(
            "COMPTE",
            f"Le SIP est au nom de « {description.agency[:60]} », le certificat est celui de {account.label} "
            f"({account.siren}).",
        )


def check_agreement(description: Description, account: Account) -> None:
    """The SIP names the agreement of its account, when there is one. Raises Refusal (code ACCORD)."""
    if account.agreement and description.agreement != account.agreement:
        named = f"nomme l'accord « {description.agreement[:60]} »" if description.agreement else "ne nomme aucun accord"
        raise refuse(
            "ACCORD",
            f"Le SIP {named} ; {account.label} verse sous l'accord « {account.agreement} » (ArchivalAgreement, "
            "Accord-Versement d'un sac).",
        )


def retention(description: Description, account: Account, config: Config, now: datetime) -> Retention:
    """The latest end of the SIP's rules, at least the account's shortest and at most its longest retention.

    Raises Refusal (code DUA) when no rule is given, a rule is unknown, or the end is beyond the account's limit: what
    is written under WORM cannot be taken back. One unit to be kept has the whole kept: it leaves whole or not at all.
    """
    dated = [rule for rule in description.rules if rule.code]
    if not dated:
        raise refuse("DUA", "Le SIP ne dit pas sa durée d'utilité administrative (AppraisalRule).")
    unknown = sorted({rule.code for rule in dated} - set(config.rules))
    if unknown:
        known = ", ".join(sorted(config.rules))
        raise refuse("DUA", f"Règle de durée inconnue : {', '.join(unknown)[:200]}. Règles du service : {known}.")
    today = now.date()
    end = max(_years_after(rule.start, config.rules[rule.code]) for rule in dated)
    latest = _years_after(today, account.dua_max)
    if end > latest:
        raise refuse(
            "DUA",
            f"La conservation irait jusqu'au {end:%d/%m/%Y}, au-delà de ce que permet le compte ({latest:%d/%m/%Y}).",
        )
    end = max(end, _years_after(today, account.dua_min))
    action = KEEP if any(rule.action == KEEP for rule in description.rules) else DESTROY
    return Retention(int(datetime.combine(end, time(), UTC).timestamp()), action)


def _years_after(day: date, years: int) -> date:
    year = min(day.year + years, 9999)
    if day.month == 2 and day.day == 29 and not calendar.isleap(year):
        return date(year, 3, 1)
    return day.replace(year=year)
