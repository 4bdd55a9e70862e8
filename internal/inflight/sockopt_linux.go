package inflight

import (
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of linux/tcp.h, in milliseconds; package syscall does not name it.
const tcpUserTimeout = 0x12

// userTimeout returns a net.Dialer.Control that bounds how long sent bytes stay unacknowledged. Without it a request to a dead device is
// sent again for a quarter of an hour (tcp_retries2).
func userTimeout(d time.Duration) func(network, address string, c syscall.RawConn) error {
	if d < 0 {
		return nil
	}
	return func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(d.Milliseconds()))
		})
		if err != nil {
			return err
		}
		return failed
	}
}
