"""The rules of a council's meeting: who votes, what carries, what number, and what is news of a délibération."""

from __future__ import annotations

import datetime

import pytest
from creatic.deliberations import rules
from creatic.deliberations.rules import Attendance, Vote

from creatic_agent import law
from creatic_agent.writing import of_commune

COUNCIL = ("Marc Leroy", "Amina Benali", "Bruno Carpentier", "Élise Delattre", "Thomas Wattiez")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Loos", "de Loos"),
        ("Annœullin", "d'Annœullin"),
        ("Œuilly", "d'Œuilly"),
        ("Émerchicourt", "d'Émerchicourt"),
        ("Ytres", "d'Ytres"),
        ("Hem", "de Hem"),
        ("Le Quesnoy", "du Quesnoy"),
        ("Les Moëres", "des Moëres"),
        ("La Bassée", "de La Bassée"),
        ("L'Haÿ-les-Roses", "de L'Haÿ-les-Roses"),
        ("Leers", "de Leers"),
        ("Lesquin", "de Lesquin"),
        ("Le", "de Le"),
        ("", "de "),
    ],
)
def test_a_commune_is_named_as_one_says_it(name: str, said: str) -> None:
    assert of_commune(name) == said


@pytest.mark.parametrize(
    ("step", "stays", "may"),
    [("acquittee", None, True), ("acquittee", "voirie", True), ("a_publier", "personnel", True),
     ("a_publier", None, False), ("a_publier", "", False), ("signee", "voirie", False), (None, "voirie", False)],
)  # fmt: skip # a case a line
def test_what_is_not_transmitted_is_published_once_it_is_signed(step: str | None, stays: str | None, may: bool) -> None:
    assert rules.is_executory(step, stays) is may


@pytest.mark.parametrize(
    ("stays", "subject", "accounts", "refused"),
    [
        ("personnel", "Budget primitif 2027", False, True),
        ("voirie", "Décision modificative n° 2", False, True),
        ("voirie", "Approbation du compte financier unique 2026", False, True),
        ("personnel", "Arrêté des comptes de la commune", True, True),
        (None, "Budget primitif 2027", False, False),
        ("", "Budgets annexes", True, False),
        ("voirie", "Tarifs des droits de stationnement", False, False),
        ("personnel", "Ratios d'avancement de grade, inscrits au budget", False, False),
    ],
)
def test_budgets_and_accounts_always_go(stays: str | None, subject: str, accounts: bool, refused: bool) -> None:
    assert bool(rules.stays_problem(stays, subject, accounts)) is refused


def sitting(*present: str, proxies: tuple[str, ...] = ()) -> Attendance:
    return Attendance(COUNCIL, present or COUNCIL[:3], proxies)


def test_who_is_represented_votes_in_the_councils_order() -> None:
    found = sitting(proxies=(" Thomas Wattiez :Marc Leroy ",))
    assert found.problems() == []
    assert found.voters() == ["Marc Leroy", "Amina Benali", "Bruno Carpentier", "Thomas Wattiez"]
    assert found.absent() == ["Élise Delattre"]


@pytest.mark.parametrize(("present", "expected"), [(COUNCIL[:3], True), (COUNCIL[:2], False), (COUNCIL, True)])
def test_quorum_is_more_than_half_here_in_person(present: tuple[str, ...], expected: bool) -> None:
    proxies = ("Thomas Wattiez : Marc Leroy",) if "Thomas Wattiez" not in present else ()
    assert sitting(*present, proxies=proxies).has_quorum() is expected


def test_half_is_no_quorum() -> None:
    assert not Attendance(COUNCIL[:4], COUNCIL[:2], ()).has_quorum()


@pytest.mark.parametrize(
    ("proxies", "said"),
    [
        (("n'importe quoi",), "le pouvoir « n'importe quoi » ne se lit pas : écrivez « absent : mandataire »"),
        (("Luc Roux : Marc Leroy",), "pouvoir de Luc Roux : cette personne n'est pas membre du conseil"),
        (("Amina Benali : Marc Leroy",), "pouvoir de Amina Benali : cette personne est présente"),
        (("Thomas Wattiez : Élise Delattre",),
         "pouvoir de Thomas Wattiez : le mandataire Élise Delattre n'est pas présent"),
        (("Thomas Wattiez : Marc Leroy", "Élise Delattre : Marc Leroy"),
         "Marc Leroy a déjà le pouvoir de Thomas Wattiez : un seul par élu (L2121-20)"),
        (("Thomas Wattiez : Marc Leroy", "Thomas Wattiez : Amina Benali"),
         "pouvoir de Thomas Wattiez : il est écrit deux fois"),
    ],
)  # fmt: skip # a case a line
def test_a_wrong_proxy_is_told(proxies: tuple[str, ...], said: str) -> None:
    assert sitting(proxies=proxies).problems() == [said]


