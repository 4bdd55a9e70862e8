//go:build !linux || 386 || s390x

package driver

import "millrace/internal/device"

// tcpInfo is for Linux.
func tcpInfo(uintptr) (device.TCPInfo, bool) { return device.TCPInfo{}, false }
