package s7

// WriteRequest changes variables.
type WriteRequest struct {
	Items []Item     // 1..255
	Data  []DataItem // one for each item, Code 0
}

// AppendTo appends the PDU; WriteCost says how long it is.
func (m *WriteRequest) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	b = endParam(appendItems(beginPDU(b, KindJob, ref, 0), FuncWrite, m.Items), start)
	return endData(appendDataItems(b, m.Data), start)
}

// Decode reads a Job. It answers the error that the request deserves as a whole, or 0: what is wrong with one item is for Item.Check and
// Item.CheckWrite. Data that are not as many as the items, or end early, are a wrong frame, and nothing of it may be written.
func (m *WriteRequest) Decode(p *PDU) ErrorCode {
	c, code := startJob(p, FuncWrite)
	if code != 0 {
		return code
	}
	n := int(c.U8())
	m.Items = decodeItems(&c, m.Items, n)
	var ok bool
	m.Data, ok = decodeDataItems(p.Data, m.Data, n, false)
	if !ok || !c.Complete() || n == 0 {
		m.Items, m.Data = m.Items[:0], m.Data[:0]
		return ErrFrame
	}
	return 0
}

// WriteResponse says how it went.
type WriteResponse struct {
	Codes []byte // a ReturnCode for each item; aliases the buffer
}

// Code returns the return code of item i.
func (m *WriteResponse) Code(i int) ReturnCode { return ReturnCode(m.Codes[i]) }

// AppendTo appends the PDU of 14+len(Codes) bytes.
func (m *WriteResponse) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	b = endParam(append(beginPDU(b, KindAckData, ref, 0), byte(FuncWrite), byte(len(m.Codes))), start)
	return endData(append(b, m.Codes...), start)
}

// Decode reads an answer. A refusal is a *RefusedError.
func (m *WriteResponse) Decode(p *PDU) error {
	c, err := startAnswer(p, FuncWrite)
	if err != nil {
		return err
	}
	n := int(c.U8())
	if !c.Complete() || n == 0 || n != len(p.Data) {
		return malformed(p, "items")
	}
	m.Codes = p.Data
	return nil
}
