"""A machine that lies, asked by Debian's Prometheus: no label of its makes a rule fail for everybody."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import runpy
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from creatic.registry import profiles
from creatic.supervision import alerts, figures, targets
from testbed.patience import allowed, wait_for

TOP = Path(__file__).parents[3]
LIES = (
    '{degre="temoin"}', '{alertname="autre"}', '{degre="surveiller",alertname="temoin",severity="x"}',
    '{job="autre",machine="honnete",profil="backup_server",instance="x"}', '{commune="lille",commune_nom="Lille"}',
    '{fichier="/b",file="/x/machine.prom",client="a",degre="grave"}',
    '{fichier="/c",file="/y/machine.prom",client="a"}',
)  # fmt: skip # a list by rows
HONEST = "creatic_machine_restart_wanted 1\ncreatic_backup_last_run_good 0\n"
FORGED = 'ALERTS{alertstate="firing",degre="grave"} 1\nup{job="machines",a="b"} 0\ncreatic:machine_vue{x="y"} 1\n'


def lies() -> str:
    """Every figure there is, and some of Prometheus' own, each with samples that differ by what is no label of it."""
    names = [*figures.figure_specs(), "probe_success", "alertmanager_notifications_failed_total", "scrape_series_added"]
    return FORGED + "".join(f"{name}{labels} {rank}\n" for name in names for rank, labels in enumerate(LIES))


def free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Told(http.server.BaseHTTPRequestHandler):
    """Answers what its server holds, by path."""

    def __init__(self, pages: dict[str, bytes], *args: Any) -> None:
        self._pages = pages
        super().__init__(*args)

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self._pages[self.path.partition("?")[0]])

    def do_POST(self) -> None:
        self._pages[f"POST {self.path}"] = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(pages: dict[str, bytes]) -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Told, pages)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def scrapes(port: int, *, relabelled: bool) -> dict[str, Any]:
    """As the role writes them, in clear."""
    told = {"honnete": "tdt_connector", "menteuse": "tdt_connector"}
    hostvars = {name: {"ansible_host": "127.0.0.1", "creatic_profil": profile} for name, profile in told.items()}
    found = targets.scrapes({"tdt_connector": [*told]}, hostvars)
    for one in found["scrape_configs"]:
        del one["tls_config"]
        one |= {"scheme": "http", "metrics_path": f"/{one['job_name']}"}
        one["static_configs"][0]["targets"] = [f"127.0.0.1:{port}"]
        if not relabelled:
            one.pop("metric_relabel_configs", None)
            one.pop("sample_limit", None)
    return found


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Callable[[bool], Callable[[str], Any]]]:
    """Runs Prometheus on both machines, and gives what asks it."""
    with contextlib.ExitStack() as stack:

        def start(relabelled: bool) -> Callable[[str], Any]:
            pages = {"/honnete": HONEST.encode(), "/menteuse": lies().encode()}
            found = scrapes(stack.enter_context(serving(pages)), relabelled=relabelled)
            rules = alerts.rules_file(0)
            for group in rules["groups"]:
                group["interval"] = "1s"
            (tmp_path / "regles.yml").write_text(yaml.safe_dump(rules, allow_unicode=True), encoding="utf-8")
            whole = found | {"rule_files": ["regles.yml"], "global": {"scrape_interval": "1s", "scrape_timeout": "1s"}}
            (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(whole), encoding="utf-8")
            port = free()
            process = stack.enter_context(
                subprocess.Popen(
                    ["prometheus", "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}",
                     "--storage.tsdb.path=mesures", "--log.level=error"],
                    cwd=tmp_path,
                )
            )  # fmt: skip # one call by its parts
            stack.callback(process.terminate)

            def ask(path: str) -> Any:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=allowed(20)) as answer:
                    return json.load(answer)["data"]

            def evaluated() -> bool:
                with contextlib.suppress(OSError):
                    there = ask('/api/v1/query?query=scrape_samples_scraped{job="machines"}')["result"]
                    held = {one["labels"].get("machine") for one in ask("/api/v1/alerts")["alerts"]}
                    return len(there) == 2 and "honnete" in held
                return False

            wait_for(evaluated, "les règles", 60, every=0.5)
            return ask

        yield start


@pytest.mark.parametrize("relabelled", [False, True])
def test_no_label_of_a_machine_makes_a_rule_fail(
    asked: Callable[[bool], Callable[[str], Any]], relabelled: bool
) -> None:
    ask = asked(relabelled)
    rules = [one for group in ask("/api/v1/rules")["groups"] for one in group["rules"]]
    assert len(rules) > 60
    assert [(one["name"], one.get("lastError")) for one in rules if one["health"] not in ("ok", "unknown")] == []
    held = {one["labels"]["alertname"] for one in ask("/api/v1/alerts")["alerts"]
            if one["labels"].get("machine") == "honnete"}  # fmt: skip # one set
    assert held >= {"creatic_machine_restart_wanted:egal_1", "creatic_backup_last_run_good:egal_0"}


