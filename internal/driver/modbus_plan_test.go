package driver

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"millrace/internal/device"
	"millrace/internal/tag"
)

var testAddr = device.Addr{Scheme: "modbus", Host: "127.0.0.1:1502", Path: "1"}

// specs makes a tag of each address, with IDs from 1.
func specs(addresses ...string) []device.TagSpec {
	out := make([]device.TagSpec, len(addresses))
	for i, a := range addresses {
		out[i] = device.TagSpec{ID: tag.ID(i + 1), Name: fmt.Sprintf("d/t%d", i+1), Address: a}
	}
	return out
}

func mustPlan(t *testing.T, a device.Addr, lim device.Limits, addresses ...string) *modbusPlan {
	t.Helper()
	p, err := Modbus{}.Compile(a, specs(addresses...), lim)
	if err != nil {
		t.Fatal(err)
	}
	return p.(*modbusPlan)
}

// describe writes the requests of a plan on one line each.
func describe(p device.Plan) string {
	var b strings.Builder
	for _, r := range p.Requests() {
		fmt.Fprintf(&b, "%s %d-%d tags=%d out=%d in=%d\n", r.Op, r.From, r.To, r.Tags, r.BytesOut, r.BytesIn)
	}
	return b.String()
}

func TestPlanTranscripts(t *testing.T) {
	for _, c := range []struct {
		name string
		lim  device.Limits
		opts map[string]string
		tags []string
		want string
	}{
		{"neighbours", device.Limits{}, nil, []string{"holding:1", "holding:0", "holding:2:float32"},
			"read holding 0-3 tags=3 out=12 in=17\n"},
		{"a gap of 64 registers is cheaper than a request", device.Limits{}, nil, []string{"holding:0", "holding:65"},
			"read holding 0-65 tags=2 out=12 in=141\n"},
		{"a gap of 65 is not", device.Limits{}, nil, []string{"holding:0", "holding:66"},
			"read holding 0-0 tags=1 out=12 in=11\nread holding 66-66 tags=1 out=12 in=11\n"},
		{"a request that is worth 400 bytes", device.Limits{RequestWorth: 400}, nil, []string{"holding:0", "holding:66", "holding:124", "holding:125"},
			"read holding 0-124 tags=3 out=12 in=259\nread holding 125-125 tags=1 out=12 in=11\n"},
		{"one that is worth 4", device.Limits{RequestWorth: 4}, nil, []string{"holding:0", "holding:13", "holding:27"},
			"read holding 0-13 tags=2 out=12 in=37\nread holding 27-27 tags=1 out=12 in=11\n"},
		{"what is configured goes before what was measured", device.Limits{RequestWorth: 400, Gap: -1}, nil, []string{"holding:0", "holding:2"},
			"read holding 0-0 tags=1 out=12 in=11\nread holding 2-2 tags=1 out=12 in=11\n"},
		{"bits cost less", device.Limits{}, nil, []string{"coil:0", "coil:1000", "discrete:0"},
			"read coils 0-1000 tags=2 out=12 in=135\nread discrete inputs 0-0 tags=1 out=12 in=10\n"},
		{"no gap allowed", device.Limits{Gap: -1}, nil, []string{"holding:0", "holding:1", "holding:3"},
			"read holding 0-1 tags=2 out=12 in=13\nread holding 3-3 tags=1 out=12 in=11\n"},
		{"gap 0 by option is none", device.Limits{}, map[string]string{"gap": "0"}, []string{"holding:0", "holding:2"},
			"read holding 0-0 tags=1 out=12 in=11\nread holding 2-2 tags=1 out=12 in=11\n"},
		{"a wide gap by option", device.Limits{}, map[string]string{"gap": "100"}, []string{"holding:0", "holding:101"},
			"read holding 0-101 tags=2 out=12 in=213\n"},
		{"the cap splits", device.Limits{MaxRegisters: 4}, nil, []string{"holding:0:int32", "holding:2:int32", "holding:4:int32"},
			"read holding 0-3 tags=2 out=12 in=17\nread holding 4-5 tags=1 out=12 in=13\n"},
		{"the option and the learned cap: the smaller", device.Limits{MaxRegisters: 4}, map[string]string{"max_registers": "2"}, []string{"holding:0[4]"},
			"read holding 0-1 tags=1 out=12 in=13\nread holding 2-3 tags=1 out=12 in=13\n"},
		{"PDU size caps", device.Limits{PDU: 12}, nil, []string{"holding:0[6]"},
			"read holding 0-4 tags=1 out=12 in=19\nread holding 5-5 tags=1 out=12 in=11\n"},
		{"an array longer than a request", device.Limits{}, nil, []string{"holding:0:float32[100]"},
			"read holding 0-123 tags=1 out=12 in=257\nread holding 124-199 tags=1 out=12 in=161\n"},
		{"never across a hole", device.Limits{Holes: []device.Span{{Area: 4, From: 5, To: 6}}}, nil, []string{"holding:0", "holding:9", "holding:6"},
			"read holding 0-0 tags=1 out=12 in=11\nread holding 9-9 tags=1 out=12 in=11\n"},
		{"the hole of another area", device.Limits{Holes: []device.Span{{Area: 3, From: 5, To: 6}}}, nil, []string{"holding:0", "holding:9"},
			"read holding 0-9 tags=2 out=12 in=29\n"},
		{"units apart", device.Limits{}, nil, []string{"holding:0", "2!holding:1", "1!holding:2"},
			"read holding 0-2 tags=2 out=12 in=15\nread holding of unit 2 1-1 tags=1 out=12 in=11\n"},
		{"bits of a register and overlapping tags", device.Limits{}, nil, []string{"holding:20.3", "holding:20.4", "holding:20", "holding:20"},
			"read holding 20-20 tags=4 out=12 in=11\n"},
	} {
		a := testAddr
		a.Options = c.opts
		p, err := Modbus{}.Compile(a, specs(c.tags...), c.lim)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := describe(p); got != c.want {
			t.Errorf("%s:\n%swant\n%s", c.name, got, c.want)
		}
	}
}

