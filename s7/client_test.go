package s7

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestClientReadsAndWrites(t *testing.T) {
	for pipe := range plcPipes {
		for _, pdu := range planPDUs {
			t.Run(fmt.Sprintf("%s PDU %d", pipe, pdu), func(t *testing.T) {
				c := withWays(t, pipe, Config{Timeout: plenty}, plcWays{pdu: uint16(pdu)}, (*fakePLC).echo)
				if c.PDU() != pdu || c.Window() != 8 {
					t.Fatalf("PDU %d, window %d", c.PDU(), c.Window())
				}
				readsAndWrites(t, c)
			})
		}
	}
}

func readsAndWrites(t *testing.T, c *Client) {
	items := []Item{
		Bytes(AreaDB, 1, 10, 4), Bit(AreaMarkers, 0, 10, 5), Counters(3, 2), Timers(5, 1), Bytes(AreaInputs, 0, 0, 1), Bytes(AreaDB, 2, 100, 3000),
		{Syntax: SyntaxAny, Size: SizeReal, Count: 300, DB: 7, Area: AreaDB, Address: 40 << 3}, {Syntax: SyntaxAny, Size: SizeDInt, Count: 1, DB: 7, Area: AreaDB},
		{Syntax: SyntaxAny, Size: SizeChar, Count: 5, DB: 7, Area: AreaDB, Address: 8}, {Syntax: SyntaxAny, Size: SizeWord, Count: 1, Area: AreaOutputs, Address: 16},
	}
	wantTruth(t, c, items[0])
	wantTruth(t, c, items...)
	vars := make([]Var, len(items))
	for i := range vars {
		vars[i] = Var{Item: items[i], Data: truthOf(&items[i])}
	}
	if err := c.Write(t.Context(), vars); err != nil {
		t.Error(err)
	}
	for i := range vars {
		trueVar(t, &vars[i])
	}
	if s := c.Stats(); s.Sent != s.Replied || s.InFlight != 0 || s.Foreign != 0 || s.BytesIn == 0 || s.BytesOut == 0 {
		t.Errorf("stats %+v", s)
	}
}

// Data of a read is appended to, and what an error left is what was there.
func TestClientAppends(t *testing.T) {
	c := withPLC(t, Config{Timeout: plenty}, (*fakePLC).echo)
	vars := []Var{{Item: Bytes(AreaDB, 1, 1, 2), Data: []byte{9}}, {Item: Bit(AreaDB, 1, 0, 0), Data: []byte{8, 8}}}
	if err := c.Read(t.Context(), vars); err != nil || !bytes.Equal(vars[0].Data, []byte{9, 1, 2}) || !bytes.Equal(vars[1].Data, []byte{8, 8, 0}) {
		t.Errorf("%x, %x, %v", vars[0].Data, vars[1].Data, err)
	}
	_ = c.Close()
	if err := c.Read(t.Context(), vars); !errors.Is(err, net.ErrClosed) || !bytes.Equal(vars[0].Data, []byte{9, 1, 2}) {
		t.Errorf("%x, %v", vars[0].Data, err)
	}
}

func TestClientInvalidVarsAreNotSent(t *testing.T) {
	c := withPLC(t, Config{}, func(p *fakePLC) {
		if pdu, ok := p.next(); ok {
			t.Errorf("sent %+v", pdu)
		}
	})
	good := Var{Item: Bytes(AreaDB, 1, 0, 1), Data: []byte{1}, Err: errors.New("old"), Code: ReturnBusy}
	for what, err := range map[string]error{
		"no elements": c.Read(t.Context(), []Var{good, {Item: Bytes(AreaDB, 1, 0, 0)}}),
		"bits":        c.Write(t.Context(), []Var{{Item: Item{Syntax: SyntaxAny, Size: SizeBit, Count: 2, Area: AreaMarkers}, Data: []byte{1, 1}}}),
		"too short":   c.Write(t.Context(), []Var{{Item: Bytes(AreaDB, 1, 0, 3), Data: []byte{1, 1}}}),
		"other plan":  c.ReadPlan(t.Context(), &ReadPlan{given: make([]Item, 2)}, make([]Var, 1)),
		"long PDU":    c.ReadPlan(t.Context(), &ReadPlan{limits: PackLimits{PDU: 961}}, nil),
	} {
		var arg *ArgumentError
		var e *Error
		if !errors.As(err, &arg) || !errors.As(err, &e) || e.Retryable() || e.MayHaveHappened() || e.Timeout() {
			t.Errorf("%s: %v", what, err)
		}
	}
	vars := []Var{good, {Item: Bytes(AreaDB, 1, 0, 0)}}
	if err := c.Read(t.Context(), vars); err == nil || vars[0].Err != nil || vars[0].Code != 0 || vars[1].Err == nil {
		t.Errorf("%v: %+v", err, vars)
	}
	if err := errors.Join(c.Read(t.Context(), nil), c.Write(t.Context(), nil)); err != nil {
		t.Error(err)
	}
}

