"""What the parapheur knows of a document beside Mayan: where it came from, its deadline, its files, what was done with
it and by whom; and absences."""

from __future__ import annotations

import uuid
from typing import Any

from creatic_accounts.guard import ChangeDeniedError
from creatic_accounts.models import login_of
from django.conf import settings
from django.db import models
from django.utils import timezone
from mayan.apps.document_states.models import WorkflowInstance
from mayan.apps.documents.models import Document, DocumentFile

from . import configuration, procurement, transmission

CONTRACT = "marche"
OTHER, COUNTER = "autre", "contresignature"  # of its pieces, besides the configuration's
# A signed contract, of which a person says whether it goes to the préfecture, and that its file is complete
# (contracts.py).
TO_COMPLETE = models.Q(circuit=CONTRACT, etat="a_teletransmettre", complet__isnull=True)


def label(kind: str) -> str:
    """What a piece of a contract is, in French."""
    return {OTHER: "Autre annexe", COUNTER: "Contresignature du fournisseur"}.get(kind, kind)


class Dossier(models.Model):
    """A document in a circuit. `etat` repeats the state of Mayan's workflow, in the same transaction."""

    document = models.OneToOneField(Document, on_delete=models.CASCADE, related_name="dossier")
    instance = models.OneToOneField(WorkflowInstance, on_delete=models.RESTRICT, related_name="dossier")
    commune = models.CharField(max_length=80, db_index=True)
    circuit = models.CharField(max_length=20)
    reference = models.CharField(max_length=200, unique=True)
    objet = models.CharField(max_length=500)
    numero = models.CharField(max_length=60, blank=True)
    matiere = models.CharField(max_length=14, blank=True)
    # Of an arrêté, as who prepares it says (transmission.py).
    nature = models.CharField(max_length=1, blank=True, default="")
    transmission = models.CharField(max_length=3, blank=True, default="")
    date = models.DateField()
    echeance = models.DateField(null=True, blank=True)
    auteur = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    etat = models.CharField(max_length=30, db_index=True)
    depuis = models.DateTimeField()
    par = models.CharField(max_length=200)
    motif = models.TextField(blank=True)
    # Its `depuis` when those whom it awaits were last written to: a later one is an arrival.
    annonce = models.DateTimeField(null=True, blank=True)
    # The document to sign, and the last file: the same until it is signed.
    origine = models.ForeignKey(DocumentFile, on_delete=models.RESTRICT, related_name="+")
    # Who signs, chosen when the document came, and the quality that stands on it (signatory.py); empty before that was
    # asked, and for what the gateway brings.
    signataire = models.CharField(max_length=150, blank=True, default="")
    qualite = models.CharField(max_length=500, blank=True, default="")
    delegation = models.ForeignKey("Delegation", on_delete=models.RESTRICT, null=True, related_name="+")
    absence = models.ForeignKey("Absence", on_delete=models.RESTRICT, null=True, related_name="+")
    fichier = models.ForeignKey(DocumentFile, on_delete=models.RESTRICT, related_name="+")
    # Of a contract that is transmitted: since when its file is said to be complete.
    complet = models.DateTimeField(null=True, blank=True)
    # Of a contract, as a rédacteur says them: its kind (procurement.KINDS), when its consultation was begun, and its
    # amount in euros without tax (CGCT, L2131-2, I, 4°).
    contrat = models.CharField(max_length=20, blank=True, default="")
    consultation = models.DateField(null=True, blank=True)
    montant = models.DecimalField(max_digits=14, decimal_places=2, null=True, blank=True)
    # Of a contract: what was typed of its essential data, and of what changed them since (opendata.py).
    essentielles = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ("depuis",)

    def __str__(self) -> str:
        return self.objet

    @property
    def commune_nom(self) -> str:
        """Name of the commune."""
        commune = configuration.current().communes.get(self.commune)
        return commune.nom if commune else self.commune

    @property
    def etat_nom(self) -> str:
        """Label of the state."""
        return configuration.current().states.get(self.etat, self.etat)

    @property
    def circuit_nom(self) -> str:
        """Label of the circuit."""
        return configuration.current().circuits.get(self.circuit, self.circuit)

    @property
    def signataire_nom(self) -> str:
        """Name and quality of who was chosen to sign; nothing when nobody was."""
        return f"{configuration.current().name(self.signataire)}, {self.qualite}" if self.signataire else ""

    @property
    def nature_nom(self) -> str:
        """Label of the nature."""
        return transmission.NATURES.get(self.nature, "")

    @property
    def contrat_nom(self) -> str:
        """Label of the kind of contract."""
        return procurement.KINDS[self.contrat].label if self.contrat in procurement.KINDS else self.contrat

    @property
    def montant_lu(self) -> str:
        """The amount, as people read it; nothing where nobody said it."""
        return "" if self.montant is None else procurement.euros(self.montant)

    @property
    def transmission_nom(self) -> str:
        """Whether it goes to the préfecture, in words."""
        return transmission.CHOICES.get(self.transmission, "")

    @property
    def a_completer(self) -> bool:
        """As `TO_COMPLETE`."""
        awaited = (self.circuit, self.etat) == (CONTRACT, "a_teletransmettre")
        return awaited and self.complet is None

    @property
    def en_retard(self) -> bool:
        """Whether its deadline is over while somebody is awaited."""
        awaited = self.a_completer or self.etat in (*configuration.PASSED_BY_PEOPLE, "refuse")
        return bool(awaited and self.echeance and self.echeance < timezone.localdate())


