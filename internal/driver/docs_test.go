package driver

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestAddressesInTheDocs runs every row of docs/addresses.md.
func TestAddressesInTheDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/addresses.md")
	if err != nil {
		t.Fatal(err)
	}
	spelling := regexp.MustCompile("^\\| `([^`]+)` \\| `([^`]+)` \\| ")
	typ := regexp.MustCompile("^\\| `([a-z]+[0-9]*)(\\[n\\])?` \\| [^|]+ \\| ([^|]*) \\|$")
	spellings, types, orders := 0, 0, 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if m := spelling.FindStringSubmatch(line); m != nil {
			spellings++
			if got, err := (Modbus{}).Canonical(m[1]); err != nil || got != m[2] {
				t.Errorf("%s is %s, %v; the document says %s", m[1], got, err, m[2])
			}
		} else if m := typ.FindStringSubmatch(line); m != nil {
			types++
			if m[2] != "" {
				continue // what stands behind texts is prose
			}
			for name := range strings.SplitSeq(m[3], ", ") {
				if typeNames[strings.ToLower(name)] != typeNames[m[1]] || typeNames[m[1]] == typeNone {
					t.Errorf("%s is not %s", name, m[1])
				}
			}
		} else if strings.HasPrefix(line, "| 16 |") || strings.HasPrefix(line, "| 32 |") || strings.HasPrefix(line, "| 64 |") {
			for _, o := range regexp.MustCompile("`([a-h]+)`").FindAllStringSubmatch(line, -1) {
				orders++
				if _, ok := parseOrder(o[1], len(o[1])/2); !ok {
					t.Errorf("%s is no order", o[1])
				}
			}
		}
	}
	if spellings < 15 || types != len(typeTable)-1 || orders != 2+4+8 {
		t.Errorf("%d spellings, %d types, %d orders found", spellings, types, orders)
	}
	for name := range modbusOptionTable {
		if !strings.Contains(string(text), "`"+name) {
			t.Errorf("option %s is not described", name)
		}
	}
}
