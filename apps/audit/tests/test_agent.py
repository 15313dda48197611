"""What creatic-releve signs of a machine, and what it sees move; OpenSCAP and apt are played, keys and files real."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from creatic_audit import agent, reference
from creatic_audit.agent import Settings, Unsigned
from creatic_audit.reduced import Unreadable, reduced
from creatic_audit.scan import ScanError

RULE = "xccdf_org.ssgproject.content_rule_"
ARF = f"""<arf xmlns="http://scap.nist.gov/schema/asset-reporting-format/1.1">
<Benchmark xmlns="http://checklists.nist.gov/xccdf/1.2"><Rule id="{RULE}a"><title>A</title></Rule></Benchmark>
<TestResult xmlns="http://checklists.nist.gov/xccdf/1.2">
<rule-result idref="{RULE}a"><result>pass</result></rule-result>
<rule-result idref="{RULE}b"><result>fail</result></rule-result>
<rule-result idref="{RULE}c"><result>notselected</result></rule-result><score>59.76</score></TestResult></arf>"""


def test_an_arf_becomes_a_result_by_rule() -> None:
    assert reduced(ARF.encode()) == {"score": 59.8, "regles": {"a": "pass", "b": "fail"}}


@pytest.mark.parametrize("arf", [b"", ARF.encode()[:-30], b"<arf/>", ARF.replace("59.76", "x").encode()])
def test_what_is_no_result_is_refused(arf: bytes) -> None:
    with pytest.raises(Unreadable, match=r"le résultat d'OpenSCAP est (illisible|vide)"):
        reduced(arf)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A machine with a host key, on which all can be looked at."""
    key = tmp_path / "ssh_host_ed25519_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    state = tmp_path / "etat"
    state.mkdir()
    packed = base64.b64encode(gzip.compress(ARF.encode())).decode()
    monkeypatch.setattr(agent, "facts", lambda: {"nom": "pc-é", "comptes": ["x"] * 900})
    monkeypatch.setattr(agent, "patches", lambda: {"installes": 3})
    monkeypatch.setattr(agent, "private_scratch", lambda: tmp_path)
    monkeypatch.setattr(agent, "scan", lambda profile, _: {"profil": profile, "version": "1", "arf_gz_b64": packed})
    monkeypatch.setattr(agent.reference, "drift", lambda _folder: None)
    return Settings("gondecourt-pc", "high", key, state)


