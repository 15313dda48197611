"""A server of the lab over TLS, as its visitors ask it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import urllib3


@dataclass
class Server:
    """Where it is, its name, and the state of the control node, which holds its authorities and its passwords."""

    address: str
    name: str
    home: Path
    _pool: urllib3.HTTPSConnectionPool | None = field(default=None, repr=False)
    _tokens: dict[str, str] = field(default_factory=dict, repr=False)

    patience_s: ClassVar[int] = 120

    @property
    def trust(self) -> str:
        """The groupement's authorities."""
        return str(self.home / "pki" / "publie" / "ca.pem")

    def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None, **given: Any) -> Any:
        """One request; redirections are not followed."""
        if self._pool is None:
            self._pool = urllib3.HTTPSConnectionPool(
                self.address, 443, server_hostname=self.name, assert_hostname=self.name, ca_certs=self.trust,
                retries=False, timeout=self.patience_s,
            )  # fmt: skip # one call by its parts
        return self._pool.request(method, path, headers={"Host": self.name, **(headers or {})}, redirect=False, **given)
