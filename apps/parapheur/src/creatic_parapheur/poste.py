"""What the program of PCs asks: it has no session, and proves itself by the secrets of its lot (lots.py), in a header
that nothing logs.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import JsonResponse
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import View

from . import lots
from .refusal import RefusedError

_MAX_REQUEST_BYTES = 1 << 17  # bytes of a request
_BEARER = "Bearer "


@method_decorator([csrf_exempt, login_not_required], name="dispatch")
class _View(View):
    """An answer in JSON, that nothing keeps; a refusal is its message, in French."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Answer."""
        try:
            answer = super().dispatch(request, *args, **kwargs)
        except RefusedError as refusal:
            answer = JsonResponse({"message": str(refusal)}, status=refusal.status)
            if refusal.status in (429, 503):
                answer["Retry-After"] = "5"
        answer["Cache-Control"] = "no-store"
        return answer

    def secret(self) -> str:
        """The secret of the request."""
        given: str = self.request.headers.get("Authorization", "")
        return given.removeprefix(_BEARER).strip() if given.startswith(_BEARER) else ""

    def told(self) -> dict[str, Any]:
        """What the program sent. Raises Refused."""
        length = str(self.request.headers.get("Content-Length", ""))
        if not (length.isascii() and length.isdecimal() and int(length) <= _MAX_REQUEST_BYTES):
            raise RefusedError("la demande est trop longue", 413)
        try:
            found = json.loads(self.request.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise RefusedError("la demande n'est pas du JSON")
        return found


class Fetch(_View):
    """A lot, once."""

    def get(self, _request: Any, lot: uuid.UUID) -> JsonResponse:
        """Give it."""
        return JsonResponse(lots.fetch(lot, self.secret()))


class Certify(_View):
    """The certificate that signs a lot."""

    def post(self, _request: Any, lot: uuid.UUID) -> JsonResponse:
        """Give what its key has to sign."""
        given = self.told().get("certificats")
        return JsonResponse(lots.certify(lot, self.secret(), given if isinstance(given, list) else []))


class Receive(_View):
    """What the key did."""

    def post(self, _request: Any, lot: uuid.UUID) -> JsonResponse:
        """Take it."""
        told = self.told()
        number, signature = told.get("dossier"), told.get("signature")
        if not isinstance(number, int) or not isinstance(signature, str):
            raise RefusedError("dossier et signature sont attendus")
        return JsonResponse(lots.receive(lot, self.secret(), number, signature))
