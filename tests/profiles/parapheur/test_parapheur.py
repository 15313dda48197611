"""The parapheur: who passes which step, what a signature must be, what others see, what the gateway gets."""

from __future__ import annotations

import datetime as dt
import hashlib
import html
import io
import os
import re
import subprocess
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pypdf
import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.applications import mayan_config
from signature_actes import token
from testinfra.host import Host

from creatic.pki.authority import Authority
from creatic.pki.keys import Passphrases
from testbed.ged import JSON
from testbed.mail import relay
from testbed.parapheur import SIRENS, Parapheur, flow, pdf, word
from tests.profiles.parapheur.conftest import Pens
from tests.profiles.services import exposure, listens_on, memory_holds

pytestmark = pytest.mark.exterieur  # asked as people do, from another machine

Opened = Callable[..., int]
SEARCH = "documents.documentsearchresult"
# Megabytes, all of Mayan, PostgreSQL, Redis and nginx, shared pages counted once: 850 to 900, of which 200 have what
# one file makes last (images, text) keep nobody waiting.
MEMORY = 1000


# -- the host -----------------------------------------------------------------------------------------------


def test_what_runs(host: Host) -> None:
    for unit in ("postgresql@17-main.service", "mayan-queue.service", "mayan.service", "mayan-worker.service",
                 "mayan-pages.service", "mayan-lecture.service", "nginx.service", "parapheur-sceau.socket",
                 "parapheur-arrivees.timer", "parapheur-echeances.timer"):  # fmt: skip # a list of words
        assert host.check_output(f"systemctl is-active {unit}") == "active", unit


def test_only_ssh_and_https_listen(host: Host) -> None:
    listens_on(host, 22, 443)


@pytest.mark.parametrize("unit", ["mayan.service", "parapheur-sceau@1.service", "parapheur-courriels@arrivees.service"])
def test_services_are_sandboxed(host: Host, unit: str) -> None:
    assert exposure(host, unit) < 2.0


def test_the_seal_s_key_is_out_of_the_application_s_reach(host: Host) -> None:
    with host.sudo():
        tokens = host.check_output("find /var/lib/softhsm/tokens -type f -name '*.object'").split()
        assert tokens
        for account in ("mayan", "www-data", "nobody"):
            for path in (*tokens, "/etc/parapheur/pin", "/etc/creatic/pki/horodatage/current/key.pem"):
                assert host.run(f"runuser -u {account} -- test -r {path}").failed, (account, path)
        # Only the application asks for a seal.
        ask = "import socket; socket.socket(socket.AF_UNIX).connect('/run/parapheur-sceau.sock')"
        assert host.run(f'runuser -u nobody -- python3 -c "{ask}"').failed
        assert host.run(f'runuser -u www-data -- python3 -c "{ask}"').failed
        assert host.run(f'runuser -u mayan -- python3 -c "{ask}"').succeeded


def test_the_seal_s_key_asks_for_its_pin_and_stays_in_the_token(host: Host) -> None:
    script = (
        "import pkcs11; from pkcs11 import Attribute as A, ObjectClass as C\n"
        "token = pkcs11.lib('/usr/lib/softhsm/libsofthsm2.so').get_token(token_label='cachet-parapheur')\n"
        "print(len(list(token.open().get_objects({A.CLASS: C.PRIVATE_KEY}))))\n"
        "pin = open('/etc/parapheur/pin').read().strip()\n"
        "[key] = token.open(user_pin=pin).get_objects({A.CLASS: C.PRIVATE_KEY})\n"
        "print(key[A.SENSITIVE], key[A.EXTRACTABLE])"
    )
    with host.sudo():
        assert host.check_output(f'python3 -c "{script}"').split() == ["0", "True", "False"]


# -- the circuit --------------------------------------------------------------------------------------------


