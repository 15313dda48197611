"""The documents of an act that the archive eliminated go from here too, whole: files, names, metadata, history.

The passerelle alone asks, act by act, with what it knows of it; nothing else in Mayan gives its account the right to
delete. What nobody filed for that act is not found, so not touched; documents of another commune are never looked at.
Code du patrimoine, L212-2 and R212-14: the visa was given for the archive, before (role archive_gateway).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models.signals import pre_save
from mayan.apps.documents.models import Document, DocumentType
from rest_framework.permissions import BasePermission
from rest_framework.response import Response
from rest_framework.views import APIView

from . import guard, remise
from .models import login_of

log = logging.getLogger(__name__)
SERVICE = "passerelle"
FINDERS: list[Callable[[Asked], Iterable[Any]]] = []
"""What finds more documents of an act: an application adds its own when it is ready. One raises ValueError, in French,
for an act that cannot have been archived: nothing of it is deleted."""
BEFORE: list[Callable[[Any], None]] = []
"""What takes away what holds a document, in the transaction that deletes it."""
MAX_ACT_MARKS = 200  # marks, or digests, of an act
# The end of the passerelle's marks, in the description of what it files (passerelle's handovers).
MARKED = r" [a-p]{24}$"


@dataclass(frozen=True)
class Asked:
    """An act to eliminate.

    Attributes:
        commune: short name.
        siren: of the commune, with which the labels of its types end; empty of one that the passerelle no longer knows.
        reference: of the act in the chain.
        marks: whole descriptions of the documents that the passerelle filed of it.
        digests: SHA-256 of files that are this act's and no other's.
    """

    commune: str
    siren: str
    reference: str
    marks: frozenset[str]
    digests: frozenset[str]


def asked_of(given: Any) -> Asked:
    """What a request says. Raises ValueError, in French."""
    if not isinstance(given, dict):
        raise ValueError("un objet JSON est attendu")
    texts = {key: str(given.get(key) or "") for key in ("commune", "reference", "siren")}
    if not texts["commune"] or not texts["reference"]:
        raise ValueError("commune et reference sont attendus")
    if not re.fullmatch(r"([0-9]{9})?", texts["siren"]):
        raise ValueError("siren : neuf chiffres sont attendus")
    lists: dict[str, frozenset[str]] = {}
    for key, pattern in (("marques", r"\S+ [a-p]{24}"), ("sha256", r"[0-9a-f]{64}")):
        value = given.get(key) or []
        if (
            not isinstance(value, list)
            or len(value) > MAX_ACT_MARKS
            or not all(re.fullmatch(pattern, str(one)) for one in value)
        ):
            raise ValueError(f"{key} : une liste de {MAX_ACT_MARKS} valeurs au plus est attendue")
        lists[key] = frozenset(map(str, value))
    if any(one.partition(" ")[0] != texts["reference"] for one in lists["marques"]):
        raise ValueError("marques : l'une d'elles est celle d'un autre acte")
    return Asked(texts["commune"], texts["siren"], texts["reference"], lists["marques"], lists["sha256"])


def keep_marks(sender: Any, instance: Any, **_options: Any) -> None:
    """Before a document is written: a mark says what goes with an act, so nobody but who files acts writes one, or
    takes one away. Whoever copied it to another document's description would have that one deleted with the act."""
    request = guard.asking()
    if request is None or login_of(getattr(request, "user", None)) == SERVICE:
        return
    stored = Document.objects.filter(pk=instance.pk).values_list("description", flat=True).first() or ""
    if stored != instance.description and any(re.search(MARKED, one or "") for one in (stored, instance.description)):
        raise guard.ChangeDeniedError(
            f"« {instance} », la description : c'est la marque d'un acte que la passerelle a classé, avec lequel ce "
            "document sera éliminé. À faire : laissez-la telle quelle ; ce que vous avez à dire de lui va dans ses "
            "métadonnées"
        )


def keep() -> None:
    """Keep marks."""
    pre_save.connect(keep_marks, sender=Document, dispatch_uid="creatic_accounts.keep_marks")


def documents(asked: Asked) -> list[Any]:
    """Documents of an act, those of the bin too. Raises ValueError, in French: it cannot have been archived."""
    types = DocumentType.objects.filter(remise.own(asked.siren)) if asked.siren else DocumentType.objects.none()
    own = Document.objects.filter(document_type__in=types)
    found = {one.pk: one for one in own.filter(description__in=asked.marks)}
    # Somebody may have filed the same file by hand; a mark of another act says that it is another act's.
    same = own.filter(files__checksum__in=asked.digests).exclude(description__regex=MARKED).distinct()
    for one in same:
        if set(one.files.values_list("checksum", flat=True)) <= asked.digests:
            found[one.pk] = one
    for more in FINDERS:
        found |= {one.pk: one for one in more(asked)}
    return [found[key] for key in sorted(found)]


def eliminate(asked: Asked, user: Any) -> int:
    """Delete them for good, one after the other; gives how many. Cut short, it is asked again."""
    gone = 0
    for document in documents(asked):
        with transaction.atomic():
            for before in BEFORE:
                before(document)
            document._event_actor = user
            document.delete(to_trash=False)
        gone += 1
    return gone


class _Passerelle(BasePermission):
    def has_permission(self, request: Any, view: Any) -> bool:
        return login_of(request.user) == SERVICE


class Eliminations(APIView):
    """What the passerelle asks."""

    permission_classes = (_Passerelle,)
    schema = None

    def post(self, request: Any) -> Response:
        """Delete the documents of an act; with `essai`, only say how many there are."""
        try:
            asked = asked_of(request.data)
            if request.data.get("essai"):
                return Response({"nombre": len(documents(asked))})
            gone = eliminate(asked, request.user)
        except ValueError as error:
            return Response({"message": f"Élimination : {error}. Rien n'a été supprimé."}, status=400)
        if gone:
            demande = re.sub(r"[^0-9a-f-]", "", str(request.data.get("demande") or ""))[:36]
            log.warning("élimination %s : %d documents de %s supprimés", demande, gone, asked.commune)
        return Response({"nombre": gone})
