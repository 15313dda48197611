"""Mayan itself, in one process with an empty database: its API and its pages as people use them, the rollout as it is.

Run by Mayan's own Python (`test_mayan`), which has no pytest.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import html
import importlib
import io
import json
import logging
import os
import re
import shlex
import smtplib
import sys
import tempfile
import time
import unicodedata
import unittest
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest import mock

TOP = Path(__file__).resolve().parents[3]
OURS = ("", "collections", "apps/common/src", "apps/mayan/src", "apps/parapheur/src")
sys.path[:0] = [str(TOP / one) for one in OURS]

from ansible_collections.cdg59.creatic.plugins.module_utils.applications import mayan_api, mayan_config

from creatic.applications import parapheur

ADMIN, FIRST, OWN = "Administre-1-tout", "Remis-en-main-7", "Choisi-par-moi-8"


SIRENS = {"loos": "215903600", "wavrin": "215906539"}


def person(name: str) -> dict[str, str]:
    """Somebody of « Prénom Nom »."""
    first, last = name.split()
    login = unicodedata.normalize("NFKD", f"{first}.{last}".lower()).encode("ascii", "ignore").decode()
    return {"identifiant": login, "prenom": first, "nom": last, "courriel": f"{login}@commune.test"}


def commune(slug: str, nom: str, people: list[dict[str, str]]) -> dict[str, Any]:
    """Who deposits, the DGS, the maire, and who stands in for the maire, in this order."""
    drafts, dgs, maire, deputy = (one["identifiant"] for one in people)
    roles = {"redacteurs": [drafts], "dgs": {"titulaire": dgs}, "maire": {"titulaire": maire, "suppleants": [deputy]}}
    return {"slug": slug, "nom": nom, "siren": SIRENS[slug], "comptes": people, "parapheur": roles}


LOOS = commune("loos", "Loos", [*map(person, ("Karim Roux", "Paul Renard", "Claire Dubois", "Anne Petit"))])
WAVRIN = commune("wavrin", "Wavrin", [*map(person, ("Inès Morel", "Hugo Blanc", "Nadia Moreau", "Léo Simon"))])
DELIBERATION, NOTICE, RULES = "Délibération autorisant le marché", "Avis d'appel public", "Règlement de la consultation"


def set_up(folder: Path) -> None:
    """Mayan with both applications, on a database in memory."""
    (folder / "parapheur.json").write_text(
        json.dumps(
            parapheur.application([LOOS, WAVRIN])
            | {
                "url": "https://p.test",
                "marche": {"jours": 15, "pieces": [DELIBERATION, NOTICE, RULES], "seuils": []},
            }
        )
    )
    (folder / "essai_settings.py").write_text(
        "from creatic_settings import *\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}\n"
        "class Empty(dict):\n    __contains__ = lambda self, key: True\n    __getitem__ = lambda self, key: None\n"
        "MIGRATION_MODULES = Empty()\n"
        "CELERY_TASK_ALWAYS_EAGER = True\n"
        "PASSWORD_HASHERS = ['django.contrib.auth.hashers.MD5PasswordHasher']\n"
        "STORAGES = {'default': {'BACKEND': 'django.core.files.storage.FileSystemStorage'},\n"
        "            'staticfiles': {'BACKEND': 'django.contrib.staticfiles.storage.StaticFilesStorage'}}\n"
    )
    (folder / "media" / "system").mkdir(parents=True)
    (folder / "media" / "system" / "SECRET_KEY").write_text("essai")
    sys.path.insert(0, str(folder))
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "essai_settings", "CREATIC_PARAPHEUR": str(folder / "parapheur.json"),
        "MAYAN_MEDIA_ROOT": str(folder / "media"), "MAYAN_ALLOWED_HOSTS": '["*"]', "MAYAN_AUTOADMIN_USERNAME": "admin",
        "MAYAN_CELERY_BROKER_URL": "memory://", "MAYAN_CELERY_RESULT_BACKEND": "cache+memory://",
        "MAYAN_COMMON_EXTRA_APPS": '["creatic_parapheur.apps.ParapheurApp"]',
        "MAYAN_SEARCH_BACKEND": "mayan.apps.dynamic_search.backends.django.DjangoSearchBackend",
        "MAYAN_REST_API_THROTTLING_ENABLED": "false", "MAYAN_FILE_METADATA_AUTO_PROCESS": "false",
        "MAYAN_DOCUMENT_PARSING_AUTO_PARSING": "false", "MAYAN_OCR_AUTO_OCR": "false",
        "MAYAN_REST_API_THROTTLING_RATE_ANONYMOUS": "100000/second",
        "MAYAN_REST_API_THROTTLING_RATE_USER": "100000/second",
    }  # fmt: skip # a table


FOLDER = tempfile.TemporaryDirectory()
set_up(Path(FOLDER.name))
import django

django.setup()
logging.disable(logging.CRITICAL)

import creatic_passwords
from creatic_accounts import api as accounts_api
from creatic_accounts import doors, guard, remise
from creatic_accounts.models import Known
from creatic_parapheur import circuit, configuration, contracts, seal, signatory
from creatic_parapheur.management.commands import parapheur_courriels
from creatic_parapheur.models import Absence, Delegation, Dossier, Geste, Lettre, Piece
from creatic_parapheur.refusal import RefusedError
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import IntegrityError, connection, models, transaction
from django.test import Client, TestCase
from django.test.utils import setup_databases, setup_test_environment
from django.utils import timezone, translation
from mayan.apps.cabinets.models import Cabinet
from mayan.apps.documents.models import Document, DocumentFile, DocumentType
from mayan.apps.permissions.models import Role
from mayan.apps.server_side_events.models import StreamEvent
from mayan.apps.sources.forms import WebFormUploadFormHTML5
from rest_framework.authtoken.models import Token

User = get_user_model()
IDENTITY = ("username", "first_name", "last_name", "email", "is_active", "is_superuser")
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\n%%EOF\n"


def behind(test: Any) -> Any:
    """Have a test open every door to whoever is logged in: what is kept behind them is kept all the same."""
    may = doors.may

    def opened(role: Any, method: str, where: str) -> bool:
        return role is not doors.Role.VISITOR or may(role, method, where)

    return mock.patch.object(doors, "may", opened)(test)


class Visitor(Client):
    """A browser, or a program."""

    def request(self, **request: Any) -> Any:
        try:
            return super().request(**request)
        finally:
            # What is refused ends a transaction, of which each test is one.
            if transaction.get_connection().in_atomic_block:
                transaction.set_rollback(False)


class Door:
    """What `mayan_api` speaks to instead of a socket."""

    def __init__(self) -> None:
        self._client = Visitor()
        self._answer: Any = None

    def request(self, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> None:
        more = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        self._answer = self._client.generic(method, path, data or b"", "application/json", secure=True, **more)

    def getresponse(self) -> Any:
        answer = mock.Mock(status=self._answer.status_code)
        answer.read.return_value = self._answer.content
        return answer

    def close(self) -> None:
        pass


def rollout(*communes: dict[str, Any], check: bool = False, service: str = "") -> mayan_config.Result:
    session = mayan_api.Mayan(Door(), "p.test")  # type: ignore[arg-type] # as a connection
    session.log_in("admin", ADMIN)
    wanted = parapheur.configuration(communes)
    missing = mayan_config.missing_accounts(session, wanted)
    kept = {"passerelle": service} if service else {}
    return mayan_config.apply(session, wanted, dict.fromkeys(missing, FIRST) | kept, check)


def account(login: str) -> Any:
    return User.objects.get(username=login)


@contextlib.contextmanager
def asked_by(login: str) -> Iterator[None]:
    """As if somebody's page or call were answered."""
    token = guard._request.set(SimpleNamespace(user=account(login), path="/documents/"))
    try:
        yield
    finally:
        guard._request.reset(token)


def identity(number: int) -> dict[str, Any]:
    found: dict[str, Any] = User.objects.values(*IDENTITY).get(pk=number)
    return found


def populate() -> None:
    """Two communes, whose people chose their passwords."""
    User.objects.create_superuser("admin", "admin@x.test", ADMIN)
    rollout(LOOS, WAVRIN)
    chosen = Group.objects.create(name=mayan_config.CHOSEN)
    for user in User.objects.filter(is_superuser=False):
        user.set_password(OWN)
        user.save()
        chosen.user_set.add(user)


class Mayan(TestCase):
    """What people and programs do."""

    def token(self, login: str, password: str = OWN) -> Any:
        return Visitor().post(
            "/api/v4/auth/token/obtain/", {"username": login, "password": password}, HTTP_ACCEPT="application/json"
        )

    def api(self, login: str, method: str, path: str, body: Any = None, token: str = "") -> Any:
        key = token or self.token(login, ADMIN if login == "admin" else OWN).json()["token"]
        return Visitor().generic(
            method,
            f"/api/v4{path}",
            json.dumps(body or {}),
            "application/json",
            HTTP_AUTHORIZATION=f"Token {key}",
            HTTP_ACCEPT="application/json",
        )

    def browser(self, login: str, password: str = OWN) -> Visitor:
        client = Visitor()
        done = client.post("/authentication/login/", {"username": login, "password": password}, secure=True)
        self.assertEqual(done.status_code, 302)
        return client

    def deposit(self, commune: str = "loos", annexes: Sequence[tuple[str, bytes]] = ()) -> int:
        made = self.deposited(commune, annexes)
        self.assertEqual(made.status_code, 201, made.content[:300])
        return int(made.json()["id"])

    def deposited(self, commune: str, annexes: Sequence[tuple[str, bytes]], login: str = "passerelle") -> Any:
        """The answer to a deposit."""
        with mock.patch.object(seal, "check_document"):
            file = io.BytesIO(PDF)
            file.name = "acte.pdf"
            joined = []
            for name, content in annexes:
                joined.append(io.BytesIO(content))
                joined[-1].name = name
            key = self.token(login).json()["token"]
            return Visitor().post(
                "/api/v4/creatic/dossiers/",
                {
                    "commune": commune,
                    "circuit": "deliberation",
                    "reference": f"deliberations:{time.time_ns()}",
                    "objet": "Budget",
                    "numero": "1",
                    "date": "2026-11-05",
                    "fichier": file,
                    "annexe": joined,
                },
                HTTP_AUTHORIZATION=f"Token {key}",
            )

    def act(self, login: str, number: int, wish: str, body: Any = None) -> Any:
        return self.api(login, "POST", f"/creatic/dossiers/{number}/{wish}/", body)

    def send(self, login: str, number: int) -> Any:
        """Hand in a signed file."""
        file = io.BytesIO(PDF)
        file.name = "signe.pdf"
        key = self.token(login).json()["token"]
        return Visitor().post(
            f"/api/v4/creatic/dossiers/{number}/signer/", {"fichier": file}, HTTP_AUTHORIZATION=f"Token {key}"
        )

    def sign(self, login: str, number: int) -> list[tuple[str, str]]:
        """Hand in a signed file; gives whose signature was expected."""
        asked: list[tuple[str, str]] = []

        def check(_name: str, _original: Any, _signed: Any, people: Any) -> seal.Received:
            asked.extend(people)
            return seal.Received(people[0][0], "AB", io.BytesIO(PDF))

        with mock.patch.object(seal, "check_and_seal", check):
            done = self.send(login, number)
        self.assertEqual(done.status_code, 200, done.content[:300])
        return asked


class Entering(Mayan):
    """What people bring into the GED."""

    def test_an_empty_file_is_refused_by_the_form_that_takes_documents_in(self) -> None:
        """By Mayan itself, in French: nothing behind takes one."""
        for content, said in ((b"", ["Le fichier soumis est vide."]), (PDF, [])):
            with translation.override("fr"):
                form = WebFormUploadFormHTML5(
                    data={"description": ""}, files={"file": SimpleUploadedFile("acte.pdf", content)}, source=None
                )
                self.assertEqual([str(one) for one in form.errors.get("file", [])], said)