def test_an_act_goes_its_way(store: Parapheur, pens: Pens, claire: token.TokenKey, tmp_path: Path) -> None:
    """Deposit, visa, signature by the key, seal, what became of it; poppler judges the file."""
    made = store.deposit_act(objet="Plan local d'urbanisme", echeance="2027-01-15")
    assert (made.status, made.json()["etat"]) == (201, "a_viser")
    number = made.json()["id"]
    assert store.act("paul.renard", number, "viser").json()["etat"] == "a_signer"
    document = store.file(number, "claire.dubois")
    signed = pens.sign(claire, document)
    answer = store.act("claire.dubois", number, "signer", signed)
    assert (answer.status, answer.json()) == (200, {"id": number, "etat": "a_teletransmettre"})

    [listed] = [
        one for one in store.listed("passerelle", "/creatic/dossiers/?etat=a_teletransmettre") if one["id"] == number
    ]
    assert (listed["par"], listed["commune"], listed["motif"]) == ("Claire Dubois", "gondecourt", "")
    assert dt.datetime.fromisoformat(listed["depuis"]).tzinfo
    sealed = store.file(number)
    assert sealed.startswith(signed)
    assert (
        listed["sha256"]
        == subprocess.run(["sha256sum"], input=sealed, capture_output=True, check=True).stdout.decode().split()[0]
    )
    judge(store, sealed, tmp_path)

    for state in ("teletransmis", "teletransmis", "en_erreur", "teletransmis", "acquitte", "acquitte"):
        done = store.api("passerelle", "POST", f"/creatic/dossiers/{number}/etat/", fields={"etat": state})
        assert (done.status, done.json()["etat"]) == (200, state)
    late = store.api("passerelle", "POST", f"/creatic/dossiers/{number}/etat/", fields={"etat": "en_erreur"})
    assert late.status == 409
    assert store.file(number) == sealed


def judge(store: Parapheur, sealed: bytes, folder: Path) -> None:
    """Poppler, which trusts the provider and the groupement: two valid signatures; the seal covers what precedes it."""
    (folder / "acte.pdf").write_bytes(sealed)
    base = f"sql:{folder}"
    subprocess.run(["certutil", "-N", "-d", base, "--empty-password"], check=True)
    for origin in ("prestataire", "pki"):
        for name, flags in (("racine", "C,C,C"), ("emettrice", ",,")):
            file = store.home / origin / "publie" / f"{name}.pem"
            subprocess.run(
                ["certutil", "-A", "-d", base, "-n", f"{origin}-{name}", "-t", flags, "-i", file], check=True
            )
    told = subprocess.run(
        ["pdfsig", "-nssdir", base, folder / "acte.pdf"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"LC_ALL": "C"},
    ).stdout
    assert re.findall("Signer Certificate Common Name: (.+)", told) == ["Claire Dubois", "Cachet du parapheur"], told
    assert told.count("Signature Validation: Signature is Valid.") == 2, told
    assert told.count("Certificate Validation: Certificate is Trusted.") == 2, told
    # B-LTA: proofs inside, a timestamp of the document at the end.
    assert b"/DSS" in sealed
    assert b"/DocTimeStamp" in sealed


def test_only_who_is_awaited_acts(store: Parapheur, opened: Opened) -> None:
    number = opened()
    assert store.act("passerelle", number, "viser").status == 403  # closed to programs, whoever is awaited
    for login in ("claire.dubois", "karim.lefevre", "anne.bertrand", "admin"):
        answer = store.act(login, number, "viser")
        assert answer.status == 403, login
        assert "Personne attendue : Paul Renard" in answer.json()["message"]
    assert store.act("nadia.moreau", number, "viser").status == 404
    assert store.act("paul.renard", number, "signer", pdf("x")).status == 409
    assert store.shown(number)["etat"] == "a_viser"


@pytest.mark.costly
def test_a_public_contract_waits_for_its_file(
    store: Parapheur, pens: Pens, claire: token.TokenKey, stranger: token.TokenKey
) -> None:
    """CGCT, R2131-5. What cannot be read, and a supplier's signature that does not count, are refused alone."""
    karim = "karim.lefevre"
    fields = {
        "circuit": "marche",
        "reference": f"parapheur:{word()}",
        "numero": f"M{word()[-8:].upper()}",
        "matiere": "1.1",
    }
    number = store.deposit_act(karim, None, **fields).json()["id"]
    assert store.act(karim, number, "controler").status == 200
    assert store.act("paul.renard", number, "viser").status == 200
    signed = pens.sign(claire, store.file(number, "claire.dubois"))
    assert store.act("claire.dubois", number, "signer", signed).json()["etat"] == "a_teletransmettre"
    assert store.shown(number)["complet"] is False
    plan = pdf("plan")
    assert store.act(karim, number, "pieces", plan, genre="autre").status == 201
    for wrong, genre in (
        (b"%PDF-1.4 coupe", "autre"),
        (b"PK\x03\x04", "autre"),
        (store.file(number), "contresignature"),
        (pens.sign(stranger, store.file(number)), "contresignature"),
    ):
        refused = store.act(karim, number, "pieces", wrong, genre=genre)
        assert refused.status == 400, refused.data[:300]
    [piece] = store.api("passerelle", "GET", f"/creatic/dossiers/{number}/pieces/").json()["results"]
    assert (piece["nom"], piece["transmis"], piece["apres_signature"]) == ("acte-signe.pdf", True, True)
    kept = store.api("passerelle", "GET", f"/creatic/dossiers/{number}/pieces/{piece['id']}/")
    assert bytes(kept.data) == plan
    works: dict[str, Any] = {"contrat": "travaux", "montant": "300 000,00 €"}
    assert "contrat : dites sa sorte" in store.act(karim, number, "completer").json()["message"]
    assert "il manque : " in store.act(karim, number, "completer", **works).json()["message"]
    assert store.act("claire.dubois", number, "completer", sans_pieces="oui", **works).status == 403
    assert store.act(karim, number, "completer", sans_pieces="oui", **works).status == 200
    assert store.shown(number)["complet"] is True
    assert store.act(karim, number, "pieces", pdf("tard"), genre="autre").status == 409


