"""A machine answers what it wants: its own audit suffers, and no other."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible_collections.cdg59.creatic.plugins.action.audit_collect import ActionModule
from ansible_collections.cdg59.creatic.plugins.callback.audit import CallbackModule
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import AnswerError

from creatic.audit import page as audit_page
from creatic.audit import run as audit_run
from creatic.audit import store as audit_store
from creatic.audit.sources import AuditError, read_arf, readable_diff
from creatic.evidence import store as evidence_store
from creatic.evidence.seal import SealKeys
from testbed.programs import said
from testbed.strange import places, put

from .conftest import ARF, Catalogue, T, check, collected, entry, target

REPO = Path(__file__).parents[3]
DEEP: Any = []
for _ in range(60):
    DEEP = [DEEP]
STRANGE = [None, "", "x", 0, -1, 10**400, 1e308 * 10, float("nan"), True, [], {}, [None], ["x"], [{}], {"x": 1}, DEEP]
DATES = ["0001-01-01T00:00:00", "9999-12-31T23:59:59+00:00", "hier", "0001-01-01", "2026-13-01", "", "x" * 30000]


def answer(arf: bytes) -> dict[str, Any]:
    """A good answer of the collector."""
    report = collected()
    report["openscap"]["arf_gz_b64"] = base64.b64encode(arf).decode()
    return report


def concluded(home: Path, folder: Path, reports: dict[str, Any]) -> dict[str, Any]:
    """Results and page of an audit of machines that answered this; what is refused was not answered."""
    order = audit_run.Order(REPO, REPO / "inventories" / "lab", home, "", "", Catalogue([entry("R9")]), [])
    audit = audit_run.Audit(order, lambda _text: None)
    try:
        for name, report in reports.items():
            try:
                audit_store.keep_collected(audit.staging, name, report)
            except AnswerError as error:
                assert re.match("champ « collecte", str(error)), error
        found = audit.gather([target(name) for name in reports])
        results = audit_run.audit_verdict.assess(found, order.catalogue)
        results |= {"audit": audit.name, "debut": "2026-11-25T04:00:00+00:00", "fin": "2026-11-25T04:02:30+00:00"}
        results |= {"operateur": "o", "code": "", "inventaire": "lab", "perimetre": "x", "niveau_impose": None}
        results |= {"contenu_openscap": {"paquet": "x", "sha256": "5" * 64}, "catalogue": {}, "precedent": None}
        results |= {"derogations": [], "tendance": None, "durees_s": {}}
        evidence_store.write_json(folder / "resultats.json", results)
        (folder / "rapport.html").write_text(audit_page.report(results), encoding="utf-8")
    finally:
        evidence_store.discard_run(audit.staging)
    return results


def test_one_answer_spoils_no_other(home: Path, tmp_path: Path, arf: bytes) -> None:
    good = answer(arf)
    strange = [put(good, path, value) for path in places(good) for value in (*STRANGE, ...) if path or value is not ...]
    dates = [
        put(good, path, value)
        for path in places(good)
        if path and path[-1] in ("debut", "demarre_le", "listes_du", "derniere_operation", "nom")
        for value in DATES
    ]
    surrogates = [put(good, path, "\ud800\u202e\x00\x1b[2J") for path in places(good)]
    reports = {f"m{rank}": one for rank, one in enumerate([*strange, *dates, *surrogates])} | {"bonne": good}
    results = concluded(home, tmp_path, reports)
    states = {machine["nom"]: machine["etat"] for machine in results["machines"]}
    assert states["bonne"] == "auditee"
    assert len(states) == len(reports)
    assert {"auditee", "en_erreur"} == set(states.values())
    text = (tmp_path / "rapport.html").read_text(encoding="utf-8")
    assert "\x1b" not in text and "\u202e" not in text


def test_an_answer_has_a_largest_size(tmp_path: Path, arf: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    package = {"nom": "x" * 300, "installee": "1", "disponible": "2"}
    for path, value, words in (
        (("correctifs", "securite"), [package] * 5001, "5000 au plus"),
        (("correctifs", "securite"), [package | {"disponible": "y" * 300}] * 4900, r"caractères"),
        (("systeme", "comptes"), ["a"] * 2001, "2000 comptes"),
        (("systeme", "noyau"), "x" * 30000, "20000 au plus"),
        (("duree_s",), 1e300, "démesuré"),
    ):
        report = put(
            put(answer(arf), path, value), ("correctifs", "a_mettre_a_jour"), [package | {"nom": "z" * 300}] * 4900
        )
        with pytest.raises(AnswerError, match=words):
            audit_store.keep_collected(tmp_path, "a", report if "caract" in words else put(answer(arf), path, value))
    monkeypatch.setattr(audit_store, "_MAX_PACKED", 100)
    with pytest.raises(AnswerError, match="démesuré"):
        audit_store.keep_collected(tmp_path, "a", answer(arf))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "stdout", ["", "[]", "12", "null", '"x"', "[" * 100000, '{"openscap": 3}', '{"openscap": {"arf_gz_b64": 3}}', "NaN"]
)
def test_the_collector_s_output_is_refused_for_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stdout: str
) -> None:
    monkeypatch.setenv(audit_store.FOLDER, str(tmp_path))
    monkeypatch.setattr(ActionModule, "_execute_module", lambda _self, **_sent: {"rc": 0, "stdout": stdout})
    module = ActionModule(
        MagicMock(args={"level": "high"}, async_val=0), MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock()
    )
    with pytest.raises(Exception, match="la réponse du collecteur est refusée"):
        module.run(None, {"inventory_hostname": "a"})


# -- OpenSCAP's result ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("42.25", "beaucoup", "score « beaucoup »"),
        ("42.25", "nan", "score « nan »"),
        ("42.25", "1e999", "score"),
        ("42.25", "-3", "score"),
        ('idref="xccdf_org.ssgproject.content_rule_sysctl_kptr"', 'idref="../../x"', "règle « ../../x »"),
        ('idref="xccdf_org.ssgproject.content_rule_sysctl_kptr"', f'idref="{"x" * 300}"', "règle"),
        ("</TestResult>", "", "illisible"),
    ],
)
def test_a_false_result_is_refused(old: str, new: str, words: str) -> None:
    with pytest.raises(AuditError, match=words):
        read_arf(ARF.replace(old, new).encode())


def test_texts_of_a_result_are_made_fit_and_short() -> None:
    data = ARF.replace("Restrict\n Pointers", f"{'a' * 5000}\u202e").replace("<result>fail<", "<result> maybe <")
    (rule,) = read_arf(data.encode()).rules
    assert rule.result == "unknown"
    assert (rule.title, rule.controls) == ("a" * 300, ("R9",))


def test_a_huge_result_is_read_without_keeping_it() -> None:
    """Half a million elements, whose tree takes more memory than the process is left with."""
    start = ARF.index("<TestResult")
    program = (
        "import resource, sys\n"
        "from creatic.audit.sources import read_arf\n"
        f"head, tail = {ARF[:start]!r}, {ARF[start:]!r}\n"
        "read_arf((head + tail).encode())\n"
        "data = (head + '<a/>' * 500_000 + tail).encode()\n"
        "used = int(next(one for one in open('/proc/self/status') if one.startswith('VmData')).split()[1]) * 1024\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (used + 30 * 2**20,) * 2)\n"
        "print(read_arf(data).counts())\n"
    )
    assert said("python", "-c", program, seconds=60, PYTHONPATH="collections") == "{'fail': 1}\n"


def test_too_many_rules_are_refused() -> None:
    result = '<rule-result idref="r"><result>pass</result></rule-result>'
    with pytest.raises(AuditError, match="illisible"):
        read_arf(ARF.replace("</TestResult>", result * 5001 + "</TestResult>").encode())


@pytest.mark.parametrize(
    "packed",
    [b"oups", gzip.compress(b"x")[:-3], gzip.compress(bytes(1000))[:14] + b"\xff" * 30],
    ids=["no archive", "cut", "damaged"],  # gzip writes the time
)
def test_a_damaged_result_is_told_of_its_machine(home: Path, tmp_path: Path, packed: bytes, arf: bytes) -> None:
    report = put(answer(arf), ("openscap", "arf_gz_b64"), base64.b64encode(packed).decode())
    results = concluded(home, tmp_path, {"bad": report, "good": answer(arf)})
    assert [machine["etat"] for machine in results["machines"]] == ["en_erreur", "auditee"]
    assert "OpenSCAP" in results["machines"][0]["incident"]["raison"]


# -- What Ansible hears ---------------------------------------------------------------------------------------------


def followed(folder: Path, monkeypatch: pytest.MonkeyPatch, *results: dict[str, Any], failed: bool = False) -> Any:
    """What the callback notes of machines that answer these, one each."""
    monkeypatch.setenv(audit_store.FOLDER, str(folder))
    callback = CallbackModule()
    callback.folder, callback.alone = folder, False
    callback.follower.begin("derive", [])
    role = SimpleNamespace(get_name=lambda: "base")
    for rank, content in enumerate(results):
        name = f"m{rank}"
        result = SimpleNamespace(
            host=SimpleNamespace(get_name=lambda name=name: name),
            task=SimpleNamespace(get_name=lambda: "Base | Ensure", action="x", no_log=False, _role=role),
            result=content,
            is_changed=lambda: True,
        )
        (callback.v2_runner_on_failed if failed else callback.v2_runner_on_ok)(result)
    callback.v2_playbook_on_stats(None)
    return audit_store.read_followed(folder)


def test_a_strange_difference_is_noted_and_the_others_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diffs = [*STRANGE, {"before": {"a": 1}, "after": "x"}, {"before": "x", "after": {"a": 1}}, {"before": [1]}]
    diffs += [
        {"prepared": "\ud800"},
        {"before": "\ud800"},
        {"prepared": {"a": 1}},
        [{"prepared": "x" * 10**6}] * 10 + [{"prepared": "x"}] * 90,
    ]
    hosts = followed(
        tmp_path, monkeypatch, *({"diff": one, "changed_paths": one} for one in diffs), {"diff": {"prepared": "x"}}
    )
    assert len(hosts) == len(diffs) + 1
    assert all(len(host["derive"]) == 1 for host in hosts.values())
    told = hosts[f"m{len(diffs)}"]["derive"][0]
    assert (told["tache"], told["diff"]) == ("système : paquets, heure, journaux : « Base | Ensure »", "x")
    assert len(json.dumps(hosts)) < 500_000
    assert readable_diff({"before": {"a": 1}, "after": "x"}) == " : None → x\na : 1 → None"


def test_a_strange_failure_is_noted_and_the_others_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[dict[str, Any]] = [{"msg": one, "results": one} for one in (*STRANGE, "\ud800", "x" * 10**6)]
    hosts = followed(tmp_path, monkeypatch, *failures, {"msg": "la raison"}, failed=True)
    assert len(hosts) == len(failures) + 1
    assert all(host["incident"]["nature"] == "echec" for host in hosts.values())
    assert hosts[f"m{len(failures)}"]["incident"]["raison"] == "la raison"


def test_oscal_and_seal_take_any_text(home: Path, tmp_path: Path, keys: SealKeys) -> None:
    from creatic.audit import oscal as audit_oscal
    from creatic.audit.sources import OpenScap, Rule

    from .conftest import found, results_of

    controls = [entry("R9", tests=[T + "test_a"], oscap=["a", "b", "c", "d"])]
    titles = ["", " ", "\n\n", " x\n y ", "é" * 300]
    rules = [Rule(name, "fail", title=title) for name, title in zip("abcde", titles, strict=True)]
    machine = found(rules, [check("test_a", "echec", detail=detail) for detail in titles])
    machine.openscap = OpenScap("x", 1.0, tuple(rules))
    results = results_of([machine], Catalogue(controls))
    audit_oscal.assessment_results(results)
    assert evidence_store.seal_keys(home).root.name == "racine.pem"
