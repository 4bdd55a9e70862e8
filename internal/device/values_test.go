package device

import (
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"

	"millrace/internal/tag"
)

func tableOf(tags []TagSpec, clock *atomic.Uint64) *table {
	return newTable([]Group{{Tags: tags}}, clock)
}

func f64(v float64) uint64 { return math.Float64bits(v) }

func f32(v float32) uint64 { return uint64(math.Float32bits(v)) }

func TestDeadband(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name string
		d    Deadband
		in   []float64
		want string // 1 for each value that passes
	}{
		{"on change", Deadband{}, []float64{1, 1, 2, 2, 1}, "10101"},
		{"every", Deadband{Every: true}, []float64{1, 1, 1}, "111"},
		{"every beats a deadband", Deadband{Every: true, Abs: 10}, []float64{1, 1, 2}, "111"},
		{"absolute, the edge is held back", Deadband{Abs: 1}, []float64{10, 11, 11.5, 10.5, 9}, "10101"},
		{"against the last that passed, so that a slow drift passes", Deadband{Abs: 1}, []float64{0, 0.6, 1.2, 1.8, 2.4}, "10101"},
		{"percent of the range", Deadband{Percent: 10, Low: 0, High: 200}, []float64{100, 120, 121, 101, 100.9}, "10101"},
		{"percent of the range, upside down", Deadband{Percent: 10, Low: 200, High: 0}, []float64{100, 120, 121}, "101"},
		{"percent of the last value", Deadband{Percent: 10}, []float64{100, 110, 111, 100, -100, -105, -120}, "1010101"},
		{"percent of nothing", Deadband{Percent: 10}, []float64{0, 0, 0.001, 0}, "1011"},
		{"both: beyond each of them", Deadband{Abs: 5, Percent: 10}, []float64{100, 106, 111, 10, 14, 16}, "101101"},
		{"NaN comes and goes", Deadband{Abs: 5}, []float64{1, nan, nan, 2}, "1101"},
		{"infinity", Deadband{Abs: 5}, []float64{1, math.Inf(1), math.Inf(1), 1}, "1101"},
		{"percent of infinity", Deadband{Percent: 10}, []float64{1, math.Inf(1), math.Inf(1), 1, math.Inf(-1), math.Inf(1)}, "110111"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tab := tableOf([]TagSpec{{ID: 7, Shared: &Terms{Deadband: c.d}}}, new(atomic.Uint64))
			got := ""
			for _, v := range c.in {
				b := &tag.Batch{Received: 1}
				b.Append(7, 1, tag.Good, tag.Float64, f64(v))
				read, filtered := tab.take(b, nil, false)
				if read != 1 || filtered+b.Len() != 1 {
					t.Fatalf("read %d, filtered %d, left %d", read, filtered, b.Len())
				}
				got += fmt.Sprint(b.Len())
				l, _ := tab.get(7, 0)
				if l.Value.Bits != f64(v) {
					t.Errorf("the last value is %v, not %v", l.Value, v)
				}
			}
			if got != c.want {
				t.Errorf("%v passed %s, want %s", c.in, got, c.want)
			}
		})
	}
}

// A change of quality passes whatever the deadband; a value that is not good passes when it differs.
func TestQualityPassesTheDeadband(t *testing.T) {
	tab := tableOf([]TagSpec{{ID: 7, Shared: &Terms{Deadband: Deadband{Abs: 100}}}}, new(atomic.Uint64))
	got := ""
	for _, r := range []struct {
		q tag.Quality
		k tag.Kind
		v uint64
	}{
		{tag.Good, tag.Float64, f64(1)}, {tag.Good, tag.Float64, f64(2)},
		{tag.UncertainSubNormal, tag.Float64, f64(2)}, {tag.UncertainSubNormal, tag.Float64, f64(2)}, {tag.UncertainSubNormal, tag.Float64, f64(3)},
		{tag.BadSensorFailure, tag.Null, 0}, {tag.BadSensorFailure, tag.Null, 0}, {tag.BadDeviceFailure, tag.Null, 0},
		{tag.Good, tag.Float64, f64(3)}, {tag.Good, tag.Float64, f64(4)},
	} {
		b := &tag.Batch{Received: 1}
		b.Append(7, 1, r.q, r.k, r.v)
		tab.take(b, nil, false)
		got += fmt.Sprint(b.Len())
	}
	if got != "1010110110" {
		t.Errorf("passed %s, want 1010110110", got)
	}
}

