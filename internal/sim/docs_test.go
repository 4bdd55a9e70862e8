package sim

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestFaultsInTheDocs parses every fault and the plant of docs/simulator.md, and wants each kind to be there.
func TestFaultsInTheDocs(t *testing.T) {
	b, err := os.ReadFile("../../docs/simulator.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	var seen [Kinds]bool
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+[^`]*)` \\|").FindAllStringSubmatch(text, -1) {
		f, err := ParseFault(m[1])
		if err != nil {
			t.Error(err)
			continue
		}
		seen[f.Kind] = true
	}
	for k, ok := range seen {
		if !ok {
			t.Errorf("%s is not described", Kind(k))
		}
	}
	_, yaml, _ := strings.Cut(text, "```yaml\n")
	yaml, _, ok := strings.Cut(yaml, "```")
	if _, err := ParsePlant("docs/simulator.md", []byte(yaml)); err != nil || !ok {
		t.Error(err)
	}
}
