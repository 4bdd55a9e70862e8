// Package modbus speaks Modbus over TCP, over TLS, and RTU frames over TCP: codec, Client and Server. References such as [Modbus 6.3] are to
// the MODBUS Application Protocol Specification V1.1b3, [MBTCP ...] to the MODBUS Messaging on TCP/IP Implementation Guide V1.0b, [MBSEC ...]
// to the MODBUS/TCP Security Protocol Specification, [MBSL ...] to MODBUS over Serial Line V1.02.
//
// Messages append themselves to a buffer and are decoded from a PDU that they alias: whoever keeps a decoded message beyond the life of its
// buffer copies it. Neither direction allocates.
package modbus

import "strconv"

// Function is a function code [Modbus 5.1].
type Function uint8

// The function codes that this package speaks, numbered as the specification numbers them.
const (
	FuncReadCoils          Function = 0x01
	FuncReadDiscreteInputs Function = 0x02
	FuncReadHolding        Function = 0x03
	FuncReadInput          Function = 0x04
	FuncWriteCoil          Function = 0x05
	FuncWriteRegister      Function = 0x06
	FuncWriteCoils         Function = 0x0F
	FuncWriteRegisters     Function = 0x10
	FuncMaskWrite          Function = 0x16
	FuncReadWrite          Function = 0x17
	FuncReadFIFO           Function = 0x18
	FuncReadDeviceID       Function = 0x2B // with MEI type 0x0E, the only one spoken
)

// exceptionBit marks an answer as an exception [Modbus 7].
const exceptionBit = 0x80

// Limits of the protocol.
const (
	MaxPDU = 253 // bytes: 256 of a serial frame less unit and CRC [Modbus 4.1]

	MaxReadBits       = 2000 // 01, 02: 250 bytes of bits
	MaxReadRegisters  = 125  // 03, 04: 250 bytes
	MaxWriteBits      = 1968 // 0F: 246 bytes of bits
	MaxWriteRegisters = 123  // 10: 246 bytes
	MaxReadWriteWrite = 121  // 17, its write part: 242 bytes
	MaxFIFO           = 31   // 18: values in a queue
)

// Known reports whether f is one of the functions that this package speaks.
func (f Function) Known() bool {
	switch f {
	case FuncReadCoils, FuncReadDiscreteInputs, FuncReadHolding, FuncReadInput, FuncWriteCoil, FuncWriteRegister, FuncWriteCoils,
		FuncWriteRegisters, FuncMaskWrite, FuncReadWrite, FuncReadFIFO, FuncReadDeviceID:
		return true
	}
	return false
}

// Writes reports whether f changes the device.
func (f Function) Writes() bool {
	switch f {
	case FuncWriteCoil, FuncWriteRegister, FuncWriteCoils, FuncWriteRegisters, FuncMaskWrite, FuncReadWrite:
		return true
	}
	return false
}

// String returns what f does in words, or its number.
func (f Function) String() string {
	switch f {
	case FuncReadCoils:
		return "read coils"
	case FuncReadDiscreteInputs:
		return "read discrete inputs"
	case FuncReadHolding:
		return "read holding"
	case FuncReadInput:
		return "read input"
	case FuncWriteCoil:
		return "write coil"
	case FuncWriteRegister:
		return "write register"
	case FuncWriteCoils:
		return "write coils"
	case FuncWriteRegisters:
		return "write registers"
	case FuncMaskWrite:
		return "mask write"
	case FuncReadWrite:
		return "read/write"
	case FuncReadFIFO:
		return "read fifo"
	case FuncReadDeviceID:
		return "read device id"
	}
	return "function " + strconv.Itoa(int(f))
}
