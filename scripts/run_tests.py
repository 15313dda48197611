#!/usr/bin/env python3
"""Runs the parts of the tests, side by side where they do not wait for each other (called by scripts/test).

One site is made and converged once; everything else is asked of it. What a run found is kept in .cache/essais.json:
commit, clean tree or not, each part with its verdict and its seconds.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOP = Path(__file__).parents[1]
HOME = TOP / ".cache" / "test"  # the control node's state of the tests, never the operator's own
LOGS = HOME / "journaux"  # what each part printed
RECORD = TOP / ".cache" / "essais.json"
REACHED = str(HOME / "taches")  # tasks that were executed, see tests/reached
LOCK = Path("/run/lock/creatic-essais")  # the lab is one per machine
PYTEST = (sys.executable, "-m", "pytest")
LAST = ("nice", "-n", "10")  # what others leave of the cores
STUCK = ("-o", "faulthandler_timeout=900", "-o", "faulthandler_exit_on_timeout=true")  # a test's end, seconds
UNIT = ("-q", "-m", "not wine", "-n", "auto", "--dist", "worksteal")
PLAYBOOK = ("ansible-playbook", "-i", "inventories/lab")
# Their playbooks are of tests alone, or none: what they reach tells nothing.
FILES = ("unit", "lint", "lab", "fuzz", "wine")
REACHED_TASKS_ENVIRONMENT = {
    "CREATIC_TASKS_REACHED": REACHED,
    "ANSIBLE_CALLBACK_PLUGINS": str(TOP / "tests" / "reached"),
}
# Long: each whole run draws one line of them.
DRAW_LINES = (
    ("room_patch", "audits"),
    ("room_faults", "poste"),
    ("chain",),
    ("disaster",),
    ("noyau", "disques", "pc"),
    ("lost", "life"),
    ("alertes", "poste"),
    ("fleet_pull",),
)
# Ten minutes until its mail is there; « alertes » has the same cause, in its turn.
MAILED = "tests/profiles/supervision/test_supervision.py::test_a_unit_that_failed_is_a_mail"
# Machines that are alike on the site, and how many: check mode and the profile's tests ask the one that is drawn.
TWINS = {"archive_node": 3, "commune_pc": 3, "tdt_connector": 3}
# The last would take a whole run over its limit.
LONG = (
    *dict.fromkeys(name for line in DRAW_LINES for name in line),
    *("drills", "production", "closing", "upgrade", "coffres"),
)
# These have machines of their own, on a network of their own; after what else has so many.
OWN: dict[str, tuple[str, ...]] = {"production": (), "upgrade": ("production",), "coffres": ("upgrade",)}
# No machine is in them, and none is a whole run's: each run of the first is another, the second is Windows by Wine.
BY_NAME = {"fuzz": ("tests/fuzz",), "wine": ("apps/poste", "-m", "wine")}
# Test machines beside the site: a control node that several share, and two with kernels of their own, slow, each on one
# core. What the lab itself says of such machines is asked with them.
KERNELS = ("noyau", "disques")
BENCHES = {
    "poste": ("control_node", "poste"),
    "noyau": ("hardening_kernel", "noyau"),
    "disques": ("encrypted_raid", "coffre"),
}


@dataclass(frozen=True)
class Draw:
    """What a whole run takes of what is too long for each: by one number, that it prints and that can be given again.

    Attributes:
        seed: the number.
        long: a line of DRAWN.
        twins: rank of the machine that is asked, by profile.
    """

    seed: int
    long: tuple[str, ...]
    twins: dict[str, int]

    @classmethod
    def from_seed(cls, seed: int) -> Draw:
        """The draw of a number."""
        rest, line = divmod(seed, len(DRAW_LINES))
        twins: dict[str, int] = {}
        for twin, count in TWINS.items():
            rest, twins[twin] = divmod(rest, count)
        return cls(seed, DRAW_LINES[line], twins)

    def __str__(self) -> str:
        twins = ", ".join(f"{twin}[{rank}]" for twin, rank in self.twins.items())
        return (
            f"Tirage {self.seed:08x} : {', '.join(self.long)} ; {twins} ; un quart des essais coûteux."
            f" Le même ailleurs : ./scripts/test --seed {self.seed:08x} ; tout, sans tirage : ./scripts/test --all"
        )


@dataclass
class Part:
    """One part of the tests.

    Attributes:
        commands: run one after the other, until one fails.
        after: parts that end first, if they are asked for too.
        needs: parts whose work this one goes on from; asked for by name, it brings them.
        busy: share of the cores' time that was used while it went on, in percent, whoever used it.
    """

    commands: list[tuple[str, ...]]
    after: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    verdict: str = ""
    seconds: int = 0
    busy: int = 0


def bench(name: str, host: str) -> Part:
    """A test machine, beside the site: made, converged, then in check mode, then its profile's tests."""
    return Part(
        [
            (*PLAYBOOK, "playbooks/lab/create.yml", "-e", json.dumps({"lab_only": [host]})),
            (*PLAYBOOK, "molecule/shared/converge.yml", "-e", f"lab_scenario={name}", "--limit", host),
            ("scripts/verify", name, "inventories/lab", host),
        ],
        after=("again",),
        needs=("machines",),
    )


