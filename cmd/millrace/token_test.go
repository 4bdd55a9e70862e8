package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
