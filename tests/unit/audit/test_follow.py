"""What Ansible tells of an audit, machine by machine: facts, and the words for them."""

from __future__ import annotations

from creatic.audit.follow import Follower


def test_what_would_change_is_kept_and_counted() -> None:
    follower = Follower()
    assert follower.begin("constats", ["a", "b"]) == "Constats (OpenSCAP, correctifs)"
    assert follower.done("a", "Audit | Collect", {"duree_s": 12}, changed=False, hidden=False).split() == [
        *("✓", "a", "12", "s"),
    ]
    assert follower.end() == ("", 0)
    follower.begin("derive", ["a", "b"])
    told = {"diff": {"before": "x\n", "after": "y\n"}, "changed_paths": ["/etc/a"]}
    follower.done("a", "Base | Ensure", told, changed=True, hidden=False)
    follower.done("a", "Base | Secret", told, changed=True, hidden=True)
    follower.done("a", "Base | Same", told, changed=False, hidden=False)
    follower.note_seen("b")
    text, drifted = follower.end()
    assert text.startswith("   comparaison de 2 machines : 1 en dérive (") and drifted == 1
    shown, secret = follower.hosts["a"]["derive"]
    assert (shown["tache"], shown["chemins"], bool(shown["diff"])) == ("Base | Ensure", ["/etc/a"], True)
    assert (secret["chemins"], secret["diff"]) == ([], "")
    assert (follower.hosts["a"]["taches"], follower.hosts["b"]["phases"]) == (3, ["derive"])


def test_what_could_not_be_looked_at_is_told() -> None:
    follower = Follower()
    follower.begin("constats", ["a", "b"])
    assert follower.stopped("a", "t", {"msg": "plein"}, reached=True) == "   ✗ a : échec : plein"
    assert follower.begin("derive", ["a", "b"])
    assert "injoignable : l'hôte ne répond pas" in follower.stopped("b", "t", {"msg": "timed out"}, reached=False)
    assert [host["incident"]["phase"] for host in follower.hosts.values()] == ["constats", "derive"]
    assert follower.begin("derive", ["a", "b"]) == ""  # nobody is left


def test_a_phase_that_is_left_out_is_not_shown() -> None:
    follower = Follower()
    follower.begin("preparation", ["a"])
    assert follower.begin("derive", []) == ""
    assert follower.end() == ("", 0)
