"""The body of an archive: the room is asked again before its end is known, and a refusal leaves it without an end."""

from __future__ import annotations

import io

import pytest
from sae_worm.body import Body
from sae_worm.policy import UNSURE, Answer, Head, Room, entering

CONTENT = b"archive\nde plusieurs\nlignes"


class There(Exception):
    """What the filter raises."""


class Archive:
    """An archive that comes in, and what was given of it."""

    def __init__(self, length: int | None, content: bytes = CONTENT) -> None:
        self.given, self.looks, self.taken = b"", list[bytes](), False
        self.body = Body(io.BytesIO(content), length, self.look)

    def look(self) -> None:
        self.looks.append(self.given)
        if self.taken:
            raise There

    def read(self, size: int) -> None:
        while block := self.body.read(size):
            self.given += block


@pytest.mark.parametrize("length", [len(CONTENT), None])
@pytest.mark.parametrize("size", [1, 7, len(CONTENT) - 1, len(CONTENT), 1 << 20])
def test_the_last_look_is_once_and_before_the_end(size: int, length: int | None) -> None:
    archive = Archive(length)
    archive.read(size)
    assert archive.given == CONTENT and archive.body.read(size) == b""
    [before] = archive.looks
    # Without its length in the request, the end is the empty answer alone.
    assert (before == CONTENT) is (length is None)


@pytest.mark.parametrize("length", [len(CONTENT), None])
@pytest.mark.parametrize("size", [1, 7, len(CONTENT), 1 << 20])
def test_what_came_meanwhile_keeps_the_end(size: int, length: int | None) -> None:
    archive = Archive(length)
    archive.taken = True
    for _ in range(2):  # asked again, it says so again
        with pytest.raises(There):
            archive.read(size)
    assert length is None or archive.given != CONTENT


@pytest.mark.parametrize("length", [0, None])
def test_an_empty_archive_is_looked_at_too(length: int | None) -> None:
    archive = Archive(length, b"")
    assert archive.body.read(10) == b"" and archive.looks == [b""]


@pytest.mark.parametrize("size", [None, -1])
def test_a_whole_read_ends(size: int | None) -> None:
    archive = Archive(None)
    assert archive.body.read(size) == CONTENT
    assert archive.body.read() == b"" and archive.looks == [b""]


@pytest.mark.parametrize("length", [len(CONTENT), None])
def test_lines_end_too(length: int | None) -> None:
    archive = Archive(length)
    archive.taken = True
    with pytest.raises(There):
        while archive.body.readline():
            pass


def test_what_else_is_asked_of_the_input_is_the_inputs() -> None:
    assert Archive(None).body.tell() == 0


def test_nothing_but_a_free_name_lets_an_archive_in() -> None:
    def asked(status: int) -> Answer | None:
        return entering(Room(lambda: Head(204), lambda: Head(status), lambda: (Head(404), Head(404)), lambda: ()))

    taken = asked(200)
    assert taken and (taken.status, taken.refused) == (412, True)
    assert (asked(404), asked(503), asked(500)) == (None, UNSURE, UNSURE)
