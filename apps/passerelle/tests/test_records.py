"""The register of arrêtés, the certificate that an act is executory, the décisions told to the council."""

from __future__ import annotations

import io
import threading
import tracemalloc
from dataclasses import replace
from datetime import date, datetime
from typing import Any
from urllib.parse import quote

import pypdf
import pytest
from passerelle import pdf, records, register
from passerelle.acts import ARRETES, nature
from passerelle.letters import PARIS
from passerelle.queue import Queue
from passerelle.register import holes

from creatic_agent.act import Act
from testbed.chain import COMMUNES, FakeConnector, World

GONDECOURT = COMMUNES["gondecourt"]
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
FIELDS = {"numero": "2026_112", "date": "2026-11-20", "objet": "Circulation", "matiere": "6.1"}


def bring(world: World, reference: str, **fields: str) -> str:
    """An arrêté signed at the parapheur, and where the chain brings it without anybody else."""
    told = {"circuit": "arrete", **FIELDS, **fields}
    world.parapheur.bring(reference, f"%PDF-1.4 {reference}".encode(), **told)
    world.parapheur.sign(reference)
    world.chain.arrivals.look()
    world.drain()
    world.chain.arrivals.look()
    world.drain()
    return reference


def acknowledge(world: World, reference: str) -> None:
    connector = FakeConnector(world.chain, GONDECOURT)
    [act] = [one for one in connector.pull() if one["reference"] == reference]
    connector.say(reference, "transmise")
    connector.acknowledge(act)
    world.drain()


