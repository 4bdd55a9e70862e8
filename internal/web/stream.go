package web

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"millrace/ctxguard"
	"millrace/internal/tag"
)

const (
	heartbeatEvery = 5 * time.Second
	stuckAfter     = 10 * time.Second // a client that takes nothing for so long is dropped
	piece          = 64 << 10         // bytes that a client has so long for: ten thousand devices are 5 MB at the begin
	mostKept       = 1 << 20          // of a buffer
	streamTTL      = 12 * time.Hour   // from then on a Forcer may cut a stream
)

// stream is one client's live view. It keeps no queue: each turn asks the source what changed since the position of the turn before, so
// a slow client costs nothing but its own delay, and then gets the last value of each tag once.
//
//	event: devices    the whole list: first, and when a device came or went
//	event: device     those that changed
//	event: summary    about once a second: gateway, value counts, sinks, the worst alarms and how many there are
//	event: values     those of the chosen tags that changed
//	event: heartbeat  when there was nothing else for 5 s
//	event: bye        the server is going down
//
// An event's id is boot-values-devices; a client that sends it as Last-Event-ID, or as since=, goes on from there.
type stream struct {
	s       *Server
	w       http.ResponseWriter
	rc      *http.ResponseController
	query   streamQuery
	tags    *tagIndex
	ids     []tag.ID
	pos     position
	summary time.Time
	written time.Time
	samples []Sample
	buf     []byte
}

type streamQuery struct {
	named     []tag.ID // chosen one by one
	device    string   // all of whose tags are chosen too
	json      tag.JSONOptions
	onlyData  bool // values alone: no devices, no summary
	wantsData bool
}

func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	st, err := s.newStream(w, r)
	if err != nil {
		writeSelectError(w, err)
		return
	}
	if s.counts.streams.Add(1) > int64(s.cfg.MaxStreams) {
		s.counts.streams.Add(-1)
		s.counts.streamsRefused.Add(1)
		w.Header().Set("Retry-After", "5")
		writeError(w, http.StatusServiceUnavailable, fmt.Sprintf("%d live streams are open already", s.cfg.MaxStreams), "close some pages, or raise max_streams")
		return
	}
	defer s.counts.streams.Add(-1)
	s.counts.streamsOpened.Add(1)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")       // or a proxy in front keeps events back
	_ = st.rc.SetReadDeadline(time.Time{}) // or net/http would end the stream after ReadTimeout; what has no deadline refuses
	st.buf = append(st.buf, "retry: 2000\n\n"...)
	ctx, release := s.cfg.Forcer.WithForce(r.Context(), "stream of "+r.RemoteAddr, streamTTL, ctxguard.About{Type: "stream", Zone: hostOf(r.RemoteAddr)})
	defer release()
	if err := st.run(ctx.Done()); errors.Is(err, os.ErrDeadlineExceeded) {
		s.counts.streamsStuck.Add(1)
		s.cfg.Log.Info("live stream dropped", "remote", r.RemoteAddr, "err", err)
	}
}

// hostOf is the address without its port.
func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}

func (s *Server) newStream(w http.ResponseWriter, r *http.Request) (*stream, error) {
	v := r.URL.Query()
	st := &stream{s: s, w: w, rc: http.NewResponseController(w), tags: s.index.of(s.src.Tags())}
	var err error
	if st.ids, err = selectIDs(v, st.tags); err != nil {
		return nil, err
	}
	st.query = streamQuery{device: v.Get("device"), json: jsonOptions(v), onlyData: v.Get("only") == "values", wantsData: len(st.ids) > 0}
	v.Del("device")
	if st.query.named, err = selectIDs(v, st.tags); err != nil {
		return nil, err
	}
	from := v.Get("since")
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		from = id
	}
	st.pos = s.parsePosition(from)
	return st, nil
}

// parsePosition reads an event id of this process; any other is the beginning.
func (s *Server) parsePosition(id string) position {
	var p position
	rest, ok := strings.CutPrefix(id, s.boot+"-")
	if !ok {
		return p
	}
	if n, err := fmt.Sscanf(rest, "%d-%d", &p.values, &p.devices); err != nil || n != 2 {
		return position{}
	}
	return p
}

func (st *stream) run(gone <-chan struct{}) error {
	tick := time.NewTicker(st.s.cfg.Tick)
	defer tick.Stop()
	for {
		if err := st.turn(time.Now()); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-gone:
			return nil
		case <-st.s.closing:
			st.buf = append(st.buf, "event: bye\ndata: {}\n\n"...)
			return st.flush(time.Now())
		}
	}
}

// turn sends what is new.
func (st *stream) turn(now time.Time) error {
	if !st.query.onlyData {
		st.buf, st.pos.devices = st.s.feed.appendDevices(st.buf, st.pos.devices, now)
		st.buf, st.summary = st.s.feed.appendSummary(st.buf, st.summary, now, st.s.gatewayView)
	}
	if st.query.wantsData {
		st.reselect()
		st.appendValues()
	}
	if len(st.buf) == 0 && now.Sub(st.written) >= heartbeatEvery {
		st.buf = append(st.buf, "event: heartbeat\ndata: {\"now\":"...)
		st.buf = append(appendTime(st.buf, now), "}\n\n"...)
	}
	if len(st.buf) == 0 {
		return nil
	}
	return st.flush(now)
}

// reselect follows a device's tags when the configuration was reloaded.
func (st *stream) reselect() {
	idx := st.s.index.of(st.s.src.Tags())
	if idx == st.tags || st.query.device == "" {
		return
	}
	st.tags = idx
	st.ids = append(append([]tag.ID{}, st.query.named...), idx.byDevice[st.query.device]...)
	st.pos.values = 0 // new tags may have changed before
}

func (st *stream) appendValues() {
	var next uint64
	st.samples, next = st.s.src.Changes(st.pos.values, st.ids, st.samples[:0])
	st.pos.values = next
	if len(st.samples) == 0 {
		return
	}
	st.buf = append(st.buf, "event: values\ndata: ["...)
	for i := range st.samples {
		if i > 0 {
			st.buf = append(st.buf, ',')
		}
		st.buf = appendSample(st.buf, "", &st.samples[i], st.query.json)
	}
	st.buf = append(st.buf, "]\n\n"...)
}

// flush ends the turn with its position: an event without data is not dispatched, but its id counts.
func (st *stream) flush(now time.Time) error {
	st.buf = append(appendPosition(st.buf, st.s.boot, st.pos), '\n')
	err := st.write()
	if st.buf, st.written = st.buf[:0], now; cap(st.buf) > mostKept {
		st.buf = nil // the whole list comes once
	}
	return err
}

// write sends the buffer, piece by piece.
func (st *stream) write() error {
	for p := range slices.Chunk(st.buf, piece) {
		_ = st.rc.SetWriteDeadline(time.Now().Add(stuckAfter))
		if _, err := st.w.Write(p); err != nil {
			return err
		}
	}
	return st.rc.Flush()
}
