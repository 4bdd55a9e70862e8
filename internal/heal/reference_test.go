package heal

import (
	"os"
	"strings"
	"testing"
)

// TestReferenceIsCurrent holds the generated part of docs/healing.md against the program.
func TestReferenceIsCurrent(t *testing.T) {
	const file, from, to = "../../docs/healing.md", "<!-- names -->\n", "<!-- end of names -->\n"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(doc), from)
	_, tail, ok2 := strings.Cut(rest, to)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no generated part", file)
	}
	want := head + from + "\n" + Reference() + "\n" + to + tail
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(doc) {
		t.Errorf("%s is not current; run with -update", file)
	}
}