func TestDeadbandOfOtherKinds(t *testing.T) {
	text := func(s string) tag.Value { return tag.Value{Kind: tag.String, Aux: []byte(s)} }
	whole := func(k tag.Kind, v int64) tag.Value { return tag.Value{Kind: k, Bits: uint64(v)} }
	for _, c := range []struct {
		name string
		d    Deadband
		in   []tag.Value
		want string
	}{
		{"text", Deadband{Abs: 5}, []tag.Value{text("a"), text("a"), text("b"), text("")}, "1011"},
		{"a bool has no deadband", Deadband{Abs: 5}, []tag.Value{whole(tag.Bool, 0), whole(tag.Bool, 1), whole(tag.Bool, 1)}, "110"},
		{"whole numbers", Deadband{Abs: 5}, []tag.Value{whole(tag.Int16, -3), whole(tag.Int16, 2), whole(tag.Int16, 3)}, "101"},
		{"64 bits without a deadband are compared exactly", Deadband{}, []tag.Value{whole(tag.Int64, 1<<62), whole(tag.Int64, 1<<62+1)}, "11"},
		{"64 bits that a float rounds", Deadband{Abs: 1}, []tag.Value{whole(tag.Int64, 1<<62), whole(tag.Int64, 1<<62+1), whole(tag.Int64, 1<<62+2)}, "101"},
		{"64 bits without a sign", Deadband{Abs: 1}, []tag.Value{whole(tag.Uint64, -1), whole(tag.Uint64, -2), whole(tag.Uint64, -3), whole(tag.Uint64, 0)}, "1011"},
		{"64 bits from end to end", Deadband{Abs: 1}, []tag.Value{whole(tag.Int64, math.MinInt64), whole(tag.Int64, math.MaxInt64)}, "11"},
		{"another kind", Deadband{Abs: 5}, []tag.Value{whole(tag.Int16, 1), whole(tag.Int32, 1)}, "11"},
	} {
		tab := tableOf([]TagSpec{{ID: 7, Shared: &Terms{Deadband: c.d}}}, new(atomic.Uint64))
		got := ""
		for _, v := range c.in {
			b := &tag.Batch{Received: 1}
			if v.Kind == tag.String {
				b.AppendAux(7, 1, tag.Good, v.Kind, v.Aux)
			} else {
				b.Append(7, 1, tag.Good, v.Kind, v.Bits)
			}
			tab.take(b, nil, false)
			got += fmt.Sprint(b.Len())
		}
		if got != c.want {
			t.Errorf("%s: passed %s, want %s", c.name, got, c.want)
		}
	}
}

func TestScale(t *testing.T) {
	var array []byte
	for _, v := range []int16{-1, 0, 300} {
		array = tag.AppendElem(array, tag.Int16, uint64(int64(v)))
	}
	for _, c := range []struct {
		kind tag.Kind
		bits uint64
		aux  []byte
		want string
		is   tag.Kind
	}{
		{tag.Int16, uint64(0xFFFFFFFFFFFFFF9C), nil, "-5", tag.Float64}, // -100*0.1 + 5
		{tag.Uint16, 65535, nil, "6558.5", tag.Float64},
		{tag.Float32, f32(2.5), nil, "5.25", tag.Float64},
		{tag.Uint64, 1 << 40, nil, "109951162782.6", tag.Float64},
		{tag.Bool, 1, nil, "5.1", tag.Float64},
		{tag.Null, 0, nil, "null", tag.Null},
		{tag.DateTime, 0, nil, `"1970-01-01T00:00:00Z"`, tag.DateTime},
		{tag.String, 0, []byte("x"), "x", tag.String},
		{tag.Int16 | tag.Array, 0, array, "[4.9,5,35]", tag.Float64 | tag.Array},
	} {
		tab := tableOf([]TagSpec{{ID: 7, Shared: &Terms{Scale: 0.1, Bias: 5}}, {ID: 8}}, new(atomic.Uint64))
		b := &tag.Batch{Received: 1}
		for _, id := range []tag.ID{7, 8} {
			if c.aux != nil {
				b.AppendAux(id, 1, tag.Good, c.kind, c.aux)
			} else {
				b.Append(id, 1, tag.Good, c.kind, c.bits)
			}
		}
		raw := b.Value(1).String()
		tab.take(b, nil, false)
		if b.Value(0).String() != c.want || b.Kind[0] != c.is {
			t.Errorf("%v: scaled to %v %v, want %v %v", c.kind, b.Kind[0], b.Value(0), c.is, c.want)
		}
		if b.Value(1).String() != raw || b.Kind[1] != c.kind {
			t.Errorf("%v: without a scale it became %v", c.kind, b.Value(1))
		}
	}
}