def test_who_goes_out_neither_votes_nor_counts_nor_votes_for_another() -> None:
    """L2121-14 and L2121-17: the maire leaves for the vote of the accounts, with the pouvoir that he holds."""
    found = Attendance(COUNCIL, COUNCIL[:4], ("Thomas Wattiez : Marc Leroy",), ("Marc Leroy",))
    assert found.problems() == []
    assert found.voters() == ["Amina Benali", "Bruno Carpentier", "Élise Delattre"]
    assert found.absent() == ["Thomas Wattiez"]
    assert found.has_quorum()
    assert found.count() == "3 présents sur 5 membres en exercice, 3 requis"
    assert not Attendance(COUNCIL, COUNCIL[:3], (), ("Marc Leroy",)).has_quorum()


def test_who_goes_out_was_there() -> None:
    found = Attendance(COUNCIL, COUNCIL[:3], (), ("Thomas Wattiez",))
    assert found.problems() == ["Thomas Wattiez sort sans être présent"]


def test_who_represents_the_commune_elsewhere_leaves_and_still_counts() -> None:
    """L2131-11 as of law 2025-1249, article 32."""
    found = Attendance(COUNCIL, COUNCIL[:3], ("Thomas Wattiez : Marc Leroy",), (), ("Marc Leroy",))
    assert found.problems() == []
    assert found.voters() == ["Amina Benali", "Bruno Carpentier"]  # nor whom they represent
    assert found.has_quorum() and not Attendance(COUNCIL, COUNCIL[:3], (), ("Marc Leroy",)).has_quorum()
    assert found.count() == "2 présents, et 1 sorti qui compte (L2131-11) sur 5 membres en exercice, 3 requis"
    assert found.absent() == ["Élise Delattre", "Thomas Wattiez"]


@pytest.mark.parametrize(
    ("out", "elsewhere", "said"),
    [
        ((), ("Thomas Wattiez",), "Thomas Wattiez sort sans être présent"),
        (("Marc Leroy",), ("Marc Leroy",), "Marc Leroy sort à deux titres"),
    ],
)
def test_nobody_counts_who_was_not_there_nor_twice(out: tuple[str, ...], elsewhere: tuple[str, ...], said: str) -> None:
    found = Attendance(COUNCIL, COUNCIL[:3], (), out, elsewhere)
    assert found.problems()[0].startswith(said)
    assert "Thomas Wattiez" not in found.standing()


def test_the_maire_does_not_stay_in_the_quorum_of_their_accounts() -> None:
    sitting_ = Attendance(COUNCIL, COUNCIL[:3], (), (), ("Marc Leroy",))
    [said] = rules.accounts_problems("Marc Leroy", sitting_, "Amina Benali")
    assert "sans compter dans le quorum" in said and "L2121-14" in said


@pytest.mark.parametrize(
    ("subject", "named"),
    [("Désignation des délégués au syndicat", True), ("NOMINATION D'UN REPRÉSENTANT", True),
     ("Election du maire", True), ("Suppléants à la commission d'appel d'offres", True),
     ("Délégation de service public", False), ("Dénomination d'une rue", False), ("Budget primitif", False)],
)  # fmt: skip # a case a line
def test_a_subject_that_speaks_of_a_nomination(subject: str, named: bool) -> None:
    assert rules.names_nomination(subject) is named


@pytest.mark.parametrize(
    ("is_one", "secret", "waived", "refused"),
    [(True, False, None, True), (True, False, 3, True), (True, False, 5, True), (True, False, 4, False),
     (True, True, None, False), (False, False, None, False)],
)  # fmt: skip # a case a line
def test_a_nomination_is_public_by_unanimity_alone(
    is_one: bool, secret: bool, waived: int | None, refused: bool
) -> None:
    found = rules.public_nomination_problem(is_one, secret, waived, 4, law.of(law.COMMUNE))
    assert bool(found) is refused
    assert not refused or "L2121-21" in found


def test_nobody_is_not_unanimous() -> None:
    assert rules.public_nomination_problem(True, False, 0, 0, law.of(law.COMMUNE))


