"""The real connector between the passerelle and the TdT simulator: pulled once, sent once, said."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from passerelle import executory, page, room
from passerelle.acts import BadRequest
from passerelle.config import Account
from passerelle.store import Tracked
from tdt_connector import archive, handover, s2low, sip
from tdt_connector.handover import HandoverError, Passerelle
from tdt_connector.journal import Journal, State
from tdt_connector.proof import test_pdf as make_pdf
from tdt_simulator.testing import TdtServer

from testbed import budget
from testbed.chain import World, id_acte
from testbed.connector import Authority, Commune, platform
from testbed.servers import PASSWORD

DATA = {
    "circuit": "deliberation",
    "numero": "2026_DEL_7",
    "date": "2026-01-15",
    "objet": "Tarifs : cantine",
    "matiere": "7.5",
}


@pytest.fixture
def tdt(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[TdtServer]:
    """A TdT that works."""
    monkeypatch.setattr(s2low, "_LIST_ORDER", (17, 1, 2, 3, 4, -1, 0))
    with platform(tmp_path / "tdt", authority) as server:
        yield server


@pytest.fixture
def commune(tmp_path: Path, tdt: TdtServer, authority: Authority, world: World) -> Commune:
    """Gondecourt, whose acts need no signature here."""
    own = authority.folder / "connecteur"
    return Commune(
        tmp_path / "commune",
        tdt.url,
        authority,
        certificat=own,
        passerelle_url=world.web.url,
        passerelle_certificate=own,
    )


@pytest.fixture
def flows(world: World) -> World:
    """A parapheur too."""
    world.reconfigure(
        servers={name: Account(world.servers[name].url, "passerelle", PASSWORD) for name in ("parapheur", "ged")}
    )
    return world


@pytest.fixture
def council(flows: World) -> World:
    """The deliberations' server too."""
    account = Account(flows.servers["deliberations"].url, "passerelle", PASSWORD)
    flows.reconfigure(servers=flows.config.servers | {"deliberations": account})
    return flows


@pytest.fixture
def world(world: World) -> World:
    """No parapheur, no deliberations' server: what a person puts in the chain is transmitted."""
    world.reconfigure(servers={"ged": world.config.servers["ged"]})
    return world


def relay(commune: Commune) -> list[str]:
    with Journal(commune.config.journal) as journal:
        return Passerelle(commune.config, journal).relay()


@pytest.mark.parametrize("name", ["ordre.yml", "ordre.YAML", "copie.~", "plan.part", "plan du 12.06.2026", "plan", ""])
def test_the_name_of_an_annex_says_nothing_to_the_hot_folder(world: World, commune: Commune, name: str) -> None:
    """It would be read as a description of its own, or waited for as a file that is still being written."""
    annexes = [{"nom": name, "sha256": "0" * 64}, {"nom": "Photo.JPG", "sha256": "1" * 64}]
    with Journal(commune.config.journal) as journal:
        found = Passerelle(commune.config, journal)._names(handover.Offer.read({"annexes": annexes}), "7-abc")
    assert [file for file, _item in found] == ["7-abc.pdf", "7-abc-annexe-1.pdf", "7-abc-annexe-2.jpg"]


def deposited(world: World, **changes: Any) -> str:
    return world.chain.arrivals.deposit("gondecourt", DATA | changes, make_pdf("Acte", "7"))


def test_an_act_of_the_passerelle_comes_back_acknowledged(world: World, commune: Commune, tdt: TdtServer) -> None:
    reference = deposited(world)
    assert relay(commune) == [
        f"2026_DEL_7 : pris à la passerelle ({reference}).",
        f"{reference} : recue, dit à la passerelle.",
    ]
    assert relay(commune) == []
    commune.run()
    assert commune.row("2026_DEL_7").state is State.ACKNOWLEDGED
    assert relay(commune) == [f"{reference} : acquittee, dit à la passerelle."]
    world.drain()
    act = world.act(reference)
    assert act.step == "versement"
    assert act.tdt["id_acte"] == commune.row("2026_DEL_7").idacte
    folder = commune.root / "acquittes" / act.tdt["id_acte"]
    assert (world.root / "fichiers" / act.tdt["ar_acte"]).read_bytes() == (folder / "ARActe.xml").read_bytes()
    assert [one["label"] for one in world.ged.documents.values()] == [
        "2026_DEL_7 - Tarifs : cantine",
        "2026_DEL_7 - ARActe",
    ]
    assert relay(commune) == []
    assert len(commune.rows()) == 1


