"""What a password must be, and how often one may be tried."""

from __future__ import annotations

import re
import threading
import time

# As in the GED: five errors close an account for a quarter of an hour, to the address they came from.
ATTEMPTS = 5
LOCKED = 15 * 60
_MAX_TRACKED_COUNT = 10_000
MINIMUM = 12
_PLONE_CHARACTER_KINDS = (str.islower, str.isupper, str.isdigit, lambda letter: not letter.isalnum())
_MIN_CHARACTER_KINDS = 3
_COMMON = re.compile(r"(?i)mot.?de.?passe|password|azerty|qwerty|commune|mairie|123456|administrat|deliberation")
PASSWORD_POLICY = (
    f"Le mot de passe a {MINIMUM} caractères au moins, de trois sortes (minuscules, majuscules, chiffres, autres "
    "signes), sans suite de mots ni de chiffres courante, et diffère de l'actuel."
)


class Attempts:
    """Errors by account and address, in memory: they end with the process."""

    def __init__(self) -> None:
        self._errors: dict[tuple[str, str], list[float]] = {}
        self._lock = threading.Lock()

    def is_locked(self, login: str, address: str) -> bool:
        """Whether this address has tried too often."""
        with self._lock:
            return len(self._recent_failures((login, address))) >= ATTEMPTS

    def failed(self, login: str, address: str) -> None:
        """Note an error."""
        with self._lock:
            recent = self._recent_failures((login, address))
            self._errors.pop((login, address), None)
            self._errors[login, address] = [*recent, time.monotonic()][-ATTEMPTS:]
            if len(self._errors) > _MAX_TRACKED_COUNT:  # whoever tries names without end pushes out the oldest
                del self._errors[next(iter(self._errors))]

    def succeeded(self, login: str, address: str) -> None:
        """Forget the errors."""
        with self._lock:
            self._errors.pop((login, address), None)

    def _recent_failures(self, key: tuple[str, str]) -> list[float]:
        limit = time.monotonic() - LOCKED
        recent = [moment for moment in self._errors.get(key, []) if moment > limit]
        if not recent:
            self._errors.pop(key, None)
        return recent


attempts = Attempts()


def weakness(password: str) -> str | None:
    """Say why a password is refused, in French; None when it is strong enough."""
    kinds = sum(any(kind(letter) for letter in password) for kind in _PLONE_CHARACTER_KINDS)
    if len(password) < MINIMUM or kinds < _MIN_CHARACTER_KINDS or _COMMON.search(password) or len(set(password)) < 6:
        return PASSWORD_POLICY
    return None
