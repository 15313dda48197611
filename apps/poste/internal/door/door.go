// Package door asks the groupement's enrolment door, and trusts for it the authorities of the PC's file alone.
package door

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"creatic-poste/internal/config"
	"creatic-poste/internal/refusal"
)

const (
	maximumAnswer = 1 << 20 // bytes
	patience      = 30 * time.Second
	// Skew beyond which the clock is told.
	Skew = 5 * time.Minute
)

// Answer is what the door says.
type Answer struct {
	ID          string   `json:"demande"`
	State       string   `json:"etat"` // attente, signee, refusee
	Certificate string   `json:"certificat"`
	Chain       []string `json:"chaine"`
	Message     string   `json:"message"`
	Cause       string   `json:"cause"`
}

// Client asks one door.
type Client struct {
	config *config.Config
	shown  *tls.Certificate
	http   *http.Client
	skew   time.Duration
}

// clockError: the door's certificate is the groupement's, at another time than this PC's.
type clockError struct{ certificate *x509.Certificate }

func (clockError) Error() string { return "certificate of another time" }

// strangerError: the door's certificate is of another authority.
type strangerError struct {
	certificate *x509.Certificate
	why         error
}

func (strangerError) Error() string { return "certificate of another authority" }

// New gives a client; it shows a certificate if it has one.
func New(c *config.Config, shown *tls.Certificate) *Client {
	client := &Client{config: c, shown: shown}
	client.http = client.transport(client.verify)
	return client
}

// Close drops what connections are kept.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) transport(verify func(tls.ConnectionState) error) *http.Client {
	settings := &tls.Config{
		MinVersion: tls.VersionTLS12,
		// verify does the same and more: it tells a wrong clock from a stranger.
		InsecureSkipVerify: true,
		VerifyConnection:   verify,
	}
	if c.shown != nil {
		settings.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.shown, nil }
		if len(c.shown.SupportedSignatureAlgorithms) > 0 {
			settings.MaxVersion = tls.VersionTLS12
		}
	}
	return &http.Client{
		Timeout: patience,
		Transport: &http.Transport{
			TLSClientConfig: settings, Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: patience,
			OnProxyConnectResponse: func(_ context.Context, proxy *url.URL, _ *http.Request, answer *http.Response) error {
				if answer.StatusCode != http.StatusOK {
					return proxyError{proxy.Host, answer.StatusCode}
				}
				return nil
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (c *Client) verify(state tls.ConnectionState) error {
	err := c.verifyAt(state, time.Now())
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		if c.verifyAt(state, within(state)) == nil {
			return clockError{state.PeerCertificates[0]}
		}
	}
	if err != nil {
		return strangerError{state.PeerCertificates[0], err}
	}
	return nil
}

func (c *Client) verifyAt(state tls.ConnectionState, at time.Time) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("no certificate")
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: pool(c.config.Roots), Intermediates: pool(c.config.Issuers, state.PeerCertificates[1:]),
		DNSName: c.config.Door.Hostname(), CurrentTime: at,
	})
	return err
}

// within is an instant that the whole chain is of, if there is one.
func within(state tls.ConnectionState) time.Time {
	var latest time.Time
	for _, one := range state.PeerCertificates {
		if one.NotBefore.After(latest) {
			latest = one.NotBefore
		}
	}
	return latest.Add(time.Second)
}

func pool(lists ...[]*x509.Certificate) *x509.CertPool {
	found := x509.NewCertPool()
	for _, list := range lists {
		for _, one := range list {
			found.AddCert(one)
		}
	}
	return found
}

// Post sends a JSON object.
func (c *Client) Post(ctx context.Context, path string, body any) (*Answer, error) {
	content, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return c.ask(ctx, http.MethodPost, path, content, "")
}

// Get reads an answer; bearer, if it is not empty, says who asks.
func (c *Client) Get(ctx context.Context, path, bearer string) (*Answer, error) {
	return c.ask(ctx, http.MethodGet, path, nil, bearer)
}

