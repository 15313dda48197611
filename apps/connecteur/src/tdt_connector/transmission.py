"""Sending, exactly once: a lost answer is settled by the TdT's list, never by a guess."""

from __future__ import annotations

import logging
import re
import time
from hashlib import sha256

from .checks import Submission
from .classification import fold
from .driver import RemoteAct
from .errors import Denied, Duplicate, Refused, Uncertain, Unreachable, sentence
from .filing import Filing, pes_name
from .journal import Row, State
from .nomenclature import Nomenclature
from .part import Bench, Part
from .storage import digest

log = logging.getLogger("tdt-connector")
# The TdT must say twice that it does not have an act before it is sent again.
_ABSENCES = 2
# Sends left without an answer, though the TdT's list answers, after which a person must look.
_SENDS = 5


class Transmission(Part):
    """Sends what was checked, and finds out what became of a send without an answer."""

    def __init__(self, bench: Bench, nomenclature: Nomenclature, filing: Filing) -> None:
        super().__init__(bench)
        self._nomenclature, self._filing = nomenclature, filing

    def send(self, row: Row) -> None:
        """Send a checked deposit, its intention committed first."""
        if row.kind == "acte":
            problem = self._nomenclature.problem()
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
                transaction = self._driver.submit_pes(folder / pes_name(row))
            else:
                transaction = self._driver.submit_act(Submission.from_dict(row.act or {}), folder)
        except (Unreachable, Denied) as error:
            due = time.time() + self._config.delais.reprise_max if isinstance(error, Denied) else 0
            detail = sentence(str(error))
            self._journal.move(row, State.CHECKED, essais=row.attempts - 1, prochain=due, detail=detail)
            self._contact.lost(error)
        except Duplicate as error:
            self._contact.made()
            self.reconcile(self._journal.note(row, detail=sentence(str(error))), duplicate=True)
        except Refused as error:
            self._contact.made()
            self._filing.reject(row, str(error))
        except Uncertain as error:
            due = time.time() + self._config.delais.rapprochement
            detail = f"{sentence(str(error))} Le dépôt sera recherché dans la liste du TdT."
            self._journal.note(row, incertain=1, absences=0, prochain=due, detail=detail)
            self._contact.lost(error)
        else:
            self._step("réponse")
            self._sent(row, transaction)
            self._contact.made()

    def _sent(self, row: Row, transaction: int, detail: str = "") -> None:
        due = time.time() + self._config.delais.sondage_min
        self._journal.move(row, State.SENT, transaction_tdt=transaction, essais=0, prochain=due, detail=detail)
        self._step("envoyé")
        log.info("« %s » envoyé, transaction %d.", row.title, transaction)

    def reconcile(self, row: Row, duplicate: bool = False) -> None:
        """Find out from the TdT whether a deposit arrived. It is never sent again on a mere guess.

        `duplicate`: the TdT has just said that it already holds this number or this PES.
        """
        self._step("rapprochement")
        try:
            if row.kind == "pes":
                self._reconcile_pes(row, duplicate)
            else:
                self._reconcile_act(row, duplicate)
            self._contact.made()
        except Refused as error:
            self._park(row, f"{sentence(str(error))} Le connecteur ne peut pas savoir si le dépôt est arrivé.")
        except (Unreachable, Denied, Uncertain) as error:
            self._journal.note(row, incertain=1, prochain=time.time() + self._config.delais.rapprochement)
            self._contact.lost(error)

    def _reconcile_act(self, row: Row, duplicate: bool) -> None:
        act = Submission.from_dict(row.act or {})
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
            self._filing.reject(
                row, f"{already}, par un dépôt que ce connecteur ne voit pas ; consultez le site du TdT."
            )
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

    def _compare(self, row: Row, act: Submission, remote: RemoteAct) -> None:
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
            self._filing.reject(
                row,
                f"champ « numero » : « {act.number} » est déjà utilisé au TdT par un autre acte ({theirs}). "
                "Choisissez un autre numéro, par exemple avec un suffixe.",
            )

    def _reconcile_pes(self, row: Row, duplicate: bool) -> None:
        found = self._driver.find_pes(row.fingerprint or "")
        if found and (row.uncertain or not duplicate):
            self._sent(row, found[0], "Retrouvé dans la liste du TdT.")
        elif found:
            self._filing.reject(
                row, f"ce flux PES a déjà été transmis au TdT (transaction {found[0]}) ; rien n'est renvoyé."
            )
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


def _comparable(text: str) -> str:
    """A subject without what encodings and escapes may have changed on the way."""
    return re.sub(r"[^a-z0-9]+", "", fold(text))
