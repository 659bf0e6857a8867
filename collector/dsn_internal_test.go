package collector

import (
	"strings"
	"testing"
)

func TestPasswordsOfConnectionStrings(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"postgres://u@h:5432/d?sslmode=require":         "postgres://u@h:5432/d?sslmode=require",
		"postgres://u:hunter2@h:5432/d":                 "postgres://u@h:5432/d",
		"postgres://u:hunter2@h,h2:5432/d?a=b":          "postgres://u@h,h2:5432/d?a=b",
		"postgres://u@h/d?password=hunter2&sslmode=off": "postgres://u@h/d?sslmode=off",
		"postgres://u@h/d?sslpassword=hunter2":          "postgres://u@h/d",
		"host=h user=u dbname=d":                        "host=h user=u dbname=d",
		"host=h password=hunter2 user=u":                "host=h  user=u",
		"password = 'hunter2 \\' hunter2' host=h":       "host=h",
		"host=h PASSWORD=hunter2":                       "host=h",
		"host=h password=hunter2\\ hunter2 user=u":      "host=h  user=u",
		"host=h password='hunter2":                      "host=h",
		"postgres://u:%zzhunter2@h/d":                   "",
	} {
		if got := withoutPassword(dsn); got != want {
			t.Errorf("%q without its password is %q, want %q", dsn, got, want)
		}
		if got := hasPassword(dsn); got != strings.Contains(dsn, "hunter2") && want != "" {
			t.Errorf("%q has a password: %v", dsn, got)
		}
	}
	a, b := DefaultConfig(), DefaultConfig()
	a.Database.DSN, b.Database.DSN = "postgres://u:hunter2@h/d", "postgres://u@h/d"
	if a.digest() != b.digest() {
		t.Error("a password goes into the digest of the configuration")
	}
	if b.Intake.Writers = 3; a.digest() == b.digest() {
		t.Error("the number of writers does not go into the digest")
	}
}