def test_a_budget_goes_in_one_envelope_with_its_deliberation(world: World, commune: Commune, tdt: TdtServer) -> None:
    """CGCT, L1612-8: the XML is the act (nature 5), the délibération that adopts it is joined."""
    content = budget.make()
    kept = world.chain.arrivals._files.keep_bytes(content)
    told = {"nom": "BP 2026.xml", "sha256": kept}
    reference = deposited(world, objet="Budget primitif 2026", matiere="7.1", budget=told)
    relay(commune)
    commune.run()
    row = commune.row("2026_DEL_7")
    assert row.state is State.ACKNOWLEDGED and row.idacte and row.idacte.endswith("-BF"), row.detail
    relay(commune)
    world.drain()
    act = world.act(reference)
    assert (act.step, act.tdt["id_acte"]) == ("versement", row.idacte)
    names = {path.suffix: path.read_bytes() for path in (commune.root / "acquittes" / row.idacte).glob("2026_DEL_7-*")}
    assert names[".xml"] == content and names[".pdf"] == (world.root / "fichiers" / act.document).read_bytes()
    assert [one["label"] for one in world.ged.documents.values()] == [
        "2026_DEL_7 - Budget primitif 2026", "2026_DEL_7 - annexe 1 : BP 2026.xml", "2026_DEL_7 - ARActe"
    ]  # fmt: skip # a list


def test_the_budget_of_a_deliberation_comes_with_it(council: World) -> None:
    world, content = council, budget.make()
    world.deliberations.documents["bp.xml"] = content
    told = {"url": f"{world.deliberations.url}/documents/bp.xml", "nom": "BP 2026.xml"}
    digest = hashlib.sha256(content).hexdigest()
    world.deliberations.adopt("d2", budget=told)  # without its digest
    reference = world.deliberations.adopt("d1", annexes=1, matiere="7.1", budget=told | {"sha256": digest})
    world.reach(reference, "signature")
    assert (world.root / "fichiers" / digest).read_bytes() == content
    [dossier] = world.parapheur.dossiers.values()
    assert [name for name, _file in dossier["annexes"]] == ["annexe-1.pdf"]  # who signs reads PDFs
    world.parapheur.sign()
    world.chain.arrivals.look()
    world.drain()
    [sent] = world.chain.connectors.to_send(world.config.communes["gondecourt"])
    assert (sent["nature"], sent["type"], sent["sha256"]) == ("5", "99_BU", digest)
    signed = world.act(reference).track["signe"]
    assert [one["sha256"] for one in sent["annexes"]] == [signed, world.act(reference).annexes[0].sha256]
    assert len(world.act(reference).annexes) == 1  # of those that are to be on line


def bring_flow(world: World, commune: Commune, reference: str, sent: bytes) -> None:
    """A flow that was dropped comes by the parapheur instead, signed there."""
    (commune.root / "depot" / "flux.xml").unlink()
    fields = {"numero": "", "date": "2026-11-20", "objet": "Bordereau 12", "matiere": ""}
    world.parapheur.bring(reference, sent, circuit="pes", **fields)
    world.parapheur.sign()
    world.chain.arrivals.look()
    world.chain.arrivals.look()
    world.drain()


