package inflight

import (
	"encoding/binary"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/inflight/memconn"
)

// toy is the smallest protocol: frames of kind, key, id(2), value.
type toy struct {
	value  byte
	silent int // frames
}

const (
	toyBytes   = 5
	toyAnswer  = 'a'
	toyRefusal = 'r'
	toySilence = 's'
	toyStray   = 'p'
)

var errToy = errors.New("no toy frame")

type toyForeign struct{ why string }

func (e *toyForeign) Error() string { return "foreign: " + e.why }

func (y *toy) Next(buf []byte) (h Head, n int, err error) {
	if len(buf) < toyBytes {
		return h, 0, nil
	}
	h.Key, h.ID, y.value = Key(buf[1]), binary.BigEndian.Uint16(buf[2:]), buf[4]
	switch buf[0] {
	case toyAnswer:
	case toySilence:
		h.Kind = Silence
		y.silent++
	case toyStray:
		h.Kind = Stray
	default:
		return h, 0, errToy
	}
	return h, toyBytes, nil
}

func (y *toy) Fits(asked, got Key) string {
	if asked != got {
		return "key"
	}
	return ""
}

func (y *toy) Foreign(_ Head, why string) error { return &toyForeign{why} }

func (y *toy) Partial(left int) error {
	if left > 0 {
		return errToy
	}
	return nil
}

// ask is one request: the answer to value is value.
type ask struct {
	value   byte
	once    bool // not to be repeated
	got     byte
	refused bool
	err     error
	sent    bool // with err
}

type toyWork struct {
	toy  *toy
	asks []ask
}

func (w *toyWork) Len() int           { return len(w.asks) }
func (w *toyWork) Key(i int) Key      { return Key(w.asks[i].value) }
func (w *toyWork) Repeats(i int) bool { return !w.asks[i].once }

func (w *toyWork) AppendTo(b []byte, i int, id uint16) []byte {
	return append(b, toyAnswer, w.asks[i].value, byte(id>>8), byte(id), w.asks[i].value)
}

func (w *toyWork) Deliver(i int, sent, at time.Time) (refused bool, why string) {
	a := &w.asks[i]
	if w.toy.value == 0 {
		return false, "value"
	}
	a.got, a.err, a.refused = w.toy.value, nil, w.toy.value == toyRefusal
	return a.refused, ""
}

func (w *toyWork) Fail(i int, cause error, sent bool) { w.asks[i].err, w.asks[i].sent = cause, sent }

// toyConfig has a second's patience and takes memory connections for inline ones.
func toyConfig() Config {
	return Config{Window: 1, Timeout: time.Second, Inline: true, ReadMin: 16, ReadMax: 64}
}

// newToy starts script as the device at the far end. Both end with the test.
func newToy(t testing.TB, cfg Config, script func(far net.Conn)) *Conn {
	t.Helper()
	near, far := memconn.Pipe()
	return toyOver(t, near, far, cfg, script)
}

func toyOver(t testing.TB, near, far net.Conn, cfg Config, script func(far net.Conn)) *Conn {
	y := &toy{}
	cfg.NewWork = func() Work { return &toyWork{toy: y} }
	c := New(near, y, cfg)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer far.Close()
		script(far)
	}()
	t.Cleanup(func() {
		c.Close()
		<-ended
	})
	return c
}

// frames calls each with every request that comes, until it answers false or the client has gone.
func frames(far net.Conn, each func(frame []byte) bool) {
	buf := make([]byte, 0, 64)
	for {
		n, err := far.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return
		}
		for buf = buf[:len(buf)+n]; len(buf) >= toyBytes; buf = buf[:copy(buf, buf[toyBytes:])] {
			if !each(buf[:toyBytes]) {
				return
			}
		}
	}
}

// echoes answers each request with itself, after a pause.
func echoes(pause time.Duration) func(far net.Conn) {
	return func(far net.Conn) {
		frames(far, func(frame []byte) bool {
			if pause > 0 {
				time.Sleep(pause) // the fake clock's
			}
			_, err := far.Write(frame)
			return err == nil
		})
	}
}

// asking runs one turn of these values and returns what came of them.
func asking(t testing.TB, c *Conn, values ...byte) ([]ask, error) {
	t.Helper()
	tn := c.Begin()
	defer c.End(tn)
	w := tn.Work.(*toyWork)
	w.asks = w.asks[:0]
	for _, v := range values {
		w.asks = append(w.asks, ask{value: v})
	}
	err := c.Run(t.Context(), tn)
	return append([]ask(nil), w.asks...), err
}

// brisk asks until a caller has read its own answer.
func brisk(t *testing.T, c *Conn) {
	t.Helper()
	for n, before := 0, c.Stats().Inline; c.Stats().Inline == before; n++ {
		if a, err := asking(t, c, 7); err != nil || a[0].got != 7 || n > 10 {
			t.Fatalf("ask %d: %+v, %v", n, a, err)
		}
		synctest.Wait()
	}
}

// silent returns how many frames came that were no answers.
func silent(c *Conn) (n int) {
	c.Locked(func() { n = c.proto.(*toy).silent })
	return n
}

// whoReads returns who reads.
func whoReads(c *Conn) readRole {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.role
}
