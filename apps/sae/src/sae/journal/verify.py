"""Verification from outside: nothing removed, reordered, changed or cut off, and where if it was.

Asks for Python and openssl alone. What is trusted: the root of the timestamping authority, and seals that were copied
earlier out of the archive room (the anchor): without them, a journal cut after a seal cannot be told from a
younger one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sae.journal import canonical, merkle, timestamp
from sae.journal.format import SKEW, Seal, SealError, seal_name
from sae.journal.log import CLOCK, OPENING, TOLERANCE, Event, format_time

UNSEALED = "evenements-non-scelles.jsonl"
_SEAL = re.compile(r"sceau-(\d{8})\.json")


class VerifyError(Exception):
    """Nothing can be verified: what was given is not an exported journal; the message is French."""


@dataclass
class Report:
    """What was found.

    Attributes:
        faults: pairs (where, French reason); empty when the journal is intact.
        warnings: what does not break the proof but must be read.
        events, seals, unsealed: counts.
        first, last: times of the first and last timestamps.
        anchored: seal of the anchor up to which the journal is known to be whole, 0 without an anchor.
    """

    faults: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    events: int = 0
    seals: int = 0
    unsealed: int = 0
    first: datetime | None = None
    last: datetime | None = None
    anchored: int = 0

    def sentences(self) -> list[str]:
        """The faults, one French line each."""
        return [f"{where} : {what}" for where, what in self.faults]

    def blame(self, where: str, what: str) -> None:
        """Add a fault."""
        self.faults.append((where, what))


def read_folder(folder: Path) -> tuple[list[str], dict[int, str]]:
    """Lines of events and seals of an exported journal.

    Raises:
        VerifyError: there is nothing of the kind.
    """
    if not folder.is_dir():
        raise VerifyError(f"{folder} n'est pas un dossier : donnez celui de « sae-journal exporter »")
    seals = {
        int(match[1]): path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(folder.iterdir())
        if (match := _SEAL.fullmatch(path.name))
    }
    # Batch files sort before the file of what is not sealed yet ("0" before "n").
    paths = sorted(folder.glob("evenements-*.jsonl"))
    lines = [line for path in paths for line in path.read_text(encoding="utf-8", errors="replace").split("\n") if line]
    if not seals and not lines:
        raise VerifyError(f"{folder} ne contient ni sceau ni événement : donnez celui de « sae-journal exporter »")
    return lines, seals


def verify_folder(
    folder: Path, root: Path, anchor: Path | None = None, untrusted: Path | None = None, unit: str = ""
) -> Report:
    """Verify an exported journal.

    Args:
        folder: what `sae-journal exporter` wrote.
        root: PEM of the timestamping authority's root, from a trusted place (never from the export).
        anchor: folder of seals copied earlier out of the room.
        untrusted: PEM of intermediate authorities, when tokens do not carry them.
        unit: the outside unit that dates beside the archives' own; see `timestamp.verify`.

    Raises:
        VerifyError: an argument is no such thing.
    """
    if not root.is_file():
        raise VerifyError(f"{root} est introuvable : donnez la racine de l'autorité d'horodatage (PEM)")
    lines, seals = read_folder(folder)
    kept = read_folder(anchor)[1] if anchor else None
    if anchor and not kept:
        raise VerifyError(f"{anchor} ne contient aucun sceau : ce n'est pas une copie des sceaux")
    return verify_parts(lines, seals, root, kept, untrusted, unit)


def verify_parts(
    lines: Sequence[str],
    seals: Mapping[int, str],
    root: Path,
    anchor: Mapping[int, str] | None = None,
    untrusted: Path | None = None,
    unit: str = "",
) -> Report:
    """Verify lines of events and texts of seals; see `verify_folder`."""
    report = Report(events=len(lines), seals=len(seals))
    placed = _place_lines(lines, report)
    read: dict[int, Seal] = {}
    for number, text in sorted(seals.items()):
        try:
            read[number] = Seal.read(text)
        except SealError as error:
            report.blame(seal_name(number), str(error))
    stamps = _check_stamps(read, report, root, untrusted, unit)
    _check_chain(read, set(seals), stamps, _disowned_seals(read, placed), report)
    covered = 0
    for number, seal in sorted(read.items()):
        _check_batch(number, seal, placed, report, trusted=number in stamps)
        covered = max(covered, seal.fields["dernier"])
    _check_unsealed(placed, covered, report)
    _check_clock(placed, read, stamps, report)
    if anchor is None:
        report.warnings.append(
            "sans sceaux copiés auparavant (--ancre), rien ne prouve que la fin du journal n'a pas été coupée"
        )
    else:
        _check_anchor(seals, anchor, report)
    if stamps:
        report.first, report.last = min(stamps.values()), max(stamps.values())
    if not seals:
        report.blame("sceaux", "aucun : rien ne prouve ces événements")
    return report


@dataclass
class _Line:
    text: str
    hash: bytes
    fields: dict[str, Any]


def _place_lines(lines: Sequence[str], report: Report) -> dict[int, _Line]:
    """Each line under the number it bears; numbers must follow each other."""
    placed: dict[int, _Line] = {}
    expected = 1
    for rank, text in enumerate(lines, 1):
        try:
            fields = json.loads(text)
            seq = fields["seq"]
            if type(seq) is not int or type(fields["heure"]) is not str or type(fields["precedent"]) is not str:
                raise ValueError
        except (KeyError, TypeError, ValueError, RecursionError):
            report.blame(f"ligne {rank}", f"illisible, ce n'est plus un événement (attendu : l'événement {expected})")
            expected += 1
            continue
        if seq in placed:
            report.blame(f"événement {seq}", f"présent deux fois (ligne {rank})")
            continue
        if seq < expected:
            report.blame(f"événement {seq}", f"déplacé : il est à la ligne {rank}, après l'événement {expected - 1}")
        placed[seq] = _Line(text, merkle.leaf(text.encode()), fields)
        expected = max(expected, seq + 1)
    return placed


def _check_stamps(
    seals: Mapping[int, Seal], report: Report, root: Path, untrusted: Path | None, unit: str
) -> dict[int, datetime]:
    def check(item: tuple[int, Seal]) -> tuple[int, datetime | str]:
        try:
            return item[0], timestamp.verify(item[1].token, item[1].header.encode(), root, untrusted, unit)
        except timestamp.TimestampError as error:
            return item[0], str(error)

    good: dict[int, datetime] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, found in pool.map(check, sorted(seals.items())):
            if isinstance(found, datetime):
                good[number] = found
            else:
                report.blame(seal_name(number), found)
    return good


def _format_ranges(numbers: Iterable[int]) -> str:
    """Numbers as people write them: 3, 7 à 12."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(low) if low == high else f"{low} à {high}" for low, high in runs)


