package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"creatic-poste/internal/config"
	"creatic-poste/internal/confirm"
	"creatic-poste/internal/enrol"
	"creatic-poste/internal/lots"
	"creatic-poste/internal/machine"
	"creatic-poste/internal/refusal"
	"creatic-poste/internal/signers"
)

const signingPatience = 2 * time.Minute // while the site says « later », or does not answer

// sign serves the address that a page opened; how it ends is shown, as nobody reads its output.
func (p *program) sign(ctx context.Context) (int, error) {
	if len(p.arguments) != 1 {
		return 0, usage("Donnez l'adresse que la page du parapheur ouvre.")
	}
	face, err := confirm.Here(hide)
	if err != nil {
		return 0, err
	}
	outcome, err := p.signed(ctx, face)
	if err != nil {
		face.Tell(refusal.Of(err).Message, true)
		return 0, err
	}
	wrong := outcome.Waiting+len(outcome.Refused) > 0
	face.Tell(outcome.Message(), wrong)
	if p.json {
		p.print(outcome)
	}
	if wrong {
		return refusal.Failed, nil
	}
	return refusal.Done, nil
}

func (p *program) signed(ctx context.Context, face confirm.Face) (*lots.Outcome, error) {
	c, err := config.Read(p.path)
	if err != nil {
		return nil, err
	}
	request, err := lots.Parse(p.arguments[0], c.Sites)
	if err != nil {
		return nil, err
	}
	folder, err := machine.Folder()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, refusal.New("dossier", "%s ne peut pas être fait (%v).", folder, err)
	}
	// Not the account's lock: a session may wait for a certificate meanwhile.
	free, err := lock(filepath.Join(folder, "verrou-signature"))
	if err != nil {
		return nil, refusal.Waits("occupe", "Une autre signature est en cours sur ce compte : finissez-la, puis rouvrez celle-ci "+
			"depuis la page, dans les deux minutes. Rien n'a été fait.")
	}
	defer free()
	state, err := enrol.ReadState(filepath.Join(folder, "etat.json"))
	if err != nil {
		return nil, err
	}
	found, lacking := signers.Of(&enrol.Account{Config: c, Store: store(folder), State: state}, time.Now())
	defer func() {
		for _, one := range found {
			one.Close()
		}
	}()
	if len(found) == 0 {
		if len(lacking) == 0 {
			lacking = []string{"le fichier de ce PC n'en prévoit pas"}
		}
		return nil, refusal.New("sans_certificat", "Aucun certificat de signature ne peut servir sur ce PC :\n%s\nLa demande n'a pas "+
			"servi : rouvrez-la depuis la page dans les deux minutes.", strings.Join(lacking, "\n"))
	}
	flow := lots.Flow{Roots: c.Roots, Signers: found, Face: face, Patience: signingPatience}
	return flow.Run(ctx, request)
}

// alone refuses what follows the address: whoever makes one may add to it, and no option of theirs is read.
func alone(arguments []string) error {
	for rank, one := range arguments {
		if strings.HasPrefix(strings.ToLower(one), "creatic:") && rank < len(arguments)-1 {
			return usage("Rien ne suit l'adresse que la page ouvre.")
		}
	}
	return nil
}
