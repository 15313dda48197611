"""What a command says while it waits."""

from __future__ import annotations

import re
import threading

import pytest

from creatic.patience import report_progress


def test_what_is_waited_for_is_said_at_each_interval_and_no_longer_after() -> None:
    said: list[str] = []
    twice = threading.Event()

    def say(text: str) -> None:
        said.append(text)
        if len(said) == 2:
            twice.set()

    with report_progress("réponse des nœuds", say, every=0.01):
        twice.wait()
    left = len(said)
    assert all(re.fullmatch(r"   … depuis \d+ .* : réponse des nœuds", line) for line in said), said
    assert not [thread for thread in threading.enumerate() if thread.name.endswith("(tell)")]
    assert len(said) == left


def test_what_is_short_says_nothing_and_an_error_goes_through() -> None:
    said: list[str] = []
    with pytest.raises(OSError, match="panne"), report_progress("rien", said.append, every=3600):
        raise OSError("panne")
    assert said == []
