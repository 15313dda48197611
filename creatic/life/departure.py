# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The departure of an agent, step by step: shown, then done; the same command again takes up where it was."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.words import now

from creatic.access.authority import SshAuthority
from creatic.evidence import store
from creatic.life import agent as life
from creatic.life import files
from creatic.registry import listing
from creatic.registry.groupement import Commune

Play = Callable[..., bool]


@dataclass(frozen=True)
class Order:
    """What a departure works with.

    Attributes:
        home: state of the control node.
        inventory: folder of the environment.
        environment: its name.
        servers: profile of each server of the inventory, by name.
        play: runs a playbook, by its name under playbooks/ and its arguments, and tells whether it ended well.
        ask: the same, without a word on the screen when it does.
    """

    home: Path
    inventory: Path
    environment: str
    servers: dict[str, str]
    play: Play
    ask: Play


def _by_profile(answers: Mapping[str, Mapping[str, Any]], servers: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Put together what the machines of a profile know of one account.

    Args:
        answers: what each machine answered; empty for one that has no such account.
        servers: profile of each.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, one in sorted(answers.items()):
        if one and (before := found.setdefault(servers[name], dict(one))) != one:
            before["ouvert"] = before.get("ouvert") or one.get("ouvert")
            before["en_main"] = [*before.get("en_main", []), *one.get("en_main", [])]
    return found


class Departure:
    """The departure of one agent.

    Args:
        order: what to work with.
        communes: all of them, as their files are now.
        slug: the agent's.
        wanted: login, or first name and name.

    Raises:
        DepartureError: nobody of that name, or somebody of elsewhere, or an application does not answer.
        PkiError: a registry cannot be read.
    """

    def __init__(self, order: Order, communes: Sequence[Commune], slug: str, wanted: str) -> None:
        self.order = order
        self.commune = next(one for one in communes if one.slug == slug)
        self.agent = life.find(communes, slug, wanted)
        accounts = self._query_accounts()
        self.agent = life.complete_agent(self.agent, accounts)
        self.before = life.holdings(order.home, self.commune, self.agent, accounts)
        self.named = life.list_file_mentions(self.commune, self.agent)
        if not (self.named or self.before.accounts or self.before.remaining_items() or self.before.revoked):
            people = ", ".join(one["identifiant"] for one in self.commune.data.get("comptes", []))
            raise life.DepartureError(
                f"« {wanted} » : ni compte, ni certificat, ni ligne dans communes/{slug}.yml "
                f"(comptes : {people or 'aucun'})"
            )

    def _query_accounts(self) -> dict[str, dict[str, Any]]:
        there = [name for name in life.APPLICATIONS if name in self.order.servers.values()]
        if not there or not self.agent.login:
            return {}
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            given = listing.to_extra_vars({"agent_login": self.agent.login, "agent_file": file.name})
            if not self.order.ask("journeys/agent_accounts.yml", "-e", given):
                raise life.DepartureError(
                    "une application n'a pas pu être interrogée, la raison est affichée au-dessus. Rien n'est changé"
                )
            found: dict[str, dict[str, Any]] = json.loads(Path(file.name).read_text(encoding="utf-8"))
        return _by_profile(found, self.order.servers)

    def lines(self) -> list[str]:
        """What is shown before anything is done."""
        told = [f"{self.agent}, commune {self.agent.commune}", "", "Entre ses mains :"]
        told += [f"- {line}" for line in self.before.remaining_items()] or ["- rien"]
        if not self.agent.login:
            told.append("- sans identifiant, les comptes ne sont pas cherchés : donnez-le s'il en avait un")
        if self.named:
            told += ["", "Le fichier de la commune le nomme encore :", *(f"- {line}" for line in self.named)]
        if others := life.mentioned(self.commune, self.order.inventory, self.agent):
            told += ["", "À voir aussi :", *(f"- {line}" for line in others)]
        return told

    @property
    def over(self) -> Path | None:
        """The record of a departure that is done; None while something is left to do."""
        return None if self.named or self.before.remaining_items() else life.recorded(self.order.home, self.agent)

    def perform(self, operator: str) -> tuple[list[str], Path, str]:
        """Close all that is theirs, look again, and seal the record.

        Returns:
            What was done, in French; the record's folder; why it is not signed (empty when it is).

        Raises:
            DepartureError: the file names them, or a step failed: what is done is done, the same command goes on.
            LockRefused: a deployment of the commune or of one of these servers is going on.
        """
        if self.named:
            raise life.DepartureError(
                "rien n'est changé : corrigez d'abord le fichier de la commune, là où il le nomme"
            )
        started = now().isoformat(timespec="seconds")
        locks, pid = self.order.home / "verrous", os.getpid()
        servers = [name for name, profile in self.order.servers.items() if profile in self.before.open()]
        try:
            store.lock_commune(locks, self.agent.commune, pid, operator)
            for name in servers:
                store.lock_commune(locks, f"serveur-{name}", pid, operator, f"un déploiement de {name}")
            self._close_accounts(operator)
            after = life.holdings(self.order.home, self.commune, self.agent, self._query_accounts())
            if left := after.remaining_items():
                raise life.DepartureError("il reste : " + " ; ".join(left) + ". À faire : relancez la même commande")
            done = [
                f"{life.APPLICATIONS[name]} : compte fermé"
                for name, one in self.before.accounts.items()
                if one["ouvert"]
            ]
            done += [f"certificat n° {one['serie']} ({one['nom']}) : révoqué" for one in after.revoked]
            done += [f"accès SSH n° {one['serie']} : révoqué" for one in self.before.accesses]
            done += [f"{path} : supprimé" for path in (*self.before.passwords, *self.before.keys)]
            done = done or ["rien n'était plus ouvert"]
            folder, unsealed = life.seal_departure(
                self.order.home, self.agent, self.before, done, self.order.environment, operator, started
            )
        finally:
            store.unlock_communes(locks, pid)
        return done, folder, unsealed

    def _close_accounts(self, operator: str) -> None:
        for one in self.before.certificates:
            given = ("-e", listing.to_extra_vars({"motif": "cessation", "numero": one["serie"]}))
            self._require_success(
                self.order.play("journeys/revoke_certificate.yml", *given), f"certificat n° {one['serie']}"
            )
        for one in self.before.accesses:
            SshAuthority(self.order.home / "acces").revoke(one["serie"], "départ", operator)
            play = self.order.play(
                "journeys/revoke_access.yml", "-e", listing.to_extra_vars({"serie": str(one["serie"])})
            )
            self._require_success(play, f"accès SSH n° {one['serie']}")
        # Circuits and accounts are those of the communes' files: deploying is what hands over, and closes.
        if there := self.before.open():
            self._require_success(
                self.order.play("site.yml", "--limit", ",".join(there)), "déploiement de " + ", ".join(there)
            )
        for path in (*self.before.passwords, *self.before.keys):
            files.remove(path)

    @staticmethod
    def _require_success(done: bool, what: str) -> None:
        if not done:
            raise life.DepartureError(
                f"{what} : échec, la raison est affichée au-dessus. À faire : corrigez, puis relancez la même commande"
            )
