"""What the groupement sees of everybody: figures by month, territory, size and nature, and the delays of the law.

No word of an act or of a letter: numbers, days, states. A period is at most two years; what was reckoned is kept a few
minutes, since it reads every act of the period.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import psycopg
from flask import Response, render_template, request

from creatic_agent import spreadsheet
from creatic_agent.identity import Denied

from . import contracts
from .acts import ARRETES, INDIVIDUAL, NATURES, BadRequest
from .arrivals import fairly
from .clocks import after
from .config import Config
from .identity import Right, Visitor
from .letters import KINDS, PARIS, Letters
from .steps import PES
from .store import Store

MONTHS, MONTHS_MAX = 12, 24
READY_DAYS = 7
"""Days since a connector last asked for its acts, with its certificate, within which its commune, whose formalities are
done, is « prête »."""
SEND_DAYS = 15
"""Days from signature within which individual acts (CGCT, L2131-1) and contracts (R2131-5) are transmitted."""
_DEADLINES_MAX = 2000
_KEPT_S, _KEPT_MAX = 300, 4
_TIMEOUT_MS = 30_000
_UNKNOWN = "non dit"


@dataclass
class Figures:
    """What is counted of some acts."""

    acts: int = 0
    received: int = 0
    refused: int = 0
    waiting: int = 0  # put aside: a person must look
    stays: int = 0  # not to be transmitted
    days: int = 0  # from their arrival to the préfecture's receipt, of those that were received

    def add(self, row: dict[str, Any]) -> None:
        """Count a group of acts."""
        self.acts += row["actes"]
        self.received += row["recus"]
        self.refused += row["refuses"]
        self.waiting += row["arretes"]
        self.stays += row["restent"]
        self.days += row["jours"]

    @property
    def mean(self) -> float | None:
        """Mean delay, in days."""
        return round(self.days / self.received, 1) if self.received else None

    def cells(self) -> list[str | int | float | None]:
        """As cells of a line."""
        return [self.acts, self.received, self.refused, self.waiting, self.stays, self.mean]


HEAD = ["Actes", "Reçus en préfecture", "Refusés", "À revoir", "Non transmissibles", "Délai moyen (jours)"]


@dataclass(frozen=True)
class Deadline:
    """A delay of the law that runs."""

    due: date
    commune: str
    what: str
    number: str
    source: str


@dataclass
class Overview:
    """All of it, of a period."""

    begin: date
    end: date  # first day after it
    by: dict[str, dict[str, Figures]] = field(default_factory=dict)  # month, territory, size, nature, commune
    total: Figures = field(default_factory=Figures)
    communes: list[list[str | int | float | None]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)  # communes served, equipped, ready, sending; entities served
    deadlines: list[Deadline] = field(default_factory=list)


class Watch:
    """Views, for the groupement's certificates alone. `visitor` gives who asks, from the certificate."""

    def __init__(self, config: Config, store: Store, letters: Letters, visitor: Callable[[], Visitor]) -> None:
        self._config, self._store, self._letters, self._visitor = config, store, letters, visitor
        self._kept: dict[tuple[date, date], tuple[float, Overview]] = {}
        self._lock = threading.Lock()

    def rules(self) -> Iterator[tuple[str, str, Callable[..., Any]]]:
        """Method, address and view of each."""
        yield "GET", "/suivi", self.overview
        yield "GET", "/suivi.ods", self.sheets

    def overview(self) -> str:
        """Figures and deadlines."""
        found, today = self._asked(), _today()
        tables = [
            (title, [(name, figures.cells()) for name, figures in found.by[key].items()])
            for key, title in (("mois", "Par mois"), ("territoire", "Par territoire"), ("taille", "Par taille"),
                               ("nature", "Par nature"))
        ]  # fmt: skip # one call by its parts
        return render_template(
            "suivi.html.j2", debut=f"{found.begin:%Y-%m}", fin=f"{found.end - timedelta(days=1):%Y-%m}", entete=HEAD,
            tables=tables, total=found.total.cells(), compte=found.counts, jours=READY_DAYS,
            echeances=[(one, (one.due - today).days) for one in found.deadlines],
        )  # fmt: skip # one call by its parts

    def sheets(self) -> Response:
        """The same, as a spreadsheet."""
        found, today = self._asked(), _today()
        tables = {
            title: ([column, *HEAD], [[name, *figures.cells()] for name, figures in found.by[key].items()])
            for key, title, column in (
                ("mois", "Par mois", "Mois"),
                ("territoire", "Par territoire", "Territoire"),
                ("taille", "Par taille", "Taille"),
                ("nature", "Par nature", "Nature"),
            )
        }
        head = ["Commune", "SIREN", "Territoire", "Taille", "Équipée", "Prête", "Transmet", "Hébergée par", *HEAD]
        tables["Communes"] = (head, found.communes)
        tables["Échéances"] = (
            ["Échéance", "Jours restants", "Commune", "Quoi", "Acte", "Texte"],
            [
                [f"{one.due:%d/%m/%Y}", (one.due - today).days, one.commune, one.what, one.number, one.source]
                for one in found.deadlines
            ],
        )
        content = spreadsheet.make(tables)
        name = f"suivi-{found.begin:%Y-%m}-{found.end - timedelta(days=1):%Y-%m}.ods"
        return Response(
            content,
            mimetype=spreadsheet.TYPE,
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def _asked(self) -> Overview:
        who = self._visitor()
        if who.right is not Right.ALL_PAGES:
            raise Denied("Le suivi de toutes les communes est pour les agents du groupement.")
        begin, end = period(request.args.get("debut", ""), request.args.get("fin", ""), _today())
        with self._lock:  # the same figures are not reckoned twice at a time
            known = self._kept.get((begin, end))
            if known and known[0] > time.monotonic() - _KEPT_S:
                return known[1]
            found = reckon(self._config, self._store, self._letters, begin, end)
            if len(self._kept) >= _KEPT_MAX:
                del self._kept[min(self._kept, key=lambda one: self._kept[one][0])]
            self._kept[begin, end] = (time.monotonic(), found)
        return found


def period(first: str, last: str, today: date) -> tuple[date, date]:
    """The first day of a period, and the first after it. Raises BadRequest.

    Args:
        first: month, AAAA-MM; "" for a year before the last.
        last: month, included; "" for this one.
    """
    end = after(_month(last) if last else today.replace(day=1), 1)
    begin = _month(first) if first else after(end, -MONTHS)
    months = (end.year - begin.year) * 12 + end.month - begin.month
    if not 0 < months <= MONTHS_MAX:
        raise BadRequest(f"Une période va d'un mois à un autre qui le suit, {MONTHS_MAX} mois au plus.")
    return begin, end


def _month(text: str) -> date:
    try:
        day = datetime.strptime(text, "%Y-%m").date()
    except ValueError:
        day = date.min
    if not 2000 <= day.year < 3000:
        raise BadRequest(f"« {text[:20]} » n'est pas un mois (AAAA-MM).")
    return day


def reckon(config: Config, store: Store, letters: Letters, begin: date, end: date) -> Overview:
    """Reckon it. Raises psycopg.Error."""
    with store.transaction() as connection:
        connection.execute(f"SET LOCAL statement_timeout = {_TIMEOUT_MS}".encode())
        rows = connection.execute(
            """
            SELECT to_char(recu_le AT TIME ZONE 'Europe/Paris', 'YYYY-MM') AS mois, commune,
              donnees->>'circuit' AS circuit, donnees->>'nature' AS nature, count(*)::int AS actes,
              count(suivi->'tdt'->>'date_reception')::int AS recus,
              count(*) FILTER (WHERE suivi->'echec'->>'etat' = 'refusee')::int AS refuses,
              count(*) FILTER (WHERE blocage <> '')::int AS arretes,
              count(*) FILTER (WHERE donnees->>'transmission' = 'non')::int AS restent,
              COALESCE(sum(GREATEST(0, (suivi->'tdt'->>'date_reception')::date
                - (recu_le AT TIME ZONE 'Europe/Paris')::date)), 0)::bigint AS jours
            FROM acte WHERE recu_le >= %s AND recu_le < %s AND donnees->>'circuit' <> %s
              AND donnees->>'eliminee' IS NULL -- nothing is known any more of when the préfecture had it
            GROUP BY 1, 2, 3, 4 ORDER BY 1
            """,
            (_midnight(begin), _midnight(end), PES),
        ).fetchall()
        contacts = {
            one["commune"]: one["vu_le"]
            for one in connection.execute("SELECT commune, vu_le FROM connecteur").fetchall()
        }
        late = [*_unsent(connection), *_waiting(connection), *_unreported(connection)]
    found = Overview(begin, end, {key: {} for key in ("mois", "territoire", "taille", "nature", "commune")})
    month = begin
    while month < end:
        found.by["mois"][f"{month:%Y-%m}"] = Figures()
        month = after(month, 1)
    for row in rows:
        commune = config.communes.get(row["commune"])
        keys = {
            "mois": row["mois"],
            "territoire": (commune and commune.territory) or _UNKNOWN,
            "taille": (commune and commune.size) or _UNKNOWN,
            "nature": _nature(row["circuit"], row["nature"]),
            "commune": row["commune"],
        }
        for key, value in keys.items():
            found.by[key].setdefault(value, Figures()).add(row)
        found.total.add(row)
    for key in ("territoire", "taille", "nature"):
        found.by[key] = dict(sorted(found.by[key].items()))
    found.communes, found.counts = _communes(config, found.by["commune"], contacts)
    names = {slug: commune.name for slug, commune in config.communes.items()}
    known = [
        Deadline(one.due, names.get(one.commune, one.commune), one.what, one.number, one.source)
        for one in (*late, *_answers(letters))
    ]
    shown = fairly(sorted(known, key=_nearest), lambda one: one.commune)[:_DEADLINES_MAX]
    found.deadlines = sorted(shown, key=_nearest)
    return found


def _nearest(one: Deadline) -> tuple[date, str, str]:
    return one.due, one.commune, one.number


def _communes(
    config: Config, figures: dict[str, Figures], contacts: dict[str, datetime]
) -> tuple[list[list[str | int | float | None]], dict[str, int]]:
    """A line of each commune and entity that is served, and how many communes are at each stage.

    Acts of an entity (a CCAS…) are counted wherever acts are; it is no commune more.
    """
    oldest = datetime.now(PARIS) - timedelta(days=READY_DAYS)
    lines: list[list[str | int | float | None]] = []
    counts = {"servies": 0, "equipees": 0, "pretes": 0, "transmettent": 0, "entites": 0}
    for slug, commune in sorted(config.communes.items(), key=lambda item: item[1].name):
        own = figures.get(slug, Figures())
        equipped = "teletransmission" in commune.services
        ready = equipped and commune.settled and slug in contacts and contacts[slug] >= oldest
        sending = own.received > 0
        for name, so in (("servies", True), ("equipees", equipped), ("pretes", ready), ("transmettent", sending)):
            counts[name] += so and not commune.host
        counts["entites"] += bool(commune.host)
        told = ["oui" if so else "non" for so in (equipped, ready, sending)]
        host = config.communes.get(commune.host)
        told.append(host.name if host else commune.host)
        lines.append([commune.name, commune.siren, commune.territory, commune.size, *told, *own.cells()])
    return lines, counts


def _unsent(connection: psycopg.Connection[dict[str, Any]]) -> Iterator[Deadline]:
    """Individual décisions and contracts that the préfecture does not have yet."""
    rows = connection.execute(
        "SELECT commune, donnees->>'date' AS jour, donnees->>'numero' AS numero, donnees->>'circuit' AS circuit,"
        " row_number() OVER (PARTITION BY commune ORDER BY recu_le) AS rang FROM acte"
        " WHERE etape IN ('teletransmission', 'aracte') AND (donnees->>'circuit' = 'marche'"
        " OR (donnees->>'circuit' = 'arrete' AND donnees->>'nature' = %s AND donnees->>'transmission' = 'oui'))"
        " ORDER BY rang, recu_le LIMIT %s",
        (INDIVIDUAL, _DEADLINES_MAX),
    )
    for one in rows.fetchall():
        try:
            due = date.fromisoformat(one["jour"]) + timedelta(days=SEND_DAYS)
        except (TypeError, ValueError, OverflowError):
            continue
        contract = one["circuit"] == "marche"
        what = "Contrat à transmettre" if contract else "Acte individuel à transmettre"
        yield Deadline(due, one["commune"], what, str(one["numero"]), "CGCT, R2131-5" if contract else "CGCT, L2131-1")


def _waiting(connection: psycopg.Connection[dict[str, Any]]) -> Iterator[Deadline]:
    """Contracts that are signed, and whose file nobody says to be complete."""
    for commune, number, signed in contracts.waiting(connection):
        yield Deadline(
            signed + timedelta(days=SEND_DAYS), commune, "Contrat signé, dossier à compléter", number, "CGCT, R2131-5"
        )


def _unreported(connection: psycopg.Connection[dict[str, Any]]) -> Iterator[Deadline]:
    """Décisions that the council was not told of at its first meeting since."""
    rows = connection.execute(
        "SELECT registre.commune, numero, (SELECT min(donnees->>'date') FROM acte WHERE acte.commune = registre.commune"
        " AND donnees->>'circuit' = 'deliberation' AND donnees->>'date' > registre.jour::text) AS seance"
        " FROM (SELECT *, row_number() OVER (PARTITION BY commune ORDER BY jour) AS place FROM registre"
        " WHERE decision AND compte_rendu IS NULL) AS registre ORDER BY place, jour LIMIT %s",
        (_DEADLINES_MAX,),
    )
    for one in rows.fetchall():
        try:
            due = date.fromisoformat(one["seance"] or "")
        except ValueError:
            continue  # the council did not meet since
        yield Deadline(due, one["commune"], "Décision dont rendre compte au conseil", one["numero"], "CGCT, L2122-23")


def _answers(letters: Letters) -> Iterable[Deadline]:
    """Answers that the préfet awaits."""
    for one in letters.awaited(_DEADLINES_MAX):
        if one.clocks.due and not one.foreign:
            number = one.act.get("numero") or one.data["numero"]
            yield Deadline(one.clocks.due, one.commune, f"Réponse : {KINDS[one.kind].lower()}", number, "CGCT, L2131-6")


def _nature(circuit: str | None, nature: str | None) -> str:
    if circuit == "arrete":
        return ARRETES[nature][2] if nature in ARRETES else "Arrêté de nature non dite"
    return NATURES[circuit][2] if circuit in NATURES else _UNKNOWN


def _today() -> date:
    return datetime.now(PARIS).date()


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=PARIS)
