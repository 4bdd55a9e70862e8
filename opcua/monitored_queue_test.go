package opcua

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"millrace/opcua/ua"
)

// naiveQueue is an item's queue as the specification tells it.
type naiveQueue struct {
	size     int
	values   []string
	overflow []bool
}

func (q *naiveQueue) push(v string, discardOldest bool) {
	if len(q.values) < q.size {
		q.values, q.overflow = append(q.values, v), append(q.overflow, false)
		return
	}
	gap := q.size > 1
	if discardOldest {
		q.values, q.overflow = append(q.values[1:], v), append(q.overflow[1:], false)
		q.overflow[0] = gap
		return
	}
	q.values[q.size-1], q.overflow[q.size-1] = v, gap
}

func (q *naiveQueue) limit(size int, discardOldest bool) {
	lost := len(q.values) - size
	if q.size = size; lost <= 0 {
		return
	}
	if discardOldest {
		q.values, q.overflow = q.values[lost:], q.overflow[lost:]
		q.overflow[0] = q.overflow[0] || size > 1
		return
	}
	q.values, q.overflow = q.values[:size], q.overflow[:size]
	q.overflow[size-1] = q.overflow[size-1] || size > 1
}

func (q *naiveQueue) String() string { return fmt.Sprint(q.size, q.values, q.overflow) }

// readQueue says the same of ours.
func readQueue(q *noticeQueue) string {
	n := naiveQueue{size: int(q.size)}
	for i := range q.n {
		x := q.at(i)
		d := ua.NewDecoder(x.value, ua.Limits{})
		v := d.Variant()
		n.values, n.overflow = append(n.values, v.Text()), append(n.overflow, x.status&statusOverflow == statusOverflow)
	}
	return n.String()
}

func textSample(v string) *sample {
	s := &sample{}
	s.set(&ua.DataValue{Value: ua.String(v)})
	return s
}

// Queues of all sizes, with both ways to discard, against the naive one; and what they held of the budget is given back.
func TestNoticeQueue(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for round := range 300 {
		all := byteBudget{}
		all.init(1 << 20)
		p := subBudget{all: &all}
		size := r.IntN(6) + 1
		q, naive := noticeQueue{size: int32(size)}, naiveQueue{size: size}
		for step := range 200 {
			oldest := r.IntN(2) == 0
			switch k := r.IntN(10); {
			case k < 6:
				v := fmt.Sprint(step, string(slices.Repeat([]byte("x"), r.IntN(400))))
				q.push(textSample(v), oldest, &p)
				naive.push(v, oldest)
			case k < 9 && q.n > 0:
				q.pop(&p)
				naive.values, naive.overflow = naive.values[1:], naive.overflow[1:]
			case k == 9:
				size := r.IntN(6) + 1
				q.limit(int32(size), oldest, &p)
				naive.limit(size, oldest)
			}
			if got, want := readQueue(&q), naive.String(); got != want {
				t.Fatalf("seed %d round %d step %d: %s, want %s", seed, round, step, got, want)
			}
		}
		q.clear(&p)
		if left := all.left.Load(); left != 1<<20 || p.used.Load() != 0 {
			t.Fatalf("seed %d round %d: %d bytes of the budget are lost", seed, round, 1<<20-left)
		}
	}
}

// When there are no bytes left, a value is one that is not known, a queue does not grow, and nobody else is harmed.
func TestNoticeQueueBudget(t *testing.T) {
	all := byteBudget{}
	all.init(500)
	p := subBudget{all: &all}
	q := noticeQueue{size: 1000}
	for i := range 100 {
		q.push(textSample(fmt.Sprint(i)), true, &p)
	}
	if q.n < 1 || q.n > 8 || all.left.Load() < 0 || q.at(0).status&statusOverflow == 0 {
		t.Errorf("%d values, %d bytes left, status %v", q.n, all.left.Load(), q.at(0).status)
	}
	other := noticeQueue{size: 1}
	all.left.Store(40)
	other.push(textSample(string(make([]byte, 100))), true, &p)
	if n := other.at(0); n.status != ua.BadOutOfMemory || len(n.value) > 0 {
		t.Errorf("status %v with %d bytes", n.status, len(n.value))
	}
}

