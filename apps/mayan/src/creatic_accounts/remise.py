"""A commune's documents on a plain disk, in open formats: each file as it was deposited, beside what is known of it.

The folder gets::

    documents.json         what is there, and what could not be given
    NUMBER/document.json   type, folders, metadata, files with their SHA-256, what applications add
    NUMBER/FILE-name.pdf   each file that the document had
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.db.models import Q
from mayan.apps.cabinets.models import Cabinet
from mayan.apps.documents.models import Document, DocumentFile, DocumentType

DOCUMENT_DESCRIBERS: list[Callable[[Any], dict[str, Any]]] = []
"""What tells more of a document: an application adds its own when it is ready."""
_COPY_BLOCK_BYTES = 1 << 20


def own(siren: str) -> Q:
    """Document types of a commune or an entity: their labels end with its SIREN, whatever is before it."""
    if not re.fullmatch(r"[0-9]{9}", siren):
        raise ValueError(f"{siren[:40]!r} n'est pas un SIREN")
    return Q(label__endswith=f" [{siren}]")


def documents(siren: str) -> Iterator[Any]:
    """Documents of a commune, by number: those of its types, and those of its folders; in the bin too.

    Args:
        siren: its key, with which the labels of its types and of its first folder end.
    """
    folders = [root.pk for root in Cabinet.objects.filter(own(siren), parent=None)]
    within = list(folders)
    while folders:
        folders = list(Cabinet.objects.filter(parent__in=folders).values_list("pk", flat=True))
        within += folders
    wanted = Q(document_type__in=DocumentType.objects.filter(own(siren))) | Q(cabinets__in=within)
    yield from Document.objects.filter(wanted).distinct().order_by("pk").iterator(chunk_size=200)


def write(siren: str, target: Path) -> dict[str, Any]:
    """Write them all; one that cannot be given does not keep the others.

    Args:
        siren: its key.
        target: an empty folder.

    Returns:
        ``documents`` and ``fichiers``, how many; ``defauts``, in French.

    Raises:
        OSError: the disk is full, or not to be written.
    """
    told: dict[str, Any] = {"siren": siren, "documents": 0, "fichiers": 0, "defauts": []}
    for document in documents(siren):
        folder = target / str(document.pk)
        folder.mkdir()
        described = _describe_document(document)
        for file in document.files.order_by("pk"):
            described["fichiers"].append(one := _copy_file(file, folder))
            told["fichiers"] += 1
            if one["defaut"]:
                told["defauts"].append(f"document {document.pk}, {one['nom']} : {one['defaut']}")
        _dump_json(folder / "document.json", described)
        told["documents"] += 1
    _dump_json(target / "documents.json", told)
    return told


def _describe_document(document: Any) -> dict[str, Any]:
    found = {
        "numero": document.pk,
        "uuid": str(document.uuid),
        "libelle": document.label,
        "description": document.description,
        "type": document.document_type.label,
        "ajoute_le": document.datetime_created.isoformat(),
        "corbeille": document.in_trash,
        "dossiers": sorted(_cabinet_path(cabinet) for cabinet in document.cabinets.all()),
        "metadonnees": {
            one.metadata_type.name: {"libelle": one.metadata_type.label, "valeur": one.value}
            for one in document.metadata.select_related("metadata_type")
        },
        "fichiers": [],
    }
    for more in DOCUMENT_DESCRIBERS:
        found |= more(document)
    return found


def _cabinet_path(cabinet: Any) -> str:
    above = f"{_cabinet_path(cabinet.parent)} / " if cabinet.parent else ""
    return f"{above}{cabinet.label}"


def _copy_file(file: DocumentFile, folder: Path) -> dict[str, Any]:
    """Copy a file, digested as it passes; what is wrong is told beside it."""
    name = re.sub(r"[^\w.@+ -]", "_", Path(file.filename or "").name).strip(". ")[-100:] or "fichier"
    path = folder / f"{file.pk}-{name}"
    digest, size, fault = hashlib.sha256(), 0, ""
    try:
        with file.open() as source, path.open("wb") as written:
            while block := source.read(_COPY_BLOCK_BYTES):
                digest.update(block)
                size += written.write(block)
    except FileNotFoundError:
        fault = "le fichier n'est plus sur le disque"
        path.unlink(missing_ok=True)
    if not fault and file.checksum and digest.hexdigest() != file.checksum:
        fault = "ses octets ne sont plus ceux qui ont été déposés"
    return {
        "nom": file.filename,
        "chemin": path.name,
        "octets": size,
        "sha256": digest.hexdigest(),
        "type": file.mimetype,
        "depose_le": file.timestamp.isoformat(),
        "commentaire": file.comment,
        "defaut": fault,
    }


def _dump_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
