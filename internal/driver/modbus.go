package driver

import (
	"millrace/internal/device"
	"millrace/internal/resilience"
	"millrace/modbus"
)

// Modbus reads and writes Modbus devices over TCP, TLS, and RTU over TCP. It holds no state but memory that its sessions share, of NewModbus.
type Modbus struct{ turns *modbus.Turns }

// NewModbus returns a Modbus whose sessions share what a Read needs for as long as it takes: what is right for many of them.
func NewModbus() Modbus { return Modbus{turns: &modbus.Turns{}} }

// Ports returns the schemes that Modbus takes, each with its default port.
func (Modbus) Ports() map[string]int {
	return map[string]int{schemeTCP: 502, schemeTLS: 802, schemeRTU: 502}
}

// modbusFrames does not hold up a serial line: at 19,200 baud and 11 bits a byte a request of 8 bytes and an answer of 25 take 19 ms, and the pauses around them 4 ms, so that
// 43 a second are all that there is room for.
const modbusFrames = 50

// RequestsPerSecond limits what is, or may be, a serial line: RTU by its scheme, and devices beyond a LAN, where the Modbus of a plant is most often behind a gateway. One on a LAN
// answers as fast as it answers.
func (Modbus) RequestsPerSecond(a device.Addr, p resilience.Profile) float64 {
	if a.Scheme == schemeRTU || p.Name != resilience.LAN().Name {
		return modbusFrames
	}
	return 0
}

// Endpoint returns what devices share connections by: scheme, host and port, and the options that a connection is made with. Units behind
// one gateway are one endpoint. An address with bad options has an endpoint of its own, and Open refuses it.
func (Modbus) Endpoint(a device.Addr) string {
	o, err := parseModbusOptions(a)
	if err != nil {
		return a.String()
	}
	key := a.Scheme + "://" + o.host
	if o.noEcho {
		key += " echo_id=false"
	}
	if o.tls {
		for _, v := range [...]string{o.cert, o.key, o.ca, o.serverName} {
			key += " " + v
		}
	}
	return key
}
