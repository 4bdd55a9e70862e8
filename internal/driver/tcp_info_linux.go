//go:build !386 && !s390x

package driver

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"millrace/internal/device"
)

// tcpInfo asks for TCP_INFO of linux/tcp.h. unix.GetsockoptTCPInfo would allocate 248 bytes each time. What an older kernel does not fill in stays 0. The two
// machines left out above have no such call of their own.
func tcpInfo(fd uintptr) (device.TCPInfo, bool) {
	var t unix.TCPInfo
	size := uint32(unix.SizeofTCPInfo)
	_, _, errno := syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO, uintptr(unsafe.Pointer(&t)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return device.TCPInfo{}, false
	}
	return device.TCPInfo{
		RTT: micro(t.Rtt), RTTVar: micro(t.Rttvar), MinRTT: micro(t.Min_rtt), Timeout: micro(t.Rto),
		Segments: t.Data_segs_out, Retransmits: t.Total_retrans, Backoff: t.Retransmits, Unacked: t.Unacked, Unsent: t.Notsent_bytes,
		LastSent: milli(t.Last_data_sent), LastReceived: milli(t.Last_data_recv), LastAck: milli(t.Last_ack_recv),
	}, true
}

func micro(n uint32) time.Duration { return time.Duration(n) * time.Microsecond }
func milli(n uint32) time.Duration { return time.Duration(n) * time.Millisecond }
