package modbus

import "context"

// The last object of each category of the device identification [Modbus 6.21], and where fields stand in an answer.
const (
	lastBasic    = ObjectRevision
	lastRegular  = 0x7F
	lastExtended = 0xFF

	singleAccess = 0x80 // in the conformity: objects can be asked for one by one

	idConformityAt = 3
	idMoreAt       = 4
	idNextAt       = 5
	idCountAt      = 6
)

func (c *ServerConn) readDeviceID(ctx context.Context, pdu, out []byte) ([]byte, ExceptionCode) {
	if c.faces.identity == nil {
		return out, IllegalFunction
	}
	var m ReadDeviceIDRequest
	code := m.Decode(pdu)
	if code == 0 {
		code = c.describe(HoldingRegisters, uint16(m.Object), 0)
	}
	if code != 0 {
		return out, code
	}
	first, last := int(m.Object), lastOf(m.Code)
	value, ok := c.faces.identity.DeviceObject(ctx, &c.req, m.Object)
	switch {
	case m.Code == DeviceIDOne && !ok:
		return out, IllegalDataAddress
	case m.Code == DeviceIDOne:
		last = first
	case !ok || first > last:
		first = 0 // an unknown object starts anew [Modbus 6.21]
	}
	answer := ReadDeviceIDResponse{Code: m.Code, Conformity: c.conformity(ctx)}
	start := len(out)
	out = answer.AppendTo(out)
	if m.Code == DeviceIDOne {
		out[start+idCountAt] = 1
		return DeviceObjects(out).Append(m.Object, value), 0
	}
	return c.appendObjects(ctx, out, start, first, last), 0
}

// appendObjects appends the objects first to last, as many as fit, to the answer that begins at out[start:].
func (c *ServerConn) appendObjects(ctx context.Context, out []byte, start, first, last int) []byte {
	objects := len(out)
	for id := first; id <= last; id++ {
		value, ok := c.faces.identity.DeviceObject(ctx, &c.req, uint8(id))
		if !ok {
			continue
		}
		before := len(out)
		out = DeviceObjects(out).Append(uint8(id), value)
		if len(out)-objects > MaxDeviceObjects {
			out = out[:before]
			out[start+idMoreAt], out[start+idNextAt] = 0xFF, uint8(id)
			break
		}
		out[start+idCountAt]++
	}
	return out
}

func lastOf(code DeviceIDCode) int {
	switch code {
	case DeviceIDBasic:
		return int(lastBasic)
	case DeviceIDRegular:
		return lastRegular
	}
	return lastExtended
}

// conformity says which categories the device has.
func (c *ServerConn) conformity(ctx context.Context) uint8 {
	for id := lastExtended; id > int(lastBasic); id-- {
		if _, ok := c.faces.identity.DeviceObject(ctx, &c.req, uint8(id)); !ok {
			continue
		}
		if id > lastRegular {
			return uint8(DeviceIDExtended) | singleAccess
		}
		return uint8(DeviceIDRegular) | singleAccess
	}
	return uint8(DeviceIDBasic) | singleAccess
}
