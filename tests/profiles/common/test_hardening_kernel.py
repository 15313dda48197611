"""Kernel, its modules and mandatory access control (ANSSI-BP-028 R7 to R14, R37, R45), asked from the kernel itself."""

from __future__ import annotations

from typing import Any

import pytest
from testinfra.host import Host

KERNEL = {
    "kernel.dmesg_restrict": "1",
    "kernel.kptr_restrict": "2",
    "kernel.pid_max": "65536",
    "kernel.perf_cpu_time_max_percent": "1",
    "kernel.perf_event_max_sample_rate": "1",
    "kernel.perf_event_paranoid": "2",
    "kernel.randomize_va_space": "2",
    "kernel.sysrq": "0",
    "kernel.unprivileged_bpf_disabled": "1",
    "kernel.panic_on_oops": "1",
    "kernel.kexec_load_disabled": "1",
    "dev.tty.ldisc_autoload": "0",
    "vm.mmap_min_addr": "65536",
}
FILES = {
    "fs.protected_fifos": "2",
    "fs.protected_hardlinks": "1",
    "fs.protected_regular": "2",
    "fs.protected_symlinks": "1",
    "fs.suid_dumpable": "0",
}
IPV4 = {
    "net.ipv4.ip_forward": "0",
    "net.ipv4.conf.all.accept_redirects": "0",
    "net.ipv4.conf.default.accept_redirects": "0",
    "net.ipv4.conf.all.secure_redirects": "0",
    "net.ipv4.conf.default.secure_redirects": "0",
    "net.ipv4.conf.all.shared_media": "0",
    "net.ipv4.conf.default.shared_media": "0",
    "net.ipv4.conf.all.accept_source_route": "0",
    "net.ipv4.conf.default.accept_source_route": "0",
    "net.ipv4.conf.all.arp_filter": "0",
    "net.ipv4.conf.all.arp_ignore": "2",
    "net.ipv4.conf.all.drop_gratuitous_arp": "1",
    "net.ipv4.conf.all.route_localnet": "0",
    "net.ipv4.conf.all.accept_local": "0",
    "net.ipv4.conf.all.rp_filter": "1",
    "net.ipv4.conf.default.rp_filter": "1",
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.default.send_redirects": "0",
    "net.ipv4.icmp_ignore_bogus_error_responses": "1",
    "net.ipv4.ip_local_port_range": "32768 65535",
    "net.ipv4.tcp_rfc1337": "1",
    "net.ipv4.tcp_syncookies": "1",
}
IPV6 = {
    f"net.ipv6.conf.{scope}.{key}": value
    for scope in ("all", "default")
    for key, value in {
        "accept_ra_defrtr": "0",
        "accept_ra_pinfo": "0",
        "accept_ra_rtr_pref": "0",
        "accept_redirects": "0",
        "accept_source_route": "0",
        "autoconf": "0",
        "max_addresses": "1",
        "router_solicitations": "0",
    }.items()
}
MEMORY = {
    *("l1tf=full,force", "page_poison=on", "pti=on", "slab_nomerge=yes", "slub_debug=FZP", "mds=full,nosmt", "mce=0"),
    *("spec_store_bypass_disable=seccomp", "spectre_v2=on", "page_alloc.shuffle=1", "rng_core.default_quality=500"),
}


def differences(facts: dict[str, Any], hostvars: dict[str, Any], wanted: dict[str, str]) -> dict[str, str]:
    """Settings that are not in force; what this kernel does not have needs none."""
    agreed = wanted | {key: value for key, value in hostvars.get("hardening_sysctl", {}).items() if key in wanted}
    found = {key: " ".join(facts["sysctl"][key].split()) for key in agreed if key in facts["sysctl"]}
    assert len(found) >= len(agreed) // 2, "le noyau ne montre presque rien"
    return {key: value for key, value in found.items() if value != agreed[key]}


@pytest.fixture
def by_grub(facts: dict[str, Any], own_kernel: None) -> None:
    """For machines started by GRUB, by which arguments are given."""
    if not facts["grub"]:
        pytest.skip("cette machine n'est pas démarrée par GRUB")


@pytest.mark.niveau("enhanced")
@pytest.mark.usefixtures("by_grub")
def test_r7_the_kernel_was_started_with_the_iommu(facts: dict[str, Any]) -> None:
    assert "iommu=force" in facts["command_line"]


