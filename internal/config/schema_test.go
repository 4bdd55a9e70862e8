package config

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"millrace/internal/heal"
)

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(SchemaName, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(SchemaName)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func decodeYAML(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestSchemaAcceptsWhatLoadAccepts holds examples and a file with every key against both.
func TestSchemaAcceptsWhatLoadAccepts(t *testing.T) {
	t.Setenv("PG_URL", "postgres://u:secret@h/db")
	s := compileSchema(t)
	files, _ := filepath.Glob("../../docs/examples/*.yaml")
	more, _ := filepath.Glob("testdata/good/*.yaml")
	if files = append(files, more...); len(files) < 3 {
		t.Fatalf("%d files", len(files))
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Load(f, drivers()); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		if err := s.Validate(decodeYAML(t, b)); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}

// TestSchemaRefusesWhatIsWrongInForm has the schema refuse the bad files whose faults a schema can see, and only those.
func TestSchemaRefusesWhatIsWrongInForm(t *testing.T) {
	s := compileSchema(t)
	unseen := []string{
		"addresses", "tag_strings", "duplicates", "options", // text inside strings
		"templates", "template_for_many", "references", "csv", "two_documents", "laughs", "yaml_features", "merge_loop",
		"yaml_syntax", "tabs", // no YAML
	}
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	seen := 0
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".yaml")
		if slices.Contains(unseen, name) {
			continue
		}
		seen++
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if s.Validate(decodeYAML(t, b)) == nil {
			t.Errorf("the schema accepts %s", f)
		}
	}
	if seen < 6 {
		t.Errorf("only %d files were looked at", seen)
	}
}

// everyTable calls f with each mapping of the language once.
func everyTable(f func(name string, m table)) {
	seen := map[string]bool{}
	var walk func(m table)
	walk = func(m table) {
		name, _ := m.what()
		if seen[name] {
			return
		}
		seen[name] = true
		f(name, m)
		for _, k := range m.facts() {
			if k.of != nil {
				walk(k.of)
			}
		}
	}
	walk(&rootKeys)
	walk(&tagKeys)
}

// TestEveryKeyIsDescribed looks at each key of each table: documented, defaults right, and used in testdata/good/every.yaml.
func TestEveryKeyIsDescribed(t *testing.T) {
	used, err := os.ReadFile("testdata/good/every.yaml")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	everyTable(func(name string, m table) {
		for _, k := range m.facts() {
			n++
			if k.doc == "" || !strings.HasSuffix(k.doc, ".") {
				t.Errorf("%s.%s: the description %q is no sentence", name, k.name, k.doc)
			}
			if k.only == heal.RerouteTraffic || k.only == heal.ScaleReplicas {
				continue // until there is a fleet, no good file has them
			}
			if !bytes.Contains(used, []byte(k.name+":")) && !bytes.Contains(used, []byte(" "+k.name+"=")) && !bytes.Contains(used, []byte(" "+k.name+"\n")) {
				t.Errorf("every.yaml does not use %s.%s", name, k.name)
			}
			if k.preset != "" && k.form == formChoice && !slices.Contains(k.choices, k.preset) {
				t.Errorf("%s.%s: default %q is no choice", name, k.name, k.preset)
			}
		}
	})
	if n < 60 {
		t.Errorf("only %d keys", n)
	}
}