func TestPlanOverRTUCountsItsOwnHeaders(t *testing.T) {
	a := testAddr
	a.Scheme = "modbus+rtu"
	if got := describe(mustPlan(t, a, device.Limits{}, "holding:0")); got != "read holding 0-0 tags=1 out=8 in=7\n" {
		t.Error(got)
	}
}

func TestCompileNamesEachBadTag(t *testing.T) {
	p, err := Modbus{}.Compile(testAddr, specs("holding:0", "holdin:1", "holding:2", "holding:3:float64"), device.Limits{MaxRegisters: 2})
	if got := p.Tags(); len(got) != 2 || got[0].Address != "holding:0" || got[1].Address != "holding:2" {
		t.Errorf("planned %v", got)
	}
	var te *device.TagError
	if !errors.As(err, &te) || te.Tag != "d/t2" || !strings.Contains(err.Error(), "did you mean holding:1?") || !strings.Contains(err.Error(), "d/t4") {
		t.Errorf("%v", err)
	}
}

func TestBadOptions(t *testing.T) {
	for _, c := range []struct {
		addr device.Addr
		want string
	}{
		{device.Addr{Scheme: "modbus", Host: "h", Options: map[string]string{"windw": "2"}}, "did you mean window?"},
		{device.Addr{Scheme: "modbus", Host: "h", Options: map[string]string{"zzzzzzzz": "2"}}, "the options are ca, cert, dial_timeout"},
		{device.Addr{Scheme: "modbus", Host: "h", Options: map[string]string{"window": "0"}}, "from 1 to 16"},
		{device.Addr{Scheme: "modbus", Host: "h", Options: map[string]string{"max_registers": "126"}}, "from 1 to 125"},
		{device.Addr{Scheme: "modbus", Host: "h", Options: map[string]string{"echo_id": "maybe"}}, "neither true nor false"},
		{device.Addr{Scheme: "modbus", Host: "h", Options: map[string]string{"dial_timeout": "5"}}, "not a duration"},
		{device.Addr{Scheme: "modbus", Host: "h", Options: map[string]string{"ca": "x"}}, "modbus+tls://"},
		{device.Addr{Scheme: "modbus+tls", Host: "h", Options: map[string]string{"cert": "x"}}, "belong together"},
		{device.Addr{Scheme: "modbus+rtu", Host: "h", Options: map[string]string{"window": "2"}}, "one request at a time"},
		{device.Addr{Scheme: "modbus", Host: "h", Path: "256"}, "unit id"},
		{device.Addr{Scheme: "modbus", Path: "1"}, "no host"},
		{device.Addr{Scheme: "s7", Host: "h"}, "scheme"},
	} {
		_, err := Modbus{}.Compile(c.addr, nil, device.Limits{})
		var oe *OptionError
		if !errors.As(err, &oe) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.addr, err, c.want)
		}
	}
}

func TestEndpointSharesAConnectionByUnit(t *testing.T) {
	d := Modbus{}
	one := d.Endpoint(device.Addr{Scheme: "modbus", Host: "10.0.0.1", Path: "1"})
	if two := d.Endpoint(device.Addr{Scheme: "modbus", Host: "10.0.0.1:502", Path: "2"}); one != two {
		t.Errorf("%s and %s differ", one, two)
	}
	if other := d.Endpoint(device.Addr{Scheme: "modbus", Host: "10.0.0.1", Options: map[string]string{"echo_id": "false"}}); other == one {
		t.Error("a device that does not echo ids must not share a connection with one that does")
	}
}

