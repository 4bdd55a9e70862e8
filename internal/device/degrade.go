package device

import "time"

// writesPaused says why nothing is written to u now, "" when nothing is against it.
func (u *unit) writesPaused(time.Time) (reason string) { return "" }
