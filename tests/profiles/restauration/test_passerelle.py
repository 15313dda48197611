"""A passerelle that came back: each act with its documents, which are those that their names say."""

from __future__ import annotations

from testinfra.host import Host

FILES = "/var/lib/passerelle/fichiers"


def test_acts_are_there_and_their_documents_are_what_their_names_say(host: Host) -> None:
    with host.sudo():
        assert len(host.check_output("passerelle lister").splitlines()) > 1, "no act: nothing is shown"
        sums = host.check_output(f"cd {FILES} && find . -type f ! -name '.*' | xargs -r sha256sum").splitlines()
    assert sums
    assert [line for line in sums if line.split()[1] != f"./{line.split()[0]}"] == []


def test_no_act_names_a_document_that_is_not_there(host: Host) -> None:
    with host.sudo():
        there = set(host.check_output(f"ls {FILES}").split())
    with host.sudo("passerelle"):
        # What is still to be brought is not there yet, nor what went with its archive any more. Of what was begun in
        # the parapheur it has what was signed alone: the parapheur's own words name what it was before.
        query = """
          SELECT DISTINCT unnest(regexp_matches(
            (to_jsonb(acte) #- '{suivi,visas}' #- '{suivi,sha256_signe}')::text, '[0-9a-f]{64}', 'g'))
          FROM acte
          WHERE etape <> 'reception' AND donnees->>'eliminee' IS NULL
            AND NOT (etape IN ('signature', 'reprise') AND jsonb_path_exists(donnees, '$.annexes[*].piece'))
        """
        named = set(host.check_output("psql -XAtqc %s -h /run/postgresql passerelle", query).split())
    assert named
    assert named - there == set()
