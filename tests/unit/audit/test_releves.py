"""Relevés: what a machine signs counts, and nothing else; whatever is wrong with one is its machine's fault alone."""

from __future__ import annotations

import base64
import copy
import datetime as dt
import hashlib
import hmac
import json
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from creatic_audit import agent
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from creatic.audit import content, releves
from creatic.audit.content import Content
from creatic.audit.releves import HostKeys, ReleveStore
from creatic.audit.scap import DATA_STREAM_SHA256
from creatic.audit.sources import AuditError, Rule
from creatic.audit.verdict import Found, assess

from .conftest import Catalogue, collected, entry, target

NOW = dt.datetime(2026, 11, 25, 6, 0, tzinfo=dt.UTC)
ASKED = Content(
    "anssi_bp28_intermediary", {f"regle_{number}": Rule(f"regle_{number}", "", controls=("R9",)) for number in range(4)}
)


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


class Sender:
    """A machine that signs, as ssh-keygen does."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        raw = self._key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.public = _string(b"ssh-ed25519") + _string(raw)

    def sign(self, text: str, namespace: bytes = b"creatic-releve") -> str:
        """An armored signature."""
        parts = (namespace, b"", b"sha512", hashlib.sha512(text.encode()).digest())
        made = self._key.sign(b"SSHSIG" + b"".join(map(_string, parts)))
        blob = b"SSHSIG" + struct.pack(">I", 1) + _string(self.public) + b"".join(map(_string, parts[:3]))
        blob += _string(_string(b"ssh-ed25519") + _string(made))
        return f"-----BEGIN SSH SIGNATURE-----\n{base64.encodebytes(blob).decode()}-----END SSH SIGNATURE-----\n"

    def sends(self, told: Any, **changes: Any) -> bytes:
        """A relevé as it is fetched."""
        text = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)
        return json.dumps({"signe": text, "signature": self.sign(text)} | changes).encode()


def told(name: str = "gondecourt-connecteur", **more: Any) -> dict[str, Any]:
    """What a machine signs."""
    found = collected()
    facts: dict[str, Any] = {
        "quoi": "creatic releve",
        "version": 1,
        "machine": name,
        "niveau": "intermediary",
        "numero": 1_764_000_000,
        "debut": "2026-11-25T03:59:00+00:00",
        "fin": "2026-11-25T04:00:00+00:00",
        "duree_s": 60.0,
        "cpu_s": 40.0,
        "systeme": found["systeme"],
        "correctifs": found["correctifs"],
        "openscap": {
            "profil": "anssi_bp28_intermediary",
            "contenu_sha256": DATA_STREAM_SHA256,
            "version": "1.4.2",
            "score": 71.3,
            "arf_sha256": "0" * 64,
            "regles": {f"regle_{number}": "pass" for number in range(4)},
        },
        "derive": {"reference": "2026-11-24T04:00:00+00:00", "nombre": 0, "ecarts": []},
        "echecs": {},
        "chaine": [],
    }
    return facts | more


@pytest.fixture
def sender() -> Sender:
    return Sender()


@pytest.fixture
def kept(tmp_path: Path) -> ReleveStore:
    return ReleveStore(tmp_path / "releves")


@pytest.fixture
def find(sender: Sender, kept: ReleveStore) -> Callable[..., Found]:
    """What an audit makes of what was fetched of a machine."""

    def found(fetched: bytes | str, now: dt.datetime = NOW, keys: set[bytes] | None = None, **more: Any) -> Found:
        known = {sender.public} if keys is None else keys
        return releves.finding(target(**more), fetched, known, kept, ASKED, now)

    return found


def test_a_good_releve_is_judged_as_what_the_control_node_found(find: Callable[..., Found], sender: Sender) -> None:
    found = find(sender.sends(told()))
    assert (found.state, found.incident, found.drift) == ("auditee", None, [])
    results = assess([found], Catalogue([entry("R9")]))
    assert results["controles"][0]["verdict"] == "conforme"
    machine = results["machines"][0]
    assert machine["openscap"]["comptes"] == {"pass": 4}
    assert machine["releve"]["age_s"] == 7200 and machine["releve"]["remarque"] == ""
    assert machine["correctifs"]["installes"] == 169


def test_a_rule_that_is_left_out_is_unknown_and_one_that_nobody_asks_counts_not(
    find: Callable[..., Found], sender: Sender
) -> None:
    one = told()
    del one["openscap"]["regles"]["regle_2"]
    one["openscap"]["regles"]["a_moi"] = "pass"
    found = find(sender.sends(one))
    assert found.openscap is not None
    assert {rule.name: rule.result for rule in found.openscap.rules} == {
        "regle_0": "pass",
        "regle_1": "pass",
        "regle_2": "unknown",
        "regle_3": "pass",
    }
    assert assess([found], Catalogue([entry("R9")]))["controles"][0]["verdict"] == "non_verifie"


def test_what_moved_is_told_as_drift(find: Callable[..., Found], sender: Sender) -> None:
    gaps = [{"quoi": "fichier", "nom": f"/etc/{name}", "comment": "modifié"} for name in "ba"]
    found = find(sender.sends(told(derive={"reference": "2026-11-24T04:00:00Z", "nombre": 5, "ecarts": gaps})))
    assert found.drift == [
        {
            "tache": "fichier modifié depuis le déploiement",
            "chemins": ["/etc/a", "/etc/b"],
            "diff": "et 3 écarts de plus, que le relevé ne nomme pas",
        }
    ]
    assert find(sender.sends(told(derive=None, numero=1_764_000_001))).drift is None


# -- what is no word of the machine, now -----------------------------------------------------------------------------


def _deep() -> str:
    return "[" * 100_000


OTHER = Sender()
HOSTILE: dict[str, tuple[Callable[[Sender], bytes], str]] = {
    "forged": (lambda one: OTHER.sends(told()), "n'est pas signé par sa clé d'hôte"),
    "touched up": (lambda one: one.sends(told(), signe=json.dumps(told(niveau="high"))), "la signature est fausse"),
    "another use of the key": (
        lambda one: one.sends(told(), signature=one.sign(json.dumps(told(), ensure_ascii=False), b"file")),
        "un autre usage",
    ),
    "no signature": (lambda one: one.sends(told(), signature="x"), "ce n'est pas une signature d'OpenSSH"),
    "cut signature": (
        lambda one: one.sends(
            told(), signature="-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQ==\n-----END SSH SIGNATURE-----\n"
        ),
        "trop court",
    ),
    "of another machine": (lambda one: one.sends(told("wavrin-pc")), "est un relevé de « wavrin-pc »"),
    "from the future": (lambda one: one.sends(told(fin="2026-11-25T08:00:00Z")), "daté de l'avenir (2 h d'avance)"),
    "50 MB": (lambda one: b"x" * (50 << 20), "dépasse 256 Kio"),
    "not JSON": (lambda one: b"\xff\x00", "est illisible"),
    # json takes both of bytes; they were kept as UTF-8, which ended everybody's audit.
    "UTF-16": (lambda one: one.sends(told()).decode().encode("utf-16"), "est illisible"),
    "half a surrogate": (lambda one: one.sends(told(), autre="A").replace(b'"A"', b'"\xed\xa0\x80"'), "est illisible"),
    "a name that no file takes": (lambda one: one.sends(json.dumps(told("\ud800"))), "est un relevé de « \ufffd »"),
    "a name that writes lines": (
        lambda one: one.sends(told("\x1b]52;\nfab")),
        "est un relevé de « \ufffd]52;\ufffdfab »",
    ),
    "a list": (lambda one: b"[]", "est illisible"),
    "a number signed": (lambda one: one.sends("3"), "ce qu'elle a signé n'est pas un relevé"),
    "too deep": (lambda one: one.sends(_deep()), "ce qu'elle a signé n'est pas un relevé"),
    "another thing": (lambda one: one.sends(told(quoi="autre")), "est un relevé de"),
    "no number": (lambda one: one.sends(told(numero="x")), "champ « releve.numero » : un nombre entier est attendu"),
    "a date without its zone": (lambda one: one.sends(told(fin="2026-11-25T04:00:00")), "son fuseau sont attendus"),
    "a result of its own": (
        lambda one: one.sends(told(openscap=told()["openscap"] | {"regles": {"regle_0": "parfait"}})),
        "un résultat d'OpenSCAP est attendu",
    ),
    "another level": (lambda one: one.sends(told(niveau="minimal")), "juge au niveau « minimal »"),
    "another content": (
        lambda one: one.sends(told(openscap=told()["openscap"] | {"contenu_sha256": "1" * 64})),
        "un autre contenu OpenSCAP",
    ),
    "OpenSCAP failed": (
        lambda one: one.sends(told(openscap=None, echecs={"openscap": "OpenSCAP a échoué (code 1)"})),
        "n'a pas pu passer OpenSCAP : OpenSCAP a échoué (code 1)",
    ),
    "patches not seen": (
        lambda one: one.sends(told(correctifs=None, echecs={"correctifs": "E:lists"})),
        "n'a pas pu constater « correctifs » : E:lists",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_wrong_is_told_and_is_its_machines_fault_alone(
    find: Callable[..., Found], sender: Sender, what: str
) -> None:
    made, said = HOSTILE[what]
    wrong = find(made(sender))
    assert wrong.incident is not None
    assert said in wrong.incident["raison"]
    assert wrong.state == "en_erreur"
    assert wrong.incident["raison"].encode().decode().isprintable()
    good = find(sender.sends(told("wavrin-pc")), name="wavrin-pc")
    results = assess([wrong, good], Catalogue([entry("R9")]))
    verdicts = {name: one["verdict"] for name, one in results["controles"][0]["machines"].items()}
    assert verdicts == {"gondecourt-connecteur": "non_verifie", "wavrin-pc": "conforme"}
    assert results["verdict"]["machines_non_auditees"] == ["gondecourt-connecteur"]


def test_one_of_before_is_refused_and_the_same_again_is_not(find: Callable[..., Found], sender: Sender) -> None:
    old, new = told(), told(numero=1_764_090_000, fin="2026-11-25T05:00:00Z")
    new["chaine"] = [[old["numero"], hashlib.sha256(json.dumps(old, ensure_ascii=False).encode()).hexdigest()]]
    for one in (old, new, new):
        found = find(sender.sends(one))
        assert (found.state, found.releve and found.releve["remarque"]) == ("auditee", "")
    replayed = find(sender.sends(old))
    assert replayed.incident is not None
    assert "est d'avant celui du 25/11/2026" in replayed.incident["raison"]
    forked = find(sender.sends(copy.deepcopy(new) | {"cpu_s": 1.0}))
    assert forked.incident is not None, "two of one number"


def test_one_that_does_not_follow_is_told_and_taken(find: Callable[..., Found], sender: Sender) -> None:
    find(sender.sends(told()))
    found = find(sender.sends(told(numero=1_764_090_000, chaine=[[3, "0" * 64]])))
    assert found.state == "auditee" and found.releve is not None
    assert "un relevé a été retiré" in found.releve["remarque"]


def test_a_machine_that_is_made_again_begins_anew(find: Callable[..., Found], sender: Sender) -> None:
    find(sender.sends(told()))
    again = Sender()
    assert find(again.sends(told(numero=3)), keys={again.public}).state == "auditee"


def test_a_machine_that_never_answered_or_does_not_today(find: Callable[..., Found], sender: Sender) -> None:
    never = find("port 22 : connexion refusée")
    assert (never.state, never.incident and never.incident["raison"]) == ("injoignable", "port 22 : connexion refusée")
    find(sender.sends(told()))
    today = find("port 22 : connexion refusée")
    assert today.state == "auditee" and today.releve is not None
    assert "elle n'a pas répondu (port 22 : connexion refusée)" in today.releve["remarque"]


def test_a_machine_whose_key_is_not_known_is_not_believed(find: Callable[..., Found], sender: Sender) -> None:
    found = find(sender.sends(told()), keys=set())
    assert found.incident is not None and "known_hosts n'a pas sa clé" in found.incident["raison"]


@pytest.mark.parametrize("reached", [True, False])
def test_silence_has_an_age(find: Callable[..., Found], sender: Sender, reached: bool) -> None:
    raw = sender.sends(told())
    find(raw)
    found = find(raw if reached else "rien", now=NOW + dt.timedelta(days=5))
    assert found.state == "silencieuse" and found.incident is not None
    assert found.incident["raison"].startswith("se tait depuis 5 jours :")
    assert "son dernier relevé est du 25/11/2026" in found.incident["raison"]
    results = assess([found], Catalogue([entry("R9")]))
    assert results["controles"][0]["verdict"] == "non_verifie" and not results["verdict"]["conforme"]


def test_a_silent_fleet_is_told_once() -> None:
    every = [f"m{number}" for number in range(2500)]
    said = releves.silent_fleet(every[:1000], every)
    assert said.startswith("1000 machines sur 2500 se taisent (40 %) : cherchez d'abord une cause commune")
    assert releves.silent_fleet(every[:3], every) == ""
    assert releves.silent_fleet([], []) == ""


def test_what_is_kept_and_damaged_is_forgotten(kept: ReleveStore, find: Callable[..., Found], sender: Sender) -> None:
    find(sender.sends(told()))
    assert kept.last("gondecourt-connecteur") is not None
    kept.forget_others(["gondecourt-connecteur", "wavrin-pc"])
    path = kept._releve_path("gondecourt-connecteur")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("intermediary", "minimal"), encoding="utf-8")
    assert kept.last("gondecourt-connecteur") is None
    kept.forget_others([])
    assert not path.exists()
    assert kept._releve_path("../x").parent == kept._releve_path("x").parent


# -- keys --------------------------------------------------------------------------------------------------------------


def test_known_hosts_is_read_as_ssh_does(tmp_path: Path) -> None:
    one, two, three, gone = Sender(), Sender(), Sender(), Sender()

    def line(names: str, who: Sender) -> str:
        return f"{names} ssh-ed25519 {base64.b64encode(who.public).decode()} commentaire\n"

    salt = b"sel" * 7
    hashed = hmac.digest(salt, b"10.0.0.3", "sha1")
    name = f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(hashed).decode()}"
    file = tmp_path / "known_hosts"
    file.write_text(
        "# commentaire\n\n10.0.0.9 ssh-rsa AAAA\n10.0.0.8 ssh-ed25519 ***\n|1|x|y ssh-ed25519 AAAA\nseul\n"
        + line("10.0.0.1,pc.exemple.fr", one)
        + line("[10.0.0.2]:2222", two)
        + line(name, three)
        + line("10.0.0.4", gone)
        + line("@revoked *", gone),
        encoding="utf-8",
    )
    keys = HostKeys(file)
    assert keys.keys_of("10.0.0.1") == keys.keys_of("pc.exemple.fr") == {one.public}
    assert (keys.keys_of("10.0.0.2"), keys.keys_of("10.0.0.2", 2222)) == (set(), {two.public})
    assert keys.keys_of("10.0.0.3") == {three.public}
    assert keys.keys_of("10.0.0.4") == keys.keys_of("10.0.0.8") == keys.keys_of("10.0.0.9") == set()
    assert HostKeys(tmp_path / "absent").keys_of("10.0.0.1") == set()


def test_what_an_agent_signs_is_what_is_verified_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ends, with OpenSSH's own signature."""
    key = tmp_path / "cle"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    settings = agent.Settings("gondecourt-connecteur", "intermediary", key, tmp_path)
    assert (agent.KIND, agent.NAMESPACE) == (releves.KIND, releves.NAMESPACE)
    assert f"{settings.state}/{agent.RELEVE}".endswith(Path(releves.PLACE).name)
    monkeypatch.setattr(agent, "facts", lambda: told()["systeme"])
    monkeypatch.setattr(agent, "patches", lambda: told()["correctifs"])
    monkeypatch.setattr(agent, "_openscap", lambda _settings: told()["openscap"])
    public = base64.b64decode(key.with_suffix(".pub").read_text(encoding="utf-8").split()[1])
    kept, now = ReleveStore(tmp_path / "releves"), dt.datetime.now(dt.UTC)
    for _rank in range(3):
        assert agent.make(settings) == {}
        raw = (tmp_path / agent.RELEVE).read_bytes()
        found = releves.finding(target(), raw, {public}, kept, ASKED, now)
        assert found.state == "auditee" and found.releve is not None
        assert found.releve["remarque"] == ""
    assert agent._LARGEST < releves.LARGEST


