"""The REST API: what the gateway asks, and the steps of people, under the same rules as the pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import FileResponse
from django.utils import timezone
from rest_framework import parsers
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from . import circuit, contracts
from .models import Dossier, described
from .refusal import RefusedError

_MAX_LISTED_DOSSIERS = 1000  # dossiers in an answer
_MAX_NUMBER_DIGITS = 19  # of a number that the database holds


def shown(dossier: Dossier) -> dict[str, Any]:
    """A dossier as JSON."""
    return {
        "id": dossier.pk,
        "reference": dossier.reference,
        "commune": dossier.commune,
        "circuit": dossier.circuit,
        "objet": dossier.objet,
        "numero": dossier.numero,
        "matiere": dossier.matiere,
        "nature": dossier.nature,
        "transmission": dossier.transmission,
        "date": dossier.date.isoformat(),
        "echeance": dossier.echeance.isoformat() if dossier.echeance else None,
        "etat": dossier.etat,
        "depuis": timezone.localtime(dossier.depuis).isoformat(timespec="seconds"),
        "par": dossier.par,
        "motif": dossier.motif,
        "signataire": dossier.signataire_nom,
        "sha256": dossier.fichier.checksum,
        "sha256_origine": dossier.origine.checksum,
        "complet": not dossier.a_completer,
        "contrat": dossier.contrat,
        "montant": None if dossier.montant is None else str(dossier.montant),
    }


class _View(APIView):
    """An answer of the API; a refusal is its message, in French."""

    permission_classes = (IsAuthenticated,)
    parser_classes = (parsers.JSONParser, parsers.MultiPartParser, parsers.FormParser)
    schema = None

    def handle_exception(self, exc: Exception) -> Response:
        """Say why."""
        if isinstance(exc, RefusedError):
            return Response({"message": str(exc)}, status=exc.status)
        return super().handle_exception(exc)

    def text(self, name: str) -> str:
        """A field of the request, as text."""
        value = self.request.data.get(name)
        return "" if value is None else str(value).strip()


class Dossiers(_View):
    """The list of dossiers, and deposits."""

    def get(self, request: Any) -> Response:
        """Dossiers that one may see, the oldest state first; at most a thousand, `suite` says that there are more.

        With `apres`, a dossier's number (0 to begin), those above it in the order of numbers: page after page, all.
        """
        found = circuit.visible(request.user).select_related("origine", "fichier")
        for name in ("etat", "reference", "commune", "circuit"):
            if name in request.query_params:
                found = found.filter(**{name: request.query_params[name]})
        if "apres" in request.query_params:
            after = request.query_params["apres"]
            if not (after.isascii() and after.isdecimal() and len(after) < _MAX_NUMBER_DIGITS):
                raise RefusedError(f"apres : « {after[:40]} » n'est pas un numéro de dossier")
            found = found.filter(pk__gt=int(after)).order_by("pk")
        some = list(found[: _MAX_LISTED_DOSSIERS + 1])
        return Response(
            {"results": [shown(one) for one in some[:_MAX_LISTED_DOSSIERS]], "suite": len(some) > _MAX_LISTED_DOSSIERS}
        )

    def post(self, request: Any) -> Response:
        """Bring a document and its annexes; C(sha256) is that of the circuit's: the door may have written it again."""
        brought = circuit.Deposit(**{name: self.text(name) for name in circuit.DEPOSIT_FIELDS})
        annexes = request.FILES.getlist("annexe")
        dossier, new = circuit.deposit(request.user, brought, request.FILES.get("fichier"), annexes)
        told = {"id": dossier.pk, "etat": dossier.etat, "sha256": dossier.origine.checksum}
        return Response(told, status=201 if new else 200)


class OneDossier(_View):
    """One dossier."""

    def get(self, request: Any, number: int) -> Response:
        """Show it."""
        return Response(shown(circuit.find(request.user, number)))


class LastFile(_View):
    """The last file of a dossier, byte for byte."""

    def get(self, request: Any, number: int) -> FileResponse:
        """Give it."""
        file = circuit.find(request.user, number).fichier
        return FileResponse(file.open(), as_attachment=True, filename=file.filename, content_type=file.mimetype)


class History(_View):
    """What was done in a dossier: the visas, the signature, who stood in for whom. It proves the act, later."""

    def get(self, request: Any, number: int) -> Response:
        """Give it."""
        return Response(described(circuit.find(request.user, number).document)["dossier"])


class Pieces(_View):
    """Annexes and counter-signatures of a contract."""

    def get(self, request: Any, number: int) -> Response:
        """List them, and what the file of R2131-5 still lacks; `transmis` are those that the préfecture takes (PDF)."""
        dossier = circuit.find(request.user, number)
        day = contracts.due(dossier)
        listed = [
            {
                "id": one.pk,
                "genre": one.genre,
                "nom": one.nom,
                "sha256": one.empreinte,
                "signataires": one.signataires,
                "verdict": one.verdict,
                "perimee": one.perimee,
                "apres_signature": one.apres,
                "transmis": one.transmis,
            }
            for one in dossier.pieces.select_related("dossier__origine", "dossier__fichier")
        ]
        told = {"results": listed, "manquent": contracts.lacking(dossier), "avant": day.isoformat() if day else None}
        return Response(told)

    def post(self, request: Any, number: int) -> Response:
        """Join one."""
        dossier = circuit.find(request.user, number)
        made = contracts.add(request.user, dossier, self.text("genre"), request.FILES.get("fichier"))
        return Response({"id": made.pk, "verdict": made.verdict}, status=201)


class OnePiece(_View):
    """A piece, byte for byte."""

    def get(self, request: Any, number: int, piece: int) -> FileResponse:
        """Give it."""
        found = circuit.find(request.user, number).pieces.filter(pk=piece).first()
        if found is None:
            raise RefusedError("cette pièce n'existe pas", 404)
        return FileResponse(
            found.fichier.open(), as_attachment=True, filename=found.nom, content_type=found.fichier.mimetype
        )


class State(_View):
    """What became of a signed document."""

    def post(self, request: Any, number: int) -> Response:
        """Note it."""
        dossier = circuit.find(request.user, number)
        dossier = circuit.follow(request.user, dossier, self.text("etat"), self.text("motif"))
        return Response({"id": dossier.pk, "etat": dossier.etat})


class Act(_View):
    """What a person does in a dossier."""

    def post(self, request: Any, number: int, wish: str) -> Response:
        """Do it."""
        user, dossier = request.user, circuit.find(request.user, number)
        upload = request.FILES.get("fichier")
        acts: dict[str, Callable[[], Dossier]] = {
            "controler": lambda: circuit.approve(user, dossier, "a_controler"),
            "viser": lambda: circuit.approve(user, dossier, "a_viser"),
            "signer": lambda: circuit.sign(user, dossier, upload),
            "refuser": lambda: circuit.refuse(user, dossier, self.text("motif"), self.text("etat")),
            "reprendre": lambda: circuit.take_up(
                user, dossier, upload, self.text("signataire"), self.text("mention_verifiee")
            ),
            "completer": lambda: contracts.complete(
                user, dossier, contracts.Told(**{name: self.text(name) for name in contracts.CONTRACT_FIELDS})
            ),
        }
        done = acts[wish]()
        return Response({"id": done.pk, "etat": done.etat})
