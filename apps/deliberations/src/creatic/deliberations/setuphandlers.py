"""What the profile cannot say in XML: run at the first setup and again whenever this package changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from creatic.deliberations import accounts, rights, rules, watch, workflows
from plone import api

REGISTRY = "plonemeeting.portal.core"
# Of the portal's own country, or calling its makers' servers.
_UNWANTED = ("imio.omnia.assistant", "imio.omnia.tinymce", "imio.omnia.core")
_PORTAL_SETTINGS = {
    f"{REGISTRY}.global_categories": rules.MATTERS,
    f"{REGISTRY}.document_types": {
        "deliberation": "Délibération",
        "arrete": "Arrêté",
        "liste": "Liste des délibérations",
        "proces_verbal": "Procès-verbal",
    },
    f"{REGISTRY}.legislative_authorities": {"conseil": "Conseil municipal", "maire": "Maire"},
    f"{REGISTRY}.institution_types": {"commune": "Commune"},
    f"{REGISTRY}.meeting_types": {"council": "Conseil municipal"},
    f"{REGISTRY}.plausible_base_url": "",
    f"{REGISTRY}.plausible_site_domain": "",
    f"{REGISTRY}.map_tiles_url": "",
    f"{REGISTRY}.map_attribution": "",
    "plone.enable_self_reg": False,
    "plone.enable_user_pwd_choice": False,
    "plone.use_email_as_login": False,
    "plone.allow_anon_views_about": False,
    "plone.default_language": "fr",
    "plone.available_languages": ["fr"],
    "plone.use_request_negotiation": False,
    "plone.use_cookie_negotiation": False,
    "plone.exposeDCMetaTags": False,
    "plone.webstats_js": "",
    "plone.email_from_name": "Délibérations",
    # The editor neither names its maker nor has a handle that a keyboard cannot use.
    "plone.other_settings": '{"branding": false, "resize": false, "elementpath": false}',
}


def post_install(tool: Any) -> None:
    """Bring the site to our settings."""
    portal = api.portal.get()
    _uninstall(portal)
    for name, value in _PORTAL_SETTINGS.items():
        if api.portal.get_registry_record(name, default=None) != value:
            api.portal.set_registry_record(name, value)
    _show_logo()
    for role in workflows.ROLES:
        if role not in portal.valid_roles():
            portal._addRole(role)
    workflows.install(portal.portal_workflow)
    folder = portal.portal_types.Folder
    folder.allowed_content_types = tuple(dict.fromkeys((*folder.allowed_content_types, "seance")))
    users = portal.acl_users
    accounts.install(users, "source_users")
    root = portal.getPhysicalRoot().acl_users
    if hasattr(root, "plugins") and hasattr(root, "users"):
        accounts.install(root, "users")
    cookies = users.session
    cookies.timeout, cookies.secure = 10 * 3600, True
    portal.setLayout("homepage_view")
    _restrict_permissions(portal)
    portal.portal_workflow.updateRoleMappings()
    watch.keep_all(portal)


def _restrict_permissions(portal: Any) -> None:
    """Leave the administrator alone with what people do not need: see `rights`."""
    for permission in sorted(set(portal.possible_permissions()) - rights.PERMISSIONS):
        portal.manage_permission(permission, ["Manager"], acquire=False)
    for kind in portal.portal_types.objectValues():
        if kind.getId() not in rights.TYPES and hasattr(kind, "add_permission"):
            kind.add_permission = rights.ADMINISTRATOR


def _show_logo() -> None:
    from plone.formwidget.namedfile.converter import b64encode_file

    logo = b64encode_file("logo.svg", Path(__file__).with_name("logo.svg").read_bytes())
    if api.portal.get_registry_record("plone.site_logo") != logo:
        api.portal.set_registry_record("plone.site_logo", logo)


def _uninstall(portal: Any) -> None:
    from Products.CMFPlone.utils import get_installer

    installer = get_installer(portal, portal.REQUEST)
    for product in _UNWANTED:
        if installer.is_product_installed(product):
            installer.uninstall_product(product)
