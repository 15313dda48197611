"""An act is said published, posted up or notified once somebody did it, with its date; what waits is recalled."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from passerelle import executory, metrics, page
from passerelle.letters import Letters
from passerelle.mail import Post, Recall
from passerelle.steps import FINISHED
from passerelle.store import as_act

from testbed.chain import COMMUNES, World

from .test_records import OWN_PAGE, acknowledge, at, bring

GONDECOURT = COMMUNES["gondecourt"]
DONE = "✓ Publi", "✓ Notifi"


def cell(text: str, reference: str) -> str:
    """The last cell of an act's way on the page, the first time that it is shown."""
    act = text.partition(f"reference={reference.replace(':', '%3A')}")[2].partition("</ol>")[0]
    return act.rpartition("<li ")[2]


@pytest.mark.parametrize(
    ("fields", "gesture", "mode", "said", "waits"),
    [
        ({"nature": "2", "transmission": "non"}, "publier", "affichage", "Publié le 22/11/2026", "à publier (CGCT"),
        ({"nature": "3", "transmission": "non"}, "notifier", "remise", "Notifié le 22/11/2026", "à notifier à"),
        ({"nature": "6", "transmission": "non"}, "notifier", "remise", "Notifié le 22/11/2026", "ou à notifier"),
        ({"nature": "D", "transmission": "non"}, "publier", "papier", "Publié le 22/11/2026", "ou à notifier"),
    ],
)
def test_publication_is_said_of_what_was_published_with_its_date(
    world: World, ask: Any, fields: dict[str, str], gesture: str, mode: str, said: str, waits: str
) -> None:
    services = tuple(one for one in GONDECOURT.services if one != "archivage")
    world.reconfigure(communes=COMMUNES | {"gondecourt": replace(GONDECOURT, services=services)})
    reference = bring(world, "parapheur:1", **fields)
    assert world.step(reference) == FINISHED  # the chain has nothing more to do; a person has
    text = ask("poste", "/").text
    assert not any(one in text for one in DONE) and "<b>0</b> au bout de la chaîne" in text
    assert "À traiter : à publier ou à notifier" in text and waits in text and "<b>1</b> à publier" in text
    told = {"geste": gesture, "date": "2026-11-22", "mode": mode}
    assert ask("poste", at(reference), "POST", data=told, headers=OWN_PAGE).status_code == 200
    text = ask("poste", "/").text
    assert f"✓ {said}" in cell(text, reference)
    assert "à traiter" not in text.lower() and "<b>1</b> au bout de la chaîne" in text


def test_a_contract_and_a_transmitted_arrete_wait_for_their_publicity_too(world: World, ask: Any) -> None:
    act = bring(world, "parapheur:1", nature="2", transmission="oui")
    assert page.content(world.config, world.store, GONDECOURT)["a_publier"] == 0  # the préfecture has it first
    acknowledge(world, act)
    contract = "parapheur:2"
    world.parapheur.bring(contract, b"%PDF-1.4 y", circuit="marche", numero="2026_M1", date="2026-11-20", objet="Cars",
                          matiere="1.1")  # fmt: skip # one call by its parts
    world.parapheur.sign(contract)
    for _turn in range(2):
        world.chain.arrivals.look()
        world.drain()
    acknowledge(world, contract)
    found = page.content(world.config, world.store, GONDECOURT)
    assert {one["reference"] for one in found["a_faire_connaitre"]} == {act, contract}
    assert not any(one in ask("poste", "/").text for one in DONE)


@pytest.mark.parametrize("told", [{}, {"le": None}, {"le": "bientôt"}, {"le": "2999-01-01"}])
def test_a_deliberation_without_a_day_of_publication_is_not_published(world: World, told: dict[str, Any]) -> None:
    world.parapheur.communes.add("bouvines")
    reference = world.deliberations.adopt("d1", commune="bouvines")
    world.reach(reference, "publication")
    world.deliberations.published["d1"] = {"mode": "electronique", "en_ligne": True, **told}
    world.chain.arrivals.look()
    world.drain()
    assert world.step(reference) == "publication"
    [row] = page.content(world.config, world.store, None)["actes"]
    assert (row["etapes"][-1], row["libelles"][-1], bool(row["a_faire"])) == ("ici", "Publication", True)
    world.deliberations.publish()
    world.chain.arrivals.look()
    world.drain()
    [row] = page.content(world.config, world.store, None)["actes"]
    assert (row["etapes"][-1], row["libelles"][-1], row["a_faire"]) == ("fait", "Publié le 22/11/2026", "")


def test_what_waits_is_hidden_by_no_number_of_others(world: World, ask: Any) -> None:
    """The oldest waits beyond the 200 acts that the page shows."""
    with world.store.transaction() as connection:
        for rank in range(220):
            known = {"publication": {"le": "2026-11-22", "mode": "papier"}} if rank else {}
            data = {"circuit": "arrete", "nature": "2", "transmission": "non", "numero": f"2026_{rank}", "objet": "x"}
            world.store.add(connection, f"x:{rank}", "gondecourt", data, FINISHED)
            world.store.change(connection, f"x:{rank}", track=known)
    text = ask("poste", "/").text
    assert "reference=x%3A0" in text.partition("Les actes")[0]


