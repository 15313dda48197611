"""Accounts: guessing locks out, passwords are strong, the first one is changed before anything else.

The guard is a PAS plugin in front of the store of passwords, the only one that sees a login and its password: the form,
`@login` of the REST API and Basic all come by it.
"""

from __future__ import annotations

from typing import Any

from AccessControl import getSecurityManager
from AccessControl.class_init import InitializeClass
from Acquisition import aq_base
from App.special_dtml import DTMLFile
from creatic.deliberations import doors, passwords
from plone import api
from plone.base.interfaces import IForcePasswordChange
from plone.resource.file import FilesystemFile
from Products.PageTemplates.PageTemplateFile import PageTemplateFile
from Products.PluggableAuthService.interfaces.plugins import IAuthenticationPlugin, IValidationPlugin
from Products.PluggableAuthService.plugins.BasePlugin import BasePlugin
from zExceptions import BadRequest, Forbidden, NotFound, Redirect, Unauthorized
from zope.browserresource.interfaces import IResource
from zope.component import adapter
from zope.globalrequest import getRequest
from zope.interface import implementer
from zope.publisher.interfaces.browser import IBrowserRequest, IBrowserView

PLUGIN = "creatic"
# Pages that one who must change their password may still reach, beside what pages are drawn with.
_PASSWORD_CHANGE_PAGES = (
    "login",
    "logout",
    "logged-out",
    "forced-password-change",
    "favicon.ico",
    "site-logo",
    "custom_colors.css",
)
# Steps of a path that nginx's side put there.
_VIRTUAL = ("virtual_hosting",)


@implementer(IAuthenticationPlugin, IValidationPlugin)
class Guard(BasePlugin):
    """Checks passwords against the store behind it, no more than a few times."""

    meta_type = "Cre@tic Guard"

    def __init__(self, id: str, store: str) -> None:
        self.id = id
        self.title = "Verrouillage et force des mots de passe"
        self.store = store

    def authenticateCredentials(self, credentials: dict[str, Any]) -> tuple[str, str] | None:  # noqa: N802 # PluggableAuthService calls it
        """See IAuthenticationPlugin."""
        login, password = credentials.get("login"), credentials.get("password")
        if not login or password is None:
            return None
        request = getRequest()
        address = request.environ.get("HTTP_X_FORWARDED_FOR", "") if request is not None else ""
        if passwords.attempts.is_locked(login, address):
            return None
        found = self._getPAS()[self.store].authenticateCredentials(credentials)
        if found:
            passwords.attempts.succeeded(login, address)
        elif request is not None:
            self._count_failure(request, login, password, address)
        result: tuple[str, str] | None = found
        return result

    def _count_failure(self, request: Any, login: str, password: str, address: str) -> None:
        """Count an error once, however many times a request asks, and not at all for whom another folder knows."""
        key = (login, password)
        asked = request.environ.setdefault("creatic.asked", set())
        if key not in asked:
            asked.add(key)
            passwords.attempts.failed(login, address)

    def validateUserInfo(self, user: Any, set_id: str, set_info: dict[str, Any]) -> list[dict[str, str]]:  # noqa: N802 # PluggableAuthService calls it
        """See IValidationPlugin."""
        password = set_info.get("password")
        if password is None:
            return []
        wrong = passwords.weakness(password) or (passwords.PASSWORD_POLICY if self._is_current(password) else None)
        return [{"id": "password", "error": wrong}] if wrong else []

    def _is_current(self, password: str) -> bool:
        if api.user.is_anonymous():
            return False
        login = api.user.get_current().getUserName()
        store = self._getPAS()[self.store]
        return store.authenticateCredentials({"login": login, "password": password}) is not None


InitializeClass(Guard)


def install(folder: Any, store: str) -> None:
    """Put the guard in front of a folder's store of passwords."""
    if PLUGIN not in folder.objectIds():
        folder._setObject(PLUGIN, Guard(PLUGIN, store))
    plugins = folder.plugins
    for interface in (IAuthenticationPlugin, IValidationPlugin):
        if PLUGIN not in plugins.listPluginIds(interface):
            plugins.activatePlugin(interface, PLUGIN)
    if store in plugins.listPluginIds(IAuthenticationPlugin):
        plugins.deactivatePlugin(IAuthenticationPlugin, store)
    for name in plugins.listPluginIds(IValidationPlugin):
        if name != PLUGIN:
            plugins.deactivatePlugin(IValidationPlugin, name)


