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
    "creatic_accounts.before.Doors",
    "creatic_address.RealAddress",
    "creatic_accounts.before.Acting",
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
# What reads or draws one file ends, whatever the file: told first, then killed. In seconds.
CELERY_TASK_ANNOTATIONS = {
    f"mayan.apps.{name}": {"soft_time_limit": limit, "time_limit": limit + 30}
    for name, limit in {
        "converter.tasks.task_content_object_image_generate": 120,  # for which Mayan waits as long
        "document_downloads.tasks.task_document_file_compress": 900,
        "document_parsing.tasks.task_parse_document_file": 1800,
        "documents.tasks.document_file_tasks.task_document_file_mimetype_update": 30,
        "documents.tasks.document_file_tasks.task_document_file_page_count_update": 30,
        "file_metadata.tasks.task_metadata_driver_process": 300,
        "ocr.tasks.task_document_version_page_ocr_process": 300,
    }.items()
}
# Nobody waits for what came of a page that was read (creatic_accounts.extent).
CELERY_TASK_ANNOTATIONS["mayan.apps.ocr.tasks.task_document_version_page_ocr_process"] |= {"ignore_result": True}
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
