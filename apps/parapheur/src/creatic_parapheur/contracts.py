"""Public contracts: their annexes, a supplier's counter-signature, and what of them goes to the préfecture, by when.

CGCT, R2131-5 lists the pieces of the file that is transmitted, and gives fifteen days from the signature. Which pieces
and how many days are settings: the préfecture may ask for others. A signed contract waits until somebody of the commune
says its amount, or its matter, and that its file is complete: what leaves with it is what is joined then.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, fields
from typing import Any

from django.db import transaction
from django.utils import timezone

from creatic_agent.writing import day_of

from . import circuit, procurement, seal, transmission
from .configuration import current
from .models import CONTRACT, COUNTER, OTHER, Dossier, Piece, label
from .refusal import RefusedError

MAX_DOSSIER_PIECES = 60  # pieces of a dossier
_NAME, _LABEL = 150, 200
_NOT_YET = ("a_controler", "a_viser", "refuse")  # the document may still change
UNSIGNED = (*_NOT_YET, "a_signer")
_UNSENT_STATES = ("a_teletransmettre", "en_erreur")


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
        raise RefusedError("seuls les marchés publics ont des annexes et des contresignatures", 409)
    if not circuit.may_deposit(user, dossier.commune):
        raise RefusedError("seuls les rédacteurs de la commune joignent des pièces", 403)
    if kind not in (*current().contract_pieces, OTHER, COUNTER):
        raise RefusedError("pièce : choisissez dans la liste ce que vous joignez")
    name = circuit.checked_name(upload, "" if kind == COUNTER else CONTRACT)
    _check_state(dossier, kind)
    name = _with_suffix(name, ".pdf" if kind != COUNTER else _signature_suffix(upload))
    document, judged = "", seal.Suppliers([], "")
    if kind == COUNTER:
        document, judged = _check_counter_signature(dossier, name, upload)
    else:
        # By the service that may be lost to a hostile file: nobody else opens it before the préfecture.
        with circuit.asking(dossier.commune):
            seal.check_document(name, upload, contract="piece")
    digest = circuit.sha256(upload)
    with transaction.atomic():
        held = Dossier.objects.select_for_update(of=("self",)).get(pk=dossier.pk)
        _check_state(held, kind)
        if document and document not in (held.origine.checksum, held.fichier.checksum):
            raise RefusedError("le document a changé pendant la vérification. À faire : recommencez", 409)
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


def _check_counter_signature(dossier: Dossier, name: str, upload: Any) -> tuple[str, seal.Suppliers]:
    """SHA-256 of what a supplier signed, and who did. They may have been sent the document before the maire signed."""
    told: RefusedError | None = None
    for one in {one.pk: one for one in (dossier.fichier, dossier.origine)}.values():
        upload.seek(0)
        try:
            with circuit.asking(dossier.commune), one.open() as file:
                return str(one.checksum), seal.check_suppliers(name, file, upload)
        except RefusedError as refusal:
            told = told or refusal
            if refusal.status != 400:
                break
    raise told or RefusedError("le document de ce dossier manque. À faire : prévenez le groupement", 409)


def _check_state(dossier: Dossier, kind: str) -> None:
    if kind == COUNTER and dossier.etat in _NOT_YET:
        raise RefusedError("le contrat n'est pas encore prêt à signer : sa contresignature ne vaudrait rien", 409)
    if kind != COUNTER and dossier.complet:
        raise RefusedError(
            f"le dossier est complet depuis le {timezone.localtime(dossier.complet):%d/%m/%Y} : la préfecture ne "
            "verrait pas cette pièce. À faire : envoyez-la-lui en réponse à sa demande de pièces complémentaires",
            409,
        )


def _check_room(dossier: Dossier, name: str, size: int) -> None:
    """All of it goes to the préfecture in one envelope."""
    if dossier.pieces.count() >= MAX_DOSSIER_PIECES:
        raise RefusedError(f"ce dossier a déjà {MAX_DOSSIER_PIECES} pièces. À faire : réunissez-les", 409)
    there = sum(one.fichier.size or 0 for one in dossier.pieces.select_related("fichier"))
    if there + (dossier.fichier.size or 0) + size > circuit.MAX_BYTES:
        raise RefusedError(
            f"{name} : avec elle, le dossier dépasserait {circuit.MAX_BYTES / 1e6:.0f} Mo, ce que prend le tiers de "
            "télétransmission. À faire : réduisez la résolution des pages numérisées",
            409,
        )


def _signature_suffix(upload: Any) -> str:
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


@dataclass(frozen=True)
class Told:
    """What a rédacteur says of a contract; "" for what they say nothing of, which stays as it was.

    Attributes:
        contrat: its kind (procurement.KINDS).
        montant: in euros without tax, as people write it.
        consultation: when it was begun (AAAA-MM-JJ); the day of the contract where nobody says it.
        matiere: of one that goes, where it is not known.
        numero: the same.
        sans_pieces: "oui" from who read what is lacking.
        vu: what was `shown` to who says it; empty for who was shown nothing.
    """

    contrat: str = ""
    montant: str = ""
    consultation: str = ""
    matiere: str = ""
    numero: str = ""
    sans_pieces: str = ""
    vu: str = ""


CONTRACT_FIELDS = tuple(field.name for field in fields(Told))


def describe(user: Any, dossier: Dossier, told: Told) -> Dossier:
    """Say the kind and the amount of a contract whose file is not complete yet: they tell what it will need.

    Raises:
        Refused: the reason; nothing is kept.
    """
    _check_says(user, dossier)
    with transaction.atomic():
        held = Dossier.objects.select_for_update(of=("self",)).get(pk=dossier.pk)
        _check_described(held)
        said = _apply_description(held, told)
        held.save(update_fields=_DESCRIPTION_COLUMNS)
        circuit.note_beside(held, "Décrire", user, said)
        return held


_DESCRIPTION_COLUMNS = ("contrat", "montant", "consultation")


def _check_says(user: Any, dossier: Dossier) -> None:
    if dossier.circuit != CONTRACT:
        raise RefusedError("seuls les marchés publics et autres contrats ont une sorte et un montant", 409)
    if not circuit.may_deposit(user, dossier.commune):
        raise RefusedError(
            "seuls les rédacteurs de la commune disent ce qu'est un contrat, et que son dossier est complet", 403
        )


def _check_described(held: Dossier) -> None:
    if not describable(held):
        raise RefusedError(f"ce dossier est « {held.etat_nom} » : sa sorte et son montant ne changent plus", 409)


def describable(dossier: Dossier) -> bool:
    """Whether the kind and the amount of a contract may still be said; once it left or ended, what nobody said."""
    if dossier.circuit != CONTRACT:
        return False
    unsaid = dossier.montant is None and (not dossier.contrat or bool(procurement.KINDS[dossier.contrat].data))
    return dossier.a_completer or dossier.etat in UNSIGNED or not dossier.contrat or unsaid


def _apply_description(held: Dossier, told: Told) -> str:
    """Note what is said on a row that the caller holds and saves; gives it in French, for the history."""
    try:
        if told.contrat:
            procurement.kind(told.contrat)
            held.contrat = told.contrat
        if (value := procurement.amount(told.montant)) is not None:
            held.montant = value
        if told.consultation:
            try:
                held.consultation = day_of(told.consultation)
            except ValueError as error:
                raise RefusedError(f"consultation : {error}") from None
            if held.consultation > held.date:
                raise RefusedError(
                    f"consultation : le {held.consultation:%d/%m/%Y} est après le contrat, du {held.date:%d/%m/%Y}"
                )
        procurement.kind(held.contrat)
    except ValueError as error:
        raise RefusedError(str(error)) from None
    since = f", consultation engagée le {held.consultation:%d/%m/%Y}" if held.consultation else ""
    return f"{held.contrat_nom}{f', {held.montant_lu}' if held.montant_lu else ''}{since}"


def said(dossier: Dossier) -> Told:
    """Give what is known of a contract, as it was said."""
    day = dossier.consultation.isoformat() if dossier.consultation else ""
    return Told(dossier.contrat, dossier.montant_lu, day, dossier.matiere, dossier.numero)


def counted(dossier: Dossier) -> dt.date:
    """Day whose threshold counts: that of the consultation, or of the contract where nobody says it."""
    return dossier.consultation or dossier.date


def threshold(dossier: Dossier) -> str:
    """Say the threshold that counts for a contract, in French, with its article and its day."""
    day = counted(dossier)
    return procurement.threshold(day, current().contract_thresholds).said(day)


def complete(user: Any, dossier: Dossier, told: Told) -> Dossier:
    """Say what a signed contract becomes: its file is complete and it goes to the préfecture, with the pieces joined
    so far; or it is not transmitted, and it ends here (CGCT, L2131-2, I, 4°).

    Raises:
        Refused: the reason; nothing is kept.
    """
    _check_says(user, dossier)
    with transaction.atomic():
        held = Dossier.objects.select_for_update(of=("self",)).get(pk=dossier.pk)
        if not held.a_completer:
            raise RefusedError(
                f"ce dossier n'attend pas de pièces : il est « {held.etat_nom} ». Rien n'a été changé", 409
            )
        if told.vu and told.vu != shown(held):
            raise RefusedError(
                "une pièce a été jointe depuis que cette page est ouverte, et partirait avec les autres. À faire : "
                "relisez-les, puis recommencez",
                409,
            )
        said = _apply_description(held, told)
        held.matiere = held.matiere or circuit.matter_of(told.matiere)
        day, periods = counted(held), current().contract_thresholds
        try:
            goes = procurement.goes(held.contrat, held.matiere, held.montant, day, periods)
        except ValueError as error:
            raise RefusedError(f"{error} (CGCT, L2131-2, I, 4°)") from None
        if not goes:
            held.save(update_fields=_DESCRIPTION_COLUMNS)
            circuit.close(user, held, f"{said}. {stays(held)}")
            return held
        if not held.numero or told.numero:
            held.numero = held.numero or told.numero
            if wrong := list(transmission.number_problems(CONTRACT, "", held.numero)):
                raise RefusedError(" ; ".join(wrong))
        lacks = lacking(held)
        if lacks and told.sans_pieces != "oui":
            raise RefusedError(
                f"il manque : {' ; '.join(lacks)} (CGCT, R2131-5). À faire : joignez-les, ou cochez la case qui dit "
                "que la préfecture ne les attend pas pour ce marché"
            )
        held.complet = timezone.now()
        held.save(update_fields=("complet", "matiere", "numero", *_DESCRIPTION_COLUMNS))
        said += f". Pièces jointes : {held.pieces.count()}"
        circuit.note_beside(held, "Compléter", user, f"{said}. Sans : {' ; '.join(lacks)}" if lacks else said)
        return held


def stays(dossier: Dossier) -> str:
    """Say why a contract is not transmitted, in French."""
    found = procurement.kind(dossier.contrat)
    if found.goes is procurement.Goes.THRESHOLD:
        return f"Sous le seuil de {threshold(dossier)} : n'est pas à transmettre"
    return f"N'est pas à transmettre : {found.said}"


def foreseen(dossier: Dossier) -> str:
    """Say what is known of a contract's transmission, in French."""
    day, periods = counted(dossier), current().contract_thresholds
    return procurement.foreseen(dossier.contrat, dossier.matiere, dossier.montant, day, periods)


