"""A délibération by the pages alone, as people of a commune do it: who writes, the DGS and the maire."""

from __future__ import annotations

import datetime as dt
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Error

from testbed.browser import People, Person, people
from testbed.deliberations import MANAGER, MAYOR, WRITER, Council, Site
from testbed.parapheur import Parapheur
from testbed.patience import wait_for


@dataclass
class Clerks:
    """Somebody who writes, a DGS and a maire, logged in to the délibérations and to the parapheur.

    Attributes:
        others: browsers of other people.
    """

    site: Site
    parapheur: Parapheur
    others: People
    writer: Person
    manager: Person
    mayor: Person

    def times(self) -> dict[str, float]:
        """How many pages they were shown, and how long those took: the 95th percentile and the most, milliseconds."""
        spent = sorted(time for who in (self.writer, self.manager, self.mayor) for _path, time in who.times)
        return {"nombre": len(spent), "p95_ms": round(spent[int(len(spent) * 0.95)]), "plus_ms": round(spent[-1])}

    @property
    def council(self) -> Council:
        """Whose meetings they hold."""
        return self.site.council

    # -- a meeting

    def prepare(self, day: dt.date, mark: str) -> str:
        """The writer makes a meeting, of which the convocation left on paper in time; gives its address."""
        page = self.writer.page
        self.writer.go(f"https://{self.site.name}/{self.council.slug}/seances")
        self.writer.press("Ajouter une séance", "link")
        page.get_by_label("Assemblée").fill(f"Conseil municipal {mark}")
        page.get_by_label("Date", exact=True).fill(day.isoformat())
        page.get_by_label("Heure").fill("18:30")
        page.get_by_label("Lieu").fill("Mairie")
        page.get_by_label("Convocation déjà envoyée le").fill((day - dt.timedelta(10)).isoformat())
        self.writer.press("Enregistrer")
        return page.url.removesuffix("/view")

    def write(self, meeting: str, subject: str, matter: str) -> str:
        """The writer adds a projet; gives its address.

        Args:
            matter: code of the nomenclature.
        """
        page = self.writer.page
        self.writer.go(meeting)
        self.writer.press("Ajouter un projet", "link")
        page.get_by_label("Objet").fill(subject)
        page.get_by_label("Rapporteur").fill(self.council.present[1])
        page.get_by_label("Matière").select_option(matter)
        for field, text in (("expose", f"Exposé : {subject}."), ("dispositif", "Article 1 : le conseil décide.")):
            page.frame_locator(f"#form-widgets-{field}_ifr").locator("body").fill(text)
        self.writer.press("Enregistrer")
        return page.url.removesuffix("/view")

    def submit(self, projet: str) -> None:
        """The writer hands a projet to the DGS."""
        self.writer.go(projet)
        self.writer.press("Soumettre au DGS")

    def join(self, projet: str, name: str, content: bytes) -> str:
        """The writer adds an annex, on the form that is there if one was refused; gives what the page says."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, name).write_bytes(content)
            if "++add++File" not in self.writer.page.url:
                self.writer.go(projet)
                self.writer.press("Ajouter une annexe", "link")
            self.writer.page.locator("input[type=file]").set_input_files(Path(folder, name))
            self.writer.press("Enregistrer")
        return self.writer.read()

    def open(self, meeting: str, day: dt.date, *projets: str) -> None:
        """The DGS puts projets on the agenda; the maire approves the convocation; the DGS convenes, notes that it was
        handed over, who is there, and opens the meeting."""
        page, sent = self.manager.page, (day - dt.timedelta(10)).isoformat()
        for one in projets:
            self.manager.go(one)
            self.manager.press("Inscrire à l'ordre du jour")
        self.mayor.go(meeting)
        self.mayor.press("J'approuve cette convocation")
        self.manager.go(meeting)
        self.manager.press("Convoquer")
        self.manager.press("Envois de la convocation", "link")
        page.get_by_label("Remise sur papier, le même jour").fill(sent)
        self.manager.press("Noter ces remises")
        self.manager.go(f"{meeting}/edit")
        for name in self.council.present:
            page.get_by_role("checkbox", name=name).check()
        page.get_by_label("Président de séance").select_option(label=self.council.present[0])
        page.get_by_label("Secrétaire de séance").select_option(label=self.council.present[1])
        page.get_by_label("Convocation affichée ou publiée le").fill(sent)
        self.manager.press("Enregistrer")
        self.manager.press("Ouvrir la séance")

    def adopt(self, projet: str) -> str:
        """The DGS notes that all vote for, then that it is adopted; gives its number."""
        self.manager.go(projet)
        self.manager.press("Unanimité pour")
        self.manager.press("Adopter")
        return self.number()

    def adopt_secretly(self, projet: str, votes: tuple[int, int], asked_by: int) -> str:
        """The DGS notes what the ballots of a secret vote say, then that it is adopted; gives its number."""
        self.manager.go(projet)
        self.manager.press("Présence et vote", "link")
        page = self.manager.page
        page.get_by_label("Scrutin", exact=True).select_option(
            label="Scrutin secret, demandé par le tiers des présents"
        )
        page.get_by_label("Scrutin secret, demandé par").fill(str(asked_by))
        for name, count in zip(("pour", "contre"), votes, strict=True):
            page.get_by_label(f"Scrutin secret : bulletins {name}").fill(str(count))
        for name in ("blancs", "nuls"):
            page.get_by_label(f"Scrutin secret : bulletins {name}").fill("0")
        self.manager.press("Enregistrer")
        self.manager.press("Adopter")
        return self.number()

    def number(self) -> str:
        """The number of the délibération of the DGS's page."""
        found = re.match(r"N° (\S+) ", self.manager.page.locator("h1").inner_text())
        assert found, self.manager.read()[:1500]
        return found[1]

    def close(self, meeting: str) -> None:
        """The DGS ends it."""
        self.manager.go(meeting)
        self.manager.press("Clore la séance")

    def publish(self, projet: str) -> None:
        """The DGS confirms the subject and has the signed act published, with all its annexes."""
        page, place = self.manager.page, f"{projet}/@@publication"
        wait_for(lambda: self.manager.go(place), place, 300, every=1, despite=(AssertionError, Error))
        page.get_by_label("Publier le document signé").check()
        for choice in page.get_by_role("radio", name=re.compile("^La publier")).all():
            choice.check()
        page.locator("button[name=choisir]").click()
        page.wait_for_load_state()

    # -- the parapheur

    def find(self, who: Person, number: str) -> None:
        """Somebody opens the dossier of an act from what awaits them, once it is there."""

        def there() -> bool:
            who.go(f"https://{self.parapheur.name}/")
            return who.page.get_by_role("link", name=number).count() == 1

        wait_for(there, f"{number} dans « À traiter »", 600, every=1, despite=(AssertionError, Error))
        who.press(re.compile(re.escape(number)), "link")

    def visa(self, number: str) -> None:
        """The DGS gives the visa."""
        self.find(self.manager, number)
        self.manager.press("Donner le visa")

    def to_sign(self, number: str) -> bytes:
        """The maire downloads what is to be signed."""
        self.find(self.mayor, number)
        with self.mayor.page.expect_download() as given:
            self.mayor.page.get_by_role("link", name="Téléchargez le document").click()
        return Path(given.value.path()).read_bytes()

    def hand_in(self, number: str, signed: bytes) -> str:
        """The maire hands the signed file in; gives what the page says."""
        self.find(self.mayor, number)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "acte-signe.pdf")
            file.write_bytes(signed)
            self.mayor.page.get_by_label("Fichier signé").set_input_files(file)
            self.mayor.press("Déposer le fichier signé")
        return self.mayor.read()


