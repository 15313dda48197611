# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""OpenSCAP's content for Debian 13: fetched once by the control node, pinned by hash, kept in its cache.

Debian 13 ships no content for itself: the one of Debian's next release is taken from the same mirror, and only its
data stream is kept (the package is never installed).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.reasons import reason

from creatic.audit.controls import LEVELS

POOL = "pool/main/s/scap-security-guide/"
PACKAGE = "ssg-debian_0.1.82-1_all.deb"
PACKAGE_SHA256 = "cfde145916f1f37ec96c0fe2a9ea5f44a2db0ee6f0a2dacfcf86534c0977755a"
DATA_STREAM = "ssg-debian13-ds.xml"
DATA_STREAM_SHA256 = "512316aea5a9a38603465d1aeaba1a7f953b4c373851e2aa79f75666e3d163ab"
INSIDE = f"usr/share/xml/scap/ssg/content/{DATA_STREAM}"
HOST_PATH = f"/{INSIDE}"
PROFILE_PREFIX = "xccdf_org.ssgproject.content_profile_"
# ANSSI-BP-028 level of a host → profile of the data stream.
PROFILES = {level: f"{PROFILE_PREFIX}anssi_bp28_{level}" for level in LEVELS}


class ScapError(CreaticError, cause="scap"):
    """The content cannot be had; the message is French and says what to do."""


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_in_place(stat: Mapping[str, Any]) -> bool:
    """Whether a file, as C(ansible.builtin.stat) describes it, is the content that is wanted."""
    wanted = {"isreg": True, "checksum": DATA_STREAM_SHA256, "mode": "0644", "uid": 0, "gid": 0}
    return all(stat.get(key) == value for key, value in wanted.items())


def mirrors() -> list[str]:
    """Debian repositories of this machine's own apt configuration, the base URI of each.

    Raises:
        ScapError: apt knows none.
    """
    shown = ["apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)", "Created-By: Packages"]
    done = subprocess.run(shown, capture_output=True, text=True, check=False)
    found = [line.split("|")[1] for line in done.stdout.splitlines() if line.startswith("Debian|")]
    if not found:
        raise ScapError("aucun dépôt Debian dans la configuration d'apt de ce poste : lancez « apt-get update »")
    return list(dict.fromkeys(uri if uri.endswith("/") else f"{uri}/" for uri in found))


def opener() -> urllib.request.OpenerDirector:
    """As apt goes out: its proxy for http, else the environment's."""
    done = subprocess.run(
        ["apt-config", "shell", "P", "Acquire::http::Proxy"], capture_output=True, text=True, check=False
    )
    proxy = done.stdout.strip().split("'")
    handlers = [urllib.request.ProxyHandler({"http": proxy[1]})] if len(proxy) > 1 and proxy[1] else []
    return urllib.request.build_opener(*handlers)


def _download_content(uris: Sequence[str], target: Path) -> None:
    problems = []
    for uri in uris:
        try:
            with opener().open(uri, timeout=60) as answer, target.open("wb") as stream:
                shutil.copyfileobj(answer, stream)
        except (urllib.error.URLError, OSError, ValueError) as error:
            problems.append(f"{uri} : {error}")
        else:
            return
    raise ScapError(
        f"le contenu OpenSCAP n'a pas pu être téléchargé ({' ; '.join(problems)}). "
        f"Déposez vous-même {PACKAGE} dans {target.parent}, puis relancez"
    )


def data_stream(cache: Path, say: Callable[[str], None] = print, uris: Sequence[str] | None = None) -> Path:
    """Give the data stream of Debian 13, fetched when the cache does not have it.

    Args:
        cache: folder of the control node; made when missing. A package put there by hand is taken as well.
        say: told what is fetched, in French.
        uris: base URIs to try instead of apt's.

    Raises:
        ScapError: no mirror has it, or what came (or lies in the cache) is not what is pinned.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o755)
        lock = (cache / ".scap.lock").open("w")
    except OSError as error:
        raise ScapError(f"le dossier {cache} n'est pas utilisable : {reason(error)}") from error
    with lock:  # hosts are done side by side: one fetches, the others wait
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _ensure_content(cache, say, uris)


def _ensure_content(cache: Path, say: Callable[[str], None], uris: Sequence[str] | None) -> Path:
    target = cache / DATA_STREAM
    if target.is_file():
        if _file_digest(target) == DATA_STREAM_SHA256:
            return target
        raise ScapError(
            f"{target} n'est pas le contenu attendu (empreinte SHA-256 différente) : supprimez-le, relancez"
        )
    with tempfile.TemporaryDirectory(dir=cache, prefix=".scap-") as scratch:
        package = cache / PACKAGE
        if not package.is_file():
            package = Path(scratch, PACKAGE)
            places = [f"{uri}{POOL}{PACKAGE}" for uri in (mirrors() if uris is None else uris)]
            say(f"Téléchargement du contenu OpenSCAP de Debian 13 : {places[0]} (3,5 Mo)")
            try:
                _download_content(places, package)
            except ScapError as error:
                raise ScapError(str(error).replace(scratch, str(cache))) from None
        found = _file_digest(package)
        if found != PACKAGE_SHA256:
            raise ScapError(
                f"{PACKAGE} est refusé : son empreinte SHA-256 est {found}, attendue {PACKAGE_SHA256}. "
                "Rien n'a été installé : vérifiez le miroir, puis relancez"
            )
        unpacked = Path(scratch, "x")
        done = subprocess.run(["dpkg-deb", "-x", package, unpacked], capture_output=True, text=True, check=False)
        content = unpacked / INSIDE
        if done.returncode or not content.is_file() or _file_digest(content) != DATA_STREAM_SHA256:
            raise ScapError(f"{PACKAGE} ne contient pas {DATA_STREAM} attendu : {done.stderr.strip() or 'absent'}")
        content.chmod(0o644)
        os.utime(content)
        content.replace(target)
        with contextlib.suppress(OSError):
            (cache / PACKAGE).unlink()
    return target
