"""The application, as Mayan loads it."""

from __future__ import annotations

from django.db.models.signals import pre_delete, pre_save
from mayan.apps.app_manager.apps import MayanAppConfig


class ParapheurApp(MayanAppConfig):
    """The parapheur in Mayan."""

    app_namespace = "parapheur"
    app_url = ""
    default_auto_field = "django.db.models.BigAutoField"
    has_app_translations = False
    has_rest_api = True
    name = "creatic_parapheur"
    verbose_name = "Parapheur"

    def ready(self) -> None:
        """Link the pages, and keep the circuits to their rules."""
        super().ready()
        from creatic_accounts.api import PENDING_DUTY_FINDERS
        from creatic_accounts.elimination import BEFORE, FINDERS
        from creatic_accounts.pages import MENU
        from creatic_accounts.remise import DOCUMENT_DESCRIBERS
        from mayan.apps.common.menus import menu_main
        from mayan.apps.document_states.models import WorkflowInstanceLogEntry
        from mayan.apps.icons.icons import Icon
        from mayan.apps.navigation.links import Link

        from . import circuit, pages
        from .models import Absence, Acte, Delegation, Geste, Piece, described

        pre_save.connect(circuit.guard, sender=WorkflowInstanceLogEntry, dispatch_uid="creatic_parapheur")
        for kept in (Absence, Acte, Delegation, Geste, Piece, WorkflowInstanceLogEntry):
            pre_delete.connect(circuit.keep, sender=kept, dispatch_uid=f"creatic_parapheur.{kept.__name__}")
        PENDING_DUTY_FINDERS.append(circuit.held)
        MENU.append(pages.menu)
        DOCUMENT_DESCRIBERS.append(described)
        FINDERS.append(circuit.to_eliminate)
        BEFORE.append(circuit.let_go)

        links = [
            Link(icon=Icon(driver_name="fontawesome", symbol=symbol), text=text, view=f"parapheur:{view}")
            for symbol, text, view in (
                ("file-signature", "À traiter", "a_traiter"),
                ("folder-open", "Dossiers", "dossiers"),
                ("pen-to-square", "Rédiger", "rediger"),
                ("plane-departure", "Mes absences", "absences"),
                ("stamp", "Délégations", "delegations"),
            )
        ]
        menu_main.bind_links(links=links, position=0)
