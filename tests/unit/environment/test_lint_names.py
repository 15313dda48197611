"""scripts/lint_names.py refuses coined names, numbers without a unit and exceptions that do not end in Error."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import lint_names


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def told():\n    pass\n", "told: a coined word"),
        ("class Store:\n    async def _kept(self):\n        pass\n", "_kept: a coined word"),
        ("class Standing:\n    pass\n", "Standing: a coined word"),
        ("SHOWN = 'x'\n", "SHOWN: a coined word"),
        ("_TURN = 3600\n", "_TURN: a number without a unit"),
        ("RATIO: float = 0.5\n", "RATIO: a number without a unit"),
        ("_RUNS = 400\n", "_RUNS: a number without a unit"),
        ("WIDTH = 80\n", "WIDTH: a number without a unit"),
        ("class Denied(Exception):\n    pass\n", "Denied: an exception's name ends in Error"),
        ("class Full(errors.CreaticError):\n    pass\n", "Full: an exception's name ends in Error"),
    ],
)
def test_check_files_bad_name_is_reported(tmp_path: Path, source: str, message: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(source, "utf-8")
    [finding] = lint_names.check_files([path])
    assert message in finding


def test_check_files_plain_names_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "LOCK_TIMEOUT_SECONDS = 3600\nMAX_ARCHIVES = 500\nSEPARATOR = ';'\nENABLED = True\n"
        "class QuotaExceededError(ValueError):\n    def render_status(self):\n        made = 1\n        return made\n",
        "utf-8",
    )
    assert lint_names.check_files([path]) == []


def test_check_files_private_constant_in_three_modules_is_reported(tmp_path: Path) -> None:
    paths = [tmp_path / f"module{number}.py" for number in range(3)]
    for path in paths:
        path.write_text("_DIGEST_PATTERN = 'x'\n", "utf-8")
    assert lint_names.check_files(paths[:2]) == []
    [finding] = lint_names.check_files(paths)
    assert finding.startswith("_DIGEST_PATTERN: defined in 3 modules")


def test_main_no_finding_in_production_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert lint_names.main([]) == 0, capsys.readouterr().out


def test_check_files_name_with_a_reason_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("CKR_OK = 0  # names: PKCS #11\n", "utf-8")
    assert lint_names.check_files([path]) == []
