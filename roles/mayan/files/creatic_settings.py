"""Django settings of Mayan that its own settings do not reach."""

import gc
import os

from mayan.settings.production import *  # noqa: F403 - Django's way to refine settings
from mayan.settings.production import DATABASES, MIDDLEWARE, REST_FRAMEWORK

# Processes that are forked share what was loaded before: Python's collector is not to touch it.
os.register_at_fork(before=gc.freeze)

MIDDLEWARE = ("creatic_address.RealAddress", *MIDDLEWARE, "creatic_passwords.ChosenPassword")
REST_FRAMEWORK = REST_FRAMEWORK | {
    "DEFAULT_AUTHENTICATION_CLASSES": (
        "rest_framework.authentication.SessionAuthentication",  # the pages' own calls, which the middleware sees
        "creatic_passwords.Token",
        "creatic_passwords.Basic",
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
