"""The doors of Mayan: every address that it has, by whoever may come; then its pages, as an agent goes through them.

Run by Mayan's own Python (`test_mayan`), on the world of `in_process`.
"""

from __future__ import annotations

import base64
import datetime as dt
import html
import io
import json
import re
import sys
import threading
import time
import unittest
import uuid
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlencode, urljoin, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent))

import in_process
import yaml
from actstream.models import Action
from ansible_collections.cdg59.creatic.plugins.module_utils.applications import mayan_api, mayan_config
from celery.exceptions import SoftTimeLimitExceeded
from creatic_accounts import (
    addresses,
    before,
    bundles,
    doors,
    extent,
    guard,
    images,
    places,
    searches,
    shares,
    templating,
)
from creatic_accounts.doors import Role
from creatic_accounts.models import Sent
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DataError, connection
from django.http import HttpResponse, QueryDict
from django.test import RequestFactory, TestCase
from django.test.utils import setup_databases, setup_test_environment
from django.urls import Resolver404, resolve
from django.utils import timezone
from in_process import LOOS, OWN, WAVRIN, Door, Mayan, Visitor, account
from mayan.apps.cabinets.models import Cabinet
from mayan.apps.converter.api_exceptions import AppImageBusy
from mayan.apps.converter.api_view_mixins import APIImageViewMixin
from mayan.apps.converter.classes import ConverterBase
from mayan.apps.converter.transformations import (
    BaseTransformation,
    TransformationResize,
    TransformationRotate,
    TransformationZoom,
)
from mayan.apps.converter.utils import IndexedDictionary
from mayan.apps.document_downloads.tasks import task_document_file_compress as compress
from mayan.apps.document_downloads.views import DocumentDownloadView
from mayan.apps.document_indexing.models import IndexInstanceNode
from mayan.apps.documents.models import Document, DocumentFile, DocumentFilePage, DocumentType
from mayan.apps.dynamic_search import tasks as search_tasks
from mayan.apps.dynamic_search.search_backends import SearchBackend
from mayan.apps.dynamic_search.search_interpreters import SearchInterpreter
from mayan.apps.dynamic_search.search_models import SearchModel
from mayan.apps.messaging.models import Message
from mayan.apps.metadata.models import MetadataType
from mayan.apps.ocr import tasks as ocr_tasks
from mayan.apps.rest_api.classes import BatchRequestCollection
from mayan.apps.sources.models import Source
from mayan.apps.storage.models import SharedUploadedFile
from mayan.celery import app as celery
from PIL import Image
from pypdf import PdfWriter
from rest_framework.authtoken.models import Token

from creatic.applications import ged

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
# Of the locked version: an upgrade changes them, and somebody looks at what it brings before anything is opened.
ADDRESSES = 758
OPEN = {
    False: {  # the GED
        Role.VISITOR: 8, Role.STRANGER: 14, Role.FIRST: 14, Role.PERSON: 107, Role.GATEWAY: 18,
        Role.ADMINISTRATOR: 168, Role.ROLLOUT: 173,
    },
    True: {  # the parapheur
        Role.VISITOR: 11, Role.STRANGER: 17, Role.FIRST: 17, Role.PERSON: 36, Role.GATEWAY: 19,
        Role.ADMINISTRATOR: 150, Role.ROLLOUT: 155,
    },
}  # fmt: skip # a table
SEARCH = "documents.documentsearchresult"
PLAN = in_process.TOP / "inventories" / "lab" / "ged.yml"
PAGE = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 90 90]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)


def endless() -> bytes:
    """An encrypted PDF of one page: how many it has is what it says."""
    made, written = PdfWriter(), io.BytesIO()
    made.add_blank_page(90, 90)
    made.encrypt("", "secret", algorithm="AES-256")
    made.write(written)
    return written.getvalue().replace(b"/Count 1\n", b"/Count 99999\n")


def kinds(parapheur: bool) -> Any:
    """Have this Mayan be the GED, or the parapheur."""
    return mock.patch.object(doors.apps, "is_installed", lambda _name: parapheur)


def sample(where: str) -> str:
    """A path of an address."""
    words = {"app_label": "documents", "model_name": "document", "wish": "viser", "login": "karim.roux",
             "name": "menu_main", "lot": str(uuid.UUID(int=1)),
             "search_model_pk": "documents.documentsearchresult"}  # fmt: skip # a table
    return "/" + re.sub(r"<(\w+)>", lambda found: words.get(found[1], "1"), where)


