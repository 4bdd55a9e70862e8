package s7

import (
	"errors"
	"slices"
	"time"

	"millrace/internal/inflight"
)

// run is the requests of one Read or Write, a run of inflight for each time that it sends. It is used again by later ones.
type run struct {
	client   *Client
	function Function
	vars     []Var
	bases    []int   // bytes of each variable's Data that were there before a read
	items    []Item  // whole items and pieces; a plan's, or own
	places   []place // where each of items belongs; likewise
	fates    []fate  // what became of each of items
	spans    []span  // the requests of this run: of items
	failed   bool    // some fate is not ReturnOK

	own      []Item // reused for items
	ownPlace []place
	asked    ReadRequest
	answer   ReadResponse
	written  WriteResponse
	data     []DataItem
}

// fate is what became of a piece: ReturnOK, another code, the refusal of its request, or a cause. The zero value is that it was not asked for.
type fate struct {
	code    ReturnCode
	told    bool // code is what the PLC said: 0 is no answer that there should be, and yet one
	refused ErrorCode
	sent    bool // with cause: bytes of its request may have left
	cause   error
}

func (f *fate) none() bool { return !f.told && f.refused == 0 && f.cause == nil }

// Len returns how many requests there are.
func (r *run) Len() int { return len(r.spans) }

// Key returns what the answer to request i has in common with it.
func (r *run) Key(i int) inflight.Key { return jobKey(r.function, r.spans[i].len()) }

// Repeats is true for reads.
func (r *run) Repeats(int) bool { return r.function == FuncRead }

// AppendTo appends the frame of request i.
func (r *run) AppendTo(b []byte, i int, ref uint16) []byte {
	start, s := len(b), r.spans[i]
	items := r.items[s.from:s.to]
	b = BeginFrame(b)
	if r.function == FuncRead {
		r.asked.Items = items
		b = r.asked.AppendTo(b, ref)
	} else {
		m := WriteRequest{Items: items, Data: r.pieces(s)}
		b = m.AppendTo(b, ref)
	}
	return r.client.dialogue.endFrame(b, start)
}

// pieces returns the data that a write of s carries.
func (r *run) pieces(s span) []DataItem {
	r.data = r.data[:0]
	for i := s.from; i < s.to; i++ {
		it, at := &r.items[i], r.places[i]
		r.data = append(r.data, DataItem{Size: dataSize(it), Data: r.vars[at.v].Data[at.off:][:it.Len()]})
	}
	return r.data
}

// Fail says of all pieces of request i what became of them in place of an answer.
func (r *run) Fail(i int, cause error, sent bool) { r.mark(r.spans[i], fate{cause: cause, sent: sent}) }

func (r *run) mark(s span, f fate) {
	r.failed = true
	for i := s.from; i < s.to; i++ {
		r.fates[i] = f
	}
}

// Deliver takes the answer to request i, or says what does not fit.
func (r *run) Deliver(i int, sent, at time.Time) (refused bool, why string) {
	s, p := r.spans[i], &r.client.dialogue.pdu
	switch {
	case p.Err != 0:
		r.mark(s, fate{refused: p.Err})
		refused = true
	case cutShort(r.function, s.len(), p.Items()):
		r.mark(s, fate{refused: ErrFrame})
		refused = true
	case r.function == FuncRead:
		why = r.deliverRead(s, p)
	default:
		why = r.deliverWrite(s, p)
	}
	if why == "" {
		r.stamp(s, sent, at)
	}
	return refused, why
}

// stamp notes when the variables of s were answered.
func (r *run) stamp(s span, sent, at time.Time) {
	rtt := at.Sub(sent)
	for i := s.from; i < s.to; i++ {
		v := &r.vars[r.places[i].v]
		v.At, v.RTT = at, max(v.RTT, rtt)
	}
}

// deliverRead copies what the items hold. A length that was not asked for makes the whole answer foreign, and nothing of it is taken.
func (r *run) deliverRead(s span, p *PDU) (why string) {
	m := &r.answer
	if m.Decode(p) != nil || len(m.Items) != s.len() {
		return "items"
	}
	for k := range m.Items {
		if d := &m.Items[k]; d.Code == ReturnOK && len(d.Data) != r.items[s.from+k].Len() {
			return "length"
		}
	}
	for k := range m.Items {
		d := &m.Items[k]
		r.fates[s.from+k] = fate{code: d.Code, told: true}
		if d.Code != ReturnOK {
			r.failed = true
			continue
		}
		at := r.places[s.from+k]
		v := &r.vars[at.v]
		copy(v.Data[r.bases[at.v]+int(at.off):], d.Data)
		v.Code = ReturnOK
	}
	return ""
}

// deliverWrite takes the return codes.
func (r *run) deliverWrite(s span, p *PDU) (why string) {
	m := &r.written
	if m.Decode(p) != nil || len(m.Codes) != s.len() {
		return "items"
	}
	for k := range m.Codes {
		code := m.Code(k)
		r.fates[s.from+k] = fate{code: code, told: true}
		r.vars[r.places[s.from+k].v].Code = code
		r.failed = r.failed || code != ReturnOK
	}
	return ""
}

// load makes r ready for these variables; their items and places come next.
func (r *run) load(f Function, vars []Var) {
	r.function, r.vars, r.failed = f, vars, false
	r.spans, r.own, r.ownPlace = r.spans[:0], r.own[:0], r.ownPlace[:0]
}

// reset forgets what came of v before.
func (v *Var) reset() { v.Code, v.At, v.RTT, v.Err = 0, time.Time{}, 0, nil }

// expect has nothing become of any piece yet.
func (r *run) expect(items []Item, places []place) {
	r.items, r.places = items, places
	r.fates = slices.Grow(r.fates[:0], len(items))[:len(items)]
	clear(r.fates)
}

// forget has the pieces of s as if they had not been asked for.
func (r *run) forget(s span) { clear(r.fates[s.from:s.to]) }

// abandon fails what was not asked for.
func (r *run) abandon(cause error) {
	r.failed = true
	for i := range r.fates {
		if f := &r.fates[i]; f.none() && (r.function == FuncRead || !r.spoiled(i)) {
			*f = fate{cause: cause}
		}
	}
}

// unload lets go of what is the caller's.
func (r *run) unload() {
	r.vars, r.items, r.places, r.asked.Items = nil, nil, nil, nil
	clear(r.fates)
	clear(r.data)
	clear(r.own)
}

// settle turns the fates of pieces into those of variables, the first that is not good of each.
func (r *run) settle() {
	if !r.failed {
		return
	}
	for i := range r.fates {
		f, at := &r.fates[i], r.places[i]
		v := &r.vars[at.v]
		if f.code == ReturnOK || f.none() || v.Err != nil {
			continue
		}
		v.Code = f.code
		e := &Error{Function: r.function, Item: v.Item, Code: f.code, Refused: f.refused, Sent: f.sent || f.cause == nil, Err: f.cause}
		if r.function == FuncWrite {
			e.Written = int(at.off)
		} else {
			v.Data = v.Data[:r.bases[at.v]]
		}
		v.Err = e
	}
}

// transportError returns the first error of a variable, in their order, that is not what the PLC said.
func transportError(vars []Var) error {
	for i := range vars {
		var e *Error
		if errors.As(vars[i].Err, &e) && e.Err != nil {
			return e
		}
	}
	return nil
}