def text_of(answer: Any) -> str:
    """What a PDF says, on one line."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/pdf"), answer.text
    return " ".join(" ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(answer.content)).pages).split())


def at(reference: str) -> str:
    return f"/acte?reference={reference}"


# -- the register ------------------------------------------------------------------------------------------------------


def test_a_number_given_twice_is_inscribed_twice_and_told(world: World, ask: Any) -> None:
    first = bring(world, "parapheur:1")
    second = bring(world, "parapheur:2", numero="2026-112", objet="Voirie & <b>marché</b>", transmission="non")
    bring(world, "parapheur:3", numero="2026_115", nature="D", objet="Bail du 3, place de l'Église")
    bring(world, "parapheur:4", numero="2025_9", date="2025-12-31")
    bring(world, "parapheur:5", commune="la-madeleine")
    page = ask("poste", "/registre").text
    assert "« 2026_112 » a été donné 2 fois (numéros d&#39;ordre 1, 2)." in page
    assert "De « 2026_113 » à « 2026_114 » : aucun acte de ce numéro" in page
    assert "numéro suivant : <b>2026_116</b>" in page
    assert page.index(quote(first, safe="")) < page.index(quote(second, safe=""))
    assert "Voirie &amp; &lt;b&gt;marché&lt;/b&gt;" in page and "non transmissible" in page
    assert ">2026<" in page and ">2025<" in page and "2025_9" not in page
    assert [step for _when, step, _detail in world.store.history(second)].count("registre") == 1
    told = text_of(ask("poste", "/registre.pdf?annee=2026"))
    assert "Registre des arrêtés 2026" in told and "2 inscriptions" in told and "Bail" not in told
    assert "Voirie & <b>marché</b>" in told and "R2122-7" in told and "Décision (L2122-22)" not in told
    told = text_of(ask("poste", "/registre.pdf?annee=2026&livre=deliberations"))  # R2122-7-1
    assert "Registre des délibérations, décisions du maire par délégation 2026" in told and "1 inscription au" in told
    assert "Bail du 3, place de l'Église" in told and "Décision (L2122-22)" in told and "R2122-7-1" in told
    assert "1 inscription au" in text_of(ask("poste", "/registre.pdf?annee=2025"))


def test_ranks_have_no_hole_nor_double_whoever_comes_at_the_same_time(world: World) -> None:
    def take(name: str, year: int) -> None:
        data = FIELDS | {"circuit": "arrete", "date": f"{year}-01-01", "document": {"nom": "x"}, "annexes": []}
        world.chain.arrivals.take(f"parapheur:{name}", "gondecourt", data, "signature")

    threads = [
        threading.Thread(target=take, args=(f"{year}-{rank % 20}", year)) for year in (2025, 2026) for rank in range(40)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    found = register.Register(world.store)
    for year in (2025, 2026):
        assert [one.rank for one in found.entries(GONDECOURT, year)] == list(range(1, 21))
    assert found.years(GONDECOURT) == [2026, 2025]
    assert found.years(COMMUNES["loos"]) == []


def test_what_was_taken_in_before_is_inscribed_once_by_date(world: World) -> None:
    with world.store.transaction() as connection:
        for name, day in (("b", "2026-02-01"), ("a", "2026-01-01"), ("nul", "2026-13-45"), ("autre", "")):
            data = {"circuit": "deliberation" if name == "autre" else "arrete", "date": day, "numero": name}
            world.store.add(connection, f"parapheur:{name}", "gondecourt", data, "termine")
    for _again in range(2):
        Queue(world.config).prepare()
    found = register.Register(world.store).entries(GONDECOURT, 2026)
    assert [(one.rank, one.number) for one in found] == [(1, "a"), (2, "b")]


def test_a_decision_stands_in_the_register_of_deliberations(world: World, ask: Any) -> None:
    """R2122-7-1: with ranks of its own; what is said a décision later goes there, and its rank stays nobody's."""
    bring(world, "parapheur:1", objet="Parking")
    bring(world, "parapheur:2", nature="D", numero="2026_113", objet="Bail")
    late = bring(world, "parapheur:3", nature="", transmission="", numero="2026_114", objet="Emprunt")
    found = register.Register(world.store)

    def ranks(book: str) -> list[tuple[int, str]]:
        return [(one.rank, one.number) for one in found.entries(GONDECOURT, 2026, book=book)]

    assert ranks("arretes") == [(1, "2026_112"), (2, "2026_114")] and ranks("deliberations") == [(1, "2026_113")]
    world.chain.qualify(late, "D", "oui")
    assert ranks("arretes") == [(1, "2026_112")] and ranks("deliberations") == [(1, "2026_113"), (2, "2026_114")]
    bring(world, "parapheur:4", numero="2026_115")
    assert ranks("arretes") == [(1, "2026_112"), (3, "2026_115")]  # 2 is given to nobody
    world.chain.qualify(late, "2", "non")
    assert ranks("arretes") == [(1, "2026_112"), (2, "2026_114"), (3, "2026_115")]
    bring(world, "parapheur:5", nature="D", numero="2026_116")
    assert ranks("deliberations") == [(1, "2026_113"), (3, "2026_116")]
    page = ask("poste", "/registre?livre=deliberations").text
    assert "Bail" in page and "Parking" not in page and "R2122-7-1" in page
    assert "2 (« 2026_114 ») : Registre des arrêtés, numéro d’ordre 2" in page.replace("&#39;", "’")
    assert "aucun acte de ce numéro" not in page + ask("poste", "/registre").text  # one series, in two books
    told = [detail for _when, step, detail in world.store.history(late) if step == "registre"]
    assert len(told) == 2 and "registre des délibérations" in told[0] and "registre des arrêtés" in told[1]


def test_decisions_of_before_move_once_to_the_register_of_deliberations_with_their_ranks(
    world: World, ask: Any
) -> None:
    with world.store.transaction() as connection:  # as before: one book, one key
        connection.execute("DROP TABLE registre")
        connection.execute(
            "CREATE TABLE registre (commune text NOT NULL, annee integer NOT NULL, rang integer NOT NULL,"
            " reference text NOT NULL UNIQUE, numero text NOT NULL, cle text GENERATED ALWAYS AS (numero) STORED,"
            " jour date NOT NULL, objet text NOT NULL, decision boolean NOT NULL, compte_rendu date,"
            " inscrit_le timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (commune, annee, rang))"
        )
        for rank, decision in ((1, False), (2, True), (3, False), (4, True)):
            data = FIELDS | {"circuit": "arrete", "nature": "D" if decision else "2", "document": {"nom": "x"}}
            if rank != 4:  # its act is gone
                world.store.add(connection, f"x:{rank}", "gondecourt", data, "termine")
            reported = "2026-11-30" if rank == 4 else None
            connection.execute(
                "INSERT INTO registre (commune, annee, rang, reference, numero, jour, objet, decision, compte_rendu)"
                " VALUES ('gondecourt', 2026, %s, %s, %s, '2026-11-20', 'o', %s, %s)",
                (rank, f"x:{rank}", f"2026_{rank}", decision, reported),
            )
    for _again in range(2):
        world.queue.prepare()
    found = register.Register(world.store)
    assert [one.rank for one in found.entries(GONDECOURT, 2026)] == [1, 3]
    assert [one.rank for one in found.entries(GONDECOURT, 2026, book="deliberations")] == [2, 4]
    told = [detail for _when, step, detail in world.store.history("x:2") if step == "registre"]
    assert told == ["porté au registre des délibérations (CGCT, R2122-7-1), sous le même numéro d'ordre, 2"]
    page = ask("poste", "/registre?annee=2026").text
    assert "2 (« 2026_2 »)" in page and "4 (« 2026_4 »)" in page and "<b>2</b> inscriptions" in page
    bring(world, "parapheur:9", numero="2026_9")
    bring(world, "parapheur:10", nature="D", numero="2026_10")
    assert [one.rank for one in found.entries(GONDECOURT, 2026)] == [1, 3, 5]
    assert [one.rank for one in found.entries(GONDECOURT, 2026, book="deliberations")] == [2, 4, 5]
    assert "4 (« 2026_4 ») : Registre des délibérations" in text_of(ask("poste", "/registre.pdf?annee=2026"))


