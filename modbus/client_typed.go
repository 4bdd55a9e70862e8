package modbus

import (
	"context"
	"fmt"
)

// oneCall runs one request of the typed methods. Its values and its data are buffers of the run, which each and use see before it is released.
func (c *Client) oneCall(ctx context.Context, call Call, values func(b []byte) []byte, use func(data []byte)) error {
	t, r := c.begin()
	defer c.flight.End(t)
	if values != nil {
		r.vals = values(r.vals[:0])
		call.Values = r.vals
	}
	call.Data = r.data[:0]
	r.one[0] = call
	err := c.run(ctx, t, r, r.one[:])
	done := r.one[0]
	r.data, r.one[0] = done.Data, Call{}
	if err == nil {
		err = done.Err
	}
	if err == nil && use != nil {
		use(r.data)
	}
	return err
}

// short refuses a result that has no room for what is asked.
func short(call *Call, have int) error {
	if have >= int(call.Quantity) {
		return nil
	}
	return call.error(0, &ArgumentError{What: fmt.Sprintf("room for %d values", have)}, false)
}

func (c *Client) readBits(ctx context.Context, call Call, dst []bool) error {
	if err := short(&call, len(dst)); err != nil {
		return err
	}
	return c.oneCall(ctx, call, nil, func(data []byte) { Bits(dst[:call.Quantity], data) })
}

func (c *Client) readRegisters(ctx context.Context, call Call, dst []uint16) error {
	if err := short(&call, len(dst)); err != nil {
		return err
	}
	return c.oneCall(ctx, call, nil, func(data []byte) { Registers(dst[:call.Quantity], data) })
}

// ReadCoils reads qty coils, 1..2000, from addr on into dst, which has room for them [Modbus 6.1]. Like all methods of its kind it answers an
// *Error for an exception, a time-out, and the end of the connection or of ctx; dst is then unchanged.
func (c *Client) ReadCoils(ctx context.Context, unit uint8, addr, qty uint16, dst []bool) error {
	return c.readBits(ctx, Call{Unit: unit, Function: FuncReadCoils, Address: addr, Quantity: qty}, dst)
}

// ReadDiscreteInputs reads qty discrete inputs, 1..2000, from addr on into dst [Modbus 6.2].
func (c *Client) ReadDiscreteInputs(ctx context.Context, unit uint8, addr, qty uint16, dst []bool) error {
	return c.readBits(ctx, Call{Unit: unit, Function: FuncReadDiscreteInputs, Address: addr, Quantity: qty}, dst)
}

// ReadHolding reads qty holding registers, 1..125, from addr on into dst [Modbus 6.3].
func (c *Client) ReadHolding(ctx context.Context, unit uint8, addr, qty uint16, dst []uint16) error {
	return c.readRegisters(ctx, Call{Unit: unit, Function: FuncReadHolding, Address: addr, Quantity: qty}, dst)
}

// ReadInput reads qty input registers, 1..125, from addr on into dst [Modbus 6.4].
func (c *Client) ReadInput(ctx context.Context, unit uint8, addr, qty uint16, dst []uint16) error {
	return c.readRegisters(ctx, Call{Unit: unit, Function: FuncReadInput, Address: addr, Quantity: qty}, dst)
}

// WriteCoil switches the coil at addr [Modbus 6.5]. Like all writes it is sent once; when its *Error says MayHaveHappened, the device may have done it.
func (c *Client) WriteCoil(ctx context.Context, unit uint8, addr uint16, on bool) error {
	return c.oneCall(ctx, Call{Unit: unit, Function: FuncWriteCoil, Address: addr},
		func(b []byte) []byte { return AppendRegisters(b, coilWord(on)) }, nil)
}

// WriteRegister sets the holding register at addr [Modbus 6.6].
func (c *Client) WriteRegister(ctx context.Context, unit uint8, addr, v uint16) error {
	return c.oneCall(ctx, Call{Unit: unit, Function: FuncWriteRegister, Address: addr},
		func(b []byte) []byte { return AppendRegisters(b, v) }, nil)
}

// WriteCoils sets len(bits) coils, 1..1968, from addr on [Modbus 6.11].
func (c *Client) WriteCoils(ctx context.Context, unit uint8, addr uint16, bits []bool) error {
	return c.oneCall(ctx, Call{Unit: unit, Function: FuncWriteCoils, Address: addr, Quantity: quantity(len(bits))},
		func(b []byte) []byte { return AppendBits(b, bits...) }, nil)
}

