"""What the groupement sees of all communes: figures, delays of the law, the spreadsheet."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import odfdo
import pytest
from passerelle import contracts, overview
from passerelle.acts import BadRequest
from passerelle.letters import PARIS, Letters
from passerelle.overview import period, reckon

from creatic_agent import spreadsheet
from testbed.chain import COMMUNES, World

TODAY = datetime.now(PARIS).date()
HOSTILE = '=HYPERLINK("http://x";"y")'


def put(
    world: World,
    reference: str,
    commune: str = "gondecourt",
    step: str = "termine",
    received: int | None = None,
    blocked: str = "",
    failed: str = "",
    came: date | None = None,
    **data: str,
) -> None:
    """An act that came on a day, and was received by the préfecture so many days later."""
    came = came or TODAY
    given = {"circuit": "deliberation", "numero": reference, "date": came.isoformat(), "objet": "o"} | data
    track: dict[str, Any] = {}
    if received is not None:
        track["tdt"] = {"date_reception": (came + timedelta(days=received)).isoformat()}
    if failed:
        track["echec"] = {"etat": failed, "motif": "m"}
    with world.store.transaction() as connection:
        world.store.add(connection, reference, commune, given, step)
        world.store.change(connection, reference, track=track, blocked=blocked)
        moment = datetime(came.year, came.month, came.day, 12, tzinfo=PARIS)
        connection.execute("UPDATE acte SET recu_le = %s WHERE reference = %s", (moment, reference))


@pytest.fixture
def placed(world: World) -> World:
    """Communes with their territory and size."""
    told = {"gondecourt": ("lille", "moyenne"), "la-madeleine": ("lille", "grande"), "loos": ("", "")}
    communes = {
        slug: replace(one, territory=told.get(slug, ("douai", ""))[0], size=told.get(slug, ("", "petite"))[1])
        for slug, one in COMMUNES.items()
    }
    world.reconfigure(communes=communes | {"gondecourt": replace(communes["gondecourt"], name=HOSTILE)})
    return world


def watched(world: World, begin: date | None = None, end: date | None = None) -> overview.Overview:
    first, after = period("", "", TODAY)
    return reckon(world.config, world.store, Letters(world.store, None), begin or first, end or after)  # type: ignore[arg-type] # no file is read


def test_acts_are_counted_by_month_territory_size_and_nature(placed: World) -> None:
    put(placed, "a", received=2)
    put(placed, "b", received=5, circuit="arrete", nature="D", transmission="oui")
    put(placed, "c", "la-madeleine", failed="refusee", blocked="refus", step="aracte")
    put(placed, "d", "la-madeleine", circuit="arrete", nature="3", transmission="non")
    put(placed, "e", "loos", circuit="arrete", nature="")
    put(placed, "partie", "ailleurs", received=0)
    put(placed, "flux", circuit="pes", received=0)
    put(placed, "ancien", came=TODAY - timedelta(days=800), received=1)
    found = watched(placed)
    assert found.total.cells() == [6, 3, 1, 1, 1, 2.3]
    assert list(found.by["mois"])[-1] == f"{TODAY:%Y-%m}" and len(found.by["mois"]) == 12
    assert found.by["mois"][f"{TODAY:%Y-%m}"].acts == 6 and sum(one.acts for one in found.by["mois"].values()) == 6
    assert {key: one.acts for key, one in found.by["territoire"].items()} == {"lille": 4, "non dit": 2}
    assert {key: one.acts for key, one in found.by["taille"].items()} == {"grande": 2, "moyenne": 2, "non dit": 2}
    assert {key: one.acts for key, one in found.by["nature"].items()} == {
        "Délibération": 3,
        "Décision prise par délégation du conseil (CGCT, L2122-22)": 1,
        "Acte individuel": 1,
        "Arrêté de nature non dite": 1,
    }
    assert found.by["commune"]["la-madeleine"].cells() == [2, 0, 1, 1, 1, None]


def test_communes_are_equipped_then_ready_then_send(placed: World, ask: Any) -> None:
    assert watched(placed).counts == {"servies": 5, "equipees": 3, "pretes": 0, "transmettent": 0, "entites": 0}
    assert ask("connecteur", "/connecteur/a-transmettre").status_code == 200
    assert ask("autre-connecteur", "/connecteur/a-transmettre").status_code == 200
    put(placed, "a", received=2)
    assert watched(placed).counts == {"servies": 5, "equipees": 3, "pretes": 2, "transmettent": 1, "entites": 0}
    with placed.store.transaction() as connection:
        connection.execute("UPDATE connecteur SET vu_le = now() - interval '8 days' WHERE commune = 'gondecourt'")
    assert watched(placed).counts["pretes"] == 1
    assert ask("connecteur", "/connecteur/a-transmettre").status_code == 200
    assert watched(placed).counts["pretes"] == 2
    placed.reconfigure(communes={key: replace(one, settled=False) for key, one in placed.config.communes.items()})
    assert watched(placed).counts["pretes"] == 0, "a connector that comes settles nothing with the préfet (R2131-3)"


def test_acts_of_an_entity_count_and_it_is_no_commune_more(placed: World) -> None:
    host = placed.config.communes["la-madeleine"]
    ccas = replace(host, slug="la-madeleine-ccas", name="CCAS de La Madeleine", siren="265903682", host=host.slug)
    placed.reconfigure(communes=placed.config.communes | {ccas.slug: ccas})
    put(placed, "1", commune=ccas.slug, received=2)
    put(placed, "2", commune=host.slug)
    found = watched(placed)
    assert (found.total.acts, found.total.received) == (2, 1)
    assert found.counts == {"servies": 5, "equipees": 3, "pretes": 0, "transmettent": 0, "entites": 1}
    lines = {line[0]: line[4:10] for line in found.communes}
    assert lines["CCAS de La Madeleine"] == ["oui", "non", "oui", "La Madeleine", 1, 1]
    assert lines["La Madeleine"] == ["oui", "non", "non", "", 1, 0]


def test_the_delays_of_the_law_are_watched_for_everybody(placed: World) -> None:
    early, late = TODAY - timedelta(days=20), TODAY - timedelta(days=3)
    put(placed, "indiv", step="aracte", circuit="arrete", nature="3", transmission="oui", came=early)
    put(placed, "reste", step="ged", circuit="arrete", nature="3", transmission="non", came=early)
    put(placed, "regle", step="aracte", circuit="arrete", nature="2", transmission="oui", came=early)
    put(placed, "contrat", "loos", step="teletransmission", circuit="marche", came=late)
    put(placed, "nul", "loos", step="teletransmission", circuit="marche", date="2026-13-45")
    letters = Letters(placed.store, None)  # type: ignore[arg-type] # no file is kept
    for rank, kind, act in ((1, "pieces", "P1"), (2, "courrier", "P2"), (3, "observations", "P3")):
        told = {"lettre": rank, "type": kind, "numero": act, "fichiers": [], "recu_le": late.isoformat()}
        letters.announce(COMMUNES["la-madeleine"], told)
    letters.close(COMMUNES["la-madeleine"], 3, "Moi", "répondu sur papier")
    for name, day in (("D1", early), ("D2", TODAY)):
        data = {"circuit": "arrete", "nature": "D", "transmission": "oui", "numero": name, "objet": "o",
                "date": day.isoformat(), "document": {"nom": "x"}, "annexes": []}  # fmt: skip # a table
        placed.chain.arrivals.take(f"parapheur:{name}", "gondecourt", data, "signature")
    put(placed, "seance", came=late)
    waits = {"circuit": "marche", "commune": "loos", "complet": False}
    odd = [{**waits, "reference": name, "depuis": day} for name, day in (("a", "hier"), ("b", ""))]
    signed = f"{late - timedelta(days=1)}T10:00:00+01:00"
    contracts.note(placed.store, [*odd, {**waits, "reference": "c", "numero": "M7", "depuis": signed}, {}])
    found = [(one.due, one.number, one.what, one.source) for one in watched(placed).deadlines]
    assert found == [
        (early + timedelta(days=15), "indiv", "Acte individuel à transmettre", "CGCT, L2131-1"),
        (late, "D1", "Décision dont rendre compte au conseil", "CGCT, L2122-23"),
        (late + timedelta(days=14), "M7", "Contrat signé, dossier à compléter", "CGCT, R2131-5"),
        (late + timedelta(days=15), "contrat", "Contrat à transmettre", "CGCT, R2131-5"),
        (found[4][0], "P1", "Réponse : demande de pièces complémentaires", "CGCT, L2131-6"),
    ]
    assert found[4][0] > TODAY + timedelta(days=50)
    contracts.note(placed.store, [{**waits, "reference": "c", "complet": True, "depuis": signed}])
    assert "M7" not in {one.number for one in watched(placed).deadlines}


def test_only_the_groupement_sees_everybody_and_no_word_of_an_act(placed: World, ask: Any) -> None:
    put(placed, "secret", circuit="arrete", nature="3", transmission="oui", objet="Mme Martin", step="aracte")
    for who in ("poste", "connecteur", "etranger"):
        for path in ("/suivi", "/suivi.ods"):
            assert ask(who, path).status_code == 403, (who, path)
    answer = ask("groupement", "/suivi")
    assert answer.status_code == 200
    assert "Acte individuel à transmettre" in answer.text and "Martin" not in answer.text
    assert 'href="/suivi"' in ask("groupement", "/").text and 'href="/suivi"' not in ask("poste", "/").text


def test_a_text_stays_a_text_in_the_spreadsheet(placed: World, ask: Any) -> None:
    put(placed, "+cmd|' /C calc'!A0", step="aracte", circuit="marche", received=None)
    put(placed, "b\x01=1", step="aracte", circuit="marche", received=None)
    answer = ask("groupement", "/suivi.ods")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, spreadsheet.TYPE)
    document = odfdo.Document(io.BytesIO(answer.content))
    assert [one.name for one in document.body.tables] == [
        "Par mois", "Par territoire", "Par taille", "Par nature", "Communes", "Échéances",
    ]  # fmt: skip # a list of words
    assert b"formula" not in document.body.serialize().encode()
    sheets = {one.name: list(one.get_values()) for one in document.body.tables}
    lines = {line[1]: line for line in sheets["Communes"]}
    hostile = lines["215902669"]
    assert hostile[0] == f"'{HOSTILE}" and hostile[8:10] == [2, 0]
    numbers = [str(line[4]) for line in sheets["Échéances"]]
    assert sorted(numbers[1:]) == ["'+cmd|' /C calc'!A0", "b =1"]


def test_the_same_figures_are_not_reckoned_twice_in_five_minutes(
    placed: World, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[date] = []
    real = overview.reckon

    def counted(config: Any, store: Any, letters: Any, begin: date, end: date) -> overview.Overview:
        asked.append(begin)
        return real(config, store, letters, begin, end)

    monkeypatch.setattr(overview, "reckon", counted)
    for path in ("/suivi", "/suivi", "/suivi.ods"):
        assert ask("groupement", path).status_code == 200
    assert len(asked) == 1
    for month in ("01", "02", "03", "04", "05"):
        assert ask("groupement", f"/suivi?debut=2025-{month}&fin=2025-{month}").status_code == 200
    assert len(asked) == 6
    assert ask("groupement", "/suivi?debut=2025-05&fin=2025-05").status_code == 200
    assert len(asked) == 6
    assert ask("groupement", "/suivi").status_code == 200  # the oldest was let go
    assert len(asked) == 7


def test_a_period_is_whole_months_and_two_years_at_most() -> None:
    day = date(2026, 11, 28)
    assert period("", "", day) == (date(2025, 12, 1), date(2026, 12, 1))
    assert period("2025-01", "2026-12", day) == (date(2025, 1, 1), date(2027, 1, 1))
    assert period("2026-02", "2026-02", day) == (date(2026, 2, 1), date(2026, 3, 1))
    for first, last in (("2024-12", "2026-12"), ("2026-12", "2026-11"), ("hier", ""), ("", "0001-01"), ("2026-13", "")):
        with pytest.raises(BadRequest):
            period(first, last, day)


def test_the_figures_of_a_period_are_found_by_the_index(placed: World) -> None:
    with placed.store.transaction() as connection:
        connection.execute("SET LOCAL enable_seqscan = off")
        plan = connection.execute(
            "EXPLAIN SELECT count(*) FROM acte WHERE recu_le >= now() - interval '1 month' AND recu_le < now()"
        ).fetchall()
    assert "acte_recu" in str(plan)
