package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeFile puts text into a file of a directory of the test's own and returns its path.
func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// many returns a configuration of n devices with 10 tags each: in a template, or each written out.
func many(n int, inline bool) string {
	var b strings.Builder
	tags := func(indent string) {
		for i := range 10 {
			fmt.Fprintf(&b, "%s  t%d: 'holding:%d:float32 scale=0.1 unit=bar deadband=0.5'\n", indent, i, 2*i)
		}
	}
	if !inline {
		b.WriteString("templates:\n  press:\n    params: {base: 40}\n    groups:\n      fast:\n        tags:\n          own: holding:{base}:int16\n")
		tags("        ")
	}
	b.WriteString("devices:\n")
	for i := range n {
		addr := fmt.Sprintf("modbus://127.0.%d.%d:1502/1", i/250, 1+i%250)
		if !inline {
			fmt.Fprintf(&b, "  - {id: press-%05d, template: press, address: %q, params: {base: %d}}\n", i, addr, 40+i)
			continue
		}
		fmt.Fprintf(&b, "  - id: press-%05d\n    address: %s\n    groups:\n      fast:\n        interval: 1s\n        tags:\n", i, addr)
		tags("        ")
	}
	return b.String()
}

func BenchmarkLoad10000Devices(b *testing.B) {
	for _, inline := range []bool{false, true} {
		b.Run(map[bool]string{false: "template", true: "inline"}[inline], func(b *testing.B) {
			path := writeFile(b, "big.yaml", many(10_000, inline))
			b.ReportAllocs()
			for b.Loop() {
				c, err := Load(path, drivers())
				if err != nil || len(c.Devices) != 10_000 {
					b.Fatal(err)
				}
			}
		})
	}
}
