package driver

import (
	"context"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/opcua/ua"
)

// ReadOnce reads the nodes of p and keeps nothing for it: no subscription begins, and none that has these nodes ends.
func (s *opcuaSession) ReadOnce(ctx context.Context, p device.Plan, into *tag.Batch) error {
	plan, ok := p.(*opcuaPlan)
	if !ok {
		return &OPCUAPlanError{p}
	}
	if err := s.client.Err(); err != nil {
		return explain(err)
	}
	now := time.Now()
	st := &opcuaState{plan: plan, used: now, ids: make([]ua.ReadValueId, len(plan.nodes)), told: make([]ua.StatusCode, len(plan.nodes))}
	if err := s.resolve(ctx, st, now); err != nil {
		return explain(err)
	}
	s.into, s.state = into, st
	s.denyLost(st)
	err := s.poll(ctx, st, now)
	s.into, s.state, s.reads = nil, nil, nil
	return err
}
