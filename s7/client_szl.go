package s7

import (
	"context"
	"fmt"
)

// ReadSZL reads a system status list. Like all services it needs Config.Diagnostics, is sent once, and answers an *Error, whose Hint explains a refusal. Which lists there
// are and what their records hold differs by CPU; some CPUs have gone into DEFECTIVE when they were asked for 0x001C.
func (c *Client) ReadSZL(ctx context.Context, id, index uint16) (SZL, error) {
	s := szlService(id, index)
	data, err := c.fetch(ctx, s, &SZLRequest{ID: id, Index: index})
	if err != nil {
		return SZL{}, err
	}
	var m SZL
	if err := m.Decode(data); err != nil {
		return SZL{}, s.failed(err)
	}
	if m.ID != id {
		return SZL{}, s.failed(malformedData(data, fmt.Sprintf("the list 0x%04X", m.ID)))
	}
	return m, nil
}

func szlService(id, index uint16) service {
	return service{what: Error{Group: GroupCPU, Sub: SubSZL, Object: fmt.Sprintf("0x%04X/0x%04X", id, index)}, patience: servicePatience}
}

// records reads a list and calls each with its records.
func (c *Client) records(ctx context.Context, id, index uint16, each func(record []byte) error) error {
	m, err := c.ReadSZL(ctx, id, index)
	if err != nil {
		return err
	}
	for i := range m.Len() {
		if err := each(m.Record(i)); err != nil {
			return szlService(id, index).failed(err)
		}
	}
	return nil
}

// Modules returns order number and versions of the CPU: SZL 0x0011, records ModuleOrder, ModuleHardware, ModuleFirmware and what else it has.
func (c *Client) Modules(ctx context.Context) (out []ModuleRecord, err error) {
	err = c.records(ctx, SZLModule, 0, func(record []byte) error {
		var m ModuleRecord
		err := m.Decode(record)
		out = append(out, m)
		return err
	})
	return out, err
}

// Components returns the names and serial numbers of the CPU: SZL 0x001C, records ComponentSystem and following.
func (c *Client) Components(ctx context.Context) (out []ComponentRecord, err error) {
	err = c.records(ctx, SZLComponents, 0, func(record []byte) error {
		var m ComponentRecord
		err := m.Decode(record)
		out = append(out, m)
		return err
	})
	return out, err
}

// Communication returns the longest PDU and the most connections of the CPU: SZL 0x0131, index 1.
func (c *Client) Communication(ctx context.Context) (m CommRecord, err error) {
	err = c.only(ctx, SZLComm, 1, &m)
	return m, err
}

// Protection returns the protection levels and the position of the selector: SZL 0x0232, index 4.
func (c *Client) Protection(ctx context.Context) (m ProtectionRecord, err error) {
	err = c.only(ctx, SZLProtection, 4, &m)
	return m, err
}

// Mode returns whether the CPU runs, and since when: SZL 0x0424.
func (c *Client) Mode(ctx context.Context) (m ModeRecord, err error) {
	err = c.only(ctx, SZLMode, 0, &m)
	return m, err
}

// only reads the first record of a list, which must be there.
func (c *Client) only(ctx context.Context, id, index uint16, into interface{ Decode(record []byte) error }) error {
	some := false
	err := c.records(ctx, id, index, func(record []byte) error {
		if some {
			return nil
		}
		some = true
		return into.Decode(record)
	})
	if err == nil && !some {
		return szlService(id, index).failed(malformedData(nil, "no record"))
	}
	return err
}