def enter(who: Person, site: Site, login: str) -> None:
    """Somebody logs in to the délibérations."""
    who.go(f"https://{site.name}/login")
    who.page.locator("[name=__ac_name]").fill(login)
    who.page.locator("[name=__ac_password]").fill(site.password(login))
    who.press("Se connecter")


def log_in(who: Person, site: Site, parapheur: Parapheur, login: str) -> None:
    """Somebody logs in to both; a first password is changed before, by their pages too."""
    enter(who, site, login)
    parapheur.choose(login)
    who.go(f"https://{parapheur.name}/")
    who.page.locator("[name=username]").fill(login)
    who.page.locator("[name=password]").fill(parapheur.password(login))
    who.press("Se connecter")


@contextmanager
def clerks(site: Site, parapheur: Parapheur, pictures: str = "", **others: str) -> Iterator[Clerks]:
    """The people of Gondecourt, each in a browser of their own.

    Args:
        others: address of other servers that somebody visits, by their names.
    """
    with ExitStack() as opened:
        home = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        servers = {site.name: site.address, parapheur.name: parapheur.address} | others
        those: People = opened.enter_context(people(servers, site.trust, home, pictures))
        found = []
        for login in (WRITER, MANAGER, MAYOR):
            found.append(opened.enter_context(those.one()))
            log_in(found[-1], site, parapheur, login)
        yield Clerks(site, parapheur, those, *found)
