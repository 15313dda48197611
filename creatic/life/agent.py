# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""An agent leaves: what is in their hands, what still names them, and the sealed record of their departure.

Layout, on the control node::

    departs/2026-11-25T010504Z/          one sealed folder per departure, see evidence/store
        depart.json rapport.html

The commune's file says who is who: nothing is closed while it names them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.names import as_read, composed

from creatic.access.authority import SshAuthority
from creatic.evidence import store
from creatic.life import files, record
from creatic.pki.authority import Authority
from creatic.pki.registry import REPLACED, REVOKED, VALID
from creatic.registry.checked_yaml import FieldPath, dotted, quote
from creatic.registry.groupement import Commune

APPLICATIONS = {"parapheur": "parapheur", "ged": "GED", "deliberations": "délibérations"}
"""Profiles that have accounts, and what they are called."""
_PROVIDER = "faites-le aussi révoquer par son prestataire"


class DepartureError(CreaticError, cause="depart"):
    """Nobody of that name, or somebody of elsewhere; the message is French."""


@dataclass(frozen=True)
class Agent:
    """Who leaves.

    Attributes:
        login: in the communes' files; empty for who has no account, and is known by certificates alone.
        name: first name and name; empty for a login that nothing names.
        commune: slug.
    """

    login: str
    name: str
    commune: str

    def __str__(self) -> str:
        return " ".join(filter(None, (self.name, f"({self.login})" if self.login and self.name else self.login)))


@dataclass
class Holdings:
    """What somebody has.

    Attributes:
        accounts: what each application answers, by profile; see `applications.account.find`.
        certificates: of the groupement, in force: serie, nom, hote, fin.
        revoked: those that are revoked already.
        accesses: SSH certificates in force: serie, role, fin.
        passwords: files of the control node with a first password.
        keys: those of their certificates, with their keys and passwords.
    """

    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    certificates: list[dict[str, str]] = field(default_factory=list)
    revoked: list[dict[str, str]] = field(default_factory=list)
    accesses: list[dict[str, Any]] = field(default_factory=list)
    passwords: list[Path] = field(default_factory=list)
    keys: list[Path] = field(default_factory=list)

    def open(self) -> list[str]:
        """Profiles where the account is open, or something awaits them."""
        return [name for name, one in self.accounts.items() if one.get("ouvert") or one.get("en_main")]

    def remaining_items(self) -> list[str]:
        """What still stands, in French; nothing once they are gone."""
        told = []
        for name, one in self.accounts.items():
            if one.get("ouvert"):
                told.append(f"{APPLICATIONS[name]} : compte ouvert ({one['courriel']}), qui reçoit les courriels")
            told += [f"{APPLICATIONS[name]} : {line}" for line in one.get("en_main", [])]
        told += [
            f"certificat n° {one['serie']} ({one['nom']}), valable jusqu'au {one['fin'][:10]}"
            for one in self.certificates
        ]
        told += [f"accès SSH n° {one['serie']} ({one['role']}), jusqu'au {one['fin'][:16]}" for one in self.accesses]
        told += [f"premier mot de passe : {path}" for path in self.passwords]
        return told + [f"clé de son certificat, ou ce qui l'ouvre : {path}" for path in self.keys]


def find(communes: Sequence[Commune], slug: str, wanted: str) -> Agent:
    """Say who is meant, by the communes' files.

    Args:
        communes: all of them.
        slug: the agent's.
        wanted: login, or first name and name.

    Returns:
        Who it is; a login or a name that the file does not know is taken as it is, for they may be out of it already.

    Raises:
        DepartureError: somebody of another commune, or a name that two persons bear.
    """
    wanted = " ".join(wanted.split())
    found = []
    for commune in communes:
        for one in _account_holders(commune):
            name = f"{one['prenom']} {one['nom']}"
            if one["identifiant"] == wanted:
                if commune.slug != slug:
                    raise DepartureError(
                        f"{wanted} est de la commune {commune.slug} : fab agent.depart {commune.slug} {wanted}"
                    )
                return Agent(wanted, name, slug)
            if commune.slug == slug and as_read(name) == as_read(wanted):
                found.append(Agent(one["identifiant"], name, slug))
    if len(found) > 1:
        logins = ", ".join(one.login for one in found)
        raise DepartureError(f"deux personnes s'appellent « {wanted} » : donnez l'identifiant ({logins})")
    return found[0] if found else Agent("", wanted, slug) if " " in wanted else Agent(wanted, "", slug)


def complete_agent(agent: Agent, accounts: Mapping[str, Mapping[str, Any]]) -> Agent:
    """Complete who it is by what applications know, for who is out of the file already.

    Raises:
        DepartureError: their account is of another commune.
    """
    for name, one in accounts.items():
        if one.get("commune", "") not in ("", agent.commune):
            raise DepartureError(
                f"{agent.login} : son compte ({APPLICATIONS[name]}) est de la commune {one['commune']}, pas de "
                f"{agent.commune}. Rien n'est changé"
            )
    name = agent.name or next((str(one["nom"]) for one in accounts.values() if one.get("nom")), "")
    return Agent(agent.login, name, agent.commune)


def list_file_mentions(commune: Commune, agent: Agent) -> list[str]:
    """Where the commune's file still names somebody, each with what to write there."""
    shared = _is_name_shared(commune, agent)
    return [
        f"communes/{commune.slug}.yml, {dotted(path)} : {fix}"
        for path, value in _iter_leaves(commune.data)
        if (fix := _leaf_fix(commune.data, path, value, agent)) and not (shared and path[0] == "postes")
    ]


