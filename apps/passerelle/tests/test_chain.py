"""An act goes from the séance to the archive, each hand-over made once, whatever stops on the way."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from typing import Any, cast
from unittest import mock

import pytest
from flask import jsonify, request
from passerelle import contracts
from passerelle.acts import BadRequest
from passerelle.arrivals import fairly
from passerelle.errors import Away, Refused, Trouble
from passerelle.page import content
from passerelle.parapheur import Parapheur
from passerelle.queue import advance
from passerelle.store import Store

from testbed.chain import COMMUNES, FINISHED, FakeConnector, World
from testbed.database import Database
from testbed.patience import wait_for
from testbed.servers import Answer, error

GONDECOURT = COMMUNES["gondecourt"]
# What is told of an act that went through, in order.
TOLD = ["au_parapheur", "signee", "transmise", "acquittee"]


def around(world: World, connector: FakeConnector) -> None:
    """Do what people, the connector and the TdT have to do now."""
    world.parapheur.sign()
    world.deliberations.publish()
    for one in connector.pull():
        connector.say(one["reference"], "transmise")
    for act in world.store.at("aracte"):
        if act.tdt.get("etat") == "transmise":
            connector.acknowledge({"reference": act.reference, **act.data})
    for act in world.store.at("versement"):
        connector.say(act.reference, "versee", archive="aip-1")


def through(world: World, move: Callable[[], None], connector: FakeConnector, reference: str) -> None:
    """Bring an act to the end; `move` makes the passerelle work."""

    def finished() -> bool:
        if world.step(reference) == FINISHED:
            return True
        around(world, connector)
        move()
        return False

    wait_for(finished, lambda: f"la fin de la chaîne, l'acte en est à {world.act(reference)}", every=0)


def looked(world: World) -> Callable[[], None]:
    """The passerelle works in this process."""

    def move() -> None:
        world.chain.arrivals.look()
        world.drain()

    return move


def assert_once(world: World, connector: FakeConnector, reference: str, pieces: int = 2) -> None:
    """Exactly one of each at the end."""
    uid = reference.partition(":")[2]
    assert [one["reference"] for one in world.parapheur.dossiers.values()].count(reference) == 1
    [dossier] = [one for one in world.parapheur.dossiers.values() if one["reference"] == reference]
    assert (dossier["etat"], dossier["dit"]) == ("acquitte", ["teletransmis", "acquitte"])
    assert world.deliberations.states(uid) == TOLD
    assert connector.sent[reference] == 1
    filed = {number: one for number, one in world.ged.documents.items() if reference in one["description"].split()}
    assert len(filed) == pieces
    for number, one in filed.items():
        assert len(one["files"]) == 1
        assert one["metadata"].keys() == {"numero", "date_acte", "objet"}
        assert number in world.ged.cabinets["Gondecourt [215902669] / Assemblées / Délibérations"]
    assert world.act(reference).blocked == ""


def test_an_act_goes_from_the_seance_to_the_archive(world: World) -> None:
    reference = world.deliberations.adopt("d1", annexes=1)
    connector = FakeConnector(world.chain, GONDECOURT)
    world.chain.arrivals.look()
    through(world, looked(world), connector, reference)
    assert_once(world, connector, reference, pieces=3)
    published = world.deliberations.told["d1"][-1]
    assert published["id_acte"] == "059-215902669-20261120-2026_D1-DE"
    assert published["date_reception"] == "2026-11-21"
    [dossier] = world.parapheur.dossiers.values()
    [(name, annex)] = dossier["annexes"]  # who signs reads it too
    assert (name, hashlib.sha256(annex).hexdigest()) == (
        "annexe-1.pdf",
        world.act(reference).data["annexes"][0]["sha256"],
    )
    assert published["sha256"] == world.act(reference).track["signe"]
    assert world.files_of(reference) == dossier["fichier"]
    labels = sorted(one["label"] for one in world.ged.documents.values())
    assert labels == ["2026_D1 - ARActe", "2026_D1 - Délibération d1", "2026_D1 - annexe 1 : annexe-1.pdf"]
    assert [step for _when, step, _detail in world.store.history(reference)][:4] == [
        "entree",
        "reception",
        "parapheur",
        "signature",
    ]


def test_what_a_commune_lacks_is_skipped(world: World) -> None:
    """Loos has the télétransmission and the GED alone."""
    loos = COMMUNES["loos"]
    data = {"circuit": "deliberation", "numero": "2026_7", "date": "2026-11-20", "objet": "Budget", "matiere": "7.1"}
    reference = world.chain.arrivals.deposit("loos", data, b"%PDF-1.4 budget")
    assert world.chain.arrivals.deposit("loos", data, b"%PDF-1.4 budget") == reference
    with pytest.raises(BadRequest, match="autre fichier"):
        world.chain.arrivals.deposit("loos", data, b"%PDF-1.4 un autre")
    connector = FakeConnector(world.chain, loos)
    through(world, looked(world), connector, reference)
    assert world.parapheur.dossiers == {}
    assert connector.sent == {reference: 1}
    assert len(world.ged.documents) == 2
    assert world.ged.cabinets["Loos [215903600] / Assemblées / Délibérations"] == {1, 2}


def test_blank_lines_come_before_a_pdf(world: World) -> None:
    data = {"circuit": "deliberation", "numero": "2026_7", "date": "2026-11-20", "objet": "Budget", "matiere": "7.1"}
    assert world.chain.arrivals.deposit("loos", data, b"\xef\xbb\xbf\r\n%PDF-1.4 budget")
    with pytest.raises(BadRequest, match="n'est pas un PDF"):
        world.chain.arrivals.deposit("loos", data, b"\n" * 2000 + b"%PDF-1.4 budget")


def test_an_act_of_a_commune_that_does_not_transmit_has_its_end(world: World) -> None:
    """It leaves what the parapheur and the deliberations' server list as waiting."""
    world.parapheur.communes.add("bouvines")
    whole = world.deliberations.adopt("d1", commune="bouvines")
    alone = world.deliberations.adopt("d2", commune="peronne")
    fields = {"numero": "2026_112", "date": "2026-11-20", "objet": "Circulation", "matiere": "6.1"}
    for name, circuit in (("parapheur:arrete", "arrete"), ("parapheur:flux", "pes")):
        world.parapheur.bring(name, b"%PDF-1.4 x", circuit=circuit, **(fields | {"commune": "bouvines"}))
    for _turn in range(3):
        world.chain.arrivals.look()
        world.drain()
        world.parapheur.sign()
    assert {one: world.step(one) for one in (whole, alone)} == dict.fromkeys((whole, alone), "publication")
    assert content(world.config, world.store, COMMUNES["bouvines"])["a_publier"] == 2  # and its arrêté
    world.deliberations.publish()
    looked(world)()
    waiting = content(world.config, world.store, None)["a_faire_connaitre"]
    assert [one["reference"] for one in waiting] == ["parapheur:arrete"]  # which nobody said published (L2131-1)
    assert {one: world.step(one) for one in (whole, alone)} == dict.fromkeys((whole, alone), FINISHED)
    assert {one["etat"] for one in world.parapheur.dossiers.values()} == {"clos"}
    assert world.deliberations.states("d1") == ["au_parapheur", "signee", "a_publier"]
    assert world.deliberations.told["d1"][-1]["sha256"] == world.act(whole).track["signe"]
    assert world.deliberations.told["d2"] == [{"uid": "d2", "etat": "a_publier"}]


