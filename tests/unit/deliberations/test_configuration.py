"""The communes' files as the site's configuration, and what the call says when it cannot be made."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.applications import deliberations

from creatic.registry import groupement

LAB = Path(__file__).parents[3] / "inventories" / "lab"
LOOS = {
    "slug": "loos",
    "nom": "Loos",
    "siren": "215903600",
    "comptes": [
        {"identifiant": "anne.petit", "prenom": "Anne", "nom": "Petit", "courriel": "anne.petit@loos.test"},
        {"identifiant": "luc.roux", "prenom": "Luc", "nom": "Roux", "courriel": "luc.roux@loos.test"},
    ],
}
ROLES = {"redacteurs": ["anne.petit"], "dgs": ["anne.petit"], "maire": "anne.petit", "elus": ["Anne Petit"]}


def test_only_those_who_have_a_role_get_an_account() -> None:
    [found] = deliberations.configuration([LOOS | {"deliberations": ROLES}])["communes"]
    assert [one["identifiant"] for one in found["comptes"]] == ["anne.petit"]
    assert (found["maire"], found["nom_maire"], found["elus"]) == (["anne.petit"], "Anne Petit", ["Anne Petit"])
    assert found["habitants"] == 0
    [found] = deliberations.configuration([LOOS | {"deliberations": ROLES | {"habitants": 2900}}])["communes"]
    assert (found["habitants"], found["habitants_publicite"]) == (2900, 0)
    people = {"habitants": 3600, "habitants_publicite": 3400}
    [found] = deliberations.configuration([LOOS | {"deliberations": ROLES | people}])["communes"]
    assert (found["habitants"], found["habitants_publicite"]) == (3600, 3400)


def test_who_stands_in_for_the_maire_acts_and_the_maire_stays_it() -> None:
    signs = {"maire": {"titulaire": "anne.petit", "suppleants": ["luc.roux"]}}
    council = ROLES | {"elus": ["Anne Petit", "Luc Roux"]}
    # Whatever the order of accounts.
    given = LOOS | {"comptes": LOOS["comptes"][::-1], "deliberations": council, "parapheur": signs}
    [found] = deliberations.configuration([given])["communes"]
    assert (found["maire"], found["nom_maire"]) == (["anne.petit", "luc.roux"], "Anne Petit")
    assert [one["identifiant"] for one in found["comptes"]] == ["luc.roux", "anne.petit"]
    # An agent who is no adjoint stands in for nobody at the council.
    [found] = deliberations.configuration([given | {"deliberations": ROLES}])["communes"]
    assert (found["maire"], found["nom_maire"]) == (["anne.petit"], "Anne Petit")


def test_an_elu_who_reads_gets_an_account_and_is_known_by_name() -> None:
    council = ROLES | {"elus": ["Anne Petit", "Luc Roux"], "acces_elus": ["luc.roux"]}
    [found] = deliberations.configuration([LOOS | {"deliberations": council}])["communes"]
    assert [one["identifiant"] for one in found["comptes"]] == ["anne.petit", "luc.roux"]
    assert found["acces_elus"] == {"luc.roux": "Luc Roux"}
    assert "luc.roux" not in (*found["redacteurs"], *found["dgs"], *found["maire"])
    [found] = deliberations.configuration([LOOS | {"deliberations": ROLES}])["communes"]
    assert found["acces_elus"] == {}


def test_a_commune_publishes_on_line_unless_its_council_chose() -> None:
    chosen = {"habitants": 900, "publication": {"mode": "affichage", "deliberation": "2022_031"}}
    communes = [LOOS | {"deliberations": given} for given in (ROLES, ROLES | chosen)] + [LOOS]
    found = [deliberations.configuration([one])["communes"][0]["publication"] for one in communes]
    assert found == ["electronique", "affichage", "electronique"]


def test_a_commune_without_roles_has_its_public_pages() -> None:
    [found] = deliberations.configuration([LOOS])["communes"]
    assert (found["comptes"], found["redacteurs"], found["maire"], found["nom_maire"]) == ([], [], [], "")


def test_a_ccas_is_told_apart_and_a_commune_as_before() -> None:
    given = {"heberge_par": "loos", "organisme": "CCAS de Loos", "conseil": "conseil d'administration",
             "qualite": "président"}  # fmt: skip # a table
    ccas = LOOS | {"slug": "loos-ccas", "nom": "CCAS de Loos", "siren": "265903609", "deliberations": ROLES} | given
    commune, hosted = deliberations.configuration([ccas, LOOS])["communes"]
    assert (commune["slug"], hosted["slug"]) == ("loos", "loos-ccas")
    assert given.items() <= hosted.items()
    assert not given.keys() & commune.keys()


def test_a_commune_is_told_to_be_one_and_nothing_else_is() -> None:
    """What goes on line follows it: what is not told is the strictest, whatever a name says."""
    hosted = LOOS | {"slug": "loos-x", "heberge_par": "loos", "nom": "Commune de Loos", "deliberations": ROLES}
    opened = ROLES | {"aides_individuelles": False}
    given = (LOOS, hosted, hosted | {"type": "ccas"}, hosted | {"type": "autre", "deliberations": opened})
    found = [deliberations.configuration([one])["communes"][0] for one in given]
    assert [one["type"] for one in found] == ["commune", "", "ccas", "autre"]
    assert [one["aides_individuelles"] for one in found] == [True, True, True, False]


def test_the_lab_is_served() -> None:
    communes = [one.variables for one in groupement.load(LAB) if "deliberations" in one.data["services"]]
    found = deliberations.configuration(communes)
    assert [one["slug"] for one in found["communes"]] == ["gondecourt", "la-madeleine"]
    [declared, _] = [(one.get("siret"), one.get("site_internet")) for one in found["communes"]]
    assert declared == ("21590266900013", "https://www.gondecourt.test")


class _Site(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    status = 200
    asked: dict[str, Any]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[_Site]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert isinstance(self.server, _Site)
            self.server.asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.server.asked["path"], self.server.asked["host"] = self.path, self.headers["Host"]
            self.send_response(self.server.status)
            self.end_headers()
            self.wfile.write(json.dumps({"changements": ["un"]}).encode())

        def do_GET(self) -> None:
            assert isinstance(self.server, _Site)
            self.server.asked = {"path": self.path, "host": self.headers["Host"]}
            self.send_response(self.server.status)
            self.end_headers()
            self.wfile.write(json.dumps({"ouvert": True}).encode())

        def log_message(self, *_said: Any) -> None:
            pass

        def address_string(self) -> str:
            return "unix"

    with _Site(str(tmp_path / "site.sock"), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def call(site: _Site, check: bool = False) -> dict[str, Any]:
    connection = deliberations.connect(str(site.server_address))
    return deliberations.apply(connection, "site.test", "secret", {"communes": []}, {"passerelle": "x"}, check)


@pytest.mark.parametrize("check", [True, False])
def test_all_is_one_call(site: _Site, check: bool) -> None:
    assert call(site, check) == {"changements": ["un"]}
    assert site.asked == {
        "configuration": {"communes": []},
        "mots_de_passe": {"passerelle": "x"},
        "verification": check,
        "path": "/@configuration",
        "host": "site.test",
    }


def test_an_account_is_asked_for(site: _Site) -> None:
    connection = deliberations.connect(str(site.server_address))
    assert deliberations.account(connection, "site.test", "secret", "luc roux&x=1") == {"ouvert": True}
    assert site.asked == {"path": "/@agent?identifiant=luc+roux%26x%3D1", "host": "site.test"}


def test_a_refusal_is_told(site: _Site) -> None:
    site.status = 401
    with pytest.raises(deliberations.DeliberationsError, match=r"le site refuse sa configuration \(401\)"):
        call(site)


def test_a_site_that_is_down_is_told(tmp_path: Path) -> None:
    connection = deliberations.connect(str(tmp_path / "absent.sock"))
    with pytest.raises(deliberations.DeliberationsError, match="À faire : journalctl -u plone sur sa machine"):
        deliberations.apply(connection, "site.test", "secret", {}, {})
