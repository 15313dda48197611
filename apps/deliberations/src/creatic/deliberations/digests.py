"""SHA-256 of the site's files. A file is read once for each state that its blob had, whoever asks and how often."""

from __future__ import annotations

import hashlib
from typing import Any

from ZODB.interfaces import BlobError

_MAX_CACHED_COUNT = 20_000
# By the path of a committed blob, which names its object and its transaction (ZODB 6, `BushyLayout`): what is there
# never changes.
_known: dict[str, str] = {}


def of(file: Any) -> str:
    """Digest of a file that the site holds.

    Args:
        file: a plone.namedfile `NamedBlobFile`.

    Raises:
        ZODB.POSException.POSKeyError: it is lost.
    """
    blob = file._blob
    blob._p_activate()
    try:
        path = str(blob.committed())
    except BlobError:  # of this very request, which may still be undone
        return _compute_digest(file)
    found = _known.get(path)
    if found is None:
        found = _compute_digest(file)
        if len(_known) >= _MAX_CACHED_COUNT:
            _known.clear()
        _known[path] = found
    return found


def _compute_digest(file: Any) -> str:
    with file.open() as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
