package driver

import (
	"context"
	"encoding/binary"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/modbus"
)

// fake is a Modbus device on loopback whose answers a test decides. It keeps a memory, refuses what it is told to, and counts.
type fake struct {
	mu       sync.Mutex
	mem      memory
	unmapped []device.Span // by area digit
	mapCode  modbus.ExceptionCode
	maxRegs  int
	maxBits  int
	unknown  map[modbus.Function]bool
	answer   map[uint8]modbus.ExceptionCode // by unit: every request
	mute     bool                           // no replies
	requests []string                       // one line each since the last take
	inFlight int                            // most requests that came in one segment
	bursts   int                            // segments with more than one
	conns    int
	served   []int // requests on each connection
	doomed   int   // requests until the connection is ended that the last of them comes on, unanswered
	news     chan struct{}
	bears    int // requests in one segment; 0 is any number
	beyond   burstMode
	addr     string
}

// burstMode is what a fake does with more requests in one segment than it bears.
type burstMode int

const (
	answersSome burstMode = iota // those that it bears
	reverses                     // answers in the reverse order
	hangsUp
	hangs   // answers those that it bears, and then nothing more on that connection
	isBusy  // refuses the rest with exception 6
	repeats // answers the last one twice
)

// fakeOfPipes is a fake without an address: the test makes its connections.
func fakeOfPipes() *fake {
	return &fake{mapCode: modbus.IllegalDataAddress, unknown: map[modbus.Function]bool{}, answer: map[uint8]modbus.ExceptionCode{}, news: make(chan struct{}, 1)}
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := fakeOfPipes()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.addr = ln.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { f.serve(c) })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return f
}

func (f *fake) serve(c net.Conn) {
	defer c.Close()
	f.mu.Lock()
	me := f.conns
	f.conns++
	f.served = append(f.served, 0)
	f.mu.Unlock()
	f.tell()
	buf, have, stuck := make([]byte, 65536), 0, false
	for {
		n, err := c.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		took := 0
		var frames []modbus.Frame
		for {
			fr, n, err := modbus.FramingTCP.NextRequest(buf[took:have])
			if err != nil {
				return
			}
			if n == 0 {
				break
			}
			took, frames = took+n, append(frames, fr)
		}
		out, open := f.answerAll(frames)
		if !open || f.ends(me, len(frames)) {
			return
		}
		f.tell()
		have = copy(buf, buf[took:have])
		if stuck {
			continue
		}
		stuck = f.beyond == hangs && len(frames) > f.bears
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

// tell wakes await.
func (f *fake) tell() {
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// await waits until there was a connection, or a request, since the last time.
func (f *fake) await(t *testing.T) {
	t.Helper()
	select {
	case <-f.news:
	case <-t.Context().Done():
	}
}

func (f *fake) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.requests)
}

// hangUpOn makes the nth request from now on, from 1, end its connection.
func (f *fake) hangUpOn(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.doomed = n
}

// ends counts n requests on connection c and says whether it is to end.
func (f *fake) ends(c, n int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.served[c] += n
	was := f.doomed
	f.doomed = max(0, f.doomed-n)
	return was > 0 && f.doomed == 0
}

// answerAll answers the requests of one segment. It answers false when the connection is to end.
func (f *fake) answerAll(frames []modbus.Frame) (out []byte, open bool) {
	f.mu.Lock()
	n, bears, beyond := len(frames), f.bears, f.beyond
	f.inFlight = max(f.inFlight, n)
	if n > 1 {
		f.bursts++
	}
	f.mu.Unlock()
	if bears == 0 || n <= bears {
		bears, beyond = n, answersSome
	}
	if beyond == reverses {
		slices.Reverse(frames)
		bears = n
	}
	for _, fr := range frames[:bears] {
		out = f.reply(out, fr)
	}
	switch beyond {
	case hangsUp:
		return nil, false
	case isBusy:
		for _, fr := range frames[bears:] {
			pdu := (&modbus.ExceptionResponse{Function: fr.Function(), Code: modbus.ServerDeviceBusy}).AppendTo(nil)
			out = modbus.FramingTCP.Append(out, modbus.Frame{Transaction: fr.Transaction, Unit: fr.Unit, PDU: pdu})
		}
	case repeats:
		for _, fr := range frames[bears:] {
			out = f.reply(f.reply(out, fr), fr)
		}
	case answersSome, reverses, hangs:
	}
	return out, true
}

func (f *fake) reply(out []byte, fr modbus.Frame) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	pdu, line := f.execute(fr)
	f.requests = append(f.requests, line)
	if f.mute {
		return out
	}
	return modbus.FramingTCP.Append(out, modbus.Frame{Transaction: fr.Transaction, Unit: fr.Unit, PDU: pdu})
}

func (f *fake) execute(fr modbus.Frame) (pdu []byte, line string) {
	fn := fr.Function()
	addr, v := int(binary.BigEndian.Uint16(fr.PDU[1:])), int(binary.BigEndian.Uint16(fr.PDU[3:]))
	line = describeRequest(fr.Unit, fn, addr, v)
	refuse := func(code modbus.ExceptionCode) ([]byte, string) {
		return (&modbus.ExceptionResponse{Function: fn, Code: code}).AppendTo(nil), line
	}
	if code := f.answer[fr.Unit]; code != 0 {
		return refuse(code)
	}
	if f.unknown[fn] {
		return refuse(modbus.IllegalFunction)
	}
	a := areaOf(fn)
	if !fn.Writes() {
		if f.maxRegs > 0 && !a.isBits() && v > f.maxRegs || f.maxBits > 0 && a.isBits() && v > f.maxBits {
			return refuse(modbus.IllegalDataValue)
		}
		for _, h := range f.unmapped {
			if h.Area == uint8(a) && h.From <= uint32(addr+v-1) && uint32(addr) <= h.To {
				return refuse(f.mapCode)
			}
		}
		data := f.mem.reply(a, addr, v)
		return append([]byte{byte(fn), byte(len(data))}, data...), line
	}
	f.write(fn, addr, v, fr.PDU)
	if fn == modbus.FuncMaskWrite {
		return fr.PDU, line
	}
	return fr.PDU[:5], line
}

