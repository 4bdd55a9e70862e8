package modbus

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// shuffler answers in any order and at times twice, the second time with something else; what it answers when is up to its dice.
func shuffler(seed uint64) func(p *peer) {
	return func(p *peer) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var held []Frame
		for {
			fr, ok := p.next()
			if !ok {
				return
			}
			fr.PDU = slices.Clone(fr.PDU)
			held = append(held, fr)
			for len(held) > 0 && (rng.IntN(8) > 0 || len(held) > 6) {
				i := rng.IntN(len(held))
				answers := []Frame{answerTo(held[i])}
				if rng.IntN(4) == 0 {
					lie := held[i]
					lie.PDU = append(lie.PDU[:1:1], 2, 0xDE, 0xAD)
					answers = append(answers, lie)
				}
				if !p.reply(answers...) {
					return
				}
				held = slices.Delete(held, i, i+1)
			}
		}
	}
}

// Callers come and go, cancel, wait, and change the window, over a socket whose reading changes hands all the time: no value is ever wrong and
// nobody is forgotten.
func TestManyCallersOverASocket(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	const rounds = 10
	var right, failed atomic.Int64
	for round := range uint64(rounds) {
		c := overTCP(t, Config{Window: 1, Timeout: 3 * time.Millisecond, Retries: 1}, shuffler(seed+round))
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(seed+round, uint64(g)))
				for range 50 {
					ok := stressCall(t, c, rng)
					right.Add(int64(ok))
					failed.Add(int64(1 - min(ok, 1)))
				}
			})
		}
		wg.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if s := c.Stats(); s.InFlight != 0 || s.Foreign != 0 {
			t.Errorf("round %d: %+v", round, s)
		}
	}
	t.Logf("%d right values, %d runs failed", right.Load(), failed.Load())
	if right.Load() == 0 {
		t.Error("nothing was read")
	}
}

// stressCall makes one Do of up to six reads and returns how many were answered rightly.
func stressCall(t *testing.T, c *Client, rng *rand.Rand) (right int) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	switch rng.IntN(10) {
	case 0:
		cancel()
	case 1:
		time.AfterFunc(time.Duration(rng.IntN(500))*time.Microsecond, cancel)
	case 2:
		c.SetWindow(1 + rng.IntN(8))
	}
	calls := make([]Call, 1+rng.IntN(6))
	for i := range calls {
		calls[i] = Call{Unit: 1, Function: FuncReadHolding, Address: uint16(rng.Uint32()), Quantity: 1}
	}
	_ = c.Do(ctx, calls) // may be cancelled, late, or closed after sixteen losses
	for i := range calls {
		switch {
		case calls[i].Err != nil:
		case slices.Equal(calls[i].Data, AppendRegisters(nil, calls[i].Address)):
			right++
		default:
			t.Errorf("asked %d, got %x", calls[i].Address, calls[i].Data)
		}
	}
	return right
}
