package uasc

import (
	"encoding/binary"
	"slices"
	"time"

	"millrace/opcua/ua"
)

// Begin appends the header that a message needs; its body goes behind it, and End completes it. It uses nothing of the channel: any goroutine may call it.
func (c *Channel) Begin(b []byte, requestID uint32) []byte {
	b = append(b, make([]byte, headerBytes)...)
	binary.LittleEndian.PutUint32(b[len(b)-headerBytes+requestAt:], requestID)
	return b
}

// End completes the message that Begin started at b[start:]: it cuts the body into chunks of what the peer has room for, where it lies, and pads, signs and
// encrypts each. kind is KindMessage, or KindClose, which is one chunk. A body beyond the peer's limits is an *Error of BadRequestTooLarge on a client,
// BadResponseTooLarge on a server; b then ends at start and nothing was used up. The sender's.
func (c *Channel) End(b []byte, start int, kind Kind, now time.Time) ([]byte, error) {
	t := c.sendToken(now)
	if t == nil {
		return b[:start], openError(ua.BadSecureChannelClosed, "the channel is not open")
	}
	s := shapeOf(t)
	body := len(b) - start - headerBytes
	largest := s.largest(c.limits.SendChunk)
	n := max(1, (body+largest-1)/largest)
	if c.tooLarge(body, n) || kind == KindClose && n > 1 {
		return b[:start], c.tooLargeError()
	}
	request := binary.LittleEndian.Uint32(b[start+requestAt:])
	b = s.spread(b, start, body, largest, n)
	for i := range n {
		size := min(largest, body-i*largest)
		end := start + s.wire(size)
		mark := byte(chunkFinal)
		if i < n-1 {
			mark = chunkMore
		}
		c.seal(b[start:end], size, kind, mark, request, t)
		start = end
	}
	return b, nil
}

// tooLarge reports whether a body of so many bytes and chunks is beyond what the peer takes.
func (c *Channel) tooLarge(body, chunks int) bool {
	l := &c.limits
	return l.SendMessage > 0 && body > l.SendMessage || l.SendChunks > 0 && chunks > l.SendChunks
}

func (c *Channel) tooLargeError() error {
	if c.server != nil {
		return &Error{Op: "send", Status: ua.BadResponseTooLarge, Reason: "the response is beyond what the client takes"}
	}
	return &Error{Op: "send", Status: ua.BadRequestTooLarge, Reason: "the request is beyond what the server takes"}
}

// AppendAbort appends the chunk that gives up the message of a request, whose other chunks will not come [OPC 10000-6 6.7.3]. The sender's.
func (c *Channel) AppendAbort(b []byte, requestID uint32, status ua.StatusCode, reason string, now time.Time) ([]byte, error) {
	t := c.sendToken(now)
	if t == nil {
		return b, openError(ua.BadSecureChannelClosed, "the channel is not open")
	}
	start := len(b)
	b = c.Begin(b, requestID)
	b = binary.LittleEndian.AppendUint32(b, uint32(status))
	b = appendText(b, reason[:min(len(reason), maxHelloText)])
	size := len(b) - start - headerBytes
	s := shapeOf(t)
	b = s.spread(b, start, size, size, 1)
	c.seal(b[start:], size, KindMessage, chunkAbort, requestID, t)
	return b, nil
}

// seal writes the header and footer of a chunk whose body is at its place, signs and encrypts it.
func (c *Channel) seal(chunk []byte, body int, kind Kind, mark byte, request uint32, t *token) {
	copy(chunk, kindNames[kind])
	chunk[finalAt] = mark
	le := binary.LittleEndian
	le.PutUint32(chunk[sizeAt:], uint32(len(chunk)))
	le.PutUint32(chunk[channelAt:], t.channel)
	le.PutUint32(chunk[tokenAt:], t.id)
	le.PutUint32(chunk[seqAt:], c.sent.next())
	le.PutUint32(chunk[requestAt:], request)
	if t.send == nil {
		return
	}
	if t.send.cbc == nil {
		t.send.sign(chunk)
		return
	}
	pad(chunk[headerBytes+body : len(chunk)-macBytes])
	t.send.sign(chunk)
	t.send.crypt(chunk[seqAt:])
}

// pad fills a footer's size byte and padding, all of which say how many bytes of padding there are: at most 15 with AES.
func pad(b []byte) {
	for i := range b {
		b[i] = byte(len(b) - 1)
	}
}

// shape is how the chunks of a token are built.
type shape struct {
	sign, encrypt bool
}

func shapeOf(t *token) shape {
	return shape{sign: t.send != nil, encrypt: t.send != nil && t.send.cbc != nil}
}

// footer returns what a chunk has behind its body at least.
func (s shape) footer() int {
	n := 0
	if s.sign {
		n += macBytes
	}
	if s.encrypt {
		n++ // PaddingSize
	}
	return n
}

// largest returns the longest body that a chunk of so many bytes holds. The published formula is not exact where the size is no multiple of a
// block; this is: whole blocks from the sequence header on, and of them what is no header and no footer.
func (s shape) largest(chunk int) int {
	secured := chunk - seqAt
	if s.encrypt {
		secured -= secured % blockBytes
	}
	return secured - sequenceBytes - s.footer()
}

// wire returns the length of the chunk that holds a body of so many bytes.
func (s shape) wire(body int) int {
	secured := sequenceBytes + body + s.footer()
	if s.encrypt {
		secured += -secured & (blockBytes - 1)
	}
	return seqAt + secured
}

// spread grows b and moves the parts of the body behind b[start+headerBytes:] to where they lie in their chunks, the last first, so that none is
// overwritten before it was moved.
func (s shape) spread(b []byte, start, body, largest, n int) []byte {
	full := s.wire(largest)
	total := (n-1)*full + s.wire(body-(n-1)*largest)
	b = slices.Grow(b, start+total-len(b))[:start+total]
	for i := n - 1; i > 0; i-- {
		from := start + headerBytes + i*largest
		size := min(largest, body-i*largest)
		copy(b[start+i*full+headerBytes:], b[from:from+size])
	}
	return b
}
