"""How much a commune's connector and its agents may leave here: returns of the DGFiP, letters and the answers to them
share their disk with PostgreSQL, and each thing that a connector says of an act or of a letter is a line of a history
that nobody shortens.

A return weighs a few megabytes and comes some days of the week, a letter less: what a commune is given is a hundred
times what one brings. Nothing of it is ever removed, so that what is kept only grows. A commune that fills its own
share stops no other, and loses nothing: its connector keeps what it could not give, and asks again.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import psycopg

from .acts import BadRequest
from .config import Commune

LARGEST = 150_000_000  # bytes of a file: what a TdT carries (S²LOW)
DAY_MAX = 1_000_000_000  # bytes in 24 hours: six of the largest files, or ten years of letters after a restore
KEPT_MAX = 10_000_000_000  # bytes in all: forty years of a commune whose returns weigh a megabyte a day
LEAST = 100_000  # bytes that a row counts for: a file of one byte takes a place too
LETTERS_DAY = 500  # letters in 24 hours, whatever they weigh: people are written to of each
ABOUT_MAX = 20  # letters about one act: each is reckoned with all the others, which make one delay
SAID_MAX = 50  # lines of one act's or letter's history that a connector writes in 24 hours: it has a handful of states
_CONNECTOR, _AGENTS = "connecteur", "agents"
_SHARES = f"""WITH apport AS (
  SELECT '{_CONNECTOR}' AS part, commune, GREATEST(%(least)s, octets) AS octets, recu_le FROM retour
  UNION ALL SELECT '{_CONNECTOR}', commune, GREATEST(%(least)s, LEAST(%(largest)s, (un->>'octets')::numeric)), recu_le
    FROM lettre, jsonb_array_elements(donnees->'fichiers') AS un
  UNION ALL SELECT '{_CONNECTOR}', commune, %(least)s, recu_le FROM lettre
  UNION ALL SELECT '{_AGENTS}', commune, GREATEST(%(least)s, COALESCE((une->>'octets')::numeric, 0)),
      (une->>'le')::timestamptz
    FROM lettre, LATERAL (SELECT suivi->'reponse' WHERE jsonb_typeof(suivi->'reponse') = 'object'
      UNION ALL SELECT jsonb_array_elements(COALESCE(suivi->'anciennes', '[]'))) AS reponses (une))
SELECT commune, part, sum(octets) AS kept,
  COALESCE(sum(octets) FILTER (WHERE recu_le > now() - interval '1 day'), 0) AS today
  FROM apport WHERE %(commune)s::text IS NULL OR commune = %(commune)s GROUP BY commune, part"""  # noqa: S608 - names of ours, values are parameters
_GIVEN = {"least": LEAST, "largest": LARGEST}


def check(connection: psycopg.Connection[Any], commune: Commune, sizes: list[int]) -> None:
    """Check that a commune may leave files of these sizes; no other request of it is judged in the same transaction.

    Raises:
        BadRequest: one of them is no size or too large (413), the day's share is used (429), or the whole of it (507).
    """
    if not all(0 <= one <= LARGEST for one in sizes):
        raise BadRequest(f"Un fichier fait {LARGEST // 1_000_000} Mo au plus.", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('apport ' || %s, 0))", (commune.slug,))
    more = sum(max(LEAST, one) for one in sizes) or LEAST
    kept, today = _used(connection, commune, _CONNECTOR)
    left = "Rien n'est perdu : le connecteur le garde, et le redonnera."
    if kept + more > KEPT_MAX:
        raise BadRequest(
            f"{commune.name} a laissé à la passerelle {kept // 1_000_000} Mo de retours et de courriers, sur "
            f"{KEPT_MAX // 1_000_000}. {left} À faire : prévenez le groupement.",
            HTTPStatus.INSUFFICIENT_STORAGE,
        )
    if today + more > DAY_MAX:
        raise BadRequest(
            f"{commune.name} a laissé à la passerelle {today // 1_000_000} Mo en un jour, sur "
            f"{DAY_MAX // 1_000_000}. {left}",
            HTTPStatus.TOO_MANY_REQUESTS,
        )


def check_answer(connection: psycopg.Connection[Any], commune: Commune, size: int) -> None:
    """Check that a commune's agents may leave an answer of this size, before anything of it is kept.

    Their share is beside the connector's and as large: a connector that fills its own keeps nobody from answering.

    Raises:
        BadRequest: the day's share is used (429), or the whole of it (507).
    """
    kept, today = _used(connection, commune, _AGENTS)
    for used, most, when, status, remedy in (
        (kept, KEPT_MAX, "", HTTPStatus.INSUFFICIENT_STORAGE, "prévenez le groupement"),
        (today, DAY_MAX, " en un jour", HTTPStatus.TOO_MANY_REQUESTS, "allégez ces documents, ou répondez demain"),
    ):
        if used + max(LEAST, size) > most:
            raise BadRequest(
                f"{commune.name} a déposé {used // 1_000_000} Mo de réponses{when}, sur {most // 1_000_000} : celle-ci "
                f"n'est pas gardée, et ne part pas. À faire : {remedy} ; si son délai presse, répondez par "
                "un autre moyen, et classez ce courrier en disant lequel.",
                status,
            )


def _used(connection: psycopg.Connection[Any], commune: Commune, part: str) -> tuple[int, int]:
    """Bytes that count in a commune's share, in all and of 24 hours."""
    rows = connection.execute(_SHARES.encode(), _GIVEN | {"commune": commune.slug}).fetchall()
    return next(((int(one["kept"]), int(one["today"])) for one in rows if one["part"] == part), (0, 0))


