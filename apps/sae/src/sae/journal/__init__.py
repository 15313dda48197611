"""The archive's journal: every operation, on disk before the operation is said done (docs/design/journal.md)."""

from __future__ import annotations

from sae.journal.log import Event, Journal, JournalError

__all__ = ["Event", "Journal", "JournalError"]
