# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""A patch of the archive room: what was done to each node, kept from one run to the next, and its sealed evidence.

Layout, on the control node::

    correctifs/en-cours.json             a patch that goes on, or was interrupted: the next run takes it up
    correctifs/arret                     somebody asked to stop: the node at work is finished, no other one is begun
    correctifs/2026-11-25T010504Z/       one sealed folder per finished patch, see evidence/store
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils import errors
from ansible_collections.cdg59.creatic.plugins.module_utils.words import count, day_and_hour, duration, now

from creatic.archive.room import (
    COPIES_MISSING,
    Fault,
    Report,
    faults,
    missing_copies,
)
from creatic.evidence import page as evidence_page
from creatic.evidence import store as evidence_store
from creatic.registry import environment

LOCK = "salle-archives"
DOING = "une mise à jour de la salle d'archives"
RESULTS = evidence_store.PATCH
_STALE_S = 24 * 3600  # what was patched before, in a run that was interrupted, is patched again
DONE, AT_WORK, FAILED = "fait", "en_cours", "echec"
WORDS = {DONE: "fait", AT_WORK: "interrompu", FAILED: "échec", "": "à faire"}


class PatchError(errors.CreaticError, cause="correctifs"):
    """The patch may not go on; the message (French) says why and what to do."""


def folder(home: Path) -> Path:
    return home / "correctifs"


def packages(output: str) -> list[str]:
    """Packages that apt changed, from its output: « nom version »."""
    unpacked = re.findall(r"^Unpacking (\S+?)(?::\S+)? \((\S+)\)(?: over \((\S+)\))?", output, flags=re.MULTILINE)
    return sorted({f"{name} {version}" for name, version, _ in unpacked})


