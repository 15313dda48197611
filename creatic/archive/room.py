# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The archive room, judged from what its nodes say: may a node be stopped, is anything missing, since when.

A report is what one node answered (role archive_node, ``creatic-archive``): ``etat``, ``copies``, ``fixite``, each a
document or None, and ``erreur``, why there is none. Times count seconds since the epoch.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.words import count, day_and_hour
from ansible_collections.cdg59.creatic.plugins.module_utils.words import size as _size

Report = Mapping[str, Any]

CLOCK_S = 5.0  # beyond, a node's clock is wrong: WORM dates and Swift's timestamps rest on it
MIN_FREE_SHARE = 0.05  # below, a disk is about to refuse writes (archive_node_disk_reserve: 2 %)
STALE_PASS_S = 24 * 3600.0
COPY_S = 2 * 24 * 3600.0  # a backup a day, which may take its time
_AHEAD_S = 300.0  # of a backup's date, before it is doubted
NO_BACKUP = "aucune"  # the inventory's explicit choice to go without a backup
_NOT_COPIED = "la dernière passe de réplication"
COPIES_MISSING = "des copies y manquent"
_GUIDE = "docs/exploitation.md, « Salle blanche »"


@dataclass(frozen=True)
class Fault:
    """Why a node may not be stopped now: which node (or « salle »), the reason, what to do (French)."""

    node: str
    reason: str
    fix: str

    def __str__(self) -> str:
        return f"{self.node} : {self.reason}. {self.fix}"


# -- Replicas -----------------------------------------------------------------------------------------------


def missing_copies(reports: Mapping[str, Report]) -> dict[str, list[int]]:
    """Partitions that do not hold the same archives on every node that must have them.

    A node that looks several times while a client writes reports several digests: it has what the others have when one
    of them is theirs.

    Returns:
        By node, the partitions in which it differs from the others. Where no two nodes agree, all are named.
    """
    told = {name: report["copies"] for name, report in reports.items() if report.get("copies")}
    wanted = {name: set(copies["attendues"]) for name, copies in told.items()}
    found: dict[str, list[int]] = {}
    for part in sorted(set().union(*wanted.values()) if wanted else set()):
        held = {
            name: set(told[name]["empreintes"].get(str(part), [""])) for name in sorted(told) if part in wanted[name]
        }
        # An empty replica is never the good one, however many there are.
        full = Counter(digest for seen in held.values() for digest in seen if digest)
        if not full:
            continue
        best, votes = full.most_common(1)[0]
        alone = votes == 1 and sum(seen != {""} for seen in held.values()) > 1
        good = set().union(*(seen for seen in held.values() if best in seen))
        for name, seen in held.items():
            if alone or not seen & good:
                found.setdefault(name, []).append(part)
    return found


def lost(reports: Mapping[str, Report]) -> list[str]:
    """Archives that the journals know and that no node has; `compte/conteneur/objet`.

    One node may be silent: an archive that all others lack has one copy at most.
    """
    told = [report["presence"] for report in reports.values() if report.get("presence")]
    if len(told) < 2 or len(told) < len(reports) - 1 or len({one["liste"] for one in told}) > 1:
        return []
    return sorted(set.intersection(*(set(one["absentes"]) for one in told)))


def _lost_faults(reports: Mapping[str, Report]) -> list[Fault]:
    names = lost(reports)
    if not names:
        return []
    silent = sorted(name for name, report in reports.items() if not report.get("presence"))
    where = f"aucun nœud ne les a (sauf, peut-être, {', '.join(silent)})" if silent else "aucun nœud ne les a plus"
    archives = _short_list([name.rpartition("/")[2].removesuffix(".tar") for name in names])
    reason = f"{count(len(names), 'archive')} que le journal connaît : {where} ({archives})"
    return [Fault("salle", reason, f"« fab archive.reprendre » les remet depuis leur copie : {_GUIDE}.")]


# -- Judgement ----------------------------------------------------------------------------------------------


def _clock_skews(reports: Mapping[str, Report]) -> dict[str, float]:
    """By how much each node's clock differs from all the others' (the smallest of the differences)."""
    seen: dict[str, list[float]] = {}
    for name, report in reports.items():
        for other in (report.get("etat") or {}).get("salle", []):
            if other["nom"] != name and other.get("decalage_s") is not None:
                seen.setdefault(other["nom"], []).append(float(other["decalage_s"]))
    return {name: min(values, key=abs) for name, values in seen.items()}


