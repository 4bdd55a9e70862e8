package s7

import (
	"context"
	"errors"
	"slices"
	"time"

	"millrace/internal/inflight"
)

// How long services may take at least: they have nothing to do with the round trips of reads.
const (
	servicePatience = 5 * time.Second
	controlPatience = 15 * time.Second // of what a CPU does to itself, as starting or compressing
)

// message appends itself as a PDU.
type message interface {
	AppendTo(b []byte, ref uint16) []byte
}

// call is one request that is no read or write, with its answer: a Work of inflight.
type call struct {
	dialogue *dialogue
	key      inflight.Key
	ask      message
	answer   PDU // with bytes of its own
	err      error
	sent     bool
}

// Len is 1.
func (*call) Len() int { return 1 }

// Key returns what the answer has in common with the request.
func (k *call) Key(int) inflight.Key { return k.key }

// AppendTo appends the frame.
func (k *call) AppendTo(b []byte, _ int, ref uint16) []byte {
	start := len(b)
	return k.dialogue.endFrame(k.ask.AppendTo(BeginFrame(b), ref), start)
}

// Repeats is false: who asks for a service again decides that.
func (*call) Repeats(int) bool { return false }

// Deliver takes any answer that fits.
func (k *call) Deliver(int, time.Time, time.Time) (refused bool, why string) {
	k.answer = k.dialogue.pdu
	k.answer.Param, k.answer.Data = slices.Clone(k.answer.Param), slices.Clone(k.answer.Data)
	return k.answer.Err != 0, ""
}

// Fail notes what became of the request.
func (k *call) Fail(_ int, cause error, sent bool) { k.err, k.sent = cause, sent }

// service is what a service's errors have in common, and how long it may take.
type service struct {
	what     Error
	patience time.Duration
}

// failed makes the error of a service of what the decoding of its answer said.
func (s service) failed(err error) error {
	e := s.what
	e.Sent = true
	var refused *RefusedError
	if errors.As(err, &refused) {
		e.Refused, e.Detail = refused.Code, refused.Detail
	} else {
		e.Err = err
	}
	return &e
}

// argument refuses a service before anything is sent.
func (s service) argument(what string) error {
	e := s.what
	e.Err = &ArgumentError{What: what}
	return &e
}

// diagnostics refuses what Config.Diagnostics does not allow.
func (c *Client) diagnostics(s service) error {
	if c.cfg.Diagnostics {
		return nil
	}
	return s.argument("diagnostics are not switched on for this connection")
}

// ask sends one request and returns the answer.
func (c *Client) ask(ctx context.Context, s service, key inflight.Key, m message) (PDU, error) {
	k := &call{dialogue: c.dialogue, key: key, ask: m}
	if c.turn(ctx, k, s.patience, false); k.err != nil {
		e := s.what
		e.Err, e.Sent = k.err, k.sent
		return PDU{}, &e
	}
	return k.answer, nil
}

// turn runs w in a turn of its own. How it went is in w: a connection that ends behind the answer is an error of Run, and none of w.
func (c *Client) turn(ctx context.Context, w inflight.Work, patience time.Duration, oneWay bool) {
	t := c.flight.Begin()
	defer c.flight.End(t)
	own := t.Work
	defer func() { t.Work = own }()
	t.Work, t.Patience, t.OneWay = w, patience, oneWay
	_ = c.flight.Run(ctx, t)
}

// job asks for a service that is a Job, and decodes the answer.
func (c *Client) job(ctx context.Context, s service, m message, answer interface{ Decode(*PDU) error }) error {
	p, err := c.ask(ctx, s, jobKey(s.what.Function, 0), m)
	if err != nil {
		return err
	}
	c.tellRefusal(p.Err, s)
	if err := answer.Decode(&p); err != nil {
		return s.failed(err)
	}
	return nil
}

func (c *Client) tellRefusal(code ErrorCode, s service) {
	if f := c.cfg.Hooks.Refused; f != nil && code != 0 {
		f(s.what.Function, code, 1)
	}
}

// userdata asks for a service of the programming device's world, in as many parts as the answer has. It returns the data of all of them, and the code of the last.
func (c *Client) userdata(ctx context.Context, s service, m message) (data []byte, code ReturnCode, err error) {
	var g Gather
	for {
		p, err := c.ask(ctx, s, userdataKey(s.what.Group, s.what.Sub), m)
		if err != nil {
			return nil, 0, err
		}
		var u Userdata
		if err := u.Decode(&p); err != nil {
			return nil, 0, s.failed(err)
		}
		c.tellRefusal(u.Err, s)
		done, err := g.Add(&u)
		if err != nil {
			return nil, 0, s.failed(err)
		}
		if done {
			return g.Data(), u.Code, nil
		}
		next := u.FollowUp()
		m = &next
	}
}

// fetch is userdata for services whose answer has data.
func (c *Client) fetch(ctx context.Context, s service, m message) ([]byte, error) {
	if err := c.diagnostics(s); err != nil {
		return nil, err
	}
	data, code, err := c.userdata(ctx, s, m)
	if err == nil && len(data) == 0 && code != ReturnOK {
		e := s.what
		e.Sent, e.Code = true, code
		return nil, &e
	}
	return data, err
}

// confirm is userdata for services whose answer has none.
func (c *Client) confirm(ctx context.Context, s service, m message) error {
	if err := c.diagnostics(s); err != nil {
		return err
	}
	_, _, err := c.userdata(ctx, s, m)
	return err
}
