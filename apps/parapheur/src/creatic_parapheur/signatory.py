"""Who signs, chosen before the document is frozen: the name and the quality of who signs stand on the act (CRPA,
L212-1), hence nobody else signs it afterwards.

Three ways, which are not one another:

- who holds the step (the maire);
- a delegation, by an arrêté, of functions (CGCT, L2122-18) or of signature (L2122-19), for what it is about and while
  it lasts; it stands until it is withdrawn (L2122-20, from memory);
- the one who stands in for a maire who is absent or kept from acting (L2122-17): no arrêté, days of absence.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from creatic_accounts.models import login_of
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from .configuration import Commune, current
from .models import Absence, Delegation, Dossier
from .refusal import RefusedError

HOLDER = "titulaire"
BASES = {
    "L2122-18": "Délégation de fonctions à un adjoint ou à un conseiller (CGCT, L2122-18)",
    "L2122-19": "Délégation de signature à un agent (CGCT, L2122-19)",
}
_NOT_MANAGED = "seuls les rédacteurs, le DGS et le maire de la commune notent cela"
_DELEGATION_MATTER_PATTERN = re.compile(r"[1-9](\.[1-9][0-9]?){0,4}")


@dataclass(frozen=True)
class Choice:
    """Somebody who may sign.

    Attributes:
        key: as a form sends it.
        login: whose signature is awaited.
        quality: that stands on the document, beside the name.
        words: that the document must bear, beside the name.
    """

    key: str
    login: str
    quality: str
    words: tuple[str, ...]
    delegation: Delegation | None = None
    absence: Absence | None = None

    @property
    def shown(self) -> str:
        """Name and quality."""
        return f"{current().name(self.login)}, {self.quality}"

    @property
    def mentions(self) -> list[str]:
        """What the document must bear, the name first."""
        return [current().name(self.login), *self.words]


def _holder_login(commune: Commune) -> str:
    """Login of who signs: the same in each circuit."""
    return next(iter(commune.circuits.values())).steps["a_signer"].titulaire


def _by_delegation(one: Delegation) -> Choice:
    commune = current().communes.get(one.commune)
    head = commune.qualite if commune else "maire"
    quality = f"{one.qualite}, par délégation du {head} (arrêté {one.arrete} du {one.arrete_date:%d/%m/%Y})"
    return Choice(f"delegation:{one.pk}", login_of(one.personne), quality, (one.qualite, "délégation"), one)


def _in_absence(one: Absence, commune: Commune) -> Choice:
    source = "" if commune.siren_commune else " (CGCT, L2122-17)"  # of the maire alone
    quality = f"{one.qualite or 'suppléant'}, pour {one.personne_nom}, empêché{source}"
    return Choice(f"absence:{one.pk}", login_of(one.suppleant), quality, tuple(filter(None, [one.qualite])), None, one)


def choices(commune: Commune) -> list[Choice]:
    """Who may sign today, in any matter: the holder first."""
    holder = _holder_login(commune)
    deputies = commune.circuits[next(iter(commune.circuits))].steps["a_signer"].suppleants
    people = set(commune.personnes)
    given = Delegation.objects.active().filter(commune=commune.slug).select_related("personne__known")
    away = Absence.objects.active().of(commune)
    away = away.filter(personne__known__login=holder, suppleant__known__login__in=deputies)
    return [
        Choice(HOLDER, holder, commune.qualite, (commune.qualite,)),
        *(_by_delegation(one) for one in given if login_of(one.personne) in people and one.personne.is_active),
        *(_in_absence(one, commune) for one in away.select_related("suppleant__known", "personne__known")),
    ]


def choose(commune: Commune, key: str, circuit: str, matter: str) -> Choice | None:
    """The one who was chosen for a document; None when nobody was: the step's own rules tell then.

    Raises:
        Refused: they cannot sign it.
    """
    if not key:
        return None
    found = next((one for one in choices(commune) if one.key == key), None)
    if found is None:
        raise RefusedError(
            "signataire : cette personne ne peut pas signer aujourd'hui (sa délégation ou l'absence du maire n'est pas "
            "commencée, a pris fin ou a été retirée). À faire : choisissez un autre signataire"
        )
    if found.delegation and not covers(found.delegation, circuit, matter):
        raise RefusedError(
            f"signataire : la délégation de {current().name(found.login)} (arrêté {found.delegation.arrete}) ne porte "
            f"pas sur ce dossier ({current().circuits[circuit]}{', matière ' + matter if matter else ''}). À faire : "
            "choisissez un autre signataire, ou corrigez la matière"
        )
    return found


def covers(delegation: Delegation, circuit: str, matter: str) -> bool:
    """Whether a delegation is about a document. Without circuits or matters, it is about all; what has no matter is
    covered by one that has some only when its circuit is named."""
    named = delegation.circuits.split()
    if named and circuit not in named:
        return False
    matters = delegation.matieres.split()
    if not matters:
        return True
    if not matter:
        return circuit in named
    return any(matter == one or matter.startswith(f"{one}.") for one in matters)


def check(dossier: Dossier) -> None:
    """Check, when it is signed, that who was chosen still may.

    Raises:
        Refused: it ended since; the document bears a name that signs no more.
    """
    today = timezone.localdate()
    again = (
        "une signature ne vaudrait rien. À faire : refusez le dossier ; son rédacteur le reprend avec un document au "
        "nom d'un autre signataire"
    )
    name = current().name(dossier.signataire)
    if one := dossier.delegation:
        which = f"la délégation de {name} (arrêté {one.arrete} du {one.arrete_date:%d/%m/%Y})"
        if one.retiree:
            raise RefusedError(f"{which} a été retirée le {one.retiree:%d/%m/%Y} : {again}", 409)
        if one.au and one.au < today:
            raise RefusedError(f"{which} a pris fin le {one.au:%d/%m/%Y} : {again}", 409)
        if one.du > today:
            raise RefusedError(f"{which} ne commence que le {one.du:%d/%m/%Y} : {again}", 409)
        if not covers(one, dossier.circuit, dossier.matiere):
            raise RefusedError(f"{which} ne porte pas sur ce dossier : {again}", 409)
    elif away := dossier.absence:
        if away.annulee or not away.du <= today <= away.au:
            ended = "a été annulée" if away.annulee else f"a pris fin le {away.au:%d/%m/%Y}"
            raise RefusedError(f"l'absence de {away.personne_nom}, que {name} remplaçait, {ended} : {again}", 409)
    elif dossier.signataire != _holder_login(current().communes[dossier.commune]):
        commune = current().communes[dossier.commune]
        whose = "l'entité" if commune.siren_commune else "la commune"
        raise RefusedError(f"{name} n'est plus le {commune.qualite} de {whose} : {again}", 409)


# Who manages


def managed(user: Any) -> list[Commune]:
    """Where somebody notes delegations and absences: the rédacteurs, who gives the visa, the maire or président."""
    login = login_of(user)
    return [
        commune
        for commune in current().communes_of(login)
        if login in commune.redacteurs
        or login in {step.titulaire for one in commune.circuits.values() for step in one.steps.values()}
    ]


def _managed_commune(user: Any, slug: str = "") -> Commune:
    """The commune somebody manages, the first one unless it is said; any one, for the administrator.

    Raises:
        Refused: none.
    """
    if user.is_superuser and slug in current().communes:
        return current().communes[slug]
    commune = next((one for one in managed(user) if slug in ("", one.slug)), None)
    if commune is None:
        raise RefusedError(_NOT_MANAGED, 403)
    return commune


def _find_account(commune: Commune, login: str, allowed: Iterable[str]) -> Any:
    users = get_user_model().objects.filter(known__login=login, is_active=True)
    found = users.first() if login in commune.personnes and login in set(allowed) else None
    if found is None:
        raise RefusedError("personne : choisissez quelqu'un de la liste, dont le compte est ouvert")
    return found


def delegates(commune: Commune) -> list[str]:
    """Logins of those who may have a delegation: the commune's file names them, or as deputies of who signs."""
    deputies = {login for one in commune.circuits.values() for login in one.steps["a_signer"].suppleants}
    return sorted((commune.delegataires | deputies) & set(commune.personnes), key=lambda one: commune.personnes[one])


