package enroll

// The service's paths, over TLS 1.3.
const (
	EnrollPath = "/v1/enroll" // POST a Request with a secret
	RenewPath  = "/v1/renew"  // POST a Request, showing the certificate that is to be renewed
	CRLPath    = "/v1/crl"    // GET the list of revoked certificates, in PEM
)

// MaxBody bounds the bodies, in bytes.
const MaxBody = 16 << 10

// Request asks for a certificate. Of the certificate request only the key counts: who the
// holder is follows from the token, or from the certificate that is renewed.
type Request struct {
	Secret string `json:"secret,omitempty"` // of a token; see [Secret.Reveal]
	CSR    string `json:"csr"`              // PKCS #10, in PEM
	// Group and Node are who the cell takes itself for, or empty. A token of another cell
	// is then refused, and not used up.
	Group string `json:"group,omitempty"`
	Node  string `json:"node,omitempty"`
}

// Answer is a certificate.
type Answer struct {
	Certificate string `json:"certificate"` // in PEM
	CA          string `json:"ca"`          // the authority's, in PEM
	Group       string `json:"group,omitempty"`
	Node        string `json:"node,omitempty"`
}

// Fault is the answer where there is no certificate.
type Fault struct {
	Code  Code   `json:"code"`
	Error string `json:"error"`
}

// Code says what a cell can do about a fault.
type Code string

// The codes.
const (
	BadToken    Code = "bad_token"   // unknown, used or expired: get another
	WrongNode   Code = "wrong_node"  // the token is another cell's
	BadRequest  Code = "bad_request" // the request cannot be taken as it is
	Expired     Code = "expired"     // the certificate can no longer be renewed: get a token
	Revoked     Code = "revoked"     // the same
	Unknown     Code = "unknown"     // the same: the authority did not issue it
	TooMany     Code = "too_many"    // too many attempts, or certificates: later
	Unavailable Code = "unavailable" // the authority cannot sign now: later
	NoIdentity  Code = "no_identity" // no certificate was shown
)

// Final reports whether trying again is of no use until somebody brings a new token.
func (c Code) Final() bool { return c == Expired || c == Revoked || c == Unknown }
