"""What the browser is asked, what it refuses, and where an identity waits on its way to a store."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.filter.commune_pc import pc_registry
from ansible_collections.cdg59.creatic.plugins.module_utils.pki import nss
from preuve_navigateur import cli
from preuve_navigateur.chromium import Chromium, ChromiumError, Visit

from .conftest import Maker

FAKE = Path(__file__).with_name("fake_chromium.py")


@pytest.fixture
def fake(tmp_path: Path) -> Any:
    def make(case: str) -> str:
        return str(shutil.copy(FAKE, tmp_path / case))

    return make


def test_what_chromium_refuses_is_told(fake: Any) -> None:
    refused = pytest.raises(ChromiumError, match=r"^Chromium refuse Page\.enable : Not allowed$")
    with refused, Chromium(program=fake("denies")) as running:
        running.visit("https://tdt.test", 120)


def test_a_page_that_cannot_be_pictured_is_read_all_the_same(fake: Any) -> None:
    with Chromium(program=fake("blind")) as running:
        visit = running.visit("https://tdt.test", 120)
    assert (visit.picture, visit.error) == (b"", "")
    assert "215 902 669" in visit.text


def test_a_page_that_no_server_gave_has_no_status(fake: Any) -> None:
    with Chromium(program=fake("local")) as running:
        visit = running.visit("https://tdt.test", 120)
    assert (visit.status, visit.error, visit.waited) == (0, "", False)


@pytest.mark.parametrize(("visible", "seconds"), [(True, 180), (False, 45)])
def test_who_types_a_pin_has_time_and_sees_the_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: bool, seconds: float
) -> None:
    asked: list[Any] = []

    class Browser:
        def __init__(self, shown: bool = False) -> None:
            asked.append(shown)

        def __enter__(self) -> Browser:
            return self

        def __exit__(self, *_: object) -> None: ...

        def visit(self, url: str, seconds: float) -> Visit:
            asked.extend([url, seconds])
            return Visit(waited=True)

    monkeypatch.setattr(cli, "Chromium", Browser)
    monkeypatch.setattr(cli, "PICTURE", tmp_path / "image.png")
    monkeypatch.setattr(cli, "CRL", tmp_path / "crl.pem")
    proof = cli.prove({"url": "https://tdt.test", "siren": "215902669", "certificats": []}, visible)
    assert asked == [visible, "https://tdt.test", seconds]
    assert (proof["fichiers"], (tmp_path / "image.png").exists()) == ([], False)


@pytest.mark.parametrize("memory", [True, False])
def test_a_key_on_its_way_to_a_store_stays_in_memory_where_there_is_some(
    tmp_path: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch, memory: bool
) -> None:
    folders: list[Path | None] = []
    ran: list[list[str]] = []

    def temporary(dir: Path | None = None) -> tempfile.TemporaryDirectory[str]:
        folders.append(dir)
        return tempfile.TemporaryDirectory(dir=tmp_path)

    def run(command: list[str], *_: object, **__: object) -> SimpleNamespace:
        ran.append(command)
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    pair = maker.make("Secrétariat")
    store = nss.Store(tmp_path / "nssdb")
    monkeypatch.setattr(nss, "_run_command", run)
    monkeypatch.setattr(nss.Store, "found", lambda self: [])
    monkeypatch.setattr(nss, "tempfile", SimpleNamespace(TemporaryDirectory=temporary))
    monkeypatch.setattr(nss.Path, "is_dir", lambda self: memory)
    store.ensure_identity("Secrétariat", pair.key, pair.certificate, [])
    assert folders == [Path("/dev/shm") if memory else None]
    assert [command[0] for command in ran] == ["openssl", "pk12util"]
    assert [path.name for path in tmp_path.iterdir()] == []


def test_edge_and_chrome_are_told_where_home_is_and_never_to_pass_over_a_bad_certificate() -> None:
    told = {one["name"]: (one["key"], one["data"], one["type"]) for one in pc_registry(["a", "b"], "https://tdt.test")}
    assert told == {
        "1": ("AutoSelectCertificateForUrls", "a", "string"),
        "2": ("AutoSelectCertificateForUrls", "b", "string"),
        "HomepageLocation": ("", "https://tdt.test", "string"),
        "ShowHomeButton": ("", 1, "dword"),
        "SSLErrorOverrideAllowed": ("", 0, "dword"),
    }


def test_the_first_profile_of_firefox_is_its_owner_s_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ensure", "ensure_authorities"):
        monkeypatch.setattr(nss.Store, name, lambda self, *_: None)
    monkeypatch.setattr(nss.Store, "found", lambda self: [])
    before = os.umask(0o022)
    try:
        told = nss.converge(tmp_path, "", [])
    finally:
        os.umask(before)
    profile = tmp_path / ".config/mozilla/firefox/creatic"
    assert told["changes"] == [f"{profile.parent} : premier profil de Firefox"]
    assert profile.stat().st_mode & 0o777 == 0o700
    assert nss.firefox_profiles(tmp_path) == (profile.parent, [profile])
