"""Nothing leaves unsigned, whatever the services of a commune."""

from __future__ import annotations

from dataclasses import replace

from testbed.chain import COMMUNES, World

GONDECOURT = COMMUNES["gondecourt"]


def test_an_act_without_parapheur_is_never_offered_unsigned(world: World) -> None:
    """Adopted where the parapheur signs nothing: it waits for a person, then goes through the parapheur."""
    services = tuple(one for one in GONDECOURT.services if one != "parapheur")
    world.reconfigure(communes=COMMUNES | {"gondecourt": replace(GONDECOURT, services=services)})
    reference = world.deliberations.adopt("d1")
    world.chain.arrivals.look()
    world.drain()
    act = world.act(reference)
    assert act.step == "teletransmission" and "n'est pas signé" in act.blocked and "À faire" in act.blocked
    assert world.chain.connectors.to_send(GONDECOURT) == []
    assert world.chain.connectors.document(GONDECOURT, act.document) is None
    world.chain.retry(reference)  # nothing changed: it comes back here
    assert world.chain.connectors.to_send(GONDECOURT) == []  # before its job, too
    world.drain()
    assert "n'est pas signé" in world.act(reference).blocked
    with world.store.transaction() as connection:  # nor what an older passerelle had let wait
        world.store.change(connection, reference, blocked="")
    assert world.chain.connectors.to_send(GONDECOURT) == []
    world.reconfigure(communes=COMMUNES)
    assert world.chain.retry(reference).reference == reference
    world.reach(reference, "teletransmission")
    [sent] = world.chain.connectors.to_send(GONDECOURT)
    assert sent["sha256"] == world.act(reference).track["signe"]


def test_a_deposit_named_as_anothers_does_not_pass_for_signed(world: World) -> None:
    """A reference is a text: what the deliberations' server calls « depot:… » is an adopted act all the same."""
    services = tuple(one for one in GONDECOURT.services if one != "parapheur")
    world.reconfigure(communes=COMMUNES | {"gondecourt": replace(GONDECOURT, services=services)})
    world.deliberations.adopt("d1", reference="depot:gondecourt:2026_9")
    world.chain.arrivals.look()
    world.drain()
    assert world.chain.connectors.to_send(GONDECOURT) == []
    assert "n'est pas signé" in world.act("depot:gondecourt:2026_9").blocked