class Patch:
    """The patch under way, on disk at each step.

    Args:
        home: state of the control node.
        dry: nothing is written, as in check mode.
    """

    def __init__(self, home: Path, *, dry: bool = False) -> None:
        self.home = home
        self.dry = dry
        self.path = folder(home) / "en-cours.json"
        self.record: dict[str, Any] = evidence_store.read_json(self.path) or {}

    @property
    def stop_file(self) -> Path:
        return folder(self.home) / "arret"

    def _save_state(self) -> None:
        if self.dry:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        evidence_store.write_text(self.path, json.dumps(self.record, ensure_ascii=False, indent=1))

    def take(self, nodes: Sequence[str], operator: str, pid: int, *, reboot: bool) -> None:
        """Begin, or take up what was interrupted.

        Args:
            nodes: every node of the room.
            pid: process of the run, owner of the lock.
            reboot: each node is restarted even if nothing asks for it.

        Raises:
            PatchError: another patch of this room goes on.
        """
        try:
            evidence_store.lock_commune(self.home / "verrous", LOCK, pid, operator, DOING)
        except evidence_store.AlreadyLockedError as error:
            raise PatchError(f"{error}. Attendez sa fin, puis relancez.") from None
        self.stop_file.unlink(missing_ok=True)
        moment = now().isoformat(timespec="seconds")
        if self.record:
            self.record["reprises"].append(moment)
            if (now() - datetime.fromisoformat(self.record["debut"])).total_seconds() > _STALE_S:
                for name, node in self.record["noeuds"].items():
                    if node["etat"] == DONE:
                        self.record["noeuds"][name] = {"etat": ""}
            self.record["redemarrer"] = bool(self.record["redemarrer"]) or reboot
        else:
            self.record = {
                "version": 1,
                "passage": evidence_store.new_run_id(),
                "debut": moment,
                "operateur": operator,
                "environnement": environment.of_state(self.home),
                "redemarrer": reboot,
                "reprises": [],
                "sauvegarde": "",
                "noeuds": {},
            }
        for name in nodes:
            self.record["noeuds"].setdefault(name, {"etat": ""})
        self._save_state()

    @property
    def interrupted(self) -> str:
        """Node on which an earlier run stopped; empty for none."""
        nodes = self.record.get("noeuds", {})
        return next((name for name, node in nodes.items() if node["etat"] in (AT_WORK, FAILED)), "")

    def judge(self, reports: Mapping[str, Report], saved: str, refused: Sequence[Fault], moment: float) -> list[str]:
        """Decide whether the patch may start, and in which order.

        Args:
            reports: of every node, see archive_room.
            saved: what is said of the last backup.
            refused: further reasons not to start.

        Returns:
            The nodes that are left to patch, the one that was interrupted first.

        Raises:
            PatchError: a node may not be stopped now; nothing was changed.
        """
        behind = self.interrupted
        # What is wrong with the node that was left half-way is why it goes first; stopping it takes nothing away.
        found = [*refused, *(f for f in faults(reports, moment) if f.node != behind or not reports[behind].get("etat"))]
        nodes = self.record.setdefault("noeuds", {})
        if found:
            if not self.dry and not any(node["etat"] for node in nodes.values()):
                self.path.unlink(missing_ok=True)  # nothing was begun
            raise PatchError("\n".join(["aucun nœud n'est arrêté :", *(f"- {fault}" for fault in found)]))
        left = [name for name in sorted(reports) if nodes.get(name, {}).get("etat") != DONE]
        out = {name for name in left if not reports[name]["etat"]["en_service"]}
        self.record["sauvegarde"] = saved
        self._save_state()
        return sorted(left, key=lambda name: (name != behind, name not in out, name))

    def begin(self, node: str) -> None:
        """Note that a node is about to be taken out of service.

        Raises:
            PatchError: somebody asked to stop.
        """
        if self.stop_file.exists():
            raise PatchError(
                f"arrêt demandé : {node} n'est pas commencé. « fab archive.correctifs » reprendra par lui."
            )
        self.record["noeuds"][node] = {"etat": AT_WORK, "debut": now().isoformat(timespec="seconds")}
        self._save_state()

    def end(
        self, node: str, facts: Mapping[str, Any], reports: Mapping[str, Report], moment: float, patience: float
    ) -> dict[str, Any] | None:
        """Check that the room is whole again, and note what was done to a node.

        Clients write all along, and nodes are not asked at the very same moment: a partition lacks something when it
        differs at every look, not at one.

        Args:
            node: the one that was patched.
            facts: what was done to it.
            reports: of every node, asked again at each look.
            moment: seconds since the epoch.
            patience: seconds from the first look during which copies may still differ.

        Returns:
            What is noted of the node; None when it must be looked at again.

        Raises:
            PatchError: something is missing or damaged; no other node may be begun.
        """
        noted: dict[str, Any] = self.record["noeuds"][node]
        first, before = noted.pop("regards", (moment, None))
        missing = missing_copies(reports)
        if before is not None:
            still = {name: [part for part in parts if part in before.get(name, [])] for name, parts in missing.items()}
            missing = {name: parts for name, parts in still.items() if parts}
        found = faults(reports, moment, missing)
        other = [fault for fault in faults(reports, moment, {}) if COPIES_MISSING not in fault.reason]
        if found and not other and moment - first < patience:
            noted["regards"] = [first, missing]
            self._save_state()
            return None
        if found:
            raise PatchError("\n".join(["la salle n'est pas revenue entière :", *(f"- {fault}" for fault in found)]))
        sample = reports[node]["fixite"]
        started = datetime.fromisoformat(self.record["noeuds"][node]["debut"])
        noted |= {
            **facts,
            "etat": DONE,
            "fin": now().isoformat(timespec="seconds"),
            "duree_s": round((now() - started).total_seconds()),
            "archives_relues": sample["lus"],
            "octets_relus": sample["octets"],
        }
        self._save_state()
        return noted

    def fail(self, node: str, reason: str) -> None:
        self.record["noeuds"].setdefault(node, {})
        self.record["noeuds"][node] |= {"etat": FAILED, "raison": reason}
        self._save_state()

    def close(self) -> tuple[Path, str]:
        """Seal the evidence of a patch of which every node is done.

        Returns:
            The sealed folder, and why it is not signed (French; empty when it is).
        """
        left = [name for name, node in self.record["noeuds"].items() if node["etat"] != DONE]
        if left:
            raise PatchError(f"il reste {', '.join(left)} : relancez fab archive.correctifs")
        base, keys = folder(self.home), evidence_store.seal_keys(self.home)
        self.record["fin"] = now().isoformat(timespec="seconds")
        try:
            _, staging = evidence_store.open_run(base, self.record["operateur"], self.record["passage"])
        except evidence_store.EvidenceError as error:
            raise PatchError(str(error)) from None
        with evidence_store.closing(base) as finished:
            sealed = evidence_store.publish(staging, finished, RESULTS, self.record, {"rapport.html": page}, keys)
        self.path.unlink()
        return sealed


