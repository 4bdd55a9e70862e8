package opcua

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"millrace/opcua/ua"
)

const (
	// mostPipelined is how many requests of one call are in flight at once: enough that the way there and back costs once and not once for each.
	mostPipelined = 4
	// mostSplits bounds how many requests more than needed are spent on finding the operations that spoil a request.
	mostSplits = 64
)

// clientOperations is what a service asks for: any number of like things, numbered from 0, that are cut into requests. Its methods are called by the calling goroutine.
type clientOperations interface {
	// appendTo appends what is behind the header of a request for from to to-1.
	appendTo(b []byte, from, to int) []byte
	// decode takes the results of that request, behind the header of the response. An error says how many it took for good: the others fail, or go into another request.
	decode(d *ua.Decoder, from, to int) (done int, err error)
	// fail says of from to to-1 what became of them in place of a result.
	fail(from, to int, e *Error)
}

// clientBatch runs operations in as many requests as they need. A client lends it, and uses it again.
type clientBatch struct {
	client  *Client
	service Service
	work    clientOperations
	read    clientRead
	waiting []clientSpan // not sent yet, the next one last
	open    []clientSent // in flight, the oldest first
	first   error        // of a request that failed as a whole
	stop    *Error       // nothing more is sent after this
	splits  int
}

// clientSpan is operations from to to-1.
type clientSpan struct{ from, to int }

func (s clientSpan) len() int { return s.to - s.from }

// clientSent is a span in flight.
type clientSent struct {
	clientSpan
	call *clientCall
}

// CountError says that a server answered with another number of results than it was asked for.
type CountError struct{ Asked, Got int }

func (e *CountError) Error() string {
	return fmt.Sprintf("%d results for %d operations", e.Got, e.Asked)
}

// beginBatch lends a batch.
func (c *Client) beginBatch(s Service) *clientBatch {
	r, _ := c.batches.Get().(*clientBatch)
	if r == nil {
		r = &clientBatch{}
	}
	r.client, r.service = c, s
	return r
}

// endBatch takes it back.
func (c *Client) endBatch(r *clientBatch) {
	r.client, r.work, r.first, r.stop, r.splits = nil, nil, nil, nil, 0
	r.read = clientRead{}
	c.batches.Put(r)
}

// split runs operations of a service, n of them. The error is an *Error.
func (c *Client) split(ctx context.Context, s Service, n int, w clientOperations) error {
	r := c.beginBatch(s)
	err := r.run(ctx, n, w)
	c.endBatch(r)
	return err
}

// run is the loop of the calling goroutine: send while there is room, then take the oldest answer.
func (r *clientBatch) run(ctx context.Context, n int, w clientOperations) error {
	if n == 0 {
		return nil
	}
	r.work, r.waiting = w, append(r.waiting[:0], clientSpan{0, n})
	for len(r.waiting) > 0 || len(r.open) > 0 {
		if r.stop != nil {
			r.abandon()
		}
		for len(r.waiting) > 0 && len(r.open) < mostPipelined {
			if !r.send(ctx, r.next()) {
				break
			}
		}
		if len(r.open) > 0 {
			r.finish(ctx)
		}
	}
	return r.first
}

// next cuts as many operations off as a request may have.
func (r *clientBatch) next() clientSpan {
	last := len(r.waiting) - 1
	s := r.waiting[last]
	if n := r.read.most(r.client.limits.operations(r.service)); s.len() > n {
		r.waiting[last].from += n
		s.to = s.from + n
		return s
	}
	r.waiting = r.waiting[:last]
	return s
}

// send sends s. It answers false when an answer has to be taken first.
func (r *clientBatch) send(ctx context.Context, s clientSpan) bool {
	conn := r.client.conn
	k := conn.begin(r.service, s.len())
	k.out = r.work.appendTo(k.out, s.from, s.to)
	err := conn.send(ctx, k, len(r.open) == 0)
	switch {
	case err == nil:
		r.open = append(r.open, clientSent{s, k})
		return true
	case errors.Is(err, errWindowFull):
		r.waiting = append(r.waiting, s)
	default:
		r.failed(s, err)
	}
	conn.release(k)
	return !errors.Is(err, errWindowFull) && r.stop == nil
}