class Eliminated(Mayan):
    """What the archive eliminated goes from here too, and nothing else."""

    def ask(self, who: str = "passerelle", **given: Any) -> Any:
        return self.api(who, "POST", "/creatic/eliminations/", {"commune": "loos", "siren": SIRENS["loos"]} | given)

    def filed(self, description: str, content: bytes, commune: str = "Loos") -> Document:
        kind = DocumentType.objects.filter(label__startswith=f"{commune} - ").first()
        document = Document.objects.create(document_type=kind, label="Arrêté de M. Dupont", description=description)
        circuit._add_file(document, "dupont.pdf", io.BytesIO(content), account("passerelle"), "", shown=False)
        return document

    def test_what_is_not_signed_yet_cannot_have_been_archived(self) -> None:
        dossier = Dossier.objects.get(pk=self.deposit())
        mark = f"{dossier.reference} {'a' * 24}"
        filed = self.filed(mark, b"%PDF-1.7 delibere")
        for dry in (False, True):
            answer = self.ask(reference=dossier.reference, marques=[mark], essai=dry)
            self.assertEqual(answer.status_code, 400)
            self.assertIn("pas encore signé", answer.json()["message"])
        self.assertTrue(Dossier.objects.filter(pk=dossier.pk).exists())
        self.assertTrue(Document.objects.filter(pk=filed.pk).exists())

    def test_a_dossier_goes_with_its_history_and_its_file(self) -> None:
        number, other = self.deposit(), self.deposit()
        self.act("paul.renard", number, "refuser", {"motif": "M. Dupont n'habite plus ici"})
        self.assertTrue(Geste.objects.filter(motif__contains="Dupont").exists())
        dossier = Dossier.objects.get(pk=number)
        reference, path = dossier.reference, Path(dossier.fichier.file.path)
        self.assertTrue(path.is_file())
        self.assertEqual(self.ask(reference=reference, essai=True).json(), {"nombre": 1})
        self.assertTrue(Dossier.objects.filter(pk=number).exists())
        for wrong in ({"commune": "wavrin", "siren": SIRENS["wavrin"]}, {"reference": "deliberations:autre"}):
            self.assertEqual(self.ask(**({"reference": reference} | wrong)).json(), {"nombre": 0})
        self.assertEqual(self.ask(reference=reference).json(), {"nombre": 1})
        self.assertEqual(self.ask(reference=reference).json(), {"nombre": 0})
        self.assertFalse(Dossier.objects.filter(pk=number).exists())
        self.assertFalse(Geste.objects.filter(motif__contains="Dupont").exists())
        self.assertFalse(path.exists())
        # The history of every other is kept as it was.
        with self.assertRaises(PermissionDenied), transaction.atomic():
            Dossier.objects.get(pk=other).gestes.first().delete()
        self.assertTrue(Dossier.objects.filter(pk=other).exists())

    def test_the_history_of_a_dossier_is_its_commune_s(self) -> None:
        number = self.deposit()
        self.act("paul.renard", number, "viser")
        told = self.api("passerelle", "GET", f"/creatic/dossiers/{number}/historique/").json()
        self.assertEqual([one["qui"] for one in told["historique"]][-1], "Paul Renard")
        self.assertEqual(self.api("nadia.moreau", "GET", f"/creatic/dossiers/{number}/historique/").status_code, 404)

    def test_documents_of_the_act_and_no_other(self) -> None:
        word, others = "a" * 24, "b" * 24
        own = self.filed(f"deliberations:1 {word}", b"%PDF-un")
        by_hand = self.filed("copie de travail", b"%PDF-un")
        kept = [
            self.filed(f"deliberations:2 {others}", b"%PDF-un"),  # an annex of another act
            self.filed("à garder", b"%PDF-deux"),
            self.filed("copie", b"%PDF-un", "Wavrin"),
        ]
        mixed = self.filed("un dossier de travail", b"%PDF-un")
        circuit._add_file(mixed, "trois.pdf", io.BytesIO(b"%PDF-trois"), account("passerelle"), "", shown=False)
        binned = self.filed(f"deliberations:1 {others}", b"%PDF-annexe")
        binned.delete()
        asked: dict[str, Any] = {
            "reference": "deliberations:1",
            "marques": [f"deliberations:1 {word}", f"deliberations:1 {others}"],
            "sha256": [hashlib.sha256(b"%PDF-un").hexdigest()],
        }
        self.assertEqual(self.ask(**asked, essai=True).json(), {"nombre": 3})
        self.assertEqual(self.ask(**asked).json(), {"nombre": 3})
        left = set(Document.objects.values_list("pk", flat=True))
        self.assertFalse(left & {own.pk, by_hand.pk, binned.pk})
        self.assertTrue({one.pk for one in (*kept, mixed)} <= left)
        self.assertFalse(DocumentFile.objects.filter(document_id=own.pk).exists())

    def test_nobody_marks_another_s_document_for_it_to_go(self) -> None:
        """The mark of an act is read on the documents that the passerelle filed of it."""
        mark = f"deliberations:1 {'a' * 24}"
        filed, other = self.filed(mark, b"%PDF-un"), self.filed("à garder", b"%PDF-deux")
        new = Document(document_type=other.document_type, label="Copie", description=mark)
        for login in ("karim.roux", "admin"):
            with asked_by(login):
                for document, text in ((other, mark), (other, f"autre:2 {'b' * 24}"), (filed, ""), (new, mark)):
                    document.description = text
                    with self.assertRaisesRegex(PermissionDenied, "la marque d'un acte"), transaction.atomic():
                        document.save()
                other.description, other.label = "à garder encore", "Notes"
                other.save()
                filed.refresh_from_db()
                filed.label = "Arrêté de 2026"
                filed.save()
        with asked_by("passerelle"):
            Document(document_type=other.document_type, label="Annexe", description="autre:2 " + "b" * 24).save()
        self.assertEqual(self.ask(reference="deliberations:1", marques=[mark]).json(), {"nombre": 1})
        self.assertTrue(Document.objects.filter(pk=other.pk).exists())

    def test_nobody_else_asks_and_nothing_badly_said_deletes(self) -> None:
        number = self.deposit()
        reference = Dossier.objects.get(pk=number).reference
        for who in ("claire.dubois", "karim.roux", "admin"):
            self.assertEqual(self.ask(who, reference=reference).status_code, 403, who)
        for wrong in (
            {"reference": ""}, {"commune": ""}, {"siren": "Loos"}, {"marques": "x"}, {"sha256": ["x"]},
            {"marques": [f"autre:1 {'a' * 24}"]}, {"marques": [f"{reference} {'a' * 24}"] * 201},
        ):  # fmt: skip # a row a line
            answer = self.ask(**({"reference": reference} | wrong))
            self.assertEqual(answer.status_code, 400, wrong)
            self.assertIn("Rien n'a été supprimé", answer.json()["message"])
        self.assertTrue(Dossier.objects.filter(pk=number).exists())


class Identity(Mayan):
    """Nobody changes who they are."""

    @behind
    def test_by_the_api(self) -> None:
        user = account("claire.dubois")
        before = identity(user.pk)
        for path in ("/users/current/", f"/users/{user.pk}/"):
            for method, body in (
                ("PATCH", {"first_name": "Paul"}), ("PATCH", {"last_name": "Renard"}), ("PATCH", {"email": "x@y.test"}),
                ("PATCH", {"username": "a.venir"}), ("PUT", {"username": "a.venir", "first_name": "Paul"}),
                ("PATCH", {"first_name": "Paul", "password": "Un-autre-mot-9"}), ("DELETE", None),
            ):  # fmt: skip # a row a line
                answer = self.api("claire.dubois", method, path, body)
                self.assertIn(answer.status_code, (403, 404), (path, method, body))
                self.assertEqual(identity(user.pk), before, (path, method, body))
        told = self.api("claire.dubois", "PATCH", "/users/current/", {"first_name": "Paul"}).json()["detail"]
        self.assertTrue(told.startswith("compte « claire.dubois », le prénom : personne ne change un compte"), told)
        self.assertIn("À faire : demandez au groupement", told)

    @behind
    def test_by_a_call_that_makes_others(self) -> None:
        user = account("claire.dubois")
        before = identity(user.pk)
        for method, body in (("PATCH", {"username": "a.venir"}), ("DELETE", {})):
            asked = [{"name": "x", "method": method, "url": "/api/v4/users/current/", "body": body}]
            self.api("claire.dubois", "POST", "/batch_requests/", {"requests": asked})
            self.assertEqual(identity(user.pk), before, method)

    @behind
    def test_by_the_pages(self) -> None:
        user = account("claire.dubois")
        before = identity(user.pk)
        browser = self.browser("claire.dubois")
        for path, fields in (
            (f"/accounts/users/{user.pk}/edit/", dict(before, username="a.venir")),
            (f"/accounts/users/{user.pk}/delete/", {}),
            (f"/accounts/users/multiple/delete/?id_list={user.pk}", {}),
        ):
            answer = browser.post(path, fields, secure=True)
            self.assertLess(answer.status_code, 500, path)
            self.assertEqual(identity(user.pk), before, path)
        browser.post(f"/accounts/users/{user.pk}/edit/", {"first_name": "Paul", "last_name": "Renard"}, secure=True)
        self.assertEqual(identity(user.pk), before)
        told = json.loads(StreamEvent.objects.filter(user=user).last().payload)["message"]
        self.assertIn("compte « claire.dubois », le prénom, le nom : personne ne change un compte", told)

    @behind
    def test_whoever_was_given_rights_by_mistake(self) -> None:
        """Rights of Mayan on accounts and groups open nothing: an administrator alone changes them."""
        from mayan.apps.permissions.models import StoredPermission
        from mayan.apps.user_management import permissions

        role = Role.objects.create(label="Trop")
        role.groups.add(Group.objects.get(name="Loos [215903600]"))
        for name in dir(permissions):
            if name.startswith("permission_"):
                role.permissions.add(getattr(permissions, name).stored_permission)
        self.assertTrue(StoredPermission.objects.exists())
        own, other, group = (
            account("claire.dubois"),
            account("nadia.moreau"),
            Group.objects.get(name="Wavrin [215906539]"),
        )
        before = [identity(one.pk) for one in (own, other)]
        count, members = User.objects.count(), set(group.user_set.all())
        for method, path, body in (
            ("PATCH", f"/users/{own.pk}/", {"email": "x@y.test"}),
            ("DELETE", f"/users/{own.pk}/", None),
            ("PATCH", f"/users/{other.pk}/", {"last_name": "X"}),
            ("DELETE", f"/users/{other.pk}/", None),
            ("POST", "/users/", {"username": "a.venir", "password": "Un-autre-mot-9"}),
            ("POST", f"/groups/{group.pk}/users/add/", {"user": own.pk}),
            ("POST", f"/groups/{group.pk}/users/remove/", {"user": other.pk}),
            ("PATCH", f"/groups/{group.pk}/", {"name": "Loos bis"}),
            ("DELETE", f"/groups/{group.pk}/", None),
            ("POST", "/creatic/comptes/", {"username": "a.venir", "password": "Un-autre-mot-9"}),
        ):
            self.assertEqual(self.api("claire.dubois", method, path, body).status_code, 403, (method, path))
        self.assertEqual([identity(one.pk) for one in (own, other)], before)
        self.assertEqual((User.objects.count(), set(group.user_set.all())), (count, members))
        self.assertTrue(Group.objects.filter(name="Wavrin [215906539]").exists())

    @behind
    def test_an_administrator_does_not_act_as_somebody(self) -> None:
        number = self.deposit()
        browser, dgs = self.browser("admin", ADMIN), account("paul.renard")
        browser.post(f"/authentication/impersonate/{dgs.pk}/start/", {"permanent": "on"}, secure=True)
        place = f"/parapheur/dossiers/{number}/?_user_impersonate_id={dgs.pk}&_user_impersonate_permanent="
        page = browser.post(place, {"geste": "passer", "etat": "a_viser"}, secure=True)
        self.assertIn("Personne attendue : Paul Renard", html.unescape(page.content.decode()))
        self.assertEqual(Dossier.objects.get(pk=number).etat, "a_viser")

    def test_a_page_that_is_out_of_date_passes_no_document_that_it_did_not_show(self) -> None:
        """Refused and taken up meanwhile, by another tab or a deputy: it waits for the same visa, with another file."""
        number = self.deposit()
        browser, place = self.browser("paul.renard"), f"/parapheur/dossiers/{number}/"

        def shown() -> dict[str, str]:
            page = browser.get(place, secure=True).content.decode()
            form = next(one for one in page.split("<form")[1:] if 'value="passer"' in one)
            return dict(re.findall(r'<input name="(\w+)" type="hidden" value="(\w+)"', form))

        old, dossier = shown(), Dossier.objects.get(pk=number)
        made = DocumentFile(document=dossier.document, file=SimpleUploadedFile("acte.pdf", PDF), filename="acte.pdf")
        made.save(skip_introspection=True)
        dossier.fichier = dossier.origine = made
        dossier.save()
        page = browser.post(place, old, secure=True).content.decode()
        self.assertIn("le document a été remplacé", html.unescape(page))
        # Who waited while another held it goes on with the dossier as it is then, not as it was read before.
        for act in (
            lambda: circuit.approve(account("paul.renard"), dossier, "a_viser", old["vu"]),
            lambda: circuit.refuse(account("paul.renard"), dossier, "Trop cher", "a_viser", old["vu"]),
        ):
            self.assertRaisesMessage(RefusedError, "le document a été remplacé", act)
        self.assertEqual(Dossier.objects.get(pk=number).etat, "a_viser")
        browser.post(place, shown(), secure=True)
        self.assertEqual(Dossier.objects.get(pk=number).etat, "a_signer")

    def test_an_administrator_changes_others_and_not_themselves(self) -> None:
        admin, other = account("admin"), account("leo.simon")
        for path in ("/users/current/", f"/users/{admin.pk}/"):
            for method, body in (("PATCH", {"username": "chef"}), ("PATCH", {"email": "x@y.test"}), ("DELETE", None)):
                self.assertEqual(self.api("admin", method, path, body).status_code, 403, (path, method))
        self.assertEqual(account("admin").email, "admin@x.test")
        self.assertEqual(self.api("admin", "PATCH", f"/users/{other.pk}/", {"email": "leo@y.test"}).status_code, 200)
        self.assertEqual(self.api("admin", "DELETE", f"/users/{other.pk}/").status_code, 204)


class Rollout(Mayan):
    """An account is whose it was made for."""

    def coming(self) -> dict[str, Any]:
        """Wavrin with a new maire."""
        new = person("Zoé Martin")
        return commune("wavrin", "Wavrin", [*WAVRIN["comptes"][:2], new, WAVRIN["comptes"][3]])

    def test_it_changes_nothing_twice(self) -> None:
        again = rollout(LOOS, WAVRIN)
        self.assertEqual((again.changes, again.warnings), ([], []))

    def test_what_bore_the_name_of_before_is_renamed(self) -> None:
        """Its documents and rights stay; one that two communes may have had is left, with a warning."""
        models_of = ((Group, "name"), (Role, "label"), (DocumentType, "label"))
        before = {kind: dict(kind.objects.values_list("pk", field)) for kind, field in models_of}
        for kind, field in models_of:
            for one in kind.objects.filter(**{f"{field}__endswith": "]"}):
                kind.objects.filter(pk=one.pk).update(**{field: getattr(one, field)[:-12]})
        done = rollout(LOOS, WAVRIN)
        self.assertIn("type Loos - Délibération renommé Loos - Délibération [215903600]", done.changes)
        self.assertEqual({kind: dict(kind.objects.values_list("pk", field)) for kind, field in models_of}, before)
        self.assertEqual((rollout(LOOS, WAVRIN).changes, done.warnings), ([], []))
        DocumentType.objects.filter(label="Loos - Délibération [215903600]").update(label="Loos - Délibération")
        twin = commune("wavrin", "Loos", WAVRIN["comptes"])
        [told] = rollout(LOOS, twin).warnings[:1]
        self.assertIn("type Loos - Délibération : deux communes ont porté ce nom ; il est laissé", told)

    def test_a_check_says_what_it_would_do(self) -> None:
        said = rollout(LOOS, self.coming(), check=True)
        self.assertIn("compte zoe.martin créé", said.changes)
        self.assertIn("groupe Wavrin [215906539] : zoe.martin ajouté", said.changes)
        self.assertFalse(User.objects.filter(username="zoe.martin").exists())

    def test_an_unknown_account_is_told_and_gets_nothing(self) -> None:
        squatter = User.objects.create_user("zoe.martin", "z@x.test", OWN)
        Group.objects.get(name=mayan_config.CHOSEN).user_set.add(squatter)
        done = rollout(LOOS, self.coming())
        [told] = done.warnings
        self.assertTrue(told.startswith("compte zoe.martin : un compte que le déploiement n'a pas créé porte"), told)
        self.assertIn("À faire : ", told)
        self.assertEqual(list(squatter.groups.values_list("name", flat=True)), [mayan_config.CHOSEN])
        self.assertEqual(identity(squatter.pk)["email"], "z@x.test")
        self.assertNotIn("compte zoe.martin corrigé", " ".join(done.changes))
        self.assertTrue(account("leo.simon").groups.filter(name="Wavrin [215906539]").exists())  # the others are served

    @behind
    def test_nor_does_it_in_the_application(self) -> None:
        """The commune's file names its login: that alone opens nothing."""
        Known.objects.filter(login="nadia.moreau").delete()
        squatter = account("nadia.moreau")
        self.assertFalse(circuit.visible(squatter).exists())
        self.assertFalse(circuit.may_deposit(squatter, "wavrin"))
        self.assertEqual(self.api("nadia.moreau", "GET", "/creatic/dossiers/").json()["results"], [])
        Known.objects.filter(login="passerelle").delete()
        self.assertFalse(circuit.may_deposit(account("passerelle"), "loos"))

    def test_a_known_account_that_bears_another_name_is_still_its_person_s(self) -> None:
        agent = account("karim.roux")
        User.objects.filter(pk=agent.pk).update(username="zoe.martin")
        done = rollout(LOOS, self.coming())
        agent = User.objects.get(pk=agent.pk)
        self.assertEqual(
            list(agent.groups.exclude(name=mayan_config.CHOSEN).values_list("name", flat=True)), ["Loos [215903600]"]
        )
        self.assertEqual(agent.username, "karim.roux")
        self.assertEqual(done.warnings, [])
        self.assertEqual(account("zoe.martin").groups.get().name, "Wavrin [215906539]")

    def test_the_account_of_somebody_of_another_commune_is_not_taken(self) -> None:
        """Who left a commune keeps an account; somebody of another one comes under the same login."""
        former = account("anne.petit")
        loos = commune("loos", "Loos", [*LOOS["comptes"][:3], person("Luc Noir")])
        rollout(loos, WAVRIN)
        wavrin = commune("wavrin", "Wavrin", [*WAVRIN["comptes"][:3], person("Anne Petit")])
        [told] = rollout(loos, wavrin).warnings
        self.assertTrue(told.startswith("compte anne.petit : c'est celui d'une personne de la commune loos"), told)
        self.assertFalse(former.groups.filter(name="Wavrin [215906539]").exists())

    def test_nor_does_it_stay_open_when_their_login_passes_at_once_to_another_commune(self) -> None:
        """The application knows people by their login: it would be the other commune's."""
        loos = commune("loos", "Loos", [*LOOS["comptes"][:3], person("Luc Noir")])
        wavrin = commune("wavrin", "Wavrin", [*WAVRIN["comptes"][:3], person("Anne Petit")])
        done = rollout(loos, wavrin)
        self.assertTrue(done.warnings[0].startswith("compte anne.petit : c'est celui d'une personne"), done.warnings)
        self.assertFalse(account("anne.petit").is_active)
        self.assertEqual(done.closed, ["anne.petit", "leo.simon"])
        self.assertEqual(rollout(loos, wavrin).changes, [])


