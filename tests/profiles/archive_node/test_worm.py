"""WORM, encryption and isolation, asked of one node's proxy. Leaves an archive of seven bytes and empty containers."""

from __future__ import annotations

import json
import time

import pytest

from testbed.patience import allowed, wait_for

from .conftest import Node

WORM = "/essais"
PLAIN = "/essais-travail"
FUTURE = str(int(time.time()) + 3600 * 24 * 365 * 50)
PAST = "1000000000"

pytestmark = pytest.mark.leaves_traces


@pytest.fixture(scope="module")
def node(nodes: list[Node]) -> Node:
    """Any node: they are one room."""
    return nodes[0]


@pytest.fixture(scope="module")
def containers(node: Node) -> None:
    """A WORM container and an ordinary one."""
    assert node.call("PUT", WORM, Worm="true").status in (201, 202)
    assert node.call("PUT", PLAIN).status in (201, 202)


@pytest.fixture
def archive(node: Node, containers: None) -> str:
    """An archive to be kept for fifty years: the first run makes it, later runs find it."""
    path = f"{WORM}/permanente"
    assert node.call("PUT", path, b"archive", Retain_Until=FUTURE).status in (201, 412)
    return path


def test_what_is_on_disk_is_encrypted(node: Node, containers: None) -> None:
    marker = f"clair-{time.time_ns()}"
    assert node.call("PUT", f"{PLAIN}/clair", marker.encode() * 50).status == 201
    recent = "find /srv/node -newermt -2min -type f -name *.data"
    assert node.run(recent).split()
    assert node.run(f"{recent} -exec grep -l {marker} {{}} +", check=False) == ""
    assert node.call("GET", f"{PLAIN}/clair").body == marker.encode() * 50
    assert node.call("DELETE", f"{PLAIN}/clair").status == 204


def test_a_name_in_use_is_not_taken_again(node: Node, archive: str) -> None:
    assert node.call("PUT", archive, b"autre", Retain_Until=FUTURE).status == 412
    assert node.call("PUT", archive, b"autre", Retain_Until=PAST).status == 412
    assert node.call("PUT", archive, b"autre", Retain_Until=FUTURE, If_Match="*").status == 412
    assert node.call("GET", archive).body == b"archive"


def test_an_archive_has_a_date(node: Node, containers: None) -> None:
    for headers in ({}, {"Retain_Until": "demain"}, {"Retain_Until": "-1"}):
        answer = node.call("PUT", f"{WORM}/sans-date", b"x", **headers)
        assert answer.status == 400
        assert "date de fin de conservation" in answer.body.decode()
    assert node.call("HEAD", f"{WORM}/sans-date").status == 404


def test_nothing_that_vanishes_or_points_elsewhere_enters(node: Node, containers: None) -> None:
    path = f"{WORM}/detour"
    for headers in (
        {"X_Delete_At": "2000000000"},
        {"X_Delete_After": "5"},
        {"X_Object_Manifest": "essais-travail/morceau"},
        {"X_Symlink_Target": "essais-travail/clair"},
        {"X_Copy_From": "essais-travail/absent"},
    ):
        assert node.call("PUT", path, b"", Retain_Until=FUTURE, **headers).status in (403, 404), headers
    for query in ("multipart-manifest=put", "symlink=get", "extract-archive=tar"):
        assert node.call("PUT", f"{path}?{query}", b"[]", Retain_Until=FUTURE).status == 403
    assert node.call("HEAD", path).status == 404


def test_an_archive_is_not_changed_by_any_way(node: Node, archive: str) -> None:
    assert node.call("POST", archive, Retain_Until=PAST).status == 403
    assert node.call("POST", archive, X_Delete_After="1").status == 403
    # Copies over it, from an ordinary object that bears a date.
    source = f"{PLAIN}/source"
    assert node.call("PUT", source, b"faux", Retain_Until=PAST).status == 201
    assert node.call("COPY", source, Destination=archive).status == 412
    assert node.call("PUT", archive, b"", X_Copy_From=source, Retain_Until=PAST).status == 412
    assert node.call("COPY", archive, Destination=archive, Retain_Until=PAST).status == 412
    assert node.call("DELETE", source).status == 204
    answer = node.call("GET", archive)
    assert answer.body == b"archive"
    assert int(answer.headers["x-object-meta-retain-until"]) > time.time() + 3600 * 24 * 365 * 40


