"""What commissions said of an item, and how a délibération says it (CGCT, L2121-22)."""

from __future__ import annotations

import datetime

import pytest
from creatic.deliberations import frozen, opinions
from creatic.deliberations.opinions import Opinion

DAY = datetime.date(2026, 11, 20)
LINE = "Commission des finances, du budget et des marchés, 20/11/2026 : favorable ; sous réserve : un devis"


def test_a_line_is_read() -> None:
    read = opinions.read(LINE)
    assert read == Opinion(
        "Commission des finances, du budget et des marchés", DAY, "favorable", "sous réserve : un devis"
    )
    assert opinions.read("  École ,  1/2/2026: DEFAVORABLE ") == Opinion(
        "École", datetime.date(2026, 2, 1), "défavorable"
    )
    assert opinions.read("École, 01/02/2026 : Sans  avis").sense == "sans avis"


@pytest.mark.parametrize(
    ("line", "visa", "brief"),
    [
        ("Commission des finances, 20/11/2026 : favorable ; bref",
         "Vu l'avis favorable de la commission des finances du 20 novembre 2026",
         "Commission des finances, 20 novembre 2026 : avis favorable"),
        ("Comité social territorial, 01/12/2026 : défavorable",
         "Vu l'avis défavorable du comité social territorial du 1er décembre 2026",
         "Comité social territorial, 1er décembre 2026 : avis défavorable"),
        ("Écoles, 20/11/2026 : sans avis",
         "Vu la consultation de la commission « Écoles » du 20 novembre 2026, sans avis",
         "Écoles, 20 novembre 2026 : sans avis"),
    ],
)  # fmt: skip # a table
def test_it_is_said_in_words(line: str, visa: str, brief: str) -> None:
    read = opinions.read(line)
    assert (read.visa(), read.brief()) == (visa, brief)
    assert read.said() == brief + " ; bref" * line.endswith("bref")


@pytest.mark.parametrize(
    "line",
    [
        "", ":", "Commission des finances", "Commission des finances : favorable", "Finances, 20/11/2026",
        "Finances, 20/11/2026 : peut-être", ", 20/11/2026 : favorable", "Finances, 31/02/2026 : favorable",
        "Finances, 20 novembre : favorable", f"{'a' * 151}, 20/11/2026 : favorable",
        f"Finances, 20/11/2026 : favorable ; {'a' * 501}", "Finances, ²0/11/2026 : favorable",
    ],
)  # fmt: skip # a list of lines
def test_a_line_that_cannot_be_read_says_how_to_write_it(line: str) -> None:
    [said] = opinions.problems([line])
    assert "Commission des finances, 20/11/2026 : favorable" in said or "au plus" in said
    assert len(said) < 400 and opinions.read_all([line, LINE]) == [opinions.read(LINE)]


def test_one_is_written_once_and_not_too_many() -> None:
    assert opinions.problems([LINE]) == []
    assert "deux fois" in opinions.problems([LINE, LINE.replace("favorable", "sans avis")])[0]
    many = [f"Commission {rank}, 20/11/2026 : favorable" for rank in range(11)]
    assert opinions.problems(many[:10]) == [] and opinions.problems(many) == ["11 avis de commissions, 10 au plus"]


def test_one_of_a_day_after_the_meeting_is_told() -> None:
    one = opinions.read(LINE)
    assert opinions.late([one], DAY) == []
    assert "après la séance" in opinions.late([one], DAY - datetime.timedelta(1))[0]


def test_they_are_fixed_by_the_vote_and_of_no_copy() -> None:
    lock = frozen.of_projet({"pour": "Anne"}, {frozen.STATE: "ouverte"})
    assert lock is not None and lock.refused(["avis", "pour"]) == ["avis"]
    assert "avis" in frozen.LIVED["projet"] and "avis" not in frozen.OF_THE_MEETING
