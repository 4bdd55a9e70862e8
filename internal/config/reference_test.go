package config

import (
	"os"
	"strings"
	"testing"
)

// TestReferenceIsCurrent holds the generated part of docs/config.md against the tables.
func TestReferenceIsCurrent(t *testing.T) {
	const file, from, to = "../../docs/config.md", "<!-- keys -->\n", "<!-- end of keys -->\n"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(doc), from)
	_, tail, ok2 := strings.Cut(rest, to)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no generated part", file)
	}
	golden(t, file, head+from+"\n"+string(Reference())+"\n"+to+tail)
}

// TestReferenceExamples loads every YAML block of docs/config.md that is a whole configuration.
func TestReferenceExamples(t *testing.T) {
	doc, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(doc), "```yaml\n")[1:]
	loaded := 0
	for _, b := range blocks {
		text, _, _ := strings.Cut(b, "```")
		if !strings.Contains(text, "devices:") {
			continue
		}
		loaded++
		mustLoad(t, strings.ReplaceAll(text, "  - {csv: presses.csv, template: press}\n", ""))
	}
	if loaded < 2 {
		t.Errorf("%d blocks loaded", loaded)
	}
}

// TestSchemaIsCurrent holds the schema beside the examples against the tables.
func TestSchemaIsCurrent(t *testing.T) {
	golden(t, "../../docs/examples/"+SchemaName, string(Schema()))
}
