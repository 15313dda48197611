"""Names of environments, and what the control node refuses of a registry. Real ones are made by scenario ged."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.host import locked_venv
from ansible_collections.cdg59.creatic.plugins.module_utils.host.locked_venv import LockedVenvError, Wanted

ROLE = Path(__file__).parents[3] / "roles" / "mayan" / "files"


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    for name in ("application.lock", "build.lock", "assets.lock"):
        (tmp_path / name).write_text(f"{name}\n", encoding="utf-8")
    application, build, assets = (tmp_path / name for name in ("application.lock", "build.lock", "assets.lock"))
    return Wanted(Path("/opt/application"), application, build, ("fetch",), assets)


def test_each_change_of_content_is_another_environment(wanted: Wanted) -> None:
    names = {wanted.name, dataclasses.replace(wanted, files={"a.css": b"a"}).name}
    names.add(dataclasses.replace(wanted, files={"a.css": b"b"}).name)
    names.add(dataclasses.replace(wanted, assets_command=("fetch", "more")).name)
    names.add(dataclasses.replace(wanted, replacements={"a.css": [("a", "b")]}).name)
    names.add(dataclasses.replace(wanted, root=Path("/opt/autre")).name)
    for lock in (wanted.requirements, wanted.build_requirements, wanted.assets_lock):
        assert lock
        assert wanted.name in names
        before = lock.read_bytes()
        lock.write_bytes(before + b"#\n")
        names.add(wanted.name)
        lock.write_bytes(before)
    assert len(names) == 9


def test_what_a_registry_gives_is_told_by_package(tmp_path: Path) -> None:
    for path in ("app/node_modules/@scope/a/x.js", "app/node_modules/@scope/a/y/z.js", "app/node_modules/b/x.js", "f"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path, encoding="utf-8")
    paths = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()]
    found = locked_venv.assets_digests(tmp_path, paths)
    assert set(found) == {"app/node_modules/@scope/a", "app/node_modules/b", "f"}
    (tmp_path / "app/node_modules/b/x.js").write_text("autre", encoding="utf-8")
    again = locked_venv.assets_digests(tmp_path, paths)
    assert {folder for folder in found if found[folder] != again[folder]} == {"app/node_modules/b"}


def test_another_content_than_the_locked_one_is_refused(tmp_path: Path, wanted: Wanted) -> None:
    package = tmp_path / "site" / "node_modules" / "a"
    package.mkdir(parents=True)
    (package / "x.js").write_text("1", encoding="utf-8")
    site = tmp_path / "site"
    [digest] = locked_venv.assets_digests(site, ["node_modules/a/x.js"]).values()
    lock = tmp_path / "assets.lock"
    lock.write_text(f"{digest}  node_modules/a\n", encoding="utf-8")
    locked_venv._check_assets(site, ["node_modules/a/x.js"], lock)
    (package / "x.js").write_text("2", encoding="utf-8")
    with pytest.raises(LockedVenvError, match=r"assets\.lock : .*\(node_modules/a\)\. À faire : vérifiez ce dépôt"):
        locked_venv._check_assets(site, ["node_modules/a/x.js"], lock)
    with pytest.raises(LockedVenvError, match=r"\(node_modules/a\)"):
        locked_venv._check_assets(site, [], lock)


def test_a_damaged_bundle_leaves_nothing_that_looks_installed(tmp_path: Path) -> None:
    root, archive = tmp_path / "opt", tmp_path / "bundle.tar"
    archive.write_bytes(b"\0" * 100)
    with tarfile.open(tmp_path / "good.tar", "w") as opened:
        opened.add(ROLE / "build.lock", "bin/application")
    whole = (tmp_path / "good.tar").read_bytes()
    for content in (b"abime", whole[: len(whole) // 3]):
        archive.write_bytes(content)
        with pytest.raises(LockedVenvError, match="ne se déballe pas"):
            locked_venv.install(root, "0123456789abcdef", archive)
        assert not locked_venv.is_installed(root, "0123456789abcdef")
    assert list(root.iterdir()) == []


def test_old_environments_go_and_nothing_else(tmp_path: Path) -> None:
    for name in ("0123456789abcdef", "fedcba9876543210", "00000000000000aa", "current"):
        (tmp_path / name).mkdir()
    assert locked_venv.remove_others(tmp_path, ["fedcba9876543210"]) == ["00000000000000aa", "0123456789abcdef"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current", "fedcba9876543210"]


def test_a_text_is_replaced_where_it_is_once(tmp_path: Path) -> None:
    (tmp_path / "theme.css").write_text("@import url(https://ailleurs.test/a.css);\na{}", encoding="utf-8")
    found = locked_venv.replaced(tmp_path, {"theme.css": [("@import url(https://ailleurs.test/a.css);", "")]})
    assert found == {"theme.css": b"\na{}"}


@pytest.mark.parametrize("content", ["", "x x", None])
def test_a_text_that_is_not_there_once_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "theme.css").write_text(content, encoding="utf-8")
    with pytest.raises(LockedVenvError, match=r"theme\.css : le texte « x » y est [02] fois au lieu d'une. À faire :"):
        locked_venv.replaced(tmp_path, {"theme.css": [("x", "y")]})


KEPT = {"PATH": os.environ["PATH"], "PIP_INDEX_URL": "https://index/", "npm_config_registry": "r", "https_proxy": "p"}
SECRETS = (
    "CREATIC_PKI_RACINE",
    "CREATIC_ACCES_EMETTRICE",
    "BORG_PASSPHRASE",
    "ANSIBLE_VAULT_PASSWORD",
    "X",
    "SSH_AUTH_SOCK",
)


def test_code_of_packages_gets_no_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEPT.items() | {(name, "canary") for name in SECRETS}:
        monkeypatch.setenv(name, value)
    seen = tmp_path / "seen"
    locked_venv._run_command(["sh", "-c", f"env > {seen}"], {"GIVEN": "1"})
    told = dict(line.split("=", 1) for line in seen.read_text().splitlines() if "=" in line)
    assert "canary" not in told.values()
    assert told.items() >= (KEPT | {"GIVEN": "1"}).items()


def test_a_whole_environment_is_made_without_them(
    tmp_path: Path, wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every program that is started, whatever it is for."""
    monkeypatch.setenv("CREATIC_PKI_RACINE", "canary")
    started: list[dict[str, str]] = []

    def run(_command: list[str], **options: Any) -> SimpleNamespace:
        started.append(options["env"])
        (tmp_path / "venv/lib/python3.13/site-packages").mkdir(parents=True, exist_ok=True)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(locked_venv.subprocess, "run", run)
    wanted.requirements.write_text("a==1\nb==2\nc==3\n")
    locked_venv._build_bundle(dataclasses.replace(wanted, assets_lock=None), tmp_path, {"NPM_REGISTRY": "r"})
    assert len(started) >= 8
    assert all("CREATIC_PKI_RACINE" not in one for one in started)
    assert [one["NPM_REGISTRY"] for one in started if "NPM_REGISTRY" in one] == ["r"]


