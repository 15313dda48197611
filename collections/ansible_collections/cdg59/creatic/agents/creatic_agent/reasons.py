# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Why the system refuses something, in French (the control node's own has the same words: module_utils/reasons.py)."""

from __future__ import annotations

import errno
import socket
import ssl

WORDS = {
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


def reason(error: OSError) -> str:
    """Say why, without the file's name; the error's own words when it is none of those that are met."""
    if isinstance(error, TimeoutError):
        return "délai dépassé"
    if isinstance(error, socket.gaierror):
        return "son nom n'est pas connu"
    own = "" if isinstance(error, ssl.SSLError) else WORDS.get(error.errno or 0)  # OpenSSL's numbers are others
    return own or error.strerror or str(error) or type(error).__name__


def because(error: Exception) -> str:
    """Say which file, when it is one's, and why; what is no error of the system says itself."""
    if not isinstance(error, OSError) or type(error).__module__ not in ("builtins", "socket"):
        return str(error)
    return f"{error.filename} : {reason(error)}" if error.filename else reason(error)
