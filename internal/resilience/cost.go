package resilience

import "time"

// Cost learns what a request costs a device and what a byte does, from how long requests took it: T = request*k + bytes*B for k requests of B bytes
// together. It is the least-squares fit of what was seen lately, each sample counting 255/256 of the one after it. Requests of one size do not tell
// the two apart: then a prior ratio between them holds. The zero value has seen nothing.
type Cost struct {
	kk, kb, bb, kt, bt float64 // weighted sums of products; times in ns
	mean               float64 // time of a request, lately
	samples            uint32
}

const (
	costMemory   = 256  // samples that count, about
	costPrior    = 0.02 // of a sample that the prior ratio is worth: it decides where nothing else does
	costOutlier  = 4    // times the mean: what took longer was not the request's own doing
	costSettling = 16   // samples before anything is cut off
)

// Sample takes that n requests of so many bytes together, both ways, took t. Requests that were on their way beside others count with the time
// since the answer before theirs: that is what each added.
func (c *Cost) Sample(n, bytes int, t time.Duration) {
	if n <= 0 || bytes <= 0 || t <= 0 {
		return
	}
	k, b, ns := float64(n), float64(bytes), float64(t)
	if c.samples >= costSettling {
		ns = min(ns, costOutlier*c.mean*k)
	}
	if c.samples == 0 {
		c.mean = ns / k
	} else {
		c.mean += (ns/k - c.mean) / 16
	}
	const keep = 1 - 1.0/costMemory
	c.kk, c.kb, c.bb = c.kk*keep+k*k, c.kb*keep+k*b, c.bb*keep+b*b
	c.kt, c.bt = c.kt*keep+k*ns, c.bt*keep+b*ns
	c.samples++
}

// Samples returns how many there were.
func (c *Cost) Samples() int { return int(c.samples) }

// Fit returns what a request costs, and a byte, both of at least 0; byteCost is in ns. prior is how many bytes cost as much as a request where the samples do not tell.
func (c *Cost) Fit(prior int) (request time.Duration, byteCost float64) {
	if c.samples == 0 {
		return 0, 0
	}
	// Added to the squares is costPrior*(a - prior*b)^2: a fit of a to prior*b.
	r := float64(max(prior, 1))
	kk, kb, bb := c.kk+costPrior, c.kb-costPrior*r, c.bb+costPrior*r*r
	det := kk*bb - kb*kb
	if det <= 0 {
		return time.Duration(c.kt / c.kk), 0
	}
	a, b := (c.kt*bb-c.bt*kb)/det, (c.bt*kk-c.kt*kb)/det
	switch {
	case b < 0: // longer requests were quicker: a byte costs nothing that can be seen
		return time.Duration(c.kt / c.kk), 0
	case a < 0: // all of the time is in the bytes
		return 0, c.bt / c.bb
	}
	return time.Duration(a), b
}

// Worth returns how many bytes cost as much as one more request, between least and most.
func (c *Cost) Worth(prior, least, most int) int {
	request, byteCost := c.Fit(prior)
	switch {
	case c.samples == 0:
		return prior
	case byteCost <= 0 || float64(request) >= byteCost*float64(most):
		return most
	}
	return max(least, int(float64(request)/byteCost))
}
