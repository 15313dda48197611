"""Sessions and tokens end with the password they were opened with: the proof they bear depends on it.

Plone signs both with secrets of the site alone, so that a cookie or a token lived on after its account's password was
changed, and came back with an account of the same name. Nothing is written: what proves them is derived from the
password's digest as it is stored.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

_STORES = ("source_users", "users")
_CLAIM = "mdp"


def proof(stored: str | bytes | None) -> str:
    """What stands for a password as it is stored (digest and salt); nothing of it can be told from this.

    Returns:
        32 hexadecimal digits, "" when there is no password.
    """
    if not stored:
        return ""
    known = stored.encode() if isinstance(stored, str) else stored
    return hmac.new(b"creatic.deliberations.sessions", known, hashlib.sha256).hexdigest()[:32]


def same(told: object, stored: str | bytes | None) -> bool:
    """Whether a proof is of the password that is stored now."""
    wanted = proof(stored)
    return bool(wanted) and isinstance(told, str) and hmac.compare_digest(told.encode(), wanted.encode())


def _stored_digest(plugin: Any, userid: str) -> str | bytes | None:
    """The digest of an account's password, of the site or of the root above it."""
    site = plugin._getPAS()
    for folder in (site, site.getPhysicalRoot().acl_users):
        for store in _STORES:
            passwords = getattr(getattr(folder.aq_base, store, None), "_user_passwords", {})
            if userid in passwords:
                found: str | bytes = passwords[userid]
                return found
    return None


def bind() -> None:
    """Have Plone's two plugins put the proof in what they give, and ask it of what they are shown. Once is enough."""
    from plone.restapi.pas.plugin import JWTAuthenticationPlugin
    from plone.session.plugins.session import SessionPlugin

    if getattr(SessionPlugin, "creatic_bound", False):
        return
    SessionPlugin.creatic_bound = True
    open_session, read_ticket = SessionPlugin._setupSession, SessionPlugin._validateTicket
    create, authenticate = JWTAuthenticationPlugin.create_token, JWTAuthenticationPlugin.authenticateCredentials

    def setup(self: Any, userid: str, response: Any, tokens: Any = (), user_data: str = "") -> None:
        open_session(self, userid, response, tokens, proof(_stored_digest(self, userid)))

    def validate(self: Any, ticket: bytes, now: float | None = None) -> Any:
        found = read_ticket(self, ticket, now)
        if found is None:
            return None
        _digest, userid, _tokens, user_data, _moment = found
        return found if same(user_data, _stored_digest(self, userid)) else None

    def give(self: Any, userid: str, timeout: int | None = None, data: dict[str, Any] | None = None) -> str:
        token: str = create(self, userid, timeout, {**(data or {}), _CLAIM: proof(_stored_digest(self, userid))})
        return token

    def accept(self: Any, credentials: dict[str, Any]) -> tuple[str, str] | None:
        found: tuple[str, str] | None = authenticate(self, credentials)
        if found is None:
            return None
        told = (self._decode_token(credentials["token"]) or {}).get(_CLAIM)
        return found if same(told, _stored_digest(self, found[0])) else None

    SessionPlugin._setupSession, SessionPlugin._validateTicket = setup, validate
    JWTAuthenticationPlugin.create_token, JWTAuthenticationPlugin.authenticateCredentials = give, accept
