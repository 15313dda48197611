"""The delays of appeal of an act: the préfet's (CGCT, L2131-6) beside those of anybody else (CJA, R421-1).

The préfet's run from his reception of the act; third parties', from its publication, whole (CGCT, R2131-1); those of
who it is about, from its notification, which must tell of delays and ways of appeal (CJA, R421-5). One that nothing is
known to have begun does not run: nobody believes that it is over while it may. An appeal to the maire, or to the
préfet, makes them longer (CRPA, L411-2), and is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from flask import render_template
from psycopg import Connection

from creatic_agent.act import File
from creatic_agent.identity import Denied

from . import executory
from .acts import words
from .clocks import Request, appeal, clocks
from .config import Commune, Config
from .identity import Visitor
from .letters import PARIS, Letters
from .steps import PES
from .store import Store, Tracked, as_act

_YEARS = range(1800, 3000)
SHOWN_MAX = 500
LATELY = timedelta(days=31)
"""How long a delay that ended is still shown."""
_LONGEST = timedelta(days=400)
"""How far back something may have begun what runs now: two months, a letter within them, its silence, two months more;
with a margin, an answer being awaited without an end."""
# What `of` and `told` read of an act, and no other of what others answered: visas, papers of the meeting and sendings
# weigh a thousand times as much. Of its annexes, how many there are.
_LATELY = """SELECT reference, commune, etape, blocage, retard, recu_le, modifie_le,
  jsonb_build_object('uid', donnees->'uid', 'circuit', donnees->'circuit', 'numero', donnees->'numero',
    'date', donnees->'date', 'objet', donnees->'objet', 'nature', donnees->'nature',
    'transmission', donnees->'transmission') AS donnees,
  jsonb_build_object('publication', suivi->'publication', 'notification', suivi->'notification',
    'recu_papier', suivi->'recu_papier', 'tdt', jsonb_build_object('etat', suivi->'tdt'->'etat',
    'id_acte', suivi->'tdt'->'id_acte', 'date_reception', suivi->'tdt'->'date_reception')) AS suivi,
  jsonb_array_length(COALESCE(donnees->'annexes', '[]')) AS annexes
FROM acte WHERE commune = %s AND donnees->>'circuit' <> %s AND donnees->>'eliminee' IS NULL
  AND GREATEST(suivi->'tdt'->>'date_reception', suivi->'recu_papier'->>'le', suivi->'publication'->>'le',
  suivi->'publication'->>'entier_le', suivi->'notification'->>'le') >= %s
