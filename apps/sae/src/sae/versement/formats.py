"""Format identification with Siegfried (PRONOM signatures), by content and never by extension alone.

What is asserted of PDF/A is what the file declares (its XMP block, which PRONOM's signatures read), not a validation.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sae.versement.container import Member
from sae.versement.refusal import Reason, SipRefusedError, refuse

_PDF_PUIDS = {
    f"fmt/{number}"
    for number in (14, 15, 16, 17, 18, 19, 20, 276, 1129, 95, 354, 476, 477, 478, 479, 480, 481, 1910, 1911, 1912)
}
_PDFA = {
    "fmt/95": "PDF/A-1a", "fmt/354": "PDF/A-1b", "fmt/476": "PDF/A-2a", "fmt/477": "PDF/A-2b", "fmt/478": "PDF/A-2u",
    "fmt/479": "PDF/A-3a", "fmt/480": "PDF/A-3b", "fmt/481": "PDF/A-3u", "fmt/1910": "PDF/A-4",
    "fmt/1911": "PDF/A-4e", "fmt/1912": "PDF/A-4f",
}  # fmt: skip # a table
_PDF_WHITESPACE = b"\0\t\n\f\r "
_FORMAT_HEAD_BYTES = 1024
_FORMAT_BLOCK_BYTES = 1 << 20
_lock = threading.Lock()
_scanner: Any = None


@dataclass(frozen=True)
class Format:
    """A file's format: PRONOM identifier, name, version, MIME type, and how Siegfried knew."""

    puid: str
    name: str
    version: str
    mime: str
    basis: str

    @property
    def pdfa(self) -> str:
        """What can be said of PDF/A; "" for anything that is no PDF."""
        if self.puid in _PDFA:
            return f"{_PDFA[self.puid]} déclaré par le fichier, conformité non validée"
        return "PDF sans déclaration PDF/A" if self.puid in _PDF_PUIDS else ""


def _load_siegfried() -> Any:
    """Loaded at first use: its Go runtime does not survive a fork."""
    global _scanner  # noqa: PLW0603 - one scanner a process, loading its signatures takes 0.2 s
    with _lock:
        if _scanner is None:
            import pygfried

            _scanner = pygfried.Scanner()
        return _scanner


def identify(members: Iterable[Member], allowed: frozenset[str], needless: Iterable[str]) -> Mapping[str, Format]:
    """Formats by file name; `needless` names the SIP's own text files. Raises Refusal (code FORMAT)."""
    own = set(needless)
    found: dict[str, Format] = {}
    faults = []
    for member in members:
        if member.name in own:
            continue
        if not member.size:
            text = f"« {member.name} » est vide (0 octet). À faire : remplacez-le, ou retirez-le."
            faults.append(Reason("FORMAT", text))
            continue
        known = identify_one(member)
        found[member.name] = known
        if known.puid not in allowed:
            label = f"{known.name} {known.version}".strip() or "inconnu"
            faults.append(
                Reason("FORMAT", f"« {member.name} » est au format {known.puid} ({label}), qui n'est pas admis.")
            )
    if faults:
        raise SipRefusedError(faults)
    return found


def identify_one(member: Member) -> Format:
    """The format of one file; the identifier is UNKNOWN when its content says nothing."""
    found = _identify_file(member.path)
    if found.puid != "UNKNOWN":
        return found
    with _without_blanks(member.path) as bare:
        return _identify_file(bare) if bare else found


@contextmanager
def _without_blanks(path: Path) -> Iterator[Path | None]:
    """A PDF without the byte order mark and the blanks around it, which all readers pass over, and PRONOM's signatures
    do not; None for what is no such file."""
    with path.open("rb") as stream:
        head = stream.read(_FORMAT_HEAD_BYTES)
        start = len(head) - len(head.removeprefix(b"\xef\xbb\xbf").lstrip(_PDF_WHITESPACE))
        if not head[start:].startswith(b"%PDF-"):
            yield None
            return
        with tempfile.NamedTemporaryFile(dir=path.parent) as bare:
            stream.seek(start)
            held = b""
            while block := stream.read(_FORMAT_BLOCK_BYTES):
                kept = (held + block).rstrip(_PDF_WHITESPACE)
                bare.write(kept)
                held = (held + block)[len(kept) :][-_FORMAT_BLOCK_BYTES:]
            bare.write(b"\n")
            bare.flush()
            yield Path(bare.name)


def _identify_file(path: Path) -> Format:
    try:
        told = _load_siegfried().identify(str(path), detailed=True)
        matches = told["files"][0]["matches"]
    except (ImportError, OSError, KeyError, IndexError) as error:
        text = f"L'identification des formats ne fonctionne pas ({error}). Réessayez plus tard."
        raise refuse("FORMAT", text, temporary=True) from error
    best = matches[0] if matches else {}
    basis = str(best.get("basis", ""))
    if not any(word in basis for word in ("byte match", "container", "xml match", "text match", "RIFF")):
        best = {}
    puid = str(best.get("id", "UNKNOWN"))
    texts = [str(best.get(key, "")) for key in ("format", "version", "mime")]
    return Format(puid, texts[0], texts[1], texts[2], basis)


def version() -> str:
    """Name and version of the tool and of its signatures."""
    try:
        _load_siegfried()
        import pygfried

        return f"Siegfried {pygfried.version()}"
    except (ImportError, OSError) as error:
        return f"Siegfried absent ({error})"
