package driver_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/driver"
	"millrace/internal/listen/listentest"
	"millrace/internal/resilience"
	"millrace/internal/sim"
	"millrace/internal/tag"
)

// cpus runs simulated CPUs until the test ends.
func cpus(t *testing.T, cfg sim.S7Config, faults ...string) *sim.S7 {
	t.Helper()
	cfg.Listen, cfg.Seed = "127.0.0.1:0", 1
	for _, s := range faults {
		f, err := sim.ProtocolS7.ParseFault(s)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Faults = append(cfg.Faults, f)
	}
	m, err := sim.NewS7(cfg)
	if err != nil {
		t.Fatal(err)
	}
	listentest.Run(t, m)
	return m
}

func s7Addr(m *sim.S7, n int, options map[string]string) device.Addr {
	return device.Addr{Scheme: "s7", Host: m.Addr(n), Options: options}
}

func compileS7(t *testing.T, a device.Addr, lim device.Limits, points []point) device.Plan {
	t.Helper()
	plan, err := driver.S7{}.Compile(a, specsOf(points), lim)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func specsOf(points []point) []device.TagSpec {
	specs := make([]device.TagSpec, len(points))
	for i, p := range points {
		specs[i] = device.TagSpec{ID: tag.ID(i + 1), Name: p.address, Address: p.address}
	}
	return specs
}

// ramp returns the bytes of DB1 and I.
func ramp(at, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte((at + i) % 251)
	}
	return b
}

func words(at, n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprint(int16(binary.BigEndian.Uint16(ramp(at+2*i, 2)))))
	}
	return "[" + strings.Join(out, ",") + "]"
}

// s7Image returns addresses of the simulator's static image and what they are there.
func s7Image() []point {
	real := func(at int) string {
		return tag.Value{Kind: tag.Float32, Bits: uint64(binary.BigEndian.Uint32(ramp(at, 4)))}.String()
	}
	return []point{
		{"DB1.DBB7", "7"}, {"DB1.DBB300", "49"}, {"DB1,B8191", fmt.Sprint(8191 % 251)}, {"DB1.DBW10", fmt.Sprint(10<<8 | 11)}, {"DB1.DBD100:REAL", real(100)}, {"DB1.R100", real(100)},
		{"%DB1.DBD104:DINT", fmt.Sprint(0x68696A6B)}, {"DB1.DBX3.0", "true"}, {"DB1.DBX3.2", "false"}, {"DB1.DBX1.0[10]", "[true,false,false,false,false,false,false,false,false,true]"},
		{"DB1.DBW1000:INT[300]", words(1000, 300)}, {"DB1.DBB65:CHAR[4]", "ABCD"}, {"VB7", "7"}, {"DB1.DBB8:LREAL", tag.Float64Value(math.Float64frombits(binary.BigEndian.Uint64(ramp(8, 8)))).String()},
		{"I0.0", "false"}, {"E1.0", "true"}, {"IB250", "250"}, {"EW5:INT", fmt.Sprint(5<<8 | 6)}, {"Q1.1", "false"}, {"AB3", "0"}, {"MW20:INT", "0"}, {"M10.5", "false"},
		{"T0", "0"}, {"T7", "70"}, {"T255", "2550"}, {"T9[3]", "[90,100,110]"}, {"C3", "3"}, {"Z200", "200"},
		{"DB3.DBX0.0", "true"}, {"DB3.DBD46:REAL", "3.1415927"}, {"DB3.DBB62:STRING[20]", "Millrace"}, {"DB3.DBB84:WSTRING[10]", "Grüße Ω"},
	}
}

