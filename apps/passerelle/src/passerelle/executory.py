"""When an act is executory (CGCT, L2131-1 to L2131-3), and what its commune notes of it: publication, notification.

L2131-1: acts are executory of right once they were published, or notified for individual ones, and, for those of
L2131-2, transmitted. Those that are not transmitted need the first alone (L2131-3). The maire certifies it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from .acts import DECISION, FAILED, INDIVIDUAL, NATURES, BadRequest, unsaid
from .config import Config
from .steps import FINISHED, PES, place
from .store import Store, Tracked

PARIS = ZoneInfo("Europe/Paris")
# How an act is made known (CGCT, L2131-1), as the page offers it and the certificate writes it.
PUBLICATION = {
    "electronique": "publication sous forme électronique, sur le site de la commune",
    "affichage": "affichage",
    "papier": "publication sur papier, mise à la disposition du public",
    "urgence": "affichage en urgence, avant la mise en ligne (CGCT, L2131-1)",
}
_ON_LINE, _URGENT = "electronique", "urgence"
NOTIFICATION = {
    "remise": "remise en main propre, contre récépissé",
    "recommande": "lettre recommandée avec avis de réception",
    "electronique": "voie électronique, avec accusé de réception",
}
RECEPTION = {"papier": "dépôt ou envoi sur papier, date du cachet de la préfecture"}
# What a person notes, where it is kept of an act, and its words.
GESTURES = {
    "publier": ("publication", PUBLICATION, "publié"),
    "notifier": ("notification", NOTIFICATION, "notifié"),
    "recevoir": ("recu_papier", RECEPTION, "reçu en préfecture"),
}


# What no publicity is known of, in SQL: the same as `publicity` reads of an act's row, for lists of many.
UNKNOWN_SQL = f"""donnees->>'circuit' IN ('deliberation', 'arrete', 'marche') AND donnees->>'eliminee' IS NULL AND (CASE
  WHEN donnees->>'circuit' = 'arrete' AND donnees->>'nature' = '{INDIVIDUAL}' THEN suivi->'notification'->>'le' IS NULL
  WHEN donnees->>'circuit' = 'marche' OR donnees->>'nature' IN ('{DECISION}', '6')
    THEN suivi->'publication'->>'le' IS NULL AND suivi->'notification'->>'le' IS NULL
  ELSE suivi->'publication'->>'le' IS NULL END)"""
SCHEMA = f"CREATE INDEX IF NOT EXISTS acte_a_faire_connaitre ON acte (commune, recu_le) WHERE {UNKNOWN_SQL}"
WAITING_MAX = 5000
LATE_DAYS = 8
"""Days after which an act that nobody published, posted up or notified is recalled. The law sets none, but an act is
not executory meanwhile (CGCT, L2131-1)."""


@dataclass(frozen=True)
class Publicity:
    """How an act was made known (CGCT, L2131-1): read of what was done, never of where the act is in the chain.

    Attributes:
        day: on which it was published, posted up or notified; None while it was not.
        word: « publié » or « notifié », with a day alone.
        lacks: what a person has to do now, in French; empty when nothing is, or not yet.
        since: day from which somebody had to, with `lacks` alone.
    """

    day: date | None = None
    word: str = ""
    lacks: str = ""
    since: date | None = None

    def late(self, today: date) -> bool:
        """Whether it waits for too long."""
        return self.since is not None and (today - self.since).days >= LATE_DAYS


@dataclass(frozen=True)
class Standing:
    """Where an act is on its way to be executory.

    Attributes:
        received: day on which the préfecture had it, None when it did not, or has not to.
        published: day of its publication.
        notified: day of its notification to who it is about.
        known: the one of these two days that counts for this act.
        lacks: what is missing, in French; empty when it is executory.
    """

    received: date | None
    published: date | None
    notified: date | None
    known: date | None
    lacks: tuple[str, ...]

    @property
    def since(self) -> date | None:
        """Day since which it is executory, None when it is not."""
        if self.lacks or self.known is None:
            return None
        return max(self.known, self.received) if self.received else self.known


def offered(act: Tracked, config: Config) -> list[str]:
    """Gestures that a person may make of an act."""
    if act.circuit == PES or _unsigned(act):
        return []
    found = [] if _elsewhere(act, config) or is_individual(act) else ["publier"]
    found += [] if act.circuit == "deliberation" else ["notifier"]
    if act.goes and not config.has(act.commune, "teletransmission"):
        found.append("recevoir")
    return found


def modes(act: Tracked, config: Config, gesture: str) -> dict[str, str]:
    """How a gesture may have been made of an act: keys and words.

    Under 3,500 inhabitants the council chooses between posting up, paper and on line, by a délibération; elsewhere, and
    where it did not choose, acts are put on line (L2131-1, III and IV), posted up before in an emergency.
    """
    _key, found, _word = GESTURES[gesture]
    commune = config.communes.get(act.commune)
    if gesture != "publier" or commune is None:
        return found
    if commune.publication:
        kept = [commune.publication, *([_URGENT] if commune.publication == _ON_LINE else [])]
        return {key: found[key] for key in kept if key in found}
    asked = " : si le conseil l'a choisi, sous 3 500 habitants (CGCT, L2131-1, IV)"
    return {key: words + asked * (key not in (_ON_LINE, _URGENT)) for key, words in found.items()}


def publicity(act: Tracked, config: Config) -> Publicity:
    """How an act was made known, or what is to be done for it; nothing of a flow of accounts, nor of what is no act."""
    if act.circuit not in NATURES or act.eliminated:
        return Publicity()
    published, notified = _noted(act, "publication"), _noted(act, "notification")
    if is_individual(act):
        published = None
    elif not _either(act):
        notified = None
    days = [(day, word) for day, word in ((published, "publié"), (notified, "notifié")) if day]
    if days:
        return Publicity(*min(days))
    if _unsigned(act):
        return Publicity()
    received, sends = _received(act), config.has(act.commune, "teletransmission")
    if act.goes and sends and not received and place(act.step) <= place("aracte"):
        return Publicity()  # the préfecture has it first, or a person sees why it does not
    if unsaid(act):
        lacks = "nature à dire (CGCT, L2131-2) : d'elle dépend s'il se publie ou se notifie ; voyez le groupement"
    elif is_individual(act):
        lacks = "à notifier à l'intéressé (CGCT, L2131-1), puis à noter, avec la date, sur la page de l'acte"
    elif _elsewhere(act, config):
        lacks = "à publier, au serveur des délibérations, où le DGS ou le maire choisit ce qui l'est (CGCT, L2131-1)"
    else:
        what = "à publier, ou à notifier" if _either(act) else "à publier"
        lacks = f"{what} (CGCT, L2131-1), puis à noter, avec la date, sur la page de l'acte"
    return Publicity(lacks=lacks, since=received or act.since.astimezone(PARIS).date())


def whole_since(act: Tracked) -> date | None:
    """Day on which the whole of a délibération was on line, annexes included (CGCT, R2131-1); None while a part is not.

    The deliberations' server tells how many annexes it put on line. What a commune publishes by its own means, its
    people say of the whole act.
    """
    told, annexes = act.track.get("publication") or {}, act.annexes
    if not act.uid or not annexes or told.get("mode") != _ON_LINE:
        return day_of(told.get("le"))
    return day_of(told.get("entier_le") or told.get("le")) if told.get("annexes") == len(annexes) else None


def unpublished(store: Store, config: Config, communes: list[str] | None) -> list[Tracked]:
    """Acts that a person has to make known now, of some communes or of all, oldest first; `WAITING_MAX` at most."""
    found = store.unknown(UNKNOWN_SQL, communes, WAITING_MAX)
    return [act for act in found if publicity(act, config).lacks]


def standing(act: Tracked, config: Config) -> Standing:
    """Where an act is; a flow of accounts is none and lacks everything."""
    if act.circuit == PES:
        told = "Un flux comptable n'est pas un acte : il n'a pas de caractère exécutoire."
        return Standing(None, None, None, None, (told,))
    received = _received(act)
    published, notified = _noted(act, "publication"), _noted(act, "notification")
    lacks = []
    if _unsigned(act):
        lacks.append("La signature : l'acte n'est pas encore revenu signé du parapheur.")
    if unsaid(act):
        lacks.append("La nature de l'arrêté, et s'il est à transmettre (CGCT, L2131-2) : personne ne l'a dit.")
    elif act.goes and received is None:
        lacks.append(_transmission(act, config))
    if is_individual(act):
        published = None
        if notified is None:
            lacks.append("La notification à l'intéressé (CGCT, L2131-1) : notez sa date sur la page de l'acte.")
    elif published is None and (notified is None or not _either(act)):
        where = "au serveur des délibérations, où le DGS ou le maire choisit ce qui est publié"
        how = where if _elsewhere(act, config) else "notez sa date sur la page de l'acte"
        lacks.append(f"La publication{' ou la notification' * _either(act)} (CGCT, L2131-1) : {how}.")
    if published and not is_individual(act) and whole_since(act) is None:
        lacks.append(
            f"La publication de l'acte entier, annexes comprises (CGCT, R2131-1) : rien ne dit que ses "
            f"{len(act.annexes)} annexes soient toutes en ligne. À faire : publiez-les au serveur des "
            "délibérations, occultées au besoin."
        )
    known = publicity(act, config).day
    if known and known == published:
        known = max(known, whole_since(act) or known)
    return Standing(received if act.goes else None, published, notified, known, tuple(lacks))


def note(
    store: Store,
    config: Config,
    reference: str,
    commune: str,
    who: str,
    gesture: str,
    day: date,
    mode: str,
    today: date,
) -> None:
    """Note that an act was published, notified, or had by the préfecture on paper. Raises BadRequest.

    The last date noted is the one that counts; each stays in the act's history, with who noted it.
    """
    if gesture not in GESTURES:
        raise BadRequest("Ce geste est inconnu.")
    key, words, word = GESTURES[gesture]
    with store.transaction() as connection:
        try:
            act = store.lock(connection, reference)
        except KeyError:
            act = None
        if act is None or act.commune != commune:
            raise BadRequest("Cet acte n'est pas de votre commune, ou n'est pas ici.", 404)
        if gesture not in offered(act, config):
            raise BadRequest(_refused(act, config, gesture), 409)
        allowed = modes(act, config, gesture)
        if mode not in allowed:
            raise BadRequest("Choisissez comment : " + ", ".join(allowed.values()) + ".")
        taken = day_of(act.date)
        if day > today or (taken and day < taken):
            since = f"du {taken:%d/%m/%Y}, date de l'acte, " if taken else ""
            raise BadRequest(f"Date du {day:%d/%m/%Y} : elle va {since}à aujourd'hui, {today:%d/%m/%Y}.")
        kept = {"le": day.isoformat(), "mode": mode, "par": who[:200]}
        store.change(connection, reference, track=act.track | {key: kept})
        store.note(connection, reference, key, f"{word} le {day:%d/%m/%Y}, {words[mode]} (noté par {who[:200]})")


def described(act: Tracked, key: str, modes: dict[str, str]) -> str:
    """How something that was noted of an act was done."""
    mode = str((act.track.get(key) or {}).get("mode") or "")
    return modes.get(mode, mode)


def _refused(act: Tracked, config: Config, gesture: str) -> str:
    if _unsigned(act):
        return "Cet acte n'est pas encore signé : il n'y a rien à noter."
    if gesture == "publier" and is_individual(act):
        return "Un acte individuel se notifie à l'intéressé, il ne se publie pas (CGCT, L2131-1 ; CRPA, L312-1-2)."
    if gesture == "publier" and _elsewhere(act, config):
        return "Cette délibération se publie depuis le serveur des délibérations, qui en donne la date."
    if gesture == "recevoir":
        return "La date de réception de cet acte vient de son ARActe, ou il n'est pas à transmettre."
    return "Ce geste n'est pas de cet acte."


def _transmission(act: Tracked, config: Config) -> str:
    failed = act.track.get("echec") or {}
    if failed.get("etat") in FAILED:
        return f"La transmission à la préfecture (CGCT, L2131-1), qui a échoué : {failed.get('motif') or 'sans motif'}"
    if not config.has(act.commune, "teletransmission"):
        return "La réception en préfecture (CGCT, L2131-1) : notez sa date (cachet) sur la page de l'acte."
    return "La transmission à la préfecture (CGCT, L2131-1) : son accusé de réception (ARActe) n'est pas encore là."


def _received(act: Tracked) -> date | None:
    """Day on which the préfecture had it."""
    return day_of(act.tdt.get("date_reception")) if act.reached("acquittee") else _noted(act, "recu_papier")


def _unsigned(act: Tracked) -> bool:
    """Whether its signed file is still awaited: it is taken back at the step « reprise »."""
    return act.step != FINISHED and place(act.step) <= place("reprise")


def is_individual(act: Tracked) -> bool:
    """Whether it is about somebody, and notified to them in the place of a publication (CGCT, L2131-1)."""
    return act.circuit == "arrete" and act.nature == INDIVIDUAL


def is_urgent(act: Tracked) -> bool:
    """Whether all that is known of its publication is that it was posted up before it goes on line (L2131-1, III)."""
    return (act.track.get("publication") or {}).get("mode") == _URGENT


def _either(act: Tracked) -> bool:
    """Whether publication or notification, one of the two, is enough: it depends on what the act decides."""
    return act.circuit == "marche" or act.nature in (DECISION, "6")


def _elsewhere(act: Tracked, config: Config) -> bool:
    """Whether it is published from the deliberations' server."""
    return bool(act.uid) and config.has(act.commune, "deliberations")


def _noted(act: Tracked, key: str) -> date | None:
    return day_of((act.track.get(key) or {}).get("le"))


def day_of(value: object) -> date | None:
    """A day that somebody told, None when it is none."""
    try:
        return date.fromisoformat(str(value or "")[:10])
    except ValueError:
        return None