def test_a_ccas_does_not_give_up_the_secret_of_a_nomination() -> None:
    found = rules.public_nomination_problem(True, False, 4, 4, law.of("ccas"))
    assert "R123-18 du CASF" in found and "notez les voix pour y renoncer" not in found
    assert rules.public_nomination_problem(True, True, None, 4, law.of("ccas")) == ""


@pytest.mark.parametrize(
    ("president", "secretary", "said"),
    [
        ("Marc Leroy", "Amina Benali", ""),
        ("Bruno Carpentier", "Amina Benali", ""),  # of the item of the accounts
        ("Amina Benali", "Bruno Carpentier", "n'a pas présidé cette séance (L2121-15)"),
        ("Luc Roux", "Amina Benali", "n'a pas présidé"),
        ("Élise Delattre", "Amina Benali", "n'a pas présidé"),  # said to preside, and was not there
        ("Marc Leroy", "Thomas Wattiez", "n'était pas présent"),
        ("Marc Leroy", "Marc Leroy", "écrivez deux personnes"),
    ],
)
def test_who_signs_the_minutes_held_the_meeting(president: str, secretary: str, said: str) -> None:
    presided = ["Marc Leroy", "Bruno Carpentier", "Élise Delattre"]
    found = rules.signs_problem(president, secretary, presided, COUNCIL[:3])
    assert said in found if said else found == ""


@pytest.mark.parametrize(
    ("ayes", "noes", "arrested"), [(3, 1, True), (2, 2, True), (1, 2, False), (0, 0, True), (0, 1, False)]
)
def test_accounts_are_refused_by_a_majority_against_alone(ayes: int, noes: int, arrested: bool) -> None:
    vote = Vote(COUNCIL[:ayes], COUNCIL[ayes : ayes + noes], COUNCIL[ayes + noes :], accounts=True)
    assert vote.is_carried("personne") is arrested


@pytest.mark.parametrize(
    ("subject", "named"),
    [("Vote du compte administratif 2025", True), ("Comptes financiers uniques", True), ("CFU 2026", True),
     ("Comptes rendus", False), ("Décompte administratif du marché", False)],
)  # fmt: skip # a case a line
def test_a_subject_that_speaks_of_the_accounts(subject: str, named: bool) -> None:
    assert rules.names_accounts(subject) is named


def test_a_second_meeting_is_three_clear_days_later() -> None:
    today = datetime.date(2026, 11, 27)
    body = law.of(law.COMMUNE)
    said = "seconde convocation : 3 jours francs au moins (L2121-17), donc à partir du mardi 1er décembre 2026"
    assert rules.second_problems(today, datetime.date(2026, 12, 1), body) == []
    assert rules.second_problems(today, datetime.date(2026, 11, 30), body) == [said]
    assert rules.second_problems(today, None, body) == [said]
    assert "R123-17 du CASF" in rules.second_problems(today, None, law.of("ccas"))[0]


@pytest.mark.parametrize(
    ("head", "out", "proxies", "president", "said"),
    [
        ("Marc Leroy", (), (), "Amina Benali", ["Marc Leroy se retire au vote de ses comptes"]),
        ("Marc Leroy", ("Marc Leroy",), (), "Amina Benali", []),
        ("Marc Leroy", ("Marc Leroy",), (), "Marc Leroy", ["le conseil élit un autre président que Marc Leroy"]),
        # After an election: the former maire, a member still, goes out; the present one stays and presides.
        ("Bruno Carpentier", ("Bruno Carpentier",), (), "Marc Leroy", []),
        ("Bruno Carpentier", (), (), "Marc Leroy", ["Bruno Carpentier se retire au vote de ses comptes"]),
        ("Thomas Wattiez", (), ("Thomas Wattiez : Marc Leroy",), "Marc Leroy",
         ["Thomas Wattiez ne vote pas ses comptes par pouvoir"]),
        ("", (), (), "Marc Leroy", []),
    ],
)  # fmt: skip # a case a line
def test_whose_accounts_are_voted_goes_out_even_if_they_are_maire_no_more(
    head: str, out: tuple[str, ...], proxies: tuple[str, ...], president: str, said: list[str]
) -> None:
    found = rules.accounts_problems(head, Attendance(COUNCIL, COUNCIL[:4], proxies, out), president)
    assert len(found) == len(said)
    assert all(one.startswith(begins) for one, begins in zip(found, said, strict=True))


def test_a_meeting_opens_on_its_day_and_not_before() -> None:
    """Voted on the day of its convocation, under another date, it would have no clear day at all (L2121-11)."""
    held = datetime.date(2026, 12, 3)
    assert rules.too_early(datetime.date(2026, 12, 2), held) == (
        "la séance est le jeudi 3 décembre 2026 : elle ne s'ouvre pas avant (L2121-10). À faire : si elle est avancée, "
        "reprenez l'ordre du jour et convoquez de nouveau"
    )
    assert rules.too_early(held, held) == rules.too_early(datetime.date(2026, 12, 4), held) == ""