class Listed(unittest.TestCase):
    """What the list says, against every address that Mayan has."""

    def setUp(self) -> None:
        self.addCleanup(doors.opened.cache_clear)
        doors.opened.cache_clear()
        self.all = {where: view for where, _name, view in reversed(list(doors.routes()))}

    def test_every_other_address_is_closed_to_everybody(self) -> None:
        self.assertEqual(len(self.all), ADDRESSES)
        middleware = before.Doors(lambda _request: None)
        counted: dict[bool, dict[Role, int]] = {False: {}, True: {}}
        for parapheur, counts in OPEN.items():
            doors.opened.cache_clear()
            with (
                kinds(parapheur),
                mock.patch.object(before.pages, "refused", lambda *_: HttpResponse(status=403)),
                mock.patch.object(before.shares, "check"),
            ):
                for role in counts:
                    let_in = set()
                    for where in self.all:
                        for method in METHODS:
                            request = RequestFactory().generic(method, "/")
                            request.user, request.resolver_match = mock.Mock(), mock.Mock(route=where)
                            with mock.patch.object(doors, "role_of", lambda *_: role):  # noqa: B023 # at once
                                if middleware.process_view(request, None, (), {}) is None:
                                    let_in.add((method.replace("HEAD", "GET"), where))
                    self.assertEqual(let_in, doors.opened()[role])
                    counted[parapheur][role] = len({where for _method, where in let_in})
        self.assertEqual(counted, OPEN)

    def test_what_is_open_is_there(self) -> None:
        """An address that an upgrade renames is missed here, and a method that a view has not is a mistake."""
        for parapheur in OPEN:
            doors.opened.cache_clear()
            with kinds(parapheur):
                for method, where in frozenset().union(*doors.opened().values()):
                    view = self.all[where]
                    kind = getattr(view, "view_class", None) or getattr(view, "cls", None)
                    self.assertTrue(kind is None or hasattr(kind, method.lower()), (method, where))

    def test_our_own_addresses_are_open_to_somebody(self) -> None:
        listed = {where for those in (doors.opened().values()) for _method, where in those}
        for where, view in self.all.items():
            if view.__module__.startswith("creatic_"):
                self.assertIn(where, listed)

    def test_what_mayan_renders_is_written_by_the_rollout_alone(self) -> None:
        """Each place of Mayan where what somebody writes is rendered as a template, with what writes it."""
        writes = (
            r"batch_requests/", r"sandbox/", r"messag", r"announcement", r"smart_links", r"web_links", r"mail",
            r"settings/(?!cluster)", r"quotas", r"sequences", r"statistics", r"file_caching", r"credentials",
            r"/actions/", r"escalations", r"triggers", r"transformations", r"layers", r"filename_generator",
            r"file_metadata/drivers", r"quick_labels", r"saved_resultsets", r"log_entries", r"transition_execute",
            r"backend_path", r"themes", r"dashboards", r"sources/<source_id>/(edit|test)", r"keys/", r"assets/$",
        )  # fmt: skip # a table
        only = {where for _method, where in doors._parse_addresses(addresses.TEMPLATES)}
        for role, those in doors.opened().items():
            for method, where in those:
                odd = [one for one in writes if re.search(one, where) and method not in ("GET", "HEAD")]
                self.assertEqual(odd, [], (role, method, where))
                if role is not Role.ROLLOUT and where in only:
                    self.assertEqual(method, "GET", (role, where))


