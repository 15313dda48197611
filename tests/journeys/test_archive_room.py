"""The archive room on the lab's three nodes: patched while a client works, refused when it must be, through faults."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import signal
import subprocess
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sae.store import ObjectRetainedError

from testbed.archive_room import (
    ACCOUNT,
    ADDRESSES,
    AS_GATEWAY,
    ROOM,
    Client,
    connect,
    every_archive_on_every_node,
    faults,
    gateway_certificate,
    lab,
    names_of_the_lab,
    node,
    place,
    replication_paused,
    status,
    whole,
)
from testbed.control_node import ENVIRONMENT, HOME, REPO, command
from testbed.patience import allowed, wait_for

from .conftest import on_host

PATCH = ("ansible-playbook", "-i", "inventories/lab", "playbooks/journeys/patch_archive.yml")
ENABLED = '$(systemctl list-unit-files "swift-*" --state=enabled --no-legend | cut -d" " -f1)'
# A tiny repository on the node: a package to bring from version 1 to 2, which asks for a reboot if $1 says so.
REPOSITORY = """
set -e
rm -rf /var/tmp/essai; mkdir -p /var/tmp/essai/p/DEBIAN; cd /var/tmp/essai
for version in 1 2; do
  printf "%s\\n" "Package: creatic-essai" "Version: $version" "Architecture: all" "Maintainer: essai <a@b.c>" \
    "Description: essai" > p/DEBIAN/control
  [ $version = 1 ] || [ -z "$1" ] || {
    printf "#!/bin/sh\\ntouch /run/reboot-required\\n" > p/DEBIAN/postinst; chmod 755 p/DEBIAN/postinst; }
  dpkg-deb -b p e.deb > /dev/null
  [ $version = 2 ] || dpkg -i e.deb > /dev/null
done
{ dpkg-deb -f e.deb; echo "Filename: ./e.deb"; echo "Size: $(stat -c %s e.deb)"
  echo "SHA256: $(sha256sum e.deb | cut -d" " -f1)"; } > Packages
echo "deb [trusted=yes] file:/var/tmp/essai ./" > /etc/apt/sources.list.d/essai.list
chmod -R a+rX /var/tmp/essai
"""


@pytest.fixture(scope="module")
def certificate(ready: str) -> Iterator[Path]:
    """The gateway's certificate, with which the control node is let into the room beside it."""
    done = command(*ROOM, *AS_GATEWAY)
    assert done.returncode == 0, done.stdout
    with names_of_the_lab():
        yield gateway_certificate()


@pytest.fixture
def client(certificate: Path, request: pytest.FixtureRequest) -> Client:
    """A client with a container of its own, and every node in service whatever the test before did."""
    for one in ADDRESSES:
        node(one, "creatic-archive remettre")
    (HOME / "correctifs" / "en-cours.json").unlink(missing_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:40].strip("-")
    return Client(connect(certificate), f"{name}-{int(time.time())}")


# -- Patching -----------------------------------------------------------------------------------------------


