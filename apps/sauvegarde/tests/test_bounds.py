"""How much of a backup is listed and shown: no more than can be held, or read."""

from __future__ import annotations

from pathlib import Path

import pytest
from creatic_sauvegarde import contents
from creatic_sauvegarde.settings import BackupError, Settings


def judged(folder: Path) -> contents.Contents:
    items = [{"name": "essai", "paths": ["/etc/creatic"]}]
    return contents.Contents(Settings("mairie", "/depot", items, folder, folder, folder), folder)


@pytest.mark.parametrize(("count", "good"), [(3, True), (4, False)])
def test_a_list_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, good: bool) -> None:
    monkeypatch.setattr(contents, "MAX_ITEMS", 3)
    found = judged(tmp_path)
    for rank in range(count - 1):
        found.judge({"path": f"etc/{rank}", "type": "-"})
    if good:
        found.judge({"path": "etc/z", "type": "-"})
    else:
        with pytest.raises(BackupError, match=r"^la sauvegarde compte plus de 3 éléments : rien n'est remis$"):
            found.judge({"path": "etc/z", "type": "-"})


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("é" * 200, "é" * 200),
        ("é" * 201, "é" * 200 + "…"),
        ("a\nb\x1b[2J", "a\\u000ab\\u001b[2J"),
        ("", ""),
    ],
)
def test_a_name_is_shown_on_one_line_that_a_terminal_does_not_obey(name: str, told: str) -> None:
    assert contents.sanitize_text(name) == told


def test_refusals_are_all_counted_and_the_first_shown() -> None:
    refusals = contents.Refusals()
    for rank in range(contents.MAX_SHOWN_REFUSALS + 2):
        refusals.add(f"etc/{rank}", "lien : vers ailleurs" if rank % 2 else "autre")
    lines = refusals.lines()
    assert lines[0] == "refusé : /etc/0 : autre"
    assert lines[contents.MAX_SHOWN_REFUSALS - 1].startswith(f"refusé : /etc/{contents.MAX_SHOWN_REFUSALS - 1} : ")
    assert lines[contents.MAX_SHOWN_REFUSALS] == "… et 2 autres"
    half = (contents.MAX_SHOWN_REFUSALS + 2) // 2
    assert sorted(lines[contents.MAX_SHOWN_REFUSALS + 1 :]) == sorted(
        [f"{contents.MAX_SHOWN_REFUSALS + 2 - half} × autre", f"{half} × lien"]
    )
