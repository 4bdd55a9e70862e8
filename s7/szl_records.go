package s7

import (
	"bytes"
	"time"

	"millrace/wire"
)

// Lengths of the records of the lists.
const (
	ModuleRecordBytes     = 28
	ComponentRecordBytes  = 34
	CommRecordBytes       = 40
	ProtectionRecordBytes = 40
	ModeRecordBytes       = 20

	orderBytes     = 20
	componentBytes = ComponentRecordBytes - 2
	commSpare      = 26
	protectSpare   = 28
)

// Indexes of SZLModule, in the order in which readers expect them. The firmware comes last: some take the last three bytes of the list.
const (
	ModuleOrder    = 0x0001
	ModuleHardware = 0x0006
	ModuleFirmware = 0x0007
)

// ModuleRecord is a record of SZLModule.
type ModuleRecord struct {
	Index   uint16
	Order   []byte // order number, at most 20 bytes, filled up with blanks
	Type    uint16 // type of module
	Version [4]byte
}

// AppendTo appends the record of 28 bytes. A version is 'V', then three numbers.
func (m *ModuleRecord) AppendTo(b []byte) []byte {
	b = appendPadded(wire.AppendU16(b, m.Index), m.Order, orderBytes, ' ')
	return append(wire.AppendU16(b, m.Type), m.Version[:]...)
}

// Decode reads a record; Order has no blanks and zeros at its end and aliases it.
func (m *ModuleRecord) Decode(record []byte) error {
	c := wire.Over(record)
	r := ModuleRecord{Index: c.U16(), Order: trimmed(c.Bytes(orderBytes)), Type: c.U16()}
	copy(r.Version[:], c.Bytes(len(r.Version)))
	if !c.Complete() {
		return malformedData(record, "szl record")
	}
	*m = r
	return nil
}

// Indexes of SZLComponents.
const (
	ComponentSystem    = 1
	ComponentModule    = 2
	ComponentPlant     = 3
	ComponentCopyright = 4
	ComponentSerial    = 5
	ComponentType      = 7
)

// ComponentRecord is a record of SZLComponents.
type ComponentRecord struct {
	Index uint16
	Text  []byte // at most 32 bytes, filled up with zeros
}

// AppendTo appends the record of 34 bytes.
func (m *ComponentRecord) AppendTo(b []byte) []byte {
	return appendPadded(wire.AppendU16(b, m.Index), m.Text, componentBytes, 0)
}

// Decode reads a record; Text has no blanks and zeros at its end and aliases it.
func (m *ComponentRecord) Decode(record []byte) error {
	c := wire.Over(record)
	r := ComponentRecord{Index: c.U16(), Text: trimmed(c.Bytes(componentBytes))}
	if !c.Complete() {
		return malformedData(record, "szl record")
	}
	*m = r
	return nil
}

// CommRecord is the record of SZLComm with index 1.
type CommRecord struct {
	Index       uint16
	PDU         uint16 // longest
	Connections uint16 // most
	MPIRate     uint32 // bit/s
	BusRate     uint32 // bit/s
}

// AppendTo appends the record of 40 bytes.
func (m *CommRecord) AppendTo(b []byte) []byte {
	b = wire.AppendU16(wire.AppendU16(wire.AppendU16(b, m.Index), m.PDU), m.Connections)
	return appendPadded(wire.AppendU32(wire.AppendU32(b, m.MPIRate), m.BusRate), nil, commSpare, 0)
}

// Decode reads a record.
func (m *CommRecord) Decode(record []byte) error {
	c := wire.Over(record)
	r := CommRecord{Index: c.U16(), PDU: c.U16(), Connections: c.U16(), MPIRate: c.U32(), BusRate: c.U32()}
	c.Skip(commSpare)
	if !c.Complete() {
		return malformedData(record, "szl record")
	}
	*m = r
	return nil
}

// Positions of the selector on a CPU.
const (
	SelectorRun      = 1
	SelectorRunP     = 2
	SelectorStop     = 3
	SelectorMemReset = 4
)

// ProtectionRecord is the record of SZLProtection with index 4.
type ProtectionRecord struct {
	Index     uint16
	Level     uint16 // set by the selector: 1..3
	Parameter uint16 // set in the project: 0 none, 1..3
	Effective uint16 // 1..3
	Selector  uint16 // SelectorRun ..
	Startup   uint16 // start-up switch
}

// AppendTo appends the record of 40 bytes.
func (m *ProtectionRecord) AppendTo(b []byte) []byte {
	b = wire.AppendU16(wire.AppendU16(wire.AppendU16(b, m.Index), m.Level), m.Parameter)
	b = wire.AppendU16(wire.AppendU16(wire.AppendU16(b, m.Effective), m.Selector), m.Startup)
	return appendPadded(b, nil, protectSpare, 0)
}

// Decode reads a record.
func (m *ProtectionRecord) Decode(record []byte) error {
	c := wire.Over(record)
	r := ProtectionRecord{Index: c.U16(), Level: c.U16(), Parameter: c.U16(), Effective: c.U16(), Selector: c.U16(), Startup: c.U16()}
	c.Skip(protectSpare)
	if !c.Complete() {
		return malformedData(record, "szl record")
	}
	*m = r
	return nil
}

// Mode is what a CPU is doing.
type Mode uint8

// The modes. 3 is what old CPUs say for STOP.
const (
	ModeUnknown Mode = 0
	ModeStopOld Mode = 3
	ModeStop    Mode = 4
	ModeRun     Mode = 8
)

// ModeRecord is the record of SZLMode: the event that brought the mode about, and when.
type ModeRecord struct {
	Mode Mode
	At   time.Time // the PLC's wall clock as UTC; the zero time when it is none
}

const (
	modeEvent    = 0x5144
	modeEventAll = 0xFF
	modeSpare    = 8
)

// AppendTo appends the record of 20 bytes. A time that a PLC cannot have is left out.
func (m *ModeRecord) AppendTo(b []byte) []byte {
	b = append(wire.AppendU16(b, modeEvent), modeEventAll, byte(m.Mode))
	b = appendPadded(b, nil, modeSpare, 0)
	if !inDT(m.At) {
		return appendPadded(b, nil, dtLen, 0)
	}
	return appendDT(b, m.At)
}

// Decode reads a record.
func (m *ModeRecord) Decode(record []byte) error {
	c := wire.Over(record)
	c.Skip(3)
	r := ModeRecord{Mode: Mode(c.U8())}
	c.Skip(modeSpare)
	at := c.Bytes(dtLen)
	if !c.Complete() {
		return malformedData(record, "szl record")
	}
	if v, ok := decodeDT(at); ok {
		r.At = v
	}
	*m = r
	return nil
}

// appendPadded appends at most n bytes of v and fills up to n.
func appendPadded(b, v []byte, n int, fill byte) []byte {
	v = v[:min(len(v), n)]
	b = append(b, v...)
	for range n - len(v) {
		b = append(b, fill)
	}
	return b
}

func trimmed(v []byte) []byte { return bytes.TrimRight(v, " \x00") }
