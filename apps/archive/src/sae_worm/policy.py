"""What a WORM container allows, apart from any web framework.

A container is WORM when it was made with ``X-Container-Meta-Worm: true``. Nobody, administrators included, changes
that afterwards. An object enters once, with ``X-Object-Meta-Retain-Until`` (seconds since the epoch, UTC), is never
changed, and may be deleted once a majority of the room's clocks say that this date is past.

Its final fate enters with it, and cannot be changed either (``X-Object-Meta-Sort-Final``, Keep or Destroy). What is to
be kept is definitive archives: they are kept without limit (Code du patrimoine, R212-12), whatever their date and
whoever asks. They leave for a public archives service alone: the archive's own account, of which no service versant has
the key, then has a note of the transfer, itself under WORM for ever. An object of container ``aip`` that does not tell
its fate is one of them.

Answers are looked up in Swift itself for each request, never in a cache: another proxy may just have made the
container. Whenever a lookup is not certain the answer is 503, never "allowed".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

MARK = "x-container-meta-worm"
RETAIN = "x-object-meta-retain-until"
FATE, KEEP, DESTROY = "x-object-meta-sort-final", "Keep", "Destroy"
ARCHIVES = "aip"  # the container whose objects all have a fate
# Where transfers are noted, as account/container/object of what left, with that object's digest.
TRANSFERS = ("AUTH_sae", "transferts")
DIGEST, TRANSFERRED = "x-object-meta-sha512", "x-object-meta-archive-sha512"
# 9999-12-31: for ever.
LATEST = 253402300799
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
# What would let an object vanish, be something else than its bytes, or be written by another way.
_OBJECT_HEADERS = (
    "x-delete-at",
    "x-delete-after",
    "x-object-manifest",
    "x-static-large-object",
    "x-symlink-target",
    "x-object-sysmeta-symlink-target",
)
_QUERIES = frozenset({"bulk-delete", "extract-archive", "multipart-manifest", "symlink", "version-id", "delete"})
# Prefixes of what a WORM container may not carry: others' rights, synchronisation, versions.
_CONTAINER_HEADERS = (
    "x-container-read",
    "x-container-write",
    "x-container-sync-",
    "x-container-sysmeta-",
    "x-versions-",
    "x-history-",
    "x-remove-",
)


@dataclass(frozen=True)
class Head:
    """Answer of Swift to a HEAD: status, and headers by lower-case name."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def present(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True)
class Request:
    """A request as the filter sees it: after authentication, copy, and the other middlewares. Header names lower."""

    method: str
    account: str
    container: str = ""
    object: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    queries: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Answer:
    """An answer given instead of Swift's; `refused` tells those worth a line in the journal."""

    status: int
    message: str = ""
    refused: bool = True


@dataclass(frozen=True)
class Pass:
    """Let the request go on, with these headers added; `enters`: with `entering` asked again when its body ends."""

    headers: Mapping[str, str] = field(default_factory=dict)
    enters: bool = False


@dataclass(frozen=True)
class Room:
    """What the policy asks of the room.

    Attributes:
        container: HEAD of the request's container, newest of its replicas.
        object: HEAD of the request's object, newest of its replicas.
        transfer: HEAD of the container of transfers, and of this object's note there.
        clocks: seconds since the epoch by node, None for one that does not answer.
    """

    container: Callable[[], Head]
    object: Callable[[], Head]
    transfer: Callable[[], tuple[Head, Head]]
    clocks: Callable[[], Sequence[float | None]]


UNSURE = Answer(
    503, "La salle ne peut pas répondre avec certitude : trop peu de nœuds répondent. Recommencez plus tard."
)


def judge(request: Request, room: Room) -> Answer | Pass:
    """Decide about one request."""
    if request.method in _READS or not request.account:
        return Pass()
    queries = sorted(request.queries & _QUERIES)
    if queries:
        return Answer(403, f"Opération refusée dans la salle d'archives : {', '.join(queries)}.")
    if not request.container:
        if request.method == "DELETE":
            return Answer(403, "Un compte d'archives ne se supprime pas.")
        return Pass()
    container = room.container()
    if container.status == 404:
        return _new_container(request) if request.method == "PUT" and not request.object else Pass()
    if not container.present:
        return UNSURE
    worm = _worm(container)
    if request.object:
        return _object(request, room) if worm else Pass()
    return _container(request, worm)


def _worm(container: Head) -> bool:
    return container.headers.get(MARK, "").lower() == "true"


def _mark(request: Request) -> str | None:
    return request.headers.get(MARK)


def _foreign(request: Request) -> list[str]:
    return sorted(name for name in request.headers if name.startswith(_CONTAINER_HEADERS))


