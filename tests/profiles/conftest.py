"""Profile tests: one run per host of the profile's group, on the lab or on production alike.

pytest tests/profiles/common tests/profiles/PROFILE --profile PROFILE [--environment inventories/lab] [--limit HOSTS]
"""

from __future__ import annotations

import base64
import datetime
import functools
import gzip
import json
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped] # it tells none

from creatic import junit
from creatic.audit import controls
from creatic.audit import sources as audit
from creatic.audit import verdict as audit_verdict
from creatic.registry import listing
from testbed.patience import wait_for

TOP = Path(__file__).parents[2]
FACTS = Path(__file__).with_name("machine_facts.py")
LEVELS = ("minimal", "intermediary", "enhanced", "high")
# Kernel modules whose loading is tried, without loading them.
UNWANTED_MODULES = ("dccp", "sctp", "rds", "tipc", "cramfs", "freevxfs", "hfs", "hfsplus", "jffs2", "udf")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--profile", default="", help="profile whose hosts are tested")
    parser.addoption("--environment", default=str(TOP / "inventories" / "lab"), help="inventory folder")
    parser.addoption("--limit", default="all", help="Ansible host pattern")
    parser.addoption(
        "--restored", default="", help="folder of the control node's restored state (fab sauvegarde.exercice)"
    )
    parser.addoption("--home", default="", help="state of the control node that works, if there is one")


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """Have the JUnit report say it as its readers' schemas allow."""
    yield
    report = session.config.getoption("xmlpath", None)
    if report and not hasattr(session.config, "workerinput") and Path(report).is_file():
        junit.rewrite(Path(report))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note which test and which host each result is of: the audit reads it."""
    for item in items:
        item.user_properties.append(("essai", item.nodeid.partition("[")[0]))
        parameters = getattr(item, "callspec", None)
        if parameters and "hostvars" in parameters.params:
            item.user_properties.append(("machine", parameters.params["hostvars"]["name"]))


_lost: set[str] = set()


def _answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=20) as connection:
            connection.settimeout(20)
            return bool(connection.recv(4))  # the server speaks first
    except OSError:
        return False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A host that went away has failed no test: its results say so, and no further one waits for it."""
    report = yield
    parameters = getattr(item, "callspec", None)
    if parameters and "hostvars" in parameters.params and (report.failed or report.skipped):
        host = parameters.params["hostvars"]
        if report.failed and host["name"] not in _lost and not _answers(host["ansible_host"]):
            _lost.add(host["name"])
        if host["name"] in _lost:
            item.user_properties.append(("machine_perdue", "oui"))
    return report


def pytest_runtest_setup(item: pytest.Item) -> None:
    parameters = getattr(item, "callspec", None)
    if parameters and "hostvars" in parameters.params and parameters.params["hostvars"]["name"] in _lost:
        pytest.skip("la machine ne répond plus")


