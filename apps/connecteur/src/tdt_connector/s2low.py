"""The S²LOW driver (libriciel/s2low, 3.x to 5.x): strict in what it sends, tolerant in what it reads."""

from __future__ import annotations

import html
import json
import logging
import re
from collections.abc import Callable, Collection
from datetime import datetime
from functools import partial
from hashlib import sha1
from pathlib import Path
from typing import Any, Self

from lxml import etree

from . import kinds
from .checks import Submission
from .classification import fold, parse_xml
from .client import Client, FilePart
from .config import Config
from .driver import LETTERS, Answer, Driver, Incoming, RemoteAct, RemoteState, RemoteStatus
from .errors import Denied, Duplicate, Refused, TdtError, Uncertain, Unreachable

log = logging.getLogger("tdt-connector")

_ACTES = "/modules/actes"
_HELIOS = "/modules/helios"
_STATES = {
    -1: RemoteState.ERROR,
    0: RemoteState.CANCELLED,
    1: RemoteState.WAITING,
    2: RemoteState.WAITING,
    3: RemoteState.TRANSMITTED,
    6: RemoteState.REFUSED,
}
_ACT_STATES = _STATES | {17: RemoteState.HELD, 18: RemoteState.HELD}
_PES_STATES = _STATES | {24: RemoteState.UNRECEIPTED}
# The order an act goes through them: read that way, it cannot slip past the reader.
_LIST_ORDER = (17, 18, 1, 2, 3, 4, 7, 5, 6, -1, 0, 8, 21, 12, 13, 14, 19, 20, 16)
_PES_LIST_ORDER = (1, 2, 3, 4, 8, 6, 24, -1, 0)
_PAGE = 100
_XML = ("text/xml", "application/xml")  # the protocol's message; as an act, a budget
_LETTERS = {"2": "courrier", "3": "pieces", "4": "observations", "5": "defere"}
_SENSES = {"reponse": "4", "refus": "3"}  # type_envoie
_UNANSWERED = (7, 8, 21)  # statuses of the préfecture's own letters
_ANSWER_TYPE = "99_AU"  # « Autre document » of the nomenclature: an answer has no type of its own
# Refusals that concern the account, not the act: the act waits.
_ACCOUNT = re.compile(r"authentification|acces refuse|certificat|module|mode « papier »")
_DUPLICATE = re.compile(r"meme numero|doublon")