def test_a_flow_of_accounts_is_signed_part_by_part(store: Parapheur, pens: Pens, claire: token.TokenKey) -> None:
    """By XAdES: another flow's signature, and a flow that is not signed, move nothing."""
    fields = {"circuit": "pes", "reference": f"parapheur:{word()}", "numero": "", "objet": "Bordereau 12"}
    number = store.deposit_act("karim.lefevre", flow("1"), **fields).json()["id"]
    assert store.act("paul.renard", number, "viser").json()["etat"] == "a_signer"
    document = store.file(number, "claire.dubois")
    for wrong in (document, pens.sign_flow(claire, document.replace(b"cole", b"glise"))):
        assert store.act("claire.dubois", number, "signer", wrong).status == 400
    signed = pens.sign_flow(claire, document)
    assert store.act("claire.dubois", number, "signer", signed).json()["etat"] == "a_teletransmettre"
    assert store.file(number) == signed


def test_a_refusal_has_a_reason_and_is_taken_up(store: Parapheur, opened: Opened) -> None:
    number = opened()
    for motif in ("", "  ", "x"):
        answer = store.act("paul.renard", number, "refuser", motif=motif)
        assert (answer.status, answer.json()["message"].partition(".")[0]) == (400, "le motif du refus manque")
    assert store.act("paul.renard", number, "refuser", motif="Le montant est faux").status == 200
    [listed] = [one for one in store.listed("passerelle", "/creatic/dossiers/?etat=refuse") if one["id"] == number]
    assert (listed["motif"], listed["par"]) == ("Le montant est faux", "Paul Renard")
    assert store.act("paul.renard", number, "viser").status == 409
    assert store.act("claire.dubois", number, "reprendre", pdf("corrigé")).status == 403
    corrected = pdf(f"corrigé {word()}")
    assert store.act("karim.lefevre", number, "reprendre", corrected).json()["etat"] == "a_viser"
    assert store.file(number) == corrected
    assert store.shown(number)["motif"] == ""


def test_nobody_moves_it_by_mayan_s_own_ways(store: Parapheur, opened: Opened) -> None:
    """No door is open to it, not even to the administrator, whom the application keeps from it too."""
    reference = store.shown(opened())["reference"]
    mayan = store.mayan()
    templates = mayan.get("/workflow_templates/")
    [template] = [one for one in templates if one["internal_name"] == "circuit_viser_signer"]
    passages = {one["label"]: one["id"] for one in mayan.get(f"/workflow_templates/{template['id']}/transitions/")}
    newest = max(one["id"] for one in mayan.get("/documents/"))
    [instance] = store.listed("admin", f"/documents/{newest}/workflow_instances/")
    for login in ("admin", "paul.renard"):
        path = f"/documents/{newest}/workflow_instances/{instance['id']}/log_entries/"
        fields = {"transition_id": str(passages["Viser"])}
        assert store.api(login, "POST", path, fields=fields).status == 403, login
    [found] = store.listed("passerelle", f"/creatic/dossiers/?reference={reference}")
    assert found["etat"] == "a_viser"


def test_two_at_once_one_wins_the_other_is_told(store: Parapheur, opened: Opened) -> None:
    for _attempt in range(3):
        number = opened()
        store.api("paul.renard", "GET", f"/creatic/dossiers/{number}/")  # his token is known before
        with ThreadPoolExecutor(2) as both:
            acts = [
                both.submit(store.act, "paul.renard", number, "viser"),
                both.submit(store.act, "paul.renard", number, "refuser", motif="Trop tard ?", etat="a_viser"),
            ]
        answers = [one.result() for one in acts]
        assert sorted(one.status for one in answers) == [200, 409]
        [lost] = [one.json()["message"] for one in answers if one.status == 409]
        assert lost.startswith("trop tard pour ")
        assert lost.endswith("(Paul Renard). Rien n'a été changé")


# -- deposits -----------------------------------------------------------------------------------------------