def test_what_waited_at_the_publication_when_it_came_first_is_filed_and_archived(world: World) -> None:
    reference = "depot:gondecourt:2026_9"
    data = {"circuit": "deliberation", "numero": "2026_9", "uid": "d9"}
    with world.store.transaction() as connection:
        connection.execute("COMMENT ON TABLE acte IS NULL")  # as before
        world.store.add(connection, reference, "gondecourt", data, "publication")
    world.queue.prepare()
    assert world.step(reference) == "ged"
    with world.store.transaction() as connection:
        world.store.change(connection, reference, step="publication")
    world.queue.prepare()
    assert world.step(reference) == "publication"


def test_what_ended_without_being_told_is_told(world: World) -> None:
    """As before its end was known: it is listed as waiting, and finished here."""
    world.parapheur.communes.add("bouvines")
    reference = world.deliberations.adopt("d1", commune="bouvines")
    for _turn in range(3):
        world.chain.arrivals.look()
        world.drain()
        world.parapheur.sign()
        world.deliberations.publish()
    with world.store.transaction() as connection:
        track = world.act(reference).track | {"dit": {}}
        world.store.change(connection, reference, track=track)
    world.deliberations.told.clear()
    next(iter(world.parapheur.dossiers.values()))["etat"] = "a_teletransmettre"
    world.chain.arrivals.look()
    world.drain()
    assert world.deliberations.states("d1")[-1] == "a_publier"
    assert next(iter(world.parapheur.dossiers.values()))["etat"] == "clos"


