package driver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"millrace/internal/device"
	"millrace/opcua"
	"millrace/opcua/ua"
)

// Suspend ends the connection and leaves session and subscriptions on the server, which keeps what it would have sent. Without a subscription there is nothing to be kept.
func (s *opcuaSession) Suspend() bool {
	if !slices.ContainsFunc(s.states, func(st *opcuaState) bool { return st.feed != nil && st.feed.alive() }) {
		return false
	}
	s.client.Detach()
	return true
}

// alive says whether values may come yet.
func (f *opcuaFeed) alive() bool {
	dead, _ := f.end()
	return dead == nil
}

// Resume connects again and goes on with the session: messages that were not acknowledged or did not come are sent again, and what the server keeps no more is made anew,
// with the values as they are now.
func (s *opcuaSession) Resume(ctx context.Context) error {
	c, err := s.client.Recover(ctx)
	if err != nil {
		return s.notResumed(err)
	}
	s.client, s.socket = c, newTCPProbe(c)
	now := namespaceIndexes(c.Namespaces())
	if !maps.Equal(now, s.namespaces) {
		s.namespaces = now
		s.startOver(ctx)
	}
	return nil
}

// startOver has everything looked up again: under the indexes of before there may be other nodes.
func (s *opcuaSession) startOver(ctx context.Context) {
	for _, st := range s.states {
		if st.feed != nil {
			st.feed.close(ctx)
		}
	}
	s.states = nil
	clear(s.types)
	clear(s.structures.tried)
	s.structures.ids = nil
	s.structures.known.Store(nil)
}

// notResumed says whether another attempt makes sense: when the server was not reached or is too busy. What it refuses now it would refuse again, and a session of its own may be let in.
func (s *opcuaSession) notResumed(err error) error {
	var dial *opcua.DialError
	if errors.As(err, &dial) && (dial.Stage <= opcua.StageHello || dial.Status == ua.BadTcpServerTooBusy) {
		return explainDial(err, &s.opts)
	}
	return fmt.Errorf("%w: %w", device.ErrNotResumable, explainDial(err, &s.opts))
}
