"""What the system refuses is told in French, whatever the machine's language."""

from __future__ import annotations

import errno
import gzip
import re
import smtplib
import ssl
import tarfile
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.action.file_set import tree_entries
from ansible_collections.cdg59.creatic.plugins.module_utils import reasons as module_utils_reasons
from ansible_collections.cdg59.creatic.plugins.module_utils.reasons import reason

from creatic.evidence import store
from creatic_agent import reasons
from testbed.mail import relay

TOP = Path(__file__).parents[3]
LINKS = (
    "apps/common/src/creatic_agent/reasons.py",
    "apps/parapheur/src/creatic_parapheur/reasons.py",
)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda f: (f / "absent").read_bytes(), "il n'existe pas"),
        (lambda f: f.read_bytes(), "c'est un dossier"),
        (lambda f: f.mkdir(), "ce nom est déjà pris"),
        (lambda f: (f / ("n" * 300)).touch(), "le nom est trop long"),
        (lambda f: gzip.decompress((f / "texte").read_bytes()), "ce n'est pas un fichier gzip, ou il est abîmé"),
        (lambda f: gzip.decompress((f / "court").read_bytes()), "il est coupé avant la fin"),
        (lambda f: tarfile.TarInfo.frombuf(b"rien", "utf-8", "strict"), "ce n'est pas une archive, ou elle est abîmée"),
    ],
)
def test_the_system_s_words_are_french(tmp_path: Path, act: Callable[[Path], object], said: str) -> None:
    (tmp_path / "texte").write_text("ce n'est pas une archive" * 100)
    (tmp_path / "court").write_bytes(gzip.compress(b"du contenu" * 99)[:-9])
    with pytest.raises((OSError, EOFError, tarfile.TarError)) as told:
        act(tmp_path)
    assert reason(told.value) == said


@pytest.mark.parametrize("place", LINKS)
def test_who_does_without_the_collection_is_sent_this_very_file(place: str) -> None:
    """A link, of which agents' archives and applications' folders take the content."""
    link = TOP / place
    assert link.is_symlink() and link.resolve() == Path(module_utils_reasons.__file__).resolve()
    root = link.parent
    sent = {str(one["src"]) for one in tree_entries(root, {"path": "/x"}) if "src" in one}
    assert str(link) in sent


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({}, ""),
        ({"RCPT": b"550 inconnu ici"}, "le relais de courriels refuse : 550 inconnu ici"),
        ({"MAIL": b"451 plus tard"}, "le relais de courriels refuse : 451 plus tard"),
        ({"DATA": b"554 trop de courriels"}, "le relais de courriels refuse : 554 trop de courriels"),
    ],
)
def test_what_a_relay_refuses_is_told_in_french(answers: dict[str, bytes], said: str) -> None:
    message = EmailMessage()
    message["From"], message["To"] = "p@x.test", "maire@x.test"
    told = ""
    with relay(answers=answers) as (host, port, _received), smtplib.SMTP(host, port, timeout=10) as connection:
        try:
            connection.send_message(message)
        except smtplib.SMTPException as error:
            told = reasons.because(error)
    assert told == said


def test_a_relay_that_says_nothing_is_told_in_french() -> None:
    assert reasons.because(smtplib.SMTPServerDisconnected("Connection unexpectedly closed")).endswith(" se tait")


def test_agents_take_no_other_s_numbers_for_the_system_s() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/var/lib/x")
    assert (reasons.reason(full), reasons.because(full)) == ("le disque est plein", "/var/lib/x : le disque est plein")
    assert reasons.because(ValueError("une date est attendue")) == "une date est attendue"
    assert reasons.because(TimeoutError()) == "délai dépassé"
    for refused in (ssl.SSLError(1, "CERTIFICATE_VERIFY_FAILED"), ssl.SSLCertVerificationError(1, "expired")):
        assert "opération interdite" not in (reasons.reason(refused), reason(refused), reasons.because(refused))


def test_what_is_no_archive_of_evidence_is_refused_in_french(tmp_path: Path) -> None:
    file = tmp_path / "preuves.tar.gz"
    file.write_text("rien")
    said = "preuves.tar.gz : l'archive est abîmée ou n'est pas une archive de preuves (ce n'est pas un fichier gzip"
    with pytest.raises(store.EvidenceError, match=re.escape(said)):
        store.verify_one(file, file)