def test_a_flow_signed_in_the_parapheur_comes_back_acknowledged_by_helios(
    flows: World, commune: Commune, tdt: TdtServer
) -> None:
    world, reference = flows, "parapheur:bordereau"
    sent = commune.drop_pes().replace(b"PES1", b"PES2")
    bring_flow(world, commune, reference, sent)
    assert relay(commune)[0] == f"flux : pris à la passerelle ({reference})."
    other = {"reference": reference, "etat": "acquittee", "id_acte": "PES-1-flux-0123456789ab"}
    with pytest.raises(BadRequest, match="celui d'un autre flux"):
        world.chain.connectors.follow(world.config.communes["gondecourt"], other, None)
    commune.run()
    [flow] = tdt.pes()
    assert flow["sha1"] == hashlib.sha1(world.files_of(reference), usedforsecurity=False).hexdigest()
    assert relay(commune) == [f"{reference} : acquittee, dit à la passerelle."]
    world.drain()
    act = world.act(reference)
    assert (act.step, world.parapheur.dossiers[1]["dit"]) == ("termine", ["teletransmis", "acquitte"])
    assert act.tdt["id_acte"].startswith(f"PES-{flow['id']}-flux-")
    [folder] = (commune.root / "acquittes").iterdir()
    assert folder.name == act.tdt["id_acte"]
    kept = world.root / "fichiers" / act.tdt["ar_acte"]
    assert kept.read_bytes() == (folder / "acquittement.xml").read_bytes()
    assert (relay(commune), world.ged.documents) == ([], {})
    [row] = page.content(world.config, world.store, None)["actes"]
    assert row["etapes"] == ["fait", "fait", "fait", "fait", "sans", "sans", "sans"]


def test_what_the_dgfip_refuses_of_a_flow_is_on_the_page(
    flows: World, commune: Commune, tdt: TdtServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s2low.S2low, "pes_receipt", lambda driver, transaction: REFUSALS)
    world, reference = flows, "parapheur:bordereau"
    sent = commune.drop_pes()
    bring_flow(world, commune, reference, sent)
    relay(commune)
    commune.run()
    assert relay(commune) == [f"{reference} : refusee, dit à la passerelle."]
    world.drain()
    [row] = page.content(world.config, world.store, None)["a_revoir"]
    lines = row["texte"].splitlines()
    assert lines[0].startswith("La DGFiP refuse le flux : refusé par la DGFiP, 60 élément(s) sur 61 : bordereau 1, ")
    assert "bordereau 40 : Pièce no 40 déjà prise en charge par le comptable (ERREUR_DOUBLON_PIECE)." in lines
    assert lines[-1] == "Accepté par la DGFiP : bordereau 99."
    assert "bloque" in row["etapes"]
    assert world.parapheur.dossiers[1]["dit"][-1] == "en_erreur"
    assert relay(commune) == []


REFUSALS = (
    "<PES_ACQUIT><ACQUIT>"
    + "".join(
        f'<ElementACQUIT><EtatAck V="0"/><NumBord V="{rank}"/><NumAnoAck V="ERREUR_DOUBLON_PIECE"/>'
        f'<LibelleAnoAck V="Pièce no {rank} déjà prise en charge par le comptable"/></ElementACQUIT>'
        for rank in range(1, 61)
    )
    + '<ElementACQUIT><EtatAck V="1"/><NumBord V="99"/></ElementACQUIT></ACQUIT></PES_ACQUIT>'
).encode()
POINTS = ["avant dépôt", "description écrite", "pdf déposé", "déposé", "avant suivi", "après suivi"]


@pytest.mark.parametrize("point", POINTS)
def test_killed_while_relaying_an_act_is_deposited_once(
    world: World, commune: Commune, tdt: TdtServer, point: str
) -> None:
    reference = deposited(world)

    def killed() -> None:
        """Kill where the point says, from outside the code."""
        moves = 0
        real_move, real_write, real_call, real_deposit = (
            handover.move,
            handover.write,
            Passerelle._call,
            Passerelle._deposit,
        )

        def die() -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        def move(source: Path, target: Path) -> None:
            nonlocal moves
            real_move(source, target)
            moves += 1
            if (point, moves) in (("pdf déposé", 1), ("déposé", 2)):
                die()

        def write(path: Path, content: bytes) -> None:
            real_write(path, content)
            if point == "description écrite":
                die()

        def call(self: Passerelle, method: str, path: str, **options: object) -> object:
            if method == "POST" and point == "avant suivi":
                die()
            answer = real_call(self, method, path, **options)
            if method == "POST" and point == "après suivi":
                die()
            return answer

        def deposit(self: Passerelle, act: handover.Offer, stem: str) -> None:
            if point == "avant dépôt":
                die()
            real_deposit(self, act, stem)

        handover.move, handover.write = move, write  # type: ignore[assignment] # this process ends here
        Passerelle._call, Passerelle._deposit = call, deposit  # type: ignore[assignment, method-assign] # same
        relay(commune)

    assert commune.child(killed) == -signal.SIGKILL
    relay(commune)
    commune.run()
    relay(commune)
    world.drain()
    assert world.step(reference) == "versement"
    assert [row.state for row in commune.rows()] == [State.ACKNOWLEDGED]