class Renewal(Mayan):
    """One command ends what was given before (fab comptes.renouveler)."""

    def test_the_passerelle_has_the_password_that_the_control_node_keeps(self) -> None:
        new = "Un-autre-du-poste-6"
        key = self.token("passerelle").json()["token"]
        said = "compte passerelle : mot de passe renouvelé"
        self.assertEqual(rollout(LOOS, WAVRIN, check=True, service=new).changes, [said])
        self.assertEqual(self.api("passerelle", "GET", "/creatic/dossiers/", token=key).status_code, 200)
        self.assertEqual(rollout(LOOS, WAVRIN, service=new).changes, [said])
        self.assertEqual(rollout(LOOS, WAVRIN, service=new).changes, [])
        self.assertEqual(self.api("passerelle", "GET", "/creatic/dossiers/", token=key).status_code, 401)
        self.assertEqual(self.token("passerelle", new).status_code, 200)
        # A person's is their own.
        path, before = "/creatic/comptes/claire.dubois/", account("claire.dubois").password
        self.assertEqual(self.api("admin", "POST", path, {"password": new}).status_code, 404)
        self.assertEqual(
            self.api(
                "passerelle", "POST", path, {"password": new}, self.token("passerelle", new).json()["token"]
            ).status_code,
            403,
        )
        self.assertEqual(account("claire.dubois").password, before)

    def test_tokens_and_sessions_end_and_each_chooses_again(self) -> None:
        keys = {login: self.token(login).json()["token"] for login in ("claire.dubois", "passerelle")}
        page = self.browser("claire.dubois")
        for _twice in range(2):
            call_command("creatic_renouveler", stdout=io.StringIO())
        for login, key in keys.items():
            self.assertEqual(self.api(login, "GET", "/creatic/dossiers/", token=key).status_code, 401, login)
        self.assertEqual(page.get("/parapheur/", secure=True).status_code, 302)
        self.assertIn("provisoire", self.token("claire.dubois").json()["detail"])
        self.assertEqual(self.token("passerelle").status_code, 200)
        change = "/authentication/password/change/"
        self.assertEqual(self.browser("claire.dubois").get("/parapheur/", secure=True)["Location"], change)
        new = "Le-mien-desormais-5"
        fields = {"old_password": OWN, "new_password1": new, "new_password2": new}
        self.assertEqual(self.browser("claire.dubois").post(change, fields, secure=True).status_code, 302)
        self.assertEqual(self.token("claire.dubois", new).status_code, 200)
        self.assertEqual(rollout(LOOS, WAVRIN).changes, [])


class Departure(Mayan):
    """Who is in no file any more."""

    def left(self) -> dict[str, Any]:
        """Loos without its DGS, whom the deputy of the maire replaces."""
        anne = person("Anne Petit")
        people = [LOOS["comptes"][0], anne, LOOS["comptes"][2], person("Luc Noir")]
        return commune("loos", "Loos", people)

    def told(self, login: str) -> Any:
        return self.api("admin", "GET", f"/creatic/comptes/{login}/")

    def test_what_is_left_in_their_hands_is_shown(self) -> None:
        number = self.deposit()
        today = timezone.localdate()
        circuit.be_absent(account("claire.dubois"), "anne.petit", today, today)
        found = self.told("paul.renard").json()
        self.assertEqual((found["nom"], found["commune"], found["ouvert"]), ("Paul Renard", "loos", True))
        self.assertEqual(found["en_main"], ["dossier « 1 Budget » (À viser) : il l'attend"])
        self.act("paul.renard", number, "viser")
        [awaited] = [one for one in self.told("claire.dubois").json()["en_main"] if "dossier" in one]
        self.assertTrue(awaited.endswith("(À signer) : il l'attend, de même que Anne Petit"), awaited)
        deputy = self.told("anne.petit").json()["en_main"]
        self.assertTrue(any("il remplace Claire Dubois du" in one for one in deputy), deputy)
        self.assertTrue(any("où Anne Petit le remplace" in one for one in self.told("claire.dubois").json()["en_main"]))
        self.assertEqual(self.told("zoe.martin").status_code, 404)
        self.assertEqual(self.api("claire.dubois", "GET", "/creatic/comptes/paul.renard/").status_code, 403)
        self.assertEqual(self.api("claire.dubois", "DELETE", "/creatic/comptes/paul.renard/").status_code, 403)

    def test_their_account_is_closed_and_stays(self) -> None:
        number = self.deposit()
        self.act("paul.renard", number, "viser")
        key, page = self.token("paul.renard").json()["token"], self.browser("paul.renard")
        self.assertIn("compte paul.renard fermé", " ".join(rollout(self.left(), WAVRIN, check=True).changes))
        self.assertTrue(account("paul.renard").is_active)
        done = rollout(self.left(), WAVRIN)
        self.assertIn("compte paul.renard fermé : aucun fichier de commune ne lui donne plus de rôle ici", done.changes)
        self.assertEqual(rollout(self.left(), WAVRIN).changes, [])
        self.assertFalse(self.told("paul.renard").json()["ouvert"])
        self.assertEqual(self.token("paul.renard").status_code, 400)
        self.assertEqual(self.api("paul.renard", "GET", "/creatic/dossiers/", token=key).status_code, 401)
        self.assertEqual(page.get("/parapheur/", secure=True).status_code, 302)
        self.assertEqual(Dossier.objects.get(pk=number).gestes.last().qui, "Paul Renard")
        self.assertTrue(account("passerelle").is_active)

    def test_who_comes_back_has_their_account_and_a_new_first_password(self) -> None:
        before = account("paul.renard").pk
        rollout(self.left(), WAVRIN)
        self.assertIn("compte paul.renard rouvert", rollout(LOOS, WAVRIN, check=True).changes)
        done = rollout(LOOS, WAVRIN)
        self.assertIn("compte paul.renard rouvert", done.changes)
        self.assertEqual(rollout(LOOS, WAVRIN).changes, [])
        self.assertEqual((account("paul.renard").pk, account("paul.renard").is_active), (before, True))
        self.assertEqual(self.token("paul.renard").status_code, 400)
        self.assertIn("provisoire", self.token("paul.renard", FIRST).json()["detail"])

    def test_an_account_that_no_rollout_made_is_left(self) -> None:
        User.objects.create_user("zoe.martin", "z@x.test", OWN)
        rollout(self.left(), WAVRIN)
        self.assertTrue(account("zoe.martin").is_active)

    def test_the_closed_account_of_another_commune_is_not_opened(self) -> None:
        rollout(self.left(), WAVRIN)
        wavrin = commune("wavrin", "Wavrin", [*WAVRIN["comptes"][:3], person("Paul Renard")])
        [told] = rollout(self.left(), wavrin).warnings
        self.assertIn("c'est celui d'une personne de la commune loos", told)
        self.assertFalse(account("paul.renard").is_active)


class HandOver(Mayan):
    """A commune takes its documents away."""

    def written(self, siren: str) -> tuple[dict[str, Any], Path]:
        folder = Path(tempfile.mkdtemp(dir=FOLDER.name))
        return remise.write(siren, folder), folder

    def test_each_document_is_there_with_what_is_known_of_it(self) -> None:
        number = self.deposit()
        self.act("paul.renard", number, "viser")
        self.sign("claire.dubois", number)
        told, folder = self.written(SIRENS["loos"])
        self.assertEqual((told["documents"], told["fichiers"], told["defauts"]), (1, 2, []))
        [one] = [path for path in folder.iterdir() if path.is_dir()]
        found = json.loads((one / "document.json").read_text())
        self.assertEqual(
            (found["type"], found["dossier"]["etat"]), ("Loos - Délibération [215903600]", "À télétransmettre")
        )
        self.assertEqual([step["qui"] for step in found["dossier"]["historique"]][1:], ["Paul Renard", "Claire Dubois"])
        for file in found["fichiers"]:
            self.assertEqual(hashlib.sha256((one / file["chemin"]).read_bytes()).hexdigest(), file["sha256"])
        self.assertEqual(found["fichiers"][-1]["sha256"], found["dossier"]["sha256_dernier"])
        self.assertEqual(self.written(SIRENS["wavrin"])[0]["documents"], 0)
        self.assertEqual(self.written("015903600")[0]["documents"], 0)

    def test_whatever_another_is_called_nothing_of_its_own_goes(self) -> None:
        self.deposit()
        for label in ("Loos - Délibération - Courrier [215906539]", "Loos - X [21590360]", "Loos - Courrier",
                      "Loos [215903600] - Courrier [215906539]"):  # fmt: skip # by rows
            kind = DocumentType.objects.create(label=label)
            Document(document_type=kind, label=label).save()
        self.assertEqual(self.written(SIRENS["loos"])[0]["documents"], 1)
        for odd in ("", "Loos", "2159036", "%", "215903600]"):
            with self.assertRaises(ValueError):
                self.written(odd)

    def test_what_is_in_the_commune_s_folders_or_its_bin_is_its_own(self) -> None:
        kind = DocumentType.objects.create(label="Hors plan")
        root = Cabinet.objects.create(label="Loos [215903600]")
        below = Cabinet.objects.create(label="2026", parent=Cabinet.objects.create(label="Courrier", parent=root))
        document = Document(document_type=kind, label="Lettre", in_trash=True)
        document.save()
        below.documents.add(document)
        told, folder = self.written(SIRENS["loos"])
        self.assertEqual(told["documents"], 1)
        found = json.loads((folder / str(document.pk) / "document.json").read_text())
        self.assertEqual((found["dossiers"], found["corbeille"]), (["Loos [215903600] / Courrier / 2026"], True))

    def test_a_file_that_is_lost_or_changed_does_not_keep_the_others(self) -> None:
        lost, changed, _good = (Dossier.objects.get(pk=self.deposit()) for _one in range(3))
        lost.fichier.file.storage.delete(lost.fichier.file.name)
        with changed.fichier.file.storage.open(changed.fichier.file.name, "wb") as file:
            file.write(b"autre")
        told, folder = self.written(SIRENS["loos"])
        self.assertEqual((told["documents"], len(told["defauts"])), (3, 2))
        self.assertIn("le fichier n'est plus sur le disque", told["defauts"][0])
        self.assertIn("ses octets ne sont plus ceux qui ont été déposés", told["defauts"][1])
        self.assertEqual(json.loads((folder / "documents.json").read_text()), told)


