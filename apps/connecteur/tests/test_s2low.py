"""The driver's tolerance: what real platforms answer in their various versions, and what that means for an act."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from tdt_connector import client
from tdt_connector.checks import Submission
from tdt_connector.client import FilePart
from tdt_connector.driver import RemoteState
from tdt_connector.errors import Denied, Duplicate, Refused, TdtError, Uncertain, Unreachable
from tdt_connector.s2low import S2low, _json, _transaction, decode

from creatic_agent.act import File
from testbed.connector import Commune


class Canned:
    """A client that gives the answers it was told, by part of the path."""

    def __init__(self, **answers: bytes) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def get(self, path: str, params: dict[str, Any] | None = None, follow: bool = False) -> bytes:
        self.asked.append((path, params or {}))
        return next(content for part, content in self.answers.items() if part in path)

    def post(self, path: str, fields: object = (), files: object = (), encoding: str = "") -> bytes:
        return self.get(path)


def driver(**answers: bytes) -> S2low:
    return S2low(Canned(**answers))  # type: ignore[arg-type]  # a double of the client


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ("KO\nUn acte portant le même numéro interne existe déjà dans la base de données.", Duplicate, "même numéro"),
        ("KO\nErreur :\nUne transaction avec le même numéro existe déjà dans la base.", Duplicate, "même numéro"),
        ("KO\nLa télétransmission nécessite un certificat RGS<br/>Erreur : x", Denied, "certificat RGS Erreur"),
        ("KO\nÉchec de l&#039;authentification", Denied, "Échec de l'authentification"),
        ("KO\nAccès refusé", Denied, "Accès refusé"),
        ("KO\nLe numéro n&#039;est pas correct", Refused, "n'est pas correct"),
        ("KO\n", Refused, "sans explication"),
        ("<html>panne</html>", Uncertain, "inattendue"),
        ("", Uncertain, "inattendue"),
    ],
)
@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_answers_that_are_not_ok(answer: str, error: type[TdtError], words: str, encoding: str) -> None:
    with pytest.raises(TdtError) as caught:
        driver(**{"test-connexion": answer.encode(encoding)}).check_connection()
    assert type(caught.value) is error
    assert words in str(caught.value)


def test_an_id_that_is_not_one_is_never_trusted() -> None:
    with pytest.raises(Uncertain):
        driver(request=b"OK\nabc\n").request_classification()
    assert driver(request=b"OK\r\n 42 \r\n").request_classification() == 42


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (-1, RemoteState.ERROR),
        (0, RemoteState.CANCELLED),
        (1, RemoteState.WAITING),
        (2, RemoteState.WAITING),
        (3, RemoteState.TRANSMITTED),
        (6, RemoteState.REFUSED),
        (17, RemoteState.HELD),
        (18, RemoteState.HELD),
    ],
)
def test_statuses(code: int, state: RemoteState) -> None:
    status = driver(get_status=f"OK\n{code}\nMessage accentué é\n".encode("latin-1")).act_status(1)
    assert (status.code, status.state, status.text) == (code, state, "Message accentué é")


@pytest.mark.parametrize("code", [4, 5, 7, 8, 12, 13, 14, 19, 20, 21])
def test_acknowledged_whatever_came_after(code: int) -> None:
    """A letter or an archiving moves the act past 4: its ARActe is then fetched by its own call."""
    inline = f"OK\n{code}\n<ARActe/>".encode()
    assert driver(get_status=inline).act_status(1).receipt == b"<ARActe/>"
    later = driver(get_status=f"OK\n{code}\n".encode(), get_ARActe=b"<actes:ARActe/>")
    assert later.act_status(1).receipt == b"<actes:ARActe/>"


def lists(transactions: Callable[[int], list[dict[str, Any]]]) -> S2low:
    class Lists(Canned):
        def get(self, path: str, params: dict[str, Any] | None = None, follow: bool = False) -> bytes:
            assert params
            items = transactions(params["status_id"])[params["offset"] : params["offset"] + params["limit"]]
            return json.dumps({"transactions": items}).encode()

    return S2low(Lists())  # type: ignore[arg-type]  # a double of the client


def test_an_act_is_found_on_any_page_and_only_acts_count() -> None:
    others = [{"id": rank, "number": f"N{rank}", "type": "1"} for rank in range(250)]
    wanted = {"id": "999", "number": "N1X", "type": 1, "date": "2026-01-15", "subject": "Été"}
    letter = {"id": 5, "number": "N1X", "type": "2"}
    found = lists(lambda status: [*others, wanted, letter] if status == 3 else []).find_acts("N1X")
    assert [(act.transaction, act.subject, act.status) for act in found] == [(999, "Été", 3)]


def test_an_act_that_moves_while_the_lists_are_read_is_found() -> None:
    read: list[int] = []

    def moving(status: int) -> list[dict[str, Any]]:
        """It is at 4 when 3 is read, and back in view at the second pass only."""
        read.append(status)
        return [{"id": 1, "number": "N", "type": "1"}] if status == 1 and read.count(1) == 2 else []

    assert [act.transaction for act in lists(moving).find_acts("N")] == [1]


@pytest.mark.parametrize("answer", [b"KO\nErreur", b'{"error": "x"}', b"[]", b"null"])
def test_a_list_that_is_not_one_is_unknown_never_absent(answer: bytes) -> None:
    with pytest.raises(TdtError):
        driver(list_actes=answer).find_acts("N")


def test_helios_answers() -> None:
    done = driver(
        get_status=b"<t><id>1</id><resultat>OK</resultat><status>4</status><message>Re\xc3\xa7u</message></t>"
    )
    assert done.pes_status(1).state is RemoteState.ACKNOWLEDGED
    without = driver(get_status=b"<t><resultat/><status>24</status></t>")
    assert without.pes_status(1).state is RemoteState.UNRECEIPTED
    with pytest.raises(Duplicate):
        driver(get_status="<t><resultat>KO</resultat><message>doublon détecté</message></t>".encode()).pes_status(1)
    with pytest.raises(Uncertain):
        driver(get_status=b"<html><br></html>").pes_status(1)


def test_incoming_that_makes_no_sense_is_refused_not_fatal() -> None:
    with pytest.raises(Refused):
        driver(list_document=b'[{"id": "x", "type": "2"}]', helios_get_list=b"<liste/>").incoming()
    assert driver(list_document=b"[]", helios_get_list=b"<liste><resultat/></liste>").incoming() == []


def page(code: int, text: str) -> requests.Response:
    """What a web server in front of the TdT answers."""
    answer = requests.Response()
    answer.status_code = code
    answer._content = text.encode()
    answer.encoding = "utf-8"
    return answer


OWN_PAGE = "<h1>Certificat refusé</h1><p>…</p><small>Motif technique : {}</small>"


@pytest.mark.parametrize(
    ("code", "text", "error", "kind"),
    [
        (400, "<title>400 The SSL certificate error</title>", Denied, "client_refuse"),
        (400, "<title>400 No required SSL certificate was sent</title>", Denied, "client_absent"),
        (400, OWN_PAGE.format("FAILED:certificate revoked"), Denied, "client_revoque"),
        (400, OWN_PAGE.format("FAILED:certificate has expired"), Denied, "client_expire"),
        (400, OWN_PAGE.format("FAILED:unable to verify the first certificate"), Denied, "client_autorite"),
        (400, OWN_PAGE.format("FAILED:self-signed certificate"), Denied, "client_autorite"),
        (400, OWN_PAGE.format("FAILED:unable to get certificate CRL"), Denied, "client_autorite"),
        (400, OWN_PAGE.format("NONE"), Denied, "client_absent"),
        (400, "Bad request", Denied, "http"),
        (403, "Forbidden", Denied, "client_refuse"),
        (404, "Not found", Denied, "http"),
        (413, "Too large", Refused, "volume"),
        (302, "", Refused, "redirige"),
        (429, "", Unreachable, "panne"),
        (500, "KO\nmême numéro", Uncertain, "panne"),
        (502, "SSL certificate", Uncertain, "panne"),
        (504, "", Uncertain, "panne"),
    ],
)
def test_http_answers(code: int, text: str, error: type[TdtError], kind: str) -> None:
    with pytest.raises(TdtError) as caught:
        client._body(page(code, text))
    assert (type(caught.value), caught.value.kind) == (error, kind)


def test_decode() -> None:
    assert decode("é".encode("latin-1")) == decode("é".encode()) == "é"


# -- lists ----------------------------------------------------------------------------------------------------------


class Lists(Canned):
    """A TdT's lists: pages of transactions, by status."""

    def __init__(self, *acts: tuple[int, dict[str, Any]]) -> None:
        super().__init__()
        self.acts = acts

    def get(self, path: str, params: dict[str, Any] | None = None, follow: bool = False) -> bytes:
        given = params or {}
        self.asked.append((path, given))
        if "download" in path:
            return f"flux {given['id']}".encode()
        found = [act for status, act in self.acts if status == given["status_id"]]
        return json.dumps({"transactions": found[given["offset"] : given["offset"] + given["limit"]]}).encode()