@pytest.mark.parametrize(
    ("day", "refused"),
    [(None, False), ("2026-11-20", False), ("2026-11-26", False), ("2026-11-19", True), ("2026-11-27", True)],
)
def test_a_convocation_is_posted_up_once_it_left_and_not_in_the_future(day: str | None, refused: bool) -> None:
    told = datetime.date.fromisoformat(day) if day else None
    found = rules.posted_problem(told, datetime.date(2026, 11, 20), datetime.date(2026, 11, 26))
    assert found == ("convocation affichée ou publiée le : une date du 20 novembre 2026 au 26 novembre 2026 (L2121-10)"
                     if refused else "")  # fmt: skip # one answer or the other


def test_numbers_follow_each_other_beyond_999() -> None:
    numbers = ["2026_1000", "2026_002", "2026_999", "2026_1001"]
    assert sorted(numbers, key=rules.rank_of) == ["2026_002", "2026_999", "2026_1000", "2026_1001"]


def test_a_vote_says_its_sides_and_what_it_lacks() -> None:
    assert Vote(COUNCIL[:2], [], COUNCIL[2:3]).lines() == [
        ("Pour (2)", "Marc Leroy, Amina Benali"),
        ("Abstentions (1)", "Bruno Carpentier"),
    ]
    assert Vote([], [], []).missing() == "le vote n'est pas saisi"
    assert Vote(COUNCIL[:1], [], []).missing() == ""


def test_a_member_who_is_written_twice_counts_for_no_quorum() -> None:
    [said] = Attendance([*COUNCIL, COUNCIL[1]], COUNCIL[:3], []).problems()
    assert said.startswith("Amina Benali est écrit deux fois parmi les membres en exercice")


def test_a_stranger_is_not_present() -> None:
    assert sitting("Luc Roux").problems() == ["Luc Roux n'est pas membre du conseil"]


def test_nobody_votes_twice_nor_from_afar() -> None:
    vote = Vote(["Marc Leroy", "Élise Delattre"], ["Marc Leroy"], [])
    assert vote.problems(sitting().voters()) == [
        "Élise Delattre n'est ni présent ni représenté",
        "Marc Leroy est compté deux fois",
    ]


@pytest.mark.parametrize(
    ("ayes", "noes", "abstentions", "carried"),
    [(3, 0, 0, True), (2, 1, 0, True), (1, 2, 0, False), (1, 0, 2, True), (0, 0, 3, False), (0, 3, 0, False)],
)
def test_a_majority_of_the_votes_cast_carries(ayes: int, noes: int, abstentions: int, carried: bool) -> None:
    names = list(COUNCIL)
    vote = Vote(names[:ayes], names[ayes : ayes + noes], names[ayes + noes : ayes + noes + abstentions])
    assert vote.is_carried("nobody") is carried


def test_the_president_prevails_in_a_tie() -> None:
    vote = Vote(["Marc Leroy"], ["Amina Benali"], [])
    assert vote.is_carried("Marc Leroy")
    assert not vote.is_carried("Amina Benali")


@pytest.mark.parametrize(
    ("vote", "said"),
    [
        (Vote(COUNCIL, [], []), "à l'unanimité des suffrages exprimés (5 voix pour)"),
        (Vote(COUNCIL[:2], COUNCIL[2:3], COUNCIL[3:4]), "par 2 voix pour, 1 voix contre, 1 abstention"),
        (Vote(COUNCIL[:1], [], COUNCIL[1:3]), "par 1 voix pour, 0 voix contre, 2 abstentions"),
    ],
)
def test_the_result_in_words(vote: Vote, said: str) -> None:
    assert vote.sentence() == said


def test_numbers_go_on_by_year_as_actes_takes_them() -> None:
    counters = {2026: 9}
    assert rules.next_number(counters, 2026) == (10, "2026_010")
    assert rules.next_number(counters, 2027) == (1, "2027_001")


@pytest.mark.parametrize(("sent", "held", "days"), [(20, 26, 5), (22, 26, 3), (25, 26, 0), (26, 26, 0)])
def test_clear_days_count_neither_end(sent: int, held: int, days: int) -> None:
    assert rules.clear_days(datetime.date(2026, 11, sent), datetime.date(2026, 11, held)) == days


