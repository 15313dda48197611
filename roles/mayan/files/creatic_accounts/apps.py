"""The application, as Mayan loads it: before its own, so that its addresses stand before theirs."""

from __future__ import annotations

from mayan.apps.app_manager.apps import MayanAppConfig


class AccountsApp(MayanAppConfig):
    """Accounts, in Mayan."""

    app_namespace = "creatic_accounts"
    app_url = ""
    default_auto_field = "django.db.models.BigAutoField"
    has_app_translations = False
    has_rest_api = True
    name = "creatic_accounts"
    verbose_name = "Comptes"

    def ready(self) -> None:
        """Keep accounts to what the rollout made of them, menus to what is open, templates to none."""
        super().ready()
        from . import doors, guard, templating

        guard.connect()
        doors.keep_links()
        templating.keep()
