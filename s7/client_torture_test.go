package s7

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
	"millrace/wire"
)

// liar answers with the truth, but late, twice, out of order, or to something that nobody asked.
type liar struct {
	*fakePLC
	rng  *rand.Rand
	held []PDU  // to be answered out of order
	late []owed // to be answered when nobody waits any more
	sent map[string]int
}

type owed struct {
	pdu PDU
	due time.Time
}

const (
	tortureTimeout = time.Second
	tortureLull    = 20 * time.Millisecond // the liar answers what it holds when nothing comes for so long
	tortureOwed    = 8                     // well below the 16 that close the connection
)

// tortureItem is a variable of four bytes, which says where it lies.
func tortureItem(at uint32) Item { return Bytes(AreaDB, 1, at, 4) }

func tortureTruth(it *Item, poison uint32) []byte {
	return wire.AppendU32(nil, uint32(it.Byte())*0x9E3779B1^poison)
}

// answers returns the answer to pdu, false in its values when poison is not 0.
func (l *liar) answers(pdu *PDU, poison uint32) []byte {
	var m ReadRequest
	if m.Decode(pdu) != 0 {
		l.t.Errorf("asked %+v", pdu)
	}
	var r ReadResponse
	for i := range m.Items {
		r.Items = append(r.Items, DataItem{Code: ReturnOK, Size: DataByte, Data: tortureTruth(&m.Items[i], poison)})
	}
	return r.AppendTo(nil, pdu.Ref)
}

// foreign answers pdu with something that does not belong to it, which ends the connection.
func (l *liar) foreign(pdu *PDU) {
	l.sent["foreign"]++
	items := pdu.Items()
	one := DataItem{Code: ReturnOK, Size: DataByte, Data: []byte{1, 2, 3, 4}}
	switch l.rng.IntN(6) {
	case 0:
		pdu.Ref += 1000
		l.reply(l.answers(pdu, 0))
	case 1:
		l.reply((&WriteResponse{Codes: bytes.Repeat([]byte{0xFF}, items)}).AppendTo(nil, pdu.Ref))
	case 2:
		l.reply((&ReadResponse{Items: slices.Repeat([]DataItem{one}, items+1)}).AppendTo(nil, pdu.Ref))
	case 3:
		one.Data = one.Data[:3]
		l.reply((&ReadResponse{Items: slices.Repeat([]DataItem{one}, items)}).AppendTo(nil, pdu.Ref))
	case 4:
		u := Userdata{Type: UserdataResponse, Group: GroupCPU, Sub: SubSZL, Long: true, Code: ReturnOK, Size: DataOctet, Data: one.Data}
		l.reply(u.AppendTo(nil, pdu.Ref))
	case 5:
		l.reply(AppendRefusal(nil, pdu.Ref^0x8000, ErrFrame))
	}
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
		m, n, err := l.stream.Next(l.buf)
		if err != nil {
			l.t.Errorf("the client sent %x", l.buf)
		}
		if n == 0 || err != nil {
			return err == nil
		}
		pdu := m.PDU
		pdu.Param, pdu.Data = slices.Clone(pdu.Param), slices.Clone(pdu.Data)
		l.buf = l.buf[:copy(l.buf, l.buf[n:])]
		if !l.decide(pdu) {
			return false
		}
	}
}

func (l *liar) decide(pdu PDU) bool {
	switch r := l.rng.IntN(100); {
	case r < 12 && len(l.late) < tortureOwed:
		l.late = append(l.late, owed{pdu: pdu, due: time.Now().Add(tortureTimeout)})
		return true
	case r < 50:
		l.sent["duplicate"]++
		return l.reply(l.answers(&pdu, 0), l.answers(&pdu, 0x5555))
	case r < 98:
		l.held = append(l.held, pdu)
		return true
	default:
		l.foreign(&pdu)
		return false
	}
}