def test_dates_in_words() -> None:
    assert rules.french_date(datetime.date(2026, 1, 1)) == "1er janvier 2026"
    assert rules.french_date(datetime.date(2026, 11, 26), weekday=True) == "jeudi 26 novembre 2026"


@pytest.mark.parametrize("wrong", ["", "5", "10.1", "5.", "5.0", "5.2.1.1.1.1", "5,2"])
def test_a_wrong_matter_is_refused(wrong: str) -> None:
    assert not rules.MATTER.fullmatch(wrong)
    assert rules.MATTER.fullmatch("5.2")
    assert rules.MATTER.fullmatch("7.10.1")


@pytest.mark.parametrize(
    ("now", "told", "news"),
    [
        (None, "au_parapheur", True),
        ("au_parapheur", "au_parapheur", False),
        ("transmise", "signee", False),
        ("signee", "acquittee", True),
        ("au_parapheur", "refusee", True),
        ("refusee", "refusee", False),
        ("refusee", "au_parapheur", True),
        ("en_erreur", "transmise", True),
        ("acquittee", "en_erreur", False),
        ("acquittee", "au_parapheur", False),
        (None, "a_publier", True),
        ("signee", "a_publier", True),
        ("a_publier", "a_publier", False),
        ("a_publier", "signee", False),
        ("a_publier", "transmise", True),
        ("transmise", "a_publier", False),
    ],
)
def test_what_is_told_again_is_no_news(now: str | None, told: str, news: bool) -> None:
    assert rules.moves(now, told) is news


@pytest.mark.parametrize("side", [0, 1, 2])
def test_one_voice_is_a_vote(side: int) -> None:
    voices: list[list[str]] = [[], [], []]
    assert not rules.Vote(voices[0], voices[1], voices[2]).cast
    voices[side] = ["Anne"]
    assert rules.Vote(voices[0], voices[1], voices[2]).cast


HELD, TODAY = datetime.date(2026, 11, 26), datetime.date(2026, 12, 2)


@pytest.mark.parametrize("day", ["2026-11-26", "2026-11-30", "2026-12-02"])
def test_the_day_of_receipt_on_paper(day: str) -> None:
    assert rules.received(day, HELD, TODAY).isoformat() == day


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "écrivez une date"), ("27/11/2026", "écrivez une date"), ("2026-11-25", "une date du 26 novembre 2026 au 2"),
     ("2026-12-03", "au 2 décembre 2026")],
)  # fmt: skip # a case a line
def test_a_wrong_day_is_told(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        rules.received(text, HELD, TODAY)


def test_a_number_that_is_taken_back_last_was_never_given() -> None:
    assert rules.given_back({2026: 7}, (), 2026, "2026_007") == (6, ())
    # With those before it that were taken back first.
    assert rules.given_back({2026: 7}, ("2026_005", "2026_006"), 2026, "2026_007") == (4, ())


def test_a_number_that_others_follow_is_the_next_one_given_at_its_meeting() -> None:
    given, left = rules.given_back({2026: 1001}, ("2026_999",), 2026, "2026_1000")
    assert (given, left) == (1001, ("2026_999", "2026_1000"))
    given, number, left = rules.to_give({2026: given}, left, 2026)
    assert (given, number, left) == (1001, "2026_999", ("2026_1000",))
    assert rules.to_give({2026: 7}, (), 2026) == (8, "2026_008", ())
    assert rules.to_give({}, (), 2027) == (1, "2027_001", ())


def test_a_list_has_the_lines_of_a_council() -> None:
    assert not any(rules.too_many(lines) for lines in (None, [], ["x"] * rules.MEMBERS_MOST))
    assert "1000 au plus. À faire : " in rules.too_many(["x"] * (rules.MEMBERS_MOST + 1))


def test_the_largest_council_is_read_in_linear_time() -> None:
    """A page asks it of each of its items."""

    class Name(str):
        """Counts with what it is compared."""

        compared = 0

        def __eq__(self, other: object) -> bool:
            Name.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    def council(prefix: str, count: int) -> list[str]:
        return [Name(f"{prefix} {rank}") for rank in range(count)]

    here, away = council("Anne", 700), council("Luc", 300)
    lines = [f"{giver}: {holder}" for giver, holder in zip(away, here, strict=False)]
    held = rules.Attendance([*here, *away], council("Anne", 700), lines, council("Anne", 90), council("Anne", 90)[80:])
    assert len(held.problems()) == 10 and len(held.voters()) == 820 and len(held.absent()) == 90
    assert Name.compared < 30_000, Name.compared
