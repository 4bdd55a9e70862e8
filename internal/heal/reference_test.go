package heal

import (
	"os"
	"strings"
	"testing"
)

// TestReferenceIsCurrent holds the generated part of docs/healing.md against the program.
func TestReferenceIsCurrent(t *testing.T) {
	const file = "../../docs/healing.md"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := string(doc)
	for name, made := range map[string]string{"names": Reference(), "shipped": ShippedReference()} {
		from, to := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->\n"
		head, rest, ok1 := strings.Cut(want, from)
		_, tail, ok2 := strings.Cut(rest, to)
		if !ok1 || !ok2 {
			t.Fatalf("%s has no part %s", file, name)
		}
		want = head + from + "\n" + made + "\n" + to + tail
	}
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(doc) {
		t.Errorf("%s is not current; run with -update", file)
	}
}
