package device

import "time"

// Plans are made with what a request is worth in bytes. It is measured, and what was measured makes a plan anew when that differs by worthStep or more from what
// the plan was made with: often enough to follow a device, seldom enough not to plan for noise.
const (
	worthEvery = 256  // requests between two looks
	worthLeast = 4    // bytes: less and nothing is ever merged
	worthMost  = 4096 // more than any reply holds: everything that fits is merged
	worthStep  = 1.5
)

// reckon learns what a request is worth to u now and then.
func (u *unit) reckon() {
	if worth, news := u.worth(); news {
		u.learn(Limits{RequestWorth: worth})
	}
}

// worth returns what a request is worth by what was measured, and whether plans should know.
func (u *unit) worth() (worth int, news bool) {
	p, ok := u.driver.(Pricer)
	if !ok {
		return 0, false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.cost.Samples()-u.priced < worthEvery {
		return 0, false
	}
	u.priced = u.cost.Samples()
	was := u.price(p)
	is := u.cost.Worth(was, worthLeast, worthMost)
	return is, float64(is) >= worthStep*float64(was) || float64(was) >= worthStep*float64(is)
}

// price returns what plans are made with. What was learned is the prior of what is measured next: a plan that merges all leaves requests of one
// size, which say nothing. The caller holds mu.
func (u *unit) price(p Pricer) int {
	if u.limits.RequestWorth != 0 {
		return u.limits.RequestWorth
	}
	return p.RequestWorth()
}

// costs returns what a request and a byte cost, 0 when that is not known. The caller holds mu.
func (u *unit) costs() (request, perByte time.Duration) {
	p, ok := u.driver.(Pricer)
	if !ok {
		return 0, 0
	}
	request, b := u.cost.Fit(u.price(p))
	return request, time.Duration(b)
}

// smooth returns the mean of durations that lies an eighth of the way from was to is.
func smooth(was, is time.Duration) time.Duration {
	if was == 0 {
		return is
	}
	return was + (is-was)/8
}
