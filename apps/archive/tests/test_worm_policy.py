"""The WORM policy: every way in, around and out that is known, and what it answers."""

from __future__ import annotations

from typing import Any

import pytest
from sae_worm.policy import LATEST, Answer, Head, Pass, Request, Room, judge, retain_until

WORM = Head(204, {"x-container-meta-worm": "true"})
PLAIN = Head(204, {})
ABSENT = Head(404)
UNKNOWN = Head(503)
NOW = 1_800_000_000.0
FUTURE, PAST = str(int(NOW) + 1000), str(int(NOW) - 1000)


DATED = {"x-object-meta-retain-until": FUTURE, "x-object-meta-sort-final": "Destroy"}


def kept(until: str | None = FUTURE, fate: str | None = "Destroy") -> Head:
    """An archive, with its date and its fate."""
    told = {"x-object-meta-retain-until": until, "x-object-meta-sort-final": fate, "x-object-meta-sha512": "ab"}
    return Head(200, {key: value for key, value in told.items() if value is not None})


def noted(digest: str = "ab", until: str = str(LATEST)) -> Head:
    """The note of a transfer."""
    return Head(200, {"x-object-meta-archive-sha512": digest, "x-object-meta-retain-until": until})


def ask(
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    *,
    container: Head = WORM,
    found: Head = ABSENT,
    transfer: tuple[Head, Head] = (WORM, ABSENT),
    clocks: tuple[float | None, ...] = (NOW, NOW, NOW),
    queries: frozenset[str] = frozenset(),
) -> Answer | Pass:
    """Judge a request on a room in that state."""
    account, name, key = [*path.split("/"), "", ""][:3]
    request = Request(method, account, name, key, headers or {}, queries)
    return judge(request, Room(lambda: container, lambda: found, lambda: transfer, lambda: clocks))


def refused(verdict: Any, status: int = 403) -> bool:
    """True for a refusal that is journaled."""
    return isinstance(verdict, Answer) and verdict.status == status and verdict.refused


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_is_nobodys_business(method: str) -> None:
    assert ask(method, "AUTH_a/aip/x.tar", container=UNKNOWN, found=UNKNOWN) == Pass()


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_what_names_no_account_is_not_the_rooms(method: str) -> None:
    assert ask(method, "", container=UNKNOWN, queries=frozenset({"delete"})) == Pass()


def test_an_archive_enters_once_with_its_date() -> None:
    headers = DATED
    assert ask("PUT", "AUTH_a/aip/x.tar", headers) == Pass({"If-None-Match": "*"}, enters=True)
    assert refused(ask("PUT", "AUTH_a/aip/x.tar", headers, found=kept()), 412)
    assert refused(ask("PUT", "AUTH_a/aip/x.tar", headers, found=kept(PAST)), 412)


@pytest.mark.parametrize(
    "date", [None, "", "demain", "-5", "0", "1.5", "1e9", "٣٣", str(LATEST + 1), "9" * 5000, "0" * 12 + "9"]
)
def test_an_archive_without_a_usable_date_is_refused(date: str | None) -> None:
    headers = DATED | {"x-object-meta-retain-until": date or ""}
    if date is None:
        del headers["x-object-meta-retain-until"]
    assert refused(ask("PUT", "AUTH_a/aip/x.tar", headers), 400)


@pytest.mark.parametrize(
    "header",
    [
        "x-delete-at",
        "x-delete-after",
        "x-object-manifest",
        "x-symlink-target",
        "x-object-sysmeta-symlink-target",
        "x-static-large-object",
    ],
)
def test_what_would_vanish_or_point_elsewhere_is_refused(header: str) -> None:
    assert refused(ask("PUT", "AUTH_a/aip/x.tar", DATED | {header: "1"}))


@pytest.mark.parametrize("method", ["POST", "COPY", "PATCH", "UPDATE", "REPLICATE"])
def test_an_archive_is_never_changed(method: str) -> None:
    assert refused(ask(method, "AUTH_a/aip/x.tar", {"x-object-meta-retain-until": FUTURE}, found=kept()))


def test_an_archive_leaves_after_its_date_only() -> None:
    assert refused(ask("DELETE", "AUTH_a/aip/x.tar", found=kept(FUTURE)))
    assert refused(ask("DELETE", "AUTH_a/aip/x.tar", found=kept(None)))
    assert refused(ask("DELETE", "AUTH_a/aip/x.tar", found=kept("bientôt")))
    assert ask("DELETE", "AUTH_a/aip/x.tar", found=kept(PAST)) == Pass()
    gone = ask("DELETE", "AUTH_a/aip/x.tar", found=ABSENT)  # no tombstone of it
    assert isinstance(gone, Answer) and (gone.status, gone.refused) == (404, False)


