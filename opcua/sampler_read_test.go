package opcua

import (
	"context"
	"testing"
	"time"

	"millrace/opcua/ua"
)

// sampling is samplers of the values of these nodes, as a group has them.
type sampling struct {
	p    samplers
	list []*sampler
	from []samplerSource
	x    samplerScratch
}

func samplingOf(t testing.TB, s *Space, ids ...ua.NodeId) *sampling {
	t.Helper()
	k := &sampling{}
	k.p.init(s, time.Millisecond, time.Now())
	for _, id := range ids {
		ref, ok := s.resolve(nil, id)
		if !ok {
			t.Fatal(id)
		}
		k.list = append(k.list, k.p.acquire(samplerKey{ref: ref, attribute: ua.AttributeValue, interval: time.Second}, id, nil))
	}
	k.from = make([]samplerSource, len(k.list))
	return k
}

// read calls f with every value.
func (k *sampling) read(ctx context.Context, f func(i int, v *ua.DataValue)) {
	for at := 0; at < len(k.list); at += samplerChunk {
		n := copy(k.x.list[:], k.list[at:])
		k.p.update(k.list[at:at+n], k.from[at:at+n])
		copy(k.x.from[:], k.from[at:])
		k.p.readAll(ctx, &k.x, n)
		for i := range n {
			f(at+i, &k.x.values[i])
		}
		k.x.done(n)
	}
}

// numbers returns what was read; a status other than Good is its negative.
func (k *sampling) numbers(ctx context.Context) (list []float64) {
	k.read(ctx, func(_ int, v *ua.DataValue) {
		f, _ := v.Value.Float64()
		if v.Status != ua.Good {
			f = -float64(v.Status)
		}
		list = append(list, f)
	})
	return list
}

func TestSamplersReadWithoutAllocating(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	s, m := mounted(t, 1500)
	variables(t, s, 1500)
	zoo(t, s)
	k := samplingOf(t, s, append(append(textIds(memoryNamespace, 1500), textIds(1, 1500)...), ua.StringId(1, "variable"))...)
	wrong := 0
	one := func() {
		k.read(t.Context(), func(i int, v *ua.DataValue) {
			if f, _ := v.Value.Float64(); i < 3000 && f != float64(i%1500) {
				wrong++
			}
		})
	}
	if got := testing.AllocsPerRun(100, one); got != 0 || wrong > 0 {
		t.Errorf("%v allocations, %d wrong values", got, wrong)
	}
	was := m.batches
	if one(); m.batches-was != 1500/samplerChunk+1 {
		t.Errorf("%d batches for 1500 values of a store", m.batches-was)
	}
}

// Where a value is may change while it is sampled.
func TestSamplersFollowTheSpace(t *testing.T) {
	s := bareSpace(t)
	here, there := newMemory(3), newMemory(9)
	variables(t, s, 3)
	ids := textIds(1, 3)
	for i, id := range ids {
		if err := s.SetStore(id, here, uint64(i), AccessCurrentRead); err != nil {
			t.Fatal(err)
		}
	}
	k := samplingOf(t, s, ids...)
	step := func(what string, change func() error, want ...float64) {
		t.Helper()
		if err := change(); err != nil {
			t.Fatal(what, err)
		}
		for range 2 {
			for i, got := range k.numbers(t.Context()) {
				if got != want[i] {
					t.Errorf("%s: value %d is %v, want %v", what, i, got, want[i])
				}
			}
		}
	}
	step("at first", func() error { return nil }, 0, 1, 2)
	step("another store", func() error { return s.SetStore(ids[1], there, 7, AccessCurrentRead) }, 0, 7, 2)
	step("not readable", func() error { return s.SetStore(ids[2], here, 2, AccessCurrentWrite) }, 0, 7, -float64(ua.BadNotReadable))
	step("readable again", func() error { return s.SetStore(ids[2], here, 2, AccessCurrentRead) }, 0, 7, 2)
	live := func(_ context.Context, v *ua.DataValue) { v.Value = ua.Double(42) }
	step("live", func() error { return s.SetLive(ids[0], live) }, 42, 7, 2)
	step("gone", func() error { s.Remove(ids[1]); return nil }, 42, -float64(ua.BadNodeIdUnknown), 2)
}

// All samplers that are read at the same interval have one lock, which goes with the last of them; one that is told has its own.
func TestSamplersShareTheirLock(t *testing.T) {
	s := bareSpace(t)
	variables(t, s, 3)
	ids := textIds(1, 3)
	k := samplingOf(t, s, ids...)
	if k.list[0].mu != k.list[1].mu || k.list[0].mu.samplers != 3 {
		t.Errorf("%d samplers have the lock of the first", k.list[0].mu.samplers)
	}
	ref, _ := s.resolve(nil, ids[0])
	told := k.p.acquire(samplerKey{ref: ref, attribute: ua.AttributeValue}, ids[0], nil)
	other := k.p.acquire(samplerKey{ref: ref, attribute: ua.AttributeDisplayName, interval: time.Minute}, ids[0], nil)
	if told.mu == k.list[0].mu || other.mu == k.list[0].mu || len(k.p.locks) != 2 {
		t.Errorf("%d locks", len(k.p.locks))
	}
	for _, m := range append(k.list, told, other) {
		k.p.release(m)
	}
	if len(k.p.locks) != 0 {
		t.Errorf("%d locks are left over", len(k.p.locks))
	}
}
