package s7

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"runtime/metrics"
	"testing"
)

// spoilPools fills all that is put back with what nobody asked for, to the end of its room. What still uses it, or finds it in what it gets, shows it.
func spoilPools(p *pools) (spoilt *int) {
	spoilt = new(int)
	items := func(s []Item) {
		*spoilt++
		s = s[:cap(s)]
		for i := range s {
			s[i] = Item{Syntax: 0xEE, Size: 0xEE, Count: 0xEEEE, DB: 0xEEEE, Area: 0xEE, Address: 0xEEEEEE, Spec: []byte{0xEE}}
		}
	}
	p.read.spoil = func(m *ReadRequest) { items(m.Items) }
	p.write.spoil = func(m *WriteRequest) {
		items(m.Items)
		data := m.Data[:cap(m.Data)]
		for i := range data {
			data[i] = DataItem{Code: 0xEE, Size: 0xEE, Data: []byte{0xEE}}
		}
	}
	p.copy.spoil = func(m *frameCopy) {
		*spoilt++
		b := m.b[:cap(m.b)]
		for i := range b {
			b[i] = 0xEE
		}
	}
	return spoilt
}

// poolTalk is requests of all lengths one after the other, in order and not.
func poolTalk() (asks [][]byte) {
	frame := func(m interface {
		AppendTo(b []byte, ref uint16) []byte
	}) []byte {
		return EndFrame(m.AppendTo(BeginFrame(nil), uint16(len(asks))), 0)
	}
	foreign := Item{Syntax: 0xB2, Spec: []byte{1, 2, 3, 4, 5}}
	for _, n := range []int{1, 15, 2, 7, 1} {
		var r ReadRequest
		var w WriteRequest
		for i := range n {
			r.Items = append(r.Items, Bytes(AreaDB, 1, uint32(i), 4), foreign)
			w.Items = append(w.Items, Bytes(AreaDB, 1, uint32(100+i), 1))
			w.Data = append(w.Data, DataItem{Size: DataByte, Data: []byte{byte(n)}})
		}
		r.Items = r.Items[:n]
		if n == 15 {
			w.Items, w.Data = w.Items[:8], w.Data[:8]
		}
		whole := frame(&r)
		cut := bytes.Clone(whole) // says that there is one item more than there are
		cut[FrameBytes+jobHeader+1]++
		asks = append(asks, whole, frame(&w), cut, frame(&r), frame(&ReadRequest{Items: []Item{Bytes(AreaDB, 1, 100, 8)}}))
	}
	return asks
}

// shown is an Interceptor that keeps its hands off and remembers what it was shown.
type shown struct{ all []byte }

func (s *shown) Request(_ context.Context, _ *ServerConn, request []byte) (ErrorCode, error) {
	s.all = append(s.all, request...)
	return 0, nil
}

func (s *shown) Answer(_ context.Context, c *ServerConn, request, answer []byte) error {
	s.all = append(append(s.all, request...), answer...)
	c.Send(answer)
	return nil
}

// served serves asks, burst at a time, and returns the answers.
func served(t testing.TB, c protocol, asks [][]byte, burst int) (answers []byte) {
	t.Helper()
	for len(asks) > 0 {
		n := min(burst, len(asks))
		in := bytes.Join(asks[:n], nil)
		asks = asks[n:]
		for len(in) > 0 {
			used, out, err := c.Serve(t.Context(), in, nil)
			if err != nil || used == 0 {
				t.Fatalf("used %d of %x: %v", used, in, err)
			}
			answers, in = append(answers, out...), in[used:]
		}
	}
	return answers
}

// A server whose pools are spoilt answers as one without pools does.
func TestMessagesArePutBackClean(t *testing.T) {
	for _, burst := range []int{1, 3, 100} {
		for _, watched := range []bool{false, true} {
			t.Run(fmt.Sprintf("burst=%d watched=%v", burst, watched), func(t *testing.T) {
				serve := func(prepare func(p *pools)) (answers []byte) {
					s := &shown{}
					cfg := ServerConfig{Handler: testMemory(t)}
					if watched {
						cfg.Intercept = s
					}
					c := activeConn(t, cfg)
					prepare(&c.srv.pools)
					for range 3 {
						answers = append(answers, served(t, c, poolTalk(), burst)...)
					}
					return append(answers, s.all...)
				}
				want := serve(func(p *pools) { p.read.fresh, p.write.fresh, p.copy.fresh = true, true, true })
				var spoilt *int
				got := serve(func(p *pools) { spoilt = spoilPools(p) })
				if !bytes.Equal(got, want) {
					t.Error("the answers differ")
				}
				if *spoilt == 0 {
					t.Error("nothing was put back")
				}
			})
		}
	}
}