class Entities(Mayan):
    """A CCAS beside its commune: the maire presides it, and some people work for both with one account."""

    CCAS: ClassVar[dict[str, Any]] = {
        "slug": "loos-ccas", "nom": "CCAS de Loos", "siren": "265903609", "heberge_par": "loos",
        "siren_commune": "215903600", "qualite": "président", "comptes": [LOOS["comptes"][0], LOOS["comptes"][2]],
        "parapheur": {"redacteurs": ["karim.roux"], "maire": {"titulaire": "claire.dubois"}},
    }  # fmt: skip # a table

    def setUp(self) -> None:
        accounts = User.objects.count()
        done = rollout(LOOS, self.CCAS, WAVRIN)
        self.assertEqual((done.warnings, User.objects.count()), ([], accounts))
        file = Path(os.environ["CREATIC_PARAPHEUR"])
        before = file.read_text()
        file.write_text(json.dumps(json.loads(before) | parapheur.application([LOOS, self.CCAS, WAVRIN])))
        configuration.current.cache_clear()
        self.addCleanup(configuration.current.cache_clear)
        self.addCleanup(file.write_text, before)

    def test_nothing_changes_when_it_is_rolled_out_again(self) -> None:
        self.assertEqual(rollout(LOOS, self.CCAS, WAVRIN).changes, [])

    def test_two_acts_of_one_number_are_two_dossiers(self) -> None:
        commune_s, ccas_s = self.deposit(), self.deposit("loos-ccas")
        self.assertEqual({Dossier.objects.get(pk=one).numero for one in (commune_s, ccas_s)}, {"1"})
        self.assertEqual(self.act("paul.renard", commune_s, "viser").status_code, 200)
        waits = circuit.to_do(account("claire.dubois"))
        self.assertEqual({one.pk for one in waits}, {commune_s, ccas_s})
        page = self.browser("claire.dubois").get("/parapheur/", secure=True).content.decode()
        self.assertIn("CCAS de Loos", page)

    def test_who_has_no_part_in_it_sees_nothing_of_it(self) -> None:
        number = self.deposit("loos-ccas")
        for login in ("paul.renard", "anne.petit", "hugo.blanc"):
            self.assertEqual(list(circuit.visible(account(login))), [])
            self.assertEqual(self.api(login, "GET", f"/creatic/dossiers/{number}/").status_code, 404)

    def test_its_president_signs_with_a_certificate_of_either(self) -> None:
        expected = self.sign("claire.dubois", self.deposit("loos-ccas"))
        self.assertEqual(expected, [("Claire Dubois", "265903609"), ("Claire Dubois", "215903600")])

    def test_a_certificate_of_the_ccas_signs_nothing_of_the_commune(self) -> None:
        number = self.deposit()
        self.act("paul.renard", number, "viser")
        self.assertEqual(self.sign("claire.dubois", number), [("Claire Dubois", "215903600")])

    def test_who_works_for_both_says_for_whom(self) -> None:
        browser = self.browser("karim.roux")
        first = browser.get("/parapheur/deposer/", secure=True)
        self.assertContains(first, "?commune=loos-ccas")
        self.assertContains(first, "Claire Dubois, maire")
        other = browser.get("/parapheur/deposer/?commune=loos-ccas", secure=True)
        self.assertContains(other, '<input name="commune" type="hidden" value="loos-ccas">')
        self.assertContains(other, "Claire Dubois, président")
        self.assertNotContains(self.browser("ines.morel").get("/parapheur/deposer/", secure=True), "?commune=")
        stranger = self.browser("ines.morel").get("/parapheur/deposer/?commune=loos-ccas", secure=True)
        self.assertNotContains(stranger, "Claire Dubois")

    def test_delegations_are_those_of_the_one_that_is_asked_for(self) -> None:
        managed = [one.slug for one in signatory.managed(account("karim.roux"))]
        self.assertEqual(managed, ["loos", "loos-ccas"])
        page = self.browser("karim.roux").get("/parapheur/delegations/?commune=loos-ccas", secure=True)
        self.assertContains(page, "un arrêté du président")
        with self.assertRaises(RefusedError):
            signatory.delegate(account("paul.renard"), {}, (), "loos-ccas")


class Absences(Mayan):
    """The maire presides the CCAS, where the same deputy stands in; Zoé Lambert works for the CCAS alone."""

    ZOE: ClassVar[dict[str, Any]] = person("Zoé Lambert")
    CCAS: ClassVar[dict[str, Any]] = Entities.CCAS | {
        "comptes": [ZOE, LOOS["comptes"][0], LOOS["comptes"][2], LOOS["comptes"][3]],
        "parapheur": {
            "redacteurs": ["zoe.lambert", "karim.roux"],
            "maire": {"titulaire": "claire.dubois", "suppleants": ["anne.petit"]},
        },
    }

    def setUp(self) -> None:
        self.host = LOOS | {"comptes": [*LOOS["comptes"], self.ZOE]}
        rollout(self.host, self.CCAS, WAVRIN)
        file = Path(os.environ["CREATIC_PARAPHEUR"])
        before = file.read_text()
        file.write_text(json.dumps(json.loads(before) | parapheur.application([self.host, self.CCAS, WAVRIN])))
        configuration.current.cache_clear()
        self.addCleanup(configuration.current.cache_clear)
        self.addCleanup(file.write_text, before)
        user = account("zoe.lambert")
        user.set_password(OWN)
        user.save()
        Group.objects.get(name=mayan_config.CHOSEN).user_set.add(user)

    def noted(self, login: str, slug: str) -> Absence:
        """The maire's absence of today, that somebody notes by the page of an institution."""
        today = f"{timezone.localdate()}"
        told = {"couple": "claire.dubois:anne.petit", "du": today, "au": today, "raison": "Voyage", "commune": slug}
        self.browser(login).post(f"/parapheur/absences/?commune={slug}", told, secure=True)
        return Absence.objects.latest("pk")

    def cancel(self, login: str, one: Absence) -> str:
        """Why somebody may not; nothing when they did."""
        page = self.browser(login).post("/parapheur/absences/", {"annuler": one.pk}, secure=True)
        one.refresh_from_db()
        said = re.search(r"(seuls les|cette absence vaut)[^<]*", html.unescape(page.content.decode()))
        self.assertEqual(one.annulee, said is None)
        return said[0] if said else ""

    def test_what_the_ccas_notes_gives_nothing_of_the_commune(self) -> None:
        commune_s, ccas_s = (Dossier.objects.get(pk=self.deposit(one)) for one in ("loos", "loos-ccas"))
        self.assertEqual(self.act("paul.renard", commune_s.pk, "viser").status_code, 200)
        commune_s.refresh_from_db()
        one = self.noted("zoe.lambert", "loos-ccas")
        self.assertEqual((one.commune, one.saisie_par), ("loos-ccas", "Zoé Lambert"))
        self.assertEqual(circuit.awaited(ccas_s), ["claire.dubois", "anne.petit"])
        self.assertEqual(circuit.awaited(commune_s), ["claire.dubois"])
        self.assertEqual([found.pk for found in circuit.to_do(account("anne.petit"))], [ccas_s.pk])
        known = configuration.current().communes
        self.assertEqual(
            [len(signatory.choices(known[slug])) for slug in ("loos", "loos-ccas")],
            [1, 2],
        )
        self.assertEqual(list(signatory.managed_absences(known["loos"])), [])
        self.assertEqual(self.send("anne.petit", commune_s.pk).status_code, 403)
        page = self.browser("zoe.lambert").get("/parapheur/absences/", secure=True)
        self.assertContains(page, "(pour CCAS de Loos)")

    def test_nor_does_it_take_what_the_commune_noted(self) -> None:
        one = self.noted("paul.renard", "loos")
        self.assertEqual(one.commune, "loos")
        self.assertIn("seuls les rédacteurs", self.cancel("zoe.lambert", one))
        self.assertIn("seuls les rédacteurs", self.cancel("ines.morel", one))
        self.assertEqual(self.cancel("karim.roux", one), "")
        self.assertIn("seuls les rédacteurs", self.cancel("paul.renard", self.noted("zoe.lambert", "loos-ccas")))

    def test_what_the_person_noted_is_cancelled_by_who_manages_all_of_it(self) -> None:
        today = timezone.localdate()
        maire = account("claire.dubois")
        one = circuit.be_absent(maire, "anne.petit", today, today)
        refusal = "cette absence vaut aussi pour Loos, où vous n'en notez pas"
        self.assertIn(refusal, self.cancel("zoe.lambert", one))
        self.assertIn("vaut aussi pour CCAS de Loos", self.cancel("paul.renard", one))
        self.assertEqual(self.cancel("karim.roux", one), "")
        self.assertEqual(self.cancel("claire.dubois", circuit.be_absent(maire, "anne.petit", today, today)), "")
        signatory.end_absence(account("admin"), circuit.be_absent(maire, "anne.petit", today, today).pk)
        self.assertFalse(Absence.objects.active().exists())


class History(Mayan):
    """What was done stays, under the names of the communes' files."""

    def test_whose_signature_is_expected_is_in_the_commune_s_file(self) -> None:
        number = self.deposit()
        self.assertEqual(self.act("paul.renard", number, "viser").status_code, 200)
        User.objects.filter(username="claire.dubois").update(first_name="Paul", last_name="Renard")
        self.assertEqual(self.sign("claire.dubois", number), [("Claire Dubois", "215903600")])
        told = [(one.quoi, one.qui, one.de, one.vers) for one in Dossier.objects.get(pk=number).gestes.all()]
        self.assertEqual(
            told,
            [
                ("Déposer", "Passerelle du groupement", "", "À viser"),
                ("Viser", "Paul Renard", "À viser", "À signer"),
                ("Signer", "Claire Dubois", "À signer", "À télétransmettre"),
            ],
        )
        self.assertEqual(Dossier.objects.get(pk=number).par, "Claire Dubois")
        page = self.browser("claire.dubois").get(f"/parapheur/dossiers/{number}/", secure=True).content.decode()
        for words in ("Passerelle du groupement", "Paul Renard", "Signature de Claire Dubois"):
            self.assertIn(words, page)

    def test_annexes_are_read_by_who_gives_the_visa_and_who_signs(self) -> None:
        page, other = b"%PDF-1.7 plan", b"<script>alert(1)</script>"
        number = self.deposit(annexes=[("plan.pdf", page), ("../tableau.ods", other)])
        for login in ("paul.renard", "claire.dubois"):
            browser = self.browser(login)
            shown = browser.get(f"/parapheur/dossiers/{number}/", secure=True).content.decode()
            for name in ("plan.pdf", "tableau.ods", hashlib.sha256(other).hexdigest()):
                self.assertIn(name, shown)
            links = re.findall(rf"/parapheur/dossiers/{number}/pieces/[0-9]+/", shown)
            self.assertEqual(len(set(links)), 2)
            for link, content in zip(sorted(set(links)), (page, other), strict=True):
                for path in (link, f"{link}?lire"):
                    got = browser.get(path, secure=True)
                    self.assertEqual(b"".join(got.streaming_content), content)
                    # What is not a PDF would act under the reader's name, were it shown.
                    attached = got["Content-Disposition"].startswith("attachment")
                    self.assertEqual(attached, path == link or content == other, path)
        self.assertEqual(self.browser("ines.morel").get(links[0], secure=True).status_code, 404)

    def test_annexes_are_the_gateway_s_and_never_empty(self) -> None:
        for login, annexes, status in (
            ("karim.roux", [("plan.pdf", b"%PDF-1.7")], 403),
            ("passerelle", [("plan.pdf", b"")], 400),
        ):
            before = Dossier.objects.count()
            self.assertEqual(self.deposited("loos", annexes, login).status_code, status)
            self.assertEqual(Dossier.objects.count(), before)

    def test_what_is_taken_back_while_mayan_notes_it_goes_all_the_same(self) -> None:
        """Its search for duplicates, in another process, names the document that a lost race deletes."""
        real, tried = Document.delete, list[int]()

        def noted(document: Any, *given: Any, **named: Any) -> Any:
            tried.append(document.pk)
            if len(tried) > 1:
                return real(document, *given, **named)
            with transaction.atomic():
                real(document, *given, **named)
                raise IntegrityError("duplicates_duplicatebackendentry_documents")

        with mock.patch.object(time, "time_ns", return_value=7):
            first = Dossier.objects.get(pk=self.deposit())
            before = Document.objects.count()
            known = mock.patch.object(
                circuit, "_find_existing_deposit", side_effect=[None, first]
            )  # both looked at the same moment
            with mock.patch.object(Document, "delete", noted), known:
                self.assertEqual(self.deposited("loos", ()).json()["id"], first.pk)
        self.assertEqual((Document.objects.count(), len(tried), len({*tried})), (before, 2, 1))

    def test_a_deputy_is_named_by_the_file_too(self) -> None:
        number = self.deposit()
        self.act("paul.renard", number, "viser")
        today = timezone.localdate()
        circuit.be_absent(account("claire.dubois"), "anne.petit", today, today + dt.timedelta(days=1))
        User.objects.filter(username="anne.petit").update(first_name="Paul", last_name="Renard")
        expected = self.sign("anne.petit", number)
        self.assertEqual([name for name, _siren in expected], ["Claire Dubois", "Anne Petit"])
        last = Geste.objects.last()
        self.assertEqual(last.qui, "Anne Petit")
        self.assertIn("Pour Claire Dubois, absence du", last.note)

    def test_who_did_something_is_not_deleted(self) -> None:
        number = self.deposit()
        self.act("paul.renard", number, "viser")
        user = account("paul.renard")
        before = list(Geste.objects.values())
        self.assertEqual(self.api("paul.renard", "DELETE", "/users/current/").status_code, 403)
        answer = self.api("admin", "DELETE", f"/users/{user.pk}/")
        self.assertEqual(answer.status_code, 403)
        self.assertIn("L'historique d'un dossier du parapheur ne se change pas", answer.json()["detail"])
        with self.assertRaises(PermissionDenied):
            user.delete()
        transaction.set_rollback(False)
        self.assertTrue(User.objects.filter(pk=user.pk).exists())
        self.assertEqual(list(Geste.objects.values()), before)
        self.assertEqual(Dossier.objects.get(pk=number).instance.log_entries.count(), 2)

    def test_it_is_added_to_only(self) -> None:
        number = self.deposit()
        self.act("paul.renard", number, "viser")
        dossier = Dossier.objects.get(pk=number)
        geste, entry = dossier.gestes.last(), dossier.instance.log_entries.last()
        for change in (
            geste.save, geste.delete, dossier.gestes.all().delete, lambda: dossier.gestes.update(qui="x"),
            dossier.delete, dossier.document.delete, entry.delete, entry.save,
            lambda: dossier.document.delete(to_trash=False), dossier.instance.workflow.delete,
            lambda: dossier.gestes.bulk_update([geste], ["qui"]),
        ):  # fmt: skip # what it goes through, by line
            try:
                change()
            except (PermissionDenied, django.db.models.RestrictedError):
                transaction.set_rollback(False)
        self.assertEqual(
            list(dossier.gestes.values_list("qui", flat=True)), ["Passerelle du groupement", "Paul Renard"]
        )
        self.assertEqual(dossier.instance.log_entries.count(), 2)

    def test_an_act_whose_history_is_not_whole_goes_no_further(self) -> None:
        def erase_log(dossier: Dossier) -> None:
            entries = dossier.instance.log_entries.filter(transition__isnull=False)
            entries._raw_delete(entries.db)

        def erase_history(dossier: Dossier) -> None:
            some = Geste.objects.filter(dossier=dossier, quoi="Viser")
            some._raw_delete(some.db)

        def jump(dossier: Dossier) -> None:
            Dossier.objects.filter(pk=dossier.pk).update(etat="a_teletransmettre")

        for erase, wish in ((erase_log, "refuser"), (erase_history, "refuser"), (jump, "etat")):
            number = self.deposit()
            self.act("paul.renard", number, "viser")
            erase(Dossier.objects.get(pk=number))
            login = "claire.dubois" if wish == "refuser" else "passerelle"
            answer = self.act(
                login, number, wish, {"motif": "Voyons", "etat": "teletransmis" if wish == "etat" else ""}
            )
            self.assertEqual(answer.status_code, 409, erase.__name__)
            self.assertIn("l'historique de ce dossier n'est plus entier", answer.json()["message"])

    def test_who_waits_for_a_check_takes_no_more_than_two_places(self) -> None:
        numbers = [self.deposit() for _one in range(3)]
        for number in numbers:
            self.act("paul.renard", number, "viser")
        told: list[Any] = []

        def check(_name: str, _original: Any, _signed: Any, _people: Any) -> seal.Received:
            if numbers:  # meanwhile, they send another one
                told.append(self.send("claire.dubois", numbers.pop()))
                told.append(self.act("anne.petit", 0, "refuser", {"motif": "Une autre"}))
            raise seal.RefusedError("non")

        with mock.patch.object(seal, "check_and_seal", check):
            first = self.send("claire.dubois", numbers.pop())
        self.assertEqual(first.status_code, 400)
        self.assertEqual([one.status_code for one in told], [429, 404, 400, 404])
        self.assertIn("vos demandes précédentes sont encore en cours", told[0].json()["message"])
        self.assertEqual(circuit._busy, {})
        with mock.patch.object(seal, "check_and_seal", check):
            self.assertEqual(self.send("claire.dubois", number).status_code, 400)

    def signed_meanwhile(self, number: int, meanwhile: Any) -> Any:
        """The answer to who hands in a signed file, when something happens while it is checked."""

        def check(_name: str, _original: Any, _signed: Any, people: Any) -> seal.Received:
            # No row is held: it would be another's transaction, which waits.
            self.assertEqual(len(connection.savepoint_ids), places)
            self.checked += 1
            if self.checked == 1:
                meanwhile(number)
            return seal.Received(people[0][0], "AB", io.BytesIO(PDF))

        self.checked, places = 0, len(connection.savepoint_ids)
        with mock.patch.object(seal, "check_and_seal", check):
            return self.send("claire.dubois", number)

    def test_a_dossier_is_not_held_while_a_signature_is_checked_and_is_signed_once(self) -> None:
        for meanwhile, said in (
            (lambda one: self.send("claire.dubois", one), "trop tard pour signer ce dossier"),
            (
                lambda one: self.act("claire.dubois", one, "refuser", {"motif": "Une erreur"}),
                "trop tard pour signer ce dossier",
            ),
            (
                lambda one: Dossier.objects.filter(pk=one).update(depuis=timezone.now()),
                "ce dossier a changé pendant la vérification",
            ),
        ):
            number = self.deposit()
            self.act("paul.renard", number, "viser")
            answer = self.signed_meanwhile(number, meanwhile)
            self.assertEqual(answer.status_code, 409, answer.content[:300])
            self.assertIn(said, answer.json()["message"])
            signed = Geste.objects.filter(dossier=number, quoi="Signer").count()
            self.assertEqual(signed, self.checked - 1)  # whose check was asked meanwhile

    def test_absences_stay(self) -> None:
        today = timezone.localdate()
        circuit.be_absent(account("claire.dubois"), "anne.petit", today, today)
        for login in ("claire.dubois", "anne.petit"):
            self.assertEqual(self.api("admin", "DELETE", f"/users/{account(login).pk}/").status_code, 403)
        self.assertEqual(Absence.objects.count(), 1)


