"""Which profiles are enforced, and that nothing else of them changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.hardening import apparmor_profiles
from ansible_collections.cdg59.creatic.plugins.module_utils.host import state
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import StateError


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("profile one /usr/bin/one flags=(complain) {", "profile one /usr/bin/one {"),
        (
            "profile two /usr/bin/two flags=(complain,attach_disconnected mediate_deleted) {",
            "profile two /usr/bin/two flags=(attach_disconnected,mediate_deleted) {",
        ),
        ("profile X /x flags=(complain,attach_disconnected, complain) {", "profile X /x flags=(attach_disconnected) {"),
        ("  profile child flags=(complain) {", "  profile child {"),
        ("/usr/bin/old (complain) {", "/usr/bin/old {"),
    ],
)
def test_a_profile_that_complains_is_enforced(before: str, after: str) -> None:
    assert apparmor_profiles.enforced(f"# a profile\n{before}\n}}\n") == f"# a profile\n{after}\n}}\n"


@pytest.mark.parametrize(
    "line",
    [
        "profile free /usr/bin/free flags=(unconfined) {",
        "profile good /usr/bin/good flags=(attach_disconnected) {",
        "profile plain /usr/bin/{a,b} {",
        "# profile said flags=(complain) {",
        "  /etc/complain r,",
    ],
)
def test_others_stay_as_they_are(line: str) -> None:
    assert apparmor_profiles.enforced(f"{line}\n") == f"{line}\n"


def test_the_kernel_gets_what_changed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").write_text("profile one /usr/bin/one flags=(complain) {\n}\n")
    (tmp_path / "good").write_text("profile good /usr/bin/good {\n}\n")
    kernel = tmp_path / "kernel"
    asked: list[list[str]] = []

    def run(command: list[str], error: str, environment: dict[str, str] | None = None) -> str:
        asked.append(command)
        return ""

    monkeypatch.setattr(state, "run", run)
    monkeypatch.setattr(apparmor_profiles, "run", run)
    assert [change.name for change in apparmor_profiles.apply(True, tmp_path, kernel)] == [str(tmp_path / "one")]
    assert not asked
    kernel.touch()
    apparmor_profiles.apply(False, tmp_path, kernel)
    assert "--skip-kernel-load" in asked[0]  # read before it takes the place of the one in use
    assert asked[1:] == [["apparmor_parser", "--replace", "--write-cache", str(tmp_path / "one")]]
    assert apparmor_profiles.apply(False, tmp_path, kernel) == []


def test_a_refused_profile_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "profile one /usr/bin/one flags=(complain) {\n}\n"
    (tmp_path / "one").write_text(text)

    def run(command: list[str], error: str, environment: dict[str, str] | None = None) -> str:
        raise StateError(f"{error} : syntax error")

    monkeypatch.setattr(state, "run", run)
    with pytest.raises(StateError, match=r"contenu refusé, rien n'est changé"):
        apparmor_profiles.apply(False, tmp_path, tmp_path / "kernel")
    assert (tmp_path / "one").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
