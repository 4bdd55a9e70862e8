package config

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEnvironmentOverridesTheFile(t *testing.T) {
	for name, value := range map[string]string{
		"MILLRACE__GATEWAY__LISTEN": "off", "MILLRACE__GATEWAY__DIAL_RATE": "5", "MILLRACE__GATEWAY__DATA": "elsewhere",
		"MILLRACE__JOURNAL__MAX_BYTES": "512MiB", "MILLRACE__JOURNAL__FLUSH_EVERY": "5ms", "MILLRACE_OTHER": "x",
	} {
		t.Setenv(name, value)
	}
	c := mustLoad(t, before+"journal: {max_bytes: 1GiB, max_age: 3h}\n")
	g, j := c.Gateway, c.Journal
	if g.Listen != "" || g.DialRate != 5 || g.Name != "x" || g.Data != filepath.Join(filepath.Dir(c.Path), "elsewhere") {
		t.Errorf("gateway %+v", g)
	}
	if j.MaxBytes != 512<<20 || j.FlushEvery != 5*time.Millisecond || j.MaxAge != 3*time.Hour {
		t.Errorf("journal %+v", j)
	}
	want := "MILLRACE__GATEWAY__DATA MILLRACE__GATEWAY__DIAL_RATE MILLRACE__GATEWAY__LISTEN MILLRACE__JOURNAL__FLUSH_EVERY MILLRACE__JOURNAL__MAX_BYTES"
	if got := strings.Join(c.Overrides, " "); got != want {
		t.Errorf("overrides %s", got)
	}
}

func TestBadEnvironmentIsNamed(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"MILLRACE__GATEWAY__LISTEN", "nowhere", `environment variable MILLRACE__GATEWAY__LISTEN: listen: "nowhere" is not an address`},
		{"MILLRACE__GATEWAY__DIAL_RATE", "0", "environment variable MILLRACE__GATEWAY__DIAL_RATE: dial_rate: 0 is too small; at least 1"},
		{"MILLRACE__GATEWAY__NAME", "", "environment variable MILLRACE__GATEWAY__NAME: name: it is empty"},
		{"MILLRACE__GATEWAY__LISTN", "off", `environment variable MILLRACE__GATEWAY__LISTN: there is no key "listn" in gateway; did you mean "MILLRACE__GATEWAY__LISTEN"?`},
		{"MILLRACE__GATEWAY__listen", "off", `environment variable MILLRACE__GATEWAY__listen: there is no key "listen" in gateway; did you mean "MILLRACE__GATEWAY__LISTEN"?`},
		{"MILLRACE__GATEWAY", "off", `environment variable MILLRACE__GATEWAY: there is no key "" in gateway`},
		{"MILLRACE__SINKS__0__URL", "x", "environment variable MILLRACE__SINKS__0__URL: only keys of gateway and journal can be set so"},
		{"MILLRACE__JOURNAL__MAX_BYTES", "64MiB", "environment variable MILLRACE__JOURNAL__MAX_BYTES: max_bytes: 64MiB is less than 4 segments of 64MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(c.name, c.value)
			_, err := Load(writeFile(t, "g.yaml", before), drivers())
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

// TestEveryKeyHasAVariable counts the variables against the keys of the two sections.
func TestEveryKeyHasAVariable(t *testing.T) {
	if all := overrides(); len(all) != len(gatewayKeys.keys)+len(journalKeys.keys) || !slices.Contains(all, "MILLRACE__JOURNAL__QUEUE_BYTES") {
		t.Errorf("%q", all)
	}
}
