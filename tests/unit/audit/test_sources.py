"""What OpenSCAP, pytest and Ansible say, read without trusting it; secrets never shown."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
from lxml import etree

from creatic import junit
from creatic.audit.run import gaps, synthesis
from creatic.audit.sources import (
    AuditError,
    Rule,
    read_arf,
    read_junit,
    readable_diff,
)
from creatic.evidence.redaction import MASK, redact
from creatic.evidence.steps import place

from .conftest import Catalogue, T, check, entry, example, found, results_of, target, waiver

REPO = Path(__file__).parents[3]


def test_an_arf_is_read(arf: bytes) -> None:
    verdict = read_arf(gzip.decompress(arf))
    assert (verdict.profile, verdict.score, verdict.counts()) == ("anssi_bp28_enhanced", 42.2, {"fail": 1})
    (rule,) = verdict.rules
    assert (rule.name, rule.title, rule.controls) == ("sysctl_kptr", "Restrict Pointers", ("R9",))
    assert rule.values == {"sysctl_value": "2"}


@pytest.mark.parametrize("data", [b"", b"not xml", b"<a/>"])
def test_what_is_no_arf_is_refused_in_french(data: bytes) -> None:
    with pytest.raises(AuditError, match=r"le résultat d'OpenSCAP est (illisible|vide)"):
        read_arf(data)


def test_a_hostile_arf_reads_no_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary")
    entity = f'<!DOCTYPE a [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]>'
    text = f"{entity}<TestResult><profile idref='xccdf_org.ssgproject.content_profile_a'/>"
    verdict = read_arf(f"{text}<rule-result idref='r'><result>&x;</result></rule-result></TestResult>".encode())
    assert "canary" not in repr(verdict)


TESTS = """
import pytest
@pytest.fixture
def hostvars(request): return request.param
machines = pytest.mark.parametrize("hostvars", [{"name": "a", "ansible_host": "127.0.0.1"}], indirect=True, ids=["a"])
@machines
def test_good(hostvars): pass
@machines
def test_bad(hostvars): assert 1 == 2, "password: hunter2hunter2"
@machines
def test_left_out(hostvars): pytest.skip("no kernel here")
@machines
@pytest.mark.leaves_traces
def test_that_writes(hostvars): raise AssertionError
@machines
@pytest.mark.parametrize("x", [1, 2])
def test_twice(hostvars, x): pass
"""
# What both schemas that JUnit's readers use allow: junit-10.xsd of Jenkins' xunit plugin, and of pytest's own tests,
# which has no error of a test and three digits of a second at most.
_RESULT = """<xs:complexType mixed="true">
  <xs:attribute name="type" type="xs:string"/><xs:attribute name="message" type="xs:string"/>
</xs:complexType>"""
ALLOWED = f"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
<xs:simpleType name="seconds"><xs:restriction base="xs:string">
  <xs:pattern value="[0-9]{{0,3}}(,?[0-9]{{3}})*([.][0-9]{{0,3}})?"/>
</xs:restriction></xs:simpleType>
<xs:element name="testsuites"><xs:complexType>
  <xs:sequence><xs:element name="testsuite" type="suite" minOccurs="0" maxOccurs="unbounded"/></xs:sequence>
  {"".join(f'<xs:attribute name="{one}"/>' for one in ("name", "tests", "failures", "errors"))}
  <xs:attribute name="time" type="seconds"/>
</xs:complexType></xs:element>
<xs:complexType name="suite">
  <xs:sequence><xs:element name="testcase" minOccurs="0" maxOccurs="unbounded"><xs:complexType>
    <xs:choice minOccurs="0" maxOccurs="unbounded">
      <xs:element name="skipped">{_RESULT}</xs:element><xs:element name="failure">{_RESULT}</xs:element>
      <xs:element name="system-out" type="xs:string"/><xs:element name="system-err" type="xs:string"/>
    </xs:choice>
    <xs:attribute name="name" use="required"/>
    {"".join(f'<xs:attribute name="{one}"/>' for one in ("time", "classname", "group"))}
  </xs:complexType></xs:element></xs:sequence>
  {"".join(f'<xs:attribute name="{one}" use="required"/>' for one in ("name", "tests", "failures", "errors"))}
  {"".join(f'<xs:attribute name="{one}"/>' for one in ("group", "skipped", "timestamp", "hostname", "id", "package"))}
  {"".join(f'<xs:attribute name="{one}"/>' for one in ("file", "log", "url"))}
  <xs:attribute name="time" type="seconds"/>
</xs:complexType>
</xs:schema>"""
ODD = """
import pytest
@pytest.fixture
def hostvars(request): return request.param
def machines(*names):
    hosts = [{"name": one, "ansible_host": "127.0.0.1"} for one in names]
    return pytest.mark.parametrize("hostvars", hosts, indirect=True, ids=names)
@pytest.fixture
def broken(): raise RuntimeError("before <it> & more")
@pytest.fixture
def late():
    yield
    raise RuntimeError("after it")
@machines("b", "a")
def test_broken(hostvars, broken): pass
@machines("a")
def test_late(hostvars, late): print("said")
@pytest.mark.xfail
def test_expected(): raise AssertionError
class TestOfOne:
    @machines("a")
    def test_inside(self, hostvars): pass
"""