func (f *fake) write(fn modbus.Function, addr, v int, pdu []byte) {
	regs, bits := &f.mem.regs[areaHolding], &f.mem.bits[areaCoil]
	switch fn {
	case modbus.FuncWriteCoil:
		bits[addr] = v == 0xFF00
	case modbus.FuncWriteRegister:
		regs[addr] = uint16(v)
	case modbus.FuncWriteCoils:
		for i := range v {
			bits[addr+i] = bitAt(pdu[6:], i) == 1
		}
	case modbus.FuncWriteRegisters:
		for i := range v {
			regs[addr+i] = binary.BigEndian.Uint16(pdu[6+2*i:])
		}
	case modbus.FuncMaskWrite:
		or := binary.BigEndian.Uint16(pdu[5:])
		regs[addr] = regs[addr]&uint16(v) | or&^uint16(v)
	}
}

func areaOf(fn modbus.Function) modbusArea {
	switch fn {
	case modbus.FuncReadCoils, modbus.FuncWriteCoil, modbus.FuncWriteCoils:
		return areaCoil
	case modbus.FuncReadDiscreteInputs:
		return areaDiscrete
	case modbus.FuncReadInput:
		return areaInput
	}
	return areaHolding
}

// take returns the requests since the last take.
func (f *fake) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.requests
	f.requests = nil
	return r
}

// watcher is an Observer that keeps what it hears.
type watcher struct {
	mu       sync.Mutex
	timeout  time.Duration
	replied  int
	timedOut int
	late     int
	foreign  int
	refused  []device.Span
	why      error // of the last of refused
	learned  []device.Limits

	onRefused func() // when set
}

func newWatcher() *watcher { return &watcher{timeout: 5 * time.Second} }

func (w *watcher) hear(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *watcher) Timeout() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.timeout
}
func (w *watcher) Replied(time.Duration)          { w.hear(func() { w.replied++ }) }
func (w *watcher) Served(int, int, time.Duration) {}
func (w *watcher) TimedOut(time.Duration)         { w.hear(func() { w.timedOut++ }) }
func (w *watcher) Late(time.Duration)             { w.hear(func() { w.late++ }) }
func (w *watcher) Foreign()                       { w.hear(func() { w.foreign++ }) }
func (w *watcher) Refused(s device.Span, err error) {
	w.hear(func() { w.refused, w.why = append(w.refused, s), err })
	if w.onRefused != nil {
		w.onRefused()
	}
}
func (w *watcher) Learned(l device.Limits) { w.hear(func() { w.learned = append(w.learned, l) }) }

// addrOf is the fake's address for unit.
func (f *fake) addrOf(unit string, options map[string]string) device.Addr {
	return device.Addr{Scheme: "modbus", Host: f.addr, Path: unit, Options: options}
}

// open opens a session to a, which ends with the test.
func open(t *testing.T, a device.Addr, o device.Observer) *modbusSession {
	t.Helper()
	s, err := Modbus{}.Open(context.Background(), a, device.Limits{}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.(*modbusSession)
}

// rows returns value and quality of each tag of a batch, and fails when a tag has two rows.
func rows(t *testing.T, b *tag.Batch) map[tag.ID]string {
	t.Helper()
	out := map[tag.ID]string{}
	for i, id := range b.ID {
		if _, twice := out[id]; twice {
			t.Errorf("tag %d has two rows", id)
		}
		out[id] = b.Value(i).String()
		if b.Quality[i] != tag.Good {
			out[id] = b.Quality[i].String()
		}
	}
	return out
}

// zeros is a device that answers every read with zeros and does not allocate. It returns its address.
func zeros(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		in, out := make([]byte, 4096), make([]byte, 0, 65536)
		for have := 0; ; {
			n, err := c.Read(in[have:])
			if err != nil {
				return
			}
			have, out = have+n, out[:0]
			rest := in[:have]
			for ; len(rest) >= 12; rest = rest[12:] {
				out = appendZeros(out, rest[:12])
			}
			have = copy(in, rest)
			if _, err := c.Write(out); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().String()
}

func appendZeros(out, request []byte) []byte {
	n := 2 * int(binary.BigEndian.Uint16(request[10:]))
	if request[7] < 3 {
		n = (n/2 + 7) / 8
	}
	out = append(out, request[0], request[1], 0, 0, 0, byte(3+n), request[6], request[7], byte(n))
	for range n {
		out = append(out, 0)
	}
	return out
}

// deaf is an Observer that only has a timeout.
type deaf time.Duration

func (d deaf) Timeout() time.Duration       { return time.Duration(d) }
func (deaf) Replied(time.Duration)          {}
func (deaf) Served(int, int, time.Duration) {}
func (deaf) TimedOut(time.Duration)         {}
func (deaf) Late(time.Duration)             {}
func (deaf) Foreign()                       {}
func (deaf) Refused(device.Span, error)     {}
func (deaf) Learned(device.Limits)          {}
