package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	writing "millrace/internal/write"
)

// A token that is added behind a line without an end takes nobody's token away.
func TestTokenBehindAnOpenLine(t *testing.T) {
	b := tokenBook{path: filepath.Join(t.TempDir(), tokensFile)}
	first, line, err := newToken("shift", "write")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.path, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	second, line, err := newToken("boss", "write,admin")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.add("boss", line); err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]string{first: "shift", second: "boss"} {
		if c, ok := b.identify(token); !ok || c.User != want {
			t.Errorf("%s is %q, %v", want, c.User, ok)
		}
	}
}

// A file of tokens that cannot be read is told in the log, once.
func TestUnreadableTokensAreTold(t *testing.T) {
	var log bytes.Buffer
	b := tokenBook{path: filepath.Join(t.TempDir(), tokensFile), log: slog.New(slog.NewTextHandler(&log, nil))}
	if err := os.WriteFile(b.path, []byte("shift write\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, ok := b.identify("x"); ok {
			t.Error("it was taken")
		}
	}
	if n := strings.Count(log.String(), "tokens:1"); n != 1 {
		t.Errorf("it was told %d times: %s", n, log.String())
	}
}

// Whoever asked with a token has the roles that its line has now, and none without it. Others have theirs.
func TestRoleOfAnOwner(t *testing.T) {
	b := tokenBook{path: filepath.Join(t.TempDir(), tokensFile)}
	shift := writing.Caller{User: "shift", Role: writing.RoleAdmin, Via: "api"}
	for _, c := range []struct {
		roles string // "" takes the line away
		want  writing.Role
	}{{"admin,write", writing.RoleAdmin | writing.RoleWrite}, {"write", writing.RoleWrite}, {"", 0}} {
		text := "# nobody\n"
		if c.roles != "" {
			text = "shift " + c.roles + " sha256:00\n"
		}
		if err := os.WriteFile(b.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if role, ok := b.roleOf(shift); role != c.want || ok != (c.roles != "") {
			t.Errorf("%q: %v, %v", c.roles, role, ok)
		}
	}
	for _, c := range []writing.Caller{{User: gatewayUser, Role: writing.RoleAdmin, Via: "api"}, {User: "shift", Role: writing.RoleWrite, Via: "opcua"}} {
		if role, ok := b.roleOf(c); !ok || role != c.Role {
			t.Errorf("%+v: %v, %v", c, role, ok)
		}
	}
}