def _disowned_seals(seals: Mapping[int, Seal], placed: Mapping[int, _Line]) -> dict[int, int]:
    """Seals that a later, sealed event says were made under a wrong clock, with that event."""
    found: dict[int, int] = {}
    last = max((seal.fields["dernier"] for seal in seals.values()), default=0)
    for seq, line in placed.items():
        detail = line.fields.get("detail")
        if line.fields.get("evenement") != CLOCK or not isinstance(detail, dict):
            continue
        number = detail.get("sceau")
        if type(number) is int and number in seals and seals[number].fields["dernier"] < seq <= last:
            found[number] = seq
    return found


def _check_chain(
    seals: Mapping[int, Seal],
    present: set[int],
    stamps: Mapping[int, datetime],
    disowned: Mapping[int, int],
    report: Report,
) -> None:
    """Seals follow each other: numbers, events, hash of the one before, time."""
    missing = set(range(1, max(present, default=0) + 1)) - present
    if missing:
        report.blame("sceaux", f"supprimés : {_format_ranges(missing)}")
    journals = {seal.fields["journal"] for seal in seals.values()}
    if len(journals) > 1:
        report.blame("sceaux", f"ils viennent de {len(journals)} journaux différents")
    for number, seal in sorted(seals.items()):
        fields, name = seal.fields, seal_name(number)
        if fields["numero"] != number:
            report.blame(name, f"déplacé : c'est le sceau {fields['numero']}")
            continue
        if number == 1 and (fields["premier"] != 1 or fields["precedent"]):
            report.blame(name, "ce n'est pas le premier sceau du journal")
        before = seals.get(number - 1)
        if before is None:
            continue
        if fields["precedent"] != before.hash.hex():
            report.blame(name, f"chaîne rompue : le sceau {number - 1} n'est pas celui qu'il nomme")
        if fields["premier"] != before.fields["dernier"] + 1:
            report.blame(
                name,
                f"il commence à l'événement {fields['premier']}, "
                f"le sceau {number - 1} finit à {before.fields['dernier']}",
            )
        stepped = number in stamps and number - 1 in stamps and stamps[number] < stamps[number - 1] - TOLERANCE
        if stepped and number - 1 not in disowned:
            report.blame(name, f"horodaté avant le sceau {number - 1}")
    for number, seq in sorted(disowned.items()):
        if number in stamps:
            report.warnings.append(
                f"{seal_name(number)} : horodaté sous une horloge fausse ({format_time(stamps[number])}), "
                f"ce que dit l'événement {seq}, scellé ensuite : sa date ne prouve rien, son contenu si"
            )


