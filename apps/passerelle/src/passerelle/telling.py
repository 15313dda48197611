"""What the parapheur and the deliberations' server are told of an act."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .acts import FAILED
from .config import Config
from .files import Files
from .servers import Servers
from .steps import place
from .store import Store, Tracked

# What ends an act that does not go out, or of a commune which transmits nothing by this way: told to the deliberations'
# server, the parapheur.
TO_PUBLISH, CLOSED = "a_publier", "clos"


class Telling:
    """Compares what was told with what is so: each state once and in order."""

    def __init__(
        self, config: Config, store: Store, files: Files, servers: Servers, on_step: Callable[[str], None]
    ) -> None:
        self._config, self._store, self._files, self._servers, self._step = config, store, files, servers, on_step

    def tell(self, act: Tracked) -> Tracked:
        """Tell the parapheur and the deliberations' server where the act is, each state once and in order."""
        has = self._config.has
        path = [
            *(["au_parapheur", "signee"] * has(act.commune, "parapheur")),
            *(["transmise", "acquittee"] if act.goes and has(act.commune, "teletransmission") else [TO_PUBLISH]),
        ]
        for name, wanted, order in (
            ("parapheur", self.for_parapheur(act), ["teletransmis", "acquitte"]),
            ("deliberations", self.for_deliberations(act), path),
        ):
            last = act.track.get("dit", {}).get(name, "")
            if not wanted or last == wanted:
                continue
            begin = order.index(last) + 1 if last in order else 0
            for state in order[begin : order.index(wanted) + 1] if wanted in order[begin:] else [wanted]:
                if name == "parapheur":
                    self._servers.parapheur().tell(act.track["dossier"], state, self._reason(act))
                else:
                    self._tell_deliberations(act, state)
                self._step(f"{name}: {state} dit")
                act = self._store.remember(act, dit=act.track.get("dit", {}) | {name: state})
        return act

    @staticmethod
    def _reason(act: Tracked) -> str:
        failed = act.track.get("echec") or act.track.get("refus") or {}
        return str(failed.get("motif", ""))

    def for_parapheur(self, act: Tracked) -> str:
        """The state that the parapheur must know, or ""."""
        if "dossier" not in act.track or not self._config.has(act.commune, "parapheur"):
            return ""
        if act.track.get("echec"):
            return "en_erreur"
        if not act.goes or not self._config.has(act.commune, "teletransmission"):
            return CLOSED * (place(act.step) > place("reprise"))
        return "acquitte" if act.reached("acquittee") else "teletransmis" * act.reached("transmise")

    def for_deliberations(self, act: Tracked) -> str:
        """The state that the deliberations' server must know, or ""."""
        if not act.uid or not self._config.has(act.commune, "deliberations"):
            return ""
        if act.track.get("echec"):
            return str(act.track["echec"]["etat"])
        if place(act.step) > place("aracte"):
            if act.tdt.get("id_acte"):
                return "acquittee"
            if not act.goes or not self._config.has(act.commune, "teletransmission"):
                return TO_PUBLISH
        if act.reached("transmise"):
            return "transmise"
        if act.track.get("refus"):
            return "refusee"
        return "signee" if "signe" in act.track else "au_parapheur" * ("dossier" in act.track)

    def _tell_deliberations(self, act: Tracked, state: str) -> None:
        told: dict[str, Any] = {"etat": state}
        tdt, document = act.tdt, None
        if state in FAILED:
            told["motif"] = self._reason(act)
        if state == "acquittee":
            told |= {key: tdt[key] for key in ("id_acte", "date_reception") if key in tdt}
            document = self._files.path(act.document)
        elif state == TO_PUBLISH and act.track.get("signe"):
            document = self._files.path(act.track["signe"])
        self._servers.deliberations().tell(act.uid, told, document)