class Lettre(models.Model):
    """Who was told of an arrival (the dossier's `depuis`), or never will be: they are not written to again while
    another still is tried. It goes once all of them are (`Dossier.annonce`)."""

    dossier = models.ForeignKey(Dossier, on_delete=models.CASCADE, related_name="lettres")
    compte = models.BigIntegerField()
    depuis = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("dossier", "compte", "depuis"), name="creatic_parapheur_lettre_unique"),
        )

    def __str__(self) -> str:
        return f"{self.dossier_id} : {self.compte}"


class GesteQuerySet(models.QuerySet["Geste"]):
    """What was done: it is added to."""

    def update(self, **_fields: Any) -> int:
        raise ChangeDeniedError(Geste.KEPT)

    def delete(self) -> tuple[int, dict[str, int]]:
        raise ChangeDeniedError(Geste.KEPT)


class AddedOnce(models.Model):
    """What is added, and then neither changes nor goes."""

    objects = GesteQuerySet.as_manager()

    class Meta:
        abstract = True
        ordering = ("pk",)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Add it, once."""
        if not self._state.adding:
            raise ChangeDeniedError(Geste.KEPT)
        super().save(*args, **kwargs)


class Geste(AddedOnce):
    """What somebody did in a dossier. It bears their name, as it was: no account is needed to read it."""

    KEPT = "L'historique d'un dossier du parapheur ne se change pas et ne s'efface pas. Rien n'a été changé"

    dossier = models.ForeignKey(Dossier, on_delete=models.CASCADE, related_name="gestes")
    quand = models.DateTimeField(default=timezone.now)
    compte = models.BigIntegerField(null=True)  # number of the account, which may be gone
    identifiant = models.CharField(max_length=150)
    qui = models.CharField(max_length=200)
    quoi = models.CharField(max_length=60)
    # Labels of states: where it was, where it came.
    de = models.CharField(max_length=60, blank=True)
    vers = models.CharField(max_length=60)
    motif = models.TextField(blank=True)
    note = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"{self.quoi} : {self.qui}"


def described(document: Document) -> dict[str, Any]:
    """A document's way through its circuit, for who takes it away: nothing for one that has none."""
    related = ("origine", "fichier", "delegation", "absence")
    dossier = Dossier.objects.filter(document=document).select_related(*related).first()
    if dossier is None:
        return {}
    fields = ("quand", "identifiant", "qui", "quoi", "de", "vers", "motif", "note")
    history = [
        {name: value.isoformat() if name == "quand" else value for name, value in one.items()}
        for one in dossier.gestes.values(*fields)
    ]
    return {
        "dossier": {
            "reference": dossier.reference,
            "circuit": dossier.circuit,
            "objet": dossier.objet,
            "numero": dossier.numero,
            "matiere": dossier.matiere,
            "date": dossier.date.isoformat(),
            "etat": dossier.etat_nom,
            "depuis": dossier.depuis.isoformat(),
            "signataire": dossier.signataire_nom,
            "contrat": dossier.contrat_nom,
            "montant": dossier.montant_lu,
            "qualite": dossier.qualite,
            "delegation": dossier.delegation.described if dossier.delegation else {},
            "absence": dossier.absence.described if dossier.absence else {},
            "sha256_a_signer": dossier.origine.checksum,
            "sha256_dernier": dossier.fichier.checksum,
            "pieces": [
                {
                    "genre": one.genre_nom,
                    "nom": one.nom,
                    "sha256": one.empreinte,
                    "sha256_du_document": one.document,
                    "verdict": one.verdict,
                    "quand": one.quand.isoformat(),
                    "par": one.par,
                }
                for one in dossier.pieces.all()
            ],
            "historique": history,
        }
    }


