"""Addresses about the connection itself: test, RGS, logins."""

from __future__ import annotations

from flask import Blueprint, Response, request

from .auth import accounts_of, identity_of
from .wire import METHODS, authenticated, config, me, text

blueprint = Blueprint("session", __name__)


@blueprint.route("/api/test-connexion.php", methods=METHODS)
@authenticated
def test_connexion() -> Response:
    """Tell that the account is found."""
    return text("OK")


@blueprint.route("/api/test-rgs.php", methods=METHODS)
@authenticated
def test_rgs() -> Response:
    """Tell whether the certificate is RGS."""
    return text("OK" if me().rgs else "KO")


@blueprint.route("/admin/users/api-list-login.php", methods=METHODS)
def list_login() -> Response:
    """Return the logins that the certificate opens, one a line; nothing for an unknown certificate."""
    accounts = accounts_of(identity_of(request), config())
    return text("".join(f"{account.login}\n" for account in accounts))