func TestTheS7ImageInEveryType(t *testing.T) {
	for _, model := range sim.S7ModelNames() {
		m := cpus(t, sim.S7Config{Devices: 3, Model: model})
		for _, options := range []map[string]string{nil, {"window": "1"}, {"pdu": "112", "max_items": "3"}, {"gap": "0"}, {"connection": "pg"}} {
			o := map[string]string{"model": model}
			for k, v := range options {
				o[k] = v
			}
			a := s7Addr(m, 2, o)
			s, err := driver.S7{}.Open(t.Context(), a, device.Limits{}, &observer{timeout: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			points := s7Image()
			for _, lim := range []device.Limits{{}, s.Limits()} {
				var b tag.Batch
				if err := s.Read(t.Context(), compileS7(t, a, lim, points), &b); err != nil {
					t.Fatal(err)
				}
				if good := check(t, points, &b); good != len(points) {
					t.Errorf("%v: %d good of %d", o, good, len(points))
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestDB3AsDocumented reads each variable of the table in docs/simulator.md and compares it with what the table's text would be written as.
func TestDB3AsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/simulator.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "### DB3")
	table, odd, _ := strings.Cut(table, "Behind them")
	odd, _, _ = strings.Cut(odd, "\n## ")
	m := cpus(t, sim.S7Config{})
	a := s7Addr(m, 1, nil)
	rows := 0
	for _, row := range regexp.MustCompile(`(?m)^\| ([0-9.]+) \| ([A-Z0-9]+(?:\[\d+\])?) \| ([^|]*) \|`).FindAllStringSubmatch(table+odd, -1) {
		address := fmt.Sprintf("DB3:%s:%s", row[1], row[2])
		got, err := driver.ReadOnce(t.Context(), driver.S7{}, a, []string{address}, 5*time.Second)
		if err != nil {
			t.Fatal(address, err)
		}
		rows++
		r, want := got[0], strings.TrimSpace(row[3])
		if want == "" && r.Kind != tag.String {
			if !r.Quality.IsBad() {
				t.Errorf("%s is %v, %v", address, r.Value, r.Quality)
			}
			continue
		}
		if strings.Contains(odd, row[0]) && (row[1] == "166" || row[1] == "190") != (r.Quality == tag.Uncertain) {
			t.Errorf("%s is %v", address, r.Quality)
		}
		if r.Kind == tag.String {
			if r.Value.String() != want {
				t.Errorf("%s is %q, want %q", address, r.Value, want)
			}
			continue
		}
		typed, err := driver.S7{}.ParseValue(address, want)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if !sameNumber(r.Value, typed) {
			t.Errorf("%s is %v, the table says %s", address, r.Value, want)
		}
	}
	if rows < 40 {
		t.Errorf("%d rows found", rows)
	}
}

// sameNumber compares a value that was read with one that was typed, which has the kind that it was typed as.
func sameNumber(read, typed tag.Value) bool {
	if read.Kind == tag.DateTime || read.Kind == tag.Bool {
		return read.Bits == typed.Bits
	}
	x, ok := read.Float()
	y, _ := typed.Float()
	if read.Kind == tag.Float32 {
		y = float64(float32(y))
	}
	return ok && (x == y || x != x && y != y) && (read.Kind == tag.Float32 || read.Kind == tag.Float64 || read.String() == typed.String())
}

func TestS7HolesAreLearnedOnce(t *testing.T) {
	m := cpus(t, sim.S7Config{}, "unmapped:db1/110-119", "unmapped:db2", "max_items:20")
	var points []point
	for at := range 300 {
		points = append(points, point{fmt.Sprintf("DB1.DBB%d", at), fmt.Sprint(at % 251)})
	}
	for at := range 30 {
		points = append(points, point{fmt.Sprintf("MB%d", 30*at), "0"}, point{fmt.Sprintf("DB2.DBD%d", 4*at), "x"})
	}
	a, o := s7Addr(m, 1, map[string]string{"gap": "0"}), &observer{timeout: 5 * time.Second}
	s, err := driver.S7{}.Open(t.Context(), a, device.Limits{}, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	lim := s.Limits()
	for round := range 3 {
		var b tag.Batch
		o.learned = device.Limits{}
		refused := o.refused
		if err := s.Read(t.Context(), compileS7(t, a, lim, points), &b); err != nil {
			t.Fatal(err)
		}
		if good := check(t, points, &b); good != 300-10+30 || b.Len() != len(points) {
			t.Errorf("round %d: %d good of %d rows, want 320 of %d", round, good, b.Len(), len(points))
		}
		if round > 0 && (o.refused != refused || len(o.learned.Holes) > 0) {
			t.Errorf("round %d: %d variables were refused although the holes are known: %+v", round, o.refused-refused, o.learned)
		}
		lim.Holes = append(lim.Holes, o.learned.Holes...)
	}
	if len(lim.Holes) != 11 {
		t.Errorf("learned %+v", lim.Holes)
	}
}

// TestNoS7FaultGivesAWrongValue reads the image through each fault, again and again on as many connections as it takes.
func TestNoS7FaultGivesAWrongValue(t *testing.T) {
	for _, c := range []faultCase{
		{"latency:2ms,p=0.3", sim.Latency, true, false},
		{"jitter:4ms,p=0.3", sim.Jitter, true, false},
		{"trickle:20us,p=0.03", sim.Trickle, true, false},
		{"duplicate:p=0.3", sim.Duplicate, true, false},
		{"late:60ms,p=0.1", sim.Late, false, false},
		{"silence:p=0.1", sim.Silence, false, false},
		{"refusal:0x8104,p=0.2", sim.Refusal, false, false},
		{"refusal:0x8500,p=0.2", sim.Refusal, false, false},
		{"refusal:0x8404,p=0.2", sim.Refusal, false, false},
		{"denied:db3", sim.Denied, false, false},
		{"max_items:4", sim.MaxItems, true, false},
		{"stop", sim.Standstill, true, false},
		{"wrong_ref:p=0.1", sim.WrongRef, false, true},
		{"wrong_function:p=0.1", sim.WrongFunction, false, true},
		{"cut:p=0.1", sim.Cut, false, true},
		{"rst:p=0.1", sim.Reset, false, true},
		{"refuse:p=0.5", sim.Refuse, false, true},
		{"slots:1", sim.Slots, true, false},
		{"pdu_shrink:112", sim.PDUShrink, true, false},
	} {
		t.Run(c.fault, func(t *testing.T) {
			t.Parallel()
			m := cpus(t, sim.S7Config{}, c.fault)
			points := s7Image()
			a := s7Addr(m, 1, map[string]string{"pdu": "240", "window": "4"})
			plan := compileS7(t, a, device.Limits{}, points)
			fresh := c.kind == sim.Refuse || c.kind == sim.PDUShrink
			c.readThrough(t, driver.S7{}, m, a, plan, points, fresh)
		})
	}
}

// tap passes each batch on, until nobody listens any more.
type tap struct {
	nobody
	batches chan tag.Batch
	over    <-chan struct{}
}

func (o tap) Offer(b *tag.Batch, _ func(error)) bool {
	copied := tag.Batch{ID: append([]tag.ID(nil), b.ID...), Quality: append([]tag.Quality(nil), b.Quality...), Kind: append([]tag.Kind(nil), b.Kind...),
		Bits: append([]uint64(nil), b.Bits...), TS: append([]int64(nil), b.TS...), Aux: append([]byte(nil), b.Aux...)}
	select {
	case o.batches <- copied:
	case <-o.over:
	}
	return true
}

// polled runs a gateway's devices with one device of points, and returns what it reads.
func polled(t *testing.T, a device.Addr, points []point) (*device.Runtime, <-chan tag.Batch) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out := tap{batches: make(chan tag.Batch), over: ctx.Done()}
	rt, err := device.New(device.Config{Drivers: map[string]device.Driver{"s7": driver.S7{}}, Output: out, Ledger: nobody{}})
	if err != nil {
		t.Fatal(err)
	}
	spec := device.Spec{Name: "d", Number: 1, Driver: "s7", Addr: a, Profile: resilience.LAN(), Groups: []device.Group{{Name: "g", Interval: 10 * time.Millisecond, Tags: specsOf(points)}}}
	spec.Profile.Cap = spec.Profile.Floor
	for i := range spec.Groups[0].Tags {
		spec.Groups[0].Tags[i].Shared = &device.Terms{Deadband: device.Deadband{Every: true}}
	}
	if _, err := rt.Apply([]device.Spec{spec}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- rt.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return rt, out.batches
}

// A PDU that is shorter on the next connection: the plan is made anew, and nothing is lost or wrong.
func TestAnS7PDUShrinks(t *testing.T) {
	m := cpus(t, sim.S7Config{}, "pdu_shrink:112")
	points := s7Image()
	rt, batches := polled(t, s7Addr(m, 1, map[string]string{"model": "1500"}), points)
	whole := func(pdu int) {
		t.Helper()
		for b := range batches {
			if check(t, points, &b) == len(points) {
				if s, _ := rt.Device("d"); s.Limits.PDU == pdu {
					return
				}
			}
		}
	}
	whole(960)
	before, _ := rt.Device("d")
	if err := m.Stop(1, sim.Refusing); err != nil { // what was connected is reset
		t.Fatal(err)
	}
	if err := m.Start(1); err != nil {
		t.Fatal(err)
	}
	whole(112)
	after, _ := rt.Device("d")
	if after.Groups[0].Requests <= before.Groups[0].Requests || after.Refused != 0 {
		t.Errorf("%d requests before, %d after, %d refused", before.Groups[0].Requests, after.Groups[0].Requests, after.Refused)
	}
}

// A program download drops the connections and leaves DB1 shorter; what is gone is bad, and when the old program comes back everything is read again.
func TestAProgramDownload(t *testing.T) {
	m := cpus(t, sim.S7Config{}, "download:100,after=400ms,for=500ms,period=1s")
	points := []point{{"DB1.DBB7", "7"}, {"DB1.DBW90", fmt.Sprint(90<<8 | 91)}, {"DB1.DBW98", fmt.Sprint(98<<8 | 99)}, {"DB1.DBB101", "101"}, {"DB1.DBW200", fmt.Sprint(200<<8 | 201)}, {"MB3", "0"}}
	rt, batches := polled(t, s7Addr(m, 1, nil), points)
	sees := func(good int) {
		t.Helper()
		for b := range batches {
			if check(t, points, &b) == good && b.Len() == len(points) {
				return
			}
		}
	}
	sees(6)
	sees(4)
	sees(6)
	if s, _ := rt.Device("d"); s.State != device.Ready {
		t.Errorf("%+v", s)
	}
}
