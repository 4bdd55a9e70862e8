package driver_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/driver"
	"millrace/internal/listen/listentest"
	"millrace/internal/resilience"
	"millrace/internal/sim"
	"millrace/internal/tag"
)

// plant runs a simulator until the test ends.
func plant(t *testing.T, devices int, faults ...string) *sim.Modbus {
	t.Helper()
	return plantOf(t, sim.ModbusConfig{Devices: devices}, faults...)
}

func plantOf(t *testing.T, cfg sim.ModbusConfig, faults ...string) *sim.Modbus {
	t.Helper()
	cfg.Listen, cfg.Seed = "127.0.0.1:0", 1
	for _, s := range faults {
		f, err := sim.ParseFault(s)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Faults = append(cfg.Faults, f)
	}
	m, err := sim.NewModbus(cfg)
	if err != nil {
		t.Fatal(err)
	}
	listentest.Run(t, m)
	return m
}

// observer counts what a session tells.
type observer struct {
	mu                                        sync.Mutex
	timeout                                   time.Duration
	replied, timedOut, late, foreign, refused int
	learned                                   device.Limits
}

func (o *observer) count(n *int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	*n++
}
func (o *observer) Timeout() time.Duration         { return o.timeout }
func (o *observer) Replied(time.Duration)          { o.count(&o.replied) }
func (o *observer) Served(int, int, time.Duration) {}
func (o *observer) TimedOut(time.Duration)         { o.count(&o.timedOut) }
func (o *observer) Late(time.Duration)             { o.count(&o.late) }
func (o *observer) Foreign()                       { o.count(&o.foreign) }
func (o *observer) Refused(device.Span, error)     { o.count(&o.refused) }
func (o *observer) Learned(l device.Limits) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.learned = l
}

// point is an address of the simulator's static image and what it is there.
type point struct{ address, want string }

// image returns every type at some addresses.
func image() []point {
	reg := func(a int) uint64 { return uint64(a) }
	pair := uint32(reg(300)<<16 | reg(301))
	quad := reg(400)<<48 | reg(401)<<32 | reg(402)<<16 | reg(403)
	return []point{
		{"holding:100", "100"}, {"holding:100:int16", "100"}, {"400101", "100"}, {"1!40101", "100"}, {"holding:40000:int16", "-25536"},
		{"holding:258:uint16:ba", "513"}, {"input:0", "65535"}, {"input:0:int16", "-1"}, {"input:65535", "0"},
		{"holding:300:uint32", fmt.Sprint(pair)}, {"holding:300:uint32:cdab", fmt.Sprint(pair<<16 | pair>>16)},
		{"holding:300:int32:badc", fmt.Sprint(0x2C012D01)}, {"holding:300:int32:dcba", fmt.Sprint(0x2D012C01)},
		{"holding:400:uint64", fmt.Sprint(quad)}, {"holding:400:int64:ghefcdab", fmt.Sprint(int64(0x0193019201910190))},
		{"holding:16256:float32", fmt.Sprint(math.Float32frombits(16256<<16 | 16257))},
		{"holding:16368:float64", fmt.Sprint(math.Float64frombits(16368<<48 | 16369<<32 | 16370<<16 | 16371))},
		{"holding:15360:float16", "1"},
		{"holding:16705:string[4]", "AAAB"}, {"holding:16705:string[4]:lowbyte", "AABA"}, {"holding:65:string[2]:lowonly", "AB"},
		{"holding:7:uint16[3]", "[7,8,9]"}, {"holding:0:uint16[300]", list(300)}, {"input:65530:int16[3]", "[5,4,3]"},
		{"coil:7", "false"}, {"coil:9", "true"}, {"coil:0[7]", "[true,false,false,true,false,false,true]"},
		{"discrete:10", "true"}, {"discrete:11", "false"}, {"holding:5.0", "true"}, {"holding:5.1", "false"}, {"input:65534.0", "true"},
	}
}

func list(n int) string {
	s := "["
	for i := range n {
		if i > 0 {
			s += ","
		}
		s += fmt.Sprint(i)
	}
	return s + "]"
}