@pytest.mark.room_patch
def test_the_room_is_patched_node_by_node_and_the_client_goes_on(client: Client, certificate: Path) -> None:
    with ThreadPoolExecutor(len(ADDRESSES)) as pool:
        list(pool.map(lambda name: node(name, f"set -- {'oui' if name == 'sae2' else ''}\n{REPOSITORY}"), ADDRESSES))
    whole()
    with client.at_work():
        wait_for(lambda: len(client.written) >= 5, lambda: f"5 archives écrites, {len(client.written)} le sont", 120)
        start = time.monotonic()
        first = subprocess.Popen(
            ["fab", "archive.correctifs"],
            cwd=REPO,
            env=ENVIRONMENT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

        def begun() -> bool:
            assert first.poll() is None, first.stdout.read() if first.stdout else ""
            return (HOME / "correctifs" / "en-cours.json").exists()

        wait_for(begun, "le début des correctifs", 300)
        second = command(*PATCH)
        output, _ = first.communicate(timeout=1200)
        lasted = time.monotonic() - start
    assert first.returncode == 0, output
    assert second.returncode != 0
    assert "une mise à jour de la salle d'archives est déjà en cours, lancé par" in second.stdout
    print(f"\ntrois nœuds en {lasted:.0f} s ; {client.summary()}")
    assert client.failures() == []
    assert client.longest() < allowed(30)
    for name in ADDRESSES:
        assert node(name, "dpkg-query -f '${Version}' -W creatic-essai") == "2"
    record = json.loads(sorted((HOME / "correctifs").glob("*Z/correctifs.json"))[-1].read_text("utf-8"))
    assert {name: done["redemarre"] for name, done in record["noeuds"].items()} == {
        "sae1": False,
        "sae2": True,
        "sae3": False,
    }
    # Besides what Debian published in the meantime.
    without = {
        name: done["paquets"] for name, done in record["noeuds"].items() if "creatic-essai 2" not in done["paquets"]
    }
    assert without == {}
    # One node at a time: a node begins after the one before has ended.
    times = sorted((done["debut"], done["fin"]) for done in record["noeuds"].values())
    assert all(ended <= began for (_, ended), (began, _) in itertools.pairwise(times))
    verified = command("fab", "preuves.verifier")
    assert f"✓ correctifs/{record['passage']} : intact" in verified.stdout
    every_archive_on_every_node(client, certificate)


@pytest.mark.room_patch
def test_a_missing_copy_forbids_the_patch_and_is_made_again(client: Client) -> None:
    for number in range(6):
        client.put(f"a{number}", os.urandom(2000))
    whole()
    folder = place("a3", client.container)
    # Behind Swift's back: its replicators look again at one partition in ten a pass, and could mend it meanwhile.
    with replication_paused():
        node("sae3", f"rm {folder}/*.data")
        done = command("fab", "archive.correctifs")
    assert done.returncode != 0
    assert "sae3 : ses copies diffèrent des autres nœuds dans 1 partition" in done.stdout
    assert "retirer" not in done.stdout
    assert not (HOME / "correctifs" / "en-cours.json").exists()
    print(f"\ncopie manquante rendue en {whole():.0f} s")
    assert node("sae3", f"ls {folder}").strip().endswith(".data")


@pytest.mark.room_patch
def test_an_old_backup_forbids_the_patch(certificate: Path) -> None:
    """The date is what the backup server says of the gateway and of the control node."""
    stamp = HOME / "sauvegardes" / "salle"
    stamp.write_text("2020-01-01T00:00:00+00:00\n")
    done = command(*PATCH, "--check")
    assert done.returncode == 0, done.stdout
    dated = datetime.fromisoformat(stamp.read_text().strip())
    assert timedelta() < datetime.now(UTC) - dated < timedelta(hours=6)
    done = command(*PATCH, "--check", "-e", json.dumps({"archive_patch_backup_days": 5 / 86400}))
    assert done.returncode != 0
    assert "la dernière sauvegarde est trop ancienne" in done.stdout
    assert not (HOME / "correctifs" / "en-cours.json").exists()


@pytest.mark.room_patch
def test_an_interrupted_patch_leaves_the_room_working_and_is_taken_up(client: Client) -> None:
    state = HOME / "correctifs" / "en-cours.json"

    def record() -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(state.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        return found.get("noeuds", {})

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["fab", "archive.correctifs"],
            cwd=REPO,
            env=ENVIRONMENT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def wait_until(name: str, wanted: str, process: subprocess.Popen[str]) -> None:
        def reached() -> bool:
            assert process.poll() is None, process.communicate()[0]
            return bool(record().get(name, {}).get("etat") == wanted)

        wait_for(reached, lambda: f"{name} « {wanted} », le registre a {record()}", 900, every=0.1)

    whole()
    with client.at_work():
        # A clean stop: the node at work is finished, the next one is not begun.
        process = start()
        wait_until("sae1", "en_cours", process)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=1200)
        assert process.returncode != 0, output
        assert "arrêt demandé : sae2 n'est pas commencé" in output
        assert {name: done["etat"] for name, done in record().items()} == {"sae1": "fait", "sae2": "", "sae3": ""}
        assert all(json.loads(node(name, "creatic-archive etat"))["en_service"] for name in ADDRESSES)

        # A brutal one: the node is left out of service, which is said, and nobody misses it.
        process = start()
        wait_until("sae2", "en_cours", process)
        wait_for(
            lambda: not json.loads(node("sae2", "creatic-archive etat"))["en_service"], "sae2 hors service", every=0.1
        )
        owner = json.loads((HOME / "verrous" / "salle-archives.json").read_text("utf-8"))
        os.killpg(owner["pid"], signal.SIGKILL)
        process.communicate(timeout=60)
        screen = "\n".join(status()["ecran"])
        assert "sae2  2     hors service" in screen, screen
        assert "sae2 : interrompu" in screen
        assert "fab archive.correctifs les reprend" in screen

        process = start()
        output, _ = process.communicate(timeout=1200)
        assert process.returncode == 0, output
    assert client.failures() == []
    last = json.loads(sorted((HOME / "correctifs").glob("*Z/correctifs.json"))[-1].read_text("utf-8"))
    assert len(last["reprises"]) == 2
    assert last["noeuds"]["sae1"]["fin"] < last["reprises"][0]  # not done twice
    assert all(json.loads(node(name, "creatic-archive etat"))["en_service"] for name in ADDRESSES)


@pytest.mark.room_patch
def test_a_node_that_cannot_be_patched_comes_back_into_service_and_stops_the_run(certificate: Path) -> None:
    whole()
    source = "/etc/apt/sources.list.d/casse.list"
    node("sae1", f"echo deb [trusted=yes] file:/nulle-part ./ > {source}")
    try:
        done = command("fab", "archive.correctifs")
    finally:
        node("sae1", f"rm {source}")
    assert done.returncode != 0, done.stdout
    assert "Ensure packages are up to date" in done.stdout
    assert all(json.loads(node(name, "creatic-archive etat"))["en_service"] for name in ADDRESSES)
    left = json.loads((HOME / "correctifs" / "en-cours.json").read_text("utf-8"))
    assert (left["noeuds"]["sae2"]["etat"], left["noeuds"]["sae3"]["etat"]) == ("", "")
    again = command("fab", "archive.correctifs")
    assert again.returncode == 0, again.stdout


# -- Faults -------------------------------------------------------------------------------------------------


@pytest.mark.room_faults
def test_a_stopped_node_is_told_and_catches_up(client: Client, certificate: Path) -> None:
    client.put("avant", os.urandom(20_000))
    whole()
    lab("stop", "--time", "5", "creatic-sae3")
    try:
        for number in range(10):
            client.put(f"pendant{number}", os.urandom(20_000))
        for archive in client.written:
            client.check(archive)
        found = faults()
        assert any(name == "sae3" and "injoignable" in reason for name, reason in found), found
        done = command("fab", "archive.correctifs")
        assert done.returncode != 0
        assert "sae3 : injoignable en SSH" in done.stdout
    finally:
        lab("start", "creatic-sae3")
    start = time.monotonic()

    def back() -> bool:
        node("sae3", "creatic-archive remettre")
        return True

    wait_for(back, "sae3 qui démarre", 120, every=1, despite=(AssertionError,))
    # It counts at once: the next one may be stopped without refusing what is written.
    time.sleep(2.5)  # the proxies' own error_suppression_interval, after which they ask it again
    node("sae2", "systemctl stop swift-object")
    try:
        client.put("apres", os.urandom(20_000))
    finally:
        node("sae2", "systemctl start swift-object")
    whole()
    print(f"\nnœud revenu, à jour en {time.monotonic() - start:.0f} s")
    every_archive_on_every_node(client, certificate)


@pytest.mark.room_faults
def test_objects_removed_on_a_node_are_made_again(client: Client, certificate: Path) -> None:
    for number in range(10):
        client.put(f"a{number}", os.urandom(20_000))
    whole()
    with replication_paused():
        node("sae2", "rm -rf /srv/node/d1/objects/*")
        assert any(name == "sae2" and "copies" in reason for name, reason in faults())
        for archive in client.written:
            client.check(archive)
    print(f"\nnœud vidé, refait en {whole():.0f} s")
    every_archive_on_every_node(client, certificate)


@pytest.mark.room_faults
def test_flipped_bits_are_seen_repaired_and_told(client: Client, certificate: Path) -> None:
    damaged = {"fragile-1": ["sae1"], "fragile-2": ["sae1", "sae2"]}
    for archive in damaged:
        client.put(archive, os.urandom(50_000))
    whole()
    for archive, names in damaged.items():
        copy = f"$(ls {place(archive, client.container)}/*.data)"
        for name in names:
            node(name, f"printf \\\\377\\\\000\\\\377 | dd of={copy} bs=1 seek=2000 conv=notrunc status=none")
    start = time.monotonic()
    for archive in damaged:
        # Swift gives the damaged copy once and sets it aside as it does; the gateway's SHA-512 refuses what it got.
        with client.store.get(ACCOUNT, client.container, archive) as stream:
            stream.read()
    wanted = {(name, archive) for archive, names in damaged.items() for name in names}

    def seen() -> bool:
        # What each node publishes: set aside by a read or by the auditor.
        told = {
            name: node(name, "creatic-archive mesurer; cat /var/lib/creatic-archive/quarantaine.json")
            for name, _ in wanted
        }
        wanted.difference_update(
            (name, archive)
            for name, archive in list(wanted)
            if f'"/AUTH_{ACCOUNT}/{client.container}/{archive}"' in told[name]
        )
        return not wanted

    wait_for(seen, lambda: f"la mise de côté de {wanted}", 300, every=1)
    print(f"\ntrois copies abîmées, vues en {time.monotonic() - start:.0f} s", end="")

    # A node whose copy was set aside may get that of the other one, not seen yet: it is seen and set aside in its turn.
    def repaired() -> bool:
        whole()
        every_archive_on_every_node(client, certificate)
        return True

    wait_for(repaired, "la réparation des copies abîmées", 300, every=2, despite=(AssertionError,))
    print(f", réparées en {time.monotonic() - start:.0f} s")


@pytest.mark.room_faults
def test_a_node_back_after_days_does_not_bring_back_what_was_eliminated(client: Client, certificate: Path) -> None:
    client.retain_s = 12
    client.put("a-eliminer", os.urandom(5000))
    client.retain_s = 86400
    client.put("a-garder", os.urandom(5000))
    whole()
    node("sae3", "systemctl stop swift-\\* creatic-archive.timer")
    try:

        def eliminated() -> bool:
            client.store.delete(ACCOUNT, client.container, "a-eliminer")
            return True

        wait_for(eliminated, "la date à laquelle l'archive s'élimine", every=1, despite=(ObjectRetainedError,))
        # Beyond the year during which the others remember, it must not even start.
        node("sae3", "touch -d '-400 days' /var/lib/creatic-archive/vu; systemctl stop creatic-archive-absence")
        started = node("sae3", f"systemctl start {ENABLED} 2>/dev/null; systemctl is-active {ENABLED} || true").split()
        assert len(started) == 12
        assert set(started) == {"inactive"}
        assert any(name == "sae3" and "absent 400 jours" in reason for name, reason in faults())
    finally:
        node(
            "sae3", f"touch -d '-20 days' /var/lib/creatic-archive/vu; systemctl start {ENABLED} creatic-archive.timer"
        )
    whole()
    folder = place("a-eliminer", client.container)
    for name in ADDRESSES:
        assert ".data" not in node(name, f"ls {folder} 2>/dev/null || true")
        assert connect(certificate, name).head(ACCOUNT, client.container, "a-eliminer") is None
    client.written.pop("a-eliminer")
    every_archive_on_every_node(client, certificate)


@pytest.mark.room_faults
def test_a_full_disk_loses_nothing(client: Client, certificate: Path) -> None:
    client.put("avant", os.urandom(20_000))
    whole()
    # A small disk of its own in place of the folder, with what it holds, then filled.
    node(
        "sae3",
        f"""set -e
        systemctl stop {ENABLED}
        cp -a /srv/node/d1 /var/tmp/d1
        size=$(( $(du -sk /var/tmp/d1 | cut -f1) + 8192 ))
        mount -t tmpfs -o size=${{size}}k,mode=750,uid=swift,gid=swift essai /srv/node/d1
        cp -a /var/tmp/d1/. /srv/node/d1/
        systemctl start {ENABLED}
        dd if=/dev/zero of=/srv/node/d1/plein bs=64k status=none 2>/dev/null || true""",
    )
    try:
        for number in range(5):
            client.put(f"pendant{number}", os.urandom(20_000))
        for archive in client.written:
            client.check(archive)
        found = faults()
        assert any(name == "sae3" and "plein" in reason for name, reason in found), found
        assert command("fab", "archive.correctifs").returncode != 0
    finally:
        node(
            "sae3",
            f"""set -e
            systemctl stop {ENABLED}
            rm -f /srv/node/d1/plein
            cp -a /srv/node/d1/. /var/tmp/d1/
            umount /srv/node/d1
            cp -a /var/tmp/d1/. /srv/node/d1/
            rm -rf /var/tmp/d1
            systemctl start {ENABLED}""",
        )
    whole()
    every_archive_on_every_node(client, certificate)


@pytest.mark.room_faults
def test_a_wrong_clock_is_told_and_eliminates_nothing(client: Client, certificate: Path) -> None:
    client.put("avant", os.urandom(20_000))
    whole()
    node(
        "sae3",
        """apt-get -qq install -y libfaketime >/dev/null 2>&1
        library=$(dpkg -L libfaketime | grep faketime/libfaketime.so.1)
        cd /run/systemd/system
        for unit in swift-object swift-proxy; do
          mkdir -p $unit.service.d
          printf "[Service]\nEnvironment=LD_PRELOAD=$library FAKETIME=+3d\n" > $unit.service.d/essai.conf
        done
        systemctl daemon-reload
        systemctl restart swift-object swift-proxy""",
    )
    try:
        wait_for(
            lambda: any(name == "sae3" and "son horloge avance de 259" in reason for name, reason in faults()),
            lambda: f"l'horloge de sae3 parmi les défauts, il y a {faults()}",
        )
        # Its date has passed for that node alone.
        with pytest.raises(ObjectRetainedError, match="date de fin de conservation n'est pas atteinte"):
            connect(certificate, "sae3").delete(ACCOUNT, client.container, "avant")
        client.check("avant")
        client.put("pendant", os.urandom(20_000))
    finally:
        node(
            "sae3",
            """rm -r /run/systemd/system/swift-object.service.d /run/systemd/system/swift-proxy.service.d
            systemctl daemon-reload
            systemctl restart swift-object swift-proxy
            apt-get -qq purge -y libfaketime >/dev/null""",
        )
    whole()
    every_archive_on_every_node(client, certificate)


# -- The whole room ---------------------------------------------------------------------------------------------


@pytest.mark.drills
def test_the_whole_room_is_lost_and_comes_back_from_its_copy(client: Client) -> None:
    """Every disk is empty, as after a fire: archives and seals come from the depot and the gateway."""
    gateway = "10.59.0.30"

    def on_gateway(script: str) -> str:
        done = on_host(gateway, script)
        assert done.returncode == 0, done.stdout
        return done.stdout

    # Nothing more is deposited: what comes after the last backup has no copy yet.
    on_gateway("systemctl stop nginx.service; systemctl start sae-sceller.service creatic-sauvegarde.service")
    expected = on_gateway("sae-journal attendues").split()[-1]
    number = len(zlib.decompress(base64.b64decode(expected)).splitlines())
    assert number
    with ThreadPoolExecutor(len(ADDRESSES)) as pool:
        emptied = f"systemctl stop {ENABLED}; find /srv/node/d1 -mindepth 1 -delete; systemctl start {ENABLED}"
        list(pool.map(lambda one: node(one, emptied), ADDRESSES))
    on_gateway("systemctl start nginx.service")
    started = time.monotonic()
    done = command("fab", "archive.reprendre")
    print(f"\n{number} archives reprises en {time.monotonic() - started:.0f} s")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("remise au stockage") == number, done.stdout
    assert "\n0 sceaux à remettre" in on_gateway("echo; sae-copie sceaux")
    whole()
    for one in ADDRESSES:
        assert json.loads(node(one, f"echo {expected} | creatic-archive absentes"))["absentes"] == []
    on_gateway("sae-fixite --tout")
    client.put("apres", os.urandom(20_000))


# -- A fourth node ------------------------------------------------------------------------------------------


@pytest.mark.room_faults
def test_a_fourth_node_joins_and_is_lost_while_the_client_goes_on(
    client: Client, certificate: Path, tmp_path: Path
) -> None:
    line = "{ansible_host: 10.59.0.34, creatic_zone: 4, creatic_names: [sae4.creatic.test]}"
    more = tmp_path / "servers.yml"
    more.write_text(f"all: {{children: {{archive_node: {{hosts: {{sae4: {line}}}}}}}}}\n")
    both = ("-i", "inventories/lab", "-i", str(more))
    made = command("ansible-playbook", *both, "playbooks/lab/create.yml", "-e", json.dumps({"lab_only": ["sae4"]}))
    assert made.returncode == 0, made.stdout

    def room(*inventories: str) -> list[str]:
        """Faults of the room, as this inventory knows it."""
        asked = tmp_path / "ecran.json"
        journey = "playbooks/journeys/archive_status.yml"
        command("ansible-playbook", *inventories, journey, "-e", f"archive_status_file={asked}")
        return [f"{fault['node']} : {fault['reason']}" for fault in json.loads(asked.read_text("utf-8"))["defauts"]]

    def settle(*inventories: str) -> float:
        start = time.monotonic()
        wait_for(
            lambda: not room(*inventories), lambda: f"une salle sans défaut, elle a {room(*inventories)}", 600, every=3
        )
        return time.monotonic() - start

    whole()
    with client.at_work():
        wait_for(lambda: len(client.written) >= 20, lambda: f"20 archives écrites, {len(client.written)} le sont", 240)
        done = command(*ROOM, "-i", str(more), *AS_GATEWAY)
        assert done.returncode == 0, done.stdout
        print(f"\nquatrième nœud en place {settle(*both):.0f} s après son passage")

        def held(*names: str) -> list[int]:
            count = "find /srv/node/d1/objects -name '*.data' | wc -l"
            asked = command("ansible", *both, ":".join(names), "-o", "-m", "ansible.builtin.shell", "-a", count)
            return [int(found) for found in re.findall(r"\(stdout\) (\d+)", asked.stdout)]

        [mine] = held("sae4")
        assert mine > 0
        # One copy more of all that is there: nothing of the others moves, the new node is given what it has not.
        done = command(*ROOM, "-i", str(more), *AS_GATEWAY, "-e", "archive_node_replicas=4")
        assert done.returncode == 0, done.stdout
        print(f"quatrième copie en place {settle(*both, '-e', 'archive_node_replicas=4'):.0f} s après son passage")
        [least, *_others] = sorted(held("sae1", "sae2", "sae3"))
        assert held("sae4")[0] >= least - 20  # the client goes on writing between two counts
        # The machine burns: the others have everything, and take its share.
        lab("rm", "--force", "--time", "1", "creatic-sae4")
        done = command(*ROOM, *AS_GATEWAY)
        assert done.returncode != 0
        assert "sae4/d1 n'est plus à l'inventaire et garde des archives" in done.stdout
        lost = ("-e", json.dumps({"archive_node_lost": ["sae4"]}))
        done = command(*ROOM, *AS_GATEWAY, *lost)
        assert done.returncode == 0, done.stdout
        print(f"nœud perdu, sa part refaite en {settle('-i', 'inventories/lab'):.0f} s ; {client.summary()}")
    assert client.failures() == []
    every_archive_on_every_node(client, certificate)