def _is_name_shared(commune: Commune, agent: Agent) -> bool:
    """Whether somebody else of the commune bears the same name: certificates do not tell them apart."""
    return any(
        as_read(f"{one['prenom']} {one['nom']}") == as_read(agent.name) and one["identifiant"] != agent.login
        for one in _account_holders(commune)
    )


def _account_holders(commune: Commune) -> list[dict[str, str]]:
    """Who has an account by the commune's file: the people of its entities (CCAS…) too."""
    hosted = commune.data.get("entites", [])
    return [one for part in (commune.data, *hosted) for one in part.get("comptes", [])]


def _iter_leaves(value: Any, path: FieldPath = ()) -> Iterator[tuple[FieldPath, Any]]:
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
    if parts is None:
        yield path, value
        return
    for key, inner in parts:
        yield from _iter_leaves(inner, (*path, key))


def _leaf_fix(data: Mapping[str, Any], path: FieldPath, value: Any, agent: Agent) -> str:
    """What to write in a place that names them; empty for one that does not."""
    if path[0] == "postes":
        if path[-1] != "titulaire" or as_read(str(value)) != as_read(agent.name):
            return ""
        certificate = data["postes"][path[1]]["certificats"][path[3]]
        own = certificate["source"] == "groupement"
        return "retirez ce certificat, ou mettez le nom de qui lui succède" + ("" if own else f" ; {_PROVIDER}")
    if not agent.login or value != agent.login:
        return ""
    path = path[2:] if path[0] == "entites" else path
    if path[0] == "comptes":
        return "supprimez cette personne"
    if path[-1] in ("titulaire", "maire"):
        return f"mettez l'identifiant de qui lui succède, à la place de {quote(agent.login)}"
    return f"retirez {quote(agent.login)}, ou mettez qui le remplace"


def mentioned(commune: Commune, inventory: Path, agent: Agent) -> list[str]:
    """What else of the inventory bears their name, and does not hold the departure back."""
    if not agent.name:
        return []
    told = []
    if _is_name_shared(commune, agent):
        told.append(
            f"quelqu'un d'autre s'appelle {agent.name} : ses certificats ne sont pas cherchés. À faire : "
            "fab pki.registre, puis fab pki.revoquer --numero"
        )
    councils = [("", commune.data)]
    councils += [(f"entites[{index}].", one) for index, one in enumerate(commune.data.get("entites", []))]
    for prefix, one in councils:
        if as_read(agent.name) in map(as_read, one.get("deliberations", {}).get("elus", [])):
            told.append(
                f"communes/{commune.slug}.yml, {prefix}deliberations.elus : {agent.name} siège au conseil ; à retirer "
                "si son mandat est fini"
            )
    for path in sorted(inventory.glob("*_vars/**/*.y*ml")):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if f"CN={composed(agent.name)}," in composed(line):
                place = path.relative_to(inventory)
                told.append(f"{place}, ligne {number} : le certificat de {agent.name} y est admis, à retirer")
    return told


def holdings(home: Path, commune: Commune, agent: Agent, accounts: Mapping[str, Mapping[str, Any]]) -> Holdings:
    """Look for all that somebody has.

    Args:
        home: state of the control node.
        commune: theirs.
        agent: who.
        accounts: what applications answered, by profile.

    Raises:
        PkiError: a registry cannot be read.
    """
    found = Holdings({name: dict(one) for name, one in accounts.items() if one})
    pki, access = Authority(home / "pki"), SshAuthority(home / "acces")
    if agent.name and pki.exists and not _is_name_shared(commune, agent):
        mine = [
            {key: str(row[key]) for key in ("serie", "nom", "hote", "fin", "statut")}
            for row in pki.listing()
            if (row["commune"], as_read(row["titulaire"])) == (agent.commune, as_read(agent.name))
        ]
        found.certificates = [one for one in mine if one["statut"] in (VALID, REPLACED)]
        found.revoked = [one for one in mine if one["statut"] == REVOKED]
        found.keys = files.certificate_files(home, mine)
    names = {
        as_read(text)
        for text in (agent.name, agent.login, *(one["courriel"] for one in found.accounts.values()))
        if text
    }
    if access.registry.exists():
        found.accesses = [
            {key: row[key] for key in ("serie", "role", "fin")}
            for row in access.listing()
            if row["etat"] == VALID and as_read(row["qui"]) in names
        ]
    if agent.login:
        first = [home / "secrets" / name / "comptes" / agent.login for name in APPLICATIONS]
        found.passwords = [path for path in first if path.is_file()]
    return found


def recorded(home: Path, agent: Agent) -> Path | None:
    """The last sealed record of somebody's departure."""
    of = (agent.login, agent.name, agent.commune)
    for run in reversed(store.runs(home / record.FOLDER)):
        facts = store.facts_of(run)
        told = facts.get("agent") or {}
        if (told.get("identifiant"), told.get("nom"), told.get("commune")) == of:
            return run
    return None


def seal_departure(
    home: Path, agent: Agent, before: Holdings, done: Sequence[str], environment: str, operator: str, started: str
) -> tuple[Path, str]:
    """Seal the record of a departure: see `record.keep`.

    Args:
        home: state of the control node.
        agent: who left.
        before: what they had.
        done: what was done, in French.
        environment: its name.
        operator: who ran it.
        started: when, ISO 8601.
    """
    told = {
        "environnement": environment,
        "agent": {"identifiant": agent.login, "nom": agent.name, "commune": agent.commune},
        "avant": before.remaining_items(),
        "fait": list(done),
    }
    return record.seal_record(home, operator, started, told, "depart.html.j2")