def test_content_says_what_is_asked(tmp_path: Path) -> None:
    space, pre = "http://checklists.nist.gov/xccdf/1.2", "xccdf_org.ssgproject.content_"
    rules = "".join(
        f'<Rule id="{pre}rule_{name}" severity="low"><title>Titre {name}</title>'
        '<reference href="https://cyber.gouv.fr/x">R9</reference><reference href="https://nist.gov">AC-1</reference>'
        f'<check system="x"><check-export value-id="{pre}value_v"/></check></Rule>'
        for name in "abc"
    )
    file = tmp_path / "ds.xml"
    file.write_text(
        f'<Benchmark xmlns="{space}"><Profile id="{pre}profile_anssi_bp28_minimal">'
        f'<select idref="{pre}rule_a" selected="true"/><select idref="{pre}rule_b" selected="true"/>'
        f'<select idref="{pre}rule_b" selected="false"/><select idref="{pre}group_g" selected="false"/>'
        f'<refine-value idref="{pre}value_v" selector="fort"/>'
        f'<refine-rule idref="{pre}rule_a" severity="high"/></Profile>'
        f'<Value id="{pre}value_v"><value>1</value><value selector="fort">15</value></Value>{rules}</Benchmark>',
        encoding="utf-8",
    )
    found = content.read(file, ["minimal"])["minimal"]
    assert found.profile == "anssi_bp28_minimal"
    assert found.rules == {"a": Rule("a", "", "high", "Titre a", ("R9",), {"v": "15"})}
    with pytest.raises(AuditError, match="pas de profil pour le niveau « high »"):
        content.read(file, ["high"])