def _parse_day(value: str, what: str) -> dt.date:
    try:
        return dt.date.fromisoformat(value)
    except ValueError:
        raise RefusedError(f"{what} : « {value[:40]} » n'est pas une date. À faire : choisissez le jour") from None


def _parse_line(told: Mapping[str, str], name: str, most: int, what: str) -> str:
    text = " ".join(told.get(name, "").split())
    if not text:
        raise RefusedError(f"{what} : champ obligatoire absent")
    if len(text) > most:
        raise RefusedError(f"{what} : {most} caractères au plus")
    return text


def delegate(user: Any, told: Mapping[str, str], circuits: Sequence[str] = (), slug: str = "") -> Delegation:
    """Note a delegation that an arrêté gave.

    Args:
        told: `personne`, `qualite`, `fondement`, `arrete`, `arrete_date`, `matieres`, `du`, `au` (may be empty).
        circuits: that it is about; all without any.
        slug: commune, for the administrator.

    Raises:
        Refused: the reason. Nobody notes a delegation of their own.
    """
    commune = _managed_commune(user, slug)
    login = told.get("personne", "")
    person = _find_account(commune, login, delegates(commune))
    if person.pk == user.pk:
        raise RefusedError("une délégation est notée par une autre personne que celle qui la reçoit", 403)
    if told.get("fondement") not in BASES:
        raise RefusedError("fondement : choisissez une délégation de fonctions (L2122-18) ou de signature (L2122-19)")
    matters = re.split(r"[\s,;]+", told.get("matieres", "").strip()) if told.get("matieres", "").strip() else []
    if wrong := [one for one in matters if not _DELEGATION_MATTER_PATTERN.fullmatch(one)]:
        raise RefusedError(f"matières : « {wrong[0][:20]} » n'en est pas une ; écrivez par exemple 2, 6.1")
    if len(matters) > 30:
        raise RefusedError("matières : 30 au plus")
    if wrong := [one for one in circuits if one not in current().circuits]:
        raise RefusedError(f"circuits : « {wrong[0][:20]} » est inconnu")
    decided, first = (
        _parse_day(told.get("arrete_date", ""), "date de l'arrêté"),
        _parse_day(told.get("du", ""), "début"),
    )
    last = _parse_day(told["au"], "fin") if told.get("au") else None
    if first < decided:
        raise RefusedError(
            "début : une délégation ne vaut pas avant la date de son arrêté. À faire : corrigez les dates"
        )
    if last and last < first:
        raise RefusedError("fin : le dernier jour est avant le premier. À faire : corrigez les dates")
    return Delegation.objects.create(
        commune=commune.slug,
        personne=person,
        qualite=_parse_line(told, "qualite", 150, "qualité"),
        fondement=told["fondement"],
        arrete=_parse_line(told, "arrete", 60, "arrêté"),
        arrete_date=decided,
        matieres=" ".join(matters),
        circuits=" ".join(circuits),
        du=first,
        au=last,
        saisie_par=_person_name(user),
        saisie_compte=user.pk,
    )