// pay answers what is held, shuffled, and what is owed and too late.
func (l *liar) pay() bool {
	for i, from := range l.rng.Perm(len(l.held)) {
		if i != from {
			l.sent["reordered"]++
		}
		if !l.reply(l.answers(&l.held[from], 0)) {
			return false
		}
	}
	l.held = l.held[:0]
	for len(l.late) > 0 && time.Now().After(l.late[0].due) {
		l.sent["late"]++
		if !l.reply(l.answers(&l.late[0].pdu, 0)) {
			return false
		}
		l.late = l.late[1:]
	}
	return true
}

// No value is ever taken from an answer to something else: a million late, duplicate, reordered and foreign answers, no wrong value.
// Half of them meet a client whose reader reads, half one whose callers read.
func TestClientNoWrongValue(t *testing.T) {
	total := 1_000_000
	if testing.Short() || underRace {
		total = 100_000
	}
	t.Run("by the reader", func(t *testing.T) { noWrongValue(t, total/2, false) })
	t.Run("by the caller", func(t *testing.T) { noWrongValue(t, total/2, true) })
}

// torture is a count of what happened.
type torture struct {
	right, wrong int
	inline       uint64
	heard        Stats
}

func noWrongValue(t *testing.T, total int, inline bool) {
	seed := rand.Uint64()
	t.Logf("seed %d, %d disturbed answers", seed, total)
	synctest.Test(t, func(t *testing.T) {
		l := &liar{rng: rand.New(rand.NewPCG(seed, 0)), sent: map[string]int{}}
		var sum torture
		for at := uint32(0); l.sent["late"]+l.sent["duplicate"]+l.sent["reordered"]+l.sent["foreign"] < total; {
			l.connection(t, &sum, &at, inline)
		}
		t.Logf("sent %v, right values %d, wrong %d", l.sent, sum.right, sum.wrong)
		if sum.wrong != 0 || sum.right == 0 {
			t.Errorf("%d right values and %d wrong ones", sum.right, sum.wrong)
		}
		if inline != (sum.inline > uint64(total)/100) {
			t.Errorf("%d reads by callers", sum.inline)
		}
		h := sum.heard
		if h.Late != uint64(l.sent["late"]) || h.Duplicate != uint64(l.sent["duplicate"]) || h.Foreign != uint64(l.sent["foreign"]) {
			t.Errorf("the client counted %+v, the PLC sent %v", h, l.sent)
		}
	})
}

// connection runs one connection until a foreign answer ends it.
func (l *liar) connection(t *testing.T, sum *torture, at *uint32, inline bool) {
	near, far := net.Pipe()
	if inline {
		near, far = memconn.Pipe()
	}
	l.fakePLC = newFakePLC(t, far)
	l.held, l.late = nil, nil
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if l.greet(plcWays{}) {
			l.buf, l.at = l.buf[:copy(l.buf, l.buf[l.at:])], 0
			l.run()
		}
	}()
	cfg, err := Config{Window: 1 + l.rng.IntN(8), Timeout: tortureTimeout, MaxItems: 1 + l.rng.IntN(3)}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	c, err := shakeHandsInline(t.Context(), near, cfg, "liar", inline)
	if err != nil {
		t.Fatal(err)
	}
	vars := make([]Var, 48)
	for c.Err() == nil {
		for i := range vars {
			vars[i].Item, vars[i].Data = tortureItem(*at&0xFFFFF), vars[i].Data[:0]
			*at++
		}
		_ = c.Read(t.Context(), vars) // its error is the time-out or the end that the PLC provoked
		sum.judge(vars)
	}
	_ = c.Close()
	<-ended
	_ = far.Close()
	sum.inline += c.flight.Stats().Inline
	s := c.Stats()
	sum.heard.Late, sum.heard.Duplicate, sum.heard.Foreign = sum.heard.Late+s.Late, sum.heard.Duplicate+s.Duplicate, sum.heard.Foreign+s.Foreign
}

func (s *torture) judge(vars []Var) {
	for i := range vars {
		switch {
		case vars[i].Err != nil:
		case bytes.Equal(vars[i].Data, tortureTruth(&vars[i].Item, 0)):
			s.right++
		default:
			s.wrong++
		}
	}
}