def decode(content: bytes) -> str:
    """S²LOW speaks ISO-8859-1; some versions let UTF-8 through."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _refusal(message: str) -> Refused | Denied:
    clean = " ".join(html.unescape(message).replace("<br/>", " ").split()) or "sans explication"
    known = fold(clean)
    text = f"le TdT a répondu : {clean}"
    if _DUPLICATE.search(known):
        return Duplicate(text, "doublon")
    if _ACCOUNT.search(known):
        return Denied(text, "rgs" if "rgs" in known else "compte")
    return Refused(text, "ko")


def _ok(content: bytes) -> bytes:
    """What follows OK and its end of line. Raises for KO, and Uncertain for anything else."""
    head, _, rest = content.partition(b"\n")
    word = head.strip()
    if word == b"OK":
        return rest
    if word == b"KO":
        raise _refusal(decode(rest))
    raise Uncertain(f"réponse inattendue du TdT : {decode(content[:80])!r}", "reponse")


def _transaction(content: bytes) -> int:
    line = content.partition(b"\n")[0].strip()
    if not re.fullmatch(rb"[0-9]{1,18}", line):
        raise Uncertain(f"le TdT n'a pas donné de numéro de transaction : {decode(line[:80])!r}", "reponse")
    return int(line)


class S2low(Driver):
    """S²LOW's calls. Paths and answers: see the sources of S²LOW and ../shared/protocol/s2low.md."""

    platform = "S²LOW"
    transmitted = 3

    def __init__(self, client: Client) -> None:
        self._client = client

    @classmethod
    def connect(cls, config: Config, progress: Callable[[], None]) -> Self:
        return cls(Client(config, progress))

    def close(self) -> None:
        self._client.close()

    @property
    def server_date(self) -> datetime | None:
        return self._client.server_date

    def check_connection(self) -> None:
        _ok(self._client.get("/api/test-connexion.php"))

    def logins(self) -> list[str]:
        lines = decode(self._client.get("/admin/users/api-list-login.php")).splitlines()
        if lines and lines[0].strip() == "KO":
            raise _refusal(" ".join(lines[1:]))
        return [line.strip() for line in lines if line.strip()]

    def is_rgs(self) -> bool:
        answer = self._client.get("/api/test-rgs.php").strip()
        if answer.startswith(b"OK"):
            return True
        if answer.startswith(b"KO"):
            return False
        raise Uncertain(f"réponse inattendue du TdT : {decode(answer[:80])!r}", "reponse")

    def classification(self) -> bytes:
        content = self._client.get(f"{_ACTES}/actes_classification_fetch.php", {"api": 1})
        if content[:2] == b"KO":
            _ok(content)
        return content

    def request_classification(self) -> int:
        return _transaction(_ok(self._client.get(f"{_ACTES}/actes_classification_request.php", {"api": 1})))

    def classification_answered(self, transaction: int) -> bool:
        code, _ = self._status(transaction)
        return _ACT_STATES.get(code, RemoteState.ACKNOWLEDGED) is RemoteState.ACKNOWLEDGED

    def _status(self, transaction: int) -> tuple[int, bytes]:
        content = self._client.get(f"{_ACTES}/actes_transac_get_status.php", {"transaction": transaction})
        line, _, rest = _ok(content).partition(b"\n")
        return _code(decode(line)), rest

    def submit_act(self, act: Submission, folder: Path) -> int:
        fields = [
            ("api", "1"),
            ("nature_code", act.nature),
            ("number", act.number),
            ("subject", act.subject),
            ("decision_date", act.date),
            ("type_acte", act.type),
            ("en_attente", "1" if act.on_hold else "0"),
            ("document_papier", "1" if act.paper else "0"),
        ]
        fields += [(f"classif{rank}", code) for rank, code in enumerate(act.levels, start=1)]
        fields += [("type_pj[]", annex.type) for annex in act.annexes]
        files = [FilePart("acte_pdf_file", folder / act.file, _mime(folder / act.file))]
        files += [FilePart("acte_attachments[]", folder / one.name, _mime(folder / one.name)) for one in act.annexes]
        return _transaction(_ok(self._client.post(f"{_ACTES}/actes_transac_create.php", fields, files)))

    def act_status(self, transaction: int) -> RemoteStatus:
        code, rest = self._status(transaction)
        state = _ACT_STATES.get(code, RemoteState.ACKNOWLEDGED)
        if state is not RemoteState.ACKNOWLEDGED:
            return RemoteStatus(code, state, " ".join(html.unescape(decode(rest)).split()))
        if b"ARActe" not in rest:  # statuses that follow 4: the ARActe is asked for by its own call
            rest = self._client.get(f"{_ACTES}/actes_transac_get_ARActe.php", {"id": transaction})
        return RemoteStatus(code, state, receipt=rest)

    def act_documents(self, transaction: int) -> dict[str, bytes]:
        act = self._document(transaction, stamped=True)
        if act is None:
            raise Refused("l'acte tamponné n'est pas encore disponible au TdT.", "attente")
        # Of a budget there is no stamped form: the XML comes back as it left.
        stamped = {"acte-tamponne.pdf": act} if act.startswith(b"%PDF-") else {}
        slip = self._client.get(f"{_ACTES}/actes_create_pdf.php", {"trans_id": transaction})
        if not slip.startswith(b"%PDF-"):
            raise Refused("le bordereau d'acquittement n'est pas encore disponible au TdT.", "attente")
        return {**stamped, "bordereau.pdf": slip}

    def act_original(self, transaction: int) -> bytes | None:
        return self._document(transaction, stamped=False)

    def _document(self, transaction: int, stamped: bool) -> bytes | None:
        content = self._client.get(f"{_ACTES}/actes_transac_get_files_list.php", {"transaction": transaction})
        if content[:2] == b"KO":
            return None
        files = _json(content)
        # The first file is the protocol's XML message, then comes the act, then its annexes.
        listed = [item for item in files if isinstance(item, dict)] if isinstance(files, list) else []
        if listed and listed[0].get("mimetype") in _XML:
            del listed[0]
        acts = [item for item in listed if item.get("mimetype") in ("application/pdf", *_XML)]
        if not acts:
            return None
        params = {"file": acts[0]["id"], **({"tampon": "true"} if stamped else {})}
        document = self._client.get(f"{_ACTES}/actes_download_file.php", params)
        return document if kinds.suffix(document) in ("pdf", "xml") else None

    def find_acts(self, number: str) -> list[RemoteAct]:
        found = self._pass(number)
        return found or self._pass(number)  # once more: an act moves on while the lists are read

    def _pass(self, number: str) -> list[RemoteAct]:
        found: dict[int, RemoteAct] = {}
        for status in _LIST_ORDER:
            for item in self._pages(f"{_ACTES}/api/list_actes.php", status):
                if str(item.get("type")) == "1" and str(item.get("number")) == number:
                    act = RemoteAct(
                        int(item["id"]),
                        number,
                        str(item.get("subject", "")),
                        str(item.get("date", "")),
                        status,
                    )
                    found[act.transaction] = act
        return list(found.values())

    def _pages(self, path: str, status: int) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        while True:
            params = {"status_id": status, "offset": len(items), "limit": _PAGE}
            try:
                answer = _json(self._client.get(path, params))
            except Denied as error:
                if error.kind == "http":  # this version, or this account, has no such list
                    raise Refused("le TdT ne donne pas la liste des transactions.", "liste") from error
                raise
            page = answer.get("transactions") if isinstance(answer, dict) else None
            if not isinstance(page, list):
                raise Refused("le TdT ne donne pas la liste des transactions.", "liste")
            items += page
            if len(page) < _PAGE:
                return items

    def cancel_act(self, transaction: int) -> None:
        _ok(self._client.post(f"{_ACTES}/actes_transac_cancel.php", [("api", "1"), ("id", str(transaction))]))

    def submit_pes(self, path: Path) -> int:
        part = FilePart("enveloppe", path, "text/xml")
        answer = _xml(self._client.post(f"{_HELIOS}/api/helios_importer_fichier.php", (), [part]))
        _helios_ok(answer)
        return _transaction((answer.findtext("id") or "").encode())

    def find_pes(self, sha1_wanted: str) -> list[int]:
        for status in _PES_LIST_ORDER:
            for item in self._pages(f"{_HELIOS}/api/list_pes_aller.php", status):
                content = self._client.get(f"{_HELIOS}/helios_download_file.php", {"id": item["id"]})
                if sha1(content, usedforsecurity=False).hexdigest() == sha1_wanted:
                    return [int(item["id"])]
        return []

    def pes_status(self, transaction: int) -> RemoteStatus:
        answer = _xml(self._client.get(f"{_HELIOS}/api/helios_transac_get_status.php", {"transaction": transaction}))
        _helios_ok(answer)
        code = _code(answer.findtext("status") or "")
        text = " ".join((answer.findtext("message") or "").split())
        return RemoteStatus(code, _PES_STATES.get(code, RemoteState.ACKNOWLEDGED), text)

    def pes_receipt(self, transaction: int) -> bytes:
        content = self._client.get(f"{_HELIOS}/helios_download_acquit.php", {"id": transaction})
        return _given(content)

    def incoming(self) -> list[Incoming]:
        items: list[Incoming] = []
        failures: list[TdtError] = []
        for ask in (self._letters, self._pes_retour):
            try:
                for make in ask():
                    try:
                        items.append(make())
                    except (LookupError, TypeError, ValueError, AttributeError) as error:
                        failures.append(Refused(f"liste de documents illisible ({error!r}).", "reponse"))
            except Unreachable:
                raise
            except TdtError as error:  # an account may have one of the two modules alone
                failures.append(error)
        if failures and not items:
            raise failures[0]
        for failure in failures:
            log.error("Documents de la préfecture ou de la DGFiP non reçus : %s", failure)
        return items

    def _letters(self) -> list[Callable[[], Incoming]]:
        listed = _json(self._client.get(f"{_ACTES}/api/list_document_prefecture.php"))
        if not isinstance(listed, list):
            raise Refused("liste de documents illisible.", "reponse")
        return [partial(_letter, item) for item in listed]

    def _pes_retour(self) -> list[Callable[[], Incoming]]:
        answer = _xml(self._client.get(f"{_HELIOS}/api/helios_get_list.php"))
        _helios_ok(answer)
        return [partial(_retour, node) for node in answer.iterfind("pes_retour")]

    def fetch(self, item: Incoming) -> bytes:
        if item.kind == "lettre":
            content = self._client.get(f"{_ACTES}/actes_transac_get_document.php", {"id": item.id}, follow=True)
        else:
            content = self._client.get(f"{_HELIOS}/api/helios_get_retour.php", {"id": item.id})
        return _given(content)

    def mark_read(self, item: Incoming) -> None:
        if item.kind == "lettre":
            self._client.get(f"{_ACTES}/api/document_prefecture_mark_as_read.php", {"transaction_id": item.id})
        else:
            self._client.get(f"{_HELIOS}/api/helios_change_status.php", {"id": item.id})

    def answer(self, answer: Answer) -> int:
        fields = [("api", "1"), ("id", str(answer.letter)), ("type_acte", _ANSWER_TYPE)]
        if answer.kind != "courrier":
            fields.append(("type_envoie", _SENSES[answer.sense]))
        document, *pieces = answer.files
        fields += [("type_pj[]", _ANSWER_TYPE) for _ in pieces]
        files = [FilePart("acte_pdf_file", document, _mime(document))]
        files += [FilePart("acte_attachments[]", path, _mime(path)) for path in pieces]
        return _transaction(_ok(self._client.post(f"{_ACTES}/actes_transac_reponse_create.php", fields, files)))

    def find_answer(self, answer: Answer, about: int, others: Collection[int]) -> int | None:
        # A line « type-status-transaction » for each letter about the act: an answered one shows its answer's.
        content = decode(self._client.get(f"{_ACTES}/actes_transac_get_document.php", {"id": about}))
        lines = [re.fullmatch(r"(\d+)-(-?\d+)-(\d+)", line.strip()) for line in content.splitlines() if line.strip()]
        shown = [(line[1], int(line[2]), int(line[3])) for line in lines if line]
        if not lines or len(shown) < len(lines):
            raise Refused("le TdT ne donne pas les courriers de cet acte.", "liste")
        if answer.letter in [number for _kind, _status, number in shown]:
            return None
        found = [
            number
            for kind, status, number in shown
            if _LETTERS.get(kind) == answer.kind and status not in _UNANSWERED and number not in others
        ]
        if len(found) != 1:
            raise Refused("le TdT ne montre ni ce courrier, ni une seule réponse qui puisse être la sienne.", "liste")
        return found[0]

    def answer_status(self, transaction: int) -> RemoteStatus:
        code, rest = self._status(transaction)
        state = _ACT_STATES.get(code, RemoteState.ACKNOWLEDGED)
        if state is RemoteState.ACKNOWLEDGED:
            return RemoteStatus(code, state, receipt=rest)
        return RemoteStatus(code, state, " ".join(html.unescape(decode(rest)).split()))


