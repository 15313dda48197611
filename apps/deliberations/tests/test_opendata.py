"""Open data by the national schema, the feed and the block: what they say of what is published."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import html.parser
import io
import re
from typing import Any

import pytest
from creatic.deliberations import ballots, matters, opendata, rules
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from apps.deliberations.tests.scdl_judge import SCHEMA, faults

SINCE = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
BODY = opendata.Body(
    "Gondecourt", "21590266900013", "https://delib.test/gondecourt", "a" * 32, "https://www.gondecourt.fr", SINCE
)
PUBLIC = rules.Vote(["Anne", "Luc"], ["Zoé"], ["Éric"])
SECRET = ballots.Secret(12, 3, 1, None)
ELECTION = ballots.Election(["Anne Petit : 12, Luc Roux : 9, blancs : 1, nuls : 0"], "")


def act(**told: Any) -> opendata.Act:
    known: dict[str, Any] = {
        "number": "2026_001",
        "decided": datetime.date(2026, 11, 26),
        "matter": "7.1.2",
        "subject": "Budget primitif, « annexe » ; eau",
        "received": datetime.date(2026, 11, 27),
        "members": 15,
        "vote": PUBLIC,
        "url": "https://delib.test/gondecourt/publications/2026_001",
    }
    return opendata.Act(**(known | told))


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def test_a_file_is_one_of_the_national_schema() -> None:
    acts = [act(), act(number="2026_002", received=None, vote=SECRET), act(number="2026_003", vote=ELECTION)]
    data = opendata.table(BODY, acts)
    assert faults(data) == []
    assert rows(data)[0] == {
        "COLL_NOM": "Gondecourt",
        "COLL_SIRET": "21590266900013",
        "DELIB_ID": "2026_001",
        "DELIB_DATE": "2026-11-26",
        "DELIB_MATIERE_CODE": "7.1",
        "DELIB_MATIERE_NOM": "finances locales/décisions budgétaires",
        "DELIB_OBJET": "Budget primitif, « annexe » ; eau",
        "BUDGET_ANNEE": "",
        "BUDGET_NOM": "",
        "PREF_ID": "",
        "PREF_DATE": "2026-11-27",
        "VOTE_EFFECTIF": "15",
        "VOTE_REEL": "4",
        "VOTE_POUR": "2",
        "VOTE_CONTRE": "1",
        "VOTE_ABSTENTION": "1",
        "DELIB_URL": "https://delib.test/gondecourt/publications/2026_001",
    }


def test_the_fields_are_the_schema_s_in_its_order() -> None:
    assert list(opendata.FIELDS) == [field["name"] for field in SCHEMA["fields"]]


def test_a_body_that_published_nothing_has_a_header_alone() -> None:
    assert opendata.table(BODY, []) == (",".join(opendata.FIELDS) + "\r\n").encode()


@pytest.mark.parametrize(
    ("vote", "told"),
    [
        (PUBLIC, (4, 2, 1, 1)),
        (rules.Vote(["Anne"], [], []), (1, 1, 0, 0)),
        (SECRET, (16, 12, 3, None)),  # a blank ballot is no abstention
        (ballots.Secret(0, 0, None, None), (0, 0, 0, None)),
        (ELECTION, (22, None, None, None)),
    ],
)
def test_votes_are_counted_and_never_named(vote: opendata.Vote, told: tuple[int | None, ...]) -> None:
    assert opendata.tally(vote) == told
    assert not re.search("Anne|Luc|Zoé|Éric", opendata.table(BODY, [act(vote=vote)]).decode())


@pytest.mark.parametrize("code", [*matters.LABELS, "8.5.1"])
def test_every_matter_is_written_as_the_schema_has_it(code: str) -> None:
    name = opendata.matter_name(code)
    assert faults(opendata.table(BODY, [act(matter=code)])) == []
    assert name == name.lower() and name.count("/") == 1 and not set(",()") & set(name)


def test_acts_are_in_order_whatever_their_number() -> None:
    numbers = ["2026_1000", "2026_999", "2026_001"]
    found = rows(opendata.table(BODY, [act(number=one) for one in numbers]))
    assert [one["DELIB_ID"] for one in found] == numbers[::-1]


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"COLL_SIRET": "2159026690001"}, "COLL_SIRET"),
        ({"DELIB_DATE": "26/11/2026"}, "DELIB_DATE"),
        ({"DELIB_OBJET": ""}, "DELIB_OBJET is empty"),
        ({"DELIB_MATIERE_CODE": "7.1.2"}, "DELIB_MATIERE_CODE"),
        ({"DELIB_MATIERE_NOM": "budget"}, "DELIB_MATIERE_NOM"),
        ({"PREF_DATE": "2026-11-25"}, "PREF_DATE is too early"),
        ({"VOTE_REEL": "5"}, "VOTE_REEL is no sum"),
        ({"VOTE_POUR": "deux"}, "VOTE_POUR"),
        ({"BUDGET_ANNEE": "2026"}, "BUDGET_ANNEE without the others"),
        ({"DELIB_URL": "2026_001"}, "DELIB_URL"),
    ],
)
def test_the_judge_finds_what_is_wrong(changed: dict[str, str], fault: str) -> None:
    [known] = rows(opendata.table(BODY, [act()]))
    written = io.StringIO(newline="")
    made = csv.DictWriter(written, opendata.FIELDS)
    made.writeheader()
    made.writerow(known | changed)
    assert any(fault in one for one in faults(written.getvalue().encode()))


@pytest.mark.parametrize("begins", [*"=+-@＝＋－＠\t\r\n", " =", "\u00a0+", "\t\t@"])
def test_a_subject_is_no_formula_in_a_spreadsheet(begins: str) -> None:
    """What an agent writes ran at whoever opened the commune's open data (CWE-1236)."""
    subject = f'{begins}HYPERLINK("https://x.test")'
    data = opendata.table(
        dataclasses.replace(BODY, name=subject), [act(subject=subject), act(subject="Voirie - tranche 2")]
    )
    assert faults(data) == []
    first, second = rows(data)
    assert first["DELIB_OBJET"] == first["COLL_NOM"] == f"'{subject}" and second["DELIB_OBJET"] == "Voirie - tranche 2"


