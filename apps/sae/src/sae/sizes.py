"""Numbers of bytes, for readers."""

from __future__ import annotations


def readable(octets: float) -> str:
    """In French, three digits at most: ``0 o``, ``1,25 Mo``, ``999 Go``, ``5 To``."""
    shown, units = float(octets), ["o", "ko", "Mo", "Go", "To"]
    while len(units) > 1 and shown >= 999.5:  # what would round up to a thousand is one of the next unit
        shown /= 1000
        units.pop(0)
    digits = 0 if units[0] == "o" or shown >= 99.95 else 1 if shown >= 9.995 else 2
    text = f"{shown:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if digits else text} {units[0]}".replace(".", ",")
