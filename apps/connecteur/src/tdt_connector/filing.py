"""Where a finished deposit goes, and what people read there."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from creatic_agent.act import SUMMARY
from creatic_agent.durable import sync_directory, write

from . import description as descriptions
from .checks import Submission
from .depot import same_file
from .errors import sentence
from .journal import Row, State
from .part import Part
from .sip import KEPT
from .storage import copy, move

log = logging.getLogger("tdt-connector")
FOLDERS = {
    State.ACKNOWLEDGED: "acquittes",
    State.REFUSED: "rejets",
    State.ERROR: "rejets",
    State.REJECTED: "rejets",
    State.CANCELLED: "annules",
    State.KEPT: "conserves",
}
ACQUIT = "acquittement.xml"
_TODO = {
    State.REJECTED: "Rien n'a été transmis. Corrigez, puis déposez de nouveau les fichiers dans « depot ».",
    State.REFUSED: "L'acte a été transmis et refusé. Un nouvel envoi demande un autre numéro (un suffixe suffit).",
    State.ERROR: "L'acte a été reçu par le TdT, qui l'a mis en erreur. Un nouvel envoi demande un nouveau numéro.",
    State.KEPT: "Rien n'a été transmis, et rien ne le sera : l'acte est gardé ici, pour l'archive. S'il devait partir, "
    "déposez-le de nouveau, sous un autre numéro, avec « transmission: oui ».",
}
_TODO_FLOW = {
    **_TODO,
    State.REFUSED: "Le flux a été transmis et refusé, en tout ou en partie. Corrigez ce qui est refusé dans le "
    "logiciel de comptabilité, puis déposez un nouveau flux avec cela seul : ce que la DGFiP a accepté ne se renvoie "
    "pas.",
    State.ERROR: "Le flux a été reçu par le TdT, qui l'a mis en erreur : la DGFiP ne l'a pas. Corrigez, puis déposez "
    "un nouveau flux.",
}


class Filing(Part):
    """Ends deposits: their last state, their last folder. Started again at any point, it ends the same."""

    def reject(self, row: Row, problem: str) -> None:
        """End a deposit of which nothing was sent."""
        log.warning("« %s » est rejeté : %s", row.title, problem.replace("\n", " "))
        self._step("rejet")
        self.file(self._journal.move(row, State.REJECTED, detail=problem))

    def keep(self, row: Row, act: Submission) -> None:
        """End an act that does not go out (CGCT, L2131-2): the archive takes it from its folder. Raises AlreadyUsed."""
        told = "déclaré non transmissible par sa description (CGCT, L2131-2)."
        self._step("avant conservation")
        self.file(self._journal.move(row, State.KEPT, numero=act.number, acte=act.to_dict(), detail=told))

    def finish(self, row: Row, state: State, **values: Any) -> None:
        """End a deposit that the TdT had."""
        self._step("avant fin")
        row = self._journal.move(row, state, **values)
        self._step("fin")
        self.file(row)

    def file(self, row: Row) -> None:
        """Bring a finished deposit to its last folder. Started again at any point, it ends the same."""
        source = self._config.folder_current / row.ref
        target = self._config.dossier / FOLDERS[row.state] / last_name(row)
        if source.exists():
            if target.exists():  # filed once already, under a journal that was lost since
                target = target.with_name(f"{target.name}_{row.ref}")
            self._write_summary(row, source)
            if row.kind == "pes" and row.state is State.REFUSED:
                self._write_letter(row, source)
            self._step("résumé")
            move(source, target)
        elif not row.cleared:
            self._move_refused(row, target)
        self._step("classé")
        self._journal.note(self._journal.get(row.id), classe=1, retire_du_depot=1)

    def _move_refused(self, row: Row, target: Path) -> None:
        """Files refused where they stood go from depot/ to rejets/ as they are."""
        target.mkdir(mode=0o750, exist_ok=True)
        write(target / "motif.txt", _motive(row).encode("utf-8", errors="replace"))
        for item in row.files:
            path = self._config.folder_depot / item.name
            ours = item.name in descriptions.RESERVED
            try:
                if same_file(item, path.lstat()):
                    move(path, target / (f"depot-{item.name}" if ours else item.name))
                    self._step("déplacé du dépôt")
            except FileNotFoundError:
                continue

    def _write_summary(self, row: Row, folder: Path) -> None:
        if row.state is not State.ACKNOWLEDGED:
            write(folder / "motif.txt", _motive(row).encode("utf-8", errors="replace"))
        write(
            folder / "resume.json",
            json.dumps(summary(row), ensure_ascii=False, indent=2).encode("utf-8", "replace"),
        )

    def _write_letter(self, row: Row, folder: Path) -> None:
        """A refusal of the DGFiP, among the letters: it is one, that Helios does not write."""
        parent = self._config.dossier / "lettres"
        # Its name ends otherwise than those of the TdT's documents, which are known by their number.
        name = f"rejet-{row.transaction}-helios"
        if any(parent.glob(f"*-{name}")):
            return
        partial = parent / f".{name}"
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(mode=0o750)
        write(partial / "rejet.txt", _letter(row).encode("utf-8", errors="replace"))
        if (folder / ACQUIT).exists():
            copy(folder / ACQUIT, partial / ACQUIT)
        sync_directory(partial)
        move(partial, parent / f"{date.today():%Y%m%d}-{name}")


def pes_name(row: Row) -> str:
    """Name of the file of a flow."""
    return next(item.name for item in row.files if not item.name.lower().endswith((".yml", ".yaml")))


def last_name(row: Row) -> str:
    """Name of the last folder of a deposit."""
    if row.idacte:
        return row.idacte
    if row.state is State.KEPT:
        return f"{KEPT}{row.ref}"
    if row.kind == "pes" and row.state is State.ACKNOWLEDGED:
        return f"PES-{row.transaction}-{Path(pes_name(row)).stem}"
    return row.ref


def summary(row: Row) -> dict[str, Any]:
    """A deposit in words, for resume.json and `status --json`."""
    act = Submission.from_dict(row.act) if row.kind != "pes" and row.act else None
    told = replace(act, nature=act.nature_short).named(SUMMARY) if act else {}
    return {
        "genre": row.kind,
        "reference": row.ref,
        "numero": row.number,
        "etat": row.state.value,
        "idacte": row.idacte,
        "aracte_le": row.acknowledged_on,
        "transaction": row.transaction,
        "statut_tdt": row.remote_status,
        **{SUMMARY[field]: told.get(SUMMARY[field]) for field in ("subject", "date", "nature")},
        SUMMARY["matter"]: told.get(SUMMARY["matter"]) or None,
        "remarques": list(act.remarks) if act else [],
        "detail": row.detail,
        "depose_le": datetime.fromtimestamp(row.deposited_at).astimezone().isoformat(timespec="seconds"),
        "modifie_le": datetime.fromtimestamp(row.changed_at).astimezone().isoformat(timespec="seconds"),
        "fichiers": [{"nom": item.name, "octets": item.size, "sha256": item.sha256} for item in row.files],
        **({"helios": row.act} if row.kind == "pes" and row.act else {}),
    }


def _letter(row: Row) -> str:
    """A refusal of the DGFiP, for people."""
    lines = "\n".join(f"  - {sentence(line)}" for line in row.detail.splitlines())
    sent = datetime.fromtimestamp(row.deposited_at)
    return (
        f"Rejet de la DGFiP (Helios)\n\nFlux « {pes_name(row)} », déposé le {sent:%d/%m/%Y à %H:%M}, "
        f"transaction {row.transaction} au TdT.\n\n{lines}\n\n{_TODO_FLOW[State.REFUSED]}\n\n"
        f"Le flux et la réponse de la DGFiP sont dans « {FOLDERS[row.state]}/{last_name(row)} ».\n"
    )


def _motive(row: Row) -> str:
    lines = "\n".join(f"  - {sentence(line)}" for line in row.detail.splitlines())
    names = ", ".join(item.name for item in row.files)
    known = _TODO_FLOW if row.kind == "pes" else _TODO
    todo = known.get(row.state, "Rien n'a été transmis.")
    when = datetime.fromtimestamp(row.changed_at)
    head = f"{row.state.label.capitalize()} le {when:%d/%m/%Y à %H:%M}."
    return f"{head}\n\nMotif :\n{lines}\n\n{todo}\n\nFichiers : {names}\n"
