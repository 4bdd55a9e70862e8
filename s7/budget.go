package s7

// Heads of PDUs: what they hold besides items.
const (
	readRequestHead   = jobHeader + varHeader // 12
	readResponseHead  = ackHeader + varHeader // 14
	writeRequestHead  = jobHeader + varHeader // 12
	writeResponseHead = ackHeader + varHeader // 14
)

// MaxReadData returns the most bytes that one item can be read in under a PDU of pdu bytes: 222 of 240, 462 of 480, 942 of 960.
func MaxReadData(pdu int) int { return max(0, pdu-readResponseHead-dataHeader) }

// MaxWriteData returns the most bytes that one item can be written in: 212 of 240, 452 of 480, 932 of 960.
func MaxWriteData(pdu int) int { return max(0, pdu-writeRequestHead-anyItem-dataHeader) }

// MaxReadItems returns how many items a read request can ask for: 19 of 240, 39 of 480, 79 of 960.
func MaxReadItems(pdu int) int { return min(maxItems, max(0, (pdu-readRequestHead)/anyItem)) }

// MaxUserdata returns the most payload of one fragment of a Userdata answer, as of an SZL or a block list: 214 of 240, 454 of 480, 934 of 960.
func MaxUserdata(pdu int) int { return max(0, pdu-jobHeader-userdataLong-dataHeader) }

// MaxBlockSlice returns the most payload of an upload's or a download's answer: 222 of 240, 462 of 480, 942 of 960.
func MaxBlockSlice(pdu int) int { return max(0, pdu-ackHeader-sliceStatus-sliceHeader) }

// MaxBSend returns the most payload of a BSend's first part, 204 of 240, or of a later one, which has two bytes more.
func MaxBSend(pdu int, first bool) int {
	n := pdu - jobHeader - userdataLong - dataHeader - bsendHead
	if first {
		n -= bsendTotal
	}
	return max(0, n)
}

// ReadCost adds up what the items of one read take, both ways. The zero value is a read of nothing; it is compared and copied freely.
type ReadCost struct {
	Items int
	data  int  // of the answer: items with their heads and the fills between them
	odd   bool // the last item has odd length
}

// With returns the cost with one item of n bytes more.
func (c ReadCost) With(n int) ReadCost {
	c.Items++
	c.data, c.odd = addData(c.data, c.odd, n)
	return c
}

// Request returns the length of the request's PDU: 12 + 12n.
func (c ReadCost) Request() int { return readRequestHead + anyItem*c.Items }

// Response returns the length of the answer's PDU: 14 + sum(4 + len) + fills of all but the last.
func (c ReadCost) Response() int { return readResponseHead + c.data }

// Fits reports whether both are within pdu.
func (c ReadCost) Fits(pdu int) bool {
	return c.Items <= maxItems && c.Request() <= pdu && c.Response() <= pdu
}

// WriteCost adds up what the items of one write take, both ways. The zero value is a write of nothing.
type WriteCost struct {
	Items int
	data  int
	odd   bool
}

// With returns the cost with one item of n bytes more.
func (c WriteCost) With(n int) WriteCost {
	c.Items++
	c.data, c.odd = addData(c.data, c.odd, n)
	return c
}

// Request returns the length of the request's PDU: 12 + 12n + sum(4 + len) + fills of all but the last.
func (c WriteCost) Request() int { return writeRequestHead + anyItem*c.Items + c.data }

// Response returns the length of the answer's PDU: 14 + n.
func (c WriteCost) Response() int { return writeResponseHead + c.Items }

// Fits reports whether both are within pdu.
func (c WriteCost) Fits(pdu int) bool {
	return c.Items <= maxItems && c.Request() <= pdu && c.Response() <= pdu
}

// addData adds an item of n bytes to data, and the fill of the one before it.
func addData(data int, odd bool, n int) (int, bool) {
	if odd {
		data++
	}
	return data + dataHeader + n, n%2 != 0
}
