package ctxtest

import "time"

// Impatient makes hung bubbles known soon.
func Impatient() Option { return func(o *options) { o.patient = 300 * time.Millisecond } }

// ParseDump is for the tests.
var ParseDump = parseDump
