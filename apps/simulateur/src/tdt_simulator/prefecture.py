"""The préfecture behind the platform: what it sends on its own."""

from __future__ import annotations

from creatic_agent.errors import CreaticError

from . import clock, messages, pdf, workflow
from .store import Attachment, Store
from .workflow import Kind

LETTERS = {
    "courrier": (Kind.COURRIER_SIMPLE, "Courrier simple"),
    "pieces": (Kind.DEMANDE_PIECES, "Demande de pièces complémentaires"),
    "observations": (Kind.LETTRE_OBSERVATIONS, "Lettre d'observations"),
    "defere": (Kind.DEFERE, "Déféré au tribunal administratif"),
}


class PrefectureError(CreaticError, cause="prefecture"):
    """The préfecture cannot write; the text says why, in French."""


def write_letter(store: Store, act_id: int, kind_name: str, reason: str) -> int:
    """Make the préfecture write about an act; return the transaction of the letter.

    Args:
        kind_name: a key of LETTERS.

    Raises:
        PrefectureError: no such act, or the préfecture has not acknowledged it.
    """
    act = store.transaction(act_id)
    if act is None or act.kind != Kind.ACTE:
        raise PrefectureError(f"la transaction {act_id} n'est pas un acte connu")
    if act.reached(workflow.ACKNOWLEDGED) is None:
        raise PrefectureError(f"la préfecture n'a pas encore reçu l'acte {act_id} (statut « {act.status_name} »)")
    kind, title = LETTERS[kind_name]
    today, identifier, authority = clock.today(), act.row["unique_id"], act.authority
    base = f"{identifier}-{int(kind)}-1"
    document = f"{base}_1.pdf"
    content = pdf.letter("Préfecture du Nord", authority.nom, f"{title} : acte {identifier}", today, reason)
    message = messages.letter(kind, identifier, today, reason, document)
    return store.add(
        authority.siren,
        "prefecture",
        kind,
        [
            Attachment(f"{base}_0.xml", "", "text/xml", store.receive_bytes(message)),
            Attachment(document, "", "application/pdf", store.receive_bytes(content)),
        ],
        related_id=act.id,
        number=act.row["number"],
        subject=act.row["subject"],
        decision_date=today.isoformat(),
        unique_id=identifier,
    )
