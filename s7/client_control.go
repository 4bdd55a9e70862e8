package s7

import (
	"context"
	"fmt"
	"time"
)

// ReadClock returns the time of the PLC: its wall clock as UTC.
func (c *Client) ReadClock(ctx context.Context) (time.Time, error) {
	s := service{what: Error{Group: GroupTime, Sub: SubClockRead}, patience: servicePatience}
	data, err := c.fetch(ctx, s, ReadClockRequest{})
	if err != nil {
		return time.Time{}, err
	}
	var m Clock
	if err := m.Decode(data); err != nil {
		return time.Time{}, s.failed(err)
	}
	return m.Time, nil
}

// SetClock sets the clock of the PLC to the wall clock of t, within 1990..2089, to the millisecond.
func (c *Client) SetClock(ctx context.Context, t time.Time) error {
	s := service{what: Error{Group: GroupTime, Sub: SubClockSet}, patience: servicePatience}
	if !inDT(t) {
		return s.argument("a year outside 1990..2089")
	}
	return c.confirm(ctx, s, &SetClockRequest{Clock{t}})
}

// EnterPassword raises the rights of this connection. Whoever sees it go over the wire knows the password.
func (c *Client) EnterPassword(ctx context.Context, password string) error {
	s := service{what: Error{Group: GroupSecurity, Sub: SubPasswordEnter}, patience: servicePatience}
	if len(password) > passwordBytes {
		return s.argument(fmt.Sprintf("a password longer than %d bytes", passwordBytes))
	}
	m := NewPasswordRequest(password)
	return c.confirm(ctx, s, &m)
}

// ClearPassword gives the rights back.
func (c *Client) ClearPassword(ctx context.Context) error {
	s := service{what: Error{Group: GroupSecurity, Sub: SubPasswordClear}, patience: servicePatience}
	return c.confirm(ctx, s, ClearPasswordRequest{})
}

// Start has the CPU go from STOP to RUN with a warm start: what is retentive keeps its values. One that runs refuses with DetailRunning.
func (c *Client) Start(ctx context.Context) error { return c.pi(ctx, PIProgram, nil, "warm start") }

// ColdStart has the CPU go from STOP to RUN with the initial values of everything.
func (c *Client) ColdStart(ctx context.Context) error {
	return c.pi(ctx, PIProgram, []byte(PIColdStart), "cold start")
}

// Stop has the CPU stop. One that stands refuses with DetailStopped.
func (c *Client) Stop(ctx context.Context) error {
	s := service{what: Error{Function: FuncStop}, patience: controlPatience}
	if err := c.diagnostics(s); err != nil {
		return err
	}
	return c.job(ctx, s, &StopRequest{Service: []byte(PIProgram)}, &Done{Function: FuncStop})
}

// Compress has the CPU move its blocks together in memory.
func (c *Client) Compress(ctx context.Context) error { return c.pi(ctx, PICompress, nil, "compress") }

// CopyRAMToROM has the CPU keep the present values of its DBs as initial values.
func (c *Client) CopyRAMToROM(ctx context.Context) error {
	return c.pi(ctx, PICopyROM, []byte(PIToEPROM), "copy RAM to ROM")
}

// DeleteBlock deletes a block.
func (c *Client) DeleteBlock(ctx context.Context, t BlockType, number uint16) error {
	return c.piBlock(ctx, PIDelete, BlockFile{Type: t, Number: uint32(number), System: FileBoth})
}

// piBlock invokes a service with a block.
func (c *Client) piBlock(ctx context.Context, name string, f BlockFile) error {
	return c.pi(ctx, name, AppendPIBlocks(nil, f), name+" "+f.String())
}

// pi invokes a service of the CPU.
func (c *Client) pi(ctx context.Context, name string, param []byte, object string) error {
	s := service{what: Error{Function: FuncPIService, Object: object}, patience: controlPatience}
	if err := c.diagnostics(s); err != nil {
		return err
	}
	return c.job(ctx, s, &PIServiceRequest{Service: []byte(name), Param: param}, &Done{Function: FuncPIService})
}