@pytest.mark.niveau("intermediary")
@pytest.mark.usefixtures("by_grub")
def test_r8_the_kernel_was_started_with_its_memory_protected(facts: dict[str, Any]) -> None:
    assert not MEMORY - set(facts["command_line"])


@pytest.mark.niveau("intermediary")
def test_r8_the_next_start_protects_memory(facts: dict[str, Any]) -> None:
    assert not MEMORY - set(facts["boot_arguments"])


@pytest.mark.niveau("intermediary")
@pytest.mark.usefixtures("own_kernel")
def test_r9_the_kernel_is_discreet(facts: dict[str, Any], hostvars: dict[str, Any]) -> None:
    assert not differences(facts, hostvars, KERNEL)


@pytest.mark.niveau("enhanced")
@pytest.mark.usefixtures("own_kernel")
def test_r10_no_module_loads_any_more(host: Host, facts: dict[str, Any], hostvars: dict[str, Any]) -> None:
    if not hostvars.get("hardening_lock_modules", True):
        pytest.skip("hardening_lock_modules est à false sur cette machine")
    enabled = int(host.check_output("stat -c %Z /etc/systemd/system/multi-user.target.wants/creatic-modules.service"))
    if enabled > facts["started"]:
        pytest.skip("en vigueur au prochain démarrage")
    assert facts["sysctl"].get("kernel.modules_disabled", "1") == "1"  # a kernel without modules has none to load


@pytest.mark.niveau("intermediary")
@pytest.mark.usefixtures("own_kernel")
def test_r9_unwanted_modules_are_refused(facts: dict[str, Any]) -> None:
    assert len(facts["modprobe"]) >= 10
    # Where a kernel has them, the modules that they need are named first.
    last = {name: told.splitlines()[-1] for name, told in facts["modprobe"].items()}
    assert {name: told for name, told in last.items() if told != "install /bin/false"} == {}


@pytest.mark.niveau("intermediary")
@pytest.mark.usefixtures("own_kernel")
def test_r11_a_process_only_traces_its_own(facts: dict[str, Any], hostvars: dict[str, Any]) -> None:
    wanted = str(hostvars.get("hardening_sysctl", {}).get("kernel.yama.ptrace_scope", "1"))
    assert facts["sysctl"]["kernel.yama.ptrace_scope"] == wanted


@pytest.mark.niveau("intermediary")
def test_r12_ipv4_is_closed(facts: dict[str, Any], hostvars: dict[str, Any]) -> None:
    assert not differences(facts, hostvars, IPV4)


@pytest.mark.niveau("intermediary")
def test_r13_ipv6_is_closed(facts: dict[str, Any], hostvars: dict[str, Any]) -> None:
    if "net.ipv6.conf.all.autoconf" not in facts["sysctl"]:
        pytest.skip("IPv6 est absent de ce noyau")
    assert not differences(facts, hostvars, IPV6)


@pytest.mark.niveau("intermediary")
@pytest.mark.usefixtures("own_kernel")
def test_r14_shared_folders_hold_no_trap(facts: dict[str, Any], hostvars: dict[str, Any]) -> None:
    assert not differences(facts, hostvars, FILES)


@pytest.mark.niveau("intermediary")
def test_r14_no_memory_image_is_written(host: Host) -> None:
    """In a session as people have it, and it cannot be raised."""
    assert host.check_output("bash -lc 'ulimit -Hc'") == "0"


@pytest.mark.niveau("enhanced")
@pytest.mark.usefixtures("own_kernel")
def test_r45_every_profile_is_enforced(facts: dict[str, Any]) -> None:
    profiles = facts["apparmor"]["profiles"]
    assert profiles
    assert {name: mode for name, mode in profiles.items() if mode not in ("enforce", "unconfined", "kill")} == {}
    assert "enforce" in profiles.values()


@pytest.mark.niveau("enhanced")
def test_r45_apparmor_starts_with_the_machine(facts: dict[str, Any]) -> None:
    assert facts["units"]["apparmor.service"]["UnitFileState"] == "enabled"
    assert {"apparmor=1", "security=apparmor"} <= set(facts["boot_arguments"])
