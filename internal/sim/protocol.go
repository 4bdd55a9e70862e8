package sim

import "strings"

// Protocol is what simulated devices speak.
type Protocol uint8

// The protocols. They are bits, so that a fault can be of several.
const (
	ProtocolModbus Protocol = 1 << iota
	ProtocolS7
	ProtocolOPCUA

	fieldbus    = ProtocolModbus | ProtocolS7 // one answer behind the other, each a few bytes
	anyProtocol = ProtocolModbus | ProtocolS7 | ProtocolOPCUA
)

// protocols is the table of what is known of each.
var protocols = [...]struct {
	of     Protocol
	name   string
	listen string // where the first device is unless somebody says otherwise
}{
	{ProtocolModbus, "Modbus", "127.0.0.1:1502"},
	{ProtocolS7, "S7", "127.0.0.1:1102"},
	{ProtocolOPCUA, "OPC UA", "127.0.0.1:4840"},
}

// String returns the names of the protocols in p.
func (p Protocol) String() string {
	var names []string
	for _, x := range protocols {
		if x.of&p != 0 {
			names = append(names, x.name)
		}
	}
	return strings.Join(names, " and ")
}

func (p Protocol) listen() string {
	for _, x := range protocols {
		if x.of == p {
			return x.listen
		}
	}
	return ""
}