# -- cost --------------------------------------------------------------------------------------------------------------

SENDERS = 100
CPU_SECONDS = 0.1
"""Of the control node for a machine; 0.5 is promised for all that an audit does of one."""


def heavy(name: str) -> dict[str, Any]:
    """A relevé of the size of a server's at the highest level, four weeks without patches."""
    packages = [
        {"nom": f"libpaquet{number}:amd64", "installee": "3.5.1-1+deb13u1", "disponible": "3.5.1-1+deb13u2"}
        for number in range(120)
    ]
    sockets = [
        {"protocole": "tcp", "adresse": "10.59.2.20", "port": str(number), "programme": "python3"}
        for number in range(60)
    ]
    one = told(name, chaine=[[number, hashlib.sha256(b"%d" % number).hexdigest()] for number in range(60)])
    one["correctifs"] = one["correctifs"] | {"a_mettre_a_jour": packages, "securite": packages[:60]}
    one["systeme"] = one["systeme"] | {"ecoute": sockets}
    one["openscap"] = one["openscap"] | {
        "regles": {f"accounts_password_pam_rule_{n}": "pass" for n in range(400)} | {"regle_0": "fail"}
    }
    return one


def test_the_control_node_verifies_and_judges_a_fleet_for_little(kept: ReleveStore, record_property: Any) -> None:
    asked = Content(
        "anssi_bp28_intermediary", {n: Rule(n, "", controls=("R9",)) for n in heavy("")["openscap"]["regles"]}
    )
    senders = {f"m{number}": Sender() for number in range(SENDERS)}
    fetched = {name: one.sends(heavy(name)) for name, one in senders.items()}
    size = max(map(len, fetched.values()))
    start = time.process_time()
    found = [
        releves.finding(target(name=name), fetched[name], {one.public}, kept, asked, NOW)
        for name, one in senders.items()
    ]
    results = assess(found, Catalogue([entry(f"R{number}") for number in range(1, 81)]))
    spent = (time.process_time() - start) / SENDERS
    record_property("secondes_par_machine", spent)
    print(f"{1000 * spent:.1f} ms de processeur par machine, relevés de {size} octets")
    assert {one.state for one in found} == {"auditee"} and len(results["machines"]) == SENDERS
    assert 30_000 < size < releves.LARGEST
    assert spent < CPU_SECONDS
