package s7

import (
	"sync"
	"sync/atomic"
)

// pool lends messages of one type, so that a request allocates none. Who gets one puts it back when the bytes that it aliases are no longer its.
type pool[T any] struct {
	reset func(m *T) // lets go of all that the message aliases and keeps what it may use again
	// spoil, in tests, is called with what was reset and fills it with what nobody may find in it.
	spoil func(m *T)
	fresh bool // lends none twice: to measure what the pool is worth

	free       sync.Pool
	gets, puts atomic.Uint64
	holders    holders[T]
}

func (p *pool[T]) get() *T {
	p.gets.Add(1)
	m, _ := p.free.Get().(*T)
	if m == nil {
		m = new(T)
	}
	p.holders.took(m)
	return m
}

func (p *pool[T]) put(m *T) {
	p.puts.Add(1)
	p.holders.gave(m)
	if p.fresh {
		return
	}
	p.reset(m)
	if p.spoil != nil {
		p.spoil(m)
	}
	p.free.Put(m)
}

// PoolStats counts what a pool of messages lent. Gets minus Puts are with requests that are being served now; one that stays there is lost.
type PoolStats struct {
	Gets, Puts uint64
	// Held is where those were taken that have been out for more than a minute; only in programs that are built with the tag millracedebug.
	Held []string
}

func (p *pool[T]) stats() PoolStats {
	puts := p.puts.Load() // first, so that there are never more of them than of the other
	return PoolStats{Gets: p.gets.Load(), Puts: puts, Held: p.holders.held()}
}

// pools are a Server's: one for each type of message that a request needs.
type pools struct {
	read  pool[ReadRequest]
	write pool[WriteRequest]
	copy  pool[frameCopy]
}

// frameCopy is what an Interceptor is shown.
type frameCopy struct{ b []byte }

const (
	mostItems = 128     // that a message may have room for to be kept; the longest usual PDU asks for 79
	mostCopy  = 4 << 10 // bytes; a request and its answer of the usual PDUs
)

func (p *pools) init() {
	p.read.reset = func(m *ReadRequest) { m.Items = forget(m.Items) }
	p.write.reset = func(m *WriteRequest) { m.Items, m.Data = forget(m.Items), forget(m.Data) }
	p.copy.reset = func(m *frameCopy) {
		if m.b = m.b[:0]; cap(m.b) > mostCopy {
			m.b = nil
		}
	}
}

// forget empties s and keeps its room, unless that is a lot, without anything that was in it. A message that could not be decoded is empty, and may have
// been filled to any length on the way.
func forget[E any](s []E) []E {
	switch {
	case cap(s) > mostItems:
		return nil
	case len(s) == 0:
		s = s[:cap(s)]
	}
	clear(s)
	return s[:0]
}

func (p *pools) stats() map[string]PoolStats {
	return map[string]PoolStats{"read request": p.read.stats(), "write request": p.write.stats(), "intercepted frame": p.copy.stats()}
}
