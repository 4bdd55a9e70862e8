package modbus

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// rack is a device that pools dial. It counts what it sees.
type rack struct {
	t     *testing.T
	mu    sync.Mutex
	asked []string // the PDUs, with the time since the start
	open  int
	most  int
	dials int
	fail  bool
	mute  bool
	began time.Time
	conns []net.Conn
}

func (r *rack) dial(context.Context) (*Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dials++
	if r.fail {
		return nil, errors.New("no route")
	}
	near, far := net.Pipe()
	r.conns = append(r.conns, far)
	r.open++
	r.most = max(r.most, r.open)
	go r.serve(far)
	return NewClient(near, Config{})
}

func (r *rack) serve(conn net.Conn) {
	p := &peer{t: r.t, conn: conn, buf: make([]byte, 0, 4*MaxADU)}
	for {
		fr, ok := p.next()
		if !ok {
			break
		}
		r.mu.Lock()
		r.asked = append(r.asked, time.Since(r.began).String()+" "+fr.Function().String())
		mute := r.mute
		r.mu.Unlock()
		if !mute && !p.reply(answerTo(fr)) {
			break
		}
	}
	_ = conn.Close()
	r.mu.Lock()
	r.open--
	r.mu.Unlock()
}

// inPool runs f with a running pool on a rack.
func inPool(t *testing.T, cfg PoolConfig, f func(t *testing.T, p *Pool, r *rack)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rack{t: t, began: time.Now()}
		cfg.Dial = r.dial
		p, err := NewPool("", cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- p.Run(ctx) }()
		synctest.Wait()
		f(t, p, r)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
		if _, err := p.Get(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Get from a closed pool: %v", err)
		}
		synctest.Wait()
		if s := p.Stats(); s.Open != 0 || s.Idle != 0 || r.open != 0 {
			t.Errorf("at the end %+v, the device has %d open", s, r.open)
		}
	})
}

func TestPoolWarmsUpAndBeats(t *testing.T) {
	inPool(t, PoolConfig{}, func(t *testing.T, p *Pool, r *rack) {
		if s := p.Stats(); s.Open != 8 || s.Idle != 8 || s.Dialled != 8 {
			t.Errorf("at the start %+v", s)
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if len(r.asked) != 16 || r.asked[0] != "15s read holding" || r.asked[15] != "30s read holding" {
			t.Errorf("heartbeats %v", r.asked)
		}
		if s := p.Stats(); s.Open != 8 || s.Beats != 16 || s.BeatsFailed != 0 {
			t.Errorf("after 31 s %+v", s)
		}
	})
}

func TestPoolBeatsWithAnIdentification(t *testing.T) {
	beat := Call{Unit: 1, Function: FuncReadDeviceID, Quantity: uint16(DeviceIDBasic)}
	inPool(t, PoolConfig{Warm: 1, Heartbeat: time.Second, Beat: beat}, func(t *testing.T, p *Pool, r *rack) {
		time.Sleep(2500 * time.Millisecond)
		synctest.Wait()
		// The device refuses it with exception 1, which is an answer.
		if got := strings.Join(r.asked, ", "); got != "1s read device id, 2s read device id" || p.Stats().BeatsFailed != 0 {
			t.Errorf("heartbeats %s, %+v", got, p.Stats())
		}
	})
}

func TestPoolReplacesADeadConnection(t *testing.T) {
	inPool(t, PoolConfig{Warm: 2, Slots: 2}, func(t *testing.T, p *Pool, r *rack) {
		_ = r.conns[0].Close()
		r.mu.Lock()
		r.mute = true
		r.mu.Unlock()
		time.Sleep(15500 * time.Millisecond) // the second one's heartbeat is under way
		r.mu.Lock()
		r.mute = false
		r.mu.Unlock()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if s := p.Stats(); s.Open != 2 || s.Idle != 2 || s.BeatsFailed == 0 || r.most > 2 {
			t.Errorf("%+v, the device had up to %d open", s, r.most)
		}
	})
}

func TestPoolStaysWithinItsSlots(t *testing.T) {
	inPool(t, PoolConfig{Warm: 2, Slots: 4, Heartbeat: -1}, func(t *testing.T, p *Pool, r *rack) {
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				calls := []Call{{Unit: 1, Function: FuncReadHolding, Address: uint16(i), Quantity: 1}}
				if err := p.Do(t.Context(), calls); err != nil || calls[0].Data[1] != byte(i) {
					t.Errorf("read %d: %x, %v", i, calls[0].Data, err)
				}
			})
		}
		wg.Wait()
		if r.most != 4 || p.Stats().Open != 4 {
			t.Errorf("up to %d open, %+v", r.most, p.Stats())
		}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if s := p.Stats(); s.Open != 2 || s.IdleClosed != 2 || len(r.asked) != 50 {
			t.Errorf("after a minute %+v, asked %d times", s, len(r.asked))
		}
	})
}