def _own_faults(name: str, report: Report, now: float) -> list[Fault]:
    state = report.get("etat")
    if not state:
        fix = f"Remettez-le en marche ou remplacez-le : {_GUIDE}."
        return [Fault(name, str(report.get("erreur") or "pas de réponse"), fix)]
    faults = []
    if state["trop_absent"]:
        days = state["absence_s"] // 86400
        reason = f"absent {days} jours, il rendrait des archives éliminées depuis : Swift n'y démarre plus"
        faults.append(Fault(name, reason, f"Vérifiez son heure, ou remplacez-le par un nœud vide : {_GUIDE}."))
    elif state["arretes"]:
        units = " ".join(state["arretes"])
        faults.append(Fault(name, f"services arrêtés : {units}", f"Sur le nœud : systemctl start {units}."))
    for disk in state["disques"]:
        if disk["absent"]:
            fix = f"Montez /srv/node/{disk['nom']}, ou changez le disque : {_GUIDE}."
            faults.append(Fault(name, f"le disque {disk['nom']} n'est pas monté", fix))
        elif disk["libres"] < disk["octets"] * MIN_FREE_SHARE:
            share = f"{100 * disk['libres'] / disk['octets']:.1f}".replace(".", ",")
            fix = "Ajoutez un nœud ou un disque à l'inventaire, puis rééquilibrez."
            faults.append(Fault(name, f"le disque {disk['nom']} est plein (reste {share} %)", fix))
    if state["quarantaine"]["a_reparer"]:
        number = count(int(state["quarantaine"]["a_reparer"]), "archive")
        fix = "Attendez la réparation ; au-delà de quelques minutes : sae-fixite sur la porte des archives."
        faults.append(Fault(name, f"{number} en quarantaine, dont la copie saine n'est pas revenue", fix))
    for one in state["salle"]:
        if one["nom"] == state["noeud"] and one["repond"]:
            faults += _pass_faults(name, one.get("passes") or {}, now)
    return faults


def _pass_faults(name: str, passes: Mapping[str, Mapping[str, Any]], now: float) -> list[Fault]:
    faults = []
    for kind, done in sorted(passes.items()):
        if not done:
            fix = "Attendez une passe ; sinon : journalctl -u 'swift-*-replicator' sur le nœud."
            faults.append(Fault(name, f"la réplication ({kind}) n'a encore fini aucune passe", fix))
        elif done["echecs"]:
            fix = "Attendez la passe suivante ; si cela dure : journalctl -u 'swift-*-replicator' sur le nœud."
            faults.append(
                Fault(name, f"la dernière passe de réplication ({kind}) a {count(done['echecs'], 'échec')}", fix)
            )
        elif now - done["fin"] > STALE_PASS_S:
            fix = f"Sur le nœud : systemctl restart swift-{kind}-replicator."
            faults.append(Fault(name, f"la réplication ({kind}) n'a rien fini depuis plus d'un jour", fix))
    return faults


def _room_faults(reports: Mapping[str, Report]) -> list[Fault]:
    states = {name: report["etat"] for name, report in reports.items() if report.get("etat")}
    faults = []
    unseen: dict[str, list[str]] = {}
    for name, state in sorted(states.items()):
        for other in state["salle"]:
            if not other["repond"]:
                unseen.setdefault(other["nom"], []).append(name)
    for name, witnesses in sorted(unseen.items()):
        if name in states or name not in reports:
            fix = f"Vérifiez Swift, le pare-feu et le réseau de stockage de {name}."
            faults.append(Fault(name, f"son stockage ne répond pas à {', '.join(witnesses)}", fix))
    rings = Counter(str(sorted(state["anneaux"].items())) for state in states.values())
    for name, state in sorted(states.items()):
        if len(rings) > 1 and str(sorted(state["anneaux"].items())) != rings.most_common(1)[0][0]:
            fix = "Lancez fab serveurs archive_node."
            faults.append(Fault(name, "ses anneaux ne sont pas ceux des autres nœuds", fix))
    for name, skew in sorted(_clock_skews(reports).items()):
        if abs(skew) > CLOCK_S:
            side = "avance" if skew > 0 else "retarde"
            fix = "Remettez l'heure (chronyc makestep) avant tout."
            faults.append(Fault(name, f"son horloge {side} de {abs(skew):.0f} s sur les autres", fix))
    return faults


