"""The one way to write an event or a seal in bytes: RFC 8785 (JCS), without its floating-point numbers."""

from __future__ import annotations

import json
import re
from typing import Any

# RFC 8785 orders keys by UTF-16 unit and Python by code point: plain ASCII keys leave nothing to differ.
_JSON_KEY_PATTERN = re.compile(r"[ -~]{1,200}")
_MAX_SAFE_INTEGER = 2**53 - 1  # the largest integer that every JSON reader keeps (RFC 8785 appendix D)


def encode(value: Any) -> str:
    """The canonical text of a value made of dict, list, str, int, bool and None.

    What is not UTF-8 in a text (a file name of another age) becomes a question mark.

    Raises:
        ValueError: another type, a key out of ASCII, or an integer beyond 2^53 - 1.
    """
    return json.dumps(_check_value(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _check_value(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", errors="replace").decode("utf-8")
    if isinstance(value, int):
        if abs(value) > _MAX_SAFE_INTEGER:
            raise ValueError(f"integer too large for JSON: {value}")
        return int(value)
    if isinstance(value, list | tuple):
        return [_check_value(item) for item in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or not _JSON_KEY_PATTERN.fullmatch(key):
                raise ValueError(f"key out of printable ASCII: {key!r}")
        return {key: _check_value(item) for key, item in value.items()}
    raise ValueError(f"no canonical form for {type(value).__name__}")


def is_canonical(text: str) -> bool:
    """True when the text is what `encode` would write of its own value."""
    try:
        return encode(json.loads(text)) == text
    except (ValueError, RecursionError):
        return False
