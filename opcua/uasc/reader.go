package uasc

import (
	"encoding/binary"
	"time"

	"millrace/opcua/ua"
)

// Message is what came.
type Message struct {
	Kind      Kind
	RequestID uint32
	TokenID   uint32
	Chunks    int
	// Body is what is behind the sequence header of OPN, MSG and CLO: the node id of the encoding and the structure; of the others what is behind the
	// first 8 bytes. It is valid until the next call of Next, and lies in what that was given when the message was one chunk.
	Body []byte
	// Aborted is not 0 when the message was given up, and there is no Body: by the peer, or because it went beyond what this side takes (BadRequestTooLarge on a
	// server, BadResponseTooLarge on a client). The channel goes on.
	Aborted ua.StatusCode
	Reason  string // of an abort
}

// Next takes chunks from the front of in until a message is whole, and returns how many bytes it took. A Message of Kind 0 says that there is no whole one;
// what was taken is kept then. It looks at the first 8 bytes of a chunk before it waits for the rest, checks tokens, signatures and sequence numbers, and
// decrypts in place in in. An error ends the connection: an *Error whose Status and Reason are for the peer; it is returned again by every later call. The reader's.
func (c *Channel) Next(in []byte, now time.Time) (used int, m Message, err error) {
	if c.failed != nil {
		return 0, Message{}, c.failed
	}
	c.parts.release(now)
	for {
		f, ok, err := c.frame(in[used:])
		if err != nil {
			c.failed = err
			return used, Message{}, err
		}
		if !ok || len(in)-used < f.size {
			return used, Message{}, nil
		}
		chunk := in[used : used+f.size : used+f.size]
		used += f.size
		m, err = c.take(f, chunk, now)
		if err != nil {
			c.failed = err
			return used, Message{}, err
		}
		if m.Kind != 0 {
			return used, m, nil
		}
	}
}

// Keep makes the Body of the message that Next returned last its caller's for good, and says whether it did: only a long one, of several chunks, has a buffer of its own. The reader's.
func (c *Channel) Keep() bool { return c.parts.keep() }

// Release ends the validity of that Body now and not with the next call of Next, which may be long after: a long message is not held until then. What a client keeps of its room for the next one ends with a later call. The reader's.
func (c *Channel) Release() { c.parts.release(c.parts.now) }

// Pending returns 0 when no message is half here, else a number that is another one for each that was begun. The reader's.
func (c *Channel) Pending() uint64 { return c.parts.oldest() }

// frame judges the head of a chunk.
func (c *Channel) frame(in []byte) (frame, bool, error) {
	f, ok, err := readFrame(in, c.limits.ReceiveChunk)
	if err != nil || !ok {
		return f, false, err
	}
	if !c.expects(f.kind) {
		return f, false, readError(ua.BadTcpMessageTypeInvalid, f.kind.String()+" may not come now")
	}
	return f, true, nil
}

// take handles one whole chunk. The Message has a Kind when one is complete.
func (c *Channel) take(f frame, chunk []byte, now time.Time) (Message, error) {
	switch f.kind {
	case KindOpen:
		return c.takeOpen(chunk, now)
	case KindMessage, KindClose:
		return c.takeSecured(f, chunk, now)
	case KindReverseHello:
		c.state = awaitAcknowledge
	case KindHello, KindAcknowledge, KindError:
		c.state = closed // until the owner has agreed to what it says
	}
	return Message{Kind: f.kind, Chunks: 1, Body: chunk[frameBytes:]}, nil
}

// takeSecured opens a chunk of a MSG or CLO and puts it to the others of its message.
func (c *Channel) takeSecured(f frame, chunk []byte, now time.Time) (Message, error) {
	le := binary.LittleEndian
	if le.Uint32(chunk[channelAt:]) != c.ID() {
		return Message{}, readError(ua.BadTcpSecureChannelUnknown, "the chunk is of another channel")
	}
	t, err := c.receiveToken(le.Uint32(chunk[tokenAt:]), now)
	if err != nil {
		return Message{}, err
	}
	body, ok := t.open(chunk)
	if !ok {
		return Message{}, checksFailed("read chunk", errCrypto)
	}
	if !c.received.take(le.Uint32(chunk[seqAt:]), c.rule()) {
		return Message{}, checksFailed("read chunk", errSequence)
	}
	c.used(t)
	m := Message{Kind: f.kind, RequestID: le.Uint32(chunk[requestAt:]), TokenID: t.id, Chunks: 1, Body: body}
	if f.kind == KindClose {
		c.state = closed
		return m, nil
	}
	return c.parts.add(m, f.chunk, &c.limits, c.overLimit())
}

// overLimit returns what a message that is beyond this side's limits is given up with.
func (c *Channel) overLimit() ua.StatusCode {
	if c.server != nil {
		return ua.BadRequestTooLarge
	}
	return ua.BadResponseTooLarge
}

// open decrypts chunk in place, verifies it, and returns its body. ok is false for everything that may be wrong.
func (t *token) open(chunk []byte) (body []byte, ok bool) {
	if t.receive == nil {
		return chunk[headerBytes:], true
	}
	if len(chunk) < headerBytes+macBytes {
		return nil, false
	}
	encrypted := t.receive.cbc != nil
	if encrypted {
		if (len(chunk)-seqAt)%blockBytes != 0 {
			return nil, false
		}
		t.receive.crypt(chunk[seqAt:])
	}
	if !t.receive.verify(chunk) {
		return nil, false
	}
	body = chunk[headerBytes : len(chunk)-macBytes]
	if encrypted {
		return unpad(body, 1)
	}
	return body, true
}

// unpad takes off the padding. Its size is in the last byte, which is a padding byte or, when there is none, PaddingSize itself; with two size bytes the
// last is the high byte and the one before it the low one, which the padding repeats [OPC 10000-6 6.7.2.5].
func unpad(b []byte, sizeBytes int) ([]byte, bool) {
	n := len(b) - sizeBytes
	if n < 0 {
		return nil, false
	}
	low := b[n]
	size := int(low)
	if sizeBytes == 2 {
		size |= int(b[n+1]) << 8
	}
	if size > n {
		return nil, false
	}
	wrong := byte(0)
	for _, v := range b[n-size : n] {
		wrong |= v ^ low
	}
	return b[:n-size], wrong == 0
}
