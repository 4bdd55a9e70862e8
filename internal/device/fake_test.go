package device

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace/internal/tag"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mode is how a fake PLC behaves from now on.
type mode int

const (
	fine      mode = iota
	silent         // accepts and keeps a connection, answers nothing: a tar pit
	blackHole      // not even the dial is answered
	refuses        // RST to the dial; a connection that is there breaks
	hangsUp        // FIN: a connection that is there ends, the next dial works
	mute           // takes connections, and does not answer the handshake
	noRoom         // takes connections and ends them at once
)

// plc is a fake device with a register per tag that counts its reads.
type plc struct {
	watch    func() // called before each read
	mu       sync.Mutex
	mode     mode
	dead     string // a unit that does not answer behind a gateway that does
	latency  time.Duration
	late     time.Duration // when set, a read that is slower than the timeout times out, and its reply is this much too late
	partial  int           // rows that come before a read times out; 0 for none
	most     int           // tags in a request, of one that is answered; 0 for any number
	mostRead int           // the same of a whole read
	value    func(id tag.ID) (tag.Kind, uint64, tag.Quality)
	polls    []time.Time // begin of each read that was answered
	dials    []time.Time
	opens    int // sessions that are open
	maxOpens int
	broken   int // sessions with a number up to this are broken
	sessions int
	reads    map[int]int // begun, by session
	quiet    bool        // keeps no polls
	onRead   func(o Observer)
	limits   Limits
	pools    []int    // Limits.Connections of each dial
	grown    []int    // Limits.Connections of each Grow
	tcp      *TCPInfo // of every connection; nil: nobody knows
	looks    int      // at tcp

	registers map[tag.ID]uint64 // what was written
	written   []uint64          // each value that left the session, in order
	onWrite   func(w Write) (Result, error)
}

func (p *plc) set(m mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
	if m == refuses || m == hangsUp {
		p.broken = p.sessions
	}
	if m == hangsUp {
		p.mode = fine
	}
}

// change changes p while it is in use.
func (p *plc) change(f func(p *plc)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

func (p *plc) is() mode {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode
}

// allowed returns how many connections each session was allowed.
func (p *plc) allowed() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.pools)
}

func (p *plc) dialled() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.dials)
}

func (p *plc) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opens
}

// fakeDriver knows PLCs by Addr.Host.
type fakeDriver struct {
	mu     sync.Mutex
	plcs   map[string]*plc
	limits []Limits // of each Compile
	watch  func()   // of each plc
}

// plc returns the PLC at host, made when it is asked for first.
func (d *fakeDriver) plc(host string) *plc {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.plcs[host] == nil {
		d.plcs[host] = &plc{watch: d.watch}
	}
	return d.plcs[host]
}

func (d *fakeDriver) Endpoint(a Addr) string { return a.Host }

func (d *fakeDriver) RequestWorth() int { return 100 }

type fakePlan struct {
	unit     string
	tags     []TagSpec
	requests []Request
}

func (p *fakePlan) Tags() []TagSpec     { return p.tags }
func (p *fakePlan) Requests() []Request { return p.requests }

func (d *fakeDriver) Compile(a Addr, tags []TagSpec, lim Limits) (Plan, error) {
	var errs []error
	var good []TagSpec
	for _, t := range tags {
		if t.Address == "bad" || t.Address == "hole" && len(lim.Holes) > 0 {
			errs = append(errs, &TagError{Tag: t.Name, Address: t.Address, Err: errors.New("no such area")})
			continue
		}
		good = append(good, t)
	}
	d.mu.Lock()
	d.limits = append(d.limits, lim)
	d.mu.Unlock()
	asked := slices.DeleteFunc(slices.Clone(good), func(t TagSpec) bool { return t.Address == "held" })
	size := len(asked)
	if lim.MaxRegisters > 0 {
		size = lim.MaxRegisters
	}
	if lim.MaxTags > 0 {
		size = min(size, lim.MaxTags)
	}
	var requests []Request
	for c := range slices.Chunk(asked, max(size, 1)) {
		requests = append(requests, Request{Op: "read", Tags: len(c)})
	}
	return &fakePlan{a.Path, good, requests}, errors.Join(errs...)
}

func (d *fakeDriver) Open(ctx context.Context, a Addr, lim Limits, o Observer) (Session, error) {
	p := d.plc(a.Host)
	p.mu.Lock()
	p.pools = append(p.pools, lim.Connections)
	p.dials = append(p.dials, time.Now())
	p.mu.Unlock()
	switch p.is() {
	case blackHole:
		if err := sleep(ctx, o.(Timeouts).Connect()); err != nil {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
		}
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
	case mute:
		if err := sleep(ctx, o.Timeout()); err != nil {
			return nil, &net.OpError{Op: "read", Net: "tcp", Err: err}
		}
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
	case refuses:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	case noRoom:
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: io.EOF}
	case fine, silent, hangsUp:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opens++
	p.sessions++
	p.maxOpens = max(p.maxOpens, p.opens)
	return &fakeSession{plc: p, observer: o, number: p.sessions}, nil
}