class AbsenceQuerySet(models.QuerySet["Absence"]):
    """Absences."""

    def active(self) -> AbsenceQuerySet:
        """Those of today."""
        today = timezone.localdate()
        return self.filter(du__lte=today, au__gte=today, annulee=False)

    def of(self, commune: configuration.Commune) -> AbsenceQuerySet:
        """Those that count in an institution: none that another one's people noted."""
        return self.filter(commune__in=["", commune.slug])


class Absence(models.Model):
    """Days, both included, on which a deputy acts for somebody. What was cancelled stays, as a trace."""

    personne = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="absences")
    suppleant = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="suppleances")
    du = models.DateField()
    au = models.DateField()
    # Where it counts: of who noted it for another (slug); wherever the person passes a step, when it is empty.
    commune = models.CharField(max_length=80, blank=True, default="", db_index=True)
    annulee = models.BooleanField(default=False)
    annulee_par = models.CharField(max_length=200, blank=True, default="")
    saisie = models.DateTimeField(auto_now_add=True)
    # By whom, when somebody else noted it, and why (CGCT, L2122-17).
    saisie_par = models.CharField(max_length=200, blank=True, default="")
    saisie_compte = models.BigIntegerField(null=True)
    raison = models.CharField(max_length=300, blank=True, default="")
    # Of the deputy, on the document.
    qualite = models.CharField(max_length=150, blank=True, default="")

    objects = AbsenceQuerySet.as_manager()

    class Meta:
        ordering = ("du",)

    @property
    def personne_nom(self) -> str:
        """Name of who is absent."""
        return configuration.current().name(login_of(self.personne))

    @property
    def commune_nom(self) -> str:
        """Name of the one institution where it counts; nothing when it counts wherever the person passes a step."""
        commune = configuration.current().communes.get(self.commune)
        return commune.nom if commune else self.commune

    @property
    def described(self) -> dict[str, str]:
        """Who is replaced, when and why, for the proof of what the deputy signed; days are ISO 8601."""
        return {
            "personne": self.personne_nom,
            "qualite": self.qualite,
            "du": self.du.isoformat(),
            "au": self.au.isoformat(),
            "raison": self.raison,
        }

    @property
    def suppleant_nom(self) -> str:
        """Name of who acts."""
        return configuration.current().name(login_of(self.suppleant))

    def __str__(self) -> str:
        return f"{self.personne_nom} : {self.du:%d/%m/%Y} - {self.au:%d/%m/%Y}"