def withdraw(user: Any, number: int) -> Delegation:
    """Withdraw a delegation from today on; it stays, as a trace.

    Raises:
        Refused: the reason.
    """
    with transaction.atomic():
        found = Delegation.objects.select_for_update().filter(pk=number).first()
        if found is None:
            raise RefusedError("cette délégation n'existe pas", 404)
        _managed_commune(user, found.commune)
        if not found.retiree:
            found.retiree, found.retiree_par = timezone.localdate(), _person_name(user)
            found.save()
        return found


def holders(commune: Commune) -> dict[str, tuple[str, ...]]:
    """Who passes a step, with their deputies of any circuit."""
    found: dict[str, dict[str, None]] = {}
    for circuit in commune.circuits.values():
        for step in circuit.steps.values():
            found.setdefault(step.titulaire, {}).update(dict.fromkeys(step.suppleants))
    return {login: tuple(deputies) for login, deputies in found.items() if deputies}


def declare_absence(user: Any, told: Mapping[str, str], slug: str = "") -> Absence:
    """Note the absence of somebody else, who cannot do it (CGCT, L2122-17: absence, suspension, or any other reason).
    It counts in the institution that is managed and in no other: people of a CCAS give nobody the maire's signature.

    Args:
        told: `personne`, `suppleant`, `du`, `au`, `raison`, `qualite` (of the deputy, may be empty).
        slug: commune, for the administrator.

    Raises:
        Refused: the reason. The deputy does not note it: who gains by it is not who says it.
    """
    commune = _managed_commune(user, slug)
    known = holders(commune)
    person = _find_account(commune, told.get("personne", ""), known)
    deputy = _find_account(commune, told.get("suppleant", ""), known[told["personne"]])
    if deputy.pk == user.pk:
        raise RefusedError("une absence est notée par la personne, ou par quelqu'un d'autre que son suppléant", 403)
    first, last = _parse_day(told.get("du", ""), "du"), _parse_day(told.get("au", ""), "au")
    if last < first:
        raise RefusedError("le dernier jour est avant le premier. À faire : corrigez les dates")
    if last < timezone.localdate():
        raise RefusedError("ces dates sont passées. À faire : corrigez-les")
    return Absence.objects.create(
        personne=person,
        suppleant=deputy,
        du=first,
        au=last,
        commune=commune.slug,
        raison=_parse_line(told, "raison", 300, "raison"),
        qualite=" ".join(told.get("qualite", "").split())[:150],
        saisie_par=_person_name(user),
        saisie_compte=user.pk,
    )


