"""What the DGFiP sends back of the accounts reaches the commune's agents: brought once, to nobody else."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
from passerelle import metrics, returns, room
from passerelle.acts import FAILED, BadRequest
from passerelle.files import Files
from psycopg.types.json import Jsonb
from tdt_connector.handover import HandoverError, Passerelle
from tdt_connector.journal import Journal

from testbed.chain import World
from testbed.connector import Authority, Commune

RETURN = b"<PES_Retour/>"
DIGEST = hashlib.sha256(RETURN).hexdigest()
PLACE = f"/connecteur/retours/20261128-retour-xml-7?fichier=pes_retour-7.xml&sha256={DIGEST}"


@pytest.fixture
def commune(tmp_path: Path, authority: Authority, world: World) -> Commune:
    """Gondecourt's connector; nothing is asked of its TdT."""
    own = authority.folder / "connecteur"
    return Commune(
        tmp_path / "commune", "https://tdt.test", authority,
        certificat=own, passerelle_url=world.web.url, passerelle_certificate=own,
    )  # fmt: skip # one call by its parts


def received(commune: Commune, name: str, content: bytes = RETURN) -> Path:
    folder = commune.root / "pes_retour" / f"20261128-{name}"
    folder.mkdir()
    (folder / f"pes_retour-{name.rpartition('-')[2]}.xml").write_bytes(content)
    return folder


def relay(commune: Commune) -> list[str]:
    with Journal(commune.config.journal) as journal:
        return Passerelle(commune.config, journal).relay()


def test_a_return_reaches_the_page_of_its_commune_once(world: World, commune: Commune, ask: Any) -> None:
    received(commune, "retour-xml-7")
    (commune.root / "pes_retour" / ".8").mkdir()  # on its way
    assert relay(commune) == ["20261128-retour-xml-7 : retour de la DGFiP, donné à la passerelle."]
    assert relay(commune) == []
    page = ask("poste", "/").text
    assert "Retours de la DGFiP" in page and f"/retours/{DIGEST}" in page and "reçu le 28/11/2026" in page
    given = ask("poste", f"/retours/{DIGEST}")
    assert (given.content, given.headers["Content-Disposition"]) == (RETURN, "attachment; filename=pes_retour-7.xml")
    assert "Gondecourt" in ask("groupement", "/").text
    assert ask("groupement", f"/retours/{DIGEST}").content == RETURN
    for other in ("connecteur", "autre-connecteur"):
        assert ask(other, f"/retours/{DIGEST}").status_code == 404
    assert ask("poste", f"/retours/{'0' * 64}").status_code == 404
    assert ask("poste", "/retours/..%2F..%2Fetc").status_code == 404


def test_a_return_is_taken_again_as_it_was_and_never_replaced(world: World, ask: Any) -> None:
    for _turn in range(2):
        assert ask("connecteur", PLACE, "PUT", data=RETURN).status_code == 200
    other = PLACE.replace(DIGEST, hashlib.sha256(b"autre").hexdigest())
    assert ask("connecteur", other, "PUT", data=b"autre").status_code == 409
    assert ask("poste", f"/retours/{DIGEST}").content == RETURN


@pytest.mark.parametrize(
    ("path", "who", "status"),
    [
        (PLACE, "poste", 403),
        (PLACE, "etranger", 403),
        (PLACE.replace(DIGEST, "0" * 64), "connecteur", 400),
        (PLACE.replace(DIGEST, "x"), "connecteur", 400),
        (PLACE.replace("pes_retour-7.xml", "..%2Fx.xml"), "connecteur", 400),
        (PLACE.replace("20261128-", ""), "connecteur", 400),
        (PLACE.replace("20261128", "20261340"), "connecteur", 400),  # its day would not be shown
    ],
)
def test_what_is_no_return_is_not_kept(world: World, ask: Any, path: str, who: str, status: int) -> None:
    before = {one.name for one in (world.root / "fichiers").iterdir()}
    assert ask(who, path, "PUT", data=RETURN).status_code == status
    assert {one.name for one in (world.root / "fichiers").iterdir()} == before
    assert "Retours de la DGFiP" not in ask("poste", "/").text