def in_lists(*acts: tuple[int, dict[str, Any]]) -> tuple[S2low, Lists]:
    lists = Lists(*acts)
    return S2low(lists), lists  # type: ignore[arg-type] # a double of the client


ALL = (17, 18, 1, 2, 3, 4, 7, 5, 6, -1, 0, 8, 21, 12, 13, 14, 19, 20, 16)


@pytest.mark.parametrize("status", ALL)
def test_an_act_is_found_in_whatever_list_it_is(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.undo()  # all the lists, for once
    act = {"id": "7", "type": 1, "number": "2026_1", "subject": "s", "date": "2026-11-02"}
    found = in_lists((status, {**act, "number": "autre"}), (status, {**act, "type": 2}), (status, act))[0]
    [one] = found.find_acts("2026_1")
    assert (one.transaction, one.status, one.subject, one.date) == (7, status, "s", "2026-11-02")


def test_lists_are_read_from_what_waits_to_what_is_over_and_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    empty, lists = in_lists()
    assert empty.find_acts("2026_1") == []
    assert [params["status_id"] for _path, params in lists.asked] == [*ALL, *ALL]


@pytest.mark.parametrize("status", [1, 2, 3, 4, 8, 6, 24, -1, 0])
def test_a_flow_is_found_by_its_content(status: int) -> None:
    wanted = hashlib.sha1(b"flux 7", usedforsecurity=False).hexdigest()
    assert in_lists((status, {"id": 6}), (status, {"id": 7}))[0].find_pes(wanted) == [7]
    empty, lists = in_lists()
    assert empty.find_pes(wanted) == []
    assert [params["status_id"] for _path, params in lists.asked] == [1, 2, 3, 4, 8, 6, 24, -1, 0]


@pytest.mark.parametrize(("count", "pages"), [(99, 1), (100, 2), (101, 2)])
def test_long_lists_are_read_by_pages_of_a_hundred(count: int, pages: int) -> None:
    act = {"type": "1", "number": "2026_1"}
    found, lists = in_lists(*((17, {"id": rank, **act}) for rank in range(count)))
    assert len(found.find_acts("2026_1")) == count
    asked = [params for _path, params in lists.asked if params["status_id"] == 17]
    assert [(one["offset"], one["limit"]) for one in asked] == [(100 * page, 100) for page in range(pages)]


@pytest.mark.parametrize("answer", [b"[]", b'{"transactions": 1}'])
def test_a_tdt_without_lists_is_told(answer: bytes) -> None:
    with pytest.raises(Refused, match=r"^le TdT ne donne pas la liste des transactions\.$"):
        driver(list_actes=answer).find_acts("1")


@pytest.mark.parametrize(("kind", "error"), [("http", Refused), ("certificat", Denied)])
def test_a_list_that_is_denied_is_no_list_or_no_access(kind: str, error: type[TdtError]) -> None:
    class Closed(Canned):
        def get(self, path: str, params: dict[str, Any] | None = None, follow: bool = False) -> bytes:
            raise Denied("non", kind)

    with pytest.raises(TdtError) as caught:
        S2low(Closed()).find_acts("1")  # type: ignore[arg-type] # a double of the client
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("code", "state"),
    [(-1, RemoteState.ERROR), (0, RemoteState.CANCELLED), (1, RemoteState.WAITING), (2, RemoteState.WAITING),
     (3, RemoteState.TRANSMITTED), (6, RemoteState.REFUSED), (24, RemoteState.UNRECEIPTED),
     (8, RemoteState.ACKNOWLEDGED)],
)  # fmt: skip # a case a line
def test_statuses_of_a_flow(code: int, state: RemoteState) -> None:
    answer = f"<r><resultat>OK</resultat><status>{code}</status><message> un  texte </message></r>".encode()
    status = driver(get_status=answer).pes_status(1)
    assert (status.code, status.state, status.text) == (code, state, "un texte")


