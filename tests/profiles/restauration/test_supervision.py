"""A supervision that came back: its silences, in a file that Alertmanager takes."""

from __future__ import annotations

import json

from testinfra.host import Host

from testbed.patience import wait_for


def test_silences_are_there_and_are_taken(host: Host) -> None:
    with host.sudo():
        assert host.file("/var/lib/prometheus/alertmanager/nflog").exists
        host.run_expect([0], "systemctl restart prometheus-alertmanager.service")

    def told() -> str:
        with host.sudo():
            return str(host.run("amtool --alertmanager.url=http://127.0.0.1:9093 silence query -o json").stdout)

    wait_for(lambda: told().lstrip().startswith("["), "la réponse d'Alertmanager", 60, every=1)
    assert isinstance(json.loads(told()), list)
