package device

import (
	"context"
	"time"

	"millrace/internal/tag"
)

// Doubt makes the last values of tags uncertain until they are read again: something was done to the device that they may not show, and they cannot be asked for now. It returns when everybody sees
// it. Its error is a *NotSentError or an *UnknownError: the device is being removed or changed, or ctx ended.
func (r *Runtime) Doubt(ctx context.Context, device string, tags []tag.ID) error {
	x := &errand{device: device, tags: tags, done: make(chan struct{})}
	r.mail.call(func(s *shard) { s.doubt(x) })
	return r.await(ctx, x)
}

// doubt queues a mark, which goes before everything and needs no session.
func (s *shard) doubt(x *errand) {
	u := s.rt.unit(x.device)
	if u == nil || u.machine.state >= Draining {
		x.refuse("there is no such device, or it is being removed or changed")
		return
	}
	if x.claim.CompareAndSwap(unclaimed, taken) {
		u.endpoint.push(job{kind: jobMark, unit: u, errand: x})
		s.next(u.endpoint, time.Now())
	}
}

// doubt marks x's tags.
func (e *endpoint) doubt(x *errand) {
	u := e.job.unit
	b := e.rt.batch()
	defer e.rt.free(b)
	e.rt.stamp(u, b)
	read, filtered := u.table.markDoubtful(b, x.tags)
	e.rt.hand(u, b, read, filtered, nil)
}

// markDoubtful is markDown for some tags, and leaves those alone that are bad anyhow.
func (t *table) markDoubtful(b *tag.Batch, ids []tag.ID) (read, filtered int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		if i := t.index(id, 0); i >= 0 && !t.tags[i].out && !t.cells[i].quality.IsBad() {
			t.appendUnread(b, i, tag.BadNoCommunication)
		}
	}
	return t.passRows(b, t.clock.Add(1))
}