def test_a_thousand_that_wait_hide_no_other(world: World) -> None:
    """More dossiers than the parapheur gives at a time, and more acts than one look ever took."""
    fields = {"numero": "2026_112", "date": "2026-11-20", "objet": "Circulation", "matiere": "6.1"}
    number = len(COMMUNES) + 3 * world.parapheur.MOST
    for rank in range(number):
        world.parapheur.bring(
            f"parapheur:{rank}", b"%PDF-1.4 x", circuit="arrete", **(fields | {"commune": "ailleurs"})
        )
    world.parapheur.bring("parapheur:nouveau", b"%PDF-1.4 y", circuit="arrete", **fields)
    world.parapheur.sign()
    world.chain.arrivals.look()
    assert world.act("parapheur:nouveau").commune == "gondecourt"
    with world.store.transaction() as connection:
        connection.execute(
            "INSERT INTO acte (reference, commune, donnees, etape, suivi, recu_le) "
            "SELECT 'depot:' || rang, 'gondecourt', '{}', 'teletransmission', '{\"tdt\": {\"etat\": \"recue\"}}', "
            "now() - interval '1 day' FROM generate_series(1, 1100) AS rang"
        )
    world.drain()
    assert [one["reference"] for one in world.chain.connectors.to_send(GONDECOURT)] == ["parapheur:nouveau"]


def test_one_dossier_that_cannot_be_read_keeps_no_other(world: World) -> None:
    fields = {"numero": "2026_112", "date": "2026-11-20", "objet": "Circulation", "matiere": "6.1"}
    world.parapheur.bring("parapheur:nul", b"%PDF-1.4 x", circuit="arrete", **(fields | {"objet": "a\0b"}))
    world.parapheur.bring("parapheur:bon", b"%PDF-1.4 y", circuit="arrete", **fields)
    world.deliberations.adopt("nul", objet="a\0b")
    good = world.deliberations.adopt("bon")
    world.parapheur.sign()
    world.chain.arrivals.look()
    assert world.store.get("parapheur:nul") is None
    assert world.act("parapheur:bon").step == "signature"
    assert world.act(good).step == "reception"


@pytest.mark.parametrize("name", ["deliberation.pdf", "annexe-1.pdf"])
def test_an_empty_file_stops_where_it_comes_in(world: World, name: str) -> None:
    reference = world.deliberations.adopt("d1", annexes=1)
    world.deliberations.documents[f"d1-{name}"] = b""
    item = world.deliberations.items["d1"]
    for one in (item["document"], *item["annexes"]):
        if one["nom"] == name:
            one["sha256"] = hashlib.sha256(b"").hexdigest()
    other = world.deliberations.adopt("d2")
    world.chain.arrivals.look()
    world.drain()
    act = world.act(reference)
    assert act.step == "reception"
    assert act.blocked == f"« {name} » est vide (0 octet). À faire : remplacez ce fichier dans la délibération."
    assert world.act(other).step == "signature"