// A sample is encoded once, and compared with what was before.
func TestSampleSet(t *testing.T) {
	var s sample
	for i, tc := range []struct {
		v    ua.DataValue
		want change
	}{
		{ua.DataValue{}, 0},
		{ua.DataValue{Value: ua.Double(1)}, changedValue},
		{ua.DataValue{Value: ua.Double(1), ServerTimestamp: 5}, 0},
		{ua.DataValue{Value: ua.Float(1)}, changedValue},
		{ua.DataValue{Value: ua.Float(1), SourceTimestamp: 1}, changedTime},
		{ua.DataValue{Value: ua.Float(1), SourceTimestamp: 1, Status: ua.Bad}, changedStatus},
		{ua.DataValue{Value: ua.String("a long text"), SourceTimestamp: 2}, changedStatus | changedTime | changedValue},
		{ua.DataValue{}, changedTime | changedValue},
		{ua.DataValue{Value: ua.DoubleArray([]float64{1, 2})}, changedValue},
		{ua.DataValue{Value: ua.DoubleArray([]float64{1, 2})}, 0},
		{ua.DataValue{Value: ua.DoubleArray([]float64{1, 2, 3})}, changedValue},
	} {
		if got := s.set(&tc.v); got != tc.want {
			t.Errorf("step %d: %b, want %b", i, got, tc.want)
		}
		var want []byte
		if !tc.v.Value.IsNull() {
			want = tc.v.Value.AppendTo(nil)
		}
		if !slices.Equal(s.value, want) {
			t.Errorf("step %d: %x, want %x", i, s.value, want)
		}
	}
}

// Subscriptions that take all they can get leave their share to others.
func TestSubBudgetShares(t *testing.T) {
	all := byteBudget{}
	all.init(1000)
	all.subs.Store(5)
	greedy, modest := subBudget{all: &all}, subBudget{all: &all}
	n := 0
	for greedy.take(10) {
		n += 10
	}
	if n != 500 {
		t.Errorf("the first took %d bytes of 1000, not half", n)
	}
	n = 0
	for modest.take(10) {
		n += 10
	}
	if n != 100 {
		t.Errorf("another took %d bytes, not its share of 100", n)
	}
	greedy.give(500)
	if !modest.take(100) {
		t.Error("nothing is there though most of it is")
	}
}

// A sample tells of a change when the encoding is another one, whatever comes after what.
func TestSampleComparesLikeItsEncoding(t *testing.T) {
	var values []ua.Variant
	for _, n := range []int64{0, -1, 1, 127, -128} {
		values = append(values, ua.SByte(int8(n)), ua.Byte(uint8(n)), ua.Int16(int16(n)), ua.UInt16(uint16(n)), ua.Int32(int32(n)), ua.UInt32(uint32(n)), ua.Int64(n), ua.UInt64(uint64(n)),
			ua.Float(float32(n)), ua.Double(float64(n)), ua.DateTimeValue(ua.DateTime(n)), ua.Bool(n != 0), ua.String(fmt.Sprint(n)), ua.DoubleArray([]float64{float64(n)}))
	}
	values = append(values, ua.Variant{}, ua.Double(math.NaN()), ua.Double(math.Copysign(0, -1)), ua.Double(math.Inf(1)), ua.Float(float32(math.NaN())),
		ua.Float(math.Float32frombits(0x7FA00000)), ua.String(strings.Repeat("x", 100)))
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	var s sample
	var was []byte
	for i := range 20_000 {
		v := values[r.IntN(len(values))]
		if r.IntN(50) == 0 {
			s.value, was = nil, nil // nobody listened
		}
		if i > 0 && r.IntN(3) == 0 {
			v = values[i%2]
		}
		b := []byte{}
		if !v.IsNull() {
			b = v.AppendTo(b)
		}
		changed := s.setValue(&v)
		if number, numeric := numberOf(&v); changed == bytes.Equal(b, was) || !bytes.Equal(s.value, b) || changed && (s.numeric != numeric || numeric && number == number && s.number != number) {
			t.Fatalf("seed %d, step %d: %v is % x after % x, changed: %v, number %v %v", seed, i, v, s.value, was, changed, s.number, s.numeric)
		}
		was = b
	}
}
