// Command creatic-poste equips one PC of a commune: authorities, browsers' policies, keys that stay on the PC and their
// certificates. README.md says how.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"creatic-poste/internal/config"
	"creatic-poste/internal/enrol"
	"creatic-poste/internal/machine"
	"creatic-poste/internal/refusal"
	"creatic-poste/internal/report"
)

const help = `creatic-poste COMMANDE [options]

  installer               pose la partie de la machine (en administrateur)
  session                 pose les certificats de ce compte, ou reprend ce qui était commencé
  fichier CHEMIN.p12      pose le certificat d'un prestataire ; le mot de passe est demandé
  signer ADRESSE          signe ce que la page du parapheur demande (elle ouvre ce programme)
  verifier                dit ce qui est installé, ce qui manque, ce qui expire
  renouveler [NOM]        renouvelle les certificats du groupement, avec la clé qu'ils ont
  constats                lit l'état de ce PC, sans rien y changer, et l'envoie signé au groupement
  retirer                 retire ce que ce programme a posé, et rien d'autre

Options :
  --poste FICHIER         le fichier de ce PC, au lieu de celui qui est à côté du programme
  --json                  pour qu'une machine lise
  --certificat NOM        (fichier) pour lequel des certificats de ce PC
  --attente DUREE         (session, renouveler) combien attendre la signature du groupement : 10m
  --compte, --machine     (retirer) cette partie seulement
  --local                 (constats) montre, et n'envoie rien
  --veille                (constats) envoie chaque jour, tant que la session est ouverte

Codes : 0 fait, ou prêt ; 1 refusé, ou pas prêt ; 2 commande ou fichier du PC à corriger ; 3 en attente.
`

// program is one call.
type program struct {
	out, err   io.Writer
	in         *os.File
	path       string
	json       bool
	name       string
	patience   time.Duration
	account    bool
	machine    bool
	local      bool
	watch      bool
	arguments  []string
	executable string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, arguments []string) int {
	p := &program{out: os.Stdout, err: os.Stderr, in: os.Stdin}
	code, err := p.call(ctx, arguments)
	if err != nil {
		refused := refusal.Of(err)
		if p.json {
			p.print(map[string]string{"cause": refused.Cause, "message": refused.Message})
		} else {
			fmt.Fprintln(p.err, refused.Message)
		}
		return refused.Code
	}
	return code
}

func (p *program) call(ctx context.Context, arguments []string) (int, error) {
	commands := map[string]func(context.Context) (int, error){
		"installer": p.install, "session": p.session, "fichier": p.file, "verifier": p.verify, "renouveler": p.renew,
		"retirer": p.remove, "signer": p.sign, "constats": p.facts,
	}
	if len(arguments) == 0 || arguments[0] == "aide" || strings.TrimLeft(arguments[0], "-") == "help" {
		fmt.Fprint(p.out, help)
		return refusal.Done, nil
	}
	command, known := commands[arguments[0]]
	if !known {
		return 0, usage("« %s » n'est pas une commande.\n\n%s", arguments[0], help)
	}
	if err := alone(arguments); err != nil {
		return 0, err
	}
	options := flag.NewFlagSet(arguments[0], flag.ContinueOnError)
	options.SetOutput(io.Discard)
	options.StringVar(&p.path, "poste", "", "")
	options.BoolVar(&p.json, "json", false, "")
	options.StringVar(&p.name, "certificat", "", "")
	options.DurationVar(&p.patience, "attente", 10*time.Minute, "")
	options.BoolVar(&p.account, "compte", false, "")
	options.BoolVar(&p.machine, "machine", false, "")
	options.BoolVar(&p.local, "local", false, "")
	options.BoolVar(&p.watch, "veille", false, "")
	for rest := arguments[1:]; len(rest) > 0; { // options before and after what is named
		if err := options.Parse(rest); err != nil {
			return 0, usage("Option inconnue, ou sans sa valeur, dans « %s ».\n\n%s", strings.Join(rest, " "), help)
		}
		if rest = options.Args(); len(rest) > 0 {
			p.arguments, rest = append(p.arguments, rest[0]), rest[1:]
		}
	}
	most := map[string]int{"fichier": 1, "renouveler": 1, "signer": 1}[arguments[0]]
	if len(p.arguments) > most {
		return 0, usage("« %s » est de trop.\n\n%s", p.arguments[most], help)
	}
	var err error
	if p.executable, err = os.Executable(); err != nil {
		return 0, err
	}
	if p.path == "" {
		p.path = filepath.Join(filepath.Dir(p.executable), "poste.json")
		if runtime.GOOS != "windows" {
			p.path = "/etc/creatic/poste.json"
		}
	}
	return command(ctx)
}

func usage(format string, values ...any) error {
	return &refusal.Error{Cause: "usage", Message: fmt.Sprintf(format, values...), Code: refusal.Usage}
}

// open gives the account's part, alone: another session of the same account waits its turn.
func (p *program) open() (*enrol.Account, func(), error) {
	c, err := config.Read(p.path)
	if err != nil {
		return nil, nil, err
	}
	folder, err := machine.Folder()
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, nil, refusal.New("dossier", "%s ne peut pas être fait (%v).", folder, err)
	}
	free, err := lock(filepath.Join(folder, "verrou"))
	if err != nil {
		return nil, nil, refusal.Waits("occupe", "Ce programme est déjà au travail pour ce compte : attendez qu'il ait fini.")
	}
	state, err := enrol.ReadState(filepath.Join(folder, "etat.json"))
	if err != nil {
		free()
		return nil, nil, err
	}
	computer, err := os.Hostname()
	if err != nil {
		free()
		return nil, nil, err
	}
	out := p.out
	if p.json {
		out = p.err
	}
	return &enrol.Account{Config: c, Store: store(folder), State: state, Computer: computer, Patience: p.patience, Out: out}, free, nil
}