// The scenario that eleven clients were measured with: the answer to the second request comes after its time-out.
func TestClientLateAnswerIsNotAValue(t *testing.T) {
	for _, pipe := range []string{"pipe", "mem"} {
		synctest.Test(t, func(t *testing.T) {
			var late, timedOut []time.Duration
			var timeout atomic.Int64
			timeout.Store(int64(time.Second))
			cfg := Config{Hooks: Hooks{
				Timeout:  func() time.Duration { return time.Duration(timeout.Load()) },
				Late:     func(by time.Duration) { late = append(late, by); timeout.Store(int64(2 * time.Second)) },
				TimedOut: func(after time.Duration) { timedOut = append(timedOut, after) },
			}}
			c := withWays(t, pipe, cfg, plcWays{}, func(p *fakePLC) {
				for i := 0; ; i++ {
					pdu, ok := p.next()
					if !ok {
						return
					}
					if i == 1 {
						time.Sleep(1500 * time.Millisecond) // the fake clock's
					}
					if !p.reply(answerOf(&pdu)) {
						return
					}
				}
			})
			var got []byte
			for at := uint32(10); at <= 50; at += 10 {
				v := []Var{{Item: Bytes(AreaDB, 1, at, 1)}}
				err := c.Read(t.Context(), v)
				var e *Error
				if at == 20 && (!errors.As(err, &e) || !e.Timeout() || !e.Retryable() || e.Error() != "s7: read var DB1.20 BYTE*1: no reply within 1s") {
					t.Errorf("second request: %v", err)
				}
				if at != 20 && err != nil {
					t.Error(err)
				}
				got = append(got, append(v[0].Data, 0)[0])
			}
			if want := []byte{10, 0, 30, 40, 50}; !slices.Equal(got, want) {
				t.Errorf("values %v, want %v", got, want)
			}
			if !slices.Equal(late, []time.Duration{500 * time.Millisecond}) || !slices.Equal(timedOut, []time.Duration{time.Second}) {
				t.Errorf("late %v, timed out %v", late, timedOut)
			}
		})
	}
}

// Answers in any order belong to whom they answer, up to the granted window in flight.
func TestClientWindow(t *testing.T) {
	for _, granted := range []uint16{1, 3, 8} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var waiting []PDU
			most := 0
			c := withWays(t, "pipe", Config{Timeout: plenty, MaxItems: 1}, plcWays{window: granted}, func(p *fakePLC) {
				for {
					pdu, ok := p.next()
					if !ok {
						return
					}
					mu.Lock()
					waiting = append(waiting, pdu)
					most = max(most, len(waiting))
					mu.Unlock()
					go func() { // each answer takes a second; they come newest first
						time.Sleep(time.Second)
						mu.Lock()
						defer mu.Unlock()
						last := waiting[len(waiting)-1]
						waiting = waiting[:len(waiting)-1]
						p.reply(answerOf(&last))
					}()
				}
			})
			for _, window := range []int{int(granted), 1, 2, 64} {
				most = 0
				c.SetWindow(window)
				var items []Item
				for i := range 24 {
					items = append(items, Bytes(AreaDB, 1, uint32(i), 1))
				}
				wantTruth(t, c, items...)
				if want := min(window, int(granted)); most != want || c.Stats().Window != want {
					t.Errorf("window %d of %d: %d in flight", window, granted, most)
				}
			}
		})
	}
}

func TestClientReadsByPlan(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var items []Item
	for range 300 {
		items = append(items, randomItem(rng))
	}
	p, err := PlanRead(items, PackLimits{PDU: 240})
	if err != nil {
		t.Fatal(err)
	}
	c := withWays(t, "tcp", Config{Timeout: plenty}, plcWays{pdu: 240}, (*fakePLC).echo)
	vars := make([]Var, len(items))
	for range 3 {
		for i := range vars {
			vars[i].Data = vars[i].Data[:0]
		}
		if err := c.ReadPlan(t.Context(), p, vars); err != nil {
			t.Fatal(err)
		}
		for i := range vars {
			trueVar(t, &vars[i])
		}
	}
	if s := c.Stats(); s.Sent != 3*uint64(len(p.Requests())) {
		t.Errorf("%d requests for three times %d", s.Sent, len(p.Requests()))
	}
}

// Several callers share a connection.
func TestClientIsShared(t *testing.T) {
	c := withWays(t, "tcp", Config{Timeout: plenty}, plcWays{}, (*fakePLC).echo)
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			for i := range 100 {
				wantTruth(t, c, Bytes(AreaDB, uint16(g), uint32(10*i+g), uint16(1+i)), Bit(AreaMarkers, 0, uint32(i), 3))
			}
		})
	}
	wg.Wait()
}

