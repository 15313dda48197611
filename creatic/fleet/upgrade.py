# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""From one version of the product to the next, on servers that work: what is where, what comes, what to go back to.

Which version a server has is what the sealed records of ``fab serveurs`` say of it (``code``): nothing else is noted.

Layout, in the control node's state::

    versions/en-cours.json               an upgrade that goes on, or was interrupted: the next run takes it up
    versions/2026-11-25T010504Z.json     each that ended: its checkpoint is what the way back needs
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.words import duration, now

from creatic.evidence import servers as evidence_servers
from creatic.evidence import store
from creatic.evidence.follow import code_version
from creatic.registry import profiles

FOLDER = "versions"
LOCK = "version"
BEFORE, AFTER = "Avant de passer", "Une fois passé"
"""Headings of CHANGELOG.md: what an operator does once."""
UNKNOWN = "inconnue"
ROOM_S = 600.0
"""How long the archive room may take to be whole, seconds; the patch of its nodes is as patient."""
_COMMIT = re.compile(r"commit ([0-9a-f]{40})( \(modifié localement\))?")
_SAVED = re.compile(r"^Sauvegarde (\S+) :", re.MULTILINE)
_ROLE = re.compile(r"^\s+name: ([a-z_]+)$", re.MULTILINE)
_APPLICATION = re.compile(r"apps/([a-z_]+)/src|(?:zipapp|tree): ([a-z_]+)")


class UpgradeError(CreaticError, cause="version"):
    """The servers may not go to this version; the message (French) says why and what to do. Nothing was changed."""


