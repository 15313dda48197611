"""What the archive eliminated goes from the chain too: parapheur, GED, the passerelle's own files and words.

A commune's connector says which archive of its own was eliminated, with the visa that the law wants (Code du
patrimoine, L212-2, R212-14: role archive_gateway). The act is found by that archive's number, or its identifier at the
préfecture, among that commune's alone. What finds its copies again is noted first, so that the work is taken up
wherever it was cut, and done again every day: a GED or a parapheur restored from an old backup brings back what had
gone.

What the chain never had is not looked for: a document that somebody filed in the GED, and that never went to the
archive, stays.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from creatic_agent.reasons import reason

from .acts import BadRequest
from .config import Commune, Config
from .errors import Away, HandoverError
from .files import Files
from .handovers import mark
from .servers import Servers
from .steps import FINISHED, PES
from .store import Act, Store

log = logging.getLogger("passerelle")
SCHEMA = """
CREATE TABLE IF NOT EXISTS elimination (
  commune text NOT NULL,
  archive text NOT NULL,
  demande text NOT NULL,
  reference text NOT NULL DEFAULT '',
  traces jsonb NOT NULL DEFAULT '{}',
  lieux jsonb NOT NULL DEFAULT '{}',
  revenues integer NOT NULL DEFAULT 0,
  recue_le timestamptz NOT NULL DEFAULT now(),
  faite_le timestamptz,
  vue_le timestamptz,
  PRIMARY KEY (commune, archive)
);
"""
GONE, ABSENT, WAITS = "supprime", "absent", "attente"
ACCOUNTS_YEARS = 10  # the ordonnateur keeps flows of accounts that long, after their year
_AGAIN = "1 day"  # between two looks for what came back
_AT_ONCE = 200  # eliminations in a turn
_TURN = 600  # seconds after which a turn begins none: the queue restarts a job of twice that
_YOUNG = 3600  # seconds: a file that was written so lately may be another act's, on its way in
_EMPTY = {"objet": "Acte éliminé", "annexes": []}


class Eliminations:
    """Eliminations, by commune and archive."""

    def __init__(self, config: Config, store: Store, files: Files, on_step: Callable[[str], None] = lambda _: None):
        self._config, self._store, self._files, self._step = config, store, files, on_step
        self._servers = Servers(config, on_step)

    # -- the connector asks --------------------------------------------------------------------------------

    def ask(self, commune: Commune, said: dict[str, Any]) -> dict[str, Any]:
        """Note that an archive was eliminated, and say how far its copies are; with `essai`, only what would go.

        Raises:
            BadRequest: the request is not to be understood, or the act is of accounts that are kept for longer.
        """
        archive, request, number = (str(said.get(key) or "")[:100] for key in ("archive", "demande", "id_acte"))
        if not archive or not request:
            raise BadRequest("Champs « archive » et « demande » : attendus.")
        known = self._one(commune.slug, archive)
        if known is None:
            act = self._act(commune, archive, number)
            if act:
                _check_accounts(act)
            if said.get("essai"):
                return {"etat": WAITS, "lieux": self._planned(act), "acte": _shown(act)}
            known = self._begin(commune, archive, request, act)
        return {"etat": GONE if known["faite_le"] else WAITS, "lieux": known["lieux"]}

    def done(self, commune: Commune) -> list[str]:
        """Archives of a commune that are known here as eliminated."""
        rows = self._rows("SELECT archive FROM elimination WHERE commune = %s ORDER BY archive", commune.slug)
        return [str(one["archive"]) for one in rows]

    def _act(self, commune: Commune, archive: str, number: str) -> Act | None:
        """The act of an archive. Raises BadRequest: two have it, which a person must look at."""
        with self._store.transaction() as connection:
            rows = connection.execute(
                "SELECT reference FROM acte WHERE commune = %s AND donnees->>'eliminee' IS NULL"
                " AND (suivi->'tdt'->>'archive' = %s OR (%s <> '' AND suivi->'tdt'->>'id_acte' = %s)"
                # Restored from a backup of before its ARActe: its identifier says its date and number.
                " OR (suivi->'tdt'->>'id_acte' IS NULL AND strpos(%s, concat('-', %s::text, '-',"
                " replace(left(donnees->>'date', 10), '-', ''), '-', donnees->>'numero', '-')) > 0))",
                (commune.slug, archive, number, number, number, commune.siren),
            ).fetchall()
        if len(rows) > 1:
            found = ", ".join(str(one["reference"]) for one in rows)
            raise BadRequest(f"Plusieurs actes répondent à l'archive {archive} : {found}. Prévenez le groupement.", 409)
        return self._store.get(rows[0]["reference"]) if rows else None

    @staticmethod
    def _planned(act: Act | None) -> dict[str, Any]:
        if act is None:
            return {"passerelle": {"etat": ABSENT}}
        counts = {
            "passerelle": len(_digests(act)),
            "ged": len(act.track.get("ged") or []),
            "parapheur": int("dossier" in act.track),
        }
        return {name: {"etat": WAITS if count else ABSENT, "nombre": count} for name, count in counts.items()}

    def _begin(self, commune: Commune, archive: str, request: str, act: Act | None) -> dict[str, Any]:
        """Note what finds its copies again, and forget what the row said of people: one transaction."""
        traces: dict[str, Any] = {}
        with self._store.transaction() as connection:
            if act:
                act = self._store.lock(connection, act.reference)
                own, digests = _own(act), _digests(act)
                shared = self._shared(connection, act.reference, own)
                traces = {
                    "fichiers": digests,
                    "propres": [one for one in own if one not in shared],
                    "marques": [mark(act.reference, rank) for rank in range(len(act.data.get("annexes", [])) + 2)],
                }
                kept = ("circuit", "numero", "date", "matiere", "nature", "transmission")
                data = {key: act.data[key] for key in kept if key in act.data} | _EMPTY
                document = {"sha256": str((act.data.get("document") or {}).get("sha256") or ""), "nom": ""}
                data |= {"eliminee": request, "document": document}
                self._store.change(
                    connection, act.reference, data=data, track={"tdt": {"archive": archive}}, step=FINISHED,
                    blocked="", late="",
                )  # fmt: skip # one call by its parts
                connection.execute("UPDATE passage SET detail = '' WHERE reference = %s", (act.reference,))
                self._store.note(connection, act.reference, "elimination", request)
            connection.execute(
                "INSERT INTO elimination (commune, archive, demande, reference, traces) VALUES (%s, %s, %s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                (commune.slug, archive, request, act.reference if act else "", Jsonb(traces)),
            )
        self._step("élimination: notée")
        return {"faite_le": None, "lieux": {}}

    # -- and it is done ------------------------------------------------------------------------------------

    def work(self) -> None:
        """Have the copies go of what waits; look again, once a day, for what came back."""
        rows = self._rows(
            "SELECT * FROM elimination WHERE faite_le IS NULL OR vue_le < now() - %s::interval"
            " ORDER BY faite_le IS NOT NULL, vue_le NULLS FIRST, archive LIMIT %s",
            _AGAIN,
            _AT_ONCE,
        )
        away: dict[str, str] = {}
        end = time.monotonic() + _TURN
        for row in rows:
            if time.monotonic() >= end:
                break
            try:
                self._work_one(row, away)
            except psycopg.Error:
                raise
            except Exception as error:  # one never keeps the others
                log.exception("Élimination de l'archive %s : %r", row["archive"], error)

    def _work_one(self, row: dict[str, Any], away: dict[str, str]) -> None:
        """One elimination.

        Args:
            row: of the database.
            away: servers that did not answer in this turn, with what was said; added to here.
        """
        places: dict[str, Any] = {}
        for name in ("parapheur", "ged"):
            if name in self._config.servers and row["reference"]:
                places[name] = self._have_go(name, row, away)
                self._step(f"élimination: {name}")
        places["passerelle"] = self._unlink(row)
        self._step("élimination: fichiers")
        self._note(row, places)

    def _have_go(self, name: str, row: dict[str, Any], away: dict[str, str]) -> dict[str, Any]:
        """Have an application delete its documents of the act."""
        before = row["lieux"].get(name, {})
        if not row["faite_le"] and before.get("etat") in (GONE, ABSENT):
            return {**before, "nombre": 0}  # done in an earlier turn, which another place kept from its end
        if name in away:
            return {"etat": WAITS, "nombre": 0, "detail": away[name]}
        commune, traces = self._config.communes.get(row["commune"]), row["traces"]
        asked = {
            "demande": row["demande"],
            "commune": row["commune"],
            "nom": commune.name if commune else row["commune"],
            "reference": row["reference"],
        }
        if name == "ged":
            asked |= {"marques": traces.get("marques", []), "sha256": traces.get("propres", [])}
        try:
            client = self._servers.ged() if name == "ged" else self._servers.parapheur()
            count = client.eliminate(asked)
        except HandoverError as error:
            if isinstance(error, Away):
                away[name] = str(error)
            return {"etat": WAITS, "nombre": 0, "detail": str(error)[:300]}
        return {"etat": GONE if count else ABSENT, "nombre": count}

    def _unlink(self, row: dict[str, Any]) -> dict[str, Any]:
        """Remove the passerelle's own files, but those that another act has as well."""
        count, why, digests = 0, "", list(row["traces"].get("fichiers", []))
        # Every act is read for those that are here: never, once they went.
        digests = [one for one in digests if self._files.path(one).exists()]
        if digests:
            with self._store.transaction() as connection:
                for digest in set(digests) - self._shared(connection, row["reference"], digests):
                    path = self._files.path(digest)
                    try:
                        if time.time() - path.stat().st_mtime < _YOUNG:
                            why = "un fichier écrit il y a moins d'une heure"
                        else:
                            path.unlink()
                            count += 1
                    except FileNotFoundError:
                        continue
                    except OSError as error:
                        why = f"un fichier ne s'efface pas ({reason(error)})"
        if why:
            return {"etat": WAITS, "nombre": count, "detail": why}
        return {"etat": GONE if count or row["reference"] else ABSENT, "nombre": count}

    @staticmethod
    def _shared(connection: psycopg.Connection[Any], reference: str, digests: list[str]) -> set[str]:
        """Those of these digests that something else has too: an act, a return of the DGFiP, a letter."""
        pattern = "|".join(sorted(set(digests)))
        if not pattern:
            return set()
        rows = connection.execute(
            "SELECT donnees::text || suivi::text AS mots FROM acte WHERE reference <> %s"
            " AND donnees->>'eliminee' IS NULL AND donnees::text || suivi::text ~ %s"
            " UNION ALL SELECT sha256 FROM retour WHERE sha256 = ANY(%s)"
            " UNION ALL SELECT donnees::text || suivi::text FROM lettre WHERE donnees::text || suivi::text ~ %s",
            (reference, pattern, digests, pattern),
        ).fetchall()
        words = " ".join(str(one["mots"]) for one in rows)
        return {one for one in digests if one in words}

    def _note(self, row: dict[str, Any], places: dict[str, Any]) -> None:
        waits = any(one["etat"] == WAITS for one in places.values())
        back = sum(one["nombre"] for one in places.values()) if row["faite_le"] else 0
        if back:
            log.warning(
                "Archive %s : %d copies éliminées étaient revenues, elles sont supprimées.", row["archive"], back
            )
        # What went stays said, whatever is found absent afterwards.
        for name, one in places.items():
            before = row["lieux"].get(name, {})
            if before.get("etat") == GONE and one["etat"] != GONE and (one["etat"] == ABSENT or row["faite_le"]):
                places[name] = before
            elif one["etat"] == GONE:
                one["nombre"] += before.get("nombre", 0)
        with self._store.transaction() as connection:
            connection.execute(
                "UPDATE elimination SET lieux = %s, vue_le = now() - %s * interval '23 hours',"
                " revenues = revenues + %s,"
                " faite_le = COALESCE(faite_le, CASE WHEN %s THEN now() END) WHERE commune = %s AND archive = %s",
                (Jsonb(row["lieux"] | places), int(waits), int(bool(back)), not waits, row["commune"], row["archive"]),
            )

    # -- to be seen ----------------------------------------------------------------------------------------

    def listed(self) -> list[dict[str, Any]]:
        """All of them, what waits first."""
        return self._rows("SELECT * FROM elimination ORDER BY faite_le IS NOT NULL, recue_le DESC, archive")

    def counts(self) -> dict[str, int]:
        """How many wait, are done, and had come back."""
        [row] = self._rows(
            "SELECT count(*) FILTER (WHERE faite_le IS NULL) AS attente,"
            " count(*) FILTER (WHERE faite_le IS NOT NULL) AS faite, COALESCE(sum(revenues), 0) AS revenue"
            " FROM elimination"
        )
        return {name: int(count) for name, count in row.items()}

    def _one(self, commune: str, archive: str) -> dict[str, Any] | None:
        rows = self._rows("SELECT * FROM elimination WHERE commune = %s AND archive = %s", commune, archive)
        return rows[0] if rows else None

    def _rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        with self._store.transaction() as connection:
            return connection.execute(query.encode(), values).fetchall()


def _own(act: Act) -> list[str]:
    """Digests of the act itself, before and after its signature: those that somebody may have filed by hand."""
    found = [str((act.data.get("document") or {}).get("sha256") or ""), str(act.track.get("signe") or "")]
    return [one for one in dict.fromkeys(found) if one]


def _digests(act: Act) -> list[str]:
    """Digests of all its files that are here."""
    found = [*_own(act), *(str(one.get("sha256") or "") for one in act.data.get("annexes", []))]
    found.append(str(act.tdt.get("ar_acte") or ""))
    return [one for one in dict.fromkeys(found) if one]


def _shown(act: Act | None) -> str:
    return f"{act.data.get('numero')} — {act.data.get('objet')}" if act else ""


def _check_accounts(act: Act) -> None:
    """The ordonnateur keeps flows of accounts ten years, whatever the archive did. Raises BadRequest."""
    end = act.since.year + ACCOUNTS_YEARS
    if act.data.get("circuit") == PES and datetime.now(act.since.tzinfo).year <= end:
        raise BadRequest(f"Flux comptable : l'ordonnateur le garde jusqu'au 31/12/{end}, rien n'est supprimé.", 409)