def test_a_reference_is_one_dossier(store: Parapheur) -> None:
    reference, content = f"deliberations:{word()}", pdf("unique")
    first = store.deposit_act(reference=reference, content=content)
    again = store.deposit_act(reference=reference, content=content)
    assert (first.status, again.status) == (201, 200)
    assert again.json() == first.json()
    other = store.deposit_act(reference=reference, content=pdf("autre"))
    assert other.status == 409
    assert "déjà celle d'un autre document" in other.json()["message"]


def test_what_the_door_writes_again_is_one_dossier_too(store: Parapheur) -> None:
    """A PDF that was saved over an earlier one: the circuit's document is another file, what was brought finds it."""
    writer, brought = pypdf.PdfWriter(io.BytesIO(pdf("unique")), incremental=True), io.BytesIO()
    writer.pages[0].rotate(90)
    writer.write(brought)
    reference, content = f"deliberations:{word()}", brought.getvalue()
    first = store.deposit_act(reference=reference, content=content)
    again = store.deposit_act(reference=reference, content=content)
    assert (first.status, again.status, again.json()) == (201, 200, first.json())
    digest = hashlib.sha256(content).hexdigest()
    [shown] = store.listed("passerelle", f"/creatic/dossiers/?reference={reference}")
    assert shown["sha256_origine"] == shown["sha256"] == first.json()["sha256"] != digest
    assert store.deposit_act(reference=reference, content=pdf("autre")).status == 409


def test_the_same_deposit_twice_at_once_is_one_dossier(store: Parapheur) -> None:
    reference, content = f"deliberations:{word()}", pdf("unique")
    with ThreadPoolExecutor(3) as all_three:
        sent = [all_three.submit(store.deposit_act, reference=reference, content=content) for _one in range(3)]
    answers = [one.result() for one in sent]
    assert {one.status for one in answers} <= {200, 201}
    assert len({one.json()["id"] for one in answers}) == 1
    assert len(store.listed("passerelle", f"/creatic/dossiers/?reference={reference}")) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "budget.pdf : le fichier est vide."),
        (b"bonjour", "budget.pdf : ce n'est pas un PDF."),
        (b"%PDF-1.7\nabime", "budget.pdf : le PDF est abîmé."),
        (b"%PDF-1.7\n" + b"0" * 199_999_000, "budget.pdf : 200 Mo, 150 Mo au plus."),
    ],
    ids=["vide", "texte", "abime", "200-mo"],
)
def test_a_wrong_file_is_refused(store: Parapheur, content: bytes, said: str) -> None:
    answer = store.deposit_act(content=content)
    assert answer.status == 400
    assert answer.json()["message"].startswith(said)


def test_a_wrong_deposit_is_told_all_at_once(store: Parapheur) -> None:
    answer = store.deposit_act(commune="lens", circuit="budget", date="05/11/2026", objet="")
    assert answer.status == 400
    for words in (
        "commune : « lens » n'a pas de parapheur",
        "circuit : « budget » est inconnu",
        "date : « 05/11/2026 » n'est pas une date",
        "objet : champ obligatoire absent",
    ):
        assert words in answer.json()["message"]


def test_who_deposits(store: Parapheur) -> None:
    assert (
        store.deposit_act("karim.lefevre", reference=f"parapheur:{word()}", numero="2026_1105", matiere="7.1").status
        == 201
    )
    taken = store.deposit_act("karim.lefevre")  # the gateway's references are not his to take
    assert (taken.status, "commence par parapheur:" in taken.json()["message"]) == (400, True)
    for login in ("claire.dubois", "nadia.moreau"):
        assert store.deposit_act(login, reference=f"parapheur:{word()}").status == 403, login
    assert store.ask("POST", "/api/v4/creatic/dossiers/", JSON).status in (401, 403)


# -- what a signature must be -------------------------------------------------------------------------------


@pytest.mark.costly
def test_what_is_no_signature_of_hers_is_refused(
    store: Parapheur, opened: Opened, pens: Pens, claire: token.TokenKey, stranger: token.TokenKey
) -> None:
    number = opened("a_signer")
    document = store.file(number)
    good = pens.sign(claire, document)
    broken = bytearray(good)
    broken[good.index(b"stream") + 20] ^= 1
    anne = pens.certificate("Anne Bertrand", SIRENS["gondecourt"])[1]
    elsewhere = pens.certificate("Claire Dubois", SIRENS["la-madeleine"])[1]
    cases = {
        "le document n'est pas signé": document,
        "le fichier est vide": b"",
        "la signature est abîmée ou fausse": bytes(broken),
        "c'est la signature de Claire Dubois qui est attendue": pens.sign(anne, document),
        "pas le SIREN 215902669 de la commune": pens.sign(elsewhere, document),
        "ne vient pas d'une autorité admise": pens.sign(stranger, document),
        "est expiré depuis le": pens.sign_expired(claire, document),
        "ce n'est pas le document du circuit qui a été signé": pens.sign(claire, pdf("un autre")),
        "200 Mo, 150 Mo au plus": b"%PDF-1.7\n" + b"0" * 199_999_000,
    }
    for said, file in cases.items():
        answer = store.act("claire.dubois", number, "signer", file)
        assert answer.status == 400, (said, answer.status)
        assert said in answer.json()["message"]
        assert (store.shown(number)["etat"], store.file(number)) == ("a_signer", document), said
    assert store.act("paul.renard", number, "signer", good).status == 403
    assert store.act("nadia.moreau", number, "signer", good).status == 404
    assert store.act("claire.dubois", number, "signer", good).status == 200


