package health

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// CheckURL returns an error when a collector cannot be asked at the address: plain
// HTTP only works on this machine, because a token travels with the question.
func CheckURL(address string) error {
	_, err := readyURL(address)
	return err
}

// readyURL is where a collector at the address says whether it is ready.
func readyURL(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%q must be like https://andon.example.com", address)
	}
	ip := net.ParseIP(u.Hostname())
	here := u.Hostname() == "localhost" || ip.IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && here) {
		return "", fmt.Errorf("%q must begin with https://", address)
	}
	if !strings.HasSuffix(u.Path, "/readyz") {
		u = u.JoinPath("readyz")
	}
	return u.String(), nil
}

// Ask asks the /readyz of a running collector, with a bearer token where one is given.
// It returns an error only for a bad address, and when ctx ends.
func Ask(ctx context.Context, address, token string) (Report, error) {
	began := time.Now()
	target, err := readyURL(address)
	if err != nil {
		return Report{}, err
	}
	limited, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	var r Report
	answer, err := ask(limited, target, token)
	if ctx.Err() != nil {
		return Report{}, ctx.Err()
	}
	if err != nil {
		r.add("collector", Down, "%v", err)
	} else {
		answer.judge(&r)
	}
	r.close(began, time.Now())
	return r, nil
}

// readiness is the body of /readyz.
type readiness struct {
	Program string
	Version string
	OK      bool
	Checks  []struct {
		Name   string
		OK     bool
		Reason string
	}
}

// ask gets an answer. It follows no redirection: a page to log in is not an answer,
// and the token is for this address only.
func ask(ctx context.Context, target, token string) (readiness, error) {
	var out readiness
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return out, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12},
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	if err != nil {
		return out, err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK, http.StatusServiceUnavailable:
	case http.StatusUnauthorized, http.StatusForbidden:
		return out, fmt.Errorf("%s answers %s: check the token", target, res.Status)
	default:
		return out, fmt.Errorf("%s answers %s", target, res.Status)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(body, &out); err != nil || out.Program == "" || len(out.Checks) == 0 {
		return out, fmt.Errorf("%s answers %s, but not as a collector does", target, res.Status)
	}
	all := true
	for _, c := range out.Checks {
		all = all && c.OK
	}
	if out.OK != all || out.OK != (res.StatusCode == http.StatusOK) {
		return out, fmt.Errorf("%s answers %s, and contradicts itself", target, res.Status)
	}
	return out, nil
}

// judge takes over a collector's own checks. Without database or broker nothing is
// stored; the rest may be another's to do.
func (a *readiness) judge(r *Report) {
	r.add("collector", Healthy, "%s %s answers", a.Program, a.Version)
	for _, c := range a.Checks {
		switch {
		case c.OK:
			r.add(c.Name, Healthy, "ready")
		case c.Name == "database" || c.Name == "broker":
			r.add(c.Name, Down, "%s", c.Reason)
		default:
			r.add(c.Name, Degraded, "%s", c.Reason)
		}
	}
}
