"""What is done to good files, and what is asked of who reads them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hypothesis import strategies as st

SECONDS = 20.0  # of the processor, for one example: a hundred times what the slowest takes
_MOST = 12  # changes of one file
_SPAN = 400

# What a parser may take for something: bounds of numbers, ends of texts, encodings that are none.
WORDS = (
    b"\0", b"\0\0\0\0", b"\xff", b"\xff\xff\xff\xff", b"\x80\x00\x00\x00", b"\x7f\xff\xff\xff", b"\n", b"\r", b" ",
    b"-1", b"0", b"9" * 30, b"1e999", b"NaN", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xff\xfe",
    b"\xf4\x90\x80\x80", b"%", b"../", b"/", b"\\", b"<", b">", b"\"", b"'", b"&", b"]]>", b"[" * 50, b"(" * 50,
)  # fmt: skip # a table
XML = (
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"&#0;", b"&#xD800;", b"<a>" * 120, b"</a>", b"<a b='c' b='d'>",
    b"<!--", b"-->", b"<![CDATA[", b"xmlns='urn:x'",
    b"xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xsi:type='x:y'", b"<?xml version='1.1'?>",
    b"encoding='UTF-7'", b"encoding='utf-16'", b"0000-00-00", b"2026-02-30", b"12026-01-01", b"V=\"\"", b"V=\"-0\"",
    b"V=\"1e5\"", b"V=\"99999999999999999999999\"",
)  # fmt: skip # a table
PDF = (
    b"1 0 R", b"99999999 0 R", b"0 0 R", b"obj", b"endobj", b"stream\n", b"endstream", b"xref", b"trailer",
    b"startxref\n0", b"%%EOF", b"<<", b">>", b"/Length -1", b"/Length 99999999", b"/Kids [1 0 R]", b"/Parent 1 0 R",
    b"/Count -1", b"/Prev 0", b"/Filter /LZWDecode", b"/Filter [/FlateDecode /FlateDecode]", b"/Encrypt 1 0 R",
    b"/ByteRange [0 1 2 3]", b"/Type /Pages", b"/Type /XRef", b"/W [8 8 8]", b"/Size 9999999", b"null", b"<FEFF",
    b"(\\", b"/Root 3 0 R",
)  # fmt: skip # a table
DER = (
    b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"\x02\x00", b"\x06\x00", b"\x06\x01\x80", b"\xa0\x00", b"\x04\x00",
    b"\x05\x00", b"\x17\x00", b"\x24\x80",
)  # fmt: skip # a table


@st.composite
def spoilt(draw: Any, samples: Sequence[bytes], words: Sequence[bytes] = ()) -> bytes:
    """A sample with some changes: bytes, pieces of it, pieces of another one, words of its format."""
    data = bytearray(draw(st.sampled_from(samples)))
    known = (*WORDS, *words)
    for _ in range(draw(st.integers(1, _MOST))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, _SPAN)))
        match draw(st.sampled_from(("byte", "bit", "word", "over", "out", "twice", "cut", "other"))):
            case "byte":
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "bit" if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "word":
                data[at:at] = draw(st.sampled_from(known))
            case "over":
                word = draw(st.sampled_from(known))
                data[at : at + len(word)] = word
            case "out":
                del data[at:end]
            case "twice":
                data[at:at] = data[at:end]
            case "cut":
                del data[at:]
            case "other":
                other = draw(st.sampled_from(samples))
                start = draw(st.integers(0, len(other)))
                data[at:end] = other[start : start + _SPAN]
    return bytes(data)


def values() -> st.SearchStrategy[Any]:
    """Any JSON."""
    leaves = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(), max_size=20),
        st.sampled_from(["v1", "v2", "v01", "", "..", "a/b", "sha512", "v1/content/a", "\ud800", "content"]),
    )  # fmt: skip # a table
    return st.recursive(
        leaves, lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=8), inside, max_size=3)
    )


@st.composite
def bent(draw: Any, document: Any) -> Any:
    """A JSON document in which some values are others, and some keys are gone or new."""
    for _ in range(draw(st.integers(1, 3))):
        place, key = _somewhere(draw, document)
        if place is None:
            return draw(values())
        match draw(st.sampled_from(("other", "gone", "new"))):
            case "other":
                place[key] = draw(values())
            case "gone":
                del place[key]
            case "new" if isinstance(place, dict):
                place[draw(st.text(max_size=6) | st.sampled_from(["v2", "id", "fixity", str(key).upper()]))] = place[
                    key
                ]
    return document


def _somewhere(draw: Any, document: Any) -> tuple[Any, Any]:
    place, key = None, None
    here = document
    while isinstance(here, dict | list) and here and (place is None or draw(st.booleans())):
        key = draw(st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here))))
        place, here = here, here[key]
    return place, key


@contextmanager
def asked(*expected: type[Exception]) -> Iterator[None]:
    """What reads a spoilt file ends, in time, well or by an error of its own that can be told."""
    before = time.process_time()
    try:
        yield
    except expected as error:
        str(error).encode("utf-8")
    used = time.process_time() - before
    assert used < SECONDS, f"{used:.0f} s"


def refuses(read: Callable[[], object], *expected: type[Exception]) -> None:
    """`asked`, for what is one call."""
    with asked(*expected):
        read()
