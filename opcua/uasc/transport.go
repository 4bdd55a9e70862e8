package uasc

import "millrace/opcua/ua"

// Transport is what one side offers of the connection: buffers that hold one chunk, and bounds for what it receives. Zero fields are the
// defaults when a Channel is made with them; in a message a zero bound is none.
type Transport struct {
	ReceiveBufferSize uint32 // longest chunk taken; default 65536, at least 8192
	SendBufferSize    uint32 // longest chunk sent; default 65536, at least 8192
	MaxMessageSize    uint32 // longest message taken, all its chunks together; default 16 MiB
	MaxChunkCount     uint32 // chunks of a message taken; default 4096
}

// Limits is what the two sides agreed on. Of what is sent, 0 is no limit.
type Limits struct {
	ReceiveChunk, ReceiveMessage, ReceiveChunks int
	SendChunk, SendMessage, SendChunks          int
}

const (
	minBuffer      = 8192 // [OPC 10000-6 7.1.2.3]
	maxBuffer      = 1 << 24
	defaultBuffer  = 1 << 16
	defaultMessage = 16 << 20
	defaultChunks  = 4096
	maxMessage     = 1 << 30
)

// withDefaults returns t with its zero fields filled in, or what is wrong with it.
func (t Transport) withDefaults() (Transport, error) {
	or := func(v *uint32, def uint32) {
		if *v == 0 {
			*v = def
		}
	}
	or(&t.ReceiveBufferSize, defaultBuffer)
	or(&t.SendBufferSize, defaultBuffer)
	or(&t.MaxMessageSize, defaultMessage)
	or(&t.MaxChunkCount, defaultChunks)
	switch {
	case t.ReceiveBufferSize < minBuffer || t.SendBufferSize < minBuffer || t.ReceiveBufferSize > maxBuffer || t.SendBufferSize > maxBuffer:
		return t, configError(ua.BadConfigurationError, "a buffer is not between 8192 bytes and 16 MiB")
	case t.MaxMessageSize > maxMessage:
		return t, configError(ua.BadConfigurationError, "the maximum message size is beyond 1 GiB")
	}
	return t, nil
}

// receive returns the bounds for what comes before anything was agreed on.
func (t Transport) receive() Limits {
	return Limits{ReceiveChunk: minBuffer, ReceiveMessage: int(t.MaxMessageSize), ReceiveChunks: int(t.MaxChunkCount)}
}

// accept answers a client's Hello with the smaller buffers of both [OPC 10000-6 7.1.2.4].
func (t Transport) accept(h Hello) (Acknowledge, Limits, error) {
	if h.ReceiveBufferSize < minBuffer || h.SendBufferSize < minBuffer {
		return Acknowledge{}, Limits{}, &Error{Op: "read HEL", Status: ua.BadConnectionRejected, Reason: "a buffer is smaller than 8192 bytes"}
	}
	a := Acknowledge{Transport: t}
	a.ReceiveBufferSize = min(t.ReceiveBufferSize, h.SendBufferSize)
	a.SendBufferSize = min(t.SendBufferSize, h.ReceiveBufferSize)
	return a, t.limits(a.ReceiveBufferSize, a.SendBufferSize, h.Transport), nil
}

// agree takes a server's Acknowledge. Some servers do not look at the HEL: what holds then is that we send nothing longer than we said, and take nothing longer either.
func (t Transport) agree(a Acknowledge) (Limits, error) {
	if a.ReceiveBufferSize < minBuffer || a.SendBufferSize < minBuffer {
		return Limits{}, &Error{Op: "read ACK", Status: ua.BadConnectionRejected, Reason: "a buffer is smaller than 8192 bytes"}
	}
	return t.limits(t.ReceiveBufferSize, min(a.ReceiveBufferSize, t.SendBufferSize), a.Transport), nil
}

// limits returns what holds between buffers as agreed and a peer's bounds.
func (t Transport) limits(receive, send uint32, peer Transport) Limits {
	return Limits{
		ReceiveChunk: int(receive), ReceiveMessage: int(t.MaxMessageSize), ReceiveChunks: int(t.MaxChunkCount),
		SendChunk: int(send), SendMessage: int(min(peer.MaxMessageSize, maxMessage)), SendChunks: int(min(peer.MaxChunkCount, maxMessage)),
	}
}