class Asked(Mayan):
    """What is asked for in other words."""

    BODY = json.dumps(
        {"requests": [{"name": "{% for u in users %}{{ u.password }}{% endfor %}", "url": "/api/v4/documents/"}]}
    )

    def test_nobody_has_others_called(self) -> None:
        with mock.patch.object(BatchRequestCollection, "execute") as execute:
            for login, password in (("claire.dubois", OWN), ("passerelle", OWN), ("admin", in_process.ADMIN)):
                key = self.token(login, password).json()["token"]
                for path in (
                    "/api/v4/batch_requests/", "/api/v4//batch_requests/", "//api/v4/batch_requests/",
                    "/api/v4/batch%5Frequests/", "/api/v4/%62atch_requests/", "/api/v4/./batch_requests/",
                    "/api/v4/x/../batch_requests/", "/api/v4/batch_requests", "/api/v4/BATCH_REQUESTS/",
                    "/api/v4/batch_requests.json", "/api/v4/batch_requests/?format=api", "/api/v3/batch_requests/",
                    "/fr/api/v4/batch_requests/", "/api/v4/batch_requests/%0A", "/api/v4/batch_requests/?_method=GET",
                    "/api/v4;x/batch_requests/",
                ):  # fmt: skip # a table
                    for method in ("POST", "PUT", "post", "OPTIONS", "HEAD", "GET"):
                        answer = Visitor().generic(
                            method, path, self.BODY, "application/json", HTTP_AUTHORIZATION=f"Token {key}",
                            HTTP_X_HTTP_METHOD_OVERRIDE="GET", HTTP_X_METHOD_OVERRIDE="GET", HTTP_ACCEPT="text/html",
                            secure=True,
                        )  # fmt: skip # a table
                        self.assertIn(answer.status_code, (301, 403, 404), (login, method, path))
            execute.assert_not_called()

    def test_an_override_opens_nothing(self) -> None:
        key = self.token("claire.dubois").json()["token"]
        for name in ("X_HTTP_METHOD_OVERRIDE", "X_METHOD_OVERRIDE", "X_HTTP_METHOD"):
            answer = Visitor().generic(
                "GET", "/api/v4/creatic/dossiers/?_method=DELETE&method=DELETE", HTTP_AUTHORIZATION=f"Token {key}",
                **{f"HTTP_{name}": "DELETE"},
            )  # fmt: skip # a table
            self.assertEqual((answer.status_code, "results" in answer.json()), (200, True))

    def test_a_refusal_is_french_and_says_what_to_do(self) -> None:
        told = self.api("claire.dubois", "POST", "/messages/", {"subject": "x", "body": "{{ message.user.password }}"})
        self.assertEqual(told.status_code, 403)
        self.assertIn("À faire : revenez à l'accueil", told.json()["detail"])
        page = self.browser("claire.dubois").get("/messaging/messages/create/", secure=True)
        self.assertEqual(page.status_code, 403)
        self.assertIn("cette adresse n'est pas ouverte à votre compte", html.unescape(page.content.decode()))

    def test_who_is_not_known_is_told_to_log_in(self) -> None:
        for header in ("", "Token x", "Bearer x", "Basic eDp4", "Negotiate"):
            more = {"HTTP_AUTHORIZATION": header} if header else {}
            for path in ("documents", "users", "batch_requests", "creatic/dossiers"):
                answer = Visitor().post(f"/api/v4/{path}/", {}, secure=True, **more)
                self.assertIn(answer.status_code, (401, 403), (header, path))
                self.assertIn("detail", answer.json())
        self.assertTrue(Visitor().get("/documents/documents/", secure=True)["Location"].startswith("/authentication/"))
        self.assertEqual(Visitor().get("/oidc/authenticate/", secure=True).status_code, 302)
        self.assertTrue(Visitor().get("/oidc/authenticate/", secure=True)["Location"].startswith("/authentication/"))

    def test_what_no_text_of_the_database_holds_is_refused_and_breaks_nothing(self) -> None:
        """As PostgreSQL's client has it (psycopg 3.3); what these tests are on takes it."""

        def as_postgresql(execute: Any, query: str, values: Any, many: bool, context: Any) -> Any:
            if "\\x00" in repr(values):
                raise DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
            return execute(query, values, many, context)

        number = self.deposit()
        browser, key = self.browser("paul.renard"), self.token("paul.renard").json()["token"]
        basic = base64.b64encode(b"paul\0renard:x").decode()
        there = f"/api/v4/creatic/dossiers/{number}/refuser/"
        with connection.execute_wrapper(as_postgresql):
            answers = {
                "query": browser.get("/parapheur/dossiers/?etat=a%00b", secure=True),
                "words": browser.get("/parapheur/dossiers/?mots=%00", secure=True),
                "path": browser.get("/parapheur/lots/%00/", secure=True),
                "api": Visitor().get("/api/v4/documents/?q=%00", HTTP_AUTHORIZATION=f"Token {key}", secure=True),
                "form": browser.post(
                    f"/parapheur/dossiers/{number}/", {"geste": "refuser", "motif": "a\0b", "etat": "a_viser"},
                    secure=True,
                ),
                "json": Visitor().post(
                    there, json.dumps({"motif": "a\0b"}), "application/json", HTTP_AUTHORIZATION=f"Token {key}",
                    secure=True,
                ),
                "login": Visitor().get("/api/v4/documents/", HTTP_AUTHORIZATION=f"Basic {basic}", secure=True),
                "cookie": Visitor(HTTP_COOKIE='sessionid="abcdefgh\\000"').get("/parapheur/", secure=True),
            }  # fmt: skip # a table
        self.assertEqual({name: one.status_code for name, one in answers.items()}, dict.fromkeys(answers, 400))
        self.assertTrue(all("nul, qu'aucun texte" in one.content.decode() for one in answers.values()))
        self.assertEqual(browser.get("/parapheur/dossiers/?etat=a_viser", secure=True).status_code, 200)

    def test_an_account_that_no_rollout_made_goes_out_and_nowhere_else(self) -> None:
        get_user_model().objects.create_user("zoe.martin", "z@x.test", OWN)
        browser = self.browser("zoe.martin")
        for path in ("/home/", "/documents/documents/", "/parapheur/", "/api/v4/documents/"):
            self.assertEqual(browser.get(path, secure=True).status_code, 403, path)
        self.assertEqual(browser.post("/authentication/logout/", secure=True).status_code, 302)

    def test_a_person_called_as_the_passerelle_is_not_it(self) -> None:
        user = account("karim.roux")
        user.known.login = "passerelle"
        self.assertIs(doors.role_of(user, False), Role.PERSON)
        self.assertIs(doors.role_of(account("passerelle"), False), Role.GATEWAY)

    def test_from_afar_the_administrator_writes_no_template(self) -> None:
        key = self.token("admin", in_process.ADMIN).json()["token"]
        body = json.dumps({"name": "lieu", "label": "Lieu", "lookup": "ici,là"})
        for more, expected in (({"HTTP_X_FORWARDED_FOR": "192.0.2.1"}, 403), ({}, 201)):
            answer = Visitor().post(
                "/api/v4/metadata_types/", body, "application/json", HTTP_AUTHORIZATION=f"Token {key}",
                secure=True, **more,
            )  # fmt: skip # a table
            self.assertEqual(answer.status_code, expected, answer.content[:200])


