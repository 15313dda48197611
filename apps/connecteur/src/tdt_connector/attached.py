"""What was written about an act, for the archive: the préfecture's letters, the commune's answers and their receipts.

A letter is one unit, an answer that the préfet has is another, with its receipt. What is there when the act leaves for
the archive goes with it; what comes afterwards is an archive of its own, which names the act's. What the archive
answered to a unit of its own is kept in the folder PLACE beside it; which units went with an act, in its RULE.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import letters, prefecture
from .answers import ANSWERS, RECEIPT, RECEIPTED, TRANSMITTED
from .archive import ACCEPTED, REFUSED, ArchiveError, archived_as, carried, folder_of, lately_refused
from .config import Config
from .correspondence import letter_files
from .driver import LETTERS
from .handover import ELIMINATED
from .journal import Journal
from .sip import SipError, Unit

log = logging.getLogger("tdt-connector")
PLACE = "archive"
_ANSWERED = {"reponse": "Réponse à la préfecture", "refus": "Refus signifié à la préfecture"}
_TITLE_MAX = 200  # characters


@dataclass(frozen=True)
class Standing:
    """Where a letter, or an answer, stands: what the archive has of it, or what it waits for (French)."""

    unit: Unit
    archived: bool
    due: bool
    words: str


def units(config: Config, journal: Journal) -> list[Unit]:
    """What was written about acts, and says something; one that cannot be read keeps no other."""
    if not (config.dossier / "lettres").is_dir():
        return []
    answers: dict[int, list[tuple[str, dict[str, Any]]]] = {}
    for key, text in journal.values(ANSWERS).items():
        one = json.loads(text)
        if one["etat"] in (RECEIPTED, TRANSMITTED):
            answers.setdefault(int(one["lettre"]), []).append((key.removeprefix(ANSWERS), one))
    found = []
    for number, folder in letters.received(config):
        try:
            found += [one for one in _of(journal, number, folder, answers.get(number, ())) if one.size]
        except (OSError, LookupError, TypeError, ValueError) as error:
            log.error("Courrier %s, laissé de côté pour l'archive : %s", number, error or type(error).__name__)
    return found


def due(config: Config, journal: Journal) -> list[Unit]:
    """Those that leave as archives of their own, now: their act is archived without them."""
    return [one.unit for one in standings(config, journal) if one.due]


def standings(config: Config, journal: Journal) -> Iterator[Standing]:
    """Where each stands; one whose answer, or whose act's, cannot be read keeps no other."""
    for unit in units(config, journal):
        try:
            yield _standing(config, journal, unit)
        except (ArchiveError, SipError, OSError) as error:
            yield Standing(unit, archived=False, due=False, words=f"à voir : {error}")


def _standing(config: Config, journal: Journal, unit: Unit) -> Standing:
    siren, _number = prefecture.owner(unit.about)
    if siren and siren != config.siren:
        return Standing(unit, False, False, f"jamais versé : il nomme l'acte d'une autre collectivité (SIREN {siren})")
    if not siren:
        return Standing(unit, False, False, "à voir : il ne dit pas de quel acte il parle")
    if (unit.folder / PLACE / ACCEPTED).is_file():
        return Standing(unit, True, False, f"versé ({archived_as(unit.folder / PLACE)})")
    folder = folder_of(config, unit.about)
    if not folder.is_dir():
        gone = journal.value(ELIMINATED + unit.about)
        words = "son acte est éliminé aux archives" if gone else "attend son acte, que ce connecteur n'a pas"
        return Standing(unit, False, False, words)
    if not (folder / ACCEPTED).is_file():
        return Standing(unit, False, False, "attend le versement de son acte")
    if any(one.name == unit.name for one in carried(config, folder) or ()):
        return Standing(unit, True, False, f"versé avec son acte ({archived_as(folder)})")
    if (unit.folder / PLACE / REFUSED).is_file():
        return Standing(unit, False, not lately_refused(unit.folder / PLACE), "REFUSÉ par les archives")
    return Standing(unit, False, True, "à verser")


def _of(
    journal: Journal, number: int, folder: Path, answers: Sequence[tuple[str, Mapping[str, Any]]]
) -> Iterator[Unit]:
    files = letter_files(number, folder)
    message = prefecture.read(files)
    facts = json.loads(journal.value(f"{letters.FACTS}{number}") or "{}")
    idacte = str(facts.get("id_acte") or message.idacte or _acknowledged(journal, facts.get("acte")))
    came = f"{folder.name[:4]}-{folder.name[4:6]}-{folder.name[6:8]}"
    what = LETTERS.get(str(facts.get("type") or message.kind), "courrier de la préfecture")
    if len(files) > 1 and not message.fault:
        files = files[:-1]  # the archive, as it came, says nothing more
    yield Unit(
        name=f"COURRIER-{number}",
        about=idacte,
        folder=folder,
        title=f"{what[:1].upper()}{what[1:]} du {_french(message.day or came)}",
        kind="Courrier du représentant de l'État",
        begun=min(message.day or came, came),
        ended=came,
        files=tuple((path.name, f"courrier-{number}-{path.name}", _file_title(path)) for path in files),
    )
    for key, one in answers:
        place = folder / f"reponse-{key}"
        names = [
            (Path(path).name, "Réponse" if not rank else f"Pièce {rank}") for rank, path in enumerate(one["fichiers"])
        ]
        names += [(RECEIPT, "Accusé de réception de la réponse")] if (place / RECEIPT).is_file() else []
        yield Unit(
            name=f"REPONSE-{key[:12]}",
            about=idacte,
            folder=place,
            title=f"{_ANSWERED.get(str(one['sens']), 'Réponse')} ({what})",
            kind="Réponse au représentant de l'État",
            begun=came,
            # Without a receipt nothing here says when it left, but a file's own date, which a restore changes.
            ended=max(came, str(one.get("date_reception") or came)[:10]),
            files=tuple((name, f"reponse-{key[:12]}-{name}", title) for name, title in names),
        )


def _acknowledged(journal: Journal, transaction: object) -> str:
    """Identifier of the act that has this transaction at the TdT, "" for none."""
    rows = journal.find(str(transaction)) if transaction else ()
    return next((row.idacte for row in rows if row.transaction == transaction and row.idacte), "")


def _file_title(path: Path) -> str:
    return f"Message du protocole ({path.name})" if path.suffix.lower() == ".xml" else path.name[:_TITLE_MAX]


def _french(day: str) -> str:
    return f"{day[8:10]}/{day[5:7]}/{day[:4]}"