func TestPoolGetWaitsForASlot(t *testing.T) {
	inPool(t, PoolConfig{Warm: 1, Slots: 1, Heartbeat: -1}, func(t *testing.T, p *Pool, r *rack) {
		c, err := p.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Get(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a second one: %v", err)
		}
		got := make(chan *Client)
		go func() {
			c, _ := p.Get(t.Context())
			got <- c
		}()
		synctest.Wait()
		_ = c.Close() // a broken one frees its slot
		p.Put(c)
		c2 := <-got
		if c2 == nil || c2 == c || c2.Err() != nil {
			t.Errorf("got %v after the slot came free", c2)
		}
		p.Put(c2)
	})
}

// Borrow takes what is there, waits for what may come, and never dials.
// A pool that has grown has more connections at once, and never fewer than before.
func TestPoolGrows(t *testing.T) {
	inPool(t, PoolConfig{Warm: 1}, func(t *testing.T, p *Pool, r *rack) {
		for _, c := range []struct{ to, open int }{{3, 3}, {2, 3}, {3, 3}, {5, 5}} {
			p.Grow(c.to)
			synctest.Wait()
			if s := p.Stats(); s.Open != c.open || s.Idle != c.open || r.dials != c.open {
				t.Errorf("grown to %d: %+v, %d dials", c.to, s, r.dials)
			}
		}
		var lent []*Client
		for range 5 {
			c, err := p.Get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			lent = append(lent, c)
		}
		for _, c := range lent {
			p.Put(c)
		}
		time.Sleep(time.Minute)
		if s := p.Stats(); s.Open != 5 || r.dials != 5 {
			t.Errorf("in the end %+v, %d dials", s, r.dials)
		}
	})
}

// A pool that ends when the heartbeats of several connections are due leaves none of them.
func TestPoolEndsAmidHeartbeats(t *testing.T) {
	for range 20 {
		inPool(t, PoolConfig{Warm: 8}, func(*testing.T, *Pool, *rack) { time.Sleep(15 * time.Second) })
	}
}

func TestPoolBorrow(t *testing.T) {
	inPool(t, PoolConfig{Warm: 2, Slots: 4, Heartbeat: -1, Idle: time.Hour}, func(t *testing.T, p *Pool, r *rack) {
		a, b := p.TryBorrow(), p.TryBorrow()
		if a == nil || b == nil || p.TryBorrow() != nil {
			t.Fatalf("borrowed %v, %v of two", a, b)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := p.Borrow(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a third one: %v", err)
		}
		results := make(chan error, 3)
		for range 3 {
			go func() {
				c, err := p.Borrow(t.Context())
				if err == nil {
					p.Put(c)
				}
				results <- err
			}()
		}
		synctest.Wait()
		p.Put(a)
		for range 3 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		c, err := p.Borrow(t.Context())
		if err != nil || c != a {
			t.Errorf("got %v, %v", c, err)
		}
		for range 3 {
			go func() {
				_, err := p.Borrow(t.Context())
				results <- err
			}()
		}
		synctest.Wait()
		_, _ = a.Close(), b.Close()
		p.Put(a)
		p.Put(b)
		for range 3 {
			if err := <-results; !errors.Is(err, net.ErrClosed) {
				t.Errorf("without any: %v", err)
			}
		}
		if r.dials != 2 {
			t.Errorf("%d dials", r.dials)
		}
	})
}

func TestPoolRedials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rack{t: t, fail: true, began: time.Now()}
		p, err := NewPool("", PoolConfig{Warm: 2, Dial: r.dial})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- p.Run(ctx) }()
		time.Sleep(3500 * time.Millisecond)
		if _, err := p.Get(ctx); err == nil || err.Error() != "no route" {
			t.Errorf("Get while the device is away: %v", err)
		}
		r.mu.Lock()
		if r.dials != 5 {
			t.Errorf("%d dials in 3.5 s", r.dials)
		}
		r.fail = false
		r.mu.Unlock()
		time.Sleep(time.Second)
		synctest.Wait()
		if s := p.Stats(); s.Idle != 2 || s.DialFailed != 5 {
			t.Errorf("after its return %+v", s)
		}
		cancel()
		<-ended
	})
}

func TestPoolConfig(t *testing.T) {
	for _, cfg := range []PoolConfig{
		{Warm: 3, Slots: 2}, {Warm: -1}, {Idle: -1}, {Redial: -1}, {Client: Config{Window: -1}},
		{Beat: Call{Function: FuncWriteRegister, Values: []byte{0, 0}}}, {Beat: Call{Function: FuncReadHolding}},
	} {
		if _, err := NewPool("127.0.0.1", cfg); err == nil {
			t.Errorf("taken: %+v", cfg)
		}
	}
	p, err := NewPool("127.0.0.1", PoolConfig{Slots: 3})
	if err != nil || p.cfg.Warm != 3 {
		t.Errorf("3 slots: %d warm, %v", p.cfg.Warm, err)
	}
}
