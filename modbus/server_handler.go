package modbus

import (
	"context"
	"strconv"
)

// Table is one of the four tables of a device [Modbus 4.3].
type Table uint8

// The tables.
const (
	Coils Table = iota
	DiscreteInputs
	InputRegisters
	HoldingRegisters
)

// String names t.
func (t Table) String() string {
	switch t {
	case Coils:
		return "coils"
	case DiscreteInputs:
		return "discrete inputs"
	case InputRegisters:
		return "input registers"
	case HoldingRegisters:
		return "holding registers"
	}
	return "table " + strconv.Itoa(int(t))
}

// Request is what is asked of a Handler. It is valid during the call only. The server has checked it: quantity, byte count and values are
// the protocol's, and Address+Quantity-1 is at most 65535.
type Request struct {
	Conn     *ServerConn
	Unit     uint8
	Function Function
	Table    Table // of the call at hand: 17 (read/write) makes two, on holding registers both
	Address  uint16
	Quantity uint16 // bits or registers; 1 for functions without one; 0 for 2B
}

// NoAnswer, in place of an exception code, makes the server send nothing: a device on a line ignores requests for other units.
const NoAnswer ExceptionCode = 0xFF

// Handler is a device, or what stands for one. Its methods answer 0 or why they refuse; what they did to dst is ignored then. dst and src are
// valid during the call only. ctx ends when the connection is dropped; a gateway hands it on.
//
// A Handler may also be a PDUHandler, MaskWriter, ReadWriter, FIFOReader or Identifier.
type Handler interface {
	// ReadBits fills dst, ceil(Quantity/8) bytes of zeros, with Quantity bits, the first in bit 0 of the first byte [Modbus 6.1, 6.2].
	ReadBits(ctx context.Context, r *Request, dst []byte) ExceptionCode
	// ReadRegisters fills dst, 2*Quantity bytes of zeros, each register high byte first [Modbus 6.3, 6.4].
	ReadRegisters(ctx context.Context, r *Request, dst []byte) ExceptionCode
	// WriteCoils sets Quantity coils from src, which is as ReadBits fills it, unused bits 0 [Modbus 6.5, 6.11].
	WriteCoils(ctx context.Context, r *Request, src []byte) ExceptionCode
	// WriteRegisters sets Quantity holding registers from src, 2*Quantity bytes [Modbus 6.6, 6.12].
	WriteRegisters(ctx context.Context, r *Request, src []byte) ExceptionCode
}

// PDUHandler is a Handler that takes whole PDUs before they are decoded: a gateway that passes them on, or functions that this package
// does not speak. It appends the PDU of the answer to out, at most MaxPDU bytes, or answers an exception; served false leaves the request to
// the other methods. Of r only Conn, Unit and Function are set.
type PDUHandler interface {
	ServePDU(ctx context.Context, r *Request, pdu, out []byte) (answer []byte, code ExceptionCode, served bool)
}

// MaskWriter is a Handler that changes bits of a holding register at one stroke: new = (old AND and) OR (or AND NOT and) [Modbus 6.16].
// Without it the server reads and writes in two calls, between which other connections may write.
type MaskWriter interface {
	MaskWrite(ctx context.Context, r *Request, and, or uint16) ExceptionCode
}

// ReadWriter is a Handler that writes holding registers and reads them in one operation, the write first [Modbus 6.17]. write describes src
// and read dst. Without it the server makes two calls.
type ReadWriter interface {
	ReadWrite(ctx context.Context, write *Request, src []byte, read *Request, dst []byte) ExceptionCode
}

// FIFOReader is a Handler that has queues [Modbus 6.18]. It fills dst, room for 31 values, and returns how many there are. Without it the function is
// exception 1.
type FIFOReader interface {
	ReadFIFO(ctx context.Context, r *Request, dst []byte) (n int, code ExceptionCode)
}

// Identifier is a Handler that says what device it is [Modbus 6.21]: the value of one object, at most 244 bytes, and whether there is one.
// Without it the function is exception 1.
type Identifier interface {
	DeviceObject(ctx context.Context, r *Request, id uint8) (value string, ok bool)
}

// handlers are the faces of one Handler.
type handlers struct {
	Handler
	pdu      PDUHandler
	mask     MaskWriter
	rw       ReadWriter
	fifo     FIFOReader
	identity Identifier
}

func facesOf(h Handler) handlers {
	f := handlers{Handler: h}
	f.pdu, _ = h.(PDUHandler)
	f.mask, _ = h.(MaskWriter)
	f.rw, _ = h.(ReadWriter)
	f.fifo, _ = h.(FIFOReader)
	f.identity, _ = h.(Identifier)
	return f
}

// Interceptor stands between a connection and its server, to watch or to break things on purpose. Its methods are called from the
// connection's goroutine and may block: in ServerConn.Pause, so that the end of the connection is noticed. The frames are valid during the
// call only, and belong to the Interceptor until then.
type Interceptor interface {
	// Request is called with the frame of each request before anybody serves it. A code other than 0 becomes the answer, and the handler
	// does not see the request. An error ends the connection; a *HangUpError says how.
	Request(ctx context.Context, c *ServerConn, request []byte) (ExceptionCode, error)
	// Answer is called with the frame of each answer in place of sending it. What is to be sent it gives to c.Send: answer itself, or
	// anything else, or nothing. An error ends the connection after what was sent; a *HangUpError says how.
	Answer(ctx context.Context, c *ServerConn, request, answer []byte) error
}
