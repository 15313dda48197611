# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Publications: a version for the fleet, wave after wave; what stops it, who excuses whom, and the way back.

In the state's folder ``flotte``::

    publication.json          the last one: version, waves, excuses, why it stopped
    machines.json             what each machine was given: version, digests, dates
    portes.json               emergency doors, by machine: number in the registry of accesses, times, port, order
    known_hosts               the host key that each machine signed first (carried.py)
    lots/<sha256>             the files that the door has, or must have again
    versions/12/              what version 12 was made of (code.tar.gz, machines/NAME.tar.gz), closed to others
    verrou                    one command at a time

What is sent to the door is always what it lacks, found by comparing: a command that died, or a door that came back from
a backup, is mended by the next command.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.words import day_and_hour

from creatic.fleet import attested, bundle, carried, emergency, waves
from creatic.fleet.signing import FleetError, Signer, manifest
from creatic.fleet.waves import Machine, MachineState

LASTS = dt.timedelta(days=14)
"""Life of a manifest; renewed at half of it by ``fab flotte.avancer``."""
_MAX_STORED_VERSIONS = 5  # versions
_CLOCKS_APART = dt.timedelta(minutes=10)  # the door's and this one's, from which it is told
_PUBLICATION_CLOCK_SKEW = dt.timedelta(minutes=1)  # a machine's clock may be that much behind
_PUBLISHED_MACHINE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")  # as the door takes it
_MAX_VERSION_LEAP = 1000  # versions by which a machine may be ahead of all that is known

Listing = Mapping[str, Any]


