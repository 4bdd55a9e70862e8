package heal

import "slices"

// held is what a run that is under way has to itself: a rule and a subject, or, without a rule, a device.
type held struct{ rule, of string }

func (h held) by(r *run) bool {
	if h.rule == "" {
		return slices.Contains(r.Devices, h.of)
	}
	return r.Rule == h.rule && r.Subject == h.of
}

// hands finds runs by what they hold. They are asked for each device of each rule, and there may be as many of them.
type hands map[held]*run

func (h hands) add(r *run) {
	h[held{r.Rule, r.Subject}] = r
	for _, d := range r.Devices {
		h[held{"", d}] = r
	}
}

// holder returns the run under way that holds h, nil when there is none.
func (e *Engine) holder(h held) *run {
	if e.hands == nil {
		e.hands = hands{}
		for _, r := range e.runs {
			if r.active() {
				e.hands.add(r)
			}
		}
	}
	r := e.hands[h]
	if r == nil || r.active() {
		return r
	}
	// That one has ended since the hands were looked at. Runs of before the last restart may have shared with it.
	i := slices.IndexFunc(e.runs, func(r *run) bool { return r.active() && h.by(r) })
	if i < 0 {
		return nil
	}
	return e.runs[i]
}

// busy says whether a run has the device in its hands.
func (e *Engine) busy(device string) bool { return e.holder(held{"", device}) != nil }