def test_an_inscription_holds_by_itself_once_its_act_is_gone(world: World, ask: Any) -> None:
    reference = bring(world, "parapheur:1")
    with world.store.transaction() as connection:
        connection.execute("DELETE FROM passage WHERE reference = %s", (reference,))
        connection.execute("DELETE FROM acte WHERE reference = %s", (reference,))
    assert "Circulation" in ask("poste", "/registre").text
    assert "2026_112" in text_of(ask("poste", "/registre.pdf"))


def test_an_eliminated_act_stays_inscribed_and_nothing_false_is_said_of_it(world: World, ask: Any) -> None:
    with world.store.transaction() as connection:
        data = FIELDS | {"circuit": "arrete", "nature": "2", "transmission": "oui", "document": {"nom": "x"}}
        world.store.add(connection, "parapheur:1", "gondecourt", data, "termine")
        register.inscribe(connection, Act.from_wire(data, reference="parapheur:1", commune="gondecourt"))
        emptied = data | {"objet": "Acte éliminé", "eliminee": "d1"}
        world.store.change(connection, "parapheur:1", data=emptied, track={"tdt": {"archive": "aip-1"}})
    page = ask("poste", "/registre").text
    assert "Circulation" in page and "à transmettre" not in page and "/acte?" not in page
    assert ask("poste", at("parapheur:1")).status_code == 404


def test_acts_without_number_are_not_one_number_given_twice(world: World, ask: Any) -> None:
    data = FIELDS | {"circuit": "arrete", "numero": register.UNNUMBERED}
    for rank in (1, 2):
        world.chain.arrivals.take(f"parapheur:{rank}", "gondecourt", data, "signature")
    page = ask("poste", "/registre").text
    assert "a été donné" not in page and page.count(">sans numéro</a>") == 2
    assert "registre" not in [step for _when, step, _detail in world.store.history("parapheur:2")]


def test_the_register_is_read_by_pages(world: World, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with world.store.transaction() as connection:
        for rank in range(1, register.PAGE + 3):
            data = {"circuit": "arrete", "date": "2026-03-01", "numero": f"2026_{rank:03}", "objet": f"o{rank}"}
            register.inscribe(connection, Act.from_wire(data, reference=f"x:{rank}", commune="gondecourt"))
    first = ask("poste", "/registre").text
    assert f"2026_{register.PAGE:03}" in first and f"2026_{register.PAGE + 1:03}<" not in first
    assert f"/registre?livre=arretes&amp;annee=2026&amp;apres={register.PAGE}" in first
    rest = ask("poste", f"/registre?annee=2026&apres={register.PAGE}").text
    assert f"2026_{register.PAGE + 2:03}" in rest and "2026_001" not in rest
    monkeypatch.setattr(records, "PDF_MAX", register.PAGE)
    links = ask("poste", "/registre").text
    assert f"/registre.pdf?livre=arretes&amp;annee=2026&amp;apres={register.PAGE}" in links
    part = text_of(ask("poste", f"/registre.pdf?annee=2026&apres={register.PAGE}"))
    assert "202 inscriptions" in part and "ici, les numéros d'ordre 201 à 202." in part
    for wrong in ("livre=autre", "annee=x", "apres=-1", "annee=" + "9" * 30, "apres=²"):
        assert ask("poste", f"/registre?{wrong}").status_code == 400


@pytest.mark.parametrize("subject", ["& " * 250, "a&b<c>" * 83])
def test_a_register_takes_the_memory_of_its_length_whatever_is_written(subject: str) -> None:
    """300 arrêtés of such subjects took 340 MB of the 512 that the page of all communes has."""
    rows = [[str(rank), "2026_1", subject] for rank in range(100)]
    pdf.make("Registre", "Gondecourt", "pied", [pdf.Listing(["N", "No", "Objet"], [1, 1, 8], rows[:1])])  # loads it
    tracemalloc.start()
    content = pdf.make("Registre", "Gondecourt", "pied", [pdf.Listing(["N", "No", "Objet"], [1, 1, 8], rows)])
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000
    told = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages)
    assert "".join(told.split()).count("".join(subject.split())) == 100


