package web

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"millrace/internal/tag"
)

const (
	defaultPoints  = 1000
	maxPoints      = 10_000
	maxSeries      = 16
	historyTimeout = 20 * time.Second
	historyTodo    = "history takes tag=NAME or ids=N,M (up to 16 tags), from and to (RFC 3339, unix milliseconds, or -1h), points (10 to 10000)"
)

type historyQuery struct {
	ids      []tag.ID
	from, to time.Time
	points   int
}

// scan waits until r may read much from the disk, which few do at once, and says whether it may; it has answered when not. end is called in any case.
func (s *Server) scan(w http.ResponseWriter, r *http.Request) (ctx context.Context, end func(), ok bool) {
	ctx, cancel := context.WithTimeout(r.Context(), historyTimeout)
	select {
	case s.scans <- struct{}{}:
		return ctx, func() { <-s.scans; cancel() }, true
	case <-ctx.Done():
		writeError(w, http.StatusServiceUnavailable, "too many requests read the disk at once", "try again in a moment")
		return ctx, cancel, false
	}
}

// history answers stored values as [t, v] with t in unix milliseconds; null is a gap. More values than points are thinned to the
// smallest and the largest of each slice of time, so that no peak is lost.
func (s *Server) history(w http.ResponseWriter, r *http.Request) {
	idx := s.index.of(s.src.Tags())
	q, err := parseHistory(r.URL.Query(), idx, time.Now())
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error(), historyTodo)
		return
	}
	ctx, end, ok := s.scan(w, r)
	defer end()
	if !ok {
		return
	}
	series, err := s.readHistory(ctx, q)
	if errors.Is(err, context.DeadlineExceeded) {
		writeError(w, http.StatusGatewayTimeout, "reading the journal took longer than "+historyTimeout.String(), "ask for a shorter time")
		return
	}
	if err != nil {
		s.cfg.Log.Error("history", "err", err)
		writeError(w, http.StatusInternalServerError, "the journal cannot be read: "+err.Error(), "run millrace journal check")
		return
	}
	writeBytes(w, http.StatusOK, appendHistory(nil, q, idx, series))
}

func (s *Server) readHistory(ctx context.Context, q historyQuery) ([]*thinner, error) {
	series := make([]*thinner, len(q.ids))
	byID := map[tag.ID]*thinner{}
	from, to := q.span(s.src.Gateway().Journal.Oldest, time.Now())
	for i, id := range q.ids {
		series[i] = newThinner(from.UnixMilli(), to.UnixMilli(), q.points)
		byID[id] = series[i]
	}
	err := s.src.History(ctx, q.ids, q.from, q.to, func(v Sample) bool {
		if t := byID[v.ID]; t != nil {
			t.add(pointOf(v))
		}
		return true
	})
	return series, err
}

// span is the part of q's time in which there can be values: who asks for all since 1970 gets as many points as who knows better.
func (q *historyQuery) span(oldest, now time.Time) (from, to time.Time) {
	from, to = q.from, q.to
	if from.Before(oldest) {
		from = oldest
	}
	if now.Before(to) {
		to = now
	}
	if !from.Before(to) {
		return q.from, q.to
	}
	return from, to
}

// pointOf makes a gap of what was no measurement: bad values, and values repeated because the device was away.
func pointOf(v Sample) point {
	f, ok := v.Value.Float()
	if !ok || v.Quality.IsBad() || v.Quality&^0xFFFF == tag.UncertainLastUsable || math.IsInf(f, 0) {
		f = math.NaN()
	}
	return point{v.TS / int64(time.Millisecond), f}
}

func appendHistory(b []byte, q historyQuery, idx *tagIndex, series []*thinner) []byte {
	b = strconv.AppendInt(append(b, `{"from":`...), q.from.UnixMilli(), 10)
	b = strconv.AppendInt(append(b, `,"to":`...), q.to.UnixMilli(), 10)
	b = append(b, `,"series":[`...)
	for i, id := range q.ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(append(b, `{"id":`...), uint64(id), 10)
		b = appendString(append(b, `,"tag":`...), idx.name(id))
		unit, bits := "", 64
		if p, ok := idx.byID[id]; ok {
			unit = idx.tags[p].Unit
			if idx.tags[p].Type == tag.Float32.String() {
				bits = 32
			}
		}
		b = appendString(append(b, `,"unit":`...), unit)
		b = append(b, `,"points":[`...)
		for j, p := range series[i].points() {
			if j > 0 {
				b = append(b, ',')
			}
			b = appendPoint(b, p, bits)
		}
		b = append(b, "]}"...)
	}
	return append(b, "]}"...)
}