def told(settings: Settings) -> dict[str, Any]:
    """The relevé that is kept, its signature verified by OpenSSH's own program."""
    kept = json.loads((settings.state / agent.RELEVE).read_text(encoding="utf-8"))
    allowed, signature = settings.state / "autorises", settings.state / "releve.sig"
    allowed.write_text(f"m {settings.key.with_suffix('.pub').read_text(encoding='utf-8')}", encoding="utf-8")
    signature.write_text(kept["signature"], encoding="utf-8")
    subprocess.run(
        ["ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "m", "-n", agent.NAMESPACE, "-s", signature],
        input=kept["signe"].encode(),
        check=True,
        capture_output=True,
    )
    found: dict[str, Any] = json.loads(kept["signe"]) | {"texte": kept["signe"]}
    return found


def test_a_releve_is_signed_bounded_and_names_those_before(settings: Settings) -> None:
    assert agent.make(settings) == {}
    first = told(settings)
    assert (first["quoi"], first["machine"], first["niveau"]) == ("creatic releve", "gondecourt-pc", "high")
    assert first["openscap"]["profil"] == "anssi_bp28_high"
    assert first["openscap"]["regles"] == {"a": "pass", "b": "fail"}
    assert len(first["systeme"]["comptes"]) == 500
    assert "arf_gz_b64" not in first["openscap"]
    kept = (settings.state / agent.ARF).read_bytes()
    assert first["openscap"]["arf_sha256"] == hashlib.sha256(kept).hexdigest()
    assert gzip.decompress(kept) == ARF.encode()
    assert (settings.state / agent.RELEVE).stat().st_mode & 0o777 == 0o400
    agent.make(settings)
    second = told(settings)
    assert second["numero"] > first["numero"]
    assert second["chaine"] == [[first["numero"], hashlib.sha256(first["texte"].encode()).hexdigest()]]


def test_a_chain_is_bounded_and_begins_again_after_a_damage(settings: Settings) -> None:
    for _ in range(62):
        agent.make(settings)
    assert len(told(settings)["chaine"]) == 60
    (settings.state / agent.RELEVE).unlink()
    (settings.state / agent.RELEVE).write_text("{", encoding="utf-8")
    agent.make(settings)
    assert told(settings)["chaine"] == []


def _fails(error: Exception) -> Callable[..., Any]:
    def fail(*_given: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("part", "name", "error", "said"),
    [
        ("scan", "openscap", ScanError("OpenSCAP a échoué (code 1)"), "OpenSCAP a échoué (code 1)"),
        ("patches", "correctifs", SystemError("E:lists"), "SystemError : E:lists"),
        ("facts", "systeme", OSError(5, "Input/output error"), "OSError : [Errno 5] Input/output error"),
    ],
)
def test_a_part_that_fails_hides_no_other(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, part: str, name: str, error: Exception, said: str
) -> None:
    monkeypatch.setattr(agent, part, _fails(error))
    assert agent.make(settings) == {name: said}
    found = told(settings)
    assert found[name] is None and found["echecs"] == {name: said}
    assert all(found[other] for other in {"openscap", "correctifs", "systeme"} - {name})


def test_what_cannot_be_signed_leaves_the_one_before(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.make(settings)
    before = (settings.state / agent.RELEVE).read_bytes()
    with pytest.raises(Unsigned, match="ne signe pas"):
        agent.make(dataclasses.replace(settings, key=settings.state / "absente"))
    monkeypatch.setattr(agent, "facts", lambda: {"comptes": ["x" * 1000] * 500})
    with pytest.raises(Unsigned, match="229376 au plus"):
        agent.make(settings)
    assert (settings.state / agent.RELEVE).read_bytes() == before


def test_the_command_says_what_failed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = settings.state / "config.json"
    monkeypatch.setattr(agent, "CONFIG", config)
    assert agent.main(["faire"]) == 2
    assert "Relancez le déploiement" in capsys.readouterr().err
    given = {"machine": "m", "niveau": "high", "cle": str(settings.key), "etat": str(settings.state)}
    config.write_text(json.dumps(given | {"lecteur": "personne-de-ce-nom"}), encoding="utf-8")
    assert agent.main(["faire"]) == 0
    assert told(settings)["machine"] == "m"
    monkeypatch.setattr(agent, "scan", _fails(ScanError("absent")))
    assert agent.main(["faire"]) == 1
    assert capsys.readouterr().err == "creatic-releve : openscap : absent\n"


# -- what moved since the last deployment ----------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine's files, at the end of its deployment."""
    top = tmp_path / "machine"
    for name, text in {
        "etc/ssh/sshd_config": "PermitRootLogin no\n",
        "etc/shadow": "root:*:1::::::\n",
        "etc/passwd-": "old\n",
        "etc/resolv.conf": "nameserver 10.0.0.1\n",
        "etc/creatic/pki/tdt/cert.pem": "1\n",
        "etc/paquet.conf": "1\n",
        "etc/sysctl.d/60-x.conf": "# x\nkernel.yama.ptrace_scope = 1\n-net/ipv4/x=0\nkernel.absent=1\n",
        "proc/sys/kernel/yama/ptrace_scope": "1\n",
        "proc/sys/net/ipv4/x": "0\n",
        "usr/lib/creatic/programme": "x\n",
        "var/lib/dpkg/status": "Package: paquet\nConffiles:\n /etc/paquet.conf b026324c6904b2a9cb4b88d6d61c81d1\n",
    }.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text, encoding="utf-8")
    (top / "etc/lien").symlink_to("ssh")
    reference.keep(tmp_path, top)
    return top


def moved(top: Path) -> list[tuple[str, str, str]]:
    """What the comparison finds."""
    found = reference.drift(top.parent, top)
    assert found is not None and found["nombre"] == len(found["ecarts"])
    return [(one["quoi"], one["nom"], one["comment"]) for one in found["ecarts"]]


def test_nothing_moved(machine: Path) -> None:
    assert moved(machine) == []
    assert (machine.parent / reference.NAME).stat().st_mode & 0o777 == 0o600


def _relink(top: Path) -> None:
    (top / "etc/lien").unlink()
    (top / "etc/lien").symlink_to("/tmp")


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda top: (top / "etc/ssh/sshd_config").write_text("x"), ("fichier", "/etc/ssh/sshd_config", "modifié")),
        (lambda top: (top / "etc/ssh/sshd_config").chmod(0o666), ("fichier", "/etc/ssh/sshd_config", "modifié")),
        (lambda top: (top / "etc/shadow").chmod(0o666), ("fichier", "/etc/shadow", "modifié")),
        (lambda top: (top / "etc/cron.d").mkdir(), ("fichier", "/etc/cron.d", "ajouté")),
        (lambda top: (top / "usr/lib/creatic/programme").unlink(), ("fichier", "/usr/lib/creatic/programme", "retiré")),
        (lambda top: os.mkfifo(top / "etc/tube"), ("fichier", "/etc/tube", "ajouté")),
        (_relink, ("fichier", "/etc/lien", "modifié")),
        (
            lambda top: (top / "proc/sys/kernel/yama/ptrace_scope").write_text("0"),
            ("noyau", "kernel.yama.ptrace_scope", "modifié"),
        ),
        (lambda top: (top / "proc/sys/net/ipv4/x").write_text("1"), ("noyau", "net/ipv4/x", "modifié")),
        (lambda top: (top / "etc/paquet.conf").write_text("2\n"), ("fichier", "/etc/paquet.conf", "modifié")),
    ],
)
def test_a_change_is_seen(machine: Path, change: Callable[[Path], Any], seen: tuple[str, str, str]) -> None:
    change(machine)
    assert moved(machine) == [seen]