def test_a_revoked_certificate_signs_nothing(
    host: Host, store: Parapheur, opened: Opened, pens: Pens, refresh_lists: Callable[[], tuple[int, str]]
) -> None:
    serial, key = pens.certificate("Claire Dubois", SIRENS["gondecourt"])
    number = opened("a_signer")
    signed = pens.sign(key, store.file(number))
    Authority(pens.provider, Passphrases(pens.provider)).revoke("compromission", serial=serial)
    started = host.check_output("systemctl show --property=ActiveEnterTimestamp mayan.service")
    status, told = refresh_lists()
    assert status == 0, told
    assert host.check_output("systemctl show --property=ActiveEnterTimestamp mayan.service") == started
    answer = store.act("claire.dubois", number, "signer", signed)
    assert answer.status == 400
    assert "le certificat de Claire Dubois est révoqué depuis le" in answer.json()["message"]
    assert store.shown(number)["etat"] == "a_signer"


def test_a_refused_dossier_is_not_signed(store: Parapheur, opened: Opened, pens: Pens, claire: token.TokenKey) -> None:
    number = opened("a_signer")
    signed = pens.sign(claire, store.file(number))
    assert store.act("claire.dubois", number, "refuser", motif="À reprendre").status == 200
    answer = store.act("claire.dubois", number, "signer", signed)
    assert answer.status == 409
    assert "le dossier est « Refusé » depuis le" in answer.json()["message"]


@pytest.mark.costly
def test_without_the_seal_nothing_moves(
    host: Host, store: Parapheur, opened: Opened, pens: Pens, claire: token.TokenKey
) -> None:
    number = opened("a_signer")
    signed = pens.sign(claire, store.file(number))
    with host.sudo():
        host.run_expect([0], "systemctl stop parapheur-sceau.socket")
    try:
        answer = store.act("claire.dubois", number, "signer", signed)
    finally:
        with host.sudo():
            host.run_expect([0], "systemctl start parapheur-sceau.socket")
    assert answer.status == 503
    assert "rien n'a été changé" in answer.json()["message"]
    assert store.shown(number)["etat"] == "a_signer"
    assert store.act("claire.dubois", number, "signer", signed).status == 200


# -- absences -----------------------------------------------------------------------------------------------


@pytest.mark.costly
def test_a_deputy_signs_during_the_absence_only(store: Parapheur, opened: Opened, pens: Pens) -> None:
    anne = pens.certificate("Anne Bertrand", SIRENS["gondecourt"])[1]
    number = opened("a_signer")
    signed = pens.sign(anne, store.file(number))
    assert store.act("anne.bertrand", number, "signer", signed).status == 403
    today = dt.date.today()
    fields = {"suppleant": "anne.bertrand", "du": str(today), "au": str(today + dt.timedelta(days=3))}
    wrong = store.send("claire.dubois", "/parapheur/absences/", fields | {"au": str(today - dt.timedelta(days=3))})
    assert "le dernier jour est avant le premier" in wrong.data.decode().replace("&#x27;", "'")
    other = store.send("claire.dubois", "/parapheur/absences/", fields | {"suppleant": "paul.renard"})
    assert "pas votre suppléant" in other.data.decode()
    assert store.send("claire.dubois", "/parapheur/absences/", fields).status == 302
    try:
        page = store.page("anne.bertrand", "/parapheur/").data.decode()
        assert "Vous remplacez Claire Dubois jusqu" in page
        assert f"/parapheur/dossiers/{number}/" in page
        assert store.act("anne.bertrand", number, "signer", signed).status == 200
        history = store.page("claire.dubois", f"/parapheur/dossiers/{number}/").data.decode()
        assert "Pour Claire Dubois, absence du" in history
        waiting = opened("a_signer")
    finally:
        page = store.page("claire.dubois", "/parapheur/absences/").data.decode()
        for absence in re.findall(r'name="annuler" type="submit" value="(\d+)"', page):
            store.send("claire.dubois", "/parapheur/absences/", {"annuler": absence})
    late = pens.sign(anne, store.file(waiting))
    assert store.act("anne.bertrand", waiting, "signer", late).status == 403