def test_communes_take_turns() -> None:
    many = [{"commune": "a", "rang": rank} for rank in range(3)]
    assert fairly([*many, {"commune": "b"}, {}]) == [many[0], {"commune": "b"}, {}, many[1], many[2]]


def test_a_refused_circuit_is_told_and_taken_up_again(world: World) -> None:
    reference = world.deliberations.adopt("d1")
    move = looked(world)
    world.reach(reference, "signature")
    world.parapheur.refuse(reference, "Il manque le tableau des emplois.")
    move()
    assert world.deliberations.told["d1"][-1] == {
        "uid": "d1",
        "etat": "refusee",
        "motif": "Il manque le tableau des emplois.",
    }
    assert world.act(reference).track["refus"]["par"] == "Camille Delattre"
    assert world.chain.connectors.to_send(GONDECOURT) == []
    world.parapheur.take_up(reference)
    move()
    assert world.deliberations.states("d1") == ["au_parapheur", "refusee", "au_parapheur"]
    through(world, move, FakeConnector(world.chain, GONDECOURT), reference)
    assert world.deliberations.states("d1")[-3:] == TOLD[1:]


def test_what_somebody_brought_to_the_parapheur_goes_on_once_signed(world: World) -> None:
    fields = {"numero": "2026_112", "date": "2026-11-20", "objet": "Circulation", "matiere": "6.1"}
    world.parapheur.bring("parapheur:un", b"%PDF-1.4 arrete", circuit="arrete", **fields)
    # under the threshold
    world.parapheur.bring("parapheur:deux", b"%PDF-1.4 marche", circuit="marche", **(fields | {"matiere": ""}))
    world.parapheur.bring("essai:trois", b"%PDF-1.4 autre", circuit="arrete", **fields)  # somebody else's
    move = looked(world)
    move()
    assert world.store.get("parapheur:un") is None  # not signed yet
    world.parapheur.sign()
    move()
    move()
    assert [one["reference"] for one in world.chain.connectors.to_send(GONDECOURT)] == ["parapheur:un"]
    connector = FakeConnector(world.chain, GONDECOURT)
    through(world, move, connector, "parapheur:un")
    assert connector.sent == {"parapheur:un": 1}
    dossier = world.parapheur.dossiers[1]
    assert (dossier["etat"], dossier["dit"]) == ("acquitte", ["teletransmis", "acquitte"])
    assert world.files_of("parapheur:un") == dossier["fichier"]
    assert sorted(one["label"] for one in world.ged.documents.values()) == [
        "2026_112 - ARActe",
        "2026_112 - Circulation",
    ]
    assert [one["etat"] for one in list(world.parapheur.dossiers.values())[1:]] == ["clos", "a_teletransmettre"]


def test_a_public_contract_goes_to_the_prefecture_as_one(world: World) -> None:
    fields = {"numero": "2026_M3", "date": "2026-11-20", "objet": "Toiture", "matiere": "1.1"}
    world.parapheur.bring("parapheur:un", b"%PDF-1.4 marche", circuit="marche", **fields)
    world.parapheur.sign()
    move = looked(world)
    move()
    move()
    [sent] = world.chain.connectors.to_send(GONDECOURT)
    assert (sent["nature"], sent["type"]) == ("4", "99_DC")
    through(world, move, FakeConnector(world.chain, GONDECOURT), "parapheur:un")
    assert world.ged.cabinets["Gondecourt [215902669] / Finances / Marchés publics"] == {1, 2}


