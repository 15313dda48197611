"""What is kept of each machine's answer, whatever is in it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.cdg59.creatic.plugins.callback.morning import VARIABLE, CallbackModule
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import clean

REPO = Path(__file__).parents[3]


def result(name: str, **given: Any) -> Any:
    return SimpleNamespace(host=SimpleNamespace(get_name=lambda: name), result=given)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    target = tmp_path / "reponses.json"
    monkeypatch.setenv(VARIABLE, str(target))

    def end(callback: CallbackModule) -> Any:
        callback.v2_playbook_on_stats(None)
        return json.loads(target.read_text(encoding="utf-8"))

    return end


def test_a_name_that_is_no_text_keeps_no_other(kept: Any) -> None:
    callback = CallbackModule()
    callback.v2_runner_on_ok(result("sae1", report={"illisibles": ["\udcff.prom"]}))
    callback.v2_runner_on_ok(result("sae2", report={"unites": ["é.service"]}))
    callback.v2_runner_on_unreachable(result("sae3", msg="ssh: connect to host 10.0.0.3 port 22: No route to host"))
    found = kept(callback)
    assert clean(found["sae1"]["rapport"]["illisibles"][0]) == "\N{REPLACEMENT CHARACTER}.prom"
    assert found["sae2"]["rapport"]["unites"] == ["é.service"]
    assert found["sae3"] == {
        "raison": "l'hôte ne répond pas",
        "remede": "Vérifier que la machine est allumée et reliée au réseau de la commune.",
        "eteinte": True,
    }


def test_a_machine_that_never_ends_its_answer_is_told(kept: Any) -> None:
    callback = CallbackModule()
    callback.v2_runner_on_failed(
        result("sae1", msg="Task failed: Timed out after 600 second(s).", timedout={"period": 600})
    )
    callback.v2_runner_on_failed(result("sae2", msg="Task failed: l'inventaire ne dit rien"))
    found = kept(callback)
    assert found["sae1"]["raison"] == "elle n'a pas fini de répondre en 600 s" and found["sae1"]["remede"]
    assert found["sae2"]["raison"] == "l'inventaire ne dit rien"
    [play] = yaml.safe_load((REPO / "playbooks/journeys/morning.yml").read_text(encoding="utf-8"))
    assert all("timeout" in task for task in play["tasks"])