# -- the pages ----------------------------------------------------------------------------------------------


def test_login_page_is_french_and_tells_no_password(store: Parapheur) -> None:
    page = store.ask("GET", "/authentication/login/", {"Accept-Language": "en-US,en;q=0.9"})
    assert page.status == 200
    assert re.search(r'<html[^>]* lang="fr"', page.data.decode())
    assert store.password("admin") not in page.data.decode()


def test_each_finds_what_awaits_them(store: Parapheur, opened: Opened) -> None:
    mark = word()
    link = f"/parapheur/dossiers/{opened(objet=f'Tarifs {mark}')}/"
    page = store.page("paul.renard", "/parapheur/").data.decode()
    assert link in page
    assert mark in page
    for login in ("claire.dubois", "karim.lefevre", "nadia.moreau"):
        assert link not in store.page(login, "/parapheur/").data.decode(), login
    assert link in store.page("claire.dubois", f"/parapheur/dossiers/?mots={mark}").data.decode()
    assert store.ask("GET", "/parapheur/").status == 302  # to the login page


def test_an_arrete_is_written_by_its_model(store: Parapheur) -> None:
    """What is filled in becomes a document with its number, which the door of the circuit takes."""
    mark = word()
    form = {
        "geste": "envoyer",
        "modele": "circulation",
        "reference": f"parapheur:{uuid.uuid4()}",
        "date": "2026-11-05",
        "matiere": "6.1",
        "transmission": "non",
        "tribunal": "Lille",
        "lieu": f"Rue {mark}",
        "periode_du": "2026-11-09",
        "periode_au": "2026-11-06",
        "motif": "la réfection de la chaussée",
        "mesures": "la circulation est interdite",
        "signalisation": "l'entreprise Dupont",
    }
    told = html.unescape(store.send("karim.lefevre", "/parapheur/rediger/", form).data.decode())
    assert "le dernier jour (6 novembre 2026) est avant le premier (9 novembre 2026)" in told
    sent = store.send("karim.lefevre", "/parapheur/rediger/", form | {"periode_au": "2026-11-13"})
    assert sent.status == 302, html.unescape(sent.data.decode())[-3000:]
    place = sent.headers.get("Location") or sent.headers["X-Redirect-Location"]
    page = html.unescape(store.page("paul.renard", place).data.decode())
    assert re.search(r"AR_2026_\d{3}", page) and f"Rue {mark}" in page
    assert store.ask("GET", f"{place}fichier/", store.browser("paul.renard")).data.startswith(b"%PDF-")


def test_a_circuit_by_the_pages(store: Parapheur, pens: Pens, claire: token.TokenKey) -> None:
    """A rédacteur, the DGS and the maire in their browsers."""
    mark = word()
    form = {
        "circuit": "arrete",
        "objet": f"Circulation {mark}",
        "numero": "2026_112",
        "date": "2026-11-05",
        "echeance": "",
        "matiere": "6.1",
        "nature": "2",
        "transmission": "oui",
        "reference": f"parapheur:{mark}",
    }
    bad = {
        "numero": "2026-112",
        "matiere": "",
        "nature": "",
        "transmission": "",
        "fichier": ("arrete.pdf", pdf(mark), "application/pdf"),
    }
    told = html.unescape(store.send("karim.lefevre", "/parapheur/deposer/", form | bad).data.decode())
    assert "numero : « 2026-112 » ne convient pas à la préfecture" in told
    assert "matiere : champ obligatoire absent" in told
    assert "nature : «  » n'est pas celle d'un arrêté" in told
    assert "transmission : dites si cet arrêté part à la préfecture" in told
    empty = store.send(
        "karim.lefevre", "/parapheur/deposer/", form | {"fichier": ("arrete.pdf", b"", "application/pdf")}
    )
    assert "arrete.pdf : le fichier est vide" in empty.data.decode()
    assert f"Circulation {mark}" in empty.data.decode()  # what was typed is not lost
    document = pdf(mark)
    sent = store.send(
        "karim.lefevre", "/parapheur/deposer/", form | {"fichier": ("arrete.pdf", document, "application/pdf")}
    )
    assert sent.status == 302
    place = sent.headers.get("Location") or sent.headers["X-Redirect-Location"]
    assert re.fullmatch(r"/parapheur/dossiers/\d+/", place), place
    number = int(re.findall(r"\d+", place)[0])

    silent = store.send("paul.renard", place, {"geste": "refuser", "etat": "a_viser", "motif": ""})
    assert "le motif du refus manque" in silent.data.decode()
    assert store.send("paul.renard", place, {"geste": "passer", "etat": "a_viser"}).status == 302
    assert "Déposer le fichier signé" not in store.page("paul.renard", place).data.decode()
    page = store.page("claire.dubois", place).data.decode()
    assert "Déposer le fichier signé" in page
    given = store.ask("GET", f"{place}fichier/", store.browser("claire.dubois"))
    assert given.data == document
    unsigned = store.send(
        "claire.dubois", place, {"geste": "signer", "fichier": ("a.pdf", document, "application/pdf")}
    )
    assert "a.pdf : le document n&#x27;est pas signé" in unsigned.data.decode()
    signed = ("arrete-signe.pdf", pens.sign(claire, document), "application/pdf")
    assert store.send("claire.dubois", place, {"geste": "signer", "fichier": signed}).status == 302
    assert store.shown(number)["etat"] == "a_teletransmettre"
    history = store.page("karim.lefevre", place).data.decode()
    for words in ("Karim Lefèvre", "Paul Renard", "Signature de Claire Dubois (certificat"):
        assert words in history


