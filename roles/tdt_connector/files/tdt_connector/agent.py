"""The agent: takes deposits, sends each exactly once, follows them to their ARActe, files them.

Everything it does can be interrupted at any point, power cut included, and is taken up again by the next
cycle from the journal and the folders. `on_step` hears the name of each step: the service pings systemd's
watchdog with it.
"""

from __future__ import annotations

import io
import json
import logging
import re
import secrets
import shutil
import sqlite3
import threading
import time
import unicodedata
from collections.abc import Callable
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from creatic_agent.durable import sync_directory, write

from . import acquit as acquits
from . import description as descriptions
from . import receipt as receipts
from .checks import Act, check_act, check_pes
from .classification import Classification, ClassificationError, fold
from .classification import parse as parse_classification
from .config import Config
from .depot import DepotWatcher, Group, same_file
from .driver import Driver, Incoming, RemoteAct, RemoteState, RemoteStatus
from .errors import Denied, Duplicate, Refused, TdtError, Uncertain, Unreachable
from .journal import FINAL, AlreadyUsed, Journal, Row, SeenFile, State, StateChanged
from .storage import copy, digest, move
from .unpacking import UnpackError, unpack

log = logging.getLogger("tdt-connector")

FOLDERS = {
    State.ACKNOWLEDGED: "acquittes",
    State.REFUSED: "rejets",
    State.ERROR: "rejets",
    State.REJECTED: "rejets",
    State.CANCELLED: "annules",
}
_ACQUIT = "acquittement.xml"
_RECEIVED = {"lettre": "lettres", "pes_retour": "pes_retour"}
# The TdT must say twice that it does not have an act before it is sent again.
_ABSENCES = 2
# Sends left without an answer, though the TdT's list answers, after which a person must look.
_SENDS = 5
_SIGN_OF_LIFE = 30  # seconds between two signs of life in the journal
_SET_ASIDE = 3600  # longest time, in seconds, before a document that could not be received is asked for again
_RETRY = 60  # seconds before an act that met an internal error is tried again


