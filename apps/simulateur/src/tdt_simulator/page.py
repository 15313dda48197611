"""The page for people: who is connected, with which certificate, and the last acts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, request
from jinja2 import Environment, PackageLoader, StrictUndefined

from . import workflow
from .auth import AuthError, identity_of, visitor
from .faults import FAULTS
from .reports import acts
from .wire import config, store

_LAST_ACTS = 15
_ERRORS = {
    400: ("Requête incorrecte", "Le formulaire envoyé est incomplet ou illisible."),
    404: ("Page introuvable", "Cette adresse n’existe pas sur la plateforme."),
    405: ("Méthode refusée", "Cette adresse ne s’utilise pas de cette façon."),
    500: ("Erreur interne", "La plateforme n’a pas pu traiter la demande."),
}

blueprint = Blueprint("page", __name__)
_templates = Environment(
    loader=PackageLoader("tdt_simulator"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
# Texts shared with the protocol are ISO-8859-1, which lacks the typographic apostrophe.
_templates.filters["apostrophes"] = lambda text: str(text).replace("'", "’")


def _row(act: dict[str, Any]) -> dict[str, Any]:
    moment = datetime.fromisoformat(act["depose_le"])
    return act | {"jour": f"{moment:%d/%m/%Y}", "heure": f"{moment:%H:%M}"}


def error(code: int) -> str:
    """Return the page of an HTTP error."""
    title, message = _ERRORS.get(code, (f"Erreur {code}", "La plateforme n’a pas pu traiter la demande."))
    return _templates.get_template("erreur.html.j2").render(code=code, title=title, message=message)


@blueprint.get("/")
@blueprint.get("/connexion-status")
@blueprint.get("/login.php")
@blueprint.get("/modules/actes/index.php")
@blueprint.get("/modules/helios/index.php")
def index() -> Response:
    """Show who is connected."""
    identity, found, several = identity_of(request), None, False
    try:
        found = visitor(request, config())
    except AuthError as failure:
        several = failure.several
    authority = config().authorities[found.account.siren] if found else None
    days = (identity.not_after - datetime.now(UTC)).days if identity else 0
    body = _templates.get_template("accueil.html.j2").render(
        identity=identity,
        visitor=found,
        authority=authority,
        several=several,
        days=days,
        acts=[_row(act) for act in acts(store(), authority.siren)[:_LAST_ACTS]] if authority else [],
        faults=[FAULTS[name] for name in store().faults() if name in FAULTS],
        states=workflow.STATES,
    )
    status = 200 if found else 403
    answer = Response(body, status=status, mimetype="text/html")
    answer.headers["Cache-Control"] = "no-store"
    return answer
