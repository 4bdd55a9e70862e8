package modbus

import (
	"context"
	"encoding/binary"
	"slices"

	"millrace/wire"
)

// serve appends the PDU of the answer to out, or says which exception it is; what it appended is void then.
func (c *ServerConn) serve(ctx context.Context, fr Frame, out []byte) ([]byte, ExceptionCode) {
	r := &c.req
	r.Unit, r.Function = fr.Unit, fr.Function()
	if c.faces.pdu != nil {
		if b, code, served := c.servePDU(ctx, fr.PDU, out); served {
			return b, code
		}
	}
	switch r.Function {
	case FuncReadCoils, FuncReadDiscreteInputs:
		return c.readBits(ctx, fr.PDU, out)
	case FuncReadHolding, FuncReadInput:
		return c.readRegisters(ctx, fr.PDU, out)
	case FuncWriteCoil:
		return c.writeCoil(ctx, fr.PDU, out)
	case FuncWriteRegister:
		return c.writeRegister(ctx, fr.PDU, out)
	case FuncWriteCoils:
		return c.writeCoils(ctx, fr.PDU, out)
	case FuncWriteRegisters:
		return c.writeRegisters(ctx, fr.PDU, out)
	case FuncMaskWrite:
		return c.maskWrite(ctx, fr.PDU, out)
	case FuncReadWrite:
		return c.readWrite(ctx, fr.PDU, out)
	case FuncReadFIFO:
		return c.readFIFO(ctx, fr.PDU, out)
	case FuncReadDeviceID:
		return c.readDeviceID(ctx, fr.PDU, out)
	}
	return out, IllegalFunction
}

func (c *ServerConn) servePDU(ctx context.Context, pdu, out []byte) (b []byte, code ExceptionCode, served bool) {
	if code = c.describe(0, 0, 0); code != 0 {
		return out, code, true
	}
	start := len(out)
	b, code, served = c.faces.pdu.ServePDU(ctx, &c.req, pdu, out)
	if n := len(b) - start; served && code == 0 && (n < 1 || n > MaxPDU) {
		return out, ServerDeviceFailure, true
	}
	return b, code, served
}

// describe completes the request for the handler and asks whether the client may make it.
func (c *ServerConn) describe(t Table, addr, qty uint16) ExceptionCode {
	c.req.Table, c.req.Address, c.req.Quantity = t, addr, qty
	if a := c.srv.cfg.Authorize; a != nil && !a(&c.req) {
		return IllegalFunction
	}
	return 0
}

// room appends function, byte count and n bytes of zeros, which it returns as dst too.
func room(out []byte, f Function, n int) (b, dst []byte) {
	out = append(out, byte(f), byte(n))
	b = slices.Grow(out, n)[:len(out)+n]
	dst = b[len(out):]
	clear(dst) // what another client was answered stays with it, whatever the handler leaves out
	return b, dst
}

func (c *ServerConn) readBits(ctx context.Context, pdu, out []byte) ([]byte, ExceptionCode) {
	addr, qty, code := decodeRange(pdu, c.req.Function, MaxReadBits)
	if code != 0 {
		return out, code
	}
	table := Coils
	if c.req.Function == FuncReadDiscreteInputs {
		table = DiscreteInputs
	}
	if code = c.describe(table, addr, qty); code != 0 {
		return out, code
	}
	b, dst := room(out, c.req.Function, bitBytes(qty))
	code = c.faces.ReadBits(ctx, &c.req, dst)
	maskUnused(dst, qty)
	return b, code
}

// maskUnused clears the bits behind the last of qty.
func maskUnused(bits []byte, qty uint16) {
	if used := qty % 8; used != 0 {
		bits[len(bits)-1] &= 1<<used - 1
	}
}

func (c *ServerConn) readRegisters(ctx context.Context, pdu, out []byte) ([]byte, ExceptionCode) {
	addr, qty, code := decodeRange(pdu, c.req.Function, MaxReadRegisters)
	if code != 0 {
		return out, code
	}
	table := HoldingRegisters
	if c.req.Function == FuncReadInput {
		table = InputRegisters
	}
	if code = c.describe(table, addr, qty); code != 0 {
		return out, code
	}
	b, dst := room(out, c.req.Function, registerBytes(qty))
	return b, c.faces.ReadRegisters(ctx, &c.req, dst)
}

// echoPDU answers with the request.
func echoPDU(out, pdu []byte, code ExceptionCode) ([]byte, ExceptionCode) {
	return append(out, pdu...), code
}

