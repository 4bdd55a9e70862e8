package sim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"millrace/s7"
)

// s7Model is a family of CPUs, as it shows on the wire.
type s7Model struct {
	name      string
	is        s7.Model
	pdu       int     // longest PDU, bytes
	window    int     // jobs in flight
	resources int     // connections
	slots     []uint8 // of the rack, in which the CPU may be sought; the usual one first
}

var s7Models = [...]s7Model{
	{"300", s7.Model300, 240, 2, 16, []uint8{2}},
	{"400", s7.Model400, 480, 8, 32, []uint8{2, 3, 4}},
	{"1200", s7.Model1200, 240, 3, 8, []uint8{1, 0}},
	{"1500", s7.Model1500, 960, 8, 32, []uint8{1, 0}},
}

func modelNamed(name string) (*s7Model, error) {
	name = cmp.Or(name, "1500")
	i := slices.IndexFunc(s7Models[:], func(m s7Model) bool { return m.name == name })
	if i < 0 {
		return nil, fmt.Errorf("sim: model %q; there are %s", name, strings.Join(S7ModelNames(), ", "))
	}
	return &s7Models[i], nil
}

// S7ModelNames returns the models that an S7Config may name.
func S7ModelNames() []string {
	var names []string
	for i := range s7Models {
		names = append(names, s7Models[i].name)
	}
	return names
}
