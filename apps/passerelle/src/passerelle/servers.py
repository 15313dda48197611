"""The servers that the passerelle calls."""

from __future__ import annotations

from collections.abc import Callable

from .config import Config
from .deliberations import Deliberations
from .ged import Ged
from .http import Server
from .parapheur import Parapheur


class Servers:
    """Makes the clients, for each job: jobs run in threads, which share no session."""

    def __init__(self, config: Config, on_step: Callable[[str], None]) -> None:
        self._config, self._step = config, on_step
        self._tokens: dict[str, tuple[str, float]] = {}

    def _server(self, name: str, called: str) -> tuple[Server, str, str]:
        account = self._config.servers[name]
        return Server(called, account.url, self._config.trust, self._tokens), account.login, account.password

    def parapheur(self) -> Parapheur:
        """The parapheur."""
        return Parapheur(*self._server("parapheur", "le parapheur"))

    def deliberations(self) -> Deliberations:
        """The deliberations' server."""
        return Deliberations(*self._server("deliberations", "le serveur des délibérations"))

    def ged(self) -> Ged:
        """The document store."""
        return Ged(*self._server("ged", "la GED"), on_step=self._step)
