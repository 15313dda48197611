"""Dossiers signed by the program of a PC, from the page to the file that is judged by the service of signatures itself.

Run by Mayan's own Python (`test_mayan`), on the world of `in_process`; the service and the keys are its caller's, in
the folder of C(CREATIC_LOTS).
"""

from __future__ import annotations

import base64
import datetime as dt
import html
import json
import os
import re
import sys
import time
import unittest
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent))

import in_process
from creatic_parapheur import circuit, configuration, lots, seal
from creatic_parapheur.models import Demande, Dossier, Lot
from creatic_parapheur.refusal import RefusedError
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.utils import setup_databases, setup_test_environment
from django.utils import timezone
from in_process import Mayan, Visitor, account

from testbed import helios

GIVEN = Path(os.environ["CREATIC_LOTS"])
LIST, WHERE = "/parapheur/", "/parapheur/lots/"


class Program:
    """What is on the PC: it knows the address that opened it, and a key."""

    def __init__(self, address: str, who: str = "claire") -> None:
        asked = parse_qs(urlsplit(address).query)
        self.place = f"/poste/lots/{asked['lot'][0]}"
        self.secret = asked["secret"][0]
        self.certificates = json.loads((GIVEN / f"{who}.json").read_text())
        self.key: Any = load_pem_private_key((GIVEN / f"{who}.key").read_bytes(), None)

    def ask(self, path: str = "", body: Any = None, secret: str | None = None, **more: Any) -> Any:
        bearer = f"Bearer {self.secret if secret is None else secret}"
        client = Visitor(enforce_csrf_checks=True)
        if body is None:
            return client.get(self.place + path, secure=True, HTTP_AUTHORIZATION=bearer, **more)
        text = body if isinstance(body, str) else json.dumps(body)
        return client.post(self.place + path, text, "application/json", secure=True, HTTP_AUTHORIZATION=bearer, **more)

    def fetch(self) -> dict[str, Any]:
        answer = self.ask()
        assert answer.status_code == 200, answer.content
        assert answer["Cache-Control"] == "no-store"
        found: dict[str, Any] = answer.json()
        self.secret = found["suite"]
        return found

    def certify(self) -> dict[str, Any]:
        answer = self.ask("/certificat", {"certificats": self.certificates})
        assert answer.status_code == 200, answer.content
        found: dict[str, Any] = answer.json()
        return found

    def made(self, text: str) -> str:
        data = base64.b64decode(text)
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            value = self.key.sign(data, ec.ECDSA(SHA256()))
        else:
            value = self.key.sign(data, padding.PKCS1v15(), SHA256())
        return base64.b64encode(value).decode()

    def send(self, number: int, signature: str) -> dict[str, Any]:
        answer = self.ask("/signatures", {"dossier": number, "signature": signature})
        assert answer.status_code == 200, answer.content
        found: dict[str, Any] = answer.json()
        return found


