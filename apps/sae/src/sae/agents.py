"""Agents of the archive: who may sign what it does of a person's will, and how one is known by a signature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from creatic_agent.configuration import Key, SomePath, section
from sae.config import TRUST
from sae.refusal import OperationRefusedError
from sae.signature import SignatureError, Signer, verify


@dataclass(frozen=True)
class Agent:
    """Somebody who may ask for, or approve, an elimination.

    Attributes:
        name: the person; one person with two certificates is one person.
        subject: of the certificate, as RFC 4514 writes it.
        accounts: services versants concerned; empty for all.
    """

    name: Annotated[str, Key("nom")]
    subject: Annotated[str, Key("sujet")]
    accounts: Annotated[frozenset[str], Key("comptes")] = frozenset()


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
            raise OperationRefusedError(f"signature refusée : {error}") from error
        found = next((agent for agent in self.agents if agent.subject == signer.subject), None)
        if found is None:
            raise OperationRefusedError(
                f"« {signer.subject} » n'est pas un agent habilité à éliminer (archive_gateway_agents)"
            )
        if found.accounts and account not in found.accounts:
            raise OperationRefusedError(f"{found.name} n'est pas habilité pour le compte « {account} »")
        return found, signer


@dataclass(frozen=True)
class EliminationSettings:
    """`elimination` of the configuration."""

    root: Annotated[SomePath, Key("autorites")] = None
    crl: Annotated[SomePath, Key("revocations")] = None
    agents: list[Agent] = field(default_factory=list)
    certificate: Annotated[Path, Key("certificat")] = Path("/etc/creatic/pki/attestation/current")
    verifier: Annotated[Path, Key("verificateur")] = Path("/run/sae-signature.sock")
    durations: Annotated[str, Key("durees")] = ""

    @classmethod
    def from_path(cls, path: Path) -> EliminationSettings:
        """Raises ConfigError."""
        return section(path, "elimination", cls)

    def trust(self) -> Trust:
        """Who may sign."""
        return Trust(self.root or TRUST, self.crl, self.agents)


def trust_of(path: Path) -> Trust:
    """Who may sign. Raises ConfigError."""
    return EliminationSettings.from_path(path).trust()
