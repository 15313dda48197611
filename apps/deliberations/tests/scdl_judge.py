"""Judges tables by their schema (Table Schema 1.0), with Validata's checks of délibérations: it knows no program."""

from __future__ import annotations

import csv
import datetime
import io
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SCHEMA: dict[str, Any] = json.loads(Path(__file__).with_name("scdl_deliberations.json").read_text(encoding="utf-8"))
# First level of the nomenclature of ACTES, as Validata takes it: without accents or capitals.
_FIRST = frozenset(
    (
        "commande publique", "urbanisme", "domaine et patrimoine", "fonction publique", "institutions et vie politique",
        "libertes publiques et pouvoirs de police", "finances locales", "domaines de competences par themes",
        "autres domaines de competences",
    )
)  # fmt: skip # a list of words
_TYPES: dict[str, Callable[[str], Any]] = {"string": str, "integer": int, "date": datetime.date.fromisoformat}


def faults(data: bytes) -> list[str]:
    """What a file has wrong; nothing, when it is one of the schema."""
    header, *rows = csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True)
    if header != [field["name"] for field in SCHEMA["fields"]]:
        return [f"header {header}"]
    return [f"row {rank} : {said}" for rank, row in enumerate(rows, 1) for said in _row(header, row)]


def _row(header: list[str], row: list[str]) -> Iterator[str]:
    if len(row) != len(header):
        yield f"{len(row)} cells"
        return
    read: dict[str, Any] = {}
    for field, cell in zip(SCHEMA["fields"], row, strict=True):
        name, limits = field["name"], field["constraints"]
        if cell in SCHEMA["missingValues"]:
            if limits["required"]:
                yield f"{name} is empty"
            continue
        try:
            read[name] = _TYPES[field["type"]](cell)
        except ValueError:
            yield f"{name} : {cell!r} is no {field['type']}"
        if "pattern" in limits and not re.search(limits["pattern"], cell):
            yield f"{name} : {cell!r} has not its form"
        if field.get("format") == "uri" and not (urlsplit(cell).scheme and urlsplit(cell).netloc):
            yield f"{name} : {cell!r} is no address"
    for check in SCHEMA["custom_checks"]:
        if said := _CHECKS[check["name"]](read, check["params"]):
            yield said


def _nomenclature(read: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    first, slash, second = str(read.get(told["column"], "")).partition("/")
    plain = "".join(one for one in unicodedata.normalize("NFD", first.lower()) if unicodedata.category(one) != "Mn")
    return "" if slash and plain in _FIRST and second.strip() == second else f"{told['column']} : {first!r}"


def _together(read: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    known = {one in read for one in (told["column"], *told["othercolumns"])}
    return f"{told['column']} without the others" if len(known) > 1 else ""


def _after(read: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    both = told["column"] in read and told["column2"] in read
    return f"{told['column']} is too early" if both and read[told["column"]] < read[told["column2"]] else ""


def _sum(read: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    if not {told["column"], *told["columns"]} <= read.keys():
        return ""
    return "" if read[told["column"]] == sum(read[one] for one in told["columns"]) else f"{told['column']} is no sum"


_CHECKS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], str]] = {
    "nomenclature-actes-value": _nomenclature,
    "cohesive-columns-value": _together,
    "compare-columns-value": _after,
    "sum-columns-value": _sum,
}