@pytest.mark.parametrize("path", ["/registre", "/registre.pdf", "/decisions", "/decisions.pdf", "/acte?reference=x"])
def test_nobody_else_reads_the_registers(ask: Any, path: str) -> None:
    for who in ("connecteur", "groupement", "etranger"):
        assert ask(who, path).status_code == 403, who


@pytest.mark.parametrize(
    ("numbers", "told", "following"),
    [
        ([], [], ""),
        (["sans numéro"], [], ""),
        (["2026_009", "2026_010"], [], "2026_011"),
        (["2026_1", "2026_3", "2026_3"], ["« 2026_2 »"], "2026_4"),
        (["AR 1 bis", "7", "9"], ["« 8 »"], "10"),
        (["1", "999999999999"], ["De « 000000000002 » à « 999999999998 »"], "1000000000000"),
    ],
)
def test_holes_in_numbers_are_told(numbers: list[str], told: list[str], following: str) -> None:
    assert holes(numbers) == (told, following)


# -- executory ---------------------------------------------------------------------------------------------------------


def test_a_certificate_is_refused_with_what_lacks_then_made(world: World, ask: Any) -> None:
    reference = bring(world, "parapheur:1")
    link = f"/acte/executoire.pdf?reference={reference}"
    refused = ask("poste", link)
    assert refused.status_code == 409
    message = refused.json()["message"]
    assert "« 2026_112 » n'est pas exécutoire. Il manque : La transmission à la préfecture" in message
    assert "La publication (CGCT, L2131-1) : notez sa date" in message
    acknowledge(world, reference)
    assert "L'accusé" not in ask("poste", link).json()["message"]
    told = {"geste": "publier", "date": "2026-11-23", "mode": "affichage"}
    assert ask("poste", at(reference), "POST", data=told).status_code == 403  # from another site
    assert ask("poste", at(reference), "POST", data=told, headers=OWN_PAGE).status_code == 200
    content = text_of(ask("poste", link))
    assert "exécutoire de plein droit depuis le 23/11/2026" in content
    assert "le 21/11/2026 (ARActe 059-215902669-20261120-2026_112-DE)" in content
    assert "le 23/11/2026 (affichage)" in content and world.act(reference).document in content.replace(" ", "")
    assert "le maire certifie, sous sa responsabilité" in content.lower()
    [noted] = [detail for _when, step, detail in world.store.history(reference) if step == "publication"][-1:]
    assert noted == "publié le 23/11/2026, affichage (noté par Secrétariat général)"
    # the préfecture had it after it was published: that day counts
    ask("poste", at(reference), "POST", data=told | {"date": "2026-11-20"}, headers=OWN_PAGE)
    assert "exécutoire depuis le 21/11/2026" in ask("poste", at(reference)).text


