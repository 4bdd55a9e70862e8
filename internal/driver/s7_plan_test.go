package driver

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/s7"
)

var testS7Addr = device.Addr{Scheme: "s7", Host: "127.0.0.1:1102"}

// limitsUnknown is what is known of a device that was never connected to.
var limitsUnknown device.Limits

// optionsOf returns the options of an address.
func optionsOf(t *testing.T, url string) *s7Options {
	t.Helper()
	a, err := device.ParseAddr(url, S7{}.Ports())
	if err != nil {
		t.Fatal(err)
	}
	o, err := parseS7Options(a)
	if err != nil {
		t.Fatal(err)
	}
	return &o
}

func mustS7Plan(t testing.TB, a device.Addr, lim device.Limits, addresses ...string) *s7Plan {
	t.Helper()
	p, err := S7{}.Compile(a, specs(addresses...), lim)
	if err != nil {
		t.Fatal(err)
	}
	return p.(*s7Plan)
}

func TestS7PlanTranscripts(t *testing.T) {
	db := func(n, from, to uint32) device.Span {
		return device.Span{Area: uint8(s7.AreaDB), From: n<<16 | from, To: n<<16 | to}
	}
	for _, c := range []struct {
		name string
		lim  device.Limits
		opts map[string]string
		tags []string
		want string
	}{
		{"neighbours are one range", device.Limits{}, nil, []string{"DB1.DBW2", "DB1.DBW0", "DB1.DBD4:REAL"},
			"read DB1 0-7 tags=3 out=31 in=33\n"},
		{"one request for several DBs", device.Limits{}, nil, []string{"DB1.DBW0", "DB2.DBW0", "M0.0", "T5", "C3"},
			"read 5 ranges, C and 4 more areas, 3-3 tags=5 out=79 in=51\n"},
		{"a gap of 4 bytes is never dearer", device.Limits{}, nil, []string{"DB1.DBB0", "DB1.DBB5"},
			"read DB1 0-5 tags=2 out=31 in=31\n"},
		{"one of 16 would be, where there is room for another range", device.Limits{}, nil, []string{"DB1.DBB0", "DB1.DBB18"},
			"read 2 ranges, DB1 0-18 tags=2 out=43 in=32\n"},
		{"a gap of 150 saves no request either", device.Limits{}, nil, []string{"DB1.DBB0", "DB1.DBB151"},
			"read 2 ranges, DB1 0-151 tags=2 out=43 in=32\n"},
		{"bits are bytes of their neighbours", device.Limits{}, nil, []string{"DB1.DBX0.0", "DB1.DBX0.7", "DB1.DBX1.3", "DB1.DBW2"},
			"read DB1 0-3 tags=4 out=31 in=29\n"},
		{"no gap allowed", device.Limits{Gap: -1}, nil, []string{"DB1.DBB0", "DB1.DBB1", "DB1.DBB3"},
			"read 2 ranges, DB1 0-3 tags=3 out=43 in=32\n"},
		{"gap 0 by option is none", device.Limits{}, map[string]string{"gap": "0"}, []string{"DB1.DBB0", "DB1.DBB2"},
			"read 2 ranges, DB1 0-2 tags=2 out=43 in=32\n"},
		{"a wide gap by option", device.Limits{}, map[string]string{"gap": "150"}, []string{"DB1.DBB0", "DB1.DBB151"},
			"read DB1 0-151 tags=2 out=31 in=177\n"},
		{"a long array in pieces of whole elements", device.Limits{}, nil, []string{"DB1.DBD0:REAL[100]"},
			"read DB1 0-219 tags=1 out=31 in=245\nread DB1 220-399 tags=1 out=31 in=205\n"},
		{"under a longer PDU in one", device.Limits{PDU: 480}, nil, []string{"DB1.DBD0:REAL[100]"},
			"read DB1 0-399 tags=1 out=31 in=425\n"},
		{"the option caps the PDU", device.Limits{PDU: 960}, map[string]string{"pdu": "480"}, []string{"DB1.DBD0:REAL[200]"},
			"read DB1 0-459 tags=1 out=31 in=485\nread DB1 460-799 tags=1 out=31 in=365\n"},
		{"before a connection the model says it", device.Limits{}, map[string]string{"model": "1500"}, []string{"DB1.DBD0:REAL[200]"},
			"read DB1 0-799 tags=1 out=31 in=825\n"},
		{"never across a hole", device.Limits{Holes: []device.Span{db(1, 4, 4)}}, nil, []string{"DB1.DBW2", "DB1.DBB4", "DB1.DBB5"},
			"read 2 ranges, DB1 2-5 tags=2 out=43 in=32\n"},
		{"the hole of another DB", device.Limits{Holes: []device.Span{db(2, 4, 4)}}, nil, []string{"DB1.DBW2", "DB1.DBB4", "DB1.DBB5"},
			"read DB1 2-5 tags=3 out=31 in=29\n"},
		{"items a request are learned", device.Limits{MaxItems: 2}, nil, []string{"DB1.DBB0", "DB2.DBB0", "DB3.DBB0"},
			"read 2 ranges, DB1 and 1 more areas, 0-0 tags=2 out=43 in=32\nread DB3 0-0 tags=1 out=31 in=26\n"},
		{"a gap that saves a request", device.Limits{MaxItems: 1}, nil, []string{"DB1.DBB0", "DB1.DBB151"},
			"read DB1 0-151 tags=2 out=31 in=177\n"},
		{"where a request is worth 20 bytes", device.Limits{MaxItems: 1, RequestWorth: 20}, nil, []string{"DB1.DBB0", "DB1.DBB151"},
			"read DB1 0-0 tags=1 out=31 in=26\nread DB1 151-151 tags=1 out=31 in=26\n"},
		{"overlapping tags", device.Limits{}, nil, []string{"DB1.DBD0:REAL", "DB1.DBW2", "DB1.DBD0:REAL", "DB1.DBX3.1"},
			"read DB1 0-3 tags=4 out=31 in=29\n"},
		{"timers merge among themselves", device.Limits{}, nil, []string{"T0", "T2", "C0", "T3"},
			"read 2 ranges, C and 1 more areas, 0-0 tags=4 out=43 in=39\n"},
	} {
		a := testS7Addr
		a.Options = c.opts
		p, err := S7{}.Compile(a, specs(c.tags...), c.lim)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := describe(p); got != c.want {
			t.Errorf("%s:\n%swant\n%s", c.name, got, c.want)
		}
	}
}