def _fixity_faults(reports: Mapping[str, Report]) -> list[Fault]:
    words = {
        "abimes": (
            "des archives y sont abîmées",
            "L'auditeur de Swift les répare en quelques minutes ; sinon : sae-fixite sur la porte des archives.",
        ),
        "manquants": (COPIES_MISSING, "La réplication les rend en quelques minutes : relancez ensuite."),
        "muets": (
            "n'a pas rendu des archives lues en échantillon",
            "Vérifiez Swift et le réseau de stockage de ce nœud.",
        ),
    }
    found: dict[tuple[str, str], set[str]] = {}
    for report in reports.values():
        for key in words:
            for told in (report.get("fixite") or {}).get(key, []):
                archive, _, node = told.rpartition(" sur ")
                found.setdefault((node.split(" (")[0], key), set()).add(archive)
    return [
        Fault(node, f"{words[key][0]} ({_short_list(sorted(archives))})", words[key][1])
        for (node, key), archives in sorted(found.items())
    ]


def _short_list(names: Sequence[str], limit: int = 2) -> str:
    return ", ".join(names[:limit]) + (f" et {len(names) - limit} autres" if len(names) > limit else "")


def faults(
    reports: Mapping[str, Report], now: float, missing: Mapping[str, Sequence[int]] | None = None
) -> list[Fault]:
    """Everything for which no node should be stopped now, node by node.

    Args:
        reports: of every node.
        now: seconds since the epoch.
        missing: partitions that lack something, by node; None takes them from the reports.
    """
    found = [fault for name, report in sorted(reports.items()) for fault in _own_faults(name, report, now)]
    if any(not report.get("etat") for report in reports.values()):
        # The others fail to copy to it: that is no fault of theirs.
        found = [fault for fault in found if _NOT_COPIED not in fault.reason]
    found += [*_lost_faults(reports), *_room_faults(reports)]
    for name, parts in sorted((missing_copies(reports) if missing is None else missing).items()):
        fix = "Attendez que la réplication les rende, puis relancez ; leur relecture est demandée à Swift."
        found.append(Fault(name, f"ses copies diffèrent des autres nœuds dans {count(len(parts), 'partition')}", fix))
    return found + _fixity_faults(reports)


@dataclass(frozen=True)
class Backup:
    """The last backup of the room: what to show of it, and why it does not do (None when it does)."""

    text: str
    fault: Fault | None = None


def backup(stamp: str, days: float, now: datetime) -> Backup:
    """Judge the age of the last backup.

    Args:
        stamp: file whose first line is the date of the last good backup (ISO 8601 with its zone), written by what
            makes the backups; `NO_BACKUP` to go without; empty when the inventory says nothing.
        days: age from which it is too old.
    """
    if stamp == NO_BACKUP:
        return Backup("aucune, l'inventaire l'accepte (archive_patch_backup_stamp: aucune)")
    if not stamp:
        fix = (
            "Donnez le fichier qui date la dernière sauvegarde (archive_patch_backup_stamp), "
            "ou « aucune » en connaissance de cause."
        )
        return Backup("inconnue", Fault("salle", "aucune sauvegarde n'est déclarée", fix))
    fix = (
        "Sauvegardez la salle et les secrets du poste de commande, puis relancez "
        f"(délai : archive_patch_backup_days, {days:g} j)."
    )
    try:
        line = Path(stamp).expanduser().read_text(encoding="utf-8").strip().splitlines()[0]
        made = datetime.fromisoformat(line)
    except FileNotFoundError:
        reason = f"aucune sauvegarde n'a encore été faite ({stamp} n'existe pas)"
        return Backup("jamais faite", Fault("salle", reason, fix))
    except (OSError, ValueError, IndexError):
        reason = f"{stamp} ne commence pas par une date ISO 8601"
        return Backup("illisible", Fault("salle", reason, "Corrigez ce fichier."))
    if made.tzinfo is None:
        made = made.replace(tzinfo=UTC)
    age = (now - made).total_seconds()
    if age < -_AHEAD_S:
        fix = "Vérifiez l'heure du poste de commande et celle du serveur de sauvegarde."
        return Backup("datée du futur", Fault("salle", f"la dernière sauvegarde est datée du futur ({line})", fix))
    if age > days * 86400:
        reason = f"la dernière sauvegarde est trop ancienne ({day_and_hour(made)})"
        return Backup(f"trop ancienne ({_elapsed_text(age)})", Fault("salle", reason, fix))
    return Backup(f"il y a {_elapsed_text(age)}")


