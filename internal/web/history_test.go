package web

import (
	"fmt"
	"math"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"millrace/internal/tag"
)

func TestThinnerKeepsFewPointsAsTheyAre(t *testing.T) {
	th := newThinner(0, 1000, 10)
	for i := range 10 {
		th.add(point{int64(1000 - 100*i), float64(i)}) // late ones are put in order
	}
	got := th.points()
	if len(got) != 10 || got[0] != (point{100, 9}) || got[9] != (point{1000, 0}) {
		t.Errorf("%v", got)
	}
}

func TestThinnerKeepsPeaksAndGaps(t *testing.T) {
	th := newThinner(0, 100_000, 30)
	for i := range 100_000 {
		v := math.Sin(float64(i) / 1000)
		switch i {
		case 31_234:
			v = 99
		case 77_777:
			v = -99
		case 50_000:
			v = math.NaN()
		}
		th.add(point{int64(i), v})
	}
	got := th.points()
	if len(got) > 30 {
		t.Errorf("%d points, at most 30", len(got))
	}
	var peak, trough, gap bool
	for i, p := range got {
		peak = peak || p == point{31_234, 99}
		trough = trough || p == point{77_777, -99}
		gap = gap || p.t == 50_000 && math.IsNaN(p.v)
		if i > 0 && p.t < got[i-1].t {
			t.Errorf("point %d is earlier than the one before", i)
		}
	}
	if !peak || !trough || !gap {
		t.Errorf("peak %t, trough %t, gap %t in %v", peak, trough, gap, got)
	}
}

// The slices are of the time that has values, however much more was asked for.
func TestSpan(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	for _, c := range []struct{ from, to, oldest, now, wantFrom, wantTo int64 }{
		{0, 9_000_000, 1000, 2000, 1000, 2000},
		{1200, 1500, 1000, 2000, 1200, 1500},
		{0, 500, 1000, 2000, 0, 500},
		{3000, 4000, 1000, 2000, 3000, 4000},
	} {
		q := historyQuery{from: at(c.from), to: at(c.to)}
		if from, to := q.span(at(c.oldest), at(c.now)); from.Unix() != c.wantFrom || to.Unix() != c.wantTo {
			t.Errorf("%+v: %d to %d", c, from.Unix(), to.Unix())
		}
	}
}

func TestThinnerTakesTimesOutside(t *testing.T) {
	th := newThinner(1000, 1000, 3)
	for _, at := range []int64{math.MinInt32, 0, 1000, 5000, math.MaxInt32} {
		th.add(point{at, 1})
	}
	if got := th.points(); len(got) == 0 || len(got) > 3 {
		t.Errorf("%v", got)
	}
}

func TestPointOf(t *testing.T) {
	const ms = int64(time.Millisecond)
	for _, tt := range []struct {
		s    Sample
		want float64
	}{
		{Sample{Value: tag.Value{Kind: tag.Int16, Bits: ^uint64(4)}, TS: ms}, -5},
		{Sample{Value: tag.Value{Kind: tag.Bool, Bits: 1}, TS: ms}, 1},
		{Sample{Value: tag.Value{Kind: tag.Int16, Bits: 5}, Quality: tag.BadTimeout, TS: ms}, math.NaN()},
		{Sample{Value: tag.Value{Kind: tag.Int16, Bits: 5}, Quality: tag.UncertainLastUsable, TS: ms}, math.NaN()},
		{Sample{Value: tag.Value{Kind: tag.Int16, Bits: 5}, Quality: tag.UncertainSubNormal, TS: ms}, 5},
		{Sample{Value: tag.Value{Kind: tag.String, Aux: []byte("5")}, TS: ms}, math.NaN()},
		{Sample{Value: tag.Value{Kind: tag.Float64, Bits: math.Float64bits(math.Inf(1))}, TS: ms}, math.NaN()},
	} {
		got := pointOf(tt.s)
		if got.t != 1 || got.v != tt.want && !(math.IsNaN(got.v) && math.IsNaN(tt.want)) {
			t.Errorf("%+v: %v, want %v", tt.s, got, tt.want)
		}
	}
}