class DelegationQuerySet(models.QuerySet["Delegation"]):
    """Delegations."""

    def active(self) -> DelegationQuerySet:
        """Those of today."""
        today = timezone.localdate()
        return self.filter(models.Q(au__isnull=True) | models.Q(au__gte=today), du__lte=today, retiree__isnull=True)


class Delegation(models.Model):
    """What an arrêté lets somebody sign, both days included. What was withdrawn stays, as a trace."""

    commune = models.CharField(max_length=80, db_index=True)
    personne = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="delegations")
    qualite = models.CharField(max_length=150)
    fondement = models.CharField(max_length=10)
    arrete = models.CharField(max_length=60)
    arrete_date = models.DateField()
    # Beginnings of matters, and circuits, separated by spaces; all without any.
    matieres = models.CharField(max_length=500, blank=True, default="")
    circuits = models.CharField(max_length=100, blank=True, default="")
    du = models.DateField()
    au = models.DateField(null=True, blank=True)
    retiree = models.DateField(null=True, blank=True)
    retiree_par = models.CharField(max_length=200, blank=True, default="")
    saisie = models.DateTimeField(auto_now_add=True)
    saisie_par = models.CharField(max_length=200)
    saisie_compte = models.BigIntegerField(null=True)

    objects = DelegationQuerySet.as_manager()

    class Meta:
        ordering = ("du", "pk")

    @property
    def personne_nom(self) -> str:
        """Name of who has it."""
        return configuration.current().name(login_of(self.personne))

    @property
    def described(self) -> dict[str, str]:
        """What it lets sign, and by which arrêté, for the proof of what was signed; days are ISO 8601."""
        return {
            "personne": self.personne_nom,
            "qualite": self.qualite,
            "fondement": self.fondement,
            "arrete": self.arrete,
            "arrete_date": self.arrete_date.isoformat(),
            "objet": self.objet,
            "du": self.du.isoformat(),
            "au": self.au.isoformat() if self.au else "",
            "retiree": self.retiree.isoformat() if self.retiree else "",
        }

    @property
    def objet(self) -> str:
        """What it is about, in French."""
        labels = configuration.current().circuits
        named = ", ".join(labels.get(one, one) for one in self.circuits.split())
        matters = ", ".join(self.matieres.split())
        return " ; ".join(filter(None, [named, f"matières {matters}" if matters else ""])) or "toutes matières"

    @property
    def etat(self) -> str:
        """Where it is, in French."""
        today = timezone.localdate()
        if self.retiree:
            return f"retirée le {self.retiree:%d/%m/%Y} ({self.retiree_par})"
        if self.au and self.au < today:
            return f"finie le {self.au:%d/%m/%Y}"
        return f"à partir du {self.du:%d/%m/%Y}" if self.du > today else "en cours"

    def __str__(self) -> str:
        return f"{self.personne_nom} : arrêté {self.arrete}"


class Piece(AddedOnce):
    """An annex of a contract, or a supplier's counter-signature, with who brought it; it stays."""

    dossier = models.ForeignKey(Dossier, on_delete=models.CASCADE, related_name="pieces")
    # One of the configuration's labels as it was then, or a code of contracts.py.
    genre = models.CharField(max_length=200)
    nom = models.CharField(max_length=200)
    fichier = models.ForeignKey(DocumentFile, on_delete=models.RESTRICT, related_name="+")
    empreinte = models.CharField(max_length=64)  # SHA-256
    # Of a counter-signature: SHA-256 of what it signs, who signed, and what the trusted lists said of it then.
    document = models.CharField(max_length=64, blank=True, default="")
    signataires = models.CharField(max_length=200, blank=True, default="")
    verdict = models.TextField(blank=True, default="")
    quand = models.DateTimeField(default=timezone.now)
    compte = models.BigIntegerField(null=True)
    par = models.CharField(max_length=200)

    def __str__(self) -> str:
        return f"{self.genre_nom} : {self.nom}"

    @property
    def genre_nom(self) -> str:
        """What it is, in French."""
        return label(self.genre)

    @property
    def perimee(self) -> bool:
        """Whether it signs a document that was corrected since."""
        return bool(self.document) and self.document not in (
            self.dossier.origine.checksum,
            self.dossier.fichier.checksum,
        )

    @property
    def transmis(self) -> bool:
        """Whether it goes to the préfecture, which takes PDF, with what was joined before the file was complete."""
        there = self.dossier.complet is None or self.quand <= self.dossier.complet
        return there and not self.perimee and self.nom.lower().endswith(".pdf")

    @property
    def apres(self) -> bool:
        """Whether it is an annex that was joined after the contract was signed: the signature knows nothing of it."""
        signed = self.dossier.gestes.filter(quoi="Signer").last()
        return not self.document and signed is not None and signed.quand < self.quand


