"""What people may do at all: nothing that runs what they write, nor that manages the site."""

from __future__ import annotations

import pytest
from creatic.deliberations import rights

RUNS = (
    "Set own properties",
    "Manage portal", "View management screens", "Manage properties", "Change local roles", "Take ownership",
    "Add Page Templates", "Change Page Templates", "Add Python Scripts", "Change Python Scripts",
    "Add External Methods", "Change External Methods", "Change DTML Methods", "Add DTML Methods",
    "Modify view template",
    "Content rules: Manage rules", "Portlets: Manage portlets", "Portlets: Manage own portlets",
    "plone.portlet.static: Add static portlet", "eea.facetednavigation: Configure faceted", "Manage Context Aliases",
    "Plone Site Setup: Types", "Plone Site Setup: Themes", "collective.easyform: Add EasyForm",
    "collective.documentgenerator: Manage portal templates", "Sharing page: Delegate Editor role",
    "plonemeeting.portal.core: Add Institution", "imio.omnia.core: Access Omnia OpenAI proxy", "Allow sendto",
)  # fmt: skip # a list of words


@pytest.mark.parametrize("permission", RUNS)
def test_no_role_of_people_runs_what_it_writes(permission: str) -> None:
    assert permission not in rights.PERMISSIONS


def test_whole_families_are_the_administrator_s() -> None:
    families = ("Plone Site Setup", "Portlets", "Content rules", "Sharing page", "plone.portlet", "collective.",
                "imio.", "eea.", "Manage", "Change", "Configure", "Add Page",
                "Add Python")  # fmt: skip # a list of words
    assert not [one for one in rights.PERMISSIONS if one.startswith(families)]


def test_types_that_hold_templates_are_added_by_nobody() -> None:
    assert set(rights.TYPES) == {"seance", "projet", "Publication", "File", "Image"}