def must_change(user: Any) -> bool:
    """Whether somebody still has the password they were given."""
    return bool(user is not None and user.getProperty("must_change_password", False))


@implementer(IForcePasswordChange)
@adapter(object, IBrowserRequest)
class ChangeFirst:
    """Sends one who has just logged in with a given password to change it."""

    def __init__(self, context: Any, request: Any) -> None:
        self.request = request

    def __call__(self) -> None:
        """See IForcePasswordChange."""
        self.request.response.redirect(f"{api.portal.get().absolute_url()}/@@forced-password-change")


def _is_open(published: Any) -> bool:
    """Whether what is published is one of the open pages, or a file that pages are drawn with: a path can lie."""
    page = aq_base(published)
    if IResource.providedBy(page) or isinstance(page, FilesystemFile):
        return True
    return IBrowserView.providedBy(page) and getattr(page, "__name__", "") in _PASSWORD_CHANGE_PAGES


def keep_out(event: Any) -> None:
    """Zope's management is for this machine alone: a form's field leads to a page as well as a path does."""
    request = event.request
    if "HTTP_X_FORWARDED_FOR" not in request.environ or "PUBLISHED" not in request:
        return
    page = aq_base(request["PUBLISHED"])
    steps = [step for step in request.steps if step not in _VIRTUAL]
    name = str(getattr(page, "__name__", None) or "")
    # Such files are drawn by Zope's own pages alone.
    if doors.is_closed([*steps, name]) or isinstance(page, DTMLFile | PageTemplateFile):
        raise NotFound("Cette page n'existe pas.")


def weigh(event: Any) -> None:
    """Read neither much of nobody's, whatever account they claim, nor a search that would take minutes."""
    request = event.request
    if "HTTP_X_FORWARDED_FOR" not in request.environ:
        return
    user = request.get("AUTHENTICATED_USER")
    nobody = user is None or user.getUserName() == "Anonymous User"
    if nobody and int(request.environ.get("CONTENT_LENGTH") or 0) > doors.LARGEST:
        raise BadRequest("Cet envoi est trop gros pour qui ne s'est pas identifié. À faire : identifiez-vous.")
    if len(str(request.form.get("SearchableText", ""))) > doors.MAX_SEARCH_LENGTH:
        raise BadRequest(
            f"Une recherche a {doors.MAX_SEARCH_LENGTH} caractères au plus. À faire : cherchez quelques mots."
        )


def stay(event: Any) -> None:
    """Content is where it was made, under its own commune, and nowhere else."""
    request = event.request
    if doors.is_elsewhere([*request.get("PARENTS", ()), request.get("PUBLISHED")]):
        raise NotFound("Cette page n'existe pas.")


def see(event: Any) -> None:
    """Of content, who may not see it reads nothing: Plone has pages that are for anybody, and say its title."""
    request = event.request
    about = doors.nearest([request.get("PUBLISHED"), *request.get("PARENTS", ())])
    if about is not None and not getSecurityManager().checkPermission("View", about):
        raise Unauthorized("Identifiez-vous : cette page n'est pas ouverte à tous.")


def keep_names(_event: Any) -> None:
    """When the site starts: who has an account is listed to the administrator alone, whatever page or service asks.

    What a search may ask for is for anybody in Plone, with each of its choices: the authors, who are all accounts.
    """
    from plone.app.vocabularies import principals

    listed = principals.BaseFactory.__call__

    def listed_to(self: Any, context: Any, query: str = "") -> Any:
        if getSecurityManager().checkPermission("Manage portal", api.portal.get()):
            return listed(self, context, query)
        nobody = principals.PrincipalsVocabulary([])
        nobody.principal_source = self.source
        return nobody

    principals.BaseFactory.__call__ = listed_to


def hold(event: Any) -> None:
    """Let nobody do anything with a given password but change it."""
    request = event.request
    user = request.get("AUTHENTICATED_USER")
    if user is None or user.getUserName() == "Anonymous User" or "PUBLISHED" not in request:
        return
    if _is_open(request["PUBLISHED"]):
        return
    try:
        member = api.user.get_current()
    except api.exc.CannotGetPortalError:
        return
    if not must_change(member):
        return
    if "application/json" in request.environ.get("HTTP_ACCEPT", ""):
        raise Forbidden("Changez d'abord votre mot de passe : ouvrez le site dans un navigateur.")
    raise Redirect(f"{api.portal.get().absolute_url()}/@@forced-password-change")
