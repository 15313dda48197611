"""The guides as a site: built of docs, complete, searched by a browser under the policy of the pages around it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import TimeoutError as TooLate

from creatic.documents import guides
from testbed.browser import people
from testbed.patience import wait_for

REPO = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return guides.site(REPO / "docs", tmp_path_factory.mktemp("etat") / "guides")


def test_every_guide_has_its_place_and_the_same_ones_are_not_built_again(site: Path, tmp_path: Path) -> None:
    named = {*(page for entry in yaml.safe_load(guides.CONFIG.read_text("utf-8"))["nav"] for page in entry.values())}
    assert named == {"index.md", *(path.name for path in (REPO / "docs").glob("*.md"))}
    before = site.stat().st_mtime_ns
    assert guides.site(REPO / "docs", site.parent) == site and site.stat().st_mtime_ns == before
    assert [path.name for path in site.parent.iterdir()] == [site.name]


def test_a_link_that_leads_nowhere_is_told_and_the_site_stays(site: Path, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    (docs / "images").mkdir(parents=True)
    for path in (REPO / "docs").glob("*.md"):
        (docs / path.name).write_text(path.read_text("utf-8"), encoding="utf-8")
    (docs / "ged.md").write_text(
        "# La GED\n\n[plus loin](nulle-part.md) et [un rôle](../roles/ged/README.md)\n", "utf-8"
    )
    with pytest.raises(RuntimeError, match=r"^Guides : .*ged\.md.*nulle-part\.md.*À faire : corrigez docs/") as told:
        guides.site(docs, site.parent)
    assert "README" not in str(told.value)
    assert [path.name for path in site.parent.iterdir()] == [site.name]


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    """The site, shown with the policy that the role's nginx gives."""
    tasks = yaml.safe_load((REPO / "roles" / "supervision" / "tasks" / "main.yml").read_text("utf-8"))
    [policy] = [given for task in tasks if (given := task.get("vars", {}).get("nginx_tls_content_security_policy"))]

    class Handler(SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            self.send_header("Content-Security-Policy", policy)
            super().end_headers()

        def log_message(self, *_args: object) -> None:
            """Nothing: a test shows what fails alone."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://guides.test:{server.server_port}"
        server.shutdown()


@pytest.mark.costly
def test_a_browser_finds_a_word_and_nothing_is_stopped_by_the_policy(address: str, site: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "aucune.pem"
    bundle.touch()
    with people({"guides.test": "127.0.0.1"}, str(bundle), tmp_path / "maison") as there, there.one() as person:
        page = person.page
        refused: list[str] = []
        page.on("console", lambda message: refused.append(message.text) if message.type == "error" else None)
        page.goto(f"{address}/exploitation.html")
        page.keyboard.press("f")
        asked, found = page.get_by_placeholder("Rechercher"), page.locator(".md-search-result__item a").first

        def searched() -> bool:
            """Typed key by key: a text that is put there is searched only if the index is not there yet."""
            asked.fill("")
            asked.press_sequentially("séquestre titulaire")
            with contextlib.suppress(TooLate):  # a busy computer takes seconds to answer
                found.wait_for(timeout=10_000)
            return found.is_visible()

        wait_for(searched, "un résultat de la recherche")
        found.click()
        page.wait_for_load_state()
        assert "séquestre" in page.inner_text("article").lower()
        assert refused == [] and person.faults() == []
        for path in sorted(site.glob("*.html")):
            page.goto(f"{address}/{path.name}")
            assert person.faults() == [], path.name