type fakeSession struct {
	plc      *plc
	observer Observer
	number   int
	closed   bool
}

func (s *fakeSession) Limits() Limits { return s.plc.limits }

func (s *fakeSession) TCPInfo() (TCPInfo, bool) {
	s.plc.mu.Lock()
	defer s.plc.mu.Unlock()
	if s.plc.tcp == nil {
		return TCPInfo{}, false
	}
	s.plc.looks++
	return *s.plc.tcp, true
}

func (s *fakeSession) Read(ctx context.Context, plan Plan, into *tag.Batch) error {
	p, began := s.plc, time.Now()
	p.watch()
	p.mu.Lock()
	if p.reads == nil {
		p.reads = map[int]int{}
	}
	p.reads[s.number]++
	broken, m, latency, partial, late, onRead := s.number <= p.broken, p.mode, p.latency, p.partial, p.late, p.onRead
	if unit := plan.(*fakePlan).unit; p.dead != "" && unit == p.dead {
		m = silent
	}
	for _, r := range plan.Requests() {
		if p.most > 0 && r.Tags > p.most || p.mostRead > 0 && len(plan.Tags()) > p.mostRead {
			m = silent
		}
	}
	p.mu.Unlock()
	if onRead != nil {
		onRead(s.observer)
	}
	wait := s.observer.Timeout()
	tags := plan.Tags()
	for len(tags) > 0 && tags[0].Address == "held" {
		into.Append(tags[0].ID, 0, tag.BadNodeIDUnknown, tag.Null, 0)
		tags = tags[1:]
	}
	switch {
	case len(tags) == 0:
		return nil
	case broken:
		return &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	case m == silent || m == blackHole || m == mute || late == 0 && latency > wait:
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		s.observer.TimedOut(wait)
		return os.ErrDeadlineExceeded
	case partial > 0:
		s.rows(tags[:partial], into)
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		s.observer.TimedOut(wait)
		return os.ErrDeadlineExceeded
	case latency > wait:
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		s.observer.TimedOut(wait)
		s.observer.Late(latency - wait)
		return os.ErrDeadlineExceeded
	}
	if err := sleep(ctx, latency); err != nil {
		return err
	}
	s.observer.Replied(latency)
	p.mu.Lock()
	if !p.quiet {
		p.polls = append(p.polls, began)
	}
	p.mu.Unlock()
	s.rows(tags, into)
	return nil
}

func (s *fakeSession) rows(tags []TagSpec, into *tag.Batch) {
	now := time.Now().UnixNano()
	for i := range tags {
		k, bits, q := tag.Float32, uint64(0x3f800000), tag.Good
		if s.plc.value != nil {
			k, bits, q = s.plc.value(tags[i].ID)
		}
		s.plc.mu.Lock()
		if v, ok := s.plc.registers[tags[i].ID]; ok {
			bits = v
		}
		s.plc.mu.Unlock()
		into.Append(tags[i].ID, now, q, k, bits)
	}
}

func (s *fakeSession) Grow(_ context.Context, _ Addr, lim Limits) error {
	s.plc.change(func(p *plc) { p.grown = append(p.grown, lim.Connections) })
	return nil
}

func (s *fakeSession) Close() error {
	s.plc.mu.Lock()
	defer s.plc.mu.Unlock()
	if !s.closed {
		s.plc.opens--
	}
	s.closed = true
	if s.plc.mode == silent || s.plc.mode == blackHole {
		return os.ErrDeadlineExceeded // it does not hear of the end
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// book is a Ledger and an Output that remembers.
type book struct {
	mu                      sync.Mutex
	read, filtered, dropped uint64
	offered                 uint64
	full                    bool
	lost                    error // what done hears
	forgetful               bool  // keeps no rows
	rows                    []row
	events                  []Event
}

type row struct {
	at      time.Time
	device  uint32
	id      tag.ID
	quality tag.Quality
	value   tag.Value
}

func (b *book) Offered(read, filtered int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read += uint64(read)
	b.filtered += uint64(filtered)
}

func (b *book) Dropped(reason string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if reason != DropJournalFull {
		panic(reason)
	}
	b.dropped += uint64(n)
}

// fill says whether there is room.
func (b *book) fill(full bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.full = full
}

// lose has what is taken be lost.
func (b *book) lose(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost = err
}

func (b *book) Offer(in *tag.Batch, done func(error)) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full {
		return false
	}
	if done != nil {
		done(b.lost)
	}
	b.offered += uint64(in.Len())
	for i := 0; i < in.Len() && !b.forgetful; i++ {
		v := in.Value(i)
		v.Aux = slices.Clone(v.Aux)
		b.rows = append(b.rows, row{time.Now(), in.Device, in.ID[i], in.Quality[i], v})
	}
	return true
}

func (b *book) event(ev Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, ev)
}

// of returns the rows of tag id as "quality value".
func (b *book) of(id tag.ID) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, r := range b.rows {
		if r.id == id {
			out = append(out, r.quality.String()+" "+r.value.String())
		}
	}
	return out
}
