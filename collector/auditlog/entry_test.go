package auditlog_test

import (
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"andon.internal/collector/auditlog"
)

// FuzzEncoding reads each encoding back: what can be read back is of one entry only.
func FuzzEncoding(f *testing.F) {
	f.Add(int64(0), []byte("0123456789abcdef"), int64(0), "", "", "", "", "", "", "")
	f.Add(int64(7), []byte("x"), int64(1772625600000000), "Ann", "operator", "::1", "a\x00b", "\xff", "{}", "ok")
	f.Fuzz(func(t *testing.T, seq int64, id []byte, at int64, who, role, from, action, object, detail, result string) {
		e := auditlog.Entry{
			Seq: seq, At: time.UnixMicro(at).UTC(), Who: who, Role: role, From: from,
			Action: action, Object: object, Detail: detail, Result: result,
		}
		copy(e.ID[:], id)
		if got := decode(t, e.Append(nil)); got != e {
			t.Errorf("%+v is read back as %+v", e, got)
		}
		c := e.Clean()
		for _, text := range []string{c.Who, c.Role, c.From, c.Action, c.Object, c.Detail, c.Result} {
			if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
				t.Errorf("%q is kept", text)
			}
		}
		if again := c.Clean(); again != c {
			t.Errorf("cleaned twice: %+v, and %+v", c, again)
		}
	})
}

// decode is the inverse of Append.
func decode(t *testing.T, b []byte) (e auditlog.Entry) {
	t.Helper()
	take := func(n uint64) string {
		if uint64(len(b)) < n {
			t.Fatalf("%d bytes are missing", n-uint64(len(b)))
		}
		s := string(b[:n])
		b = b[n:]
		return s
	}
	number := func() uint64 { return binary.BigEndian.Uint64([]byte(take(8))) }
	const domain = "andon audit log entry 1\x00"
	if got := take(uint64(len(domain))); got != domain {
		t.Fatalf("it begins with %q", got)
	}
	e.Seq = int64(number())
	copy(e.ID[:], take(16))
	e.At = time.UnixMicro(int64(number())).UTC()
	for _, text := range []*string{&e.Who, &e.Role, &e.From, &e.Action, &e.Object, &e.Detail, &e.Result} {
		*text = take(number())
	}
	if len(b) > 0 {
		t.Fatalf("%d bytes are left", len(b))
	}
	return e
}

// TestEncodingStays holds the form that chains were made with: were it to change, every
// log there is would no longer verify.
func TestEncodingStays(t *testing.T) {
	e := auditlog.Entry{
		Seq: 1, ID: auditlog.ID{1, 2, 15: 3}, At: time.Date(2026, 3, 4, 12, 0, 0, 123456000, time.UTC),
		Who: "Ann", Role: "operator", From: "10.0.0.7", Action: "acknowledge alarm", Object: "x1", Detail: `{"note":"é"}`, Result: "ok",
	}
	const want = "616e646f6e206175646974206c6f6720656e7472792031000000000000000001" + "01020000000000000000000000000003" + "00064c318f371240" +
		"0000000000000003416e6e" + "00000000000000086f70657261746f72" + "000000000000000831302e302e302e37" +
		"000000000000001161636b6e6f776c6564676520616c61726d" + "00000000000000027831" + "000000000000000d7b226e6f7465223a22c3a9227d" + "00000000000000026f6b"
	if got := hex.EncodeToString(e.Append(nil)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	h := auditlog.Start().Add(auditlog.Genesis("db", e.At)).Hash.Next(e)
	if h == (auditlog.Hash{}) || h == (auditlog.Hash{}).Next(e) {
		t.Errorf("the hash %v does not depend on the one before", h)
	}
	const hash = "a6d4225079bbf37aa608867d7a35b7ea7d0fdeca158e76eaeda6c9d542616134" // as computed by another program
	if got := (auditlog.Hash{1}).Next(e).String(); got != hash {
		t.Errorf("hash %s, want %s", got, hash)
	}
}

func TestClean(t *testing.T) {
	long := strings.Repeat("é", 300)
	e := auditlog.Entry{
		At:  time.Date(2026, 3, 4, 12, 0, 0, 123456789, time.FixedZone("CST", -6*3600)),
		Who: long, Role: "a\x00b\x1b[2Jc\u202e", From: "\xff", Action: "", Object: long, Detail: "no json\x9b", Result: "perhaps",
	}.Clean()
	if e.ID == (auditlog.ID{}) || e.At.Nanosecond() != 123456000 || e.At.Location() != time.UTC {
		t.Errorf("id %v, at %v", e.ID, e.At)
	}
	if utf8.RuneCountInString(e.Who) != 128 || utf8.RuneCountInString(e.Object) != 256 || e.Role != "a\ufffdb\ufffd[2Jc\ufffd" ||
		e.From != "\ufffd" || e.Action != "unnamed" || e.Result != auditlog.Failed || e.Detail != "{\"text\":\"no json\ufffd\"}" {
		t.Errorf("%+v", e)
	}
	for detail, want := range map[string]string{
		"": "{}", `{"a":1}`: `{"a":1}`, "[1]": `{"text":"[1]"}`, `{"a":`: `{"text":"{\"a\":"}`,
		"{\"a\":\"" + strings.Repeat("x", 5000) + "\"}": `{"bytes":5008,"cut_off":"{\"a\":\"` + strings.Repeat("x", 494) + `"}`,
	} {
		if got := (auditlog.Entry{Detail: detail}).Clean().Detail; got != want {
			t.Errorf("%.40q is kept as %q", detail, got)
		}
	}
	if got := auditlog.Detail(map[string]any{"f": func() {}}); !strings.Contains(got, "not_noted") {
		t.Error(got)
	}
}

func TestHeads(t *testing.T) {
	h := auditlog.Head{Seq: 17, Hash: auditlog.Hash{0xab, 31: 1}}
	if got, err := auditlog.ParseHead(h.String()); err != nil || got != h {
		t.Errorf("%v, %v", got, err)
	}
	hash := h.Hash.String()
	for _, bad := range []string{"", "17", "17:", "17:" + hash[1:], "17:" + hash + "0", "-1:" + hash, " 17:" + hash, "17:" + strings.ToUpper(hash), "99999999999999999999:" + hash} {
		if got, err := auditlog.ParseHead(bad); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
	log := "time=2026-03-04T12:00:00Z level=INFO msg=\"audit log head\" part=audit head=17:" + hash + "\n{\"head\":\"18:" + hash + "\"}\nx9:y\n9999999999999999999:" + hash
	if got := auditlog.FindHeads(log); len(got) != 2 || got[0] != h || got[1].Seq != 18 {
		t.Errorf("found %v", got)
	}
}

// TestStrangersPublishNoHeads: an error that quotes a stranger stands in the process log too.
func TestStrangersPublishNoHeads(t *testing.T) {
	forged := "5:" + strings.Repeat("f0", 32)
	said := "declined: \"" + forged + "\" head=" + forged + "\nmsg=\"audit log head\" head=" + forged + ` "msg":"audit log head","head":"` + forged + `"`
	var text, lines strings.Builder
	for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&text, nil)), slog.New(slog.NewJSONHandler(&lines, nil))} {
		log.Warn("a single sign-on failed", "error", said)
		log.Warn("a single sign-on failed", "error", forged)
		log.Info("audit log head", "part", "audit", "head", "17:"+strings.Repeat("ab", 32))
	}
	for _, log := range []string{text.String(), lines.String()} {
		if got := auditlog.FindHeads(log); len(got) != 1 || got[0].Seq != 17 {
			t.Errorf("found %v in\n%s", got, log)
		}
	}
}