func (p *program) install(context.Context) (int, error) {
	c, err := config.Read(p.path)
	if err != nil {
		return 0, err
	}
	r, err := machine.Here(p.executable).Install(c)
	return p.told(r, err)
}

// told says what was done to the machine.
func (p *program) told(r *machine.Report, err error) (int, error) {
	if r == nil {
		return 0, err
	}
	if p.json {
		p.print(r)
	} else {
		for _, line := range r.Done {
			fmt.Fprintln(p.out, line)
		}
		for _, line := range r.Kept {
			fmt.Fprintln(p.out, "gardé : "+line)
		}
		for _, line := range r.Failed {
			fmt.Fprintln(p.err, "pas fait : "+line)
		}
		if len(r.Done)+len(r.Failed) == 0 {
			fmt.Fprintln(p.out, "Rien à changer.")
		}
		if machine.Limits != "" {
			fmt.Fprintln(p.out, machine.Limits)
		}
	}
	if err == nil && len(r.Failed) > 0 {
		return refusal.Failed, nil
	}
	return refusal.Done, err
}

func (p *program) session(ctx context.Context) (int, error) {
	a, free, err := p.open()
	if err != nil {
		return 0, err
	}
	defer free()
	return p.outcomes(a.Session(ctx)), nil
}

func (p *program) file(ctx context.Context) (int, error) {
	if len(p.arguments) == 0 {
		return 0, usage("Donnez le chemin du .p12.")
	}
	a, free, err := p.open()
	if err != nil {
		return 0, err
	}
	defer free()
	name := p.name
	if name == "" {
		var names []string
		for _, one := range a.Config.Certificates {
			if one.Source == config.File {
				names = append(names, one.Name)
			}
		}
		if len(names) != 1 {
			return 0, usage("Dites pour quel certificat : --certificat, parmi : %s.", strings.Join(names, ", "))
		}
		name = names[0]
	}
	wanted, err := a.Config.Named(name)
	if err != nil {
		return 0, err
	}
	shown := hide(p.in) // before it is asked: who types fast is not shown
	fmt.Fprintf(p.err, "Mot de passe de %s : ", filepath.Base(p.arguments[0]))
	password, err := bufio.NewReader(p.in).ReadString('\n')
	shown()
	fmt.Fprintln(p.err)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, usage("Le mot de passe n'a pas pu être lu (%v).", err)
	}
	return p.outcomes([]enrol.Outcome{a.File(ctx, wanted, p.arguments[0], strings.TrimRight(password, "\r\n"))}), nil
}

func (p *program) renew(ctx context.Context) (int, error) {
	a, free, err := p.open()
	if err != nil {
		return 0, err
	}
	defer free()
	var wanted []config.Certificate
	if len(p.arguments) > 0 {
		one, err := a.Config.Named(p.arguments[0])
		if err != nil {
			return 0, err
		}
		wanted = append(wanted, one)
	} else {
		for _, one := range a.Config.Certificates {
			if one.Source == config.Issued {
				wanted = append(wanted, one)
			}
		}
	}
	var all []enrol.Outcome
	for _, one := range wanted {
		all = append(all, a.Renew(ctx, one))
	}
	return p.outcomes(all), nil
}

func (p *program) outcomes(all []enrol.Outcome) int {
	if p.json {
		p.print(map[string]any{"certificats": all})
	} else {
		for _, one := range all {
			fmt.Fprintln(p.out, one.Message)
		}
	}
	return enrol.Code(all)
}

func (p *program) verify(context.Context) (int, error) {
	a, free, err := p.open()
	if err != nil {
		return 0, err
	}
	defer free()
	r, err := report.Make(a, machine.Here(p.executable), time.Now())
	if err != nil {
		return 0, err
	}
	if p.json {
		p.print(r)
	} else {
		for _, point := range r.Machine {
			mark := map[bool]string{true: "présent", false: "ABSENT "}[point.Present]
			fmt.Fprintf(p.out, "%s  %s\n", mark, point.What)
		}
		for _, line := range append(r.Others, r.Faults...) {
			fmt.Fprintln(p.out, "à voir   "+line)
		}
		for _, one := range r.Certificates {
			fmt.Fprintf(p.out, "%s (%s) : %s\n", one.Name, one.Holder, one.Message)
		}
		if machine.Limits != "" {
			fmt.Fprintln(p.out, machine.Limits)
		}
		fmt.Fprintln(p.out, map[bool]string{true: "Ce PC est prêt, pour ce compte.", false: "Ce PC n'est pas prêt, pour ce compte."}[r.Ready])
	}
	if r.Ready {
		return refusal.Done, nil
	}
	return refusal.Failed, nil
}

func (p *program) remove(context.Context) (int, error) {
	code := refusal.Done
	if !p.machine {
		if err := p.withdraw(); err != nil {
			return 0, err
		}
	}
	if !p.account {
		var err error
		if code, err = p.told(machine.Here(p.executable).Remove()); err != nil {
			return 0, err
		}
	}
	return code, nil
}

// withdraw takes the account's part away; who never had one keeps no folder of it.
func (p *program) withdraw() error {
	folder, err := machine.Folder()
	if err != nil {
		return err
	}
	if _, err := os.Stat(folder); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	a, free, err := p.open()
	if err != nil {
		return err
	}
	gone, err := a.Withdraw()
	free()
	if err != nil {
		return err
	}
	for _, name := range gone {
		fmt.Fprintf(p.out, "retiré : certificat et clé de %s, pour ce compte\n", name)
	}
	machine.Leave(folder)
	return nil
}

func (p *program) print(value any) {
	encoder := json.NewEncoder(p.out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(value)
}
