package uasc

import (
	"errors"
	"time"

	"millrace/opcua/ua"
)

// assembly holds the messages whose chunks come one by one. Chunks of different requests may be mixed.
type assembly struct {
	max      int // messages at a time
	parts    []partial
	begun    uint64
	spare    []byte // of the last message: what Next returned lies in it
	inUse    bool   // a message lies in spare
	heldBody int    // bytes in parts

	keepFor time.Duration // how long a spare beyond keepBuffer is kept; 0 not at all
	grewAt  time.Time     // when a message needed it last
	now     time.Time     // of the call of Next before
}

// partial is a message whose last chunk has not come.
type partial struct {
	request uint32
	serial  uint64
	chunks  int
	body    []byte
	refused bool // beyond a limit: its chunks are swallowed until the last
}

const (
	keepBuffer = 64 << 10 // a buffer that is longer than this is kept for the next message only for a while, by a client,
	mostKept   = 4 << 20  // and one that is longer than this not at all

	// keepLong is for how long a client keeps one. A subscription that has so much to tell does so again and again, and made anew for each message the buffer
	// costs more than all else that is done with the message but decrypting it.
	keepLong = 10 * time.Second

	// swallowFactor is how many times the chunks that are allowed a message that was given up may go on for before the connection ends.
	swallowFactor = 2
)

var errSequence = errors.New("the sequence number does not follow the one before")

// add puts the chunk m to its message. The result has a Kind when that is whole, given up by the peer, or beyond the limits.
func (a *assembly) add(m Message, mark byte, l *Limits, over ua.StatusCode) (Message, error) {
	at := a.find(m.RequestID)
	if mark == chunkAbort {
		return a.abort(at, m)
	}
	if at < 0 && mark == chunkFinal {
		if len(m.Body) > l.ReceiveMessage {
			return m.refused(over), nil
		}
		return m, nil
	}
	if at < 0 {
		if len(a.parts) >= a.max {
			return Message{}, readError(ua.BadTcpNotEnoughResources, "too many messages are half here")
		}
		a.begun++
		a.parts = append(a.parts, partial{request: m.RequestID, serial: a.begun})
		at = len(a.parts) - 1
	}
	return a.append(at, m, mark == chunkFinal, l, over)
}

// append adds a chunk to the message at.
func (a *assembly) append(at int, m Message, final bool, l *Limits, over ua.StatusCode) (Message, error) {
	p := &a.parts[at]
	p.chunks++
	m.Chunks = p.chunks
	if p.refused {
		if p.chunks > swallowFactor*l.ReceiveChunks {
			return Message{}, readError(ua.BadTcpMessageTooLarge, "a message goes on and on")
		}
		if final {
			a.remove(at)
		}
		return Message{}, nil
	}
	if p.chunks > l.ReceiveChunks || a.heldBody+len(m.Body) > l.ReceiveMessage {
		a.heldBody -= len(p.body)
		p.body, p.refused = nil, true
		if final {
			a.remove(at)
		}
		return m.refused(over), nil
	}
	a.heldBody += len(m.Body)
	p.body = append(a.room(p.body, len(m.Body), l.ReceiveMessage), m.Body...)
	if !final {
		return Message{}, nil
	}
	m.Body = p.body
	a.spare, a.inUse = p.body, true
	a.remove(at)
	return m, nil
}

// refused returns m given up for this side's limits.
func (m Message) refused(status ua.StatusCode) Message {
	m.Body, m.Aborted, m.Reason = nil, status, "the message is beyond the limits of this side"
	return m
}

// abort ends the message at, or one of which nothing was here, as the peer says.
func (a *assembly) abort(at int, m Message) (Message, error) {
	e, err := DecodeError(m.Body)
	if err != nil {
		return Message{}, err
	}
	m.Body, m.Aborted, m.Reason = nil, e.Status, e.Reason
	if at < 0 {
		return m, nil
	}
	told := a.parts[at].refused
	m.Chunks += a.parts[at].chunks
	a.remove(at)
	if told {
		return Message{}, nil // this side gave it up before
	}
	return m, nil
}

// room returns b with space for n more bytes. It grows by doubling up to limit, so that what a message occupies is at most twice what came of it.
func (a *assembly) room(b []byte, n, limit int) []byte {
	need := len(b) + n
	if need <= cap(b) {
		return b
	}
	if b == nil && !a.inUse && cap(a.spare) >= need {
		b, a.spare = a.spare[:0], nil
		return b
	}
	grown := make([]byte, len(b), min(max(2*cap(b), need), max(limit, need)))
	copy(grown, b)
	return grown
}

// release ends the validity of the message that was returned last.
func (a *assembly) release(now time.Time) {
	a.now = now
	if cap(a.spare) <= keepBuffer {
		a.inUse = false
		return
	}
	if len(a.spare) > keepBuffer && a.inUse {
		a.grewAt = now
	}
	a.inUse = false
	if cap(a.spare) > mostKept || now.Sub(a.grewAt) >= a.keepFor {
		a.spare = nil
	}
}

// keep gives the buffer of the message that was returned last away, when it is one that would not be used again.
func (a *assembly) keep() bool {
	if !a.inUse || cap(a.spare) <= keepBuffer {
		return false
	}
	a.spare, a.inUse = nil, false
	return true
}

func (a *assembly) find(request uint32) int {
	for i := range a.parts {
		if a.parts[i].request == request {
			return i
		}
	}
	return -1
}

func (a *assembly) remove(at int) {
	a.heldBody -= len(a.parts[at].body)
	last := len(a.parts) - 1
	a.parts[at] = a.parts[last]
	a.parts[last] = partial{}
	a.parts = a.parts[:last]
}

// oldest returns the serial number of the message that began first, 0 when there is none.
func (a *assembly) oldest() uint64 {
	least := uint64(0)
	for i := range a.parts {
		if least == 0 || a.parts[i].serial < least {
			least = a.parts[i].serial
		}
	}
	return least
}
