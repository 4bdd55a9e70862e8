package driver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/s7"
)

func TestS7ReadsThroughAConnection(t *testing.T) {
	for _, pdu := range []int{112, 240, 480, 960} {
		f := newPLC(t, pdu)
		a := f.address(nil)
		s := openS7(t, a, newWatcher())
		if lim := s.Limits(); lim.PDU != pdu || lim.Window != 8 {
			t.Errorf("limits %+v", lim)
		}
		for seed := range uint64(100) {
			r := rand.New(rand.NewPCG(seed, 8))
			addresses := make([]string, 1+r.IntN(60))
			for i := range addresses {
				addresses[i] = randomS7(r)
			}
			lim := s.Limits()
			if seed%3 == 0 {
				lim.PDU = 960 // a plan for more than is granted
			}
			got := readS7(t, s, a, lim, addresses...)
			for i, address := range addresses {
				if want := modelRow(t, address); got[tag.ID(i+1)] != want {
					t.Fatalf("PDU %d seed %d: %s is %s, want %s", pdu, seed, address, got[tag.ID(i+1)], want)
				}
			}
			if len(got) != len(addresses) {
				t.Fatalf("%d rows for %d tags", len(got), len(addresses))
			}
		}
	}
}

func TestS7SteadyReadsDoNotAllocate(t *testing.T) {
	f := newPLC(t, 480)
	f.quiet = true
	a := f.address(nil)
	s := openS7(t, a, deaf(5*time.Second))
	addresses := []string{"DB1.DBD0:REAL[200]", "M0.0[30]", "MB40:STRING[20]", "DB1.DBW1000:INT", "DB1.DBX1001.3", "DB2.DBB0:CHAR[30]", "DB2.DBD40:TIME", "DB3.DBB0:STRING[20][4]"}
	p := mustS7Plan(t, a, s.Limits(), addresses...)
	var b tag.Batch
	if n := testing.AllocsPerRun(200, func() {
		b.Reset()
		if err := s.Read(context.Background(), p, &b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 && !underRace {
		t.Errorf("%v allocations a read", n)
	}
	if b.Len() != len(addresses) {
		t.Errorf("%d rows", b.Len())
	}
}

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

// Among 222 bytes one that is refused is found in two steps.
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

// Tags that begin at the same byte and are not of one length are told apart too.
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

// An array that is longer than its DB costs itself, and not the tags in the part that is there.
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

// A missing DB of which tags lie far apart is one hole too, and one of which a tag came is not missing.
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

func TestALongS7ArrayInPieces(t *testing.T) {
	f, w := newPLC(t, 240), newWatcher()
	a := f.address(nil)
	s := openS7(t, a, w)
	tags := []string{"DB1.DBD0:REAL[300]", "DB2.DBB0:STRING[254]", "DB3.DBX0.3:BOOL[3000]", "T0:TIMER[200]", "DB1.DBW1200"}
	wantRows(t, readS7(t, s, a, device.Limits{}, tags...), modelRows(t, tags...)...)
	f.set(func() { f.holes = []device.Span{dbSpan(1, 700, 700)} })
	want := modelRows(t, tags...)
	want[0] = tag.BadOutOfRange.String()
	wantRows(t, readS7(t, s, a, device.Limits{}, tags...), want...)
	if len(w.learned) != 1 || !reflect.DeepEqual(w.learned[0].Holes, []device.Span{dbSpan(1, 660, 879)}) {
		t.Errorf("learned %+v", w.learned)
	}
	want[0] = tag.BadNodeIDUnknown.String()
	wantRows(t, readS7(t, s, a, w.learned[0], tags...), want...)
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

func TestS7RefusalsBecomeQualities(t *testing.T) {
	for code, want := range map[s7.ReturnCode]tag.Quality{
		s7.ReturnHardware: tag.BadDeviceFailure, s7.ReturnAccess: tag.BadNotReadable, s7.ReturnAddress: tag.BadOutOfRange, s7.ReturnTypeUnsupported: tag.BadTypeMismatch,
		s7.ReturnTypeMismatch: tag.BadTypeMismatch, s7.ReturnBusy: tag.BadResourceUnavailable, s7.ReturnNoObject: tag.BadNodeIDUnknown, 0x42: tag.Bad,
	} {
		f, w := newPLC(t, 240), newWatcher()
		f.code, f.holes = code, []device.Span{dbSpan(1, 0, 0)}
		a := f.address(nil)
		s := openS7(t, a, w)
		wantRows(t, readS7(t, s, a, device.Limits{}, "DB1.DBB0", "MB0"), want.String(), modelRow(t, "MB0"))
		if len(w.refused) != 1 || w.refused[0] != dbSpan(1, 0, 0) {
			t.Errorf("%v: refused %v", code, w.refused)
		}
	}
	for code, want := range map[s7.ErrorCode]tag.Quality{
		s7.ErrServiceUnknown: tag.BadUserAccessDenied, s7.ErrProtected: tag.BadUserAccessDenied, s7.ErrAccessRefused: tag.BadUserAccessDenied,
		s7.ErrNoResource: tag.BadResourceUnavailable, s7.ErrFrame: tag.BadCommunicationError, 0x8404: tag.Bad,
	} {
		f, w := newPLC(t, 240), newWatcher()
		f.refuse = code
		a := f.address(nil)
		s := openS7(t, a, w)
		wantRows(t, readS7(t, s, a, device.Limits{}, "DB1.DBB0", "MB0"), want.String(), want.String())
		if len(w.refused) != 2 || len(w.learned) != 0 {
			t.Errorf("%v: refused %v, learned %v", code, w.refused, w.learned)
		}
		if code == s7.ErrServiceUnknown && !strings.Contains(w.why.Error(), "PUT/GET") {
			t.Error(w.why)
		}
	}
}

func TestS7SilenceIsATimeoutThatLeavesTheSessionUsable(t *testing.T) {
	f, w := newPLC(t, 240), newWatcher()
	a := f.address(nil)
	s := openS7(t, a, w)
	w.hear(func() { w.timeout = 20 * time.Millisecond })
	f.set(func() { f.mute = true })
	var b tag.Batch
	err := s.Read(context.Background(), mustS7Plan(t, a, device.Limits{}, "MB0"), &b)
	var ne net.Error
	if !errors.As(err, &ne) || !ne.Timeout() || errors.Is(err, net.ErrClosed) || b.Len() != 0 || w.timedOut != 1 {
		t.Fatalf("%v, %d rows, %d timeouts", err, b.Len(), w.timedOut)
	}
	f.set(func() { f.mute = false })
	w.hear(func() { w.timeout = 5 * time.Second })
	wantRows(t, readS7(t, s, a, device.Limits{}, "MB0"), modelRow(t, "MB0"))
}

// A search that runs into a time-out says so, and rows before it are right.
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

func TestS7OutOfServiceAndForeignPlans(t *testing.T) {
	f := newPLC(t, 240)
	a := f.address(nil)
	s := openS7(t, a, newWatcher())
	tags := specs("MB0", "MB1")
	tags[1].OutOfService = true
	p, err := S7{}.Compile(a, tags, device.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var b tag.Batch
	if err := s.Read(context.Background(), p, &b); err != nil {
		t.Fatal(err)
	}
	wantRows(t, rows(t, &b), modelRow(t, "MB0"), tag.BadOutOfService.String())
	if got := f.take(); !reflect.DeepEqual(got, []string{"|M0 BYTE*1"}) {
		t.Errorf("%q", got)
	}
	var pe *S7PlanError
	if err := s.Read(context.Background(), mustPlan(t, testAddr, device.Limits{}, "holding:0"), &b); !errors.As(err, &pe) {
		t.Error(err)
	}
	if err := s.Write(context.Background(), mustPlan(t, testAddr, device.Limits{}), nil, nil); !errors.As(err, &pe) {
		t.Error(err)
	}
	// A plan of nothing says nothing and asks nothing.
	b.Reset()
	if err := s.Read(context.Background(), mustS7Plan(t, a, device.Limits{}), &b); err != nil || b.Len() != 0 || len(f.take()) != 0 {
		t.Error(err, b.Len())
	}
}

func TestS7Writes(t *testing.T) {
	f := newPLC(t, 240)
	a := f.address(nil)
	w := []Assignment{{"DB1.DBW0:INT", "-42"}, {"DB1.DBD4:REAL", "1.5"}, {"DB1.DBX8.3", "true"}, {"DB1.DBX8.4", "false"}, {"DB1.DBX10.6:BOOL[12]", "[1,1,1,1,1,1,1,1,1,1,0,1]"},
		{"DB1.DBB20:STRING[10]", "ab"}, {"DB1.DBB40:STRING[3][2]", "[abc,d]"}, {"T5", "2s"}, {"C5", "7"}, {"PQW4:INT", "3"}, {"DB1.DBB60:DTL", "2025-03-01 12:30:00"}, {"DB1.DBD80:DINT[3]", "[1,2,3]"}}
	results, err := WriteOnce(context.Background(), S7{}, a, w, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Err != nil || r.MayHaveHappened {
			t.Errorf("%v: %+v", w[i], r)
		}
	}
	readings, err := ReadOnce(context.Background(), S7{}, a, []string{"DB1.DBW0:INT", "DB1.DBD4:REAL", "DB1.DBX8.3", "DB1.DBX8.4", "DB1.DBX10.6:BOOL[12]", "DB1.DBB20:STRING[10]",
		"DB1.DBB40:STRING[3][2]", "T5", "C5", "PIW4:INT", "DB1.DBB60:DTL", "DB1.DBD80:DINT[3]", "DB1.DBB23"}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range readings {
		got = append(got, r.Value.String())
	}
	want := `-42 1.5 true false [true,true,true,true,true,true,true,true,true,true,false,true] ab ["abc","d"] 2000 7 3 "2025-03-01T12:30:00Z" [1,2,3] ` + "98"
	if strings.Join(got, " ") != want {
		t.Errorf("read back %v", got)
	}
	if old := s7Byte(s7.AreaDB, 1, 24); old == 0 {
		t.Fatal("the test needs a byte that is not 0")
	}
	if behind, _ := ReadOnce(context.Background(), S7{}, a, []string{"DB1.DBB24"}, time.Second); behind[0].Value.Bits != uint64(s7Byte(s7.AreaDB, 1, 24)) {
		t.Error("what is behind a text was written")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if all := strings.Join(f.written, "\n"); !strings.Contains(all, "DB1.8.3 BIT*1 01") || !strings.Contains(all, "DB1.8.4 BIT*1 00") ||
		!strings.Contains(all, "DB1.10.6 BIT*1 01\nDB1.10.7 BIT*1 01\nDB1.11 BYTE*1 ff\nDB1.12.0 BIT*1 00\nDB1.12.1 BIT*1 01") || strings.Count(all, "\n") != 16-1 {
		t.Errorf("written:\n%s", all)
	}
}

func TestRefusedS7Writes(t *testing.T) {
	f := newPLC(t, 240)
	f.code, f.holes = s7.ReturnAccess, []device.Span{dbSpan(2, 0, 65535)}
	a := f.address(nil)
	s := openS7(t, a, newWatcher())
	p := mustS7Plan(t, a, device.Limits{})
	i16 := tag.Value{Kind: tag.Int16, Bits: 1}
	long := tag.Value{Kind: tag.Array | tag.Uint8, Aux: make([]byte, 213)}
	for _, c := range []struct {
		address string
		v       tag.Value
		want    string
	}{
		{"PIW5", i16, "are the module's"},
		{"DB1.DBW5[2]", i16, "it has 2 elements"},
		{"DB1,ISTRING5.3", i16, "did you mean DB1,STRING5.3?"},
		{"DB1.DBB5:BYTE[213]", long, "one request takes 212"},
		{"DB2.DBW0:INT", i16, "access"},
		{"DB8.DBW0:INT", i16, "optimised block access"},
	} {
		r := []device.Result{{}}
		err := s.Write(context.Background(), p, []device.Write{{Tag: device.TagSpec{Address: c.address}, Value: c.v}}, r)
		if err != nil || r[0].Err == nil || !strings.Contains(r[0].Err.Error(), c.want) || r[0].MayHaveHappened {
			t.Errorf("%s: %v, %+v", c.address, err, r[0])
		}
	}
	// One that is refused keeps no other from being written; half of an array of bits may have been.
	w := []device.Write{{Tag: device.TagSpec{Address: "DB2.DBW0:INT"}, Value: i16}, {Tag: device.TagSpec{Address: "DB1.DBW0:INT"}, Value: i16}}
	r := make([]device.Result, 2)
	if err := s.Write(context.Background(), p, w, r); err != nil || r[0].Err == nil || r[1].Err != nil {
		t.Errorf("%v, %+v", err, r)
	}
	f.set(func() { f.holes = []device.Span{dbSpan(1, 1, 1)} })
	bits := tag.Value{Kind: tag.Array | tag.Bool, Aux: []byte{1, 1}}
	if err := s.Write(context.Background(), p, []device.Write{{Tag: device.TagSpec{Address: "DB1.DBX0.7[2]"}, Value: bits}}, r[:1]); err != nil || r[0].Err == nil || !r[0].MayHaveHappened {
		t.Errorf("%v, %+v", err, r[0])
	}
}

func TestAnS7WriteWithoutAnAnswerMayHaveHappened(t *testing.T) {
	f, w := newPLC(t, 240), newWatcher()
	a := f.address(nil)
	s := openS7(t, a, w)
	w.hear(func() { w.timeout = 20 * time.Millisecond })
	f.set(func() { f.mute = true })
	// Two requests: 212 bytes go into one.
	v := tag.Value{Kind: tag.Array | tag.Uint8, Aux: make([]byte, 200)}
	one := device.Write{Tag: device.TagSpec{Address: "DB1.DBB0:BYTE[200]"}, Value: v}
	r := make([]device.Result, 2)
	err := s.Write(context.Background(), mustS7Plan(t, a, device.Limits{}), []device.Write{one, one}, r)
	if err == nil || r[0].Err == nil || !r[0].MayHaveHappened {
		t.Errorf("%v, %+v", err, r[0])
	}
	if r[1].Err == nil || r[1].MayHaveHappened || !strings.Contains(r[1].Err.Error(), "not sent") {
		t.Errorf("%+v", r[1])
	}
	if got := f.take(); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

func TestS7OpenSaysWhatIsWrong(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	_, err = S7{}.Open(context.Background(), device.Addr{Scheme: "s7", Host: addr}, device.Limits{}, newWatcher())
	var h *HintError
	if !errors.As(err, &h) || !strings.Contains(err.Error(), "102") {
		t.Error(err)
	}
	if _, err = (S7{}).Open(context.Background(), device.Addr{Scheme: "s7", Host: addr, Path: "x"}, device.Limits{}, newWatcher()); err == nil || !strings.Contains(err.Error(), "rack/slot") {
		t.Error(err)
	}
}

// A reading without a value comes with why.
func TestS7OneShotSaysWhatWasRefused(t *testing.T) {
	f := newPLC(t, 240)
	got, err := ReadOnce(context.Background(), S7{}, f.address(nil), []string{"DB1.DBB0", "DB9.DBB0", "MB9000"}, time.Second)
	var re *RefusedError
	if !errors.As(err, &re) || len(re.Reasons) != 2 || !strings.Contains(err.Error(), "there is no DB9 in the PLC") || got[0].Value.String() != modelRow(t, "DB1.DBB0") {
		t.Errorf("%v, %+v", err, got)
	}
	addresses := []string{"DB1.DBB0"}
	for i := range 10 {
		addresses = append(addresses, fmt.Sprintf("DB%d.DBB0", 10+i))
	}
	if _, err = ReadOnce(context.Background(), S7{}, f.address(nil), addresses, time.Second); !errors.As(err, &re) || len(re.Reasons) != 5 || re.More != 5 {
		t.Error(err)
	}
}
