package nodeset

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// few returns namespace 0 with the data types that the plant uses alone: the whole of it would cost each run milliseconds.
func few(t testing.TB) []*Set {
	t.Helper()
	s := loadNS0(t)
	s.Nodes = slices.DeleteFunc(s.Nodes, func(n Node) bool {
		return !slices.Contains([]uint32{ns0.Structure, ns0.Union, ns0.Enumeration, ns0.Range, ns0.Range_Encoding_DefaultBinary}, n.Id.Numeric)
	})
	return []*Set{s}
}

// FuzzSet loads the compact form, or reads a NodeSet2 file when the input does not begin with the form's magic. What is read is written in the compact
// form, and that loads to the same bytes again.
func FuzzSet(f *testing.F) {
	base := few(f)
	s, err := ReadXML(strings.NewReader(plantXML), Options{Base: base})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.AppendTo(nil))
	f.Add((&Set{Namespaces: []string{NamespaceUA}}).AppendTo(nil))
	f.Add([]byte(plantXML))
	f.Add([]byte("<UANodeSet/>"))
	f.Add([]byte(`<UANodeSet><UAVariable NodeId="i=1" BrowseName="a"><Value><ListOfVariant><Variant><Value><Double>1</Double></Value></Variant></ListOfVariant></Value></UAVariable></UANodeSet>`))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := Load(in)
		if !bytes.HasPrefix(in, []byte(magic)) {
			s, err = ReadXML(bytes.NewReader(in), Options{Base: base})
		}
		if err != nil {
			return
		}
		once := s.AppendTo(nil)
		back, err := Load(once)
		if err != nil {
			t.Fatal(err)
		}
		if again := back.AppendTo(nil); !bytes.Equal(once, again) {
			t.Fatalf("wrote %d bytes, and then %d", len(once), len(again))
		}
		s.Types(ua.NewTypes())
	})
}