// When requests run out of room before answers do, gaps of up to 16 bytes are read over.
func TestS7PlanMergesWhereTheRequestIsFull(t *testing.T) {
	var tags []string
	for i := range 38 {
		tags = append(tags, fmt.Sprintf("DB1.DBB%d", 11*i)) // gaps of 10
	}
	if got := len(mustS7Plan(t, testS7Addr, device.Limits{}, tags...).Requests()); got != 2 {
		t.Errorf("%d requests", got)
	}
	p := mustS7Plan(t, testS7Addr, device.Limits{}, tags[:20]...) // one more than 19
	if got := p.Requests(); len(got) != 1 {
		t.Errorf("%d requests for 20 ranges: %s", len(got), describe(p))
	}
}

func TestS7CompileNamesEachBadTag(t *testing.T) {
	p, err := S7{}.Compile(testS7Addr, specs("MW0", "DB1,ISTRING0.5", "MW2", "PQW256"), device.Limits{})
	if got := p.Tags(); len(got) != 2 || got[0].Address != "MW0" || got[1].Address != "MW2" {
		t.Errorf("planned %v", got)
	}
	var te *device.TagError
	if !errors.As(err, &te) || te.Tag != "d/t2" || !strings.Contains(err.Error(), "did you mean DB1,STRING0.5?") || !strings.Contains(err.Error(), "did you mean QW256") {
		t.Errorf("%v", err)
	}
	rw := specs("PIW0", "M0.0")
	rw[0].Writable, rw[1].Writable = true, true
	if _, err := (S7{}).Compile(testS7Addr, rw, device.Limits{}); err == nil || !strings.Contains(err.Error(), "are the module's") || strings.Contains(err.Error(), "d/t2") {
		t.Error(err)
	}
}

