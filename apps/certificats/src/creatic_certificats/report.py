"""What the technician, the journal and Prometheus are told. Pure functions of what was found."""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Iterable

from .inventory import Watched

# Days left under which the journal is told, and the syslog priority: notice, warning, error.
THRESHOLDS = ((30, 3), (60, 4), (90, 5))
CRITICAL = 2
CRL_DAYS = 10  # renewed when 15 remain, by any run: fewer means that nothing ran for weeks


def _end(one: Watched) -> str:
    return f"{one.end:%d/%m/%Y}" if one.end else "?"


def state(one: Watched, now: dt.datetime) -> str:
    """Say (French) how something stands."""
    days = one.days(now)
    if one.problem:
        return one.problem
    if days < 0:
        return "expiré"
    for limit, _ in THRESHOLDS:
        if days < limit and not one.is_crl:
            return f"à renouveler (moins de {limit} jours)"
    return "périmée bientôt" if one.is_crl and days < CRL_DAYS else "valide"


def _width(text: str) -> int:
    return sum(0 if unicodedata.combining(char) else 1 for char in text)


def table(found: Iterable[Watched], now: dt.datetime) -> str:
    """Return the table shown to the technician (French)."""
    rows = [("Nom", "Titulaire", "Expire le", "Jours", "État")]
    rows += [
        (one.name, one.holder, _end(one), str(one.days(now)) if one.end else "?", state(one, now)) for one in found
    ]
    if len(rows) == 1:
        return "Aucun certificat sur cette machine.\n"
    widths = [max(_width(row[column]) for row in rows) for column in range(5)]
    lines = []
    for row in rows:
        cells = [cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip() + "\n")
    lines.insert(1, "  ".join("─" * width for width in widths) + "\n")
    return "".join(lines)


def warnings(found: Iterable[Watched], now: dt.datetime) -> list[str]:
    """Return the lines for the journal, each with its syslog priority prefix (``<4>…``, see sd-daemon(3))."""
    lines = []
    for one in found:
        days = one.days(now)
        what = f"« {one.name} »" + (f" ({one.holder})" if one.holder else "")
        if one.problem:
            lines.append(f"<{CRITICAL}>Certificat {what} : {one.problem} ({one.path})")
        elif one.is_crl:
            if days < CRL_DAYS:
                level = CRITICAL if days < 0 else 4
                lines.append(
                    f"<{level}>{one.name} : à renouveler avant le {_end(one)} ; passé cette date, "
                    "les serveurs refusent tout certificat. Lancez un déploiement depuis le poste de commande"
                )
        elif days < 0:
            lines.append(f"<{CRITICAL}>Le certificat {what} a expiré le {_end(one)} : il est refusé partout")
        else:
            for limit, level in THRESHOLDS:
                if days < limit:
                    left = f"{days} jour{'s' if days > 1 else ''}"
                    lines.append(
                        f"<{level}>Le certificat {what} expire dans {left}, le {_end(one)} "
                        f"(seuil de {limit} jours) : renouvelez-le"
                    )
                    break
    return lines


def _label(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", " ")


def metrics(found: Iterable[Watched], now: dt.datetime) -> str:
    """Return the text file for Prometheus' node exporter."""
    stamp: list[str] = []
    left: list[str] = []
    unreadable: list[str] = []
    crl: list[str] = []
    seen: set[str] = set()
    for one in found:
        name = _label(one.name)
        if one.is_crl and one.end:
            crl.append(f'creatic_crl_next_update_timestamp_seconds{{nom="{name}"}} {one.end.timestamp():.0f}')
            continue
        values = {"nom": one.name, "titulaire": one.holder, "serie": one.serial, "fichier": str(one.path)}
        labels = ",".join(f'{key}="{_label(value)}"' for key, value in values.items())
        if labels in seen:
            continue  # the same file listed twice would make the whole text file invalid
        seen.add(labels)
        unreadable.append(f"creatic_certificate_unreadable{{{labels}}} {int(one.end is None)}")
        if one.end:
            stamp.append(f"creatic_certificate_not_after_timestamp_seconds{{{labels}}} {one.end.timestamp():.0f}")
            left.append(f"creatic_certificate_days_left{{{labels}}} {one.days(now)}")
    families = [
        ("creatic_certificate_not_after_timestamp_seconds", "Expiry of a certificate.", stamp),
        ("creatic_certificate_days_left", "Whole days left when last looked at.", left),
        ("creatic_certificate_unreadable", "1 when the certificate cannot be read.", unreadable),
        ("creatic_crl_next_update_timestamp_seconds", "When a revocation list goes stale.", crl),
        (
            "creatic_certificate_watch_timestamp_seconds",
            "When the watch last ran.",
            [f"creatic_certificate_watch_timestamp_seconds {now.timestamp():.0f}"],
        ),
    ]
    text = ""
    for name, purpose, samples in families:
        if samples:
            text += f"# HELP {name} {purpose}\n# TYPE {name} gauge\n" + "".join(f"{one}\n" for one in samples)
    return text
