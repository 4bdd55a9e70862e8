package ledger

import (
	"context"
	"time"
)

// standing is how many checks in a row must find a residue before it is one: values on their way are not.
const standing = 3

// Run checks the ledger every so often until ctx ends. alarm is called, from this goroutine, when a residue has stood for three checks
// in a row, again when a standing residue changes, and once with a residue of 0 when it is gone.
func (l *Ledger) Run(ctx context.Context, every time.Duration, alarm func(Snapshot)) error {
	t := time.NewTicker(every)
	defer t.Stop()
	var w watch
	defer l.remember(nil)
	var checked []int64
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			s := l.take()
			checked = append([]int64{s.Residue}, checked[:min(len(checked), standing-2)]...)
			l.remember(checked)
			if w.see(s.Residue) {
				alarm(s)
			}
		}
	}
}

// remember keeps the residues of the last checks for Snapshot.
func (l *Ledger) remember(checked []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.checked = checked
}

// watch decides which residues are alarms. It looks at the least of standing checks.
type watch struct {
	bad     int   // checks in a row with a residue, since the last verdict
	least   int64 // the smallest of them
	alarmed int64 // what the last alarm said
}

// see takes the residue of a check and says whether to alarm.
func (w *watch) see(residue int64) bool {
	if residue == 0 {
		was := w.alarmed
		*w = watch{}
		return was != 0
	}
	if w.bad == 0 || residue < w.least {
		w.least = residue
	}
	if w.bad++; w.bad < standing {
		return false
	}
	was := w.alarmed
	w.bad, w.alarmed = 0, w.least
	return w.alarmed != was
}
