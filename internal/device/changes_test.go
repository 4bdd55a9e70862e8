package device

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/tag"
)

func TestChangesAreAllSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		var n atomic.Uint64
		for d := uint32(1); d <= 3; d++ {
			b.spec(d, time.Second, 2)
			b.plc(d).value = func(id tag.ID) (tag.Kind, uint64, tag.Quality) {
				if id%100 == 0 {
					return tag.Uint32, 5, tag.Good
				}
				return tag.Uint32, n.Add(1), tag.Good
			}
		}
		b.apply(b.spec(1, time.Second, 2), b.spec(2, time.Second, 2), b.spec(3, time.Second, 2))
		b.run()
		seen, constant := map[tag.ID]string{}, 0
		var since uint64
		var got []Last
		for range 25 {
			time.Sleep(time.Second)
			synctest.Wait()
			got, since = b.Changes(since, got[:0])
			for _, l := range got {
				seen[l.ID] = l.Value.String()
				if l.ID%100 == 0 {
					constant++
				}
			}
		}
		if constant != 3 {
			t.Errorf("three values that never change came %d times", constant)
		}
		all, _ := b.ChangesOf([]tag.ID{301, 999, 100}, 0, nil)
		if len(all) != 2 || all[0].ID != 301 || all[1].ID != 100 {
			t.Errorf("changes of some %v", all)
		}
		if none, now := b.ChangesOf([]tag.ID{301}, since, nil); len(none) != 0 || now != since {
			t.Errorf("nothing changed, and %v", none)
		}
		for _, d := range []string{"d0001", "d0002", "d0003"} {
			last, ok := b.LastOf(d, nil)
			if !ok || len(last) != 2 {
				t.Fatalf("%s: %v", d, last)
			}
			for _, l := range last {
				if seen[l.ID] != l.Value.String() {
					t.Errorf("tag %d is %v, the stream says %s", l.ID, l.Value, seen[l.ID])
				}
			}
		}
		if _, ok := b.LastOf("x", nil); ok {
			t.Error("there is no x")
		}
		if l := b.Last([]tag.ID{12345}, nil); len(l) != 1 || l[0].ID != 12345 || l[0].Quality != tag.BadWaitingForInitialData {
			t.Errorf("an unknown tag is %v", l)
		}
		b.quit()
	})
}