def test_an_archive_is_not_deleted_before_its_date(node: Node, archive: str) -> None:
    answer = node.call("DELETE", archive)
    assert answer.status == 403
    assert "date de fin de conservation n'est pas atteinte" in answer.body.decode()
    for method, path in (
        ("DELETE", f"{archive}?multipart-manifest=delete"),
        ("DELETE", f"{archive}?version-id=null"),
        ("DELETE", "?bulk-delete"),
        ("POST", "?bulk-delete"),
        ("POST", f"{WORM}?delete"),
        ("DELETE", WORM),
        ("DELETE", ""),
    ):
        assert node.call(method, path, b"essais/permanente\n").status == 403, (method, path)
    assert node.call("GET", archive).body == b"archive"


def test_a_refusal_is_journaled(node: Node, archive: str) -> None:
    answer = node.call("DELETE", archive)
    told = node.run(f"journalctl -u swift-proxy --since -2min | grep {answer.headers['x-trans-id']} | grep WORM")
    assert "WORM 403 DELETE /v1/AUTH_sae/essais/permanente (sae,sae:sae" in told


def test_a_worm_container_stays_so(node: Node, archive: str) -> None:
    for method in ("POST", "PUT"):
        for headers in (
            {"X_Remove_Container_Meta_Worm": "x"},
            {"Worm": ""},
            {"Worm": "false"},
            {"X_Container_Read": ".r:*"},
            {"X_Versions_Location": "essais-travail"},
            {"X_History_Location": "essais-travail"},
            {"X_Versions_Enabled": "true"},
            {"X_Container_Sync_To": "http://ailleurs/v1/a/c"},
            {"X_Container_Meta_Quota_Bytes": "1"},
        ):
            assert node.call(method, WORM, None, **headers).status in (400, 403, 412), (method, headers)
    headers = node.call("HEAD", WORM).headers
    assert headers["x-container-meta-worm"] == "true"
    assert not [name for name in headers if "versions" in name or name in ("x-container-read", "x-container-write")]
    assert node.call("POST", PLAIN, Worm="true").status == 409


def test_an_archive_leaves_after_its_date(node: Node, containers: None) -> None:
    path = f"{WORM}/ephemere-{node.name}-{time.time_ns()}"
    until = int(time.time() + allowed(5))  # time to be refused before it
    assert node.call("PUT", path, b"x", Retain_Until=str(until)).status == 201
    assert node.call("DELETE", path).status == 403
    wait_for(lambda: node.call("DELETE", path).status == 204, "la date à laquelle l'archive s'élimine", every=1)
    assert time.time() >= until
    assert node.call("GET", path).status == 404


def test_there_is_no_other_door(node: Node, archive: str) -> None:
    aws = {"Authorization": "AWS sae:sae:AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "Date": "Wed, 25 Nov 2026 04:00:00 GMT"}
    path = f"/v1/AUTH_sae{archive}"
    answers = node.calls(
        {"method": "GET", "path": path},
        {"method": "DELETE", "path": path},
        {"method": "DELETE", "path": "/essais/permanente", "headers": aws},
        {"method": "GET", "path": path, "headers": {"X-Auth-Token": "AUTH_tk00000000000000000000000000000000"}},
        user="",
    )
    assert [answers[0].status, answers[1].status] == [401, 403]
    assert answers[2].status in (400, 401, 403, 404, 412)
    assert answers[3].status == 401
    assert node.calls({"method": "GET", "path": "/v1/.expiring_objects"})[0].status == 403
    assert node.call("GET", archive).body == b"archive"


def test_a_versant_sees_its_own_account_only(node: Node, archive: str) -> None:
    keys = json.loads(node.keys.read_text("utf-8"))
    name = next(name for name in keys if name != "sae")
    ours, others, stored = node.calls(
        {"method": "HEAD", "path": f"/v1/AUTH_{name}"},
        {"method": "GET", "path": f"/v1/AUTH_sae{archive}"},
        {"method": "PUT", "path": f"/v1/AUTH_sae{PLAIN}/intrus", "size": 1},
        user=f"{name}:sae",
        key=keys[name],
    )
    assert ours.status in (200, 204)
    assert others.status == 403
    assert stored.status == 403