def test_a_rejected_act_is_corrected_by_a_person_and_taken_again(
    world: World, commune: Commune, tdt: TdtServer
) -> None:
    reference = deposited(world, matiere="9")
    relay(commune)
    commune.run()
    relay(commune)
    world.drain()
    assert "est trop large ; choisissez une sous-matière" in world.act(reference).blocked
    assert relay(commune) == []
    with world.store.transaction() as connection:
        world.store.change(connection, reference, data=world.act(reference).data | {"matiere": "9.1"})
    world.chain.retry(reference)
    relay(commune)
    commune.run()
    relay(commune)
    world.drain()
    assert world.step(reference) == "versement"
    assert [row.state for row in commune.rows()] == [State.REJECTED, State.ACKNOWLEDGED]


def test_a_passerelle_that_forgot_is_told_again_and_nothing_is_sent_twice(
    world: World, commune: Commune, tdt: TdtServer
) -> None:
    """It was restored from an older backup."""
    reference = deposited(world)
    relay(commune)
    commune.run()
    relay(commune)
    with world.store.transaction() as connection:
        world.store.change(connection, reference, track={}, step="teletransmission")
    assert relay(commune) == [f"{reference} : acquittee, dit à la passerelle."]
    assert len(commune.rows()) == 1


def test_what_was_archived_is_said(world: World, commune: Commune, tdt: TdtServer) -> None:
    commune.config = replace(commune.config, archive_url="https://sae.test")
    reference = deposited(world)
    relay(commune)
    commune.run()
    relay(commune)
    world.drain()
    folder = commune.root / "acquittes" / world.act(reference).tdt["id_acte"]
    (folder / "versement.xml").write_text(
        f'<ArchiveTransferReply xmlns="{sip.NAMESPACE}"><ReplyCode>OK</ReplyCode><DataObjectPackage><SystemId>aip-7'
        "</SystemId></DataObjectPackage></ArchiveTransferReply>"
    )
    assert relay(commune) == [f"{reference} : versee, dit à la passerelle."]
    world.drain()
    assert world.step(reference) == "termine"
    assert world.act(reference).tdt["archive"] == "aip-7"


@pytest.mark.parametrize("forgotten", [False, True])
def test_an_act_archived_before_it_was_told_acknowledged_is_told_so_first(
    world: World, commune: Commune, tdt: TdtServer, forgotten: bool
) -> None:
    """Both may happen between two runs, or before the backup of a passerelle that was restored."""
    commune.config = replace(commune.config, archive_url="https://sae.test")
    reference = deposited(world)
    relay(commune)
    commune.run()
    if forgotten:
        relay(commune)
        with world.store.transaction() as connection:
            world.store.change(connection, reference, track={}, step="teletransmission")
    [folder] = (commune.root / "acquittes").glob("059-*")
    (folder / "versement.xml").write_text(
        f'<ArchiveTransferReply xmlns="{sip.NAMESPACE}"><ReplyCode>OK</ReplyCode><DataObjectPackage><SystemId>aip-7'
        "</SystemId></DataObjectPackage></ArchiveTransferReply>"
    )
    assert relay(commune) == [f"{reference} : {state}, dit à la passerelle." for state in ("acquittee", "versee")]
    world.drain()
    assert world.step(reference) == "termine"
    track = world.act(reference).tdt
    assert (track["id_acte"], track["archive"]) == (folder.name, "aip-7") and track["ar_acte"]


