package identity_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon.internal/agent/identity"
	"andon.internal/agent/identity/identitytest"
	"andon.internal/shared/enroll"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// order is an enrolment of cell-07 into a new folder.
func order(t *testing.T, a *identitytest.Authority, url string) identity.Order {
	t.Helper()
	return identity.Order{
		URL: url, Token: a.Token("line1", "cell-07"), Group: "line1", Node: "cell-07",
		Files: identity.FilesIn(filepath.Join(t.TempDir(), "data", "tls")),
	}
}

// expectPair reads key and certificate, which must match, and returns the certificate.
func expectPair(t *testing.T, f identity.Files) *x509.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(f.Pair, f.Pair)
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(f.Pair); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v, %v", fi.Mode(), err)
	}
	return pair.Leaf
}

func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

func TestEnroll(t *testing.T) {
	a := identitytest.New(t)
	o := order(t, a, a.Serve())
	e, err := identity.Enroll(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	first := expectPair(t, o.Files)
	if e.Group != "line1" || e.Node != "cell-07" || !e.Certificate.Equal(first) {
		t.Errorf("enrolled as %s/%s", e.Group, e.Node)
	}
	ca, err := os.ReadFile(o.Files.CA)
	if want, _ := os.ReadFile(filepath.Join(a.Dir, "ca.crt")); err != nil || !bytes.Equal(ca, want) {
		t.Errorf("the authority is %s, %v", ca, err)
	}

	// Again: with the same token nothing changes, with another one everything does.
	if _, err := identity.Enroll(t.Context(), o); err == nil || !strings.Contains(hintOf(err), "make another token") {
		t.Errorf("with the same token: %v", err)
	}
	if !expectPair(t, o.Files).Equal(first) {
		t.Error("an attempt that failed has changed the certificate")
	}
	o.Token = a.Token("line1", "cell-07")
	if _, err := identity.Enroll(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if second := expectPair(t, o.Files); second.Equal(first) || second.PublicKey == first.PublicKey {
		t.Error("certificate and key are those from before")
	}
}

// TestRootLeavesTheFilesToTheOwner of the data folder: the agent, which is not root.
func TestRootLeavesTheFilesToTheOwner(t *testing.T) {
	a := identitytest.New(t)
	o := order(t, a, a.Serve())
	tls := filepath.Dir(o.Files.Pair)
	data := filepath.Dir(tls)
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // everybody else has no other owner to leave it to
		if err := os.Chown(data, 4321, 4321); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := identity.Enroll(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	owner := func(path string) uint32 {
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return fi.Sys().(*syscall.Stat_t).Uid
	}
	for _, path := range []string{tls, o.Files.CA, o.Files.Pair} {
		if got, want := owner(path), owner(data); got != want {
			t.Errorf("%s is owned by %d, and the folder of the data by %d", path, got, want)
		}
	}
}

// TestAClockAtEnrolment: a box without a clock enrols; a clock that is ahead is named.
func TestAClockAtEnrolment(t *testing.T) {
	a := identitytest.New(t)
	url := a.Serve()
	for name, c := range map[string]struct {
		now  time.Time
		want string
	}{
		"1970":            {time.Unix(0, 0), ""},
		"two hours late":  {time.Now().Add(-2 * time.Hour), ""},
		"ten years ahead": {time.Now().AddDate(10, 0, 0), "set the clock here if it is wrong"},
	} {
		o := order(t, a, url)
		o.Now = func() time.Time { return c.now }
		_, err := identity.Enroll(t.Context(), o)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestNobodyElseGetsTheToken: not a server of another authority, nor one that only shows
// the right one's certificate.
func TestNobodyElseGetsTheToken(t *testing.T) {
	a, other := identitytest.New(t), identitytest.New(t)
	o := order(t, a, other.Serve())
	if _, err := identity.Enroll(t.Context(), o); err == nil || !strings.Contains(err.Error(), "not of the authority that made the token") {
		t.Errorf("another authority's service: %v", err)
	}
	other.Shown = a.Cert
	o.URL = other.Serve()
	if _, err := identity.Enroll(t.Context(), o); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("one that shows the right certificate: %v", err)
	}
	if _, err := os.Stat(o.Files.CA); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is something where the files go: %v", err)
	}
}

func TestEnrolmentsThatFail(t *testing.T) {
	a := identitytest.New(t)
	url := a.Serve()
	blocked := filepath.Join(t.TempDir(), "tls")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change     func(*identity.Order)
		fault      *enroll.Fault
		want, hint string
	}{
		"another cell's token": {func(o *identity.Order) { o.Node = "cell-08" }, nil, "the token is of", "the token is still good"},
		"no such token":        {func(o *identity.Order) { o.Token.Secret[0]++ }, nil, "used already", "make another token"},
		"a lost answer":        {nil, identitytest.LostAnswer, "EOF", "where the token was used up"},
		"cannot sign":          {nil, &enroll.Fault{Code: enroll.Unavailable, Error: "cannot sign now"}, "cannot sign now", "try again"},
		"no answer of ours":    {nil, &enroll.Fault{}, "which no andon-broker ca serve does", "nothing is changed"},
		"plain http":           {func(o *identity.Order) { o.URL = "http://127.0.0.1:1" }, nil, "must be like https://", ""},
		"a file in the way":    {func(o *identity.Order) { o.Files = identity.FilesIn(blocked) }, nil, "not a directory", "the token is still good"},
		"nobody there":         {func(o *identity.Order) { o.URL = "https://127.0.0.1:1" }, nil, "refused", "nothing is changed"},
	} {
		o := order(t, a, url)
		if c.change != nil {
			c.change(&o)
		}
		a.SetFault(c.fault)
		_, err := identity.Enroll(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(hintOf(err), c.hint) ||
			strings.Contains(err.Error(), o.Token.Secret.Reveal()) {
			t.Errorf("%s: %v, hint %q", name, err, hintOf(err))
		}
		if _, err := os.Stat(o.Files.Pair); err == nil {
			t.Errorf("%s: there is a certificate: %v", name, err)
		}
	}
}
