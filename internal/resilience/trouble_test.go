package resilience

import (
	"math/rand/v2"
	"testing"
	"time"
)

// The rule begins with 25 ms of deviation or 3 % lost, ends below 15 ms and 1 %, and a late reply was not lost.
func TestJitter(t *testing.T) {
	var j Jitter
	feed := func(n int, rtts ...time.Duration) {
		for i := range n {
			j.Replied(rtts[i%len(rtts)])
		}
	}
	feed(31, 10*ms, 110*ms)
	if j.On() {
		t.Error("31 round trips are enough")
	}
	feed(1, 110*ms)
	if !j.On() || j.Deviation() < 45*ms || j.Deviation() > 55*ms {
		t.Errorf("on %v with a deviation of %v, want 50ms", j.On(), j.Deviation())
	}
	feed(400, 10*ms, 50*ms)
	if !j.On() {
		t.Errorf("off with a deviation of %v", j.Deviation())
	}
	feed(400, 10*ms, 30*ms)
	if j.On() {
		t.Errorf("on with a deviation of %v", j.Deviation())
	}
	feed(400, 10*ms, 50*ms)
	if j.On() {
		t.Errorf("on again with a deviation of %v", j.Deviation())
	}
	j = Jitter{}
	for i := range 128 {
		if i%32 == 31 {
			j.Lost()
		} else {
			j.Replied(10 * ms)
		}
	}
	if !j.On() || j.Loss() != 4.0/128 {
		t.Errorf("on %v with %v lost", j.On(), j.Loss())
	}
	j.Late()
	j.Late()
	j.Late()
	if j.Loss() != 1.0/128 || j.On() {
		t.Errorf("on %v with %v lost after three came late", j.On(), j.Loss())
	}
	j.Lost()
	if j.Replied(10 * ms); j.On() {
		t.Error("on with 2 of 128")
	}
	for range 128 {
		j.Replied(10 * ms)
	}
	if j.Loss() != 0 {
		t.Errorf("%v lost of a window without losses", j.Loss())
	}
	j.Late()
	if j = (Jitter{}); j.Loss() != 0 {
		t.Error("of nothing something is lost")
	}
}

// Under the rule for links that jitter the timeout is shorter, follows faster, and doubles with the second loss only.
func TestRTOQuick(t *testing.T) {
	calm, quick := NewRTO(ms, time.Minute), NewRTO(ms, time.Minute)
	quick.Quick(true)
	for range 20 {
		for _, rtt := range []time.Duration{40 * ms, 120 * ms} {
			calm.Sample(rtt, false)
			quick.Sample(rtt, false)
		}
	}
	if quick.Timeout() >= calm.Timeout() || quick.Timeout() < 120*ms {
		t.Errorf("timeout %v, by the calm rule %v", quick.Timeout(), calm.Timeout())
	}
	before := quick.Timeout()
	if quick.TimedOut(before); quick.Timeout() != before {
		t.Errorf("the first loss moved the timeout from %v to %v", before, quick.Timeout())
	}
	if quick.TimedOut(before); quick.Timeout() != 2*before {
		t.Errorf("the second loss moved it to %v", quick.Timeout())
	}
	quick.Sample(80*ms, false)
	after := quick.Timeout()
	if quick.TimedOut(after); quick.Timeout() != after {
		t.Error("a sample did not end the run")
	}
}

