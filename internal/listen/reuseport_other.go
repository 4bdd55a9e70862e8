//go:build !linux || mips || mipsle || mips64 || mips64le

package listen

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
)

func reusePort(syscall.RawConn) error {
	return fmt.Errorf("listen: several sockets on one port on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