# -- The screen ---------------------------------------------------------------------------------------------


def _elapsed_text(seconds: float) -> str:
    if seconds < 120:
        return f"{max(seconds, 0):.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.0f} j"


def metrics(text: str) -> dict[str, list[float]]:
    """Values of a Prometheus text file, by name; labels are left out."""
    found: dict[str, list[float]] = {}
    for name, value in re.findall(r"^([a-z_]+)(?:\{[^}]*\})? (\S+)$", text, flags=re.MULTILINE):
        found.setdefault(name, []).append(float(value))
    return found


@dataclass(frozen=True)
class Gateway:
    """What the gateway publishes: its metrics files, joined; None of it when it does not answer."""

    name: str
    text: str
    error: str = ""


def gateway_faults(gateways: Sequence[Gateway], now: float) -> list[Fault]:
    """Archives that the gateway's own reading (sae-fixite) found damaged, lost or not journaled, and which still are;
    archives that wait for their copy out of the room.

    A gateway that says nothing is shown on the screen; it takes nothing away from the nodes.
    """
    found = []
    for gateway in gateways:
        bad = int(metrics(gateway.text).get("sae_fixite_anomalies", [0])[0])
        figures = metrics(gateway.text)
        since = [
            one for name in ("plus_ancienne", "timestamp") if (one := figures.get(f"sae_copie_{name}_seconds", [0])[0])
        ]
        if since and now - min(since) > COPY_S:
            reason = f"des archives attendent leur copie hors de la salle depuis {_elapsed_text(now - min(since))}"
            fix = "Sur la porte des archives : journalctl -u creatic-sauvegarde, puis « creatic-sauvegarde faire »."
            found.append(Fault(gateway.name, reason, fix))
        if bad:
            reason = f"sa relecture laisse {count(bad, 'anomalie')} (archive abîmée, perdue ou inconnue du journal)"
            fix = f"« sae-fixite » sur la porte des archives dit lesquelles et les relit : {_GUIDE}."
            found.append(Fault(gateway.name, reason, fix))
    return found


def _node_row(name: str, report: Report, zone: Any, faulty: bool) -> tuple[str, ...]:
    state = report.get("etat")
    if not state:
        return (name, str(zone), "injoignable", "", "", "", "", "")
    disks = [disk for disk in state["disques"] if not disk["absent"]]
    total = sum(disk["octets"] for disk in disks)
    free = sum(disk["libres"] for disk in disks)
    mine: Report = next((one for one in state["salle"] if one["nom"] == state["noeud"]), {})
    ends = [done["fin"] for done in (mine.get("passes") or {}).values() if done]
    aside = state["quarantaine"]
    words = "en service" if state["en_service"] else "hors service"
    return (
        name,
        str(zone),
        words + (" (!)" if faulty else ""),
        f"{_size(free)} / {_size(total)}",
        f"{_elapsed_text(state['instant'] - min(ends))}" if ends else "jamais",
        f"{_elapsed_text(state['instant'] - state['audit'])}" if state.get("audit") else "jamais",
        f"{aside['total']}" + (f" ({aside['a_reparer']} à réparer)" if aside["a_reparer"] else ""),
        "demandé" if state["redemarrage_demande"] else "non",
    )


COLUMNS = ("Nœud", "Zone", "État", "Libre / total", "Réplication", "Audit", "Quarantaine", "Redémarrage")


