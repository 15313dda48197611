"""How applications ask a server."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
import requests

from creatic_agent import https


class Raw(io.BytesIO):
    """The line that an answer comes by, cut after what it holds."""

    cut = False

    def read(self, size: int | None = -1, **_given: Any) -> bytes:
        block = super().read(size)
        if not block and self.cut:
            raise requests.exceptions.ChunkedEncodingError("coupé")
        return block


def answer(content: bytes, cut: bool = False) -> requests.Response:
    made = requests.Response()
    made.raw = Raw(content)
    made.raw.cut = cut
    return made


def test_nothing_of_the_environment_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/ailleurs.pem")
    monkeypatch.setenv("https_proxy", "http://ailleurs:3128")
    made = https.session("agent", tmp_path / "ca.pem", tmp_path)
    used = made.merge_environment_settings("https://a.test/", {}, None, None, None)
    assert (used["verify"], dict(used["proxies"])) == (str(tmp_path / "ca.pem"), {})
    assert used["cert"] == (str(tmp_path / "fullchain.pem"), str(tmp_path / "key.pem"))
    assert made.headers["User-Agent"] == "agent"
    assert https.session("agent").verify is True


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 10])
def test_an_answer_is_written_within_its_bound(content: bytes) -> None:
    target = io.BytesIO()
    assert https.save(answer(content), target, most=10, block=3) == (hashlib.sha256(content).hexdigest(), len(content))
    assert target.getvalue() == content


def test_one_that_has_more_is_ended_before_it_fills_a_disk() -> None:
    target, came = io.BytesIO(), answer(b"x" * 1000)
    with pytest.raises(https.TooLong, match="plus de 10 octets"):
        https.save(came, target, most=10, block=3)
    assert (len(target.getvalue()), came.raw.closed) == (9, True)


def test_one_that_is_cut_is_an_error_of_the_system() -> None:
    came = answer(b"x" * 5, cut=True)
    with pytest.raises(OSError, match="coupé"):
        https.save(came, io.BytesIO(), block=3)
    assert came.raw.closed


@pytest.mark.parametrize(
    ("content", "said"),
    [(b'{"message": "non"}', "non"), (b"{}", ""), (b"[]", None), (b'"message"', None), (b"<html>", None), (b"", None)],
)
def test_what_an_answer_says_in_a_field(content: bytes, said: str | None) -> None:
    assert https.field(answer(content), "message") == said