def test_a_public_contract_waits_for_its_file_and_takes_it_along(world: World) -> None:
    """CGCT, R2131-5: what is joined goes with it, but a detached signature, which the préfecture does not take."""
    fields = {"numero": "2026_M3", "date": "2026-11-20", "objet": "Toiture", "matiere": "1.1"}
    world.parapheur.bring("parapheur:un", b"%PDF-1.4 marche", circuit="marche", **fields)
    world.parapheur.sign()
    world.parapheur.complete("parapheur:un", None)
    move = looked(world)
    move()
    move()
    assert world.store.get("parapheur:un") is None
    with world.store.transaction() as connection:  # its delay is the groupement's to see (test_overview.py)
        assert list(contracts.waiting(connection)) == [("gondecourt", "2026_M3", date(2026, 11, 26))]
    pieces = {"avis.pdf": b"%PDF-1.4 avis", "contrat.p7s": b"0", "../rapport.pdf": b"%PDF-1.4 rapport"}
    world.parapheur.complete("parapheur:un", pieces)
    move()
    move()
    [sent] = world.chain.connectors.to_send(GONDECOURT)
    wanted = [hashlib.sha256(pieces[name]).hexdigest() for name in ("avis.pdf", "../rapport.pdf")]
    assert [one["sha256"] for one in sent["annexes"]] == wanted
    with world.store.transaction() as connection:
        assert list(contracts.waiting(connection)) == []
    for digest in wanted:
        kept = world.chain.connectors.document(GONDECOURT, digest)
        assert kept is not None and hashlib.sha256(kept.read_bytes()).hexdigest() == digest
    through(world, move, FakeConnector(world.chain, GONDECOURT), "parapheur:un")
    assert sorted(one["label"] for one in world.ged.documents.values()) == [
        "2026_M3 - ARActe",
        "2026_M3 - Toiture",
        "2026_M3 - annexe 1 : avis.pdf",
        "2026_M3 - annexe 2 : rapport.pdf",
    ]


@pytest.mark.parametrize("wrong", [{"sha256": "../../etc/passwd"}, {"sha256": "0" * 63}, {"id": "1"}, {"id": None}])
def test_pieces_that_are_badly_announced_take_nothing_along(wrong: dict[str, Any]) -> None:
    server = mock.Mock()
    server.results.return_value = [{"id": 1, "nom": "a.pdf", "sha256": "0" * 64, "transmis": True} | wrong]
    with pytest.raises(Refused, match="annonce mal les pièces du dossier 7"):
        Parapheur(server, "passerelle", "x").pieces(7)


def test_a_piece_that_is_not_the_one_announced_stops_its_contract_alone(world: World) -> None:
    fields = {"date": "2026-11-20", "objet": "Toiture", "matiere": "1.1"}
    for name in ("un", "deux"):
        world.parapheur.bring(f"parapheur:{name}", name.encode(), circuit="marche", numero=name, **fields)
        world.parapheur.sign()
        world.parapheur.complete(f"parapheur:{name}", {"avis.pdf": b"%PDF-1.4 " + name.encode()})
    world.chain.arrivals.look()
    world.parapheur.complete("parapheur:un", {"avis.pdf": b"%PDF-1.4 autre"})
    move = looked(world)
    move()
    move()
    assert "n'est pas la pièce annoncée" in world.act("parapheur:un").blocked
    assert [one["reference"] for one in world.chain.connectors.to_send(GONDECOURT)] == ["parapheur:deux"]


def test_a_dossier_whose_pieces_cannot_be_listed_keeps_no_other(world: World) -> None:
    fields = {"date": "2026-11-20", "objet": "Toiture", "matiere": "1.1"}
    for name in ("un", "deux"):
        world.parapheur.bring(f"parapheur:{name}", name.encode(), circuit="marche", numero=name, **fields)
        world.parapheur.sign()
        world.parapheur.complete(f"parapheur:{name}", {"avis.pdf": b"%PDF-1.4 " + name.encode()})
    world.parapheur.complete("parapheur:un", {"avis.pdf": cast(bytes, None)})  # its file is lost there: HTTP 500
    world.chain.arrivals.look()
    assert (world.store.get("parapheur:un"), world.act("parapheur:deux").commune) == (None, "gondecourt")


