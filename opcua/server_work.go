package opcua

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// work is what a session has the host's code do: methods, writes, history, which may take long. One request of a session is under way at a time, in a goroutine that is
// there only while something is; the others wait in their order. So the connection's goroutine reads on: it serves what else is asked, and it hears of CloseSession, of
// Cancel and of the end of the connection, each of which ends the context that the host's code was given.
//
//	request ─► add ─► jobs ─► run ─► the session's turn, but not while the host's code runs ─► queued on the connection
//	            └► too many, or too long: BadServerTooBusy    ▲
//	                                            stop, cancel ─┘
//
// It is of a session on one connection: a session that moves to another gets another one.
type work struct {
	conn *serverConn

	mu   sync.Mutex // guards what follows; a leaf
	over ua.StatusCode
	jobs []*job                  // the first is being done
	size int                     // bytes of their bodies
	end  context.CancelCauseFunc // of the one that is being done; nil before it has begun
}

// job is a request that somebody else than the connection's goroutine serves.
type job struct {
	call call
	body []byte // behind the RequestHeader; its own
}

// hosted says whether a service runs the host's code, which may take as long as it likes. A ValueStore's ReadValues may not.
func hosted(request uint32) bool {
	switch request {
	case idCall, idWrite, idHistoryRead:
		return true
	}
	return false
}

// host gives the request at hand, of which d holds the rest, to the session's work.
func (c *serverConn) host(ctx context.Context, m uasc.Message, d *ua.Decoder) ua.StatusCode {
	k := &c.call
	x := k.session
	w := x.work.Load()
	if w.conn != c {
		return ua.BadSecureChannelIdInvalid // it has moved since it was looked up
	}
	x.turn.Lock()
	k.caller = x.caller // whoever the session acts for by the time that the request's turn comes
	x.turn.Unlock()
	x.touch(c.srv.now())
	j := &job{call: *k, body: m.Body[len(m.Body)-d.Left():]}
	j.call.hosted = true
	if !c.channel.Keep() {
		j.body = bytes.Clone(j.body)
	}
	return w.add(ctx, j)
}

// add takes j in; for the connection's goroutine.
func (w *work) add(ctx context.Context, j *job) ua.StatusCode {
	c, n := w.conn, len(j.body)
	s := c.srv
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.over != ua.Good:
		return w.over
	case len(w.jobs) >= int(s.cfg.Quotas.Work), len(w.jobs) > 0 && w.size+n > s.cfg.Limits.Message:
		return ua.BadServerTooBusy
	case s.held.Add(int64(n)) > int64(s.cfg.Quotas.ReceiveBytes):
		s.held.Add(int64(-n))
		return ua.BadServerTooBusy
	}
	w.jobs = append(w.jobs, j)
	w.size += n
	c.owed.Add(1)
	if len(w.jobs) == 1 {
		c.workers.Go(func() { w.run(ctx) })
	}
	return ua.Good
}

// run does what there is to do, until there is nothing.
func (w *work) run(ctx context.Context) {
	for w.step(ctx) {
	}
}

// step does the first job, and says whether there is another.
func (w *work) step(ctx context.Context) (more bool) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	j := w.begin(cancel)
	w.conn.serveJob(ctx, j, w.ended)
	return w.finish()
}

// begin returns the first job, whose context cancel ends.
func (w *work) begin(cancel context.CancelCauseFunc) *job {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end = cancel
	if w.over != ua.Good {
		cancel(w.over)
	}
	return w.jobs[0]
}

// ended returns why nothing more is answered, ua.Good while it is.
func (w *work) ended() ua.StatusCode {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over
}

// finish takes out the first job.
func (w *work) finish() (more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end = nil
	w.forget(0)
	if len(w.jobs) == 0 {
		w.jobs = nil
	}
	return len(w.jobs) > 0
}

// forget takes a job out; for one who holds mu.
func (w *work) forget(i int) {
	n := len(w.jobs[i].body)
	w.jobs = slices.Delete(w.jobs, i, i+1)
	w.size -= n
	w.conn.srv.held.Add(int64(-n))
	w.conn.owed.Add(-1)
}

// stop is the end of the session, or of its stay on this connection: what waits is answered with why, what is being done has its context ended, and nothing more is taken.
func (w *work) stop(why ua.StatusCode) {
	w.mu.Lock()
	w.over = why
	left := w.take(why, func(*job) bool { return true })
	w.mu.Unlock()
	w.conn.refuse(left, why)
}

// cancel gives up the requests with this RequestHandle, and returns how many there were. One that is being done may be done all the same.
func (w *work) cancel(handle uint32) int {
	w.mu.Lock()
	running := len(w.jobs) > 0 && w.jobs[0].call.header.RequestHandle == handle
	left := w.take(ua.BadRequestCancelledByClient, func(j *job) bool { return j.call.header.RequestHandle == handle })
	w.mu.Unlock()
	w.conn.refuse(left, ua.BadRequestCancelledByClient)
	if running {
		return len(left) + 1
	}
	return len(left)
}

// take takes out those of which that is true, and returns them. The first stays, its context is ended. For one who holds mu.
func (w *work) take(why ua.StatusCode, that func(*job) bool) (taken []*job) {
	for i := len(w.jobs) - 1; i > 0; i-- {
		if j := w.jobs[i]; that(j) {
			taken = append(taken, j)
			w.forget(i)
		}
	}
	if len(w.jobs) > 0 && w.end != nil && that(w.jobs[0]) {
		w.end(why)
	}
	slices.Reverse(taken)
	return taken
}

// refuse answers jobs that are not done.
func (c *serverConn) refuse(list []*job, why ua.StatusCode) {
	for _, j := range list {
		c.srv.counts.fault(why)
		j.call.late().fault(why)
	}
}

// serveJob serves a request and queues its response. over says why it is not answered any more after all.
func (c *serverConn) serveJob(ctx context.Context, j *job, over func() ua.StatusCode) {
	k := &j.call
	status := over()
	m := k.late().begin(responseTo(k.service))
	if status == ua.Good {
		d := ua.NewDecoder(j.body, c.srv.cfg.Limits)
		d.Alias = true
		m.b, status = c.run(ctx, k, &d, m.b)
	}
	if why := over(); why != ua.Good {
		status = why
	}
	if status != ua.Good {
		c.srv.counts.fault(status)
		m.limit = 0
		m.b = appendResponseHeader(c.channel.Begin(m.b[:0], k.id), idServiceFault, k.header.RequestHandle, status, time.Now())
	}
	c.enqueueOwn(m)
}

// unlocked runs f, which is the host's code and may take long, without the session's turn: its other requests are served meanwhile, and it can be ended.
func (c *call) unlocked(f func()) {
	if !c.hosted {
		f()
		return
	}
	c.session.turn.Unlock()
	defer c.session.turn.Lock()
	f()
}

// endedBy returns the answer to what was ended, or is not begun any more, because ctx is over.
func endedBy(ctx context.Context) ua.StatusCode {
	var why ua.StatusCode
	if errors.As(context.Cause(ctx), &why) {
		return why
	}
	return ua.BadTimeout
}