URLLIB3 = """  File "requests/adapters.py", line 667, in send
requests.exceptions.ConnectionError: HTTPSConnectionPool(host='depot.test', port=443): Max retries exceeded with url: /x
(Caused by NameResolutionError("HTTPSConnection(host='depot.test', port=443): Failed to resolve 'depot.test'
([Errno -2] Name or service not known)"))"""
REFUSED = URLLIB3.replace("Failed to resolve 'depot.test'", "Failed to establish").replace(
    "[Errno -2] Name or service not known", "[Errno 111] Connection refused"
)
CERTIFICATE = (
    "HTTPSConnectionPool(host='depot.test', port=443): Max retries exceeded (SSLCertVerificationError(1, "
    "'[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate'))"
)
SERVER = "requests.exceptions.HTTPError: 503 Server Error: Service Unavailable for url: https://depot.test/lodash"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (URLLIB3, "le nom depot.test ne se résout pas depuis le poste de commande. À faire : corrigez son DNS"),
        (REFUSED, "depot.test ne répond pas au poste de commande. À faire : ouvrez-lui ce passage"),
        (CERTIFICATE, "le certificat de depot.test n'est pas d'une autorité que le poste de commande connaît. À faire"),
        (SERVER, "depot.test répond par une erreur (503). À faire : attendez qu'il aille mieux"),
        ("ERROR: [Errno 28] No space left on device", "le disque du poste de commande est plein. À faire : faites-y"),
    ],
)
def test_what_could_not_be_fetched_is_told_in_french_and_no_traceback(said: str, told: str) -> None:
    with pytest.raises(LockedVenvError) as refused:
        locked_venv._run_command(["sh", "-c", 'printf %s "$SAID" >&2; exit 1'], {"SAID": said})
    assert str(refused.value).startswith(told) and "Errno" not in str(refused.value)


def test_what_is_not_known_is_told_as_it_is() -> None:
    with pytest.raises(LockedVenvError, match=r"a échoué :\nno wheel for you\nÀ faire : vérifiez la place"):
        locked_venv._run_command(["sh", "-c", "echo no wheel for you; exit 1"])


