package s7

// ReadRequest asks for variables.
type ReadRequest struct {
	Items []Item // 1..255
}

// AppendTo appends the PDU of 12+12*len(Items) bytes.
func (m *ReadRequest) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	return endParam(appendItems(beginPDU(b, KindJob, ref, 0), FuncRead, m.Items), start)
}

// Decode reads a Job. It answers the error that the request deserves as a whole, or 0: what is wrong with one item is for Item.Check.
func (m *ReadRequest) Decode(p *PDU) ErrorCode {
	c, code := startJob(p, FuncRead)
	if code != 0 {
		return code
	}
	n := int(c.U8())
	m.Items = decodeItems(&c, m.Items, n)
	if !c.Complete() || n == 0 || len(p.Data) > 0 {
		m.Items = m.Items[:0]
		return ErrFrame
	}
	return 0
}

// ReadResponse carries the variables, one item for each that was asked for.
type ReadResponse struct {
	Items []DataItem // 1..255
}

// AppendTo appends the PDU; ReadCost says how long it is.
func (m *ReadResponse) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	b = BeginReadResponse(b, ref, len(m.Items))
	return EndReadResponse(appendDataItems(b, m.Items), start)
}

// Decode reads an answer; its data alias the buffer. A refusal is a *RefusedError.
func (m *ReadResponse) Decode(p *PDU) error {
	c, err := startAnswer(p, FuncRead)
	if err != nil {
		return err
	}
	n := int(c.U8())
	if !c.Complete() || n == 0 {
		return malformed(p, "parameter length")
	}
	var ok bool
	if m.Items, ok = decodeDataItems(p.Data, m.Items, n, true); !ok {
		m.Items = m.Items[:0]
		return malformed(p, "items")
	}
	return nil
}

// BeginReadResponse appends the head of an answer with that many items; AppendReadItem or GrowReadItem append each, EndReadResponse ends it.
// It is for who has the data elsewhere and copies them once.
func BeginReadResponse(b []byte, ref uint16, items int) []byte {
	start := len(b)
	return endParam(append(beginPDU(b, KindAckData, ref, 0), byte(FuncRead), byte(items)), start)
}

// AppendReadItem appends an item to the answer that begins at b[start:].
func AppendReadItem(b []byte, start int, m DataItem) []byte {
	return m.appendTo(b, start+ackHeader+varHeader)
}

// GrowReadItem appends an item of n bytes to the answer that begins at b[start:], and returns the place for its data. What is in it is
// old.
func GrowReadItem(b []byte, start int, size DataSize, n int) (grown, data []byte) {
	return growDataItem(b, start+ackHeader+varHeader, size, n)
}

// EndReadResponse completes the answer that begins at b[start:].
func EndReadResponse(b []byte, start int) []byte { return endData(b, start) }
