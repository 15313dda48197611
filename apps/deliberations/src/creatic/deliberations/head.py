"""What each page says of itself before its content: its own title, and what makes it readable."""

from __future__ import annotations

import functools
import hashlib
from html import escape
from pathlib import Path

from plone.app.layout.viewlets.common import TitleViewlet, ViewletBase
from zope.i18n import translate

_STATIC = Path(__file__).with_name("static")
_BASE = "++resource++creatic.deliberations"
# Pages whose object has a title that is not theirs.
_PAGES = {
    "adresses": "Adresses des élus",
    "ailleurs": "Site de la commune et données ouvertes",
    "change-password": "Changer le mot de passe",
    "conduire": "Conduire la séance",
    "content_status_history": "État",
    "envois": "Envois de la convocation",
    "delete_confirmation": "Supprimer",
    "espace": "Mes séances",
    "espace-point": "Point de l'ordre du jour",
    "espace-seance": "Séance",
    "folder_contents": "Contenu",
    "forced-password-change": "Changer le mot de passe",
    "historyview": "Historique",
    "login": "Connexion",
    "logged-out": "Déconnexion",
    "personal-information": "Informations personnelles",
    "personal-preferences": "Préférences",
    "publication": "Publication",
    "publier": "Publier",
    "search": "Recherche",
    "suites": "Après la séance",
    "vote": "Présence et vote",
}


class Title(TitleViewlet):
    """The title of the page, then of what it is about, then of whose it is."""

    site_title: str

    def update(self) -> None:
        """Put what the page is before."""
        super().update()
        if said := self._page():
            self.site_title = f"{escape(said)} — {self.site_title}"

    def _page(self) -> str:
        view = getattr(self, "view", None) or self.__parent__
        name = str(getattr(view, "__name__", "") or "")
        if name in _PAGES:
            return _PAGES[name]
        label = getattr(getattr(view, "form_instance", view), "label", "")
        return str(translate(label, context=self.request)) if isinstance(label, str) else ""


@functools.cache
def _address(name: str) -> str:
    """Address of a file, which changes with it."""
    return f"{_BASE}/{name}?{hashlib.sha256((_STATIC / name).read_bytes()).hexdigest()[:12]}"


class Drawn(ViewletBase):
    """Styles and names that the theme's own pages lack."""

    def render(self) -> str:
        """Elements of the head."""
        root = self.site_url
        return (
            f'<link rel="stylesheet" href="{root}/{_address("pages.css")}" />'
            f'<script defer="defer" src="{root}/{_address("pages.js")}"></script>'
            f'<script defer="defer" src="{root}/{_address("conduire.js")}"></script>'
        )
