package listen

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// Pool is where a server takes the connections from that it shares with others: a Budget.
type Pool interface {
	Reserve(n int) error // keeps n connections for the caller; an error says why they cannot be kept
	Unreserve(n int)     // undoes Reserve
	Take() bool          // takes one beyond what was reserved
	Give()               // undoes Take
}

// Budget is a number of connections that several servers share. Each server may reserve a floor of it, which the others cannot use up.
type Budget struct {
	mu     sync.Mutex
	max    int
	floors int // reserved by the servers that serve now
	shared int // taken beyond the floors
}

// NewBudget returns a Budget of max connections.
func NewBudget(max int) *Budget { return &Budget{max: max} }

// Reserve fails when the floors alone are too many. What others use beyond their floors may exceed the budget until they let go.
func (b *Budget) Reserve(n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.floors+n > b.max {
		return fmt.Errorf("listen: no room for a floor of %d connections: %d of the budget of %d are reserved", n, b.floors, b.max)
	}
	b.floors += n
	return nil
}

// Unreserve gives a floor back.
func (b *Budget) Unreserve(n int) {
	b.mu.Lock()
	b.floors -= n
	b.mu.Unlock()
}

// Take takes one connection that is not reserved.
func (b *Budget) Take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.floors+b.shared >= b.max {
		return false
	}
	b.shared++
	return true
}

// Give gives back what Take took.
func (b *Budget) Give() {
	b.mu.Lock()
	b.shared--
	b.mu.Unlock()
}

// addrKey tells remote hosts apart. Connections without an IP address (a pipe) have no limit per address.
type addrKey = netip.Addr

func keyOf(a net.Addr) (addrKey, bool) {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return addrKey{}, false
	}
	return t.AddrPort().Addr().Unmap().WithZone(""), true
}

// begin reserves the floor when the first Serve starts.
func (s *Server) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving == 0 && s.cfg.Budget != nil {
		if err := s.cfg.Budget.Reserve(s.cfg.Floor); err != nil {
			return err
		}
	}
	s.serving++
	return nil
}

// end gives the floor back when the last Serve ends: its connections are gone by then.
func (s *Server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving--
	if s.serving == 0 && s.cfg.Budget != nil {
		s.cfg.Budget.Unreserve(s.cfg.Floor)
	}
}

// admit takes a place for a connection from remote, or says why there is none.
func (s *Server) admit(remote net.Addr) (Reason, bool) {
	key, hasKey := keyOf(remote)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open >= s.cfg.MaxConns {
		return ReasonGlobalLimit, false
	}
	if hasKey && s.perAddr[key] >= s.cfg.MaxPerAddr {
		return ReasonAddressLimit, false
	}
	if s.cfg.Budget != nil && s.open >= s.cfg.Floor && !s.cfg.Budget.Take() {
		return ReasonGlobalLimit, false
	}
	s.open++
	if hasKey {
		s.perAddr[key]++
	}
	return "", true
}

func (s *Server) release(remote net.Addr) {
	key, hasKey := keyOf(remote)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.Budget != nil && s.open > s.cfg.Floor {
		s.cfg.Budget.Give()
	}
	s.open--
	if !hasKey {
		return
	}
	if s.perAddr[key]--; s.perAddr[key] == 0 {
		delete(s.perAddr, key)
	}
}
