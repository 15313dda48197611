"""Acts as they stand in the database: which are shown, and what a connector may say of each."""

from __future__ import annotations

from typing import Any

import pytest
from passerelle.acts import BadRequest
from passerelle.store import FINISHED

from testbed.chain import COMMUNES, World

OURS = "gondecourt"
ID_ACTE = "059-215902669-20261120-2026_7-DE"


def put(
    world: World,
    reference: str,
    step: str,
    tdt: dict[str, Any] | None = None,
    circuit: str = "deliberation",
    **say: Any,
) -> str:
    """An act at a step; `tdt` is what the connector said of it."""
    data = {"circuit": circuit, "numero": "2026_7", "date": "2026-11-20", "objet": "Objet", "annexes": []}
    with world.store.transaction() as connection:
        assert world.store.add(connection, reference, say.get("commune", OURS), data, step)
        world.store.change(connection, reference, track={"tdt": tdt or {}}, blocked=say.get("blocked", ""))
    return reference


REFUSED: list[tuple[dict[str, Any], dict[str, Any], int, str]] = [
    ({}, {"etat": "jetee"}, 400, "Champ « etat » : « jetee » est inconnu."),
    ({}, {"etat": None}, 400, "Champ « etat » : «  » est inconnu."),
    ({"step": "signature"}, {"etat": "transmise"}, 409, "n'est pas à transmettre (étape : signature)."),
    ({"step": FINISHED}, {"etat": "refusee"}, 409, "n'est pas à transmettre (étape : termine)."),
    ({"tdt": {"etat": "acquittee"}}, {"etat": "en_erreur"}, 409, "n'est pas à transmettre"),
    ({}, {"etat": "versee"}, 425, "l'accusé de réception vient avant le versement."),
    ({}, {"etat": "acquittee", "id_acte": ID_ACTE.replace("2026_7", "2026_8")}, 409, "est celui d'un autre acte."),
    ({}, {"etat": "acquittee", "id_acte": ID_ACTE.replace("2669", "2668")}, 409, "est celui d'un autre acte."),
    ({}, {"etat": "acquittee"}, 409, "Champ « id_acte » : «  » est celui d'un autre acte."),
    ({}, {"etat": "acquittee", "id_acte": ID_ACTE}, 400, "l'ARActe de cet acte est attendu (base64)."),
    ({"circuit": "pes"}, {"etat": "acquittee", "id_acte": ID_ACTE}, 409, "est celui d'un autre flux."),
    ({"commune": "loos"}, {"etat": "transmise"}, 404, "Aucun acte de Gondecourt n'a la référence « a:1 »."),
    ({}, {"etat": "transmise", "reference": "a:2"}, 404, "Aucun acte de Gondecourt n'a la référence « a:2 »."),
]


@pytest.mark.parametrize(("stands", "said", "status", "words"), REFUSED)
def test_what_a_connector_may_not_say_of_an_act_changes_nothing(
    world: World, stands: dict[str, Any], said: dict[str, Any], status: int, words: str
) -> None:
    before = put(world, "a:1", **({"step": "teletransmission"} | stands))
    kept = world.act(before)
    for receipt in (None, b"un autre ARActe"):
        with pytest.raises(BadRequest) as refused:
            world.chain.connectors.follow(COMMUNES[OURS], {"reference": "a:1"} | said, receipt)
        assert (refused.value.status, words in str(refused.value)) == (status, True), str(refused.value)
    assert world.act(before) == kept
    assert [step for _when, step, _detail in world.store.history(before)] == ["entree"]


def test_the_latest_are_shown_and_first_those_that_wait_for_a_person(world: World) -> None:
    waiting = put(world, "a:bloque", "parapheur", blocked="à voir")
    ended = put(world, "a:fini", FINISHED)
    latest = [put(world, f"a:{rank:03}", "parapheur") for rank in range(200)]
    other = put(world, "a:autre", "parapheur", commune="loos")
    assert [one.reference for one in world.store.shown(None)] == [waiting, other, *reversed(latest[2:])]
    assert [one.reference for one in world.store.shown([OURS], 202)] == [waiting, *reversed(latest), ended]
    assert [one.reference for one in world.store.shown(["loos"])] == [other]
    assert world.store.shown([]) == []


def test_a_history_keeps_a_thousand_characters_of_each_reason(world: World) -> None:
    reference = put(world, "a:1", "teletransmission")
    said = {"reference": reference, "etat": "refusee", "motif": "x" * 5000 + "y"}
    world.chain.connectors.follow(COMMUNES[OURS], said, None)
    assert world.act(reference).blocked == f"La préfecture refuse l'acte : {said['motif']}"
    assert world.store.history(reference)[-1][1:] == ("connecteur: refusee", "x" * 1000)
    assert world.act(reference).track["echec"]["motif"] == said["motif"]