def profile(name: str, *after: str, workers: int = 0) -> Part:
    """The tests of a profile on its machines of the site; that check mode is silent is told by the part « again »."""
    tests = (*PYTEST, "-q", "-p", "no:cacheprovider", "tests/profiles/common", f"tests/profiles/{name}")
    chosen = ("--profile", name, "--limit", name)
    return Part([tests + chosen + (("-n", str(workers)) if workers else ())], after, ("site",))


def journeys(mark: str, *after: str) -> Part:
    """Tests of tests/journeys: those without a mark of a long part, or with that one."""
    wanted = mark or " and ".join(f"not {name}" for name in ("site", "passage", *LONG) if name not in BENCHES)
    return Part([(*PYTEST, "-v", "tests/journeys", "--durations", "20", "-m", wanted)], after, ("site",))


def long(name: str) -> Part:
    """A part of LONG."""
    if name in BENCHES:
        return bench(*BENCHES[name])
    if name in OWN:
        return Part([(*PYTEST, "-v", f"tests/{name}", "--durations", "20")], after=("journeys", *OWN[name]))
    return journeys(name, "journeys", *LONG[: LONG.index(name)])  # one at a time: they break the same site


def whole() -> dict[str, Part]:
    """Every part of a whole run but those of LONG that it has. What stands first is begun first."""
    names = ("tdt_simulator", "commune_pc", "tdt_connector", "archive_node", "archive_gateway", "backup_server", "ged",
             "parapheur", "deliberations", "passerelle", "guichet", "supervision")  # fmt: skip # a list of words
    return {
        "lab": Part([(*PYTEST, "-v", "tests/lab")]),
        "machines": Part([("fab", "banc.demarrer")], after=("lab",)),
        "lint": Part([(*LAST, "scripts/lint")]),
        # Until these end, both cores are taken; what follows, and journeys above all, waits for machines.
        "unit": Part(
            [(*LAST, *PYTEST, *UNIT, "--durations", "15", *STUCK)],
            after=("machine nue", "poste", "profil archive_node", "profil parapheur"),
        ),
        "site": Part(
            [(*PLAYBOOK, "playbooks/site.yml", "--limit", "all:localhost:!banc")],
            needs=("machines",),
        ),
        "again": Part([(*PYTEST, "-v", "tests/journeys", "-m", "site")], needs=("site",)),
        "machine nue": bench("hardening", "niv-high"),  # its image had no package of ours
        "profil supervision": profile("supervision", "again"),  # waits for a mail, most of its time
        "profil tdt_simulator": profile("tdt_simulator", "again"),
        "profil archive_node": profile("archive_node", "again"),
        "profil ged": profile("ged", "again"),
        "profil commune_pc": profile("commune_pc", "profil tdt_simulator", workers=2),
        "profil tdt_connector": profile("tdt_connector", "profil commune_pc", workers=2),
        "profil archive_gateway": profile("archive_gateway", "profil archive_node"),
        "profil parapheur": profile("parapheur", "again"),  # the longest line, with two that follow it
        "profil deliberations": profile("deliberations", "profil parapheur"),
        "profil passerelle": profile("passerelle", "profil deliberations", "profil tdt_connector", "profil ged"),
        "profil guichet": profile("guichet", "profil ged"),
        "profil backup_server": profile("backup_server", "profil archive_gateway"),
        "passage": journeys("passage", "profil passerelle", "profil archive_gateway"),
        "journeys": journeys("", "passage", *(f"profil {name}" for name in names)),
    }


