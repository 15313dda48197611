# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the values of an inventory look like, beyond their types: names, numbers, addresses.

Of the groupement's variables, ``forme`` of variables.yml says it; of roles' options, their name does.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import siren_is_valid
from ansible_collections.cdg59.creatic.plugins.module_utils.registry import ip

# Labels of a DNS name (RFC 1035).
_DNS = re.compile(r"(?!.{254})[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")

# Characters of a URI (RFC 3986, appendix A): neither spaces nor braces.
_URL = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")


def _is_url(text: str) -> bool:
    if not _URL.fullmatch(text):
        return False
    try:
        parts = urllib.parse.urlsplit(text)
        host, port = parts.hostname or "", parts.port
        if ":" in host:
            ip.address(host)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and port != 0 and bool(_DNS.fullmatch(host) or ":" in host)


def _is_network(text: str) -> bool:
    try:
        ip.network(text)  # as the firewall takes it: no machine and network at once
    except ValueError:
        return False
    return True


_FORMS: dict[str, tuple[Callable[[str], bool], str]] = {
    # An address is no name: no certificate would be good for it.
    "nom": (lambda text: bool(_DNS.fullmatch(text) and not re.fullmatch("[0-9.]+", text)), "un nom DNS en minuscules"),
    "siren": (siren_is_valid, "un SIREN, 9 chiffres entre guillemets, dont le dernier est la clé"),
    "url": (_is_url, "une adresse http:// ou https://, comme https://tdt.example.org"),
    "reseau": (_is_network, "une adresse IP ou un réseau, comme 192.0.2.10 ou 198.51.100.0/24"),
    "dossier": (lambda text: text.startswith(("/", "~")), "un chemin absolu, comme /srv/creatic"),
    "nombre": (lambda text: text.isdecimal(), "un nombre entier, sans signe"),
}
_SUFFIXES = {
    "_siren": "siren",
    "_url": "url",
    "_urls": "url",
    "_networks": "reseau",
    "_addresses": "reseau",
    "_peers": "reseau",
    "_server_name": "nom",
    "_server_names": "nom",
}


@cache
def variables() -> dict[str, dict[str, Any]]:
    """Give the form of the groupement's variables that have one: an argument specification, and ``est`` (a form)."""
    told = yaml.load(Path(__file__).with_name("variables.yml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return {name: one["forme"] for name, one in told["variables"].items() if "forme" in one}


def is_typed(option: Mapping[str, Any], value: Any) -> bool:
    """Tell whether a value is what its specification says, where Ansible would make it so for its check alone."""
    kind, elements = option.get("type", "str"), option.get("elements")
    if kind in ("str", "path") and isinstance(value, list | dict):
        return False
    if kind in ("list", "dict") and not isinstance(value, list | tuple | dict):
        return False
    listed = value if kind == "list" and not isinstance(value, dict) else ()
    if elements == "path":
        return all(isinstance(one, str) for one in listed)
    return not (elements == "str" and any(isinstance(one, list | dict) for one in listed))


def faults(name: str, option: Mapping[str, Any], value: Any) -> Iterator[str]:
    """Judge a value whose type is good; in French, without the value.

    Args:
        name: of the variable.
        option: its argument specification; ``est`` names its form, that of its name by default.
        value: as Ansible computes it.
    """
    form = option.get("est") or next((form for end, form in _SUFFIXES.items() if name.endswith(end)), "")
    if not form:
        return
    fits, told = _FORMS[form]
    if isinstance(value, list):
        for rank, one in enumerate(value, 1):
            if isinstance(one, str | int) and not fits(str(one)):
                yield f"la valeur {rank} de la liste n'est pas {told}"
        texts = [str(one) for one in value]
        if len({*texts}) < len(texts):
            yield "une valeur de la liste y est deux fois"
        if not value and form == "nom":
            yield f"la liste est vide, il y faut {told}"
    elif isinstance(value, dict):
        for key, one in value.items():
            if isinstance(one, bool) or not fits(str(one)):
                yield f"la valeur de {key} n'est pas {told}"
    elif (value != "" or option.get("required")) and not fits(str(value)):
        yield f"la valeur n'est pas {told}"