def check_letter(connection: psycopg.Connection[Any], commune: Commune, idacte: str) -> None:
    """Check that a commune may be brought one letter more, in the transaction of `check`.

    Raises:
        BadRequest: the day brought enough (429), or its act has more than a préfecture writes of one: it alone is
            refused (409), the others come.
    """
    query = (
        "SELECT count(*) FILTER (WHERE recu_le > now() - interval '1 day') AS today,"
        " count(*) FILTER (WHERE %s <> '' AND donnees->>'id_acte' = %s) AS about FROM lettre WHERE commune = %s"
    )
    found = connection.execute(query, (idacte, idacte, commune.slug)).fetchone()
    if found and int(found["today"]) >= LETTERS_DAY:
        raise BadRequest(
            f"{commune.name} a reçu {LETTERS_DAY} courriers en un jour. Rien n'est perdu : le connecteur garde "
            "celui-ci, et le redonnera.",
            HTTPStatus.TOO_MANY_REQUESTS,
        )
    if found and int(found["about"]) >= ABOUT_MAX:
        raise BadRequest(
            f"Il y a déjà {ABOUT_MAX} courriers au sujet de l'acte {idacte} : celui-ci reste sur le connecteur. "
            "À faire : prévenez le groupement, qui vérifie ce connecteur.",
            HTTPStatus.CONFLICT,
        )


def check_said(connection: psycopg.Connection[Any], query: str, key: str | int) -> None:
    """Check that a connector may say more of one thing, which is locked.

    Args:
        connection: of the transaction that notes it.
        query: counts the lines that the connector wrote of it in 24 hours.
        key: what the query asks for.

    Raises:
        BadRequest: it said all that there was to say (429).
    """
    found = connection.execute(query.encode(), (key,)).fetchone()
    if found and int(found["count"]) >= SAID_MAX:
        raise BadRequest(
            f"Le connecteur a dit {SAID_MAX} choses de cela en un jour : il ne se contredit pas tant. Rien n'est "
            "perdu, il redira la dernière demain. À faire : prévenez le groupement, qui vérifie ce connecteur.",
            HTTPStatus.TOO_MANY_REQUESTS,
        )


def full(connection: psycopg.Connection[Any]) -> int:
    """How many communes used nine tenths of what they may leave."""
    rows = connection.execute(_SHARES.encode(), _GIVEN | {"commune": None}).fetchall()
    return len({row["commune"] for row in rows if row["kept"] > KEPT_MAX * 9 // 10})
