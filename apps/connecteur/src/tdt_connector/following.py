"""What became of a deposit that is at the TdT, until the préfecture or the DGFiP has answered."""

from __future__ import annotations

import io
import logging
import time

from creatic_agent.durable import write

from . import acquit as acquits
from . import receipt as receipts
from .checks import Submission
from .driver import RemoteState, RemoteStatus
from .errors import Denied, Refused, Uncertain, Unreachable, sentence
from .filing import ACQUIT, Filing, pes_name
from .journal import Row, State
from .nomenclature import Nomenclature
from .part import Bench, Part

log = logging.getLogger("tdt-connector")
_ASK = (
    "Demandez au comptable public ce qu'ils sont devenus ; ne redéposez pas le flux. Quand le TdT a une réponse "
    "entière : « tdt-connector retry {title} --transaction {transaction} » la relit."
)


class Following(Part):
    """Asks about what was sent, and gets everything on disk once it is acknowledged."""

    def __init__(self, bench: Bench, nomenclature: Nomenclature, filing: Filing) -> None:
        super().__init__(bench)
        self._nomenclature, self._filing = nomenclature, filing

    def poll(self, row: Row) -> None:
        """Ask where a deposit stands, and act on it."""
        transaction = row.transaction or 0
        try:
            status = self._driver.pes_status(transaction) if row.kind == "pes" else self._driver.act_status(transaction)
            self._contact.made()
            row = self._note_status(row, status)
            if status.state is RemoteState.ACKNOWLEDGED:
                self._acknowledge(row, status)
            elif status.state is RemoteState.UNRECEIPTED:
                self._filing.finish(row, State.ACKNOWLEDGED, detail="Transmis ; le TdT n'attend pas d'acquittement.")
            elif status.state is RemoteState.REFUSED and row.kind == "pes":
                self._refuse_flow(row, self._known_acquit(row), status.text)
            elif status.state is RemoteState.REFUSED:
                self._filing.finish(row, State.REFUSED, detail=_why("refusé par la préfecture", status.text))
            elif status.state is RemoteState.ERROR:
                self._filing.finish(row, State.ERROR, detail=_why("mis en erreur par le TdT", status.text))
            elif status.state is RemoteState.CANCELLED:
                self._filing.finish(row, State.CANCELLED, detail="annulé au TdT.")
        except Refused as error:
            self._journal.note(
                row,
                detail=sentence(str(error)),
                essais=row.attempts + 1,
                prochain=self._contact.backoff(row.attempts),
            )
        except (receipts.ReceiptError, acquits.AcquitError) as error:
            self._journal.move(row, State.TO_RECONCILE, detail=f"{sentence(str(error))} Prévenez le groupement.")
            log.error("« %s » : %s", row.title, error)
        except Uncertain as error:  # it may be this transaction alone: the others come first the next time
            row = self._journal.get(row.id)
            self._journal.note(row, essais=row.attempts + 1, prochain=self._contact.backoff(row.attempts))
            self._contact.lost(error)
        except (Unreachable, Denied) as error:
            self._contact.lost(error)

    def _note_status(self, row: Row, status: RemoteStatus) -> Row:
        changed = status.code != row.remote_status
        polls = 0 if changed else row.attempts
        since = {"statut_tdt": status.code, "statut_depuis": time.time()} if changed else {}
        detail = sentence(status.state) if status.state is RemoteState.HELD else ""
        return self._journal.note(row, essais=polls + 1, prochain=self._contact.backoff(polls), detail=detail, **since)

    def _acknowledge(self, row: Row, status: RemoteStatus) -> None:
        """Get everything on disk beside the act, then say that it is acknowledged."""
        folder = self._config.folder_current / row.ref
        transaction = row.transaction or 0
        if row.kind == "pes":
            answer = self._acquit(row)
            if answer.refused:
                self._refuse_flow(row, answer, status.text)
            elif answer.unsaid:
                self._leave_flow(row, answer)
            else:
                detail = "\n".join(text for text in (status.text, answer.account()) if text)
                known = {"acte": answer.to_dict()} if row.act else {}  # it was left to a person before
                self._filing.finish(row, State.ACKNOWLEDGED, detail=detail, **known)
            return
        act = Submission.from_dict(row.act or {})
        receipt = receipts.parse(status.receipt, act, self._config.siren)
        write(folder / "ARActe.xml", status.receipt.strip() + b"\n")
        self._step("ARActe")
        for name, content in self._driver.act_documents(transaction).items():
            write(folder / name, content)
        self._step("pièces")
        if receipt.classification:
            self._nomenclature.require(receipt.classification.isoformat())
        self._filing.finish(row, State.ACKNOWLEDGED, idacte=receipt.idacte, aracte_le=receipt.received_on)
        log.info("« %s » acquitté par la préfecture : %s.", row.title, receipt.idacte)

    def _acquit(self, row: Row) -> acquits.Acquit:
        """What the DGFiP says of a flow, kept beside it. Raises what the driver does, AcquitError."""
        content = self._driver.pes_receipt(row.transaction or 0)
        folder = self._config.folder_current / row.ref
        write(folder / ACQUIT, content)
        answer = acquits.parse(io.BytesIO(content))
        with (folder / pes_name(row)).open("rb") as sent:
            answer.match(sent)
        return answer

    def _known_acquit(self, row: Row) -> acquits.Acquit | None:
        """The same of a flow that the TdT says is refused, None when it gives no reasons that can be read."""
        try:
            return self._acquit(row)
        except (Refused, acquits.AcquitError) as error:
            log.warning("« %s » : %s", row.title, error)
            return None

    def _refuse_flow(self, row: Row, answer: acquits.Acquit | None, text: str) -> None:
        detail = answer.account() if answer and answer.refused else _why("refusé par la DGFiP", text)
        self._filing.finish(row, State.REFUSED, detail=detail, acte=answer.to_dict() if answer else None)
        log.error("« %s » est refusé par la DGFiP : %s", row.title, detail.partition("\n")[0])

    def _leave_flow(self, row: Row, answer: acquits.Acquit) -> None:
        """All that the DGFiP names is taken, and it does not name all: a person asks what became of the rest."""
        detail = f"{answer.account()}\n{_ASK.format(title=row.title, transaction=row.transaction)}"
        self._journal.move(row, State.TO_RECONCILE, detail=detail, acte=answer.to_dict())
        log.error("« %s » : %s", row.title, detail.partition("\n")[0])


def _why(what: str, text: str) -> str:
    return f"{what} : {text}" if text else f"{what}, sans explication."
