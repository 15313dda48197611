"""Communicability: the latest delay of an archive's own rules decides, and what cannot be told is not communicated."""

from __future__ import annotations

from datetime import date

import pytest
from sae.config import ACCESS
from sae.rights import Declared, after, day_of, declared, judge
from sae.versement.seda import namespace

TODAY = date(2026, 11, 28)
YEARS = {**ACCESS, "AR062": 100}
FREE, FIFTY = ("AR038", "2026-01-15"), ("AR048", "2026-01-15")


def rule(*pairs: tuple[str, str], more: str = "") -> str:
    told = "".join(f"<Rule>{code}</Rule><StartDate>{start}</StartDate>" for code, start in pairs)
    return f"<AccessRule>{told}{more}</AccessRule>"


def unit(management: str = "", inside: str = "") -> str:
    told = f"<Management>{management}</Management>" if management else ""
    return f"<ArchiveUnit>{told}<Content><Title>t</Title></Content>{inside}</ArchiveUnit>"


def read(units: str, managed: str = "", version: str = "2.3") -> Declared:
    text = (
        f'<ArchiveTransfer xmlns="{namespace(version)}" xmlns:x="urn:x"><DataObjectPackage><DescriptiveMetadata>{units}'
        f"</DescriptiveMetadata><ManagementMetadata>{managed}</ManagementMetadata></DataObjectPackage></ArchiveTransfer>"
    )
    return declared([text[:50].encode(), text[50:].encode()])


@pytest.mark.parametrize("version", ["2.1", "2.2", "2.3"])
def test_rules_are_read_wherever_they_are_told(version: str) -> None:
    assert read(unit(), rule(FREE), version) == Declared((FREE,), True)
    assert read(unit(rule(FIFTY)) + unit(rule(FREE)), "", version) == Declared((FIFTY, FREE), True)
    assert read(unit(rule(FIFTY), unit(unit())), "", version) == Declared((FIFTY,), True)


@pytest.mark.parametrize(
    ("units", "managed"),
    [
        (unit(), ""),
        ("", ""),
        (unit(rule(FREE)) + unit(), ""),  # the second one is under none
        (unit("", unit(rule(FREE))), ""),  # the one above it too
        (unit("<AccessRule><PreventInheritance>true</PreventInheritance></AccessRule>"), rule(FREE)),
        (unit("<AccessRule><RefNonRuleId>AR038</RefNonRuleId></AccessRule>", unit()), rule(FREE)),
        (unit("<ClassificationRule><Rule>CLASS-00001</Rule></ClassificationRule>"), rule(FREE)),
        (unit(rule()), ""),
        # An extension's element is no rule of SEDA.
        (unit("<x:AccessRule><x:Rule>AR038</x:Rule></x:AccessRule>"), ""),
        (unit(), "<x:AccessRule><Rule>AR038</Rule></x:AccessRule>"),
    ],
)
def test_what_is_under_no_rule_is_not_communicated(units: str, managed: str) -> None:
    verdict = judge(read(units, managed), YEARS, TODAY)
    assert (verdict.communicable, verdict.since) == (False, None)
    assert "un archiviste la classe d'abord" in verdict.why


def test_a_prevented_inheritance_with_its_own_rule_is_told() -> None:
    own = rule(FIFTY, more="<PreventInheritance>true</PreventInheritance>")
    assert read(unit(own), rule(FREE)) == Declared((FIFTY, FREE), True)


def test_the_latest_delay_decides() -> None:
    for rules, communicable, since, said in (
        ((FREE,), True, None, "de plein droit (AR038, Code du patrimoine, L213-1)"),
        ((("AR038", ""),), True, None, "de plein droit"),
        ((FREE, FIFTY), False, date(2076, 1, 16), "à partir du 16/01/2076 seulement (AR048, 50 ans"),
        ((("AR048", "1976-11-27"),), True, TODAY, "communicable depuis le 28/11/2026"),
        ((("AR048", "1976-11-28"),), False, date(2026, 11, 29), "à partir du 29/11/2026"),
        ((("AR062", "1976-11-28"), ("AR048", "1900-01-01")), False, date(2076, 11, 29), "AR062, 100 ans"),
        ((("AR999", "1976-11-28"), FREE), False, None, "AR999 n'est pas connue"),
        ((("AR048", ""),), False, None, "ne dit pas de quel jour"),
        ((("AR048", "1976-13-45"),), False, None, "ne dit pas de quel jour"),
    ):
        verdict = judge(Declared(rules, True), YEARS, TODAY)
        assert (verdict.communicable, verdict.since) == (communicable, since), rules
        assert said in verdict.why, verdict.why


def test_days() -> None:
    assert after(date(2020, 2, 29), 50) == date(2070, 3, 1)
    assert after(date(9990, 1, 1), 50) == date.max
    assert day_of(" 3/4/2026 ") == date(2026, 4, 3) and day_of("2026-04-03") == date(2026, 4, 3)
    for wrong in ("31/02/2026", "demain", "٣/4/2026", ""):
        with pytest.raises(ValueError, match=r"."):
            day_of(wrong)


def test_a_damaged_manifest_is_no_manifest() -> None:
    with pytest.raises(ValueError, match=r"."):
        declared([b"<ArchiveTransfer><"])