// What was put back holds nothing of what it was used for, and no more room than is worth keeping.
func TestMessagesForget(t *testing.T) {
	var p pools
	p.init()
	m := p.read.get()
	for n := range 3 { // read, read less, not read
		ask := ReadRequest{Items: make([]Item, 5-n)}
		for i := range ask.Items {
			ask.Items[i] = Item{Syntax: 0xB2, Spec: []byte{1, 2, 3}}
		}
		pdu := ask.AppendTo(nil, 1)
		if n == 2 {
			pdu[jobHeader+1]++
		}
		d, err := DecodePDU(pdu)
		if err != nil {
			t.Fatal(err)
		}
		if code := m.Decode(&d); (code != 0) != (n == 2) {
			t.Fatal(code)
		}
		p.read.put(m)
		for i, it := range m.Items[:cap(m.Items)] {
			if it.Spec != nil || it.Syntax != 0 {
				t.Errorf("use %d: item %d is kept", n, i)
			}
		}
	}
	m.Items = make([]Item, 0, mostItems+1)
	if p.read.put(m); m.Items != nil {
		t.Error("a large message is kept")
	}
	c := &frameCopy{make([]byte, mostCopy+1)}
	if p.copy.put(c); c.b != nil {
		t.Error("a large copy is kept")
	}
}

// However connections end, no message is lost.
func TestPoolsBalance(t *testing.T) {
	s := serve(t, ServerConfig{Handler: testMemory(t), Intercept: &hangUpAfter{n: 3}})
	for range 5 {
		c := s.session()
		c.Write(bytes.Join(poolTalk(), nil))
		io.Copy(io.Discard, c)
	}
	st := s.ended()
	for name, p := range st.Pools {
		if p.Gets == 0 || p.Gets != p.Puts || len(p.Held) > 0 {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// hangUpAfter ends each connection at its nth request.
type hangUpAfter struct{ n int }

func (h *hangUpAfter) Request(_ context.Context, c *ServerConn, _ []byte) (ErrorCode, error) {
	if c.Burst() == h.n {
		return 0, &HangUpError{Reason: "enough"}
	}
	return 0, nil
}

func (h *hangUpAfter) Answer(_ context.Context, c *ServerConn, _, answer []byte) error {
	c.Send(answer)
	return nil
}

// BenchmarkPools is the A/B of pooled and fresh messages: reads of 19 items over a socket. Beside the time of a request it says how many bytes each
// allocates and how long the collector stops the world, at the 99th percentile.
func BenchmarkPools(b *testing.B) {
	var ask ReadRequest
	for i := range uint32(19) {
		ask.Items = append(ask.Items, Bytes(AreaDB, 1, 4*i, 4))
	}
	frame := EndFrame(ask.AppendTo(BeginFrame(nil), 1), 0)
	for _, fresh := range []bool{false, true} {
		name := "pooled"
		if fresh {
			name = "fresh"
		}
		b.Run(name, func(b *testing.B) {
			s := serve(b, ServerConfig{Handler: testMemory(b)})
			s.pools.read.fresh = fresh
			c := s.session()
			benchRequests(b, c, frame, make([]byte, FrameBytes+readResponseHead+19*8))
		})
	}
}

// benchRequests makes b.N requests and reports them a second, bytes allocated a request, collections a second, and the pauses.
func benchRequests(b *testing.B, c net.Conn, ask, answer []byte) {
	before, pauses := memStats(), gcPauses()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		exchange(b, c, ask, answer)
	}
	b.StopTimer()
	after := memStats()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(b.N), "B/request")
	b.ReportMetric(float64(after.NumGC-before.NumGC)/b.Elapsed().Seconds(), "GCs/s")
	b.ReportMetric(1e6*quantile(gcPauses(), pauses, 0.99), "p99-pause-µs")
}

func memStats() (m runtime.MemStats) {
	runtime.ReadMemStats(&m)
	return m
}

// gcPauses is the histogram of how long the collector stopped the world.
func gcPauses() *metrics.Float64Histogram {
	s := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64Histogram()
}

// quantile returns the upper bound of what q of the values that came between two histograms stayed under; 0 when none came.
func quantile(after, before *metrics.Float64Histogram, q float64) float64 {
	var all, sum uint64
	for i := range after.Counts {
		all += after.Counts[i] - before.Counts[i]
	}
	for i := range after.Counts {
		if sum += after.Counts[i] - before.Counts[i]; all > 0 && sum >= uint64(math.Ceil(q*float64(all))) {
			return after.Buckets[i+1]
		}
	}
	return 0
}