def test_an_archive_without_its_acknowledgement_is_not_final(world: World, commune: Commune, tdt: TdtServer) -> None:
    """A connector of before may still say them in that order: it says it again."""
    reference = deposited(world)
    with pytest.raises(BadRequest, match="l'accusé de réception vient avant le versement") as refused:
        world.chain.connectors.follow(
            world.config.communes["gondecourt"], {"reference": reference, "etat": "versee"}, None
        )
    assert refused.value.status == 425
    assert world.step(reference) == "teletransmission"


@pytest.mark.parametrize("plant", ["link", "dangling", "pipe"])
def test_nothing_is_written_through_what_others_put_in_the_hot_folder(
    world: World, commune: Commune, tdt: TdtServer, plant: str
) -> None:
    reference = deposited(world)
    stem = f"2026_DEL_7-{hashlib.sha256(reference.encode()).hexdigest()[:12]}"
    precious = commune.root / "etat" / "precieux"
    precious.write_bytes(b"le journal")
    for name in (f"{stem}.pdf", f"{stem}.yml"):
        for planted in (name, f"{name}.part", f".{name}.part", f".{name}.part.part"):
            path = commune.config.folder_depot / planted
            if plant == "pipe":
                os.mkfifo(path)
            else:
                path.symlink_to(precious if plant == "link" else commune.root / "etat" / "nouveau")
    assert relay(commune)[0] == f"2026_DEL_7 : pris à la passerelle ({reference})."
    assert precious.read_bytes() == b"le journal"
    assert not (commune.root / "etat" / "nouveau").exists()
    for name in (f"{stem}.pdf", f"{stem}.yml"):
        path = commune.config.folder_depot / name
        assert path.is_file() and not path.is_symlink()
    assert [path.name for path in (commune.root / "etat").glob("passerelle-*")] == []


def test_an_act_that_cannot_be_taken_keeps_no_other(world: World, commune: Commune, tdt: TdtServer) -> None:
    bad, good = deposited(world), deposited(world, numero="2026_DEL_8")
    stem = f"2026_DEL_7-{hashlib.sha256(bad.encode()).hexdigest()[:12]}"
    (commune.config.folder_depot / f"{stem}.pdf").mkdir()
    with pytest.raises(HandoverError, match=stem):
        relay(commune)
    taken = f"2026_DEL_8-{hashlib.sha256(good.encode()).hexdigest()[:12]}"
    assert {path.name for path in commune.folder("depot")} == {f"{taken}.pdf", f"{taken}.yml", f"{stem}.pdf"}
    assert world.act(good).tdt["etat"] == "recue"
    (commune.config.folder_depot / f"{stem}.pdf").rmdir()
    assert relay(commune)[0] == f"2026_DEL_7 : pris à la passerelle ({bad})."


def test_a_passerelle_away_is_said_in_french(world: World, commune: Commune) -> None:
    world.web.stop()
    with pytest.raises(HandoverError, match=r"la passerelle \(localhost\) refuse la connexion"):
        relay(commune)
    world.web.start()
    assert relay(commune) == []


# -- what does not go out ---------------------------------------------------------------------------------------------

ARRETE = {"circuit": "arrete", "numero": "AR 12 bis", "date": "2026-11-20", "objet": "Travaux", "matiere": "6.1"}
REPLY = (
    f'<?xml version="1.0"?>\n<ArchiveTransferReply xmlns="{sip.NAMESPACE}"><ReplyCode>OK</ReplyCode>'
    "<Operation><SystemId>aip-7</SystemId></Operation></ArchiveTransferReply>"
)


def signed(world: World, reference: str, **said: str) -> None:
    """An arrêté that somebody brought to the parapheur, signed there."""
    world.parapheur.bring(reference, b"%PDF-1.4 arrete", **(ARRETE | said))
    world.parapheur.sign()
    world.chain.arrivals.look()
    world.chain.arrivals.look()
    world.drain()


