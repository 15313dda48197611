# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Why the system refuses something, in French: its own words are English on machines without French locales.

Standard library only: what agents share, and applications that do without it, have this very file by a link.
"""

from __future__ import annotations

import errno
import gzip
import socket
import ssl
import tarfile
import zlib

_ERRNO_MESSAGES = {
    errno.EACCES: "accès refusé",
    errno.EPERM: "opération interdite",
    errno.ENOENT: "il n'existe pas",
    errno.EEXIST: "ce nom est déjà pris",
    errno.ENOTDIR: "une partie de son chemin n'est pas un dossier",
    errno.EISDIR: "c'est un dossier",
    errno.ENOSPC: "le disque est plein",
    errno.EDQUOT: "le quota du disque est atteint",
    errno.EFBIG: "le fichier est trop grand pour ce disque",
    errno.EROFS: "le disque est en lecture seule",
    errno.EIO: "le disque ne répond pas bien",
    errno.ENAMETOOLONG: "le nom est trop long",
    errno.ELOOP: "ses liens symboliques tournent en rond",
    errno.EINVAL: "la valeur n'est pas admise",
    errno.ECONNREFUSED: "connexion refusée",
    errno.ECONNRESET: "connexion coupée",
    errno.EHOSTUNREACH: "machine inaccessible",
    errno.ENETUNREACH: "réseau inaccessible",
    errno.ETIMEDOUT: "délai dépassé",
}


def reason(error: Exception) -> str:
    """Say why, without the file's name; the error's own words when it is none of those that are met."""
    if isinstance(error, gzip.BadGzipFile | zlib.error):
        return "ce n'est pas un fichier gzip, ou il est abîmé"
    if isinstance(error, EOFError):
        return "il est coupé avant la fin"
    if isinstance(error, tarfile.TarError):
        return "ce n'est pas une archive, ou elle est abîmée"
    if type(error).__module__ == "smtplib":  # not imported: most of us send no mail
        return _of_a_relay(error)
    if isinstance(error, TimeoutError):
        return "délai dépassé"
    if isinstance(error, socket.gaierror):
        return "son nom n'est pas connu"
    if isinstance(error, OSError):
        own = (
            "" if isinstance(error, ssl.SSLError) else _ERRNO_MESSAGES.get(error.errno or 0)
        )  # OpenSSL's numbers are others
        return own or error.strerror or str(error) or type(error).__name__
    return str(error)


def _of_a_relay(error: Exception) -> str:
    refused = next(iter(getattr(error, "recipients", {}).values()), None)
    code, said = refused or (getattr(error, "smtp_code", -1), getattr(error, "smtp_error", b""))
    words = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    return f"le relais de courriels refuse : {code} {words}" if code > 0 else "le relais de courriels se tait"


def because(error: Exception) -> str:
    """Say which file, when it is one's, and why; what is no error of the system says itself."""
    if not isinstance(error, OSError) or type(error).__module__ not in ("builtins", "socket", "smtplib"):
        return str(error)
    return f"{error.filename} : {reason(error)}" if error.filename else reason(error)
