package nodeset

import (
	"os"
	"path/filepath"
	"testing"
)

func BenchmarkNS0(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		loadNS0(b)
	}
}

// BenchmarkReadXML reads namespace 0 from its NodeSet2 file: what the compact form saves.
func BenchmarkReadXML(b *testing.B) {
	name := filepath.Join(filepath.Dir(companions(b)[0]), "Opc.Ua.NodeSet2.xml")
	b.ReportAllocs()
	for b.Loop() {
		f, err := os.Open(name)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := ReadXML(f, Options{}); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}
