package device

import "time"

// When the scheduler itself was late, the process stopped, the machine asleep or without a processor to spare, nobody was asked meanwhile. That is no silence of any device, and
// a request that had no answer then says nothing of whom it was sent to: the answer may lie in the socket.

// oversleptFrom is how late the first deadline has to be looked at for the scheduler to have overslept.
const oversleptFrom = 500 * time.Millisecond

// slept is when the scheduler overslept last.
type slept struct{ from, to time.Time }

// oversleep notes when the first deadline is long over. It is called before the mail is read and before deadlines are.
func (s *shard) oversleep(now time.Time) {
	wait, any := s.timers.next(now)
	if !any || wait > -oversleptFrom {
		return
	}
	s.slept = slept{now.Add(wait), now}
	s.rt.awake.Store(int64(s.rt.age(now)))
}

// overslept says whether a turn of g timed out since the scheduler overslept most of it. The turn behind it counts, whatever the scheduler did: a gateway that is late for hours still
// notices who is gone.
func (s *shard) overslept(g *group, began, ended time.Time) bool {
	g.mine = !g.mine && s.sleptThrough(began, ended)
	return g.mine
}

// sleptThrough says whether the scheduler overslept at least half of the time from began to ended.
func (s *shard) sleptThrough(began, ended time.Time) bool {
	from, to := s.slept.from, s.slept.to
	if from.Before(began) {
		from = began
	}
	if to.After(ended) {
		to = ended
	}
	asleep := to.Sub(from)
	return asleep > 0 && asleep >= ended.Sub(began)/2
}

// forgiven says whether e's dial that ended with err did so for the gateway's own fault: it was given up, or timed out since the gateway overslept most of it, or its end. The dial behind that one
// counts, whatever the scheduler did.
func (s *shard) forgiven(e *endpoint, err error, ended time.Time) bool {
	if e.forgone {
		return true
	}
	e.mine = !e.mine && timedOut(err) && (s.sleptThrough(e.begun, ended) || ended.Sub(e.begun) >= e.Connect()+e.Handshake()+oversleptFrom)
	return e.mine
}

// readAgain has g read as if its turn had not been.
func (s *shard) readAgain(g *group, now time.Time) {
	g.owed = true
	switch u := g.unit; {
	case u.machine.state == Suspect:
		s.post(u, event{kind: evTick, at: now}, nil)
	case u.machine.state.polled():
		s.enqueue(g, time.Time{}, now)
	}
}

// excuse has u's silence begin when the scheduler was up again. The caller holds u.mu.
func (u *unit) excuse(rt *Runtime) {
	if awake := time.Duration(rt.awake.Load()); u.predictor.Heard() < awake {
		u.predictor.Wait(awake)
	}
}

// age returns how long the Runtime has been there, by the monotonic clock and more than nothing.
func (r *Runtime) age(now time.Time) time.Duration { return max(now.Sub(r.clock.start), 1) }