def test_a_page_that_is_out_of_date_changes_nothing(store: Parapheur, opened: Opened) -> None:
    number = opened()
    place = f"/parapheur/dossiers/{number}/"
    headers = store.browser("paul.renard")
    found = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', store.ask("GET", place, headers).data.decode())
    assert found
    assert store.act("paul.renard", number, "viser").status == 200  # in another window
    fields = {"csrfmiddlewaretoken": found[1], "geste": "refuser", "etat": "a_viser", "motif": "Trop cher"}
    page = store.ask("POST", place, headers | {"Referer": f"https://{store.name}{place}"}, fields=fields)
    assert "trop tard pour refuser ce dossier" in page.data.decode()
    assert store.shown(number)["etat"] == "a_signer"


# -- who sees what ------------------------------------------------------------------------------------------


def test_another_commune_sees_nothing_of_it(store: Parapheur, opened: Opened) -> None:
    mark = word()
    number = opened(objet=f"Budget {mark}", numero=mark)
    [document] = [one["id"] for one in store.listed("admin", f"/search/{SEARCH}/?q={mark}")]
    for path in (f"/creatic/dossiers/{number}/", f"/creatic/dossiers/{number}/fichier/"):
        assert store.api("nadia.moreau", "GET", path).status == 404, path
    # Nothing of Mayan's own is anybody's there.
    for login in ("nadia.moreau", "claire.dubois"):
        for path in (f"/search/{SEARCH}/?q={mark}", f"/documents/{document}/", "/document_types/"):
            assert store.api(login, "GET", path).status == 403, (login, path)
    told = store.api("nadia.moreau", "GET", f"/creatic/dossiers/{number}/").json()
    assert told == {"message": "ce dossier n'existe pas, ou n'est pas de votre commune"}
    assert number not in [one["id"] for one in store.listed("nadia.moreau", "/creatic/dossiers/")]
    headers = store.browser("nadia.moreau")
    for path in (f"/parapheur/dossiers/{number}/", f"/parapheur/dossiers/{number}/fichier/"):
        assert store.ask("GET", path, headers).status == 404, path
    assert store.ask("GET", f"/documents/documents/{document}/preview/", headers).status == 403
    assert mark not in store.ask("GET", f"/parapheur/dossiers/?mots={mark}", headers).data.decode().replace(
        f'value="{mark}"', ""
    )


def test_only_the_gateway_notes_what_became_of_it(store: Parapheur, opened: Opened) -> None:
    number = opened()
    for login, status in (("claire.dubois", 403), ("admin", 403), ("nadia.moreau", 403)):
        sent = store.api(login, "POST", f"/creatic/dossiers/{number}/etat/", fields={"etat": "acquitte"})
        assert sent.status == status, login
    early = store.api("passerelle", "POST", f"/creatic/dossiers/{number}/etat/", fields={"etat": "acquitte"})
    assert early.status == 409
    assert "le dossier est « À viser »" in early.json()["message"]


# -- reminders ----------------------------------------------------------------------------------------------


RELAY = ("10.59.0.1", 2525)  # of the lab's inventory


@pytest.mark.costly
def test_deadlines_are_reminded_by_mail(host: Host, store: Parapheur, opened: Opened) -> None:
    today = dt.date.today()
    near, far = word(), word()
    opened(objet=f"Proche {near}", echeance=str(today + dt.timedelta(days=1)))
    opened(objet=f"Loin {far}", echeance=str(today + dt.timedelta(days=30)))
    with relay(*RELAY) as (_address, _port, letters), host.sudo():
        host.run_expect([0], "systemctl start parapheur-courriels@echeances.service")
    mine = [one for one in letters if one["To"] == "paul.renard@gondecourt.test"]
    assert len(mine) == 1
    text = mine[0].get_content()
    assert near in text
    assert far not in text
    assert f"https://{store.name}/parapheur/" in text
    assert mine[0]["From"] == f"parapheur@{store.name}"
    assert not [one for one in letters if "nadia" in one["To"]]


