"""Brings Plone's data to what is installed and gives its administrator their password (plone-setup.service).

The application waits for it: it never starts on data half made. The site is made in one transaction: a run that is cut
off leaves nothing. When nothing changed, this reads two files and ends.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from pathlib import Path
from typing import Any

STATE = Path(os.environ.get("PLONE_STATE", "/var/lib/plone"))
DONE = STATE / "version"
SITE = "deliberations"
PROFILE = "creatic.deliberations:default"


def policy_digest() -> str:
    """Digest of the policy package, whose profile is applied again when it changes."""
    import creatic.deliberations

    folder = Path(creatic.deliberations.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def make_site(application: Any, title: str) -> None:
    from Products.CMFPlone.factory import addPloneSite

    print("Création du site", flush=True)
    addPloneSite(
        application,
        SITE,
        title=title,
        distribution_name="classic",
        default_language="fr",
        portal_timezone="Europe/Paris",
        setup_content=False,
    )


def prepare(application: Any, title: str, password: str) -> None:
    """Make or upgrade the site, in the transaction under way."""
    from AccessControl.SecurityManagement import newSecurityManager
    from zope.component.hooks import setSite

    users = application.acl_users
    if users.getUserById("admin") is None:
        users.userFolderAddUser("admin", password, ["Manager"], [])
    newSecurityManager(None, users.getUserById("admin").__of__(users))
    if SITE not in application.objectIds():
        make_site(application, title)
    else:
        application[SITE].portal_migration.upgrade(swallow_errors=False)
    site = application[SITE]
    setSite(site)
    from plone.browserlayer.utils import registered_layers
    from zope.interface import alsoProvides

    setup = site.portal_setup
    if setup.getLastVersionForProfile("plonemeeting.portal.core:default") == "unknown":
        print("Portail des décisions", flush=True)
        for profile in ("plonetheme.deliberations:default", "plonemeeting.portal.core:default"):
            setup.runAllImportStepsFromProfile(f"profile-{profile}")
    else:
        for profile in ("plonemeeting.portal.core:default", "plonetheme.deliberations:default"):
            setup.upgradeProfile(profile)
    alsoProvides(site.REQUEST, *registered_layers())
    print("Délibérations", flush=True)
    setup.runAllImportStepsFromProfile(f"profile-{PROFILE}")
    site.title = title
    # The root's administrator, as the site's own accounts: guessing locks out (creatic.deliberations.accounts).
    change_password(application, password)


def change_password(application: Any, password: str) -> None:
    users = application.acl_users
    store = users.users if hasattr(users, "users") else users
    if hasattr(store, "updateUserPassword"):
        store.updateUserPassword("admin", password)
    else:
        users.userFolderEditUser("admin", password, ["Manager"], [])


def draw_once() -> None:
    """Draw a page: what PDF needs is there, and the fonts are in the cache before anybody waits for them."""
    from weasyprint import HTML

    HTML(string="<p style='font-family: Liberation Serif'>é</p>", base_url=None).write_pdf()


def main() -> int:
    version = f"{Path(sys.prefix).resolve().name}-{policy_digest()}"
    password = sys.stdin.readline().strip()  # systemd opens the file, which this account cannot read
    done = DONE.read_text(encoding="utf-8").split() if DONE.exists() else []
    salt = done[1].partition(":")[0] if len(done) == 2 else os.urandom(16).hex()
    known = hashlib.scrypt(password.encode(), salt=salt.encode(), n=2**14, r=8, p=1).hex()
    wanted = [version, f"{salt}:{known}"]
    if done == wanted:
        return 0

    import transaction
    import Zope2
    from Testing.makerequest import makerequest
    from zope.globalrequest import setRequest
    from Zope2.Startup.run import configure_wsgi

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    configure_wsgi(os.environ["ZOPE_CONF"])
    application = makerequest(Zope2.app(), environ={"SERVER_NAME": os.environ["PLONE_NAME"]})
    setRequest(application.REQUEST)
    if done and done[0] == version:
        change_password(application, password)
    else:
        prepare(application, os.environ["PLONE_TITLE"], password)
    transaction.commit()
    draw_once()
    new = DONE.with_suffix(".nouveau")  # by hand: this file is sent alone, beside a Plone that has no creatic_agent
    with new.open("w", encoding="utf-8") as stream:
        stream.write("\n".join(wanted) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(DONE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
