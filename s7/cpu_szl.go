package s7

import (
	"context"

	"millrace/wire"
)

// Lists with a single record, which the index names.
const (
	szlModuleOne    = 0x0111
	szlComponentOne = 0x011C
)

// The one index that the lists with several have here.
const (
	commIndex       = 1
	protectionIndex = 4
)

// szlIDs are the lists that a CPU has, in the order of the directory.
var szlIDs = [...]uint16{SZLDirectory, SZLModule, SZLComponents, szlModuleOne, szlComponentOne, SZLComm, SZLProtection, SZLMode}

// ReadSZL is SZLReader's. The index means nothing to lists that are always whole: nmap asks for 0011 and 001C with index 1 and expects all of them.
func (c *CPU) ReadSZL(_ context.Context, r *Request, id, index uint16, dst []byte) ([]byte, ErrorCode) {
	var room [8 * ComponentRecordBytes]byte
	m := SZL{ID: id, Index: index, Records: room[:0]}
	switch {
	case id == SZLDirectory:
		m.RecordLen = 2
		for _, id := range szlIDs {
			m.Records = wire.AppendU16(m.Records, id)
		}
	case id == SZLModule, id == szlModuleOne:
		m.RecordLen = ModuleRecordBytes
		m.Records = c.appendModules(m.Records, id == szlModuleOne, index)
	case id == SZLComponents, id == szlComponentOne:
		m.RecordLen = ComponentRecordBytes
		m.Records = c.appendComponents(m.Records, id == szlComponentOne, index)
	case id == SZLComm && index == commIndex:
		m.RecordLen = CommRecordBytes
		m.Records = c.comm().AppendTo(m.Records)
	case id == SZLProtection && index == protectionIndex:
		m.RecordLen = ProtectionRecordBytes
		m.Records = c.protectionOf(r).AppendTo(m.Records)
	case id == SZLMode:
		m.RecordLen = ModeRecordBytes
		mode, since := c.Mode()
		m.Records = (&ModeRecord{Mode: mode, At: since}).AppendTo(m.Records)
	}
	if len(m.Records) == 0 {
		return dst, ErrNoSZL
	}
	return m.AppendTo(dst), 0
}

// appendModules appends the records of the module, its hardware and its firmware. The last has no order number of its own, and a 'V' before
// its version; readers take the last three bytes of the list for it.
func (c *CPU) appendModules(b []byte, one bool, index uint16) []byte {
	const (
		moduleType = 0x00C0
		interfaces = 1
	)
	id := &c.cfg.Identity
	order := []byte(id.Order)
	hardware := [4]byte{byte(id.Hardware >> 8), byte(id.Hardware), 0, interfaces}
	firmware := [4]byte{'V', id.Firmware[0], id.Firmware[1], id.Firmware[2]}
	for _, m := range []ModuleRecord{
		{Index: ModuleOrder, Order: order, Type: moduleType, Version: hardware},
		{Index: ModuleHardware, Order: order, Type: moduleType, Version: hardware},
		{Index: ModuleFirmware, Type: moduleType, Version: firmware},
	} {
		if !one || m.Index == index {
			b = m.AppendTo(b)
		}
	}
	return b
}

// appendComponents appends the names. Six records are what snap7 waits for, and what fits a PDU of 240 in one part.
func (c *CPU) appendComponents(b []byte, one bool, index uint16) []byte {
	id := &c.cfg.Identity
	for _, m := range []struct {
		index uint16
		text  string
	}{
		{ComponentSystem, id.System}, {ComponentModule, id.Module}, {ComponentPlant, id.Plant}, {ComponentCopyright, id.Copyright},
		{ComponentSerial, id.Serial}, {ComponentType, id.Type},
	} {
		if !one || m.index == index {
			b = (&ComponentRecord{Index: m.index, Text: []byte(m.text)}).AppendTo(b)
		}
	}
	return b
}

func (c *CPU) comm() *CommRecord {
	id := &c.cfg.Identity
	return &CommRecord{
		Index: commIndex, PDU: uint16(id.PDU), Connections: uint16(id.Connections), MPIRate: uint32(id.MPIRate), BusRate: uint32(id.BusRate),
	}
}

// protectionOf returns the level that is in force for who asks, beside the one that was set. The selector stands at RUN and protects nothing.
func (c *CPU) protectionOf(r *Request) *ProtectionRecord {
	m := &ProtectionRecord{Index: protectionIndex, Level: levelOpen, Effective: uint16(r.Conn.Level()), Selector: SelectorRun}
	if c.cfg.Password != "" || c.cfg.Level > levelOpen {
		m.Parameter = uint16(c.cfg.Level)
	}
	return m
}
