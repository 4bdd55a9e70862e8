package sim

import (
	"encoding/binary"
	"time"

	"millrace/modbus"
)

// servedUnit says whether the devices answer for a unit id; the others are behind a gateway that has no path to them.
func servedUnit(unit uint8) bool { return unit >= 1 && unit <= 247 || unit == 255 }

// request is one request being executed.
type request struct {
	d    *device
	unit uint8
	pdu  []byte
	now  time.Time
	out  []byte // what came before; the answer's PDU is appended
	deny func(a area, addr, n int) modbus.ExceptionCode
}

// execute appends the answer to r. The caller holds d.mu.
func (r *request) execute() []byte {
	code := r.answer()
	if code != 0 {
		e := modbus.ExceptionResponse{Function: modbus.Function(r.pdu[0]), Code: code}
		return e.AppendTo(r.out)
	}
	return r.out
}

// answer appends a good answer, or returns the exception.
func (r *request) answer() modbus.ExceptionCode {
	if !servedUnit(r.unit) {
		return modbus.GatewayPathUnavailable
	}
	switch modbus.Function(r.pdu[0]) {
	case modbus.FuncReadCoils:
		var m modbus.ReadCoilsRequest
		code := m.Decode(r.pdu)
		return r.readBits(code, coils, m.Address, m.Quantity)
	case modbus.FuncReadDiscreteInputs:
		var m modbus.ReadDiscreteInputsRequest
		code := m.Decode(r.pdu)
		return r.readBits(code, discretes, m.Address, m.Quantity)
	case modbus.FuncReadHolding:
		var m modbus.ReadHoldingRequest
		code := m.Decode(r.pdu)
		return r.readRegisters(code, holdings, m.Address, m.Quantity)
	case modbus.FuncReadInput:
		var m modbus.ReadInputRequest
		code := m.Decode(r.pdu)
		return r.readRegisters(code, inputs, m.Address, m.Quantity)
	case modbus.FuncWriteCoil:
		return r.writeCoil()
	case modbus.FuncWriteRegister:
		return r.writeRegister()
	case modbus.FuncWriteCoils:
		return r.writeCoils()
	case modbus.FuncWriteRegisters:
		return r.writeRegisters()
	case modbus.FuncMaskWrite:
		return r.maskWrite()
	case modbus.FuncReadWrite:
		return r.readWrite()
	}
	return modbus.IllegalFunction
}

// readBits appends function, byte count, bits. code is what the request deserves by its form.
func (r *request) readBits(code modbus.ExceptionCode, a area, addr, n uint16) modbus.ExceptionCode {
	if code == 0 {
		code = r.deny(a, int(addr), int(n))
	}
	if code != 0 {
		return code
	}
	data := r.grow((int(n) + 7) / 8)
	r.d.mem.bits(r.unit, a, int(addr), int(n), data)
	return 0
}

func (r *request) readRegisters(code modbus.ExceptionCode, a area, addr, n uint16) modbus.ExceptionCode {
	if code == 0 {
		code = r.deny(a, int(addr), int(n))
	}
	if code != 0 {
		return code
	}
	data := r.grow(2 * int(n))
	r.d.mem.registers(r.unit, a, int(addr), r.now, data)
	return 0
}

// grow appends function, byte count and n bytes, which it returns.
func (r *request) grow(n int) []byte {
	r.out = append(r.out, r.pdu[0], byte(n))
	at := len(r.out)
	for range n {
		r.out = append(r.out, 0)
	}
	return r.out[at:]
}

// echo appends the first n bytes of the request: the answer of all writes.
func (r *request) echo(n int) modbus.ExceptionCode {
	r.out = append(r.out, r.pdu[:n]...)
	return 0
}

func (r *request) writeCoil() modbus.ExceptionCode {
	var m modbus.WriteCoilRequest
	code := m.Decode(r.pdu)
	if code == 0 {
		code = r.deny(coils, int(m.Address), 1)
	}
	if code != 0 {
		return code
	}
	v := uint16(0)
	if r.pdu[3] == 0xFF {
		v = 1
	}
	r.d.mem.set(r.unit, coils, int(m.Address), v)
	return r.echo(5)
}

func (r *request) writeRegister() modbus.ExceptionCode {
	var m modbus.WriteRegisterRequest
	code := m.Decode(r.pdu)
	if code == 0 {
		code = r.deny(holdings, int(m.Address), 1)
	}
	if code != 0 {
		return code
	}
	r.d.mem.set(r.unit, holdings, int(m.Address), m.Value)
	return r.echo(5)
}

func (r *request) writeCoils() modbus.ExceptionCode {
	var m modbus.WriteCoilsRequest
	code := m.Decode(r.pdu)
	if code == 0 {
		code = r.deny(coils, int(m.Address), int(m.Quantity))
	}
	if code != 0 {
		return code
	}
	for i := range int(m.Quantity) {
		r.d.mem.set(r.unit, coils, int(m.Address)+i, uint16(m.Data[i/8]>>(i%8))&1)
	}
	return r.echo(5)
}

func (r *request) writeRegisters() modbus.ExceptionCode {
	var m modbus.WriteRegistersRequest
	code := m.Decode(r.pdu)
	if code == 0 {
		code = r.deny(holdings, int(m.Address), int(m.Quantity))
	}
	if code != 0 {
		return code
	}
	r.setRegisters(int(m.Address), m.Data)
	return r.echo(5)
}

func (r *request) setRegisters(addr int, data []byte) {
	for i := 0; i < len(data); i += 2 {
		r.d.mem.set(r.unit, holdings, addr+i/2, binary.BigEndian.Uint16(data[i:]))
	}
}

func (r *request) maskWrite() modbus.ExceptionCode {
	var m modbus.MaskWriteRequest
	code := m.Decode(r.pdu)
	if code == 0 {
		code = r.deny(holdings, int(m.Address), 1)
	}
	if code != 0 {
		return code
	}
	var old [2]byte
	r.d.mem.registers(r.unit, holdings, int(m.Address), r.now, old[:])
	r.d.mem.set(r.unit, holdings, int(m.Address), m.Apply(binary.BigEndian.Uint16(old[:])))
	return r.echo(7)
}

// readWrite writes first [Modbus 6.17].
func (r *request) readWrite() modbus.ExceptionCode {
	var m modbus.ReadWriteRequest
	code := m.Decode(r.pdu)
	if code == 0 {
		code = r.deny(holdings, int(m.WriteAddress), int(m.WriteQuantity))
	}
	if code == 0 {
		code = r.deny(holdings, int(m.ReadAddress), int(m.ReadQuantity))
	}
	if code != 0 {
		return code
	}
	r.setRegisters(int(m.WriteAddress), m.Data)
	return r.readRegisters(0, holdings, m.ReadAddress, m.ReadQuantity)
}