def test_lists_and_pages_agree_of_each_act(world: World) -> None:
    """`UNKNOWN_SQL` and `publicity` say the same of every kind, step and date."""
    day = {"le": "2026-11-22", "mode": "papier"}
    now = datetime.now(UTC)
    acts = []
    for rank, (circuit, nature, sent, step, published, notified) in enumerate(
        product(("deliberation", "arrete", "marche", "pes"), ("", "2", "3", "6", "D"), ("oui", "non"),
                ("signature", "teletransmission", "ged", FINISHED), (None, day), (None, day))
    ):  # fmt: skip # one call by its parts
        data = {"circuit": circuit, "nature": nature if circuit == "arrete" else "", "transmission": sent}
        track = {"publication": published, "notification": notified}
        acts.append(as_act(
            {"reference": f"x:{rank}", "commune": "gondecourt", "donnees": data, "etape": step, "suivi": track,
             "blocage": "", "retard": "", "recu_le": now, "modifie_le": now}
        ))  # fmt: skip # a row
    with world.store.transaction() as connection:
        for one in acts:
            world.store.add(connection, one.reference, one.commune, one.data, one.step)
            world.store.change(connection, one.reference, track=one.track)
    listed = {one.reference for one in executory.unpublished(world.store, world.config, None)}
    assert listed == {one.reference for one in acts if executory.publicity(one, world.config).lacks}
    assert "signature" not in {one.step for one in acts if one.reference in listed} and listed
    for one in acts:  # and the certificate says nothing else
        known = executory.publicity(one, world.config).day
        assert known == executory.standing(one, world.config).known
        assert bool(page._row(world.config, one)["libelles"][-1].startswith(("Publié le", "Notifié le"))) == bool(known)


def test_what_waits_for_days_is_measured_and_recalled_once_a_week(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    mails = replace(GONDECOURT, mails=("maire@x.test", "dgs@x.test"))
    world.reconfigure(communes=COMMUNES | {"gondecourt": mails}, mail_relay="relais.test", url="https://p.test")
    bring(world, "parapheur:1", nature="2", transmission="non", objet="Aide à Mme DUPONT")
    bring(world, "parapheur:2", nature="2", transmission="non", numero="2026_113", commune="la-madeleine")
    metrics.publish(world.config, world.store)
    assert 'passerelle_publicite{etat="a_faire"} 2\n' in world.config.metrics.read_text()
    assert 'passerelle_publicite{etat="en_retard"} 0\n' in world.config.metrics.read_text()
    sent: list[tuple[str, str, str]] = []
    monkeypatch.setattr(Post, "write", lambda _post, *message: sent.append(message))
    post = Post(world.config, Letters(world.store, world.chain.connectors._files))
    recall = Recall(world.config, world.store, post)
    today = date.today()
    assert recall.send(today) == 0
    with world.store.transaction() as connection:
        connection.execute("UPDATE acte SET recu_le = now() - interval '9 days'")
    metrics.publish(world.config, world.store)
    assert 'passerelle_publicite{etat="en_retard"} 2\n' in world.config.metrics.read_text()
    assert [recall.send(today), recall.send(today), recall.send(today + timedelta(days=7))] == [2, 0, 2]
    assert [to for to, _subject, _text in sent] == ["maire@x.test", "dgs@x.test"] * 2
    assert "2026_112" in sent[0][2] and "L2131-1" in sent[0][2] and "DUPONT" not in "".join(map(str, sent))


def test_the_many_acts_of_a_commune_keep_no_other_from_its_recall(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of years before, say, of which nobody noted anything: more than a list holds."""
    towns = {slug: replace(COMMUNES[slug], mails=(f"{slug}@x.test",)) for slug in ("gondecourt", "la-madeleine")}
    world.reconfigure(communes=COMMUNES | towns, mail_relay="relais.test", url="https://p.test")
    for number in range(3):
        bring(world, f"parapheur:{number}", nature="2", transmission="non", numero=f"2026_{number}")
    bring(world, "parapheur:9", nature="2", transmission="non", numero="2026_9", commune="la-madeleine")
    with world.store.transaction() as connection:
        connection.execute("UPDATE acte SET recu_le = now() - interval '9 days'")
    monkeypatch.setattr("passerelle.executory.WAITING_MAX", 2)
    sent: list[str] = []
    monkeypatch.setattr(Post, "write", lambda _post, to, _subject, _text: sent.append(to))
    post = Post(world.config, Letters(world.store, world.chain.connectors._files))
    Recall(world.config, world.store, post).send(date.today())
    assert sorted(sent) == ["gondecourt@x.test", "la-madeleine@x.test"]
