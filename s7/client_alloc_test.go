package s7

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// steadily answers every read with the truth and does not allocate.
func steadily(p *fakePLC) {
	var m ReadRequest
	out := make([]byte, 0, 1<<16)
	for {
		msg, ok := p.message()
		if !ok || m.Decode(&msg.PDU) != 0 {
			return
		}
		out = BeginFrame(out[:0])
		out = BeginReadResponse(out, msg.PDU.Ref, len(m.Items))
		for i := range m.Items {
			it := &m.Items[i]
			grown, data := GrowReadItem(out, FrameBytes, it.Size.Data(), it.Len())
			from, _ := it.Range()
			for k := range data {
				data[k] = byteAt(from + k)
			}
			out = grown
		}
		if out = EndFrame(EndReadResponse(out, FrameBytes), 0); !p.send(out) {
			return
		}
	}
}

func TestClientReadsDoNotAllocate(t *testing.T) {
	if underRace {
		t.Skip("counts allocations")
	}
	for pipe := range plcPipes {
		for _, window := range []int{1, 8} {
			t.Run(fmt.Sprintf("%s window %d", pipe, window), func(t *testing.T) {
				c := withWays(t, pipe, Config{Window: window, Timeout: time.Minute, Hooks: Hooks{Replied: func(time.Duration) {}}}, plcWays{pdu: 240}, steadily)
				readsDoNotAllocate(t, c)
			})
		}
	}
}

func readsDoNotAllocate(t *testing.T, c *Client) {
	vars := make([]Var, 200)
	for i := range vars {
		vars[i] = Var{Item: Bytes(AreaDB, 1, uint32(i), uint16(1+i%7)), Data: make([]byte, 0, 8)}
	}
	vars[7] = Var{Item: Bytes(AreaDB, 1, 0, 1000), Data: make([]byte, 0, 1000)}
	plan, err := PlanRead(itemsOf(vars), c.Limits())
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	empty := func(vars []Var) {
		for i := range vars {
			vars[i].Data = vars[i].Data[:0]
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		empty(vars)
		if err := c.ReadPlan(ctx, plan, vars); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("ReadPlan: %v allocs for %d variables", n, len(vars))
	}
	for i := range vars {
		trueVar(t, &vars[i])
	}
	for _, some := range [][]Var{vars[:1], vars[10:20]} {
		if n := testing.AllocsPerRun(100, func() {
			empty(some)
			if err := c.Read(ctx, some); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("Read: %v allocs for %d variables", n, len(some))
		}
	}
}

func TestClientWritesDoNotAllocate(t *testing.T) {
	if underRace {
		t.Skip("counts allocations")
	}
	ok := (&WriteResponse{Codes: []byte{0xFF, 0xFF}}).AppendTo(nil, 0)
	c := withWays(t, "tcp", Config{Timeout: time.Minute}, plcWays{}, func(p *fakePLC) {
		out := EndFrame(append(BeginFrame(nil), ok...), 0)
		for {
			msg, ok := p.message()
			out[FrameBytes+4], out[FrameBytes+5] = byte(msg.PDU.Ref>>8), byte(msg.PDU.Ref)
			if !ok || !p.send(out) {
				return
			}
		}
	})
	vars := []Var{{Item: Bytes(AreaDB, 1, 0, 4), Data: make([]byte, 4)}, {Item: Bit(AreaMarkers, 0, 1, 2), Data: []byte{1}}}
	if n := testing.AllocsPerRun(100, func() {
		if err := c.Write(t.Context(), vars); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocs", n)
	}
}

func BenchmarkClientRead(b *testing.B) {
	for _, x := range []struct{ window, bytes int }{{1, 200}, {8, 200}, {8, 940}} {
		b.Run(fmt.Sprintf("%d bytes window %d", x.bytes, x.window), func(b *testing.B) {
			c := withWays(b, "tcp", Config{Window: x.window, Timeout: time.Minute}, plcWays{}, steadily)
			items := make([]Item, 64)
			vars := make([]Var, len(items))
			for i := range items {
				items[i] = Bytes(AreaDB, 1, uint32(i), uint16(x.bytes))
				vars[i].Data = make([]byte, 0, x.bytes)
			}
			plan, err := PlanRead(items, PackLimits{PDU: 960, MaxItems: 1})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += len(items) {
				for i := range vars {
					vars[i].Data = vars[i].Data[:0]
				}
				if err := c.ReadPlan(b.Context(), plan, vars); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkClientReadOne(b *testing.B) {
	c := withWays(b, "tcp", Config{Timeout: time.Minute}, plcWays{}, steadily)
	vars := []Var{{Item: Bytes(AreaDB, 1, 0, 200), Data: make([]byte, 0, 200)}}
	b.ReportAllocs()
	for b.Loop() {
		vars[0].Data = vars[0].Data[:0]
		if err := c.Read(b.Context(), vars); err != nil {
			b.Fatal(err)
		}
	}
}
