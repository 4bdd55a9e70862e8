package sim

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/s7"
)

func simulatorDocs(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/simulator.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// rows returns the cells of those rows of all tables that have the form of row.
func rows(text, row string) [][]string {
	return regexp.MustCompile("(?m)^"+row+"$").FindAllStringSubmatch(text, -1)
}

// TestFaultsInTheDocs parses every fault and the plant of docs/simulator.md, and wants each kind to be there for each protocol that has it.
func TestFaultsInTheDocs(t *testing.T) {
	text := simulatorDocs(t)
	var seen [Kinds]Protocol
	protocols := map[string]Protocol{"all": anyProtocol, "Modbus, S7": fieldbus, "Modbus": ProtocolModbus, "S7": ProtocolS7, "OPC UA": ProtocolOPCUA}
	for _, m := range rows(text, "\\| `([a-z_]+[^`]*)` \\| (all|Modbus, S7|Modbus|S7|OPC UA) \\| .* \\|") {
		f, err := ParseFault(m[1])
		if err != nil {
			t.Error(err)
			continue
		}
		for _, p := range []Protocol{ProtocolModbus, ProtocolS7, ProtocolOPCUA} {
			if err := f.fits(p); (err == nil) != (protocols[m[2]]&p != 0) {
				t.Errorf("%s is said to be of %s: %v", m[1], m[2], err)
			}
		}
		seen[f.Kind] |= protocols[m[2]]
	}
	for k, of := range seen {
		if of != kinds[k].of {
			t.Errorf("%s is described for %v, and is of %v", Kind(k), of, kinds[k].of)
		}
	}
	_, keys, _ := strings.Cut(text, "| key | meaning |")
	keys, _, _ = strings.Cut(keys, "\n\n")
	of := rows(keys, "\\| `([a-z_]+[^`]*)` \\| [^|]* \\|")
	if len(of) < 5 {
		t.Errorf("%d rows about keys", len(of))
	}
	for _, m := range of {
		if _, err := ParseFault(m[1]); err != nil {
			t.Error(err)
		}
	}
	_, yaml, _ := strings.Cut(text, "```yaml\n")
	yaml, _, ok := strings.Cut(yaml, "```")
	if p, err := ParsePlant("docs/simulator.md", []byte(yaml)); err != nil || !ok || len(p.Modbus) == 0 || len(p.S7) == 0 || len(p.OPCUA) == 0 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestS7MemoryInTheDocs(t *testing.T) {
	text := simulatorDocs(t)
	found := map[string][]string{}
	for _, m := range rows(text, `\| (DB\d|[IQMTC]) \| (\d+) \| .* \| (yes)? ?\|`) {
		found[strings.ToLower(m[1])] = m
	}
	for i := range regions {
		r := &regions[i]
		m := found[r.name]
		if m == nil || m[2] != strconv.Itoa(r.size) || (m[3] == "yes") != r.writable {
			t.Errorf("%s: %q, want %d bytes, writable %v", r.name, m, r.size, r.writable)
		}
	}
	models := rows(text, `\| (\d+) \| (\d+) \| (\d+) \| (\d+) \| ([\d ]+) \|`)
	if len(models) != len(s7Models) {
		t.Fatalf("%d models: %q", len(models), models)
	}
	for i := range s7Models {
		x := &s7Models[i]
		want := fmt.Sprintf("| %s | %d | %d | %d | %s |", x.name, x.pdu, x.window, x.resources, strings.Trim(fmt.Sprint(x.slots), "[]"))
		if models[i][0] != want {
			t.Errorf("%s, want %s", models[i][0], want)
		}
	}
}

// Every variable of the table is where it says, of its type and value, and together they are all of DB 3.
func TestVariablesInTheDocs(t *testing.T) {
	p := dialS7(t, startS7(t, S7Config{}), 1)
	image := p.bytes(s7.AreaDB, 3, 0, len(variables))
	seen := map[s7.DataType]bool{}
	end := 0
	for _, m := range rows(simulatorDocs(t), `\| (\d+)(?:\.(\d))? \| ([A-Z0-9]+)(?:\[(\d+)\])? \|([^|]*)\|(?:([^|]*)\|)?`) {
		typ, ok := s7.ParseDataType(m[3])
		if !ok {
			continue // a row of another table
		}
		at, chars, value, odd := atoi(m[1]), atoi(m[4]), strings.TrimSpace(m[5]), strings.TrimSpace(m[6])
		if at > end+1 {
			t.Errorf("nothing is said of %d to %d", end, at)
		}
		end = at + typ.Size(chars)
		got, err := valueOf(typ, image[at:end], uint8(atoi(m[2])))
		var bad *s7.ValueError
		switch {
		case errors.As(err, &bad):
			if !strings.HasPrefix(odd, bad.What) {
				t.Errorf("%s at %d: %v, and the table says %q", m[3], at, err, odd)
			}
		case err != nil:
			t.Error(err)
		}
		if got != value {
			t.Errorf("%s at %d is %q, and the table says %q", m[3], at, got, value)
		}
		seen[typ] = true
	}
	if end != len(image) {
		t.Errorf("the table ends at %d of %d bytes", end, len(image))
	}
	for typ := s7.TypeBool; typ <= s7.TypeCounter; typ++ {
		if !seen[typ] {
			t.Errorf("there is no %v", typ)
		}
	}
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// valueOf writes a variable as the table does. With an error it is what can be read all the same.
func valueOf(t s7.DataType, b []byte, bit uint8) (string, error) {
	switch t.Class() {
	case s7.ClassBool:
		return strconv.FormatBool(s7.Bool(b[0], bit)), nil
	case s7.ClassInt:
		v, err := t.Int(b)
		return strconv.FormatInt(v, 10), err
	case s7.ClassUint:
		v, err := t.Uint(b)
		return unless(err, strconv.FormatUint(v, 10)), err
	case s7.ClassFloat:
		v, err := t.Float(b)
		return strconv.FormatFloat(v, 'g', -1, 8*len(b)), err
	case s7.ClassText:
		v, err := t.Text(nil, b)
		return string(v), err
	case s7.ClassDuration:
		v, err := t.Duration(b)
		if t == s7.TypeTOD || t == s7.TypeLTOD {
			return unless(err, time.Time{}.Add(v).Format("15:04:05.999999999")), err
		}
		return unless(err, v.String()), err
	}
	v, err := t.Time(b)
	if t == s7.TypeDate {
		return unless(err, v.Format(time.DateOnly)), err
	}
	return unless(err, v.Format("2006-01-02 15:04:05.999999999")), err
}

func unless(err error, s string) string {
	if err != nil {
		return ""
	}
	return s
}