def test_a_machine_tells_what_its_profile_makes_and_of_itself_alone(
    asked: Callable[[bool], Callable[[str], Any]],
) -> None:
    ask = asked(True)
    series = ask('/api/v1/series?match[]={machine="menteuse"}')
    names = {one["__name__"] for one in series}
    made = {name for name, one in figures.figure_specs().items() if one.by("tdt_connector")}
    own = {
        "up",
        *(name for name in names if name.startswith("scrape_")),
        "ALERTS",
        "ALERTS_FOR_STATE",
        alerts.SEEN_MACHINE_SERIES,
    }
    assert "creatic_backup_last_run_good" in names and "creatic_depot_suspect" not in names
    assert names <= made | own
    allowed_labels = {"__name__", "job", "instance", "machine", "profil", "degre", "alertname", "alertstate"}
    allowed_labels |= {label for name in made for label in figures.figure_specs()[name].labels}
    assert {label for one in series for label in one} <= allowed_labels
    assert len([one for one in series if one["__name__"] == "up"]) == 1
    assert ask('/api/v1/query?query=up{machine="menteuse"}')["result"][0]["value"][1] == "1"


def test_figures_have_makers_and_rules_have_no_word_of_a_machine_in_what_is_run() -> None:
    assert {name for one in figures.figure_specs().values() for name in one.profiles} <= {*profiles.load()}
    for rule in figures.rules():
        assert "{" not in rule.fix
    for one in alerts.alerts():
        assert "{" not in one.rule(5)["annotations"]["faire"], one.name


# -- a rule that fails is told without the rules ----------------------------------------------------------------

GOOD = {"status": "success", "data": {"groups": [{"rules": [{"name": "a", "health": "ok"}]}]}}
BAD = {
    "status": "success",
    "data": {
        "groups": [
            {
                "rules": [
                    {"name": "a", "health": "ok"},
                    {"name": "b", "health": "err", "lastError": "many-to-many \u202e\x1b[2J"},
                ]
            }
        ]
    },
}
SENT = 'alertmanager_notifications_total{integration="email",receiver_name="temoin"} 1\n'


@pytest.mark.parametrize(
    ("rules", "count", "told"),
    [
        (GOOD, 0, ""),
        (BAD, 1, "b"),
        ({"status": "success", "data": {"groups": []}}, 1, "aucune règle"),
        (None, 1, "Prometheus"),
    ],
)
def test_a_rule_that_fails_is_told_by_another_way(tmp_path: Path, rules: Any, count: int, told: str) -> None:
    """Its mail is Alertmanager's, asked for by no rule; the morning reads the figure over SSH."""
    pages = {"/metrics": SENT.encode(), "/api/v1/rules": json.dumps(rules).encode() if rules else b"oups"}
    with serving(pages) as port:
        program = runpy.run_path(str(TOP / "apps/journaux/src/temoin.py"))
        status = program["main"](
            f"http://127.0.0.1:{port}/metrics", tmp_path / "a.prom", tmp_path / "etat.json",
            rules=f"http://127.0.0.1:{port}/api/v1/rules", alerts=f"http://127.0.0.1:{port}/api/v2/alerts",
        )  # fmt: skip # one call by its parts
    assert status == 0
    found = {one.name: one.value for one in figures.parse((tmp_path / "a.prom").read_text())}
    assert found["supervision_regles_en_echec"] == count
    findings = [text for _, text, _ in figures.judge(figures.parse((tmp_path / "a.prom").read_text()), {}, 0)]
    assert bool(count) == any("règles d'alerte en échec" in one for one in findings)
    if not count:
        assert "POST /api/v2/alerts" not in pages
    else:
        [alert] = json.loads(pages["POST /api/v2/alerts"])
        assert alert["labels"] == {"alertname": "regles_en_echec", "degre": "grave", "profil": "supervision"}
        assert told in alert["annotations"]["dit"] and "\x1b" not in alert["annotations"]["dit"]
        assert alert["annotations"]["faire"]


def test_an_alertmanager_that_does_not_answer_fails_the_unit(tmp_path: Path) -> None:
    """Its failed unit is told by the morning over SSH."""
    with serving({"/metrics": SENT.encode(), "/api/v1/rules": json.dumps(BAD).encode()}) as port:
        program = runpy.run_path(str(TOP / "apps/journaux/src/temoin.py"))
        with pytest.raises(OSError, match="refused"):
            program["main"](
                f"http://127.0.0.1:{port}/metrics", tmp_path / "a.prom", tmp_path / "etat.json",
                rules=f"http://127.0.0.1:{port}/api/v1/rules", alerts=f"http://127.0.0.1:{free()}/api/v2/alerts",
            )  # fmt: skip # one call by its parts
    assert "supervision_regles_en_echec 1" in (tmp_path / "a.prom").read_text()