func TestBadS7Options(t *testing.T) {
	addr := func(path string, options ...string) device.Addr {
		a := device.Addr{Scheme: "s7", Host: "h", Path: path, Options: map[string]string{}}
		for i := 0; i < len(options); i += 2 {
			a.Options[options[i]] = options[i+1]
		}
		return a
	}
	for _, c := range []struct {
		addr device.Addr
		want string
	}{
		{addr("", "slto", "2"), "did you mean slot?"},
		{addr("", "zzzzzzzz", "2"), "the options are connection, diagnostics, dial_timeout"},
		{addr("", "slot", "32"), "from 0 to 31"},
		{addr("", "rack", "8"), "from 0 to 7"},
		{addr("", "pdu", "100"), "from 112 to"},
		{addr("", "window", "0"), "from 1 to 64"},
		{addr("", "max_items", "256"), "from 1 to 255"},
		{addr("", "model", "1511"), "not one of 1200, 1500, 200smart, 300, 400, logo"},
		{addr("", "connection", "pc"), "pg, op, basic"},
		{addr("", "local_tsap", "0x1"), "not a TSAP such as 02.00"},
		{addr("", "remote_tsap", "x"), "not a TSAP"},
		{addr("", "remote_tsap", "02.00", "slot", "1"), "no effect beside a TSAP"},
		{addr("0/1", "remote_tsap", "02.00"), "no effect beside a TSAP"},
		{addr("", "model", "logo", "rack", "0"), "no effect beside a TSAP"},
		{addr("", "resync", "on"), "off, once, always"},
		{addr("", "diagnostics", "maybe"), "neither true nor false"},
		{addr("", "dial_timeout", "5"), "not a duration"},
		{addr("", "gap", "-1"), "not a number"},
		{addr("1"), "rack/slot, such as 0/1"},
		{addr("0/32"), "rack/slot"},
		{addr("0/1", "slot", "1"), "the address has it already"},
		{device.Addr{Scheme: "s7"}, "no host"},
		{device.Addr{Scheme: "modbus", Host: "h"}, "scheme"},
	} {
		_, err := S7{}.Compile(c.addr, nil, device.Limits{})
		var oe *OptionError
		if !errors.As(err, &oe) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.addr, err, c.want)
		}
	}
	if _, err := (S7{}).Compile(addr(""), nil, device.Limits{Connections: 2}); err == nil || !strings.Contains(err.Error(), "over one connection") {
		t.Error(err)
	}
}

