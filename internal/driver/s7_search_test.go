package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/s7"
)

func TestOneBadS7TagCostsOneTag(t *testing.T) {
	for _, code := range []s7.ReturnCode{s7.ReturnAddress, s7.ReturnNoObject} {
		f, w := newPLC(t, 240), newWatcher()
		f.code, f.holes = code, []device.Span{dbSpan(1, 10, 10)}
		a := f.address(nil)
		s := openS7(t, a, w)
		tags := []string{"DB1.DBW0", "DB1.DBW2", "DB1.DBW4", "DB1.DBW6", "DB1.DBW8", "DB1.DBW10", "DB1.DBW12", "DB1.DBW14", "MW0"}
		want := modelRows(t, tags...)
		want[5] = s7Refusal{code: code}.quality().String()
		wantRows(t, readS7(t, s, a, device.Limits{}, tags...), want...)
		if learned := []device.Limits{{Holes: []device.Span{dbSpan(1, 10, 11)}}}; !reflect.DeepEqual(w.learned, learned) {
			t.Errorf("%v: learned %+v, want %+v", code, w.learned, learned)
		}
		f.take()
		want[5] = tag.BadNodeIDUnknown.String()
		wantRows(t, readS7(t, s, a, w.learned[0], tags...), want...)
		if got := strings.Join(f.take(), ", "); got != "|M0 BYTE*2, DB1.0 BYTE*10, DB1.12 BYTE*4" {
			t.Errorf("with the hole known: %s", got)
		}
	}
}

func TestTheS7SearchIsShort(t *testing.T) {
	f, w := newPLC(t, 240), newWatcher()
	f.holes = []device.Span{dbSpan(1, 77, 77)}
	a := f.address(nil)
	s := openS7(t, a, w)
	var tags []string
	for i := range 222 {
		tags = append(tags, fmt.Sprintf("DB1.DBB%d", i))
	}
	tags = append(tags, "M0.0")
	want := modelRows(t, tags...)
	want[77] = tag.BadOutOfRange.String()
	wantRows(t, readS7(t, s, a, device.Limits{}, tags...), want...)
	requests := 0
	for _, line := range f.take() {
		if line[0] == '|' {
			requests++
		}
	}
	if requests > 6 || len(w.learned) != 1 {
		t.Errorf("%d requests, learned %+v", requests, w.learned)
	}
}