def test_an_individual_act_is_notified_and_never_published(world: World, ask: Any) -> None:
    reference = bring(world, "parapheur:1", nature="3", transmission="non")
    page = ask("poste", at(reference)).text
    assert "La notification à l&#39;intéressé" in page and 'value="publier"' not in page
    told = {"geste": "publier", "date": "2026-11-21", "mode": "affichage"}
    answer = ask("poste", at(reference), "POST", data=told, headers=OWN_PAGE)
    assert (answer.status_code, "il ne se publie pas" in answer.text) == (409, True)
    told = {"geste": "notifier", "date": "2026-11-24", "mode": "remise"}
    assert ask("poste", at(reference), "POST", data=told, headers=OWN_PAGE).status_code == 200
    content = text_of(ask("poste", f"/acte/executoire.pdf?reference={reference}"))
    assert "depuis le 24/11/2026" in content and "non transmissible (CGCT, L2131-2)" in content
    assert "Notifié à l'intéressé" in content and "L2131-3" in content


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"date": "2026-11-19"}, 400, "elle va du 20/11/2026, date de l&#39;acte"),
        ({"date": "2999-01-01"}, 400, "à aujourd&#39;hui"),
        ({"date": "hier"}, 400, "« hier » n&#39;est pas une date"),
        ({"date": "0001-01-01"}, 400, "n&#39;est pas une date"),
        ({"mode": "radio"}, 400, "Choisissez comment"),
        ({"geste": "signer"}, 400, "Ce geste est inconnu."),
        ({"geste": "recevoir", "mode": "papier"}, 409, "vient de son ARActe"),
    ],
)
def test_what_cannot_be_noted_changes_nothing(
    world: World, ask: Any, change: dict[str, str], status: int, words: str
) -> None:
    reference = bring(world, "parapheur:1")
    before = world.act(reference)
    told = {"geste": "publier", "date": "2026-11-21", "mode": "affichage"} | change
    answer = ask("poste", at(reference), "POST", data=told, headers=OWN_PAGE)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    assert world.act(reference) == before


@pytest.mark.parametrize(
    ("chosen", "taken", "refused"),
    [
        ("electronique", ["electronique", "urgence"], ["affichage", "papier"]),
        ("affichage", ["affichage"], ["electronique", "papier", "urgence"]),
        ("papier", ["papier"], ["electronique", "affichage", "urgence"]),
        ("", ["electronique", "urgence", "affichage", "papier"], ["radio"]),
    ],
)
def test_an_act_is_published_as_the_council_chose_and_elsewhere_on_line(
    world: World, ask: Any, chosen: str, taken: list[str], refused: list[str]
) -> None:
    world.reconfigure(communes=COMMUNES | {"gondecourt": replace(GONDECOURT, publication=chosen)})
    reference = bring(world, "parapheur:1")
    page = ask("poste", at(reference)).text.partition('value="publier"')[2].partition("</form>")[0]
    told = {"geste": "publier", "date": "2026-11-21"}
    for mode in refused:
        assert f'value="{mode}"' not in page
        answer = ask("poste", at(reference), "POST", data=told | {"mode": mode}, headers=OWN_PAGE)
        assert (answer.status_code, "Choisissez comment" in answer.text) == (400, True), mode
        assert "publication" not in world.act(reference).track
    assert ("sous 3 500 habitants" in page) == (chosen == "")
    for mode in taken:
        assert f'value="{mode}"' in page
        assert ask("poste", at(reference), "POST", data=told | {"mode": mode}, headers=OWN_PAGE).status_code == 200
        assert world.act(reference).track["publication"]["mode"] == mode


def test_the_deliberations_server_tells_when_a_deliberation_was_published(world: World, ask: Any) -> None:
    reference = world.deliberations.adopt("d1")
    world.reach(reference, "signature")
    assert "La signature" in ask("poste", at(reference)).text
    world.reach(reference, "teletransmission")
    acknowledge(world, reference)
    assert "au serveur des délibérations" in ask("poste", at(reference)).text
    told = {"geste": "publier", "date": "2026-11-21", "mode": "papier"}
    refused = ask("poste", at(reference), "POST", data=told, headers=OWN_PAGE)
    assert (refused.status_code, "serveur des délibérations" in refused.text) == (409, True)
    FakeConnector(world.chain, GONDECOURT).say(reference, "versee")
    world.drain()
    world.deliberations.publish()
    world.chain.arrivals.look()
    world.drain()
    content = text_of(ask("poste", f"/acte/executoire.pdf?reference={reference}"))
    assert "exécutoire de plein droit depuis le 22/11/2026" in content and "sous forme électronique" in content


