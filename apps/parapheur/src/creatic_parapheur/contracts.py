"""Public contracts: their annexes, a supplier's counter-signature, and what of them goes to the préfecture, by when.

CGCT, R2131-5 lists the pieces of the file that is transmitted, and gives fifteen days from the signature. Which pieces
and how many days are settings: the préfecture may ask for others. A signed contract waits until somebody of the commune
says its amount, or its matter, and that its file is complete: what leaves with it is what is joined then.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import transaction
from django.utils import timezone

from . import circuit, seal, transmission
from .configuration import current
from .models import CONTRACT, COUNTER, OTHER, Dossier, Piece, label
from .refusal import Refused

MOST = 60  # pieces of a dossier
_NAME, _LABEL = 150, 200
_NOT_YET = ("a_controler", "a_viser", "refuse")  # the document may still change
_WAITING = ("a_teletransmettre", "en_erreur")


@circuit.limited
def add(user: Any, dossier: Dossier, kind: str, upload: Any) -> Piece:
    """Keep an annex, or a supplier's counter-signature, with a contract.

    A counter-signature is judged now: a signed copy (PDF) of the dossier's last file or of the document to sign, or a
    detached signature of one of them.

    Args:
        kind: label of one of the file's pieces, `OTHER`, or `COUNTER`.

    Raises:
        Refused: the reason; nothing is kept.
    """
    if dossier.circuit != CONTRACT:
        raise Refused("seuls les marchés publics ont des annexes et des contresignatures", 409)
    if not circuit.may_deposit(user, dossier.commune):
        raise Refused("seuls les rédacteurs de la commune joignent des pièces", 403)
    if kind not in (*current().contract_pieces, OTHER, COUNTER):
        raise Refused("pièce : choisissez dans la liste ce que vous joignez")
    name = circuit.checked_name(upload, "" if kind == COUNTER else CONTRACT)
    _check_state(dossier, kind)
    name = _with_suffix(name, ".pdf" if kind != COUNTER else _suffix(upload))
    document, judged = "", seal.Suppliers([], "")
    if kind == COUNTER:
        document, judged = _judged(dossier, name, upload)
    else:
        # By the service that may be lost to a hostile file: nobody else opens it before the préfecture.
        with circuit.asking(dossier.commune):
            seal.check_document(name, upload, contract="piece")
    digest = circuit.sha256(upload)
    with transaction.atomic():
        held = Dossier.objects.select_for_update(of=("self",)).get(pk=dossier.pk)
        _check_state(held, kind)
        if document and document not in (held.origine.checksum, held.fichier.checksum):
            raise Refused("le document a changé pendant la vérification. À faire : recommencez", 409)
        if known := held.pieces.filter(genre=kind[:_LABEL], empreinte=digest, document=document).first():
            return known
        _check_room(held, name, upload.size)
        made = Piece.objects.create(
            dossier=held,
            genre=kind[:_LABEL],
            nom=name,
            fichier=circuit.add_beside(held.document, name, upload, user, label(kind)),
            empreinte=digest,
            document=document,
            signataires=", ".join(one.holder for one in judged.people)[:200],
            verdict=judged.shown,
            compte=user.pk,
            par=circuit.name_of(user),
        )
        said = f"{label(kind)} : {name} (SHA-256 {digest})"
        circuit.note_beside(held, "Joindre", user, f"{said}. {judged.shown}" if judged.shown else said)
        return made


def _judged(dossier: Dossier, name: str, upload: Any) -> tuple[str, seal.Suppliers]:
    """SHA-256 of what a supplier signed, and who did. They may have been sent the document before the maire signed."""
    told: Refused | None = None
    for one in {one.pk: one for one in (dossier.fichier, dossier.origine)}.values():
        upload.seek(0)
        try:
            with circuit.asking(dossier.commune), one.open() as file:
                return str(one.checksum), seal.check_suppliers(name, file, upload)
        except Refused as refusal:
            told = told or refusal
            if refusal.status != 400:
                break
    raise told or Refused("le document de ce dossier manque. À faire : prévenez le groupement", 409)


def _check_state(dossier: Dossier, kind: str) -> None:
    if kind == COUNTER and dossier.etat in _NOT_YET:
        raise Refused("le contrat n'est pas encore prêt à signer : sa contresignature ne vaudrait rien", 409)
    if kind != COUNTER and dossier.complet:
        raise Refused(
            f"le dossier est complet depuis le {timezone.localtime(dossier.complet):%d/%m/%Y} : la préfecture ne "
            "verrait pas cette pièce. À faire : envoyez-la-lui en réponse à sa demande de pièces complémentaires",
            409,
        )


def _check_room(dossier: Dossier, name: str, size: int) -> None:
    """All of it goes to the préfecture in one envelope."""
    if dossier.pieces.count() >= MOST:
        raise Refused(f"ce dossier a déjà {MOST} pièces. À faire : réunissez-les", 409)
    there = sum(one.fichier.size or 0 for one in dossier.pieces.select_related("fichier"))
    if there + (dossier.fichier.size or 0) + size > circuit.MAX_BYTES:
        raise Refused(
            f"{name} : avec elle, le dossier dépasserait {circuit.MAX_BYTES / 1e6:.0f} Mo, ce que prend le tiers de "
            "télétransmission. À faire : réduisez la résolution des pages numérisées",
            409,
        )


def _suffix(upload: Any) -> str:
    """Of a counter-signature, by its content: the signed PDF, or a detached signature (XAdES, CAdES)."""
    upload.seek(0)
    head = upload.read(1024)
    upload.seek(0)
    if b"%PDF-" in head and head[:1] != b"0":  # an ASN.1 sequence, which may hold one
        return ".pdf"
    return ".xml" if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<") else ".p7s"


def _with_suffix(name: str, suffix: str) -> str:
    """What a file is, is told by its content: its name says it too."""
    return name if name.lower().endswith(suffix) else name[: _NAME - len(suffix)] + suffix


def shown(dossier: Dossier) -> str:
    """What stands for the document and the pieces that a page shows, in their order."""
    pieces = dossier.pieces.order_by("pk").values_list("pk", flat=True)
    return f"{dossier.fichier_id}:{','.join(map(str, pieces))}"


def complete(
    user: Any,
    dossier: Dossier,
    without: str = "",
    amount: str = "",
    matter: str = "",
    number: str = "",
    *,
    seen: str = "",
) -> Dossier:
    """Say what a signed contract becomes: its file is complete and it goes to the préfecture, with the pieces joined
    so far; or its amount is under the threshold, and it ends here (CGCT, L2131-2, I, 4°).

    Args:
        without: "oui" from who read what is lacking.
        amount: in euros without tax, where it is not known.
        matter: where it is not known, of one that goes.
        number: the same.
        seen: what was `shown` to who says it; empty for who was shown nothing.

    Raises:
        Refused: the reason.
    """
    if not circuit.may_deposit(user, dossier.commune):
        raise Refused("seuls les rédacteurs de la commune disent que le dossier d'un marché est complet", 403)
    with transaction.atomic():
        held = Dossier.objects.select_for_update(of=("self",)).get(pk=dossier.pk)
        if not held.a_completer:
            raise Refused(f"ce dossier n'attend pas de pièces : il est « {held.etat_nom} ». Rien n'a été changé", 409)
        if seen and seen != shown(held):
            raise Refused(
                "une pièce a été jointe depuis que cette page est ouverte, et partirait avec les autres. À faire : "
                "relisez-les, puis recommencez",
                409,
            )
        threshold = current().contract_threshold
        try:
            if (told := transmission.amount(amount)) is not None:
                held.montant = told
            held.matiere = held.matiere or circuit.matter_of(matter)
            goes = transmission.contract_goes(held.matiere, held.montant, threshold)
        except ValueError as error:
            raise Refused(f"{error} (CGCT, L2131-2, I, 4°)") from None
        said = f"Montant : {transmission.euros(held.montant)}. " if held.montant is not None else ""
        if not goes:
            circuit.close(user, held, f"{said}Sous le seuil de {threshold} : n'est pas à transmettre")
            return held
        if not held.numero or number:
            held.numero = held.numero or number
            if wrong := list(transmission.number_problems(CONTRACT, "", held.numero)):
                raise Refused(" ; ".join(wrong))
        lacks = lacking(held)
        if lacks and without != "oui":
            raise Refused(
                f"il manque : {' ; '.join(lacks)} (CGCT, R2131-5). À faire : joignez-les, ou cochez la case qui dit "
                "que la préfecture ne les attend pas pour ce marché"
            )
        held.complet = timezone.now()
        held.save(update_fields=["complet", "montant", "matiere", "numero"])
        said += f"Pièces jointes : {held.pieces.count()}"
        circuit.note_beside(held, "Compléter", user, f"{said}. Sans : {' ; '.join(lacks)}" if lacks else said)
        return held


def kinds(dossier: Dossier) -> list[str]:
    """What may be joined now."""
    return [COUNTER] if dossier.complet else [*current().contract_pieces, OTHER, COUNTER]


def lacking(dossier: Dossier) -> list[str]:
    """Pieces of the file of R2131-5 that are not joined, in French; none while nothing says that it is transmitted."""
    if dossier.circuit != CONTRACT or not dossier.matiere:
        return []
    there = set(dossier.pieces.values_list("genre", flat=True))
    return [one for one in current().contract_pieces if one[:_LABEL] not in there]


def due(dossier: Dossier) -> dt.date | None:
    """By when a signed contract is to be transmitted; None of one that is, or is not to be."""
    if dossier.circuit != CONTRACT or dossier.etat not in _WAITING:
        return None
    signed = dossier.gestes.filter(quoi="Signer").last()
    if signed is None:
        return None
    return timezone.localtime(signed.quand).date() + dt.timedelta(days=current().contract_days)


def late(dossier: Dossier) -> bool:
    """Whether that day is over."""
    day = due(dossier)
    return day is not None and day < timezone.localdate()