@pytest.mark.parametrize("fate", [None, "", "keep", "DESTROY", "Destroy, Keep", "Sort", "destroy "])
def test_an_archive_tells_its_fate_when_it_enters(fate: str | None) -> None:
    headers = {"x-object-meta-retain-until": FUTURE} | ({} if fate is None else {"x-object-meta-sort-final": fate})
    assert refused(ask("PUT", "AUTH_a/aip/x.tar", headers), 400)
    # A seal, a certificate: no archive, no fate.
    elsewhere = ask("PUT", "AUTH_sae/sceaux/x.json", headers)
    assert elsewhere == Pass({"If-None-Match": "*"}, enters=True) if fate is None else refused(elsewhere, 400)


@pytest.mark.parametrize("fate", ["Keep", None, "", "keep", "Détruire"])
@pytest.mark.parametrize("until", [PAST, "1", FUTURE, None])
def test_what_is_kept_for_ever_is_deleted_by_nobody(fate: str | None, until: str | None) -> None:
    verdict = ask("DELETE", "AUTH_a/aip/x.tar", found=kept(until, fate), clocks=(1e12, 1e12, 1e12))
    assert refused(verdict) and isinstance(verdict, Answer) and "sans limite" in verdict.message


def test_a_fate_is_not_changed_afterwards() -> None:
    headers = DATED | {"x-object-meta-sort-final": "Destroy"}
    for method, answer in (("POST", 403), ("PUT", 412), ("COPY", 403)):
        assert refused(ask(method, "AUTH_a/aip/x.tar", headers, found=kept(PAST, "Keep")), answer)


def test_a_seal_has_no_fate_and_its_date_alone_counts() -> None:
    assert ask("DELETE", "AUTH_sae/sceaux/x.json", found=kept(PAST, None)) == Pass()
    assert refused(ask("DELETE", "AUTH_sae/transferts/x", found=kept(FUTURE, None)))
    assert refused(ask("DELETE", "AUTH_sae/autres/x", found=kept(PAST, "Keep")))


@pytest.mark.parametrize(
    ("transfer", "until", "status"),
    [
        ((WORM, noted()), PAST, None),
        ((WORM, noted()), FUTURE, 403),  # a transfer does not bring the date nearer
        ((WORM, noted("autre")), PAST, 403),
        ((WORM, noted("")), PAST, 403),
        ((WORM, noted(until=FUTURE)), PAST, 403),  # a note that could be taken away again
        ((PLAIN, noted()), PAST, 403),
        ((WORM, ABSENT), PAST, 403),
        ((ABSENT, ABSENT), PAST, 403),
        ((UNKNOWN, noted()), PAST, 503),
        ((WORM, UNKNOWN), PAST, 503),
    ],
)
def test_it_leaves_once_its_transfer_is_noted(transfer: tuple[Head, Head], until: str, status: int | None) -> None:
    verdict = ask("DELETE", "AUTH_a/aip/x.tar", found=kept(until, "Keep"), transfer=transfer)
    assert refused(verdict, status) if status else verdict == Pass()


def test_a_note_without_a_digest_on_either_side_says_nothing() -> None:
    bare = Head(200, {"x-object-meta-retain-until": PAST, "x-object-meta-sort-final": "Keep"})
    note = Head(200, {"x-object-meta-retain-until": str(LATEST)})
    assert refused(ask("DELETE", "AUTH_a/aip/x.tar", found=bare, transfer=(WORM, note)))


