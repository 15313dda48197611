"""What stands before Zope: where the site is, whose password passes in a header, what is not for visitors."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
import serve
from creatic.deliberations import doors

from apps.deliberations.tests.beside_plone import module


def asked(
    path: str,
    login: str = "",
    outside: bool = True,
    query: str = "",
    method: str = "GET",
    sent: dict[str, Any] | None = None,
) -> dict[str, Any] | str:
    """What Zope is asked, or the status of what answers in its place."""
    seen: dict[str, Any] = {}
    said: list[str] = []

    def zope(environ: dict[str, Any], _start: Any) -> Iterable[bytes]:
        seen.update(environ)
        return []

    environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}
    environ |= {"wsgi.input": io.BytesIO(), **(sent or {})}
    if outside:
        environ["HTTP_X_FORWARDED_FOR"] = "10.0.0.1"
    if login:
        environ["HTTP_AUTHORIZATION"] = "Basic " + base64.b64encode(f"{login}:secret".encode()).decode()
    list(serve.front(zope, "site.test")(environ, lambda status, _headers: said.append(status)))
    return seen or said[0]


def test_the_site_is_at_the_root_of_its_name() -> None:
    found = asked("/gondecourt")
    assert isinstance(found, dict)
    assert found["PATH_INFO"] == "/VirtualHostBase/https/site.test:443/deliberations/VirtualHostRoot/gondecourt"


@pytest.mark.parametrize(
    ("login", "outside", "passes"),
    [("passerelle", True, True), ("admin", True, False), ("claire", True, False), ("admin", False, True)],
)
def test_a_password_in_a_header_is_a_services(login: str, outside: bool, passes: bool) -> None:
    found = asked("/@adoptees", login, outside)
    assert isinstance(found, dict)
    assert ("HTTP_AUTHORIZATION" in found) is passes


def test_a_header_that_cannot_be_read_does_not_pass() -> None:
    assert serve.basic_login("Basic ***") == ""
    assert serve.basic_login("Bearer abc") is None


@pytest.mark.parametrize(
    "path",
    ["/manage", "/manage_main", "/gondecourt/manage_access", "/acl_users/manage_users", "/portal_setup",
     "/x/VirtualHostRoot/y", "/VirtualHostBase/http/a:80/", "/_vh_a/b", "/@@manage-viewlets",
     "/++view++manage-viewlets", "/++attribute++manage_main", "/++view++++attribute++manage_main", "/aq_parent/x",
     "/gondecourt/aq_parent"],
)  # fmt: skip # a case a line
def test_managing_zope_is_not_for_visitors(path: str) -> None:
    assert asked(path) == "404 Not Found"


@pytest.mark.parametrize(
    "query",
    ["manage_main:method=x", "manage_main:action=", "manage_main:default_method=x", "manage_main:default_action=x",
     ":method=manage_main", "x=1&manage_main:method=x", "manage%5Fmain%3Amethod=x", "acl_users/manage_main:method=x",
     "manage_main:method:utf8=x", "manage_main:utf8:method=x", "%2B%2Battribute%2B%2Bmanage_main:method=x",
     "portal_setup:method=x", "@@manage-viewlets:method=x", "aq_parent:method=x", "manage_main:list:method=x",
     "manage_main:method.x=1", "manage_main:action.y:utf8=1", ":method.x=manage_main"],
)  # fmt: skip # a case a line
def test_nor_by_a_field_that_names_a_page(query: str) -> None:
    assert asked("/", query=query) == "404 Not Found"
    assert isinstance(asked("/", query=query, outside=False), dict)


@pytest.mark.parametrize(
    "query", ["", "SearchableText=manage_main", "manage_main=1", "folder_rename_form:method=x", "tags:list=manage_x"]
)
def test_a_field_is_a_field(query: str) -> None:
    assert isinstance(asked("/", query=query), dict)


@pytest.mark.parametrize("method", ["PUT", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "put", "CREER"])
def test_nothing_is_written_but_by_pages_and_the_api(method: str) -> None:
    """WebDAV's PUT empties a field that every form asks for, the hour of a meeting for one."""
    assert asked("/loos/seances/x", method=method) == "405 Method Not Allowed"
    assert isinstance(asked("/loos/seances/x", outside=False, method=method), dict)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"])