def _check_batch(number: int, seal: Seal, placed: Mapping[int, _Line], report: Report, *, trusted: bool) -> None:
    """Compare the events of a batch with its seal."""
    fields, name = seal.fields, seal_name(number)
    wanted = range(fields["premier"], fields["dernier"] + 1)
    listed = len(seal.leaves) == len(wanted) > 0 and merkle.root(seal.leaves).hex() == fields["racine"]
    gone = [seq for seq in wanted if seq not in placed]
    if gone:
        report.blame(f"événement {_format_ranges(gone)}", f"supprimé (le sceau {number} le connaît)")
    if not listed:
        present = [placed[seq].hash for seq in wanted if seq in placed]
        if gone or not present or merkle.root(present).hex() != fields["racine"]:
            where = f"événements {wanted.start} à {wanted.stop - 1}"
            report.blame(where, f"un au moins a été modifié (sceau {number}), et ses feuilles ne disent plus lequel")
        else:
            report.blame(name, "ses feuilles ont été modifiées ; les événements, eux, sont ceux qui ont été scellés")
        return
    ranks = {leaf: seq for seq, leaf in zip(wanted, seal.leaves, strict=True)}
    for seq, leaf in zip(wanted, seal.leaves, strict=True):
        line = placed.get(seq)
        if line is None or line.hash == leaf:
            continue
        if line.hash in ranks:
            report.blame(f"événement {seq}", f"remplacé par l'événement {ranks[line.hash]} : l'ordre a été changé")
        elif trusted:
            report.blame(f"événement {seq}", f"modifié : ce n'est plus celui que le sceau {number} a scellé")
        else:
            report.blame(f"événement {seq}", f"il ne correspond pas au sceau {number}, qui n'est pas valable lui-même")


def _check_unsealed(placed: Mapping[int, _Line], covered: int, report: Report) -> None:
    """Events after the last seal are only held by the chain of their own hashes."""
    after = sorted(seq for seq in placed if seq > covered)
    report.unsealed = len(after)
    for seq in after:
        before = placed.get(seq - 1)
        if seq > 1 and before is None:
            report.blame(f"événement {seq - 1}", "supprimé (pas encore scellé)")
        elif before and placed[seq].fields["precedent"] != before.hash.hex():
            report.blame(f"événement {seq}", f"il ne suit pas l'événement {seq - 1} : l'un des deux a été modifié")
        if not canonical.is_canonical(placed[seq].text):
            report.blame(f"événement {seq}", "modifié : sa forme n'est plus celle du journal")
    if after:
        report.warnings.append(f"événement {_format_ranges(after)} : pas encore scellé, tenu par le seul chaînage")
    if 1 in placed and placed[1].fields.get("evenement") != OPENING:
        report.blame("événement 1", "ce n'est pas l'ouverture du journal")


