"""The dossier de preuve of an act: what came beside its ARActe or after it, for a second deposit by the connector.

The first deposit has the act and its ARActe. Who controlled, approved and signed it (the parapheur's history), where it
went in the chain and how it was published, or notified to who it is about (CGCT, L2131-1), are known at the end only.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb

from creatic_agent.act import SERVERS

from .acts import CONTRACT, BadRequest
from .config import Commune
from .steps import FINISHED, PES
from .store import Store, Tracked

_AT_ONCE = 20
# How long an act of which nobody noted the publication, nor the notification, waits for it: it is deposited once.
_NOTED_WITHIN = "90 days"
# The same of a délibération whose meeting has no procès-verbal settled: the council meets each quarter (CGCT, L2121-7).
_SETTLED_WITHIN = "180 days"
_PARIS = ZoneInfo("Europe/Paris")
_SAID = ("deposee", "sans_dossier")


class Proofs:
    """Dossiers de preuve, by commune."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def waiting(self, commune: Commune) -> list[dict[str, Any]]:
        """Those that a commune's connector has to take: of acts at the end of the chain that were archived.

        One that is published or notified by other means than ours waits until somebody notes it (CGCT, L2131-1), for
        it is what proves that the act is executory.
        """
        with self._store.transaction() as connection:
            rows = connection.execute(
                "SELECT reference FROM acte WHERE commune = %s AND etape = %s AND donnees->>'eliminee' IS NULL"
                " AND donnees->>'circuit' <> %s AND suivi->'tdt'->>'archive' IS NOT NULL AND suivi->>'preuve' IS NULL"
                " AND (donnees->>'circuit' = %s OR suivi->>'publication' IS NOT NULL"
                " OR suivi->>'notification' IS NOT NULL OR modifie_le < now() - %s::interval)"
                " AND (NOT donnees ? 'uid' OR suivi->>'seance' IS NOT NULL OR modifie_le < now() - %s::interval)"
                " ORDER BY modifie_le, reference LIMIT %s",
                (commune.slug, FINISHED, PES, CONTRACT, _NOTED_WITHIN, _SETTLED_WITHIN, _AT_ONCE),
            ).fetchall()
        found = self._store.known([str(row["reference"]) for row in rows])
        return [self._one(act) for act in found.values()]

    def _one(self, act: Tracked) -> dict[str, Any]:
        reference = act.reference
        meeting = act.track.get("seance") or {}
        way = [{"le": _when(when), "etape": step} for when, step, _detail in self._store.history(reference)]
        proof = {
            "acte": act.named(SERVERS, "number", "date", "subject", "matter", "nature"),
            "reference": reference,
            "id_acte": act.tdt.get("id_acte", ""),
            "accuse_de_reception": act.tdt.get("date_reception", ""),
            "sha256": act.document,
            "parapheur": act.track.get("visas") or {},
            "publication": act.track.get("publication") or {},
            "notification": act.track.get("notification") or {},
            "seance": meeting,
            "parcours": way,
        }
        told = {"reference": reference, "numero": act.number, "id_acte": act.tdt.get("id_acte", "")}
        files = [{key: one[key] for key in ("nom", "sha256")} for one in meeting.get("pieces", ())]
        return told | {"preuve": proof, "fichiers": files}

    def holds(self, commune: Commune, sha256: str) -> bool:
        """Whether a file is of a dossier de preuve that this commune's connector has to take."""
        with self._store.transaction() as connection:
            found = connection.execute(
                "SELECT 1 FROM acte WHERE commune = %s AND etape = %s AND donnees->>'eliminee' IS NULL"
                " AND suivi->'tdt'->>'archive' IS NOT NULL AND suivi->>'preuve' IS NULL"
                " AND suivi->'seance'->'pieces' @> %s LIMIT 1",
                (commune.slug, FINISHED, Jsonb([{"sha256": sha256}])),
            ).fetchone()
        return found is not None

    def said(self, commune: Commune, said: dict[str, Any]) -> None:
        """Hear that a connector took one. Raises BadRequest."""
        reference, state = str(said.get("reference") or ""), str(said.get("etat") or "")
        act = self._store.get(reference)
        if act is None or act.commune != commune.slug:
            raise BadRequest(f"Aucun acte de {commune.name} n'a la référence « {reference[:100]} ».", 404)
        if state not in _SAID:
            raise BadRequest(f"Champ « etat » : {' ou '.join(_SAID)}.")
        self._store.remember(act, preuve=state)


def _when(moment: datetime) -> str:
    return moment.astimezone(_PARIS).isoformat(timespec="seconds")
