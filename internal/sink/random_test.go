package sink

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestRandomTrouble mixes everything; each row arrives once, or is poison, and the ledger holds.
func TestRandomTrouble(t *testing.T) {
	for i := range 30 {
		seed := rand.Uint64()
		if i == 0 {
			seed = 1
		}
		synctest.Test(t, func(t *testing.T) {
			rnd, trouble := rand.New(rand.NewPCG(seed, 0)), rand.New(rand.NewPCG(seed, 1))
			log := newLog()
			var bad []uint64
			for range rnd.IntN(6) {
				bad = append(bad, uint64(rnd.IntN(300)))
			}
			slices.Sort(bad)
			bad = slices.Compact(bad)
			refuse := refuses(bad...)
			s := &seekSink{memSink{t: t, own: true}}
			s.before = func(ctx context.Context, r Range, rows []Rows) error {
				switch trouble.IntN(6) {
				case 0:
					return &refusal{"down", true}
				case 1:
					return errors.New("unknown")
				case 2: // it was written, and the answer is lost
					if err := refuse(ctx, r, rows); err != nil {
						return err
					}
					for _, v := range rows {
						for o := v.Offset; o < v.Next(); o++ {
							s.got = append(s.got, o)
						}
					}
					s.cursor.Offset = r.To
					return &refusal{"no answer", true}
				}
				return refuse(ctx, r, rows)
			}
			r := start(t, log, s, nil)
			for n := 0; n < 300; {
				k := min(1+rnd.IntN(20), 300-n)
				log.add(k)
				n += k
				time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			wantOffsets(t, s.offsets(), 0, 300, bad...)
			if n := r.worker.Stats().Dropped; n[ReasonPoison] != uint64(len(bad)) || n[ReasonSkipped] != 0 {
				t.Errorf("dropped %v, poison %v", n, bad)
			}
			if _, w := log.Bounds(); log.cursors["mem"] != w || r.worker.Stats().Waiting != 0 {
				t.Errorf("cursor %d", log.cursors["mem"])
			}
			r.balance()
			r.end()
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
