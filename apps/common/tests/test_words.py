"""What agents say: why the system refuses, what a command line may hold, messages in SEDA."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from lxml import etree

from creatic_agent import french
from creatic_agent.places import Under
from creatic_agent.reasons import because, reason
from creatic_agent.seda import Writer


class Other(OSError):
    """Of a library, whose words are its own."""


@pytest.mark.parametrize(
    ("error", "why", "whole"),
    [
        (FileNotFoundError(2, "No such file", "/srv/a"), "il n'existe pas", "/srv/a : il n'existe pas"),
        (ConnectionRefusedError(111, "Connection refused"), "connexion refusée", "connexion refusée"),
        (socket.gaierror(-2, "Name or service not known"), "son nom n'est pas connu", "son nom n'est pas connu"),
        (OSError(95, "Operation not supported"), "Operation not supported", "Operation not supported"),
        (OSError("le fichier a changé"), "le fichier a changé", "le fichier a changé"),
        (OSError(), "OSError", "OSError"),
        (Other(2, "no such bucket"), "il n'existe pas", "[Errno 2] no such bucket"),
    ],
)
def test_why_it_is_refused_and_of_which_file(error: OSError, why: str, whole: str) -> None:
    assert (reason(error), because(error)) == (why, whole)


def test_a_seda_message_is_of_its_namespace_and_its_texts_are_cleaned() -> None:
    writer = Writer("urn:seda", lambda text: text.replace("\x00", ""))
    root = writer.root("ArchiveTransfer")
    name = writer.add(root, "FileInfo/Filename", "a\x00b", lang="fr")
    writer.add(root, "Size", 12)
    writer.item(root, "U1", "Délibération", "G1")
    assert (name.tag, name.text) == ("{urn:seda}Filename", "ab")
    assert etree.tostring(root, encoding="unicode") == (
        '<ArchiveTransfer xmlns="urn:seda"><FileInfo><Filename lang="fr">ab</Filename></FileInfo><Size>12</Size>'
        '<ArchiveUnit id="U1"><Content><DescriptionLevel>Item</DescriptionLevel><Title>Délibération</Title></Content>'
        "<DataObjectReference><DataObjectGroupReferenceId>G1</DataObjectGroupReferenceId></DataObjectReference>"
        "</ArchiveUnit></ArchiveTransfer>"
    )


def test_a_command_line_is_refused_in_french(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("argparse._", vars(argparse)["_"])  # put back afterwards
    french.speak()
    parser = argparse.ArgumentParser(prog="agent")
    parser.add_argument("mois", type=int)
    for given, said in ((["x"], "argument mois : valeur incorrecte : 'x'"), ([], "il manque : mois")):
        with pytest.raises(SystemExit):
            parser.parse_args(given)
        assert f"agent : erreur : {said}\n" in capsys.readouterr().err


def test_a_place_is_below_the_folder_that_the_configuration_names() -> None:
    class Configuration:
        folder = Path("/var/lib/agent")
        journal = Under("folder", "journal.sqlite")

    assert Configuration().journal == Path("/var/lib/agent/journal.sqlite")


@pytest.mark.parametrize(
    "said",
    [
        "from creatic_agent.french import speak; speak(); print(name)",
        "from signature_actes import cli; sys.exit(cli._run_command(lambda: print(name) or 0))",
    ],
)
def test_a_name_that_is_not_utf_8_ends_no_command(said: str) -> None:
    """A file of an old disk: it was signed, or deposited, and the command ended by a traceback."""
    program = f"import os, sys; name = os.fsdecode(b'd\\xe9lib.pdf'); {said}"
    paths = ("apps/common/src", "apps/signature/src")
    top = Path(__file__).parents[3]
    environment = os.environ | {"LC_ALL": "C.UTF-8", "PYTHONPATH": os.pathsep.join(str(top / one) for one in paths)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "d\\udce9lib.pdf\n"), done.stderr
