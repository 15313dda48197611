"""Arrêtés and décisions that are written in the parapheur, from their model to the circuit and back.

Run by Mayan's own Python (`test_mayan`), on the world of `in_process`; what draws is in C(CREATIC_WEASYPRINT).
"""

from __future__ import annotations

import datetime as dt
import html
import io
import re
import sys
import unittest
import uuid
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))

import in_process
import pypdf
from creatic_accounts.guard import ChangeDeniedError
from creatic_parapheur import circuit, configuration, registers, seal
from creatic_parapheur.drafting import find
from creatic_parapheur.models import Acte, Dossier
from creatic_parapheur.refusal import RefusedError
from django.core.management import call_command
from django.db import IntegrityError
from django.test.utils import setup_databases, setup_test_environment
from in_process import Mayan

PLACE = "/parapheur/rediger/"
DAY = dt.date(2026, 3, 2)
CIRCULATION = {
    "modele": "circulation", "commune": "loos", "date": str(DAY), "matiere": "6.1", "transmission": "non",
    "tribunal": "Lille", "signataire": "titulaire", "lieu": "Rue de l'Église <n° 2>", "periode_du": "2026-03-09",
    "periode_au": "2026-03-13", "motif": "la réfection de la chaussée", "mesures": "la circulation est interdite",
    "signalisation": "l'entreprise Dupont",
}  # fmt: skip # a table
DECISION = {
    "modele": "decision", "commune": "loos", "date": str(DAY), "matiere": "3.3", "transmission": "oui",
    "tribunal": "Lille", "sujet": "Bail du 3 place de la Mairie", "alinea": "5°", "delegation": "la délibération n° 3",
    "motif": "que le bail arrive à son terme", "decision": "Le bail est renouvelé",
}  # fmt: skip # a table


