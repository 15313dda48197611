"""Curves of the week, out of a Prometheus that has a week of figures."""

from __future__ import annotations

import datetime as dt
import socket
import subprocess
from collections.abc import Iterator

import pytest
import urllib3

from creatic.morning import series
from testbed.patience import wait_for

NOW = dt.datetime.now(dt.UTC)
HOUR = NOW.replace(minute=0, second=0, microsecond=0)


def figures() -> str:
    """A week of two machines: one fell for the last ten hours, whose disk fills; the other never answered."""
    lines = ["# TYPE up gauge\n", "# TYPE creatic_machine_disk_percent gauge\n"]
    for back in range(24 * 7, -1, -1):
        at = int((HOUR - dt.timedelta(hours=back)).timestamp())
        lines.append(f'up{{job="machines",machine="a",profil="ged"}} {int(back >= 10)} {at}\n')
        lines.append(f'up{{job="machines",machine="pc",profil="commune_pc"}} 0 {at}\n')
    for back in range(24 * 7, -1, -1):
        at = int((HOUR - dt.timedelta(hours=back)).timestamp())
        lines.append(f'creatic_machine_disk_percent{{machine="a",point="/"}} {90 - back / 2.4:.1f} {at}\n')
        lines.append(f'creatic_machine_disk_percent{{machine="a",point="/srv"}} 12 {at}\n')
    grouped = [line for line in lines if line.startswith(("# TYPE up", "up{"))]
    grouped += [line for line in lines if line not in grouped]
    return "".join(grouped) + "# EOF\n"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "figures").write_text(figures())
    (folder / "prometheus.yml").write_text("")
    blocks = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(folder / "figures"), str(folder / "tsdb")]
    subprocess.run(blocks, check=True, capture_output=True)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with subprocess.Popen(
        ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
         f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=30d"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip # options by line
        there = f"http://127.0.0.1:{port}"
        http = urllib3.PoolManager(retries=False)
        try:
            wait_for(lambda: http.request("GET", f"{there}/-/ready").status == 200, "Prometheus", 60,
                     despite=(urllib3.exceptions.HTTPError,))  # fmt: skip # one wait
            yield there
        finally:
            process.terminate()


def answer(address: str) -> str:
    words = [address if word == "http://127.0.0.1:9090" else word for word in series.command(NOW)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def test_a_week_is_drawn_by_hour(address: str) -> None:
    found = {one.title: one for one in series.curves(f"veille | CHANGED | rc=0 >>\n{answer(address)}", NOW)}
    assert {*found} == {
        "Alertes à traiter, par heure",
        "Machines sans réponse, par heure",
        "Disque le plus plein, en %",
    }
    silent = found["Machines sans réponse, par heure"]
    assert len(silent.points) == 24 * 7 + 1
    # A PC that is switched off counts for nothing.
    assert [value for _, value in silent.points[-12:]] == [0.0, 0.0, *[1.0] * 10]
    disk = found["Disque le plus plein, en %"]
    assert (disk.points[-1][1], disk.points[0][1], disk.top) == (90.0, 20.0, 100)
    assert disk.points[-1][0] == f"{HOUR.astimezone():%d/%m %H h}"
    assert {value for _, value in found["Alertes à traiter, par heure"].points} == {0.0}


@pytest.mark.parametrize(
    "said",
    ["", "rien", "[{", '[{"metric": {}, "values": []}]', '[{"metric": {"courbe": "pages"}, "values": 3}]', "[{}]",
     '[{"metric": {"courbe": "pages"}, "values": [[1]]}]'],
)  # fmt: skip # what may come by line
def test_what_is_no_answer_draws_nothing(said: str) -> None:
    assert [one.known_values for one in series.curves(said, NOW)] in ([], [[]])


def test_what_is_no_number_is_a_hole() -> None:
    at = int(HOUR.timestamp())
    values = f'[[{at}, "NaN"], [{at - 3600}, "+Inf"], [{at - 7200}, "-1"], [{at - 10800}, "2.26"]]'
    [curve] = series.curves(f'[{{"metric": {{"courbe": "pages"}}, "values": {values}}}]', NOW)
    assert [value for _, value in curve.points[-4:]] == [2.3, 0.0, None, None]
