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
//
// RSA and None wrap before the end, ECC at it [OPC 10000-6 6.7.2.4]: SecurityPolicies without LegacySequenceNumbers begin with 0 and use every number.
type sequence struct {
	last    uint32
	started bool
	full    bool // without LegacySequenceNumbers
}

// next returns the number of the next chunk to send: 1, 2 ... 4294966272, 1; with full 0, 1 ... 4294967295, 0.
func (s *sequence) next() uint32 {
	if s.full {
		if s.started {
			s.last++
		}
		s.started = true
		return s.last
	}
	if s.last > sequenceWrap {
		s.last = 0
	}
	s.last++
	return s.last
}

// take reports whether n may come now, and takes it if so. A channel may start anywhere, with full too: .NET counted with ECC as with RSA
// until 2024 at least.
func (s *sequence) take(n uint32, rule SequenceRule) bool {
	wraps := s.last > sequenceWrap && n < sequenceStart && !s.full
	follows := n == s.last+1 && (n != 0 || s.full) || rule == SequenceGreater && n > s.last
	if s.started && !wraps && !follows {
		return false
	}
	s.last, s.started = n, true
	return true
}
