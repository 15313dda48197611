"""What the node exporter reads of each agent."""

from __future__ import annotations

import subprocess

from creatic.supervision.figures import parse
from creatic_agent.figures import Figures, labels


def test_figures_are_read_as_prometheus_reads_them() -> None:
    figures = Figures("agent_")
    figures.add("actes", "Actes.", {labels(compte="a", etat="b"): 3, labels(compte="c"): 12_345_678_901})
    figures.add("instant", "Date.", 1_764_300_000.25)
    figures.add("actif", "1 s'il marche.", True)
    figures.add("vide", "Rien.", {})
    assert str(figures) == (
        "# HELP agent_actes Actes.\n# TYPE agent_actes gauge\n"
        'agent_actes{compte="a",etat="b"} 3\nagent_actes{compte="c"} 12345678901\n'
        "# HELP agent_instant Date.\n# TYPE agent_instant gauge\nagent_instant 1764300000\n"
        "# HELP agent_actif 1 s'il marche.\n# TYPE agent_actif gauge\nagent_actif 1\n"
        "# HELP agent_vide Rien.\n# TYPE agent_vide gauge\n"
    )


def test_figures_of_two_files_of_a_host_differ_by_their_common_labels() -> None:
    figures = Figures("agent_", base="a", host="h")
    figures.add("actes", "Actes.", {labels(compte="c"): 3})
    figures.add("actif", "Actif.", 1)
    told = str(figures).splitlines()
    assert (told[2], told[5]) == ('agent_actes{compte="c",base="a",host="h"} 3', 'agent_actif{base="a",host="h"} 1')


def test_a_label_holds_any_text_and_hides_no_other_figure() -> None:
    """The name of a commune, as its file has it: one file of figures tells of all of them."""
    name = 'Le "Bois" d\\Aire\nSuite 1'
    figures = Figures("agent_", base='"')
    figures.add("silence", "Silence.", {labels(commune_nom=name): 3, labels(commune_nom="Loos"): 4})
    asked = ["promtool", "check", "metrics"]
    done = subprocess.run(asked, input=str(figures), text=True, capture_output=True, check=False)
    assert "error" not in done.stderr + done.stdout and done.returncode in (0, 3)
    read = {dict(one.labels)["commune_nom"]: one.value for one in parse(str(figures))}
    assert read["Loos"] == 4 and len(read) == 2