func compile(t *testing.T, a device.Addr, lim device.Limits, points []point) device.Plan {
	t.Helper()
	specs := make([]device.TagSpec, len(points))
	for i, p := range points {
		specs[i] = device.TagSpec{ID: tag.ID(i + 1), Name: p.address, Address: p.address}
	}
	plan, err := driver.Modbus{}.Compile(a, specs, lim)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func addrOf(m *sim.Modbus, n int, options map[string]string) device.Addr {
	return device.Addr{Scheme: "modbus", Host: m.Addr(n), Path: "1", Options: options}
}

func openTo(t *testing.T, a device.Addr, o device.Observer) device.Session {
	t.Helper()
	s, err := driver.Modbus{}.Open(context.Background(), a, device.Limits{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// check holds the rows of b against the image: a good one has the right value, and no tag has two. It returns how many are good.
func check(t *testing.T, points []point, b *tag.Batch) (good int) {
	t.Helper()
	seen := map[tag.ID]bool{}
	for i, id := range b.ID {
		p := points[id-1]
		if seen[id] {
			t.Errorf("%s has two rows", p.address)
		}
		seen[id] = true
		if b.Quality[i] != tag.Good {
			continue
		}
		good++
		if got := b.Value(i).String(); got != p.want {
			t.Errorf("WRONG VALUE: %s is %s, want %s", p.address, got, p.want)
		}
	}
	return good
}

func TestTheImageInEveryType(t *testing.T) {
	m := plant(t, 3)
	for _, options := range []map[string]string{nil, {"window": "8"}, {"max_registers": "4", "max_bits": "3", "window": "16"}, {"gap": "0"}} {
		a := addrOf(m, 2, options)
		s := openTo(t, a, &observer{timeout: 5 * time.Second})
		points := image()
		var b tag.Batch
		if err := s.Read(context.Background(), compile(t, a, device.Limits{}, points), &b); err != nil {
			t.Fatal(err)
		}
		if good := check(t, points, &b); good != len(points) {
			t.Errorf("%v: %d good of %d", options, good, len(points))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestHolesAndCapsAreLearnedOnce(t *testing.T) {
	m := plant(t, 1, "unmapped:holding/110-119", "unmapped:coil/50", "cap:20")
	var points []point
	for a := range 200 {
		points = append(points, point{fmt.Sprintf("holding:%d", a), fmt.Sprint(a)}, point{fmt.Sprintf("coil:%d", a), fmt.Sprint(a%3 == 0)})
	}
	a, o := addrOf(m, 1, nil), &observer{timeout: 5 * time.Second}
	s := openTo(t, a, o)
	defer s.Close()
	var lim device.Limits
	for round := range 3 {
		var b tag.Batch
		refused := o.refused
		if err := s.Read(context.Background(), compile(t, a, lim, points), &b); err != nil {
			t.Fatal(err)
		}
		if good := check(t, points, &b); good != 400-11 || b.Len() != 400 {
			t.Errorf("round %d: %d good of %d rows, want 389 of 400", round, good, b.Len())
		}
		if round > 0 && o.refused != refused {
			t.Errorf("round %d: %d requests were refused although the limits are known: %+v", round, o.refused-refused, lim)
		}
		lim = device.Limits{MaxRegisters: o.learned.MaxRegisters, MaxBits: o.learned.MaxBits, Holes: o.learned.Holes}
	}
	if lim.MaxRegisters < 10 || lim.MaxRegisters > 20 || len(lim.Holes) != 11 {
		t.Errorf("learned %+v", lim)
	}
}

// TestNoFaultGivesAWrongValue reads the image through each fault, again and again on as many connections as it takes.
func TestNoFaultGivesAWrongValue(t *testing.T) {
	for _, c := range []faultCase{
		{"latency:2ms,p=0.3", sim.Latency, true, false},
		{"jitter:4ms,p=0.3", sim.Jitter, true, false},
		{"trickle:20us,p=0.03", sim.Trickle, true, false},
		{"duplicate:p=0.3", sim.Duplicate, true, false},
		{"late:60ms,p=0.1", sim.Late, false, false},
		{"silence:p=0.1", sim.Silence, false, false},
		{"exception:4,p=0.2", sim.Exception, false, false},
		{"exception:2,p=0.2", sim.Exception, false, false},
		{"exception:11,p=0.2", sim.Exception, false, false},
		{"wrong_id:p=0.1", sim.WrongID, false, true},
		{"wrong_function:p=0.1", sim.WrongFunction, false, true},
		{"cut:p=0.1", sim.Cut, false, true},
		{"rst:p=0.1", sim.Reset, false, true},
		{"refuse:p=0.5", sim.Refuse, false, true},
		{"slots:1", sim.Slots, true, false},
	} {
		t.Run(c.kind.String(), func(t *testing.T) {
			t.Parallel()
			m := plant(t, 1, c.fault)
			points := image()
			a := addrOf(m, 1, map[string]string{"window": "4", "max_registers": "60"})
			plan := compile(t, a, device.Limits{}, points)
			c.readThrough(t, driver.Modbus{}, m, a, plan, points, c.kind == sim.Refuse)
		})
	}
}

// faultCase is a fault of a simulator, and what a session has to show for it.
type faultCase struct {
	fault  string
	kind   sim.Kind
	all    bool // every row is good all the same
	closes bool // the connection ends
}

// readThrough reads a plan again and again while the fault strikes, and judges what came. fresh makes a new session for each read.
func (c *faultCase) readThrough(t *testing.T, d device.Driver, m sim.Simulator, a device.Addr, plan device.Plan, points []point, fresh bool) {
	t.Helper()
	o := &observer{timeout: 40 * time.Millisecond}
	if c.all {
		o.timeout = 5 * time.Second
	}
	const reads = 25
	good, opened := readThrough(t, d, a, plan, points, o, reads, fresh)
	switch {
	case c.kind != sim.Slots && c.kind != sim.Standstill && m.Stats().Faults[c.kind] == 0:
		t.Error("the fault never struck")
	case c.all && good != reads*len(points):
		t.Errorf("%d good rows, want %d", good, reads*len(points))
	case good == 0:
		t.Error("nothing was read at all")
	case c.closes && opened < 2:
		t.Error("the connection should have ended")
	case c.kind == sim.Late && o.late == 0:
		t.Error("late replies were not told")
	}
}

// readThrough reads plan n times, with a new session after the end of one, and after each read when fresh.
func readThrough(t *testing.T, d device.Driver, a device.Addr, plan device.Plan, points []point, o *observer, n int, fresh bool) (good, opened int) {
	t.Helper()
	var s device.Session
	for range n {
		if s == nil {
			var err error
			opened++
			if s, err = d.Open(t.Context(), a, device.Limits{}, o); err != nil {
				continue
			}
		}
		var b tag.Batch
		err := s.Read(t.Context(), plan, &b)
		good += check(t, points, &b)
		if fresh || errors.Is(err, net.ErrClosed) {
			_ = s.Close()
			s = nil
		}
	}
	if s != nil {
		_ = s.Close()
	}
	return good, opened
}

func TestRandomTagSetsOfTheImage(t *testing.T) {
	m := plant(t, 1)
	a := addrOf(m, 1, map[string]string{"window": "16"})
	s := openTo(t, a, &observer{timeout: 5 * time.Second})
	defer s.Close()
	all := image()
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 9))
		points := make([]point, 1+r.IntN(60))
		for i := range points {
			points[i] = all[r.IntN(len(all))]
			if r.IntN(2) == 0 {
				at := r.IntN(60000)
				points[i] = point{fmt.Sprintf("holding:%d", at), fmt.Sprint(at)}
			}
		}
		var b tag.Batch
		if err := s.Read(context.Background(), compile(t, a, device.Limits{}, points), &b); err != nil {
			t.Fatal(err)
		}
		if good := check(t, points, &b); good != len(points) {
			t.Fatalf("seed %d: %d good of %d", seed, good, len(points))
		}
	}
}

// TestATrialIsNoOutage runs a device that answers only the first of requests that come together until its window is learned.
func TestATrialIsNoOutage(t *testing.T) {
	m := plant(t, 1, "serial")
	learned := make(chan device.Limits, 16)
	rt, err := device.New(device.Config{
		Drivers: map[string]device.Driver{"modbus": driver.Modbus{}}, Output: nobody{},
		Ledger: nobody{}, OnLearned: func(_ string, l device.Limits) { learned <- l },
	})
	if err != nil {
		t.Fatal(err)
	}
	spec := device.Spec{Name: "d", Number: 1, Driver: "modbus", Addr: addrOf(m, 1, nil), Groups: []device.Group{{Name: "g", Interval: 5 * time.Millisecond}}}
	spec.Profile = resilience.LAN()
	spec.Profile.Floor, spec.Profile.Ceiling = time.Second, time.Second // trials begin on connections of twice that age
	for i := range 5 {
		spec.Groups[0].Tags = append(spec.Groups[0].Tags, device.TagSpec{ID: tag.ID(i + 1), Name: fmt.Sprint("d/", i), Address: fmt.Sprint("holding:", 1000*i)})
	}
	if _, err := rt.Apply([]device.Spec{spec}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- rt.Run(ctx) }()
	l := <-learned
	s, _ := rt.Device("d")
	cancel()
	<-done
	if l.Window != 1 || l.WindowTried.IsZero() || s.Outages != 0 || s.Limits.Window != 1 || s.Timeouts == 0 {
		t.Errorf("learned %+v, %+v", l, s)
	}
	if n := m.Stats().Faults[sim.Serial]; n != 1 {
		t.Errorf("%d requests were dropped", n)
	}
}

// TestADeviceTakesFewerConnectionsThanThePool reads whole all the same, and the device is not stormed.
func TestADeviceTakesFewerConnectionsThanThePool(t *testing.T) {
	m := plant(t, 1, "slots:2")
	points := image()
	a, o := addrOf(m, 1, map[string]string{"max_registers": "20"}), &observer{timeout: 5 * time.Second}
	lim := device.Limits{Connections: 5}
	s, err := driver.Modbus{}.Open(t.Context(), a, lim, o)
	if err != nil {
		t.Fatal(err)
	}
	plan := compile(t, a, lim, points)
	for range 300 {
		var b tag.Batch
		if err := s.Read(t.Context(), plan, &b); err != nil {
			t.Fatal(err)
		}
		if good := check(t, points, &b); good != len(points) {
			t.Fatalf("%d good of %d", good, len(points))
		}
	}
	st := m.Stats()
	if st.Open > 2 || st.Connections != 2 || st.Refused > 4 {
		t.Errorf("%+v", st)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for m.Stats().Open > 0 { // the device hears of it a moment later
		runtime.Gosched()
	}
}

// nobody takes everything and keeps nothing.
type nobody struct{}

func (nobody) Offer(*tag.Batch, func(error)) bool { return true }
func (nobody) Offered(int, int)                   {}
func (nobody) Dropped(string, int)                {}

func TestOneShotAgainstTheSimulator(t *testing.T) {
	m := plant(t, 1)
	a := addrOf(m, 1, nil)
	w, err := driver.ParseAssignment(driver.Modbus{}, "holding:5:int16=42")
	if err != nil {
		t.Fatal(err)
	}
	bit, err := driver.ParseAssignment(driver.Modbus{}, "holding:8.1=true")
	if err != nil {
		t.Fatal(err)
	}
	results, err := driver.WriteOnce(context.Background(), driver.Modbus{}, a, []driver.Assignment{w, bit}, 5*time.Second)
	if err != nil || results[0].Err != nil || results[1].Err != nil {
		t.Fatal(results, err)
	}
	got, err := driver.ReadOnce(context.Background(), driver.Modbus{}, a, []string{"holding:5:int16", "holding:60000:float32", "coil:7", "hr8"}, 5*time.Second)
	if err != nil || got[0].Value.String() != "42" || got[2].Value.String() != "false" || got[3].Value.String() != "10" {
		t.Errorf("%+v, %v", got, err)
	}
	if f, ok := got[1].Value.Float(); !ok || f < 0 || f > 100 {
		t.Errorf("wave is %v", got[1].Value)
	}
}
