package driver

import (
	"fmt"

	"millrace/internal/device"
)

// S7 reads and writes Siemens S7 PLCs over ISO on TCP. It holds no state.
type S7 struct{}

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
