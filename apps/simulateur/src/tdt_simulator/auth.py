"""The account of a request: a certificate, and a login when the certificate opens several accounts."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from flask import Request

from .config import Account, Config
from .identity import Identity, read

CERTIFICATE_HEADER = "X-SSL-Client-Cert"
"""Set by nginx to $ssl_client_escaped_cert; nginx drops the client's own."""


class AuthError(Exception):
    """No account for this request.

    ``several`` tells that the certificate opens several accounts and that no login chose among them.
    """

    def __init__(self, message: str, several: bool = False) -> None:
        super().__init__(message)
        self.several = several


@dataclass(frozen=True)
class Visitor:
    """Somebody with an account."""

    identity: Identity
    account: Account
    rgs: bool


def identity_of(request: Request) -> Identity | None:
    """Return the client certificate, as the TLS server or nginx hands it over.

    A request which did not come through the TLS server or nginx's unix socket has none.
    """
    pem = request.environ.get("SSL_CLIENT_CERT")
    if pem is None and not request.environ.get("REMOTE_ADDR"):
        pem = unquote(request.headers.get(CERTIFICATE_HEADER, ""))
    if not pem:
        return None
    try:
        return read(pem)
    except ValueError:
        return None


def accounts_of(identity: Identity | None, config: Config) -> list[Account]:
    """Return the accounts which a certificate opens."""
    if identity is None or identity.siren is None:
        return []
    return config.accounts_of(identity.siren)


def _chosen(request: Request, accounts: list[Account]) -> list[Account]:
    basic = request.authorization
    if basic is not None and basic.type == "basic" and basic.username:
        return [
            account
            for account in accounts
            if account.login == basic.username and account.password in (None, basic.password)
        ]
    return accounts


def visitor(request: Request, config: Config) -> Visitor:
    """Return who sends the request.

    Raises:
        AuthError: the certificate opens no account, or several.
    """
    identity = identity_of(request)
    accounts = _chosen(request, accounts_of(identity, config))
    if identity is None or not accounts:
        raise AuthError("Le certificat n'est pas valide : aucun compte trouvé")
    if len(accounts) > 1:
        raise AuthError("La connexion n'a pas pu être établie", several=True)
    return Visitor(identity, accounts[0], bool(set(identity.policies) & set(config.rgs_policies)))