class Rendered(Mayan):
    """Behind the doors: what is stored to be rendered is plain, and nothing that is asked for is rendered."""

    THEFT = "{% for u in users %}{{ u.password }}{{ u.auth_token.key }}{% endfor %}"

    WRONG = (
        THEFT, "{{ document.file_latest.user.password }}", "{# x", '{"a": "{{ x }}"}',
        "{{ document.document_type.label }}{{ now }}", "{{document.metadata_value_of.x}}",
        "{{ document.metadata_value_of.x }}\n", "{{ document.metadata_value_of.x.y }}",
    )  # fmt: skip # by rows

    def test_nothing_that_is_rendered_is_stored(self) -> None:
        found = templating.stored()
        self.assertGreaterEqual(len(found), 14)
        for model, names in found.items():
            for name in names:
                for text in self.WRONG:
                    with self.assertRaisesRegex(
                        guard.ChangeDeniedError, "Mayan en ferait un gabarit", msg=f"{model} {name}"
                    ):
                        templating.keep_plain(model, model(**{name: text}))
                templating.keep_plain(model, model(**{name: '{"uncompress": "never"}'}))

    @in_process.behind
    def test_even_where_a_door_would_be_open(self) -> None:
        user = account("claire.dubois")
        Token.objects.get_or_create(user=user)
        for path, body in (
            ("/metadata_types/", {"name": "vol", "label": "Vol", "lookup": self.THEFT}),
            ("/web_links/", {"label": "vol", "template": self.THEFT}),
            ("/smart_links/", {"label": "vol", "dynamic_label": self.THEFT}),
            ("/batch_requests/", {"requests": [{"name": self.THEFT, "url": "/api/v4/documents/"}]}),
            (f"/objects/documents/document/{self._document()}/sandbox/", {"template": self.THEFT}),
        ):
            told = self.api("admin", "POST", path, body)
            self.assertIn(told.status_code, (400, 403), (path, told.content[:300]))
            self.assertNotIn(user.password, told.content.decode())
        message = Message(user=user, sender_object=user, subject="x", body="{{ message.user.password }}")
        self.assertEqual(message.get_rendered_body(), "{{ message.user.password }}")
        kind = MetadataType(name="vol", label="Vol", lookup=self.THEFT)  # as one that was there before
        self.assertEqual(kind.get_lookup_values(), [])

    def _document(self) -> int:
        return int(in_process.Dossier.objects.get(pk=self.deposit()).document_id)