@pytest.mark.costly
def test_who_is_awaited_is_told_once_of_each_arrival(host: Host, store: Parapheur, opened: Opened) -> None:
    def letters() -> dict[str, str]:
        with relay(*RELAY) as (_address, _port, found), host.sudo():
            host.run_expect([0], "systemctl start parapheur-courriels@arrivees.service")
        return {one["To"].partition("@")[0]: one.get_content() for one in found}

    first, second = word(), word()
    number = opened(objet=f"Premier {first}")
    opened(objet=f"Second {second}", echeance=str(dt.date.today() + dt.timedelta(days=30)))
    with host.sudo():  # no relay: the next turn tells
        host.run_expect([0], "systemctl start parapheur-courriels@arrivees.service")
    told = letters()
    assert first in told["paul.renard"]
    assert second in told["paul.renard"]
    assert not {login for login, text in told.items() if first in text} - {"paul.renard"}
    assert letters() == {}
    store.act("paul.renard", number, "viser")
    told = letters()
    assert list(told) == ["claire.dubois"]
    assert first in told["claire.dubois"]
    store.act("claire.dubois", number, "refuser", motif=f"Montant faux {second}")
    told = letters()
    assert set(told) == {"karim.lefevre", "paul.renard"}
    assert f"motif du refus (Claire Dubois) : Montant faux {second}" in told["karim.lefevre"]


@pytest.mark.costly
def test_a_relay_that_does_not_answer_is_seen(host: Host, store: Parapheur, opened: Opened) -> None:
    opened(echeance=str(dt.date.today()))
    with host.sudo():
        assert host.run("systemctl start parapheur-courriels@echeances.service").failed
        host.run_expect([0], "systemctl reset-failed parapheur-courriels@echeances.service")


# -- configuration as code ----------------------------------------------------------------------------------


def test_nothing_differs_from_the_inventory(store: Parapheur, wanted: dict[str, Any]) -> None:
    result = mayan_config.apply(store.mayan(), wanted, {}, check=True)
    assert (result.changes, result.warnings) == ([], [])


def test_what_somebody_changed_is_made_exact_again(store: Parapheur, wanted: dict[str, Any]) -> None:
    """A right to move documents, a renamed circuit, a reason that is no longer required, a passage that is gone."""
    mayan = store.mayan()
    roles = {one["label"]: one["id"] for one in mayan.get("/roles/")}
    [template] = [
        one for one in mayan.get("/workflow_templates/") if one["internal_name"] == "circuit_controler_viser_signer"
    ]
    base = f"/workflow_templates/{template['id']}"
    acls = f"/objects/document_states/workflow/{template['id']}/acls/"
    acl = mayan.post(acls, {"role_id": roles["La Madeleine [215903683]"]})
    mayan.post(f"{acls}{acl['id']}/permissions/add/", {"permission": "document_states.workflow_transition"})
    mayan.patch(f"{base}/", {"label": "Circuit de quelqu'un"})
    passages = {(one["origin_state"]["label"], one["label"]): one["id"] for one in mayan.get(f"{base}/transitions/")}
    refusal = f"{base}/transitions/{passages['À contrôler', 'Refuser']}/fields/"
    [reason] = mayan.get(refusal)
    mayan.patch(f"{refusal}{reason['id']}/", {"required": False})
    what = "circuit circuit_controler_viser_signer"
    expected = [
        f"{what} corrigé (label : \"Circuit de quelqu'un\" → 'Circuit : contrôle, visa, signature')",
        f"{what}, passage Refuser (À contrôler), champ motif corrigé (required : False → True)",
        "droits sur circuit_controler_viser_signer : rôle La Madeleine [215903683] retiré",
    ]
    assert mayan_config.apply(mayan, wanted, {}, check=True).changes == expected
    assert mayan_config.apply(mayan, wanted, {}).changes == expected
    assert mayan_config.apply(mayan, wanted, {}).changes == []


def test_memory_holds_on_a_small_machine(host: Host, opened: Opened) -> None:
    """PSS once dossiers were handled."""
    opened()
    time.sleep(2)  # what they asked for is done; the limit holds while it is not, too
    # Letters are a process of a few seconds.
    memory_holds(host, "mayan,postgres,redis,www-data,parapheur-sceau", MEMORY, 10, but="courriels")
