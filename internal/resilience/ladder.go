package resilience

import "time"

// Ladder is how little is asked for at once of a device whose large requests fail:
//
//	          batches fail where less works; two reads in a row in part
//	full ──────────────────────► halved ──────────────────────► single ──────────────────────► cached
//	 ▲   ◄──────────────────────        ◄──────────────────────        ◄──────────────────────
//	 │        as many whole reads as it takes probes, then one a level up: that fails, and it waits twice as long
//	 └── asking for less did not bring more: full, and not less again for a while
//
// Reads in part never lead to cached, which gives up what does come. It is pure: the clock is passed in. Make one with NewLadder.
type Ladder struct {
	level  uint8
	off    bool // full, always
	held   bool // by hand: no way up until it is let go
	trial  bool // the next read decides whether this level holds
	inPart uint8
	probes uint16
	need   uint16 // whole reads in a row before the next level up is tried
	whole  uint16 // of these
	turns  uint16 // at this level

	missing float32 // share of the values that reads leave out, smoothed
	before  float32 // the same at full
	hold    time.Duration
	until   time.Time // not less before, because of reads in part
}

// The levels of a Ladder.
const (
	Full uint8 = iota
	Halved
	Single
	Cached
)

const (
	partsDown  = 2 // reads in part, one after the other, that lead down
	judgeAfter = 8 // reads at a level that tell whether it brings more

	leastHold, mostHold = time.Minute, time.Hour
	mostNeed            = 16 // times probes
)

// NewLadder returns the ladder of a profile, at full.
func NewLadder(p Profile) Ladder {
	p = p.WithDefaults()
	n := uint16(min(p.Probes, 1000))
	return Ladder{off: p.NoDegrade, probes: n, need: n, hold: leastHold}
}

// Level returns how little is asked for now.
func (l *Ladder) Level() uint8 { return l.level }

// Whole takes a read of which all came, and says whether the level is another one now. proves says that it was of a size which depends on the level: none else ends a trial.
func (l *Ladder) Whole(now time.Time, proves bool) bool {
	l.inPart = 0
	if l.trial && !proves {
		return false
	}
	if l.trial {
		l.trial = false
		if l.level == Full {
			l.need = l.probes
		}
	}
	return l.read(now, 0) || l.up()
}

// Part takes a read of which that share of the values did not come.
func (l *Ladder) Part(now time.Time, missing float64) bool {
	l.whole = 0
	if l.trial {
		return l.back()
	}
	if l.read(now, float32(missing)) {
		return true
	}
	l.inPart++
	if l.inPart < partsDown || l.off || l.held || l.level >= Single || now.Before(l.until) {
		return false
	}
	if l.level == Full {
		l.before = l.missing
	}
	return l.down()
}

// Failed takes a read of which nothing came, or its repetition, which is no read of its own.
func (l *Ladder) Failed(repeated bool) bool {
	l.whole = 0
	if l.trial {
		return l.back()
	}
	if l.level == Full && !repeated {
		l.miss(1)
	}
	return false
}

// Less takes the news that one value came where a whole batch had failed again and again, on a link that loses that share of requests whatever their size.
func (l *Ladder) Less(loss float64) bool {
	if l.off || l.held || l.level == Cached {
		return false
	}
	switch {
	case loss < lossOn:
		l.before = 1 // it is not the link
	case l.level == Full:
		l.before = max(l.missing, float32(loss))
	}
	return l.down()
}

// BatchFailures returns how many times in a row a batch must have failed where one value came to show that it is for its size: twice, and on a link that loses that share of requests as many
// as happen by chance once in ten thousand reads.
func BatchFailures(loss float64) int {
	n := 2
	for p := loss * loss; p > 1.1e-4 && n < mostBatchFailures; p *= loss {
		n++
	}
	return n
}

const mostBatchFailures = 16

// Hold puts the ladder at single reads and keeps it there, or lets it go up again.
func (l *Ladder) Hold(on bool) bool {
	l.held, l.trial = on, false
	if on && l.level < Single {
		l.become(Single)
		return true
	}
	l.whole = l.need // it has proven nothing, but somebody wants it tried
	return false
}

// read counts a read at this level, and leaves the level when it brings no more than full did.
func (l *Ladder) read(now time.Time, missing float32) bool {
	l.miss(missing)
	if l.level == Full {
		return false
	}
	if l.turns < judgeAfter {
		l.turns++
	}
	if l.turns < judgeAfter || l.held || l.missing <= l.before/2 {
		return false
	}
	l.until = now.Add(l.hold)
	l.hold = min(2*l.hold, mostHold)
	l.become(Full)
	return true
}

func (l *Ladder) miss(share float32) { l.missing += (share - l.missing) / 4 }

// up tries the next level when enough reads came whole.
func (l *Ladder) up() bool {
	if l.level == Full || l.held {
		return false
	}
	if l.whole++; l.whole < l.need {
		return false
	}
	l.become(l.level - 1)
	l.trial = true
	return true
}

// back leaves a level that did not hold, and waits longer before the next trial.
func (l *Ladder) back() bool {
	l.need = min(2*l.need, mostNeed*l.probes)
	l.become(l.level + 1)
	return true
}

func (l *Ladder) down() bool {
	l.become(l.level + 1)
	return true
}

func (l *Ladder) become(level uint8) {
	l.level, l.trial, l.inPart, l.whole, l.turns = level, false, 0, 0, 0
}
