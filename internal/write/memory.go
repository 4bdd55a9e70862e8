package write

import (
	"encoding/json"
	"slices"
	"time"

	"millrace/internal/tag"
	"millrace/internal/write/audit"
)

// Memory is what the audit log has of writes before the gateway was started: what became of them, for whoever asks again with the same key, and which have no end.
type Memory struct {
	writes map[uint64]*past
	order  []uint64
}

// past is one write, by its records.
type past struct {
	first audit.Record
	left  bool   // it was sending
	by    string // who approved or rejected it
	end   *audit.Record
}

// Visit takes a record. It is what audit.Config.Visit wants.
func (m *Memory) Visit(r audit.Record) {
	if r.Stage == audit.File {
		return
	}
	if m.writes == nil {
		m.writes = map[uint64]*past{}
	}
	w := m.writes[r.Write]
	if w == nil {
		w = &past{first: r}
		m.writes[r.Write] = w
		m.order = append(m.order, r.Write)
	}
	switch r.Stage {
	case audit.Sending:
		w.left = true
	case audit.Approved:
		w.by = r.Who
	case audit.Rejected:
		if w.end = &r; r.Who != w.first.Who {
			w.by = r.Who
		}
	case audit.Done, audit.Refused:
		w.end = &r
	case audit.File, audit.Asked:
	}
	for len(m.order) > maxKept {
		delete(m.writes, m.order[0])
		m.order = slices.Delete(m.order, 0, 1)
	}
}

// remember makes entries of what m has, and ends what has no end: a write that was on its way is unknown, one that waited to be approved is refused. Neither is done again.
func (p *Path) remember(m *Memory) error {
	for _, id := range m.order {
		w := m.writes[id]
		e := w.entry()
		switch {
		case w.end != nil:
		case w.left:
			e.out.End, e.out.Reason = Unknown, "the gateway ended while it was under way"
		default:
			e.out.End, e.out.Cause, e.out.Reason = Refused, NotApproved, "the gateway ended before somebody approved it"
		}
		if w.end == nil {
			r := w.first
			r.Seq, r.Time, r.Write, r.Stage, r.End, r.Reason = 0, time.Time{}, id, audit.Done, string(e.out.End), e.out.Reason
			if !w.left {
				r.Stage = audit.Rejected
			}
			if err := p.cfg.Audit.Append(&r); err != nil {
				return err
			}
		}
		p.byID[id], p.age = e, append(p.age, e)
		if e.order.Key != "" && e.out.End != Refused {
			p.kept[keyOf(&e.order)] = e
		}
	}
	return nil
}

// entry is w as it was.
func (w *past) entry() *entry {
	r := &w.first
	e := &entry{digest: r.Digest, first: r.Write, began: r.Time, done: make(chan struct{}), ended: true}
	close(e.done)
	e.order = Order{Tag: r.Tag, Key: r.Key, Why: r.Why, Caller: Caller{User: r.Who, Via: r.Via, From: r.From}}
	e.out = Outcome{ID: r.Write, Tag: r.Tag, Old: valueOf(r.Old), New: valueOf(r.New), By: r.Who, Via: r.Via, Why: r.Why, Asked: r.Time, Approver: w.by}
	if w.end != nil {
		e.out.End, e.out.Reason, e.out.Read = End(w.end.End), w.end.Reason, valueOf(w.end.Read)
		e.out.Took = time.Duration(w.end.TookUS) * time.Microsecond
	}
	return e
}

// valueOf reads a value of the audit log, as exactly as JSON has it.
func valueOf(raw json.RawMessage) tag.Value {
	if len(raw) == 0 {
		return tag.Value{}
	}
	v, err := FromJSON(raw, tag.Null)
	if err != nil {
		return tag.Value{}
	}
	return v
}
