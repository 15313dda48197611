"""Agents of the archive: who may sign what it does of a person's will, and how one is known by a signature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sae.config import TRUST, ConfigError, section
from sae.refusal import Refused
from sae.signature import SignatureError, Signer, verify


@dataclass(frozen=True)
class Agent:
    """Somebody who may ask for, or approve, an elimination.

    Attributes:
        name: the person; one person with two certificates is one person.
        subject: of the certificate, as RFC 4514 writes it.
        accounts: services versants concerned; empty for all.
    """

    name: str
    subject: str
    accounts: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Trust:
    """Who may sign: authorities, revocation lists (None: not checked), agents."""

    root: Path
    crl: Path | None
    agents: Sequence[Agent]

    def agent(self, document: bytes, signature: bytes, account: str) -> tuple[Agent, Signer]:
        """The agent who signed this document. Raises Refused."""
        try:
            signer = verify(document, signature, self.root, self.crl)
        except SignatureError as error:
            raise Refused(f"signature refusée : {error}") from error
        found = next((agent for agent in self.agents if agent.subject == signer.subject), None)
        if found is None:
            raise Refused(f"« {signer.subject} » n'est pas un agent habilité à éliminer (archive_gateway_agents)")
        if found.accounts and account not in found.accounts:
            raise Refused(f"{found.name} n'est pas habilité pour le compte « {account} »")
        return found, signer


def trust_of(path: Path) -> Trust:
    """Who may sign. Raises ConfigError."""
    given = section(path, "elimination")
    try:
        agents = [
            Agent(str(one["nom"]), str(one["sujet"]), frozenset(one.get("comptes", ())))
            for one in given.get("agents", [])
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} : « elimination.agents » est incorrect ({error}). Relancez le déploiement."
        ) from error
    return Trust(
        root=Path(given.get("autorites") or TRUST),
        crl=Path(given["revocations"]) if given.get("revocations") else None,
        agents=agents,
    )