class Acte(models.Model):
    """A number of an arrêté or of a décision that was written here, and the act that has it: it stays when the archives
    eliminate the act, without what was typed. `registre` and `annee` are its series (registers.py)."""

    commune = models.CharField(max_length=80, db_index=True)
    registre = models.CharField(max_length=10)
    annee = models.PositiveSmallIntegerField()
    rang = models.PositiveIntegerField()
    numero = models.CharField(max_length=15)
    date = models.DateField()
    objet = models.CharField(max_length=500, blank=True)
    modele = models.CharField(max_length=40)
    valeurs = models.JSONField(default=dict)  # what the form sent
    # What it does to another act of the commune, and which.
    effet = models.CharField(max_length=10, blank=True, default="")
    vise = models.ForeignKey(Dossier, on_delete=models.SET_NULL, null=True, related_name="suites")
    vise_nom = models.CharField(max_length=200, blank=True, default="")
    dossier = models.OneToOneField(Dossier, on_delete=models.SET_NULL, null=True, related_name="acte")
    quand = models.DateTimeField(default=timezone.now)
    par = models.CharField(max_length=200)

    class Meta:
        ordering = ("commune", "registre", "annee", "rang")
        constraints = (
            models.UniqueConstraint(
                fields=("commune", "registre", "annee", "rang"), name="creatic_parapheur_acte_unique"
            ),
        )

    def __str__(self) -> str:
        return self.numero


class Lot(models.Model):
    """Dossiers that a person signs at once by the program of their PC (lots.py): their last one, a person has no
    other. It proves nothing: what was signed is in the history of each dossier."""

    cle = models.UUIDField(primary_key=True, default=uuid.uuid4)
    personne = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="lot")
    session = models.CharField(max_length=40)  # where it was asked for: it ends with it
    secret = models.CharField(max_length=64)  # SHA-256: of the one that gives it, then of the one that goes on
    prise = models.DateTimeField(null=True)  # since when the program has it
    fin = models.DateTimeField()
    certificats = models.JSONField(default=list)  # PEM, as the program gave them

    def __str__(self) -> str:
        return str(self.cle)


class Demande(models.Model):
    """A document of a lot. `attente`, `pret` once prepared, then `signe` or `refuse`."""

    lot = models.ForeignKey(Lot, on_delete=models.CASCADE, related_name="demandes")
    dossier = models.ForeignKey(Dossier, on_delete=models.CASCADE, related_name="+")
    document = models.BigIntegerField()  # number of the file that was shown
    etat = models.CharField(max_length=10, default="attente")
    message = models.TextField(blank=True, default="")
    attente = models.JSONField(null=True)  # what waits for the key (seal.prepare)
    valeurs = models.JSONField(default=dict)  # what the key did, in base64, by its rank

    class Meta:
        ordering = ("pk",)
        constraints = (models.UniqueConstraint(fields=("lot", "dossier"), name="creatic_parapheur_demande_unique"),)

    def __str__(self) -> str:
        return f"{self.lot_id} : {self.dossier_id}"