class Lots(Mayan):
    """From the page of who signs."""

    def setUp(self) -> None:
        self.page = self.browser("claire.dubois")

    @staticmethod
    def to_sign(kind: str = "deliberation", commune: str = "loos") -> Dossier:
        """A dossier that waits for the maire."""
        content = helios.flow() if kind == "pes" else (GIVEN / "acte.pdf").read_bytes()
        name = "flux.xml" if kind == "pes" else "acte.pdf"
        told = circuit.Deposit(
            commune, kind, f"deliberations:{time.time_ns()}", "Budget primitif", "2026_1", "2026-11-05", "", "7.1"
        )
        dossier, _new = circuit.deposit(account("passerelle"), told, SimpleUploadedFile(name, content))
        return circuit.approve(account("paul.renard" if commune == "loos" else "hugo.blanc"), dossier, "a_viser")

    def choose(self, *dossiers: Dossier, **more: str) -> Any:
        fields = {"dossier": [f"{one.pk}:{one.origine_id}" for one in dossiers]} | more
        return self.page.post(LIST, fields, secure=True)

    def opened(self, *dossiers: Dossier, who: str = "claire") -> Program:
        answer = self.choose(*dossiers)
        self.assertEqual(answer.status_code, 302, answer.content[-600:])
        shown = self.page.get(answer["Location"], secure=True)
        self.assertEqual(shown["Cache-Control"], "no-store")
        [address] = re.findall(r'href="(creatic:[^"]+)"', shown.content.decode())
        return Program(html.unescape(address), who)

    def ready(self, *dossiers: Dossier, who: str = "claire") -> tuple[Program, dict[int, str]]:
        """A program whose documents are prepared, and what its key has to sign for each."""
        program = self.opened(*dossiers, who=who)
        program.fetch()
        told = program.certify()
        self.assertEqual((told["refus"], told["reste"]), ([], 0))
        return program, {one["dossier"]: one["attributs"] for one in told["a_signer"]}

    def state(self, program: Program) -> dict[str, Any]:
        answer = self.page.get(f"{WHERE}{program.place.rpartition('/')[2]}/etat/", secure=True)
        found: dict[str, Any] = answer.json()
        return found

    def signed(self, dossier: Dossier) -> int:
        """How many times it was."""
        dossier.refresh_from_db()
        return int(dossier.gestes.filter(quoi="Signer").count())

    def test_several_documents_are_signed_at_once_and_each_is_shown_as_it_comes(self) -> None:
        acts = [self.to_sign(), self.to_sign(), self.to_sign("pes")]
        for who in ("claire", "claire-ec"):
            program = self.opened(*acts, who=who)
            told = program.fetch()
            self.assertEqual((told["site"], told["personne"]), ("https://p.test", "Claire Dubois"))
            self.assertEqual([one["dossier"] for one in told["documents"]], [one.pk for one in acts])
            self.assertEqual([one["format"] for one in told["documents"]], ["pades", "pades", "xades"])
            self.assertEqual(told["documents"][0]["sha256"], acts[0].origine.checksum)
            asked = program.certify()
            self.assertEqual(program.certify(), asked, "asked again")
            self.assertEqual([one["dossier"] for one in asked["a_signer"]], [*(one.pk for one in acts), acts[2].pk])
            answers = []
            for one in asked["a_signer"]:
                made = program.made(one["attributs"])
                answers.append(program.send(one["dossier"], made)["etat"])
                if answers[-1] == "recu":
                    self.assertEqual(program.send(one["dossier"], made)["etat"], "recu", "the same again")
                    continue
                now = {one["dossier"]: one["etat"] for one in self.state(program)["documents"]}
                self.assertEqual(now[one["dossier"]], "signe")
                self.assertEqual(program.send(one["dossier"], made), {"etat": "signe", "message": ""})
            self.assertEqual(answers, ["signe", "signe", "recu", "signe"])
            self.assertEqual(self.state(program) | {"documents": 0}, {
                "prise": True, "fini": True, "signes": 3, "restent": 0, "documents": 0,
            })  # fmt: skip # a table
            for one in acts:
                self.assertEqual((self.signed(one), one.etat), (1, "a_teletransmettre"))
                self.assertIn("Signature de Claire Dubois", one.gestes.last().note)
                self.assertNotEqual(one.fichier_id, one.origine_id)
                self.assertIn("-signe.", one.fichier.filename)
            self.assertFalse(Demande.objects.exclude(attente=None).exists())
            acts = [self.to_sign(), self.to_sign(), self.to_sign("pes")]

    def test_all_of_those_that_are_shown(self) -> None:
        acts = [self.to_sign(), self.to_sign()]
        shown = html.unescape(self.page.get(LIST, secure=True).content.decode())
        for one in acts:
            self.assertIn(f'name="montre" type="hidden" value="{one.pk}:{one.origine_id}"', shown)
        self.assertIn("Les signer tous (2)", shown)
        pairs = re.findall(r'name="montre" type="hidden" value="([^"]+)"', shown)
        self.page.post(LIST, {"montre": pairs, "tous": "oui"}, secure=True)
        self.assertEqual(Demande.objects.count(), 2)
        self.assertNotContains(self.browser("paul.renard").get(LIST, secure=True), 'name="montre"')

    def test_a_secret_serves_once_and_for_its_lot_alone(self) -> None:
        act, other = self.to_sign(), self.to_sign()
        program = self.opened(act)
        self.assertNotContains(self.page.get(f"{WHERE}{program.place.rpartition('/')[2]}/", secure=True), "secret=")
        first = program.secret
        for wrong in ("", "x", first[:-1], first + "x"):
            self.assertEqual(program.ask(secret=wrong).status_code, 403, wrong)
        self.assertEqual(program.ask("/certificat", {"certificats": program.certificates}).status_code, 403)
        program.fetch()
        for secret in (first, program.secret):
            self.assertEqual(program.ask(secret=secret).status_code, 403)
        self.assertEqual(program.ask("/certificat", {"certificats": []}, secret=first).status_code, 403)
        self.assertNotIn(first, json.dumps(list(Lot.objects.values("secret", "session", "certificats"))))
        self.assertNotIn(program.secret, json.dumps(list(Lot.objects.values("secret", "session", "certificats"))))
        again = self.opened(other)
        self.assertEqual(program.ask("/certificat", {"certificats": program.certificates}).status_code, 403)
        again.secret, kept = program.secret, again.secret
        self.assertEqual(again.ask().status_code, 403)
        again.secret = kept
        self.assertEqual([one["dossier"] for one in again.fetch()["documents"]], [other.pk])

    def test_it_ends_with_its_time_its_session_and_its_person(self) -> None:
        act = self.to_sign()
        program = self.opened(act)
        Lot.objects.update(fin=timezone.now() - dt.timedelta(seconds=1))
        self.assertEqual(program.ask().status_code, 403)
        self.assertTrue(self.state(program)["fini"])
        program = self.opened(act)
        self.page.post("/authentication/logout/", secure=True)
        answer = program.ask()
        self.assertEqual(answer.status_code, 403)
        self.assertIn("votre session au parapheur a pris fin", answer.json()["message"])
        self.page = self.browser("claire.dubois")
        program, asked = self.ready(act)
        user = account("claire.dubois")
        user.set_password("Encore-un-autre-7")
        user.save()
        answer = program.ask("/signatures", {"dossier": act.pk, "signature": program.made(asked[act.pk])})
        self.assertEqual((answer.status_code, self.signed(act)), (403, 0))

    def test_nobody_signs_another_s_dossier(self) -> None:
        act, theirs = self.to_sign(), self.to_sign(commune="wavrin")
        self.assertContains(self.choose(theirs), "n&#x27;est pas de votre commune")
        self.assertContains(self.choose(act, theirs), "n&#x27;est pas de votre commune")
        self.page = self.browser("paul.renard")
        self.assertContains(self.choose(act), "Personne attendue : Claire Dubois")
        self.assertFalse(Lot.objects.exists())
        self.page = self.browser("claire.dubois")
        program = self.opened(act)
        program.fetch()
        program.certify()
        answer = program.ask("/signatures", {"dossier": theirs.pk, "signature": "AAAA"})
        self.assertEqual(answer.status_code, 404)
        place = f"{WHERE}{program.place.rpartition('/')[2]}/"
        for path in (place, f"{place}etat/"):
            self.assertEqual(self.browser("nadia.moreau").get(path, secure=True).status_code, 404)
            self.assertEqual(Visitor().get(path, secure=True).status_code, 302)

    def test_another_site_s_page_makes_no_lot(self) -> None:
        act, browser = self.to_sign(), Visitor(enforce_csrf_checks=True)
        browser.cookies = self.page.cookies
        done = browser.post(LIST, {"dossier": f"{act.pk}:{act.origine_id}"}, secure=True)
        self.assertEqual((done.status_code, Lot.objects.count()), (403, 0))

    def test_another_person_s_certificate_signs_nothing(self) -> None:
        act = self.to_sign()
        program = self.opened(act, who="anne")
        program.fetch()
        told = program.certify()
        self.assertEqual((told["a_signer"], told["reste"]), ([], 0))
        self.assertIn("c'est la signature de Claire Dubois qui est attendue", told["refus"][0]["message"])
        self.assertEqual(self.signed(act), 0)

    def test_a_wrong_signature_is_refused_and_keeps_no_other(self) -> None:
        acts = [self.to_sign() for _rank in range(4)]
        stranger = Program("creatic:signer?lot=1&secret=1", "anne")
        _before, earlier = self.ready(acts[0])
        program, asked = self.ready(*acts)
        self.assertEqual(program.ask("/certificat", {"certificats": stranger.certificates}).status_code, 409)
        wrong = [program.made(earlier[acts[0].pk]), stranger.made(asked[acts[1].pk]), program.made(asked[acts[3].pk])]
        for one, made in zip(acts, wrong, strict=False):  # another lot's, another key's, another document's
            told = program.send(one.pk, made)
            self.assertEqual(told["etat"], "refuse")
            self.assertIn("n'est pas de ce document, ou pas de la clé", told["message"])
            self.assertEqual((self.signed(one), one.etat), (0, "a_signer"))
        for odd in ("", "é", "A" * 5000):
            self.assertEqual(program.send(acts[0].pk, odd)["etat"], "refuse")
        self.assertEqual(program.send(acts[3].pk, program.made(asked[acts[3].pk]))["etat"], "signe")
        self.assertEqual(self.state(program)["signes"], 1)

    def test_what_moved_meanwhile_is_refused_alone(self) -> None:
        gone, other, kept = self.to_sign(), self.to_sign(), self.to_sign()
        program, asked = self.ready(gone, other, kept)
        self.act("claire.dubois", gone.pk, "refuser", {"motif": "Une erreur page 2"})
        told = program.send(gone.pk, program.made(asked[gone.pk]))
        self.assertIn("trop tard pour signer ce dossier", told["message"])
        circuit.refuse(account("claire.dubois"), other, "Une erreur page 3")
        content = SimpleUploadedFile("acte.pdf", (GIVEN / "corrige.pdf").read_bytes())
        circuit.take_up(account("karim.roux"), other, content)
        circuit.approve(account("paul.renard"), other, "a_viser")
        told = program.send(other.pk, program.made(asked[other.pk]))
        self.assertIn("le document a été remplacé", told["message"])
        self.assertContains(self.choose(other), "le document a été remplacé")
        self.assertEqual(program.send(kept.pk, program.made(asked[kept.pk]))["etat"], "signe")
        self.assertEqual([self.signed(one) for one in (gone, other, kept)], [0, 0, 1])

    def test_killed_at_any_moment_what_is_signed_is_and_nothing_is_twice(self) -> None:
        """The program asks again, the last one or all of them."""
        acts = [self.to_sign(), self.to_sign(), self.to_sign()]
        program, asked = self.ready(*acts)
        made = {number: program.made(text) for number, text in asked.items()}
        sign = circuit.sign

        def before(*_given: Any) -> Any:
            raise KeyboardInterrupt

        def after(*given: Any) -> Any:
            sign(*given)
            raise KeyboardInterrupt

        def later(*_given: Any) -> Any:
            raise RefusedError("plus tard", 503)

        for one, killed, there in ((acts[0], before, 0), (acts[1], after, 1)):
            with mock.patch.object(circuit, "sign", killed), self.assertRaises(KeyboardInterrupt):
                program.send(one.pk, made[one.pk])
            self.assertEqual(self.signed(one), there)
        with mock.patch.object(circuit, "sign", later):
            answer = program.ask("/signatures", {"dossier": acts[2].pk, "signature": made[acts[2].pk]})
            self.assertEqual((answer.status_code, answer["Retry-After"]), (503, "5"))
        for _time in range(2):
            for one in acts:
                self.assertEqual(program.send(one.pk, made[one.pk]), {"etat": "signe", "message": ""})
                self.assertEqual(self.signed(one), 1)

    def test_what_takes_long_to_prepare_is_asked_for_again(self) -> None:
        acts = [self.to_sign(), self.to_sign(), self.to_sign()]
        program = self.opened(*acts)
        program.fetch()
        with mock.patch.object(lots, "PREPARATION_TIMEOUT_SECONDS", -1):
            self.assertEqual(program.certify(), {"a_signer": [], "refus": [], "reste": 3})
        answers = [RefusedError("plus tard", 503), RefusedError("abîmé"), {"a_signer": ["AAAA"]}]
        with mock.patch.object(seal, "prepare", side_effect=answers):
            told = program.certify()
        self.assertEqual((told["reste"], told["refus"]), (1, [{"dossier": acts[1].pk, "message": "abîmé"}]))

    def test_it_is_bounded(self) -> None:
        act = self.to_sign()
        many = {"dossier": [f"{number}:1" for number in range(101)]}
        self.assertContains(self.page.post(LIST, many, secure=True), "100 au plus à la fois")
        for odd in ({}, {"dossier": "x"}, {"dossier": "1"}, {"dossier": "1:2:3"}):
            self.assertContains(self.page.post(LIST, odd, secure=True), "aucun dossier n")
        self.opened(act)
        program = self.opened(act)
        self.assertEqual(Lot.objects.count(), 1, "a person has one")
        old = timezone.now() - lots.RETENTION_PERIOD
        Lot.objects.create(personne=account("anne.petit"), fin=old)
        Lot.objects.create(personne=account("paul.renard"), fin=old + dt.timedelta(hours=1))
        program = self.opened(act)
        self.assertEqual(
            set(Lot.objects.values_list("personne__username", flat=True)), {"claire.dubois", "paul.renard"}
        )
        program.fetch()
        for body, status in (
            ("x" * (1 << 17) + "x", 413), ("{", 400), ("[]", 400), ("[" * 60_000, 400), ({}, 400),
            ({"certificats": "x"}, 400), ({"certificats": [1]}, 400), ({"certificats": ["x"] * 11}, 400),
            ({"certificats": ["x" * 10_001]}, 400),
        ):  # fmt: skip # a row a line
            answer = program.ask("/certificat", body)
            self.assertEqual((answer.status_code, "message" in answer.json()), (status, True), str(body)[:40])
        for odd in ({}, {"dossier": "1", "signature": ""}, {"dossier": act.pk}):
            self.assertEqual(program.ask("/signatures", odd).status_code, 400)

    def test_a_flow_is_not_signed_nowhere(self) -> None:
        act = self.to_sign("pes")
        program = self.opened(act)
        program.fetch()
        with mock.patch.object(circuit, "_town_hall_place", lambda _dossier: ("Loos", "")):
            told = program.certify()
        self.assertIn("le code postal de la mairie manque", told["refus"][0]["message"])


def begin() -> None:
    """The world of `in_process`, and where Loos is."""
    setup_test_environment()
    setup_databases(verbosity=0, interactive=False)
    in_process.populate()
    file = Path(in_process.FOLDER.name, "parapheur.json")
    told = json.loads(file.read_text())
    told["communes"]["loos"]["code_postal"] = "59120"
    file.write_text(json.dumps(told))
    configuration.current.cache_clear()


if __name__ == "__main__":
    begin()
    unittest.main(verbosity=2)
