# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What a machine answers, judged before anything is done with it: it may be broken, or hostile.

answers.schema.json says what each kind of answer is; the description of a part is how its fault is told.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils import harmless
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError

_ANSWERS_SCHEMA_FILE = Path(__file__).with_name("answers.schema.json")
_MAX_DEPTH = 8
_MAX_ITEMS = 5000  # of one list or object
_MAX_TEXT = 20_000
_MAX_NUMBER = 10**15
_MAX_SIZE = 4 * 2**20  # characters of one whole answer


class AnswerError(CreaticError, ValueError, cause="reponse"):
    """A machine's answer is not what was asked; the message is French and names the field."""


def clean(text: str) -> str:
    """A text that any file, page or screen can hold: what is unfit is shown as �."""
    return harmless.text(text)


def parse_json_output(text: str, opening: str = "") -> Any:
    """The JSON of what a machine says: the whole text, or from where an opening stands, other words before and after.

    Raises:
        ValueError: it is none, is cut, or is nested so deeply that reading it would end everything else.
    """
    try:
        return json.JSONDecoder().raw_decode(text[text.index(opening) :])[0] if opening else json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def moment(text: str) -> datetime:
    """A date of ISO 8601.

    Raises:
        ValueError: it is none, or no machine of today can have noted it.
    """
    found = datetime.fromisoformat(text)
    if not 1900 <= found.year <= 2300:
        raise ValueError(text)
    return found


def _clean_item(item: Any, where: str, depth: int) -> Any:
    """The same, with fit texts only.

    Raises:
        AnswerError: it is too deep, too long, or no number.
    """
    if depth > _MAX_DEPTH:
        raise AnswerError(f"champ « {where} » : trop de niveaux imbriqués")
    if isinstance(item, str):
        if len(item) > _MAX_TEXT:
            raise AnswerError(f"champ « {where} » : texte de {len(item)} caractères, {_MAX_TEXT} au plus")
        return clean(item)
    if isinstance(item, int | float) and not isinstance(item, bool):
        if not abs(item) <= _MAX_NUMBER:  # nor what is no number
            raise AnswerError(f"champ « {where} » : nombre démesuré")
        return item
    if item is None or isinstance(item, bool):
        return item
    if not isinstance(item, list | tuple | dict):
        raise AnswerError(f"champ « {where} » : {type(item).__name__} inattendu")
    if len(item) > _MAX_ITEMS:
        raise AnswerError(f"champ « {where} » : {len(item)} éléments, {_MAX_ITEMS} au plus")
    if isinstance(item, dict):
        return {
            clean(str(key)[:200]): _clean_item(one, f"{where}.{str(key)[:60]}", depth + 1) for key, one in item.items()
        }
    return [_clean_item(one, f"{where}[{rank}]", depth + 1) for rank, one in enumerate(item)]


@functools.cache
def _load_validator(kind: str) -> Any:
    from jsonschema import Draft202012Validator, FormatChecker

    formats = FormatChecker(formats=())
    formats.checks("date", raises=ValueError)(lambda text: not isinstance(text, str) or bool(moment(text)))
    schema = json.loads(_ANSWERS_SCHEMA_FILE.read_text(encoding="utf-8"))
    return Draft202012Validator(schema | {"$ref": f"#/$defs/{kind}"}, format_checker=formats)


def checked(kind: str, answer: Any) -> Any:
    """A machine's answer, once it is known to be what was asked.

    Args:
        kind: one of the ``$defs`` of answers.schema.json: controles, preuves, certificats, fichiers, correctifs,
            collecte.

    Returns:
        The same, its texts made fit for pages and files.

    Raises:
        AnswerError: it is something else; names the first field at fault.
    """
    tidy = _clean_item(answer, kind, 0)
    if (size := len(json.dumps(tidy))) > _MAX_SIZE:
        raise AnswerError(f"champ « {kind} » : {size} caractères, {_MAX_SIZE} au plus")
    fault = min(
        _load_validator(kind).iter_errors(tidy), key=lambda error: list(map(str, error.absolute_path)), default=None
    )
    if fault is not None:
        path = "".join(f"[{one}]" if isinstance(one, int) else f".{clean(str(one))}" for one in fault.absolute_path)
        if fault.validator == "required":
            missing = next(name for name in fault.validator_value if name not in fault.instance)
            raise AnswerError(f"champ « {kind}{path}.{missing} » absent")
        raise AnswerError(f"champ « {kind}{path} » : {fault.schema.get('description', 'valeur inattendue')}")
    keys = Counter(item["cle"] for item in tidy if "cle" in item) if isinstance(tidy, list) else Counter()
    if double := next((key for key, times in keys.items() if times > 1), None):
        raise AnswerError(f"champ « {kind} » : deux fois la clé « {double} »")
    return tidy
