"""What the archive eliminated goes from here and from the chain too, and the archive is told what became of each copy.

The archive lists the eliminations of this commune, in the order of its journal, each with its signed attestation: what
is new is noted here first. Without an attestation of that very archive, verified here, nothing goes and nothing is
asked for. It is brought to the passerelle, which verifies it too, shows what will go to the commune for thirty days,
and has what it can reach go (GED, parapheur). The act's folder and words go from here once thirty days ran here as
well, and the passerelle says that nobody took the act back. What does not go yet is asked for again at each run.

Once a day the whole list is compared with what is here and at the passerelle: a machine restored from an old backup has
back what had gone, and would even deposit it again. What came back has thirty days anew.

Code du patrimoine, L212-2 and R212-14: the archive eliminates with a visa only; what never was in the archive is not in
its list, and stays.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from creatic_agent import attestation
from creatic_agent.attestation import DELAY, NotNow, Unproven
from creatic_agent.durable import sync_directory

from . import contact
from .archive import ACCEPTED, ArchiveError, Sae, archived_as
from .archive import Away as NoArchive
from .config import Config
from .correspondence import refusal
from .errors import Away, HandoverError
from .handover import ELIMINATED, Passerelle
from .journal import Journal
from .sip import FLOW, KEPT, PROOF
from .storage import move

GONE, ABSENT, WAITS, KEPT_BACK = "supprime", "absent", "attente", "garde"
_PENDING, _RANK, _WHOLE = "elimination:", "eliminations:rang", "eliminations:tout_le"
_TAKEN_BACK = "elimination-gardee:"
_SEEN, _UNSEEN = "eliminations:vu_le", 86400.0  # seconds without a run: off, or restored from a backup
_PAUSE = 6 * 3600.0  # seconds before what has days to wait is looked at again: there may be thousands
_DAY = 86400.0  # seconds between two comparisons of the whole list
_PART = ".elimine-"  # a folder on its way out
ACCOUNTS_YEARS = 10  # the ordonnateur keeps flows of accounts that long, after their year
_MOST_PAGES = 1000
_NAME_MAX = 200  # characters of an act's folder


@dataclass(frozen=True)
class Gone:
    """An elimination as the archive tells it. `name` is that of the act's folder here; empty, it can have none.

    `told` is the identifier of its SIP, `word` the archive's attestation, if it gave one, and `since` when it was noted
    here with one, `later` when it is looked at again (seconds since the epoch; 0 before).
    """

    archive: str
    request: str
    name: str
    rank: int
    attested: bool
    proof: bool = False
    told: str = ""
    word: Mapping[str, Any] | None = None
    since: float = 0.0
    later: float = 0.0

    @property
    def message(self) -> str:
        """What names it: its folder, or that folder's dossier de preuve."""
        return f"PREUVE-{self.name}" if self.proof else self.name

    @property
    def written(self) -> bool:
        """Whether it is what was written about an act, deposited after it: a letter, an answer."""
        return self.told.startswith(("COURRIER-", "REPONSE-"))

    @classmethod
    def of(cls, told: dict[str, Any]) -> Gone:
        """From the archive's answer. Raises KeyError, TypeError, ValueError."""
        message = str(told["identifiant"])
        name = message.removeprefix("ACTE-").removeprefix("PREUVE-")
        if "/" in name or "\0" in name or name.startswith(".") or len(name) > _NAME_MAX:
            name = ""  # somebody else than this connector deposited it: no act here is it
        word = told.get("attestation")
        return cls(str(told["archive"]), str(told["demande"]), name, int(told["rang"]), told["copies"] == GONE,
                   message.startswith("PREUVE-"), message, word if isinstance(word, dict) else None,
                   float(told.get("depuis") or 0), float(told.get("revoir") or 0))  # fmt: skip # one call by its parts