func TestAMissingDBIsOneHole(t *testing.T) {
	f, w := newPLC(t, 240), newWatcher()
	a := f.address(nil)
	s := openS7(t, a, w)
	tags := []string{"DB1.DBW0"}
	for i := range 500 {
		tags = append(tags, fmt.Sprintf("DB9.DBD%d:REAL", 4*i))
	}
	got := readS7(t, s, a, device.Limits{}, tags...)
	if n := len(f.take()); n > 1+10+1 { // ten ranges of 222 bytes, and one tag by itself
		t.Errorf("%d variables were asked for", n)
	}
	if got[1] != modelRow(t, tags[0]) || got[2] != tag.BadNodeIDUnknown.String() || len(got) != 501 {
		t.Errorf("%d rows, %s, %s", len(got), got[1], got[2])
	}
	if want := []device.Limits{{Holes: []device.Span{dbSpan(9, 0, 0xFFFF)}}}; !reflect.DeepEqual(w.learned, want) {
		t.Fatalf("learned %+v", w.learned)
	}
	if len(w.refused) == 0 || !strings.Contains(w.why.Error(), "DB9") || !strings.Contains(w.why.Error(), "optimised block access") {
		t.Errorf("refused %v: %v", w.refused, w.why)
	}
	// It is downloaded, and half of it is there.
	if err := f.AddDB(9, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	p := mustS7Plan(t, a, w.learned[0], tags...)
	read := func() map[tag.ID]string {
		var b tag.Batch
		if err := s.Read(context.Background(), p, &b); err != nil {
			t.Fatal(err)
		}
		return rows(t, &b)
	}
	if got = read(); got[2] != tag.BadNodeIDUnknown.String() {
		t.Errorf("probed too early: %s", got[2])
	}
	s.revivals[0].due = time.Time{}
	read() // the probe finds it
	got = read()
	for i := range 500 {
		want := "0"
		if i >= 250 {
			want = tag.BadOutOfRange.String()
		}
		if got[tag.ID(i+2)] != want {
			t.Fatalf("%s is %s, want %s", tags[i+1], got[tag.ID(i+2)], want)
		}
	}
}

func TestAnS7TagThatIsThereAgainIsReadAgain(t *testing.T) {
	f, w := newPLC(t, 240), newWatcher()
	gone := []device.Span{dbSpan(1, 10, 13)}
	f.holes = gone
	a := f.address(nil)
	s := openS7(t, a, w)
	p := mustS7Plan(t, a, device.Limits{Holes: []device.Span{dbSpan(1, 10, 11), dbSpan(1, 12, 13), dbSpan(2, 0, 0)}},
		"DB1.DBW8", "DB1.DBW10", "DB1.DBW12", "DB1.DBW14", "DB2.DBB0")
	value := modelRows(t, "DB1.DBW8", "DB1.DBW10", "DB1.DBW12", "DB1.DBW14", "DB2.DBB0")
	no := tag.BadNodeIDUnknown.String()
	step := func(what, items string, want ...string) {
		t.Helper()
		var b tag.Batch
		if err := s.Read(context.Background(), p, &b); err != nil {
			t.Fatal(err)
		}
		wantRows(t, rows(t, &b), want...)
		if got := strings.Join(f.take(), " "); got != items {
			t.Errorf("%s: %s, want %s", what, got, items)
		}
	}
	due := func() { s.revivals[0].due = time.Time{} }
	both := "|DB1.8 BYTE*2 DB1.14 BYTE*2"
	step("the first read probes", both+" |DB1.10 BYTE*2", value[0], no, no, value[3], no)
	step("the second does not", both, value[0], no, no, value[3], no)
	due()
	step("later the next", both+" |DB1.12 BYTE*2", value[0], no, no, value[3], no)
	due()
	step("and the next, which is there", both+" |DB2.0 BYTE*1", value[0], no, no, value[3], value[4])
	f.set(func() { f.holes = nil })
	both = "|DB1.8 BYTE*2 DB1.14 BYTE*2 DB2.0 BYTE*1"
	step("its DB is asked for", both, value[0], no, no, value[3], value[4])
	due()
	step("a probe that is there", both+" |DB1.12 BYTE*2", value[0], no, value[2], value[3], value[4])
	step("all are asked for", "|DB1.8 BYTE*8 DB2.0 BYTE*1", value...)
	f.set(func() { f.holes = gone })
	due()
	step("both are gone again", "|DB1.8 BYTE*8 DB2.0 BYTE*1 |DB1.8 BYTE*2 DB1.10 BYTE*2 DB1.12 BYTE*2 DB1.14 BYTE*2",
		value[0], tag.BadOutOfRange.String(), tag.BadOutOfRange.String(), value[3], value[4])
	step("and stay so", both+" |DB1.10 BYTE*2", value[0], no, no, value[3], value[4])
}

func TestLearnsAnS7HoleBetweenTags(t *testing.T) {
	f, w := newPLC(t, 240), newWatcher()
	f.holes = []device.Span{{Area: uint8(s7.AreaPeripheral), From: 5, To: 5}}
	a := f.address(nil)
	s := openS7(t, a, w)
	tags := []string{"PID0", "PID6", "PID10"}
	lim := device.Limits{Gap: 4}
	wantRows(t, readS7(t, s, a, lim, tags...), modelRows(t, tags...)...)
	if len(w.learned) != 1 || !reflect.DeepEqual(w.learned[0].Holes, []device.Span{{Area: uint8(s7.AreaPeripheral), From: 4, To: 5}}) {
		t.Fatalf("learned %+v", w.learned)
	}
	f.take()
	lim.Holes = w.learned[0].Holes
	readS7(t, s, a, lim, tags...)
	if got := f.take(); !reflect.DeepEqual(got, []string{"|P0 BYTE*4", "P6 BYTE*8"}) {
		t.Errorf("%q", got)
	}
}

func TestTheBitsOfAByteThatIsNotThere(t *testing.T) {
	f, w := newPLC(t, 240), newWatcher()
	f.holes = []device.Span{dbSpan(1, 5, 5)}
	a := f.address(nil)
	s := openS7(t, a, w)
	got := readS7(t, s, a, device.Limits{}, "DB1.DBB4", "DB1.DBX5.0", "DB1.DBX5.1", "DB1.DBX5.2", "DB1.DBB6")
	no := tag.BadOutOfRange.String()
	wantRows(t, got, modelRow(t, "DB1.DBB4"), no, no, no, modelRow(t, "DB1.DBB6"))
	if len(w.learned) != 1 || !reflect.DeepEqual(w.learned[0].Holes, f.holes) {
		t.Errorf("learned %+v", w.learned)
	}
}

func TestS7TagsOnOneByteOfDifferentLength(t *testing.T) {
	f, w := newPLC(t, 240), newWatcher()
	f.holes = []device.Span{dbSpan(1, 3, 3)}
	a := f.address(nil)
	s := openS7(t, a, w)
	no := tag.BadOutOfRange.String()
	wantRows(t, readS7(t, s, a, device.Limits{}, "DB1.DBB0", "DB1.DBD0", "DB1.DBW0", "DB1.DBB0:LREAL", "MB0"), modelRow(t, "DB1.DBB0"), no, modelRow(t, "DB1.DBW0"), no, modelRow(t, "MB0"))
	if n := len(f.take()); n > 12 {
		t.Errorf("%d variables", n)
	}
	// Those that share bytes with a bad one are read all the same.
	no = tag.BadNodeIDUnknown.String()
	wantRows(t, readS7(t, s, a, w.learned[0], "DB1.DBB0", "DB1.DBD0", "DB1.DBW0", "DB1.DBB0:LREAL", "MB0"), modelRow(t, "DB1.DBB0"), no, modelRow(t, "DB1.DBW0"), no, modelRow(t, "MB0"))
}

func TestAnS7ArrayThatIsLongerThanItsDB(t *testing.T) {
	f, w := newPLC(t, 240), newWatcher()
	if err := f.AddDB(5, s7Bytes(s7.AreaDB, 5, 0, 100)); err != nil {
		t.Fatal(err)
	}
	a := f.address(nil)
	s := openS7(t, a, w)
	tags := []string{"DB5.DBD0:REAL[200]", "DB5.DBD8:REAL", "DB5.DBB40:STRING[10]", "DB5.DBW98", "DB5.DBW99"}
	want := modelRows(t, tags...)
	want[0], want[4] = tag.BadOutOfRange.String(), tag.BadOutOfRange.String()
	wantRows(t, readS7(t, s, a, device.Limits{}, tags...), want...)
	want[0], want[4] = tag.BadNodeIDUnknown.String(), tag.BadNodeIDUnknown.String()
	for range 3 {
		lim := device.Limits{}
		for _, l := range w.learned {
			lim.Holes = append(lim.Holes, l.Holes...)
		}
		p := mustS7Plan(t, a, lim, tags...)
		var b tag.Batch
		if err := s.Read(context.Background(), p, &b); err != nil {
			t.Fatal(err)
		}
		wantRows(t, rows(t, &b), want...)
		s.revivals[0].due = time.Time{}
	}
}

func TestAMissingDBWithScatteredTags(t *testing.T) {
	f, w := newPLC(t, 240), newWatcher()
	f.code, f.holes = s7.ReturnNoObject, []device.Span{dbSpan(2, 500, 500)}
	a := f.address(nil)
	s := openS7(t, a, w)
	no := tag.BadNodeIDUnknown.String()
	got := readS7(t, s, a, device.Limits{}, "DB1.DBW0", "DB9.DBW0", "DB9.DBW400", "DB9.DBW800", "DB2.DBW0", "DB2.DBB500")
	wantRows(t, got, modelRow(t, "DB1.DBW0"), no, no, no, modelRow(t, "DB2.DBW0"), no)
	if len(w.learned) != 1 || !reflect.DeepEqual(w.learned[0].Holes, []device.Span{dbSpan(2, 500, 500), dbSpan(9, 0, 0xFFFF)}) {
		t.Errorf("learned %+v", w.learned)
	}
}

func TestLearnsTheItemsOfAnS7Request(t *testing.T) {
	f, w := newPLC(t, 960), newWatcher()
	f.over = 20
	a := f.address(map[string]string{"gap": "0"})
	s := openS7(t, a, w)
	var tags []string
	for i := range 60 {
		tags = append(tags, fmt.Sprintf("DB1.DBB%d", 3*i))
	}
	lim := s.Limits()
	wantRows(t, readS7(t, s, a, lim, tags...), modelRows(t, tags...)...)
	if len(w.learned) != 1 || w.learned[0].MaxItems != 20 {
		t.Fatalf("learned %+v", w.learned)
	}
	lim.MaxItems = 20
	if got := mustS7Plan(t, a, lim, tags...).Requests(); len(got) != 3 {
		t.Errorf("%d requests with the limit known", len(got))
	}
}

func TestAPLCThatRefusesEverythingIsNotStormed(t *testing.T) {
	f, w := newPLC(t, 240), newWatcher()
	f.holes = []device.Span{dbSpan(1, 0, 65535)}
	a := f.address(nil)
	s := openS7(t, a, w)
	var tags []string
	for i := range 1000 {
		tags = append(tags, fmt.Sprintf("DB1.DBW%d", 2*i))
	}
	got := readS7(t, s, a, device.Limits{}, tags...)
	if len(got) != 1000 {
		t.Errorf("%d rows", len(got))
	}
	for id, q := range got {
		if q != tag.BadOutOfRange.String() {
			t.Errorf("tag %d is %s", id, q)
		}
	}
	if n := len(f.take()); n > 10+maxExtraVarsNever || len(w.learned) != 0 {
		t.Errorf("%d variables, learned %v", n, w.learned)
	}
	f.set(func() { f.holes = []device.Span{dbSpan(1, 20, 1801)} })
	lim, rounds := device.Limits{}, 0
	for wrong := 1; wrong > 0; rounds++ {
		got, wrong = readS7(t, s, a, lim, tags...), 0
		for i, address := range tags {
			if good := i < 10 || i > 900; good != (got[tag.ID(i+1)] == modelRow(t, address)) {
				wrong++
			}
		}
		if n := len(f.take()); n > 1000+maxExtraVars || rounds > 8 {
			t.Fatalf("%d variables in round %d", n, rounds)
		}
		for _, l := range w.learned {
			lim.Holes = append(lim.Holes, l.Holes...)
		}
		w.learned = nil
	}
}

func TestAnS7SearchThatIsNotAnswered(t *testing.T) {
	f, w := newPLC(t, 240), newWatcher()
	f.holes = []device.Span{dbSpan(1, 0, 0)}
	a := f.address(nil)
	s := openS7(t, a, w)
	p := mustS7Plan(t, a, device.Limits{}, "DB1.DBB0", "DB1.DBB1", "MB0")
	w.hear(func() { w.timeout = 50 * time.Millisecond })
	count := 0
	w.onRefused = func() {
		if count++; count == 1 {
			f.set(func() { f.mute = true })
		}
	}
	var b tag.Batch
	err := s.Read(context.Background(), p, &b)
	var ne net.Error
	if !errors.As(err, &ne) || !ne.Timeout() {
		t.Fatal(err)
	}
	if got := rows(t, &b); len(got) != 1 || got[3] != modelRow(t, "MB0") {
		t.Errorf("%v", got)
	}
}
