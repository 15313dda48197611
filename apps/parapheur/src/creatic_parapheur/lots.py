"""Several dossiers signed at once, by the program of the person's PC: the key stays there, and documents here.

A page makes a lot for who is logged in, and gives a secret to the program by the address that opens it. The program has
no session: a secret serves once, for the list, which comes with another one for what follows. Each document stands
alone: what is refused of one keeps no other, and what was signed stays. A signed file is handed in as by the page
(`circuit.sign`), which judges it in the same way.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import json
import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import islice
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

from creatic_accounts import doors
from creatic_accounts.models import login_of
from cryptography import x509
from django.conf import settings
from django.contrib.auth import get_user
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from creatic_agent.proof import signed_by

from . import circuit
from .configuration import current
from .models import Demande, Dossier, Lot
from .refusal import RefusedError

MAX_LOT_DOCUMENTS = 100  # documents of a lot
TO_FETCH = dt.timedelta(minutes=2)
TO_SIGN = dt.timedelta(minutes=10)  # from the last thing that was done
RETENTION_PERIOD = dt.timedelta(days=1)  # after its end, for its page
PREPARATION_TIMEOUT_SECONDS = 30  # seconds in which documents are prepared, before the program is answered
WAITING_BYTES = 20_000_000  # of all that waits in a lot
_CERTIFICATES, _CERTIFICATE, _SIGNATURE = 10, 10_000, 2_000  # of what the program sends: how many, characters of each
_DONE = ("signe", "refuse")
_LOT_UNAVAILABLE_MESSAGE = (
    "cette demande de signature n'existe pas, a déjà servi, ou a pris fin. À faire : recommencez depuis le parapheur"
)
_SESSION_ENDED_MESSAGE = "votre session au parapheur a pris fin. À faire : identifiez-vous de nouveau, puis recommencez"
_EMPTY_LOT_MESSAGE = "aucun dossier n'est choisi. À faire : cochez ceux que vous voulez signer"
_READ = "ce que le programme de signature a envoyé ne se lit pas. À faire : installez sa dernière version"
_WRONG = (
    "la signature reçue n'est pas de ce document, ou pas de la clé du certificat choisi ; elle n'est pas gardée. À "
    "faire : recommencez depuis le parapheur"
)


def _digest_secret(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


# By the page


def signable(user: Any, dossiers: Sequence[Dossier]) -> list[Dossier]:
    """Of some dossiers, those that somebody may sign: as many as a lot has."""
    known, login = current().communes, login_of(user)
    waiting = (one for one in dossiers if one.etat == "a_signer" and one.commune in known)
    return list(islice((one for one in waiting if login in circuit.awaited(one)), MAX_LOT_DOCUMENTS))


def make(user: Any, session: str, chosen: Mapping[int, int]) -> tuple[Lot, str]:
    """Make a lot, in the place of the one before.

    Args:
        session: key of the session of who asks.
        chosen: numbers of dossiers, each with that of the file that was shown.

    Returns:
        It, and the secret that gives it, once.

    Raises:
        Refused: none of them can be signed; the reason is the first one's.
    """
    if not chosen:
        raise RefusedError(_EMPTY_LOT_MESSAGE)
    if len(chosen) > MAX_LOT_DOCUMENTS:
        raise RefusedError(
            f"{len(chosen)} dossiers sont choisis, {MAX_LOT_DOCUMENTS} au plus à la fois. À faire : signez en deux fois"
        )
    found = [(circuit.find(user, number), document) for number, document in chosen.items()]
    refused: dict[int, str] = {}
    for dossier, document in found:
        try:
            circuit.check_signable(user, dossier, document)
        except RefusedError as refusal:
            refused[dossier.pk] = str(refusal)
    if len(refused) == len(found):
        raise RefusedError(next(iter(refused.values())), 409)
    secret, now = secrets.token_urlsafe(32), timezone.now()
    with transaction.atomic():
        Lot.objects.filter(Q(personne=user) | Q(fin__lt=now - RETENTION_PERIOD)).delete()
        lot = Lot.objects.create(personne=user, session=session, secret=_digest_secret(secret), fin=now + TO_FETCH)
        for dossier, document in found:
            told = refused.get(dossier.pk, "")
            Demande.objects.create(
                lot=lot, dossier=dossier, document=document, etat="refuse" if told else "attente", message=told
            )
    return lot, secret


def address(lot: Lot, secret: str) -> str:
    """What opens the program."""
    return "creatic:signer?" + urlencode({"site": current().url, "lot": lot.cle, "secret": secret})


def own(user: Any, key: uuid.UUID) -> Lot:
    """The lot of somebody. Raises Refused: there is none."""
    found = Lot.objects.filter(pk=key, personne=user).first()
    if found is None:
        raise RefusedError("cette demande de signature n'existe plus, ou une autre l'a remplacée", 404)
    return found


_DEMANDE_STATE_LABELS = {
    "attente": "En attente",
    "pret": "Prêt, en attente de votre clé",
    "signe": "Signé",
    "refuse": "Refusé",
}


def shown(lot: Lot) -> dict[str, Any]:
    """Where a lot is, for the page."""
    now = timezone.now()
    asked = list(lot.demandes.select_related("dossier").defer("attente", "valeurs"))  # asked again and again
    left = [one for one in asked if one.etat not in _DONE]
    return {
        "prise": lot.prise is not None,
        "fini": not left or lot.fin < now,
        "signes": sum(one.etat == "signe" for one in asked),
        "restent": len(left),
        "documents": [
            {
                "dossier": one.dossier_id,
                "titre": _dossier_title(one.dossier),
                "etat": one.etat,
                "dit": "Pas signé : la demande a pris fin"
                if one in left and lot.fin < now
                else _DEMANDE_STATE_LABELS[one.etat],
                "message": one.message,
            }
            for one in asked
        ],
    }


def _dossier_title(dossier: Dossier) -> str:
    return f"{dossier.numero} : {dossier.objet}" if dossier.numero else dossier.objet


# By the program


def _find_lot(key: uuid.UUID, secret: str, *, taken: bool) -> Lot:
    """The lot of a secret, while the session that asked for it lasts.

    Args:
        taken: whether the program had it already: by another secret.
    """
    lot = Lot.objects.filter(pk=key).select_related("personne__known").first()
    known = lot is not None and hmac.compare_digest(lot.secret, _digest_secret(secret))
    if lot is None or not known or lot.fin < timezone.now() or (lot.prise is not None) != taken:
        raise RefusedError(_LOT_UNAVAILABLE_MESSAGE, 403)
    store = import_module(settings.SESSION_ENGINE).SessionStore(lot.session)
    user = get_user(SimpleNamespace(session=store))  # all that it reads of a request
    if user.pk != lot.personne_id or doors.role_of(user, False) is not doors.Role.PERSON:
        raise RefusedError(_SESSION_ENDED_MESSAGE, 403)
    return lot


def fetch(key: uuid.UUID, secret: str) -> dict[str, Any]:
    """Give a lot to the program, once.

    Raises:
        Refused: the secret is not its own, or served already; it ended.
    """
    lot, after = _find_lot(key, secret, taken=False), secrets.token_urlsafe(32)
    now = timezone.now()
    first = Lot.objects.filter(pk=lot.pk, secret=lot.secret, prise=None)
    if not first.update(secret=_digest_secret(after), prise=now, fin=now + TO_SIGN):
        raise RefusedError(_LOT_UNAVAILABLE_MESSAGE, 403)
    files = lot.demandes.filter(etat="attente").select_related("dossier__origine")
    return {
        "site": current().url,
        "personne": circuit.name_of(lot.personne),
        "fin": (now + TO_SIGN).isoformat(timespec="seconds"),
        "suite": after,
        "documents": [
            {
                "dossier": one.dossier_id,
                "titre": _dossier_title(one.dossier),
                "nature": one.dossier.circuit_nom,
                "format": "xades" if one.dossier.circuit == "pes" else "pades",
                "sha256": one.dossier.origine.checksum,
            }
            for one in files
            if one.dossier.origine_id == one.document
        ],
    }


def certify(key: uuid.UUID, secret: str, certificates: Sequence[str]) -> dict[str, Any]:
    """Prepare documents for the key of a certificate; asked again, those that are left.

    Args:
        certificates: PEM, that of the key first.

    Returns:
        `a_signer`, `refus`, and `reste`: how many are to be asked for again, with the same certificates.

    Raises:
        Refused: of all of them.
    """
    lot = _find_lot(key, secret, taken=True)
    given = [one for one in certificates if isinstance(one, str) and len(one) <= _CERTIFICATE]
    if not given or len(given) != len(certificates) or len(given) > _CERTIFICATES:
        raise RefusedError(_READ)
    if lot.certificats and lot.certificats != given:
        raise RefusedError("un autre certificat a été choisi déjà. À faire : recommencez depuis le parapheur", 409)
    Lot.objects.filter(pk=lot.pk).update(certificats=given, fin=timezone.now() + TO_SIGN)
    until, size = time.monotonic() + PREPARATION_TIMEOUT_SECONDS, 0
    for one in lot.demandes.exclude(etat__in=_DONE).select_related("dossier__origine"):
        if one.etat == "attente" and time.monotonic() < until:
            _prepare_document(lot, one, given, size)
        size += len(json.dumps(one.attente))
    asked = list(lot.demandes.all())
    return {
        "a_signer": [
            {"dossier": one.dossier_id, "attributs": data, "empreinte": "sha256"}
            for one in asked
            if one.etat == "pret" and one.attente
            for rank, data in enumerate(one.attente["a_signer"])
            if str(rank) not in one.valeurs
        ],
        "refus": [{"dossier": one.dossier_id, "message": one.message} for one in asked if one.etat == "refuse"],
        "reste": sum(one.etat == "attente" for one in asked),
    }


def _prepare_document(lot: Lot, one: Demande, certificates: Sequence[str], size: int) -> None:
    """Prepare a document, or note why it is not."""
    try:
        if size > WAITING_BYTES:
            raise RefusedError("trop de bordereaux sont à signer à la fois. À faire : signez ce flux à part")
        dossier = circuit.find(lot.personne, one.dossier_id)
        one.attente = circuit.prepare(lot.personne, dossier, one.document, certificates)
        one.etat = "pret"
    except RefusedError as refusal:
        if refusal.status in (429, 503):  # later: it stays, and is asked for again
            return
        one.etat, one.message = "refuse", str(refusal)
    waiting = Demande.objects.filter(pk=one.pk, etat="attente")  # the lot may be gone, for another one
    waiting.update(attente=one.attente, etat=one.etat, message=one.message)


def receive(key: uuid.UUID, secret: str, number: int, signature: str) -> dict[str, Any]:
    """Take what the key did for a document; the same again gives the same answer.

    Args:
        number: of the dossier.
        signature: base64: PKCS #1 v1.5, or ECDSA in DER, over SHA-256.

    Returns:
        `etat`: `signe`, `refuse` with a `message`, or `recu` while others of the document are awaited.

    Raises:
        Refused: of all of them; or later (503, 429), and nothing was changed.
    """
    lot = _find_lot(key, secret, taken=True)
    Lot.objects.filter(pk=lot.pk).update(fin=timezone.now() + TO_SIGN)
    with transaction.atomic():
        one = lot.demandes.select_for_update(of=("self",)).filter(dossier_id=number).first()
        if one is None or one.etat == "attente":
            raise RefusedError(
                "ce dossier n'est pas de ceux qui sont à signer. À faire : recommencez depuis le parapheur", 404
            )
        if one.etat in _DONE:
            return _demande_response(one)
        rank = _find_signature_rank(one, lot.certificats[0], signature)
        if rank is None:
            return _record_refusal(one, _WRONG)
        one.valeurs |= {str(rank): signature}
        one.save(update_fields=["valeurs"])
    if len(one.valeurs) < len(one.attente["a_signer"]):
        return {"etat": "recu", "message": ""}
    return _hand_in(lot, one)


def _hand_in(lot: Lot, one: Demande) -> dict[str, Any]:
    """Put signatures in their document, and hand it in as its person."""

    def kept() -> None:
        Demande.objects.filter(pk=one.pk).update(etat="signe", message="", attente=None)

    values = [one.valeurs[str(rank)] for rank in range(len(one.valeurs))]
    try:
        dossier = circuit.find(lot.personne, one.dossier_id)
        with circuit.finish(lot.personne, dossier, one.document, one.attente, values) as signed:
            circuit.sign(lot.personne, dossier, signed, kept)
    except RefusedError as refusal:
        if refusal.status in (429, 503):
            raise
        return _record_refusal(one, str(refusal))
    return {"etat": "signe", "message": ""}


def _record_refusal(one: Demande, message: str) -> dict[str, Any]:
    """Note a refusal, unless the same was signed meanwhile: asked twice at once, the second comes too late."""
    Demande.objects.filter(pk=one.pk, etat="pret").update(etat="refuse", message=message, attente=None)
    left = Demande.objects.filter(pk=one.pk).first()
    if left is None:
        raise RefusedError(_LOT_UNAVAILABLE_MESSAGE, 403)
    return _demande_response(left)


def _demande_response(one: Demande) -> dict[str, Any]:
    return {"etat": one.etat, "message": one.message}


def _find_signature_rank(one: Demande, certificate: str, signature: str) -> int | None:
    """Which of a document's signatures this is; none when it is of nothing in it, or of another key."""
    try:
        value = base64.b64decode(signature, validate=True) if len(signature) <= _SIGNATURE else b""
    except (binascii.Error, ValueError):
        return None
    key = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    for rank, text in enumerate(one.attente["a_signer"]):
        if signed_by(key, value, base64.b64decode(text)):
            return rank
    return None