class Fleet:
    """The fleet of a control node.

    Args:
        home: state of the control node.
        machines: those of the inventory, by name.
        signer: the key.
        ask: gives the door's listing.
        send: brings a file to the door.
        operator: who asks.
        now: the clock.
        keys: those by which machines sign their reports; of whom none is known, no report counts.
    """

    def __init__(
        self,
        home: Path,
        machines: Mapping[str, Machine],
        signer: Signer,
        ask: Callable[[], Listing],
        send: Callable[[Path], None],
        operator: str,
        now: Callable[[], dt.datetime],
        keys: attested.Keys = lambda _name: (),
    ) -> None:
        self.folder, self.machines, self._keys = home / "flotte", machines, keys
        self._signer, self._ask, self._send, self._operator, self._now = signer, ask, send, operator, now
        self._strange: list[str] = []
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("lots", "versions"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)

    # -- what is asked of it -------------------------------------------------------------------------

    def ready(self) -> list[str]:
        """Open the key that signs, which is made the first time. Raises FleetError: its passphrase is not known."""
        self._signer.open()
        return []

    def publish(
        self,
        code: bytes,
        contents: Mapping[str, bytes],
        certificates: Mapping[str, str],
        by: str,
        canary: Sequence[str],
        left: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Make a version and open its canary.

        Args:
            code: see `bundle.code`.
            contents: data of each machine, in the clear.
            certificates: PEM of each machine that has one; the others cannot be given anything yet.
            by: how waves are cut.
            canary: who goes first.
            left: why machines have none of it (French), by name: they are excused from the start, and hold no other.

        Returns:
            What was done, in French.

        Raises:
            FleetError: another publication goes on, or the door cannot be reached.
        """
        if not self.machines:
            raise FleetError("aucune commune n'a « acces: sortant » (communes/) : il n'y a rien à publier")
        left = left or {}
        if not contents or {*left} & {*canary}:
            raise FleetError("\n".join(left.values()))
        with self._hold_lock():
            listing = self._read_listing()
            last = self._read_publication()
            if last and not last["arret"] and not self._is_finished(last, self._machine_standings(listing)):
                raise FleetError(
                    f"v{last['version']} n'est pas finie (publiée par {last['par']}). À faire : fab flotte.avancer, ou "
                    "fab flotte.arreter avant d'en publier une autre. Rien n'est publié"
                )
            version = self._next_version(listing)
            split = waves.split({name: one for name, one in self.machines.items() if name not in left}, by, canary)
            self._store_version(version, code, contents)
            record = self._build_publication(version, by, split, retour=0)
            record["excuses"] = {
                name: {"motif": why, "par": "le contrôle des fichiers", "le": self._format_now()}
                for name, why in left.items()
            }
            done = self._open_wave(record, listing, certificates)
        return [
            f"v{version} est prête pour {waves.counted(contents, 'machine')}, en {waves.counted(split, 'vague')}.",
            *(f"{why} pour elle : elle garde sa version, et n'en retient aucune autre." for why in left.values()),
            *done,
        ]

    def advance(self, certificates: Mapping[str, str]) -> list[str]:
        """Open the next wave if all of those that are open reported well or were excused; renew what expires.

        Raises:
            FleetError: somebody is missing or failed (the publication is then stopped), or it was stopped.
        """
        with self._hold_lock():
            listing = self._read_listing()
            self._check_door(listing)
            record = self._read_publication()
            if record is None:
                raise FleetError("rien n'a encore été publié. À faire : fab flotte.publier")
            if not record["arret"]:
                for wave in record["vagues"]:
                    self._prepare_wave(record, wave, certificates) if wave["ouverte"] else []
            renewed = self._reconcile_door(listing)
            if record["arret"]:
                raise FleetError(_stop_reason(record))
            standings = self._machine_standings(listing)
            if failed := [one for one in self._unproven_machines(record, standings) if one.failed]:
                why = f"{failed[0]}" + (f", et {len(failed) - 1} autres" if len(failed) > 1 else "")
                self._record_stop(record, why, "le contrôle des vagues")
                raise FleetError(_stop_reason(record))
            if missing := self._unproven_machines(record, standings):
                told = "\n".join(f"  - {one}" for one in missing[:20])
                raise FleetError(
                    f"v{record['version']} : dans les vagues ouvertes, n'ont pas rendu compte ({len(missing)}) :\n"
                    f"{told}\nÀ faire : attendez leur passage, ou fab flotte.excuser MACHINE --motif …"
                    + "".join(f"\nFait : {line}" for line in renewed)
                )
            if all(one["ouverte"] for one in record["vagues"]):
                return [*renewed, f"v{record['version']} : toutes les vagues sont ouvertes, et ont rendu compte."]
            return [*renewed, *self._open_wave(record, listing, certificates)]

    def stop(self, why: str) -> list[str]:
        """Open no more waves of the publication. Raises FleetError: there is none, or no reason."""
        with self._hold_lock():
            record = self._read_publication()
            if record is None:
                raise FleetError("rien n'a encore été publié : il n'y a rien à arrêter")
            if not why.strip():
                raise FleetError("--motif : dites pourquoi, d'autres le liront")
            if not record["arret"]:
                self._record_stop(record, why.strip(), self._operator)
        return [_stop_reason(record)]

    def go_back(self, to: int, certificates: Mapping[str, str], why: str) -> list[str]:
        """Give back what a version before was made of, under a new number, to the machines that had the last one.

        Args:
            to: that version; 0: the one before the last, or before the one that the last gave back already.

        Raises:
            FleetError: it is not kept any more, or there is no reason.
        """
        with self._hold_lock():
            listing = self._read_listing()
            record = self._read_publication()
            if not why.strip():
                raise FleetError("--motif : dites pourquoi, d'autres le liront")
            current = record["version"] if record else 0
            kept = [number for number in self._stored_versions() if number < current]
            before = [number for number in kept if number < ((record or {}).get("retour") or current)]
            if to not in kept if to else not before:
                shown = ", ".join(f"v{one}" for one in kept) or "aucune"
                raise FleetError(f"v{to or '?'} n'est pas gardée ici. Gardées, avant v{current} : {shown}")
            source = self.folder / "versions" / str(to or before[-1])
            touched = {name for one in (record or {})["vagues"] if one["ouverte"] for name in one["machines"]}
            contents = {
                path.name.removesuffix(".tar.gz"): path.read_bytes() for path in (source / "machines").iterdir()
            }
            contents = {name: one for name, one in contents.items() if name in touched and name in self.machines}
            version = self._next_version(listing)
            self._store_version(version, (source / "code.tar.gz").read_bytes(), contents)
            split = [{"nom": "retour", "machines": sorted(contents), "ouverte": ""}]
            made = self._build_publication(
                version, f"retour à v{source.name} : {why.strip()}", split, retour=int(source.name)
            )
            done = self._open_wave(made, listing, certificates)
        return [f"v{version} reprend le contenu de v{source.name}, pour les machines qui avaient v{current}.", *done]

    def excuse(self, machine: str, why: str) -> list[str]:
        """Let the publication go on without a machine, by name. Raises FleetError: it is none of its open waves."""
        with self._hold_lock():
            record = self._read_publication()
            opened = [
                name for one in (record or {"vagues": []})["vagues"] if one["ouverte"] for name in one["machines"]
            ]
            if record is None or machine not in opened:
                raise FleetError(f"{machine} n'est d'aucune vague ouverte : il n'y a rien à excuser")
            if not why.strip():
                raise FleetError("--motif : dites pourquoi, d'autres le liront")
            record["excuses"][machine] = {"motif": why.strip(), "par": self._operator, "le": self._format_now()}
            # What stopped it by itself may be excused; what a person stopped stays so.
            if record["arret"] and record["arret"]["machine"] == machine:
                record["arret"] = None
            self._write_json("publication.json", record)
        return [f"v{record['version']} : {machine} est excusée par {self._operator} ({why.strip()})."]

    def open_door(
        self, machine: str, lasts: dt.timedelta, certificates: Mapping[str, str], register: Callable[[str], int]
    ) -> dict[str, Any]:
        """Order a machine to open a tunnel, by which people reach it; gives the record of that emergency door.

        Args:
            machine: its name.
            lasts: how long, from now.
            certificates: see `publish`.
            register: given the key that opens the tunnel, writes it to the registry of accesses; gives its number.

        Raises:
            FleetError: the machine is not one that is ordered so, its door is open already, or the door of the fleet
                cannot be reached or has none.
        """
        with self._hold_lock():
            if machine not in self.machines:
                raise FleetError(f"{machine} n'est pas une machine en accès sortant : elle se joint par SSH")
            if machine not in certificates:
                raise FleetError(
                    f"{machine} n'a pas encore de certificat : elle se prépare à l'atelier. Rien n'est fait"
                )
            listing = self._read_listing()
            if not listing.get("hote"):
                raise FleetError("le guichet n'a pas de porte de secours : redéployez-le (fab serveurs guichet)")
            now = self._now()
            records = emergency.still_open(self._read_door_records(), now)
            if known := records.get(machine):
                raise FleetError(
                    f"la porte de {machine} est ouverte, n° {known['numero']}. Pour y mettre fin : fab acces.revoquer "
                    f"{known['numero']}"
                )
            self._signer.open()
            private, public = emergency.key_pair()
            record: dict[str, Any] = {
                "debut": (now - _PUBLICATION_CLOCK_SKEW).astimezone(dt.UTC).isoformat(timespec="seconds"),
                "fin": (now + lasts).astimezone(dt.UTC).isoformat(timespec="seconds"),
                "port": emergency.free_port(one["port"] for one in records.values()),
                "cle": public,
            }
            record["numero"] = register(public)
            made = emergency.order(self._signer, machine, record, private, listing["hote"], certificates[machine])
            self._write_json("portes.json", records | {machine: made})
            self._reconcile_door(listing)
        return made

    def close_door(self, number: int) -> list[str]:
        """End an emergency door, by its number in the registry of accesses; done again, does nothing more.

        Raises:
            FleetError: the door of the fleet cannot be reached; the next command of the fleet brings it there.
        """
        with self._hold_lock():
            records = {name: one for name, one in self._read_door_records().items() if one["numero"] != number}
            self._write_json("portes.json", records)
            self._reconcile_door(self._read_listing())
        return [f"Porte de secours n° {number} fermée : le guichet a coupé son tunnel."]

    def status(self) -> tuple[dict[str, Any] | None, list[MachineState], list[str]]:
        """The publication, where each expected machine is, and what is wrong at the door (French)."""
        listing = self._read_listing()
        problems = [*self._strange]
        with contextlib.suppress(FleetError):
            problems += self._door_gaps(listing)
        try:
            self._check_door(listing)
        except FleetError as error:
            problems.append(str(error))
        door_says = dt.datetime.fromisoformat(listing["maintenant"])
        if abs(door_says - self._now()) > _CLOCKS_APART:
            told = [f"{one.astimezone(dt.UTC):%d/%m/%Y à %H:%M}" for one in (door_says, self._now())]
            problems.append(
                f"l'horloge du guichet dit {told[0]}, celle d'ici {told[1]} (UTC) : ce qu'il dit des passages et des "
                "preuves est faux d'autant. À faire : chronyc tracking sur les deux"
            )
        strangers = [row["nom"] for row in listing["machines"] if row["attendue"] and row["nom"] not in self.machines]
        if strangers:
            problems.append(f"le guichet attend encore {', '.join(strangers[:3])}, qui n'est plus dans l'inventaire")
        there = {row["machine"]: row for row in listing.get("portes", [])}
        for name, one in emergency.still_open(self._read_door_records(), self._now()).items():
            here = there.get(name, {"numero": 0})
            how = "pas encore au guichet : fab flotte.avancer"
            if here["numero"] == one["numero"]:
                how = "le tunnel est ouvert" if here["jointe"] else "elle ne l'a pas encore ouverte"
            end = day_and_hour(one["fin"]).removeprefix("le ")
            problems.append(f"porte de secours n° {one['numero']} de {name}, jusqu'au {end} : {how}")
        problems += carried.keep_host_keys(self.folder, self._machine_rows(listing))
        return self._read_publication(), list(self._machine_standings(listing).values()), problems

    def requested_certificates(self) -> dict[str, dict[str, str]]:
        """Certificates that expected machines ask for: CSR by name of certificate, by machine."""
        rows = self._read_listing()["machines"]
        return {row["nom"]: row["demandes"] for row in rows if row["demandes"] and row["nom"] in self.machines}

    # -- how -----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _hold_lock(self) -> Iterator[None]:
        with (self.folder / "verrou").open("a+", encoding="utf-8") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.seek(0)
                raise FleetError(
                    f"une autre commande de la flotte est en cours ({handle.read(200).strip()}). Rien n'est fait"
                ) from None
            handle.truncate(0)
            handle.write(f"{self._operator}, depuis {self._format_now()}")
            handle.flush()
            yield

    def _read_listing(self) -> Listing:
        """The door's listing: what is no row of one is left out, and told (`status`), so that it keeps no other.

        Raises:
            FleetError: it is no listing at all.
        """
        found = self._ask()
        try:
            if not _is_dated(found["maintenant"]):
                raise ValueError
            rows = [one for one in found["machines"] if _is_row(one)]
            left = len(found["machines"]) - len(rows)
            doors = [one for one in found.get("portes", []) if _is_door(one)]
        except (ValueError, KeyError, TypeError, OverflowError):
            raise FleetError(
                "le guichet répond autre chose que son état : redéployez-le (fab serveurs guichet)"
            ) from None
        self._strange = [f"le guichet dit de {left} machines autre chose que leur état : redéployez-le"] * bool(left)
        most = self._highest_version() + _MAX_VERSION_LEAP
        for row in rows:
            if max(row["version"], row["donnee"]) > most:
                self._strange.append(
                    f"le guichet a une version {max(row['version'], row['donnee'])} de {row['nom']}, que personne n'a "
                    "publiée : elle ne reçoit plus rien. À faire : refaire l'état du guichet, fab serveurs guichet"
                )
        return {**found, "machines": rows, "portes": doors}

    def _highest_version(self) -> int:
        """The highest version that this state knows."""
        known = [0, *self._stored_versions(), *(one["version"] for one in self._read_records().values())]
        return max(*known, (self._read_publication() or {"version": 0})["version"])

    def _format_now(self) -> str:
        return self._now().astimezone(dt.UTC).isoformat(timespec="seconds")

    def _read_json(self, name: str) -> Any:
        try:
            return json.loads((self.folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            raise FleetError(
                f"{self.folder / name} est abîmé : restaurez-le de la sauvegarde du poste de commande"
            ) from None

    def _write_json(self, name: str, content: Any) -> None:
        write(self.folder / name, json.dumps(content, ensure_ascii=False, indent=1).encode(), 0o600)

    def _read_publication(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._read_json("publication.json")
        return found

    def _read_records(self) -> dict[str, dict[str, Any]]:
        return self._read_json("machines.json") or {}

    def _read_door_records(self) -> dict[str, dict[str, Any]]:
        return self._read_json("portes.json") or {}

    def _stored_versions(self) -> list[int]:
        return sorted(int(one.name) for one in (self.folder / "versions").iterdir() if one.name.isdecimal())

    def _next_version(self, listing: Listing) -> int:
        """A number above all that anybody has: this control node may come from a backup, another may have published."""
        own = self._highest_version()
        # Others say theirs, and are believed within reason: a door that was taken would else use all numbers up.
        told = [int(row[key]) for row in listing["machines"] for key in ("version", "donnee")]
        highest = max(own, *(one for one in [0, *told] if one <= own + _MAX_VERSION_LEAP))
        # The door may come from a backup too. What a machine says is believed within reason: it may lie.
        told = [int((row["dernier"] or {}).get("version", 0)) for row in listing["machines"]]
        return max(highest, *(one for one in [0, *told] if one <= highest + _MAX_VERSION_LEAP)) + 1

    def _store_version(self, version: int, code: bytes, contents: Mapping[str, bytes]) -> None:
        """Keep what a version is made of; it appears whole."""
        staging = self.folder / "versions" / f".{version}"
        shutil.rmtree(staging, ignore_errors=True)
        (staging / "machines").mkdir(mode=0o700, parents=True)
        write(staging / "code.tar.gz", code, 0o600)
        for name, content in contents.items():
            (staging / "machines" / f"{name}.tar.gz").write_bytes(content)
        staging.chmod(0o700)
        staging.rename(self.folder / "versions" / str(version))
        for old in self._stored_versions()[:-_MAX_STORED_VERSIONS]:
            shutil.rmtree(self.folder / "versions" / str(old))

    def _build_publication(self, version: int, by: str, split: list[dict[str, Any]], retour: int) -> dict[str, Any]:
        record = {"version": version, "le": self._format_now(), "par": self._operator, "decoupage": by, "vagues": split}
        record |= {"excuses": {}, "arret": None, "retour": retour}
        self._write_json("publication.json", record)
        return record

    def _open_wave(self, record: dict[str, Any], listing: Listing, certificates: Mapping[str, str]) -> list[str]:
        """Open the next wave: encrypt, note, send."""
        wave = next(one for one in record["vagues"] if not one["ouverte"])
        without = self._prepare_wave(record, wave, certificates)
        wave["ouverte"] = self._format_now()
        self._write_json("publication.json", record)
        self._reconcile_door(listing)
        done = [
            f"v{record['version']}, vague « {wave['nom']} » ouverte : {waves.counted(wave['machines'], 'machine')}."
        ]
        if without:
            done.append(
                f"Sans certificat, elles n'ont rien reçu : {', '.join(without[:5])}"
                f"{f' et {len(without) - 5} autres' if len(without) > 5 else ''}. À faire : docs/exploitation.md, "
                "« Machines en accès sortant »"
            )
        return done

    def _prepare_wave(
        self, record: Mapping[str, Any], wave: Mapping[str, Any], certificates: Mapping[str, str]
    ) -> list[str]:
        """Encrypt and note the version for the machines of a wave that were not given it; those without certificate."""
        source = self.folder / "versions" / str(record["version"])
        records = self._read_records()
        code = (source / "code.tar.gz").read_bytes()
        without, given = [], 0
        for name in wave["machines"]:
            file = source / "machines" / f"{name}.tar.gz"
            if name not in self.machines or not file.is_file():
                continue  # left the inventory meanwhile
            if records.get(name, {"version": 0})["version"] >= record["version"]:
                continue
            if name not in certificates:
                without.append(name)
                continue
            sealed = bundle.encrypt(file.read_bytes(), certificates[name])
            self._keep_lot(sealed)
            given += 1
            records[name] = {
                "version": record["version"],
                "vague": wave["nom"],
                "code": bundle.part(code),
                "donnees": bundle.part(sealed),
                "le": self._format_now(),
                "expire": (self._now() + LASTS).isoformat(timespec="seconds"),
            }
        if given:
            self._keep_lot(code)
        self._write_json("machines.json", {name: one for name, one in records.items() if name in self.machines})
        return without

    def _keep_lot(self, content: bytes) -> None:
        path = self.folder / "lots" / bundle.part(content)["sha256"]
        if not path.is_file() or path.stat().st_size != len(content):
            write(path, content, 0o600)

    def _door_gaps(self, listing: Listing) -> list[str]:
        """What the door has not, or has older than it was given."""
        there = {row["nom"]: row["version"] for row in listing["machines"]}
        lacking = [name for name, one in self._read_records().items() if there.get(name, 0) < one["version"]]
        if not lacking:
            return []
        return [
            f"le guichet n'a pas, ou plus, la dernière version de {waves.counted(lacking, 'machine')} "
            "(restauré d'une sauvegarde ?). À faire : fab flotte.avancer"
        ]

    def _check_door(self, listing: Listing) -> None:
        """Refuse to work with a state older than what the door has."""
        records = self._read_records()
        last = (self._read_publication() or {"version": 0})["version"]
        ahead = [
            row["nom"]
            for row in listing["machines"]
            if row["nom"] in self.machines
            and self._highest_version() + _MAX_VERSION_LEAP
            >= row["version"]
            > max(last, records.get(row["nom"], {"version": 0})["version"])
        ]
        if ahead:
            raise FleetError(
                f"le guichet a une version plus récente que ce poste de commande ({ahead[0]}) : un autre a publié, ou "
                "celui-ci revient d'une sauvegarde. À faire : fab flotte.publier, qui prend le numéro suivant"
            )

    def _reconcile_door(self, listing: Listing) -> list[str]:
        """Send the door what it lacks, and what has lived half its time, signed again."""
        there = {row["nom"]: row for row in listing["machines"]}
        records, now = self._read_records(), self._now()
        due = {}
        renewed = 0
        for name, one in records.items():
            if there.get(name, {"version": 0})["version"] > one["version"]:
                continue  # of a publication that this state does not know; the next replaces it
            old = dt.datetime.fromisoformat(one["expire"]) - now < LASTS / 2
            lacking = there.get(name, {"version": 0})["version"] < one["version"]
            if old:
                one["expire"] = (now + LASTS).isoformat(timespec="seconds")
                renewed += not lacking
            if old or lacking:
                due[name] = one
        expected = {row["nom"] for row in listing["machines"] if row["attendue"]}
        doors = {
            name: {key: one[key] for key in ("numero", "fin", "port", "cle", "ordre", "signature")}
            for name, one in emergency.still_open(self._read_door_records(), now).items()
            if name in self.machines
        }
        known = {row["machine"]: row["numero"] for row in listing.get("portes", [])}
        if not due and expected == set(self.machines) and known == {name: one["numero"] for name, one in doors.items()}:
            return []
        if due:
            self._signer.open()
        signed = {}
        for name, one in due.items():
            text = manifest(name, one, now, dt.datetime.fromisoformat(one["expire"]))
            signed[name] = {"manifeste": text, "signature": self._signer.sign(text)}
        lots = {part["sha256"] for one in due.values() for part in (one["code"], one["donnees"])}
        envoi = {
            "machines": {name: one.siren for name, one in self.machines.items()},
            "manifestes": signed,
            "portes": doors,
        }
        target = self.folder / "envoi.tar"
        bundle.sending(target, (self.folder / "lots" / one for one in sorted(lots)), json.dumps(envoi).encode())
        try:
            self._send(target)
        finally:
            target.unlink(missing_ok=True)
        self._write_json("machines.json", records)
        kept = {part["sha256"] for one in records.values() for part in (one["code"], one["donnees"])}
        for path in (self.folder / "lots").iterdir():
            if path.name not in kept:
                path.unlink()
        return [f"{renewed} manifeste{'s' * (renewed > 1)} prolongé{'s' * (renewed > 1)}."] if renewed else []

    def _machine_standings(self, listing: Listing) -> dict[str, MachineState]:
        rows = self._machine_rows(listing)
        records = {name: one | {"identite": attested.identity(one)} for name, one in self._read_records().items()}
        now = dt.datetime.fromisoformat(listing["maintenant"])
        return {name: waves.machine_state(name, records.get(name), rows.get(name), now) for name in self.machines}

    def _machine_rows(self, listing: Listing) -> dict[str, dict[str, Any]]:
        """What the door knows of each expected machine, with what the machine signed."""
        return {row["nom"]: self._verify_row(row) for row in listing["machines"] if row["nom"] in self.machines}

    def _verify_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What the door knows of a machine, with what the machine signed in the place of what the door says it said."""
        if not row["dernier"]:
            return {**row}
        try:
            said = attested.verify_report(row["nom"], row["dernier"], self._keys)
        except attested.UnverifiedReportError as error:
            return {**row, "dernier": None, "refus": str(error)}
        return {**row, "dernier": {**said, "recu": row["dernier"]["recu"]}}

    def _unproven_machines(
        self, record: Mapping[str, Any], standings: Mapping[str, MachineState]
    ) -> list[MachineState]:
        """Machines of the open waves that did not report well; those that are excused, or left, apart."""
        records = self._read_records()
        found = []
        for wave in record["vagues"]:
            for name in wave["machines"] if wave["ouverte"] else ():
                one = standings.get(name)
                if one is None or name in record["excuses"]:
                    continue
                given = records.get(name, {"version": 0})["version"] >= record["version"]
                if one.state != waves.UP_TO_DATE or not given:
                    found.append(one)
        return found

    def _is_finished(self, record: Mapping[str, Any], standings: Mapping[str, MachineState]) -> bool:
        """Whether another may follow: machines that are ahead (this state comes from a backup) hold nothing."""
        missing = [one for one in self._unproven_machines(record, standings) if one.version <= record["version"]]
        return all(one["ouverte"] for one in record["vagues"]) and not missing

    def _record_stop(self, record: dict[str, Any], why: str, by: str) -> None:
        machine = why.partition(" : ")[0] if by != self._operator else ""
        record["arret"] = {"motif": why, "par": by, "le": self._format_now(), "machine": machine}
        self._write_json("publication.json", record)


def _is_dated(text: str) -> bool:
    """Whether it is a moment with its zone, which others can be told in. Raises OverflowError: of no year."""
    found = dt.datetime.fromisoformat(text)
    return found.tzinfo is not None and bool(found.astimezone(dt.UTC))


def _is_door(one: Any) -> bool:
    """Whether it is what the door knows of an emergency door."""
    try:
        return isinstance(one["machine"], str) and type(one["numero"]) is int and "jointe" in one
    except (KeyError, TypeError):
        return False


def _is_row(one: Any) -> bool:
    """Whether it is what the door knows of a machine."""
    try:
        last = one["dernier"]
        return bool(
            isinstance(one["nom"], str)
            and _PUBLISHED_MACHINE_NAME.fullmatch(one["nom"])
            and all(type(one[key]) is int and one[key] >= 0 for key in ("version", "donnee"))
            and (not one["vue"] or dt.datetime.fromisoformat(one["vue"]).tzinfo)
            and (last is None or (type(last["version"]) is int and dt.datetime.fromisoformat(last["recu"]).tzinfo))
            and all(isinstance(text, str) for pair in one["demandes"].items() for text in pair)
            and "attendue" in one
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def _stop_reason(record: Mapping[str, Any]) -> str:
    stop = record["arret"]
    return (
        f"v{record['version']} est arrêtée depuis {day_and_hour(stop['le'])} par {stop['par']} : {stop['motif']}. "
        "Aucune vague ne s'ouvre plus. À faire : fab flotte.revenir, une autre publication une fois la cause corrigée, "
        "ou fab flotte.excuser si c'est une machine qu'on renonce à attendre"
    )