// A letter a read: o whole, p half of it missing, m a thirtieth missing, x nothing, l a lesser way worked, + on, - off by hand, a space is a minute. The digit is the level after it.
func TestLadder(t *testing.T) {
	site := Site()
	site.Probes = 3
	never := site
	never.NoDegrade = true
	for _, c := range []struct {
		name    string
		p       Profile
		in, out string
	}{
		{"down where less works, and up by whole reads", site, "xlooooooo", "011100000"},
		{"two in part, in a row", site, "popopp", "000001"},
		{"never below single for reads in part", site, "ppppp", "01122"},
		{"a whole read on trial proves the level", site, "llooooooo", "122211100"},
		{"a read that is small at any level proves none", site, "llooo" + "sss" + "x" + "oooooo", "12221" + "111" + "2" + "222221"},
		{"the trial fails: back, and twice as many whole reads before the next", site, "looo" + "x" + "oooooo" + "p" + "oooooooooooo", "1110" + "1" + "111110" + "1" + "111111111110"},
		{"single reads are no better: full, and not down again within a minute", site, "ppppmmmm" + "pppppppp" + "pppp" + " pp", "01122222" + "22200000" + "0000" + " 11"},
		{"down to cached and no further", site, "lllll", "12333"},
		{"a link that loses: less brings no more than full did", site, "ooooL" + "pppppppp", "00001" + "12222222" + ""},
		{"never", never, "lpppplpp", "00000000"},
		{"by hand", site, "+oooooooo-oooooo", "2222222222111000"},
	} {
		l, now := NewLadder(c.p), time.Unix(0, 0)
		got := ""
		for _, what := range c.in {
			switch what {
			case ' ':
				now = now.Add(time.Minute)
				got += " "
				continue
			case 'o':
				l.Whole(now, true)
			case 's':
				l.Whole(now, false)
			case 'p':
				l.Part(now, 0.5)
			case 'm':
				l.Part(now, 1.0/30)
			case 'x':
				l.Failed(false)
			case 'l':
				l.Less(0)
			case 'L':
				l.Less(0.1) // on a link that loses a tenth
			case '+', '-':
				l.Hold(what == '+')
			}
			got += string(rune('0' + l.Level()))
		}
		if got != c.out {
			t.Errorf("%s: %s leads to\n%s, want\n%s", c.name, c.in, got, c.out)
		}
	}
}

// Timeouts of single devices do not halve a rate; what began before it was halved does not halve it again; when nobody was there it comes back fast.
func TestAIMD(t *testing.T) {
	a, now := NewAIMD(400), time.Unix(0, 0)
	for i := range 2000 {
		if now = now.Add(5 * ms / 2); i%20 == 0 {
			a.TimedOut(now, now)
		} else {
			a.OK(now, now, false)
		}
	}
	if a.Rate() != 400 || a.Cuts() != 0 {
		t.Errorf("with one of 20 lost the rate is %v, halved %d times", a.Rate(), a.Cuts())
	}
	began := now
	for range 50 {
		now = now.Add(5 * ms / 2)
		a.TimedOut(began, now)
	}
	if a.Rate() != 200 || a.Cuts() != 1 {
		t.Errorf("one flight of timeouts leaves %v, halved %d times", a.Rate(), a.Cuts())
	}
	for range 100 {
		now = now.Add(time.Second)
		a.TimedOut(now, now)
	}
	for range 100 {
		a.TimedOut(now, now)
		a.TimedOut(now, now)
		a.TimedOut(now, now)
	}
	if a.Rate() != 25 {
		t.Errorf("the least rate is %v, want a sixteenth", a.Rate())
	}
	for range 375 {
		now = now.Add(ms)
		a.OK(now, now, false)
	}
	if a.Rate() < 200 {
		t.Errorf("%v after 375 came", a.Rate())
	}
	if low := NewAIMD(0.5); low.Rate() != 0.5 {
		t.Errorf("%v", low.Rate())
	}
}

// Replies that are late, not lost, are waited for: a link that is slow, and varies less than it takes to be one that jitters, is not asked twice for each of its slower replies.
func TestQuickRuleWaitsForWhatComes(t *testing.T) {
	r, src := NewRTO(200*ms, 2*time.Second), rand.New(rand.NewPCG(1, 2))
	for range 100 {
		r.Sample(ms, false)
	}
	r.Quick(true)
	late := 0
	for i := range 5000 {
		rtt := 190*ms + time.Duration(src.Int64N(int64(60*ms)))
		if wait := r.Timeout(); rtt > wait {
			r.TimedOut(wait)
			r.Late(rtt - wait)
			if i > 100 {
				late++
			}
			continue
		}
		r.Sample(rtt, false)
	}
	if late > 100 {
		t.Errorf("%d of 5000 replies that all came were given up", late)
	}
}

func TestBatchFailures(t *testing.T) {
	for loss, want := range map[float64]int{0: 2, 0.01: 2, 0.02: 3, 0.1: 4, 0.3: 8, 0.9: 16, 1: 16} {
		if got := BatchFailures(loss); got != want {
			t.Errorf("loss %v: %d, want %d", loss, got, want)
		}
	}
}