class Agent:
    """One connector. `cycle` does all there is to do now; it never sleeps, and ends early once `stop` is set."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        driver: Driver,
        on_step: Callable[[str], None] = lambda step: None,
        stop: threading.Event | None = None,
    ) -> None:
        self._config = config
        self._journal = journal
        self._driver = driver
        self._step = on_step
        self._stop = stop or threading.Event()
        self._watcher = DepotWatcher(config.folder_depot, config.delais, config.max_bytes)
        self._classification: Classification | None = None
        self._failures = 0
        self._contact_due = 0.0
        self._answer_polls = 0
        self._answer_due = 0.0
        self._set_aside: dict[Incoming, tuple[int, float]] = {}
        self._recover()

    # -- one cycle ------------------------------------------------------------------------------------

    def cycle(self) -> float:
        """Do what is due. Returns how long nothing will be, in seconds."""
        now = time.time()
        self._each("retrait du dépôt", self._journal.uncleared(), self._clear_depot)
        self._each("classement", self._journal.unfiled(), self._file)
        self._take_deposits()
        if self._reachable():
            self._refresh_classification()
        self._each("contrôle", self._journal.rows(State.DEPOSITED), self._check)
        self._each_remote(State.CHECKED, self._send)
        self._each_remote(State.INTENT, self._reconcile)
        self._each_remote(State.SENT, self._poll)
        if self._reachable() and now >= float(self._journal.value("reception_prevue", "0")):
            self._receive()
        if now - float(self._journal.value("cycle_le", "0")) >= _SIGN_OF_LIFE:
            self._journal.set_value("cycle_le", int(now))
        return self._pause()

    def _pause(self) -> float:
        dues = [row.due for row in self._journal.rows(State.INTENT, State.SENT)]
        due = max(min(dues, default=float("inf")), self._contact_due)
        return max(0.0, min(self._config.delais.depot, due - time.time()))

    def _each(self, what: str, rows: list[Row], action: Callable[[Row], None]) -> None:
        """Apply to each row; one row's trouble does not hold the others back."""
        now = time.time()
        for row in rows:
            if self._stop.is_set():
                return
            if row.due > now:
                continue
            self._step(what)
            try:
                action(row)
            except StateChanged as error:
                log.info("%s", error)
            except sqlite3.Error:
                raise
            except Exception as error:  # a bug or a full disk met on one act must not stop the others
                log.exception("%s de « %s » impossible : %s", what, row.title, error)
                self._postpone(row, f"{what} impossible : {error}")

    def _postpone(self, row: Row, detail: str) -> None:
        fresh = self._journal.get(row.id)
        values: dict[str, Any] = {"prochain": time.time() + _RETRY}
        if fresh.state not in FINAL:  # there, the detail is the reason given to the clerk
            values["detail"] = detail
        if fresh.state is State.INTENT:
            values.update(incertain=1, absences=0)
        self._journal.note(fresh, **values)

    def _each_remote(self, state: State, action: Callable[[Row], None]) -> None:
        # Those asked about longest ago come first: one that gets no answer does not keep the others.
        for row in sorted(self._journal.rows(state), key=lambda row: row.due):
            if not self._reachable():
                return
            self._each(f"traitement ({state})", [row], action)

    # -- contact with the TdT -------------------------------------------------------------------------

    def _reachable(self) -> bool:
        return time.time() >= self._contact_due

    def _contact(self) -> None:
        self._failures = 0
        self._contact_due = 0.0
        self._journal.set_value("contact_le", int(time.time()))
        self._journal.set_value("contact_erreur", "")

    def _lost(self, error: TdtError) -> None:
        """The TdT cannot be used now: everything that needs it waits, twice as long each time."""
        self._failures += 1
        pause = min(self._config.delais.reprise_max, self._config.delais.depot * 2**self._failures)
        self._contact_due = time.time() + pause
        self._journal.set_value("contact_erreur", str(error))
        log.warning("%s Nouvel essai dans %.0f s.", _sentence(str(error)), pause)

    def _backoff(self, attempts: int) -> float:
        delays = self._config.delais
        return time.time() + min(delays.sondage_max, delays.sondage_min * 2 ** min(attempts, 20))

    # -- start ----------------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Set right what a crash left: a send without an answer, half-copied folders."""
        for row in self._journal.rows(State.INTENT):
            if not row.uncertain:
                log.warning("« %s » : envoi interrompu, à rechercher dans la liste du TdT.", row.title)
            self._journal.note(row, incertain=1)
        for path in self._config.folder_current.iterdir():
            if not path.is_dir():
                continue
            if path.name.startswith("."):
                shutil.rmtree(path)  # a copy that was not finished: its files are still in depot/
            elif not self._journal.find(path.name):
                self._recover_orphan(path)

    def _recover_orphan(self, folder: Path) -> None:
        """A whole copy the journal does not know: the crash came between the two."""
        depot = self._config.folder_depot
        if all(_same_content(depot / item.name, item) for item in folder.iterdir()):
            shutil.rmtree(folder)
            return
        problem = "le journal ne connaît pas ce dépôt (journal restauré ?) ; vérifiez au TdT, puis déposez de nouveau."
        row = self._journal.add(folder.name, "autre", [], State.REJECTED, problem)
        self._file(self._journal.note(row, retire_du_depot=1))

    # -- depot ----------------------------------------------------------------------------------------

    def _take_deposits(self) -> None:
        taken = {(item.name, item.inode) for row in self._journal.uncleared() for item in row.files}
        for group in self._watcher.ready(taken):
            if self._stop.is_set():
                return
            self._step("prise en charge")
            try:
                if group.problem:
                    self._refuse_in_place(group)
                else:
                    self._take(group)
            except sqlite3.Error:
                raise
            except Exception as error:  # one deposit does not hold the others back
                expected = isinstance(error, OSError)
                log.error("« %s » reste dans le dépôt : %s", group.stem, error, exc_info=not expected)

    def _new_ref(self, stem: str) -> str:
        plain = re.sub(r"[^A-Za-z0-9]+", "-", unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode())
        return f"{datetime.now():%Y%m%d-%H%M%S}-{plain.strip('-')[:40] or 'depot'}-{secrets.token_hex(2)}"

    def _take(self, group: Group) -> None:
        """Copy to en_cours/, make it durable, record it; only then leave depot/."""
        ref = self._new_ref(group.stem)
        partial = self._config.folder_current / f".{ref}"
        partial.mkdir(mode=0o750)
        try:
            files = []
            for name in group.names:
                info, sha256 = copy(self._config.folder_depot / name, partial / name)
                files.append(SeenFile(name, info.st_ino, info.st_size, info.st_mtime_ns, sha256))
                if (partial / name).stat().st_size != info.st_size:
                    raise OSError(f"« {name} » a changé pendant la copie")
            sync_directory(partial)
        except Exception:
            shutil.rmtree(partial)
            raise
        self._step("copié")
        move(partial, self._config.folder_current / ref)
        self._step("copié sur disque")
        row = self._journal.add(ref, group.kind, files)
        self._step("pris au journal")
        self._clear_depot(row)
        log.info("« %s » pris en charge (%s).", group.stem, ref)

    def _clear_depot(self, row: Row) -> None:
        """Remove from depot/ the very files that were taken; a file replaced since then stays."""
        if row.state is State.REJECTED and not (self._config.folder_current / row.ref).exists():
            return  # refused where it stood: filing moves its files
        depot = self._config.folder_depot
        for item in row.files:
            try:
                if same_file(item, (depot / item.name).lstat()):
                    (depot / item.name).unlink()
                    self._step("retiré du dépôt")
            except FileNotFoundError:
                continue
        sync_directory(depot)
        self._journal.note(self._journal.get(row.id), retire_du_depot=1)

    def _refuse_in_place(self, group: Group) -> None:
        files = []
        for name in group.names:
            info = (self._config.folder_depot / name).lstat()
            files.append(SeenFile(name, info.st_ino, info.st_size, info.st_mtime_ns))
        row = self._journal.add(self._new_ref(group.stem), group.kind, files, State.REJECTED, group.problem)
        self._step("refus au journal")
        self._file(row)

    # -- checks ---------------------------------------------------------------------------------------

    def _check(self, row: Row) -> None:
        if not row.cleared:
            return
        folder = self._config.folder_current / row.ref
        if row.kind == "pes":
            self._check_pes(row, folder)
            return
        try:
            described = self._description(row, folder)
        except descriptions.DescriptionError as error:
            self._reject(row, str(error))
            return
        problem = self._classification_problem()
        if self._classification is None or problem:
            if row.detail != problem:
                self._journal.note(row, detail=problem)
            return
        act, faults = check_act(described, folder, self._classification, date.today(), self._config.max_bytes)
        if act is None:
            self._reject(row, "\n".join(faults))
            return
        try:
            self._journal.move(row, State.CHECKED, numero=act.number, acte=act.to_dict())
        except AlreadyUsed:
            self._reject(row, self._number_used(act.number))

    def _description(self, row: Row, folder: Path) -> descriptions.Description:
        """The act's description, with its file's name filled in."""
        name = next(item.name for item in row.files if item.name.lower().endswith((".yml", ".yaml")))
        with (folder / name).open("rb") as stream:
            described = descriptions.parse(stream.read(descriptions.MAX_BYTES + 1))
        names = {item.name for item in row.files} - {name}
        if not described.file:
            stem = Path(name).stem
            main = next((other for other in sorted(names) if Path(other).stem == stem), f"{stem}.pdf")
            described = descriptions.replace_file(described, main)
        absent = {described.file, *(annex.file for annex in described.annexes)} - names
        if absent:  # it was replaced between two looks
            listed = ", ".join(f"« {other} »" for other in sorted(absent))
            raise descriptions.DescriptionError(
                [f"fichier annoncé par « {name} » mais pas déposé avec lui : {listed}."]
            )
        return described

    def _number_used(self, number: str) -> str:
        other = next(row for row in self._journal.find(number) if row.state not in (State.REJECTED, State.DEPOSITED))
        when = datetime.fromtimestamp(other.deposited_at)
        return (
            f"champ « numero » : « {number} » est déjà celui de l'acte déposé le {when:%d/%m/%Y à %H:%M} "
            f"({other.state.label}). Un numéro ne sert qu'une fois ; ajoutez un suffixe si c'est un autre acte."
        )

    def _check_pes(self, row: Row, folder: Path) -> None:
        path = folder / _pes_name(row)
        faults = check_pes(path, self._config.siren, self._config.max_bytes)
        if faults:
            self._reject(row, "\n".join(faults))
            return
        try:
            self._journal.move(row, State.CHECKED, empreinte=digest(path, "sha1"))
        except AlreadyUsed:
            self._reject(row, f"« {path.name} » a déjà été transmis (même contenu) ; rien n'est renvoyé.")

    def _reject(self, row: Row, problem: str) -> None:
        log.warning("« %s » est rejeté : %s", row.title, problem.replace("\n", " "))
        self._step("rejet")
        self._file(self._journal.move(row, State.REJECTED, detail=problem))

    # -- classification -------------------------------------------------------------------------------

    def _classification_problem(self) -> str:
        """Why no act may leave on the nomenclature at hand, or ""."""
        if self._classification is None:
            return "en attente de la nomenclature de la préfecture : elle n'a pas encore été reçue du TdT."
        value, delays = self._journal.value, self._config.delais
        served, wanted = self._classification.version, value("nomenclature_exigee")
        if wanted > served.isoformat():
            return (
                f"nomenclature périmée : le TdT emploie celle du {served:%d/%m/%Y}, la préfecture applique celle du "
                f"{date.fromisoformat(wanted):%d/%m/%Y}, demandée au TdT."
            )
        age = time.time() - float(value("nomenclature_le", "0"))
        if age > delays.nomenclature_max:
            return f"nomenclature périmée : elle n'a pas pu être vérifiée au TdT depuis {age / 3600:.0f} h."
        asked = time.time() - float(value("nomenclature_demande_le", "0"))
        if (
            value("nomenclature_demande")
            and not value("nomenclature_confirmee")
            and asked < delays.nomenclature_attente
        ):
            return "en attente de la nomenclature : la préfecture n'a pas encore répondu à la première demande."
        return ""

    def _refresh_classification(self) -> None:
        """Keep the nomenclature current: ask the préfecture for it every day, fetch what the TdT holds."""
        path, delays, value = self._config.classification, self._config.delais, self._journal.value
        if self._classification is None and path.exists():
            try:
                self._classification = parse_classification(path.read_bytes())
            except ClassificationError as error:
                log.warning("%s : %s", path, error)
        now = time.time()
        try:
            answered = self._classification_answered(now)
            stale = self._classification is not None and bool(self._classification_problem())
            asked = now - float(value("nomenclature_demande_le", "0"))
            if not value("nomenclature_demande") and asked >= (
                delays.sondage_max if stale else delays.nomenclature_demande
            ):
                self._ask_classification(now)
            age = now - float(value("nomenclature_le", "0"))
            if self._classification is None or answered or age >= delays.nomenclature:
                self._fetch_classification(now)
        except (Unreachable, Denied, Uncertain) as error:
            self._lost(error)
        except (Refused, ClassificationError) as error:
            self._lost(Refused(str(error), "nomenclature"))

    def _ask_classification(self, now: float) -> None:
        self._step("demande de nomenclature")
        try:
            transaction = str(self._driver.request_classification())
        except Refused as error:  # a request may already be on its way
            log.warning("Demande de nomenclature refusée : %s", error)
            transaction = ""
        self._journal.set_value("nomenclature_demande", transaction)
        self._journal.set_value("nomenclature_demande_le", int(now))
        self._answer_polls, self._answer_due = 0, now + self._config.delais.sondage_min

    def _classification_answered(self, now: float) -> bool:
        """Whether the préfecture has just answered the pending request."""
        pending = self._journal.value("nomenclature_demande")
        if not pending or now < self._answer_due:
            return False
        self._step("réponse de nomenclature")
        self._answer_polls += 1
        self._answer_due = self._backoff(self._answer_polls)
        if not self._driver.classification_answered(int(pending)):
            return False
        self._journal.set_value("nomenclature_demande", "")
        self._journal.set_value("nomenclature_confirmee", 1)
        return True

    def _fetch_classification(self, now: float) -> None:
        self._step("nomenclature")
        content = self._driver.classification()
        self._classification = parse_classification(content)
        self._contact()
        version = self._classification.version.isoformat()
        write(self._config.classification, content)
        self._journal.set_value("nomenclature_le", int(now))
        self._journal.set_value("nomenclature_version", version)
        self._require_classification(version)

    def _require_classification(self, version: str) -> None:
        if version > self._journal.value("nomenclature_exigee"):
            self._journal.set_value("nomenclature_exigee", version)

    # -- sending --------------------------------------------------------------------------------------

    def _send(self, row: Row) -> None:
        if row.kind == "acte":
            problem = self._classification_problem()
            if problem:
                if row.detail != problem:
                    self._journal.note(row, detail=problem)
                return
        folder = self._config.folder_current / row.ref
        self._step("avant intention")
        row = self._journal.move(row, State.INTENT, essais=row.attempts + 1)
        self._step("intention")
        try:
            if row.kind == "pes":
                transaction = self._driver.submit_pes(folder / _pes_name(row))
            else:
                transaction = self._driver.submit_act(Act.from_dict(row.act or {}), folder)
        except (Unreachable, Denied) as error:
            due = time.time() + self._config.delais.reprise_max if isinstance(error, Denied) else 0
            detail = _sentence(str(error))
            self._journal.move(row, State.CHECKED, essais=row.attempts - 1, prochain=due, detail=detail)
            self._lost(error)
        except Duplicate as error:
            self._contact()
            self._reconcile(self._journal.note(row, detail=_sentence(str(error))), duplicate=True)
        except Refused as error:
            self._contact()
            self._reject(row, str(error))
        except Uncertain as error:
            due = time.time() + self._config.delais.rapprochement
            detail = f"{_sentence(str(error))} Le dépôt sera recherché dans la liste du TdT."
            self._journal.note(row, incertain=1, absences=0, prochain=due, detail=detail)
            self._lost(error)
        else:
            self._step("réponse")
            self._sent(row, transaction)
            self._contact()

    def _sent(self, row: Row, transaction: int, detail: str = "") -> None:
        due = time.time() + self._config.delais.sondage_min
        self._journal.move(row, State.SENT, transaction_tdt=transaction, essais=0, prochain=due, detail=detail)
        self._step("envoyé")
        log.info("« %s » envoyé, transaction %d.", row.title, transaction)

    # -- reconciling ----------------------------------------------------------------------------------

    def _reconcile(self, row: Row, duplicate: bool = False) -> None:
        """Find out from the TdT whether a deposit arrived. It is never sent again on a mere guess.

        `duplicate`: the TdT has just said that it already holds this number or this PES.
        """
        self._step("rapprochement")
        try:
            if row.kind == "pes":
                self._reconcile_pes(row, duplicate)
            else:
                self._reconcile_act(row, duplicate)
            self._contact()
        except Refused as error:
            self._park(row, f"{_sentence(str(error))} Le connecteur ne peut pas savoir si le dépôt est arrivé.")
        except (Unreachable, Denied, Uncertain) as error:
            self._journal.note(row, incertain=1, prochain=time.time() + self._config.delais.rapprochement)
            self._lost(error)

    def _reconcile_act(self, row: Row, duplicate: bool) -> None:
        act = Act.from_dict(row.act or {})
        found = self._driver.find_acts(act.number)
        if not found:
            self._absent(row, duplicate, f"le numéro « {act.number} » est déjà utilisé au TdT")
        elif len(found) > 1:
            listed = ", ".join(str(item.transaction) for item in found)
            self._park(row, f"Le TdT liste plusieurs actes « {act.number} » (transactions {listed}).")
        else:
            self._compare(row, act, found[0])

    def _absent(self, row: Row, duplicate: bool, already: str) -> None:
        if duplicate and not row.uncertain:
            self._reject(row, f"{already}, par un dépôt que ce connecteur ne voit pas ; consultez le site du TdT.")
        elif duplicate:
            self._park(row, "Le TdT dit avoir déjà ce dépôt mais ne le montre pas dans sa liste.")
        elif row.absences + 1 < _ABSENCES:
            due = time.time() + self._config.delais.rapprochement
            self._journal.note(row, absences=row.absences + 1, prochain=due)
        elif row.attempts >= _SENDS:
            self._park(row, f"{row.attempts} envois sont restés sans réponse et le TdT ne liste pas ce dépôt.")
        else:
            log.info("« %s » n'est pas au TdT : nouvel envoi.", row.title)
            self._journal.move(
                row, State.CHECKED, absences=0, detail="Absent du TdT après vérification : nouvel envoi."
            )

    def _compare(self, row: Row, act: Act, remote: RemoteAct) -> None:
        same = remote.date[:10] == act.date and _comparable(remote.subject) == _comparable(act.subject)
        theirs = f"transaction {remote.transaction}, du {remote.date}, « {remote.subject} »"
        if same:
            original = self._driver.act_original(remote.transaction)
            if original is not None:
                ours = self._config.folder_current / row.ref / act.file
                same = sha256(original).hexdigest() == digest(ours)
            elif not row.uncertain:
                self._park(
                    row,
                    f"Le TdT a déjà un acte de même numéro, date et objet ({theirs}), que ce connecteur "
                    "n'a pas envoyé, et ne donne pas encore son contenu à comparer.",
                )
                return
        if same:
            self._sent(row, remote.transaction, "Retrouvé dans la liste du TdT.")
        else:
            self._reject(
                row,
                f"champ « numero » : « {act.number} » est déjà utilisé au TdT par un autre acte ({theirs}). "
                "Choisissez un autre numéro, par exemple avec un suffixe.",
            )

    def _reconcile_pes(self, row: Row, duplicate: bool) -> None:
        found = self._driver.find_pes(row.fingerprint or "")
        if found and (row.uncertain or not duplicate):
            self._sent(row, found[0], "Retrouvé dans la liste du TdT.")
        elif found:
            self._reject(row, f"ce flux PES a déjà été transmis au TdT (transaction {found[0]}) ; rien n'est renvoyé.")
        else:
            self._absent(row, duplicate, "ce flux PES a déjà été transmis au TdT")

    def _park(self, row: Row, why: str) -> None:
        """Leave the decision to a person, with what to do."""
        self._journal.move(
            row,
            State.TO_RECONCILE,
            detail=f"{why} Cherchez-le sur le site du TdT : s'il y est, "
            f"« tdt-connector retry {row.title} --transaction N » avec son numéro de transaction ; "
            f"s'il n'y est pas, « tdt-connector retry {row.title} --absent ».",
        )
        log.error("« %s » est à rapprocher : %s", row.title, why)

    # -- polling --------------------------------------------------------------------------------------

    def _poll(self, row: Row) -> None:
        transaction = row.transaction or 0
        try:
            status = self._driver.pes_status(transaction) if row.kind == "pes" else self._driver.act_status(transaction)
            self._contact()
            row = self._note_status(row, status)
            if status.state is RemoteState.ACKNOWLEDGED:
                self._acknowledge(row, status)
            elif status.state is RemoteState.UNRECEIPTED:
                self._finish(row, State.ACKNOWLEDGED, detail="Transmis ; le TdT n'attend pas d'acquittement.")
            elif status.state is RemoteState.REFUSED and row.kind == "pes":
                self._refuse_flow(row, self._known_acquit(row), status.text)
            elif status.state is RemoteState.REFUSED:
                self._finish(row, State.REFUSED, detail=_why("refusé par la préfecture", status.text))
            elif status.state is RemoteState.ERROR:
                self._finish(row, State.ERROR, detail=_why("mis en erreur par le TdT", status.text))
            elif status.state is RemoteState.CANCELLED:
                self._finish(row, State.CANCELLED, detail="annulé au TdT.")
        except Refused as error:
            self._journal.note(
                row,
                detail=_sentence(str(error)),
                essais=row.attempts + 1,
                prochain=self._backoff(row.attempts),
            )
        except (receipts.ReceiptError, acquits.AcquitError) as error:
            self._journal.move(row, State.TO_RECONCILE, detail=f"{_sentence(str(error))} Prévenez le groupement.")
            log.error("« %s » : %s", row.title, error)
        except Uncertain as error:  # it may be this transaction alone: the others come first the next time
            row = self._journal.get(row.id)
            self._journal.note(row, essais=row.attempts + 1, prochain=self._backoff(row.attempts))
            self._lost(error)
        except (Unreachable, Denied) as error:
            self._lost(error)

    def _note_status(self, row: Row, status: RemoteStatus) -> Row:
        changed = status.code != row.remote_status
        polls = 0 if changed else row.attempts
        since = {"statut_tdt": status.code, "statut_depuis": time.time()} if changed else {}
        detail = _sentence(status.state) if status.state is RemoteState.HELD else ""
        return self._journal.note(row, essais=polls + 1, prochain=self._backoff(polls), detail=detail, **since)

    def _acknowledge(self, row: Row, status: RemoteStatus) -> None:
        """Get everything on disk beside the act, then say that it is acknowledged."""
        folder = self._config.folder_current / row.ref
        transaction = row.transaction or 0
        if row.kind == "pes":
            answer = self._acquit(row)
            if answer.refused:
                self._refuse_flow(row, answer, status.text)
            else:
                detail = "\n".join(text for text in (status.text, answer.account()) if text)
                self._finish(row, State.ACKNOWLEDGED, detail=detail)
            return
        act = Act.from_dict(row.act or {})
        receipt = receipts.parse(status.receipt, act, self._config.siren)
        write(folder / "ARActe.xml", status.receipt.strip() + b"\n")
        self._step("ARActe")
        for name, content in self._driver.act_documents(transaction).items():
            write(folder / name, content)
        self._step("pièces")
        if receipt.classification:
            self._require_classification(receipt.classification.isoformat())
        self._finish(row, State.ACKNOWLEDGED, idacte=receipt.idacte, aracte_le=receipt.received_on)
        log.info("« %s » acquitté par la préfecture : %s.", row.title, receipt.idacte)

    def _acquit(self, row: Row) -> acquits.Acquit:
        """What the DGFiP says of a flow, kept beside it. Raises what the driver does, AcquitError."""
        content = self._driver.pes_receipt(row.transaction or 0)
        write(self._config.folder_current / row.ref / _ACQUIT, content)
        return acquits.parse(io.BytesIO(content))

    def _known_acquit(self, row: Row) -> acquits.Acquit | None:
        """The same of a flow that the TdT says is refused, None when it gives no reasons that can be read."""
        try:
            return self._acquit(row)
        except (Refused, acquits.AcquitError) as error:
            log.warning("« %s » : %s", row.title, error)
            return None

    def _refuse_flow(self, row: Row, answer: acquits.Acquit | None, text: str) -> None:
        detail = answer.account() if answer and answer.refused else _why("refusé par la DGFiP", text)
        self._finish(row, State.REFUSED, detail=detail, acte=answer.to_dict() if answer else None)
        log.error("« %s » est refusé par la DGFiP : %s", row.title, detail.partition("\n")[0])

    def _finish(self, row: Row, state: State, **values: Any) -> None:
        self._step("avant fin")
        row = self._journal.move(row, state, **values)
        self._step("fin")
        self._file(row)

    # -- filing ---------------------------------------------------------------------------------------

    def _file(self, row: Row) -> None:
        """Bring a finished deposit to its last folder. Started again at any point, it ends the same."""
        source = self._config.folder_current / row.ref
        target = self._config.dossier / FOLDERS[row.state] / last_name(row)
        if source.exists():
            if target.exists():  # filed once already, under a journal that was lost since
                target = target.with_name(f"{target.name}_{row.ref}")
            self._write_summary(row, source)
            if row.kind == "pes" and row.state is State.REFUSED:
                self._write_letter(row, source)
            self._step("résumé")
            move(source, target)
        elif not row.cleared:
            self._move_refused(row, target)
        self._step("classé")
        self._journal.note(self._journal.get(row.id), classe=1, retire_du_depot=1)

    def _move_refused(self, row: Row, target: Path) -> None:
        """Files refused where they stood go from depot/ to rejets/ as they are."""
        target.mkdir(mode=0o750, exist_ok=True)
        write(target / "motif.txt", _motive(row).encode("utf-8", errors="replace"))
        for item in row.files:
            path = self._config.folder_depot / item.name
            ours = item.name in descriptions.RESERVED
            try:
                if same_file(item, path.lstat()):
                    move(path, target / (f"depot-{item.name}" if ours else item.name))
                    self._step("déplacé du dépôt")
            except FileNotFoundError:
                continue

    def _write_summary(self, row: Row, folder: Path) -> None:
        if row.state is not State.ACKNOWLEDGED:
            write(folder / "motif.txt", _motive(row).encode("utf-8", errors="replace"))
        write(
            folder / "resume.json",
            json.dumps(summary(row), ensure_ascii=False, indent=2).encode("utf-8", "replace"),
        )

    def _write_letter(self, row: Row, folder: Path) -> None:
        """A refusal of the DGFiP, among the letters: it is one, that Helios does not write."""
        parent = self._config.dossier / "lettres"
        # Its name ends otherwise than those of the TdT's documents, which are known by their number.
        name = f"rejet-{row.transaction}-helios"
        if any(parent.glob(f"*-{name}")):
            return
        partial = parent / f".{name}"
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(mode=0o750)
        write(partial / "rejet.txt", _letter(row).encode("utf-8", errors="replace"))
        if (folder / _ACQUIT).exists():
            copy(folder / _ACQUIT, partial / _ACQUIT)
        sync_directory(partial)
        move(partial, parent / f"{date.today():%Y%m%d}-{name}")

    # -- what comes from the préfecture ---------------------------------------------------------------

    def _receive(self) -> None:
        self._step("réception")
        try:
            for item in self._driver.incoming():
                if self._stop.is_set():
                    return
                if self._set_aside.get(item, (0, 0.0))[1] <= time.time():
                    self._try_to_receive(item)
            self._contact()
        except (Unreachable, Denied, Uncertain) as error:
            self._lost(error)
            return
        except Refused as error:  # the acts must not suffer from it
            log.error("Documents de la préfecture ou de la DGFiP non reçus : %s", error)
        self._journal.set_value("reception_prevue", int(time.time() + self._config.delais.reception))

    def _try_to_receive(self, item: Incoming) -> None:
        """One document that cannot be received waits, longer each time, and does not hold the others back."""
        try:
            self._step("document")
            self._receive_one(item)
            return
        except (Unreachable, Denied, sqlite3.Error):
            raise
        except Exception as error:
            tries = self._set_aside.get(item, (0, 0.0))[0]
            pause = min(_SET_ASIDE, self._config.delais.reprise_max * 2 ** min(tries, 20))
            self._set_aside[item] = (tries + 1, time.time() + pause)
            expected = isinstance(error, TdtError | OSError)
            log.error("« %s » n'a pas pu être reçu : %s", item.title, error, exc_info=not expected)
            if isinstance(error, Uncertain):  # it may be the TdT as a whole: the others come once it answers again
                raise

    def _receive_one(self, item: Incoming) -> None:
        """On disk first, and only then marked as read at the TdT."""
        parent = self._config.dossier / _RECEIVED[item.kind]
        if not any(parent.glob(f"*-{item.id}")):  # else it is here, and the crash came before the mark
            content = self._driver.fetch(item)
            plain = re.sub(r"[^a-z0-9_]+", "-", fold(item.title)).strip("-")[:60]
            target = parent / f"{date.today():%Y%m%d}-{plain}-{item.id}"
            partial = parent / f".{item.id}"
            if partial.exists():
                shutil.rmtree(partial)
            partial.mkdir(mode=0o750)
            _unpack(content, partial, item)
            sync_directory(partial)
            move(partial, target)
            self._step("reçu")
            log.warning("Reçu de la préfecture ou de la DGFiP : %s (%s).", item.title, target)
        self._driver.mark_read(item)


