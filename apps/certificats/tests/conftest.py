"""The authority of the tests of the control node, whose certificates are watched here."""

from __future__ import annotations

from tests.unit.pki.conftest import CLIENT, HOST, authority, begun, directory, later, openssl

__all__ = ["CLIENT", "HOST", "authority", "begun", "directory", "later", "openssl"]
