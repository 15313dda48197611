// Command visitor is a Windows PC's browser on a page, for the tests: it shows the certificate that the account has from the
// groupement, by the key that stays in Windows, and writes what the server answers.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"creatic-poste/internal/config"
	"creatic-poste/internal/enrol"
	"creatic-poste/internal/keys"
	"creatic-poste/internal/machine"
)

func must[Value any](value Value, err error) Value {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

// Arguments: the PC's file, and an address.
func main() {
	c := must(config.Read(os.Args[1]))
	state := must(enrol.ReadState(filepath.Join(must(machine.Folder()), "etat.json")))
	account := &enrol.Account{Config: c, Store: keys.Windows{}, State: state}
	roots := x509.NewCertPool()
	for _, one := range c.Roots {
		roots.AddCert(one)
	}
	settings := &tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS12} // all that Wine's keys can do
	for _, one := range c.Certificates {
		if one.Source != config.Issued {
			continue
		}
		if held := must(account.Holds(one)); held != nil {
			key := must(account.Store.Open(held.Container))
			shown := keys.TLS(key, append([]*x509.Certificate{held.Certificate}, c.Issuers...)...)
			settings.Certificates = []tls.Certificate{*shown}
		}
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: settings}}
	answer := must(client.Get(os.Args[2]))
	defer answer.Body.Close()
	_ = must(io.Copy(os.Stdout, answer.Body))
}