ORDER BY recu_le DESC, reference LIMIT %s"""


@dataclass(frozen=True)
class Delay:
    """A delay of appeal against an act.

    Attributes:
        whose: who may appeal, in French.
        began: day of what makes it run, None while nothing did.
        last: last day of it, included; None where it does not run, or nobody can say.
        why: what makes it run, or why it does not, in French.
        law: article.
    """

    whose: str
    began: date | None
    last: date | None
    why: str
    law: str

    def state(self, today: date) -> str:
        """« court », « échu », or « ne court pas »."""
        return "ne court pas" if self.last is None else "court" if today <= self.last else "échu"


def of(act: Tracked, config: Config, requests: Sequence[Request] = ()) -> list[Delay]:
    """Delays of an act: the préfet's, then others'. A flow of accounts is no act, and has none.

    Args:
        act: of the chain.
        config: whom the passerelle serves.
        requests: letters of the préfecture about it that make its delay begin again.
    """
    if act.circuit == PES or act.eliminated:
        return []
    stands = executory.standing(act, config)
    stands = replace(
        stands, received=_told(stands.received), published=_told(stands.published), notified=_told(stands.notified)
    )
    return [_prefet(act, stands, requests), *_others(act, stands)]


def _told(day: date | None) -> date | None:
    """A day that a delay may begin on: others tell some that are none."""
    return day if day and day.year in _YEARS else None


def _prefet(act: Tracked, stands: executory.Standing, requests: Sequence[Request]) -> Delay:
    whose, law = "Préfet", "CGCT, L2131-6"
    if not act.goes:
        return Delay(whose, None, None, "l'acte n'est pas de ceux qui se transmettent", "CGCT, L2131-2")
    if stands.received is None:
        return Delay(whose, None, None, "l'acte n'est pas encore reçu en préfecture", law)
    run = clocks("", stands.received, stands.received, None, requests)
    return Delay(whose, stands.received, run.court, run.why, law)


def _others(act: Tracked, stands: executory.Standing) -> Iterator[Delay]:
    whose, law = "Tiers", "CJA, R421-1"
    individual = executory.is_individual(act)
    if individual:
        yield Delay(whose, None, None, "un acte individuel se notifie : sa publication n'est pas suivie ici", law)
    elif stands.published is None:
        yield Delay(whose, None, None, "l'acte n'est pas encore publié", law)
    elif executory.is_urgent(act):
        told = (
            f"affiché en urgence le {stands.published:%d/%m/%Y} : la mise en ligne, qui le fait courir, n'est pas notée"
        )
        yield Delay(whose, None, None, told, "CGCT, L2131-1, III")
    elif (whole := _told(executory.whole_since(act))) is None:
        yield Delay(whose, None, None, "l'acte n'est pas publié en entier, annexes comprises", "CGCT, R2131-1")
    else:
        began = max(whole, stands.published)
        yield Delay(whose, began, appeal(began), f"deux mois après la publication du {began:%d/%m/%Y}", law)
    if stands.notified:
        told = (
            f"deux mois après la notification du {stands.notified:%d/%m/%Y}, si elle dit les délais et voies de recours"
        )
        yield Delay("Destinataire", stands.notified, appeal(stands.notified), told, "CJA, R421-1 et R421-5")
    elif individual:
        yield Delay("Destinataire", None, None, "l'acte n'est pas encore notifié", law)


def is_shown(found: Sequence[Delay], today: date) -> bool:
    """Whether an act has something to show: a delay that runs or ended lately, or one that waits for what begins it."""
    known = [one.last for one in found if one.last]
    return bool(known) and max(known) >= today - LATELY


def shown(store: Store, letters: Letters, config: Config, commune: Commune, today: date) -> list[dict[str, Any]]:
    """Acts of a commune, or of an entity, whose delays run or ended lately, the nearest end first; `SHOWN_MAX` at most.

    Raises psycopg.Error.
    """
    with store.transaction() as connection:
        acts = _lately(connection, commune.slug, today - _LONGEST)
    asked = letters.requests(commune, [act.tdt["id_acte"] for act in acts if act.tdt.get("id_acte")])
    rows = []
    for act in acts:
        found = of(act, config, asked.get(act.tdt.get("id_acte", ""), ()))
        if is_shown(found, today):
            rows.append((_nearest(found, today), told(act, found, today)))
    return [row for _key, row in sorted(rows, key=lambda one: one[0])][:SHOWN_MAX]


def told(act: Tracked, found: Sequence[Delay], today: date) -> dict[str, Any]:
    """What a page says of them."""
    return {
        "reference": act.reference, "numero": act.number, "objet": act.subject, "nature": words(act),
        "delais": [
            {"qui": one.whose, "jusque": f"{one.last:%d/%m/%Y}" if one.last else "", "etat": one.state(today),
             "pourquoi": one.why, "texte": one.law}
            for one in found
        ],
    }  # fmt: skip # a table


def _nearest(found: Sequence[Delay], today: date) -> tuple[bool, date]:
    """Those that run first, by their end; then those that ended, the last one first."""
    running = [one.last for one in found if one.last and one.last >= today]
    if running:
        return False, min(running)
    return True, date.max - (max(one.last for one in found if one.last) - date.min)


def _lately(connection: Connection[dict[str, Any]], commune: str, since: date) -> list[Tracked]:
    """Acts that something happened to since a day, latest first."""
    rows = connection.execute(_LATELY, (commune, PES, since.isoformat(), 4 * SHOWN_MAX)).fetchall()
    return [replace(as_act(row), annexes=(File(""),) * row["annexes"]) for row in rows]


class DelaysPage:
    """Views, for the agents of a commune alone. `visitor` gives who asks, from the certificate and nothing else."""

    def __init__(self, config: Config, store: Store, letters: Letters, visitor: Callable[[], Visitor]) -> None:
        self._config, self._store, self._letters, self._visitor = config, store, letters, visitor

    def rules(self) -> Iterator[tuple[str, str, Callable[..., Any]]]:
        """Method, address and view of each."""
        yield "GET", "/delais", self.delays

    def delays(self) -> str:
        """Delays of appeal of the acts of the commune, or of the entity that is looked at."""
        who = self._visitor()
        if who.commune is None or not who.agent:
            raise Denied(
                "Les délais de recours d'une commune sont pour ses seuls agents, avec le certificat d'un poste."
            )
        today = datetime.now(PARIS).date()
        return render_template(
            "delais.html.j2", commune=who.commune.name, aujourdhui=f"{today:%d/%m/%Y}", montres=SHOWN_MAX,
            actes=shown(self._store, self._letters, self._config, who.commune, today),
        )  # fmt: skip # one call by its parts