def test_what_is_not_there_yet_is_awaited() -> None:
    with pytest.raises(Refused, match=r"^l'acte tamponné n'est pas encore disponible au TdT\.$") as waits:
        driver(files_list=b"KO\nx").act_documents(1)
    assert waits.value.kind == "attente"
    listed = b'[{"mimetype": "text/xml", "id": 1}, {"mimetype": "application/pdf", "id": 2}]'
    with pytest.raises(Refused, match=r"^le bordereau d'acquittement n'est pas encore disponible au TdT\.$"):
        driver(files_list=listed, download=b"%PDF-1", create_pdf=b"KO").act_documents(1)
    assert driver(files_list=b"[]").act_original(1) is None
    budget = b'[{"id": 1, "mimetype": "text/xml"}, {"id": 2, "mimetype": "text/xml"}]'
    assert driver(files_list=budget, download=b"<?xml ?>").act_original(1) == b"<?xml ?>"
    assert driver(files_list=budget[:34] + b"]", download=b"<?xml ?>").act_original(1) is None
    assert driver(files_list=budget, download=b"<?xml ?>", create_pdf=b"%PDF-1").act_documents(1) == {
        "bordereau.pdf": b"%PDF-1"
    }
    assert driver(files_list=listed, download=b"<html/>").act_original(1) is None
    assert driver(files_list=listed, download=b"%PDF-1").act_original(1) == b"%PDF-1"