def _same_content(path: Path, copied: Path) -> bool:
    """Whether a file of depot/, if there still is one, is what was copied."""
    try:
        return digest(path) == digest(copied)
    except OSError:
        return False


def _pes_name(row: Row) -> str:
    return next(item.name for item in row.files if not item.name.lower().endswith((".yml", ".yaml")))


def last_name(row: Row) -> str:
    """Name of the last folder of a deposit."""
    if row.idacte:
        return row.idacte
    if row.kind == "pes" and row.state is State.ACKNOWLEDGED:
        return f"PES-{row.transaction}-{Path(_pes_name(row)).stem}"
    return row.ref


def _unpack(content: bytes, folder: Path, item: Incoming) -> None:
    """Keep the document as it came and, for an archive, the files inside."""
    head = content[:5]
    if head[:2] != b"\x1f\x8b":
        suffix = "pdf" if head == b"%PDF-" else "xml"
        write(folder / f"{item.kind}-{item.id}.{suffix}", content)
        return
    write(folder / f"{item.kind}-{item.id}.tar.gz", content)
    try:
        unpack(content, folder)
    except UnpackError as error:
        log.warning("%s : %s ; conservée telle quelle.", item.title, error)


def summary(row: Row) -> dict[str, Any]:
    """A deposit in words, for resume.json and `status --json`."""
    act = row.act or {}
    return {
        "genre": row.kind,
        "reference": row.ref,
        "numero": row.number,
        "etat": row.state.value,
        "idacte": row.idacte,
        "aracte_le": row.acknowledged_on,
        "transaction": row.transaction,
        "statut_tdt": row.remote_status,
        "objet_transmis": act.get("subject"),
        "date": act.get("date"),
        "nature": act.get("nature_short"),
        "classification": ".".join(act.get("matter", [])) or None,
        "remarques": act.get("remarks", []),
        "detail": row.detail,
        "depose_le": datetime.fromtimestamp(row.deposited_at).astimezone().isoformat(timespec="seconds"),
        "modifie_le": datetime.fromtimestamp(row.changed_at).astimezone().isoformat(timespec="seconds"),
        "fichiers": [{"nom": item.name, "octets": item.size, "sha256": item.sha256} for item in row.files],
        **({"helios": act} if row.kind == "pes" and act else {}),
    }


