package s7

// A download turns the roles round: after DownloadRequest the PLC sends the Jobs, DownloadBlockRequest for each slice and DownloadEndedRequest,
// and the client answers them with the PLC's references.

const (
	downloadLen    = 1 + 2*downloadDigits // '1', load length, code length
	downloadDigits = 6
	downloadMark   = '1'
)

// DownloadRequest announces a block: from the client to the PLC.
type DownloadRequest struct {
	File    BlockFile
	LoadLen uint32 // bytes of the block with head and foot, at most 999,999
	CodeLen uint32 // bytes of its code or data
}

// AppendTo appends the PDU.
func (m *DownloadRequest) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	b = m.File.appendFile(appendJobHead(beginPDU(b, KindJob, ref, 0), FuncDownloadRequest, uploadMark, 0))
	b = appendDigits(append(b, downloadLen, downloadMark), m.LoadLen, downloadDigits)
	return endParam(appendDigits(b, m.CodeLen, downloadDigits), start)
}

// Decode reads a Job. It answers the error that it deserves, or 0.
func (m *DownloadRequest) Decode(p *PDU) ErrorCode {
	c, code := startJob(p, FuncDownloadRequest)
	if code != 0 {
		return code
	}
	jobHead(&c)
	name := c.Bytes(int(c.U8()))
	lengths := c.Bytes(int(c.U8()))
	if !c.Complete() || len(p.Data) > 0 {
		return ErrFrame
	}
	var r DownloadRequest
	if !r.File.decodeFile(name) {
		return ErrBlockNameSyntax
	}
	if !r.decodeLengths(lengths) {
		return ErrBlockLength
	}
	*m = r
	return 0
}

func (m *DownloadRequest) decodeLengths(b []byte) bool {
	if len(b) != downloadLen || b[0] != downloadMark {
		return false
	}
	var load, code bool
	m.LoadLen, load = digits(b[1 : 1+downloadDigits])
	m.CodeLen, code = digits(b[1+downloadDigits:])
	return load && code
}

// DownloadBlockRequest is the PLC's Job for the next slice. It is answered with a Slice of FuncDownloadBlock.
type DownloadBlockRequest struct{ File BlockFile }

// AppendTo appends the PDU.
func (m *DownloadBlockRequest) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	b = appendJobHead(beginPDU(b, KindJob, ref, 0), FuncDownloadBlock, 0, 0)
	return endParam(m.File.appendFile(b), start)
}

// Decode reads a Job. It answers the error that it deserves, or 0.
func (m *DownloadBlockRequest) Decode(p *PDU) ErrorCode {
	_, file, code := decodeFileJob(p, FuncDownloadBlock)
	if code == 0 {
		m.File = file
	}
	return code
}

// DownloadEndedRequest is the PLC's Job behind the last slice. It is answered with Done.
type DownloadEndedRequest struct {
	File   BlockFile
	Reason ErrorCode // why it ends before its end; 0 when it does not
}

// AppendTo appends the PDU.
func (m *DownloadEndedRequest) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	b = appendJobHead(beginPDU(b, KindJob, ref, 0), FuncDownloadEnded, uint16(m.Reason), 0)
	return endParam(m.File.appendFile(b), start)
}

// Decode reads a Job. It answers the error that it deserves, or 0.
func (m *DownloadEndedRequest) Decode(p *PDU) ErrorCode {
	reason, file, code := decodeFileJob(p, FuncDownloadEnded)
	if code == 0 {
		m.File, m.Reason = file, ErrorCode(reason)
	}
	return code
}

// decodeFileJob reads a Job that is a head and a file.
func decodeFileJob(p *PDU, f Function) (word uint16, file BlockFile, code ErrorCode) {
	c, code := startJob(p, f)
	if code != 0 {
		return 0, file, code
	}
	word, _ = jobHead(&c)
	name := c.Bytes(int(c.U8()))
	switch {
	case !c.Complete() || len(p.Data) > 0:
		return 0, file, ErrFrame
	case !file.decodeFile(name):
		return 0, file, ErrBlockNameSyntax
	}
	return word, file, 0
}
