"""The document store: who sees what, what comes back, what listens, what is made exact again."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.applications import mayan_config
from testinfra.host import Host

from testbed.ged import CHANGE, JSON, Store
from testbed.patience import wait_for
from tests.profiles.ged.conftest import Document
from tests.profiles.services import as_root, exposure, listens_on, memory_holds, there_and_closed

pytestmark = pytest.mark.exterieur  # asked as people do, from another machine

STRANGERS = ("nadia.moreau", "karim.lefevre")  # another commune's agent; another service's, without this type
SEARCH = "documents.documentsearchresult"
# Megabytes, all of Mayan, PostgreSQL, Redis and nginx, shared pages counted once: 850 to 900, of which 200 have what
# one file makes last (images, text) keep nobody waiting.
MEMORY = 1000


# -- the host -----------------------------------------------------------------------------------------------


def test_what_runs(host: Host) -> None:
    for unit in ("postgresql@17-main", "mayan-queue", "mayan-setup", "mayan", "mayan-worker", "mayan-pages",
                 "mayan-lecture", "nginx"):  # fmt: skip # a list of words
        assert host.check_output(f"systemctl is-active {unit}.service") == "active", unit


def test_only_ssh_and_https_listen(host: Host) -> None:
    """PostgreSQL and Redis are reached by their unix sockets alone, not even by the loopback."""
    listens_on(host, 22, 443)


@pytest.mark.parametrize(
    "unit",
    ["mayan", "mayan-worker", "mayan-pages", "mayan-lecture", "mayan-setup", "postgresql-bases", "creatic-postgresql"],
)
def test_services_are_sandboxed(host: Host, unit: str) -> None:
    assert exposure(host, f"{unit}.service") < 2.0


def test_postgresql_says_how_it_is(host: Host) -> None:
    as_root(host, "systemctl start creatic-postgresql.service")
    text = host.file("/var/lib/creatic/metrics/postgresql.prom").content_string
    assert "creatic_postgresql_up 1" in text and "creatic_postgresql_archive_failing 0" in text, text
    assert 'creatic_postgresql_bytes{base="mayan"}' in text


def test_secrets_are_closed_to_other_accounts(host: Host) -> None:
    for path in ("/etc/mayan/admin", "/var/lib/mayan/media/system/SECRET_KEY", "/run/mayan-queue/redis.sock"):
        assert there_and_closed(host, path), path
    with host.sudo("www-data"):
        assert host.run("psql -h /run/postgresql -U mayan mayan -c 'SELECT 1'").failed


def test_memory_holds_on_a_small_machine(host: Host, document: Document) -> None:
    """PSS once documents were handled."""
    memory_holds(host, "mayan,postgres,redis,www-data", MEMORY, 10)


# -- what a visitor sees ------------------------------------------------------------------------------------


def test_login_page_is_french_and_tells_no_password(store: Store) -> None:
    page = store.ask("GET", "/authentication/login/", {"Accept-Language": "en-US,en;q=0.9"})
    assert page.status == 200
    text = page.data.decode()
    assert re.search(r'<html[^>]* lang="fr"', text)
    assert "Mot de passe" in text
    assert store.password("admin") not in text
    assert "autoadmin" not in text.lower()


def test_page_asks_nothing_of_others(store: Store) -> None:
    """All that pages load is of this host, and is there: the log-in, and the frame of all others."""
    text = store.ask("GET", "/authentication/login/").data.decode()
    text += store.ask("GET", "/", store.browser("claire.dubois")).data.decode()
    loaded = re.findall(r'<(?:script|img)[^>]+src="([^"]+)"|<link href="([^"]+)"[^>]+rel="(?:stylesheet|icon)"', text)
    addresses = [script or sheet for script, sheet in loaded]
    assert len(addresses) > 20
    assert not [address for address in addresses if address.startswith(("http", "//"))]
    for address in addresses:
        if address.startswith("/static/"):
            assert store.ask("GET", address).status == 200, address


def test_cookies_travel_over_tls_alone(store: Store) -> None:
    for cookie in store.ask("GET", "/authentication/login/").headers.getlist("Set-Cookie"):
        assert "; Secure" in cookie, cookie.partition("=")[0]


def shows_nothing(answer: Any) -> bool:
    """Whether an answer of the API refuses, or is an empty list."""
    return answer.status in (401, 403, 404) or (answer.status == 200 and answer.json().get("results") == [])


def test_nobody_enters_without_an_account(store: Store, document: Document) -> None:
    for path in ("/", "/documents/documents/", f"/documents/documents/{document.number}/preview/"):
        assert store.ask("GET", path).status == 302, path
    for path in (
        "documents",
        "users",
        "cabinets",
        f"documents/{document.number}",
        f"documents/{document.number}/files",
    ):
        assert shows_nothing(store.ask("GET", f"/api/v4/{path}/", {"Accept": "application/json"})), path


# -- who sees what ------------------------------------------------------------------------------------------


def test_a_document_comes_back_byte_for_byte(store: Store, document: Document) -> None:
    path = f"/documents/{document.number}/files/{document.file}/download/"
    assert store.api("claire.dubois", "GET", path).data == document.content


def test_its_owner_finds_it(store: Store, document: Document) -> None:
    mark = document.label.rpartition(" ")[2]
    found = store.listed("claire.dubois", f"/search/{SEARCH}/?q={mark}")
    assert [one["id"] for one in found] == [document.number]
    headers = store.browser("claire.dubois")
    assert store.ask("GET", f"/documents/documents/{document.number}/preview/", headers).status == 200
    assert "GED du groupement" in store.ask("GET", "/", headers).data.decode()


@pytest.mark.parametrize("login", STRANGERS)
def test_others_are_told_it_does_not_exist(store: Store, document: Document, login: str) -> None:
    number, file = document.number, document.file
    for path in (
        f"/documents/{number}/",
        f"/documents/{number}/files/",
        f"/documents/{number}/metadata/",
        f"/documents/{number}/files/{file}/download/",
        f"/documents/{number}/versions/",
    ):
        assert shows_nothing(store.api(login, "GET", path)), path
    assert store.api(login, "GET", f"/documents/{number}/").status == 404
    assert document.number not in [one["id"] for one in store.listed(login, "/documents/")]
    assert store.api(login, "DELETE", f"/documents/{number}/").status == 403  # closed, whosever it is


@pytest.mark.parametrize("login", STRANGERS)
def test_others_do_not_find_it(store: Store, document: Document, login: str) -> None:
    mark = document.label.rpartition(" ")[2]
    assert store.listed(login, f"/search/{SEARCH}/?q={mark}") == []
    assert store.listed(login, f"/search/advanced/{SEARCH}/?label={mark}") == []


@pytest.mark.parametrize("login", STRANGERS)
def test_others_have_no_page_of_it(store: Store, document: Document, login: str) -> None:
    headers = store.browser(login)
    assert store.ask("GET", "/documents/documents/", headers).status == 200
    for path in (
        f"/documents/documents/{document.number}/preview/",
        f"/documents/documents/{document.number}/properties/",
        f"/documents/documents/files/{document.file}/preview/",
    ):
        assert store.ask("GET", path, headers).status == 404, path


def test_a_commune_sees_its_own_plan_alone(store: Store) -> None:
    """Who presides an entity that the commune hosts sees its plan too; who works for it alone, that one."""
    hosted = "CCAS de Gondecourt"
    known = (("claire.dubois", {"Gondecourt", hosted}), ("odile.faure", {hosted}), ("nadia.moreau", {"La Madeleine"}))
    for login, own in known:
        types = {one["label"].partition(" - ")[0] for one in store.listed(login, "/document_types/")}
        cabinets = {one["full_path"].partition(" [")[0] for one in store.listed(login, "/cabinets/")}
        indexes = {one["label"].partition(" - ")[0] for one in store.listed(login, "/index_instances/")}
        assert (types, cabinets, indexes) == (own, own, own), login


def test_a_service_sees_its_types_alone(store: Store) -> None:
    types = {one["label"] for one in store.listed("karim.lefevre", "/document_types/")}
    assert types == {"Gondecourt - Marché public [215902669]", "Gondecourt - Courrier [215902669]"}


def test_nobody_deposits_in_another_commune(store: Store) -> None:
    [number] = [
        one["id"]
        for one in store.listed("admin", "/document_types/")
        if one["label"] == "Gondecourt - Courrier [215902669]"
    ]
    fields = {"document_type_id": str(number), "label": "intrus"}
    assert store.api("nadia.moreau", "POST", "/documents/", fields=fields).status == 404


def test_nobody_has_mayan_render_what_they_write(store: Store) -> None:
    """What the unit tests ask of each address, once over nginx, of each kind of account."""
    asked = {"requests": [{"name": "{{ users }}", "url": "/api/v4/documents/"}]}
    for login in ("claire.dubois", "passerelle", "admin"):
        for path in ("/batch_requests/", "//batch_requests/", "/%62atch_requests/", "/messages/"):
            answer = store.api(login, "POST", path, json=asked)
            assert answer.status in (301, 403, 404), (login, path)
    told = store.api("admin", "POST", "/metadata_types/", json={"name": "vol", "label": "Vol"})
    assert "n'est pas ouverte à votre compte" in told.json()["detail"]


def test_an_agent_destroys_nothing(store: Store, document: Document) -> None:
    assert store.api("claire.dubois", "DELETE", f"/documents/{document.number}/").status in (403, 404)
    assert store.api("claire.dubois", "GET", f"/documents/{document.number}/").status == 200


def test_an_agent_files_it_where_the_plan_says(store: Store, document: Document) -> None:
    [folder] = [
        one["id"]
        for one in store.listed("claire.dubois", "/cabinets/")
        if one["full_path"] == "Gondecourt [215902669] / Assemblées / Délibérations"
    ]
    path = f"/cabinets/{folder}/documents/"
    assert store.api("claire.dubois", "POST", f"{path}add/", fields={"document": str(document.number)}).status == 200
    assert [one["id"] for one in store.listed("claire.dubois", path)] == [document.number]
    assert store.api("nadia.moreau", "GET", path).status == 404


def test_a_date_is_noted_as_the_french_write_it(store: Store, document: Document) -> None:
    [kind] = [one["id"] for one in store.listed("admin", "/metadata_types/") if one["name"] == "date_acte"]
    path = f"/documents/{document.number}/metadata/"
    made = store.api("claire.dubois", "POST", path, fields={"metadata_type_id": str(kind), "value": "05/11/2026"})
    assert made.status == 201, made.data[:300]
    assert made.json()["value"] == "2026-11-05"
    wrong = store.api("claire.dubois", "PATCH", f"{path}{made.json()['id']}/", fields={"value": "31/13/2026"})
    assert wrong.status == 400


def test_a_document_finds_its_place_in_the_index(store: Store, document: Document) -> None:
    indexes = f"/documents/{document.number}/indexes/"
    places = wait_for(lambda: store.listed("claire.dubois", indexes), "la place du document dans l'index", every=1)
    assert [one["value"] for one in places] == [time.strftime("%Y")]


# -- accounts -----------------------------------------------------------------------------------------------


def test_with_a_password_that_was_handed_over_one_can_only_change_it(store: Store) -> None:
    assert store.api("nadia.moreau", "GET", "/documents/").status == 200  # with a token, which she keeps
    [group] = [one["id"] for one in store.listed("admin", "/groups/") if one["name"] == mayan_config.CHOSEN]
    [user] = [one["id"] for one in store.listed("admin", "/users/") if one["username"] == "nadia.moreau"]
    # As when somebody lost theirs, and the administrator made another.
    assert store.api("admin", "POST", f"/groups/{group}/users/remove/", fields={"user": str(user)}).status == 200
    headers = store.browser("nadia.moreau")
    for path in ("/home/", "/documents/documents/", "/cabinets/cabinets/"):
        assert store.ask("GET", path, headers).headers.get("Location") == CHANGE, path
    assert store.ask("GET", "/api/v4/documents/", headers | JSON).status == 403  # by the pages' own session
    for path in ("/", "/locales/jsi18n/mayan.apps.appearance/", "/api/v4/templates/menu_main/"):  # its frame is drawn
        assert store.ask("GET", path, headers).status == 200, path
    refused = store.api("nadia.moreau", "GET", "/documents/")
    assert (refused.status, "Votre mot de passe est provisoire" in refused.data.decode()) == (403, True)
    before = store.password("nadia.moreau")
    fields = {"username": "nadia.moreau", "password": before}
    assert store.ask("POST", "/api/v4/auth/token/obtain/", JSON, fields=fields).status == 403
    store.forget("nadia.moreau")
    assert store.api("nadia.moreau", "GET", "/documents/").status == 200
    assert store.password("nadia.moreau") != before


@pytest.mark.parametrize("password", ["court-9A", "123456789012345", "administrateur", "motdepasse"])
def test_a_weak_password_is_refused(store: Store, password: str) -> None:
    [user] = [one["id"] for one in store.listed("admin", "/users/") if one["username"] == "nadia.moreau"]
    for refused in (password, store.password("nadia.moreau")):  # the present one is no new one
        assert store.api("admin", "PATCH", f"/users/{user}/", fields={"password": refused}).status == 400


def test_guessing_locks_the_account(store: Store, host: Host) -> None:
    """Even its right password is refused then; only this account is."""

    def token(password: str) -> int:
        fields = {"username": "karim.lefevre", "password": password}
        return int(
            store.ask("POST", "/api/v4/auth/token/obtain/", {"Accept": "application/json"}, fields=fields).status
        )

    for _attempt in range(5):
        assert token("devine") >= 400
        time.sleep(0.3)  # anonymous calls are slowed down too
    try:
        assert token(store.password("karim.lefevre")) >= 400
        with pytest.raises(AssertionError):
            store.browser("karim.lefevre")
        store.browser("claire.dubois")
    finally:
        reset = (
            "set -a; . /etc/mayan/environment; /opt/mayan/current/bin/mayan-edms.py axes_reset_username karim.lefevre"
        )
        with host.sudo():
            host.run_expect([0], f"runuser -u mayan -g mayan -G redis -- sh -c '{reset}'")
    assert token(store.password("karim.lefevre")) == 200


# -- configuration as code ----------------------------------------------------------------------------------


def test_nothing_differs_from_the_inventory(store: Store, wanted: dict[str, Any]) -> None:
    result = mayan_config.apply(store.mayan(), wanted, {}, check=True)
    assert (result.changes, result.warnings) == ([], [])


def test_what_somebody_changed_is_made_exact_again(store: Store, wanted: dict[str, Any]) -> None:
    """A right given to another commune, a retention, an agent in a wrong group, a required metadata, a level."""
    mayan = store.mayan()
    types = {one["label"]: one["id"] for one in mayan.get("/document_types/")}
    roles = {one["label"]: one["id"] for one in mayan.get("/roles/")}
    groups = {one["name"]: one["id"] for one in mayan.get("/groups/")}
    users = {one["username"]: one["id"] for one in mayan.get("/users/")}
    acts = types["Gondecourt - Arrêté [215902669]"]
    acls = f"/objects/documents/documenttype/{acts}/acls/"
    intruder = mayan.post(acls, {"role_id": roles["La Madeleine [215903683]"]})
    mayan.post(f"{acls}{intruder['id']}/permissions/add/", {"permission": "documents.document_view"})
    mayan.post(
        f"/roles/{roles['La Madeleine [215903683]']}/permissions/add/", {"permission": "documents.document_view"}
    )
    mayan.patch(f"/document_types/{types['La Madeleine - Courrier [215903683]']}/", {"trash_time_period": 7})
    mayan.post(
        f"/groups/{groups['Gondecourt - Secrétariat général [215902669]']}/users/add/", {"user": users["nadia.moreau"]}
    )
    [numero] = [
        one["id"]
        for one in mayan.get(f"/document_types/{types['Gondecourt - Délibération [215902669]']}/metadata_types/")
        if one["metadata_type"]["name"] == "numero"
    ]
    relation = f"/document_types/{types['Gondecourt - Délibération [215902669]']}/metadata_types/{numero}/"
    mayan.patch(relation, {"required": False})

    expected = [
        "groupe Gondecourt - Secrétariat général [215902669] : nadia.moreau retiré",
        "rôle La Madeleine [215903683] : droit documents.document_view sur tout retiré",
        "type Gondecourt - Délibération [215902669], métadonnée numero corrigé (required : False → True)",
        "type La Madeleine - Courrier [215903683] corrigé (trash_time_period : 7 → 1825)",
        "droits sur Gondecourt - Arrêté [215902669] : rôle La Madeleine [215903683] retiré",
    ]
    assert mayan_config.apply(mayan, wanted, {}, check=True).changes == expected
    assert mayan_config.apply(mayan, wanted, {}).changes == expected
    assert mayan_config.apply(mayan, wanted, {}).changes == []
