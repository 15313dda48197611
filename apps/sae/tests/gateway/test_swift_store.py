"""The storage over HTTP, against proxies that speak as Swift under WORM does; and the same rules on a folder."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from sae import store
from sae.store import (
    CorruptedObjectError,
    Entry,
    FileStore,
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectRetainedError,
    StoreError,
    StoreUnavailableError,
    SwiftSettings,
    SwiftStore,
)

Objects = dict[str, tuple[bytes, dict[str, str]]]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def log_message(self, *_arguments: object) -> None:
        pass

    def _say(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None, cut: int = -1) -> None:
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if cut < 0 else body[:cut])
        if cut >= 0:
            self.close_connection = True

    def _do(self) -> None:
        proxy, path = self.proxy, urlsplit(self.path)
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        proxy.asked.append((self.command, self.path, dict(self.headers)))
        if path.path == "/.quarantaine":
            return self._say(*proxy.quarantine)
        if path.path == "/auth/v1.0":
            given = (self.headers["X-Auth-User"], self.headers["X-Auth-Key"])
            if proxy.door:
                return self._say(proxy.door)
            if given != ("gondecourt:sae", "clé".encode().decode("latin-1")) and given != ("gondecourt:sae", "cle"):
                return self._say(401)
            proxy.tokens += 1
            return self._say(200, headers={"X-Auth-Token": f"jeton-{proxy.tokens}"})
        if self.headers["X-Auth-Token"] != f"jeton-{proxy.tokens}":
            return self._say(401)
        fault = proxy.faults.pop(0) if proxy.faults else 0
        if fault and fault != 599:
            return self._say(fault, b"<html>\n<b>raison dite</b></html>")
        done = proxy.room.answer(self, path, body)
        if fault == 599:  # done, and its answer lost
            return self._say(503)
        return self._say(*done)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _do


class Room:
    """What the proxies give access to."""

    def __init__(self) -> None:
        self.containers: dict[str, Objects] = {}
        self.worm: dict[str, str | None] = {}
        self.remembered = False  # the account, by a proxy, and by no disk: what is put below it is put nowhere
        self.until_now = time.time()

    def answer(self, handler: Handler, path: Any, body: bytes) -> tuple[Any, ...]:
        _, _, account, *rest = path.path.split("/", 4)
        assert account == "AUTH_gondecourt"
        if not rest:
            self.remembered = self.remembered and handler.command != "POST"
            return (204,)
        container, name = rest[0], unquote(rest[1]) if len(rest) > 1 else ""
        objects = self.containers.get(container)
        if not name:
            if handler.command == "PUT":
                if self.remembered:
                    return (404,)
                self.containers[container] = {}
                self.worm[container] = handler.headers["X-Container-Meta-Worm"]
                return (201,)
            if objects is None:
                return (404,)
            if handler.command == "HEAD":
                return (204,)
            asked = parse_qs(path.query)
            after = asked.get("marker", [""])[0]
            assert asked["format"] == ["json"]
            found = [one for one in sorted(objects) if one > after][: int(asked["limit"][0])]
            return (200, json.dumps([{"name": one} for one in found]).encode()) if found else (204,)
        if objects is None:
            return (404,)
        known = objects.get(name)
        if handler.command == "PUT":
            if known:
                return (412, b"deja")
            if hashlib.md5(body, usedforsecurity=False).hexdigest() != handler.headers["ETag"]:
                return (422,)
            meta = {key: value for key, value in handler.headers.items() if key.lower().startswith("x-object-meta-")}
            if any(len(value) > 256 for value in meta.values()):  # swift.common.constraints
                return (400, b"Metadata value longer than 256")
            objects[name] = (body, meta)
            return (201,)
        if known is None:
            return (404,)
        if handler.command == "DELETE":
            if int(known[1].get("X-Object-Meta-Retain-Until", 0)) > self.until_now:
                return (403, "Cette archive doit être conservée : sa date n'est pas atteinte.\n".encode())
            del objects[name]
            return (204,)
        content, meta = known
        start = int((handler.headers["Range"] or "bytes=0-")[6:-1])
        cut = handler.proxy.cuts.pop(0) if handler.command == "GET" and handler.proxy.cuts else -1
        return (206 if start else 200, content[start:], meta, cut)


class Proxy:
    """One of the room's proxies."""

    def __init__(self, room: Room) -> None:
        self.room, self.tokens, self.door = room, 0, 0
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.faults: list[int] = []  # statuses of the next answers; 599: done, but 503 is said
        self.cuts: list[int] = []  # bytes after which the next bodies end
        self.quarantine: tuple[int, bytes] = (200, b'{"objets": []}')
        handler = type("Own", (Handler,), {"proxy": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def methods(self) -> list[str]:
        return [f"{method} {urlsplit(path).path}" for method, path, _headers in self.asked]


@pytest.fixture
def proxies() -> Iterator[list[Proxy]]:
    room = Room()
    made = [Proxy(room), Proxy(room)]
    yield made
    for one in made:
        one.stop()


@pytest.fixture
def swift(proxies: list[Proxy]) -> SwiftStore:
    return SwiftStore(SwiftSettings([f"{one.url}/" for one in proxies], {"gondecourt": "cle"}))


def digest(content: bytes) -> str:
    return hashlib.sha512(content).hexdigest()


@pytest.mark.parametrize("title", ["é" * 60, "\U0001d11e" * 60, "%" * 100, "Acte n° 12 : " + "Ω" * 47, "a" * 300])
def test_no_word_about_an_archive_keeps_it_out(swift: SwiftStore, title: str) -> None:
    """Swift refuses one that is too long, for ever: the SIP, received and checked, would wait as long on the door."""
    put(swift, "a.tar", b"x", titre=title, sort="Keep")
    kept = swift.head("gondecourt", "aip", "a.tar")
    assert kept and kept["titre"] and title.startswith(kept["titre"]) and kept["sort"] == "Keep"


def put(kept: store.Store, name: str, content: bytes, until: int | None = None, **metadata: str) -> None:
    kept.put(
        "gondecourt",
        "aip",
        name,
        io.BytesIO(content),
        size=len(content),
        sha512=digest(content),
        retain_until=until,
        metadata=metadata,
    )


@pytest.fixture(params=["dossier", "swift"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> store.Store:
    if request.param == "dossier":
        return FileStore(tmp_path)
    found: store.Store = request.getfixturevalue("swift")
    return found


# -- the same rules -------------------------------------------------------------------------------------------------


def test_an_object_is_kept_whole_with_what_is_said_of_it(kept: store.Store) -> None:
    put(kept, "é/b", b"contenu", 1_700_000_000, titre="Délibération : école")
    put(kept, "a", b"")
    with kept.get("gondecourt", "aip", "é/b") as stream:
        assert stream.read() == b"contenu"
    head = kept.head("gondecourt", "aip", "é/b")
    assert head == {
        "sha512": digest(b"contenu"),
        "retain-until": "1700000000",
        "bytes": "7",
        "titre": "Délibération : école",
    }
    assert kept.head("gondecourt", "aip", "absent") is None
    assert list(kept.names("gondecourt", "aip")) == ["a", "é/b"]
    assert list(kept.listing("gondecourt", "aip")) == [
        Entry("a", 0, None, {"sha512": digest(b"")}),
        Entry("é/b", 7, 1_700_000_000, {"sha512": digest(b"contenu"), "titre": "Délibération : école"}),
    ]
    assert list(kept.names("gondecourt", "autre")) == []
    with pytest.raises(ObjectNotFoundError, match=r"^« absent » n'est pas conservé$"):
        kept.get("gondecourt", "aip", "absent")


def test_nothing_is_replaced(kept: store.Store) -> None:
    put(kept, "a", b"premier")
    for content in (b"premier", b"second"):
        with pytest.raises(ObjectExistsError, match=r"^« a » est déjà conservé$"):
            put(kept, "a", content)
    with kept.get("gondecourt", "aip", "a") as stream:
        assert stream.read() == b"premier"


def test_what_is_not_the_announced_size_is_not_kept(kept: store.Store) -> None:
    with pytest.raises(CorruptedObjectError, match=r"^« a » : 3 octets lus au lieu de 4$"):
        kept.put("gondecourt", "aip", "a", io.BytesIO(b"abc"), size=4, sha512="x")
    assert list(kept.names("gondecourt", "aip")) == []


def test_nothing_leaves_before_its_date(kept: store.Store) -> None:
    # One without a fate, or to be kept, never leaves.
    for name, until in (("garde", int(time.time()) + 1000), ("passe", int(time.time()) - 1000), ("libre", None)):
        put(kept, name, b"x", until, **{"sort-final": "Destroy"})
    with pytest.raises(
        ObjectRetainedError, match=r"^« garde » (ne peut pas être supprimé avant sa|: Cette .* : sa) date"
    ):
        kept.delete("gondecourt", "aip", "garde")
    for name in ("passe", "libre"):
        kept.delete("gondecourt", "aip", name)
        with pytest.raises(ObjectNotFoundError, match=f"^« {name} » n'est pas conservé$"):
            kept.delete("gondecourt", "aip", name)
    assert list(kept.names("gondecourt", "aip")) == ["garde"]


@pytest.mark.parametrize(("account", "container"), [("../x", "aip"), ("gondecourt", "a/b"), ("gondecourt", "")])
def test_names_that_would_lead_elsewhere_are_refused(kept: store.Store, account: str, container: str) -> None:
    with pytest.raises(StoreError, match=r"n'est pas un nom de compte ou de conteneur$"):
        list(kept.names(account, container))
    with pytest.raises(StoreError, match=r"n'est pas un nom de compte ou de conteneur$"):
        kept.get(account, container, "x")


# -- Swift alone ----------------------------------------------------------------------------------------------------


def test_containers_are_made_once_under_worm(proxies: list[Proxy], swift: SwiftStore) -> None:
    for name in ("a", "b"):
        put(swift, name, b"x")
    assert proxies[0].room.worm == {"aip": "true"}
    assert proxies[0].methods().count("PUT /v1/AUTH_gondecourt/aip") == 1
    assert proxies[0].methods().count("HEAD /v1/AUTH_gondecourt/aip") == 1
    assert proxies[1].asked == []
    plain = SwiftStore(SwiftSettings([proxies[0].url], {"gondecourt": "cle"}, worm=False))
    plain.ensure_container("gondecourt", "travail")
    assert proxies[0].room.worm["travail"] is None
    proxies[0].faults = [404, 400]
    with pytest.raises(StoreError, match=r"^conteneur « autre » : refusé par le stockage \(HTTP 400, raison dite\)$"):
        plain.ensure_container("gondecourt", "autre")


def test_a_put_says_all_that_swift_checks(proxies: list[Proxy], swift: SwiftStore) -> None:
    put(swift, "a", b"abc", 17, titre="x")
    headers = next(headers for method, path, headers in proxies[0].asked if (method, path[-2:]) == ("PUT", "/a"))
    assert headers.items() >= {
        ("If-None-Match", "*"), ("ETag", hashlib.md5(b"abc", usedforsecurity=False).hexdigest()),
        ("Content-Length", "3"), ("Content-Type", "application/octet-stream"), ("X-Object-Meta-Retain-Until", "17"),
        ("X-Object-Meta-titre", "x"), ("X-Object-Meta-Sha512", digest(b"abc")),
    }  # fmt: skip # a row a line


def test_a_digest_that_is_known_saves_a_reading(proxies: list[Proxy], swift: SwiftStore) -> None:
    class Stream(io.BytesIO):
        taken = 0

        def read(self, size: int | None = -1) -> bytes:
            block = super().read(size)
            self.taken += len(block)
            return block

    known, stream = hashlib.md5(b"abc", usedforsecurity=False).hexdigest(), Stream(b"abc")
    swift.put("gondecourt", "aip", "a", stream, size=3, sha512=digest(b"abc"), md5=known)
    headers = next(headers for method, path, headers in proxies[0].asked if (method, path[-2:]) == ("PUT", "/a"))
    assert (headers["ETag"], headers["Content-Length"], stream.taken) == (known, "3", 3)
    with pytest.raises(CorruptedObjectError, match="3 octets lus au lieu de 4"):
        swift.put("gondecourt", "aip", "b", io.BytesIO(b"abc"), size=4, sha512=digest(b"abc"), md5=known)
    assert [path for method, path, _ in proxies[0].asked if method == "PUT" and path.endswith("/b")] == []


def test_a_proxy_that_fails_is_left_aside_for_a_while(
    proxies: list[Proxy], swift: SwiftStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(swift, "a", b"x")
    now = [time.monotonic()]
    monkeypatch.setattr(store, "time", SimpleNamespace(monotonic=lambda: now[0]))
    proxies[0].faults = [500]
    proxies[0].asked.clear()
    assert swift.head("gondecourt", "aip", "a")
    assert (len(proxies[0].asked), proxies[1].methods()[-1]) == (1, "HEAD /v1/AUTH_gondecourt/aip/a")
    now[0] += 29
    swift.head("gondecourt", "aip", "a")
    assert len(proxies[0].asked) == 1
    now[0] += 1
    swift.head("gondecourt", "aip", "a")
    assert len(proxies[0].asked) == 2
    proxies[0].faults, proxies[1].faults = [500], [503]
    expected = rf"^le stockage ne répond pas utilement : {proxies[0].url} : HTTP 500 ; {proxies[1].url} : HTTP 503$"
    with pytest.raises(StoreUnavailableError, match=expected):
        swift.head("gondecourt", "aip", "a")
    proxies[0].server.socket.close()
    assert swift.head("gondecourt", "aip", "a")


def test_a_token_that_ended_is_taken_anew_once(proxies: list[Proxy], swift: SwiftStore) -> None:
    put(swift, "a", b"x")
    proxies[0].tokens += 7  # the proxy was restarted
    assert swift.head("gondecourt", "aip", "a")
    assert proxies[0].methods().count("GET /auth/v1.0") == 2
    proxies[0].faults = [401, 401]
    with pytest.raises(StoreError, match=r"^« a » : refusé par le stockage \(HTTP 401\)$"):
        swift.head("gondecourt", "aip", "a")


def test_who_may_not_come_in_is_told(proxies: list[Proxy], swift: SwiftStore) -> None:
    with pytest.raises(StoreError, match=r"^le compte « loos » n'a pas d'accès au stockage$"):
        swift.head("loos", "aip", "a")
    for status in (401, 403):
        proxies[0].door = status
        with pytest.raises(
            StoreError, match=rf"^le stockage refuse l'accès du compte « gondecourt » \(HTTP {status}\)$"
        ):
            swift.head("gondecourt", "aip", "a")
    proxies[0].door = proxies[1].door = 404
    with pytest.raises(StoreUnavailableError, match="HTTP 404 à l'ouverture de session"):
        swift.head("gondecourt", "aip", "a")
    with pytest.raises(StoreError, match=r"^aucune adresse du stockage n'est configurée$"):
        SwiftStore(SwiftSettings([], {}))


def test_a_put_whose_answer_was_lost_is_recognised(proxies: list[Proxy], swift: SwiftStore) -> None:
    put(swift, "a", b"x")
    proxies[0].faults = [599]
    put(swift, "b", b"contenu")  # done by the first proxy, that said 503; the second finds it there
    proxies[0].faults = []
    swift._failed.clear()
    proxies[0].faults = [503]
    with pytest.raises(ObjectExistsError):
        put(swift, "b", b"autre contenu")
    swift._failed.clear()
    with pytest.raises(ObjectExistsError):
        put(swift, "b", b"contenu")


def test_a_delete_whose_answer_was_lost_is_done(proxies: list[Proxy], swift: SwiftStore) -> None:
    put(swift, "a", b"x")
    proxies[0].faults = [599]
    swift.delete("gondecourt", "aip", "a")
    assert list(swift.names("gondecourt", "aip")) == []


def test_a_room_that_was_made_anew_gets_its_container_again(proxies: list[Proxy], swift: SwiftStore) -> None:
    put(swift, "a", b"x")
    proxies[0].room.containers.clear()
    put(swift, "b", b"y")
    assert set(proxies[0].room.containers["aip"]) == {"b"} and proxies[0].room.worm["aip"] == "true"
    # Swift's proxies remember for a minute an account that the disks have lost, and make it again on a POST.
    proxies[0].room.containers.clear()
    proxies[0].room.remembered = True
    put(swift, "b", b"y")
    assert set(proxies[0].room.containers["aip"]) == {"b"}
    for one in proxies:
        one.faults = [404, 0, 404]  # something else is wrong: asked twice, no more
    with pytest.raises(StoreError, match="HTTP 404"):
        put(swift, "c", b"z")


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (409, StoreError, r"^« a » : refusé par le stockage \(HTTP 409, raison dite\)$"),
        (422, CorruptedObjectError, r"^« a » : le contenu a changé pendant l'envoi$"),
        (400, StoreError, r"^« a » : refusé par le stockage \(HTTP 400, raison dite\)$"),
    ],
)
def test_a_refused_put_says_why(
    proxies: list[Proxy], swift: SwiftStore, status: int, error: type[Exception], said: str
) -> None:
    swift.ensure_container("gondecourt", "aip")
    proxies[0].faults = [status]
    with pytest.raises(error, match=said):
        put(swift, "a", b"x")


@pytest.mark.parametrize("status", [403, 405, 409])
def test_what_swift_keeps_is_retained(proxies: list[Proxy], swift: SwiftStore, status: int) -> None:
    put(swift, "a", b"x")
    proxies[0].faults = [status]
    with pytest.raises(
        ObjectRetainedError, match=rf"^« a » : le stockage refuse sans dire pourquoi \(HTTP {status}\)$"
    ):
        swift.delete("gondecourt", "aip", "a")


def test_other_refusals_are_told(proxies: list[Proxy], swift: SwiftStore) -> None:
    put(swift, "a", b"x")
    for ask in (
        lambda: swift.delete("gondecourt", "aip", "a"),
        lambda: swift.head("gondecourt", "aip", "a"),
        lambda: swift.get("gondecourt", "aip", "a"),
        lambda: list(swift.names("gondecourt", "aip")),
    ):
        proxies[0].faults = [418]
        with pytest.raises(StoreError, match=r"refusé par le stockage \(HTTP 418"):
            ask()


def test_long_lists_come_by_pages(proxies: list[Proxy], swift: SwiftStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store._LISTING_PAGE_SIZE == 1000
    monkeypatch.setattr(store, "_LISTING_PAGE_SIZE", 2)
    for name in "abcde":
        put(swift, name, b"x")
    assert list(swift.names("gondecourt", "aip")) == list("abcde")
    proxies[0].room.containers["vide"] = {}
    assert list(swift.names("gondecourt", "vide")) == []


def test_a_body_that_is_cut_is_read_to_its_end(proxies: list[Proxy], swift: SwiftStore) -> None:
    content = bytes(range(256)) * 40
    put(swift, "a", content)
    proxies[0].cuts = [5000, 100]
    with swift.get("gondecourt", "aip", "a") as stream:
        assert stream.readable()
        assert stream.read() == content
    ranges = [headers.get("Range") for method, _path, headers in proxies[0].asked if method == "GET"][1:]
    assert ranges == [None, "bytes=5000-", "bytes=5100-"]
    proxies[0].cuts = [5000, 0, 0, 0]
    with (
        swift.get("gondecourt", "aip", "a") as stream,
        pytest.raises(StoreUnavailableError, match=r"^« a » : lecture interrompue à l'octet 5000 sur 10240$"),
    ):
        stream.read()


def test_the_storage_s_time_is_in_its_answers(proxies: list[Proxy], swift: SwiftStore) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    at = swift.clock("gondecourt")
    assert at is not None
    assert before <= at <= datetime.now(UTC)


def test_an_answer_without_a_date_tells_no_time(swift: SwiftStore, monkeypatch: pytest.MonkeyPatch) -> None:
    undated = SimpleNamespace(headers={})
    monkeypatch.setattr(swift, "_call_proxies", lambda *_arguments: (undated, False))
    assert swift.clock("gondecourt") is None


def test_the_nearest_proxy_alone_tells_what_its_node_set_aside(proxies: list[Proxy], swift: SwiftStore) -> None:
    proxies[0].quarantine = (200, b'{"objets": [{"objet": "/a"}, "odd"]}')
    assert swift.quarantined() == [{"objet": "/a"}]
    proxies[0].quarantine = (404, b"")
    assert swift.quarantined() == []
    for body in (b"oups", b"{}", b"[]"):
        proxies[0].quarantine = (200, body)
        with pytest.raises(StoreUnavailableError, match=f"^{proxies[0].url} : "):
            swift.quarantined()
    assert proxies[1].asked == []


def test_each_proxy_is_a_store_of_its_own(swift: SwiftStore) -> None:
    found = SwiftStore(SwiftSettings(["https://sae1.test:443", "https://sae2.test"], {"gondecourt": "cle"})).each()
    assert {name: one._urls for name, one in found.items()} == {
        "sae1.test": ["https://sae1.test:443"],
        "sae2.test": ["https://sae2.test"],
    }


def test_proxies_are_trusted_by_their_authority_alone(tmp_path: Path) -> None:
    given = SwiftSettings(["https://sae1.test"], {}, ca_file=tmp_path / "ca.pem", certificate=tmp_path)
    session = SwiftStore(given)._thread_session()
    assert (session.verify, session.trust_env) == (str(tmp_path / "ca.pem"), False)
    assert session.cert == (str(tmp_path / "fullchain.pem"), str(tmp_path / "key.pem"))
    plain = SwiftStore(SwiftSettings(["https://sae1.test"], {}))
    assert plain._thread_session() is plain._thread_session()
    assert (plain._thread_session().verify, plain._thread_session().cert) == (True, None)