def test_a_name_that_does_not_resolve_is_told_before_anything_is_made(
    tmp_path: Path, wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with pytest.raises(LockedVenvError, match=r"le nom depot\.invalid ne se résout pas.*À faire"):
        locked_venv.bundle(wanted, tmp_path / "cache", {}, ["https://localhost/", "https://depot.invalid/simple"])
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [f".{wanted.name}.lock"]
    monkeypatch.setenv("https_proxy", "http://localhost:3128")
    locked_venv.resolved(["https://depot.invalid/simple"])  # the proxy's concern


@pytest.mark.parametrize(
    ("given", "sources"),
    [
        ({}, ["https://pip.test/simple"]),
        ({"PIP_INDEX_URL": "https://lea:secret@autre.test/simple"}, ["https://lea:****@autre.test/simple"]),
        ({"PIP_NO_INDEX": "1"}, []),
        ({"PIP_NO_INDEX": "0"}, ["https://pip.test/simple"]),
    ],
)
def test_pip_says_where_it_goes(
    given: dict[str, str], sources: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://pip.test/simple\n", encoding="utf-8")
    for name, value in ({"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")} | given).items():
        monkeypatch.setenv(name, value)
    assert locked_venv.index() == sources


ENVIRONMENTS = (
    "application documentaire (Mayan)",
    "service de signature",
    "délibérations (Plone)",
    "passerelle d'archives",
    "passerelle entre les applications",
)


def prepare(home: Path, *arguments: str, **given: str) -> tuple[int, str]:
    """`fab preparer` of the example, by somebody whose cache is empty."""
    passed = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment = passed | {
        "HOME": str(home), "CREATIC_HOME": str(home / "etat"), "CREATIC_INVENTORY": "inventories/example",
        "ANSIBLE_NOCOLOR": "1", "GOCACHE": str(Path.home() / ".cache/go-build"),
    } | given  # fmt: skip # variables by what they are for
    done = subprocess.run(
        [Path(sys.executable).with_name("fab"), "preparer", *arguments],
        cwd=ROLE.parents[2], env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip # one call by its parts
    return done.returncode, done.stdout + done.stderr


def test_each_environment_of_the_inventory_is_asked_for_and_one_that_fails_keeps_no_other(tmp_path: Path) -> None:
    """By the tasks of the roles: names that these give, and that hosts will ask for."""
    index = "https://depot.invalid/simple"
    status, said = prepare(tmp_path, "--voir", PIP_INDEX_URL=index, NPM_CONFIG_REGISTRY="https://npm.invalid/")
    assert status == 0, said
    assert [f"✓ {name} : à faire, depuis {index}" in said for name in ENVIRONMENTS] == [True] * 5, said
    assert f"Mayan) : à faire, depuis {index} et https://npm.invalid" in said
    assert "Programme des postes Windows : il se construit ici" in said
    assert not (tmp_path / ".cache/creatic").exists()
    status, said = prepare(tmp_path, PIP_INDEX_URL=index)
    assert status == 1 and "5 sur 5 ne sont pas prêts" in said
    assert [f"échec ({name} : «" in said for name in ENVIRONMENTS] == [True] * 5, said
    assert "Programme des postes Windows : prêt." in said
    assert [*tmp_path.glob(".cache/creatic/poste/windows-*/creatic-postew.exe")]
    assert said.count("le nom depot.invalid ne se résout pas") == 5 and "Traceback" not in said
    cache = tmp_path / ".cache/creatic/bundles"
    names = [path.name.removesuffix(".lock").removeprefix(".") for path in cache.iterdir()]
    for name in names:
        (cache / f"{name}.tar").write_bytes(b"0" * 2_000_000)
    status, said = prepare(tmp_path, PIP_INDEX_URL=index)
    assert status == 0 and said.count(" : déjà prêt (2 Mo)") == 5, said


def test_npm_is_asked_for_its_registry_without_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "npm").write_text('#!/bin/sh\necho "registry $CREATIC_PKI_RACINE"\n')
    (tmp_path / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CREATIC_PKI_RACINE", "canary")
    monkeypatch.delenv("NPM_REGISTRY", raising=False)
    assert locked_venv.npm_registry("NPM_REGISTRY") == {"NPM_REGISTRY": "registry"}
    assert locked_venv.npm_registry("") == {}
    monkeypatch.setenv("NPM_REGISTRY", "https://other/")
    assert locked_venv.npm_registry("NPM_REGISTRY") == {"NPM_REGISTRY": "https://other/"}


def test_without_npm_its_setting_still_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("NPM_CONFIG_REGISTRY", raising=False)
    assert locked_venv.npm_registry("NPM_REGISTRY") == {}
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://depot/")
    assert locked_venv.npm_registry("NPM_REGISTRY") == {"NPM_REGISTRY": "https://depot/"}
