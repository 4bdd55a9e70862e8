package modbus

import "millrace/wire"

// meiDeviceID is the MEI type of Read Device Identification [Modbus 6.21].
const meiDeviceID = 0x0E

// DeviceIDCode says which objects of the device identification are asked for [Modbus 6.21].
type DeviceIDCode uint8

// The read device id codes. The first three stream their category and all below it, from Object on; the last asks for Object alone.
const (
	DeviceIDBasic    DeviceIDCode = 1 // objects 0x00..0x02
	DeviceIDRegular  DeviceIDCode = 2 // up to 0x7F
	DeviceIDExtended DeviceIDCode = 3 // up to 0xFF
	DeviceIDOne      DeviceIDCode = 4
)

// The objects that the specification names.
const (
	ObjectVendorName          uint8 = 0x00
	ObjectProductCode         uint8 = 0x01
	ObjectRevision            uint8 = 0x02
	ObjectVendorURL           uint8 = 0x03
	ObjectProductName         uint8 = 0x04
	ObjectModelName           uint8 = 0x05
	ObjectUserApplicationName uint8 = 0x06
)

// MaxDeviceObjects is the room for objects in one answer: 253 bytes less function, MEI type, code, conformity, more, next and count.
const MaxDeviceObjects = MaxPDU - 7

// ReadDeviceIDRequest asks for the identification of a device [Modbus 6.21].
type ReadDeviceIDRequest struct {
	Code   DeviceIDCode
	Object uint8 // the first object wanted, or the only one
}

// AppendTo appends the PDU of 4 bytes.
func (m *ReadDeviceIDRequest) AppendTo(b []byte) []byte {
	return append(b, byte(FuncReadDeviceID), meiDeviceID, byte(m.Code), m.Object)
}

// Decode reads a PDU. Another MEI type is exception 1, a code outside 1..4 exception 3. Whether Object exists is for the device to say:
// unknown, it is exception 2 with DeviceIDOne, and stands for object 0 with the others.
func (m *ReadDeviceIDRequest) Decode(pdu []byte) ExceptionCode {
	c, code := startRequest(pdu, FuncReadDeviceID)
	if code != 0 {
		return code
	}
	mei, id, object := c.U8(), DeviceIDCode(c.U8()), c.U8()
	switch {
	case len(pdu) > 1 && mei != meiDeviceID:
		return IllegalFunction
	case !c.Complete() || id < DeviceIDBasic || id > DeviceIDOne:
		return IllegalDataValue
	}
	m.Code, m.Object = id, object
	return 0
}

// ReadDeviceIDResponse carries a part of the identification.
type ReadDeviceIDResponse struct {
	Code       DeviceIDCode // of the request
	Conformity uint8        // 0x01 basic, 0x02 regular, 0x03 extended; with 0x80 when single objects can be read too
	More       bool         // further objects follow from Next on
	Next       uint8        // 0 when More is false
	Count      uint8        // of Objects
	Objects    DeviceObjects
}

// AppendTo appends the PDU of 7+len(Objects) bytes.
func (m *ReadDeviceIDResponse) AppendTo(b []byte) []byte {
	more := byte(0)
	if m.More {
		more = 0xFF
	}
	b = append(b, byte(FuncReadDeviceID), meiDeviceID, byte(m.Code), m.Conformity, more, m.Next, m.Count)
	return append(b, m.Objects...)
}

// Decode reads a PDU; Objects aliases it.
func (m *ReadDeviceIDResponse) Decode(pdu []byte) error {
	c, err := startResponse(pdu, FuncReadDeviceID)
	if err != nil {
		return err
	}
	mei := c.U8()
	r := ReadDeviceIDResponse{Code: DeviceIDCode(c.U8()), Conformity: c.U8()}
	more := c.U8()
	r.Next, r.Count, r.More = c.U8(), c.U8(), more == 0xFF
	r.Objects = c.Rest()
	switch {
	case c.Bad() || len(pdu) > MaxPDU:
		return malformed(pdu, "length")
	case mei != meiDeviceID || r.Code < DeviceIDBasic || r.Code > DeviceIDOne:
		return malformed(pdu, "code")
	case more != 0 && more != 0xFF:
		return malformed(pdu, "more follows")
	case !r.Objects.valid(r.Count):
		return malformed(pdu, "objects")
	}
	*m = r
	return nil
}

// DeviceObjects are objects as they stand on the wire, one after the other: id, length, value.
type DeviceObjects []byte

// Append returns o with one object more. value is at most 244 bytes: MaxDeviceObjects less id and length; what is longer is cut.
func (o DeviceObjects) Append(id uint8, value string) DeviceObjects {
	value = value[:min(len(value), MaxDeviceObjects-2)]
	return append(append(o, id, byte(len(value))), value...)
}

// Cut returns the first object, which aliases o, and those behind it. ok is false when there is none, or none complete.
func (o DeviceObjects) Cut() (id uint8, value []byte, rest DeviceObjects, ok bool) {
	c := wire.Over(o)
	id = c.U8()
	value = c.Bytes(int(c.U8()))
	return id, value, DeviceObjects(c.Rest()), !c.Bad()
}

// valid reports whether o is exactly count objects.
func (o DeviceObjects) valid(count uint8) bool {
	for range count {
		_, _, rest, ok := o.Cut()
		if !ok {
			return false
		}
		o = rest
	}
	return len(o) == 0
}