def run_profile_tests(folder: Path, answering: str, tests: str = TESTS, *options: str) -> Path:
    """Run made-up tests with the hooks of tests/profiles/conftest.py; gives the JUnit file."""
    source = (REPO / "tests" / "profiles" / "conftest.py").read_text(encoding="utf-8")
    # The inventory half is not wanted here, and no SSH server answers.
    source = source.replace("def pytest_generate_tests", "def _unused").replace("def hostvars", "def _unused2")
    (folder / "conftest.py").write_text(source + f"\ndef _answers(address): return {answering}\n", encoding="utf-8")
    (folder / "test_x.py").write_text(tests, encoding="utf-8")
    (folder / "pytest.ini").write_text(
        f"[pytest]\npythonpath = {REPO / 'collections'} {REPO / 'tests' / 'profiles'} {REPO}\n"
    )
    report = folder / "junit.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not leaves_traces", "--junitxml", str(report)]
    command += ["-p", "no:cacheprovider", *options, "test_x.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return report


def test_junit_says_which_test_and_which_host(tmp_path: Path) -> None:
    checks = read_junit(run_profile_tests(tmp_path, "True"))
    assert {(check.name, check.host) for check in checks} == {
        (f"test_x.py::{name}", "a") for name in ("test_good", "test_bad", "test_left_out", "test_twice")
    }
    results = {check.case: check.result for check in checks}
    assert results["test_good[a]"] == "reussi"
    assert results["test_bad[a]"] == "echec"
    assert results["test_left_out[a]"] == "ignore"
    assert len(checks) == 5


def test_a_host_that_went_away_has_failed_no_test(tmp_path: Path) -> None:
    checks = read_junit(run_profile_tests(tmp_path, "False"))
    assert [check.result for check in checks] == ["reussi", "perdu", "perdu", "perdu", "perdu"]
    assert checks[2].detail == "la machine ne répond plus"


@pytest.mark.parametrize(
    ("tests", "answering", "options"),
    [
        (TESTS, "True", ()),
        (TESTS, "False", ()),
        (ODD, "True", ("-o", "junit_family=xunit2", "-o", "junit_logging=all")),
        (ODD, "True", ("-o", "junit_family=xunit1")),
        (ODD, "True", ("-n", "2", "--dist", "load")),
    ],
)
def test_the_readers_of_junit_take_our_reports(
    tmp_path: Path, tests: str, answering: str, options: tuple[str, ...]
) -> None:
    report = run_profile_tests(tmp_path, answering, tests, *options)
    schema = etree.XMLSchema(etree.fromstring(ALLOWED))
    document = etree.parse(report)
    assert schema.validate(document), schema.error_log
    for suite in document.getroot():
        cases = suite.findall("testcase")
        told = [int(str(suite.get(one))) for one in ("tests", "failures", "skipped")]
        assert told == [len(cases), *(sum(bool(one.findall(kind)) for one in cases) for kind in ("failure", "skipped"))]


def test_what_a_report_says_is_read_again(tmp_path: Path) -> None:
    checks = read_junit(run_profile_tests(tmp_path, "True", ODD))
    assert sorted((check.name, check.host, check.result) for check in checks) == [
        ("test_x.py::TestOfOne::test_inside", "a", "reussi"),
        ("test_x.py::test_broken", "a", "echec"),
        ("test_x.py::test_broken", "b", "echec"),
        ("test_x.py::test_expected", "", "ignore"),
        ("test_x.py::test_late", "a", "echec"),
    ]
    assert any("before <it> & more" in check.detail for check in checks)


def test_an_empty_report_is_one_too(tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    path.write_text('<testsuites name="pytest tests"><testsuite name="pytest" tests="0" hostname="ici" /></testsuites>')
    junit.rewrite(path)
    assert etree.XMLSchema(etree.fromstring(ALLOWED)).validate(etree.parse(path)) and read_junit(path) == []


def test_a_cut_junit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.xml").write_text("<testsuites><testsuite>")
    with pytest.raises(AuditError, match=r"x\.xml est illisible"):
        read_junit(tmp_path / "x.xml")


KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIcanary\n-----END EC PRIVATE KEY-----"


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        "mot_de_passe: canary",
        'db_password = "canary"',
        "secret_key=canary",
        "Authorization-Token: canary",
        "root:$y$j9T$canary/abc:20000:0",
        "plain canary-value in the middle",
    ],
)
def test_secrets_are_hidden(text: str) -> None:
    shown = redact(text, ["canary-value"])
    assert MASK in shown
    assert "canary" not in shown


