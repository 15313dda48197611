"""To whom a convocation leaves by mail, with what, in which words."""

from __future__ import annotations

import datetime

import pytest
from creatic.deliberations import delays, mailing
from passerelle.convocations import _PIECES_MAX, SIZE_MAX

from creatic_agent import law

COUNCIL = ["Claire Dubois", "Amina Benali", "Élise Delattre"]


def test_addresses_are_read_line_by_line() -> None:
    text = "Claire Dubois : claire.dubois@mairie.example.fr\r\n\r\n Amina Benali:Papier \n"
    assert mailing.read_addresses(text, COUNCIL) == {
        "Claire Dubois": "claire.dubois@mairie.example.fr",
        "Amina Benali": "papier",
    }
    assert mailing.read_addresses("", COUNCIL) == {}


@pytest.mark.parametrize(
    "hostile",
    [
        "a@b.fr, c@d.fr",
        "a@b.fr;c@d.fr",
        "Amina <a@b.fr>",
        "a@b.fr\x0bBcc: c@d.fr",
        "a@b.fr\x00",
        "a b@c.fr",
        '"a\\"@b.fr',
        "a@b",
        "a@-b.fr",
        "a@b..fr",
        ".a@b.fr",
        "a@[10.0.0.1]",
        "@b.fr",
        "a@é.fr",
        "é@b.fr",
        f"{'a' * 65}@b.fr",
        f"a@{'b.' * 126}fr",
        "-oQ/tmp/x@b.fr\tX",
        "",
    ],
)
def test_an_address_that_is_not_exactly_one_is_refused(hostile: str) -> None:
    assert not mailing.is_address(hostile)
    with pytest.raises(ValueError, match="Amina Benali"):
        mailing.read_addresses(f"Amina Benali : {hostile}", COUNCIL)


@pytest.mark.parametrize("line_end", ["\n", "\r", "\r\n"])
def test_a_line_that_is_slipped_in_is_read_as_a_line(line_end: str) -> None:
    with pytest.raises(ValueError, match="Bcc n'est pas membre du conseil"):
        mailing.read_addresses(f"Amina Benali : a@b.fr{line_end}Bcc: c@d.fr", COUNCIL)


@pytest.mark.parametrize("good", ["a@b.fr", "a.b+c@d-e.example.fr", "o'neil@x.fr", f"{'a' * 64}@b.fr"])
def test_ordinary_addresses_are_taken(good: str) -> None:
    assert mailing.is_address(good)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ValueError) as refused:
        mailing.read_addresses(
            "Luc : a@b.fr\nrien\nAmina Benali : x\nClaire Dubois : a@b.fr\nClaire Dubois : b@b.fr", COUNCIL
        )
    assert str(refused.value) == (
        "Luc n'est pas membre du conseil ; la ligne « rien » ne se lit pas : écrivez « Amina Benali : "
        "amina@exemple.fr » ; l'adresse de Amina Benali, « x », n'en est pas une : écrivez-en une seule, ou « papier » "
        "; Claire Dubois est écrit deux fois."
    )


def test_annexes_go_as_long_as_there_is_room() -> None:
    assert mailing.fitting([4, 9, 5], 10) == [0, 2]
    assert mailing.fitting([11], 10) == []
    assert mailing.fitting([1], -3) == []
    # With the convocation and the note, no more than the passerelle takes.
    assert len(mailing.fitting([1] * 200, 1000)) == mailing.PIECES_MAX <= _PIECES_MAX - 2


def test_what_is_too_heavy_is_said_with_its_size() -> None:
    assert mailing.heavy({}) == ""
    said = mailing.heavy({"plan.pdf": 12_340_000, "petit.pdf": 3})
    most = "50 annexes et 10,0 Mo au plus en tout"
    assert said == f"de trop pour un courriel ({most}) : plan.pdf (12,3 Mo), petit.pdf (0,1 Mo)"


def letter(left: dict[str, int], version: int = 1, note: bool = True) -> str:
    return mailing.text("Conseil du 3 décembre", "Mairie", "18:30", ["Budget\nprimitif", "École"], left, version, note)


def test_the_mail_says_when_where_and_what() -> None:
    said = letter({})
    for one in ("Conseil du 3 décembre, à 18 h 30, Mairie", "1. Budget primitif\n2. École", "note explicative",
                "L2121-20", "L2121-10", "fichier joint seance.ics"):  # fmt: skip # a list of words
        assert one in said
    assert "remplace" not in said and "Annexes" not in said
    assert "note explicative" not in letter({}, note=False)
    assert "(version 2) remplace" in letter({}, version=2)
    assert "Annexes de trop" in letter({"plan.pdf": 20_000_000}) and "L2121-13" in letter({"plan.pdf": 20_000_000})


def test_a_convocation_leaves_alone_rather_than_not_at_all() -> None:
    assert mailing.PAPERS_MAX < SIZE_MAX  # what is left in here is taken there
    for space, where in (
        ("", "Demandez-les"),
        ("https://x.test/@@espace", "Lisez-les à l'adresse ci-dessous, ou demand"),
    ):
        said = mailing.text("Conseil", "Mairie", "18:30", ["Budget"], {"plan.pdf": 3}, 1, True, space, 23_400_000)
        assert "Ci-joint : la convocation.\nTrop lourds pour un courriel (23,4 Mo) : la note explicative" in said
        assert where in said and "1. Budget" in said and "L2121-12" in said and "plan.pdf" in said
    assert mailing.unsent(0, True) == ""
    told = mailing.unsent(23_400_000, False)
    assert told.startswith("La convocation est partie seule : les projets de délibération font 23,4 Mo")


def test_a_mail_that_left_too_late_is_told_with_the_day_from_which_it_holds() -> None:
    held, small = datetime.date(2026, 12, 4), delays.delay(law.of(law.COMMUNE, 900))
    assert mailing.too_late(small, datetime.date(2026, 11, 30), held) == ""
    said = mailing.too_late(small, datetime.date(2026, 12, 1), held)
    assert said.startswith("partie le 1er décembre 2026, trop tard : il faut 3 jours francs")
    assert said.endswith("à partir du samedi 5 décembre 2026")


def test_the_mail_leads_to_the_space_where_there_is_one() -> None:
    where = "https://deliberations.test/loos/@@espace"
    told = mailing.text("Conseil", "Mairie", "18:30", ["Budget"], {}, 1, True, where)
    assert where in told.splitlines() and "montre que la convocation vous est parvenue" in told
    assert "identifiant" not in mailing.text("Conseil", "Mairie", "18:30", ["Budget"], {}, 1, True)
