"""What roles make of each item of a list."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cdg59.creatic.plugins.filter.each import FilterModule, server_flows

each = FilterModule().filters()["each"]


@pytest.mark.parametrize(
    ("items", "form", "made"),
    [
        ([], {"a": "{0}"}, []),
        (["d1", "d2"], {"path": "/srv/node/{0}", "mode": "0750"}, [
            {"path": "/srv/node/d1", "mode": "0750"}, {"path": "/srv/node/d2", "mode": "0750"}]),
        ([("a", "b c")], {"path": "/etc/{0}", "content": "{1}\n"}, [{"path": "/etc/a", "content": "b c\n"}]),
        ([{"name": "x", "size": 3}], {"key": "{name}", "value": {"mo": "{size}"}}, [{"key": "x", "value": {"mo": 3}}]),
        ([{"name": "x"}], [{"path": "/{name}", "state": "directory"}, {"path": "/{name}/y", "secret": True}], [
            [{"path": "/x", "state": "directory"}, {"path": "/x/y", "secret": True}]]),
        ([{"name": "{name} {0}", "key": "{"}], "{name}: {key}", ["{name} {0}: {"]),  # what a person wrote is no form
    ],
)  # fmt: skip # a table
def test_a_form_is_filled_with_each_item(items: list[Any], form: Any, made: list[Any]) -> None:
    assert each(items, form) == made


def test_a_field_alone_is_the_value_itself_and_may_have_a_default() -> None:
    items = [{"name": "Alice", "accounts": ["loos"]}, {"name": "Bruno"}]
    assert each(items, {"nom": "{name}", "comptes": "{accounts}"}, accounts=[]) == [
        {"nom": "Alice", "comptes": ["loos"]},
        {"nom": "Bruno", "comptes": []},
    ]


@pytest.mark.parametrize(("items", "form"), [([{"name": "x"}], "{nom}"), (["x"], "{1}"), ([{"a": 1}], "{a.b}")])
def test_what_an_item_lacks_is_named(items: list[Any], form: str) -> None:
    with pytest.raises(AnsibleFilterError, match=r"manque à un élément de la liste.*À faire"):
        each(items, form)


def test_each_server_has_its_flow_by_its_port() -> None:
    servers: list[dict[str, Any]] = [
        {"service": "ged", "url": "https://ged.test", "addresses": ["192.0.2.4"]},
        {"service": "parapheur", "url": "https://parapheur.test:8443/x"},
    ]
    assert server_flows(servers, "passerelle") == [
        {"name": "passerelle-ged", "direction": "out", "protocol": "tcp", "ports": [443], "peers": ["192.0.2.4"]},
        {"name": "passerelle-parapheur", "direction": "out", "protocol": "tcp", "ports": [8443], "peers": []},
    ]
