package opcua

import (
	"context"
	"time"
)

// lookEvery is how often a node is looked for that was removed while it was monitored.
const lookEvery = 5 * time.Second

// lookFor has s be looked for: its node is not there any more. One may come back under its id.
func (p *samplers) lookFor(s *sampler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost.dirty = append(p.lost.dirty, s)
	p.lost.due.at = int64(time.Since(p.started))
	p.arm(p.lost)
}

// look looks for all that are lost.
func (p *samplers) look(ctx context.Context) {
	p.mu.Lock()
	list := p.lost.dirty
	p.lost.dirty = nil
	p.mu.Unlock()
	for _, s := range list {
		if p.find(s) {
			p.prime(ctx, []*sampler{s})
		}
	}
}

// find looks for one node. It says whether it is there; while it is not, and somebody listens, it will be looked for again.
func (p *samplers) find(s *sampler) bool {
	p.edit.Lock()
	defer p.edit.Unlock()
	s.mu.Lock()
	heard := len(s.items) > 0
	s.mu.Unlock()
	if !heard {
		s.gone.Store(false)
		return false
	}
	ref, ok := p.space.resolve(nil, s.id)
	if !ok {
		p.lookFor(s)
		return false
	}
	if ref != s.ref() {
		p.end(s)
		s.moved.Store(&ref)
		p.begin(s)
	}
	s.gone.Store(false)
	return true
}