@functools.cache
def _inventory(environment: str, limit: str) -> dict[str, Any]:
    """The inventory of a session, asked once; nobody changes it."""
    done = subprocess.run(
        ["ansible-inventory", "-i", environment, "--list", "--limit", limit],
        cwd=TOP,
        env=os.environ | {"ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return listing.read(done.stdout)


def _wanted(config: pytest.Config) -> dict[str, Any]:
    """The inventory within the limit; the whole one, which tests ask for too, when the profile itself is the limit."""
    limit = config.getoption("--limit")
    return _inventory(config.getoption("--environment"), "all" if limit == config.getoption("--profile") else limit)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "hostvars" not in metafunc.fixturenames:
        return
    profile = metafunc.config.getoption("--profile")
    if not profile:
        raise pytest.UsageError("les tests de profil demandent --profile (commune_pc, tdt_connector…)")
    inventory = _wanted(metafunc.config)
    variables = inventory["_meta"]["hostvars"]
    names = [
        name
        for name in sorted(inventory.get(profile, {}).get("hosts", []))
        if variables[name].get("creatic_poste", {}).get("systeme", "debian") == "debian"
    ]
    if not names:
        raise pytest.UsageError(f"aucune machine du profil {profile} dans cet inventaire")
    metafunc.parametrize("hostvars", [variables[name] | {"name": name} for name in names], ids=names, scope="session")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Two machines may be judged at once (scripts/verify), never two tests on one.

    xdist's own groups are in the nodes' names, which pytest 9.2 no longer takes from where xdist writes them.
    """
    names = _wanted(config)["_meta"]["hostvars"]

    class ByMachine(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            given = nodeid.partition("[")[2]
            return max((name for name in names if name in given), key=len, default="")

    return ByMachine(config, log)


@pytest.fixture(scope="session")
def profile(pytestconfig: pytest.Config) -> str:
    return str(pytestconfig.getoption("--profile"))


@pytest.fixture(scope="session")
def whole_inventory(pytestconfig: pytest.Config) -> dict[str, Any]:
    """The inventory, whatever the limit: what is wanted of a host may speak of others."""
    return _inventory(pytestconfig.getoption("--environment"), "all")


@pytest.fixture(scope="session")
def creatic_home(hostvars: dict[str, Any]) -> Path:
    """State of the control node for the inventory, as its group_vars/all.yml computes it."""
    home = Path(os.environ.get("CREATIC_HOME") or "~/.local/share/creatic").expanduser()
    return home / str(hostvars["creatic_env"])


@pytest.fixture(scope="session")
def level(hostvars: dict[str, Any]) -> str:
    """ANSSI-BP-028 level of the host; the inventory gives it unresolved, as group_vars/all.yml writes it."""
    given = str(hostvars["creatic_niveau"])
    return str(hostvars.get("creatic_commune", {}).get("niveau", "enhanced")) if "{{" in given else given


@pytest.fixture(scope="session")
def host(hostvars: dict[str, Any], creatic_home: Path) -> Iterator[Host]:
    """The host under test, over SSH as in production; ``with host.sudo():`` for what root alone may see."""
    sockets = Path(tempfile.mkdtemp(prefix="creatic-"))  # a short path: a socket's has 107 bytes at most
    yield testinfra.get_host(
        f"ssh://{hostvars.get('ansible_user', 'creatic')}@{hostvars['ansible_host']}",
        ssh_identity_file=str(creatic_home / "ssh" / "id_ed25519"),
        ssh_extra_args=f"-o UserKnownHostsFile={creatic_home}/ssh/known_hosts -o StrictHostKeyChecking=yes "
        "-o ServerAliveInterval=5 -o ServerAliveCountMax=3",
        controlpath=f"{sockets}/%%C",  # one connection for all commands
    )
    for socket_path in sockets.iterdir():
        subprocess.run(["ssh", "-o", f"ControlPath={socket_path}", "-O", "exit", "x"], capture_output=True, check=False)
    shutil.rmtree(sockets)


@pytest.fixture(scope="session")
def settled(host: Host) -> None:
    """A deployment ends while AIDE still takes its reference, which a busy machine lets wait."""
    wait_for(
        lambda: host.run("systemctl is-active creatic-aide-init.service").stdout.strip() != "activating",
        "la référence d'AIDE",
        300,
        every=1,
    )


@pytest.fixture(scope="session")
def facts(host: Host, settled: None) -> dict[str, Any]:
    """What the machine is, asked once: see machine_facts.py."""
    with host.sudo():
        told = host.check_output(
            f"python3 -I -c {shlex.quote(FACTS.read_text(encoding='utf-8'))} {' '.join(UNWANTED_MODULES)}"
        )
    found: dict[str, Any] = json.loads(told)
    return found


@pytest.fixture(scope="session")
def own_kernel(hostvars: dict[str, Any]) -> None:
    """For what only a machine with a kernel of its own can show; the catalogue waives it in a container."""
    if audit.in_container(hostvars):
        pytest.skip("conteneur : ce noyau est celui de la machine qui le porte")


@pytest.fixture(scope="session")
def openscap(
    host: Host, hostvars: dict[str, Any], level: str, request: pytest.FixtureRequest, settled: None
) -> dict[str, Any]:
    """What OpenSCAP says of the machine at its level, and what the catalogue waives: as an audit judges it."""
    with host.sudo():
        collected = json.loads(host.check_output(f"/usr/lib/creatic/creatic-audit --niveau {level}"))
    arf = gzip.decompress(base64.b64decode(collected["openscap"]["arf_gz_b64"]))
    profile, container = request.config.getoption("--profile"), audit.in_container(hostvars)
    target = audit.Target(hostvars["name"], profile, level, container=container)
    catalogue = controls.load(
        TOP / "roles" / "hardening" / "files" / "controls.yml", datetime.datetime.now(datetime.UTC).date()
    )
    machine, _judged = audit_verdict.judge_machine(
        audit_verdict.Found(target, collected, audit.read_arf(arf)), catalogue
    )
    found: dict[str, Any] = machine["openscap"] | {"seconds": collected["duree_s"], "cpu": collected["cpu_s"]}
    return found


@pytest.fixture(autouse=True)
def _asked_at_this_level(request: pytest.FixtureRequest) -> None:
    mark = request.node.get_closest_marker("niveau")
    if mark and LEVELS.index(request.getfixturevalue("level")) < LEVELS.index(mark.args[0]):
        pytest.skip(f"demandé à partir du niveau {mark.args[0]}")
