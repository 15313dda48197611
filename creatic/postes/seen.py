# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What proves that a PC which nobody reaches works: the enrolment door saw its certificate, over mutual TLS.

The door is believed no more than to be silent: what it says counts by the serials of the registry, in force, that were
issued for that very PC, and by dates that are possible. A provider's certificate is seen by nobody here.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.filter.commune_pc import pc_certificate_slug
from ansible_collections.cdg59.creatic.plugins.module_utils import harmless
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.words import day_and_hour

from creatic.evidence.rollout import HostRun
from creatic.fleet.signing import FleetError
from creatic.pki.registry import VALID, Registry, instant
from creatic.registry.groupement import Host

VARIABLE = "CREATIC_ROLLOUT_POSTES"
"""Environment variable: the file by which a rollout is told what the door saw of such PCs (`write`)."""
_SIGHTING_CLOCK_SKEW = dt.timedelta(hours=1)  # the door's and the control node's, at most
_MAX_SIGHTING_ANSWERS = 20  # answers, of 2000 certificates each: the door keeps 20,000
_SIGHTINGS_REFUSAL = (
    "la porte d'enrôlement ne dit pas les certificats qu'elle a vus : redéployez-la (fab serveurs guichet)"
)

Record = Mapping[str, Any]
"""Of a PC: ``incident`` (None once it is equipped) and ``preuves``, as `rollout.HostRun` has them."""


def brought(ask: Callable[[str], Any]) -> dict[str, dt.datetime]:
    """When the door saw each certificate last, by serial.

    Args:
        ask: given the last certificate (SHA-256) that is known, gives the door's answer (creatic_enrolement.store).

    Raises:
        FleetError: the door does not answer, or answers something else.
    """
    after, found = "", dict[str, dt.datetime]()
    for _turn in range(_MAX_SIGHTING_ANSWERS):
        answer = ask(after)
        try:
            told = {str(one["certificat"]): one for one in answer["vus"]}
            for one in told.values():
                found[str(one["serie"])] = dt.datetime.fromisoformat(one["derniere"]).astimezone(dt.UTC)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise FleetError(_SIGHTINGS_REFUSAL) from None
        last = max(told, default="")
        if not answer.get("reste") or last <= after:
            return found
        after = last
    raise FleetError("la porte d'enrôlement n'en finit pas de dire ce qu'elle a vu : voyez ce qu'elle est devenue")


def gather(
    pcs: Iterable[tuple[Host, str]], folder: Path, ask: Callable[[str], Any], now: dt.datetime
) -> dict[str, Record]:
    """What is proven of each PC; a door or an authority that does not answer is told of each, and nothing is claimed.

    Args:
        pcs: of the communes' files, each with its commune's SIREN: a name that was another's proves nothing of this
            one. Those that are reached are left out.
        folder: of the authority.
        ask: see `brought`.
        now: with its zone.
    """
    carried = [(one, siren) for one, siren in pcs if one.is_carried]
    if not carried:
        return {}
    try:
        seen = brought(ask)
        with Registry(folder).open() as book:
            rows = {(row["hote"], row["siren"], row["nom"]): row for row in book.rows("statut = ?", VALID)}
    except CreaticError as error:
        why = harmless.line(str(error))
        return {
            one.name: {"incident": _build_incident("injoignable", why, "fab serveurs guichet"), "preuves": []}
            for one, _siren in carried
        }
    return {one.name: _judge_pc(one, siren, rows, seen, now) for one, siren in carried}


def _judge_pc(
    pc: Host, siren: str, rows: Mapping[Any, Any], seen: Mapping[str, dt.datetime], now: dt.datetime
) -> Record:
    certificates = pc.variables["creatic_poste"]["certificats"]
    own = [one for one in certificates if one["source"] == "groupement"]
    if not own:
        reason = "son fichier ne demande aucun certificat du groupement : rien ici ne peut voir ce poste"
        fix = "Lui ajouter un certificat source: groupement, usage: authentification, puis refaire son installateur."
        return {"incident": _build_incident("echec", reason, fix), "preuves": []}
    shown = list[str]()
    for one in own:
        row = rows.get((pc.name, siren, pc_certificate_slug(one)))
        if row is None or instant(row["fin"]) <= now:
            reason = f"certificat « {one['titulaire']} » : {'pas encore signé' if row is None else 'expiré'}"
            fix = f"fab poste.installeur {pc.name}, l'y porter, puis fab poste.certifier {pc.name}."
            return {"incident": _build_incident("echec", reason, fix), "preuves": []}
        when = seen.get(row["serie"])
        if when is None or when > now + _SIGHTING_CLOCK_SKEW or when < instant(row["debut"]) - _SIGHTING_CLOCK_SKEW:
            reason = f"certificat « {one['titulaire']} » signé, et jamais vu à la porte d'enrôlement"
            fix = "Ouvrir la session de l'agent sur ce poste, en réseau ; creatic-poste verifier y dit ce qui manque."
            return {"incident": _build_incident("echec", reason, fix), "preuves": []}
        shown.append(f"certificat « {one['titulaire']} » vu à la porte, {day_and_hour(when.isoformat())}")
    proof = {"cle": "navigateur", "libelle": "Certificat vu par le serveur", "verdict": "ok", "mesures": {}}
    proof["detail"] = " ; ".join(shown)
    if others := [one for one in certificates if one["source"] != "groupement" and one["usage"] == "authentification"]:
        names = ", ".join(f"« {one['titulaire']} »" for one in others)
        proof |= {
            "verdict": "echec",
            "detail": f"certificat d'un prestataire ({names}), que le TdT seul voit, et non la porte",
            "remede": "Ouvrir le site du TdT depuis ce poste et joindre la capture au dossier de la commune.",
        }
    return {"incident": None, "preuves": [proof]}


def _build_incident(nature: str, reason: str, remedy: str) -> dict[str, str]:
    return {"phase": "preuves", "nature": nature, "tache": "", "raison": reason, "remede": remedy}


def write(path: Path, found: Mapping[str, Record]) -> None:
    """Write what `gather` found, for the rollout that `VARIABLE` tells of it."""
    path.write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")


def read(path: str) -> dict[str, HostRun]:
    """The PCs of a file that `write` made, as a rollout would have found them; none without a file."""
    found = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    return {name: as_run(one) for name, one in found.items()}


def as_run(record: Record) -> HostRun:
    """A PC, as a rollout would have found it."""
    run = HostRun(rolled_out=record["incident"] is None, incident=record["incident"])
    run.receive("preuves", [dict(one) for one in record["preuves"]])
    return run
