"""What a commune takes away of the site of the délibérations."""

from __future__ import annotations

import hashlib
import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.applications import deliberations, deliberations_export

PDF = b"%PDF-1.4 signe"
HOST = "https://site.test"


def projet(size: int = len(PDF)) -> dict[str, Any]:
    link = f"{HOST}/loos/seances/budget/@@download/document/1%20budget.pdf"
    return {
        "@id": f"{HOST}/loos/seances/budget",
        "title": "Budget",
        "document": {"download": link, "filename": "../1 budget.pdf", "size": size},
    }


class Site(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str) -> None:
        items = [{"@id": f"{HOST}/{one}"} for one in ("loos", "loos/seances/budget", "loos/perdu", "wavrin/autre")]
        self.pages: dict[str, Any] = {
            "/@agent": {},
            "/loos": {"title": "Loos"},
            "/loos/@search": {"items": items, "items_total": len(items)},
            "/loos/@workflow": {"history": []},
            "/loos/seances/budget": projet(),
            "/loos/seances/budget/@workflow": {"history": [{"action": "adopter"}]},
            "/loos/seances/budget/@@download/document/1%20budget.pdf": PDF,
        }

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(handler) -> None:
                found = self.pages.get(handler.path, self.pages.get(handler.path.partition("?")[0]))
                body = found if isinstance(found, bytes) else json.dumps(found).encode()
                handler.send_response(200 if found is not None else 404)
                handler.send_header("Content-Length", str(len(body)))
                handler.end_headers()
                handler.wfile.write(body)

            def log_message(handler, *_said: Any) -> None:
                pass

            def address_string(handler) -> str:
                return "unix"

        super().__init__(path, Handler)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(str(tmp_path / "site.sock")) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def export(site: Site, target: Path, commune: str = "loos") -> dict[str, Any]:
    target.mkdir()
    connection = deliberations.connect(str(site.server_address))
    return deliberations_export.export(connection, "site.test", "secret", commune, target)


def test_each_content_is_there_with_its_files_and_history(site: Site, tmp_path: Path) -> None:
    told = export(site, tmp_path / "remise")
    assert (told["contenus"], told["fichiers"]) == (2, 1)
    folder = tmp_path / "remise" / "seances" / "budget"
    found = json.loads((folder / "contenu.json").read_text(encoding="utf-8"))
    assert (found["title"], found["historique"]) == ("Budget", [{"action": "adopter"}])
    [file] = found["fichiers"].values()
    assert file == {"chemin": "document-_1 budget.pdf", "octets": len(PDF), "sha256": hashlib.sha256(PDF).hexdigest()}
    assert (folder / file["chemin"]).read_bytes() == PDF
    assert not (tmp_path / "remise" / "autre").exists()


def test_each_version_of_a_convocation_is_there(site: Site, tmp_path: Path) -> None:
    meeting = "/loos/seances/budget"
    site.pages[meeting] = {"@id": f"{HOST}{meeting}", "@type": "seance", "title": "Conseil"}
    for version in (1, 2):
        for piece in ("convocation", "note"):
            site.pages[f"{meeting}/@@envoi?version={version}&piece={piece}"] = f"{piece} {version}".encode()
    opened = {"version": 2, "elu": "Amina Benali", "quoi": "Page de la séance", "le": "2026-11-28T09:00:00+00:00"}
    site.pages[f"{meeting}/@@journal-envois"] = {"courriels": [], "recus": [], "ouvertures": [opened]}
    assert export(site, tmp_path / "remise")["fichiers"] == 5
    folder = tmp_path / "remise" / "seances" / "budget"
    found = json.loads((folder / "contenu.json").read_text(encoding="utf-8"))["fichiers"]
    assert (folder / found["envoi-1-convocation"]["chemin"]).read_bytes() == b"convocation 1"
    assert (folder / found["envoi-2-note"]["chemin"]).read_bytes() == b"note 2"
    assert json.loads((folder / found["envois"]["chemin"]).read_bytes())["ouvertures"] == [opened]


def test_what_cannot_be_given_is_told_and_does_not_keep_the_rest(site: Site, tmp_path: Path) -> None:
    site.pages["/loos/seances/budget"] = projet(size=3)
    told = export(site, tmp_path / "remise")
    assert told["contenus"] == 1
    assert told["defauts"] == [
        "/loos/perdu : le site ne le donne pas (404)",
        f"/loos/seances/budget : document : {len(PDF)} octets reçus, 3 annoncés",
    ]
    assert json.loads((tmp_path / "remise" / "contenus.json").read_text(encoding="utf-8")) == told


def test_a_commune_without_pages_has_nothing(site: Site, tmp_path: Path) -> None:
    assert export(site, tmp_path / "remise", "wavrin")["contenus"] == 0


def test_a_site_that_does_not_know_who_asks_gives_nothing(site: Site, tmp_path: Path) -> None:
    """With a password that is not its own any more, it shows what is public: that is not the whole."""
    del site.pages["/@agent"]
    with pytest.raises(deliberations.DeliberationsError, match="ne reconnaît pas son administrateur"):
        export(site, tmp_path / "remise")
    assert not list((tmp_path / "remise").iterdir())


def test_a_path_that_leads_out_is_refused(site: Site, tmp_path: Path) -> None:
    site.pages["/loos/@search"] = {"items": [{"@id": f"{HOST}/loos/%2e%2e/%2e%2e/etc"}], "items_total": 1}
    with pytest.raises(deliberations.DeliberationsError, match="n'est pas un chemin"):
        export(site, tmp_path / "remise")


def test_a_site_that_is_down_is_told(tmp_path: Path) -> None:
    connection = deliberations.connect(str(tmp_path / "absent.sock"))
    with pytest.raises(deliberations.DeliberationsError, match="À faire : journalctl -u plone"):
        deliberations_export.export(connection, "site.test", "secret", "loos", tmp_path)
