package s7

import "millrace/wire"

// Names of program invocations.
const (
	PIProgram  = "P_PROGRAM" // start, and the one name of a stop
	PIInsert   = "_INSE"     // link a block that was downloaded
	PIDelete   = "_DELE"
	PICompress = "_GARB"
	PICopyROM  = "_MODU" // RAM to ROM
)

// Parameters of program invocations.
const (
	PIColdStart = "C " // of PIProgram; a warm start has none
	PIToEPROM   = "EP" // of PICopyROM
)

// Details of a refusal.
const (
	DetailRunning = 0x03 // of a start: the CPU runs already
	DetailStopped = 0x07 // of a stop: the CPU stands already
)

// PIServiceRequest has the PLC do something. Which is said by the name: other stacks tell services apart by the length of the parameters.
type PIServiceRequest struct {
	Service []byte // PIProgram ..., at most 255 bytes; aliases the buffer
	Param   []byte // aliases the buffer
}

const (
	piReserved   = 6
	piMark       = 0xFD
	stopReserved = 5
)

// AppendTo appends the PDU: 28, 6 reserved, FD, parameter length(2), parameters, name length, name.
func (m *PIServiceRequest) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	b = appendPadded(append(beginPDU(b, KindJob, ref, 0), byte(FuncPIService)), nil, piReserved, 0)
	b = append(wire.AppendU16(append(b, piMark), uint16(len(m.Param))), m.Param...)
	return endParam(append(append(b, byte(len(m.Service))), m.Service...), start)
}

// Decode reads a Job. It answers the error that it deserves, or 0; whether there is such a service is for who offers them.
func (m *PIServiceRequest) Decode(p *PDU) ErrorCode {
	c, code := startJob(p, FuncPIService)
	if code != 0 {
		return code
	}
	c.Skip(piReserved + 1)
	r := PIServiceRequest{Param: c.Bytes(int(c.U16()))}
	r.Service = c.Bytes(int(c.U8()))
	if !c.Complete() || len(p.Data) > 0 {
		return ErrFrame
	}
	*m = r
	return 0
}

// AppendPIBlocks appends the parameter of PIInsert and PIDelete: count, 00, and 8 bytes for each of at most 255 blocks.
func AppendPIBlocks(b []byte, files ...BlockFile) []byte {
	b = append(b, byte(len(files)), 0)
	for _, f := range files {
		b = f.appendName(b)
	}
	return b
}

// PIBlocks appends the blocks of the parameter of PIInsert and PIDelete to into. It answers the error that they deserve, or 0.
func PIBlocks(param []byte, into []BlockFile) ([]BlockFile, ErrorCode) {
	c := wire.Over(param)
	count := int(c.U8())
	c.Skip(1)
	for range c.Count(count, blockNameLen) {
		var f BlockFile
		if !f.decodeName(c.Bytes(blockNameLen)) {
			return into, ErrBlockNameSyntax
		}
		into = append(into, f)
	}
	if !c.Complete() || count == 0 {
		return into, ErrParameterSyntax
	}
	return into, 0
}

// StopRequest has the CPU stop.
type StopRequest struct {
	Service []byte // PIProgram; aliases the buffer
}

// AppendTo appends the PDU: 29, 5 reserved, name length, name.
func (m *StopRequest) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	b = appendPadded(append(beginPDU(b, KindJob, ref, 0), byte(FuncStop)), nil, stopReserved, 0)
	return endParam(append(append(b, byte(len(m.Service))), m.Service...), start)
}

// Decode reads a Job. It answers the error that it deserves, or 0.
func (m *StopRequest) Decode(p *PDU) ErrorCode {
	c, code := startJob(p, FuncStop)
	if code != 0 {
		return code
	}
	c.Skip(stopReserved)
	name := c.Bytes(int(c.U8()))
	if !c.Complete() || len(p.Data) > 0 {
		return ErrFrame
	}
	m.Service = name
	return 0
}