class Pages(Mayan):
    """Every link, button and image of the pages that an agent sees is open."""

    FOUND = re.compile(r"(?:href|src|action|formaction|data-url|data-src|data-image-url|data-href)=\"([^\"]+)\"")

    def crawl(self, browser: Visitor, starts: list[str], most: int = 3) -> dict[str, int]:
        """Follow everything; gives how often each address was seen."""
        seen: dict[str, int] = {}
        waiting = [(one, "") for one in starts]
        done: set[str] = set()
        while waiting:
            path, came_from = waiting.pop(0)
            place = urlsplit(path)
            if path in done or place.netloc or place.path.startswith("/static/") or not place.path.startswith("/"):
                continue
            done.add(path)
            try:
                where = doors.address(resolve(place.path).route)
            except Resolver404:
                self.fail(f"{path}, on {came_from}: there is no such page")
            seen[where] = seen.get(where, 0) + 1
            # A form goes there, with what is looked for.
            asked = "q=" in place.query or not where.startswith("search/results/")
            if "/multiple/" in where and "id_list" not in place.query:
                continue  # the page's script adds what was ticked
            if where == "documents/documents/versions/<document_version_id>/pages/":
                continue  # Mayan's own page fails on a version without pages, for who may not remap them
            if seen[where] > most or not asked or where in ("authentication/logout/", ""):
                continue
            try:
                answer = browser.get(path, secure=True)
            except Exception as error:
                raise AssertionError(f"{path}, on {came_from}") from error
            self.assertNotIn(answer.status_code, (401, 403, 404), f"{path}, on {came_from}")
            self.assertTrue(answer.status_code < 500 or "/image/" in path, f"{path}: {answer.status_code}")
            if answer.status_code in (301, 302):
                waiting.append((answer["Location"], path))
            if answer.streaming or ("html" not in answer["Content-Type"] and "json" not in answer["Content-Type"]):
                continue
            text = answer.content.decode()
            if "json" in answer["Content-Type"]:
                if "/templates/" not in path:
                    continue
                text = answer.json()["html"]
            waiting += [(urljoin(path, html.unescape(one)).partition("#")[0], path) for one in self.FOUND.findall(text)
                        if not one.startswith(("#", "data:", "javascript:", "mailto:"))]  # fmt: skip # by rows
            for form, inside in re.findall(r"(<form[^>]*method=\"post\"[^>]*>)(.*?)</form>", text, re.I | re.S):
                if 'type="submit"' not in inside:
                    continue  # what is only shown
                target = re.search(r'action="([^"]+)"', form)
                place = urlsplit(urljoin(path, html.unescape(target[1])) if target else path)
                posted = doors.address(resolve(place.path).route)
                self.assertTrue(doors.may(Role.PERSON, "POST", posted), f"{posted}, of a form on {path}")
        return seen

    def setUp(self) -> None:
        # As Mayan's first setup makes it.
        Source.objects.create(
            label="Formulaire", backend_path="mayan.apps.source_web_forms.source_backends.SourceBackendWebForm",
            backend_data=json.dumps({"uncompress": "never"}), enabled=True,
        )  # fmt: skip # a table

    def test_of_the_ged(self) -> None:
        doors.opened.cache_clear()
        self.addCleanup(doors.opened.cache_clear)
        with kinds(False):
            session = mayan_api.Mayan(Door(), "g.test")
            session.log_in("admin", in_process.ADMIN)
            wanted = ged.configuration(ged.read_plan(PLAN), [LOOS, WAVRIN], "passerelle")
            mayan_config.apply(session, wanted, {})
            kind = DocumentType.objects.get(
                pk=self.api("karim.roux", "GET", "/document_types/").json()["results"][0]["id"]
            )
            made = self.api(
                "karim.roux", "POST", "/documents/", {"document_type_id": kind.pk, "label": "Lettre à Mme Dupont"}
            ).json()
            file = io.BytesIO(PAGE)
            file.name = "lettre.pdf"
            sent = Visitor().post(
                f"/api/v4/documents/{made['id']}/files/", {"action_name": "replace", "file_new": file},
                HTTP_AUTHORIZATION=f"Token {self.token('karim.roux').json()['token']}", secure=True,
            )  # fmt: skip # a table
            self.assertEqual(sent.status_code, 202, sent.content[:300])
            self.assertEqual(Document.objects.get(pk=made["id"]).files.count(), 1)
            seen = self.crawl(self.browser("karim.roux"), [
                "/home/", "/api/v4/templates/menu_main/", "/api/v4/templates/menu_topbar/",
                f"/documents/documents/{made['id']}/preview/", f"/search/results/{SEARCH}/?q=lettre",
                "/cabinets/cabinets/", "/indexing/instances/",
            ])  # fmt: skip # a table
            for page in (
                "documents/documents/<document_id>/versions/",
                "metadata/documents/<document_id>/metadata/add/", "cabinets/documents/<document_id>/cabinets/add/",
                "document_downloads/documents/files/<document_file_id>/download/", "indexing/instances/",
            ):  # fmt: skip # by rows
                self.assertIn(page, seen)
            page = DocumentFilePage(document_file=Document.objects.get(pk=made["id"]).files.get(), page_number=1)
            page.save()
            drawn = f"/documents/{made['id']}/files/{page.document_file_id}/pages/{page.pk}/image/"
            huge = {"transformation_0_name": "zoom", "transformation_0_argument__percent": 100_000}
            told = self.api("karim.roux", "GET", f"{drawn}?{urlencode(huge)}")
            self.assertEqual(told.status_code, 400, told)
            self.assertIn("est trop grand", told.json()["detail"])
            self.is_hidden_from("hugo.blanc", Document.objects.get(pk=made["id"]), page)
            self.keeps_nothing_of("hugo.blanc", made["id"])

    def keeps_nothing_of(self, login: str, document: int) -> None:
        """Give a file for a document that is another commune's, or is not: it stayed on the disk for a week."""
        before = SharedUploadedFile.objects.count()
        for number in (document, 999_999):
            file = io.BytesIO(PAGE)
            file.name = "lettre.pdf"
            sent = Visitor().post(
                f"/api/v4/documents/{number}/files/", {"action_name": "replace", "file_new": file},
                HTTP_AUTHORIZATION=f"Token {self.token(login).json()['token']}", secure=True,
            )  # fmt: skip # a table
            self.assertEqual(sent.status_code, 404, sent.content[:300])
        self.assertEqual(SharedUploadedFile.objects.count(), before)

    def is_hidden_from(self, login: str, document: Document, page: DocumentFilePage) -> None:
        """Ask every address that is open of another commune's document, and of what is of it."""
        version = document.versions.last() or document.versions.create()
        ids = {
            "document_id": document.pk, "document_file_id": page.document_file_id, "document_file_page_id": page.pk,
            "document_version_id": version.pk, "document_type_id": document.document_type_id,
            "document_version_page_id": version.version_pages.create(content_object=page, page_number=1).pk,
            "metadata_id": document.metadata.create(metadata_type=MetadataType.objects.first(), value="Dupont").pk,
            "search_model_pk": SEARCH,
        }  # fmt: skip # a table
        Cabinet.objects.get(label__startswith="Loos").documents.add(document)
        every = {"cabinet_id": Cabinet, "index_instance_node_id": IndexInstanceNode}
        browser, asked, told = self.browser(login), set(), []
        for where in sorted(where for method, where in doors.opened()[Role.PERSON] if method == "GET"):
            names = re.findall(r"<(\w+)>", where)
            if {*names} - ids.keys() - every.keys() or where.startswith(("authentication/", "api/v4/server_side_e")):
                continue
            [(name, model)] = [(one, every[one]) for one in names if one in every] or [("", None)]
            for number in model.objects.values_list("pk", flat=True) if model else (0,):
                path, known = where, ids | {name: number}
                for one in names:
                    path = path.replace(f"<{one}>", str(known[one]))
                query = "?q=dupont" if "search" in where else f"?id_list={document.pk}" if "/multiple/" in where else ""
                answer = browser.get(f"/{path}{query}", secure=True)
                shown = b"".join(answer.streaming_content) if answer.streaming else answer.content
                asked.add(where)
                if "Dupont" in shown.decode(errors="replace"):
                    told.append(path)
        self.assertEqual(told, [])
        self.assertIn("documents/documents/<document_id>/files/", asked)

    def test_of_the_parapheur(self) -> None:
        number = self.deposit()
        self.act("paul.renard", number, "viser")
        for login in ("karim.roux", "claire.dubois"):
            seen = self.crawl(self.browser(login), [
                "/parapheur/", f"/parapheur/dossiers/{number}/",
            ])  # fmt: skip # a table
            for page in ("parapheur/absences/", "parapheur/delegations/", "parapheur/dossiers/<number>/fichier/"):
                self.assertIn(page, seen, login)