# What a person may type: every accent, quotes, commas, a formula, what XML does not take.
SUBJECTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1, max_size=500)


@given(SUBJECTS)
def test_any_subject_comes_through(subject: str) -> None:
    data = opendata.table(BODY, [act(subject=subject)])
    [told] = [row["DELIB_OBJET"] for row in rows(data)]
    assert faults(data) == [] and told.removeprefix("'" * (told != subject)) == subject
    shown = [item(0, title=subject)]
    [title] = atom(opendata.feed(BODY, shown, "https://delib.test/x")).findall("a:entry/a:title", ATOM)
    kept = [one for one in subject if one in (title.text or "")]
    assert len(kept) == len(subject) or not all(one.isprintable() for one in subject)
    page = Page()
    page.feed(opendata.block(BODY, shown))
    assert set(page.tags) <= {"html", "head", "meta", "title", "style", "body", "main", "h1", "ul", "li", "a", "br",
                              "small", "p"}  # fmt: skip # a list of words


ATOM = {"a": "http://www.w3.org/2005/Atom"}


def atom(data: bytes) -> Any:
    return etree.fromstring(data)


def item(rank: int, **told: Any) -> opendata.Item:
    known: dict[str, Any] = {
        "uid": f"{rank:032x}",
        "title": f"2026_{rank:03d} – Voirie & <eau>",
        "url": f"https://delib.test/gondecourt/publications/2026_{rank:03d}",
        "day": datetime.date(2026, 1, 1) + datetime.timedelta(rank),
        "updated": SINCE + datetime.timedelta(rank),
        "kind": "Délibération",
    }
    return opendata.Item(**(known | told))


class Page(html.parser.HTMLParser):
    """The tags and links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See HTMLParser."""
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]


def test_the_feed_has_what_rfc_4287_asks_for() -> None:
    """Sections 4.1.1 and 4.1.2: what a feed and each entry must hold, once."""
    root = atom(opendata.feed(BODY, [item(rank) for rank in range(60)], "https://delib.test/gondecourt/f.atom"))
    entries = root.findall("a:entry", ATOM)
    assert len(entries) == opendata.IN_FEED
    for one in (root, *entries):
        for name in ("id", "title", "updated"):
            [found] = one.findall(f"a:{name}", ATOM)
            assert found.text
        moment = one.findtext("a:updated", "", ATOM)
        assert datetime.datetime.fromisoformat(moment).tzinfo is not None
        assert re.fullmatch("urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", one.findtext("a:id", "", ATOM))
    assert len({one.findtext("a:id", "", ATOM) for one in entries}) == len(entries)
    assert root.findtext("a:author/a:name", "", ATOM) == "Gondecourt"
    assert [link.get("rel") for link in root.findall("a:link", ATOM)] == ["self", "alternate"]
    assert entries[0].findtext("a:title", "", ATOM) == "2026_059 – Voirie & <eau>"
    assert root.findtext("a:updated", "", ATOM) == entries[0].findtext("a:updated", "", ATOM)


def test_a_feed_without_an_entry_says_when_its_pages_changed() -> None:
    root = atom(opendata.feed(BODY, [], "https://delib.test/x"))
    assert root.findtext("a:updated", "", ATOM) == "2026-01-02T03:04:05+00:00"


def test_the_block_shows_the_last_ten_and_runs_nothing() -> None:
    page = Page()
    page.feed(opendata.block(BODY, [item(rank) for rank in range(12)]))
    assert "script" not in page.tags and "form" not in page.tags
    assert page.links[0].endswith("2026_011") and page.links[-1] == "https://delib.test/gondecourt/publications"
    assert len(page.links) == opendata.IN_BLOCK + 1


@pytest.mark.parametrize(
    ("site", "ancestors"), [("https://www.gondecourt.fr", "https://www.gondecourt.fr"), ("", "'none'")]
)
def test_one_site_alone_frames_the_block(site: str, ancestors: str) -> None:
    said = opendata.block_policy(site)
    assert said.startswith("default-src 'none'; ") and said.endswith(f"frame-ancestors {ancestors}")
    assert "unsafe" not in said and "script-src" not in said


def test_what_is_pasted_is_a_frame_that_runs_nothing() -> None:
    page = Page()
    page.feed(opendata.snippet(BODY, "https://delib.test/gondecourt/bloc"))
    assert page.tags == ["iframe", "p", "a"]
    assert page.links == ["https://delib.test/gondecourt/bloc", "https://delib.test/gondecourt/publications"]
    said = opendata.snippet(BODY, "https://delib.test/gondecourt/bloc")
    assert "allow-scripts" not in said and "allow-same-origin" not in said and 'title="' in said
