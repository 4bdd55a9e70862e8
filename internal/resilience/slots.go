package resilience

// Slots is a budget of connections: PLCs have few, and one that was not closed in order stays taken. The zero value has none.
type Slots struct {
	limit, used int
}

// NewSlots returns a budget of n.
func NewSlots(n int) Slots { return Slots{limit: n} }

// Take takes a slot, before a dial, and says whether there was one.
func (s *Slots) Take() bool {
	if s.used >= s.limit {
		return false
	}
	s.used++
	return true
}

// Give returns a slot: the dial failed or the connection is closed.
func (s *Slots) Give() {
	if s.used > 0 {
		s.used--
	}
}

// SetLimit changes the budget. Slots taken beyond it stay taken.
func (s *Slots) SetLimit(n int) { s.limit = n }

// Used and Limit return how many are taken, of how many.
func (s *Slots) Used() int  { return s.used }
func (s *Slots) Limit() int { return s.limit }
