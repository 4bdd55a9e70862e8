package s7

import "millrace/wire"

const (
	sliceStatus = 2 // function, status
	sliceHeader = 4 // length(2), 00 FB
	sliceMark   = 0x00FB

	statusMore  = 0x01
	statusError = 0x02

	uploadMark   = 0x0100
	uploadDigits = 7
)

// UploadStartRequest asks for a block: from the PLC to the client.
type UploadStartRequest struct{ File BlockFile }

// AppendTo appends the PDU.
func (m *UploadStartRequest) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	b = appendJobHead(beginPDU(b, KindJob, ref, 0), FuncUploadStart, 0, 0)
	return endParam(m.File.appendFile(b), start)
}

// Decode reads a Job. It answers the error that it deserves, or 0.
func (m *UploadStartRequest) Decode(p *PDU) ErrorCode {
	_, file, code := decodeFileJob(p, FuncUploadStart)
	if code == 0 {
		m.File = file
	}
	return code
}

// UploadStartResponse gives the upload its id.
type UploadStartResponse struct {
	ID     uint32
	Length uint32 // bytes of the block, at most 9,999,999; 0 when it is not said
}

// AppendTo appends the PDU.
func (m *UploadStartResponse) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	b = appendJobHead(beginPDU(b, KindAckData, ref, 0), FuncUploadStart, uploadMark, m.ID)
	return endParam(appendDigits(append(b, uploadDigits), m.Length, uploadDigits), start)
}

// Decode reads an answer. A refusal is a *RefusedError.
func (m *UploadStartResponse) Decode(p *PDU) error {
	c, err := startAnswer(p, FuncUploadStart)
	if err != nil {
		return err
	}
	_, id := jobHead(&c)
	var text []byte
	if c.Left() > 0 {
		text = c.Bytes(int(c.U8()))
	}
	length, ok := digits(text)
	if !c.Complete() || !ok && len(text) > 0 || len(p.Data) > 0 {
		return malformed(p, "upload length")
	}
	m.ID, m.Length = id, length
	return nil
}

// UploadRequest asks for the next slice.
type UploadRequest struct{ ID uint32 }

// AppendTo appends the PDU of 18 bytes.
func (m *UploadRequest) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	return endParam(appendJobHead(beginPDU(b, KindJob, ref, 0), FuncUpload, 0, m.ID), start)
}

// Decode reads a Job. It answers the error that it deserves, or 0.
func (m *UploadRequest) Decode(p *PDU) ErrorCode {
	c, code := startJob(p, FuncUpload)
	if code != 0 {
		return code
	}
	_, id := jobHead(&c)
	if !c.Complete() || len(p.Data) > 0 {
		return ErrFrame
	}
	m.ID = id
	return 0
}

// UploadEndRequest ends an upload.
type UploadEndRequest struct {
	ID     uint32
	Reason ErrorCode // why it ends before its end; 0 when it does not
}

// AppendTo appends the PDU of 18 bytes.
func (m *UploadEndRequest) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	return endParam(appendJobHead(beginPDU(b, KindJob, ref, 0), FuncUploadEnd, uint16(m.Reason), m.ID), start)
}

// Decode reads a Job. It answers the error that it deserves, or 0.
func (m *UploadEndRequest) Decode(p *PDU) ErrorCode {
	c, code := startJob(p, FuncUploadEnd)
	if code != 0 {
		return code
	}
	reason, id := jobHead(&c)
	if !c.Complete() || len(p.Data) > 0 {
		return ErrFrame
	}
	m.ID, m.Reason = id, ErrorCode(reason)
	return 0
}

// Slice is a piece of a block: the answer to UploadRequest, and that to DownloadBlockRequest.
type Slice struct {
	Function Function // FuncUpload or FuncDownloadBlock
	More     bool     // another piece follows
	Failed   bool
	Data     []byte // aliases the buffer
}

// AppendTo appends the PDU of 18+len(Data) bytes.
func (m *Slice) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	status := boolByte(m.More)*statusMore | boolByte(m.Failed)*statusError
	b = endParam(append(beginPDU(b, KindAckData, ref, 0), byte(m.Function), status), start)
	b = wire.AppendU16(wire.AppendU16(b, uint16(len(m.Data))), sliceMark)
	return endData(append(b, m.Data...), start)
}

// Decode reads an answer to m.Function, which must be set. A refusal is a *RefusedError. One that failed may have no data at all.
func (m *Slice) Decode(p *PDU) error {
	c, err := startAnswer(p, m.Function)
	if err != nil {
		return err
	}
	status := c.U8()
	r := Slice{Function: m.Function, More: status&statusMore != 0, Failed: status&statusError != 0}
	d := wire.Over(p.Data)
	if d.Left() > 0 || !r.Failed {
		n := int(d.U16())
		d.Skip(2)
		r.Data = d.Bytes(n)
	}
	if !c.Complete() || !d.Complete() {
		return malformed(p, "slice")
	}
	*m = r
	return nil
}

// appendJobHead appends what most jobs with blocks begin with: function, 00, a word, an id(4).
func appendJobHead(b []byte, f Function, word uint16, id uint32) []byte {
	return wire.AppendU32(wire.AppendU16(append(b, byte(f), 0), word), id)
}

// jobHead reads what appendJobHead wrote behind the function.
func jobHead(c *wire.Cursor) (word uint16, id uint32) {
	c.Skip(1)
	return c.U16(), c.U32()
}
