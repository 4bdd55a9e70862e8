package modbus

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// steadyPeer answers every request with the same frame but for its id and unit, and does not allocate.
func steadyPeer(answer Frame) func(p *peer) {
	return func(p *peer) {
		in := make([]byte, 64*MaxADU)
		out := make([]byte, 0, 64*MaxADU)
		have := 0
		for {
			n, err := p.conn.Read(in[have:])
			if err != nil {
				return
			}
			have += n
			took := 0
			out = out[:0]
			for {
				fr, n, err := p.framing.NextRequest(in[took:have])
				if n == 0 || err != nil {
					break
				}
				took += n
				answer.Transaction, answer.Unit = fr.Transaction, fr.Unit
				out = p.framing.Append(out, answer)
			}
			have = copy(in, in[took:have])
			if !p.send(out) {
				return
			}
		}
	}
}

var hundred = Frame{PDU: (&ReadHoldingResponse{Data: counting(0, 100)}).AppendTo(nil)}

func TestReadsDoNotAllocate(t *testing.T) {
	for _, window := range []int{1, 16} {
		for name, start := range map[string]func(testing.TB, Config, func(*peer)) *Client{"pipe": withPeer, "tcp": overTCP} {
			t.Run(fmt.Sprintf("%s window %d", name, window), func(t *testing.T) {
				c := start(t, Config{Window: window, Timeout: time.Minute, Hooks: Hooks{Replied: func(time.Duration) {}}}, steadyPeer(hundred))
				readsDoNotAllocate(t, c)
			})
		}
	}
}

func readsDoNotAllocate(t *testing.T, c *Client) {
	calls := make([]Call, 32)
	for i := range calls {
		calls[i] = Call{Unit: 1, Function: FuncReadHolding, Address: uint16(i), Quantity: 100, Data: make([]byte, 0, 200)}
	}
	ctx := context.Background()
	if n := testing.AllocsPerRun(100, func() {
		for i := range calls {
			calls[i].Data = calls[i].Data[:0]
		}
		if err := c.Do(ctx, calls); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Do: %v allocs for %d reads", n, len(calls))
	}
	regs := make([]uint16, 100)
	if n := testing.AllocsPerRun(100, func() {
		if err := c.ReadHolding(ctx, 1, 0, 100, regs); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("ReadHolding: %v allocs", n)
	}
}

func BenchmarkClient(b *testing.B) {
	for _, window := range []int{1, 16} {
		b.Run(fmt.Sprintf("window %d", window), func(b *testing.B) {
			c := overTCP(b, Config{Window: window, Timeout: time.Minute}, steadyPeer(hundred))
			calls := make([]Call, 64)
			for i := range calls {
				calls[i] = Call{Unit: 1, Function: FuncReadHolding, Address: uint16(i), Quantity: 100, Data: make([]byte, 0, 200)}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += len(calls) {
				part := calls[:min(len(calls), b.N-n)]
				for i := range part {
					part[i].Data = part[i].Data[:0]
				}
				if err := c.Do(b.Context(), part); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReadHolding(b *testing.B) {
	c := overTCP(b, Config{Timeout: time.Minute}, steadyPeer(hundred))
	regs := make([]uint16, 100)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.ReadHolding(b.Context(), 1, 0, 100, regs); err != nil {
			b.Fatal(err)
		}
	}
}
