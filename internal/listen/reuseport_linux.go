//go:build linux && !mips && !mipsle && !mips64 && !mips64le

package listen

import "syscall"

// soReusePort is SO_REUSEPORT, which package syscall does not have for every Linux. (The machines left out above number it otherwise.)
const soReusePort = 15

func reusePort(rc syscall.RawConn) error {
	var err error
	if cerr := rc.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soReusePort, 1) }); cerr != nil {
		return cerr
	}
	return err
}
