"""The site of the délibérations as people and the passerelle use it: over TLS, by its pages and by its API."""

from __future__ import annotations

import base64
import datetime
import html
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from testbed.https import Server

JSON = {"Accept": "application/json"}
HTML = {"Accept": "text/html"}
WRITER, MANAGER, MAYOR, STRANGER = "karim.lefevre", "paul.renard", "claire.dubois", "nadia.moreau"
MEETINGS = "/gondecourt/seances"


@dataclass(frozen=True)
class Council:
    """Whose meetings are held, and by whom.

    Attributes:
        slug: of the commune.
        writer, manager: logins of who writes the projets, and of who conducts the meeting.
        present: members, the maire first; the second reports and keeps the minutes.
        proxies: those who are absent, and whom each gave their vote.
        mayor: login of whose name the convocation bears.
    """

    slug: str
    writer: str
    manager: str
    present: tuple[str, ...]
    proxies: Mapping[str, str] = field(default_factory=dict)
    mayor: str = MAYOR


GONDECOURT = Council(
    "gondecourt",
    WRITER,
    MANAGER,
    ("Claire Dubois", "Amina Benali", "Bruno Carpentier"),
    {"Thomas Wattiez": "Claire Dubois"},
)


@dataclass
class Browser:
    """Somebody's cookies."""

    site: Site
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, fields: Mapping[str, Any] | None = None) -> Any:
        """One request; redirections are not followed. A field that is a file is (name, content, type)."""
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        files = any(isinstance(one, tuple) for one in (fields or {}).values())
        given: dict[str, Any] = {} if fields is None else {"fields": dict(fields), "encode_multipart": files}
        answer = self.site.ask(method, path, HTML | sent, **given)
        for cookie in answer.headers.getlist("Set-Cookie"):
            name, _equal, value = cookie.partition(";")[0].partition("=")
            if value.strip('"') in ("", "deleted"):
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer

    def log_in(self, login: str, password: str) -> Any:
        """Send the login form."""
        page = self.ask("GET", "/login").data.decode()
        fields = {"__ac_name": login, "__ac_password": password, "came_from": "", "buttons.login": "Se connecter"}
        return self.ask("POST", "/login", fields | token(page))

    def change_password(self, old: str, new: str) -> Any:
        """Send the form of the first change."""
        path = "/@@forced-password-change"
        fields = {
            "form.widgets.current_password": old,
            "form.widgets.new_password": new,
            "form.widgets.new_password_ctl": new,
            "form.buttons.reset_passwd": "Changer le mot de passe",
        }
        return self.ask("POST", path, fields | token(self.ask("GET", path).data.decode()))


def token(page: str) -> dict[str, str]:
    """What a form proves that it is the site's own by."""
    found = re.search(r'name="_authenticator"[^>]* value="([^"]+)"', page)
    return {"_authenticator": html.unescape(found[1])} if found else {}


def seen(page: str, does: str) -> dict[str, str]:
    """What a form says that its page showed, by what it does."""
    within = r"(?:(?!</form>).)*?"
    found = re.search(rf'name="faire" value="{does}"{within}name="vu" value="([^"]+)"', page, re.DOTALL)
    return {"vu": found[1]} if found else {}


