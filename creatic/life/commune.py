# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The departure of a commune, step by step: handed over, signed for, then closed. See `handover` for its folder.

An entity that a commune hosts leaves with it, or alone (a CCAS that is dissolved: CASF, L123-4), by the same steps.

Layout, on the control node::

    departs/2026-11-25T010504Z/          one sealed folder for the hand-over, one for its receipt, one for the closing
        depart.json rapport.html recu.p7s

The same command again takes up where it was; a step that is done is told, and not done again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.words import now, size

from creatic.evidence import store
from creatic.evidence.seal import DIGESTS, sha256
from creatic.life import files, handover
from creatic.life.departure import Order
from creatic.life.handover import HandOverError, Receipt
from creatic.life.record import FOLDER, seal_record
from creatic.pki.authority import Authority
from creatic.pki.registry import REPLACED, REVOKED, VALID
from creatic.registry import entities, listing
from creatic.registry.groupement import Commune

RECEIPT = "recu.p7s"
_DEPARTURE_RETRY_HINT = "À faire : corrigez, puis relancez la même commande"


class CommuneDeparture:
    """The departure of one commune, or of one entity that a commune hosts.

    Args:
        order: what to work with.
        slug: the commune's, or the entity's.
        target: folder of its hand-over.
        operator: who runs this.
    """

    def __init__(self, order: Order, slug: str, target: Path, operator: str) -> None:
        self.order, self.slug, self.target, self.operator = order, slug, target.absolute(), operator
        self.unsealed = ""

    def facts(self) -> dict[str, Any] | None:
        """What was handed over, verified; None when nothing was.

        Once signed for, the folder may be gone with its disk: the sealed receipt tells it. That of a departure that is
        over says nothing of a commune which came back since.

        Raises:
            HandOverError: the folder is another one's, or it was changed.
        """
        if self.target.exists():
            return self._check_handover() | {
                "empreinte": sha256(self.target / DIGESTS),
                "archives": self._has_archives(),
            }
        found = next((one for one in self._iter_records() if one["genre"] == "recu"), None)
        return None if found and self._is_listed(found) and self.closed(found) else found

    def _inventory_file(self, facts: Mapping[str, Any]) -> Path:
        """Where the inventory has it, or had it."""
        return self.order.inventory / "communes" / f"{_host_slug(facts)}.yml"

    def _is_listed(self, facts: Mapping[str, Any]) -> bool:
        """Whether the inventory has it."""
        file = self._inventory_file(facts)
        if "heberge_par" not in facts or not file.exists():
            return file.exists()
        try:
            data = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
            return self.slug in entities.sirens([(_host_slug(facts), data)])
        except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, TypeError, KeyError) as error:
            raise HandOverError(f"{file} ne se lit pas ({error}). À faire : fab inventaire.controle") from None

    def _iter_records(self) -> Iterator[dict[str, Any]]:
        """Facts of the sealed records of the commune's departure, the last one first."""
        for run in reversed(store.runs(self.order.home / FOLDER)):
            facts = store.facts_of(run)
            if "genre" in facts and (facts.get("commune") or {}).get("slug") == self.slug:
                yield facts | {"preuve": run}

    def _has_archives(self) -> bool:
        """Whether archives were handed over: an export of none has its own few files."""
        return handover.has_archives(self.target)

    def hand_over(self, commune: Commune, entity: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Bring together all that is the commune's, sealed.

        Args:
            commune: its file.
            entity: the one of `handover.hosted` which leaves alone: then nothing but its own.

        Raises:
            HandOverError: a machine does not give its part, the place is taken, or nothing can be sealed.
            LockRefused: a deployment of the commune, or another hand-over, is going on.
        """
        started = now().isoformat(timespec="seconds")
        locks, pid = self.order.home / "verrous", os.getpid()
        store.lock_commune(locks, commune.slug, pid, self.operator)
        try:
            folder = handover.begin(self.target, self.slug)
            hosts = handover.sources(commune, self.order.servers, entity)
            siren = str(entity["siren"] if entity else commune.data["siren"])
            parts = self._collect_parts(folder, self.slug, siren, hosts, entity=entity is not None)
            for one in [] if entity else handover.hosted(commune):
                # A public body of its own, which leaves with the commune that hosts it: apart, in the same hand-over.
                hosts = handover.sources(commune, self.order.servers, one)
                place = folder / one["dossier"]
                place.mkdir(parents=True)
                found = self._collect_parts(place, one["slug"], one["siren"], hosts, entity=True)
                parts += [f"{one['dossier']}/{part}" for part in found]
            file = self.order.inventory / "communes" / f"{commune.slug}.yml"
            keys = store.seal_keys(self.order.home)
            handover.finish(folder, commune, parts, file, self.operator, keys, entity)
            handover.publish(folder, self.target)
            facts = self.facts() or {}
            self._seal_record("remise", facts, started)
        finally:
            store.unlock_communes(locks, pid)
        return facts

    def _collect_parts(
        self, folder: Path, slug: str, siren: str, hosts: Mapping[str, str], entity: bool = False
    ) -> list[str]:
        """Have machines give what is a commune's, or an entity's; gives the parts, opened in a folder."""
        given = {
            "hand_over_commune": slug,
            "hand_over_siren": siren,
            "hand_over_entite": entity,
            "hand_over_folder": str(folder),
            "hand_over_hosts": sorted(hosts),
            "hand_over_parts": handover.parts(hosts),
        }
        if not self.order.play("journeys/hand_over.yml", "-e", listing.to_extra_vars(given)):
            raise HandOverError(
                "une machine n'a pas tout donné, la raison est affichée au-dessus. À faire : corrigez, puis relancez "
                "la même commande"
            )
        parts = handover.arrived(folder, hosts)
        for part in parts:
            handover.unpack(folder, part)
        return parts

    def _check_handover(self) -> dict[str, Any]:
        facts, verification = handover.check(self.target, self.slug, store.seal_keys(self.order.home).root)
        if not verification.intact:
            faults = "\n".join(f"  - {name} : {reason}" for name, reason in verification.faults)
            raise HandOverError(f"{self.target} a été modifié depuis sa remise, rien n'est fait :\n{faults}")
        return facts

    def signed(self, facts: Mapping[str, Any]) -> dict[str, Any] | None:
        """Who signed for this very hand-over; None for nobody."""
        mine = (one for one in self._iter_records() if (one["genre"], one["empreinte"]) == ("recu", facts["empreinte"]))
        return next((dict(one["recu"]) for one in mine), None)

    def sign(self, facts: Mapping[str, Any], file: Path, authorities: Sequence[Path] = ()) -> Receipt:
        """Take the receipt, and keep it under the seal.

        Args:
            facts: from `facts`.
            file: the receipt.
            authorities: PEM of a provider's authorities and lists, beside the groupement's own.

        Raises:
            HandOverError: it is no receipt of this hand-over by a person of the commune.
        """
        published = self.order.home / "pki" / "publie"
        trusted = [published / "ca.pem", published / "crl.pem", *authorities]
        found = handover.receipt(file, self.target, handover.signing_sirens(facts), trusted)
        started = now().isoformat(timespec="seconds")
        told = {"signataire": found.signer, "serie": found.serial, "le": started}
        self._seal_record("recu", facts, started, {"recu": told}, {RECEIPT: file})
        return found

    def to_do(self, facts: Mapping[str, Any]) -> list[str]:
        """What the operator takes out of the inventory before the closing, in French; nothing once it is out."""
        told = []
        inventory = self.order.inventory
        if self._is_listed(facts):
            what = (
                f"entites : retirez-en {self.slug}" if "heberge_par" in facts else "sortez ce fichier de l'inventaire"
            )
            told.append(
                f"communes/{_host_slug(facts)}.yml{', ' if 'heberge_par' in facts else ' : '}{what}, et gardez-le"
            )
        owners = [facts["commune"] | {"archives": facts["archives"]}, *facts.get("entites", [])]
        for one in (one for one in owners if one["archives"] and one["slug"] not in _partner_accounts(inventory)):
            entry = f'{{nom: {one["slug"]}, libelle: {one["nom"]}, siren: "{one["siren"]}", deposants: [personne]}}'
            told.append(
                "group_vars/all.yml, creatic_archive_partenaires : ses archives restent dans la salle jusqu'à leur "
                f"terme, ajoutez - {entry}"
            )
        return told

    def closed(self, facts: Mapping[str, Any]) -> Path | None:
        """The record of the closing; None while it is to be done."""
        mine = (
            one for one in self._iter_records() if (one["genre"], one["empreinte"]) == ("cloture", facts["empreinte"])
        )
        return next((Path(one["preuve"]) for one in mine), None)

    def close(self, facts: Mapping[str, Any]) -> list[str]:
        """Revoke its certificates, and have the servers forget its people and machines; archives stay.

        Args:
            facts: from `facts`.

        Returns:
            What was done, in French.

        Raises:
            HandOverError: nobody signed, the inventory still has it, or a step failed: the same command goes on.
            LockRefused: a deployment of the commune or of a server is going on.
        """
        signed = self.signed(facts)
        if signed is None:
            raise HandOverError("rien n'est fermé : la commune n'a pas signé le reçu de sa remise (--recu)")
        if left := self.to_do(facts):
            raise HandOverError("rien n'est fermé : " + " ; ".join(left))
        started = now().isoformat(timespec="seconds")
        locks, pid = self.order.home / "verrous", os.getpid()
        try:
            store.lock_commune(locks, _host_slug(facts), pid, self.operator)
            for name in sorted(self.order.servers):
                store.lock_commune(locks, f"serveur-{name}", pid, self.operator, f"un déploiement de {name}")
            self._revoke_certificates(facts)
            if not self.order.play("site.yml", "--limit", ",".join(sorted(self.order.servers))):
                raise HandOverError(
                    f"déploiement des serveurs : échec, la raison est au-dessus. {_DEPARTURE_RETRY_HINT}"
                )
            revoked = sum(row["statut"] == REVOKED for row in self._list_certificates(facts))
            done = [
                f"{revoked} certificats révoqués",
                "serveurs déployés sans elle : comptes fermés, machines oubliées",
            ]
            if "heberge_par" in facts:
                # Its connector is its commune's, which may be out of reach: it is told of this by its own deployment.
                done[1] = "serveurs déployés sans elle : comptes fermés"
                again = f"fab commune.deployer {_host_slug(facts)}"
                done.append(f"à faire encore : {again}, pour que son connecteur l'oublie aussi")
            keys = files.certificate_files(self.order.home, self._list_certificates(facts))
            for path in keys:
                files.remove(path)
            if keys:
                done.append(f"{len(keys)} fichiers de certificats de ses personnes supprimés de ce poste")
            if facts["archives"]:
                done.append("archives laissées dans la salle, sous le même compte, jusqu'au terme de leur conservation")
            self._seal_record("cloture", facts, started, {"recu": signed, "fait": done})
        finally:
            store.unlock_communes(locks, pid)
        return done

    def _revoke_certificates(self, facts: Mapping[str, Any]) -> None:
        """Have no certificate of its own stay in force: all of a commune at once, those of an entity one by one."""
        asked = [{"commune": self.slug}]
        if "heberge_par" in facts:
            asked = [{"numero": row["serie"]} for row in self._in_force(facts)]
        for one in asked if self._in_force(facts) else []:
            given = listing.to_extra_vars({**one, "motif": "cessation"})
            if not self.order.play("journeys/revoke_certificate.yml", "-e", given):
                break
        if self._in_force(facts):
            raise HandOverError(
                f"révocation de ses certificats : échec, la raison est au-dessus. {_DEPARTURE_RETRY_HINT}"
            )

    def _list_certificates(self, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Certificates of the commune's, or of an entity's: those at its SIREN, among its commune's."""
        siren = facts["commune"]["siren"] if "heberge_par" in facts else ""
        rows = Authority(self.order.home / "pki").listing()
        return [row for row in rows if row["commune"] == _host_slug(facts) and siren in ("", row["siren"])]

    def _in_force(self, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [row for row in self._list_certificates(facts) if row["statut"] in (VALID, REPLACED)]

    def _seal_record(
        self,
        kind: str,
        facts: Mapping[str, Any],
        started: str,
        more: Mapping[str, Any] | None = None,
        pieces: Mapping[str, Path] | None = None,
    ) -> None:
        told = {
            "genre": kind,
            "environnement": self.order.environment,
            "commune": facts["commune"],
            "le": facts["le"],
            "dossier": facts.get("dossier") or str(self.target),
            "empreinte": facts["empreinte"],
            "archives": facts["archives"],
            "entites": facts.get("entites", []),
            **{key: facts[key] for key in ("heberge_par", "type") if key in facts},
            "parties": facts["parties"],
            "en_cours": facts["en_cours"],
            **(more or {}),
        }
        template = "depart_commune.html.j2"
        _folder, self.unsealed = seal_record(self.order.home, self.operator, started, told, template, pieces)


def _host_slug(facts: Mapping[str, Any]) -> str:
    """Slug of the commune that leaves, or of the one that hosts the entity which leaves."""
    return str((facts.get("heberge_par") or facts["commune"])["slug"])


def _partner_accounts(inventory: Path) -> set[str]:
    """Accounts of the archive room beside the communes', as group_vars give them to all.

    Raises:
        HandOverError: a file cannot be read.
    """
    found = set()
    for path in [*inventory.glob("group_vars/all.y*ml"), *sorted(inventory.glob("group_vars/all/*.y*ml"))]:
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            found |= {str(one["nom"]) for one in content.get("creatic_archive_partenaires") or []}
        except (OSError, yaml.YAMLError, AttributeError, TypeError, KeyError) as error:
            raise HandOverError(f"{path} ne se lit pas ({error}). À faire : fab inventaire.controle") from None
    return found


def lines(facts: Mapping[str, Any]) -> list[str]:
    """What a hand-over holds."""
    found = [f"- {part} : {one['fichiers']} fichiers, {size(one['octets'])}" for part, one in facts["parties"].items()]
    found += [f"! encore en cours, {line}" for line in facts.get("en_cours", [])]
    return [f"Remise à {facts['commune']['nom']}, {facts['le'][:16].replace('T', ' ')} UTC :", *(found or ["- rien"])]
