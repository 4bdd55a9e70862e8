package nodeset

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/opcua/ua"
	"millrace/opcua/ua/gen/source"
)

// companions returns the NodeSet2 files of the package that go generate has fetched; without it the test is skipped, in CI it is red.
func companions(t testing.TB) []string {
	t.Helper()
	dir := filepath.Join(source.Nodesets.Dir(source.DefaultCache()), "nodesets")
	files, err := filepath.Glob(filepath.Join(dir, "*.xml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		if os.Getenv("REQUIRE_NODESETS") == "1" {
			t.Fatalf("no node sets in %s: run go generate", dir)
		}
		t.Skipf("no node sets in %s", dir)
	}
	return files
}

// loader reads files after those they require.
type loader struct {
	namespaces []string
	sets       []*Set
	loaded     map[string]bool
}

func (l *loader) load(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	s, err := ReadXML(f, Options{Namespaces: l.namespaces, Base: l.sets})
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	l.namespaces = s.Namespaces
	l.sets = append(l.sets, s)
	return nil
}

// requirements reads only the models of a file.
func requirements(t *testing.T, name string) (uri string, required []string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	models := b
	if i := bytes.Index(b, []byte("</Models>")); i > 0 {
		models = append(append([]byte{}, b[:i]...), "</Models></UANodeSet>"...)
	}
	s, err := ReadXML(bytes.NewReader(models), Options{})
	if err != nil || len(s.Models) == 0 {
		t.Logf("%s: models %v, %v", filepath.Base(name), s, err)
		return "", nil
	}
	for _, r := range s.Models[0].Required {
		required = append(required, r.Uri)
	}
	return s.Models[0].Uri, required
}

func TestCompanionSpecificationsLoad(t *testing.T) {
	base := loadNS0(t)
	l := &loader{namespaces: append(append([]string{}, base.Namespaces...), "urn:server"), sets: []*Set{base}, loaded: map[string]bool{NamespaceUA: true}}
	waiting := map[string][]string{}
	for _, name := range companions(t) {
		if filepath.Base(name) != "Opc.Ua.NodeSet2.xml" {
			uri, required := requirements(t, name)
			waiting[name] = append(required, uri)
		}
	}
	for progress := true; progress; {
		progress = false
		for name, models := range waiting {
			uri, required := models[len(models)-1], models[:len(models)-1]
			if !l.all(required) {
				continue
			}
			if err := l.load(name); err != nil {
				t.Error(err)
			}
			l.loaded[uri], progress = true, true
			delete(waiting, name)
		}
	}
	for name, models := range waiting {
		t.Logf("%s requires what the package has not: %s", filepath.Base(name), strings.Join(models, ", "))
	}
	nodes := 0
	for _, s := range l.sets[1:] {
		nodes += len(s.Nodes)
		checkSet(t, s)
	}
	t.Logf("%d sets, %d nodes, %d namespaces", len(l.sets)-1, nodes, len(l.namespaces))
}

func (l *loader) all(uris []string) bool {
	for _, uri := range uris {
		if !l.loaded[uri] {
			return false
		}
	}
	return true
}

// checkSet writes and loads s, and looks for what must not be in a set.
func checkSet(t *testing.T, s *Set) {
	t.Helper()
	b := s.AppendTo(nil)
	back, err := Load(b)
	if err != nil {
		t.Fatal(err)
	}
	if again := back.AppendTo(nil); !bytes.Equal(again, b) {
		t.Errorf("%s: what was loaded is written differently", s.Models[0].Uri)
	}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		if int(n.Id.Namespace) >= len(s.Namespaces) {
			t.Errorf("%s: namespace of %d", n.Id, len(s.Namespaces))
		}
		if x, ok := n.Value.ExtensionObject(); ok && x.Xml {
			t.Errorf("%s: a value of %s stays XML", s.Models[0].Uri, x.TypeId)
		}
		if all, ok := ua.ArrayOf[ua.ExtensionObject](n.Value); ok {
			for _, x := range all {
				if x.Xml {
					t.Errorf("%s: a value of %s stays XML", s.Models[0].Uri, x.TypeId)
				}
			}
		}
	}
}