def _new_container(request: Request) -> Answer | Pass:
    mark = _mark(request)
    if mark is None:
        return Pass()
    if mark.lower() != "true":
        return Answer(400, "X-Container-Meta-Worm : « true » attendu.")
    foreign = _foreign(request)
    if foreign:
        return Answer(403, f"Refusé sur un conteneur WORM : {', '.join(foreign)}.")
    return Pass()


def _container(request: Request, worm: bool) -> Answer | Pass:
    if not worm:
        if _mark(request):
            return Answer(409, "Un conteneur devient WORM à sa création, pas après.")
        return Pass()
    if request.method == "PUT" and (_mark(request) or "").lower() == "true":
        others = [name for name in request.headers if name.startswith("x-container-meta-") and name != MARK]
        if not others and not _foreign(request):
            return Answer(202, refused=False)  # made again: nothing to do
    return Answer(403, "Un conteneur WORM ne se modifie pas et ne se supprime pas.")


def _object(request: Request, room: Room) -> Answer | Pass:
    if request.method == "PUT":
        return _put(request, room)
    if request.method == "DELETE":
        return _delete(request, room)
    return Answer(403, "Une archive ne se modifie pas.")


def retain_until(text: str | None) -> int | None:
    """Date of a retention, seconds since the epoch; None when it is not one."""
    text = (text or "").strip()
    if not text.isascii() or not text.isdigit() or len(text) > 12 or not 0 < int(text) <= LATEST:
        return None
    return int(text)


def _put(request: Request, room: Room) -> Answer | Pass:
    forbidden = [name for name in _OBJECT_HEADERS if name in request.headers]
    if forbidden:
        return Answer(403, f"Refusé pour une archive : {', '.join(forbidden)}.")
    if retain_until(request.headers.get(RETAIN)) is None:
        return Answer(400, "X-Object-Meta-Retain-Until : date de fin de conservation attendue, en secondes (UTC).")
    fate = request.headers.get(FATE)
    if fate not in (KEEP, DESTROY) and (fate is not None or request.container == ARCHIVES):
        return Answer(400, f"X-Object-Meta-Sort-Final : sort final attendu, {KEEP} ou {DESTROY}.")
    # Each node looks as well when it begins to write, for two depositors at the same time.
    return entering(room) or Pass({"If-None-Match": "*"}, enters=True)


def entering(room: Room) -> Answer | None:
    """Why an archive does not enter, None if nothing has its name.

    Swift keeps the one of two that began last: a body that lasts would take the place of an archive that came whole
    meanwhile, with the retention that it likes.
    """
    found = room.object()
    if found.present:
        return Answer(412, "Cette archive existe déjà : une archive ne se remplace pas.")
    return None if found.status == 404 else UNSURE


def _delete(request: Request, room: Room) -> Answer | Pass:
    found = room.object()
    if found.status == 404:
        # Not Swift's to do: its tombstone would also bury a copy that a node which is away still has.
        return Answer(404, "Cette archive n'est pas au stockage.", refused=False)
    if not found.present:
        return UNSURE
    if found.headers.get(FATE, "" if request.container == ARCHIVES else DESTROY) != DESTROY:
        stays = _stays(found, room)
        if stays:
            return stays
    date = retain_until(found.headers.get(RETAIN))
    if date is None:
        return Answer(403, "Cette archive n'a pas de date de fin de conservation : elle ne se supprime pas.")
    clocks = room.clocks()
    quorum = len(clocks) // 2 + 1
    if sum(clock is not None for clock in clocks) < quorum:
        return UNSURE
    # One wrong clock, or an administrator who sets one, is not enough.
    if sum(clock is not None and clock >= date for clock in clocks) < quorum:
        return Answer(403, "Cette archive doit être conservée : sa date de fin de conservation n'est pas atteinte.")
    return Pass()


def _stays(found: Head, room: Room) -> Answer | None:
    """Why an archive to be kept does not leave; None once its transfer is noted."""
    kept = Answer(
        403,
        "Cette archive est à conserver sans limite (Code du patrimoine, R212-12) : elle ne quitte la salle qu'après "
        "son transfert à un service public d'archives (« sae-transfert »).",
    )
    container, note = room.transfer()
    if container.status == 404 or (container.present and note.status == 404):
        return kept
    if not container.present or not note.present:
        return UNSURE
    digest = found.headers.get(DIGEST, "")
    good = _worm(container) and retain_until(note.headers.get(RETAIN)) == LATEST
    return None if good and digest and note.headers.get(TRANSFERRED) == digest else kept
