package sim

import "strconv"

// Protocol is what simulated devices speak.
type Protocol uint8

// The protocols. They are bits, so that a fault can be of several.
const (
	ProtocolModbus Protocol = 1 << iota

	anyProtocol = ProtocolModbus
)

// String returns the protocol's name.
func (p Protocol) String() string {
	switch p {
	case ProtocolModbus:
		return "Modbus"
	case 0:
		return "no protocol"
	}
	return "protocols " + strconv.Itoa(int(p))
}

// listen returns where the first device is unless somebody says otherwise.
func (p Protocol) listen() string { return "127.0.0.1:1502" }
