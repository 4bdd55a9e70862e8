package modbus

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/inflight/memconn"
)

// liar answers with the truth, but late, twice, out of order, or to something that nobody asked.
type liar struct {
	*peer
	rng  *rand.Rand
	held []Frame // to be answered out of order
	late []owed  // to be answered when nobody waits any more
	sent map[string]int
}

type owed struct {
	fr  Frame
	due time.Time
}

const (
	tortureTimeout = time.Second
	tortureLull    = 20 * time.Millisecond // the liar answers what it holds when nothing comes for so long
	tortureOwed    = 8                     // well below the 16 that close the connection
)

// truth is what the device has at addr: two registers.
func truth(addr uint16) []byte { return AppendRegisters(nil, addr, ^addr) }

func (l *liar) answer(fr Frame, poison uint16) bool {
	var m ReadHoldingRequest
	if m.Decode(fr.PDU) != 0 {
		l.t.Errorf("asked %x", fr.PDU)
	}
	r := ReadHoldingResponse{Data: truth(m.Address ^ poison)}
	return l.reply(Frame{Transaction: fr.Transaction, Unit: fr.Unit, PDU: r.AppendTo(nil)})
}

// foreign answers fr with something that does not belong to it, which ends the connection.
func (l *liar) foreign(fr Frame) {
	l.sent["foreign"]++
	switch l.rng.IntN(5) {
	case 0:
		fr.Transaction += 1000
		fr.PDU = append([]byte{byte(FuncReadHolding), 4}, truth(0)...)
	case 1:
		fr.Unit++
		fr.PDU = append([]byte{byte(FuncReadHolding), 4}, truth(0)...)
	case 2:
		fr.PDU = append([]byte{byte(FuncReadInput), 4}, truth(0)...)
	case 3:
		fr.PDU = append([]byte{byte(FuncReadHolding), 2}, 0, 0)
	case 4:
		fr.PDU = []byte{byte(FuncReadInput) | exceptionBit, 2}
	}
	l.reply(fr)
}

func (l *liar) run() {
	for {
		_ = l.conn.SetReadDeadline(time.Now().Add(tortureLull))
		n, err := l.conn.Read(l.buf[len(l.buf):cap(l.buf)])
		l.buf = l.buf[:len(l.buf)+n]
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if !l.pay() {
				return
			}
			continue
		}
		if err != nil || !l.requests() {
			return
		}
	}
}

// requests decides on each request that came.
func (l *liar) requests() bool {
	for {
		fr, n, err := l.framing.NextRequest(l.buf)
		if err != nil {
			l.t.Errorf("the client sent %x", l.buf)
		}
		if n == 0 || err != nil {
			return err == nil
		}
		fr.PDU = slices.Clone(fr.PDU)
		l.buf = l.buf[:copy(l.buf, l.buf[n:])]
		if !l.decide(fr) {
			return false
		}
	}
}

func (l *liar) decide(fr Frame) bool {
	switch r := l.rng.IntN(100); {
	case r < 12 && len(l.late) < tortureOwed:
		l.late = append(l.late, owed{fr: fr, due: time.Now().Add(tortureTimeout)})
		return true
	case r < 50:
		l.sent["duplicate"]++
		return l.answer(fr, 0) && l.answer(fr, 0x5555)
	case r < 98:
		l.held = append(l.held, fr)
		return true
	default:
		l.foreign(fr)
		return false
	}
}

// pay answers what is held, shuffled, and what is owed and too late.
func (l *liar) pay() bool {
	for i, from := range l.rng.Perm(len(l.held)) {
		if i != from {
			l.sent["reordered"]++
		}
		if !l.answer(l.held[from], 0) {
			return false
		}
	}
	l.held = l.held[:0]
	for len(l.late) > 0 && time.Now().After(l.late[0].due) {
		l.sent["late"]++
		if !l.answer(l.late[0].fr, 0) {
			return false
		}
		l.late = l.late[1:]
	}
	return true
}

// No value is ever taken from a reply to something else: a million late, duplicate, reordered and foreign replies, no wrong value.
// Half of them meet a client whose reader reads, half one whose callers read.
func TestNoWrongValue(t *testing.T) {
	total := 1_000_000
	if raceDetector {
		total = 100_000
	}
	t.Run("by the reader", func(t *testing.T) { noWrongValue(t, total/2, false) })
	t.Run("by the caller", func(t *testing.T) { noWrongValue(t, total/2, true) })
}

func noWrongValue(t *testing.T, total int, inline bool) {
	seed := rand.Uint64()
	t.Logf("seed %d, %d disturbed replies", seed, total)
	synctest.Test(t, func(t *testing.T) {
		l := &liar{rng: rand.New(rand.NewPCG(seed, 0)), sent: map[string]int{}}
		var heard Stats
		right, wrong, reads := 0, 0, uint64(0)
		addr := uint16(0)
		for sum(l.sent) < total {
			r, w, n, s := tortureConnection(t, l, &addr, inline)
			right, wrong, reads = right+r, wrong+w, reads+n
			heard.Late, heard.Duplicate, heard.Foreign = heard.Late+s.Late, heard.Duplicate+s.Duplicate, heard.Foreign+s.Foreign
		}
		t.Logf("sent %v, right values %d, wrong %d", l.sent, right, wrong)
		if wrong != 0 || right == 0 {
			t.Errorf("%d right values and %d wrong ones", right, wrong)
		}
		if inline != (reads > uint64(total)/10) {
			t.Errorf("%d reads by callers", reads)
		}
		want := Stats{Late: uint64(l.sent["late"]), Duplicate: uint64(l.sent["duplicate"]), Foreign: uint64(l.sent["foreign"])}
		if heard.Late != want.Late || heard.Duplicate != want.Duplicate || heard.Foreign != want.Foreign {
			t.Errorf("the client counted %+v, the device sent %+v", heard, want)
		}
	})
}

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

// tortureConnection runs one connection until a foreign reply ends it.
func tortureConnection(t *testing.T, l *liar, addr *uint16, inline bool) (right, wrong int, reads uint64, s Stats) {
	near, far := net.Pipe()
	if inline {
		near, far = memconn.Pipe()
	}
	c, err := newClient(near, Config{Window: 1 + l.rng.IntN(8), Timeout: tortureTimeout}, inline)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	l.peer = &peer{t: t, conn: far, buf: make([]byte, 0, 16*MaxADU)}
	l.held, l.late = nil, nil
	go func() {
		defer close(ended)
		l.run()
	}()
	calls := make([]Call, 32)
	for c.Err() == nil {
		for i := range calls {
			calls[i] = Call{Unit: 1, Function: FuncReadHolding, Address: *addr & 0x7FFF, Quantity: 2, Data: calls[i].Data[:0]}
			*addr++
		}
		_ = c.Do(t.Context(), calls) // its error is the time-out or the end that the device provoked
		for i := range calls {
			switch {
			case calls[i].Err != nil:
			case bytes.Equal(calls[i].Data, truth(calls[i].Address)):
				right++
			default:
				wrong++
			}
		}
	}
	_ = c.Close()
	<-ended
	_ = far.Close()
	return right, wrong, readsByCallers(c), c.Stats()
}
