"""What judges that are not ours say of a hardened machine: OpenSCAP's ANSSI-BP-028 profile of its level, and lynis."""

from __future__ import annotations

import re
from typing import Any

import pytest
from testinfra.host import Host

# The best of the dev-sec collection and of OpenSCAP's own remediation on the same image.
PASSES_OF_OTHERS = {"minimal": 28, "intermediary": 164, "enhanced": 242, "high": 264}
LYNIS_OF_OTHERS = 75
# Unpacked in memory, never installed: a package more would change what is judged.
LYNIS = """set -e
dir=$(mktemp -d -p /run)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get -qq -o APT::Sandbox::User=root download lynis >/dev/null
dpkg-deb -x lynis_*.deb .
cd usr/share/lynis
cp -r "$dir/etc/lynis/." .
TMPDIR=$dir sh ../../sbin/lynis audit system --quick --no-colors --quiet --report-file "$dir/report" \
  --logfile /dev/null >/dev/null 2>&1 || true
cat "$dir/report"
"""


def test_no_rule_fails_without_a_waiver(openscap: dict[str, Any]) -> None:
    unwaived = [
        f"{gap['regle']} ({', '.join(gap['controles'])}) : {gap['resultat']}"
        for gap in openscap["ecarts"]
        if gap["derogation"] is None
    ]
    assert not unwaived
    assert openscap["non_deroges"] == 0


def test_more_rules_pass_than_with_others(openscap: dict[str, Any], level: str) -> None:
    assert openscap["profil"] == f"anssi_bp28_{level}"
    assert openscap["comptes"]["pass"] > PASSES_OF_OTHERS[level], openscap["comptes"]


@pytest.mark.leaves_traces
@pytest.mark.niveau("high")
def test_lynis_gives_more_than_to_others(host: Host) -> None:
    with host.sudo():
        report = host.check_output(LYNIS)
    index = re.search(r"^hardening_index=(\d+)$", report, re.M)
    assert index, report[-2000:]
    left = re.findall(r"^(?:suggestion|warning)\[\]=(.*)$", report, re.M)
    assert int(index[1]) > LYNIS_OF_OTHERS, left