def test_pages_and_the_api_are_asked_as_ever(method: str) -> None:
    assert isinstance(asked("/loos/seances/x", method=method), dict)


_MUCH = doors.LARGEST + 1
_UNFOLDS = b'{"login":"a","password":[' + b"{}," * 300_000 + b"{}]}"
_FILE = b'{"fichier":{"data":"' + b"QUJD" * 1_000_000 + b'"}}'


@pytest.mark.parametrize(
    ("method", "kind", "body", "shown", "passes"),
    [
        ("POST", "application/json", _UNFOLDS, {}, False),
        ("POST", "application/json", _UNFOLDS, {"HTTP_COOKIE": "__ac=x"}, False),
        ("POST", "application/json", _UNFOLDS, {"HTTP_AUTHORIZATION": "Basic cGFzc2VyZWxsZTp4"}, False),
        ("DELETE", "multipart/form-data; boundary=x", _UNFOLDS, {"HTTP_COOKIE": "__ac=x"}, False),
        ("POST", "text/plain", _UNFOLDS, {"HTTP_COOKIE": "__ac=x"}, False),
        ("POST", "multipart/form-data; boundary=x", b"-" * _MUCH, {}, False),
        (
            "POST",
            "Application/X-WWW-form-urlencoded;charset=x",
            b"a" + b":int" * _MUCH,
            {"HTTP_COOKIE": "__ac=x"},
            False,
        ),
        ("POST", "", b"a" * _MUCH, {"HTTP_COOKIE": "__ac=x"}, False),
        ("POST", "application/x-url-encoded", b"a" * _MUCH, {"HTTP_COOKIE": "__ac=x"}, False),
        ("POST", "application/x-www-form-urlencoded", b"a" * doors.LARGEST, {}, True),
        ("POST", "application/json", _FILE, {"HTTP_AUTHORIZATION": "Bearer x"}, True),
        ("PATCH", "multipart/form-data; boundary=x", b"," * 9_000_000, {"HTTP_COOKIE": "__ac=x"}, True),
    ],
)
def test_what_would_hold_all_threads_is_not_read(
    method: str, kind: str, body: bytes, shown: dict[str, str], passes: bool
) -> None:
    """Nobody's 69 MB of « {}, » at @login held the whole site for forty seconds; a search of one word, a minute."""
    sent = {"CONTENT_TYPE": kind, "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body), **shown}
    found = asked("/@login", method=method, sent=sent)
    if passes:
        assert isinstance(found, dict)
        assert found["wsgi.input"].read() == body
    else:
        assert found == "413 Content Too Large"


_ACCOUNTS = (
    "AccessControl.class_init", "Acquisition", "App", "App.special_dtml", "Products.PageTemplates",
    "Products.PageTemplates.PageTemplateFile", "Products.PluggableAuthService",
    "Products.PluggableAuthService.interfaces", "Products.PluggableAuthService.interfaces.plugins",
    "Products.PluggableAuthService.plugins", "plone.base", "plone.base.interfaces", "plone.resource",
    "plone.resource.file", "zope", "zope.browserresource", "zope.browserresource.interfaces", "zope.globalrequest",
    "zope.publisher", "zope.publisher.interfaces", "zope.publisher.interfaces.browser",
)  # fmt: skip # a list of words


def accounts_with(monkeypatch: pytest.MonkeyPatch, mine: dict[str, Any]) -> Any:
    """The module, beside stand-ins that have what is given."""
    having: dict[str, Any] = {
        "AccessControl": {},
        "Products.PluggableAuthService.plugins.BasePlugin": {"BasePlugin": object},
        "zope.component": {"adapter": lambda *_kinds: lambda kind: kind},
        "zope.interface": {"implementer": lambda *_kinds: lambda kind: kind},
        **mine,
    }
    return module(monkeypatch, "accounts", more=(*_ACCOUNTS, *having), having=having)


class Thing:
    """Content, as nothing wraps it yet."""

    portal_type = "seance"


class Wrapped:
    """What Zope wraps it in: what holds it, and over that, one for each step by which it was found elsewhere."""

    def __init__(self, thing: Any, parent: Any) -> None:
        self.aq_base = getattr(thing, "aq_base", thing)
        self.aq_inner = getattr(thing, "aq_inner", self)
        self.aq_parent = parent

    @property
    def aq_chain(self) -> list[Any]:
        """Itself, what it was found under, and so on up, as Acquisition gives it."""
        return [self, *getattr(self.aq_parent, "aq_chain", [self.aq_parent])]


SITE = Wrapped(Thing(), object())
OWN, OTHER = Wrapped(Thing(), SITE), Wrapped(Thing(), SITE)
FOLDER = Wrapped(Thing(), OWN)
MEETING, NEXT = Wrapped(Thing(), FOLDER), Wrapped(Thing(), FOLDER)
POINT = Wrapped(Thing(), MEETING)
ASTRAY = Wrapped(OTHER, FOLDER)


@pytest.mark.parametrize(
    "reached",
    [[SITE, OWN, FOLDER, MEETING, POINT], [object(), None], [Wrapped(SITE, SITE), OWN],
     [Wrapped(object(), MEETING), MEETING]],
    ids=["its own place", "no content", "++api++ gives the site in itself", "a page"],
)  # fmt: skip # a case a line
def test_content_is_reached_where_it_is(reached: list[Any]) -> None:
    assert not doors.is_elsewhere(reached)


@pytest.mark.parametrize(
    "reached",
    [[SITE, OWN, FOLDER, ASTRAY, Wrapped(MEETING, ASTRAY)], [Wrapped(MEETING, ASTRAY)], [ASTRAY],
     [Wrapped(OWN, OTHER)], [Wrapped(SITE, OWN)], [Wrapped(NEXT, MEETING)], [Wrapped(POINT, Wrapped(NEXT, MEETING))],
     [Wrapped(Wrapped(MEETING, ASTRAY), Wrapped(MEETING, ASTRAY))], [Wrapped(POINT, Wrapped(MEETING, ASTRAY))],
     [Wrapped(POINT.aq_base, Wrapped(MEETING, ASTRAY))]],
    ids=["/own/seances/other/meeting", "its last step", "the other commune", "/other/own", "/own/site",
         "a meeting under another", "an item under another meeting", "in itself, there", "an item, there",
         "an item of what is there"],
)  # fmt: skip # a case a line
def test_nothing_is_reached_under_another_s_name(reached: list[Any]) -> None:
    """/own/seances/other/meeting/@@suites published one's own list on the site of another commune, under its name."""
    assert doors.is_elsewhere(reached)


@pytest.mark.parametrize(
    ("reached", "about"),
    [([POINT, MEETING, FOLDER], POINT), ([object(), Wrapped(object(), POINT), POINT, MEETING], POINT),
     ([None, object()], None), ([MEETING], MEETING)],
    ids=["itself", "an attribute of a page of it", "no content", "published by itself"],
)  # fmt: skip # a case a line
def test_a_request_is_about_the_content_that_it_reached_last(reached: list[Any], about: Any) -> None:
    assert doors.nearest(reached) is about


@pytest.mark.parametrize("may", [True, False])
def test_who_may_not_see_content_reads_nothing_of_it(monkeypatch: pytest.MonkeyPatch, may: bool) -> None:
    """/own/seances/meeting/projet/@@plone_context_state/object_title said the subject of a projet to anybody."""

    class Refused(Exception):
        """Whoever asks logs in."""

    manager = SimpleNamespace(checkPermission=lambda name, one: may if (name, one) == ("View", POINT) else None)
    accounts = accounts_with(
        monkeypatch,
        {"AccessControl": {"getSecurityManager": lambda: manager}, "zExceptions": {"Unauthorized": Refused}},
    )
    event = SimpleNamespace(request={"PUBLISHED": object(), "PARENTS": [object(), POINT, MEETING, FOLDER, OWN, SITE]})
    with contextlib.nullcontext() if may else pytest.raises(Refused):
        accounts.see(event)
    accounts.see(SimpleNamespace(request={}))


class Asked(dict[str, Any]):
    """A request of Zope's."""

    def __init__(self, who: str, size: int, fields: dict[str, Any]) -> None:
        super().__init__(AUTHENTICATED_USER=SimpleNamespace(getUserName=lambda: who))
        self.environ, self.form = {"HTTP_X_FORWARDED_FOR": "10.0.0.1", "CONTENT_LENGTH": str(size)}, fields


@pytest.mark.parametrize(
    ("who", "size", "fields", "passes"),
    [
        ("Anonymous User", doors.LARGEST, {"SearchableText": "budget"}, True),
        ("Anonymous User", _MUCH, {}, False),
        ("claire", _MUCH, {}, True),
        ("claire", 0, {"SearchableText": "a" * (doors.MAX_SEARCH_LENGTH + 1)}, False),
        ("claire", 0, {"SearchableText": ["a"] * doors.MAX_SEARCH_LENGTH}, False),
    ],
)
def test_neither_much_of_nobody_nor_a_search_without_end(
    monkeypatch: pytest.MonkeyPatch, who: str, size: int, fields: dict[str, Any], passes: bool
) -> None:
    """A cookie or a password in a header is shown by whoever writes one: who it is, Zope says."""

    class Refused(Exception):
        """Nothing is done."""

    accounts = accounts_with(monkeypatch, {"zExceptions": {"BadRequest": Refused}})
    with contextlib.nullcontext() if passes else pytest.raises(Refused):
        accounts.weigh(SimpleNamespace(request=Asked(who, size, fields)))


@pytest.mark.parametrize(
    ("search", "endless"),
    [
        ("budget", False),
        ("budget* AND 2026*", False),
        ('"budget" AND ("école*" OR budge?)', False),
        ("b" * doors.MAX_SEARCH_LENGTH, False),
        ("b" * (doors.MAX_SEARCH_LENGTH + 1), True),
        ("école a" + "*a" * 12 + "*b", True),
        ('"(a*a)*"', True),
        ("*a", True),
    ],
)
def test_a_search_has_an_end(monkeypatch: pytest.MonkeyPatch, search: str, endless: bool) -> None:
    """A word of sixty « a » in a projet, and a search of « a*a*a*… » by anybody: no other thread of the site ran."""

    class TooLong(Exception):
        """What Plone's own search takes for one without an answer."""

    parser = type("QueryParser", (), {"parseQuery": lambda _self, query: f"lu : {query}"})
    having: dict[str, Any] = {
        "Products.CMFCore": {},
        "Products.CMFPlone.browser": {},
        "Products.ZCTextIndex.ParseTree": {"ParseError": TooLong},
        "Products.ZCTextIndex.QueryParser": {"QueryParser": parser},
        "plone.app.querystring": {},
    }
    catalogue = module(monkeypatch, "catalogue", more=(*BESIDE_THE_CATALOGUE, *having), having=having)
    pages = (catalogue.search, catalogue.querybuilder)
    for one in pages:
        one.munge_search_term = lambda text: f"{text}*"
    catalogue.with_an_end(object())
    munged = search if len(search) > doors.MAX_SEARCH_LENGTH else f"{search}*"
    assert [one.munge_search_term(search) for one in pages] == [munged] * 2
    with pytest.raises(TooLong) if endless else contextlib.nullcontext():
        assert parser().parseQuery(search) == f"lu : {search}"


class Length:
    """A count of BTrees."""

    def __init__(self) -> None:
        self.value = 0

    def change(self, by: int) -> None:
        self.value += by

    def __call__(self) -> int:
        return self.value


BESIDE_THE_CATALOGUE = (
    "Acquisition", "BTrees", "BTrees.Length", "BTrees.OOBTree", "Products.CMFPlone", "Products.CMFPlone.CatalogTool",
    "Products.ZCTextIndex",
)  # fmt: skip # a list of words


def test_what_an_institution_changes_is_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []

    class Tool:
        """The catalogue of CMFPlone."""

        def catalog_object(self, thing: Any, uid: Any = None, idxs: Any = None) -> None:
            done.append((thing, uid, idxs))

        def uncatalog_object(self, uid: Any) -> None:
            done.append(uid)

    having: dict[str, Any] = {
        "Acquisition": {"aq_base": lambda thing: thing},
        "BTrees.Length": {"Length": Length},
        "BTrees.OOBTree": {"OOBTree": dict},
        "Products.CMFCore": {},
        "Products.CMFPlone.CatalogTool": {"CatalogTool": Tool},
        "Products.CMFPlone.browser": {},
        "Products.ZCTextIndex.ParseTree": {"ParseError": ValueError},
        "Products.ZCTextIndex.QueryParser": {},
        "plone.app.querystring": {},
    }
    catalogue = module(monkeypatch, "catalogue", more=(*BESIDE_THE_CATALOGUE, *having), having=having)
    catalogue.count_apart(object())
    tool, loos = Tool(), SimpleNamespace(getPhysicalPath=lambda: ("", "site", "loos", "publications", "x"))
    assert catalogue.changes(tool, "/site/loos") == 0
    tool.catalog_object(loos)
    tool.catalog_object(loos, "/site/loos/seances/s/p", idxs=["title"])
    tool.uncatalog_object("/site/loos")
    tool.uncatalog_object("/site/loos-ccas/x")
    assert done == [(loos, None, None), (loos, "/site/loos/seances/s/p", ["title"]), "/site/loos", "/site/loos-ccas/x"]
    found = {
        path: catalogue.changes(tool, path) for path in ("/site/loos", "/site/loos/x", "/site/loos-ccas", "/site/y")
    }
    assert found == {"/site/loos": 3, "/site/loos/x": 3, "/site/loos-ccas": 1, "/site/y": 0}


@pytest.mark.parametrize("may", [True, False])
def test_accounts_are_listed_to_the_administrator_alone(monkeypatch: pytest.MonkeyPatch, may: bool) -> None:
    """/@@qsOptions named all agents and élus of all communes, with their logins, to visitors."""

    class Factory:
        """Plone's list of accounts."""

        source = "user"

        def __call__(self, _context: Any, query: str = "") -> list[str]:
            return [f"claire.dubois{query}"]

    manager = SimpleNamespace(checkPermission=lambda name, _one: may and name == "Manage portal")
    listing = {"BaseFactory": Factory, "PrincipalsVocabulary": type("Listed", (list,), {})}
    accounts = accounts_with(
        monkeypatch,
        {
            "AccessControl": {"getSecurityManager": lambda: manager},
            "plone.app.vocabularies": {"principals": SimpleNamespace(**listing)},
        },
    )
    accounts.keep_names(object())
    assert list(Factory()(object())) == (["claire.dubois"] if may else [])
    assert list(Factory()(object(), query="*")) == (["claire.dubois*"] if may else [])


@pytest.mark.parametrize(
    "path",
    ["/own/seances/@tus-upload", "/++api++/own/seances/@tus-upload/d415", "/own/@tus-replace", "/own/@@@tus-upload",
     "/own/++view++@tus-upload"],
)  # fmt: skip # a list of words
def test_nothing_is_sent_by_pieces(path: str) -> None:
    """Each piece stayed on the disk of all communes' site for an hour after the last one, whatever they weighed."""
    assert asked(path, method="POST") == "404 Not Found"
    assert asked(path, method="PATCH") == "404 Not Found"
