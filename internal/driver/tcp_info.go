package driver

import (
	"syscall"

	"millrace/internal/device"
)

// tcpProbe looks at a connection's socket. It is of whose turn the session is.
type tcpProbe struct {
	socket syscall.RawConn  // nil: there is none to look at
	look   func(fd uintptr) // made once
	info   device.TCPInfo
	known  bool
}

// newTCPProbe returns one for a client whose connection has a socket, and one that knows nothing for any other.
func newTCPProbe(client any) tcpProbe {
	c, ok := client.(syscall.Conn)
	if !ok {
		return tcpProbe{}
	}
	socket, err := c.SyscallConn()
	if err != nil {
		return tcpProbe{}
	}
	return tcpProbe{socket: socket}
}

// read asks the system. It answers false where the system does not tell, and on a connection that was closed.
func (p *tcpProbe) read() (device.TCPInfo, bool) {
	if p.socket == nil {
		return device.TCPInfo{}, false
	}
	if p.look == nil {
		p.look = func(fd uintptr) { p.info, p.known = tcpInfo(fd) }
	}
	p.known = false
	if err := p.socket.Control(p.look); err != nil {
		return device.TCPInfo{}, false
	}
	return p.info, p.known
}
