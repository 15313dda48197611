"""Passphrases are typed twice: an error of typing would show the day when the root is needed."""

from __future__ import annotations

import pytest

from creatic.cli.autorite import passphrase
from creatic.cli.common import Exit


def test_what_is_typed_twice_alike_is_taken() -> None:
    typed = iter(["une phrase assez longue", "une phrase assez longue"])
    assert passphrase("Phrase", lambda _: next(typed)) == "une phrase assez longue"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["une phrase assez longue", "une phrase asser longue"], "les deux saisies diffèrent"),
        (["courte"], "16 caractères au moins"),
    ],
)
def test_anything_else_does_nothing_and_shows_nothing(typed: list[str], said: str) -> None:
    given = iter(typed)
    with pytest.raises(Exit, match=said) as refused:
        passphrase("Phrase", lambda _: next(given))
    assert typed[0] not in str(refused.value)
