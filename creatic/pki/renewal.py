# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Renewal of the issuing CA, or of the root: a new key, believed everywhere before it signs anything.

Phases, each derived from the registry (`Lineage`), so that whatever stops a run, the next one goes on from there:

1. ``diffusion``: the new issuing CA (and, for a root, the new root above it) is made, published with its revocation
   list, and signs nothing. Machines that hold both are noted; the phase ends when none lacks.
2. ``rotation``: it signs. What the old one signed stays good, and is renewed by ``fab pki.rotation``.
3. ``recouvrement``: all is renewed. The old one only signs its list, until the last of its certificates ends; then it
   is no longer believed, nor is its root if nothing else is under it.

A machine that checks chains against revocation lists (nginx's ``ssl_crl``, ``VERIFY_CRL_CHECK_CHAIN``) refuses an
authority of which it has no list: hence the first phase, for an issuing CA under the same root too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError, days_left, utc_now

from creatic.pki.authority import Authority
from creatic.pki.lineage import Lineage, Member
from creatic.pki.registry import UNFINISHED, VALID, Book, instant
from creatic.pki.upkeep import (
    MINIMUM_LEAF_DAYS,
    TITLES,
    certify_issuing,
    certify_root,
    expiries,
)
from creatic.pki.x509 import ISSUING, ROOT

NONE, SPREAD, ROTATION, OVERLAP = "aucun", "diffusion", "rotation", "recouvrement"
_HOLDERS_KEY = "confiance"  # where the registry keeps which machines hold the authority to come
_MAX_NAMES_SHOWN = 20


@dataclass(frozen=True)
class State:
    """Where a renewal stands.

    Attributes:
        phase: one of `NONE`, `SPREAD`, `ROTATION`, `OVERLAP`.
        role: what is renewed, ``racine`` or ``emettrice``; empty without a renewal.
        awaited: key identifiers (hexadecimal) of the authorities that machines must hold, in the first phase.
        lacking: machines, of those that were asked about, not known to hold them.
        remaining: certificates still to renew, ``machine : nom``.
        lines: the same for a reader (French); empty without a renewal.
    """

    phase: str = NONE
    role: str = ""
    awaited: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    remaining: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Machines:
    """Machines that must hold the authority to come.

    Attributes:
        all: their names.
        holders: key identifiers that machines were just seen to hold, by machine.
        excused: those that a person chose not to wait for.
    """

    all: Sequence[str]
    holders: Mapping[str, Sequence[str]] = field(default_factory=dict)
    excused: Sequence[str] = ()


def state(authority: Authority) -> State:
    """Say where the renewal stands.

    Raises:
        PkiError: there is no authority, or its registry cannot be read.
    """
    with authority.registry.open() as book:
        return _compute_state(book, ())


def sentences(authority: Authority) -> list[str]:
    """Say (French) the phase of a renewal, and which authorities near their end; empty when there is nothing to say.

    Raises:
        PkiError: as `state`.
    """
    with authority.registry.open() as book:
        now = utc_now()
        return [*_compute_state(book, ()).lines, *expiries(Lineage(book, now), now)]


def advance(authority: Authority, role: str, machines: Machines, check: bool = False) -> tuple[list[str], State]:
    """Take a renewal as far as it goes: begin it, note who holds the new authority, have it sign when none lacks.

    Args:
        role: what to renew, ``racine`` or ``emettrice``.
        machines: who must hold it.
        check: change nothing.

    Returns:
        What changed, or would (French), and where it stands then.

    Raises:
        PkiError: another renewal is not finished, a root is away, a machine is unknown; nothing changed.
    """
    if role not in TITLES:
        raise PkiError(f"autorité « {role} » inconnue ; attendu : {', '.join(sorted(TITLES))}")
    if unknown := sorted({*machines.excused} - {*machines.all}):
        raise PkiError(f"machine inconnue, ou qui n'a pas à recevoir l'autorité : {', '.join(unknown)}")
    with authority.registry.open() if check else authority.writing() as book:
        changes = []
        present = _compute_state(book, machines.all)
        if present.phase in (SPREAD, ROTATION) and present.role != role:
            raise PkiError(f"le renouvellement de l'autorité {present.role} n'est pas fini. {' '.join(present.lines)}")
        if present.phase == NONE or (present.phase == OVERLAP and present.role != role):
            changes += _prepare_successor(authority, book, role, check)
            if check:
                return changes, present
            present = _compute_state(book, machines.all)
        if present.phase == SPREAD and not check:
            _record_holders(book, present, machines.holders)
            present = _compute_state(book, [one for one in machines.all if one not in machines.excused])
            if not present.lacking:
                changes.append(_put_in_service(book))
                present = _compute_state(book, machines.all)
    return changes, present


def _current_lineage(book: Book) -> tuple[Lineage, Member, Member]:
    """Return the authorities, the root and the issuing CA of today."""
    found = Lineage(book, utc_now())
    if found.root is None or found.signing is None:
        raise PkiError(UNFINISHED)
    return found, found.root, found.signing


def _prepare_successor(authority: Authority, book: Book, role: str, check: bool) -> list[str]:
    lineage, root, _ = _current_lineage(book)
    settings = book.settings()
    if settings is None:
        raise PkiError(UNFINISHED)
    if role == ISSUING and days_left(root.certificate, utc_now()) < settings.leaf_days + 2 * MINIMUM_LEAF_DAYS:
        raise PkiError(
            f"l'autorité racine expire le {root.certificate.not_valid_after_utc:%d/%m/%Y}, trop tôt pour en porter une "
            "nouvelle : fab pki.renouveler --autorite racine"
        )
    name, above = lineage.next_name(ISSUING), lineage.next_name(ROOT) if role == ROOT else root.name
    if not check:
        if role == ROOT:
            root = certify_root(book, authority.keys, settings, above)
        certify_issuing(book, authority.keys, settings, name, authority.keys.make(name), root)
        book.set_value(_HOLDERS_KEY, [])
    return [f"autorité « {one} » faite, pas encore en service" for one in ([above, name] if role == ROOT else [name])]


def _record_holders(book: Book, present: State, holders: Mapping[str, Sequence[str]]) -> None:
    known = set(book.get_value(_HOLDERS_KEY) or ())
    seen = {host for host, held in holders.items() if {*present.awaited} <= {*held}}
    if not seen <= known:
        book.set_value(_HOLDERS_KEY, sorted(known | seen))


def _put_in_service(book: Book) -> str:
    lineage, _, signing = _current_lineage(book)
    book.replace(signing.name)
    return f"autorité « {lineage.coming.name if lineage.coming else ''} » en service : elle signe désormais"


def _compute_state(book: Book, machines: Iterable[str]) -> State:
    lineage, root, _ = _current_lineage(book)
    if lineage.coming:
        return _spreading_state(book, lineage, lineage.coming, machines)
    if not lineage.leaving:
        return State()
    role = ISSUING if lineage.root_of(lineage.leaving[-1]) == root else ROOT
    now = utc_now()
    title = f"Renouvellement de l'{TITLES[role]}, phase"
    names = ", ".join(f"« {one.name} »" for one in lineage.leaving)
    old = {one.identifier for one in lineage.leaving}
    rows = [
        row
        for row in book.rows("statut = ? AND fin > ?", VALID, now.isoformat(), order="hote, nom")
        if row["emetteur"] in old
    ]
    if rows:
        remaining = [f"{row['hote']} : {row['nom']}" for row in rows]
        lines = [
            (
                f"{title} {ROTATION} : {_count_phrase(rows, 'certificat')} de {names} à renouveler "
                f"({_shortened_names(remaining)})."
            ),
            "À faire : fab pki.rotation ; pour une personne, fab pki.personne ; ce qui ne sert plus, fab pki.revoquer.",
        ]
        return State(ROTATION, role, remaining=remaining, lines=lines)
    end = instant(max(lineage.last_end(one, now) for one in lineage.leaving))
    lines = [
        f"{title} {OVERLAP} : tout est renouvelé. {names} ne signe plus que sa liste de révocation, jusqu'au "
        f"{end:%d/%m/%Y} ; ensuite elle n'est plus admise nulle part."
    ]
    return State(OVERLAP, role, lines=lines)


def _spreading_state(book: Book, lineage: Lineage, coming: Member, machines: Iterable[str]) -> State:
    above = lineage.root_of(coming)
    role = ISSUING if above == lineage.root else ROOT
    holders = set(book.get_value(_HOLDERS_KEY) or ())
    lacking = sorted({*machines} - holders)
    lines = [
        f"Renouvellement de l'{TITLES[role]}, phase {SPREAD} : « {coming.name} » est faite et ne signe pas encore ; "
        f"reçue par {_count_phrase(holders, 'machine')}.",
        f"À faire : fab pki.renouveler --autorite {role}",
    ]
    if lacking:
        lines.insert(1, f"Ne l'ont pas encore : {_shortened_names(lacking)}.")
    return State(SPREAD, role, [above.identifier, coming.identifier], lacking, lines=lines)


def _count_phrase(things: Collection[object], noun: str) -> str:
    return f"{len(things)} {noun}{'s' if len(things) > 1 else ''}"


def _shortened_names(names: Sequence[str]) -> str:
    rest = len(names) - _MAX_NAMES_SHOWN
    return ", ".join(names[:_MAX_NAMES_SHOWN]) + (f" et {rest} autres" if rest > 0 else "")
