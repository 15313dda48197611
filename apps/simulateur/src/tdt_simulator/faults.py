"""Faults that tests and demonstrations turn on: the platform then misbehaves as real ones do."""

from __future__ import annotations

import re
import socket
import time

from flask import Flask, Response, request

from .wire import store

FAULTS = {
    "lent": "chaque réponse attend N secondes (option --secondes)",
    "erreur500": "chaque requête reçoit une erreur 500, rien n'est enregistré",
    "coupure": "la connexion est coupée APRÈS l'enregistrement d'un dépôt : l'émetteur n'a pas la réponse",
    "bloque3": "la préfecture ne répond plus : les envois restent au statut 3 (transmis)",
    "classification": "la plateforme garde une classification périmée tant qu'on n'en demande pas une neuve",
    "anomalie": "la préfecture refuse les envois déposés pendant ce temps (statut -1)",
    "rejet": "la DGFiP refuse dans son acquit le premier élément des flux déposés pendant ce temps",
    "statut4": "la plateforme met au statut 4 (acquitté), non 8, les flux déposés pendant ce temps",
    "panne": "la plateforme ne répond plus : toutes les connexions sont coupées",
}
CUT_LOCATION = "/.coupure"
"""Internal address on which nginx drops the client's connection."""

_DEPOSITS = ("/actes_transac_create.php", "/actes_transac_reponse_create.php", "/helios_importer_fichier.php")
_RECORDED = re.compile(rb"\AOK\b|<resultat>OK</resultat>")
"""How the answer to a deposit says that it is recorded: ACTES, then Helios. A refusal may name a file BOOK.pdf."""


def cut() -> Response:
    """Close the client's connection without an answer."""
    connection = request.environ.get("werkzeug.socket")
    if isinstance(connection, socket.socket):  # the test server; behind nginx, nginx holds the connection
        connection.shutdown(socket.SHUT_RDWR)
        return Response(status=500)
    return Response(headers={"X-Accel-Redirect": CUT_LOCATION})


def _before() -> Response | None:
    keeper = store()
    if keeper.strike("panne", request.path):
        return cut()
    slow = keeper.strike("lent", request.path)
    if slow:
        time.sleep(slow.value or 0)
    if keeper.strike("erreur500", request.path):
        return Response("Erreur interne du serveur", status=500, mimetype="text/plain")
    return None


def _after(answer: Response) -> Response:
    recorded = request.path.endswith(_DEPOSITS) and _RECORDED.search(answer.get_data())
    if recorded and store().strike("coupure", request.path):
        return cut()
    return answer


def install(app: Flask, spared: str) -> None:
    """Make the application obey the faults, but for the addresses that begin with `spared`."""
    app.before_request(lambda: None if request.path.startswith(spared) else _before())
    app.after_request(_after)
