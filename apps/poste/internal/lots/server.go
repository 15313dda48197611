package lots

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"creatic-poste/internal/confirm"
	"creatic-poste/internal/refusal"
)

const (
	maximumAnswer = 32 << 20 // bytes: a flow has a signature by bordereau
	timeout       = 90 * time.Second
	longestWait   = 30 * time.Second
)

// server is the site that asks, for one lot.
type server struct {
	site, lot, secret string
	http              *http.Client
	patience          time.Duration // while it says « later », or does not answer
}

// newServer trusts, for a site, the authorities of the PC's file alone.
func newServer(r *Request, roots []*x509.Certificate, patience time.Duration) *server {
	trusted := x509.NewCertPool()
	for _, one := range roots {
		trusted.AddCert(one)
	}
	return &server{r.Site, r.Lot, r.secret, &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trusted},
			Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: longestWait},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, patience}
}

func (s *server) host() string {
	found, err := url.Parse(s.site)
	if err != nil {
		return s.site
	}
	return found.Hostname()
}

// fetch asks once: its secret serves once.
func (s *server) fetch(ctx context.Context, answer any) error {
	_, err := s.once(ctx, http.MethodGet, "", nil, answer)
	return err
}

// post sends, and sends the same again while the site says « later » or cannot be reached: it answers the same.
func (s *server) post(ctx context.Context, path string, body, answer any) error {
	content, err := json.Marshal(body)
	if err != nil {
		return err
	}
	end := time.Now().Add(s.patience)
	for {
		wait, err := s.once(ctx, http.MethodPost, path, content, answer)
		if err == nil || wait == 0 || time.Now().Add(wait).After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// once asks; when it failed, how long to wait before the same may be asked again, or zero.
func (s *server) once(ctx context.Context, method, path string, body []byte, answer any) (time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.site+"/poste/lots/"+s.lot+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Authorization", "Bearer "+s.secret)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := s.http.Do(request)
	if err != nil {
		return s.failed(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, maximumAnswer+1))
	if err != nil {
		return s.failed(err)
	}
	if response.StatusCode != http.StatusOK {
		return s.refused(response, content)
	}
	if len(content) > maximumAnswer || json.Unmarshal(content, answer) != nil {
		return 0, s.odd()
	}
	return 0, nil
}

func (s *server) odd() error {
	return refusal.New("reponse", "%s répond autre chose que ce qui est convenu : rien de plus n'a été signé. Donnez cette "+
		"ligne au groupement.", s.host())
}

// failed says in French why the site could not be asked.
func (s *server) failed(err error) (time.Duration, error) {
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		var invalid x509.CertificateInvalidError
		if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
			return 0, refusal.New("horloge", "Le certificat de %s n'est pas valable à l'heure de ce PC : vérifiez l'heure du PC, "+
				"puis recommencez ; si elle est juste, prévenez le groupement.", s.host())
		}
		return 0, refusal.New("interception", "Ce n'est pas le groupement qui répond pour %s : un antivirus ou un équipement du "+
			"réseau ouvre sans doute les connexions. Rien ne lui a été envoyé ; demandez que %s en soit excepté.", s.host(), s.host())
	}
	var place *url.Error // its text has the address, but no secret: kept short all the same
	if errors.As(err, &place) {
		err = place.Err
	}
	return 2 * time.Second, refusal.Waits("reseau", "%s ne répond pas (%v) : recommencez depuis le parapheur quand le réseau est là.",
		s.host(), err)
}

// refused is what the site says no to, in its own words.
func (s *server) refused(response *http.Response, content []byte) (time.Duration, error) {
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
		wait := time.Duration(seconds) * time.Second
		if err != nil || wait <= 0 || wait > longestWait {
			wait = 5 * time.Second
		}
		return wait, refusal.Waits("plus_tard", "%s ne peut pas signer pour le moment (%d) : recommencez plus tard depuis le "+
			"parapheur.", s.host(), response.StatusCode)
	}
	var told struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(content, &told) != nil || told.Message == "" {
		return 0, refusal.New("reponse", "%s refuse (%d) sans dire pourquoi : donnez cette ligne au groupement.", s.host(),
			response.StatusCode)
	}
	return 0, refusal.New("refus", "%s refuse : %s", s.host(), confirm.Clean(told.Message, longestMessage))
}
