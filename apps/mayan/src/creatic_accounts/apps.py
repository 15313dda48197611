"""The application, as Mayan loads it: before its own, so that its addresses stand before theirs."""

from __future__ import annotations

import sys

from mayan.apps.app_manager.apps import MayanAppConfig

# What mayan-setup.service runs, alone, before anybody is served: Mayan stores the templates that it comes with.
_SETUP = ("common_initial_setup", "common_perform_upgrade", "migrate")


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
        """Keep accounts to what the rollout made of them, menus to what is open, pages to who may see what they are
        about, images to what pages ask of them, documents to so many pages, copies to so many bytes, searches to so
        long, templates to none."""
        super().ready()
        from . import bundles, doors, elimination, extent, guard, images, searches, templating, theirs

        guard.connect()
        elimination.keep()
        doors.keep_links()
        images.keep()
        extent.keep()
        bundles.keep()
        searches.keep()
        theirs.keep()
        if not {*sys.argv[1:2]} & {*_SETUP}:
            templating.keep()
