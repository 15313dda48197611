"""A délibération of Gondecourt through the whole chain of real servers, and each of them restored from its backup."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tdt_connector.proof import test_pdf as make_pdf

from scripts import demo_chaine
from testbed.control_node import ENVIRONMENT, HOME, REPO, command
from testbed.mail import relay
from testbed.parapheur import flow
from testbed.patience import wait_for

from .conftest import a_letter, on_host

SERVERS = {"ged": "10.59.0.40", "parapheur": "10.59.0.41", "deliberations": "10.59.0.42", "passerelle": "10.59.0.43"}


def told(folder: Path) -> dict[str, Any]:
    """What a passage through the chain left."""
    found: dict[str, Any] = json.loads((folder / "chaine.json").read_text(encoding="utf-8"))
    return found


def demonstrate() -> tuple[int, str, Path]:
    """One délibération through the chain; gives the status, the output and the folder."""
    done = command(sys.executable, "scripts/demo_chaine.py")
    return done.returncode, done.stdout, max((HOME / "chaine").iterdir(), key=lambda path: path.stat().st_mtime)


@pytest.mark.passage
def test_it_is_signed_transmitted_published_filed_and_archived() -> None:
    status, output, passage = demonstrate()
    assert status == 0, output
    print(output)
    found = told(passage)
    assert found["signatures"] == ["Claire Dubois", "Cachet du parapheur"]
    assert found["valides"] == found["de_confiance"] == 2
    assert re.fullmatch(r"059-215902669-\d{8}-\S+-DE", found["idacte"])
    assert found["documents_en_ged"] >= 2  # the act and its ARActe
    steps = [name for name, _seconds in found["passages"]]
    assert len(steps) == len(set(steps)), "each step once"
    for name in ("publication.png", "chaine.png"):
        assert (passage / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.chain
def test_its_servers_stop_and_restart_in_the_middle(ready: str) -> None:
    """Each goes away while an act is on its way; another act arrives, once."""
    process = subprocess.Popen(
        [sys.executable, "scripts/demo_chaine.py"],
        cwd=REPO,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    lines = []
    restart = {
        "adoptée": ("parapheur", "systemctl restart mayan.service mayan-worker.service"),
        "Visé ": ("deliberations", "systemctl restart plone.service"),
        "Signé,": (
            "ged",
            "systemctl stop mayan.service mayan.socket; sleep 20; systemctl start mayan.socket mayan.service",
        ),
    }
    for line in process.stdout:
        lines.append(line)
        for word, (server, script) in restart.items():
            if word in line:
                assert on_host(SERVERS[server], script).returncode == 0
                killed = "systemctl kill --signal=KILL passerelle.service; systemctl restart postgresql@17-main"
                assert on_host(SERVERS["passerelle"], killed).returncode == 0
    assert process.wait(60) == 0, "".join(lines)
    found = told(max((HOME / "chaine").iterdir(), key=lambda path: path.stat().st_mtime))
    assert found["valides"] == 2
    steps = [name for name, _seconds in found["passages"]]
    assert len(steps) == len(set(steps)), "each step once"


def brought_and_arrived(lab: demo_chaine.Lab, reference: str, content: bytes | None = None, **fields: str) -> int:
    """Bring a document to the parapheur by hand, sign it and wait for the end of the chain; gives its dossier."""
    date = time.strftime("%Y-%m-%d")
    brought = lab.parapheur.deposit_act("karim.lefevre", content, reference=reference, date=date, **fields)
    assert brought.status == 201, brought.data
    [dossier] = wait_for(
        lambda: [
            one
            for one in lab.parapheur.listed("passerelle", "/creatic/dossiers/?etat=a_viser")
            if one["reference"] == reference
        ],
        "le parapheur",
    )
    assert lab.parapheur.act("paul.renard", dossier["id"], "viser").status == 200
    signed = lab.sign(lab.parapheur.file(dossier["id"], "claire.dubois"))
    assert lab.parapheur.act("claire.dubois", dossier["id"], "signer", signed).status == 200
    demo_chaine.arrive(lab, reference)
    return int(brought.json()["id"])


@pytest.mark.chain
def test_an_arrete_brought_to_the_parapheur_by_hand_arrives_too(ready: str) -> None:
    lab, mark = demo_chaine.Lab(), time.strftime("%d%H%M%S")
    reference = f"parapheur:essai-{mark}"
    dossier = brought_and_arrived(
        lab, reference, circuit="arrete", objet=f"Circulation {mark}", numero=f"AR_{mark}", matiere="6.4",
        nature="2", transmission="oui",
    )  # fmt: skip # one call by its parts
    assert re.fullmatch(rf"059-215902669-\d{{8}}-AR_{mark}-AR", lab.passerelle.track(reference)["tdt"]["id_acte"])
    filed = [one["label"] for one in lab.passerelle.filed(reference)]
    assert filed == [f"AR_{mark} - Circulation {mark}", f"AR_{mark} - ARActe"]
    assert lab.parapheur.shown(dossier)["etat"] == "acquitte"
    # One that does not go out (CGCT, L2131-2) is filed and archived all the same.
    kept, number = f"parapheur:garde-{mark}", f"AR_{mark}_S"
    dossier = brought_and_arrived(
        lab, kept, circuit="arrete", objet=f"Stationnement {mark}", numero=number, matiere="6.1",
        nature="2", transmission="non",
    )  # fmt: skip # one call by its parts
    track = lab.passerelle.track(kept)["tdt"]
    assert track["archive"] and "id_acte" not in track
    assert [one["label"] for one in lab.passerelle.filed(kept)] == [f"{number} - Stationnement {mark}"]
    assert lab.parapheur.shown(dossier)["etat"] == "clos"
    assert number not in lab.passerelle.on_connector("tdt-connector status")


@pytest.mark.chain
def test_a_letter_of_the_prefet_reaches_its_commune_and_is_answered(ready: str) -> None:
    lab = demo_chaine.Lab()
    desk = lab.passerelle

    def page(path: str = "/", who: str = "poste") -> str:
        return str(desk.ask(who, path).data.decode())

    with relay("10.59.0.1", 2525) as (_address, _port, mails):
        number, act = a_letter(lab)
        link = re.compile(rf"https://{re.escape(desk.name)}/lettres/{number}\s")
        people = {"claire.dubois", "paul.renard"}

        def told() -> set[str]:  # others write through the same relay, some with papers
            bodies = [(str(one["To"]), one.get_body(("plain",))) for one in [*mails]]
            return {to.partition("@")[0] for to, body in bodies if body and link.search(body.get_content())}

        wait_for(lambda: told() >= people, lambda: f"les courriels au maire et au DGS ({told()} prévenus)", 90, every=2)
        assert told() == people
    place = f"/lettres/{number}"
    assert act in page(place)
    assert desk.ask("groupement", place).status == 403
    assert desk.ask("autre-poste", f"{place}/recu/0").status == 404
    fields = {"geste": "repondre", "sens": "reponse", "document": ("pieces.pdf", make_pdf("Pièces", number))}
    assert desk.ask("poste", place, "POST", fields=fields).status == 303

    def answered() -> bool:
        desk.call_connector()
        return "réponse reçue par la préfecture" in page(place)

    wait_for(answered, "la réponse", 180, every=2)

    def read() -> bool:
        desk.call_connector()
        return "marqué lu au TdT" in page(place)

    wait_for(read, "la lecture au TdT", 90, every=2)


@pytest.mark.chain
def test_a_flow_of_accounts_signed_in_the_parapheur_is_acknowledged_by_helios(ready: str) -> None:
    lab, mark = demo_chaine.Lab(), time.strftime("%d%H%M%S")
    reference = f"parapheur:flux-{mark}"
    dossier = brought_and_arrived(lab, reference, flow(mark), circuit="pes", objet=f"Bordereau {mark}", numero="")
    found = lab.passerelle.track(reference)
    assert re.fullmatch(r"PES-\d+-flux-[0-9a-f]{12}", found["tdt"]["id_acte"])
    folder = f"/var/lib/tdt-connector/acquittes/{found['tdt']['id_acte']}"
    there = lab.passerelle.on_connector(f"sha256sum {folder}/acquittement.xml {folder}/*.xml")
    assert found["tdt"]["ar_acte"] in there
    assert found["signe"] in there
    assert lab.passerelle.filed(reference) == []
    assert lab.parapheur.shown(dossier)["etat"] == "acquitte"


@pytest.mark.chain
def test_what_was_changed_by_hand_is_put_back_and_served_at_once(ready: str) -> None:
    """A blank line in a file is enough for a program to be started again with what the role says."""
    changed = {
        "ged": ("redis/mayan.conf", "mayan/environment", "postgresql/17/main/conf.d/creatic.conf"),
        "deliberations": ("plone/environment",),
        "passerelle": ("passerelle/config.json",),
    }
    units = {
        "ged": "mayan-queue mayan postgresql@17-main",
        "deliberations": "plone",
        "passerelle": "passerelle",
    }

    def starts() -> dict[str, str]:
        ask = (
            "for unit in {}; do systemctl show --property=ActiveState,ActiveEnterTimestampMonotonic $unit.service; done"
        )
        return {server: on_host(SERVERS[server], ask.format(names)).stdout for server, names in units.items()}

    before = starts()
    for server, files in changed.items():
        assert on_host(SERVERS[server], "; ".join(f"echo >> /etc/{name}" for name in files)).returncode == 0
    done = command("ansible-playbook", "-i", "inventories/lab", "playbooks/site.yml", "--limit", ":".join(changed))
    assert done.returncode == 0, done.stdout
    after = starts()
    for server, names in units.items():
        assert after[server].count("ActiveState=active") == len(names.split()), after
        assert set(before[server].split()) & set(after[server].split()) == {"ActiveState=active"}, "one did not restart"


@pytest.mark.chain
def test_a_list_of_revocations_that_cannot_be_had_is_told_and_the_others_stay(ready: str) -> None:
    kept = HOME / "prestataire" / "publie" / "crl.pem"
    before = kept.read_bytes()
    lists = {"parapheur_signers_crl_urls": [{"url": "http://10.59.0.1:9/absente.crl", "path": str(kept)}]}
    play = ("ansible-playbook", "-i", "inventories/lab", "playbooks/journeys/signer_lists.yml")
    done = command(*play, "-e", json.dumps(lists))
    assert done.returncode != 0
    assert "http://10.59.0.1:9/absente.crl" in done.stdout
    assert kept.read_bytes() == before


@pytest.mark.drills
def test_each_server_is_restored_and_proves_it(ready: str) -> None:
    for address in SERVERS.values():
        saved = on_host(address, "creatic-sauvegarde faire")
        assert saved.returncode == 0, saved.stdout
    failed = {}
    for profile in SERVERS:
        drill = command("fab", "sauvegarde.exercice", profile)
        print(drill.stdout)
        if drill.returncode:
            failed[profile] = drill.stdout
    assert failed == {}