// finish takes the oldest answer.
func (r *clientBatch) finish(ctx context.Context) {
	o := r.open[0]
	r.open = slices.Delete(r.open, 0, 1)
	conn := r.client.conn
	err := conn.await(ctx, o.call)
	if err == nil {
		done, bad := r.work.decode(&o.call.d, o.from, o.to)
		if bad != nil {
			err = conn.badAnswer(o.call, bad)
		}
		o.from += done
	}
	if err != nil {
		r.failed(o.clientSpan, err)
	}
	conn.release(o.call)
}

// failed decides what becomes of a span whose request failed as a whole: another try in smaller pieces, or the error for each of its operations.
func (r *clientBatch) failed(s clientSpan, err error) {
	e := asError(r.service, err)
	if r.client.tooMuch(e, s.len()) || r.halves(e, s) {
		r.again(s, e)
		return
	}
	if r.first == nil {
		r.first = e
	}
	r.work.fail(s.from, s.to, e)
	if !e.Answered && e.Status != ua.BadDecodingError && e.Status != ua.BadEncodingLimitsExceeded && e.Status != ua.BadRequestTooLarge {
		r.stop = e
	}
}

// again puts the operations of a request back, in pieces.
func (r *clientBatch) again(s clientSpan, e *Error) {
	if spoils(e) {
		mid := s.from + s.len()/2
		r.waiting = append(r.waiting, clientSpan{mid, s.to}, clientSpan{s.from, mid})
		return
	}
	r.waiting = append(r.waiting, s)
}

// halves reports whether it is worth asking for the halves of a span alone: something in it may spoil the rest.
func (r *clientBatch) halves(e *Error, s clientSpan) bool {
	if s.len() < 2 || !spoils(e) || e.MayHaveHappened() || r.splits >= mostSplits {
		return false
	}
	r.splits++
	return true
}

// spoils reports whether an error may come from one operation alone: a node that a server stumbles over, a value that cannot be decoded.
func spoils(e *Error) bool {
	switch e.Status {
	case ua.BadInternalError, ua.BadUnexpectedError, ua.BadDecodingError, ua.BadEncodingError, ua.BadNodeIdInvalid, ua.BadNodeIdUnknown, ua.BadAttributeIdInvalid,
		ua.BadIndexRangeInvalid, ua.BadDataEncodingInvalid, ua.BadInvalidArgument:
		var arg *ArgumentError
		return !errors.As(e.Err, &arg)
	}
	return false
}

// tooMuch reports whether a request was refused for its length and shorter ones may do; then it has learned so.
func (c *Client) tooMuch(e *Error, n int) bool {
	switch e.Status {
	case ua.BadTooManyOperations, ua.BadEncodingLimitsExceeded, ua.BadResponseTooLarge, ua.BadRequestTooLarge, ua.BadTcpMessageTooLarge:
	default:
		return false
	}
	if e.Service.response() == 0 || n < 2 || !e.Answered && !tooLongHere(e) {
		return false
	}
	half, news := c.limits.halve(e.Service, n)
	if f := c.cfg.Hooks.Learned; news && f != nil {
		f(e.Service, half)
	}
	return half > 0 && !e.MayHaveHappened()
}

// tooLongHere reports whether it was this side that found a request or an answer too long.
func tooLongHere(e *Error) bool {
	var arg *ArgumentError
	return !e.Sent && !errors.As(e.Err, &arg) || e.Status == ua.BadEncodingLimitsExceeded
}

// abandon fails what was not sent.
func (r *clientBatch) abandon() {
	for _, s := range r.waiting {
		e := *r.stop
		e.Sent, e.Operations = false, s.len()
		r.work.fail(s.from, s.to, &e)
	}
	r.waiting = r.waiting[:0]
}

// asError returns err as the *Error that it is.
func asError(s Service, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Service: s, Status: statusOf(err), Err: err}
}