def _given(content: bytes) -> bytes:
    """A document, unless it is a refusal to give it."""
    if re.match(rb"KO\s", content):
        _ok(content)
    if not content:
        raise Refused("le TdT a donné un document vide.", "reponse")
    return content


def _letter(item: Any) -> Incoming:
    """A letter of the list, of whatever type. Raises what an item that makes no sense raises."""
    kind = _LETTERS.get(str(item["type"]), "")
    number, about = str(item.get("number") or ""), str(item.get("related_transaction_id") or "")
    title = f"{LETTERS.get(kind, 'courrier de la préfecture')} {number}".strip()
    known = str(item.get("unique_id") or "")
    return Incoming(int(item["id"]), "lettre", title, kind, number, known, int(about) if about.isdigit() else 0)


def _retour(node: etree._Element) -> Incoming:
    return Incoming(int(node.findtext("id") or ""), "pes_retour", (node.findtext("nom") or "").strip())


def _code(text: str) -> int:
    try:
        return int(text.strip())
    except ValueError as error:
        raise Uncertain(f"statut illisible donné par le TdT : {text[:40]!r}", "reponse") from error


def _json(content: bytes) -> Any:
    try:
        return json.loads(decode(content))
    except (ValueError, RecursionError) as error:
        if content[:2] == b"KO":
            _ok(content)
        raise Uncertain(f"réponse inattendue du TdT : {decode(content[:80])!r}", "reponse") from error


def _xml(content: bytes) -> etree._Element:
    try:
        return parse_xml(content)
    except (etree.XMLSyntaxError, ValueError) as error:
        if content[:2] == b"KO":
            _ok(content)
        raise Uncertain(f"réponse inattendue du TdT : {decode(content[:80])!r}", "reponse") from error


def _helios_ok(answer: etree._Element) -> None:
    # Some versions leave <resultat> empty when all is well.
    if (answer.findtext("resultat") or "").strip() == "KO":
        raise _refusal(answer.findtext("message") or "")


def _mime(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(8)
    if head.startswith(b"\x89PNG"):
        return "image/png"
    if head.removeprefix(b"\xef\xbb\xbf").startswith(b"<?xml"):
        return "text/xml"
    return "image/jpeg" if head.startswith(b"\xff\xd8\xff") else "application/pdf"
