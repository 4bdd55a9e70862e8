package s7

import "context"

// Control is what a Controller is told to do.
type Control uint8

// The controls.
const (
	ControlStart     Control = iota // warm start
	ControlColdStart                // start with data as they were loaded
	ControlStop
	ControlCompress  // memory
	ControlCopyToROM // data as they are now
)

// Controller is a Handler that is started and stopped. detail goes with a code: DetailRunning, DetailStopped, or 0. Without it these services
// are refused with ErrServiceUnknown.
type Controller interface {
	Control(ctx context.Context, r *Request, what Control) (code ErrorCode, detail uint8)
}

func (c *ServerConn) serveStop(ctx context.Context, p *PDU) ErrorCode {
	var m StopRequest
	if code := m.Decode(p); code != 0 {
		return code
	}
	if string(m.Service) != PIProgram {
		return ErrParameterSyntax
	}
	return c.control(ctx, p, ControlStop)
}

// servePI finds the service by its name. Others go by the length of the parameters, which is the same for different services.
func (c *ServerConn) servePI(ctx context.Context, p *PDU) ErrorCode {
	var m PIServiceRequest
	if code := m.Decode(p); code != 0 {
		return code
	}
	switch string(m.Service) {
	case PIInsert:
		return c.eachBlock(ctx, p, &m, BlockWriter.InsertBlock)
	case PIDelete:
		return c.eachBlock(ctx, p, &m, BlockWriter.DeleteBlock)
	}
	what, code := m.control()
	if code != 0 {
		return code
	}
	return c.control(ctx, p, what)
}

// control returns what a service that has no blocks does.
func (m *PIServiceRequest) control() (Control, ErrorCode) {
	service, param := string(m.Service), string(m.Param)
	switch {
	case service == PIProgram && param == "":
		return ControlStart, 0
	case service == PIProgram && param == PIColdStart:
		return ControlColdStart, 0
	case service == PICompress && param == "":
		return ControlCompress, 0
	case service == PICopyROM && param == PIToEPROM:
		return ControlCopyToROM, 0
	case service == PIProgram, service == PICompress, service == PICopyROM:
		return 0, ErrParameterSyntax
	}
	return 0, ErrServiceUnknown
}

func (c *ServerConn) control(ctx context.Context, p *PDU, what Control) ErrorCode {
	switch {
	case c.faces.control == nil:
		return ErrServiceUnknown
	case c.Level() >= levelWrite:
		return ErrProtected
	}
	code, detail := c.faces.control.Control(ctx, &c.req, what)
	if code == 0 {
		c.done(p)
		return 0
	}
	if detail == 0 {
		return code
	}
	c.srv.counts.refuse(code)
	start := len(c.out)
	c.out = EndFrame(AppendRefusalOf(BeginFrame(c.out), p.Ref, p.Function(), code, detail), start)
	return 0
}

// done appends the answer that says no more than its function.
func (c *ServerConn) done(p *PDU) {
	start := len(c.out)
	m := Done{p.Function()}
	c.out = EndFrame(m.AppendTo(BeginFrame(c.out), p.Ref), start)
}

// eachBlock does something with the blocks that m names, up to the first that refuses.
func (c *ServerConn) eachBlock(ctx context.Context, p *PDU, m *PIServiceRequest, do func(BlockWriter, context.Context, *Request, BlockFile) ErrorCode) ErrorCode {
	files, code := PIBlocks(m.Param, nil)
	switch {
	case code != 0:
		return code
	case c.faces.writer == nil || c.Level() >= levelWrite:
		return ErrProtected
	}
	for _, f := range files {
		if code := do(c.faces.writer, ctx, &c.req, f); code != 0 {
			return code
		}
	}
	c.done(p)
	return 0
}