// A PLC whose CC does not say a TPDU size takes 128 bytes: longer requests go in fragments, and answers that come in fragments are put together.
func TestClientFragments(t *testing.T) {
	c := withWays(t, "tcp", Config{Timeout: plenty}, plcWays{noSize: true}, func(p *fakePLC) {
		for {
			pdu, ok := p.next()
			if !ok || !p.send(AppendFragments(nil, answerOf(&pdu), 128)) {
				return
			}
		}
	})
	var items []Item
	for i := range 70 {
		items = append(items, Bytes(AreaDB, 1, uint32(3*i), 3))
	}
	wantTruth(t, c, items...)
	if s := c.Stats(); s.Sent != 1 {
		t.Errorf("%d requests", s.Sent)
	}
}

func TestClientPassesPushesOver(t *testing.T) {
	push := Userdata{Type: UserdataPush, Group: GroupCyclic, Sub: SubCyclicSubscribe, Long: true, Code: ReturnOK, Size: DataOctet, Data: []byte{0, 1, 2, 3}}
	c := withPLC(t, Config{Timeout: plenty}, func(p *fakePLC) {
		for {
			pdu, ok := p.next()
			if !ok || !p.reply(push.AppendTo(nil, pdu.Ref), answerOf(&pdu), push.AppendTo(nil, 99)) {
				return
			}
		}
	})
	for i := range uint32(5) {
		wantTruth(t, c, Bytes(AreaDB, 1, i, 1))
	}
	if s := c.Stats(); s.Pushed < 9 || s.Foreign != 0 || s.Replied != 5 {
		t.Errorf("%+v", s)
	}
}

func TestClientFindsTheNextFrame(t *testing.T) {
	for resync, want := range map[Resync]int{ResyncOff: 0, ResyncOnce: 1, ResyncAlways: 3} {
		c := withPLC(t, Config{Timeout: plenty, Resync: resync}, func(p *fakePLC) {
			for {
				pdu, ok := p.next()
				if !ok || !p.send([]byte("noise")) || !p.reply(answerOf(&pdu)) {
					return
				}
			}
		})
		read := 0
		for i := range uint32(3) {
			v := []Var{{Item: Bytes(AreaDB, 1, i, 1)}}
			if c.Read(t.Context(), v) == nil {
				trueVar(t, &v[0])
				read++
			}
		}
		if s := c.Stats().Stream; read != want || s.Resyncs != uint64(want) || want > 0 && s.Skipped < 5 {
			t.Errorf("resync %d: %d of 3 reads, %+v", resync, read, s)
		}
	}
}

func TestClientIsCancelled(t *testing.T) {
	for _, pipe := range []string{"pipe", "mem"} {
		synctest.Test(t, func(t *testing.T) {
			c := withWays(t, pipe, Config{Timeout: plenty}, plcWays{}, func(p *fakePLC) {
				first, _ := p.next()
				second, _ := p.next()
				if p.reply(answerOf(&first), answerOf(&second)) {
					p.echo()
				}
			})
			ctx, cancel := contextFor(t, time.Second)
			defer cancel()
			v := []Var{{Item: Bytes(AreaDB, 1, 1, 1), Data: []byte{1}}, {Item: Bytes(AreaDB, 1, 2, 1), Data: []byte{1}}}
			began := time.Now()
			err := c.Write(ctx, v)
			var e *Error
			if !errors.As(err, &e) || !e.MayHaveHappened() || !e.Timeout() || time.Since(began) != time.Second || v[1].Err == nil {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			wantTruth(t, c, Bytes(AreaDB, 1, 5, 1))
			if s := c.Stats(); s.Abandoned != 1 || s.Late != 0 || s.Unanswered != 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// Over a socket a lone caller sends and reads at once: answers that come cut, twice, or with something before them are still whose they are.
func TestClientOverASocket(t *testing.T) {
	for what, send := range map[string]func(p *fakePLC, frame []byte) bool{
		"cut":   func(p *fakePLC, f []byte) bool { return p.send(f[:9]) && p.send(f[9:]) },
		"twice": func(p *fakePLC, f []byte) bool { return p.send(append(slices.Clone(f), f...)) },
		"empty": func(p *fakePLC, f []byte) bool { return p.send(append(unhex("0300000702F080"), f...)) },
		"parts": func(p *fakePLC, f []byte) bool { return p.send(AppendFragments(nil, f[FrameBytes:], 8)) },
	} {
		c := withWays(t, "tcp", Config{Timeout: plenty}, plcWays{}, func(p *fakePLC) {
			for {
				pdu, ok := p.next()
				if !ok || !send(p, EndFrame(append(BeginFrame(nil), answerOf(&pdu)...), 0)) {
					return
				}
			}
		})
		for at := range uint32(200) {
			wantTruth(t, c, Bytes(AreaDB, 1, at, 2))
		}
		if s := c.Stats(); s.Foreign != 0 || c.flight.Stats().Inline == 0 {
			t.Errorf("%s: %+v, %d reads by callers", what, s, c.flight.Stats().Inline)
		}
	}
}