def _check_clock(
    placed: Mapping[int, _Line], seals: Mapping[int, Seal], stamps: Mapping[int, datetime], report: Report
) -> None:
    """Say where the machine's clock was wrong: against the timestamps, and against itself."""
    last = ""
    for seq in sorted(placed):
        fields = placed[seq].fields
        if fields.get("evenement") == CLOCK:
            detail = fields.get("detail")
            told, last = detail if isinstance(detail, dict) else {}, ""
            if "sceau" in told:
                continue  # told with its seal
            report.warnings.append(
                f"événement {seq} : l'horloge était fausse ({told.get('maintenant')} au lieu de "
                f"{told.get('reference', told.get('avant'))})"
            )
        elif fields["heure"] < last and _is_behind(fields["heure"], last):
            report.warnings.append(f"événement {seq} : daté avant le précédent, sans que le journal l'ait noté")
        last = max(last, fields["heure"])
    for number, at in stamps.items():
        fields = seals[number].fields
        limit = format_time(at + SKEW)
        late = [
            seq
            for seq in range(fields["premier"], fields["dernier"] + 1)
            if seq in placed and placed[seq].fields["heure"] > limit
        ]
        if late:
            report.warnings.append(f"événement {_format_ranges(late)} : daté après l'horodatage du sceau {number}")


def _is_behind(time: str, last: str) -> bool:
    try:
        return _parse_moment(time) < _parse_moment(last) - TOLERANCE
    except ValueError:
        return True


def _parse_moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _check_anchor(seals: Mapping[int, str], anchor: Mapping[int, str], report: Report) -> None:
    """What was copied out of the room earlier must be there, byte for byte."""
    highest = max(seals, default=0)
    lost = {number for number in anchor if number > highest}
    if lost:
        try:
            end = Seal.read(anchor[max(lost)]).fields["dernier"]
        except SealError:
            end = None
        what = f", jusqu'à l'événement {end}" if end else ""
        report.blame("fin du journal", f"coupée : les sceaux {_format_ranges(lost)} avaient été copiés{what}")
    for number in sorted(anchor.keys() & seals.keys()):
        if anchor[number] != seals[number]:
            report.blame(seal_name(number), "réécrit : ce n'est pas celui qui avait été copié hors de la salle")
        else:
            report.anchored = number
    if not lost and not report.anchored:
        report.blame("sceaux", "aucun n'est de ceux qui avaient été copiés : ce n'est pas le même journal")


# -- one event alone --------------------------------------------------------------------------------------


def make_proof(line: str, seal: Seal) -> str:
    """The inclusion proof of an event, a JSON document that is verified alone."""
    fields, event = seal.fields, Event.read(line)
    place = event.seq - fields["premier"]
    siblings = merkle.path(seal.leaves, place)
    parts = json.loads(seal.write())
    proof = {
        "evenement": line,
        "place": place,
        "taille": len(seal.leaves),
        "chemin": [sibling.hex() for sibling in siblings],
        "entete": parts["entete"],
        "jeton": parts["jeton"],
    }
    return json.dumps(proof, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def verify_proof(text: str, root: Path, untrusted: Path | None = None, unit: str = "") -> tuple[Event, datetime]:
    """Verify a proof; gives the event, and when it was certified to exist.

    Raises:
        VerifyError: with the reason, in French.
    """
    try:
        proof = json.loads(text)
        seal = Seal.read(json.dumps({"entete": proof["entete"], "jeton": proof["jeton"], "feuilles": []}))
        event, place, size = Event.read(proof["evenement"]), proof["place"], proof["taille"]
        found = merkle.root_of_path(event.hash, place, size, [bytes.fromhex(item) for item in proof["chemin"]])
    except (KeyError, TypeError, ValueError, RecursionError, SealError) as error:
        raise VerifyError(f"ce n'est pas une preuve, ou elle est abîmée : {error}") from error
    fields = seal.fields
    if found.hex() != fields["racine"]:
        raise VerifyError("l'événement n'est pas celui qui a été scellé, ou le chemin a été modifié")
    if event.seq != fields["premier"] + place or size != fields["dernier"] - fields["premier"] + 1:
        raise VerifyError("la place de l'événement n'est pas celle que dit le sceau")
    try:
        return event, timestamp.verify(seal.token, seal.header.encode(), root, untrusted, unit)
    except timestamp.TimestampError as error:
        raise VerifyError(str(error)) from error
