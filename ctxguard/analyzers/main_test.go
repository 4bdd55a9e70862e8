package analyzers

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestFactsOnly(t *testing.T) {
	for text, want := range map[string]bool{`{"VetxOnly": true}`: true, `{"VetxOnly": false}`: false, `{}`: false, `nonsense`: false} {
		name := filepath.Join(t.TempDir(), "vet.cfg")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := factsOnly(name); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if factsOnly("-flags") {
		t.Error("a flag is taken for a configuration")
	}
}

func TestPairsOfTheCommandLine(t *testing.T) {
	for _, arg := range []string{"-ctxguardfacts.pairs=a.B=Close;c.D=()", "--ctxguardfacts.pairs=a.B=Close;c.D=()"} {
		if got := pairsOf([]string{"-json", arg, "vet.cfg"}); !slices.Equal(got, []string{"a.B=Close", "c.D=()"}) {
			t.Errorf("%s: %q", arg, got)
		}
	}
	if got := pairsOf([]string{"-ctxguardfacts.pairs=", "vet.cfg"}); got != nil {
		t.Errorf("none: %q", got)
	}
}
