# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What roles make of each item of a list: an entry of cdg59.creatic.file_set, of a configuration, of a firewall."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.cdg59.creatic.plugins.plugin_utils.refusals import refusing

_FORMATTER = string.Formatter()


class EachError(ValueError):
    """A form names what an item has not; the message is French."""


def each(items: Iterable[Any], form: Any, **defaults: Any) -> list[Any]:
    """Fill a form with each item.

    Args:
        items: mappings, whose fields are named in the form; sequences (of filter zip), whose values are numbered there;
            or single values, which are `{0}`.
        form: a text, or a mapping or list of such. A text that is one field alone gives the field's own value.
        defaults: of fields that a mapping may lack.

    Raises:
        EachError: an item lacks what the form names.
    """
    return [_fill_form(form, *_form_values(item, defaults)) for item in items]


def server_flows(servers: Iterable[Mapping[str, Any]], prefix: str) -> list[dict[str, Any]]:
    """What may leave for each server: flows of role firewall.

    Args:
        servers: service, url and addresses (empty for anyone) of each.
        prefix: of the flows' names.
    """
    return [
        {
            "name": f"{prefix}-{one['service']}",
            "direction": "out",
            "protocol": "tcp",
            "ports": [urlsplit(str(one["url"])).port or 443],
            "peers": one.get("addresses") or [],
        }
        for one in servers
    ]


def _form_values(item: Any, defaults: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(item, Mapping):
        return (), {**defaults, **item}
    return (tuple(item) if isinstance(item, list | tuple) else (item,)), {**defaults}


def _fill_form(form: Any, numbered: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    if isinstance(form, Mapping):
        return {key: _fill_form(one, numbered, named) for key, one in form.items()}
    if isinstance(form, list):
        return [_fill_form(one, numbered, named) for one in form]
    if not isinstance(form, str):
        return form
    try:
        parts = list(_FORMATTER.parse(form))
        if len(parts) == 1 and parts[0][1] is not None and not parts[0][0]:
            return _FORMATTER.get_field(parts[0][1], numbered, named)[0]
        return _FORMATTER.vformat(form, numbered, named)
    except (KeyError, IndexError, AttributeError) as error:
        raise EachError(
            f"each : {error} manque à un élément de la liste, et « {form} » le nomme. À faire : écrivez-le dans "
            "l'inventaire, ou donnez sa valeur d'office au filtre"
        ) from None


class FilterModule:
    """Filters for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"each": refusing(EachError)(each), "server_flows": server_flows}
