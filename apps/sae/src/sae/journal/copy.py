"""The copy of the seals that is kept out of the archive room: what makes a cut or rewritten journal visible.

A copy only grows: a seal that was taken is never replaced, and what follows is taken only if it goes on from it.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

from creatic_agent import durable
from creatic_agent.reasons import reason
from sae.journal.format import events_name, seal_name
from sae.journal.verify import UNSEALED, Report, VerifyError, read_folder, verify_folder, verify_parts


def last(folder: Path) -> int:
    """Number of the last seal of a copy, 0 if there is none."""
    if not folder.is_dir() or not any(folder.glob("sceau-*.json")):
        return 0
    return max(read_folder(folder)[1])


def unpack(archive: Path, folder: Path) -> None:
    """Unpack what came from the gateway, which is not trusted.

    Raises:
        VerifyError: this is no tar of an exported journal.
    """
    folder.mkdir(parents=True)
    try:
        with tarfile.open(archive) as members:
            members.extractall(folder, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise VerifyError(f"{archive} n'est pas un export du journal : {reason(error)}") from error


def receive(received: Path, copy: Path, root: Path, unit: str = "") -> Report:
    """Add the seals that were received to the copy, if the whole verifies; otherwise nothing changes.

    Args:
        received: folder of `sae-journal exporter`, from the copy's last seal on, that one included.
        copy: folder of the copy; made when it is absent.
        root: PEM of the timestamping authority's root.
        unit: the outside unit that dates beside the archives' own; see `timestamp.verify`.

    Returns:
        What was verified; its faults tell why nothing was taken.

    Raises:
        VerifyError: what was received is no exported journal.
        OSError: the copy cannot be written.
    """
    # A gateway that has nothing left to show is a finding, not a misuse.
    seals = read_folder(received)[1] if not last(copy) or last(received) else {}
    known = read_folder(copy)[1] if last(copy) else {}
    before = {number: (copy / events_name(number)).read_text(encoding="utf-8") for number in known}
    events: dict[int, str] = {}
    for number in seals:
        path = received / events_name(number)
        events[number] = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    merged, all_events = {**seals, **known}, {**events, **before}
    lines = [line for number in sorted(merged) for line in all_events[number].split("\n") if line]
    report = verify_parts(lines, merged, root, anchor=known or None, unit=unit)
    report.warnings = [line for line in report.warnings if "sans sceaux copiés" not in line]
    highest = max(known, default=0)
    if highest and highest not in seals:
        what = f"coupée : la porte des archives ne montre plus le sceau {highest}, qui avait été copié"
        report.blame("fin du journal", what)
    for number in sorted(known.keys() & seals.keys()):
        if seals[number] != known[number] or events[number] != before[number]:
            report.blame(seal_name(number), "réécrit : ce n'est plus celui qui avait été copié")
    if report.faults:
        return report
    copy.mkdir(parents=True, exist_ok=True, mode=0o700)
    for number in sorted(seals.keys() - known.keys()):
        # The seal comes last: a copy that was cut never holds a seal without its events.
        durable.write(copy / events_name(number), events[number].encode(), 0o644)
        durable.write(copy / seal_name(number), seals[number].encode(), 0o644)
    return report


def verify(copy: Path, root: Path) -> Report:
    """Verify the copy itself, which is its own anchor."""
    report = verify_folder(copy, root)
    report.warnings = [line for line in report.warnings if "sans sceaux copiés" not in line]
    return report


def pack(folder: Path, target: Path) -> None:
    """Put an exported journal into one file; what is not sealed yet stays out."""
    with tarfile.open(target, "w") as archive:
        for path in sorted(folder.iterdir()):
            if path.name != UNSEALED:
                archive.add(path, path.name)
