"""What the kernel says of the volumes, read from /sys: neither root nor a key is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from creatic_agent.figures import Figures, labels


@dataclass
class Volume:
    """State of one volume.

    Attributes:
        name: of the array and of the opened volume.
        present: its array runs.
        open: it is unlocked.
        disks: state of each disk by device name, as the kernel says it (``in_sync``, ``faulty``…).
        lacking: disks which the array is short of.
        rebuilt: share of the running reconstruction, 0 to 1; 1 when there is none.
        mismatches: sectors that differed between the disks at the last monthly check.
    """

    name: str
    present: bool
    open: bool
    disks: dict[str, str]
    lacking: int
    rebuilt: float
    mismatches: int

    @property
    def sound(self) -> bool:
        return self.present and self.open and not self.lacking


def volumes(names: list[str], root: Path = Path("/")) -> list[Volume]:
    """Look at the volumes.

    Args:
        names: those which this machine must have.
        root: of the file system (for tests).
    """
    return [_volume(name, root) for name in names]


def _volume(name: str, root: Path) -> Volume:
    mapped = {path.read_text().strip() for path in (root / "sys/block").glob("dm-*/dm/name")}
    # udev keeps /dev/md/NAME, a link to the array.
    folder = root / "sys/block" / (root / "dev/md" / name).resolve().name / "md"
    if not (folder / "raid_disks").exists():
        return Volume(name, False, name in mapped, {}, 0, 1.0, 0)
    disks = {
        path.parent.name.removeprefix("dev-"): path.read_text().strip() for path in sorted(folder.glob("dev-*/state"))
    }
    return Volume(
        name,
        (folder / "array_state").read_text().strip() not in ("inactive", "clear"),
        name in mapped,
        disks,
        int((folder / "degraded").read_text()),
        _progress((folder / "sync_action").read_text().strip(), (folder / "sync_completed").read_text()),
        int((folder / "mismatch_cnt").read_text()),
    )


def _progress(action: str, completed: str) -> float:
    """Share of a reconstruction from ``done / all`` sectors; a check of sound disks is none."""
    if action not in ("resync", "recover"):
        return 1.0
    done, _, total = completed.partition("/")
    return int(done) / int(total) if total.strip() else 0.0


def metrics(found: list[Volume]) -> str:
    """The volumes in Prometheus' format."""
    figures = Figures("creatic_raid_")

    def add(name: str, text: str, value: Callable[[Volume], float]) -> None:
        figures.add(name, text, {labels(volume=one.name): value(one) for one in found})

    add("present", "Whether the array runs.", lambda one: int(one.present))
    add("open", "Whether the volume is unlocked.", lambda one: int(one.open))
    add("disks_missing", "Disks that the array is short of.", lambda one: one.lacking)
    add("disks_faulty", "Disks that failed.", lambda one: sum("faulty" in state for state in one.disks.values()))
    add("rebuilt_ratio", "Share of the reconstruction.", lambda one: round(one.rebuilt, 3))
    add("mismatches", "Sectors that differed at the last check.", lambda one: one.mismatches)
    return str(figures)


def table(found: list[Volume]) -> str:
    """The volumes for a technician, in French."""
    lines = [f"{'Volume':<16} {'Ouvert':<7} {'Disques':<28} État"]
    for one in found:
        disks = ", ".join(f"{name} {_french(state)}" for name, state in one.disks.items()) or "–"
        lines.append(f"{one.name:<16} {'oui' if one.open else 'non':<7} {disks:<28} {_verdict(one)}")
    return "\n".join(lines)


def _french(state: str) -> str:
    if "faulty" in state:
        return "en panne"
    return "sain" if "in_sync" in state else "en reconstruction"


def _verdict(one: Volume) -> str:
    if not one.present:
        return "grappe absente"
    if one.rebuilt < 1:
        return f"reconstruction à {one.rebuilt:.0%}"
    if one.lacking:
        return f"DÉGRADÉ : il manque {one.lacking} disque"
    return "sain" if one.open else "fermé : à ouvrir depuis le poste de commande"
