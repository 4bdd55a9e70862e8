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

	"go.uber.org/goleak"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/modbus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func describeRequest(unit uint8, fn modbus.Function, addr, v int) string {
	return fmt.Sprintf("%d: %s %d %d", unit, fn, addr, v)
}

// read reads addresses once under lim and returns the rows.
func read(t *testing.T, s *modbusSession, a device.Addr, lim device.Limits, addresses ...string) map[tag.ID]string {
	t.Helper()
	var b tag.Batch
	if err := s.Read(context.Background(), mustPlan(t, a, lim, addresses...), &b); err != nil {
		t.Fatal(err)
	}
	return rows(t, &b)
}

func wantRows(t *testing.T, got map[tag.ID]string, want ...string) {
	t.Helper()
	for i, w := range want {
		if got[tag.ID(i+1)] != w {
			t.Errorf("tag %d is %q, want %q", i+1, got[tag.ID(i+1)], w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
}

func TestReadsThroughAConnection(t *testing.T) {
	f := newFake(t)
	f.mem.fill(rand.New(rand.NewPCG(1, 1)))
	a := f.addrOf("3", map[string]string{"window": "8"})
	s := open(t, a, newWatcher())
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7))
		addresses := make([]string, 1+r.IntN(40))
		for i := range addresses {
			addresses[i] = randomAddress(r)
		}
		var b tag.Batch
		if err := s.Read(context.Background(), mustPlan(t, a, device.Limits{}, addresses...), &b); err != nil {
			t.Fatal(err)
		}
		for i := range b.ID {
			if got, want := b.Value(i), f.mem.reference(t, addresses[b.ID[i]-1]); !sameValue(got, want) {
				t.Fatalf("seed %d: %s is %v, want %v", seed, addresses[b.ID[i]-1], got, want)
			}
		}
		if b.Len() != len(addresses) {
			t.Fatalf("seed %d: %d rows for %d tags", seed, b.Len(), len(addresses))
		}
	}
	if f.inFlight < 2 || f.inFlight > 8 {
		t.Errorf("up to %d requests came at once, want 2 to 8", f.inFlight)
	}
}

func TestSteadyReadsDoNotAllocate(t *testing.T) {
	for _, window := range []string{"4", "auto"} {
		t.Run(window, func(t *testing.T) { steadyReadsDoNotAllocate(t, window) })
	}
}