def test_answers_that_cannot_be_read_are_uncertain() -> None:
    with pytest.raises(Uncertain, match=r"^statut illisible donné par le TdT : 'abc'$"):
        driver(get_status=b"OK\nabc\n").act_status(1)
    long = "x" * 100
    with pytest.raises(Uncertain, match=f"^réponse inattendue du TdT : '{'x' * 80}'$"):
        driver(test=long.encode()).is_rgs()
    with pytest.raises(Uncertain, match=f"^statut illisible donné par le TdT : '{'x' * 40}'$"):
        driver(get_status=f"OK\n{long}\n".encode()).act_status(1)
    for ask in ("list_actes", "helios"):
        with pytest.raises(Uncertain, match=f"^réponse inattendue du TdT : '{'x' * 80}'$"):
            found = driver(**{ask: long.encode()})
            found.find_acts("1") if ask == "list_actes" else found.pes_status(1)
    assert driver(test=b"OK").is_rgs()
    assert not driver(test=b"KO\n").is_rgs()
    with pytest.raises(Refused):
        driver(login=b"KO\nnon\nrien").logins()
    assert driver(login=b"a\n\n b \n").logins() == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"%PDF-1.7\n", "application/pdf"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>', "text/xml"),
    ],
)
def test_a_document_is_sent_as_what_it_is(tmp_path: Path, content: bytes, kind: str) -> None:
    sent: list[FilePart] = []

    class Kept(Canned):
        def post(self, path: str, fields: object = (), files: Any = (), encoding: str = "") -> bytes:
            sent.extend(files)
            return b"OK\n7\n"

    for name in ("acte.pdf", "annexe"):
        (tmp_path / name).write_bytes(content)
    act = Submission(
        number="1", subject="Objet", date="2026-01-15", nature="1", nature_short="DE", matter="7.5", type="99_DE",
        main=File("acte.pdf"), annexes=(File("annexe", type="99_AU"),),
    )  # fmt: skip # one call
    assert S2low(Kept()).submit_act(act, tmp_path) == 7  # type: ignore[arg-type]  # a double of the client
    assert [(part.field, part.mime) for part in sent] == [
        ("acte_pdf_file", kind),
        ("acte_attachments[]", kind),
    ]


@pytest.mark.parametrize("given", [b"9" * 5000, b"9" * 19, "²".encode(), b"-1", b"1 2", b""])
def test_a_number_of_transaction_is_one_that_the_journal_can_keep(given: bytes) -> None:
    """Python refuses to read five thousand digits: the send ended by a traceback."""
    with pytest.raises(Uncertain, match="le TdT n'a pas donné de numéro de transaction"):
        _transaction(given)
    assert _transaction(b" 12345 \n") == 12345


@pytest.mark.parametrize("given", [b"[" * 100_000, b"9" * 5_000, b"{", b"\xff"])
def test_a_list_that_is_no_json_is_uncertain(given: bytes) -> None:
    with pytest.raises(Uncertain, match="réponse inattendue du TdT"):
        _json(given)


@pytest.mark.parametrize(
    ("text", "year"),
    [("Tue, 01 Dec 2026 20:00:00 GMT", 2026), ("Tue, 01 Dec 2026 20:00:00 -0000", 2026), ("hier", 0), ("", 0),
     ("Tue, 01 Dec 20260 00:00:00 GMT", 0)],
)  # fmt: skip # a table
def test_a_clock_that_makes_no_sense_takes_nothing_away_from_an_answer(
    monkeypatch: pytest.MonkeyPatch, commune: Commune, text: str, year: int
) -> None:
    """Its transaction number was lost with it, and each act looked for in the list."""
    answer = requests.Response()
    answer.status_code, answer.raw, answer.headers["Date"] = 200, io.BytesIO(b"OK\n12"), text
    monkeypatch.setattr(requests.Session, "request", lambda *_args, **_options: answer)
    asked = client.Client(commune.config)
    assert asked.get("/x") == b"OK\n12"
    told = asked.server_date
    assert (told.year if told else 0) == year and (told is None or told.tzinfo)