# -- faults -------------------------------------------------------------------------------------------------

POINTS = [
    "entrée: notée", "reception: document gardé", "reception: fait", "reception: noté", "parapheur: déposé",
    "parapheur: fait", "parapheur: noté", "deliberations: au_parapheur dit", "signature: fait", "signature: noté",
    "reprise: signé gardé", "reprise: fait", "reprise: noté", "deliberations: signee dit",
    "parapheur: teletransmis dit", "deliberations: transmise dit", "teletransmission: fait",
    "teletransmission: noté", "parapheur: acquitte dit", "aracte: fait", "aracte: noté",
    "deliberations: acquittee dit", "ged: à créer", "ged: créé",
    "ged: à envoyer", "ged: envoyé", "ged: décrit", "ged: classé", "ged: fait", "ged: noté", "versement: fait",
    "versement: noté", "publication: fait", "publication: noté",
]  # fmt: skip # a list of words


@pytest.mark.costly
def test_killed_at_every_point_nothing_is_lost_nor_done_twice(world: World) -> None:
    """A real process is killed by SIGKILL the first time it comes to each point; another one goes on from there."""
    reference = world.deliberations.adopt("d1")
    connector = FakeConnector(world.chain, GONDECOURT)
    left = set(POINTS)

    def died() -> str:
        point = world.died_at()
        if not point and world.store.get(reference):
            around(world, connector)
        return point

    while left:
        world.start(left)
        left.remove(wait_for(died, lambda: f"un des points {left}, {world.store.get(reference)}", every=0.05))
    assert world.step(reference) == FINISHED
    assert_once(world, connector, reference)


@pytest.mark.parametrize("name", ["parapheur", "deliberations", "ged"])
def test_a_server_away_delays_and_loses_nothing(world: World, name: str) -> None:
    """It is away before every hand-over, for a while."""
    reference = world.deliberations.adopt("d1")
    connector = FakeConnector(world.chain, GONDECOURT)
    world.chain.arrivals.look()
    seen: set[str] = set()

    def move() -> None:
        step = world.step(reference)
        if step not in seen and step != FINISHED:
            seen.add(step)
            world.servers[name].stop()
            try:
                world.chain.arrivals.look()
            except Exception as failure:
                assert name != "ged", failure
            with suppress(Away):
                advance(world.chain, reference)
            world.servers[name].start()
        looked(world)()

    through(world, move, connector, reference)
    assert_once(world, connector, reference)


def test_a_late_act_says_why(world: World) -> None:
    reference = world.deliberations.adopt("d1")
    world.chain.arrivals.look()
    world.servers["parapheur"].stop()
    with pytest.raises(Away):
        advance(world.chain, reference)
    act = world.act(reference)
    assert (act.step, act.blocked) == ("parapheur", "")
    assert act.late.startswith("le parapheur ne répond pas")
    world.servers["parapheur"].start()
    world.drain()
    act = world.act(reference)
    assert (act.step, act.late) == ("signature", "")


def test_a_job_whose_end_was_not_written_is_seen(world: World) -> None:
    """PostgreSQL went away at that very moment, the worker lives on: it is to begin again."""
    reference = world.deliberations.adopt("d1")
    world.chain.arrivals.look()
    with world.store.transaction() as connection:
        connection.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE lock = %s", (reference,))
    assert world.store.stuck(0)
    assert not world.store.stuck(1200)
    world.drain()
    assert world.step(reference) == "reception"
    assert world.queue.recover() == 1
    world.drain()
    assert world.step(reference) == "signature"