def test_an_arrete_that_does_not_go_out_is_filed_and_archived(flows: World, commune: Commune, tdt: TdtServer) -> None:
    world, reference = flows, "parapheur:parking"
    signed(world, reference, nature="2", transmission="non")
    assert world.step(reference) == "versement"
    assert [one["label"] for one in world.ged.documents.values()] == ["AR 12 bis - Travaux"]
    assert world.chain.connectors.to_send(world.config.communes["gondecourt"]) == []  # an older connector would send it
    taken = relay(commune)
    assert taken == [
        f"AR 12 bis : non transmissible, gardé pour l'archive ({reference}).",
        f"{reference} : recue, dit à la passerelle.",
    ]
    commune.run(until=lambda: True)
    assert (relay(commune), commune.rows(), commune.folder("depot")) == ([], [], [])
    [folder] = (commune.root / "conserves").iterdir()
    assert next(folder.glob("*.pdf")).read_bytes() == world.files_of(reference)
    assert archive.unarchived(commune.config) == [folder]
    package = io.BytesIO()
    sip.build(folder, commune.config.siren, sip.Terms("SAE", "ACTES-10", "Keep"), package)
    told = package.getvalue()
    assert b"Acte non transmissible (CGCT, L2131-2)" in told and b"<FinalAction>Keep" in told
    (folder / "versement.xml").write_text(REPLY)
    assert relay(commune) == [f"{reference} : versee, dit à la passerelle."]
    world.drain()
    act = world.act(reference)
    assert (act.step, act.tdt["archive"], world.parapheur.dossiers[1]["etat"]) == ("termine", "aip-7", "clos")
    [row] = page.content(world.config, world.store, None)["actes"]
    assert (row["nature"], row["reste"], row["etapes"][2:4]) == ("Acte réglementaire", True, ["sans", "sans"])
    assert relay(commune) == []


def test_a_deliberation_that_is_not_transmitted_is_published_without_an_aracte(
    council: World, commune: Commune, tdt: TdtServer
) -> None:
    """CGCT, L2131-2, I, 1°: the rates of the street's fees, what is agreed with the centre de gestion."""
    world = council
    reference = world.deliberations.adopt("d1", transmission="non")
    world.reach(reference, "signature")
    world.parapheur.sign()
    world.chain.arrivals.look()
    world.drain()
    assert world.step(reference) == "versement" and world.deliberations.states("d1")[-1] == "a_publier"
    assert world.deliberations.told["d1"][-1]["sha256"] == world.act(reference).track["signe"]
    assert not {"transmise", "acquittee"} & set(world.deliberations.states("d1"))
    relay(commune)
    commune.run(until=lambda: True)
    assert (commune.rows(), commune.folder("depot")) == ([], [])  # nothing for the TdT
    [folder] = (commune.root / "conserves").iterdir()
    (folder / "versement.xml").write_text(REPLY)
    relay(commune)
    world.drain()
    assert world.step(reference) == "publication"
    world.deliberations.publish()
    world.chain.arrivals.look()
    world.drain()
    act = world.act(reference)
    stands = executory.standing(act, world.config)
    assert (act.step, stands.received, stands.lacks) == ("termine", None, ())
    assert str(stands.since) == "2026-11-22"  # by its publication alone (L2131-3)


def test_an_arrete_without_a_number_is_no_flow(flows: World) -> None:
    signed(flows, "parapheur:sans", numero="", nature="2", transmission="non")
    act = flows.act("parapheur:sans")
    assert (act.data["numero"], act.data["document"]["nom"]) == ("sans numéro", "sans numéro.pdf")
    assert [one["label"] for one in flows.ged.documents.values()] == ["sans numéro - Travaux"]