_TODO = {
    State.REJECTED: "Rien n'a été transmis. Corrigez, puis déposez de nouveau les fichiers dans « depot ».",
    State.REFUSED: "L'acte a été transmis et refusé. Un nouvel envoi demande un autre numéro (un suffixe suffit).",
    State.ERROR: "L'acte a été reçu par le TdT, qui l'a mis en erreur. Un nouvel envoi demande un nouveau numéro.",
}
_TODO_FLOW = {
    **_TODO,
    State.REFUSED: "Le flux a été transmis et refusé, en tout ou en partie. Corrigez ce qui est refusé dans le "
    "logiciel de comptabilité, puis déposez un nouveau flux avec cela seul : ce que la DGFiP a accepté ne se renvoie "
    "pas.",
    State.ERROR: "Le flux a été reçu par le TdT, qui l'a mis en erreur : la DGFiP ne l'a pas. Corrigez, puis déposez "
    "un nouveau flux.",
}


def _letter(row: Row) -> str:
    """A refusal of the DGFiP, for people."""
    lines = "\n".join(f"  - {_sentence(line)}" for line in row.detail.splitlines())
    sent = datetime.fromtimestamp(row.deposited_at)
    return (
        f"Rejet de la DGFiP (Helios)\n\nFlux « {_pes_name(row)} », déposé le {sent:%d/%m/%Y à %H:%M}, "
        f"transaction {row.transaction} au TdT.\n\n{lines}\n\n{_TODO_FLOW[State.REFUSED]}\n\n"
        f"Le flux et la réponse de la DGFiP sont dans « {FOLDERS[row.state]}/{last_name(row)} ».\n"
    )


def _motive(row: Row) -> str:
    lines = "\n".join(f"  - {_sentence(line)}" for line in row.detail.splitlines())
    names = ", ".join(item.name for item in row.files)
    known = _TODO_FLOW if row.kind == "pes" else _TODO
    todo = known.get(row.state, "Rien n'a été transmis.")
    when = datetime.fromtimestamp(row.changed_at)
    head = f"{row.state.label.capitalize()} le {when:%d/%m/%Y à %H:%M}."
    return f"{head}\n\nMotif :\n{lines}\n\n{todo}\n\nFichiers : {names}\n"


def _why(what: str, text: str) -> str:
    return f"{what} : {text}" if text else f"{what}, sans explication."


def _sentence(text: str) -> str:
    clean = " ".join(text.split())
    return clean[:1].upper() + clean[1:] + ("" if clean.endswith((".", "!", "?", "…")) else ".")


def _comparable(text: str) -> str:
    """A subject without what encodings and escapes may have changed on the way."""
    return re.sub(r"[^a-z0-9]+", "", fold(text))