class Drawn(Mayan):
    """A page of a kilobyte may take minutes to draw: who asks for many kept everybody from their documents."""

    def test_what_a_file_makes_last_has_an_end_and_a_worker_of_its_own(self) -> None:
        given = yaml.safe_load((in_process.TOP / "roles/mayan/vars/main.yml").read_text(encoding="utf-8"))
        apart = {*given["__mayan_drawing"], *given["__mayan_reading"]}
        self.assertLessEqual(apart, {queue.name for queue in celery.conf.task_queues})
        for name in (
            "converter.tasks.task_content_object_image_generate", "document_parsing.tasks.task_parse_document_file",
            "documents.tasks.document_file_tasks.task_document_file_mimetype_update",
            "documents.tasks.document_file_tasks.task_document_file_page_count_update",
            "file_metadata.tasks.task_metadata_driver_process", "ocr.tasks.task_document_version_page_ocr_process",
        ):  # fmt: skip # a list
            task = celery.tasks[f"mayan.apps.{name}"]
            self.assertLess(task.soft_time_limit, task.time_limit, name)
            if "documents." not in name:
                self.assertIn(celery.conf.task_routes[task.name]["queue"], apart, name)


class Extent(TestCase):
    """A PDF of a kilobyte says that it has as many pages as it likes: each is a row, an event, tasks of everybody's."""

    def setUp(self) -> None:
        kind = DocumentType.objects.create(label="Acte")
        self.file = DocumentFile(
            document=Document.objects.create(document_type=kind, label="Acte"),
            file=SimpleUploadedFile("acte.pdf", endless()), filename="acte.pdf", mimetype="application/pdf",
        )  # fmt: skip # a table
        self.file.save(skip_introspection=True)

    def test_a_document_has_so_many_pages_whatever_it_says(self) -> None:
        converter: Any = ConverterBase.get_converter_class()
        self.assertEqual(
            converter(io.BytesIO(endless()), "application/pdf").get_page_count(), extent.MAX_DOCUMENT_PAGES
        )
        with mock.patch.object(extent, "MAX_DOCUMENT_PAGES", 3):
            self.file.page_count_update()
            self.file.versions_new("replace", comment="")
            self.file.versions_new("append", comment="")
            DocumentFile.objects.get(pk=self.file.pk).document.versions.last().pages_append_all()
        self.assertEqual(self.file.pages.count(), 3)
        self.assertEqual({one.pages.count() for one in self.file.document.versions.all()}, {3})

    def test_what_is_not_counted_in_time_has_none_and_is_kept(self) -> None:
        self.file.mimetype = "image/tiff"
        with mock.patch(
            "mayan.apps.converter.backends.python.Python.get_pillow_page_count", side_effect=SoftTimeLimitExceeded
        ):
            self.assertIsNone(self.file.page_count_update())

    def test_pages_are_read_one_after_another_and_nothing_else_is_queued_for_each(self) -> None:
        with mock.patch.object(extent, "MAX_DOCUMENT_PAGES", 3):
            self.file.page_count_update()
            with mock.patch.object(search_tasks.task_index_instance, "run") as indexed:
                self.file.versions_new("replace", comment="")
        self.assertFalse(indexed.called, "the search reads the database")
        self.assertNotIn("documents.document_version_page_created", {*Action.objects.values_list("verb", flat=True)})
        version, read = self.file.document.versions.get(), ocr_tasks.task_document_version_page_ocr_process
        pages = [one.pk for one in version.pages.order_by("page_number")]
        taken: list[int] = []
        with (
            mock.patch.object(read, "apply_async") as queued,
            mock.patch.object(ocr_tasks.task_document_version_ocr_finished, "apply_async") as finished,
            mock.patch(
                "mayan.apps.ocr.managers.DocumentVersionPageOCRContentManager.process_document_version_page",
                side_effect=lambda document_version_page, user: taken.append(document_version_page.pk),
            ),
        ):
            ocr_tasks.task_document_version_ocr_process.run(version.pk)
            self.assertEqual(queued.call_count, 1)
            for page in pages:
                self.assertFalse(finished.called)
                read.run(page)
            self.assertEqual([one.kwargs["kwargs"]["document_version_page_id"] for one in queued.call_args_list[1:]],
                             pages[1:])  # fmt: skip # one call
            finished.assert_called_once()
        self.assertEqual(taken, pages)