func TestParseHistory(t *testing.T) {
	idx := new(index).of([]Tag{{ID: 1, Name: "a/x", Device: "a"}, {ID: 2, Name: "a/y", Device: "a"}})
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for query, want := range map[string]string{
		"tag=a/x":                            "1 2026-03-01T11:00:00Z 2026-03-01T12:00:00Z 1000",
		"ids=2,1,2&from=-15m&points=50":      "2 2026-03-01T11:45:00Z 2026-03-01T12:00:00Z 50",
		"device=a&from=2026-03-01T10:00:00Z": "2 2026-03-01T10:00:00Z 2026-03-01T12:00:00Z 1000",
		"tag=a/x&from=1772355600000&to=-1m":  "1 2026-03-01T09:00:00Z 2026-03-01T11:59:00Z 1000",
		"":                                   "0 tags chosen, not 1 to 16",
		"ids=1-17":                           "17 tags chosen, not 1 to 16",
		"tag=none":                           "web: no tag named none",
		"tag=a/x&from=yesterday":             `"yesterday" is no time`,
		"tag=a/x&from=2026-03-01T13:00:00Z":  "from is not before to",
		"tag=a/x&points=5":                   "points is less than 10",
		"tag=a/x&points=10001":               `points "10001" is not between 0 and 10000`,
		"tag=a/x&from=-1h&to=-1h":            "from is not before to",
		"ids=1,,2":                           `"" is no tag number`,
		"ids=99999999999":                    `"99999999999" is no tag number`,
		"tag=a/x&from=0001-01-01T00:00:00Z":  "1 1677-09-21T00:12:43Z 2026-03-01T12:00:00Z 1000",
		"tag=a/x&to=9999-12-31T00:00:00Z":    "1 2026-03-01T11:00:00Z 2262-04-11T23:47:16Z 1000",
		"tag=a/x&from=-9223372036854775808":  "1 1677-09-21T00:12:43Z 2026-03-01T12:00:00Z 1000",
		"ids=4294967295-4294967295&from=-1h": "1 2026-03-01T11:00:00Z 2026-03-01T12:00:00Z 1000",
	} {
		v, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		q, err := parseHistory(v, idx, now)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprint(len(q.ids), " ", q.from.UTC().Format(time.RFC3339), " ", q.to.UTC().Format(time.RFC3339), " ", q.points)
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", query, got, want)
		}
	}
}

func TestAppendsWithoutAllocating(t *testing.T) {
	s := &Sample{ID: 77, Value: tag.Value{Kind: tag.Float64, Bits: math.Float64bits(1.5)}, TS: 1772355600000000000}
	d := &Device{ID: "press-01", Protocol: "modbus", State: StateReady, Since: time.Unix(1000, 0), Groups: []Group{{Name: "fast"}}}
	b := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { b = appendSample(b[:0], "press-01/x", s, tag.JSONOptions{}) }); n != 0 {
		t.Errorf("a sample: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { b = appendDevice(b[:0], d) }); n != 0 {
		t.Errorf("a device: %v allocations", n)
	}
}

// FuzzRequest puts bytes where a client has them: the query of each route that parses one, the body of the switch, the position of a
// stream. The first byte selects.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		"\x00ids=1,4-9&from=-1h&points=10", "\x01search=a&quality=bad&offset=3&limit=5", "\x02" + `{"on":true,"reason":"x","tags":["a/x"]}`,
		"\x03boot-12-7", "\x00tag=a/x&from=2026-03-01T10:00:00Z&to=1772355600000", "\x02{}", "\x03boot-18446744073709551616-1",
		"\x04tag=a/x&end=failed&from=-24h&limit=5&before=9",
	} {
		f.Add([]byte(seed))
	}
	idx := new(index).of([]Tag{{ID: 1, Name: "a/x", Device: "a"}})
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 {
			return
		}
		rest := string(in[1:])
		v, _ := url.ParseQuery(rest)
		switch in[0] % 5 {
		case 0:
			q, err := parseHistory(v, idx, time.Unix(1000, 0))
			if err == nil && (len(q.ids) == 0 || len(q.ids) > maxSeries || !q.from.Before(q.to) || q.points < 10 || q.points > maxPoints) {
				t.Errorf("accepted %+v", q)
			}
		case 1:
			q, err := parseTagQuery(v)
			if err == nil && (q.offset < 0 || q.limit < 0 || q.limit > maxTagPage) {
				t.Errorf("accepted %+v", q)
			}
		case 2:
			r := httptest.NewRequest("POST", "/", strings.NewReader(rest))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			body, ok := readSwitch(w, r)
			if ok && (body.On == nil || *body.On && body.Reason == "" || len(body.Reason) > maxReason) || ok == (w.Body.Len() > 0) {
				t.Errorf("ok %t, %+v, answered %s", ok, body, w.Body)
			}
		case 4:
			q, err := parseAudit(v, time.Unix(1000, 0))
			if err == nil && (q.Limit < 1 || q.Limit > maxRecords || v.Get("before") != "" && q.Before == 0) {
				t.Errorf("accepted %+v", q)
			}
		case 3:
			s := &Server{boot: "boot"}
			p := s.parsePosition(rest)
			if p != (position{}) && !strings.HasPrefix(rest, "boot-") {
				t.Errorf("%q gave %+v", rest, p)
			}
		}
	})
}
