# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What a statement rests on: a control or tests of the last audit, a sealed run, a setting. None is believed unseen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.audit import sources as verdict
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import store
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.seal import DIGESTS, sha256

# Days after which what was seen is too old to be relied upon.
AUDIT_DAYS, DRILL_DAYS, SEAL_DAYS = 100, 100, 10
HELD, NOT_HELD, UNSEEN = "tenu", "NON TENU", "NON VÉRIFIÉ"
_WORDS = {
    verdict.CONFORME: (HELD, "conforme"),
    verdict.DEROGATION: (HELD, "dérogation en cours"),
    verdict.A_ATTESTER: (UNSEEN, "à attester par écrit"),
    verdict.NON_CONFORME: (NOT_HELD, "non conforme"),
    verdict.NON_VERIFIE: (UNSEEN, "non vérifié"),
    verdict.SANS_OBJET: (HELD, "sans objet"),
}


@dataclass(frozen=True)
class Support:
    """One thing that a statement rests on.

    Attributes:
        state: HELD, NOT_HELD or UNSEEN.
        told: what was seen, when, and where (French).
    """

    state: str
    told: str


class Supports:
    """What can be shown today, from the evidence and the settings of an environment.

    Args:
        home: state of the control node.
        settings: variables of the inventory, by name.
        now: with its timezone.
    """

    def __init__(self, home: Path, settings: Mapping[str, Any], now: datetime) -> None:
        self.home, self.settings, self.now = home, settings, now
        self.audit = store.last_json(store.runs(home / "audits"), store.AUDIT)
        self._controls = {one["id"]: one for one in (self.audit or {}).get("controles", [])}

    def control(self, name: str) -> Support:
        """A control of ANSSI-BP-028 (« R28 »), on all machines of the last audit."""
        if not (found := self._controls.get(name)):
            return Support(UNSEEN, f"contrôle {name} : aucun audit ne l'a regardé (fab audit)")
        state, word = _WORDS[found["verdict"]]
        told = f"contrôle {name} ({found['titre']}) : {word}, {_machines(len(found['machines']))}"
        return self._audited(state, told)

    def tests(self, profile: str) -> Support:
        """The tests of a profile's machines, in the last audit."""
        seen = [one for one in (self.audit or {}).get("machines", []) if one["profil"] == profile]
        if not seen:
            return Support(UNSEEN, f"essais du profil {profile} : aucun audit ne les a faits (fab audit)")
        passed = sum(one["essais"]["reussis"] for one in seen)
        failed = sum(one["essais"]["echecs"] for one in seen)
        lost = [one["nom"] for one in seen if one["etat"] != "auditee"]
        told = f"essais du profil {profile}, {_machines(len(seen))} : {passed} réussis, {failed} en échec"
        if lost:
            told += f" ; non auditées : {', '.join(lost)}"
        state = NOT_HELD if failed else UNSEEN if lost or not passed else HELD
        return self._audited(state, told)

    def _audited(self, state: str, told: str) -> Support:
        """What the last audit shows: all machines only if it looked at all of them."""
        audit = self.audit or {}
        if (limit := str(audit.get("perimetre", verdict.WHOLE))) != verdict.WHOLE:
            told += f" ; audit limité à {limit} (fab audit, sans --limite)"
            state = UNSEEN if state == HELD else state
        return self._aged(state, told, str(audit.get("fin", "")), AUDIT_DAYS, "audits")

    def drill(self, profile: str) -> Support:
        """The last restoration drill of a profile."""
        found = [
            facts
            for run in store.runs(self.home / "exercices")
            if (facts := store.facts_of(run)) and facts.get("profil") == profile
        ]
        if not found:
            return Support(UNSEEN, f"exercice de restauration de {profile} : aucun (fab sauvegarde.exercice {profile})")
        last = found[-1]
        word = "réussi" if last.get("reussi") else "en échec"
        told = f"exercice de restauration de {profile} : {word}"
        return self._aged(HELD if last.get("reussi") else NOT_HELD, told, str(last["debut"]), DRILL_DAYS, "exercices")

    def seals(self) -> Support:
        """The seals of the archive room's journal, as they were last copied out of the room, verified."""
        held = sorted((self.home / "archive" / "sceaux").glob("*/sceau-*.json"))
        if not held:
            return Support(UNSEEN, "sceaux du journal d'archives : aucune copie hors de la salle (fab archive.sceaux)")
        taken = datetime.fromtimestamp(max(path.stat().st_mtime for path in held), self.now.tzinfo)
        told = f"sceaux du journal d'archives copiés hors de la salle, vérifiés à la copie : {len(held)}"
        return self._aged(HELD, told, taken.isoformat(), SEAL_DAYS, "archive/sceaux")

    def setting(self, name: str) -> Support:
        """A variable that somebody gave in the inventory."""
        value = self.settings.get(name)
        if value in (None, "", [], {}):
            return Support(UNSEEN, f"réglage {name} : il n'est pas donné (group_vars, docs/variables.md)")
        return Support(HELD, f"réglage {name} = {_short(value)}")

    def _aged(self, state: str, told: str, moment: str, days: int, kind: str) -> Support:
        seen = datetime.fromisoformat(moment)
        told += f", vu le {seen:%d/%m/%Y}"
        if (self.now - seen).days > days:
            return Support(UNSEEN if state == HELD else state, f"{told} : plus de {days} jours, à refaire ({kind})")
        return Support(state, told)


class Register:
    """The statements of one document, numbered as they come."""

    def __init__(self) -> None:
        self.entries: list[list[Support]] = []

    def __call__(self, *supports: Support) -> str:
        """Number what a statement rests on; gives the mark that follows the statement (Markdown)."""
        self.entries.append(list(supports))
        state = worst(supports)
        mark = f"A{len(self.entries)}"
        return f"[{mark}]" if state == HELD else f"**[{mark} : {state}]**"

    def summary(self) -> dict[str, int]:
        """How many statements are in each state."""
        states = [worst(entry) for entry in self.entries]
        return {state: states.count(state) for state in (HELD, NOT_HELD, UNSEEN)}


def worst(supports: Sequence[Support]) -> str:
    """State of a statement: what it rests on must all be held."""
    states = {one.state for one in supports}
    return NOT_HELD if NOT_HELD in states else UNSEEN if UNSEEN in states or not states else HELD


def sealed(home: Path) -> list[tuple[str, str, str]]:
    """The last sealed run of each kind: its kind, its name, the digest of its list of digests."""
    found = []
    for kind in store.FACTS:
        if (done := store.runs(home / kind)) and (done[-1] / DIGESTS).is_file():
            found.append((kind, done[-1].name, sha256(done[-1] / DIGESTS)))
    return found


def _machines(count: int) -> str:
    return f"{count} machine{'s' if count > 1 else ''}"


def _short(value: Any, width: int = 160) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if "{{" in text:  # computed by Ansible from other variables
        return "donné"
    return text if len(text) <= width else f"{text[: width - 1]}…"
