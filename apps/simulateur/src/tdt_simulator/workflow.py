"""Statuses of a transaction, as a pure function of the time that has passed.

Nothing runs in the background: what a transaction has become is computed when somebody asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Kind(IntEnum):
    """Types of transaction (protocol ACTES, numbers of S²LOW)."""

    ACTE = 1
    COURRIER_SIMPLE = 2
    DEMANDE_PIECES = 3
    LETTRE_OBSERVATIONS = 4
    DEFERE = 5
    ANNULATION = 6
    CLASSIFICATION = 7


LETTERS = {Kind.COURRIER_SIMPLE, Kind.DEMANDE_PIECES, Kind.LETTRE_OBSERVATIONS, Kind.DEFERE}

ERROR, CANCELLED, POSTED, PENDING, SENT, ACKNOWLEDGED = -1, 0, 1, 2, 3, 4
INFORMATION = 8
"""Helios: the DGFiP's receipt says the fate of each part of a flow."""
LETTER_RECEIVED, LETTER_ACKNOWLEDGED, WAITING, LETTER_WITHOUT_AR = 7, 8, 17, 21

STATUS_NAMES = {
    -1: "Erreur",
    0: "Annulé",
    1: "Posté",
    2: "En attente de transmission",
    3: "Transmis",
    4: "Acquittement reçu",
    5: "Validé",
    6: "Refusé",
    7: "Document reçu",
    8: "Acquittement envoyé",
    12: "Envoyé au SAE",
    13: "Archivé par le SAE",
    14: "Erreur lors de l'archivage",
    16: "Détruit",
    17: "En attente d'être posté",
    18: "En attente d'être signé",
    19: "En attente de transmission au SAE",
    20: "Erreur lors de l'envoi au SAE",
    21: "Document reçu, sans accusé de réception",
}

HELIOS_STATUS_NAMES = {
    -1: "Erreur",
    0: "Annulé",
    1: "Posté",
    2: "En attente de transmission",
    3: "Transmis",
    4: "Acquitté",
    6: "Refusé",
    8: "Information disponible",
    24: "Transmis sans acquittement",
}


@dataclass(frozen=True)
class Step:
    """A status and the moment it is reached (seconds since the epoch)."""

    status: int
    at: float
    message: str


def _advance(start: float, delay: float, statuses: list[tuple[int, str]]) -> list[Step]:
    return [Step(status, start + rank * delay, message) for rank, (status, message) in enumerate(statuses)]


def acte_steps(
    kind: Kind,
    created: float,
    posted: float | None,
    delay: float,
    *,
    is_response: bool = False,
    anomaly: str | None = None,
) -> list[Step]:
    """Return the course of an ACTES transaction.

    Args:
        kind: type of the transaction.
        created: when it was recorded.
        posted: when it was released to the préfecture; None while it waits (status 17).
        delay: seconds between two statuses.
        is_response: the commune's answer to a letter, and not the letter.
        anomaly: why the préfecture refuses it; None when it accepts it.
    """
    if kind in LETTERS and not is_response:
        if kind in (Kind.COURRIER_SIMPLE, Kind.DEFERE):
            return [Step(LETTER_WITHOUT_AR, created, "Document reçu")]
        return _advance(
            created,
            delay,
            [(LETTER_RECEIVED, "Document reçu"), (LETTER_ACKNOWLEDGED, "Accusé de réception envoyé")],
        )
    if posted is None:
        return [Step(WAITING, created, "Dépôt dans un état d'attente")]
    course = [
        (POSTED, "Dépôt initial"),
        (PENDING, "Accepté par le TdT : validation OK"),
        (SENT, "Transmis au MI"),
    ]
    if anomaly is not None:
        course.append((ERROR, anomaly))
    elif not (kind == Kind.COURRIER_SIMPLE and is_response):  # the protocol has no receipt for this answer
        course.append((ACKNOWLEDGED, "Reçu par le MI"))
    return _advance(posted, delay, course)


def helios_steps(created: float, delay: float, anomaly: str | None = None, answer: int = INFORMATION) -> list[Step]:
    """Return the course of a PES (arguments as in acte_steps).

    Args:
        answer: the status that its receipt gives it.
    """
    course = [(POSTED, "Fichier bien reçu par la plate-forme S2low"), (PENDING, "Fichier validé")]
    if anomaly is not None:
        course.append((ERROR, anomaly))
    else:
        course += [(SENT, "Transmis au Trésor"), (answer, HELIOS_STATUS_NAMES[answer])]
    return _advance(created, delay, course)


def current(steps: list[Step], now: float, held_since: float | None = None) -> Step:
    """Return the step reached at ``now``.

    Args:
        held_since: the préfecture answers nothing since then: what was not answered stays « sent ».
    """
    reached = [step for step in steps if step.at <= now] or steps[:1]
    if held_since is not None and any(step.status == SENT for step in reached):
        answered = [step for step in reached if step.at <= held_since]
        sent = [step for step in reached if step.status in (POSTED, PENDING, SENT)]
        reached = max(answered, sent, key=len)
    return reached[-1]


STATES = {
    ERROR: "bad",
    CANCELLED: "muted",
    WAITING: "muted",
    POSTED: "moving",
    PENDING: "moving",
    SENT: "moving",
    ACKNOWLEDGED: "good",
    6: "bad",
}
"""How a status looks to people; « muted » when absent."""
