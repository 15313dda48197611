"""Who may ask what: the certificate decides. The page shows where acts are."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.chain import COMMUNES, FakeConnector, World

NOT_KEPT = (
    "Un texte de cette demande ne peut pas être gardé (caractère nul ou incomplet). À faire : corrigez-le ; rien n'a "
    "été changé."
)


def test_a_connector_sees_and_takes_what_is_its_own(world: World, ask: Any) -> None:
    reference = world.deliberations.adopt("d1", annexes=1)
    world.reach(reference, "teletransmission")
    [act] = ask("connecteur", "/connecteur/a-transmettre").json()["results"]
    assert (act["reference"], act["numero"], act["date"]) == (reference, "2026_D1", "2026-11-20")
    assert (act["nature"], act["type"], act["matiere"], act["objet"]) == ("1", "99_DE", "5.2", "Délibération d1")
    content = ask("connecteur", act["fichier"]).content
    assert content == world.files_of(reference)
    assert ask("connecteur", act["annexes"][0]["fichier"]).content.startswith(b"%PDF-")
    assert ask("autre-connecteur", "/connecteur/a-transmettre").json() == {"results": []}
    assert ask("autre-connecteur", act["fichier"]).status_code == 404
    said = {"reference": reference, "etat": "transmise"}
    assert ask("autre-connecteur", "/connecteur/suivi", "POST", json=said).status_code == 404
    assert ask("connecteur", "/connecteur/suivi", "POST", json=said).status_code == 200
    assert ask("connecteur", "/connecteur/suivi", "POST", json=said).status_code == 200


@pytest.mark.parametrize("who", ["poste", "groupement", "etranger"])
def test_nobody_else_speaks_as_a_connector(ask: Any, who: str) -> None:
    assert ask(who, "/connecteur/a-transmettre").status_code == 403
    answer = ask(who, "/connecteur/suivi", "POST", json={"reference": "x", "etat": "acquittee"})
    assert answer.status_code == 403
    assert "message" in answer.json()


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"reference": "inconnu", "etat": "transmise"}, 404, "Aucun acte de Gondecourt n'a la référence « inconnu »."),
        ({"reference": "deliberations:d1", "etat": "partie"}, 400, "Champ « etat » : « partie » est inconnu."),
        ({"reference": "deliberations:d1", "etat": "transmise"}, 409,
         "« deliberations:d1 » n'est pas à transmettre (étape : signature)."),
        ({"reference": "deliberations:d1", "etat": "acquittee", "ar_acte": "???"}, 400,
         "Champ « ar_acte » : ce n'est pas du base64."),
        ([], 400, "Un objet JSON est attendu."),
        ({"reference": "deliberations:\0", "etat": "transmise"}, 400, NOT_KEPT),
    ],
)  # fmt: skip # a case a line
def test_bad_news_are_refused_in_french(world: World, ask: Any, body: Any, status: int, text: str) -> None:
    world.reach(world.deliberations.adopt("d1"), "signature")
    answer = ask("connecteur", "/connecteur/suivi", "POST", json=body)
    assert (answer.status_code, answer.json()["message"]) == (status, text)


@pytest.mark.parametrize("reason", ["a\0b", "a\ud800b"])
def test_a_text_that_is_none_is_not_to_be_sent_again(world: World, ask: Any, reason: str) -> None:
    reference = world.deliberations.adopt("d1")
    world.reach(reference, "teletransmission")
    answer = ask(
        "connecteur", "/connecteur/suivi", "POST", json={"reference": reference, "etat": "refusee", "motif": reason}
    )
    assert (answer.status_code, answer.json()["message"]) == (400, NOT_KEPT)


def test_each_sees_its_own_acts(world: World, ask: Any) -> None:
    mine, other = world.deliberations.adopt("d1"), world.deliberations.adopt("d2", commune="la-madeleine")
    world.reach(mine, "signature")
    page = ask("poste", "/")
    assert page.status_code == 200
    assert (mine in page.text, other in page.text) == (True, False)
    everything = ask("groupement", "/").text
    assert mine in everything
    assert other in everything
    assert "passerelle relancer" not in page.text
    assert ask("connecteur", "/").status_code == 403
    assert "n'est d'aucune commune" in ask("etranger", "/").json()["message"]


def test_the_page_says_where_an_act_is_and_why_it_waits(world: World, ask: Any) -> None:
    reference = world.deliberations.adopt("d1")
    world.reach(reference, "signature")
    assert "au parapheur, à signer" in ask("poste", "/").text
    world.parapheur.refuse(reference, "Manque <le> tableau")
    world.chain.arrivals.look()
    world.drain()
    text = ask("poste", "/").text
    assert "Refusé au parapheur par Camille Delattre : Manque &lt;le&gt; tableau" in text
    world.parapheur.take_up(reference)
    world.reach(reference, "teletransmission")
    FakeConnector(world.chain, COMMUNES["gondecourt"]).say(reference, "en_erreur", motif="Matière inconnue.")
    text = ask("groupement", "/").text
    assert "Le connecteur ne peut pas transmettre : Matière inconnue." in text
    assert "passerelle relancer" in text


def test_a_visitor_without_database_is_told_to_come_back(world: World, ask: Any) -> None:
    world.store.close()
    answer = ask("connecteur", "/connecteur/a-transmettre")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
