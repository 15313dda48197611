// Package report says whether a PC is ready: what is installed, what lacks, what ends soon.
package report

import (
	"fmt"
	"time"

	"creatic-poste/internal/config"
	"creatic-poste/internal/enrol"
	"creatic-poste/internal/keys"
	"creatic-poste/internal/machine"
)

// Thresholds, in days before a certificate's end.
var Thresholds = []int{30, 60, 90}

// Certificate is one of the PC's file, as this account has it.
type Certificate struct {
	Name        string    `json:"nom"`
	Holder      string    `json:"titulaire"`
	State       string    `json:"etat"` // installe, attente, absent, expire, jeton
	Issuer      string    `json:"emetteur,omitempty"`
	End         time.Time `json:"fin,omitzero"`
	Days        int       `json:"jours"`
	Threshold   int       `json:"seuil,omitempty"` // 90, 60 or 30: fewer days are left
	Provider    string    `json:"fournisseur,omitempty"`
	Fingerprint string    `json:"empreinte,omitempty"`
	Message     string    `json:"message"`
}

// Report is what « verifier » says.
type Report struct {
	PC           string          `json:"poste"`
	Ready        bool            `json:"pret"`
	Machine      []machine.Point `json:"machine"`
	Others       []string        `json:"autres"` // what other providers set, and what cannot be read
	Certificates []Certificate   `json:"certificats"`
	Faults       []string        `json:"fautes"`
}

// Make looks at the machine and at the account.
func Make(a *enrol.Account, place machine.Place, now time.Time) (*Report, error) {
	r := &Report{PC: a.Config.PC, Ready: true, Certificates: []Certificate{}, Others: []string{}, Faults: []string{}}
	var err error
	if r.Machine, r.Others, err = place.Verify(a.Config); err != nil {
		return nil, err
	}
	for _, point := range r.Machine {
		r.Ready = r.Ready && point.Present
	}
	for _, fault := range a.Config.Faulty {
		r.Faults, r.Ready = append(r.Faults, fault.Message), false
	}
	for _, wanted := range a.Config.Certificates {
		one, err := look(a, wanted, now)
		if err != nil {
			return nil, err
		}
		r.Certificates = append(r.Certificates, one)
		r.Ready = r.Ready && (one.State == "installe" || one.State == "jeton")
	}
	return r, nil
}

func look(a *enrol.Account, wanted config.Certificate, now time.Time) (Certificate, error) {
	one := Certificate{Name: wanted.Name, Holder: wanted.Holder}
	if wanted.Source == config.Token {
		one.State = "jeton"
		one.Message = "dans le jeton : branchez-le, le navigateur le montrera"
		return one, nil
	}
	held, err := a.Holds(wanted)
	if err != nil {
		return one, err
	}
	if held == nil {
		one.State, one.Message = "absent", "n'est pas installé : creatic-poste session"
		if wanted.Source == config.File {
			one.Message = "n'est pas installé : creatic-poste fichier CHEMIN.p12 --certificat " + wanted.Name
		} else if a.State.Of(wanted.Name).Pending != nil {
			one.State, one.Message = "attente", "demandé, le groupement ne l'a pas encore signé"
		}
		return one, nil
	}
	one.Issuer, one.End, one.Provider = held.Certificate.Issuer.CommonName, held.Certificate.NotAfter, held.Provider
	one.Fingerprint, one.Days = keys.Fingerprint(held.Certificate), enrol.Days(held.Certificate, now)
	end := held.Certificate.NotAfter.Local().Format("02/01/2006")
	if now.After(held.Certificate.NotAfter) {
		one.State = "expire"
		one.Message = fmt.Sprintf("a expiré le %s, il y a %d jours : demandez un nouvel installateur au groupement", end, -one.Days)
		if wanted.Source == config.File {
			one.Message = fmt.Sprintf("a expiré le %s, il y a %d jours : demandez son successeur au prestataire", end, -one.Days)
		}
		return one, nil
	}
	one.State, one.Message = "installe", fmt.Sprintf("installé, jusqu'au %s (%d jours)", end, one.Days)
	for _, threshold := range Thresholds {
		if one.Days < threshold {
			one.Threshold = threshold
			one.Message += fmt.Sprintf(" ; moins de %d jours : %s", threshold, advice(wanted, threshold))
			break
		}
	}
	return one, nil
}

func advice(wanted config.Certificate, threshold int) string {
	if wanted.Source == config.File {
		return "demandez son successeur au prestataire"
	}
	if threshold > enrol.RenewalDays {
		return "il se renouvellera seul, ou par creatic-poste renouveler"
	}
	return "creatic-poste renouveler, puis enregistrez le nouveau auprès du TdT"
}