// WriteRegisters sets len(regs) holding registers, 1..123, from addr on [Modbus 6.12].
func (c *Client) WriteRegisters(ctx context.Context, unit uint8, addr uint16, regs []uint16) error {
	return c.oneCall(ctx, Call{Unit: unit, Function: FuncWriteRegisters, Address: addr, Quantity: quantity(len(regs))},
		func(b []byte) []byte { return AppendRegisters(b, regs...) }, nil)
}

// MaskWrite makes (old AND and) OR (or AND NOT and) of the holding register at addr [Modbus 6.16].
func (c *Client) MaskWrite(ctx context.Context, unit uint8, addr, and, or uint16) error {
	return c.oneCall(ctx, Call{Unit: unit, Function: FuncMaskWrite, Address: addr},
		func(b []byte) []byte { return AppendRegisters(b, and, or) }, nil)
}

// ReadWrite sets len(regs) holding registers, 1..121, from waddr on, and then reads qty of them, 1..125, from addr on into dst [Modbus 6.17].
func (c *Client) ReadWrite(ctx context.Context, unit uint8, addr, qty uint16, dst []uint16, waddr uint16, regs []uint16) error {
	call := Call{Unit: unit, Function: FuncReadWrite, Address: addr, Quantity: qty, WriteAddress: waddr}
	if err := short(&call, len(dst)); err != nil {
		return err
	}
	return c.oneCall(ctx, call, func(b []byte) []byte { return AppendRegisters(b, regs...) },
		func(data []byte) { Registers(dst[:qty], data) })
}

// ReadFIFO reads the queue at addr into dst and returns how many values it had, at most 31 [Modbus 6.18]. With a shorter dst the rest of them is lost to the
// caller; the device keeps them.
func (c *Client) ReadFIFO(ctx context.Context, unit uint8, addr uint16, dst []uint16) (n int, err error) {
	err = c.oneCall(ctx, Call{Unit: unit, Function: FuncReadFIFO, Address: addr}, nil, func(data []byte) {
		Registers(dst, data)
		n = len(data) / 2
	})
	return n, err
}

// quantity turns a length into a quantity; what is too long becomes what no function takes.
func quantity(n int) uint16 { return uint16(min(n, 0xFFFF)) }

// DeviceObject is one object of a device's identification.
type DeviceObject struct {
	ID    uint8
	Value string // as the device sent it: mostly ASCII
}

// DeviceID is the identification of a device.
type DeviceID struct {
	Conformity uint8 // 0x01 basic, 0x02 regular, 0x03 extended; with 0x80 when single objects can be read too
	Objects    []DeviceObject
}

// ReadDeviceID reads the identification of a device from object on, in as many requests as its answers ask for [Modbus 6.21]. Each part must
// lie behind the one before; a device that leads in circles is an *Error with a *PDUError. What was read until then is returned with it.
func (c *Client) ReadDeviceID(ctx context.Context, unit uint8, code DeviceIDCode, object uint8) (DeviceID, error) {
	var id DeviceID
	for from, before := object, -1; ; {
		more, next, err := c.readDeviceIDPart(ctx, unit, code, from, &id)
		if err != nil || !more {
			return id, err
		}
		if int(next) <= max(before, id.last()) {
			call := Call{Unit: unit, Function: FuncReadDeviceID}
			return id, call.error(0, &PDUError{Function: FuncReadDeviceID, What: "more follows in circles"}, true)
		}
		from, before = next, int(next)
	}
}

// last returns the highest object id so far, -1 without any.
func (d *DeviceID) last() int {
	last := -1
	for _, o := range d.Objects {
		last = max(last, int(o.ID))
	}
	return last
}

func (c *Client) readDeviceIDPart(ctx context.Context, unit uint8, code DeviceIDCode, from uint8, id *DeviceID) (more bool, next uint8, err error) {
	call := Call{Unit: unit, Function: FuncReadDeviceID, Address: uint16(from), Quantity: uint16(code)}
	var m ReadDeviceIDResponse
	var bad error
	err = c.oneCall(ctx, call, nil, func(pdu []byte) {
		if bad = m.Decode(pdu); bad == nil {
			id.add(&m)
		}
	})
	if err == nil {
		err = bad
	}
	return m.More, m.Next, err
}

func (d *DeviceID) add(m *ReadDeviceIDResponse) {
	d.Conformity = m.Conformity
	for rest := m.Objects; ; {
		id, value, r, ok := rest.Cut()
		if !ok {
			return
		}
		d.Objects = append(d.Objects, DeviceObject{ID: id, Value: string(value)})
		rest = r
	}
}
