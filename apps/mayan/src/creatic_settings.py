"""Django settings of Mayan that its own settings do not reach."""

import gc
import os

from mayan.settings.production import *  # noqa: F403 - Django's way to refine settings
from mayan.settings.production import DATABASES, INSTALLED_APPS, MIDDLEWARE, REST_FRAMEWORK

# Processes that are forked share what was loaded before: Python's collector is not to touch it.
os.register_at_fork(before=gc.freeze)

# Its addresses stand before Mayan's.
INSTALLED_APPS = ["creatic_accounts.apps.AccountsApp", *INSTALLED_APPS]
MIDDLEWARE = (
    "creatic_accounts.doors.Doors",
    "creatic_address.RealAddress",
    "creatic_accounts.guard.Acting",
    # Nobody acts under another's name, an administrator no more than others.
    *(one for one in MIDDLEWARE if one != "mayan.apps.authentication.middleware.impersonate.ImpersonateMiddleware"),
    "creatic_passwords.ChosenPassword",
)
REST_FRAMEWORK = REST_FRAMEWORK | {
    "DEFAULT_AUTHENTICATION_CLASSES": (
        "rest_framework.authentication.SessionAuthentication",  # the pages' own calls, which the middleware sees
        "creatic_accounts.doors.Found",
    )
}
# French for everybody, whatever the browser asks for.
LANGUAGE_CODE = "fr"
LANGUAGES = (("fr", "Français"),)
TIME_ZONE = "Europe/Paris"
# Cookies travel over TLS alone, and end with the working day.
SESSION_COOKIE_SECURE = True
SESSION_COOKIE_AGE = 10 * 3600
# No other site's pages call the API.
CORS_ORIGIN_ALLOW_ALL = False
# One connection a thread, checked before use: PostgreSQL may have been restarted meanwhile.
DATABASES["default"]["CONN_MAX_AGE"] = 60
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
