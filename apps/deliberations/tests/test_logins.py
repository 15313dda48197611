"""Logins that Plone would take for a group's or a program's: it gives rights to names, whoever bears them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from apps.deliberations.tests.beside_plone import module

GROUPS = ["loos-redacteurs", "loos-dgs", "loos-maire", "partie-maire", "Administrators"]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Any:
    return module(monkeypatch, "configuration", "places", "reading", "watch")


@pytest.fixture
def portal() -> Any:
    """With the groups of Loos, and of a commune that left."""
    root = SimpleNamespace(getUserById=lambda login: object() if login == "admin" else None)
    return SimpleNamespace(
        acl_users=SimpleNamespace(source_groups=SimpleNamespace(listGroupIds=lambda: GROUPS)),
        getPhysicalRoot=lambda: SimpleNamespace(acl_users=root),
    )


def commune(*logins: str) -> dict[str, Any]:
    return {
        "slug": "bouvines", "redacteurs": list(logins), "dgs": list(logins), "maire": list(logins[:1]),
        "acces_elus": dict.fromkeys(logins, "Anne Petit"),
        "comptes": [{"identifiant": login, "prenom": "Anne", "nom": "Petit"} for login in logins],
    }  # fmt: skip # one call by its parts


@pytest.mark.parametrize("login", ["loos-maire", "loos-dgs", "partie-maire", "passerelle", "admin"])
def test_a_person_called_as_a_group_or_a_program_gets_nothing(site: Any, portal: Any, login: str) -> None:
    [kept], said = site._filter_logins(portal, {"communes": [commune(login, "anne.petit")]})
    assert kept == commune("anne.petit") | {"maire": []}
    assert said == [
        f"compte {login} : cet identifiant est celui d'un groupe ou d'un programme de ce site ; il n'a aucun droit. "
        "À faire : donnez-en un autre à la personne (comptes, dans le fichier de sa commune)"
    ]


def test_others_keep_theirs(site: Any, portal: Any) -> None:
    whole = commune("anne.petit", "jean.le-maire", "dgs")
    assert site._filter_logins(portal, {"communes": [whole]}) == ([whole], [])
