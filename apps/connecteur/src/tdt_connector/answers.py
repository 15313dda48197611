"""The commune's answers to the préfecture's letters: each sent once, followed to its receipt.

As for acts, the intention is in the journal before the request leaves. What became of a send without an answer is found
in the TdT's list of letters, or left to a person: an answer is never sent again on a mere guess.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lxml import etree

from creatic_agent.durable import write
from creatic_agent.reasons import reason

from .classification import parse_xml, read_day
from .contact import waits
from .driver import Answer, RemoteState, RemoteStatus
from .errors import Denied, Refused, TdtError, Uncertain, Unreachable, sentence
from .part import Part

log = logging.getLogger("tdt-connector")

# In the journal, by the answer's key: what it is and where it stands.
ANSWERS = "reponse:"
TO_SEND, INTENT, SENT = "a_envoyer", "intention", "envoyee"
# Where one ends: with its receipt, without (the protocol has none for a simple letter), refused by the TdT or the
# préfecture, or left to a person.
RECEIPTED, TRANSMITTED, REFUSED, TO_RECONCILE = "acquittee", "transmise", "refusee", "a_rapprocher"
ENDS = (RECEIPTED, TRANSMITTED, REFUSED, TO_RECONCILE)
RECEIPT = "AR-reponse.xml"
_NS = "{http://www.interieur.gouv.fr/ACTES#v1.1-20040216}"
_ABSENCES, _SENDS = 2, 3


class Answers(Part):
    """Sends and follows answers."""

    def work(self) -> None:
        """Do what is due; one answer's trouble does not hold the others back."""
        for key, text in self._journal.values(ANSWERS).items():
            one = json.loads(text)
            if one["etat"] in ENDS or waits(one.get("prochain", 0), self._config.delais.longest):
                continue
            if self._stop.is_set() or not self._contact.reachable():
                return
            self._step("réponse au préfet")
            try:
                {TO_SEND: self._send, INTENT: self._find, SENT: self._follow}[one["etat"]](key, one)
                self._contact.made()
            except (Unreachable, Denied, Uncertain) as error:
                if one["etat"] != TO_SEND:  # else it knows when it leaves
                    self._note(key, one, prochain=time.time() + self._config.delais.rapprochement)
                self._contact.lost(error)
            except (TdtError, OSError) as error:
                if one["etat"] == SENT:  # it left, under a known number: its receipt is asked for again
                    polls = one.get("essais", 0)
                    self._note(key, one, essais=polls + 1, prochain=self._contact.backoff(polls))
                    log.error("Réponse au courrier %s : accusé de réception non reçu. %s", one["lettre"], error)
                    continue
                self._end(
                    key, one, TO_RECONCILE, f"{sentence(str(error))} Voyez sur le site du TdT si elle est partie."
                )

    def _note(self, key: str, one: dict[str, Any], **news: Any) -> None:
        one |= news
        self._journal.set_value(key, json.dumps(one, ensure_ascii=False))
        self._step("réponse notée")

    def _end(self, key: str, one: dict[str, Any], state: str, reason: str = "", **news: Any) -> None:
        self._note(key, one, etat=state, motif=reason, **news)
        say = log.info if state in (RECEIPTED, TRANSMITTED) else log.error
        say("Réponse au courrier %s de la préfecture : %s. %s", one["lettre"], state, reason)

    @staticmethod
    def _answer(one: Mapping[str, Any]) -> Answer:
        return Answer(one["lettre"], one["type"], one["sens"], tuple(Path(path) for path in one["fichiers"]))

    def _send(self, key: str, one: dict[str, Any]) -> None:
        answer = self._answer(one)
        try:
            size = sum(path.stat().st_size for path in answer.files)
        except OSError as error:
            self._end(key, one, REFUSED, f"Un document de la réponse n'est plus sur le connecteur ({reason(error)}).")
            return
        if size > self._config.max_bytes:
            big = f"{size / 1e6:.0f} Mo, le TdT en prend {self._config.taille_max_mo:.0f}"
            self._end(key, one, REFUSED, f"Réponse trop lourde : {big}. Allégez-la, ou envoyez-la par une autre voie.")
            return
        self._note(key, one, etat=INTENT, absences=0, essais=one.get("essais", 0) + 1)
        try:
            transaction = self._driver.answer(answer)
        except (Unreachable, Denied) as error:
            due = time.time() + self._config.delais.reprise_max if isinstance(error, Denied) else 0
            self._note(key, one, etat=TO_SEND, essais=one["essais"] - 1, prochain=due)
            raise
        except Refused as error:
            self._end(key, one, REFUSED, sentence(str(error)))
        else:
            self._step("réponse postée")
            self._note(key, one, etat=SENT, transaction=transaction, prochain=0, essais=0)

    def _find(self, key: str, one: dict[str, Any]) -> None:
        """Find out whether an answer arrived, whose send was not answered or was cut short."""
        if not one["acte"]:
            raise Refused("l'envoi est resté sans réponse, et le TdT ne dit pas de quel acte est ce courrier.", "liste")
        others = [
            given["transaction"]
            for name, text in self._journal.values(ANSWERS).items()
            if name != key and (given := json.loads(text)).get("transaction")
        ]
        found = self._driver.find_answer(self._answer(one), one["acte"], others)
        if found:
            self._note(key, one, etat=SENT, transaction=found, prochain=0, essais=0)
        elif one["absences"] + 1 < _ABSENCES:
            due = time.time() + self._config.delais.rapprochement
            self._note(key, one, absences=one["absences"] + 1, prochain=due)
        elif one["essais"] >= _SENDS:
            raise Refused(f"{one['essais']} envois sont restés sans réponse et le TdT ne montre rien.", "liste")
        else:
            self._note(key, one, etat=TO_SEND, prochain=0)

    def _follow(self, key: str, one: dict[str, Any]) -> None:
        status = self._driver.answer_status(one["transaction"])
        if status.state is RemoteState.ACKNOWLEDGED:
            self._receipted(key, one, status)
        elif status.state is RemoteState.TRANSMITTED and one["type"] == "courrier":
            self._end(key, one, TRANSMITTED)
        elif status.state in (RemoteState.REFUSED, RemoteState.ERROR, RemoteState.CANCELLED):
            self._end(key, one, REFUSED, sentence(status.text or f"le TdT la dit {status.state}"))
        else:
            polls = one.get("essais", 0)
            self._note(key, one, essais=polls + 1, prochain=self._contact.backoff(polls))

    def _receipted(self, key: str, one: dict[str, Any], status: RemoteStatus) -> None:
        if status.receipt.strip():
            write(Path(one["fichiers"][0]).parent / RECEIPT, status.receipt.strip() + b"\n")
        self._step("AR de la réponse")
        self._end(key, one, RECEIPTED, date_reception=_received(status.receipt))


def _received(receipt: bytes) -> str:
    """When the préfecture received an answer, AAAA-MM-JJ; today when its receipt does not say."""
    try:
        return read_day(parse_xml(receipt.strip()).get(f"{_NS}DateReception", "")).isoformat()
    except (etree.XMLSyntaxError, ValueError):
        return time.strftime("%Y-%m-%d")
