package collector_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"andon.internal/collector"
	"andon.internal/collector/store"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigDefaults(t *testing.T) {
	c, err := collector.Load(write(t, "collector.yaml", `database: {dsn: "postgres://x"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := collector.DefaultConfig()
	want.Database.DSN = "postgres://x"
	if c.HostID != want.HostID || c.MQTT != want.MQTT || c.Database != want.Database || c.Intake != want.Intake ||
		c.HTTP != want.HTTP || c.Log != want.Log || c.Retention != 0 || len(c.Roles) != 3 || c.Web.Listen != want.Web.Listen || c.Web.MaxClients != want.Web.MaxClients || len(c.Rules) != 0 {
		t.Errorf("got %+v", c)
	}
}

func TestConfigFaults(t *testing.T) {
	const good = `database: {dsn: "postgres://x"}` + "\n"
	tests := []struct{ name, text, want string }{
		{"no database", ``, "one of dsn and dsn_from must be set"},
		{"password twice", `database: {dsn: "postgres://u:p@h/d", password: {env: X}}`, "database.password: is given, and dsn has one already"},
		{"password twice, in words", `database: {dsn: "host=h password='a b'", password: {env: X}}`, "dsn has one already"},
		{"two databases", `database: {dsn: x, dsn_from: {file: y}}`, "one of dsn and dsn_from must be set"},
		{"unknown key", good + `retentoin: 1h`, "retentoin"},
		{"host id", good + `host_id: a/b`, "host_id"},
		{"role", good + `roles: [www]`, `role "www" is none of`},
		{"no role", good + `roles: []`, "at least one of the roles"},
		{"broker", good + `mqtt: {url: "http://x"}`, "mqtt.url"},
		{"broker beyond loopback", good + `mqtt: {url: "tcp://broker:1883"}`, `mqtt.url: "broker" is beyond this machine`},
		{"plaintext beside TLS", good + `mqtt: {url: "mqtts://b:1", plaintext: true, tls: {ca: a, cert: b, key: c}}`, "contradicts"},
		{"retention", good + `retention: -1h`, "retention"},
		{"queue", good + `intake: {queue: 1KiB}`, "intake.queue"},
		{"writers", good + `intake: {writers: 65}`, "intake.writers"},
		{"flush", good + `intake: {flush: 2s}`, "intake.flush"},
		{"connections", `database: {dsn: x, max_conns: 4}`, "database.max_conns: must be at least 5"},
		{"pages for all", good + `web: {listen: "0.0.0.0:8080"}`, "web.listen"},
		{"pages' port", good + `web: {listen: nowhere}`, "web.listen"},
		{"pages' login", good + `web: {login: maybe}`, "web.login"},
		{"pages for all without a login", good + `web: {listen: ":8080", login: none, behind_proxy: [10.0.0.1]}`, "web.login"},
		{"names in the clear", good + `web: {hosts: [a.example]}`, "web.hosts"},
		{"proxy", good + `web: {behind_proxy: [10.0.0.1/8]}`, "web.behind_proxy"},
		{"certificate without its key", good + `web: {tls: {cert: a}}`, "web.tls.key"},
		{"idle sessions", good + `web: {session: {idle: 1s}}`, "web.session.idle"},
		{"sessions", good + `web: {session: {idle: 2h, absolute: 1h}}`, "web.session.absolute"},
		{"time zone", good + `web: {time_zone: Mars/Base}`, "web.time_zone"},
		{"clients", good + `web: {max_clients: 0}`, "web.max_clients"},
		{"site", good + `web: {site: ` + strings.Repeat("x", 65) + `}`, "web.site"},
		{"listen", good + `http: {listen: nowhere}`, "listen"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := collector.Load(write(t, "collector.yaml", tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestDSNComesFromAFile(t *testing.T) {
	path := write(t, "dsn", "postgres://u:secret@localhost/d\n")
	c, err := collector.Load(write(t, "collector.yaml", `database: {dsn_from: {file: "`+path+`"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Database.Store(); err != nil || got.DSN != "postgres://u:secret@localhost/d" || got.Password != nil {
		t.Errorf("%q, %v", got.DSN, err)
	}
}

// TestPasswordOfTheDatabase reads it for each connection, and migrates with it.
func TestPasswordOfTheDatabase(t *testing.T) {
	exec(t, server.DSN(), `CREATE ROLE secretive LOGIN PASSWORD 'it''s: @/%' SUPERUSER`)
	t.Cleanup(func() { exec(t, server.DSN(), `DROP ROLE secretive`) })
	dsn := newDatabase(t) // which goes before the role
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User("secretive")
	path := write(t, "password", "it's: @/%\n")
	c, err := collector.Load(write(t, "collector.yaml", `database: {dsn: "`+u.String()+`", password: {file: "`+path+`"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := collector.Migrate(t.Context(), c, discard); err != nil {
		t.Fatal(err)
	}
	if sum, err := collector.VerifyAuditLog(t.Context(), c, nil, discard); err != nil || sum.Entries == 0 {
		t.Errorf("%+v, %v", sum, err)
	}
	// A replaced one counts for the next connection of a store that is open.
	sc, err := c.Database.Store()
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), sc)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.WriteFile(path, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AuditHead(t.Context()); err == nil || !contains(err.Error(), "password authentication failed") || contains(err.Error(), "wrong") {
		t.Errorf("a wrong password: %v", err)
	}
	if err := os.WriteFile(path, []byte("it's: @/%"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AuditHead(t.Context()); err != nil {
		t.Errorf("the right one again: %v", err)
	}
}

func TestOpenFaults(t *testing.T) {
	good := collector.DefaultConfig()
	good.Database.DSN, good.Web.Listen = server.DSN(), "127.0.0.1:0"
	tests := []struct {
		name string
		edit func(*collector.Config)
		want string
	}{
		{"database", func(c *collector.Config) { c.Database.DSN = "postgres://u:sesame@h:nan/d" }, "open store"},
		{"profiles", func(c *collector.Config) { c.Profiles = append(c.Profiles, "/nowhere.yaml") }, "load profiles"},
		{"http", func(c *collector.Config) { c.HTTP.Listen = "127.0.0.1:99999" }, "listen for http"},
		{"pages", func(c *collector.Config) { c.Web.Listen = "127.0.0.1:99999" }, "listen for the pages"},
		{"broker", func(c *collector.Config) { c.MQTT.URL = "x" }, "broker address"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := good
			tt.edit(&c)
			col, err := collector.Open(t.Context(), c, discard)
			if err == nil {
				col.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "sesame") {
				t.Errorf("error %v, want one with %q and without the password", err, tt.want)
			}
		})
	}
	col, err := collector.Open(t.Context(), good, discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := col.Close(); err != nil {
		t.Error(err)
	}
}
