//go:build !linux || 386 || s390x

package listen

import "context"

// raw is the way around net.Conn that only Linux has, and not on every machine.
func (l *loop) raw() (run func(context.Context) error, ok bool) { return nil, false }

type trying struct{}

// try sends nothing: there is no way to ask a socket what it takes.
func (c *Conn) try([]byte) int { return 0 }