func TestS7TSAPs(t *testing.T) {
	for url, want := range map[string]string{
		"s7://h":                                       "s7://h:102 0100-0201",
		"s7://h?slot=2":                                "s7://h:102 0100-0202",
		"s7://h:1102/1/3":                              "s7://h:1102 0100-0223",
		"s7://h?model=300":                             "s7://h:102 0100-0202",
		"s7://h?model=300&slot=3&connection=pg":        "s7://h:102 0100-0103",
		"s7://h?model=1500&connection=basic":           "s7://h:102 0100-0301",
		"s7://h?model=logo":                            "s7://h:102 0100-0200",
		"s7://h?model=logo&local_tsap=10.00":           "s7://h:102 1000-0200",
		"s7://h?local_tsap=0x1000&remote_tsap=20.00":   "s7://h:102 1000-2000",
		"s7://h?slot=0&pdu=480&dial_timeout=1s&gap=16": "s7://h:102 0100-0200 pdu=480",
	} {
		a, err := device.ParseAddr(url, S7{}.Ports())
		if err != nil {
			t.Fatal(err)
		}
		if got := (S7{}).Endpoint(a); got != want {
			t.Errorf("%s is %s, want %s", url, got, want)
		}
		if _, err := (S7{}).Compile(a, nil, device.Limits{}); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// s7Byte is the model of a PLC's memory: what byte at of a DB or area is. Counters and timers are valid BCD.
func s7Byte(area s7.Area, db uint16, at int) byte {
	x := uint32(area)*2654435761 + uint32(db)*40503 + uint32(at)*2246822519
	x ^= x >> 15
	if area.Numbered() {
		return byte(x%10)<<4 | byte(x>>8%10) // the base of a timer is any
	}
	return byte(x * 2654435769 >> 24)
}

// s7Bytes returns the n bytes of an item's memory.
func s7Bytes(area s7.Area, db uint16, at, n int) []byte {
	if area.Numbered() {
		at *= 2
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = s7Byte(area, db, at+i)
	}
	return b
}

// readModel fills the memory of a session's Read of p from the model, and decodes it.
func readModel(p *s7Plan) *tag.Batch {
	memory := make([]byte, p.bytes)
	for _, r := range p.ranges {
		at := r.item.Byte()
		if r.item.Area.Numbered() {
			at = int(r.item.Address)
		}
		copy(memory[r.off:], s7Bytes(r.item.Area, r.item.DB, at, r.item.Len()))
	}
	b := &tag.Batch{}
	d := s7Decoder{into: b}
	cell := func(c *s7Cell) { d.cell(c, memory[c.off:c.off+c.bytes]) }
	for _, r := range p.ranges {
		for i := range r.cells {
			cell(&r.cells[i])
		}
	}
	for i := range p.long {
		cell(&p.long[i].s7Cell)
	}
	return b
}

// naive returns the requests of a packer of items in order, 20 of them at most, which asks for each tag alone and tears no element either.
func naive(t testing.TB, pdu int, addresses []string) int {
	t.Helper()
	requests, now := 0, s7.ReadCost{}
	for _, a := range addresses {
		p, err := parseS7(a)
		if err != nil {
			t.Fatal(err)
		}
		most := s7.MaxReadData(pdu)
		if n := p.stride(); p.typ != s7.TypeBool && n <= most {
			most -= most % n
		}
		for left := p.bytes(); left > 0; {
			n := min(left, most)
			left -= n
			if next := now.With(n); now.Items > 0 && next.Fits(pdu) && next.Items <= 20 {
				now = next
				continue
			}
			requests++
			now = s7.ReadCost{}.With(n)
		}
	}
	return requests
}

// TestS7PlanProperties plans random sets of tags. S7_PLAN_SETS says how many; .ci/full takes a million.
func TestS7PlanProperties(t *testing.T) {
	sets := 4000
	if s := os.Getenv("S7_PLAN_SETS"); s != "" {
		var err error
		if sets, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	ours, theirs := 0, 0
	for seed := range uint64(sets) {
		r := rand.New(rand.NewPCG(seed, 3))
		addresses := make([]string, 1+r.IntN(60))
		for i := range addresses {
			addresses[i] = randomS7(r)
		}
		lim := device.Limits{PDU: [...]int{112, 240, 480, 960}[seed%4]}
		p := mustS7Plan(t, device.Addr{Scheme: "s7", Host: "h", Options: map[string]string{"pdu": "960"}}, lim, addresses...)
		checkS7Plan(t, p, addresses)
		requests, usual := len(p.Requests()), naive(t, lim.PDU, addresses)
		ours, theirs = ours+requests, theirs+usual
		if requests > usual {
			t.Errorf("%d requests where 20 items in order take %d", requests, usual)
		}
		if t.Failed() {
			t.Fatalf("seed %d: PDU %d\n%s\n%s", seed, lim.PDU, strings.Join(addresses, "\n"), describe(p))
		}
	}
	t.Logf("%d sets: %d requests, 20 items in order take %d", sets, ours, theirs)
	if ours >= theirs {
		t.Errorf("%d requests where 20 items in order take %d", ours, theirs)
	}
}

// checkS7Plan holds the promises of Compile against a plan: no packet is over the budget either way, what Requests says is so, and each tag is what the
// model's memory has there.
func checkS7Plan(t testing.TB, p *s7Plan, addresses []string) {
	t.Helper()
	asked := map[int]bool{}
	for i, r := range p.Requests() {
		var cost s7.ReadCost
		for _, v := range p.pack.Vars(nil, i) {
			if asked[v] {
				t.Errorf("range %d is asked for twice", v)
			}
			asked[v] = true
			cost = cost.With(p.ranges[v].item.Len())
		}
		if !cost.Fits(p.lim.PDU) || p.lim.MaxItems > 0 && cost.Items > p.lim.MaxItems {
			t.Errorf("request %d takes %d out and %d in", i, cost.Request(), cost.Response())
		}
		if r.BytesOut != cost.Request()+s7.FrameBytes || r.BytesIn != cost.Response()+s7.FrameBytes {
			t.Errorf("request %d: %+v, and it takes %d and %d", i, r, cost.Request(), cost.Response())
		}
	}
	for i, r := range p.ranges {
		if !asked[i] {
			t.Errorf("range %d is not asked for", i)
		}
		for _, h := range p.lim.Holes {
			if h.Area == r.span.Area && h.From <= r.span.To && r.span.From <= h.To {
				t.Errorf("range %v touches hole %v", r.span, h)
			}
		}
	}
	checkS7Values(t, p, addresses)
}

func checkS7Values(t testing.TB, p *s7Plan, addresses []string) {
	t.Helper()
	got := readModel(p)
	held := map[tag.ID]bool{}
	for _, h := range p.inHole {
		held[h.cell.id] = true
	}
	if got.Len()+len(held) != len(addresses) {
		t.Errorf("%d rows and %d held for %d tags", got.Len(), len(held), len(addresses))
	}
	seen := map[tag.ID]bool{}
	for i, id := range got.ID {
		pt, err := parseS7(addresses[id-1])
		if err != nil || seen[id] || held[id] {
			t.Fatalf("tag %d: %v, twice %v, held %v", id, err, seen[id], held[id])
		}
		seen[id] = true
		want, q := decodeS7(t, addresses[id-1], s7Bytes(pt.area, pt.db, pt.at, pt.bytes()))
		if v := got.Value(i); !sameValue(v, want) || got.Quality[i] != q {
			t.Errorf("%s is %v, %v; want %v, %v", addresses[id-1], v, got.Quality[i], want, q)
		}
	}
}

func randomS7Limits(r *rand.Rand) device.Limits {
	lim := device.Limits{PDU: 112 + r.IntN(850), Gap: r.IntN(40) - 1}
	if r.IntN(2) == 0 {
		lim.MaxItems, lim.Gap = 1+r.IntN(25), 0
	}
	for range r.IntN(6) {
		from := uint32(1+r.IntN(4))<<16 | uint32(r.IntN(500))
		lim.Holes = append(lim.Holes, device.Span{Area: uint8(s7.AreaDB), From: from, To: from + uint32(r.IntN(20))})
	}
	return lim
}

func TestS7PlanPropertiesUnderLimits(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 4))
		addresses := make([]string, 1+r.IntN(60))
		for i := range addresses {
			addresses[i] = randomS7(r)
		}
		lim := randomS7Limits(r)
		p := mustS7Plan(t, testS7Addr, lim, addresses...)
		checkS7Plan(t, p, addresses)
		shuffled := specs(addresses...)
		if again, _ := (S7{}).Compile(testS7Addr, shuffled, lim); !reflect.DeepEqual(again, device.Plan(p)) {
			t.Fatalf("seed %d: two plans of one input differ", seed)
		}
		slices.Reverse(shuffled)
		if again, _ := (S7{}).Compile(testS7Addr, shuffled, lim); lim.Gap != 0 && describe(again) != describe(p) {
			t.Fatalf("seed %d: the order of the tags changes the requests", seed)
		}
		if t.Failed() {
			t.Fatalf("seed %d: limits %+v\n%s\n%s", seed, lim, strings.Join(addresses, "\n"), describe(p))
		}
	}
}