@pytest.mark.costly
def test_the_database_restarts_under_load(world: World, server: Database) -> None:
    """Twelve acts on their way, PostgreSQL crashes three times: each act once at the end."""
    references = [world.deliberations.adopt(f"d{rank}") for rank in range(12)]
    connector = FakeConnector(world.chain, GONDECOURT)
    world.start()
    crashes = 0

    def finished() -> bool:
        nonlocal crashes
        world.restart_if_dead()
        try:
            counts = world.store.counts()
            if counts.get(FINISHED) == len(references):
                return True
            if crashes < 3 and sum(counts.values()) >= 4 * (crashes + 1):
                crashes += 1
                server.stop("immediate")
                time.sleep(0.3)  # in which the worker meets no database
                server.start()
                return False
            around(world, connector)
        except Exception as failure:
            assert "psycopg" in type(failure).__module__ + str(type(failure).__mro__), failure
        return False

    try:
        wait_for(finished, lambda: f"les douze actes à la fin, ils en sont à {world.store.counts()}", 120, every=0.05)
    finally:
        world.stop()
    assert crashes == 3
    for reference in references:
        connector.sent[reference] = 1  # a connector knows what it took: see its own tests
        assert_once(world, connector, reference)


# -- dead letters -------------------------------------------------------------------------------------------


def deposit() -> bool:
    """Whether this request is a deposit."""
    return request.method == "POST" and request.path.endswith("/dossiers/")


def test_a_refused_account_is_no_fault_of_the_act(world: World) -> None:
    """It waits for whoever sets the password right."""
    reference = world.deliberations.adopt("d1")
    world.parapheur.failure = lambda: error(400, "Impossible de se connecter.") if "token" in request.path else None
    with pytest.raises(Trouble):
        world.chain.arrivals.look()
    with pytest.raises(Trouble):
        advance(world.chain, reference)
    act = world.act(reference)
    assert (act.step, act.blocked) == ("parapheur", "")
    assert act.late.startswith("le parapheur refuse le compte « passerelle »")


def test_a_refusal_is_put_aside_with_its_reason_and_taken_up_by_a_person(world: World) -> None:
    reference = world.deliberations.adopt("d1")
    world.parapheur.failure = lambda: error(400, "Le fichier dépasse 150 Mo.") if deposit() else None
    world.chain.arrivals.look()
    world.drain()
    act = world.act(reference)
    assert act.blocked == "Le parapheur répond HTTP 400 : Le fichier dépasse 150 Mo."
    assert [one.reference for one in world.store.blocked()] == [reference]
    world.parapheur.failure = None
    world.drain()
    assert world.step(reference) == "parapheur"
    world.chain.retry(reference)
    world.drain()
    assert world.step(reference) == "signature"
    assert world.act(reference).blocked == ""


def test_what_nobody_expects_is_tried_a_few_times_then_put_aside(world: World) -> None:
    reference = world.deliberations.adopt("d1")
    tries = 0

    def broken() -> Answer | None:
        nonlocal tries
        if not deposit():
            return None
        tries += 1
        return jsonify({"detail": "erreur interne"}), 500

    world.chain.arrivals.look()
    world.parapheur.failure = broken

    def aside() -> bool:
        if world.act(reference).blocked:
            return True
        world.drain()
        return False

    wait_for(aside, lambda: f"l'acte mis de côté, après {tries} essais", every=0.3)
    assert tries == 8
    assert world.act(reference).blocked == "Le parapheur répond HTTP 500 : erreur interne"


def test_a_document_that_is_not_the_announced_one_goes_nowhere(world: World) -> None:
    reference = world.deliberations.adopt("d1")
    world.deliberations.documents["d1-deliberation.pdf"] += b"% change"
    world.chain.arrivals.look()
    world.drain()
    assert "n'est pas le document annoncé" in world.act(reference).blocked
    assert world.parapheur.dossiers == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"commune": "lille"}, "la commune « lille » n'est pas de celles que sert la passerelle."),
        ({"numero": ""}, "le champ « numero » manque."),
        ({"date": "20/11/2026"}, "le champ « date » n'est pas une date : « 20/11/2026 »."),
        ({"document": {"url": "x"}}, "un document est annoncé sans son empreinte (sha256)."),
    ],
)
def test_an_act_badly_announced_does_not_hold_the_others(world: World, changes: dict[str, Any], reason: str) -> None:
    bad, good = world.deliberations.adopt("d1", **changes), world.deliberations.adopt("d2")
    world.chain.arrivals.look()
    world.drain()
    assert world.act(bad).blocked == f"Délibération mal annoncée : {reason}"
    assert world.step(good) == "signature"
    with pytest.raises(BadRequest, match="corrigez-le au serveur des délibérations"):
        world.chain.retry(bad)
    world.deliberations.adopt("d1")
    world.reach(bad, "signature")