class Bundles(TestCase):
    """Each bundle is a copy on everybody's disk, made by what receives everybody's documents."""

    def test_a_person_has_so_many_copies_of_so_many_bytes(self) -> None:
        person = get_user_model().objects.create(username="une.personne")
        kind = DocumentType.objects.create(label="Acte")
        file = DocumentFile(
            document=Document.objects.create(document_type=kind, label="Acte"),
            file=SimpleUploadedFile("acte.pdf", PAGE), filename="acte.pdf", mimetype="application/pdf", size=len(PAGE),
        )  # fmt: skip # a table
        file.save(skip_introspection=True)
        for _time in range(5):
            compress(id_list=[file.pk], user_id=person.pk)
        self.assertEqual(person.download_files.count(), 3)

        view = DocumentDownloadView(request=mock.Mock(user=person))
        form = mock.Mock(cleaned_data=[{"document_file_id": file.pk, "include": True}])
        with (
            mock.patch.object(view, "get_object_list", DocumentFile.objects.all),
            mock.patch("mayan.apps.document_downloads.views.get_organization_installation_url", lambda **_: ""),
            mock.patch("mayan.apps.views.generics.MultipleObjectFormActionView.view_action"),
        ):
            view.view_action(form=form)
            DocumentFile.objects.update(size=bundles.MAX_BUNDLE_BYTES + 1)
            with self.assertRaisesRegex(guard.ChangeDeniedError, "2.0 Go, 2 Go .* moins de documents"):
                view.view_action(form=form)
        self.assertEqual(person.download_files.count(), 3, "the last ones")


class Shares(TestCase):
    """One account filled the disk of everybody's documents in ten minutes."""

    def setUp(self) -> None:
        self.today = timezone.localdate()
        people = Role.PERSON
        self.enterContext(mock.patch.object(before.doors, "may", lambda role, *_: role is people))
        self.enterContext(mock.patch.object(before.doors, "role_of", lambda user, _here: user.role))

    def sent(self, commune: str, size: int, role: Role = Role.PERSON, method: str = "POST") -> str:
        """Send bytes; gives why they are refused."""
        request = RequestFactory().generic(method, "/api/v4/documents/", CONTENT_LENGTH=str(size))
        request.user = mock.Mock(role=role, known=mock.Mock(commune=commune, login="une.personne"))
        request.resolver_match = mock.Mock(route="documents/")
        answer = before.Doors(lambda _request: None).process_view(request, None, (), {})
        return "" if answer is None else str(json.loads(answer.content)["detail"])

    def test_a_commune_sends_so_much_in_a_day_and_keeps_no_other_from_it(self) -> None:
        self.assertEqual([self.sent("loos", 190_000_000) for _time in range(5)], [""] * 5)
        self.assertIn("1000 Mo aujourd'hui", self.sent("loos", 190_000_000))
        self.assertEqual(self.sent("loos", 1_000_000), "", "what is lighter has its place")
        self.assertEqual(self.sent("loos", 190_000_000, method="GET"), "")
        self.assertEqual(self.sent("wavrin", 190_000_000), "")
        self.assertEqual(self.sent("", 190_000_000), "", "an account of before communes were noted")

    def test_many_small_ones_count_too(self) -> None:
        Sent.objects.create(commune="loos", day=self.today, octets=shares.DAY_MAX - 30_000)
        self.assertEqual(self.sent("loos", 10), "")
        self.assertIn("aujourd'hui", self.sent("loos", 10))

    def test_a_month_is_less_than_its_days(self) -> None:
        for day in range(1, 5):
            Sent.objects.create(commune="loos", day=self.today - dt.timedelta(day), octets=shares.DAY_MAX)
        self.assertIn("4000 Mo en trente jours", self.sent("loos", 10))
        Sent.objects.filter(commune="loos").delete()
        Sent.objects.create(commune="loos", day=self.today - dt.timedelta(30), octets=5 * shares.DAY_MAX)
        self.assertEqual(self.sent("loos", 10), "")
        self.assertEqual([one.day for one in Sent.objects.filter(commune="loos")], [self.today], "forgotten")