def by_name(name: str) -> Part:
    """A part of BY_NAME; its memory and its time are bounded by the tests themselves."""
    return Part([(*LAST, *PYTEST, "-q", *BY_NAME[name], "--durations", "15", *STUCK)])


class Run:
    """One run of some parts.

    Attributes:
        parts: by name.
        last: what the run before left in RECORD.
    """

    def __init__(self, parts: dict[str, Part], wanted: str) -> None:
        self.parts, self.wanted = parts, wanted
        self.started = time.monotonic()
        self.lock = threading.Condition()
        self.last: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
        self.record: dict[str, Any] = {
            "prouve": self.last.get("prouve", {}),
            "commit": _run_git("rev-parse", "HEAD"),
            "propre": not _run_git("status", "--porcelain"),
            "debut": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "demande": wanted,
        }

    def perform(self) -> None:
        """Run them all."""
        self._print_plan()
        threads = [threading.Thread(target=self._run_after_others, args=(name,)) for name in self.parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def conclude(self) -> bool:
        """Say how it ended, and why what failed did; gives whether all passed."""
        failed = [name for name, part in self.parts.items() if part.verdict != "réussi"]
        for name in failed:
            self._print_failure(name)
        lasted = time.monotonic() - self.started
        print(f"\nPassage de {lasted / 60:.0f} min ({lasted:.0f} s), noté dans {RECORD.relative_to(TOP)}")
        if failed:
            print("En échec : " + ", ".join(failed))
        print(f"{len(self.parts) - len(failed)} passed, {len(failed)} failed", flush=True)
        return not failed

    def _print_plan(self) -> None:
        if last := self.last.get("complet"):
            print(f"Le dernier passage complet d'ici a pris {last['secondes'] / 60:.0f} min ({last['verdict']}).")
        else:
            print("Aucun passage complet n'est noté ici : comptez de 45 à 70 minutes pour tout.")
        print(f"Parties : {', '.join(self.parts)}", flush=True)

    def _run_after_others(self, name: str) -> None:
        part = self.parts[name]
        ends = [self.parts[one] for one in (*part.after, *part.needs) if one in self.parts]
        with self.lock:
            self.lock.wait_for(lambda: all(one.verdict for one in ends))
        start, cores = time.monotonic(), _core_ticks()
        lacking = [one for one in part.needs if one in self.parts and self.parts[one].verdict != "réussi"]
        if not lacking:
            print(f"\n== {name} : commence ({time.strftime('%T')})", flush=True)
            try:
                verdict = "réussi" if self._run_part(name, part) else "échec"
            except OSError as error:  # others wait for a verdict
                (LOGS / name).write_text(f"{error}\n", encoding="utf-8")
                verdict = "échec"
        else:
            verdict = "pas fait"
            (LOGS / name).write_text(f"pas fait, faute de : {', '.join(lacking)}\n", encoding="utf-8")
        with self.lock:
            part.verdict, part.seconds = verdict, round(time.monotonic() - start)
            used, whole_time = (after - before for before, after in zip(cores, _core_ticks(), strict=True))
            part.busy = round(100 * used / max(1, whole_time))
            self._write_record()
            self.lock.notify_all()
        print(f"\n== {name} : {verdict} en {part.seconds} s{self._remaining_parts()}", flush=True)

    def _run_part(self, name: str, part: Part) -> bool:
        noted = {} if name in FILES else REACHED_TASKS_ENVIRONMENT
        with (LOGS / name).open("w", encoding="utf-8") as log:
            for command in part.commands:
                with subprocess.Popen(
                    command,
                    cwd=TOP,
                    env=os.environ | noted,
                    text=True,
                    errors="replace",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                ) as process:
                    for line in process.stdout or ():
                        log.write(line)
                        log.flush()
                        print(f"{name} | {line}", end="", flush=True)
                if process.returncode:
                    return False
        return True

    def _remaining_parts(self) -> str:
        waiting = [name for name, part in self.parts.items() if not part.verdict]
        known = (self.last.get("complet") or {}).get("secondes", 0) if self.wanted == "tout" else 0
        left = max(0, known - (time.monotonic() - self.started))
        about = f", environ {left / 60:.0f} min d'après le dernier passage" if known else ""
        return f" ; reste {', '.join(waiting)}{about}" if waiting else ""

    def _write_record(self) -> None:
        """Write what is known so far, beside the last complete run's length."""
        done = {name: part for name, part in self.parts.items() if part.verdict}
        failed = any(part.verdict != "réussi" for part in done.values())
        self.record |= {
            "secondes": round(time.monotonic() - self.started),
            "verdict": "échec" if failed else "réussi" if len(done) == len(self.parts) else "en cours",
            "parties": [
                {"nom": name, "verdict": part.verdict, "secondes": part.seconds, "occupation": part.busy}
                for name, part in done.items()
            ],
        }
        if self.record["propre"] and "CREATIC_WHOLE_RUN" not in os.environ:
            passed = {name: part.seconds for name, part in done.items() if part.verdict == "réussi"}
            self.record["prouve"] = {
                self.record["commit"]: self.last.get("prouve", {}).get(self.record["commit"], {}) | passed
            }
        complete = self.last.get("complet")
        if self.wanted == "tout" and len(done) == len(self.parts):
            complete = {"secondes": self.record["secondes"], "verdict": self.record["verdict"]}
        text = json.dumps(self.record | {"complet": complete}, ensure_ascii=False, indent=1)
        new = RECORD.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(RECORD)

    def _print_failure(self, name: str) -> None:
        """What a failed part printed last, and before that its lines that speak of a failure."""
        lines = (LOGS / name).read_text(encoding="utf-8", errors="replace").splitlines()
        telling = re.compile(r"^(?:.*\| )?(?:E  |FAILED|ERROR|fatal:|would reformat)|[Ee]rror")
        told = [line for line in lines[:-40] if telling.search(line)][-30:]
        print("\n".join([f"\n== {name}, {self.parts[name].verdict} :", *told, *lines[-40:]]), flush=True)


def _core_ticks() -> tuple[int, int]:
    """Time of all cores since the machine started: used, and in all (proc_stat(5), in ticks)."""
    ticks = [int(one) for one in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def _run_git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=TOP, capture_output=True, text=True, check=False).stdout.strip()


def drawn_parts(draw: Draw) -> dict[str, Part]:
    """A whole run: what each has, and what is drawn of the rest."""
    os.environ["CREATIC_WHOLE_RUN"] = f"{draw.seed:08x}"  # for scripts/verify
    print(draw)
    known = whole()
    found = known | {name: long(name) for name in LONG if name in draw.long}
    found["profil supervision"].commands[0] += ("--deselect", MAILED)
    for twin, rank in draw.twins.items():
        found[f"profil {twin}"].commands[0] += ("--limit", f"{twin}[{rank}]", "-n", "0")
    for name in ("unit", *(name for name in found if name.startswith("profil "))):
        found[name].commands[0] += ("--costly", str(draw.seed))
    left_out = [f"!{twin}[{one}]" for twin, rank in draw.twins.items() for one in range(TWINS[twin]) if one != rank]
    os.environ["CREATIC_LEFT_OUT"] = " ".join(left_out)  # of check mode (tests/journeys/test_site.py)
    if not {*KERNELS} & {*draw.long}:
        found["lab"].commands = [(*PYTEST, "-v", "tests/lab/test_lab.py")]
    end = Part([("fab", "banc.arreter"), ("scripts/tasks_reached.py", REACHED, *draw.long)], needs=tuple(found))
    return found | {"taches": end}


def unproven_parts(share: str) -> list[str]:
    """Names of the parts that nothing proved yet of this very commit, whatever was drawn, and of one share of them.

    Args:
        share: « 2/3 », the second of three machines; empty for all. What a whole run has is the first one's.

    Raises:
        SystemExit: it is no share (French).
    """
    found = re.fullmatch(r"([1-9]\d?)/([1-9]\d?)", share or "1/1")
    if not found or int(found[1]) > int(found[2]):
        raise SystemExit(f"« --all {share} » : il faut une part, comme 2/3 (la deuxième de trois machines).")
    rank, count = int(found[1]) - 1, int(found[2])
    rest = [name for place, name in enumerate((*LONG, *BY_NAME)) if (place + 1) % count == rank]
    done = proven().get(_run_git("rev-parse", "HEAD"), {})
    return [name for name in ([*whole()] if rank == 0 else []) + rest if name not in done]


def proven() -> dict[str, dict[str, int]]:
    """Seconds that each part took which passed whole, none of it left out by a draw, by commit of a clean tree."""
    return json.loads(RECORD.read_text(encoding="utf-8")).get("prouve", {}) if RECORD.exists() else {}


def chosen(names: list[str]) -> dict[str, Part]:
    """The parts asked for, with what they need, in the order of the whole run.

    Raises:
        SystemExit: there is no such part; the message (French) names those that exist.
    """
    if names[:1] == ["--all"]:
        names = unproven_parts(" ".join(names[1:]))
        if not names:
            print("Toutes les parties sont prouvées à ce commit (.cache/essais.json).")
            raise SystemExit(0)
    if not names or names[0] == "--seed":
        given = " ".join(names[1:]) if names else _run_git("rev-parse", "HEAD")[:8] or "0"
        if not re.fullmatch(r"[0-9a-f]{1,8}", given):
            raise SystemExit(f"« --seed {given} » : il faut le nombre qu'un passage a dit, comme 0a1b2c3d.")
        return drawn_parts(Draw.from_seed(int(given, 16)))
    known = whole() | {name: long(name) for name in LONG} | {name: by_name(name) for name in BY_NAME}
    scenarios = sorted(path.parent.name for path in (TOP / "molecule").glob("*/molecule.yml"))
    wanted: dict[str, Part] = {}
    for name in names:
        if name in scenarios:
            wanted[name] = Part([("molecule", "test", "--scenario-name", name)], tuple(wanted))
        elif name in known:
            wanted |= _with_needs(name, known)
        else:
            listed = (f"parties : {', '.join(known)}", f"scénarios Molecule : {', '.join(scenarios)}")
            print(f"« {name} » n'est ni une partie ni un scénario.", *listed, sep="\n", file=sys.stderr)
            raise SystemExit(2)
    order = list(known)
    return dict(sorted(wanted.items(), key=lambda one: order.index(one[0]) if one[0] in order else len(order)))


def _with_needs(name: str, known: dict[str, Part]) -> dict[str, Part]:
    found = {name: known[name]}
    for need in known[name].needs:
        found |= _with_needs(need, known)
    return found


def main() -> int:
    names = sys.argv[1:]
    parts = chosen(names)
    lock = LOCK.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("D'autres essais sont en cours sur cette machine, qui n'a qu'un banc : attente de leur fin…", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)
    shutil.rmtree(HOME, ignore_errors=True)
    LOGS.mkdir(parents=True)
    # An operator's open SSH connections bear another key: they are not shared.
    os.environ |= {"CREATIC_HOME": str(HOME), "ANSIBLE_SSH_CONTROL_PATH_DIR": "~/.ansible/cp-test"}
    os.environ["CREATIC_INVENTORY"] = "inventories/lab"  # whatever environment is chosen in this clone
    os.environ["PYTHONUNBUFFERED"] = "1"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a hundred commands of fab compile what they import but once
    os.environ["ANSIBLE_FORKS"] = "8"  # machines and control node share these cores: more at once only wait
    os.environ |= dict.fromkeys(("ANSIBLE_FORCE_COLOR", "PY_COLORS"), "0") | {"NO_COLOR": "1"}
    run = Run(parts, "tout" if names[:1] in ([], ["--seed"]) else " ".join(names))
    run.perform()
    if set(parts) - set(FILES):  # whatever happened
        subprocess.run(["fab", "banc.arreter"], cwd=TOP, stdout=subprocess.DEVNULL, check=False)
    return 0 if run.conclude() else 1


if __name__ == "__main__":
    sys.exit(main())