def _counts_in(one: Absence) -> list[Commune]:
    """Institutions where an absence counts; those of the person, when no file has this deputy any more."""
    if one.commune:
        return [found for found in current().communes.values() if found.slug == one.commune]
    person, deputy = login_of(one.personne), login_of(one.suppleant)
    found = [commune for commune in current().communes.values() if deputy in holders(commune).get(person, ())]
    return found or current().communes_of(person)


def end_absence(user: Any, number: int) -> None:
    """Cancel an absence: one's own, or one that counts only where one manages; it stays, as a trace, with who cancelled
    it.

    Raises:
        Refused: it is not theirs to cancel.
    """
    found = Absence.objects.filter(pk=number).select_related("personne__known", "suppleant__known").first()
    if found is None:
        raise RefusedError("cette absence n'existe pas", 404)
    if found.personne_id != user.pk and not user.is_superuser:
        own = {one.slug for one in managed(user)}
        where = _counts_in(found)
        if not any(one.slug in own for one in where):
            raise RefusedError(_NOT_MANAGED, 403)
        if others := ", ".join(one.nom for one in where if one.slug not in own):
            raise RefusedError(
                f"cette absence vaut aussi pour {others}, où vous n'en notez pas : rien n'a été changé. À faire : "
                "demandez à cette personne de l'annuler elle-même, ou au groupement",
                403,
            )
    Absence.objects.filter(pk=number, annulee=False).update(annulee=True, annulee_par=_person_name(user))


def _person_name(user: Any) -> str:
    login = login_of(user)
    name = current().name(login) if current().commune_of(login) else user.get_full_name() or user.get_username()
    return str(name)[:200]


def managed_absences(commune: Commune) -> Iterator[Absence]:
    """Absences that count in an institution and are not over."""
    coming = Absence.objects.of(commune).filter(au__gte=timezone.localdate(), annulee=False)
    found = coming.filter(personne__known__login__in=commune.personnes)
    for one in found.select_related("personne__known", "suppleant__known"):
        if commune in _counts_in(one):
            yield one
