"""Who comes and goes while a council meets, without Plone; from which point on is kept there (CGCT, L2121-17).

Messages are French, for people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from creatic.deliberations.rules import Attendance, proxy

COMES, EXCUSED, REPRESENTED = "present", "excuse", "pouvoir"
"""What a member announces before the meeting; presence is what is noted in the room."""
ANSWERS = {COMES: "sera présent(e)", EXCUSED: "absent(e), excusé(e)"}

Noted = tuple[list[str], list[str]]
"""Who is there, in the council's order, and the pouvoirs that count then."""


def announced(
    members: Sequence[str], answers: Mapping[str, str], given: Mapping[str, str]
) -> Mapping[str, tuple[str, str]]:
    """Say what each member announced: one of the words above, "" for none, and a French sentence's end.

    Args:
        members: the council.
        answers: `COMES` or `EXCUSED`, by member.
        given: pouvoirs that stand, giver and holder: they are a word that their giver is away.
    """
    found = {}
    for name in members:
        what, said = answers.get(name, ""), ANSWERS.get(answers.get(name, ""), "n'a pas répondu")
        if holder := given.get(name, ""):
            away = holder in given or answers.get(holder) == EXCUSED
            what, said = REPRESENTED, f"donne pouvoir à {holder}" + ", qui a dit ne pas venir" * away
        found[name] = (what, said)
    return found


def leaves(sitting: Attendance, name: str, holder: str = "") -> Noted:
    """Note that somebody leaves; the pouvoir that they bore is nobody's any more.

    Args:
        sitting: who was there.
        name: who leaves.
        holder: to whom they give theirs; nothing for nobody.

    Raises:
        ValueError: the reason, in French.
    """
    if name not in sitting.present:
        raise ValueError(f"{name} n'est pas dans la salle")
    there = [one for one in sitting.members if one in sitting.present and one != name]
    if not there:
        raise ValueError(f"{name} est seul dans la salle : terminez la séance")
    kept = [line for line in sitting.proxies if name not in _split_proxy(line)]
    return there, [*kept, f"{name} : {holder}"] if holder else kept


def arrives(sitting: Attendance, name: str) -> Noted:
    """Note that somebody comes, or comes back: they vote themselves. Raises ValueError: the reason, in French."""
    if name in sitting.present:
        raise ValueError(f"{name} est déjà dans la salle")
    if name not in sitting.members:
        raise ValueError(f"{name} n'est pas membre du conseil")
    there = [one for one in sitting.members if one in sitting.present or one == name]
    return there, [line for line in sitting.proxies if name != _split_proxy(line)[0]]


def _split_proxy(line: str) -> tuple[str, str]:
    return proxy(line) or ("", "")


def lapsed(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Pouvoirs that count no more, in words."""
    return [
        f"le pouvoir de {_split_proxy(line)[0]} à {_split_proxy(line)[1]} ne compte plus"
        for line in before
        if line not in after
    ]


def movements(opening: Sequence[str], points: Sequence[tuple[int, Sequence[str]]]) -> Mapping[str, list[str]]:
    """Say who came and who left, and from which point on.

    Args:
        opening: who was there then.
        points: rank of each item of the agenda, with who is there.
    """
    found: dict[str, list[str]] = {}
    before = set(opening)
    for rank, there in points:
        now = set(there)
        for name in now - before:
            found.setdefault(name, []).append(f"arrivé au point {rank}")
        for name in before - now:
            found.setdefault(name, []).append(f"parti au point {rank}")
        before = now
    return found
