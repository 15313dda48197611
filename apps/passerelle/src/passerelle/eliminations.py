"""What the archive eliminated goes from the chain too: parapheur, GED, the passerelle's own files and words.

A commune's connector brings the archive's own attestation that an archive was eliminated, with the visa that the law
wants (Code du patrimoine, L212-2, R212-14: role archive_gateway). It is verified here, and must be of that very act:
the commune's SIREN, the act's identifier, and the digest of its document among those that were in the archive. Nothing
that a connector says is believed without it; a claim that proves false is told.

Then thirty days run, during which nothing changes and the commune sees what will go, and may take it back. At their end
the attestation is verified again. What finds the copies again is noted first, so that the work is taken up wherever it
was cut. What comes back afterwards (a GED, a parapheur restored from an old backup) has thirty days anew; so has all
that waits, when nobody could see it for a while: this machine was off, or is itself restored.

What the chain never had is not looked for: a document that somebody filed in the GED, and that never went to the
archive, stays.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from psycopg.types.json import Jsonb

from creatic_agent import attestation
from creatic_agent.act import File
from creatic_agent.attestation import DELAY, Attestation, NotNow, Unproven
from creatic_agent.reasons import reason

from .acts import BadRequest
from .config import Commune, Config
from .errors import Away, HandoverError
from .files import Files
from .handovers import mark
from .servers import Servers
from .steps import FINISHED, PES, place
from .store import Store, Tracked

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
-- The archive's attestation; day of the departure; who took it back; why its attestation proved false afterwards.
ALTER TABLE elimination ADD COLUMN IF NOT EXISTS attestation jsonb;
ALTER TABLE elimination ADD COLUMN IF NOT EXISTS identifiant text NOT NULL DEFAULT '';
ALTER TABLE elimination ADD COLUMN IF NOT EXISTS part_le timestamptz;
ALTER TABLE elimination ADD COLUMN IF NOT EXISTS gardee_le timestamptz;
ALTER TABLE elimination ADD COLUMN IF NOT EXISTS gardee_par text NOT NULL DEFAULT '';
ALTER TABLE elimination ADD COLUMN IF NOT EXISTS faute text NOT NULL DEFAULT '';
CREATE TABLE IF NOT EXISTS elimination_fausse (
  commune text PRIMARY KEY,
  archive text NOT NULL,
  motif text NOT NULL,
  fois integer NOT NULL DEFAULT 1,
  derniere_le timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS elimination_tour (
  seul boolean PRIMARY KEY DEFAULT true CHECK (seul),
  vu_le timestamptz NOT NULL DEFAULT now()
);
"""
GONE, ABSENT, WAITS = "supprime", "absent", "attente"
KEPT = "garde"
ACCOUNTS_YEARS = 10  # the ordonnateur keeps flows of accounts that long, after their year
_AGAIN = "1 day"  # between two looks for what came back
_AT_ONCE = 200  # eliminations in a turn
_TURN = 600  # seconds after which a turn begins none: the queue restarts a job of twice that
_UNSEEN = "1 hour"  # without a turn: what waited was shown to nobody
_TOLD = "7 days"  # a false claim is told that long after the last
_YOUNG = 3600  # seconds: a file that was written so lately may be another act's, on its way in
_SHOWN = 500  # lines of a page
PARIS = ZoneInfo("Europe/Paris")
_IDENTIFIER = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,99}")
# Beginnings of the identifiers that a connector gives to its SIPs: acts, those that do not go out and flows of
# accounts, both named after a digest of the act's reference, and the dossier de preuve of an act that stays.
_ACT, _PROOF = "ACTE-", "PREUVE-"
_BY_REFERENCE = ("ACTE-NT-", "PES-")


class Elsewhere(Unproven):
    """The archive's own word, of another archive than the one that holds the act (it was deposited twice): no lie."""