@pytest.mark.parametrize(
    "change",
    [
        lambda top: (top / "etc/shadow").write_text("root:*:2::::::\n"),
        lambda top: (top / "etc/passwd-").write_text("x"),
        lambda top: (top / "etc/resolv.conf").write_text("x"),
        lambda top: (top / "etc/creatic/pki/tdt/cert.pem").write_text("2\n"),
        lambda top: (top / "etc/ssh/sshd_config.dpkg-dist").write_text("x"),
    ],
)
def test_what_moves_by_itself_is_no_drift(machine: Path, change: Callable[[Path], Any]) -> None:
    change(machine)
    assert moved(machine) == []


def test_a_package_that_is_updated_is_no_drift(machine: Path) -> None:
    (machine / "etc/paquet.conf").write_text("2\n", encoding="utf-8")
    status = machine / "var/lib/dpkg/status"
    status.write_text("Conffiles:\n /etc/paquet.conf 26ab0db90d72e28ad0ba1e22ee510510\n", encoding="utf-8")
    assert moved(machine) == []


def test_no_more_is_named_than_is_read_and_without_a_reference_nothing_is_compared(machine: Path) -> None:
    for number in range(9):
        (machine / f"etc/n{number}").touch()
    found = reference.drift(machine.parent, machine, most=3)
    assert found is not None
    assert (found["nombre"], len(found["ecarts"])) == (9, 3)
    (machine.parent / reference.NAME).write_text("{}", encoding="utf-8")
    assert reference.drift(machine.parent, machine) is None
