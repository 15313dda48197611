"""Addresses about the connection itself: test, RGS, logins, nounces."""

from __future__ import annotations

from flask import Blueprint, Response, request

from .auth import accounts_of, identity_of
from .wire import METHODS, as_json, authenticated, config, me, store, text

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


@blueprint.route("/api/info-connexion.php", methods=METHODS)
@authenticated
def info_connexion() -> Response:
    """Return the account and its authority."""
    account = me().account
    authority = config().authorities[account.siren]
    return as_json(
        {
            "user_info": {"login": account.login, "authority_id": int(account.siren)},
            "authority_info": {
                "id": int(account.siren),
                "name": authority.nom,
                "department": authority.departement,
                "district": authority.arrondissement,
            },
        }
    )


@blueprint.route("/admin/users/api-list-login.php", methods=METHODS)
def list_login() -> Response:
    """Return the logins that the certificate opens, one a line; nothing for an unknown certificate."""
    accounts = accounts_of(identity_of(request), config())
    return text("".join(f"{account.login}\n" for account in accounts))


@blueprint.route("/api/get-nounce.php", methods=METHODS)
@authenticated
def get_nounce() -> Response:
    """Return a nounce for the calls that carry login and hash in their address."""
    basic = request.authorization
    if basic is None or basic.type != "basic" or not basic.username:
        answer = text("La fonction n'est utilisable qu'avec un login et un mot de passe HTTP")
        answer.status_code = 401
        answer.headers["WWW-Authenticate"] = 'Basic realm="API S2low"'
        return answer
    nounce = store().create_nounce(basic.username, basic.password or "", me().account.siren)
    return as_json({"nounce": nounce})