class Clone:
    """The version that a clone holds, and what its history says of the others.

    Args:
        top: the clone.

    Raises:
        UpgradeError: it has no history.
    """

    def __init__(self, top: Path) -> None:
        self.top, self.code = top, code_version(top)
        found = _COMMIT.fullmatch(self.code)
        if not found:
            raise UpgradeError(
                f"{top} n'a pas d'historique git : rien ne dit de quelle version il est. À faire : prenez le produit "
                "par git clone, passez à la version voulue (git checkout v…), puis relancez"
            )
        self.commit, self.modified = found[1], bool(found[2])

    def name(self, code: str) -> str:
        """A version for a reader: its tag, else the beginning of its commit."""
        found = _COMMIT.fullmatch(code)
        if not found:
            return UNKNOWN
        tag = self._run_git("describe", "--tags", "--exact-match", found[1])
        return (tag or found[1][:8]) + (found[2] or "")

    def is_at(self, code: str) -> bool:
        """Whether a server with this code has nothing to be brought; what was changed by hand is never known to be."""
        return code == self.code and not self.modified

    def refuse_back(self, machines: Iterable[Machine]) -> None:
        """Refuse to take a server to a version that does not follow the one that it met last.

        Raises:
            UpgradeError: there is one.
        """
        met: dict[str, list[str]] = {}
        for machine in machines:
            if _COMMIT.fullmatch(machine.met):
                met.setdefault(machine.met, []).append(machine.name)
        for code, names in met.items():
            commit, where = code.split()[1], f"{', '.join(names)} : déjà à la version {self.name(code)}"
            if self._run_git("cat-file", "-t", commit) != "commit":
                raise UpgradeError(
                    f"{where}, que ce clone ne connaît pas. À faire : git fetch --tags, git checkout, puis relancez"
                )
            if self._run_git("merge-base", commit, self.commit) != commit:
                raise UpgradeError(
                    f"{where}, dont celle de ce clone ({self.name(self.code)}) n'est pas la suite. Une version mise à "
                    "la place d'une plus récente lirait des bases que celle-ci a changées, et pourrait les perdre : "
                    "rien n'est fait. À faire : une version qui la suit (git checkout), ou, pour revenir en arrière "
                    "avec la sauvegarde d'avant, docs/exploitation.md, « Revenir à la version d'avant »"
                )

    def chores(self, codes: Collection[str], heading: str) -> list[str]:
        """What CHANGELOG.md asks to be done once, that it did not when these codes were there.

        Args:
            codes: of the servers; all is given for one that is not known.
            heading: BEFORE or AFTER.
        """
        known = [self._run_git("show", f"{found[1]}:CHANGELOG.md") for code in codes if (found := _COMMIT.match(code))]
        told = [{*items(text, heading)} for text in known] if len(known) == len(codes) else [set()]
        here = items((self.top / "CHANGELOG.md").read_text(encoding="utf-8"), heading)
        return [item for item in here if not all(item in before for before in told)]

    def changed(self, code: str) -> set[str]:
        """Paths that differ between a code and this clone; all of them when it is not known."""
        found = _COMMIT.match(code)
        return {*self._run_git("diff", "--name-only", found[1] if found else _EMPTY_TREE_SHA1).split("\n")} - {""}

    def _run_git(self, *arguments: str) -> str:
        done = subprocess.run(["git", "-C", self.top, *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip()


_EMPTY_TREE_SHA1 = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # git's empty tree


def items(text: str, heading: str) -> list[str]:
    """Give the items of each list that stands under a heading of the third level, one line each."""
    found, under = list[str](), False
    for line in text.split("\n"):
        if line.startswith("#"):
            under = line == f"### {heading}"
        elif under and line.startswith("- "):
            found.append(line.removeprefix("- "))
        elif under and found and line.startswith("  "):
            found[-1] += f" {line.strip()}"
    return found


# -- What is where ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Machine:
    """A server.

    Attributes:
        code: of the last run that brought it to its profile and proved it (`follow.code_version`); empty for none.
        met: of the last run that changed it, whatever became of it.
        at: when that run ended, ISO 8601, UTC.
        seconds: how long its profile took then; 0 when nothing says it.
    """

    name: str
    profile: str
    code: str = ""
    met: str = ""
    at: str = ""
    seconds: float = 0

    @property
    def place(self) -> tuple[int, bool]:
        """Its step in playbooks/site.yml: the archive room first, the backup server last."""
        return profiles.place(self.profile)[0], not profiles.load()[self.profile].a_part


def list_servers(home: Path, servers: Mapping[str, str]) -> list[Machine]:
    """The servers in the order of their profiles, each with the version that it has.

    Args:
        home: state of the control node.
        servers: profile of each server of the inventory.
    """
    found = {name: Machine(name, profile) for name, profile in servers.items()}
    for run in store.runs(home / evidence_servers.FOLDER):
        facts = store.facts_of(run)
        for one in facts.get("machines", ()):
            machine, spent = found.get(one["nom"]), one.get("secondes", {}).get("deploiement")
            if machine and spent is not None:
                whole = one["pret"] and not facts.get("restriction")
                code = str(facts.get("code", ""))
                proven = code if whole else machine.code
                at = str(facts.get("fin", ""))
                found[machine.name] = replace(machine, code=proven, met=code, at=at, seconds=spent)
    return sorted(found.values(), key=lambda one: (one.place, profiles.place(one.profile), one.name))


def steps(machines: Iterable[Machine]) -> list[list[Machine]]:
    """Servers by step of the site: those of one go side by side, the next one waits for their proofs."""
    found: dict[tuple[int, bool], list[Machine]] = {}
    for machine in machines:
        found.setdefault(machine.place, []).append(machine)
    return [found[place] for place in sorted(found)]


def communes(home: Path, slugs: Iterable[str]) -> Counter[str]:
    """How many communes are at each code, by the oldest of their machines' last runs; "" for none."""
    base = home / "evidence"
    state = store.last_json(store.runs(base), "etat.json") or {}
    found = Counter[str]()
    for slug in slugs:
        passages = {str(host["passage"]) for host in state.get(slug, {}).get("hotes", {}).values()}
        found[str(store.facts_of(base / min(passages)).get("code", "")) if passages else ""] += 1
    return found


# -- What comes -------------------------------------------------------------------------------------------------


def made_of(top: Path, profile: str) -> set[str]:
    """Folders of a clone that a profile's machines are made of: its roles, and the applications that they bring."""
    tasks = top / "playbooks/profiles"
    todo = [[tasks / f"{profile}.yml", tasks / "securite.yml"]]
    found = set[str]()
    while todo:
        for text in (path.read_text(encoding="utf-8") for path in todo.pop() if path.is_file()):
            for role in _ROLE.findall(text):
                if f"roles/{role}/" not in found and (top / "roles" / role).is_dir():
                    found.add(f"roles/{role}/")
                    todo.append(sorted((top / "roles" / role).rglob("*.yml")))
            for folder, package in _APPLICATION.findall(text):
                where = (
                    [top / "apps" / folder] if folder else [one.parents[1] for one in top.glob(f"apps/*/src/{package}")]
                )
                found |= {f"{one.relative_to(top)}/" for one in where} | {"apps/common/"}
    return found


def coming(paths: Collection[str], folders: Collection[str]) -> str:
    """What a server is to expect (French).

    Args:
        paths: those that changed.
        folders: those that it is made of.
    """
    mine = [path for path in paths if any(path.startswith(folder) for folder in folders) and "/tests/" not in path]
    locks = sorted({path.split("/")[-1].removesuffix(".lock") for path in mine if path.endswith(".lock")} - {"build"})
    if locks:
        return f"d'autres versions de ce que nomme {', '.join(locks)}.lock : ses services repartent"
    if any(path.startswith("apps/") for path in mine):
        return "ses programmes changent : ses services repartent"
    return "des réglages peuvent changer" if mine else "rien de nouveau"


def rows(machines: Iterable[Machine], clone: Clone) -> Iterator[tuple[str, ...]]:
    """What is to be brought to each server, as cells: step, machine, profile, from, to, last time, what to expect."""
    changed = dict[str, set[str]]()
    for number, step in enumerate(steps(machines), 1):
        for one in step:
            if one.code not in changed:
                changed[one.code] = clone.changed(one.code)
            spent = duration(one.seconds) if one.seconds else ""
            versions = (clone.name(one.code), clone.name(clone.code))
            yield (
                str(number),
                one.name,
                one.profile,
                *versions,
                spent,
                coming(changed[one.code], made_of(clone.top, one.profile)),
            )


# -- The upgrade ------------------------------------------------------------------------------------------------


def checkpoint(
    said: Mapping[str, str], before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, str], list[str]]:
    """Judge the backups that were just made, by what the backup server holds of them.

    Args:
        said: what each client said of its backup; empty when it failed.
        before, after: what the server says of its clients (``creatic-depots etat``), by its own clock.

    Returns:
        The name of each good backup by client, and what is wrong (French).
    """
    dates = {str(one["client"]): str(one["derniere"]) for one in before}
    there = {str(one["client"]): one for one in after}
    good, wrong = dict[str, str](), list[str]()
    for client, text in sorted(said.items()):
        name, found = _SAVED.search(text), there.get(client)
        if not name:
            wrong.append(f"{client} : la sauvegarde n'a pas pu se faire")
        elif not found:
            wrong.append(f"{client} : le serveur de sauvegarde ne la connaît pas (fab serveurs backup_server)")
        elif found["suspect"] or found["gele"] or found["verification"].get("bonne") is False:
            wrong.append(f"{client} : son dépôt est suspect, gelé ou abîmé (fab sauvegarde.etat)")
        elif not found["derniere"] or found["derniere"] <= dates.get(client, ""):
            wrong.append(f"{client} : le serveur de sauvegarde n'a pas reçu {name[1]}")
        else:
            good[client] = name[1]
    return good, wrong


class Upgrade:
    """An upgrade from one version to the next, on disk at each step.

    Args:
        home: state of the control node.

    Raises:
        UpgradeError: what was noted of one that goes on cannot be read.
    """

    def __init__(self, home: Path) -> None:
        self._home, self._path = home, home / FOLDER / "en-cours.json"
        read = store.read_json(self._path)
        if self._path.exists() and not (isinstance(read, dict) and isinstance(read.get("machines"), dict)):
            raise UpgradeError(
                f"{self._path} est abîmé : les sauvegardes d'avant ne sont plus connues, rien n'est fait. À faire : "
                "restaurez-le de la sauvegarde du poste de commande, ou supprimez-le, et l'on recommence par une "
                "sauvegarde de ce qui n'est pas encore passé"
            )
        self.record: dict[str, Any] = read or {}

    @contextlib.contextmanager
    def hold_lock(self, operator: str) -> Iterator[None]:
        """Be the only one who passes. Raises LockRefused: somebody does."""
        locks = self._home / "verrous"
        store.lock_commune(locks, LOCK, os.getpid(), operator, "un passage à une nouvelle version")
        try:
            yield
        finally:
            store.unlock_communes(locks, os.getpid(), LOCK)

    def begin(self, code: str, machines: Iterable[Machine], operator: str) -> None:
        """Begin, or take up what was interrupted.

        Args:
            code: what the servers go to.
            machines: those that have not come to it.
        """
        moment = now().isoformat(timespec="seconds")
        if self.record:
            self.record["reprises"].append(moment)
        else:
            self.record = {"version": 1, "passage": store.new_run_id(), "debut": moment, "reprises": [], "machines": {}}
        self.record |= {"vers": code, "operateur": operator}
        for machine in machines:
            begun = self.record["machines"].get(machine.name, {}).get("commencee", "")
            # Since then it was brought elsewhere and proved, as who goes back does: what it was before is over.
            if not begun or (machine.code == machine.met and machine.at > begun):
                self.record["machines"][machine.name] = {"de": machine.code, "sauvegarde": "", "commencee": ""}
        self._save_state()

    def to_save(self, names: Iterable[str]) -> list[str]:
        """Those that nothing has changed yet: a backup made after that would be no way back."""
        return [name for name in names if not self.record["machines"].get(name, {}).get("commencee")]

    def saved(self, names: Mapping[str, str]) -> None:
        """Note the backups of a checkpoint, by machine; the control node is one."""
        for name, archive in names.items():
            self.record["machines"].setdefault(name, {"de": "", "commencee": ""})["sauvegarde"] = archive
        self._save_state()

    def step(self, machines: Iterable[Machine]) -> None:
        """Note that these machines are about to be changed."""
        for machine in machines:
            one = self.record["machines"][machine.name]
            one["commencee"] = one["commencee"] or now().isoformat(timespec="seconds")
        self._save_state()

    def close(self) -> None:
        """Keep it beside those before it."""
        self.record["fin"] = now().isoformat(timespec="seconds")
        store.write_json(self._path.with_name(f"{self.record['passage']}.json"), self.record)
        self._path.unlink()

    def _save_state(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        store.write_json(self._path, self.record)


def last(home: Path) -> dict[str, Any]:
    """The upgrade that goes on, else the last one that ended; empty for none."""
    folder = home / FOLDER
    ended = sorted(path for path in folder.glob("*.json") if path.name != "en-cours.json")
    return dict(next(filter(None, map(store.read_json, [folder / "en-cours.json", *reversed(ended)])), {}))


def way_back(record: Mapping[str, Any], clone: Clone) -> list[str]:
    """What a person does to have the version before again (French); nothing when no server was changed.

    Args:
        record: of an upgrade.
    """
    machines = record.get("machines", {})
    begun = {name: one for name, one in machines.items() if one["commencee"]}
    lines = []
    for name, one in begun.items():
        data = f"sauvegarde {one['sauvegarde']}" if one["sauvegarde"] else "rien n'en est sauvegardé"
        lines.append(f"  {name} : était à {clone.name(one['de'])}, {data}, changée à partir de {one['commencee']}")
    aside = [f"  {name} : sauvegarde {one['sauvegarde']}" for name, one in machines.items() if name not in begun]
    head = "Pour revenir en arrière (docs/exploitation.md, « Revenir à la version d'avant ») :"
    return [head, *lines, *aside] if begun else []
