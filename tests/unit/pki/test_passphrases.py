"""Passphrases are typed twice: an error of typing would show the day when the root is needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from creatic.cli import common
from creatic.cli.autorite import passphrase
from creatic.cli.common import Exit
from creatic.fleet.signing import Signer
from creatic.pki.keys import Keys, Passphrases

RIGHT = "la phrase de l'émettrice"


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


def _issuing(home: Path) -> None:
    (home / "pki").mkdir()
    Keys(home / "pki", Passphrases(home / "pki", {"emettrice": RIGHT})).make("emettrice2")


def _fleet(home: Path) -> None:
    Signer(home / "flotte", Passphrases(home / "flotte", {"cle": RIGHT})).open()


@pytest.mark.parametrize(
    ("unlock", "made", "variable", "wrong"),
    [
        (common.unlock, _issuing, "CREATIC_PKI_EMETTRICE", "clé de l'autorité « emettrice2 » illisible"),
        (common.unlock_fleet, _fleet, "CREATIC_FLOTTE_CLE", ".*phrase secrète fausse"),
    ],
    ids=["authority", "fleet"],
)
@pytest.mark.parametrize(
    ("typed", "there", "given"),
    [(RIGHT, True, RIGHT), ("une autre phrase secrète", True, ""), (RIGHT, False, "")],
    ids=["right", "wrong", "nobody"],
)
def test_what_signs_asks_for_it_where_nothing_gives_it_and_tries_it_at_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    there: bool,
    given: str,
    unlock: Callable[[Callable[[str], str]], None],
    made: Callable[[Path], None],
    variable: str,
    wrong: str,
) -> None:
    made(tmp_path)
    monkeypatch.setattr(common, "home", lambda: tmp_path)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: there, raising=False)
    monkeypatch.setenv(variable, "")
    asked: list[str] = []

    def read(title: str) -> str:
        asked.append(title)
        return typed

    if there and not given:
        with pytest.raises(Exit, match=f"Rien n'est fait : {wrong}") as refused:
            unlock(read)
        assert typed not in str(refused.value)
    else:
        unlock(read)
        unlock(read)  # once
    assert os.environ[variable] == given
    assert len(asked) == there
