package device

import (
	"testing"
	"time"

	"millrace/internal/tag"
)

// What a device had sent before a read-back and comes behind it does not take the value back.
func TestOldValuesDoNotOvertakeAReadBack(t *testing.T) {
	writing(t, func(b *bench) {
		u := b.unit(b.name(1))
		row := func(v float32, ts time.Time) {
			rows := &tag.Batch{Received: time.Now().UnixNano()}
			rows.Append(100, ts.UnixNano(), tag.Good, tag.Float32, float(v).Bits)
			u.table.take(rows, nil, false)
		}
		old := time.Now()
		time.Sleep(time.Millisecond)
		if _, err := b.put(b.t.Context(), 1, 7); err != nil {
			t.Fatal(err)
		}
		if err := b.ReadBack(b.t.Context(), b.name(1), []tag.ID{100}); err != nil {
			t.Fatal(err)
		}
		if row(1, old); b.last(100).Value.String() != "7" {
			t.Errorf("it went back to %v", b.last(100).Value)
		}
		if row(8, time.Now()); b.last(100).Value.String() != "8" {
			t.Errorf("then it is %v", b.last(100).Value)
		}
		if row(9, old); b.last(100).Value.String() != "9" { // the clock was set back
			t.Errorf("and then %v", b.last(100).Value)
		}
	})
}

// What is doubted is uncertain until it is read again, and keeps its value.
func TestDoubt(t *testing.T) {
	writing(t, func(b *bench) {
		if err := b.Doubt(b.t.Context(), b.name(1), []tag.ID{100, 999}); err != nil {
			t.Error(err)
		}
		if l := b.last(100); l.Quality != tag.UncertainLastUsable || l.Value.String() != "1" {
			t.Errorf("%v %v", l.Quality, l.Value)
		}
		if l := b.last(101); !l.Quality.IsGood() {
			t.Errorf("another tag is %v", l.Quality)
		}
		time.Sleep(time.Second)
		if l := b.last(100); !l.Quality.IsGood() {
			t.Errorf("read again it is %v", l.Quality)
		}
		if err := b.Doubt(b.t.Context(), "nobody", []tag.ID{1}); err == nil {
			t.Error("there is no such device")
		}
	})
}
