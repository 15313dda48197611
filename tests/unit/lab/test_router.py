"""The router of the lab, in network namespaces of the test's own: the real kernel, its rules, its translation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[3]
# Runs in a mount and a network namespace of its own: that network is the control node's, with the lab's bridge; podman
# is played by a process in a network of its own, tied to that bridge as podman ties a container.
SCENE = r"""
import http.client, http.server, os, signal, socket, subprocess, sys, threading
from pathlib import Path
from ansible_collections.cdg59.creatic.plugins.module_utils.lab import router as lab_router
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.ground import Ground, LabError
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.host import BEHIND, WORKSHOP, Host
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.network import Network

SERVER = "10.59.0.1"  # the control node; a server of the lab is to them the same

class Lab(Ground):
    router = None
    def in_namespace(self):
        return ["env"]  # this namespace
    def containers(self):
        return {lab_router.NAME: {"State": "running"}} if self.router else {}
    def podman(self, *arguments, error="", **options):
        if arguments[0] == "run":
            sleeps = ["unshare", "--net", "sh", "-c", "echo; exec sleep 300"]
            self.router = subprocess.Popen(sleeps, stdout=subprocess.PIPE)
            self.router.stdout.readline()  # its network is there
            pid, outside = str(self.router.pid), arguments[arguments.index("--network") + 1].partition("ip=")[2]
            run("ip", "link", "add", f"p{pid}", "type", "veth", "peer", "name", "eth0", "netns", pid)
            run("ip", "link", "set", f"p{pid}", "master", "creatic0", "up")
            inside = ("nsenter", f"--net=/proc/{pid}/ns/net", "ip")
            run(*inside, "address", "add", outside.partition(",")[0] + "/16", "dev", "eth0")
            run(*inside, "link", "set", "eth0", "up")
        if arguments[0] == "rm":
            self.router.kill()
            self.router.wait()
            self.router = None
        return str(self.router.pid) if self.router else ""

def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.client_address[0].encode())
    def log_message(self, *_):
        pass

folder = Path(sys.argv[1])
lab = Lab("creatic")
lab.run = folder
run("mount", "--make-rprivate", "/")
run("ip", "link", "set", "lo", "up")
run("ip", "link", "add", "creatic0", "type", "bridge")
run("ip", "address", "add", f"{SERVER}/16", "dev", "creatic0")
run("ip", "link", "set", "creatic0", "up")
server = http.server.ThreadingHTTPServer((SERVER, 8080), Answers)
threading.Thread(target=server.serve_forever, daemon=True).start()
router = lab_router.Router(lab, Network(lab, "10.59.0.0/16"))
ASKS = ("import http.client, sys; line = http.client.HTTPConnection(sys.argv[1], 8080, timeout=20); "
        "line.request('GET', '/'); print(line.getresponse().read().decode())")
LISTENS = "import socket; s = socket.create_server(('', 2222)); print('', flush=True)\nwhile True: s.accept()"

def there(host, *command):
    return ("nsenter", f"--net={router.place(host)}", *command)

def answers_ping(address, wait):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as line:
        line.settimeout(wait)
        try:
            line.sendto(bytes((8, 0, 0xf7, 0xff, 0, 0, 0, 0)), (address, 0))  # echo request, RFC 792
            while True:
                packet, sender = line.recvfrom(100)
                if sender[0] == address and packet[20] == 0:
                    return True
        except OSError:
            return False

def reached(host, wait=20):
    try:
        socket.create_connection((host.address, 2222), wait).close()
        taken = True
    except OSError:
        taken = False
    return answers_ping(host.address, wait), taken

def bring(*hosts):
    lab.changes.clear()
    router.ensure(hosts, "image", [])
    return list(lab.changes)

hosts = [Host("un", "10.59.96.20", line=WORKSHOP), Host("deux", "10.59.97.20", line=WORKSHOP)]
assert bring(*hosts) == ["un : câble à l'atelier", "deux : câble à l'atelier"], lab.changes
assert not lab.router and bring(*hosts) == []
listening = []
for host in hosts:
    listening.append(subprocess.Popen(there(host, sys.executable, "-c", LISTENS), stdout=subprocess.PIPE))
    listening[-1].stdout.readline()
    assert reached(host) == (True, True), host
    assert run(*there(host, sys.executable, "-c", ASKS, SERVER)).strip() == host.address

for host in hosts:
    host.line = BEHIND
assert bring(*hosts) == ["routeur", "un : câble derrière le routeur", "deux : câble derrière le routeur"], lab.changes
assert bring(*hosts) == []

def closed():
    for way in ((), ("ip", "route", "add", "10.59.96.0/22", "via", "10.59.0.60")):
        if way:
            run(*way)
        for host in hosts:
            assert reached(host, 0.5) == (False, False), (host, way)
    run("ip", "route", "delete", "10.59.96.0/22")
    assert not answers_ping("10.59.0.60", 0.5), "the router itself answers"
    for host in hosts:
        assert run(*there(host, sys.executable, "-c", ASKS, SERVER)).strip() == "10.59.0.60", "not masqueraded"

closed()
# A router that was switched off and on again: cables are put back, the machines are those that they were.
lab.podman("rm")
assert bring(*hosts) == ["routeur", "un : câble derrière le routeur", "deux : câble derrière le routeur"], lab.changes
closed()

hosts[0].line = WORKSHOP
assert bring(*hosts) == ["un : câble à l'atelier"]
assert reached(hosts[0]) == (True, True) and reached(hosts[1], 0.5) == (False, False)
try:
    bring(Host("trois", "10.59.2.20", line=BEHIND))
except LabError as error:
    assert "10.59.2.20 n'est pas du côté du routeur (10.59.96.0/22)" in str(error)
else:
    raise AssertionError
for one in listening:
    one.kill()
    one.wait()
router.forget(hosts[:1])
assert lab.router
router.forget(hosts)
assert not lab.router and not list(router.folder.iterdir())
print("fini")
"""


@pytest.mark.costly
def test_nobody_comes_in_and_all_goes_out_under_the_router_s_address(tmp_path: Path) -> None:
    scene = tmp_path / "scene.py"
    scene.write_text(SCENE, encoding="utf-8")
    done = subprocess.run(
        [
            "unshare",
            *(["--map-root-user"] if os.geteuid() else []),
            "--mount",
            "--net",
            "--pid",
            "--mount-proc",
            "--fork",
            "--kill-child",
            sys.executable,
            str(scene),
            str(tmp_path),
        ],
        env=os.environ | {"PYTHONPATH": str(TOP / "collections"), "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.strip() == "fini", done.stderr