def test_what_the_connector_rejects_is_offered_again_on_demand(world: World) -> None:
    reference = world.deliberations.adopt("d1")
    connector = FakeConnector(world.chain, GONDECOURT)
    world.reach(reference, "teletransmission")
    connector.pull()
    connector.say(reference, "en_erreur", motif="la matière « 5.2 » n'existe pas.")
    world.drain()
    assert world.act(reference).blocked == "Le connecteur ne peut pas transmettre : la matière « 5.2 » n'existe pas."
    assert world.deliberations.told["d1"][-1]["etat"] == "en_erreur"
    assert world.parapheur.dossiers[1]["etat"] == "en_erreur"
    assert connector.pull() == []
    world.chain.retry(reference)
    assert [one["reference"] for one in connector.pull()] == [reference]


def test_what_the_prefecture_refuses_is_not_taken_up(world: World) -> None:
    reference = world.deliberations.adopt("d1")
    connector = FakeConnector(world.chain, GONDECOURT)
    world.reach(reference, "teletransmission")
    connector.pull()
    connector.say(reference, "transmise")
    connector.say(reference, "refusee", motif="Acte hors délai.")
    world.drain()
    assert world.deliberations.told["d1"][-1] == {"uid": "d1", "etat": "refusee", "motif": "Acte hors délai."}
    with pytest.raises(BadRequest, match="il faut un nouvel acte"):
        world.chain.retry(reference)


def test_an_aracte_of_another_act_is_refused(world: World) -> None:
    reference = world.deliberations.adopt("d1")
    connector = FakeConnector(world.chain, GONDECOURT)
    world.reach(reference, "teletransmission")
    [act] = connector.pull()
    connector.say(reference, "transmise")
    with pytest.raises(BadRequest, match="celui d'un autre acte"):
        connector.acknowledge(act | {"numero": "2026_AUTRE"})
    with pytest.raises(BadRequest, match="l'ARActe de cet acte est attendu"):
        connector.say(reference, "acquittee", id_acte="059-215902669-20261120-2026_D1-DE", date_reception="2026-11-21")
    with pytest.raises(BadRequest, match="Aucun acte de La Madeleine"):
        FakeConnector(world.chain, COMMUNES["la-madeleine"]).say(reference, "transmise")
    assert "id_acte" not in world.act(reference).tdt


def test_figures_are_published(world: World) -> None:
    world.reach(world.deliberations.adopt("d1"), "signature")
    path, line = world.config.metrics, 'passerelle_actes{etape="signature"} 1\n'
    world.run(until=lambda: path.exists() and line in path.read_text())  # an earlier figure may be there already
    assert line in path.read_text()


def test_what_is_said_in_between_is_not_undone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A try that took too long here ended after the next one: the act lost its identifier and its ARActe."""
    reference = world.deliberations.adopt("d1")
    world.reach(reference, "teletransmission")
    connector, locked, locks = FakeConnector(world.chain, GONDECOURT), Store.lock, 0
    [act] = connector.pull()

    def lock(connection: Any, reference: str) -> Any:
        nonlocal locks
        locks += 1
        if locks == 1:
            connector.say(reference, "transmise")
            connector.acknowledge(act)
        return locked(connection, reference)

    monkeypatch.setattr(world.store, "lock", lock)
    connector.say(reference, "transmise")
    told = world.act(reference).tdt
    assert (told["etat"], told["id_acte"][:3], "ar_acte" in told) == ("acquittee", "059", True)