@dataclass
class Site(Server):
    """The site, and the passwords of its accounts."""

    council: Council = GONDECOURT

    patience_s: ClassVar[int] = 600

    @property
    def _accounts(self) -> Path:
        return self.home / "secrets" / "deliberations" / "comptes"

    def first_password(self, login: str) -> str:
        """The password that an account was given."""
        return (self._accounts / login).read_text(encoding="utf-8").strip()

    def password(self, login: str) -> str:
        """The password of somebody, who has changed the first one: now, if they had not yet."""
        chosen = self._accounts / f"{login}.essai"
        if not chosen.exists():
            new = f"{secrets.token_hex(6)}-Essai-{secrets.token_hex(3)}"
            browser = Browser(self)
            assert browser.log_in(login, self.first_password(login)).status == 302
            changed = browser.change_password(self.first_password(login), new)
            assert changed.status == 302, changed.data[:500]
            chosen.write_text(new, encoding="utf-8")
        return chosen.read_text(encoding="utf-8")

    def path(self, url: str) -> str:
        """The path of an address of the site."""
        assert url.startswith(f"https://{self.name}/"), url
        return url.removeprefix(f"https://{self.name}")

    def api(self, login: str, method: str, path: str, body: Any = None) -> Any:
        """One request of somebody's to the API; nobody's when the login is empty."""
        headers = dict(JSON)
        if login == "passerelle":
            known = base64.b64encode(f"passerelle:{self.first_password('passerelle')}".encode()).decode()
            headers["Authorization"] = f"Basic {known}"
        elif login:
            if login not in self._tokens:
                answer = self.ask("POST", "/@login", JSON, json={"login": login, "password": self.password(login)})
                assert answer.status == 200, (login, answer.status, answer.data[:300])
                self._tokens[login] = answer.json()["token"]
            headers["Authorization"] = f"Bearer {self._tokens[login]}"
        given: dict[str, Any] = {} if body is None else {"json": body}
        return self.ask(method, path, headers, **given)

    def done(self, login: str, method: str, path: str, body: Any = None) -> Any:
        """One request that must be granted; gives what it answers."""
        answer = self.api(login, method, path, body)
        assert answer.status in (200, 201, 204), (login, method, path, answer.status, answer.data[:500])
        return answer.json() if answer.data else {}

    def move(self, login: str, path: str, transition: str) -> str:
        """One transition that must be granted; gives the new state."""
        return str(self.done(login, "POST", f"{path}/@workflow/{transition}")["review_state"])

    def state(self, login: str, path: str) -> str:
        """State of an object."""
        return str(self.done(login, "GET", path)["review_state"])

    def file(self, login: str, path: str) -> bytes:
        """A file, for somebody."""
        headers = {"Accept": "*/*"}
        if login == "passerelle":
            known = base64.b64encode(f"passerelle:{self.first_password('passerelle')}".encode()).decode()
            headers["Authorization"] = f"Basic {known}"
        elif login:
            self.api(login, "GET", "/@types")
            headers["Authorization"] = f"Bearer {self._tokens[login]}"
        answer = self.ask("GET", path, headers)
        assert answer.status == 200, (path, answer.status)
        data: bytes = answer.data
        return data

    def browser(self, login: str) -> Browser:
        """Somebody's browser, once they are logged in by the page."""
        browser = Browser(self)
        answer = browser.log_in(login, self.password(login))
        assert answer.status == 302, (login, answer.status)
        return browser

    def decide(self, login: str, projet: str, **fields: Any) -> str:
        """Send a form of the page of publication; gives the page that it leads to."""
        page = f"{projet}/@@publication"
        return self.send(login, page, page, **fields)

    def publish(self, projet: str, annexes: str = "non", **fields: Any) -> str:
        """Choose to publish an act as it was signed, and its annexes or not; gives the page then."""
        uids = [
            one["UID"] for one in self.done(self.council.manager, "GET", f"{projet}?fullobjects=1").get("items", [])
        ]
        title = self.done(self.council.manager, "GET", projet)["title"]
        said = {"objet": title, "document": "signe"} | {f"annexe_{uid}": annexes for uid in uids}
        return self.decide(self.council.manager, projet, **(said | fields))

    # -- a council

    def meeting(self, day: str, mark: str) -> str:
        """A new meeting of the council; gives its path."""
        body = {
            "@type": "seance",
            "title": f"Conseil municipal {mark}",
            "date": day,
            "heure": "18:30",
            "lieu": "Mairie",
            # On paper, in time: what is tried here begins with the meeting.
            "envoyee_le": (datetime.date.fromisoformat(day) - datetime.timedelta(10)).isoformat(),
        }
        return self.path(self.done(self.council.writer, "POST", f"/{self.council.slug}/seances", body)["@id"])

    def projet(self, meeting: str, subject: str, matter: str = "7.1") -> str:
        """A new projet in it; gives its path."""
        body = {
            "@type": "projet",
            "title": subject,
            "matiere": matter,
            "rapporteur": self.council.present[1],
            "expose": {"data": f"<p>Exposé : {subject}.</p>", "content-type": "text/html"},
            "dispositif": {"data": "<p>Article 1 : le conseil décide.</p>", "content-type": "text/html"},
        }
        return self.path(self.done(self.council.writer, "POST", meeting, body)["@id"])

    def send(self, login: str, page: str, action: str, **fields: Any) -> str:
        """Send somebody's form of a page; gives the page then."""
        browser = self.browser(login)
        shown = browser.ask("GET", page).data.decode()
        forms = re.findall(rf'<form[^>]*action="[^"]*{re.escape(action)}".*?</form>', shown, re.DOTALL)
        seen = re.search(r'name="vu"[^>]* value="([^"]+)"', "".join(forms) or shown)
        known = token(shown) | ({"vu": seen[1]} if seen else {})
        answer = browser.ask("POST", action, known | fields)
        assert answer.status == 302, (answer.status, answer.data[:500])
        return str(browser.ask("GET", page).data.decode())

    def convene(self, meeting: str) -> str:
        """Convene the council, once whose name the convocation bears approved it; gives the new state."""
        self.send(self.council.mayor, meeting, f"{meeting}/@@approuver")
        return self.move(self.council.manager, meeting, "convoquer")

    def hand_over(self, meeting: str, day: str = "") -> str:
        """Note that all who wait for it on paper were handed the convocation; gives the page then."""
        sent = day or str(self.done(self.council.manager, "GET", meeting)["convoquee_le"])
        page = f"{meeting}/@@envois"
        return self.send(self.council.manager, page, page, elu="*", jour=sent)

    def confirm(self, meeting: str, **fields: Any) -> str:
        """Confirm the subjects of a meeting that is over, as its page shows them; gives the page then."""
        page = f"{meeting}/@@suites"
        shown = html.unescape(self.browser(self.council.manager).ask("GET", page).data.decode())
        named = re.findall(r'name="(objet_\w+)" value="([^"]*)"', shown)
        seen = dict(re.findall(r'name="(vu_\w+)" value="([^"]*)"', shown))
        uids = [name.partition("_")[2] for name, _text in named]
        said = dict(named) | seen | {f"confirme_{uid}": "1" for uid in uids}
        return self.send(self.council.manager, page, page, **(said | {"faire": "liste"} | fields))

    def open(self, meeting: str, *projets: str) -> None:
        """Put projets on the agenda, convene and open the meeting."""
        for one in projets:
            self.move(self.council.writer, one, "soumettre")
            self.move(self.council.manager, one, "inscrire")
        self.convene(meeting)
        self.hand_over(meeting)
        present = [_token(one) for one in self.council.present]
        attendance = {
            "presents": present,
            "pouvoirs": [f"{absent} : {holder}" for absent, holder in self.council.proxies.items()],
            "president": present[0],
            "secretaire": present[1],
        }
        self.done(self.council.manager, "PATCH", meeting, attendance)
        self.move(self.council.manager, meeting, "ouvrir")

    def adopt(self, projet: str) -> str:
        """Have a projet adopted unanimously; gives its number."""
        voters = [_token(one) for one in (*self.council.present, *self.council.proxies)]
        self.done(self.council.manager, "PATCH", projet, {"pour": voters})
        self.move(self.council.manager, projet, "adopter")
        return str(self.done(self.council.manager, "GET", projet)["numero"])


def _token(name: str) -> str:
    """A member, as the site's lists name them."""
    return name.lower().replace(" ", "-")
