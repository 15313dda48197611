"""Passwords: strong ones pass, weak ones do not; guessing locks out who guesses, for a while."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from creatic.deliberations import passwords


@pytest.mark.parametrize("strong", ["kxbvp-Qzp7m-trw42", "Trois chevaux jaunes, 1 lac"])
def test_a_strong_password_passes(strong: str) -> None:
    assert passwords.weakness(strong) is None


@pytest.mark.parametrize(
    "weak",
    ["", "Court-9a", "123456789012345", "toutminuscules", "MotDePasse-2026", "Azerty-12345678", "aaaaaaaaaaaA1-"],
)
def test_a_weak_password_is_refused_with_what_is_asked(weak: str) -> None:
    assert passwords.weakness(weak) == passwords.PASSWORD_POLICY


def test_guessing_locks_out_this_account_from_this_address_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(passwords.time, "monotonic", lambda: now)
    attempts = passwords.Attempts()
    for _error in range(passwords.ATTEMPTS):
        assert not attempts.is_locked("claire", "10.0.0.1")
        attempts.failed("claire", "10.0.0.1")
    assert attempts.is_locked("claire", "10.0.0.1")
    assert not attempts.is_locked("claire", "10.0.0.2")
    assert not attempts.is_locked("karim", "10.0.0.1")
    now += passwords.LOCKED + 1
    assert not attempts.is_locked("claire", "10.0.0.1")


def test_a_right_password_forgets_the_errors() -> None:
    attempts = passwords.Attempts()
    for _error in range(passwords.ATTEMPTS - 1):
        attempts.failed("claire", "")
    attempts.succeeded("claire", "")
    attempts.failed("claire", "")
    assert not attempts.is_locked("claire", "")


def test_five_errors_close_an_account_for_a_quarter_of_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(passwords, "time", SimpleNamespace(monotonic=lambda: now[0]))
    attempts = passwords.Attempts()
    for _ in range(4):
        attempts.failed("anne", "a")
    assert not attempts.is_locked("anne", "a")
    attempts.failed("anne", "a")
    assert attempts.is_locked("anne", "a")
    assert not attempts.is_locked("anne", "b")
    now[0] += 899
    assert attempts.is_locked("anne", "a")
    now[0] += 1
    assert not attempts.is_locked("anne", "a")


@pytest.mark.parametrize(
    ("password", "strong"),
    [("Abcdefghij1", False), ("Abcdefghij12", True), ("abcdefghijk1", False), ("abcdefghij1!", True),
     ("Aa1aA1aA1aA1b", False), ("Ab1cAb1cAb1d", False), ("Ab1cdeAb1cde", True)],
)  # fmt: skip # a case a line
def test_what_makes_a_password_strong(password: str, strong: bool) -> None:
    assert (passwords.weakness(password) is None) == strong
