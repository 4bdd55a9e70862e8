package why

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/modbus"
)

// A finding says what changed just before it.
func TestWhatChangedBefore(t *testing.T) {
	f := healthy()
	f.Device.Configured = before(65 * time.Second)
	f.Gateway.Clock, f.Gateway.ClockBy = before(90*time.Second), 3*time.Second
	f.Evidence.Happenings = []device.Happening{
		{At: before(62 * time.Second), Act: "route", Reason: "the first address does not answer"}, {At: before(time.Hour), Act: "degrade", Reason: "long ago"},
	}
	f.all[2].Shares, f.all[2].DownSince, f.all[2].State = f.Device.Shares, before(61*time.Second), device.Cooling
	f.down(device.FaultTimeout, os.ErrDeadlineExceeded)
	var got []string
	for _, m := range Explain(f.Facts)[0].Before {
		got = append(got, m.What)
	}
	want := []string{"press3, behind the same connection, went down", "route: the first address does not answer", "the configuration of press1 changed", "the gateway's clock was set by 3s"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// A device of several that are down together is not blamed for itself; with half of them well, it is.
func TestSubnetNeedsAMajority(t *testing.T) {
	f := healthy()
	f.down(device.FaultNoAnswer, dialError(os.ErrDeadlineExceeded))
	for i := range f.all {
		f.all[i].Endpoint = fmt.Sprintf("s7://10.1.1.%d:102", i+7)
	}
	f.all[1].State, f.all[1].DownSince = device.Cooling, before(time.Minute)
	if got := Explain(f.Facts)[0]; got.Cause != "no_answer" {
		t.Errorf("two of four: %s", write(got))
	}
	f.all[2].State, f.all[2].DownSince, f.all[3].State, f.all[3].DownSince = device.Cooling, before(50*time.Second), device.Cooling, before(61*time.Second)
	if got := Explain(f.Facts)[0]; got.Cause != "subnet_down" || !strings.Contains(got.Title, "All 4 devices") {
		t.Errorf("all four: %s", write(got))
	}
}

// How many devices a gateway has costs no memory when one of them is explained: only those on its connection are kept.
func TestOthersAreNotCopied(t *testing.T) {
	f := healthy()
	f.down(device.FaultOwn, syscall.EMFILE)
	few := testing.AllocsPerRun(20, func() { Explain(f.Facts) })
	for len(f.all) < 1000 {
		f.all = append(f.all, f.all[3])
	}
	if many := testing.AllocsPerRun(20, func() { Explain(f.Facts) }); many > few+5 { // numbers above 255 take one each
		t.Errorf("%v allocations for one of 1,000 devices, %v for one of 4", many, few)
	}
}

// TestSinceOfATag: a tag that is refused has the time of its last read, and is bad since it was refused first.
func TestSinceOfATag(t *testing.T) {
	f := healthy()
	f.fails(device.FaultRefusal, &modbus.Error{Function: modbus.FuncReadHolding, Exception: modbus.IllegalDataAddress}, 2)
	f.ask().Quality = tag.BadNodeIDUnknown
	if x := Explain(f.Facts)[0]; x.Cause != "tag_refused" || !x.Since.Equal(before(time.Minute)) {
		t.Errorf("%s since %v", x.Cause, x.Since)
	}
}
