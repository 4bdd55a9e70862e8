package resilience

import "time"

// RTO reckons how long to wait for a reply from how long replies took [RFC 6298]:
//
//	SRTT += (R - SRTT)/8, RTTVAR += (|SRTT - R| - RTTVAR)/4, timeout = SRTT + max(G, 4*RTTVAR)
//
// within a floor and a ceiling. A timeout doubles it until the next sample, and requests that were on their way together do so once. Under the rule for links that jitter (Jitter), newer samples weigh twice as much, the timeout
// is SRTT + 2*RTTVAR, and only the second timeout in a row doubles it: what is lost is repeated sooner. A reply that came late was not lost: for the next samples it is SRTT + 4*RTTVAR, or a
// link whose replies are all there would be asked twice for each of its slower ones. Make one with NewRTO.
type RTO struct {
	quick          bool  // the rule for links that jitter holds
	once           bool  // one request timed out since the last sample
	patient        uint8 // samples since the last late reply, counted down
	floor, ceiling time.Duration
	srtt, rttvar   time.Duration
	rto            time.Duration
	waited         time.Duration // what the request waited that timed out last
	sampled        bool
}

const (
	initialRTO  = time.Second      // before the first sample [RFC 6298 2.1]
	granularity = time.Millisecond // G, the clock's grain
	patientFor  = 64               // samples
)

// NewRTO returns an estimator without a sample: one second, within floor and ceiling.
func NewRTO(floor, ceiling time.Duration) RTO {
	return RTO{floor: floor, ceiling: ceiling, rto: min(max(initialRTO, floor), ceiling)}
}

// Timeout returns how long to wait for the next reply.
func (r *RTO) Timeout() time.Duration { return r.rto }

// SRTT returns the smoothed round trip, 0 before the first sample.
func (r *RTO) SRTT() time.Duration { return r.srtt }

// Var returns the smoothed mean deviation of the round trip.
func (r *RTO) Var() time.Duration { return r.rttvar }

// Sample takes the round trip of a reply. One to a request that was sent more than once under the same id says nothing, since
// it may answer any of them: it is ignored, and the doubled timeout stays (Karn) [RFC 6298 3].
func (r *RTO) Sample(rtt time.Duration, repeated bool) {
	if repeated || rtt < 0 {
		return
	}
	weight, k := time.Duration(1), time.Duration(4)
	if r.quick {
		weight, k = 2, 2
	}
	if r.patient > 0 {
		r.patient--
		k = 4
	}
	if !r.sampled {
		r.sampled, r.srtt, r.rttvar = true, rtt, rtt/2
	} else {
		r.rttvar += weight * (abs(r.srtt-rtt) - r.rttvar) / 4
		r.srtt += weight * (rtt - r.srtt) / 8
	}
	r.rto = min(max(r.srtt+max(granularity, k*r.rttvar), r.floor), r.ceiling)
	r.once = false
}

// Quick says whether the rule for links that jitter holds from now on.
func (r *RTO) Quick(on bool) { r.quick = on }

// TimedOut doubles the timeout [RFC 6298 5.5], unless it was doubled since the request was sent: of several that were on their way together each would else double what the one
// before it has doubled. after is what the request had waited.
func (r *RTO) TimedOut(after time.Duration) {
	r.waited = after
	if 2*after <= r.rto {
		return
	}
	if r.quick && !r.once {
		r.once = true
		return
	}
	r.rto = min(2*r.rto, r.ceiling)
}

// Late takes a reply that came by after its request had timed out: its true round trip is the wait and by, an honest sample,
// and the timeout is that long at least. A duplicate, by 0, says nothing.
func (r *RTO) Late(by time.Duration) {
	if by <= 0 {
		return
	}
	rtt := r.waited + by
	r.patient = patientFor
	r.Sample(rtt, false)
	r.rto = min(max(r.rto, rtt), r.ceiling)
}

func abs(d time.Duration) time.Duration { return max(d, -d) }
