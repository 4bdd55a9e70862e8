//go:build !linux

package inflight

import (
	"syscall"
	"time"
)

// userTimeout is for Linux; elsewhere keepalive alone finds a dead peer.
func userTimeout(time.Duration) func(network, address string, c syscall.RawConn) error { return nil }
