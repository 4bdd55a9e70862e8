package driver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/modbus"
)

const maxWriteBits = 1968

// WriteError is a write that was not sent, because the address cannot be written so.
type WriteError struct {
	Address string
	What    string
}

func (e *WriteError) Error() string {
	return fmt.Sprintf("%s cannot be written: %s", e.Address, e.What)
}

// Unwritable answers true: nothing was sent, and nothing would be another time.
func (e *WriteError) Unwritable() bool { return true }

// Write writes one item after the other, each with one request. One bit of a register is set by function 16 (mask write), which leaves the
// others alone; a device that does not know it gets a read and a write of the whole register, between which it may change another bit: then
// that change is lost. One register is written by function 06, and by 10 where 06 is unknown. Items behind an error of the transport are not
// sent.
func (s *modbusSession) Write(ctx context.Context, p device.Plan, w []device.Write, r []device.Result) error {
	plan, ok := p.(*modbusPlan)
	if !ok {
		return &PlanError{p}
	}
	var broken error
	for i := range w {
		if broken != nil {
			r[i] = device.Result{Err: fmt.Errorf("not sent: %w", broken)}
			continue
		}
		err := s.writeOne(ctx, plan, &w[i])
		var me *modbus.Error
		transport := errors.As(err, &me)
		r[i] = device.Result{Err: err, MayHaveHappened: transport && me.MayHaveHappened()}
		if transport && me.Exception == 0 {
			broken = err
		}
	}
	return broken
}

func (s *modbusSession) writeOne(ctx context.Context, plan *modbusPlan, w *device.Write) error {
	p, err := parseModbus(w.Tag.Address)
	if err != nil {
		return &device.TagError{Tag: w.Tag.Name, Address: w.Tag.Address, Err: err}
	}
	data, err := p.payload(w.Value)
	if err != nil {
		return err
	}
	unit := plan.unit
	if p.unit != noUnit {
		unit = uint8(p.unit)
	}
	if p.bit >= 0 {
		return s.writeBit(ctx, unit, &p, w.Value)
	}
	call, err := p.writeCall(unit, data, plan.writes)
	if err != nil {
		return err
	}
	err = s.do(ctx, call)
	if call.Function == modbus.FuncWriteRegister && exceptionOf(err) == modbus.IllegalFunction {
		call.Function, call.Quantity = modbus.FuncWriteRegisters, 1
		err = s.do(ctx, call)
	}
	return err
}

// payload encodes v for p, or says why it cannot be written there.
func (p *modbusPoint) payload(v tag.Value) ([]byte, error) {
	switch {
	case p.area == areaInput || p.area == areaDiscrete:
		return nil, &WriteError{p.String(), "the device only gives it"}
	case p.scale != 0:
		return nil, &WriteError{p.String(), "a scale in the address is not undone here; write the raw value, without scale"}
	}
	return p.encode(nil, v)
}

// writeCall makes the request that writes data, which is encoded for p.
func (p *modbusPoint) writeCall(unit uint8, data []byte, most int) (*modbus.Call, error) {
	n := p.span()
	call := &modbus.Call{Unit: unit, Address: uint16(p.addr), Quantity: uint16(n), Values: data}
	switch {
	case p.area == areaCoil && n > maxWriteBits:
		return nil, &WriteError{p.String(), fmt.Sprintf("it has %d coils, and one request takes %d", n, maxWriteBits)}
	case p.area == areaCoil && p.count == 0:
		call.Function, call.Values = modbus.FuncWriteCoil, []byte{0xFF * data[0], 0}
	case p.area == areaCoil:
		call.Function = modbus.FuncWriteCoils
	case n > most:
		return nil, &WriteError{p.String(), fmt.Sprintf("it has %d registers, and one request takes %d; in two it would be half written for a while", n, most)}
	case n == 1:
		call.Function = modbus.FuncWriteRegister
	default:
		call.Function = modbus.FuncWriteRegisters
	}
	return call, nil
}

// do sends one call and waits for what comes of it.
func (s *modbusSession) do(ctx context.Context, c *modbus.Call) error {
	calls := [1]modbus.Call{*c}
	var err error
	if s.pool != nil {
		err = s.pool.once(ctx, calls[:])
	} else {
		err = s.client.Do(ctx, calls[:])
	}
	if err != nil {
		return s.hint(err)
	}
	c.Data = calls[0].Data
	return calls[0].Err
}

func exceptionOf(err error) modbus.ExceptionCode {
	var e *modbus.Error
	if errors.As(err, &e) {
		return e.Exception
	}
	return 0
}

func (s *modbusSession) writeBit(ctx context.Context, unit uint8, p *modbusPoint, v tag.Value) error {
	mask := uint16(1) << p.bit
	and, or := ^mask, mask*uint16(v.Bits)
	if !s.noMask[unit] {
		call := &modbus.Call{Unit: unit, Function: modbus.FuncMaskWrite, Address: uint16(p.addr)}
		call.Values = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, and), or)
		err := s.do(ctx, call)
		if exceptionOf(err) != modbus.IllegalFunction {
			return err
		}
		if s.noMask == nil {
			s.noMask = map[uint8]bool{}
		}
		s.noMask[unit] = true
	}
	read := &modbus.Call{Unit: unit, Function: modbus.FuncReadHolding, Address: uint16(p.addr), Quantity: 1}
	if err := s.do(ctx, read); err != nil {
		return err
	}
	old := binary.BigEndian.Uint16(read.Data)
	return s.do(ctx, &modbus.Call{Unit: unit, Function: modbus.FuncWriteRegister, Address: uint16(p.addr),
		Values: binary.BigEndian.AppendUint16(nil, old&and|or)})
}