func steadyReadsDoNotAllocate(t *testing.T, window string) {
	a := device.Addr{Scheme: "modbus", Host: zeros(t), Path: "1", Options: map[string]string{"window": window}}
	s := open(t, a, deaf(5*time.Second))
	p := mustPlan(t, a, device.Limits{}, "holding:0:float32[200]", "coil:0[30]", "input:0:string[20]", "holding:1000:int16", "holding:1001.3")
	var b tag.Batch
	if n := testing.AllocsPerRun(200, func() {
		b.Reset()
		if err := s.Read(context.Background(), p, &b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a read", n)
	}
	if b.Len() != 5 {
		t.Errorf("%d rows", b.Len())
	}
}

func TestOneBadTagCostsOneTag(t *testing.T) {
	for _, code := range []modbus.ExceptionCode{modbus.IllegalDataAddress, modbus.IllegalDataValue} {
		f, w := newFake(t), newWatcher()
		f.mapCode = code
		f.unmapped = []device.Span{{Area: 4, From: 5, To: 5}}
		f.mem.regs[areaHolding] = [65536]uint16{10, 11, 12, 13, 14, 15, 16, 17}
		a := f.addrOf("1", nil)
		s := open(t, a, w)
		tags := []string{"holding:0", "holding:1", "holding:2", "holding:3", "holding:4", "holding:5", "holding:6", "holding:7"}
		wantRows(t, read(t, s, a, device.Limits{}, tags...), "10", "11", "12", "13", "14", exceptionQuality(code).String(), "16", "17")
		want := []device.Limits{{Holes: []device.Span{{Area: 4, From: 5, To: 5}}}}
		if !reflect.DeepEqual(w.learned, want) {
			t.Errorf("%v: learned %+v, want %+v", code, w.learned, want)
		}
		f.take()
		wantRows(t, read(t, s, a, w.learned[0], tags...), "10", "11", "12", "13", "14", tag.BadNodeIDUnknown.String(), "16", "17")
		if got := f.take(); len(got) != 2 {
			t.Errorf("with the hole known: %q", got)
		}
	}
}

func TestATagThatIsThereAgainIsReadAgain(t *testing.T) {
	f, w := newFake(t), newWatcher()
	gone := []device.Span{{Area: 4, From: 5, To: 6}}
	f.unmapped = gone
	a := f.addrOf("1", nil)
	s := open(t, a, w)
	p := mustPlan(t, a, device.Limits{Holes: []device.Span{{Area: 4, From: 5, To: 5}, {Area: 4, From: 6, To: 6}, {Area: 3, From: 0, To: 0}}},
		"holding:4", "holding:5", "holding:6", "holding:7", "input:0")
	no := tag.BadNodeIDUnknown.String()
	step := func(what, requests string, want ...string) {
		t.Helper()
		var b tag.Batch
		if err := s.Read(context.Background(), p, &b); err != nil {
			t.Fatal(err)
		}
		wantRows(t, rows(t, &b), want...)
		if got := strings.Join(f.take(), ", "); got != requests {
			t.Errorf("%s: %s, want %s", what, got, requests)
		}
	}
	due := func() { s.revivals[0].due = time.Time{} }
	both := "1: read holding 4 1, 1: read holding 7 1"
	step("the first read probes", both+", 1: read holding 5 1", "0", no, no, "0", no)
	step("the second does not", both, "0", no, no, "0", no)
	due()
	step("the next probe is of the next tag", both+", 1: read holding 6 1", "0", no, no, "0", no)
	f.mu.Lock()
	f.unmapped = gone[:0]
	f.mu.Unlock()
	step("nothing is due", both, "0", no, no, "0", no)
	due()
	step("a probe of another area that is there", both+", 1: read input 0 1", "0", no, no, "0", "0")
	step("is read from then on", "1: read input 0 1, "+both, "0", no, no, "0", "0")
	due()
	step("a probe that is there", "1: read input 0 1, "+both+", 1: read holding 6 1", "0", no, "0", "0", "0")
	step("all are asked for", "1: read input 0 1, 1: read holding 4 4", "0", "0", "0", "0", "0")
	f.mu.Lock()
	f.unmapped = []device.Span{{Area: 4, From: 6, To: 6}}
	f.mu.Unlock()
	step("one is gone again", "1: read input 0 1, 1: read holding 4 4, 1: read holding 4 2, 1: read holding 6 2, 1: read holding 6 1, 1: read holding 7 1",
		"0", "0", no, "0", "0")
	due()
	step("and stays so", "1: read input 0 1, 1: read holding 4 2, 1: read holding 7 1, 1: read holding 6 1", "0", "0", no, "0", "0")
}

func TestLearnsAHoleBetweenTags(t *testing.T) {
	f, w := newFake(t), newWatcher()
	f.unmapped = []device.Span{{Area: 4, From: 4, To: 6}}
	a := f.addrOf("1", nil)
	s := open(t, a, w)
	wantRows(t, read(t, s, a, device.Limits{}, "holding:0:int32", "holding:10:int32"), "0", "0")
	if len(w.learned) != 1 || !reflect.DeepEqual(w.learned[0].Holes, []device.Span{{Area: 4, From: 2, To: 9}}) {
		t.Fatalf("learned %+v", w.learned)
	}
	f.take()
	read(t, s, a, w.learned[0], "holding:0:int32", "holding:10:int32")
	if got := f.take(); !reflect.DeepEqual(got, []string{"1: read holding 0 2", "1: read holding 10 2"}) {
		t.Errorf("%q", got)
	}
}

func TestTheBitsOfARegisterThatIsNotThere(t *testing.T) {
	f, w := newFake(t), newWatcher()
	f.unmapped = []device.Span{{Area: 4, From: 5, To: 5}}
	a := f.addrOf("1", nil)
	s := open(t, a, w)
	got := read(t, s, a, device.Limits{}, "holding:4", "holding:5.0", "holding:5.1", "holding:5.2", "holding:5.3", "holding:6")
	no := tag.BadNodeIDUnknown.String()
	wantRows(t, got, "0", no, no, no, no, "0")
	if len(w.learned) != 1 || !reflect.DeepEqual(w.learned[0].Holes, f.unmapped) {
		t.Errorf("learned %+v", w.learned)
	}
}

func TestLearnsTheCap(t *testing.T) {
	f, w := newFake(t), newWatcher()
	f.maxRegs, f.maxBits = 16, 40
	a := f.addrOf("1", nil)
	s := open(t, a, w)
	var tags []string
	for i := range 60 {
		tags = append(tags, fmt.Sprintf("input:%d", i), fmt.Sprintf("coil:%d", i))
	}
	if got := read(t, s, a, device.Limits{}, tags...); len(got) != 120 {
		t.Errorf("%d rows", len(got))
	}
	if len(w.learned) != 1 || w.learned[0].MaxRegisters != 15 || w.learned[0].MaxBits != 30 || len(w.learned[0].Holes) != 0 {
		t.Fatalf("learned %+v", w.learned)
	}
	f.take()
	refused := len(w.refused)
	read(t, s, a, w.learned[0], tags...)
	if got := f.take(); len(got) != 6 || len(w.refused) != refused {
		t.Errorf("with the cap known: %q", got)
	}
}

// A device that takes less than it did on the same connection has its cap found in the next Read, and is not searched in each one for what it took before.
func TestLearnsACapThatShrinks(t *testing.T) {
	f, w := newFake(t), newWatcher()
	a := f.addrOf("1", nil)
	s := open(t, a, w)
	var tags []string
	for i := range 60 {
		tags = append(tags, fmt.Sprintf("input:%d", i))
	}
	lim := device.Limits{}
	for _, c := range []struct{ cap, want int }{{0, 0}, {40, 30}, {9, 8}} {
		f.mu.Lock()
		f.maxRegs = c.cap
		f.mu.Unlock()
		for range 3 {
			if got := read(t, s, a, lim, tags...); len(got) != 60 {
				t.Errorf("%d rows", len(got))
			}
			if n := len(w.learned); n > 0 {
				lim.MaxRegisters = w.learned[n-1].MaxRegisters
			}
		}
		if lim.MaxRegisters < c.want*3/4 || lim.MaxRegisters > c.cap {
			t.Errorf("the cap is %d, learned %+v", c.cap, w.learned)
		}
		refused := len(w.refused)
		if read(t, s, a, lim, tags...); len(w.refused) != refused {
			t.Errorf("with the cap known %d requests are refused", len(w.refused)-refused)
		}
	}
}

func TestAnArrayLongerThanTheCapIsReadInPiecesNextTime(t *testing.T) {
	f, w := newFake(t), newWatcher()
	f.maxRegs = 16
	f.mem.fill(rand.New(rand.NewPCG(2, 2)))
	a := f.addrOf("1", nil)
	s := open(t, a, w)
	lim := device.Limits{}
	for range 5 {
		var b tag.Batch
		if err := s.Read(context.Background(), mustPlan(t, a, lim, "holding:0:float32[30]"), &b); err != nil {
			t.Fatal(err)
		}
		if b.Len() != 1 {
			t.Fatalf("%d rows", b.Len())
		}
		if b.Quality[0] == tag.Good {
			if !sameValue(b.Value(0), f.mem.reference(t, "holding:0:float32[30]")) {
				t.Error("wrong value")
			}
			return
		}
		if len(w.learned) == 0 {
			t.Fatal("nothing learned")
		}
		lim.MaxRegisters = w.learned[len(w.learned)-1].MaxRegisters
	}
	t.Errorf("never read: %+v", w.learned)
}

func TestABorderThatNoRequestMayCrossIsNoCap(t *testing.T) {
	f, w := newFake(t), newWatcher()
	a := f.addrOf("1", nil)
	s := open(t, a, w)
	// A device that refuses any request over both 1 and 2: the fake cannot say so, the bisection is told.
	p := mustPlan(t, a, device.Limits{}, "holding:0:int32", "holding:2:int32")
	s.begin(p, &tag.Batch{})
	s.split.refused(part{req: 0, hi: 2, parent: -1}, 4, modbus.IllegalDataAddress)
	if err := s.bisect(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	if len(w.learned) != 0 {
		t.Errorf("learned %+v", w.learned)
	}
}

func TestADeviceThatRefusesEverythingIsNotStormed(t *testing.T) {
	f, w := newFake(t), newWatcher()
	f.unmapped = []device.Span{{Area: 4, From: 0, To: 65535}}
	a := f.addrOf("1", nil)
	s := open(t, a, w)
	var tags []string
	for i := range 1000 {
		tags = append(tags, fmt.Sprintf("holding:%d", i))
	}
	got := read(t, s, a, device.Limits{}, tags...)
	if len(got) != 1000 {
		t.Errorf("%d rows", len(got))
	}
	for id, q := range got {
		if q != tag.BadNodeIDUnknown.String() {
			t.Errorf("tag %d is %s", id, q)
		}
	}
	if n := len(f.take()); n > 8+maxExtraNever || len(w.learned) != 0 {
		t.Errorf("%d requests, learned %v", n, w.learned)
	}
	f.mu.Lock()
	f.unmapped = []device.Span{{Area: 4, From: 10, To: 900}}
	f.mu.Unlock()
	lim, rounds := device.Limits{}, 0
	for wrong := 1; wrong > 0; rounds++ {
		got, wrong = read(t, s, a, lim, tags...), 0
		for i := range tags {
			if want := i < 10 || i > 900; want != (got[tag.ID(i+1)] == "0") {
				wrong++
			}
		}
		if n := len(f.take()); n > 16+maxExtra || rounds > 8 {
			t.Fatalf("%d requests in round %d", n, rounds)
		}
		for _, l := range w.learned {
			lim.Holes = append(lim.Holes, l.Holes...)
		}
		w.learned = nil
	}
}

func TestExceptionsBecomeQualities(t *testing.T) {
	for code, want := range map[modbus.ExceptionCode]tag.Quality{
		modbus.IllegalFunction: tag.BadNotSupported, modbus.IllegalDataAddress: tag.BadNodeIDUnknown, modbus.IllegalDataValue: tag.BadOutOfRange,
		modbus.ServerDeviceFailure: tag.BadDeviceFailure, modbus.ServerDeviceBusy: tag.BadResourceUnavailable, modbus.Acknowledge: tag.BadResourceUnavailable,
		modbus.MemoryParityError: tag.BadDeviceFailure, 0x42: tag.Bad,
	} {
		f, w := newFake(t), newWatcher()
		f.answer[1] = code
		a := f.addrOf("1", nil)
		s := open(t, a, w)
		wantRows(t, read(t, s, a, device.Limits{}, "holding:0"), want.String())
		if len(w.refused) != 1 || w.replied != 1 {
			t.Errorf("%v: refused %v, replied %d", code, w.refused, w.replied)
		}
	}
}

func TestAUnitThatTheGatewayDoesNotReachIsAnError(t *testing.T) {
	for _, code := range []modbus.ExceptionCode{modbus.GatewayPathUnavailable, modbus.GatewayTargetFailed} {
		f := newFake(t)
		f.answer[9] = code
		bad, good := f.addrOf("9", nil), f.addrOf("1", nil)
		s := open(t, bad, newWatcher())
		var b tag.Batch
		err := s.Read(context.Background(), mustPlan(t, bad, device.Limits{}, "holding:0", "coil:0"), &b)
		var ue *UnitError
		var ne net.Error
		if !errors.As(err, &ue) || ue.Unit != 9 || !errors.As(err, &ne) || !ne.Timeout() || errors.Is(err, net.ErrClosed) || b.Len() != 0 {
			t.Errorf("%v, %d rows", err, b.Len())
		}
		wantRows(t, read(t, s, good, device.Limits{}, "holding:0"), "0") // the session goes on for the other unit
	}
}

func TestSilenceIsATimeoutThatLeavesTheSessionUsable(t *testing.T) {
	f, w := newFake(t), newWatcher()
	w.timeout = 20 * time.Millisecond
	f.mute = true
	a := f.addrOf("1", nil)
	s := open(t, a, w)
	var b tag.Batch
	err := s.Read(context.Background(), mustPlan(t, a, device.Limits{}, "holding:0"), &b)
	var ne net.Error
	if !errors.As(err, &ne) || !ne.Timeout() || errors.Is(err, net.ErrClosed) || b.Len() != 0 || w.timedOut != 1 {
		t.Fatalf("%v, %d rows, %d timeouts", err, b.Len(), w.timedOut)
	}
	f.mu.Lock()
	f.mute = false
	f.mu.Unlock()
	w.hear(func() { w.timeout = 5 * time.Second })
	wantRows(t, read(t, s, a, device.Limits{}, "holding:0"), "0")
}

func TestUnitsAndOutOfService(t *testing.T) {
	f := newFake(t)
	a := f.addrOf("2", nil)
	s := open(t, a, newWatcher())
	tags := specs("holding:0", "7!holding:0", "holding:1")
	tags[2].OutOfService = true
	p, err := Modbus{}.Compile(a, tags, device.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var b tag.Batch
	if err := s.Read(context.Background(), p, &b); err != nil {
		t.Fatal(err)
	}
	wantRows(t, rows(t, &b), "0", "0", tag.BadOutOfService.String())
	if got := f.take(); !reflect.DeepEqual(got, []string{"2: read holding 0 1", "7: read holding 0 1"}) {
		t.Errorf("%q", got)
	}
}