def test_a_diff_is_short_readable_and_without_secret() -> None:
    diff = [
        {"before_header": "/etc/x", "after_header": "/etc/x", "before": f"a\n{KEY}\n", "after": "b\npassword=canary\n"},
        {"before": {"mode": "0644", "path": "/x"}, "after": {"mode": "0600", "path": "/x"}},
        {"prepared": "\n".join(f"line {n}" for n in range(100))},
    ]
    shown = readable_diff(diff)
    assert "-a" in shown and "+b" in shown and "mode : 0644 → 0600" in shown
    assert "canary" not in shown
    assert shown.splitlines()[-1].endswith("autres lignes")
    assert len(shown.splitlines()) == 41
    assert readable_diff(None) == ""


def test_the_synthesis_is_short_and_says_what_is_wrong() -> None:
    results = example()
    where = place("Base | Ensure files", "base")
    drift = [{"tache": where, "chemins": ["/etc/a", "/etc/b"], "diff": ""}]
    results["machines"][0]["derive"] = [*drift, *drift, *({"tache": str(n), "chemins": []} for n in range(9))]
    results["machines"][0]["essais"]["echecs_du_profil"] = [
        {"nom": f"tests/profiles/x.py::test_site[gondecourt-connecteur-{n}]", "detail": "y" * 400} for n in range(9)
    ]
    lines = synthesis(results, 150)
    text = "\n".join(lines)
    assert "Machines   : 1 auditées sur 2" in text
    assert "✗ gondecourt-pc-secretariat : injoignable : l'hôte ne répond pas" in text
    told = lines.index("NON CONFORME : 3 écarts sans dérogation, 1 machine non auditée. Durée : 2 min 30 s.")
    assert lines[told + 1 : told + 4] == [
        "  ✗ R68 Mots de passe : gondecourt-connecteur : test_yescrypt, assert 'sha512' == 'yescrypt'",
        "  ✗ règle grub2_password : gondecourt-connecteur : Set Boot Loader Password",
        f"  ✗ essai test_site[0] : gondecourt-connecteur : {'y' * 159}…",
    ]
    assert len(lines[told:]) == 12 and lines[-1] == "    et 2 autres, dans le rapport"
    results["machines"][0]["essais"]["echecs_du_profil"] = []
    moved = f"{where} (/etc/a) ; 0 ; 1 et 7 autres"
    assert moved.startswith("système : paquets, heure, journaux : « Base | Ensure files » (")
    assert synthesis(results, 150)[-1] == f"  ✗ dérive : gondecourt-connecteur : {moved}"


def test_what_fails_is_told_once_and_what_a_waiver_covers_is_not() -> None:
    """One line for the machines of a control, whose rules are not told again."""
    controls = [entry("R9", titre="Paramètres sysctl du noyau", tests=[T + "test_sysctl"], oscap=["a", "b"])]
    rules = [Rule("a", "fail", title="A"), Rule("b", "fail", title="B"), Rule("c", "fail", title="C")]
    machines = [found(rules, [check("test_sysctl", "echec", name)], target=target(name)) for name in ("x", "y")]
    results = results_of(machines, Catalogue(controls, {"a": waiver(), "test_sysctl": waiver()}))
    assert gaps(results) == ["R9 Paramètres sysctl du noyau : x, y : b, B", "règle c : x, y : C"]
    assert (
        gaps(results_of(machines, Catalogue(controls, dict.fromkeys("abc", waiver()) | {"test_sysctl": waiver()})))
        == []
    )