def kinds(dossier: Dossier) -> list[str]:
    """What may be joined now."""
    return [COUNTER] if dossier.complet else [*current().contract_pieces, OTHER, COUNTER]


def asked(dossier: Dossier) -> list[tuple[str, bool]]:
    """Pieces of the file that is transmitted (R2131-5), and whether each is joined; none of a contract that the article
    does not speak of. Of one whose kind nobody said, as of a public contract."""
    if dossier.circuit != CONTRACT or (dossier.contrat and not procurement.KINDS[dossier.contrat].listed):
        return []
    there = set(dossier.pieces.values_list("genre", flat=True))
    return [(one, one[:_LABEL] in there) for one in current().contract_pieces]


def lacking(dossier: Dossier) -> list[str]:
    """Pieces of that file that are not joined, in French; none while nothing says that it is transmitted."""
    return [one for one, joined in asked(dossier) if not joined] if dossier.matiere else []


def due(dossier: Dossier) -> dt.date | None:
    """By when a signed contract is to be transmitted; None of one that is, or is not to be."""
    if dossier.circuit != CONTRACT or dossier.etat not in _UNSENT_STATES:
        return None
    signed = dossier.gestes.filter(quoi="Signer").last()
    if signed is None:
        return None
    return timezone.localtime(signed.quand).date() + dt.timedelta(days=current().contract_days)


def late(dossier: Dossier) -> bool:
    """Whether that day is over."""
    day = due(dossier)
    return day is not None and day < timezone.localdate()