// Seen shows the certificate to the door's page that tells whose it is: the proof that it works.
func (c *Client) Seen(ctx context.Context) error {
	response, err := c.send(ctx, http.MethodGet, "/identite", nil, "")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, _ := io.ReadAll(io.LimitReader(response.Body, maximumAnswer))
	if response.StatusCode != http.StatusOK {
		return c.refused(response, content)
	}
	return nil
}

func (c *Client) ask(ctx context.Context, method, path string, body []byte, bearer string) (*Answer, error) {
	response, err := c.send(ctx, method, path, body, bearer)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, maximumAnswer))
	if err != nil {
		return nil, c.unreachable(err)
	}
	if response.StatusCode/100 != 2 {
		return nil, c.refused(response, content)
	}
	var answer Answer
	if err := json.Unmarshal(content, &answer); err != nil {
		return nil, refusal.New("reponse", "%s répond autre chose que ce qui est convenu : donnez cette ligne au groupement.",
			c.config.Door)
	}
	return &answer, nil
}

func (c *Client) send(ctx context.Context, method, path string, body []byte, bearer string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.config.Door.String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.failed(ctx, err)
	}
	c.skew = skew(response)
	return response, nil
}

// Clock says by how much this PC's clock is wrong; empty: it is right, or the door was not asked.
func (c *Client) Clock() string {
	if c.skew.Abs() < Skew {
		return ""
	}
	return "l'horloge de ce PC " + tell(c.skew) + " : mettez-la à l'heure"
}

// Gap is by how much this PC's clock is ahead of the door's, as its last answer said.
func (c *Client) Gap() time.Duration { return c.skew }

func skew(response *http.Response) time.Duration {
	date, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return 0
	}
	return time.Since(date)
}

func tell(skew time.Duration) string {
	verb := "avance"
	if skew < 0 {
		verb, skew = "retarde", -skew
	}
	minutes := int(skew.Round(time.Minute) / time.Minute)
	days, hours, left := minutes/1440, minutes/60%24, minutes%60
	switch {
	case days > 1:
		return fmt.Sprintf("%s de %d jours et %d h", verb, days, hours)
	case days == 1:
		return fmt.Sprintf("%s d'un jour et %d h", verb, hours)
	case hours > 0:
		return fmt.Sprintf("%s de %d h %02d", verb, hours, left)
	}
	return fmt.Sprintf("%s de %d minutes", verb, left)
}

// failed says in French why the door could not be asked.
func (c *Client) failed(ctx context.Context, err error) error {
	var clock clockError
	if errors.As(err, &clock) {
		if wrong := c.askTime(ctx); wrong.Abs() >= Skew {
			return refusal.New("horloge", "L'horloge de ce PC %s : la connexion à %s ne peut pas être vérifiée. Mettez le PC "+
				"à l'heure, puis recommencez ; rien n'a été changé.", tell(wrong), c.config.Door.Hostname())
		}
		return refusal.New("porte_expiree", "Le certificat de %s n'est valable que du %s au %s, et l'horloge de ce PC est "+
			"juste : prévenez le groupement. Rien n'a été changé.", c.config.Door.Hostname(), day(clock.certificate.NotBefore),
			day(clock.certificate.NotAfter))
	}
	var stranger strangerError
	if errors.As(err, &stranger) {
		return refusal.New("interception", "Ce n'est pas le groupement qui répond pour %s : le certificat montré est de « %s ». "+
			"Un antivirus ou un équipement du réseau ouvre sans doute les connexions : demandez que %s en soit excepté. "+
			"Rien n'a été envoyé ni changé.", c.config.Door.Hostname(), issuer(stranger.certificate), c.config.Door.Hostname())
	}
	var alert tls.AlertError
	if c.shown != nil && errors.As(err, &alert) {
		return c.unwanted("")
	}
	return c.unreachable(err)
}

