"""Nothing leaves the site but what any visitor reads there: over states, choices, withdrawals and kinds of council."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from creatic.deliberations import publicity, rules
from hypothesis import given
from hypothesis import strategies as st

from apps.deliberations.tests.beside_plone import module

FAR = datetime.datetime(2499, 12, 31, tzinfo=datetime.UTC)
MOMENT = datetime.datetime(2025, 11, 30, 23, 30, tzinfo=datetime.UTC)  # the 1st of December in France


class Clock:
    """A DateTime of Zope's."""

    def __init__(self, moment: datetime.datetime = MOMENT) -> None:
        self.moment = moment

    def asdatetime(self) -> datetime.datetime:
        return self.moment


@dataclass
class Thing:
    """Content, with what is asked of it."""

    portal_type: str
    state: str = "published"
    parent: Any = None
    told: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.told[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def aq_base(self) -> Thing:
        return self

    @property
    def aq_chain(self) -> list[Thing]:
        return [self, *(self.parent.aq_chain if self.parent else [])]

    def UID(self) -> str:
        return f"{id(self):032x}"

    def getId(self) -> str:
        return str(self.told.get("id", ""))

    def absolute_url(self) -> str:
        return f"https://delib.test/{self.portal_type}/{id(self)}"

    def getPhysicalPath(self) -> tuple[str, ...]:
        return ("", "site", str(id(self)))

    def modified(self) -> Clock:
        return Clock()

    def effective(self) -> Clock:
        return Clock(FAR if self.told.get("later") else self.told.get("since", MOMENT))

    def expires(self) -> Clock:
        return Clock(MOMENT if self.told.get("over") else FAR)

    def vote(self) -> rules.Vote:
        return rules.Vote(["Anne Petit"], [], [])


class Missing(Exception):
    """There is no such page."""


COMMUNES: dict[str, Thing] = {}


def catalogued(path: str, portal_type: str, review_state: str, **_order: str) -> list[Any]:
    """What the catalogue finds, latest first."""
    found = [one for one in COMMUNES[path].publications.objectValues() if one.portal_type == portal_type]
    found = [one for one in found if one.state == review_state]
    found.sort(key=lambda one: one.effective().moment, reverse=True)
    return [SimpleNamespace(_unrestrictedGetObject=lambda one=one: one) for one in found]


MORE = (
    "plone.app.layout", "plone.app.layout.viewlets", "plone.app.layout.viewlets.common",
    "plone.app.uuid", "plone.app.uuid.utils",
)  # fmt: skip # a list of words


@pytest.fixture(scope="module")
def outlets() -> Any:
    """The module, beside a Plone where an object says of itself what the site would know of it."""
    patch = pytest.MonkeyPatch()
    having: dict[str, Any] = {
        "zExceptions": {"NotFound": Missing},
        "plone.app.layout.viewlets.common": {"ViewletBase": object},
    }
    found = module(patch, "outlets", "publishing", "watch", "catalogue", more=MORE, having=having)
    found.counted = {}
    found.api.content.get_state = lambda one: one.state
    found.api.portal.get_registry_record = lambda _name: {"deliberation": "Délibération", "arrete": "Arrêté"}
    found.api.portal.get_tool = lambda _name: SimpleNamespace(unrestrictedSearchResults=catalogued)
    found.catalogue.changes = lambda _tool, path: found.counted.get(path, 0)
    found.watch.is_deliberation = lambda one: "projet" in one.told
    found.watch.origin = lambda one: one.told["projet"]
    found.uuidToObject = lambda projet, unrestricted: projet
    found.publishing.published = lambda projet: projet.told.get("publie")
    found.publishing.withdrawn = lambda projet: projet.told.get("retrait")
    yield found
    patch.undo()


def institution(kind: str | None, helps: bool, siret: str = "21590266900013") -> Thing:
    publications = SimpleNamespace(held=[])
    publications.objectValues = lambda: publications.held
    told = {"creatic_type": kind, "creatic_aides": helps, "creatic_siret": siret, "title": "Loos", "id": "loos"}
    made = Thing("Institution", told=told | {"publications": publications})
    COMMUNES["/".join(made.getPhysicalPath())] = made
    return made


def publish(commune: Thing, number: str, subject: str, **told: Any) -> Thing:
    """A délibération that is on line, but for what is told otherwise; gives its publication."""
    meeting = Thing("seance", parent=commune, told={"date": datetime.date(2026, 11, 26), "convoques": ["Anne Petit"]})
    of = {
        "numero": number,
        "title": f"SECRET {number}",  # never read by anybody
        "matiere": "7.1",
        "non_transmis": None,
        "date_reception": datetime.date(2026, 11, 27),
        "publie": {"le": datetime.date(2026, 12, 1), "en_ligne": True, "mode": "electronique"},
    }
    of |= {name: told[name] for name in ("publie", "retrait") if name in told}
    projet = Thing("projet", parent=told.get("elsewhere") or meeting, told=of)
    made = Thing("Publication", told.get("state", "published"), commune.publications, {
        "title": f"{number} – {subject}", "document_type": "deliberation", "later": told.get("later"),
        "over": told.get("over"), "projet": None if told.get("absent") else projet,
    })  # fmt: skip # a table
    commune.publications.held.append(made)
    return made


def asked(outlets: Any, commune: Thing, kind: str = "Data", changes: bool = True) -> str:
    """What a visitor gets of a page; raises Missing where there is none. Something of it changes then."""
    headers: dict[str, str] = {}
    path = "/".join(commune.getPhysicalPath())
    page = getattr(outlets, kind)()
    page.context = commune
    page.request = SimpleNamespace(
        response=SimpleNamespace(setHeader=headers.__setitem__, setStatus=headers.setdefault)
    )
    data: bytes = page()
    if changes:
        outlets.counted[path] = outlets.counted.get(path, 0) + 1
    page.request.headers = headers
    return data.decode()


PAGES = ("Data", "Feed", "Block")
# What the site may know of a délibération; only the first of each is on line.
STATES = st.sampled_from(["published", "private", "proposed", "planned", "unpublished", "archived"])
PUBLISHED = st.sampled_from([None, *({"le": datetime.date(2026, 12, 1), "en_ligne": one} for one in (True, False))])
WITHDRAWN = st.sampled_from([None, {"par": "paul.renard", "le": datetime.date(2026, 12, 2), "motif": "nom"}])
KINDS = st.sampled_from([*("commune", "syndicat", "ccas", "cias", "caisse_des_ecoles", "autre", ""), None])
ACT = st.fixed_dictionaries(
    {
        "state": STATES,
        "publie": PUBLISHED,
        "retrait": WITHDRAWN,
        **{one: st.booleans() for one in ("later", "over", "absent")},
    }
)


@given(KINDS, st.booleans(), st.lists(ACT, max_size=6))
def test_what_is_not_on_line_leaves_by_no_way(
    outlets: Any, kind: str | None, helps: bool, acts: list[dict[str, Any]]
) -> None:
    commune = institution(kind, helps)
    for rank, one in enumerate(acts):
        publish(commune, f"2026_{rank:03d}", f"objet-{rank}-", **one)
    for page in PAGES:
        if not publicity.is_open(kind, helps):
            with pytest.raises(Missing):
                asked(outlets, commune, page)
            continue
        said = asked(outlets, commune, page)
        assert "SECRET" not in said and "Anne Petit" not in said and "paul.renard" not in said
        for rank, one in enumerate(acts):
            on_line = one["state"] == "published" and one["publie"] and one["publie"]["en_ligne"]
            shown = bool(on_line and not one["retrait"] and not any(one[name] for name in ("later", "over", "absent")))
            assert (f"objet-{rank}-" in said) is shown, (page, one)


def test_a_council_that_helps_people_has_no_such_page_nor_link(outlets: Any) -> None:
    ccas = institution("ccas", helps=False)
    publish(ccas, "2026_001", "Budget primitif")  # a person chose it: on line here, and nowhere else
    for page in PAGES:
        with pytest.raises(Missing):
            asked(outlets, ccas, page)
    assert outlets.links(ccas) == []
    assert outlets.links(Thing("Plone Site")) == []


def test_what_is_taken_off_is_gone_at_once(outlets: Any) -> None:
    """Whatever was written of it before."""
    commune = institution("commune", helps=True)
    made = publish(commune, "2026_001", "Voirie")
    assert all("Voirie" in asked(outlets, commune, page) for page in PAGES)
    made.told["projet"].told["retrait"] = {"le": datetime.date(2026, 12, 2)}
    assert not any("Voirie" in asked(outlets, commune, page) for page in PAGES)


def test_nothing_of_another_council_is_among_them(outlets: Any) -> None:
    commune = institution("commune", helps=True)
    publish(commune, "2026_001", "Voirie", elsewhere=institution("ccas", helps=True))
    assert "Voirie" not in asked(outlets, commune)


def test_another_act_is_in_the_feed_and_not_in_the_data(outlets: Any) -> None:
    commune = institution("commune", helps=True)
    held = commune.publications.held
    held.append(Thing("Publication", told={"title": "Stationnement", "document_type": "arrete"}))
    held.append(Thing("Publication", told={"title": "Fausse", "document_type": "deliberation"}))
    held.append(Thing("Publication", "private", told={"title": "Projet", "document_type": "arrete"}))
    held.append(Thing("File", told={"title": "Fichier"}))
    assert asked(outlets, commune).count("\r\n") == 1
    said = asked(outlets, commune, "Feed")
    assert "Stationnement" in said and not any(one in said for one in ("Fausse", "Projet", "Fichier"))
    assert "mise en ligne le 1er décembre 2025" in said  # the day in France


def test_without_a_siret_there_is_no_file_and_the_page_says_what_to_do(outlets: Any) -> None:
    commune = institution("commune", helps=True, siret="")
    with pytest.raises(Missing, match=r"SIRET.*À faire"):
        asked(outlets, commune)
    assert [name for _url, name in outlets.links(commune)] == ["Flux Atom"]
    page = outlets.Elsewhere()
    page.context = Thing("Folder", parent=commune)
    assert "SIRET" in page.told()["sans_siret"]


@pytest.fixture
def written(outlets: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whose feed was written, each time."""
    told: list[str] = []

    def feed(body: Any, _items: Any, _address: str) -> bytes:
        told.append(body.uid)
        return b"<feed/>"

    monkeypatch.setattr(outlets.opendata, "feed", feed)
    return told


def test_a_page_is_written_again_for_what_its_own_commune_changed(outlets: Any, written: list[str]) -> None:
    """Ten thousand acts take seconds: each change of anybody's had those of all communes written again."""
    one, other = institution("commune", helps=True), institution("commune", helps=True)
    publish(one, "2026_001", "Voirie")
    for _time in range(3):
        asked(outlets, one, "Feed", changes=False)
        asked(outlets, other, "Feed", changes=True)
    assert written.count(one.UID()) == 1 and written.count(other.UID()) == 3
    asked(outlets, one, "Feed")
    assert written.count(one.UID()) == 1
    asked(outlets, one, "Feed")
    assert written.count(one.UID()) == 2


def test_one_thread_writes_and_the_others_say_when_to_come_back(
    outlets: Any, written: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commune, other = institution("commune", helps=True), institution("commune", helps=True)
    assert asked(outlets, commune, "Feed", changes=False) == "<feed/>"
    monkeypatch.setattr(outlets, "_WAIT", 0.01)
    with outlets._WRITES:
        assert asked(outlets, commune, "Feed", changes=False) == "<feed/>", "what is written is given"
        assert "demandez-la de nouveau" in asked(outlets, other, "Feed", changes=False)
    assert asked(outlets, other, "Feed") == "<feed/>"


def test_the_feed_and_the_block_read_the_latest_acts_alone(outlets: Any) -> None:
    commune = institution("commune", helps=True)
    for rank in range(200):
        made = publish(commune, f"2026_{rank:03d}", f"objet-{rank}-")
        made.told["since"] = MOMENT - datetime.timedelta(days=rank)
    found = outlets.items(commune, 10)
    assert [one.title for one in found] == [f"2026_{rank:03d} – objet-{rank}-" for rank in range(10)]
    for made in commune.publications.held[:30]:
        made.told["since"] = MOMENT
    assert len(outlets.items(commune, 10)) == 30, "of one day, the last that changed are first"