func TestTakeKeepsOrderAndDropsStrangers(t *testing.T) {
	tab := tableOf([]TagSpec{{ID: 9}, {ID: 3}, {ID: 5, OutOfService: true}}, new(atomic.Uint64))
	b := &tag.Batch{Received: 50}
	b.Append(9, 0, tag.Good, tag.Int16, 1)
	b.Append(4, 0, tag.Good, tag.Int16, 2) // not of this device
	b.Append(5, 0, tag.Good, tag.Int16, 3)
	b.Append(3, 40, tag.Good, tag.Int16, 4)
	read, filtered := tab.take(b, nil, false)
	if read != 4 || filtered != 2 || b.Len() != 2 || b.ID[0] != 9 || b.ID[1] != 3 {
		t.Errorf("read %d, filtered %d, left %v", read, filtered, b.ID)
	}
	if b.TS[0] != 50 || b.TS[1] != 40 {
		t.Errorf("times %v: a row without one has that of the reply", b.TS)
	}
}

func TestMarks(t *testing.T) {
	var clock atomic.Uint64
	tab := tableOf([]TagSpec{{ID: 1}, {ID: 2}, {ID: 3}, {ID: 4, OutOfService: true}}, &clock)
	b := &tag.Batch{Received: 10}
	b.AppendString(1, 10, tag.Good, "run")
	b.Append(2, 10, tag.BadSensorFailure, tag.Null, 0)
	tab.take(b, nil, false)
	show := func(mark func(b *tag.Batch) (int, int)) string {
		b := &tag.Batch{Received: 20}
		read, filtered := mark(b)
		out := fmt.Sprintf("%d-%d:", read, filtered)
		for i := range b.Len() {
			out += fmt.Sprintf(" %d=%v %v;", b.ID[i], b.Quality[i], b.Value(i))
		}
		return out
	}
	for i, c := range []struct{ got, want string }{
		{show(tab.markDown), "3-0: 1=uncertain (last usable value) run; 2=bad (no communication) null; 3=bad (no communication) null;"},
		{show(tab.markDown), "3-3:"},
		{show(func(b *tag.Batch) (int, int) { return tab.markTags(b, tag.BadOutOfService, true) }), "1-0: 4=bad (out of service) null;"},
		{show(func(b *tag.Batch) (int, int) { return tab.markTags(b, tag.BadOutOfService, false) }),
			"4-1: 1=bad (out of service) null; 2=bad (out of service) null; 3=bad (out of service) null;"},
	} {
		if c.got != c.want {
			t.Errorf("%d: %s\nwant %s", i, c.got, c.want)
		}
	}
}

func TestSequences(t *testing.T) {
	var clock atomic.Uint64
	tab := tableOf([]TagSpec{{ID: 1}, {ID: 2, Shared: &Terms{Deadband: Deadband{Abs: 10}}}}, &clock)
	take := func(a, b int64) string {
		in := &tag.Batch{Received: 1}
		in.Append(1, 1, tag.Good, tag.Int64, uint64(a))
		in.Append(2, 1, tag.Good, tag.Int64, uint64(b))
		before := clock.Load()
		tab.take(in, nil, false)
		var got []string
		for _, l := range tab.appendSince(nil, before, false) {
			got = append(got, fmt.Sprintf("%d=%v", l.ID, l.Value))
		}
		return strings.Join(got, " ")
	}
	for i, c := range []struct {
		a, b int64
		want string
	}{{0, 0, "1=0 2=0"}, {0, 0, ""}, {1, 0, "1=1"}, {1, 5, "2=5"}, {2, 6, "1=2 2=6"}} {
		if got := take(c.a, c.b); got != c.want {
			t.Errorf("%d: changed %q, want %q: the last value moves within the deadband too", i, got, c.want)
		}
	}
	if n := len(tab.appendSince(nil, 0, true)); n != 2 {
		t.Errorf("%d rows in all", n)
	}
}

// A tag that was out of service when its spec was made is planned as any other once it is back.
func TestInService(t *testing.T) {
	tags := []TagSpec{{ID: 1}, {ID: 2, OutOfService: true}}
	tab := tableOf(tags, new(atomic.Uint64))
	if in := tab.inService(tags); len(in) != 1 || in[0].ID != 1 {
		t.Errorf("at first %v", in)
	}
	tab.setOut(2, false)
	if in := tab.inService(tags); len(in) != 2 || in[1].OutOfService {
		t.Errorf("back: %v", in)
	}
	if !tags[1].OutOfService {
		t.Error("the caller's spec was changed")
	}
	tags = []TagSpec{{ID: 1}, {ID: 2}}
	if in := tableOf(tags, new(atomic.Uint64)).inService(tags); &in[0] != &tags[0] {
		t.Error("a copy where nothing is out of service")
	}
}
