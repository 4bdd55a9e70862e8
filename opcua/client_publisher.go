package opcua

import "time"

const (
	// mostPublishing bounds the Publish requests in flight, whatever the arithmetic says.
	mostPublishing = 64
	// pauseFloor and pauseCeiling bound the pause for a server that answers at once with nothing.
	pauseFloor, pauseCeiling = 100 * time.Millisecond, 10 * time.Second
	// emptiesBorne is how many answers without anything may come too early before that costs a pause: several subscriptions start at once, and each says that it lives.
	emptiesBorne = 4
	// calmAnswers in time are believed after a pause.
	calmAnswers = 3
)

// clientPublisher decides how many Publish requests are in flight and when the next one goes out. It is pure: the time comes in.
//
//	         values                     too early, nothing inside, once too often
//	open ◄────────────── open ─────────────────────────────────────► paused
//	  ▲                                                                │
//	  └─────────────────── the pause is over, which doubles each time ─┘
type clientPublisher struct {
	inFlight int
	most     int           // that the server queues; 0 unknown
	early    int           // answers with nothing inside that came before their time
	calm     int           // those in a row that came in time
	pause    time.Duration // the last one; 0 none since values came
	until    time.Time     // of the pause that runs
}

// clientDemand is what the subscriptions of a session need of its Publish requests.
type clientDemand struct {
	subscriptions int           // that live
	interval      time.Duration // the shortest publishing interval
	rtt           time.Duration
	blocked       bool // the receiver has enough on its hands
}

// want returns how many Publish requests are to be in flight: one for each subscription and one that waits, at least two, and as many more as intervals go by until
// an answer has brought the next request.
func (p *clientPublisher) want(d clientDemand) int {
	if d.subscriptions == 0 || d.blocked {
		return 0
	}
	n := max(2, d.subscriptions+1)
	if d.interval > 0 {
		n += int(min(d.rtt/d.interval, mostPublishing))
	}
	n = min(n, mostPublishing)
	if p.most > 0 {
		n = min(n, p.most)
	}
	return n
}

// due returns how many to send now; and when to ask again, zero when an event will tell.
func (p *clientPublisher) due(now time.Time, d clientDemand) (send int, again time.Time) {
	n := p.want(d) - p.inFlight
	if n <= 0 {
		return 0, time.Time{}
	}
	if now.Before(p.until) {
		return 0, p.until
	}
	return n, time.Time{}
}

// answered counts an answer with values, one without, and one without that came before its time. interval is that of its subscription. It reports whether a pause
// began.
func (p *clientPublisher) answered(now time.Time, values, early bool, interval time.Duration) (paused bool) {
	switch {
	case values:
		p.early, p.calm, p.pause = 0, 0, 0
		return false
	case !early:
		if p.calm++; p.pause == 0 || p.calm >= calmAnswers { // the first one after a pause is in time whatever the server does
			p.early, p.pause = 0, 0
		}
		return false
	}
	p.calm = 0
	if p.early++; p.early < emptiesBorne || now.Before(p.until) {
		return false
	}
	p.pause = min(max(2*p.pause, interval, pauseFloor), pauseCeiling)
	p.until = now.Add(p.pause)
	return true
}

// tooMany takes the word of the server that it queues no more. One that has queued none yet is asked again later.
func (p *clientPublisher) tooMany(now time.Time) (most int) {
	if p.most = max(p.inFlight, 1); p.inFlight == 0 {
		p.pause = min(max(2*p.pause, pauseFloor), pauseCeiling)
		p.until = now.Add(p.pause)
	}
	return p.most
}
