# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""A commune's pages and délibérations on a plain disk: what the site says of each, as JSON, beside its files.

The folder follows the site's own tree::

    contenus.json                       what is there, and what could not be given
    seances/…/2026-12/contenu.json      fields and history of one content
    seances/…/2026-12/document-1.pdf    its files, each under the name of its field
    seances/…/envoi-1-convocation.pdf   of a meeting, each version of what was sent
    seances/…/envois.json               to whom, what became of it, and who opened it when
"""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from ansible_collections.cdg59.creatic.plugins.module_utils.applications.deliberations import DeliberationsError, silent
from ansible_collections.cdg59.creatic.plugins.module_utils.applications.exchange import basic, opened

_EXPORT_PAGE_SIZE = 200
_NOT_THERE = (http.client.NOT_FOUND, http.client.UNAUTHORIZED)


class _ExportError(Exception):
    """The site does not give one thing; the message is French."""


class _Site:
    """The site, as its administrator sees it from its own host."""

    def __init__(self, connection: http.client.HTTPConnection, server_name: str, password: str) -> None:
        self._connection = connection
        self._headers = {"Host": server_name, **basic("admin", password)}

    def _send_get(self, path: str, accept: str) -> http.client.HTTPResponse:
        try:
            answer = opened(self._connection, "GET", path, self._headers | {"Accept": accept})
            if answer.status != http.client.OK:
                answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise silent(error) from None
        return answer

    def json(self, path: str) -> dict[str, Any]:
        """An answer of the REST API."""
        answer = self._send_get(path, "application/json")
        if answer.status != http.client.OK:
            raise _ExportError(f"le site ne le donne pas ({answer.status})")
        found: dict[str, Any] = json.loads(answer.read())
        return found

    def check_administrator(self) -> None:
        """Make sure that all is shown: to whom it does not know, the site shows what is public, without a word.

        Raises:
            DeliberationsError: it does not take us for its administrator.
        """
        answer = self._send_get("/@agent?identifiant=", "application/json")
        answer.read()
        if answer.status != http.client.OK:
            raise DeliberationsError(
                f"le site ne reconnaît pas son administrateur ({answer.status}) : il ne donnerait que ce qui est "
                "public. À faire : fab serveurs --machines deliberations, puis relancez"
            )

    def there(self, path: str) -> bool:
        """Whether there is something."""
        answer = self._send_get(path, "application/json")
        answer.read()
        if answer.status not in (http.client.OK, *_NOT_THERE):
            raise DeliberationsError(f"le site refuse de montrer {path} ({answer.status})")
        return answer.status == http.client.OK

    def download(self, path: str, target: Path, optional: bool = False) -> bool:
        """Write a file; False when there is none, which is no wonder where it is `optional`."""
        answer = self._send_get(path, "*/*")
        if optional and answer.status == http.client.NOT_FOUND:
            return False
        if answer.status != http.client.OK:
            raise _ExportError(f"le site ne donne pas le fichier ({answer.status})")
        with target.open("wb") as written:
            shutil.copyfileobj(answer, written, 1 << 20)
        return True


def export(
    connection: http.client.HTTPConnection, server_name: str, password: str, commune: str, target: Path
) -> dict[str, Any]:
    """Write all that is a commune's; one content that cannot be given does not keep the others.

    Args:
        connection: to the application, from its own host.
        server_name: name by which it is known to browsers.
        password: of its administrator.
        commune: slug.
        target: an empty folder.

    Returns:
        ``contenus`` and ``fichiers``, how many; ``defauts``, in French.

    Raises:
        DeliberationsError: the site does not answer.
        OSError: the disk is full, or not to be written.
    """
    site = _Site(connection, server_name, password)
    site.check_administrator()
    told: dict[str, Any] = {"commune": commune, "contenus": 0, "fichiers": 0, "defauts": []}
    if site.there(f"/{commune}"):
        for path in sorted({f"/{commune}", *_content_paths(site, commune)}):
            folder = target / PurePosixPath(unquote(path)).relative_to(f"/{commune}")
            try:
                told["fichiers"] += _export_content(site, path, folder)
                told["contenus"] += 1
            except (_ExportError, ValueError, KeyError) as error:
                told["defauts"].append(f"{path} : {error}")
    _write_json(target / "contenus.json", told)
    return told


def _content_paths(site: _Site, commune: str) -> Iterator[str]:
    """Paths of all that is below the commune's page."""
    start, total = 0, 1
    while start < total:
        try:
            page = site.json(f"/{commune}/@search?sort_on=path&b_size={_EXPORT_PAGE_SIZE}&b_start={start}")
        except _ExportError as error:
            raise DeliberationsError(f"la liste de ce qui est à {commune} : {error}") from None
        total = int(page["items_total"])
        for item in page["items"]:
            path = urlsplit(item["@id"]).path.rstrip("/")
            if ".." in PurePosixPath(unquote(path)).parts:
                raise DeliberationsError(f"le site annonce « {path} », qui n'est pas un chemin")
            if path.startswith(f"/{commune}/"):
                yield path
        start += _EXPORT_PAGE_SIZE


def _export_content(site: _Site, path: str, folder: Path) -> int:
    """Write one content; gives how many files it has."""
    content = site.json(f"{path}?include_items=false")
    try:
        content["historique"] = site.json(f"{path}/@workflow").get("history", [])
    except _ExportError:  # files and images have no workflow
        content["historique"] = []
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for field, value in content.items():
        if isinstance(value, dict) and value.get("download"):
            name = re.sub(r"[^\w.@+ -]", "_", str(value.get("filename") or "")).strip(". ")[-100:] or "fichier"
            file = folder / f"{field}-{name}"
            site.download(quote(unquote(urlsplit(value["download"]).path), safe="/@+"), file)
            files[field] = _describe_file(file)
            if value.get("size") not in (None, files[field]["octets"]):
                raise _ExportError(f"{field} : {files[field]['octets']} octets reçus, {value['size']} annoncés")
    if content.get("@type") == "seance":
        files |= _export_convocations(site, path, folder)
    _write_json(folder / "contenu.json", content | {"fichiers": files})
    return len(files)


def _export_convocations(site: _Site, path: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Write what was sent each time a meeting was convened, and who received it: no field of it says so."""
    files: dict[str, dict[str, Any]] = {}
    log = folder / "envois.json"
    if site.download(f"{path}/@@journal-envois", log, optional=True):
        files[log.stem] = _describe_file(log)
    for version in itertools.count(1):
        for piece in ("convocation", "note"):
            file = folder / f"envoi-{version}-{piece}.pdf"
            if not site.download(f"{path}/@@envoi?version={version}&piece={piece}", file, optional=True):
                return files
            files[file.stem] = _describe_file(file)
    return files


def _describe_file(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"chemin": file.name, "octets": file.stat().st_size, "sha256": digest}


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
