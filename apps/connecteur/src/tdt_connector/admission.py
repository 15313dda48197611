"""What is checked of a deposit before it may be sent."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

from creatic_agent import totem
from creatic_agent.durable import write

from . import description as descriptions
from .checks import check_act, check_kept, check_pes
from .filing import Filing, pes_name
from .journal import AlreadyUsed, Row, State
from .nomenclature import Nomenclature
from .part import Bench, Part
from .storage import digest


class Admission(Part):
    """Checks deposits: an act becomes ready to be submitted, or is rejected with every reason."""

    def __init__(self, bench: Bench, nomenclature: Nomenclature, filing: Filing) -> None:
        super().__init__(bench)
        self._nomenclature, self._filing = nomenclature, filing

    def check(self, row: Row) -> None:
        """Check a deposit that has left depot/."""
        if not row.cleared:
            return
        folder = self._config.folder_current / row.ref
        if row.kind == "pes":
            self._check_pes(row, folder)
            return
        try:
            described = self._description(row, folder)
        except descriptions.DescriptionError as error:
            self._filing.reject(row, str(error))
            return
        if described.transmission == descriptions.STAYS:  # before anything that leads to the TdT
            self._keep(row, folder, described)
            return
        problem = self._nomenclature.problem()
        if self._nomenclature.current is None or problem:
            if row.detail != problem:
                self._journal.note(row, detail=problem)
            return
        act, faults = check_act(described, folder, self._nomenclature.current, date.today(), self._config)
        if act is None:
            self._filing.reject(row, "\n".join(faults))
            return
        if totem.is_xml(folder / act.file):
            write(folder / totem.READABLE, totem.page(folder / act.file))
        try:
            self._journal.move(row, State.CHECKED, numero=act.number, acte=act.to_dict())
        except AlreadyUsed:
            self._filing.reject(row, self._number_used(act.number))

    def _keep(self, row: Row, folder: Path, described: descriptions.Description) -> None:
        act, faults = check_kept(described, folder, date.today(), self._config)
        if act is None:
            self._filing.reject(row, "\n".join(faults))
            return
        try:
            self._filing.keep(row, act)
        except AlreadyUsed:
            self._filing.reject(row, self._number_used(act.number))

    def _description(self, row: Row, folder: Path) -> descriptions.Description:
        """The act's description, with its file's name filled in."""
        name = next(item.name for item in row.files if item.name.lower().endswith((".yml", ".yaml")))
        with (folder / name).open("rb") as stream:
            described = descriptions.parse(stream.read(descriptions.MAX_BYTES + 1))
        names = {item.name for item in row.files} - {name}
        if not described.file:
            stem = Path(name).stem
            main = next((other for other in sorted(names) if Path(other).stem == stem), f"{stem}.pdf")
            described = descriptions.replace_file(described, main)
        absent = {described.file, *(annex.name for annex in described.annexes)} - names
        if absent:  # it was replaced between two looks
            listed = ", ".join(f"« {other} »" for other in sorted(absent))
            raise descriptions.DescriptionError(
                [f"fichier annoncé par « {name} » mais pas déposé avec lui : {listed}."]
            )
        return described

    def _number_used(self, number: str) -> str:
        other = next(row for row in self._journal.find(number) if row.state not in (State.REJECTED, State.DEPOSITED))
        when = datetime.fromtimestamp(other.deposited_at)
        return (
            f"champ « numero » : « {number} » est déjà celui de l'acte déposé le {when:%d/%m/%Y à %H:%M} "
            f"({other.state.label}). Un numéro ne sert qu'une fois ; ajoutez un suffixe si c'est un autre acte."
        )

    def _check_pes(self, row: Row, folder: Path) -> None:
        path = folder / pes_name(row)
        faults = check_pes(path, self._config.siren, self._config.max_bytes, self._config.flux_signes)
        if faults:
            self._filing.reject(row, "\n".join(faults))
            return
        try:
            self._journal.move(row, State.CHECKED, empreinte=digest(path, "sha1"))
        except AlreadyUsed:
            self._filing.reject(row, f"« {path.name} » a déjà été transmis (même contenu) ; rien n'est renvoyé.")
