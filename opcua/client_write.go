package opcua

import (
	"context"

	"millrace/opcua/ua"
)

// Write writes values, each to its attribute; an AttributeId of 0 is that of the value. results, of the same length, gets what the server says of each; of a request that was not answered
// BadTimeout, BadConnectionClosed and the like. No request is ever sent twice, unless the server has refused it unseen, for its length. The error, an *Error, is that of the first
// request that failed as a whole; whether the writes of such a request may have happened is its MayHaveHappened. A result that is bad says that the value was not written, but for the codes
// that a server answers when it does not know (BadTimeout, BadRequestInterrupted).
func (c *Client) Write(ctx context.Context, values []ua.WriteValue, results []ua.StatusCode) error {
	if len(results) != len(values) {
		return &Error{Service: ServiceWrite, Status: ua.BadInvalidArgument, Operations: len(values), Err: &ArgumentError{What: "not as many results as values"}}
	}
	return c.split(ctx, ServiceWrite, len(values), &clientWrite{values: values, results: results})
}

// clientWrite is one call of Write.
type clientWrite struct {
	values  []ua.WriteValue
	results []ua.StatusCode
}

func (w *clientWrite) appendTo(b []byte, from, to int) []byte {
	b = ua.AppendInt32(b, int32(to-from))
	for i := from; i < to; i++ {
		v := w.values[i]
		if v.AttributeId == 0 {
			v.AttributeId = attributeValue
		}
		b = v.AppendTo(b)
	}
	return b
}

func (w *clientWrite) decode(d *ua.Decoder, from, to int) (int, error) {
	return decodeStatuses(d, w.results[from:to])
}

func (w *clientWrite) fail(from, to int, e *Error) { failStatuses(w.results[from:to], e) }

// decodeStatuses takes one status for each operation.
func decodeStatuses(d *ua.Decoder, into []ua.StatusCode) (int, error) {
	if n := d.Count(4); n != len(into) && !d.Bad() {
		return 0, &CountError{Asked: len(into), Got: n}
	}
	for i := range into {
		into[i] = d.StatusCode()
	}
	return 0, d.Err()
}

func failStatuses(into []ua.StatusCode, e *Error) {
	for i := range into {
		into[i] = e.Status
	}
}

// Call calls methods, each with its object. results has as many elements as calls. A call is never repeated; see Write for what that and the error mean.
func (c *Client) Call(ctx context.Context, calls []ua.CallMethodRequest) (results []ua.CallMethodResult, err error) {
	w := &clientMany[ua.CallMethodRequest, ua.CallMethodResult, *ua.CallMethodRequest, *ua.CallMethodResult]{
		ask: calls, got: make([]ua.CallMethodResult, len(calls)), minBytes: 16, failed: func(r *ua.CallMethodResult, s ua.StatusCode) { r.StatusCode = s },
	}
	err = c.split(ctx, ServiceCall, len(calls), w)
	return w.got, err
}

// CallMethod calls one method and returns its output arguments. The error is an *Error; a method that was not carried out has its status in there, or in one of an argument.
func (c *Client) CallMethod(ctx context.Context, object, method ua.NodeId, in ...ua.Variant) ([]ua.Variant, error) {
	r, err := c.Call(ctx, []ua.CallMethodRequest{{ObjectId: object, MethodId: method, InputArguments: in}})
	if err == nil && r[0].StatusCode.IsBad() {
		err = &Error{Service: ServiceCall, Status: r[0].StatusCode, Answered: true, Sent: true, Operations: 1}
	}
	return r[0].OutputArguments, err
}

// clientMany is operations whose requests are an array of Q alone and whose responses begin with one of R.
type clientMany[Q, R any, PQ interface {
	*Q
	AppendTo([]byte) []byte
}, PR interface {
	*R
	DecodeFrom(*ua.Decoder)
}] struct {
	ask      []Q
	got      []R
	minBytes int // of an R on the wire
	failed   func(r *R, s ua.StatusCode)
}

func (w *clientMany[Q, R, PQ, PR]) appendTo(b []byte, from, to int) []byte {
	b = ua.AppendInt32(b, int32(to-from))
	for i := from; i < to; i++ {
		b = PQ(&w.ask[i]).AppendTo(b)
	}
	return b
}

func (w *clientMany[Q, R, PQ, PR]) decode(d *ua.Decoder, from, to int) (int, error) {
	if n := d.Count(w.minBytes); n != to-from && !d.Bad() {
		return 0, &CountError{Asked: to - from, Got: n}
	}
	for i := from; i < to && !d.Bad(); i++ {
		PR(&w.got[i]).DecodeFrom(d)
	}
	return 0, d.Err()
}

func (w *clientMany[Q, R, PQ, PR]) fail(from, to int, e *Error) {
	for i := from; i < to; i++ {
		var none R
		w.got[i] = none
		w.failed(&w.got[i], e.Status)
	}
}