def _gateway_lines(gateways: Sequence[Gateway], now: float) -> list[str]:
    if not gateways:
        return ["Sceaux     : pas de porte des archives à l'inventaire"]
    lines = []
    for gateway in gateways:
        figures = metrics(gateway.text)
        if gateway.error or "sae_journal_sceaux" not in figures:
            lines.append(f"Sceaux     : {gateway.name} : {gateway.error or 'rien de publié'}")
            continue
        waiting = figures.get("sae_journal_plus_ancien_non_scelle_seconds", [0])[0]
        late = (
            f"plus ancien événement non scellé il y a {_elapsed_text(now - waiting)}" if waiting else "tout est scellé"
        )
        failed = " ; LE DERNIER SCELLEMENT A ÉCHOUÉ" if figures.get("sae_journal_scellement_echec", [0])[0] else ""
        lines.append(
            f"Sceaux     : {figures['sae_journal_sceaux'][0]:.0f} sceaux, "
            f"{figures.get('sae_journal_evenements', [0])[0]:.0f} événements ; {late}{failed}"
        )
        if oldest := figures.get("sae_fixite_plus_ancienne_seconds"):
            bad = figures.get("sae_fixite_anomalies", [0])[0]
            late_ones = figures.get("sae_fixite_en_retard", [0])[0]
            lines.append(
                f"Fixité     : chaque archive relue depuis moins de {_elapsed_text(now - min(oldest))} ; "
                f"{bad:.0f} anomalies, {late_ones:.0f} en retard"
            )
        if "sae_copie_timestamp_seconds" in figures:
            waiting = figures["sae_copie_attente"][0]
            lines.append(
                f"Copie      : {count(int(figures['sae_copie_archives'][0]), 'archive')} sur le serveur de sauvegarde"
                + (f" ; {waiting:.0f} en attente" if waiting else ", toutes")
            )
        else:
            lines.append("Copie      : aucune archive n'a encore été copiée hors de la salle")
    return lines


def screen(
    reports: Mapping[str, Report],
    zones: Mapping[str, Any],
    *,
    replicas: int,
    saved: Backup,
    gateways: Sequence[Gateway] = (),
    lock: str = "",
    now: datetime | None = None,
) -> list[str]:
    """The room in one French screen, 100 columns wide.

    Args:
        zones: failure domain by node.
        lock: who patches the room now; empty for nobody.
    """
    moment = now or datetime.now(UTC)
    found = [*faults(reports, moment.timestamp()), *gateway_faults(gateways, moment.timestamp())]
    if saved.fault:
        found.append(saved.fault)
    rows = [
        COLUMNS,
        *(
            _node_row(name, report, zones.get(name, ""), any(fault.node == name for fault in found))
            for name, report in sorted(reports.items())
        ),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    answers = [report["etat"] for report in reports.values() if report.get("etat")]
    lines = [f"Salle d'archives, {day_and_hour(moment)}", "", table[0], "─" * len(table[0]), *table[1:], ""]
    lines += [
        _copies_line(reports, replicas),
        _capacity_line(answers, replicas),
        *_gateway_lines(gateways, moment.timestamp()),
    ]
    lines.append(f"Sauvegarde : {saved.text}")
    if lock:
        lines.append(f"Correctifs : {lock}")
    lines += ["", *_verdict_lines(found)]
    return lines


def _copies_line(reports: Mapping[str, Report], replicas: int) -> str:
    compared = {part for report in reports.values() if report.get("copies") for part in report["copies"]["empreintes"]}
    silent = sorted(name for name, report in reports.items() if not report.get("copies"))
    absent = missing_copies(reports)
    text = f"Copies     : {replicas} par archive, comparées dans {count(len(compared), 'partition')}"
    if gone := lost(reports):
        text += f" ; {count(len(gone), 'archive')} SANS AUCUNE COPIE"
    if absent:
        text += " ; incomplètes : " + ", ".join(f"{name} ({len(parts)})" for name, parts in sorted(absent.items()))
    elif not silent:
        text += ", toutes complètes"
    return text + (f" ; sans réponse : {', '.join(silent)}" if silent else "")


def _capacity_line(states: Iterable[Mapping[str, Any]], replicas: int) -> str:
    disks = [disk for state in states for disk in state["disques"] if not disk["absent"]]
    total = sum(disk["octets"] for disk in disks) / replicas
    free = sum(disk["libres"] for disk in disks) / replicas
    filled = [1 - disk["libres"] / disk["octets"] for disk in disks if disk["octets"]]
    text = f"Capacité   : {_size(free)} d'archives encore, sur {_size(total)}"
    return text + (f" ; disque le plus plein : {100 * max(filled):.0f} %" if filled else "")


def _verdict_lines(found: Sequence[Fault]) -> list[str]:
    if not found:
        return ["Salle saine : un nœud peut être arrêté (fab archive.correctifs)."]
    return [f"{count(len(found), 'défaut')}, aucun nœud ne doit être arrêté :", *(f"- {fault}" for fault in found)]