def test_a_return_too_big_is_refused(world: World, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LARGEST", 5)
    assert ask("connecteur", PLACE, "PUT", data=RETURN).status_code == 413


def test_a_commune_that_filled_its_share_stops_no_other_and_loses_nothing(
    world: World, commune: Commune, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty of the largest, beside PostgreSQL: refused before a byte is kept, told, and given again later."""
    monkeypatch.setattr(room, "LEAST", 10)
    monkeypatch.setitem(room._GIVEN, "least", 10)
    monkeypatch.setattr(room, "DAY_MAX", 30)
    for name in ("a-1", "b-2", "c-3", "d-4"):
        received(commune, name, RETURN + name.encode())
    with pytest.raises(HandoverError, match=r"20261128-b-2 .* HTTP 429 : Gondecourt a laissé .* Rien n'est perdu"):
        relay(commune)
    kept = {one.name for one in (world.root / "fichiers").iterdir()}
    assert len(kept) == 1 and len([*(commune.root / "pes_retour").iterdir()]) == 4
    # It does not come back at once: its next runs give nothing, and fail no more.
    assert relay(commune) == [] and {one.name for one in (world.root / "fichiers").iterdir()} == kept
    other = PLACE.replace("retour-xml-7", "retour-xml-8")
    assert ask("autre-connecteur", other, "PUT", data=RETURN).status_code == 200
    # The day after, an hour passed on the connector.
    with world.store.transaction() as connection:
        connection.execute("UPDATE retour SET recu_le = now() - interval '2 days'")
    with Journal(commune.config.journal) as journal:
        journal.set_value("apports:pas-avant", 0)
        with pytest.raises(HandoverError, match="HTTP 429"):
            Passerelle(commune.config, journal).relay()
    assert len([*(world.root / "fichiers").iterdir()]) == 3  # one more, and the other commune's
    monkeypatch.setattr(room, "KEPT_MAX", 40)
    with world.store.transaction() as connection:
        connection.execute("UPDATE retour SET recu_le = now() - interval '2 days'")
    refused = ask("connecteur", PLACE, "PUT", data=RETURN)
    assert refused.status_code == 507 and "prévenez le groupement" in refused.json()["message"]
    metrics.publish(world.config, world.store)
    assert "passerelle_communes_pleines 0" in world.config.metrics.read_text()
    monkeypatch.setattr(room, "KEPT_MAX", 33)
    metrics.publish(world.config, world.store)
    assert "passerelle_communes_pleines 1" in world.config.metrics.read_text()


def test_letters_count_as_they_are_announced_and_no_more_is_taken(
    world: World, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "DAY_MAX", 1_000_000)

    def announce(number: int, *sizes: int) -> Any:
        files = [{"nom": f"{rank}.pdf", "sha256": DIGEST, "octets": size} for rank, size in enumerate(sizes)]
        told = {"lettre": number, "recu_le": "2026-11-28", "type": "courrier", "fichiers": files}
        return ask("connecteur", "/connecteur/lettres", "POST", json=told)

    for wrong in (-1, 150_000_001, 2**70):
        assert announce(1, wrong).status_code == 413
    assert announce(1, 5).status_code == 200
    # What was announced small comes small.
    assert ask("connecteur", "/connecteur/lettres/1/0", "PUT", data=RETURN).status_code == 413
    assert announce(2, len(RETURN)).status_code == 200
    assert ask("connecteur", "/connecteur/lettres/2/0", "PUT", data=RETURN).status_code == 200
    assert announce(3, 900_000).status_code == 429
    assert announce(4, *[1] * 10).status_code == 429  # many small ones are no way round
    assert announce(2, len(RETURN)).status_code == 200  # what is known is told again


def test_one_bad_return_keeps_no_other(world: World, commune: Commune) -> None:
    (commune.root / "pes_retour" / "20261128-vide-5").mkdir()
    received(commune, "bon-6")
    with pytest.raises(HandoverError, match="n'a pas de fichier pes_retour"):
        relay(commune)
    rows = returns.Returns(world.store, None).shown(world.config, None)  # type: ignore[arg-type] # no file is read
    assert [row["nom"] for row in rows] == ["bon-6"]


def test_a_connector_that_contradicts_itself_fills_no_history(
    world: World, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says of one act, or of one letter, beside PostgreSQL too; of another, it is still heard."""
    monkeypatch.setattr(room, "SAID_MAX", 4)
    acts = [world.deliberations.adopt(uid) for uid in ("d1", "d2")]
    for one in acts:
        world.reach(one, "teletransmission")
    letter = {"type": "pieces", "fichiers": [], "id_acte": "", "etrangere": "", "date": "", "recu_le": "2026-11-28"}
    answer = {"reponse": {"cle": "k", "sens": "reponse", "etat": "a_envoyer", "fichiers": []}}
    with world.store.transaction() as connection:
        query = "INSERT INTO lettre (commune, tdt, donnees, suivi) VALUES ('gondecourt', 7, %s, %s)"
        connection.execute(query, (Jsonb(letter), Jsonb(answer)))

    def lines() -> int:
        with world.store.transaction() as connection:
            query = "SELECT (SELECT count(*) FROM passage) + (SELECT count(*) FROM lettre_passage) AS count"
            return int((connection.execute(query).fetchone() or {})["count"])

    said: dict[str, list[dict[str, Any]]] = {
        "/connecteur/suivi": [{"reference": acts[0], "etat": one} for one in FAILED],
        "/connecteur/lettres/suivi": [
            {"lettre": 7, "reponse": "k", "etat": one, "motif": "x" * 900} for one in ("refusee", "a_rapprocher")
        ],
    }
    for path, told in said.items():
        answers = [ask("connecteur", path, "POST", json=told[rank % 2]) for rank in range(8)]
        assert [one.status_code for one in answers] == [200] * 4 + [429, 200] * 2  # the last again is no news
        assert "prévenez le groupement" in answers[4].json()["message"]
        before = lines()
        assert ask("connecteur", path, "POST", json=told[0]).status_code == 429 and lines() == before
    assert ask("connecteur", "/connecteur/suivi", "POST", json={"reference": acts[1], "etat": "refusee"}).ok
    with world.store.transaction() as connection:
        connection.execute("UPDATE passage SET le = le - interval '2 days'")
    assert ask("connecteur", "/connecteur/suivi", "POST", json={"reference": acts[0], "etat": "refusee"}).ok


def test_of_returns_of_one_name_that_come_together_one_alone_is_kept(world: World) -> None:
    """Each was judged before the others were noted: all were kept, one was counted, nothing removed the others."""
    found = returns.Returns(world.store, Files(world.root))
    gondecourt, name = world.config.communes["gondecourt"], "20261128-retour-xml-7"

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            other = hashlib.sha256(b"autre").hexdigest()
            with pytest.raises(BadRequest, match="en train d'arriver"):
                found.take(gondecourt, name, "pes_retour-7.xml", other, io.BytesIO(b"autre"), 5)
            return super().read(size)

    found.take(gondecourt, name, "pes_retour-7.xml", DIGEST, Slow(RETURN), len(RETURN))
    assert {one.name for one in (world.root / "fichiers").iterdir()} == {DIGEST}
    found.take(gondecourt, name, "pes_retour-7.xml", DIGEST, io.BytesIO(RETURN), len(RETURN))  # again, once it came