class Eliminations:
    """Eliminations of this commune. Raises ArchiveError when the archive is away."""

    def __init__(self, config: Config, journal: Journal, sae: Sae, passerelle: Passerelle | None) -> None:
        self._config, self._journal, self._sae, self._passerelle = config, journal, sae, passerelle
        self._away = ""  # what was said of a passerelle that did not answer in this run

    # -- dry -----------------------------------------------------------------------------------------------

    def planned(self) -> Iterator[str]:
        """What is asked for at the archive, or not gone yet, and what would go of it: nothing is changed."""
        waiting = [Gone.of(json.loads(text)) for text in self._journal.values(_PENDING).values()]
        listed = [*waiting, *self._pages("prevues=1"), *self._news()]
        for one in {one.archive: one for one in listed}.values():
            folders = [path for path in self._folders(one) if not self._other(path, one)]
            told = [f"ici : {', '.join(str(path) for path in folders) or 'rien'}"]
            if folders and (until := self._kept_until(one.name, folders[0])):
                told.append(f"gardé jusqu'au 31/12/{until} (flux comptable)")
            if self._passerelle and not one.proof and not one.written:
                said = self._ask(self._passerelle, one, essai=True)
                told += [f"{said['acte']}"] if said.get("acte") else []
                told += [f"{name} : {found.get('nombre', 0)}" for name, found in said.get("lieux", {}).items()]
            yield f"{one.message} (archive {one.archive}) : {' ; '.join(told)}"

    # -- done ----------------------------------------------------------------------------------------------

    def apply(self) -> tuple[list[str], list[str]]:
        """Have copies go; gives what was done, and what waits and why, in French."""
        found = [self._config.dossier.glob(f"{depth}/{_PART}*") for depth in ("*", "*/*")]
        for left in [path for paths in found for path in paths]:  # of a run that was killed
            shutil.rmtree(left)
        self._hear()
        self._begin_anew()
        done, waits = [], []
        for key, text in self._journal.values(_PENDING).items():
            one = Gone.of(json.loads(text))
            if contact.waits(one.later, _PAUSE):
                continue
            try:
                problem = self._apply_one(one)
            except NoArchive:  # the next one would meet the same
                raise
            except Exception as error:  # noqa: BLE001 # one failed elimination does not stop the others
                problem = str(error) or type(error).__name__
            if problem:
                waits.append(f"{one.message or one.archive} : {problem}")
            elif problem is not None:
                self._journal.forget(key)
                done.append(f"{one.message or one.archive} : éliminé aux archives, ses copies sont supprimées.")
        return done, waits

    def keep(self, archive: str) -> bool:
        """Take back what was to go from here: it stays until `let_go`. False: nothing of that archive waits."""
        if self._journal.value(_PENDING + archive):
            self._journal.set_value(_TAKEN_BACK + archive, time.time())
            return True
        return False

    def let_go(self, archive: str) -> bool:
        """Let go what was taken back, in thirty days. False: it was not."""
        if not self._journal.value(_TAKEN_BACK + archive):
            return False
        told = json.loads(self._journal.value(_PENDING + archive) or "{}")
        if told:
            self._journal.set_value(_PENDING + archive, json.dumps(told | {"depuis": time.time(), "revoir": 0}))
        self._journal.forget(_TAKEN_BACK + archive)
        return True

    def _begin_anew(self) -> None:
        """Have thirty days begin for all that waits, when no run told anybody of it for a day."""
        unseen = time.time() - float(self._journal.value(_SEEN, "0")) > _UNSEEN
        for key, text in self._journal.values(_PENDING).items() if unseen else ():
            told = json.loads(text)
            if told.get("depuis"):
                self._journal.set_value(key, json.dumps(told | {"depuis": time.time()}))
        self._journal.set_value(_SEEN, time.time())

    def _hear(self) -> None:
        """Note what is new; once a day, what is here or lacks at the passerelle of all that ever was."""
        for one in self._news():
            self._note(one)
            self._journal.set_value(_RANK, one.rank)
        if contact.waits(float(self._journal.value(_WHOLE, "0")) + _DAY, _DAY):
            return
        known = self._at_passerelle()
        for one in self._pages("apres=0"):
            if self._is_back(one) or not one.attested or self._unknown(one, known):
                self._note(one)
        self._journal.set_value(_WHOLE, time.time())

    @staticmethod
    def _unknown(one: Gone, known: set[str] | None) -> bool:
        """Whether the passerelle is to be told; it believes nothing without the archive's attestation."""
        return known is not None and one.word is not None and one.archive not in known

    def _is_back(self, one: Gone) -> bool:
        """Whether an act that was eliminated is here, or may be."""
        try:
            return any(not self._other(path, one) for path in self._folders(one))
        except ValueError:
            return True

    def _news(self) -> Iterator[Gone]:
        return self._pages(f"apres={int(self._journal.value(_RANK, '0'))}")

    def _note(self, one: Gone) -> None:
        """Note it, or what is new of it: the days that ran stay."""
        before = json.loads(self._journal.value(f"{_PENDING}{one.archive}") or "{}")
        same = one.word is None or one.word == before.get("attestation")
        told = {
            "identifiant": one.told, "archive": one.archive, "demande": one.request, "rang": one.rank, "copies": "",
            "attestation": one.word or before.get("attestation"), "depuis": before.get("depuis") or 0,
            "revoir": (before.get("revoir") or 0) if same else 0,
        }  # fmt: skip # a table
        self._journal.set_value(f"{_PENDING}{one.archive}", json.dumps(told))

    def _pages(self, query: str) -> Iterator[Gone]:
        for _page in range(_MOST_PAGES):
            try:
                found, more = self._sae.eliminations(query)
                some = [Gone.of(one) for one in found]
            except (KeyError, TypeError, ValueError) as error:
                raise ArchiveError(
                    f"la porte des archives a répondu autre chose que les éliminations ({error})."
                ) from error
            yield from some
            if not more or not some:
                return
            # What is only asked for has no rank yet: it goes by archive.
            last = some[-1]
            query = f"apres={last.rank}" if last.rank else f"prevues=1&apres={quote(last.archive, safe='')}"

    def _apply_one(self, one: Gone) -> str | None:
        """Have an act's copies go, and say so; gives what waits, "" when all is done, None when it was taken back."""
        try:
            self._check(one)
        except (Unproven, NotNow) as error:
            self._look_again(one, isinstance(error, Unproven))
            self._say(one, {"connecteur": {"etat": WAITS, "detail": f"rien ne part : {error}"[:300]}})
            return (
                f"{error} Rien n'est supprimé. À faire : si cette élimination est d'avant les attestations, supprimez "
                f"ces copies à la main, ou gardez-les (tdt-connector eliminer --garder {one.archive})."
            )
        if one.written:  # a person sorts letters, as those that went with their act (sae: STAYING)
            self._look_again(one, later=True)
            detail = "les courriers restent sur le connecteur, la passerelle et dans la GED : la commune les trie"
            self._say(one, {"connecteur": {"etat": KEPT_BACK, "detail": detail}})
            return None
        if not one.since:
            one = replace(one, since=time.time())
            self._remember(one, depuis=one.since)
        there = self._folders(one)
        # What was deposited again since is another archive, which is not eliminated.
        folders = [folder for folder in there if not self._other(folder, one)]
        until = max((self._kept_until(one.name, folder) for folder in folders), default=0)
        leaves = one.since + DELAY.total_seconds()
        places, lets = ({}, False) if until else self._at_others(one)
        self._look_again(one, lets is False or time.time() < leaves)
        if until:
            why = f"flux comptable : l'ordonnateur le garde jusqu'au 31/12/{until}"
            places["connecteur"] = {"etat": WAITS, "detail": why}
        elif not one.name:
            places["connecteur"] = {"etat": ABSENT}
        elif self._journal.value(_TAKEN_BACK + one.archive):
            places["connecteur"] = {"etat": KEPT_BACK, "detail": "gardé sur le connecteur"}
        elif any(found["etat"] == KEPT_BACK for found in places.values()):
            places["connecteur"] = {"etat": KEPT_BACK, "detail": "gardé par la commune"}
        elif not lets or time.time() < leaves:
            detail = f"part le {datetime.fromtimestamp(leaves).astimezone():%d/%m/%Y} au plus tôt"
            places["connecteur"] = {"etat": WAITS, "detail": detail}
        else:
            places["connecteur"] = self._leave(one, folders, whole=len(folders) == len(there))
        self._say(one, places)
        if any(found["etat"] == KEPT_BACK for found in places.values()):
            return None
        waits = [
            f"{name} ({told.get('detail') or 'pas encore'})" for name, told in places.items() if told["etat"] == WAITS
        ]
        return ", ".join(waits)

    def _check(self, one: Gone) -> None:
        """Verify what the archive attests: of this commune, and of that very archive. Raises Unproven, NotNow."""
        proven = attestation.check(one.word, self._config.groupement, self._config.revocation)
        if proven.siren != self._config.siren:
            raise Unproven("l'attestation est celle d'un autre service versant.")
        if (proven.archive, proven.request, proven.message) != (one.archive, one.request, one.told):
            raise Unproven("l'attestation est celle d'une autre archive, ou d'une autre demande.")

    def _remember(self, one: Gone, **more: float) -> None:
        told = json.loads(self._journal.value(_PENDING + one.archive))
        self._journal.set_value(_PENDING + one.archive, json.dumps(told | more))

    def _look_again(self, one: Gone, later: bool) -> None:
        """At the next run, or once some hours passed."""
        self._remember(one, revoir=time.time() + _PAUSE if later else 0)

    def _at_others(self, one: Gone) -> tuple[dict[str, Any], bool | None]:
        """Where the passerelle's copies are, and whether it lets those of here go; None when it does not say."""
        if self._passerelle is None:
            return {}, True
        if self._away:
            return {"passerelle": {"etat": WAITS, "detail": self._away[:300]}}, None
        try:
            said = self._ask(self._passerelle, one)
        except HandoverError as error:
            self._away = str(error) if isinstance(error, Away) else ""
            return {"passerelle": {"etat": WAITS, "detail": str(error)[:300]}}, None
        return dict(said["lieux"]) or {"passerelle": {"etat": WAITS, "detail": "demandé"}}, said.get(
            "echu"
        ) is True or said["etat"] == GONE

    def _leave(self, one: Gone, folders: list[Path], whole: bool) -> dict[str, Any]:
        """Have what is here go; `whole` tells that all that bears the act's name does."""
        if folders:  # before: a run that is cut may have removed them and said nothing
            self._journal.set_value(ELIMINATED + one.message, one.archive)
        for folder in folders:
            self._remove(folder)
        if one.name and whole and not one.proof:
            self._journal.redact(one.name)
        was_here = self._journal.value(ELIMINATED + one.message) == one.archive
        return {"etat": GONE if was_here else ABSENT, "nombre": len(folders)}

    def _say(self, one: Gone, places: dict[str, Any]) -> None:
        self._sae.report(one.archive, {"demande": one.request, "lieux": places})

    # -- here ----------------------------------------------------------------------------------------------

    def _folders(self, one: Gone) -> list[Path]:
        """Folders of an act that are here: its own, and those of an act filed twice (a journal that was lost). Of a
        dossier de preuve, its own folder inside them."""
        name = one.name
        if not name:
            return []
        if name.startswith(KEPT):
            found = [self._config.folder_kept / name]
        else:
            acknowledged = self._config.dossier / "acquittes"
            refs = [row.ref for row in self._journal.find(name)]
            found = [acknowledged / name, *(acknowledged / f"{name}_{ref}" for ref in refs)]
        found = [path / PROOF for path in found] if one.proof else found
        return [path for path in found if path.is_dir() and not path.is_symlink()]

    @staticmethod
    def _other(folder: Path, one: Gone) -> bool:
        """Whether what is there is another archive than the one that was eliminated; without an answer, it is not.

        Raises ValueError: the answer is not to be read.
        """
        try:
            return (folder / ACCEPTED).is_file() and archived_as(folder) != one.archive
        except ArchiveError as error:
            raise ValueError(f"{folder / ACCEPTED} : {error}") from error

    @staticmethod
    def _kept_until(name: str, folder: Path) -> int:
        """Year at whose end a flow of accounts may go; 0 when it may go now, or is none."""
        if not name.startswith(FLOW):
            return 0
        try:
            begun = int(str(json.loads((folder / "resume.json").read_bytes())["depose_le"])[:4])
        except (OSError, ValueError, KeyError, TypeError):
            begun = datetime.fromtimestamp(folder.stat().st_mtime).astimezone().year
        return begun + ACCOUNTS_YEARS if datetime.now().astimezone().year <= begun + ACCOUNTS_YEARS else 0

    @staticmethod
    def _remove(folder: Path) -> None:
        """Take a folder away, whole: its name first, so that nobody deposits half of it."""
        out = folder.with_name(f"{_PART}{folder.name}")
        move(folder, out)
        shutil.rmtree(out)
        sync_directory(out.parent)

    # -- at the passerelle ---------------------------------------------------------------------------------

    def _ask(self, passerelle: Passerelle, one: Gone, essai: bool = False) -> dict[str, Any]:
        """What became, or would become, of the chain's copies. Raises HandoverError."""
        number = "" if one.name.startswith(KEPT) else one.name
        body = {
            "archive": one.archive, "demande": one.request, "id_acte": number, "essai": essai, "attestation": one.word,
        }  # fmt: skip # a table
        answer = passerelle.call("POST", "/connecteur/eliminations", json=body)
        if not answer.ok:
            raise refusal(answer)
        try:
            told: dict[str, Any] = answer.json()
            # Until all of it went, its places say how far they are; those that it does not say yet wait.
            if told["etat"] == WAITS and not essai and all(found["etat"] != WAITS for found in told["lieux"].values()):
                told["lieux"] |= {"passerelle": {"etat": WAITS, "detail": "demandé, en cours"}}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise HandoverError("la passerelle a répondu autre chose que l'état d'une élimination.") from error
        return told

    def _at_passerelle(self) -> set[str] | None:
        """Archives whose elimination the passerelle knows; None when that cannot be told now."""
        if self._passerelle is None:
            return None
        try:
            answer = self._passerelle.call("GET", "/connecteur/eliminations")
            if answer.status_code != HTTPStatus.OK:
                return None
            return {str(one) for one in answer.json()["archives"]}
        except (HandoverError, ValueError, KeyError, TypeError):
            return None