class Searches(TestCase):
    """Four thousand words in one address held a thread for hours: eight of them, everybody's."""

    def setUp(self) -> None:
        self.person = get_user_model().objects.create(username="une.personne")
        self.service = get_user_model().objects.create(username="un.programme")
        self.addCleanup(mock.patch.stopall)
        mock.patch("creatic_passwords.is_service", lambda user: user == self.service).start()

    def search(self, user: Any, words: str = "travaux") -> Any:
        model = SearchModel.get(name="documents.documentsearchresult")
        return SearchBackend.get_instance().search(search_model=model, query={"q": words}, user=user)

    def test_a_search_ends_and_says_what_to_do(self) -> None:
        self.search(self.person)
        with (
            mock.patch.object(searches, "SECONDS", 0.1),
            self.assertRaisesRegex(guard.ChangeDeniedError, "moins de mots"),
        ):
            self.search(self.person, " ".join(f"mot{rank}" for rank in range(400)))
        self.search(self.person)

    def test_one_of_a_person_at_a_time_and_those_of_the_passerelle(self) -> None:
        resolve_all = SearchInterpreter.do_resolve

        def meanwhile(interpreter: Any, *given: Any, **named: Any) -> Any:
            with mock.patch.object(SearchInterpreter, "do_resolve", resolve_all):
                with self.assertRaisesRegex(guard.ChangeDeniedError, "déjà en cours"):
                    self.search(self.person)
                self.search(self.service)
            return resolve_all(interpreter, *given, **named)

        with mock.patch.object(SearchInterpreter, "do_resolve", meanwhile):
            self.search(self.person)


class Images(unittest.TestCase):
    """A page is drawn as Mayan's pages ask: one address had the only processes of the background drawing for hours."""

    def test_as_pages_ask(self) -> None:
        own = [TransformationResize(width="3600", height=""), TransformationRotate(degrees=270),
               TransformationZoom(percent=300)]  # fmt: skip # by rows
        for steps in ([], own[:1], own, [TransformationResize(width="50", height="50")]):
            query = QueryDict(urlsplit(BaseTransformation.list_as_query_string(steps)).query)
            self.assertIsNone(images.problem(IndexedDictionary(dictionary=query).as_dictionary_list()), query)

    def test_and_no_other_way(self) -> None:
        for name, argument, value in (
            ("zoom", "percent", "301"), ("zoom", "percent", "nan"), ("zoom", "percent", "1e9"),
            ("rotate", "degrees", "45"), ("rotate", "fillcolor", "red"), ("resize", "width", "99999"),
            ("gaussianblur", "radius", "9"), ("draw_text", "text", "x"), ("", "percent", "100"),
        ):  # fmt: skip # a table
            self.assertIsNotNone(images.problem([{"name": name, "arguments": {argument: value}}]), (name, value))
        self.assertIsNotNone(images.problem([{"name": "zoom", "arguments": {"percent": "200"}}] * 2))
        self.assertIsNotNone(images.problem([{"arguments": {}}]))

    def test_who_waits_for_images_leaves_threads_to_pages_and_images_to_others(self) -> None:
        drawing = places.Places(of=8)
        with ExitStack() as held:
            own = [held.enter_context(drawing.place("one")) for _ in range(12)]
            self.assertEqual(sum(own), 1, "of twelve of one person: there are two processes that draw")
            others = [held.enter_context(drawing.place(f"other-{rank}")) for rank in range(12)]
            self.assertEqual(sum(others), 3, "half of the threads in all")
        with drawing.place("one") as has:
            self.assertTrue(has, "places come back")

    def test_one_too_many_is_asked_again(self) -> None:
        view, request, drawn = mock.Mock(), mock.Mock(), threading.Event()
        view.set_cache_file_generate = partial(APIImageViewMixin.set_cache_file_generate, view)
        asked: dict[str, Any] = {"maximum_layer_order": None, "request": request, "transformation_dictionary_list": []}
        with mock.patch("mayan.apps.converter.api_view_mixins.task_content_object_image_generate") as task:
            task.apply_async.return_value.get.side_effect = lambda **_given: drawn.wait(60)
            first = threading.Thread(target=view.set_cache_file_generate, kwargs=asked)
            first.start()
            while not task.apply_async.called:
                time.sleep(0.01)
            with self.assertRaises(AppImageBusy) as busy:
                view.set_cache_file_generate(**asked)
            drawn.set()
            first.join()
            self.assertTrue(busy.exception.wait, "after how long")
            view.set_cache_file_generate(**asked)

    def test_a_plan_is_not_drawn_larger_than_memory(self) -> None:
        self.assertEqual(images.enlarged(300, (2480, 3508)), 300)
        self.assertLess(images.enlarged(300, (9933, 14043)), 101)
        self.assertEqual(images.enlarged(50, (9933, 14043)), 50)
        small = TransformationZoom(percent="300").execute_on(image=Image.new("1", (9000, 9000)))
        self.assertLess(small.size[0] * small.size[1], 91_000_000)


if __name__ == "__main__":
    setup_test_environment()
    setup_databases(verbosity=0, interactive=False)
    in_process.populate()
    unittest.main(verbosity=2)