def test_a_kill_while_an_act_is_kept_leaves_it_whole_or_not_there(
    flows: World, commune: Commune, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = "parapheur:parking"
    signed(flows, reference, nature="3", transmission="non")

    def cut(_path: Path) -> None:
        raise OSError("coupé")

    with monkeypatch.context() as patch:
        patch.setattr(handover, "sync_directory", cut)
        with pytest.raises(HandoverError, match="coupé"):
            relay(commune)
    assert archive.unarchived(commune.config) == []
    assert relay(commune)[0].startswith("AR 12 bis : non transmissible")
    assert len(archive.unarchived(commune.config)) == 1


def test_nothing_leaves_whose_nature_nobody_said(flows: World, commune: Commune, tdt: TdtServer) -> None:
    world = flows
    signed(world, "parapheur:muet", nature="", transmission="")
    assert relay(commune) == []
    act = world.act("parapheur:muet")
    assert act.blocked.startswith("Personne n'a dit la nature de cet arrêté") and "L2131-2" in act.blocked
    for wrong in (("1", "oui"), ("3", ""), ("", "non")):
        with pytest.raises(BadRequest, match="n'est pas un arrêté, ou cette nature"):
            world.chain.qualify("parapheur:muet", *wrong)
    with pytest.raises(BadRequest, match="Aucun acte"):
        world.chain.qualify("parapheur:absent", "3", "oui")
    world.chain.qualify("parapheur:muet", "3", "oui")
    [sent] = world.chain.connectors.to_send(world.config.communes["gondecourt"])
    assert (sent["genre"], sent["nature"], sent["type"]) == ("acte", "3", "99_AI")
    world.chain.qualify("parapheur:muet", "6", "non")  # it did not leave yet
    world.drain()
    assert world.step("parapheur:muet") == "versement"
    with pytest.raises(BadRequest, match="ne se qualifie plus"):
        world.chain.qualify("parapheur:muet", "3", "oui")


def test_what_a_person_says_while_a_connector_asks_holds(flows: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The act was put aside, for what it lacked before, and nobody took it up again."""
    signed(flows, "parapheur:muet", nature="", transmission="")
    gondecourt, store = flows.config.communes["gondecourt"], flows.chain.connectors._store
    read = store.to_send

    def late(commune: str) -> list[Tracked]:
        found = read(commune)
        flows.chain.qualify("parapheur:muet", "3", "oui")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(store, "to_send", late)
        assert flows.chain.connectors.to_send(gondecourt) == []
    assert flows.act("parapheur:muet").blocked == ""
    [sent] = flows.chain.connectors.to_send(gondecourt)
    assert sent["nature"] == "3"


def _acknowledge(world: World, ask: Any, reference: str, receipt: bytes, **changes: str) -> int:
    number = id_acte(world.config.communes["gondecourt"], world.act(reference).data)
    said = {"reference": reference, "etat": "acquittee", "id_acte": number, "date_reception": "2026-11-21"} | changes
    said["ar_acte"] = base64.b64encode(said["id_acte"].encode() + receipt).decode()
    return int(ask("connecteur", "/connecteur/suivi", "POST", json=said).status_code)


@pytest.mark.parametrize("odd", ["\0", "x" * 300, "".join(map(chr, range(0x4E00, 0x6E00))), "\n"])
def test_no_receipt_is_kept_of_an_identifier_that_is_refused(world: World, ask: Any, odd: str) -> None:
    """A file that no row names is never removed: one connector filled the disk that it shares with the database."""
    reference = deposited(world)
    number = id_acte(world.config.communes["gondecourt"], world.act(reference).data)
    before = set((world.root / "fichiers").iterdir())
    for rank in range(3):
        assert _acknowledge(world, ask, reference, b"<ARActe %d>" % rank, id_acte=number + odd) == 400
    assert set((world.root / "fichiers").iterdir()) == before
    assert _acknowledge(world, ask, reference, b"<ARActe>") == 200
    assert len(set((world.root / "fichiers").iterdir()) - before) == 1


def test_no_receipt_is_kept_of_what_is_said_once_too_often(
    world: World, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "SAID_MAX", 2)
    reference = deposited(world)
    for state in ("refusee", "en_erreur"):
        world.chain.connectors.follow(
            world.config.communes["gondecourt"], {"reference": reference, "etat": state}, None
        )
    before = set((world.root / "fichiers").iterdir())
    assert [_acknowledge(world, ask, reference, b"<ARActe %d>" % rank) for rank in range(3)] == [429] * 3
    assert set((world.root / "fichiers").iterdir()) == before