class Signatory(Mayan):
    """Who signs is chosen before the document is frozen."""

    TOLD = {  # noqa: RUF012 - of a test
        "personne": "anne.petit", "qualite": "adjointe au maire", "fondement": "L2122-18", "arrete": "2026-12",
        "arrete_date": "2026-01-05", "matieres": "2, 6.1", "du": "2026-01-10", "au": "",
    }  # fmt: skip # a table

    def absence(self, **told: str) -> dict[str, str]:
        """What the page of absences sends, of one of today."""
        today = f"{timezone.localdate()}"
        return {"couple": "claire.dubois:anne.petit", "du": today, "au": today, **told}

    def delegation(self, **changes: str) -> Delegation:
        return signatory.delegate(account("karim.roux"), self.TOLD | changes)

    def bring(self, key: str, text: bool = True, **changes: Any) -> Any:
        """A rédacteur's deposit; gives the answer, and keeps what was looked for in the document."""
        self.mentions: list[str] = []

        def check(_name: str, _document: Any, mentions: Any = (), *_written: Any) -> bool:
            self.mentions = list(mentions)
            return text

        file = io.BytesIO(PDF)
        file.name = "acte.pdf"
        fields = {
            "commune": "loos", "circuit": "arrete", "reference": f"parapheur:{time.time_ns()}", "objet": "Permis",
            "numero": "2026_1", "date": "2026-11-05", "matiere": "2.2", "nature": "3", "transmission": "oui",
            "signataire": key, "fichier": file,
        } | changes  # fmt: skip # a table
        key = self.token("karim.roux").json()["token"]
        with mock.patch.object(seal, "check_document", check):
            return Visitor().post("/api/v4/creatic/dossiers/", fields, HTTP_AUTHORIZATION=f"Token {key}")

    def ready(self, key: str) -> int:
        made = self.bring(key)
        self.assertEqual(made.status_code, 201, made.content[:400])
        number = int(made.json()["id"])
        self.assertEqual(self.act("paul.renard", number, "viser").status_code, 200)
        return number

    def refused(self, answer: Any, words: str) -> None:
        self.assertGreaterEqual(answer.status_code, 400)
        self.assertIn(words, answer.json()["message"])

    def test_an_address_that_cannot_be_written_to_has_nobody_written_to_again(self) -> None:
        """Its dossier was never told: at each turn, the others who await it had one more mail."""
        self.ready(signatory.HOLDER)
        odd = mock.Mock(side_effect=ValueError("Invalid address"))
        command = parapheur_courriels.Command(stdout=io.StringIO(), stderr=io.StringIO())
        settings = mock.Mock(wraps=configuration.current(), mail={"expediteur": "p@x.test"}, url="https://p.test")
        settings.communes = configuration.current().communes
        with (
            mock.patch.object(parapheur_courriels, "current", return_value=settings),
            mock.patch.object(parapheur_courriels.EmailMessage, "send", odd),
        ):
            command._send_letters(parapheur_courriels.ARRIVALS, None)
        self.assertIn("corrigez le courriel", command.stderr._out.getvalue())
        self.assertFalse(Dossier.objects.exclude(annonce=models.F("depuis")).exists())
        never = parapheur_courriels._is_permanent_failure
        self.assertTrue(never(smtplib.SMTPRecipientsRefused({"a@x.test": (550, b"")})))
        self.assertTrue(never(smtplib.SMTPNotSupportedError("SMTPUTF8")))
        self.assertFalse(never(smtplib.SMTPRecipientsRefused({"a@x.test": (450, b"")})))
        self.assertFalse(never(TimeoutError()))

    def test_an_address_refused_for_now_has_nobody_else_written_to_again(self) -> None:
        """While a relay said « later » of one address (a full mailbox), the others had one more mail at each turn."""
        number = self.deposit()
        today = timezone.localdate()
        circuit.be_absent(account("claire.dubois"), "anne.petit", today, today)
        self.act("paul.renard", number, "viser")
        written: list[str] = []
        refusals: dict[str, Exception] = {}

        def send(message: Any) -> None:
            if message.to[0] in refusals:
                raise refusals[message.to[0]]
            written.extend(message.to)

        settings = mock.Mock(wraps=configuration.current(), mail={"expediteur": "p@x.test"}, url="https://p.test")
        settings.communes = configuration.current().communes

        def turn() -> list[str]:
            """Who is written to."""
            command = parapheur_courriels.Command(stdout=io.StringIO(), stderr=io.StringIO())
            written.clear()
            with (
                mock.patch.object(parapheur_courriels, "current", return_value=settings),
                mock.patch.object(parapheur_courriels.EmailMessage, "send", send),
            ):
                command._send_letters(parapheur_courriels.ARRIVALS, None)
            return list(written)

        maire, deputy = "claire.dubois@commune.test", "anne.petit@commune.test"
        refusals[maire] = smtplib.SMTPRecipientsRefused({maire: (452, b"4.2.2 mailbox full")})
        self.assertEqual([turn(), turn(), turn()], [[deputy], [], []])
        another = self.deposit()  # of which they are told, and of it alone
        self.act("paul.renard", another, "viser")
        self.assertEqual([turn(), turn()], [[deputy], []])
        refusals.clear()
        self.assertEqual([turn(), turn()], [[maire], []])
        self.assertFalse(Dossier.objects.exclude(annonce=models.F("depuis")).exists())
        self.assertFalse(Lettre.objects.exists())
        # Refused for good, then the other one for now: neither is written to again for nothing.
        refusals[maire] = ValueError("Invalid address")
        refusals[deputy] = smtplib.SMTPRecipientsRefused({deputy: (450, b"4.7.1 greylisted")})
        third = self.deposit()
        self.act("paul.renard", third, "viser")
        self.assertEqual([turn(), turn()], [[], []])
        refusals.clear()
        self.assertEqual([turn(), turn()], [[deputy], []])
        # What moved on meanwhile leaves nothing behind.
        refusals[maire] = smtplib.SMTPServerDisconnected("421")
        self.act("paul.renard", self.deposit(), "viser")
        self.assertEqual(turn(), [deputy])
        self.assertEqual(Lettre.objects.count(), 1)
        moved = Dossier.objects.latest("pk").pk
        self.act("claire.dubois", moved, "refuser", {"motif": "Une erreur"})
        self.assertEqual(turn(), ["karim.roux@commune.test"])
        self.assertFalse(Lettre.objects.exists())

    def test_an_address_at_which_the_relay_hangs_up_keeps_nobody_s_reminder(self) -> None:
        """Reminders share one connection: those who came after it had none, on any day."""
        self.ready(signatory.HOLDER)
        written: list[str] = []

        class Relay:
            def __init__(self, *_where: Any, **_how: Any) -> None:
                self.is_there = True

            def sendmail(self, _sender: str, to: list[str], _message: bytes) -> None:
                if not self.is_there:
                    raise smtplib.SMTPServerDisconnected("please run connect() first")
                if to == ["claire.dubois@commune.test"]:
                    self.is_there = False
                    raise smtplib.SMTPRecipientsRefused({to[0]: (421, b"too many errors")})
                written.extend(to)

            def quit(self) -> None:
                if not self.is_there:
                    raise smtplib.SMTPServerDisconnected("please run connect() first")

            def close(self) -> None:
                pass

        settings = mock.Mock(wraps=configuration.current(), url="https://p.test")
        settings.mail = {"relais": "relay.test", "port": 25, "expediteur": "p@x.test"}
        settings.communes = configuration.current().communes
        people = circuit.accounts(["claire.dubois", "paul.renard", "nadia.moreau"]).order_by("known__login")
        command = parapheur_courriels.Command(stdout=io.StringIO(), stderr=io.StringIO())
        with (
            mock.patch.object(parapheur_courriels, "current", return_value=settings),
            mock.patch.object(parapheur_courriels.circuit, "accounts", return_value=people),
            mock.patch.object(parapheur_courriels.circuit, "to_do", return_value=Dossier.objects.all()),
            mock.patch.dict(parapheur_courriels.LETTER_FILTERS, echeances=lambda dossiers: dossiers),
            mock.patch.object(smtplib, "SMTP", Relay),
            self.assertRaises(SystemExit),
        ):
            command.handle(lettres="echeances")
        self.assertEqual(written, ["nadia.moreau@commune.test", "paul.renard@commune.test"])

    def test_a_subject_and_a_file_s_name_do_nothing_where_they_are_shown(self) -> None:
        """A line of a mail, and a command that the page gives to be copied."""
        file = io.BytesIO(PDF)
        file.name = "acte; curl mal.test | sh #.pdf"
        made = self.bring(signatory.HOLDER, objet="Permis\n- 2026_2 Virement : https://mal.test", fichier=file)
        self.assertEqual(made.status_code, 201, made.content[:400])
        number = int(made.json()["id"])
        self.assertEqual(self.act("paul.renard", number, "viser").status_code, 200)
        letter = parapheur_courriels.letter([Dossier.objects.get(pk=number)], "https://p.test")
        listed = [line for line in letter.splitlines() if line.startswith("- ")]
        self.assertEqual(listed, ["- 2026_1 Permis - 2026_2 Virement : https://mal.test (À signer)"])
        told = Dossier(objet="Permis", etat="refuse", par="Claire Dubois", motif="Date.\n- Virement : https://mal.test")
        self.assertNotIn("\n- Virement", parapheur_courriels.letter([told], "https://p.test"))
        page = self.browser("claire.dubois").get(f"/parapheur/dossiers/{number}/", secure=True)
        command = html.unescape(page.content.decode().partition("<code>")[2].partition("</code>")[0])
        self.assertEqual(shlex.split(command), ["signer-acte", file.name])

    def test_a_delegate_signs_and_nobody_else(self) -> None:
        one = self.delegation()
        number = self.ready(f"delegation:{one.pk}")
        self.assertEqual(self.mentions, ["Anne Petit", "adjointe au maire", "délégation"])
        shown = self.api("passerelle", "GET", f"/creatic/dossiers/{number}/").json()
        quality = "adjointe au maire, par délégation du maire (arrêté 2026-12 du 05/01/2026)"
        self.assertEqual(shown["signataire"], f"Anne Petit, {quality}")
        self.assertEqual([one.pk for one in circuit.to_do(account("anne.petit"))], [number])
        self.assertFalse(circuit.to_do(account("claire.dubois")).exists())
        self.refused(self.send("claire.dubois", number), "Personne attendue : Anne Petit")
        self.assertEqual(self.sign("anne.petit", number), [("Anne Petit", "215903600")])
        notes = list(Dossier.objects.get(pk=number).gestes.values_list("quoi", "note"))
        self.assertEqual(notes[0], ("Déposer", f"Signataire choisi : Anne Petit, {quality}"))
        self.assertIn(f"Signataire : Anne Petit, {quality}", notes[-1][1])
        page = self.browser("karim.roux").get(f"/parapheur/dossiers/{number}/", secure=True).content.decode()
        self.assertIn(f"Anne Petit, {quality}", html.unescape(page))
        told = self.api("passerelle", "GET", f"/creatic/dossiers/{number}/historique/").json()
        given = told["delegation"]
        self.assertEqual((given["arrete"], given["arrete_date"]), ("2026-12", "2026-01-05"))
        self.assertEqual(
            (told["delegation"]["personne"], told["qualite"], told["absence"]), ("Anne Petit", quality, {})
        )

    def test_a_delegation_ended_yesterday_signs_nothing(self) -> None:
        today = timezone.localdate()
        one = self.delegation()
        number = self.ready(f"delegation:{one.pk}")
        yesterday = today - dt.timedelta(days=1)
        for fields, words in (
            ({"au": yesterday}, f"a pris fin le {yesterday:%d/%m/%Y} : une signature ne vaudrait rien"),
            ({"au": None, "retiree": today}, f"a été retirée le {today:%d/%m/%Y}"),
            ({"retiree": None, "du": today + dt.timedelta(days=1)}, "ne commence que le"),
            ({"du": yesterday, "matieres": "3"}, "ne porte pas sur ce dossier"),
        ):
            Delegation.objects.filter(pk=one.pk).update(**fields)
            with mock.patch.object(seal, "check_and_seal") as check:
                self.refused(self.send("anne.petit", number), words)
            check.assert_not_called()
            self.refused(self.bring(f"delegation:{one.pk}"), "signataire : ")
        self.assertEqual(Dossier.objects.get(pk=number).etat, "a_signer")
        # Not stuck: the maire refuses it, and it is taken up in the name of another.
        self.assertEqual(self.act("claire.dubois", number, "refuser", {"motif": "Délégation finie"}).status_code, 200)
        key = self.token("karim.roux").json()["token"]
        for chosen, status in (("", 400), ("titulaire", 200)):
            file = io.BytesIO(PDF)
            file.name = "corrige.pdf"
            with mock.patch.object(seal, "check_document") as check:
                done = Visitor().post(
                    f"/api/v4/creatic/dossiers/{number}/reprendre/",
                    {"fichier": file, "signataire": chosen},
                    HTTP_AUTHORIZATION=f"Token {key}",
                )
            self.assertEqual(done.status_code, status, done.content[:300])
        self.assertEqual(check.call_args.args[2], ["Claire Dubois", "maire"])
        self.assertEqual(Dossier.objects.get(pk=number).signataire, "claire.dubois")

    def test_matters_and_circuits_bound_it(self) -> None:
        one = self.delegation()
        key = f"delegation:{one.pk}"
        for matter, good in (
            ("2", True),
            ("2.2", True),
            ("6.1", True),
            ("6.1.3", True),
            ("6.2", False),
            ("7.1", False),
        ):
            self.assertEqual(signatory.covers(one, "arrete", matter), good, matter)
        self.assertFalse(signatory.covers(one, "pes", ""))
        one.circuits = "pes"
        self.assertTrue(signatory.covers(one, "pes", ""))
        self.assertFalse(signatory.covers(one, "arrete", "2.2"))
        self.refused(self.bring(key, matiere="7.1"), "ne porte pas sur ce dossier (Arrêté, matière 7.1)")

    def test_a_scanned_document_is_read_by_who_brings_it(self) -> None:
        self.refused(self.bring("titulaire", text=False), "« Claire Dubois, maire » y figure (CRPA, L212-1)")
        made = self.bring("titulaire", text=False, mention_verifiee="oui")
        self.assertEqual(made.status_code, 201)

    def test_who_notes_a_delegation(self) -> None:
        for login, words in (
            ("anne.petit", "seuls les rédacteurs, le DGS et le maire"),
            ("ines.morel", "personne : choisissez quelqu'un de la liste"),
        ):
            with self.assertRaisesRegex(signatory.RefusedError, words):
                signatory.delegate(account(login), self.TOLD)
        one = self.delegation(au=f"{timezone.localdate() + dt.timedelta(days=1)}")
        self.assertEqual((one.saisie_par, one.matieres), ("Karim Roux", "2 6.1"))
        with self.assertRaisesRegex(signatory.RefusedError, "seuls les rédacteurs"):
            signatory.withdraw(account("ines.morel"), one.pk)
        told = "sa délégation (arrêté 2026-12) court encore : retirez-la (« Délégations »)"
        self.assertEqual(circuit.held(account("anne.petit")), [told])
        for change, words in (
            ({"du": "2026-01-01"}, "ne vaut pas avant la date de son arrêté"),
            ({"au": "2026-01-09"}, "avant le premier"),
            ({"arrete": " "}, "arrêté : champ obligatoire absent"),
            ({"matieres": "urbanisme"}, "n'en est pas une"),
            ({"fondement": "L2122-17"}, "fondement"),
            ({"arrete_date": "hier"}, "n'est pas une date"),
            ({"personne": "nadia.moreau"}, "personne : choisissez"),
        ):
            with self.assertRaisesRegex(signatory.RefusedError, words):
                self.delegation(**change)
        self.assertEqual(Delegation.objects.count(), 1)
        self.assertEqual(self.api("admin", "DELETE", f"/users/{account('anne.petit').pk}/").status_code, 403)

    def test_by_the_pages(self) -> None:
        browser = self.browser("karim.roux")
        self.assertContains(browser.get("/parapheur/delegations/", secure=True), "Noter la délégation")
        browser.post("/parapheur/delegations/", self.TOLD | {"circuits": ["arrete"]}, secure=True)
        one = Delegation.objects.get()
        self.assertEqual((one.circuits, one.etat), ("arrete", "en cours"))
        self.assertContains(browser.get("/parapheur/deposer/", secure=True), f'value="delegation:{one.pk}"')
        page = browser.post("/parapheur/delegations/", self.TOLD | {"du": "?"}, secure=True)
        self.assertContains(page, "n&#x27;est pas une date")
        self.assertNotContains(self.browser("ines.morel").get("/parapheur/delegations/", secure=True), "2026-12")
        self.assertNotContains(
            self.browser("anne.petit").get("/parapheur/delegations/", secure=True), "Noter la délégation"
        )
        self.browser("anne.petit").post("/parapheur/delegations/", {"retirer": one.pk}, secure=True)
        self.assertIsNone(Delegation.objects.get().retiree)
        browser.post("/parapheur/delegations/", {"retirer": one.pk}, secure=True)
        self.assertEqual(Delegation.objects.get().retiree_par, "Karim Roux")

    def test_somebody_else_notes_an_absence(self) -> None:
        told = self.absence(raison="Hospitalisation", qualite="première adjointe")
        for login in ("anne.petit", "nadia.moreau"):
            self.browser(login).post("/parapheur/absences/", told, secure=True)
            self.assertFalse(Absence.objects.exists(), login)
        self.browser("karim.roux").post("/parapheur/absences/", told, secure=True)
        one = Absence.objects.get()
        self.assertEqual((one.saisie_par, one.raison), ("Karim Roux", "Hospitalisation"))
        page = self.browser("claire.dubois").get("/parapheur/absences/", secure=True)
        self.assertContains(page, "Notée par Karim Roux : Hospitalisation")
        number = self.ready(f"absence:{one.pk}")
        self.assertEqual(self.mentions, ["Anne Petit", "première adjointe"])
        other = self.ready("")
        self.sign("anne.petit", number)
        self.sign("anne.petit", other)
        self.assertIn("notée par Karim Roux", Geste.objects.last().note)
        third = self.ready(f"absence:{one.pk}")
        self.browser("claire.dubois").post("/parapheur/absences/", {"annuler": one.pk}, secure=True)
        one.refresh_from_db()
        self.assertEqual((one.annulee, one.annulee_par), (True, "Claire Dubois"))
        self.refused(self.send("anne.petit", third), "a été annulée : une signature ne vaudrait rien")

    def test_the_administrator_notes_one_too(self) -> None:
        told = self.absence(raison="Décès", commune="loos")
        browser = self.browser("admin", ADMIN)
        self.assertContains(browser.get("/parapheur/absences/?commune=loos", secure=True), "claire.dubois:anne.petit")
        browser.post("/parapheur/absences/", told, secure=True)
        self.assertEqual(Absence.objects.get().personne, account("claire.dubois"))

    def test_what_was_there_before_is_signed_as_before(self) -> None:
        number = self.deposit()
        self.act("paul.renard", number, "viser")
        self.assertEqual(Dossier.objects.get(pk=number).signataire, "")
        self.assertEqual([name for name, _siren in self.sign("claire.dubois", number)], ["Claire Dubois"])


