"""The WSGI application: the addresses of S²LOW, a page for people, an administration for tests."""

from __future__ import annotations

import os
from pathlib import Path

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from . import actes, administration, faults, helios, page, session
from .config import Config, load
from .store import Store

CONFIG_VARIABLE = "TDT_SIMULATOR_CONFIG"
DEFAULT_CONFIG = "/etc/tdt-simulator/config.json"


def create_app(config: Config) -> Flask:
    """Build the application on a configuration."""
    app = Flask(__name__, static_folder=None)
    app.extensions["tdt_store"] = Store(config)
    for module in (session, actes, helios, page, administration):
        app.register_blueprint(module.blueprint)
    faults.install(app, administration.PREFIX)

    @app.after_request
    def _take_the_whole_body(answer: Response) -> Response:
        """A body left unread would break the connection before the client reads the answer."""
        while request.stream.read(1 << 16):
            pass
        return answer

    @app.errorhandler(HTTPException)
    def _error(error: HTTPException) -> Response:
        return Response(page.error(error.code or 500), status=error.code, mimetype="text/html")

    return app


def application() -> Flask:
    """Build the application for gunicorn, on the settings file of the environment."""
    return create_app(load(Path(os.environ.get(CONFIG_VARIABLE, DEFAULT_CONFIG))))
