"""Elimination after the retention date, by two persons, with its certificate (`sae-elimination`)."""

from sae.agents import Agent, Trust, trust_of
from sae.elimination.attestation import ATTESTS, OTHERS, Proof, verify_certificate, verify_copies
from sae.elimination.command import main, parties
from sae.elimination.ledger import SCHEMA, Requests
from sae.elimination.rules import CONTAINER, Eliminator
from sae.refusal import OperationRefusedError

__all__ = [
    "ATTESTS",
    "CONTAINER",
    "OTHERS",
    "SCHEMA",
    "Agent",
    "Eliminator",
    "OperationRefusedError",
    "Proof",
    "Requests",
    "Trust",
    "main",
    "parties",
    "trust_of",
    "verify_certificate",
    "verify_copies",
]