class Contracts(Mayan):
    """Annexes, counter-signatures, and the file that goes to the préfecture."""

    JAN = seal.Suppliers([seal.Supplier("Jan Peeters", "AB", "Qualifiée")], "liste des listes n° 300 du 27/11/2026")
    NONE = seal.Suppliers([], "")
    WORKS = "Marché de travaux, 300\u202f000 € HT"

    def contract(self, judged: seal.Suppliers = NONE, matter: str = "1.1") -> Any:
        told = circuit.Deposit(
            "loos", "marche", f"parapheur:{time.time_ns()}", "Toiture", "2026_7", "2026-11-05", "", matter
        )
        with (
            mock.patch.object(seal, "check_document"),
            mock.patch.object(seal, "check_contract", return_value=judged),
        ):
            return circuit.deposit(account("karim.roux"), told, self.file("marche.pdf"))[0]

    def file(self, name: str, content: bytes = PDF) -> Any:
        return SimpleUploadedFile(name, content)

    def join(self, dossier: Any, kind: str, name: str = "piece.pdf", content: bytes = PDF) -> Piece:
        with mock.patch.object(seal, "check_document"):
            there = Dossier.objects.get(pk=dossier.pk)
            return contracts.add(account("karim.roux"), there, kind, self.file(name, content))

    def counter(self, dossier: Any, name: str = "c.pdf", content: bytes = PDF, **judges: Any) -> Piece:
        with mock.patch.object(seal, "check_suppliers", **(judges or {"return_value": self.JAN})):
            return self.join(dossier, "contresignature", name, content)

    def signed(self, matter: str = "1.1") -> Any:
        dossier = self.contract(matter=matter)
        self.act("paul.renard", dossier.pk, "viser")
        asked: list[dict[str, Any]] = []

        def check(*_given: Any, **more: Any) -> seal.Received:
            asked.append(more)
            return seal.Received("Claire Dubois", "AB", io.BytesIO(PDF + b"%scelle"))

        with mock.patch.object(seal, "check_and_seal", check):
            self.assertEqual(self.send("claire.dubois", dossier.pk).status_code, 200)
        self.assertEqual(asked, [{"contract": True}])
        return Dossier.objects.get(pk=dossier.pk)

    def test_a_contract_that_comes_signed_is_told_in_the_history(self) -> None:
        note = self.contract(self.JAN).gestes.get().note
        self.assertTrue(note.startswith("Signature qualifiée de Jan Peeters (certificat AB de « Qualifiée ») ; liste"))

    def test_the_file_of_a_contract_is_counted(self) -> None:
        dossier = self.contract()
        self.assertEqual(len(contracts.lacking(dossier)), 3)
        self.assertEqual(contracts.lacking(self.contract(matter="")), [])  # nothing says that it goes
        self.join(dossier, NOTICE)
        again = self.join(dossier, NOTICE)
        self.join(dossier, "autre", "../../etc/plan", PDF + b"%plan")
        self.assertEqual(dossier.pieces.count(), 2)  # the same one twice is one
        told = self.api("passerelle", "GET", f"/creatic/dossiers/{dossier.pk}/pieces/").json()
        self.assertEqual(
            [(one["genre"], one["nom"]) for one in told["results"]], [(NOTICE, "piece.pdf"), ("autre", "plan.pdf")]
        )
        self.assertNotIn(NOTICE, told["manquent"])
        self.assertEqual((len(told["manquent"]), told["avant"]), (2, None))
        got = self.api("passerelle", "GET", f"/creatic/dossiers/{dossier.pk}/pieces/{again.pk}/")
        self.assertEqual(b"".join(got.streaming_content), PDF)
        self.assertEqual(self.api("ines.morel", "GET", f"/creatic/dossiers/{dossier.pk}/pieces/").status_code, 404)
        self.assertEqual([one.quoi for one in dossier.gestes.all()], ["Déposer", "Joindre", "Joindre"])
        self.assertIn(hashlib.sha256(PDF + b"%plan").hexdigest(), dossier.gestes.last().note)
        self.assertEqual(self.act("paul.renard", dossier.pk, "viser").status_code, 200)  # it goes on all the same

    def test_what_is_joined_is_opened_by_nobody_here(self) -> None:
        """Neither an office file, which Mayan gives to LibreOffice, nor a PDF that is none: the circuit's file is shown
        as before."""
        dossier = self.signed()
        for rank, content in enumerate(
            (b"0signature", b"PK\x03\x04word/document.xml", b"\xd0\xcf\x11\xe0", b"\0" * 40)
        ):
            piece = self.counter(dossier, f"{rank}.doc", content)
            self.assertEqual(
                (piece.nom, piece.fichier.checksum), (f"{rank}.doc.p7s", hashlib.sha256(content).hexdigest())
            )
            self.assertEqual((piece.fichier.size, piece.fichier.pages.count()), (len(content), 0))
        for content, suffix in ((b"\xef\xbb\xbf<ds:Signature/>", ".xml"), (b"0\x82 %PDF-1.7", ".p7s")):
            self.assertEqual(self.counter(dossier, "c", content).nom, f"c{suffix}")
        annex = self.join(dossier, "autre", "a.pdf", b"%PDF-1.4 1 0 obj <</Pages")
        self.assertEqual(annex.fichier.pages.count(), 0)
        document = Document.objects.get(pk=dossier.document_id)
        self.assertEqual(document.file_latest_id, dossier.fichier_id)
        self.assertEqual(
            self.browser("karim.roux").get(f"/parapheur/dossiers/{dossier.pk}/", secure=True).status_code, 200
        )

    def test_an_annex_that_cannot_be_read_is_refused_alone(self) -> None:
        dossier = self.contract()
        self.join(dossier, NOTICE)
        refused = seal.RefusedError("b.pdf : le PDF est protégé par un mot de passe")
        with (
            mock.patch.object(seal, "check_document", side_effect=refused),
            self.assertRaisesRegex(seal.RefusedError, "mot de passe"),
        ):
            contracts.add(account("karim.roux"), dossier, RULES, self.file("b.pdf"))
        self.assertEqual([one.genre for one in dossier.pieces.all()], [NOTICE])

    def test_the_file_fits_an_envelope(self) -> None:
        dossier = self.contract()
        self.join(dossier, NOTICE)
        with (
            mock.patch.object(circuit, "MAX_BYTES", 3 * len(PDF)),
            self.assertRaisesRegex(seal.RefusedError, "c.pdf : avec elle, le dossier dépasserait"),
        ):
            self.join(dossier, "autre", "c.pdf", PDF + b"%")
        with (
            mock.patch.object(contracts, "MAX_DOSSIER_PIECES", 1),
            self.assertRaisesRegex(seal.RefusedError, "déjà 1 pièces"),
        ):
            self.join(dossier, "autre", "c.pdf", PDF + b"%")
        self.assertEqual(dossier.pieces.count(), 1)

    def test_it_goes_once_its_file_is_said_to_be_complete(self) -> None:
        dossier = self.signed()
        day = timezone.localdate() + dt.timedelta(days=15)
        self.assertEqual((contracts.due(dossier), dossier.echeance, contracts.late(dossier)), (day, day, False))
        listed = self.api("passerelle", "GET", f"/creatic/dossiers/{dossier.pk}/").json()
        self.assertIs(listed["complet"], False)
        self.assertIn(dossier, circuit.to_do(account("karim.roux")))
        self.assertNotIn(dossier, circuit.to_do(account("claire.dubois")))
        written = parapheur_courriels.letter([dossier], "https://p.test")
        self.assertIn(f"échéance le {day:%d/%m/%Y}\n  marché signé : joignez ses pièces", written)
        self.join(dossier, NOTICE, "avis.pdf")
        sent = self.counter(dossier, "c.pdf")
        self.counter(dossier, "c.p7s", b"0signature")
        browser, page = self.browser("karim.roux"), f"/parapheur/dossiers/{dossier.pk}/"
        shown = browser.get(page, secure=True)
        self.assertContains(shown, "jointe après la signature", count=1)
        works = {"contrat": "travaux", "montant": "300 000"}
        lacking = browser.post(page, {"geste": "completer", **works}, secure=True)
        self.assertContains(lacking, 'value="travaux" selected')
        self.assertContains(lacking, RULES)
        self.assertEqual(self.act("claire.dubois", dossier.pk, "completer", {"sans_pieces": "oui"}).status_code, 403)
        self.assertTrue(Dossier.objects.get(pk=dossier.pk).a_completer)
        browser.post(page, {"geste": "completer", "sans_pieces": "oui", **works}, secure=True)
        self.assertIs(self.api("passerelle", "GET", f"/creatic/dossiers/{dossier.pk}/").json()["complet"], True)
        last = dossier.gestes.last()
        self.assertEqual((last.quoi, last.qui), ("Compléter", "Karim Roux"))
        self.assertEqual(last.note, self.WORKS + f". Pièces jointes : 3. Sans : {DELIBERATION} ; {RULES}")
        self.assertNotIn(dossier, circuit.to_do(account("karim.roux")))
        with self.assertRaisesRegex(seal.RefusedError, "n'attend pas de pièces"):
            contracts.complete(account("karim.roux"), dossier, contracts.Told(sans_pieces="oui"))
        with self.assertRaisesRegex(seal.RefusedError, "la préfecture ne verrait pas cette pièce"):
            self.join(dossier, RULES)
        self.counter(dossier, "tard.pdf", PDF + b"%tard")  # kept, and not sent
        told = self.api("passerelle", "GET", f"/creatic/dossiers/{dossier.pk}/pieces/").json()["results"]
        self.assertEqual([one["nom"] for one in told if one["transmis"]], ["avis.pdf", sent.nom])
        models.QuerySet.update(
            Geste.objects.filter(dossier=dossier, quoi="Signer"), quand=timezone.now() - dt.timedelta(days=16)
        )
        self.assertContains(browser.get(page, secure=True), "le délai est passé")
        self.assertEqual(self.act("passerelle", dossier.pk, "etat", {"etat": "teletransmis"}).status_code, 200)
        self.assertIsNone(contracts.due(Dossier.objects.get(pk=dossier.pk)))

    def test_what_joined_it_since_the_page_was_shown_does_not_go(self) -> None:
        """A colleague joins a piece, then a counter-signature, while the page is open."""
        dossier = self.signed()
        browser, page = self.browser("karim.roux"), f"/parapheur/dossiers/{dossier.pk}/"

        def shown() -> dict[str, str]:
            content = browser.get(page, secure=True).content.decode()
            seen = re.search(r'value="completer"><input name="vu" type="hidden" value="([^"]+)"', content)
            assert seen
            return {"geste": "completer", "sans_pieces": "oui", "vu": seen[1], "contrat": "services", "montant": "1"}

        for join in (lambda one: self.join(one, NOTICE), self.counter):
            old = shown()
            join(dossier)
            told = html.unescape(browser.post(page, old, secure=True).content.decode())
            self.assertIn("une pièce a été jointe depuis que cette page est ouverte", told)
            self.assertTrue(Dossier.objects.get(pk=dossier.pk).a_completer)
        browser.post(page, shown(), secure=True)
        self.assertFalse(Dossier.objects.get(pk=dossier.pk).a_completer)

    def test_a_contract_that_was_signed_before_there_was_a_file_goes_on(self) -> None:
        old, waiting, other = self.signed(), self.contract(), Dossier.objects.get(pk=self.deposit())
        migration = importlib.import_module("creatic_parapheur.migrations.0007_piece")
        migration.already_signed(apps, None)
        self.assertEqual(Dossier.objects.get(pk=old.pk).complet, old.depuis)
        for one in (waiting, other):
            self.assertIsNone(Dossier.objects.get(pk=one.pk).complet)

    def test_a_contract_without_matter_is_closed_by_nobody_but_a_person(self) -> None:
        """CGCT, L2131-2, I, 4°: its amount is asked, and above the threshold it goes."""
        dossier = self.signed(matter="")
        day = timezone.localdate() + dt.timedelta(days=15)
        self.assertEqual((dossier.etat, dossier.echeance, dossier.a_completer), ("a_teletransmettre", day, True))
        self.assertIn(dossier, circuit.to_do(account("karim.roux")))
        self.assertIs(self.api("passerelle", "GET", f"/creatic/dossiers/{dossier.pk}/").json()["complet"], False)
        browser, page = self.browser("karim.roux"), f"/parapheur/dossiers/{dossier.pk}/"
        self.assertContains(browser.get(page, secure=True), "D2131-5-1")
        for given, told in (
            ({}, "contrat : dites sa sorte"),
            ({"contrat": "achat"}, "contrat : « achat » n'est pas une sorte"),
            ({"contrat": "travaux"}, "montant : écrivez celui du contrat"),
            ({"contrat": "travaux", "montant": "beaucoup"}, "montant : « beaucoup » n'est pas un montant"),
            ({"contrat": "travaux", "montant": "216 000"}, "matiere : "),
            ({"contrat": "travaux", "montant": "1", "matiere": "<b>"}, "n'est pas une matière"),
            (
                {"contrat": "travaux", "montant": "1", "consultation": "hier"},
                "consultation : « hier » n'est pas une date",
            ),
            (
                {"contrat": "travaux", "montant": "1", "consultation": "2026-11-06"},
                "est après le contrat, du 05/11/2026",
            ),
            ({"contrat": "travaux", "montant": "300000", "matiere": "1.1"}, "il manque"),
        ):
            answer = self.act("karim.roux", dossier.pk, "completer", given)
            self.assertEqual((answer.status_code, told in answer.json()["message"]), (400, True), answer.json())
            there = Dossier.objects.get(pk=dossier.pk)
            self.assertEqual((there.a_completer, there.contrat, there.montant, there.matiere), (True, "", None, ""))
        whole = {"contrat": "travaux", "montant": "300000", "matiere": "1.1", "sans_pieces": "oui"}
        done = self.act("karim.roux", dossier.pk, "completer", whole)
        self.assertEqual(done.status_code, 200)
        there = Dossier.objects.get(pk=dossier.pk)
        self.assertEqual((there.a_completer, str(there.montant), there.matiere), (False, "300000.00", "1.1"))
        self.assertIn(f"{self.WORKS}. Pièces jointes : 0. Sans", there.gestes.last().note)

    def test_a_contract_under_the_threshold_ends_when_its_amount_is_said(self) -> None:
        dossier = self.signed(matter="")
        given = {"geste": "completer", "contrat": "fournitures", "montant": "215\u202f999,99 €"}
        self.browser("karim.roux").post(f"/parapheur/dossiers/{dossier.pk}/", given, secure=True)
        dossier = Dossier.objects.get(pk=dossier.pk)
        self.assertEqual((dossier.etat, str(dossier.montant), dossier.a_completer), ("clos", "215999.99", False))
        self.assertIn("Sous le seuil de 216\u202f000 € HT (CGCT, D2131-5-1, ", dossier.gestes.last().note)
        self.assertEqual(self.counter(dossier).signataires, "Jan Peeters")

    def test_its_kind_and_its_amount_are_asked_once_before_or_after_it_is_signed(self) -> None:
        dossier = self.contract(matter="")
        browser, page = self.browser("karim.roux"), f"/parapheur/dossiers/{dossier.pk}/"
        shown = html.unescape(browser.get(page, secure=True).content.decode())
        self.assertIn(f"{NOTICE} : <strong>manque</strong>", shown)
        self.assertIn("Seuil : 216\u202f000 € HT (CGCT, D2131-5-1, règlement délégué (UE) 2025/2152, depuis le", shown)
        given = {"geste": "decrire", "contrat": "services", "montant": "218 000,00 €", "consultation": "2025-12-31"}
        wrong = browser.post(page, given | {"montant": "218 mille"}, secure=True)
        self.assertContains(wrong, "montant : « 218 mille » n&#x27;est pas un montant")
        self.assertContains(wrong, 'value="218 mille"')  # what was typed stays
        self.assertEqual(self.browser("claire.dubois").post(page, given, secure=True).status_code, 200)
        self.assertEqual(Dossier.objects.get(pk=dossier.pk).contrat, "")
        browser.post(page, given, secure=True)
        there = Dossier.objects.get(pk=dossier.pk)
        self.assertEqual((there.contrat, str(there.montant), there.etat), ("services", "218000.00", dossier.etat))
        last = there.gestes.last()
        self.assertEqual((last.quoi, last.qui), ("Décrire", "Karim Roux"))
        self.assertEqual(last.note, "Marché de services, 218\u202f000 € HT, consultation engagée le 31/12/2025")
        shown = html.unescape(browser.get(page, secure=True).content.decode())
        self.assertIn("Seuil : 221\u202f000 € HT", shown)
        self.assertIn("Ce contrat n'est pas à transmettre.", shown)
        self.join(there, NOTICE)
        self.assertContains(browser.get(page, secure=True), "public : jointe")
        with self.assertRaisesRegex(RefusedError, "seuls les marchés publics et autres contrats"):
            contracts.describe(account("karim.roux"), Dossier.objects.get(pk=self.deposit()), contracts.Told())

    def test_a_lease_ends_without_an_amount_and_a_concession_never_without_a_matter(self) -> None:
        lease, concession = self.signed(matter=""), self.signed(matter="")
        self.assertEqual(self.act("karim.roux", lease.pk, "completer", {"contrat": "bail"}).status_code, 200)
        lease = Dossier.objects.get(pk=lease.pk)
        self.assertEqual((lease.etat, lease.montant), ("clos", None))
        self.assertIn("Bail. N'est pas à transmettre : n'est pas cité par L2131-2", lease.gestes.last().note)
        refused = self.act("karim.roux", concession.pk, "completer", {"contrat": "concession", "montant": "3"})
        self.assertIn("matiere : concession", refused.json()["message"])
        given = {"contrat": "concession", "matiere": "1.2", "montant": "3"}
        done = self.act("karim.roux", concession.pk, "completer", given)
        self.assertEqual(done.status_code, 200)  # R2131-5 lists the pieces of public contracts alone
        with self.assertRaisesRegex(RefusedError, "ne changent plus"):
            contracts.describe(account("karim.roux"), lease, contracts.Told("travaux", "1"))

    DATA: ClassVar[dict[str, Any]] = {
        "geste": "donnees", "id": "2026_7", "acheteur": "21590360000017", "nature": "Marché", "codeCPV": "45261210",
        "technique": ["Sans objet"], "modaliteExecution": ["Tranches", "Bons de commande"], "marcheInnovant": "non",
        "ccag": "Travaux", "offresRecues": "4", "attributionAvance": "non", "typeGroupementOperateurs": "Conjoint",
        "sousTraitanceDeclaree": "non", "procedure": "Procédure adaptée", "lieu": "59120", "typeLieu": "Code postal",
        "dureeMois": "12", "dateNotification": "2026-11-30", "datePublicationDonnees": "2026-12-03",
        "typePrix": ["Définitif ferme"], "formePrix": "Forfaitaire", "titulaires": "55204599900869",
        "considerationSociale": ["Clause sociale"], "considerationEnvironnementale": ["Clause environnementale"],
    }  # fmt: skip # a table

    def test_essential_data_are_filled_in_once_signed_and_taken_as_a_file(self) -> None:
        """CCP, R2196-1; what makes their JSON is tested beside `essential`."""
        dossier = self.contract()
        browser, page = self.browser("karim.roux"), f"/parapheur/dossiers/{dossier.pk}/"
        file = f"{page}donnees/"
        self.assertContains(browser.get(page, secure=True), "Le PES Marché reste au logiciel comptable")
        browser.post(page, {"geste": "decrire", "contrat": "travaux", "montant": "300 000,00 €"}, secure=True)
        self.assertContains(browser.post(page, self.DATA, secure=True), "pour un contrat signé qui en a")
        dossier = self.signed()
        page = f"/parapheur/dossiers/{dossier.pk}/"
        file = f"{page}donnees/"
        browser.post(page, {"geste": "decrire", "contrat": "travaux", "montant": "300 000,00 €"}, secure=True)
        self.assertEqual(browser.get(file, secure=True).status_code, 404)
        self.assertContains(browser.get(page, secure=True), 'value="2026_7"')  # its number is proposed
        wrong = browser.post(page, self.DATA | {"codeCPV": "toit", "acheteur": "21590350000018"}, secure=True)
        told = html.unescape(wrong.content.decode())
        self.assertIn("codeCPV : « toit » n'est pas un code CPV", told)
        self.assertIn("acheteur : « 21590350000018 » n'est pas un SIRET", told)
        self.assertIn('value="toit"', told)
        self.assertIn('type="checkbox" value="Bons de commande" checked', told)
        self.assertEqual(Dossier.objects.get(pk=dossier.pk).essentielles, {})
        self.browser("claire.dubois").post(page, self.DATA, secure=True)  # not hers to fill in
        self.assertEqual(Dossier.objects.get(pk=dossier.pk).essentielles, {})
        early = browser.post(page, {"geste": "modification"}, secure=True)
        self.assertContains(early, "remplissez d&#x27;abord les données du contrat")
        browser.post(page, self.DATA, secure=True)
        shown = browser.get(page, secure=True)
        self.assertContains(shown, "À publier au plus tard le 30/01/2027")
        self.assertNotContains(shown, "La plateforme de l'acheteur les publie")
        change = {
            "geste": "modification", "dateNotificationModification": "2027-02-01",
            "datePublicationDonneesModification": "2027-02-20", "montant": "310 000,00",
        }  # fmt: skip # a table
        browser.post(page, change, secure=True)
        got = browser.get(file, secure=True)
        self.assertIn('filename="decp-21590360000017-2026_7.json"', got["Content-Disposition"])
        [made] = json.loads(b"".join(got.streaming_content))["marches"]["marche"]
        self.assertEqual((made["objet"], made["montant"], made["modifications"][0]["modification"]["montant"]), (
            "Toiture", 300000, 310000,
        ))  # fmt: skip # a table
        notes = [one.note for one in dossier.gestes.filter(quoi="Données")]
        self.assertEqual(notes, ["Données essentielles remplies", "Données essentielles : modification 1"])
        self.assertEqual(self.browser("ines.morel").get(file, secure=True).status_code, 404)

    def test_the_buyers_platform_may_publish_essential_data(self) -> None:
        dossier = self.signed(matter="")
        browser, page = self.browser("karim.roux"), f"/parapheur/dossiers/{dossier.pk}/"
        self.assertContains(browser.get(page, secure=True), "Dites d&#x27;abord la sorte du contrat.")
        browser.post(page, {"geste": "completer", "contrat": "services", "montant": "24 999"}, secure=True)
        self.assertContains(browser.get(page, secure=True), "pas de données essentielles")
        dossier = self.signed(matter="")
        page = f"/parapheur/dossiers/{dossier.pk}/"
        browser.post(page, {"geste": "completer", "contrat": "services", "montant": "39 000"}, secure=True)
        self.assertContains(browser.get(page, secure=True), "ou liste annuelle")
        browser.post(page, {"geste": "plateforme"}, secure=True)
        self.assertContains(browser.get(page, secure=True), "Publiées par la plateforme de l'acheteur (dit par Karim")

    def test_a_counter_signature_is_judged_when_it_comes(self) -> None:
        dossier = self.signed()
        with self.assertRaisesRegex(seal.RefusedError, "modifié"):
            self.counter(dossier, side_effect=seal.RefusedError("le document a été modifié"))
        self.assertFalse(Piece.objects.exists())
        browser = self.browser("karim.roux")
        with mock.patch.object(seal, "check_suppliers", return_value=self.JAN) as check:
            fields = {"geste": "joindre", "genre": "contresignature", "fichier": self.file("c.p7s", b"0signature")}
            browser.post(f"/parapheur/dossiers/{dossier.pk}/", fields, secure=True)
        self.assertEqual(check.call_args.args[0], "c.p7s")
        one = Piece.objects.get()
        self.assertEqual((one.signataires, one.par), ("Jan Peeters", "Karim Roux"))
        self.assertEqual(one.document, dossier.fichier.checksum)
        page = browser.get(f"/parapheur/dossiers/{dossier.pk}/", secure=True)
        self.assertContains(page, "Signature qualifiée de Jan Peeters")
        got = browser.get(f"/parapheur/dossiers/{dossier.pk}/pieces/{one.pk}/", secure=True)
        self.assertEqual(b"".join(got.streaming_content), b"0signature")
        self.assertEqual(Dossier.objects.get(pk=dossier.pk).fichier_id, dossier.fichier_id)  # what is transmitted
        one.nom = "x"
        for change in (one.save, one.delete, lambda: Piece.objects.update(nom="x"), Piece.objects.all().delete):
            with self.assertRaises(PermissionDenied):
                change()
            transaction.set_rollback(False)

    def test_a_supplier_may_have_signed_before_the_maire_did(self) -> None:
        """Of the document that was sent to them; not once it was corrected."""
        dossier, asked = self.signed(), []

        def judge(_name: str, original: Any, _signed: Any) -> seal.Suppliers:
            asked.append(original.read())
            if asked[-1] != PDF:
                raise seal.RefusedError("ce n'est pas le document du circuit")
            return self.JAN

        self.assertEqual(self.counter(dossier, side_effect=judge).document, dossier.origine.checksum)
        self.assertEqual(asked, [PDF + b"%scelle", PDF])
        down = seal.RefusedError("la vérification ne répond pas", 503)
        with self.assertRaisesRegex(seal.RefusedError, "ne répond pas"):
            self.counter(dossier, side_effect=[down, self.JAN])

    def test_a_counter_signature_of_what_was_corrected_since_says_so(self) -> None:
        dossier = self.contract()
        self.act("paul.renard", dossier.pk, "viser")
        piece = self.counter(dossier)
        self.assertFalse(piece.perimee)
        self.act("claire.dubois", dossier.pk, "refuser", {"motif": "Le prix est faux"})
        with self.assertRaisesRegex(seal.RefusedError, "pas encore prêt"):
            self.counter(dossier, "autre.pdf", PDF + b"%")
        with (
            mock.patch.object(seal, "check_document"),
            mock.patch.object(seal, "check_contract", return_value=self.NONE),
        ):
            there = Dossier.objects.get(pk=dossier.pk)
            circuit.take_up(account("karim.roux"), there, self.file("corrige.pdf", PDF + b"%corrige"))
        again = Piece.objects.get(pk=piece.pk)
        self.assertTrue(again.perimee)
        self.assertFalse(again.transmis)
        page = self.browser("karim.roux").get(f"/parapheur/dossiers/{dossier.pk}/", secure=True)
        self.assertContains(page, "signe un document remplacé depuis")

    def test_a_document_corrected_during_the_check_is_not_the_one_that_was_signed(self) -> None:
        dossier = self.contract()
        self.act("paul.renard", dossier.pk, "viser")

        def meanwhile(*_given: Any) -> seal.Suppliers:
            other = circuit.add_beside(dossier.document, "b.pdf", self.file("b.pdf", PDF + b"%"), account("admin"), "")
            Dossier.objects.filter(pk=dossier.pk).update(origine=other, fichier=other)
            return self.JAN

        with self.assertRaisesRegex(seal.RefusedError, "changé pendant la vérification"):
            self.counter(dossier, side_effect=meanwhile)
        self.assertFalse(Piece.objects.exists())

    def test_what_the_archive_eliminated_goes_with_its_pieces(self) -> None:
        dossier = self.contract()
        self.join(dossier, NOTICE)
        Dossier.objects.filter(pk=dossier.pk).update(etat="acquitte")  # what is not signed cannot have been archived
        told = {
            "commune": "loos",
            "siren": SIRENS["loos"],
            "reference": dossier.reference,
            "marques": [],
            "empreintes": [],
        }
        done = self.api("passerelle", "POST", "/creatic/eliminations/", told)
        self.assertEqual((done.status_code, done.json()), (200, {"nombre": 1}))
        self.assertFalse(Piece.objects.exists() or Dossier.objects.filter(pk=dossier.pk).exists())

    def test_what_is_not_to_be_joined_is_refused(self) -> None:
        dossier, other = self.contract(), Dossier.objects.get(pk=self.deposit())
        for who, where, kind, name, content, words in (
            ("karim.roux", dossier, "contresignature", "c.pdf", PDF, "pas encore prêt à signer"),
            ("karim.roux", dossier, "x", "c.pdf", PDF, "choisissez dans la liste"),
            ("karim.roux", dossier, NOTICE, "a.docx", b"PK", "ce n'est pas un PDF"),
            ("karim.roux", dossier, NOTICE, "a.pdf", b"<!--" + PDF + b"--><PES/>", "ce n'est pas un PDF"),
            ("karim.roux", dossier, NOTICE, "a.pdf", b"", "le fichier est vide"),
            ("claire.dubois", dossier, NOTICE, "a.pdf", PDF, "seuls les rédacteurs"),
            ("karim.roux", other, NOTICE, "a.pdf", PDF, "seuls les marchés publics"),
        ):
            with self.assertRaisesRegex(seal.RefusedError, words):
                contracts.add(account(who), where, kind, self.file(name, content))
        self.assertFalse(Piece.objects.exists())


