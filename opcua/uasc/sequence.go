package uasc

// SequenceRule says which sequence number may follow which in what is received.
type SequenceRule uint8

const (
	// SequenceStrict takes the next number only [OPC 10000-6 6.7.2.4].
	SequenceStrict SequenceRule = iota
	// SequenceGreater takes any greater number, for peers that skip some.
	SequenceGreater
)

const (
	sequenceWrap  = 4294966271 // a number beyond this may be the last before the wrap
	sequenceStart = 1024       // and the first after it is below this
)

// sequence follows the numbers of one direction, over all tokens of a channel.
type sequence struct {
	last    uint32
	started bool
}

// next returns the number of the next chunk to send: 1, 2 ... 4294966272, 1.
func (s *sequence) next() uint32 {
	if s.last > sequenceWrap {
		s.last = 0
	}
	s.last++
	return s.last
}

// take reports whether n may come now, and takes it if so. A channel may start anywhere.
func (s *sequence) take(n uint32, rule SequenceRule) bool {
	wraps := s.last > sequenceWrap && n < sequenceStart
	follows := n == s.last+1 && n != 0 || rule == SequenceGreater && n > s.last
	if s.started && !wraps && !follows {
		return false
	}
	s.last, s.started = n, true
	return true
}