@pytest.mark.parametrize(
    ("clocks", "status"),
    [
        ((NOW + 1e9, NOW, NOW), 403),
        ((NOW + 1000, NOW + 1000, NOW), None),  # on the very second
        ((NOW + 1e9, NOW + 1e9, NOW), None),
        ((NOW + 1e9, None, None), 503),
        ((NOW + 1e9, NOW + 1e9, None), None),
        ((NOW + 1e9, NOW, None), 403),
        ((NOW + 1e9, NOW + 1e9, NOW, NOW), 403),
        ((), 503),
    ],
)
def test_a_majority_of_clocks_says_that_the_date_is_past(clocks: tuple[float | None, ...], status: int | None) -> None:
    verdict = ask("DELETE", "AUTH_a/aip/x.tar", found=kept(FUTURE), clocks=clocks)
    assert refused(verdict, status) if status else verdict == Pass()


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_without_certainty_the_answer_is_to_come_back(method: str) -> None:
    headers = DATED
    assert refused(ask(method, "AUTH_a/aip/x.tar", headers, container=UNKNOWN), 503)
    assert refused(ask(method, "AUTH_a/aip", container=UNKNOWN), 503)
    if method != "POST":
        assert refused(ask(method, "AUTH_a/aip/x.tar", headers, found=UNKNOWN), 503)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("DELETE", {}),
        ("POST", {}),
        ("POST", {"x-remove-container-meta-worm": "x"}),
        ("POST", {"x-container-meta-worm": ""}),
        ("PUT", {}),
        ("PUT", {"x-container-meta-worm": "false"}),
        ("PUT", {"x-container-meta-worm": "true", "x-container-read": ".r:*"}),
        ("PUT", {"x-container-meta-worm": "true", "x-container-sysmeta-versions-enabled": "true"}),
        ("PUT", {"x-container-meta-worm": "true", "x-container-meta-quota-bytes": "0"}),
        ("PUT", {"x-container-meta-worm": "true", "x-remove-container-meta-worm": "x"}),
    ],
)
def test_a_worm_container_is_never_changed(method: str, headers: dict[str, str]) -> None:
    assert refused(ask(method, "AUTH_a/aip", headers))


def test_making_a_worm_container_again_does_nothing() -> None:
    assert ask("PUT", "AUTH_a/aip", {"x-container-meta-worm": "true"}) == Answer(202, refused=False)


def test_a_container_is_worm_from_its_beginning() -> None:
    mark = {"x-container-meta-worm": "true"}
    assert ask("PUT", "AUTH_a/aip", mark, container=ABSENT) == Pass()
    assert refused(ask("PUT", "AUTH_a/aip", mark, container=PLAIN), 409)
    assert refused(ask("POST", "AUTH_a/aip", mark, container=PLAIN), 409)
    assert refused(ask("PUT", "AUTH_a/aip", mark | {"x-container-write": "autre:*"}, container=ABSENT))
    assert refused(ask("PUT", "AUTH_a/aip", {"x-container-meta-worm": "oui"}, container=ABSENT), 400)
    assert ask("PUT", "AUTH_a/travail", container=ABSENT) == Pass()


@pytest.mark.parametrize(("method", "path"), [("POST", "AUTH_a/aip"), ("PUT", "AUTH_a/aip/x.tar")])
def test_only_making_a_container_sets_its_mark(method: str, path: str) -> None:
    """Swift itself answers 404: nothing is there yet."""
    assert ask(method, path, {"x-container-meta-worm": "oui"}, container=ABSENT) == Pass()


@pytest.mark.parametrize(("status", "known"), [(199, False), (200, True), (299, True), (300, False)])
def test_only_a_success_says_what_a_container_is(status: int, known: bool) -> None:
    head = Head(status, {"x-container-meta-worm": "true"})
    assert refused(ask("DELETE", "AUTH_a/aip", container=head), 403 if known else 503)


def test_ordinary_containers_stay_ordinary() -> None:
    for method in ("PUT", "POST", "DELETE"):
        assert ask(method, "AUTH_a/travail/x", container=PLAIN, found=kept()) == Pass()
        assert ask(method, "AUTH_a/travail", container=PLAIN) == Pass()
        assert ask(method, "AUTH_a/travail/x", container=ABSENT) == Pass()


@pytest.mark.parametrize("query", ["bulk-delete", "extract-archive", "multipart-manifest", "version-id", "delete"])
def test_bulk_versions_and_s3_ways_are_refused(query: str) -> None:
    for path in ("AUTH_a", "AUTH_a/aip", "AUTH_a/aip/x.tar", "bucket/key"):
        for method in ("POST", "PUT", "DELETE"):
            assert refused(ask(method, path, container=PLAIN, queries=frozenset({query})))


def test_an_account_is_never_deleted() -> None:
    assert refused(ask("DELETE", "AUTH_a"))
    assert ask("POST", "AUTH_a", {"x-account-meta-quota-bytes": "1"}) == Pass()


def test_a_date_is_a_number_of_seconds() -> None:
    assert retain_until(" 4000000000 ") == 4_000_000_000
    assert retain_until(str(LATEST)) == 253402300799  # 9999-12-31T23:59:59Z
    assert retain_until("1") == 1
    assert retain_until(None) is None