# -- What is shown ------------------------------------------------------------------------------------------


def _node_row(name: str, node: Mapping[str, Any]) -> dict[str, str]:
    changed = node.get("paquets")
    return {
        "nom": name,
        "etat": WORDS.get(node["etat"], node["etat"]),
        "paquets": "" if changed is None else count(len(changed), "paquet") if changed else "déjà à jour",
        "redemarre": {True: "redémarré", False: "non"}.get(node.get("redemarre", ""), ""),
        "duree": duration(node["duree_s"]) if "duree_s" in node else "",
        "rattrapage": node.get("rattrapage", ""),
        "relues": str(node.get("archives_relues", "")),
        "raison": str(node.get("raison", "")),
        "liste": ", ".join(changed or []),
    }


def rows(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """What is to be said of each node, in words."""
    return [_node_row(name, node) for name, node in sorted(record.get("noeuds", {}).items())]


def lines(record: Mapping[str, Any]) -> list[str]:
    """The patch in a few French lines, for the end of ``fab archive.correctifs``."""
    told = []
    for row in rows(record):
        parts = [row["paquets"], row["redemarre"] if row["redemarre"] == "redémarré" else "", row["duree"]]
        parts += [f"{row['relues']} archives relues" if row["relues"] else "", row["raison"]]
        told.append(f"{row['nom']} : {row['etat']}" + "".join(f", {part}" for part in parts if part))
    return told


def page(record: Mapping[str, Any]) -> str:
    """The evidence, for a reader."""
    started, ended = (datetime.fromisoformat(record[key]) for key in ("debut", "fin"))
    return evidence_page.ENVIRONMENT.get_template("correctifs.html.j2").render(
        record=record,
        rows=rows(record),
        lasted=duration((ended - started).total_seconds()),
        began=day_and_hour(started),
    )


# -- Running it ---------------------------------------------------------------------------------------------


@contextmanager
def _stop_on_signal(home: Path, process: subprocess.Popen[bytes]) -> Any:
    """Ctrl-C and SIGTERM ask for a clean stop; a second one kills Ansible, and the next run takes it up."""

    def request_stop(number: int, _frame: Any) -> None:
        stop = Patch(home).stop_file
        if stop.exists():
            process.send_signal(number)
            return
        stop.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        stop.touch()
        print("\nArrêt demandé : le nœud en cours est terminé, puis tout s'arrête (Ctrl-C encore pour couper net).")

    before = {number: signal.signal(number, request_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(home: Path, command: Sequence[str], cwd: Path) -> int:
    """Run the journey, in a session of its own so that Ctrl-C does not cut it in the middle of a node.

    Returns:
        Ansible's exit status.
    """
    process = subprocess.Popen(list(command), cwd=cwd, env=os.environ, start_new_session=True)
    with _stop_on_signal(home, process):
        return process.wait()
