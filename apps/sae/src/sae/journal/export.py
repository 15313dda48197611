"""The journal as files, for whoever verifies it: events by batch, seals, and what is not sealed yet."""

from __future__ import annotations

from pathlib import Path

from creatic_agent import durable
from sae.journal.format import events_name, seal_name
from sae.journal.log import Journal
from sae.journal.seal import ACCOUNT, CONTAINER, sealed_up_to, seals
from sae.journal.verify import UNSEALED
from sae.store import ObjectNotFoundError, Store


def export(journal: Journal, store: Store | None, folder: Path, after: int = 0) -> int:
    """Write the journal into a folder; files that are there are written again.

    Args:
        journal: the journal.
        store: seals are taken from there, as they are kept under WORM; None takes the journal's own copies.
        after: leaves out the seals up to that number, which the receiver has.

    Returns:
        The number of the last seal.

    Raises:
        OSError: the folder cannot be written.
        StoreError: a seal cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    last = 0
    for seal in seals(journal):
        fields = seal.fields
        last = fields["numero"]
        if last <= after:
            continue
        durable.write(
            folder / events_name(last), _journal_text(journal, fields["premier"], fields["dernier"]).encode(), 0o644
        )
        kept = seal.write() if store is None else _stored_seal_text(store, seal_name(last), seal.write())
        durable.write(folder / seal_name(last), kept.encode(), 0o644)
    durable.write(folder / UNSEALED, _journal_text(journal, sealed_up_to(journal) + 1, None).encode(), 0o644)
    return last


def _journal_text(journal: Journal, first: int, last: int | None) -> str:
    return "".join(f"{line}\n" for _, line in journal.lines(first, last))


def _stored_seal_text(store: Store, name: str, own: str) -> str:
    try:
        with store.get(ACCOUNT, CONTAINER, name) as stream:
            return stream.read().decode("utf-8", errors="replace")
    except ObjectNotFoundError:  # made by a run that could not reach the storage: it waits
        return own
