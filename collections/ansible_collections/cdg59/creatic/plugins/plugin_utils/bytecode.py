# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Modules compiled here for machines that have this Python; the others compile the sources beside (zipimport)."""

from __future__ import annotations

import importlib.util
import marshal


def compiled(name: str, source: bytes) -> bytes:
    """A module as zipimport takes it without its source (PEP 552, unchecked).

    Version 2 of marshal refers to no object by how often it is used meanwhile: the same bytes each time.

    Args:
        name: of the file, for tracebacks.

    Raises:
        SyntaxError: it is none of this Python's.
    """
    code = marshal.dumps(compile(source, name, "exec", dont_inherit=True), 2)
    return importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(source) + code
