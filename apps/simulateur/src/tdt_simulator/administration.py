"""Administration over HTTP for tests: only from the host itself, never through nginx."""

from __future__ import annotations

from flask import Blueprint, Response, abort, request

from .faults import FAULTS
from .reports import acts
from .wire import as_json, store

PREFIX = "/_simulateur"

blueprint = Blueprint("administration", __name__, url_prefix=PREFIX)


@blueprint.before_request
def _only_loopback() -> None:
    # nginx talks over a unix socket (no address); the test server always has a client certificate.
    if request.environ.get("REMOTE_ADDR") != "127.0.0.1" or "SSL_CLIENT_CERT" in request.environ:
        abort(404)


@blueprint.get("/actes")
def list_acts() -> Response:
    """Return all the acts."""
    return as_json(acts(store(), request.args.get("siren"), request.args.get("numero")))


@blueprint.get("/fautes")
def list_faults() -> Response:
    """Return the faults that are on."""
    return as_json(
        {
            fault.name: {"secondes": fault.value, "fois": fault.remaining, "sur": fault.target}
            for fault in store().faults().values()
        }
    )


@blueprint.put("/fautes/<name>")
def set_fault(name: str) -> Response:
    """Turn a fault on (query: secondes, fois, sur)."""
    if name not in FAULTS:
        abort(404)
    store().set_fault(
        name,
        value=request.args.get("secondes", type=float),
        times=request.args.get("fois", type=int),
        target=request.args.get("sur", ""),
    )
    return list_faults()


@blueprint.delete("/fautes", defaults={"name": None})
@blueprint.delete("/fautes/<name>")
def clear_faults(name: str | None) -> Response:
    """Turn a fault off, or all of them."""
    store().clear_faults(name)
    return list_faults()