func appendPoint(b []byte, p point, bits int) []byte {
	b = strconv.AppendInt(append(b, '['), p.t, 10)
	if math.IsNaN(p.v) {
		return append(b, ",null]"...)
	}
	return append(strconv.AppendFloat(append(b, ','), p.v, 'g', -1, bits), ']')
}

func parseHistory(v url.Values, idx *tagIndex, now time.Time) (historyQuery, error) {
	q := historyQuery{}
	var err error
	if q.ids, err = selectIDs(v, idx); err != nil {
		return q, err
	}
	slices.Sort(q.ids)
	q.ids = slices.Compact(q.ids)
	if len(q.ids) == 0 || len(q.ids) > maxSeries {
		return q, fmt.Errorf("%d tags chosen, not 1 to %d", len(q.ids), maxSeries)
	}
	if q.from, err = parseTime(v.Get("from"), now, now.Add(-time.Hour)); err != nil {
		return q, err
	}
	if q.to, err = parseTime(v.Get("to"), now, now); err != nil {
		return q, err
	}
	q.from, q.to = inNanoseconds(q.from), inNanoseconds(q.to)
	if !q.from.Before(q.to) {
		return q, errors.New("from is not before to")
	}
	q.points, err = parseNumber(v, "points", defaultPoints, maxPoints)
	if err == nil && q.points < 10 {
		err = errors.New("points is less than 10")
	}
	return q, err
}

// inNanoseconds moves what lies outside the times that values can have, 1677 to 2262, to their end.
func inNanoseconds(t time.Time) time.Time {
	first, last := time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64)
	switch {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	}
	return t
}

// parseTime reads RFC 3339, unix milliseconds, or a duration before or after now.
func parseTime(s string, now, or time.Time) (time.Time, error) {
	if s == "" {
		return or, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(d), nil
	}
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.UnixMilli(ms), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("%q is no time", s)
	}
	return t, nil
}

// point is a value at t, unix milliseconds; NaN is a gap.
type point struct {
	t int64
	v float64
}

// thinner keeps points as they are while they are few, then only the extremes of each slice of time. Memory is bounded by most.
type thinner struct {
	from, to int64
	most     int
	raw      []point
	slices   []slice // nil while raw holds everything
}

type slice struct {
	low, high, gap point
	full, gapped   bool
}

func newThinner(from, to int64, most int) *thinner { return &thinner{from: from, to: to, most: most} }

func (t *thinner) add(p point) {
	if t.slices == nil {
		if t.raw = append(t.raw, p); len(t.raw) <= t.most {
			return
		}
		t.slices = make([]slice, max(1, t.most/3)) // a slice gives up to 3 points: low, high, gap
		for _, r := range t.raw {
			t.fold(r)
		}
		t.raw = nil
		return
	}
	t.fold(p)
}

func (t *thinner) fold(p point) {
	n := int64(len(t.slices))
	i := min(max((p.t-t.from)*n/max(1, t.to-t.from), 0), n-1)
	s := &t.slices[i]
	switch {
	case math.IsNaN(p.v):
		s.gap, s.gapped = p, true
	case !s.full:
		s.low, s.high, s.full = p, p, true
	case p.v < s.low.v:
		s.low = p
	case p.v > s.high.v:
		s.high = p
	}
}

// points returns what is kept, in order of time.
func (t *thinner) points() []point {
	all := t.raw
	for i := range t.slices {
		s := &t.slices[i]
		if s.full {
			all = append(all, s.low)
			if s.high.t != s.low.t {
				all = append(all, s.high)
			}
		}
		if s.gapped {
			all = append(all, s.gap)
		}
	}
	slices.SortStableFunc(all, func(a, b point) int { return int(a.t - b.t) })
	return all
}
