package sim

import (
	"context"
	"net"
	"time"

	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// Request implements opcua.ServerInterceptor: the faults of the device that the client connected to.
func (of *opcuaLife) Request(ctx context.Context, r *opcua.ServerRequest) (ua.StatusCode, error) {
	d := of.m.deviceAt(r.LocalAddr())
	if of.m.lifeNow(d, false) != of.life {
		return 0, &opcua.HangUpError{Reason: "fault", Reset: true} // the server has been started anew meanwhile
	}
	e := of.effect(d, r)
	if e.delay > 0 {
		if err := r.Pause(ctx, e.delay); err != nil {
			return 0, err
		}
	}
	switch {
	case e.silence:
		return opcua.NoAnswer, nil
	case e.reset, e.cut:
		return 0, &opcua.HangUpError{Reason: "fault", Reset: e.reset}
	case e.closed:
		return 0, &opcua.HangUpError{Reason: "fault", Status: ua.BadSecureChannelClosed}
	case e.lost:
		r.EndSession()
		return ua.BadSessionIdInvalid, nil
	case e.tooMany:
		return ua.BadTooManyOperations, nil
	case e.empty:
		answerEmpty(r)
		return opcua.NoAnswer, nil
	case e.ignored:
		answerWrite(r)
		return opcua.NoAnswer, nil
	}
	return ua.Good, nil
}

// opcuaEffect is what the faults do to one request.
type opcuaEffect struct {
	effect
	closed  bool // the channel
	lost    bool // the session
	tooMany bool // operations
	empty   bool // the answer, a Publish
	ignored bool // a Write
}

// effect throws the dice. Sessions are made without them, but for those of the connection: a device that nobody could connect to would have no faults
// to show.
func (of *opcuaLife) effect(d *device, r *opcua.ServerRequest) (e opcuaEffect) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests++
	elapsed := of.m.elapsed(time.Now())
	e.silence = d.mode == BlackHole
	session := !r.Session.IsNull() && r.Service != ns0.ActivateSessionRequest_Encoding_DefaultBinary
	publish := r.Service == ns0.PublishRequest_Encoding_DefaultBinary
	e.ignored = r.Service == ns0.WriteRequest_Encoding_DefaultBinary && d.ignores(elapsed)
	for i := range d.faults {
		f := &d.faults[i]
		switch f.Kind {
		case SessionLoss:
			e.lost = session && d.hits(f, elapsed) || e.lost
		case ChannelClose:
			e.closed = session && d.hits(f, elapsed) || e.closed
		case TooManyOperations:
			e.tooMany = session && operations(r) > f.Count && d.hits(f, elapsed) || e.tooMany
		case EmptyPublish:
			e.empty = publish && d.hits(f, elapsed) || e.empty
		case Latency, Jitter:
			if !publish && d.hits(f, elapsed) { // whose answer comes when there is something to say; what stands behind it would wait, too
				e.add(f, &d.rng)
			}
		case Cut, Reset, Silence:
			if session && d.hits(f, elapsed) {
				e.add(f, &d.rng)
			}
		}
	}
	return e
}

// operations returns how many operations a request has, 0 for services without a limit.
func operations(r *opcua.ServerRequest) int {
	d := ua.NewDecoder(r.Body, ua.Limits{})
	switch r.Service {
	case ns0.ReadRequest_Encoding_DefaultBinary:
		d.F64() // MaxAge
		d.I32() // TimestampsToReturn
	case ns0.CreateMonitoredItemsRequest_Encoding_DefaultBinary:
		d.U32() // SubscriptionId
		d.I32() // TimestampsToReturn
	case ns0.WriteRequest_Encoding_DefaultBinary, ns0.CallRequest_Encoding_DefaultBinary, ns0.RegisterNodesRequest_Encoding_DefaultBinary,
		ns0.TranslateBrowsePathsToNodeIdsRequest_Encoding_DefaultBinary:
	case ns0.BrowseRequest_Encoding_DefaultBinary:
		d.NodeId()   // View
		d.DateTime() // of it
		d.U32()      // its version
		d.U32()      // RequestedMaxReferencesPerNode
	default:
		return 0
	}
	return int(d.I32())
}

// answerEmpty answers a Publish at once, with nothing in it and the word that there is more.
func answerEmpty(r *opcua.ServerRequest) {
	now := ua.DateTimeOf(time.Now())
	r.Answer(&ua.PublishResponse{
		ResponseHeader: ua.ResponseHeader{Timestamp: now, RequestHandle: r.Handle},
		SubscriptionId: 1, MoreNotifications: true, NotificationMessage: ua.NotificationMessage{SequenceNumber: 1, PublishTime: now},
	})
}

// answerWrite answers a Write as if all of it had been done.
func answerWrite(r *opcua.ServerRequest) {
	n := max(operations(r), 0)
	r.Answer(&ua.WriteResponse{
		ResponseHeader: ua.ResponseHeader{Timestamp: ua.DateTimeOf(time.Now()), RequestHandle: r.Handle},
		Results:        make([]ua.StatusCode, min(n, len(r.Body))), // Good, each; a value takes a byte at least
	})
}

// Publishing implements opcua.PublishInterceptor.
func (of *opcuaLife) Publishing(local net.Addr) bool {
	d := of.m.deviceAt(local)
	elapsed := of.m.elapsed(time.Now())
	d.mu.Lock()
	defer d.mu.Unlock()
	sent := true
	for i := range d.faults {
		if f := &d.faults[i]; f.Kind == RepublishGap && d.hits(f, elapsed) {
			sent = false
		}
	}
	return sent
}
