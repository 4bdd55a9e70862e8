package heal

import "time"

// oversleptFrom is how late a look has to come for nobody to have looked meanwhile: the process was stopped, or the machine asleep.
const oversleptFrom = 2 * time.Second

// oversleep takes by how much a look comes late.
func (r *Runner) oversleep(late time.Duration) {
	if late < oversleptFrom {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.engine.Slept(late)
}

// Slept says that nobody looked for so long. A condition has not been seen to hold meanwhile, and what was done has had no chance to help: neither gets any older. Rests and what is undone
// later go on, for they are by the clock.
func (e *Engine) Slept(d time.Duration) {
	for _, s := range e.rules {
		for _, x := range s.subjects {
			x.since = later(x.since, d)
		}
	}
	for _, r := range e.runs {
		if r.phase == verifying {
			r.until, r.holds = later(r.until, d), later(r.holds, d)
		}
	}
}

// later moves a time, but not the zero one, which is none.
func later(t time.Time, d time.Duration) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(d)
}
