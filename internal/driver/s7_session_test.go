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

// Among 222 bytes one that is refused is found in two steps.
// Tags that begin at the same byte and are not of one length are told apart too.
// An array that is longer than its DB costs itself, and not the tags in the part that is there.
// A missing DB of which tags lie far apart is one hole too, and one of which a tag came is not missing.
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