@pytest.mark.parametrize("told", [{"annexes": 1}, {"annexes": 0}, {"annexes": None}, {}])
def test_an_annex_that_is_not_on_line_keeps_the_act_from_being_certified(
    world: World, ask: Any, told: dict[str, Any]
) -> None:
    """R2131-1: the whole text is published, annexes included; what comes later counts from its day."""
    reference = world.deliberations.adopt("d1", annexes=2)
    world.reach(reference, "teletransmission")
    acknowledge(world, reference)
    FakeConnector(world.chain, GONDECOURT).say(reference, "versee")
    world.drain()
    world.deliberations.published["d1"] = {"le": "2026-11-22", "mode": "electronique", "en_ligne": True} | told
    world.chain.arrivals.look()
    world.drain()
    assert world.step(reference) == "termine"
    refused = ask("poste", f"/acte/executoire.pdf?reference={reference}")
    assert (refused.status_code, "annexes comprises (CGCT, R2131-1)" in refused.json()["message"]) == (409, True)
    assert "Publié" in ask("poste", at(reference)).text  # what happened is said all the same
    before = world.act(reference)
    world.chain.arrivals.look()
    assert world.act(reference) == before  # asked again, and nothing is noted of what is as it was
    world.deliberations.publish()
    world.chain.arrivals.look()
    world.drain()
    # An older server did not tell: what was published then was chosen then.
    today = datetime.now(PARIS).date() if told.get("annexes") is not None else date(2026, 11, 22)
    content = text_of(ask("poste", f"/acte/executoire.pdf?reference={reference}"))
    assert f"exécutoire de plein droit depuis le {today:%d/%m/%Y}" in content


def test_what_was_published_long_before_annexes_were_told_keeps_its_certificate(world: World, ask: Any) -> None:
    """Of whatever age: nobody would ever publish it again."""
    reference = world.deliberations.adopt("d1", annexes=2)
    world.reach(reference, "teletransmission")
    acknowledge(world, reference)
    FakeConnector(world.chain, GONDECOURT).say(reference, "versee")
    world.drain()
    world.deliberations.publish()
    world.chain.arrivals.look()
    world.drain()
    with world.store.transaction() as connection:  # as the passerelle of before had it
        connection.execute(
            "UPDATE acte SET recu_le = now() - interval '3 years', suivi = suivi #- '{publication,annexes}'"
        )
    world.chain.arrivals.look()
    assert ask("poste", f"/acte/executoire.pdf?reference={reference}").status_code == 200


def test_an_act_posted_up_or_whole_from_the_first_day_is_certified_from_that_day(world: World, ask: Any) -> None:
    whole, posted = (world.deliberations.adopt(uid, annexes=1) for uid in ("d1", "d2"))
    for reference in (whole, posted):
        world.reach(reference, "teletransmission")
    connector = FakeConnector(world.chain, GONDECOURT)
    for act in connector.pull():
        connector.say(act["reference"], "transmise")
        connector.acknowledge(act)
        connector.say(act["reference"], "versee")
    world.drain()
    world.deliberations.publish()
    world.deliberations.published["d2"] = {"le": "2026-11-22", "mode": "affichage", "en_ligne": False}
    world.chain.arrivals.look()
    world.drain()
    for reference in (whole, posted):
        content = text_of(ask("poste", f"/acte/executoire.pdf?reference={reference}"))
        assert "exécutoire de plein droit depuis le 22/11/2026" in content


def test_a_commune_without_teletransmission_notes_the_stamp_of_the_prefecture(world: World, ask: Any) -> None:
    services = tuple(one for one in GONDECOURT.services if one not in ("teletransmission", "archivage"))
    world.reconfigure(communes=COMMUNES | {"gondecourt": replace(GONDECOURT, services=services)})
    reference = bring(world, "parapheur:1")
    assert "La réception en préfecture" in ask("poste", at(reference)).text
    for told in ({"geste": "recevoir", "mode": "papier"}, {"geste": "publier", "mode": "papier"}):
        answer = ask("poste", at(reference), "POST", data=told | {"date": "2026-11-22"}, headers=OWN_PAGE)
        assert answer.status_code == 200
    assert "date du cachet de la préfecture" in text_of(ask("poste", f"/acte/executoire.pdf?reference={reference}"))


