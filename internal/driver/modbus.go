package driver

import "millrace/internal/device"

// Modbus reads and writes Modbus devices over TCP, TLS, and RTU over TCP. It holds no state.
type Modbus struct{}

// Ports returns the schemes that Modbus takes, each with its default port.
func (Modbus) Ports() map[string]int {
	return map[string]int{schemeTCP: 502, schemeTLS: 802, schemeRTU: 502}
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
