package driver

import (
	"fmt"

	"millrace/internal/device"
	"millrace/s7"
)

// S7 reads and writes Siemens S7 PLCs over ISO on TCP. It holds no state but memory that its sessions share, of NewS7.
type S7 struct{ turns *s7.Turns }

// NewS7 returns an S7 whose sessions share what a Read needs for as long as it takes: what is right for many of them.
func NewS7() S7 { return S7{turns: &s7.Turns{}} }

const schemeS7 = "s7"

// Ports returns the scheme that S7 takes, with its default port.
func (S7) Ports() map[string]int { return map[string]int{schemeS7: 102} }

// Endpoint returns what devices share connections by: host and port, the TSAPs, and the options that a connection is made with. Two racks or slots behind
// one host are two endpoints. An address with bad options has an endpoint of its own, and Open refuses it.
func (S7) Endpoint(a device.Addr) string {
	o, err := parseS7Options(a)
	if err != nil {
		return a.String()
	}
	key := fmt.Sprintf("%s://%s %x-%x", schemeS7, o.host, o.calling, o.called)
	for _, name := range [...]string{"pdu", "window", "max_items", "resync", "diagnostics"} {
		if v, ok := a.Options[name]; ok {
			key += " " + name + "=" + v
		}
	}
	return key
}