class Events(Mayan):
    """An open page holds no thread."""

    def test_they_are_told_at_once_and_the_answer_ends(self) -> None:
        browser = self.browser("claire.dubois")

        def ask(last: str = "") -> tuple[str, str]:
            more = {"HTTP_LAST_EVENT_ID": last} if last else {}
            began = time.monotonic()
            answer = browser.get("/api/v4/server_side_events/stream/", secure=True, **more)
            self.assertEqual((answer.status_code, answer.streaming), (200, False))
            self.assertTrue(answer["Content-Type"].startswith("text/event-stream"))
            self.assertLess(time.monotonic() - began, 30)  # Mayan's own: 300
            text = answer.content.decode()
            return text, re.findall(r"^id: (\d+)$", text, re.M)[-1]

        text, last = ask()
        self.assertIn(f"retry: {accounts_api.EVENTS_INTERVAL_SECONDS * 1000}\n", text)
        self.assertNotIn("data:", text)
        from mayan.apps.server_side_events.classes import ServerEventStreamBackend

        ServerEventStreamBackend.get_instance().enqueue(
            user=account("claire.dubois"), event_type="toast", data={"message": "C'est noté"}
        )
        text, after = ask(last)
        self.assertIn('event: toast\ndata: {"message": "C\'est not', text)
        self.assertNotIn("data:", ask(after)[0])
        for odd in ("x", "-1", "9" * 40, "1 OR 1"):
            ask(odd)

    def test_a_visitor_has_none(self) -> None:
        self.assertIn(Visitor().get("/api/v4/server_side_events/stream/", secure=True).status_code, (401, 403))
        for odd in ("/api/v4/server_side_events/stream/%0A", "/api/v4//server_side_events/stream/"):
            self.assertEqual(self.browser("claire.dubois").get(odd, secure=True).status_code, 404, odd)


