//go:build !linux

package listen

import "context"

// raw is the way around net.Conn that only Linux has.
func (l *loop) raw() (run func(context.Context) error, ok bool) { return nil, false }
