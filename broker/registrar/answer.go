package registrar

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"time"

	"andon.internal/broker/ca"
	"andon.internal/shared/enroll"
)

// enroll answers a token with a first certificate.
func (r *Registrar) enroll(w http.ResponseWriter, q *http.Request) {
	from := remote(q)
	if r.strikes.out(from, time.Now()) {
		r.refuse(w, q, enroll.TooMany, errors.New("too many tokens from this address were not good: wait a minute"))
		return
	}
	request, err := read(w, q)
	if err != nil {
		r.refuse(w, q, enroll.BadRequest, err)
		return
	}
	secret, err := enroll.ParseSecret(request.Secret)
	if err != nil {
		r.strikes.add(from, time.Now())
		r.refuse(w, q, enroll.BadToken, err)
		return
	}
	cert, issued, err := r.authority.Redeem(secret, request.Group, request.Node, []byte(request.CSR), r.cfg.Life)
	if err != nil {
		code := codeOf(err)
		if code == enroll.BadToken {
			r.strikes.add(from, time.Now())
		}
		r.refuse(w, q, code, err)
		return
	}
	r.issue(w, q, cert, issued)
}

// renew answers a certificate that is good with the next one.
func (r *Registrar) renew(w http.ResponseWriter, q *http.Request) {
	if len(q.TLS.PeerCertificates) == 0 {
		r.refuse(w, q, enroll.NoIdentity, errors.New("a renewal shows the certificate that is to be renewed"))
		return
	}
	request, err := read(w, q)
	if err != nil {
		r.refuse(w, q, enroll.BadRequest, err)
		return
	}
	cert, issued, err := r.authority.Renew(q.TLS.PeerCertificates[0], []byte(request.CSR), r.cfg.Life)
	if err != nil {
		r.refuse(w, q, codeOf(err), err)
		return
	}
	r.issue(w, q, cert, issued)
}

// crl answers with the list of what was revoked. It is signed, and no secret.
func (r *Registrar) crl(w http.ResponseWriter, q *http.Request) {
	list, err := r.authority.CRL()
	if err != nil {
		r.refuse(w, q, enroll.Unavailable, err)
		return
	}
	r.metrics.requests.WithLabelValues(q.URL.Path, "ok").Inc()
	w.Header().Set("Content-Type", "application/x-pem-file")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(list) // the client may be gone
}

// read reads a request within the bounds.
func read(w http.ResponseWriter, q *http.Request) (enroll.Request, error) {
	var out enroll.Request
	err := json.NewDecoder(http.MaxBytesReader(w, q.Body, enroll.MaxBody)).Decode(&out)
	if err != nil {
		return enroll.Request{}, errors.New("the body is not a request in JSON, or is too long") // and may hold a token
	}
	return out, nil
}

// codeOf says what a cell can do about an error of the authority.
func codeOf(err error) enroll.Code {
	for _, c := range []struct {
		err  error
		code enroll.Code
	}{
		{ca.ErrTokenUnknown, enroll.BadToken},
		{ca.ErrTokenUsed, enroll.BadToken},
		{ca.ErrTokenExpired, enroll.BadToken},
		{ca.ErrTokenOther, enroll.WrongNode},
		{ca.ErrRequest, enroll.BadRequest},
		{ca.ErrExpired, enroll.Expired},
		{ca.ErrRevoked, enroll.Revoked},
		{ca.ErrUnknown, enroll.Unknown},
		{ca.ErrTooMany, enroll.TooMany},
	} {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return enroll.Unavailable
}

var statuses = map[enroll.Code]int{
	enroll.BadToken: http.StatusForbidden, enroll.WrongNode: http.StatusConflict, enroll.BadRequest: http.StatusBadRequest,
	enroll.Expired: http.StatusForbidden, enroll.Revoked: http.StatusForbidden, enroll.Unknown: http.StatusForbidden,
	enroll.TooMany: http.StatusTooManyRequests, enroll.Unavailable: http.StatusServiceUnavailable, enroll.NoIdentity: http.StatusUnauthorized,
}

func (r *Registrar) issue(w http.ResponseWriter, q *http.Request, cert []byte, i ca.Issued) {
	r.metrics.requests.WithLabelValues(q.URL.Path, "ok").Inc()
	r.log.Info("certificate issued", "request", q.URL.Path, "holder", i.Holder, "serial", i.Serial, "expires", i.Expires, "from", q.RemoteAddr)
	a := enroll.Answer{Certificate: string(cert), CA: string(r.authority.CertPEM())}
	if i.Identity != nil {
		a.Group, a.Node = i.Identity.Group, i.Identity.Name
	}
	r.answer(w, http.StatusOK, a)
}

func (r *Registrar) refuse(w http.ResponseWriter, q *http.Request, code enroll.Code, err error) {
	r.metrics.requests.WithLabelValues(q.URL.Path, string(code)).Inc()
	if more, tell := r.refusals.tell(time.Now()); tell {
		r.log.Warn("request refused", "request", q.URL.Path, "code", code, "error", err, "from", q.RemoteAddr, "more_before", more)
	}
	if code == enroll.Unavailable {
		err = errors.New("the authority cannot sign now; its log says why")
	}
	r.answer(w, statuses[code], enroll.Fault{Code: code, Error: err.Error()})
}

func (r *Registrar) answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		r.log.Debug("an answer was cut off", "error", err)
	}
}

// remote is the address from which a request comes; of IPv6 its network, which one
// machine has all of.
func remote(q *http.Request) netip.Prefix {
	host, _, _ := net.SplitHostPort(q.RemoteAddr)
	a, _ := netip.ParseAddr(host) // the zero one is as good as any
	a = a.Unmap()
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.WithZone("").Prefix(bits)
	return p
}