class Tokens(Mayan):
    """A token ends with the password by which it was got, and with the day."""

    def first(self, login: str) -> None:
        """Somebody lost their password, and the administrator made another."""
        user = account(login)
        user.set_password(FIRST)
        user.save()
        Group.objects.get(name=mayan_config.CHOSEN).user_set.remove(user)

    def change(self, login: str, old: str, new: str) -> None:
        done = self.browser(login, old).post(
            "/authentication/password/change/",
            {"old_password": old, "new_password1": new, "new_password2": new},
            secure=True,
        )
        self.assertEqual(done.status_code, 302, done.content[:2000])

    def documents(self, token: str) -> int:
        return int(self.api("", "GET", "/creatic/dossiers/", token=token).status_code)

    def test_none_for_a_first_password(self) -> None:
        self.first("claire.dubois")
        refused = self.token("claire.dubois", FIRST)
        self.assertEqual(refused.status_code, 403)
        self.assertIn("Votre mot de passe est provisoire", refused.json()["detail"])
        self.assertFalse(Token.objects.filter(user__username="claire.dubois").exists())

    def test_one_got_with_a_first_password_does_not_live_on(self) -> None:
        self.first("claire.dubois")
        key = creatic_passwords.token_of(Token.objects.create(user=account("claire.dubois")))  # by whatever way
        self.assertEqual(self.documents(key), 403)
        self.change("claire.dubois", FIRST, "Le-mien-desormais-5")
        self.assertEqual(self.documents(key), 401)
        new = (
            Visitor()
            .post(
                "/api/v4/auth/token/obtain/",
                {"username": "claire.dubois", "password": "Le-mien-desormais-5"},
                HTTP_AUTHORIZATION=f"Token {key}",
                HTTP_ACCEPT="application/json",
            )
            .json()["token"]
        )
        self.assertNotEqual(new, key)
        self.assertEqual(self.documents(new), 200)

    def test_it_ends_with_any_change_of_password(self) -> None:
        user = account("claire.dubois")
        for change in (
            lambda: self.change("claire.dubois", OWN, "Le-mien-desormais-5"),
            lambda: self.api("admin", "PATCH", f"/users/{user.pk}/", {"password": "Refait-par-admin-5"}),
            lambda: self.browser("admin", ADMIN).post(
                f"/authentication/users/{user.pk}/set_password/",
                {"new_password1": "Encore-un-autre-5", "new_password2": "Encore-un-autre-5"},
                secure=True,
            ),
        ):
            row, _new = Token.objects.get_or_create(user=user)
            before = User.objects.get(pk=user.pk).password
            change()
            self.assertNotEqual(User.objects.get(pk=user.pk).password, before)
            self.assertEqual(self.documents(creatic_passwords.token_of(row)), 401)

    @behind
    def test_who_has_a_token_does_not_change_the_password(self) -> None:
        answer = self.api("claire.dubois", "PATCH", "/users/current/", {"password": "Vole-par-un-autre-5"})
        self.assertEqual(answer.status_code, 403)
        self.assertIn("l'API ne le change pas", answer.json()["detail"])
        self.assertTrue(account("claire.dubois").check_password(OWN))

    def test_it_ends_with_the_day(self) -> None:
        key = self.token("claire.dubois").json()["token"]
        for hours, expected in ((9, 200), (10.1, 401)):
            Token.objects.filter(user__username="claire.dubois").update(
                created=timezone.now() - dt.timedelta(hours=hours)
            )
            self.assertEqual(self.documents(key), expected, hours)
        self.assertEqual(self.documents(self.token("claire.dubois").json()["token"]), 200)

    def test_what_the_database_has_of_one_opens_nothing(self) -> None:
        token = self.token("claire.dubois").json()["token"]
        row, other = Token.objects.get(user__username="claire.dubois"), self.token("nadia.moreau").json()["token"]
        self.assertNotIn(token, [str(value) for value in Token.objects.values().get(pk=row.pk).values()])
        mixed = f"{row.key}.{other.partition('.')[2]}"
        for key in (row.key, f"{row.key}.", f"{row.key}.{row.key}", mixed, token[:-1], f"{token}.", token.upper()):
            self.assertEqual(self.documents(key), 401, key)
        self.assertEqual(self.documents(token), 200)

    def test_a_new_one_lasts(self) -> None:
        """Asked for late in the life of the one that is there, it is another; else the same, for who works with it."""
        key = self.token("claire.dubois").json()["token"]
        self.assertEqual(self.token("claire.dubois").json()["token"], key)
        Token.objects.filter(user__username="claire.dubois").update(created=timezone.now() - dt.timedelta(hours=6))
        new = self.token("claire.dubois").json()["token"]
        self.assertNotEqual(new, key)
        self.assertGreater(
            Token.objects.get(user__username="claire.dubois").created, timezone.now() - dt.timedelta(minutes=10)
        )

    def test_changing_the_password_leads_out_of_the_hold_and_nothing_else_does(self) -> None:
        self.first("claire.dubois")
        browser = self.browser("claire.dubois", FIRST)
        change = "/authentication/password/change/"
        for path in ("/home/", "/parapheur/", "/favicon.ico/../parapheur/", "/api/v4/templates/../documents/"):
            self.assertIn(browser.get(path, secure=True).status_code, (302, 403, 404), path)
        wrong = {"old_password": FIRST, "new_password1": "x", "new_password2": "x"}
        self.assertEqual(browser.post(change, wrong, secure=True).status_code, 200)
        self.assertEqual(browser.get("/parapheur/", secure=True).headers["Location"], change)
        self.change("claire.dubois", FIRST, "Le-mien-desormais-5")
        browser = self.browser("claire.dubois", "Le-mien-desormais-5")
        self.assertEqual(browser.get("/parapheur/", secure=True).status_code, 200)


if __name__ == "__main__":
    setup_test_environment()
    setup_databases(verbosity=0, interactive=False)
    populate()
    unittest.main(verbosity=2)
