package sim

// Protocol is what simulated devices speak.
type Protocol uint8

// The protocols. They are bits, so that a fault can be of several.
const (
	ProtocolModbus Protocol = 1 << iota
	ProtocolS7

	anyProtocol = ProtocolModbus | ProtocolS7
)

// String returns the protocol's name.
func (p Protocol) String() string {
	switch p {
	case ProtocolModbus:
		return "Modbus"
	case ProtocolS7:
		return "S7"
	}
	return "Modbus and S7"
}

// listen returns where the first device is unless somebody says otherwise.
func (p Protocol) listen() string {
	if p == ProtocolS7 {
		return "127.0.0.1:1102"
	}
	return "127.0.0.1:1502"
}