class Eliminations:
    """Eliminations, by commune and archive."""

    def __init__(self, config: Config, store: Store, files: Files, on_step: Callable[[str], None] = lambda _: None):
        self._config, self._store, self._files, self._step = config, store, files, on_step
        self._servers = Servers(config, on_step)

    # -- the connector asks --------------------------------------------------------------------------------

    def ask(self, commune: Commune, said: dict[str, Any]) -> dict[str, Any]:
        """Note that an archive was eliminated, and say how far its copies are; with `essai`, only what would go.

        Raises:
            BadRequest: the request is not to be understood, the archive's attestation is not of that very act, or the
                act is of accounts that are kept for longer.
        """
        archive, request, number = (str(said.get(key) or "")[:101] for key in ("archive", "demande", "id_acte"))
        number = number.replace("\0", "")
        if not (_IDENTIFIER.fullmatch(archive) and _IDENTIFIER.fullmatch(request)):
            raise BadRequest("Champs « archive » et « demande » : attendus.")
        known = self._one(commune.slug, archive)
        if said.get("essai"):
            if known is not None:
                return self._state(known)
            act = self._act(commune, archive, number)
            if act:
                _check_accounts(act)
            return {"etat": WAITS, "lieux": self._planned(act), "acte": _shown(act)}
        if known is None or known["attestation"] is None or known["faute"]:
            known = self._believe(commune, archive, request, said.get("attestation"), known)
        return self._state(known)

    def _believe(
        self, commune: Commune, archive: str, request: str, told: Any, known: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Have what the archive attests wait for its day. Raises BadRequest: it attests nothing of the kind."""
        try:
            proven = self._attested(commune, archive, request, told)
            act = None
            if known is not None and known["reference"]:
                act = self._store.get(known["reference"])
            elif proven.message.startswith((_ACT, *_BY_REFERENCE)):
                act = self._act(commune, archive, proven.message, proven=True)
            if act:
                _check_proven(commune, act, proven, (known or {}).get("traces") or {})
                _check_accounts(act)
        except NotNow as error:
            log.error("Élimination de l'archive %s : %s", archive, error)
            raise BadRequest(f"{str(error)[:1].upper()}{str(error)[1:]}", HTTPStatus.SERVICE_UNAVAILABLE) from error
        except Elsewhere as error:
            log.warning("Élimination de l'archive %s (%s) : %s", archive, commune.slug, error)
            raise BadRequest(f"{str(error)[:1].upper()}{str(error)[1:]}", HTTPStatus.CONFLICT) from error
        except Unproven as error:
            self._told_false(commune.slug, archive, str(error))
            raise BadRequest(
                f"Élimination refusée : {error} Rien n'est supprimé. À faire : prévenez le groupement si ce connecteur "
                "est à jour.",
                HTTPStatus.FORBIDDEN,
            ) from error
        with self._store.transaction() as connection:
            connection.execute(
                "INSERT INTO elimination (commune, archive, demande, reference, identifiant, attestation, part_le)"
                " VALUES (%(commune)s, %(archive)s, %(demande)s, %(reference)s, %(identifiant)s, %(told)s,"
                " now() + %(delay)s) ON CONFLICT (commune, archive) DO UPDATE SET demande = EXCLUDED.demande,"
                " reference = CASE WHEN elimination.reference = '' THEN EXCLUDED.reference"
                " ELSE elimination.reference END, identifiant = EXCLUDED.identifiant,"
                " attestation = EXCLUDED.attestation, part_le = EXCLUDED.part_le, faute = ''",
                {
                    "commune": commune.slug, "archive": archive, "demande": request,
                    "told": Jsonb({key: told[key] for key in ("texte", "signature")}),
                    "reference": act.reference if act else "", "identifiant": proven.message,
                    # A copy in another format, say: the archive alone had it, nobody has anything to take back.
                    "delay": DELAY if proven.message.startswith((_ACT, _PROOF, *_BY_REFERENCE)) else timedelta(),
                },
            )  # fmt: skip # one call by its parts
            if act:
                self._store.note(connection, act.reference, "elimination annoncée", request)
        self._step("élimination: notée")
        return self._row(commune.slug, archive)

    def _attested(self, commune: Commune, archive: str, request: str, told: Any) -> Attestation:
        """What the archive attests of one of a commune's archives. Raises Unproven, NotNow."""
        proven = attestation.check(told, Path(self._config.trust), self._config.crl)
        if proven.siren != commune.siren:
            raise Unproven("l'attestation est celle d'un autre service versant.")
        if (proven.archive, proven.request) != (archive, request):
            raise Unproven("l'attestation est celle d'une autre archive, ou d'une autre demande.")
        return proven

    def _told_false(self, commune: str, archive: str, why: str) -> None:
        """Tell of a claim that the archive's word does not bear out; the same again, once a day."""
        with self._store.transaction() as connection:
            before = connection.execute(
                "SELECT archive, motif, derniere_le < now() - interval '1 day' AS vieille FROM elimination_fausse"
                " WHERE commune = %s FOR UPDATE",
                (commune,),
            ).fetchone()
            connection.execute(
                "INSERT INTO elimination_fausse AS une (commune, archive, motif) VALUES"
                " (%(commune)s, %(archive)s, %(why)s) ON CONFLICT (commune) DO UPDATE SET"
                " archive = EXCLUDED.archive, motif = EXCLUDED.motif,"
                " fois = CASE WHEN une.derniere_le > now() - %(told)s::interval THEN une.fois + 1 ELSE 1 END,"
                " derniere_le = now()",
                {"commune": commune, "archive": archive, "why": why, "told": _TOLD},
            )
        if before is None or before["vieille"] or (before["archive"], before["motif"]) != (archive, why):
            log.warning("Élimination refusée : %s, archive %s : %s Rien n'est supprimé.", commune, archive, why)

    def _state(self, row: dict[str, Any]) -> dict[str, Any]:
        """What a connector is told: how far the copies are, and whether its own may go (`echu`)."""
        places = dict(row["lieux"])
        # Days that ran while nobody could look begin anew with the next turn: nothing goes meanwhile.
        due = row["part_le"] is not None and row["part_le"] <= datetime.now(PARIS) and self._shown_lately()
        if row["faite_le"]:
            return {"etat": GONE, "lieux": places, "echu": True}
        if row["gardee_le"]:
            detail = f"gardé par {row['gardee_par']} (page de la passerelle) le {french(row['gardee_le'])}"
            return {"etat": KEPT, "lieux": {"passerelle": {"etat": KEPT, "nombre": 0, "detail": detail}}, "echu": False}
        if row["part_le"] and row["part_le"] > datetime.now(PARIS):
            detail = f"part le {french(row['part_le'])}, si la commune ne le garde pas (page de la passerelle)"
            return {
                "etat": WAITS,
                "lieux": {"passerelle": {"etat": WAITS, "nombre": 0, "detail": detail}},
                "echu": False,
            }
        return {"etat": WAITS, "lieux": places, "echu": due and not row["faute"]}

    def _shown_lately(self) -> bool:
        [row] = self._rows("SELECT max(vu_le) > now() - %s::interval AS seen FROM elimination_tour", _UNSEEN)
        return bool(row["seen"])

    def done(self, commune: Commune) -> list[str]:
        """Archives of a commune that are known here as eliminated."""
        rows = self._rows("SELECT archive FROM elimination WHERE commune = %s ORDER BY archive", commune.slug)
        return [str(one["archive"]) for one in rows]

    def _act(self, commune: Commune, archive: str, number: str, proven: bool = False) -> Tracked | None:
        """The act of an archive. Raises BadRequest: two have it, which a person must look at.

        Args:
            number: its identifier at the préfecture; once `proven`, the one that the archive attests.
        """
        with self._store.transaction() as connection:
            rows = connection.execute(
                "SELECT reference FROM acte WHERE commune = %s AND donnees->>'eliminee' IS NULL"
                " AND (suivi->'tdt'->>'archive' = %s OR (%s <> '' AND suivi->'tdt'->>'id_acte' = %s)"
                # Restored from a backup of before its ARActe: its identifier says its date and number.
                " OR (suivi->'tdt'->>'id_acte' IS NULL AND strpos(%s, concat('-', %s::text, '-',"
                " replace(left(donnees->>'date', 10), '-', ''), '-', donnees->>'numero', '-')) > 0)"
                # What does not go out, and flows of accounts: named after their reference.
                " OR (%s AND right(%s, 13) = '-' || left(encode(sha256(convert_to(reference, 'UTF8')), 'hex'), 12)))",
                (
                    commune.slug, archive, number, number.removeprefix(_ACT), number, commune.siren,
                    proven and number.startswith(_BY_REFERENCE), number,
                ),
            ).fetchall()  # fmt: skip # one call by its parts
        if len(rows) > 1:
            found = ", ".join(str(one["reference"]) for one in rows)
            raise BadRequest(f"Plusieurs actes répondent à l'archive {archive} : {found}. Prévenez le groupement.", 409)
        return self._store.get(rows[0]["reference"]) if rows else None

    @staticmethod
    def _planned(act: Tracked | None) -> dict[str, Any]:
        if act is None:
            return {"passerelle": {"etat": ABSENT}}
        counts = {
            "passerelle": len(_digests(act)),
            "ged": len(act.track.get("ged") or []),
            "parapheur": int("dossier" in act.track),
        }
        return {name: {"etat": WAITS if count else ABSENT, "nombre": count} for name, count in counts.items()}

    # -- a person decides ----------------------------------------------------------------------------------

    def keep(self, commune: Commune, archive: str, who: str) -> None:
        """Take back what was to go: it stays until somebody decides otherwise. Raises BadRequest."""
        self._decide(
            commune, archive, "gardee_le IS NULL AND part_le > now()", "gardee_le = now(), gardee_par = %(who)s",
            f"gardé par {who}", {"who": who[:200]},
        )  # fmt: skip # one call by its parts

    def release(self, commune: Commune, archive: str, who: str) -> None:
        """Let go what was taken back, in thirty days. Raises BadRequest."""
        self._decide(
            commune, archive, "gardee_le IS NOT NULL", "gardee_le = NULL, gardee_par = '', part_le = now() + %(delay)s",
            f"laissé partir par {who}", {"delay": DELAY},
        )  # fmt: skip # one call by its parts

    def _decide(
        self, commune: Commune, archive: str, when: str, change: str, told: str, values: dict[str, Any]
    ) -> None:
        query = (
            f"UPDATE elimination SET {change} WHERE commune = %(commune)s AND archive = %(archive)s"  # noqa: S608 - ours
            f" AND faite_le IS NULL AND faute = '' AND attestation IS NOT NULL AND {when} RETURNING reference"
        )
        with self._store.transaction() as connection:
            given = {**values, "commune": commune.slug, "archive": archive.replace("\0", "")}
            row = connection.execute(query.encode(), given).fetchone()
            if row is None:
                raise BadRequest(
                    "Cette élimination n'est pas, ou plus, à décider : rechargez la page. Ce qui est supprimé ne se "
                    "garde plus.", 409,
                )  # fmt: skip # one call by its parts
            if row["reference"]:
                self._store.note(connection, row["reference"], "elimination", told)
        log.info("Élimination de l'archive %s (%s) : %s.", archive, commune.slug, told)

    # -- and it is done ------------------------------------------------------------------------------------

    def work(self) -> None:
        """Have the copies go of what is due; look again, once a day, for what came back."""
        self._begin_anew()
        rows = self._rows(
            "SELECT * FROM elimination WHERE attestation IS NOT NULL AND gardee_le IS NULL AND faute = ''"
            " AND ((faite_le IS NULL AND part_le <= now())"
            " OR (faite_le IS NOT NULL AND COALESCE(vue_le, faite_le) < now() - %s::interval))"
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

    def _begin_anew(self) -> None:
        """Have thirty days begin for all that waits, if nobody could see it: off, or restored from a backup."""
        with self._store.transaction() as connection:
            before = connection.execute(
                "SELECT vu_le < now() - %s::interval AS loin FROM elimination_tour FOR UPDATE", (_UNSEEN,)
            ).fetchone()
            connection.execute(
                "INSERT INTO elimination_tour DEFAULT VALUES ON CONFLICT (seul) DO UPDATE SET vu_le = now()"
            )
            if before is None or not before["loin"]:
                return
            found = connection.execute(
                "UPDATE elimination SET part_le = now() + %s WHERE faite_le IS NULL AND part_le IS NOT NULL"
                " AND part_le < now() + %s",
                (DELAY, DELAY),
            )
        if found.rowcount:
            log.warning(
                "%d éliminations attendaient pendant un arrêt, ou une restauration : leurs trente jours recommencent.",
                found.rowcount,
            )

    def _work_one(self, row: dict[str, Any], away: dict[str, str]) -> None:
        """One elimination.

        Args:
            row: of the database.
            away: servers that did not answer in this turn, with what was said; added to here.
        """
        try:
            if not self._still_proven(row):
                return
        except NotNow as error:
            if row["faite_le"]:
                log.error("Archive %s, déjà supprimée : %s", row["archive"], error)
                self._seen(row)
                return
            self._note(row, {"passerelle": {"etat": WAITS, "nombre": 0, "detail": str(error)[:300]}})
            return
        if row["faite_le"]:
            self._look(row, away)
            return
        emptied = self._empty(row)
        if emptied is None:  # taken back meanwhile
            return
        row = emptied
        places: dict[str, Any] = {}
        for name in ("parapheur", "ged"):
            if name in self._config.servers and row["reference"]:
                places[name] = self._have_go(name, row, away)
                self._step(f"élimination: {name}")
        places["passerelle"] = self._unlink(row)
        self._step("élimination: fichiers")
        self._note(row, places)

    def _seen(self, row: dict[str, Any], hours: int = 23) -> None:
        """Note that it was looked at that long ago: it is again a day after."""
        with self._store.transaction() as connection:
            connection.execute(
                "UPDATE elimination SET vue_le = now() - %s WHERE commune = %s AND archive = %s",
                (timedelta(hours=hours), row["commune"], row["archive"]),
            )

    def _still_proven(self, row: dict[str, Any]) -> bool:
        """Verify what was attested again, against the act as it is; what proves false is undone, and told.

        Raises NotNow.
        """
        commune = self._config.communes.get(row["commune"])
        if commune is None:
            raise NotNow("cette commune n'est plus servie : un administrateur décide de ce qui reste.")
        try:
            proven = self._attested(commune, row["archive"], row["demande"], row["attestation"])
            act = self._store.get(row["reference"]) if row["reference"] else None
            if act:
                _check_proven(commune, act, proven, row["traces"])
        except Unproven as error:
            if row["faite_le"]:  # it is gone; what would come back stays
                log.warning("Archive %s, déjà supprimée : %s Ce qui reviendrait reste.", row["archive"], error)
                self._seen(row, hours=0)
                return False
            with self._store.transaction() as connection:
                connection.execute(
                    "UPDATE elimination SET faute = %s, part_le = NULL WHERE commune = %s AND archive = %s",
                    (str(error), row["commune"], row["archive"]),
                )
                if row["reference"]:
                    self._store.note(connection, row["reference"], "elimination annulée", str(error))
            if not isinstance(error, Elsewhere):
                self._told_false(row["commune"], row["archive"], str(error))
            return False
        return True

    def _empty(self, row: dict[str, Any]) -> dict[str, Any] | None:
        """Note what finds the copies again, and forget what the act's row says of people: one transaction.

        None when a person took it back since it was read.
        """
        with self._store.transaction() as connection:
            now = connection.execute(
                "SELECT * FROM elimination WHERE commune = %s AND archive = %s AND faite_le IS NULL"
                " AND gardee_le IS NULL AND faute = '' AND part_le <= now() FOR UPDATE",
                (row["commune"], row["archive"]),
            ).fetchone()
            if now is None:
                return None
            act = self._store.lock(connection, now["reference"]) if now["reference"] else None
            if act is None or act.eliminated:
                return now
            own, digests = _own(act), _digests(act)
            shared = self._shared(connection, act.reference, own)
            traces = {
                "document": act.document,
                "fichiers": digests,
                "propres": [one for one in own if one not in shared],
                "marques": [mark(act.reference, rank) for rank in range(len(act.joined) + 2)],
            }
            left = replace(_nobody(act), eliminated=now["demande"])
            self._store.change(
                connection, act.reference, data=left.data, track={"tdt": {"archive": now["archive"]}}, step=FINISHED,
                blocked="", late="",
            )  # fmt: skip # one call by its parts
            connection.execute("UPDATE passage SET detail = '' WHERE reference = %s", (act.reference,))
            self._store.note(connection, act.reference, "elimination", now["demande"])
            connection.execute(
                "UPDATE elimination SET traces = %s WHERE commune = %s AND archive = %s",
                (Jsonb(traces), now["commune"], now["archive"]),
            )
        self._step("élimination: vidée")
        return now | {"traces": traces}

    def _look(self, row: dict[str, Any], away: dict[str, str]) -> None:
        """Look for copies that came back; they have thirty days anew, in which the commune may take them back."""
        found: dict[str, int] = {}
        waits = False
        for name in ("parapheur", "ged"):
            if name in self._config.servers and row["reference"]:
                told = self._have_go(name, row | {"lieux": {}}, away, essai=True)
                found[name] = told["nombre"]
                waits = waits or told["etat"] == WAITS
        found["passerelle"] = len(self._here(row))
        back = {name: count for name, count in found.items() if count}
        places = {
            name: {"etat": WAITS, "nombre": row["lieux"].get(name, {}).get("nombre", 0), "detail": "revenu"}
            for name in back
        }
        with self._store.transaction() as connection:
            connection.execute(
                "UPDATE elimination SET lieux = lieux || %s, vue_le = now() - %s * interval '23 hours',"
                " revenues = revenues + %s, faite_le = CASE WHEN %s THEN NULL ELSE faite_le END,"
                " part_le = CASE WHEN %s THEN now() + %s ELSE part_le END WHERE commune = %s AND archive = %s",
                (
                    Jsonb(places), int(waits and not back), int(bool(back)), bool(back), bool(back), DELAY,
                    row["commune"], row["archive"],
                ),
            )  # fmt: skip # one call by its parts
        if back:
            log.warning(
                "Archive %s : des copies éliminées sont revenues d'une ancienne sauvegarde (%s). Elles repartent dans "
                "trente jours, si la commune ne les garde pas.",
                row["archive"], ", ".join(f"{name} : {count}" for name, count in back.items()),
            )  # fmt: skip # one call by its parts

    def _have_go(self, name: str, row: dict[str, Any], away: dict[str, str], essai: bool = False) -> dict[str, Any]:
        """Have an application delete its documents of the act; with `essai`, only count them."""
        before = row["lieux"].get(name, {})
        if before.get("etat") in (GONE, ABSENT):
            return {**before, "nombre": 0}  # done in an earlier turn, which another place kept from its end
        if name in away:
            return {"etat": WAITS, "nombre": 0, "detail": away[name]}
        commune, traces = self._config.communes.get(row["commune"]), row["traces"]
        asked = {
            "demande": row["demande"],
            "commune": row["commune"],
            "siren": commune.siren if commune else "",
            "reference": row["reference"],
        }
        asked |= {"essai": True} if essai else {}
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
        count, why = 0, ""
        for digest in self._here(row):
            try:
                if self._files.forget(digest, _YOUNG):
                    count += 1
                else:
                    why = "un fichier écrit il y a moins d'une heure"
            except FileNotFoundError:
                continue
            except OSError as error:
                why = f"un fichier ne s'efface pas ({reason(error)})"
        if why:
            return {"etat": WAITS, "nombre": count, "detail": why}
        return {"etat": GONE if count or row["reference"] else ABSENT, "nombre": count}

    def _here(self, row: dict[str, Any]) -> set[str]:
        """Files of the act that are here, and that nothing else has."""
        # Every act is read for those that are here: never, once they went.
        digests = [one for one in row["traces"].get("fichiers", []) if self._files.path(one).exists()]
        if not digests:
            return set()
        with self._store.transaction() as connection:
            return set(digests) - self._shared(connection, row["reference"], digests)

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
        # What went stays said, whatever is found absent afterwards.
        for name, one in places.items():
            before = row["lieux"].get(name, {})
            if before.get("etat") == GONE and one["etat"] == ABSENT:
                places[name] = before
            elif one["etat"] == GONE:
                one["nombre"] += before.get("nombre", 0)
        with self._store.transaction() as connection:
            connection.execute(
                "UPDATE elimination SET lieux = %s, vue_le = now(),"
                " faite_le = COALESCE(faite_le, CASE WHEN %s THEN now() END) WHERE commune = %s AND archive = %s",
                (Jsonb(row["lieux"] | places), not waits, row["commune"], row["archive"]),
            )

    # -- to be seen ----------------------------------------------------------------------------------------

    def listed(self) -> list[dict[str, Any]]:
        """All of them, what waits first."""
        return self._rows("SELECT * FROM elimination ORDER BY faite_le IS NOT NULL, recue_le DESC, archive")

    def shown(self, config: Config, commune: Commune | None) -> dict[str, list[dict[str, Any]]]:
        """What the page says: what will go, what was taken back, claims that proved false; of a commune, or of all."""
        slug = commune.slug if commune else None
        rows = self._rows(
            "SELECT une.*, acte.donnees->>'numero' AS numero, acte.donnees->>'objet' AS objet FROM elimination AS une"
            " LEFT JOIN acte USING (reference) WHERE (%s::text IS NULL OR une.commune = %s) AND faite_le IS NULL"
            " AND attestation IS NOT NULL AND faute = '' ORDER BY part_le, archive LIMIT %s",
            slug, slug, _SHOWN,
        )  # fmt: skip # one call by its parts
        false = self._rows(
            "SELECT * FROM elimination_fausse WHERE (%s::text IS NULL OR commune = %s)"
            " AND derniere_le > now() - %s::interval ORDER BY derniere_le DESC",
            slug, slug, _TOLD,
        )  # fmt: skip # one call by its parts

        def name(slug: str) -> str:
            return config.communes[slug].name if slug in config.communes else slug

        now = datetime.now(PARIS)
        return {
            "eliminations": [
                {
                    "archive": one["archive"], "commune": name(one["commune"]), "reference": one["reference"],
                    "titre": f"{one['numero']} — {one['objet']}" if one["reference"] else one["identifiant"],
                    "part_le": french(one["part_le"]), "jours": (one["part_le"] - now).days,
                    "echu": one["part_le"] <= now, "gardee_par": one["gardee_par"] if one["gardee_le"] else "",
                    "gardee_le": french(one["gardee_le"]) if one["gardee_le"] else "", "revenue": one["revenues"],
                    "visa": _visa(one["attestation"]),
                }
                for one in rows
            ],
            "fausses": [
                {
                    "commune": name(one["commune"]), "archive": one["archive"], "motif": one["motif"],
                    "fois": one["fois"], "le": french(one["derniere_le"]),
                }
                for one in false
            ],
        }  # fmt: skip # tables

    def counts(self) -> dict[str, int]:
        """How many run their thirty days, are due, were taken back, are done and had come back; what proved false, or
        waits without the archive's attestation (of before these were asked for)."""
        [row] = self._rows(
            "SELECT count(*) FILTER (WHERE waits AND part_le > now()) AS delai,"
            " count(*) FILTER (WHERE waits AND part_le <= now()) AS attente,"
            " count(*) FILTER (WHERE gardee_le IS NOT NULL AND faite_le IS NULL) AS gardee,"
            " count(*) FILTER (WHERE faite_le IS NOT NULL) AS faite, COALESCE(sum(revenues), 0) AS revenue,"
            " count(*) FILTER (WHERE attestation IS NULL AND faite_le IS NULL) AS sans_preuve,"
            " (SELECT COALESCE(sum(fois), 0) FROM elimination_fausse WHERE derniere_le > now() - %s::interval)"
            " AS fausse"
            " FROM (SELECT *, faite_le IS NULL AND gardee_le IS NULL AND faute = '' AS waits FROM elimination) AS une",
            _TOLD,
        )
        return {name: int(count) for name, count in row.items()}

    def _row(self, commune: str, archive: str) -> dict[str, Any]:
        return self._rows("SELECT * FROM elimination WHERE commune = %s AND archive = %s", commune, archive)[0]

    def _one(self, commune: str, archive: str) -> dict[str, Any] | None:
        rows = self._rows("SELECT * FROM elimination WHERE commune = %s AND archive = %s", commune, archive)
        return rows[0] if rows else None

    def _rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        with self._store.transaction() as connection:
            return connection.execute(query.encode(), values).fetchall()


def _nobody(act: Tracked) -> Tracked:
    """An act without what it says of people."""
    main = File("", act.main.sha256 if act.main else "")
    return replace(act, uid="", subject="Acte éliminé", main=main, annexes=(), budget=None)


def _own(act: Tracked) -> list[str]:
    """Digests of the act itself, before and after its signature: those that somebody may have filed by hand."""
    found = [act.main.sha256 if act.main else "", str(act.track.get("signe") or "")]
    return [one for one in dict.fromkeys(found) if one]


def _digests(act: Tracked) -> list[str]:
    """Digests of all its files that are here."""
    found = [*_own(act), *(one.sha256 for one in act.joined)]
    found.append(str(act.tdt.get("ar_acte") or ""))
    found += [str(one["sha256"]) for one in (act.track.get("seance") or {}).get("pieces", ())]
    return [one for one in dict.fromkeys(found) if one]


def _check_proven(commune: Commune, act: Tracked, proven: Attestation, traces: dict[str, Any]) -> None:
    """Check that an attestation is of that very act, and that it was archived. Raises Unproven."""
    message = proven.message
    if message.startswith(_BY_REFERENCE):
        named = message.endswith(f"-{hashlib.sha256(act.reference.encode()).hexdigest()[:12]}")
    else:
        own = f"{commune.siren}-{act.day.replace('-', '')}-{act.number}"
        named = re.fullmatch(rf"{_ACT}[0-9A-Za-z]+-{re.escape(own)}-[A-Z]{{2}}", message) is not None
    if not named:
        raise Unproven(f"l'attestation est celle de « {message[:100]} », et non de l'acte {act.number}.")
    if act.eliminated:  # by a turn that was cut: what it was is in what finds its copies again
        digests = [traces["document"]] if "document" in traces else list(traces.get("fichiers", []))
    else:
        if place(act.step) < place("teletransmission"):
            raise Unproven(f"l'acte {act.number} n'est pas encore signé : il n'a pas pu être versé.")
        digests = [act.document]
    if not proven.digests.intersection(digests):
        raise Unproven(f"le document de l'acte {act.number} n'est pas celui qui était dans l'archive.")
    if act.tdt.get("archive") not in (None, "", proven.archive):
        raise Elsewhere(
            f"l'acte {act.number} est versé sous une autre archive, qui reste : celle-ci en était un double. "
            "Rien n'est supprimé."
        )


def _visa(told: dict[str, str]) -> str:
    """Reference of the visa that an attestation names, which was verified when it came."""
    return str(json.loads(told["texte"])["visa"])


def french(moment: datetime) -> str:
    """A day as people read it."""
    return moment.astimezone(PARIS).strftime("%d/%m/%Y")


def _shown(act: Tracked | None) -> str:
    return f"{act.number} — {act.subject}" if act else ""


def _check_accounts(act: Tracked) -> None:
    """The ordonnateur keeps flows of accounts ten years, whatever the archive did. Raises BadRequest."""
    end = act.since.year + ACCOUNTS_YEARS
    if act.circuit == PES and datetime.now(act.since.tzinfo).year <= end:
        raise BadRequest(f"Flux comptable : l'ordonnateur le garde jusqu'au 31/12/{end}, rien n'est supprimé.", 409)
