"""What people may do at all, without Plone: the one list of permissions and types that are not the administrator's.

Plone and its add-ons bring places where what somebody writes is run (TAL and Python expressions, page templates, POD
templates, content rules, portlets, workflows). None of them is for people, whoever owns an object: what is not listed
here is closed at each setup, so that an upgrade which brings another one finds it closed.
"""

from __future__ import annotations

PERMISSIONS = frozenset(
    (
        "Access contents information", "Access inactive portal content", "Access session data",
        "Access Transient Objects", "Add portal content", "CMFEditions: Access previous versions",
        "CMFEditions: Apply version control", "CMFEditions: Save new version", "Copy or Move",
        "creatic.deliberations: Add projet", "creatic.deliberations: Add seance", "creatic.deliberations: Passerelle",
        "creatic.deliberations: Prepare", "Delete objects", "List folder contents", "Mail forgotten password",
        "Modify portal content", "plone.app.contenttypes: Add File", "plone.app.contenttypes: Add Image",
        "plone.restapi: Use REST API", "plonemeeting.portal.core: Add Publication", "Public, everyone can access",
        "Request review", "Review portal content", "Search ZCatalog", "Set own password",
        "Show Toolbar", "View", "View Groups", "WebDAV Lock items", "WebDAV Unlock items",
    )
)  # fmt: skip # a list of words
"""Permissions that some role of people has somewhere. Workflows and the communes' folders say which, and where."""
TYPES = ("seance", "projet", "Publication", "File", "Image")
"""What people add, where a permission lets them; all else is the administrator's to add."""
ADMINISTRATOR = "cmf.ManagePortal"