// randomAddress returns a valid address near others.
func randomAddress(r *rand.Rand) string {
	at := r.IntN(600)
	switch r.IntN(12) {
	case 0:
		return fmt.Sprintf("coil:%d", at)
	case 1:
		return fmt.Sprintf("discrete:%d[%d]", at, 1+r.IntN(2100))
	case 2:
		return fmt.Sprintf("holding:%d.%d", at, r.IntN(16))
	case 3:
		return fmt.Sprintf("input:%d:string[%d]:%s", at, 1+r.IntN(300), layoutNames[r.IntN(4)])
	case 4:
		return fmt.Sprintf("holding:%d:bytes[%d]", at, 1+r.IntN(300))
	}
	types := []modbusType{typeInt16, typeUint16, typeInt32, typeUint32, typeInt64, typeUint64, typeFloat16, typeFloat32, typeFloat64}
	typ := types[r.IntN(len(types))]
	orders := orderNames[typ.words()]
	area := []string{"holding", "input"}[r.IntN(2)]
	array := ""
	if r.IntN(5) == 0 {
		array = fmt.Sprintf("[%d]", 1+r.IntN(100))
	}
	return fmt.Sprintf("%s:%d:%s%s:%s", area, at, typ, array, orders[r.IntN(len(orders))])
}

func randomLimits(r *rand.Rand) device.Limits {
	lim := device.Limits{Gap: r.IntN(20) - 1}
	if r.IntN(2) == 0 {
		lim.MaxRegisters, lim.MaxBits = 4+r.IntN(121), 1+r.IntN(2000)
	}
	for range r.IntN(6) {
		from := uint32(r.IntN(600))
		lim.Holes = append(lim.Holes, device.Span{Area: []uint8{0, 1, 3, 4}[r.IntN(4)], From: from, To: from + uint32(r.IntN(20))})
	}
	return lim
}

func TestPlanProperties(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		addresses := make([]string, 1+r.IntN(60))
		for i := range addresses {
			addresses[i] = randomAddress(r)
		}
		lim := randomLimits(r)
		p := mustPlan(t, testAddr, lim, addresses...)
		checkPlan(t, p, lim, addresses)
		shuffled := specs(addresses...)
		if again, _ := (Modbus{}).Compile(testAddr, shuffled, lim); !reflect.DeepEqual(again, device.Plan(p)) {
			t.Fatalf("seed %d: two plans of one input differ", seed)
		}
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if again, _ := (Modbus{}).Compile(testAddr, shuffled, lim); describe(again) != describe(p) {
			t.Fatalf("seed %d: the order of the tags changes the requests", seed)
		}
		if t.Failed() {
			t.Fatalf("seed %d: limits %+v\n%s\n%s", seed, lim, strings.Join(addresses, "\n"), describe(p))
		}
	}
}

// checkPlan holds the promises of Compile against a plan: each address of each tag is read by exactly one of its cells, no request is over
// a cap or touches a hole, and there are no more requests than one a tag and piece.
func checkPlan(t *testing.T, p *modbusPlan, lim device.Limits, addresses []string) {
	t.Helper()
	covered := map[tag.ID][]int{}
	wants := 0
	for i := range p.reqs {
		r := &p.reqs[i]
		wants += len(r.cells)
		limit := readCap(maxReadRegisters, lim.MaxRegisters)
		if r.area.isBits() {
			limit = readCap(maxReadBits, lim.MaxBits)
		}
		if int(r.count) > limit || r.count == 0 {
			t.Errorf("request of %d, at most %d", r.count, limit)
		}
		for _, h := range lim.Holes {
			if h.Area == uint8(r.area) && h.From <= uint32(r.from)+uint32(r.count)-1 && uint32(r.from) <= h.To {
				t.Errorf("request %v touches hole %v", r.span, h)
			}
		}
		for _, c := range r.cells {
			if int(c.off)+int(c.n) > int(r.count) {
				t.Errorf("cell %+v leaves its request of %d", c, r.count)
			}
			for a := range int(c.n) {
				covered[c.id] = append(covered[c.id], int(r.from)+int(c.off)+a)
			}
		}
	}
	for _, h := range p.inHole {
		id := h.cells[0].id
		if _, read := covered[id]; read {
			t.Errorf("tag %d is held and read", id)
		}
		covered[id] = nil
	}
	for i, a := range addresses {
		pt, _ := parseModbus(a)
		got, known := covered[tag.ID(i+1)]
		if !known {
			t.Errorf("%s is not planned", a)
		}
		slices.Sort(got)
		for k, addr := range got {
			if addr != pt.addr+k || len(got) != pt.span() {
				t.Errorf("%s covers %v", a, got)
				break
			}
		}
	}
	if len(p.reqs) > wants {
		t.Errorf("%d requests for %d wants", len(p.reqs), wants)
	}
}