// proxyError is what a proxy answers instead of leading on.
type proxyError struct {
	host   string
	status int
}

func (e proxyError) Error() string { return fmt.Sprintf("HTTP %d", e.status) }

func (c *Client) unreachable(err error) error {
	var name *net.DNSError
	why := "aucune réponse"
	var timeout net.Error
	var proxy proxyError
	var step *net.OpError
	switch {
	case errors.As(err, &proxy) && proxy.status == http.StatusProxyAuthRequired:
		why = "le mandataire " + proxy.host + " demande un nom et un mot de passe, que le programme n'a pas : demandez que " +
			c.config.Door.Hostname() + " en soit excepté"
	case errors.As(err, &proxy):
		why = "le mandataire " + proxy.host + " le refuse : demandez qu'il le laisse passer"
	case errors.As(err, &step) && step.Op == "proxyconnect":
		why = "le mandataire du réseau (HTTPS_PROXY) ne répond pas"
	case errors.As(err, &name):
		why = "ce nom n'est pas trouvé : le PC n'a peut-être pas de réseau"
	case errors.As(err, &timeout) && timeout.Timeout():
		why = "pas de réponse à temps"
	}
	var place *url.Error
	if errors.As(err, &place) {
		err = place.Err
	}
	return refusal.Waits("reseau", "%s ne peut pas être joint (%s ; %v). Ce qui est commencé reprendra : recommencez, ou "+
		"rouvrez la session quand le réseau est là.", c.config.Door.Hostname(), why, err)
}

// askTime reads the door's clock over a connection whose certificate is the groupement's, whatever its dates; nothing is
// sent that must be hidden, and no certificate is shown.
func (c *Client) askTime(ctx context.Context) time.Duration {
	asking := Client{config: c.config}
	client := asking.transport(func(state tls.ConnectionState) error { return c.verifyAt(state, within(state)) })
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, c.config.Door.String()+"/", nil)
	if err != nil {
		return 0
	}
	response, err := client.Do(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	return skew(response)
}

// refused is what the door says no to, in its own words.
// unwanted says why the door does not want the certificate that it was shown; its web server has a page for each cause.
func (c *Client) unwanted(page string) error {
	why := "révoqué, ou expiré"
	for _, one := range []string{"a été révoqué", "a expiré", "n’est pas encore valable"} {
		if strings.Contains(page, "Ce certificat "+one) {
			why = "il " + one
		}
	}
	return refusal.New("certificat_refuse", "%s refuse le certificat de ce PC (%s) : demandez un nouvel installateur au "+
		"groupement. Rien n'a été changé.", c.config.Door.Hostname(), why)
}

func (c *Client) refused(response *http.Response, content []byte) error {
	var answer Answer
	_ = json.Unmarshal(content, &answer)
	switch {
	case response.StatusCode == http.StatusTooManyRequests:
		return refusal.Waits("trop_de_demandes", "%s demande d'attendre avant de recommencer.", c.config.Door.Hostname())
	case response.StatusCode >= 500:
		return refusal.Waits("porte_en_panne", "%s ne peut pas répondre (%d) : recommencez plus tard, ce qui est commencé "+
			"reprendra.", c.config.Door.Hostname(), response.StatusCode)
	case c.shown != nil && response.StatusCode == http.StatusBadRequest && answer.Message == "":
		return c.unwanted(string(content))
	case answer.Message == "" || answer.Cause == "":
		return refusal.New("reponse", "%s refuse (%d) sans dire pourquoi : donnez cette ligne au groupement.", c.config.Door,
			response.StatusCode)
	}
	return refusal.New(answer.Cause, "Le groupement refuse : %s", answer.Message)
}

func issuer(certificate *x509.Certificate) string {
	if name := certificate.Issuer.CommonName; name != "" {
		return name
	}
	return certificate.Issuer.String()
}

func day(instant time.Time) string { return instant.Local().Format("02/01/2006") }