def test_an_act_is_its_communes_alone_and_a_flow_is_none(world: World, ask: Any) -> None:
    other = bring(world, "parapheur:1", commune="la-madeleine")
    told = {"geste": "publier", "date": "2026-11-21", "mode": "affichage"}
    assert ask("poste", at(other)).status_code == 404
    assert ask("poste", at(other), "POST", data=told, headers=OWN_PAGE).status_code == 404
    assert ask("poste", f"/acte/executoire.pdf?reference={other}").status_code == 404
    assert ask("poste", "/acte?reference=%00").status_code == 400
    assert "publication" not in world.act(other).track
    data = {"circuit": "pes", "numero": "flux", "date": "2026-11-20", "objet": "x", "document": {}, "annexes": []}
    world.chain.arrivals.take("parapheur:flux", "gondecourt", data, "teletransmission")
    assert ask("poste", "/acte?reference=parapheur:flux").status_code == 200
    refused = ask("poste", "/acte/executoire.pdf?reference=parapheur:flux")
    assert (refused.status_code, "Un flux comptable n'est pas un acte" in refused.json()["message"]) == (409, True)


# -- décisions ---------------------------------------------------------------------------------------------------------


def test_a_decision_goes_to_the_prefecture_as_another_act(world: World) -> None:
    reference = bring(world, "parapheur:1", nature="D")
    [sent] = world.chain.connectors.to_send(GONDECOURT)
    assert (sent["reference"], sent["nature"], sent["type"]) == (reference, "6", "99_AU")
    for said, (code, kind, _words) in ARRETES.items():
        assert nature(Act(circuit="arrete", nature=said)) == (code, kind)


def test_decisions_are_reported_to_the_next_meeting_and_none_is_forgotten(world: World, ask: Any) -> None:
    first = bring(world, "parapheur:1", nature="D", date="2026-11-02", objet="Bail")
    second = bring(world, "parapheur:2", nature="D", numero="2026_113", objet="Emprunt")
    bring(world, "parapheur:3", numero="2026_114", objet="Parking")
    other = bring(world, "parapheur:4", nature="D", commune="la-madeleine")
    page = ask("poste", "/decisions").text
    assert "Bail" in page and "Emprunt" in page and "Parking" not in page and "aucun compte rendu" not in page
    world.deliberations.adopt("d1", date="2026-11-20")
    world.chain.arrivals.look()
    assert "1 décision est antérieure à la séance du 20/11/2026" in ask("poste", "/decisions").text
    told = {"geste": "porter", "seance": "2026-11-20", "decision": [first]}

    def post(**change: Any) -> Any:
        return ask("poste", "/decisions", "POST", data=told | change, headers=OWN_PAGE)

    assert ask("poste", "/decisions", "POST", data=told).status_code == 403
    assert "après la séance du 03/11/2026" in post(seance="2026-11-03", decision=[first, second]).text
    assert post(decision=[first, other]).status_code == 409
    assert post(decision=[]).status_code == 400
    assert post(seance="2999-01-01").status_code == 400
    assert post(geste="voter").status_code == 400
    assert register.Register(world.store).meetings(GONDECOURT) == []
    assert post().status_code == 200
    assert post().status_code == 200  # pressed twice
    page = ask("poste", "/decisions").text
    assert "Bail" not in page and "Emprunt" in page and "Séance du 20/11/2026" in page
    content = text_of(ask("poste", "/decisions.pdf?seance=2026-11-20"))
    assert "séance du 20/11/2026" in content and "Bail" in content and "Emprunt" not in content
    assert "L2122-23" in content
    assert "Emprunt" in text_of(ask("poste", "/decisions.pdf"))
    assert [step for _when, step, _detail in world.store.history(first)].count("compte rendu") == 1
    assert post(geste="retirer").status_code == 200
    assert "Bail" in ask("poste", "/decisions").text
    assert ask("poste", "/decisions.pdf?seance=2026-11-20").status_code == 404
    assert world.store.history(first)[-1][1] == "compte rendu retiré"


def test_an_act_that_is_said_a_decision_later_is_one_from_then_on(world: World, ask: Any) -> None:
    reference = bring(world, "parapheur:1", nature="", transmission="")
    assert "À dire" in ask("poste", "/registre").text
    world.chain.qualify(reference, "D", "oui")
    assert "Circulation" in ask("poste", "/decisions").text
