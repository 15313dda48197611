"""One run of the version in place: ``ansible-playbook -c local``, bounded, and what is kept of its words."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from creatic_flotte.settings import Settings

PLAYBOOK = "playbooks/journeys/pull.yml"
RESULT = "CREATIC_FLOTTE_RESULTAT"
PROOFS = "CREATIC_ROLLOUT_FOLDER"
AGAIN = "CREATIC_FLOTTE_DEJA_POSEE"
"""Of a run that looks for drift alone: no act of proof leaves for the TdT each day (pull.yml)."""
NUMBER = "CREATIC_FLOTTE_VERSION"
"""Which version is proved: its test acts are counted (role tdt_connector, trials.py)."""
ATTESTED = "creatic-flotte compte-rendu"
_LARGEST = 200_000  # bytes of a result
_LARGEST_CSR = 6000  # characters; the door takes 8,000, signature included


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        good: every task and every proof went well.
        reason: in French; empty when it is good.
        changed: names of the tasks that changed something: drift, when the version had already been applied.
        proofs: what the proofs of this machine said, as module proof gives it.
    """

    good: bool
    reason: str = ""
    changed: list[str] = field(default_factory=list)
    proofs: list[dict[str, Any]] = field(default_factory=list)


def asked(settings: Settings, version: Path) -> dict[str, str]:
    """Certificates that a run asks the control node for (creatic/pki/extract.py), by name, within bounds.

    Each is a CSR and its signature by the key of this machine: the door cannot ask in its place.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        with (version / "donnees" / "etat" / "pki" / "demandes.json").open("rb") as stream:
            found = json.loads(stream.read(_LARGEST))
        bounded = [(str(name)[:80], str(csr)) for name, csr in found.items() if len(str(csr)) <= _LARGEST_CSR][:10]
        return {name: _signed(settings, name, csr) for name, csr in bounded}
    return {}


def attested(settings: Settings, report: dict[str, Any], identity: str) -> dict[str, str]:
    """What this machine signs of a report (``signe``, ``signature``): the door, which carries it, cannot say it.

    Args:
        report: as it is handed over.
        identity: what the version in place is made of (`manifest.Manifest.identity`).
    """
    said = {key: report[key] for key in ("machine", "version", "posee", "genre", "texte", "debut", "fin")}
    said |= {"quoi": ATTESTED, "identite": identity, "preuves": digest(report["preuves"])}
    with contextlib.suppress(OSError, ValueError):  # the key that signs its relevés, for who never went to it by SSH
        said["hote"] = " ".join(settings.host_key.read_text(encoding="utf-8")[:500].split()[:2])
    text = json.dumps(said, ensure_ascii=False, sort_keys=True)
    return {"signe": text, "signature": _signature(settings, text)}


def digest(proofs: Any) -> str:
    """Of proofs, however they are carried."""
    text = json.dumps(proofs, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _signed(settings: Settings, name: str, csr: str) -> str:
    text = f"creatic-flotte demande\n{settings.machine}\n{name}\n{csr}"
    return json.dumps({"csr": csr, "signature": _signature(settings, text)})


def _signature(settings: Settings, text: str) -> str:
    """By the key of this machine's certificate, in base 64."""
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", str(settings.current / "key.pem")],
        input=text.encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    return base64.b64encode(done.stdout).decode()


def apply(settings: Settings, version: Path, again: bool, environment: dict[str, str] | None = None) -> Result:
    """Apply a version to this machine.

    Args:
        version: its folder, with ``code`` and ``donnees``.
        again: whether it was applied, and proved, before.
        environment: more variables.
    """
    code, data, told = version / "code", version / "donnees", settings.state / "resultat.json"
    told.unlink(missing_ok=True)
    proofs = settings.state / "preuves"
    shutil.rmtree(proofs, ignore_errors=True)
    proofs.mkdir(mode=0o700)
    _point(settings.state / "courant", version)
    command = ["ansible-playbook", "-i", str(data / "inventaire.yml"), "-c", "local", "--limit", settings.machine]
    command += ["-e", f"@{data / 'variables.json'}", PLAYBOOK]
    given = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(settings.state),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(code / "ansible.cfg"),
        "ANSIBLE_CALLBACKS_ENABLED": "cdg59.creatic.pull",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_BECOME": "false",
        RESULT: str(told),
        PROOFS: str(proofs),
        AGAIN: "1" if again else "",
        NUMBER: version.name,
    }
    journal = settings.state / "passage.log"
    try:
        with journal.open("wb") as out:
            process = subprocess.Popen(
                command,
                cwd=code,
                env=given | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o022,  # the unit's own is for this program's files; packages and roles count on Debian's
            )
            try:
                status = process.wait(settings.run_seconds)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return Result(
                    False, f"l'application a été arrêtée, non finie après {settings.run_seconds // 60} minutes"
                )
    except FileNotFoundError:
        return Result(False, "ansible-playbook manque sur cette machine : installez le paquet ansible-core")
    return _result(status, told, journal)


def _point(link: Path, version: Path) -> None:
    """Have the link by which the variables name their files lead to this version."""
    new = link.with_name(".courant")
    new.unlink(missing_ok=True)
    new.symlink_to(version)
    new.replace(link)


def _result(status: int, told: Path, journal: Path) -> Result:
    try:
        with told.open("rb") as stream:
            found = json.loads(stream.read(_LARGEST))
        changed = [str(one)[:200] for one in found["modifies"]][:200]
        proofs = [one for one in found["preuves"] if isinstance(one, dict)][:20]
        reason = str(found["raison"])[:1000]
    except (OSError, ValueError, KeyError, TypeError):
        return Result(False, f"l'application s'est arrêtée sans rien dire (code {status}) : voyez {journal}")
    if status and not reason:
        reason = f"l'application a échoué (code {status}) : voyez {journal}"
    return Result(not status and not reason, reason, changed, proofs)
