"""No secret is shown, whatever shape it is written in; and what is masked stays readable for those who come after."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lxml import etree

from creatic.audit import run as audit_run
from creatic.audit import store as audit_store
from creatic.audit.sources import Check, read_junit
from creatic.evidence.redaction import MASK, redact

from .conftest import Catalogue, collected, target

REPO = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "text",
    [
        # Several on a line.
        "password=canary1 token=canary2",
        "password: canary1, token: canary2",
        "{'passwd': 'canary1', 'secret': 'canary2', 'shell': '/bin/sh'}",
        'login "password": "canary1" and "api_key": "canary2"; mot_de_passe=canary3',
        "https://user:canary1@host/?access_token=canary2&x=1",
        # JSON: in a line, over lines, in a string, in a list, named beside its value.
        '{"password":"canary","mode":"0600"}',
        '{\n "token":\n   "canary"\n}',
        '{"out": "{\\"password\\": \\"canary\\"}"}',
        '{"tokens": ["canary1", "canary]2"], "x": 1}',
        '"secret": {\n  "a": "canary1",\n  "b": [\n    "canary2"\n  ]\n}',
        '{"name": "db_password", "value": "canary"}',
        '{"key": "TOKEN",\n "value": "canary"}',
        '{"password": 1234, "token": "canary"}',
        r'{"password": "ab\"canary"}',
        r'{"password": "ab\\", "token": "canary"}',
        # YAML.
        "password: |\n  canary1\n\n  canary2\nmode: x",
        "password: >-\n  canary",
        "passwords:\n- canary1\n- canary2\n",
        "passwords:\n  db: canary1\n  web: canary2\n",
        "- password:\n    canary\n",
        "password: 'it''s canary'",
        "password: first\n  canary",
        # Quoted over lines, unclosed, several pieces.
        'password = "first\ncanary"',
        'password = """first\ncanary"""',
        "passwd': 'canary",
        "PASSWORD=\"can\"'canary'",
        "token = first \\\n canary",
        # A difference, and pytest's own margin.
        "+password: |\n+  canary1\n+  canary2\n other: x",
        "E     password: |\nE       canary",
        "-  token: canary1\n+  token: canary2",
        # XML inside a text.
        "<password>canary</password>",
        "<db_password type='x'>\n canary\n</db_password>",
        "<ns:token><![CDATA[can<a>ary canary]]></ns:token>",
        "<secret><value>canary</value></secret>",
        '<user name="x" password="canary1" token = \'canary2\'/>',
        '<field name="password">canary</field>',
        # Programs' options, headers, statements.
        "curl --token canary https://x",
        "mysql --password=canary",
        "machine x login y password 'canary'",
        "Authorization: Bearer canary-canary",
        "sent Bearer canary.canary1",
        "ALTER ROLE x PASSWORD 'canary'",
        "Cookie: session=canary",
        "assert token == 'canary'",
        'config["api-key"] = "canary"',
        "mot de passe : canary",
        "Mot de passe\u00a0: canary",
        "phrase secrète : canary canary",
        "mdp=canary",
        "dbPass: canary",
        "DB_PASS=canary",
        "client-secret => canary",
        "encryption_key: canary",
        "&quot;password&quot;: &quot;canary&quot;, &quot;token&quot;: &quot;canary&quot;",
        "secret[0]: canary",
        "tokens['db'] = canary",
        "set_password('canary')",
        "Password for root: canary",
        "token -> canary",
        "token → canary",
        "password\tcanary",
        "requirepass canary",
        "sshpass -p canary ssh",
        "curl -u user:canary https://x",
        "redis://:canary@host",
        "token: !vault |\n  canary1\n  canary2",
        "'password': b'canary'",
        "token=canary1;secret=canary2\r\npass: canary3",
        # By what they are.
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\ncanary\n-----END PGP PRIVATE KEY BLOCK-----",
        "-----BEGIN RSA PRIVATE KEY-----\\ncanary\\n",
        '{"hash": "$6$canary$canary", "x": 1}',
        "x $y$j9T$canary1/abc $2b$12$canary2",
        # Addresses whose password holds what ends one elsewhere, or which have a token alone.
        "postgres://u:p@canary@h/db, redis://:ab/canary@h/0",
        "https://ghp-canary-0123456789@github.com/x",
        # Arguments, as a program's list or tuple has them.
        "['borg', '--passphrase', 'canary']",
        '["x", "--token",\n "canary"]',
        "('password', b'canary')",
        "curl -ubob:canary https://x",
        # Written otherwise, and in sentences.
        r'{"p\u0061ssw\u006frd": "canary"}',
        "password\uff1acanary",
        "le mot de passe de Bob est « canary »",
        "the password for bob is canary1",
        "code PIN : canary",
        "got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.canary",
    ],
)
def test_every_secret_is_hidden(text: str) -> None:
    for shown in (redact(text), redact(redact(text)), redact(f"before\n{text}\nafter")):
        assert MASK in shown
        assert "canary" not in shown, shown


@pytest.mark.parametrize(
    "secret", ['a"b\\canary', "can&ary<x>canary", "canary\tcanary", "canary é", 'é"canary"é', "canary/canary+canary="]
)
def test_a_known_secret_is_hidden_however_it_is_written(secret: str) -> None:
    import shlex
    import urllib.parse
    from xml.sax.saxutils import escape

    for written in (
        *(secret, json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret), shlex.quote(secret)),
        *(escape(secret), urllib.parse.quote(secret), urllib.parse.quote(secret, safe="")),
    ):
        shown = redact(f"x {written} y", [secret])
        assert shown.removeprefix("x ").removesuffix(" y").strip("\"'") == MASK


@pytest.mark.parametrize("before", ["", "u:", "é:", "bob:"])
def test_a_known_secret_is_hidden_in_what_encodes_it(before: str) -> None:
    secret = "canary/>é?~~canary"
    whole = f"{before}{secret}".encode()
    for written in (base64.b64encode(whole), base64.urlsafe_b64encode(whole), whole.hex().encode()):
        shown = redact(f"x {written.decode()} y", [secret])
        assert MASK in shown
        assert len(shown) - len(MASK) <= len(base64.b64encode(before.encode())) + 12


@pytest.mark.parametrize(
    "text",
    [
        "le passage 2026-11-25T010504Z : 3 réussis",
        "port 22: sshd, 443: nginx",
        "assert 'sha512' == 'yescrypt'",
        "passed: 12, bypassed 3",
        "/etc/passwd mode 644",
        '{"a": "b", "c": ["d"]}',
        "un-deux\n  trois",
        "",
    ],
)
def test_the_rest_is_left_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_what_follows_a_secret_is_kept() -> None:
    assert redact('{"password": "canary", "mode": "0600"}') == f'{{"password": "{MASK}", "mode": "0600"}}'
    assert redact("token: canary\nmode: 0600\n") == f"token: {MASK}\nmode: 0600\n"
    assert redact("password: |\n  canary\nmode: x") == f"password: {MASK}\nmode: x"
    assert json.loads(redact('{"password": null, "token": 12, "x": 1}')) == {"password": MASK, "token": MASK, "x": 1}


@pytest.mark.parametrize(
    "text", ["token" * 40000, "<token>" * 30000, 'token:"' * 30000, "token: [" * 20000, "a" * 300000]
)
def test_masking_does_not_take_long(text: str) -> None:
    start = time.process_time()
    redact(text)
    assert time.process_time() - start < 5


# -- In the results of the tests ------------------------------------------------------------------------------------


def junit(*failures: str, attribute: str = "") -> str:
    """A report of pytest, each failure given as the inside of its element."""
    cases = "".join(
        f'<testcase classname="tests.x" name="test_passwd[{name}]" time="0.1"><properties>'
        f'<property name="essai" value="tests/profiles/x.py::test_token" /><property name="machine" value="{name}" />'
        f'</properties><failure message="{attribute}">{inside}</failure></testcase>'
        for name, inside in zip("abcdefgh", failures, strict=False)
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="0" '
        f'failures="{len(failures)}" tests="{len(failures)}">{cases}</testsuite></testsuites>'
    )


SHAPES = [
    "assert 'passwd: canary' in text</failure>".removesuffix("</failure>"),
    "E   assert {'passwd': 'canary'} == 1",
    "token: canary",
    "password: &lt;canary&gt;&amp;canary",
    '<![CDATA[token: canary </failure> password: "canary"]]>',
    "passwd':\n   canary\n  canary",
    '{"password": "canary", "token": "canary2"}',
    "&lt;password&gt;canary&lt;/password&gt;",
]


@pytest.mark.parametrize(
    "attribute", ["", "token: canary", "passwd': &quot;canary&quot;", "secret:&#10;  canary&#10;x"]
)
def test_a_report_stays_a_report(tmp_path: Path, attribute: str) -> None:
    path = tmp_path / "x.xml"
    path.write_text(redact(junit(*SHAPES, attribute=attribute)), encoding="utf-8")
    assert "canary" not in path.read_text(encoding="utf-8")
    checks = read_junit(path)
    assert [(check.host, check.name, check.result) for check in checks] == [
        (name, "tests/profiles/x.py::test_token", "echec") for name in "abcdefgh"
    ]


def test_a_report_on_one_line_keeps_every_result(tmp_path: Path) -> None:
    text = junit("token: canary", "fine", "passwd': canary")
    assert "\n" not in text
    root = etree.fromstring(redact(text).encode())
    shown = [str(node.text) for node in root.iter("failure")]
    assert shown == [f"token: {MASK}", "fine", f"passwd': {MASK}"]


def test_comments_instructions_and_properties_are_masked_too() -> None:
    text = junit("x").replace(
        "<failure",
        '<!-- token: canary --><?x password="canary"?><property name="db_password" value="canary"/>'
        "<system-out token='canary'>ok</system-out>secret: canary<failure",
    )
    assert "canary" not in redact(text)
    assert 'value="a"' in redact(text)


@pytest.mark.parametrize(
    "inside",
    [
        "password: <b>canary</b>",
        "<i/>token: <br/>canary",
        "<password><value v='canary'>x</value>canary</password>",
        "<setting><name>db_password</name><value>canary</value></setting>",
        "<key>token</key><string>canary</string>",
        "<e password='canary' b='1'/>",
    ],
)
def test_a_secret_over_several_elements_is_masked(inside: str) -> None:
    shown = redact(f'<?xml version="1.0"?><report><case>{inside}</case><case>the rest</case></report>')
    assert "canary" not in shown
    assert [str(node.text) for node in etree.fromstring(shown).iter("case")][1] == "the rest"


@pytest.mark.parametrize(
    "place", ["<c a='x'>{}</c>", "<c>a{}b</c>", "<c><b/>{}{}</c>", "<c a='{}'/>", "<c>{}<b/>d</c>"]
)
def test_a_report_with_entities_of_its_own_stays_a_report(place: str) -> None:
    body = place.replace("{}", "&password;")
    shown = redact(f'<?xml version="1.0"?><!DOCTYPE c [<!ENTITY password "canary">]>{body}')
    assert "canary" not in shown
    assert etree.fromstring(shown).tag == "c"


def audited(home: Path, written: Sequence[str | None], monkeypatch: pytest.MonkeyPatch, names: str) -> list[Check]:
    """The tests of one profile; `written`: what each run of pytest in turn reports, None for one that breaks."""
    order = audit_run.Order(REPO, REPO / "inventories" / "lab", home, "", "", Catalogue([]), [])
    audit = audit_run.Audit(order, lambda _text: None)
    left = list(written)

    def run(command: Sequence[str], _env: Any, **_options: Any) -> SimpleNamespace:
        text = left.pop(0)
        if text is not None:
            Path(command[command.index("--junitxml") + 1]).write_text(text, encoding="utf-8")
        return SimpleNamespace(returncode=1 if text is not None else -9, stdout="", stderr="")

    monkeypatch.setattr(audit, "_run_command", run)
    audit.test([target(name) for name in names])
    return audit.checks


def test_an_audit_goes_on_when_a_failure_holds_a_secret(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "secrets").mkdir()
    (home / "secrets" / "db").write_text("canary & <canary>\n")
    checks = audited(home, [junit(*SHAPES[:2], "x canary &amp; &lt;canary&gt; y")], monkeypatch, "abc")
    assert [check.host for check in checks] == ["a", "b", "c"]
    (report,) = home.rglob("junit/*.xml")
    assert "canary" not in report.read_text(encoding="utf-8")
    assert "canary" not in repr(checks)


def test_tests_that_are_interrupted_leave_nothing_unmasked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = audit_run.Order(REPO, REPO / "inventories" / "lab", home, "", "", Catalogue([]), [])
    audit = audit_run.Audit(order, lambda _text: None)

    def run(command: Sequence[str], _env: Any, **_options: Any) -> SimpleNamespace:
        Path(command[command.index("--junitxml") + 1]).write_text("canary", encoding="utf-8")
        raise KeyboardInterrupt

    monkeypatch.setattr(audit, "_run_command", run)
    with pytest.raises(KeyboardInterrupt):
        audit.test([target("a")])
    assert (audit.staging / "junit").is_dir() and not [*home.rglob("junit/*")]


def test_a_machine_that_breaks_the_tests_does_not_hide_the_others(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = {name: junit("x").replace("[a]", f"[{name}]").replace('"a"', f'"{name}"') for name in "abc"}
    for together in (None, "<testsuites>", "oups"):
        checks = audited(home, [together, good["a"], None, good["c"]], monkeypatch, "abc")
        assert [check.host for check in checks] == ["a", "c"]


def test_a_machine_whose_tests_break_is_told(home: Path, monkeypatch: pytest.MonkeyPatch, arf: bytes) -> None:
    import base64

    order = audit_run.Order(REPO, REPO / "inventories" / "lab", home, "", "", Catalogue([]), [])
    audit = audit_run.Audit(order, lambda _text: None)
    broken = SimpleNamespace(returncode=3, stdout="", stderr="INTERNALERROR token: canary")
    monkeypatch.setattr(audit, "_run_command", lambda *_arguments, **_options: broken)
    audit.test([target("a")])
    assert audit.checks == []
    report = collected()
    report["openscap"]["arf_gz_b64"] = base64.b64encode(arf).decode()
    audit_store.keep_collected(audit.staging, "a", report)
    (found,) = audit.gather([target("a")])
    assert found.state == "en_erreur"
    assert found.incident and "les essais n'ont pas pu être exécutés : INTERNALERROR" in found.incident["raison"]
    assert "canary" not in found.incident["raison"]
