"""The dossier de preuve of an act: what came beside its ARActe or after it, for a second deposit by the connector.

The first deposit has the act and its ARActe. Who controlled, approved and signed it (the parapheur's history), where it
went in the chain and how it was published, or notified to who it is about (CGCT, L2131-1), are known at the end only.
It lists the préfecture's letters about the act that came until then, the answers to them and their receipts, by their
digests: each is archived on its own. Where a delegate signed (L2122-18, L2122-19), it has the arrêté that lets them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb

from creatic_agent.act import SERVERS

from .acts import CONTRACT, BadRequest
from .config import Commune
from .letters import KINDS
from .room import ABOUT_MAX
from .steps import FINISHED, PES
from .store import Store, Tracked

_AT_ONCE = 20
# How long an act of which nobody noted the publication, nor the notification, waits for it: it is deposited once.
_NOTED_WITHIN = "90 days"
# The same of a délibération whose meeting has no procès-verbal settled: the council meets each quarter (CGCT, L2121-7).
_SETTLED_WITHIN = "180 days"
_PARIS = ZoneInfo("Europe/Paris")
_SAID = ("deposee", "sans_dossier")
_DELEGATION = "delegation.pdf"


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
            "courriers": self._letters(act),
            "parcours": way,
        }
        told = {"reference": reference, "numero": act.number, "id_acte": act.tdt.get("id_acte", "")}
        files = [{key: one[key] for key in ("nom", "sha256")} for one in meeting.get("pieces", ())]
        if granted := self._delegation(act):
            proof["delegation"] = {
                "reference": granted.reference, "id_acte": granted.tdt.get("id_acte", ""),
                "archive": granted.tdt.get("archive", ""), "sha256": granted.document,
            }  # fmt: skip # a table
            files.append({"nom": _DELEGATION, "sha256": granted.document})
        return told | {"preuve": proof, "fichiers": files}

    def _letters(self, act: Tracked) -> list[dict[str, Any]]:
        """What the préfecture wrote about an act, and what was answered."""
        number = act.tdt.get("id_acte")
        if not number:
            return []
        with self._store.transaction() as connection:
            rows = connection.execute(
                "SELECT tdt, donnees, suivi FROM lettre WHERE commune = %s AND donnees->>'id_acte' = %s"
                " AND donnees->>'etrangere' = '' ORDER BY numero LIMIT %s",
                (act.commune, number, ABOUT_MAX),
            ).fetchall()
        return [_letter(row) for row in rows]

    def _delegation(self, act: Tracked) -> Tracked | None:
        """The arrêté that lets who signed an act sign it, as the parapheur names it; None if nobody signed as a
        delegate, or if that arrêté did not go this way (one on paper)."""
        named = (act.track.get("visas") or {}).get("delegation") or {}
        if not isinstance(named, dict) or not (named.get("arrete") and named.get("arrete_date")):
            return None
        with self._store.transaction() as connection:
            rows = connection.execute(
                "SELECT reference FROM acte WHERE commune = %s AND donnees->>'circuit' = 'arrete'"
                " AND donnees->>'numero' = %s AND donnees->>'date' = %s AND donnees->>'eliminee' IS NULL"
                " AND suivi->>'signe' IS NOT NULL LIMIT 2",
                (act.commune, str(named["arrete"]), str(named["arrete_date"])),
            ).fetchall()
        return self._store.get(str(rows[0]["reference"])) if len(rows) == 1 else None

    def holds(self, commune: Commune, sha256: str) -> bool:
        """Whether a file is of a dossier de preuve that this commune's connector has to take."""
        with self._store.transaction() as connection:
            found = connection.execute(
                "SELECT 1 FROM acte WHERE commune = %s AND etape = %s AND donnees->>'eliminee' IS NULL"
                " AND suivi->'tdt'->>'archive' IS NOT NULL AND suivi->>'preuve' IS NULL"
                " AND suivi->'seance'->'pieces' @> %s LIMIT 1",
                (commune.slug, FINISHED, Jsonb([{"sha256": sha256}])),
            ).fetchone()
        if found is not None:
            return True
        told = (one["sha256"] for proof in self.waiting(commune) for one in proof["fichiers"])
        return sha256 in told  # an arrêté of delegation

    def said(self, commune: Commune, said: dict[str, Any]) -> None:
        """Hear that a connector took one. Raises BadRequest."""
        reference, state = str(said.get("reference") or ""), str(said.get("etat") or "")
        act = self._store.get(reference)
        if act is None or act.commune != commune.slug:
            raise BadRequest(f"Aucun acte de {commune.name} n'a la référence « {reference[:100]} ».", 404)
        if state not in _SAID:
            raise BadRequest(f"Champ « etat » : {' ou '.join(_SAID)}.")
        self._store.remember(act, preuve=state)


def _letter(row: dict[str, Any]) -> dict[str, Any]:
    data, track = row["donnees"], row["suivi"]
    answer = track.get("reponse") or {}
    told = {
        "transaction": row["tdt"], "type": KINDS[data["type"]], "date": data["date"], "recu_le": data["recu_le"],
        "fichiers": [{key: one[key] for key in ("nom", "sha256")} for one in data["fichiers"]],
        "pris_en_charge": track.get("prise") or {}, "classe_sans_reponse": track.get("sans_suite") or {},
    }  # fmt: skip # a table
    if answer:
        told["reponse"] = {
            **{key: answer.get(key, "") for key in ("sens", "par", "le", "etat", "date_reception")},
            "fichiers": [{key: one[key] for key in ("nom", "sha256")} for one in answer["fichiers"]],
            "accuse_de_reception_sha256": answer.get("ar", ""),
        }
    return told


def _when(moment: datetime) -> str:
    return moment.astimezone(_PARIS).isoformat(timespec="seconds")
