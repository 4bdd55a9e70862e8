// Package capture records the bytes of TCP connections through a proxy and has Wireshark's dissector read them.
package capture

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Proxy forwards connections to one target and records what goes through, both ways.
type Proxy struct {
	Addr string // where to connect
	Recording

	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	next  uint16
}

// Recording is what connections carried, in order. The zero value is empty; Add may be called from any goroutine.
type Recording struct {
	mu       sync.Mutex
	segments []segment
}

// Add records that connection conn (from 1) carried data now. data is copied.
func (r *Recording) Add(conn uint16, fromPeer bool, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.segments = append(r.segments, segment{time.Now(), conn, fromPeer, append([]byte(nil), data...)})
}

// segment is one piece of one direction of one connection.
type segment struct {
	at       time.Time
	conn     uint16
	fromPeer bool // from the target to the client
	data     []byte
}

// NewProxy starts a proxy to target; it ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return NewProxyAt(t, l, target)
}

// NewProxyAt is NewProxy at a listener, which is the proxy's from then on.
func NewProxyAt(t testing.TB, l net.Listener, target string) *Proxy {
	t.Helper()
	p := &Proxy{Addr: l.Addr().String(), target: target, listener: l, conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	t.Cleanup(p.Close)
	return p
}

// Close ends all connections and waits for what they still carry.
func (p *Proxy) Close() {
	p.listener.Close()
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// Cut ends the connections that are there now; the next one is taken.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
		delete(p.conns, c)
	}
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		up, err := net.Dial("tcp", p.target)
		if err != nil {
			c.Close()
			continue
		}
		p.mu.Lock()
		p.next++
		n := p.next
		p.conns[c], p.conns[up] = true, true
		p.mu.Unlock()
		p.wg.Go(func() { p.forward(n, up, c, false) })
		p.wg.Go(func() { p.forward(n, c, up, true) })
	}
}

func (p *Proxy) forward(n uint16, to, from net.Conn, fromPeer bool) {
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		k, err := from.Read(buf)
		if k > 0 {
			p.Add(n, fromPeer, buf[:k])
			if _, err := to.Write(buf[:k]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// Stream returns all bytes of connection n (from 1) in one direction.
func (r *Recording) Stream(n int, fromPeer bool) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []byte
	for _, s := range r.segments {
		if int(s.conn) == n && s.fromPeer == fromPeer {
			out = append(out, s.data...)
		}
	}
	return out
}

// Conns returns how many connections went through.
func (p *Proxy) Conns() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int(p.next)
}

const (
	linkRaw    = 101 // packets begin with the IP header
	clientPort = 40000
	maxPayload = 1400
)

// writePcap writes what was recorded as a capture with made-up IP and TCP headers; the target's port is port.
func (r *Recording) writePcap(path string, port uint16) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	le := binary.LittleEndian
	out := le.AppendUint32(nil, 0xA1B2C3D4)
	out = le.AppendUint16(out, 2)
	out = le.AppendUint16(out, 4)
	out = append(out, make([]byte, 8)...)
	out = le.AppendUint32(out, 65535)
	out = le.AppendUint32(out, linkRaw)
	sequence := map[uint16]*[2]uint32{}
	for _, s := range r.segments {
		seq := sequence[s.conn]
		if seq == nil {
			seq = &[2]uint32{1, 1}
			sequence[s.conn] = seq
		}
		for rest := s.data; len(rest) > 0; {
			n := min(len(rest), maxPayload)
			packet := tcpPacket(s, rest[:n], seq, port)
			out = le.AppendUint32(out, uint32(s.at.Unix()))
			out = le.AppendUint32(out, uint32(s.at.Nanosecond()/1000))
			out = le.AppendUint32(out, uint32(len(packet)))
			out = le.AppendUint32(out, uint32(len(packet)))
			out = append(out, packet...)
			rest = rest[n:]
		}
	}
	return os.WriteFile(path, out, 0o600)
}

func tcpPacket(s segment, data []byte, seq *[2]uint32, port uint16) []byte {
	src, dst := clientPort+s.conn, port
	from, to := [4]byte{127, 0, 0, 1}, [4]byte{127, 0, 0, 2}
	own, other := 0, 1
	if s.fromPeer {
		src, dst, from, to, own, other = dst, src, to, from, 1, 0
	}
	be := binary.BigEndian
	ip := []byte{0x45, 0}
	ip = be.AppendUint16(ip, uint16(40+len(data)))
	ip = append(ip, 0, 0, 0x40, 0, 64, 6, 0, 0)
	ip = append(append(ip, from[:]...), to[:]...)
	ip = be.AppendUint16(ip, src)
	ip = be.AppendUint16(ip, dst)
	ip = be.AppendUint32(ip, seq[own])
	ip = be.AppendUint32(ip, seq[other])
	ip = append(ip, 5<<4, 0x18, 0xFF, 0xFF, 0, 0, 0, 0)
	seq[own] += uint32(len(data))
	return append(ip, data...)
}

// Dissect has tshark read the recording as protocol on port and returns the number of frames of it: one for each value of field.
// A frame that the dissector calls malformed fails the test.
func (r *Recording) Dissect(t testing.TB, port uint16, protocol, field string) int {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run.pcap")
	if err := r.writePcap(path, port); err != nil {
		t.Fatal(err)
	}
	const malformed = "_ws.malformed"
	cmd := exec.Command("tshark", "-r", path, "-d", "tcp.port=="+strconv.Itoa(int(port))+","+protocol, "-T", "fields", "-E", "occurrence=a",
		"-e", "frame.number", "-e", field, "-e", malformed, "-e", "_ws.expert.message")
	stderr := &strings.Builder{}
	cmd.Stderr = io.Writer(stderr)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v: %s", err, stderr)
	}
	frames := 0
	for _, line := range strings.Split(strings.TrimRight(string(out), "\n"), "\n") {
		cells := strings.Split(line, "\t")
		if len(cells) < 3 {
			continue
		}
		if cells[1] != "" {
			frames += 1 + strings.Count(cells[1], ",")
		}
		if cells[2] != "" {
			t.Errorf("malformed in packet %s: %s", cells[0], line)
		}
	}
	return frames
}