class Arretes(Mayan):
    """What a rédacteur writes."""

    def setUp(self) -> None:
        super().setUp()
        self.enterContext(mock.patch.object(seal, "check_document", return_value=True))

    def page(self, told: dict[str, str], wish: str, login: str = "karim.roux", **more: str) -> Any:
        return self.browser(login).post(PLACE, told | {"geste": wish} | more, secure=True)

    def sent(self, told: dict[str, str], **more: str) -> Dossier:
        answer = self.page(told, "envoyer", reference=f"{circuit.OWN}{uuid.uuid4()}", **more)
        self.assertEqual(answer.status_code, 302, html.unescape(answer.content.decode())[-6000:])
        found = Dossier.objects.order_by("pk").last()
        assert found is not None
        return found

    def refused(self, told: dict[str, str], **more: str) -> str:
        before = Acte.objects.count(), Dossier.objects.count()
        answer = self.page(told, "envoyer", reference=f"{circuit.OWN}{uuid.uuid4()}", **more)
        self.assertEqual(answer.status_code, 200)
        self.assertEqual((Acte.objects.count(), Dossier.objects.count()), before)
        said = re.search(r'role="alert">(.*?)</div>', answer.content.decode())
        assert said
        return html.unescape(said[1])

    def test_models_are_listed_and_one_asks_for_its_fields_once(self) -> None:
        browser = self.browser("karim.roux")
        listed = browser.get(PLACE, secure=True)
        self.assertContains(listed, "modele=debit_boissons")
        asked = browser.get(f"{PLACE}?modele=circulation", secure=True).content.decode()
        self.assertNotIn("<script", asked)
        for name in find("circulation").inputs:
            self.assertEqual(len(re.findall(f'name="{name}"', asked)), 1, name)
            self.assertIn(f'for="parapheur-{name}"', asked)
        # What goes is proposed, with its reason.
        self.assertIn('<option value="non" selected>Non transmissible', asked)
        self.assertIn("sont exclues de la transmission", html.unescape(asked))
        self.assertIn("L2213-1 à L2213-6 [à vérifier]", html.unescape(asked))
        self.assertContains(browser.get("/parapheur/", secure=True), f'href="{PLACE}"')
        # Who deposits nothing writes nothing.
        other = self.browser("claire.dubois").get(PLACE, secure=True)
        self.assertContains(other, "Seuls les rédacteurs")
        self.assertNotContains(other, "modele=circulation")

    def test_it_is_read_again_before_it_has_a_number(self) -> None:
        shown = self.page(CIRCULATION, "apercu")
        self.assertContains(shown, "Rue de l&#x27;Église &lt;n° 2&gt;, du 9 mars 2026 au 13 mars 2026")
        self.assertContains(shown, "Numéroter et envoyer dans le circuit")
        drawn = self.page(CIRCULATION, "pdf")
        self.assertEqual(drawn["Content-Type"], "application/pdf")
        text = pypdf.PdfReader(io.BytesIO(drawn.content)).pages[0].extract_text()
        self.assertIn("projet, sans numéro", text)
        self.assertEqual(Acte.objects.count(), 0)

    def test_what_is_sent_has_its_number_its_document_and_its_circuit(self) -> None:
        made = self.sent(CIRCULATION)
        self.assertEqual(
            (made.numero, made.nature, made.transmission, made.matiere), ("AR_2026_001", "2", "non", "6.1")
        )
        self.assertEqual((made.etat, made.circuit, made.date), ("a_viser", "arrete", DAY))
        self.assertEqual(made.signataire, "claire.dubois")
        with made.fichier.open() as file:
            text = "".join(one.extract_text() for one in pypdf.PdfReader(io.BytesIO(file.read())).pages)
        for said in ("Arrêté n° AR_2026_001", "Claire Dubois, maire", "Commune de Loos", "Rue de l'Église <n° 2>"):
            self.assertIn(said, " ".join(text.split()))
        kept = made.acte
        self.assertEqual((kept.registre, kept.annee, kept.rang, kept.par), ("arrete", 2026, 1, "Karim Roux"))
        self.assertEqual(kept.valeurs["motif"], "la réfection de la chaussée")

    def test_numbers_follow_by_register_and_year_without_a_hole(self) -> None:
        numbers = [self.sent(CIRCULATION).numero, self.sent(DECISION).numero, self.sent(CIRCULATION).numero]
        self.assertEqual(numbers, ["AR_2026_001", "DEC_2026_001", "AR_2026_002"])
        later = CIRCULATION | {"date": "2027-01-01", "periode_du": "2027-01-04", "periode_au": "2027-01-04"}
        self.assertEqual(self.sent(later, premier="41").numero, "AR_2027_041")
        self.assertEqual(self.sent(later, premier="7").numero, "AR_2027_042")  # only the first of a year is told
        self.assertEqual(self.sent(CIRCULATION).numero, "AR_2026_003")
        # What is refused takes none.
        self.assertIn("tenu par ordre de date", self.refused(CIRCULATION | {"date": "2026-03-01"}))
        self.assertIn("Voie, et partie concernée : champ obligatoire absent", self.refused(CIRCULATION | {"lieu": ""}))
        self.assertIn("transmission : dites si cet arrêté part", self.refused(CIRCULATION | {"transmission": ""}))
        self.assertIn("n'est pas une matière", self.refused(CIRCULATION | {"matiere": "police"}))
        self.assertIn("Tribunal administratif", self.refused(CIRCULATION | {"tribunal": ""}))
        self.assertIn("signataire", self.refused(CIRCULATION | {"signataire": "delegation:99"}))
        self.assertIn("signe invisible", self.refused(CIRCULATION | {"tribunal": "Li\0lle"}))
        for odd in ("", "x", "parapheur:x", "parapheur:\0"):
            self.assertContains(self.page(CIRCULATION, "envoyer", reference=odd), "plus à jour. À faire : rechargez")
        with mock.patch.object(seal, "check_document", side_effect=RefusedError("illisible")):
            self.assertIn("illisible", self.refused(CIRCULATION))
        self.assertEqual(self.sent(CIRCULATION).numero, "AR_2026_004")

    def test_a_number_that_another_act_takes_meanwhile_is_left_to_it(self) -> None:
        first = self.sent(CIRCULATION)
        real, calls = registers.next_rank, []

        def late(asked: registers.Asked) -> int:
            calls.append(real(asked))
            return 1 if len(calls) == 1 else calls[-1]

        with mock.patch.object(registers, "next_rank", late):
            second = self.sent(CIRCULATION)
        self.assertEqual((first.numero, second.numero, len(calls)), ("AR_2026_001", "AR_2026_002", 2))
        with self.assertRaises(IntegrityError), in_process.transaction.atomic():
            Acte.objects.create(commune="loos", registre="arrete", annee=2026, rang=2, numero="x", date=DAY, par="x")

    def test_the_same_page_twice_is_one_act(self) -> None:
        reference = f"{circuit.OWN}{uuid.uuid4()}"
        first, again = (self.page(CIRCULATION, "envoyer", reference=reference) for _time in range(2))
        self.assertEqual((first.status_code, again.status_code, first.url), (302, 302, again.url))
        self.assertEqual(Acte.objects.count(), 1)

    def test_a_commune_writes_for_itself(self) -> None:
        self.sent(CIRCULATION)
        answer = self.page(CIRCULATION, "envoyer", "ines.morel", reference=f"{circuit.OWN}{uuid.uuid4()}")
        self.assertContains(answer, "choisissez de nouveau la commune")
        wavrin = CIRCULATION | {"commune": "wavrin"}
        self.assertEqual(
            self.page(wavrin, "envoyer", "ines.morel", reference=f"{circuit.OWN}{uuid.uuid4()}").status_code, 302
        )
        self.assertEqual(Acte.objects.get(commune="wavrin").numero, "AR_2026_001")
        self.assertContains(self.page(CIRCULATION | {"modele": "autre"}, "envoyer"), "choisissez de nouveau")

    def test_a_number_stays_when_the_act_is_eliminated(self) -> None:
        made = self.sent(CIRCULATION)
        with self.assertRaises(ChangeDeniedError), in_process.transaction.atomic():
            made.acte.delete()
        circuit.let_go(made.document)
        kept = Acte.objects.get()
        self.assertEqual((kept.numero, kept.dossier, kept.valeurs, kept.objet), ("AR_2026_001", None, {}, ""))
        self.assertEqual(self.sent(CIRCULATION).numero, "AR_2026_002")

    def signed(self, told: dict[str, str]) -> Dossier:
        made = self.sent(told)
        Dossier.objects.filter(pk=made.pk).update(etat="acquitte")
        return Dossier.objects.get(pk=made.pk)

    def test_an_act_is_withdrawn_abrogated_or_corrected_by_another_that_refers_to_it(self) -> None:
        act = self.signed(DECISION)
        browser = self.browser("karim.roux")
        shown = browser.get(f"/parapheur/dossiers/{act.pk}/", secure=True)
        self.assertContains(shown, f"modele=retrait&amp;vise={act.pk}")
        self.assertContains(browser.get(f"{PLACE}?modele=retrait", secure=True), f"vise={act.pk}")
        asked = browser.get(f"{PLACE}?modele=retrait&vise={act.pk}", secure=True).content.decode()
        self.assertIn('<option value="oui" selected>', asked)
        self.assertIn('name="matiere" value="3.3"', asked)
        told = DECISION | {"vise": str(act.pk), "motif": "qu'une erreur l'affecte", "corrections": "le 10 mars"}
        corrected = self.sent(told | {"modele": "rectification"})
        self.assertEqual((corrected.numero, corrected.nature), ("DEC_2026_002", "D"))  # as the act that it corrects
        withdrawn = self.sent(told | {"modele": "retrait"})
        self.assertEqual(withdrawn.objet, "Retrait de la décision n° DEC_2026_001 du 2 mars 2026")
        kept = withdrawn.acte
        self.assertEqual((kept.effet, kept.vise, kept.vise_nom[:12]), ("retire", act, "la décision "))
        both = html.unescape(browser.get(f"/parapheur/dossiers/{act.pk}/", secure=True).content.decode())
        self.assertIn("rectifié par", both)
        self.assertIn("retiré par", both)
        self.assertContains(
            browser.get(f"/parapheur/dossiers/{withdrawn.pk}/", secure=True), "la décision n° DEC_2026_001"
        )
        # Once, unless what withdraws it is refused.
        again = told | {"modele": "abrogation", "effet": str(DAY)}
        self.assertIn("est déjà retiré par DEC_2026_003", self.refused(again))
        Dossier.objects.filter(pk=withdrawn.pk).update(etat="refuse")
        self.assertIn("Abrogation", self.sent(again).objet)

    def test_what_is_not_signed_or_another_commune_s_is_not_touched(self) -> None:
        waiting, other = self.sent(CIRCULATION), self.deposit("wavrin")
        told = CIRCULATION | {"modele": "retrait", "motif": "que le motif manque"}
        for number in (str(waiting.pk), str(other), "", "9" * 30, "x"):
            self.assertIn("Acte visé : choisissez un arrêté", self.refused(told | {"vise": number}), number)
        self.assertNotContains(
            self.browser("karim.roux").get(f"/parapheur/dossiers/{waiting.pk}/", secure=True), "modele=retrait"
        )
        act = self.signed(CIRCULATION | {"date": "2026-03-04"})
        self.assertIn("avant celle de l'acte visé", self.refused(told | {"vise": str(act.pk)}))

    def test_a_refused_act_is_corrected_under_its_number(self) -> None:
        made = self.sent(CIRCULATION)
        self.sent(CIRCULATION | {"date": "2026-03-05"})
        circuit.refuse(in_process.account("paul.renard"), made, "la déviation manque")
        browser = self.browser("karim.roux")
        self.assertContains(browser.get(f"/parapheur/dossiers/{made.pk}/", secure=True), f"corrige={made.pk}")
        asked = browser.get(f"{PLACE}?modele=circulation&corrige={made.pk}", secure=True)
        self.assertContains(asked, "la déviation manque")
        self.assertContains(asked, 'value="la réfection de la chaussée"')
        told = CIRCULATION | {"corrige": str(made.pk), "deviation": "la rue du Bois", "date": "2026-04-01"}
        self.assertIn("Motif (après « que ») : champ obligatoire absent", self.refused(told | {"motif": ""}))
        self.assertIn("n'est pas une matière", self.refused(told | {"matiere": "x"}))
        self.assertEqual(self.page(told | {"lieu": "Rue du Marais"}, "envoyer").status_code, 302)
        after = Dossier.objects.get(pk=made.pk)
        self.assertEqual((after.numero, after.etat, after.date), ("AR_2026_001", "a_viser", DAY))
        self.assertIn("Rue du Marais", after.objet)
        self.assertEqual((after.acte.valeurs["deviation"], after.acte.objet), ("la rue du Bois", after.objet))
        with after.fichier.open() as file:
            text = "".join(one.extract_text() for one in pypdf.PdfReader(io.BytesIO(file.read())).pages)
        self.assertIn("AR_2026_001", text)
        self.assertIn("la rue du Bois", " ".join(text.split()))
        self.assertIn("choisissez de nouveau", self.refused(told))  # it is not refused any more
        self.assertEqual(Acte.objects.count(), 2)

    def test_the_migration_is_what_the_models_say(self) -> None:
        with mock.patch.object(in_process.django.conf.settings, "MIGRATION_MODULES", {}):
            call_command("makemigrations", "creatic_parapheur", check=True, dry_run=True, verbosity=0)


def begin() -> None:
    """The world of `in_process`."""
    setup_test_environment()
    setup_databases(verbosity=0, interactive=False)
    in_process.populate()
    configuration.current.cache_clear()


if __name__ == "__main__":
    begin()
    unittest.main(verbosity=2)