func (c *ServerConn) writeCoil(ctx context.Context, pdu, out []byte) ([]byte, ExceptionCode) {
	var m WriteCoilRequest
	code := m.Decode(pdu)
	if code == 0 {
		code = c.describe(Coils, m.Address, 1)
	}
	if code != 0 {
		return out, code
	}
	// The value lies in the buffer of the answer: a local one would be allocated for the handler's sake.
	var on byte
	if m.On {
		on = 1
	}
	src := append(out, on)[len(out):]
	return echoPDU(out, pdu, c.faces.WriteCoils(ctx, &c.req, src))
}

func (c *ServerConn) writeRegister(ctx context.Context, pdu, out []byte) ([]byte, ExceptionCode) {
	var m WriteRegisterRequest
	code := m.Decode(pdu)
	if code == 0 {
		code = c.describe(HoldingRegisters, m.Address, 1)
	}
	if code != 0 {
		return out, code
	}
	src := wire.AppendU16(out, m.Value)[len(out):]
	return echoPDU(out, pdu, c.faces.WriteRegisters(ctx, &c.req, src))
}

func (c *ServerConn) writeCoils(ctx context.Context, pdu, out []byte) ([]byte, ExceptionCode) {
	var m WriteCoilsRequest
	code := m.Decode(pdu)
	if code == 0 {
		code = c.describe(Coils, m.Address, m.Quantity)
	}
	if code != 0 {
		return out, code
	}
	maskUnused(m.Data, m.Quantity)
	code = c.faces.WriteCoils(ctx, &c.req, m.Data)
	return (&WriteCoilsResponse{m.Address, m.Quantity}).AppendTo(out), code
}

func (c *ServerConn) writeRegisters(ctx context.Context, pdu, out []byte) ([]byte, ExceptionCode) {
	var m WriteRegistersRequest
	code := m.Decode(pdu)
	if code == 0 {
		code = c.describe(HoldingRegisters, m.Address, m.Quantity)
	}
	if code != 0 {
		return out, code
	}
	code = c.faces.WriteRegisters(ctx, &c.req, m.Data)
	return (&WriteRegistersResponse{m.Address, m.Quantity}).AppendTo(out), code
}

func (c *ServerConn) maskWrite(ctx context.Context, pdu, out []byte) ([]byte, ExceptionCode) {
	var m MaskWriteRequest
	code := m.Decode(pdu)
	if code == 0 {
		code = c.describe(HoldingRegisters, m.Address, 1)
	}
	if code != 0 {
		return out, code
	}
	if c.faces.mask != nil {
		return echoPDU(out, pdu, c.faces.mask.MaskWrite(ctx, &c.req, m.And, m.Or))
	}
	reg := append(out, 0, 0)[len(out):]
	if code = c.faces.ReadRegisters(ctx, &c.req, reg); code == 0 {
		binary.BigEndian.PutUint16(reg, m.Apply(binary.BigEndian.Uint16(reg)))
		code = c.faces.WriteRegisters(ctx, &c.req, reg)
	}
	return echoPDU(out, pdu, code)
}

func (c *ServerConn) readWrite(ctx context.Context, pdu, out []byte) ([]byte, ExceptionCode) {
	var m ReadWriteRequest
	code := m.Decode(pdu)
	if code == 0 {
		code = c.describe(HoldingRegisters, m.ReadAddress, m.ReadQuantity)
	}
	if code != 0 {
		return out, code
	}
	c.read = c.req
	if code = c.describe(HoldingRegisters, m.WriteAddress, m.WriteQuantity); code != 0 {
		return out, code
	}
	b, dst := room(out, FuncReadWrite, registerBytes(m.ReadQuantity))
	if c.faces.rw != nil {
		return b, c.faces.rw.ReadWrite(ctx, &c.req, m.Data, &c.read, dst)
	}
	if code = c.faces.WriteRegisters(ctx, &c.req, m.Data); code == 0 {
		code = c.faces.ReadRegisters(ctx, &c.read, dst)
	}
	return b, code
}

func (c *ServerConn) readFIFO(ctx context.Context, pdu, out []byte) ([]byte, ExceptionCode) {
	if c.faces.fifo == nil {
		return out, IllegalFunction
	}
	var m ReadFIFORequest
	code := m.Decode(pdu)
	if code == 0 {
		code = c.describe(HoldingRegisters, m.Address, 1)
	}
	if code != 0 {
		return out, code
	}
	const header = 5 // function, byte count, FIFO count
	b := slices.Grow(out, header+2*MaxFIFO)
	dst := b[len(out)+header : len(out)+header+2*MaxFIFO]
	clear(dst)
	n, code := c.faces.fifo.ReadFIFO(ctx, &c.req, dst)
	if code == 0 && (n < 0 || n > MaxFIFO) {
		code = IllegalDataValue // more than 31 values in the queue [Modbus 6.18]
	}
	if code != 0 {
		return out, code
	}
	return (&ReadFIFOResponse{Data: dst[:2*n]}).AppendTo(out), 0
}
