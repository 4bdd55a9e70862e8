package ctxguard

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/trace"
	"slices"
	"time"
)

// TraceSummary is what a recording of the scheduler says of waiting.
type TraceSummary struct {
	Blocks  []Block  `json:"blocks"`  // by stack and reason
	Creates []Create `json:"creates"` // goroutines started in the recording, by who started them
	Cut     bool     `json:"cut,omitempty"`
}

// Block is the waits of one stack.
type Block struct {
	Frames []Frame       `json:"frames"`
	Reason string        `json:"reason"` // as the runtime has it: "chan receive", "select"; "" for one that waited before the recording began
	Count  int           `json:"count"`
	Still  int           `json:"still"` // of Count, those that still waited at the end
	Total  time.Duration `json:"total"` // within the recording
}

// Create is the goroutines that one line has started.
type Create struct {
	Start  string  `json:"start"`  // the function that they run
	Frames []Frame `json:"frames"` // of who started them
	Count  int     `json:"count"`
	Still  int     `json:"still"` // of Count, those that wait at the end
}

// mostTraced bounds a recording in bytes; what comes behind it is left out.
const mostTraced = 64 << 20

// recordTrace records for d, or until ctx ends.
func recordTrace(ctx context.Context, d time.Duration) (*TraceSummary, error) {
	var b bounded
	if err := trace.Start(&b); err != nil {
		return nil, err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	trace.Stop()
	s, err := readTrace(b.Bytes())
	if err != nil && b.cut && s != nil {
		err = nil // the last generation is in part
	}
	if s != nil {
		s.Cut = b.cut
	}
	return s, err
}

// bounded keeps the first mostTraced bytes.
type bounded struct {
	bytes.Buffer
	cut bool
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > mostTraced {
		b.cut = true
		return len(p), nil
	}
	return b.Buffer.Write(p)
}

// The events of Go's execution traces that are read here: internal/trace/tracev2 has all of them. Their numbers and arguments are the same in Go 1.22 to 1.26.
const (
	evEventBatch        = 1
	evStacks            = 2
	evStack             = 3
	evStrings           = 4
	evString            = 5
	evCPUSamples        = 6
	evFrequency         = 8
	evGoCreate          = 14
	evGoStart           = 16
	evGoDestroy         = 17
	evGoDestroySyscall  = 18
	evGoStop            = 19
	evGoBlock           = 20
	evGoUnblock         = 21
	evGoStatus          = 25
	evGoSwitch          = 45
	evGoSwitchDestroy   = 46
	evGoCreateBlocked   = 47
	evGoStatusStack     = 48
	evExperimentalBatch = 49
	evSync              = 50
	evClockSnapshot     = 51
	evEndOfGeneration   = 52
)

// argsOf is the number of arguments of each timed event, from 9 on; 0 is an event that does not stand among these.
var argsOf = [...]uint8{
	9: 3, 3, 1, 4, 3, 4, 2, 3, 1, 1, 3, 3, 4, 3, 1, 1, 4, 3, 1, 2, 3, 2, 2, 2, 3, 2, 2, 1, 2, 2, 2, 5, 3, 4, 4, 5, 3, 3, 4, 5, 0, 0, 4,
}

const (
	statusRunning = 2
	statusWaiting = 4
)

// traceData is a trace being read.
type traceData struct {
	in  cursor
	gen generation

	last      uint64 // generation read last
	began     uint64 // the first and the last time stamp
	ended     uint64
	freq      uint64
	goroutine map[uint64]*traced
	blocks    map[blockKey]*Block
	order     []blockKey
}

type blockKey struct{ stack, reason string }

// traced is one goroutine.
type traced struct {
	start   string // function
	creator []Frame
	waits   *Block // what it waits at, nil when it does not
	since   uint64
	runs    bool // was seen running
}

// generation is a part of a trace with tables of its own.
type generation struct {
	strings map[uint64]string
	stacks  map[uint64][]rawFrame
	batches []batch
	known   map[uint64]*knownStack // those of stacks that were asked for
}

type knownStack struct {
	frames []Frame
	key    string
}

type rawFrame struct{ fn, file, line uint64 }

type batch struct {
	m, time uint64
	data    []byte
}

// happening is an event that matters, of any M.
type happening struct {
	at     uint64
	kind   uint8
	g      uint64
	stack  uint64
	other  uint64 // of a create the new goroutine's stack, of a block the reason, of a status the status
	number int    // where it stands in its M's list: equal time stamps keep their order
}

var errTrace = errors.New("ctxguard: not a trace of Go 1.22 to 1.26")

// readTrace reads a trace. With an error it returns what was whole before it.
func readTrace(data []byte) (*TraceSummary, error) {
	var version int
	if len(data) < 16 {
		return nil, errTrace
	}
	if _, err := fmt.Sscanf(string(data[:16]), "go 1.%d trace\x00\x00\x00", &version); err != nil || version < 22 || version > 26 {
		return nil, errTrace
	}
	t := &traceData{in: cursor{b: data[16:]}, freq: 1e9, goroutine: map[uint64]*traced{}, blocks: map[blockKey]*Block{}}
	t.gen.reset()
	for !t.in.empty() && !t.in.bad {
		t.batch()
	}
	t.finish()
	if t.in.bad {
		return t.summary(), fmt.Errorf("%w: damaged at byte %d", errTrace, len(data)-len(t.in.b))
	}
	return t.summary(), nil
}

func (g *generation) reset() {
	*g = generation{strings: map[uint64]string{}, stacks: map[uint64][]rawFrame{}, known: map[uint64]*knownStack{}}
}

// batch reads one batch.
func (t *traceData) batch() {
	kind := t.in.byte()
	if kind == evEndOfGeneration {
		return // the next batch has another number
	}
	if kind == evExperimentalBatch {
		t.in.byte()
	} else if kind != evEventBatch {
		t.in.bad = true
	}
	gen, m, at, size := t.in.uvarint(), t.in.uvarint(), t.in.uvarint(), t.in.uvarint()
	data := t.in.take(size)
	if t.in.bad {
		return
	}
	if gen != t.last {
		t.finish()
		t.last = gen
	}
	if kind == evEventBatch && len(data) > 0 {
		t.sort(batch{m, at, data})
	}
}

// sort puts a batch where it belongs.
func (t *traceData) sort(b batch) {
	in := cursor{b: b.data[1:]}
	switch b.data[0] {
	case evStrings:
		for !in.empty() && !in.bad && in.byte() == evString {
			id := in.uvarint()
			t.gen.strings[id] = string(in.take(in.uvarint()))
		}
	case evStacks:
		for !in.empty() && !in.bad && in.byte() == evStack {
			t.gen.readStack(&in)
		}
	case evCPUSamples:
	case evFrequency:
		t.setFrequency(in.uvarint())
	case evSync:
		if in.byte() == evFrequency {
			t.setFrequency(in.uvarint())
		}
	default:
		t.gen.batches = append(t.gen.batches, b)
	}
	t.in.bad = t.in.bad || in.bad
}

func (t *traceData) setFrequency(f uint64) {
	if f > 0 {
		t.freq = f
	}
}

func (g *generation) readStack(in *cursor) {
	id, n := in.uvarint(), in.uvarint()
	if n > 1024 {
		in.bad = true
		return
	}
	var frames []rawFrame
	for range n {
		in.uvarint() // the PC
		frames = append(frames, rawFrame{in.uvarint(), in.uvarint(), in.uvarint()})
	}
	g.stacks[id] = frames
}

// finish deals with the events of a generation that is complete.
func (t *traceData) finish() {
	var all []happening
	running := map[uint64]uint64{} // M to goroutine
	for _, b := range t.gen.batches {
		all = t.events(b, running, all)
	}
	slices.SortStableFunc(all, func(a, b happening) int { return cmp.Compare(a.at, b.at) })
	for _, h := range all {
		if t.began == 0 {
			t.began = h.at
		}
		t.ended = max(t.ended, h.at)
		t.happened(h)
	}
	t.gen.reset()
}

// events reads the events of a batch, and follows which goroutine its M runs.
func (t *traceData) events(b batch, running map[uint64]uint64, all []happening) []happening {
	in, at := cursor{b: b.data}, b.time
	for !in.empty() && !in.bad {
		kind := in.byte()
		if int(kind) >= len(argsOf) || argsOf[kind] == 0 {
			in.bad = true
			break
		}
		var a [5]uint64
		for i := range argsOf[kind] {
			a[i] = in.uvarint()
		}
		at += a[0]
		h := happening{at: at, kind: kind, number: len(all)}
		switch kind {
		case evGoStart, evGoSwitch, evGoSwitchDestroy:
			h.g, running[b.m] = a[1], a[1]
		case evGoStop, evGoDestroy, evGoDestroySyscall:
			h.g, running[b.m] = running[b.m], 0
		case evGoBlock:
			h.g, h.other, h.stack, running[b.m] = running[b.m], a[1], a[2], 0
		case evGoUnblock:
			h.g = a[1]
		case evGoCreate, evGoCreateBlocked:
			h.g, h.other, h.stack = a[1], a[2], a[3]
		case evGoStatus, evGoStatusStack:
			h.g, h.other, h.stack = a[1], a[3], a[4]
			if a[3] == statusRunning {
				running[a[2]] = a[1]
			}
		default:
			continue
		}
		all = append(all, h)
	}
	t.in.bad = t.in.bad || in.bad
	return all
}

// happened follows one goroutine.
func (t *traceData) happened(h happening) {
	if h.g == 0 {
		return
	}
	x := t.goroutine[h.g]
	if x == nil {
		x = &traced{}
		t.goroutine[h.g] = x
	}
	switch h.kind {
	case evGoBlock:
		t.wait(x, h.at, h.stack, t.gen.strings[h.other])
	case evGoUnblock, evGoStart, evGoSwitch, evGoSwitchDestroy:
		t.wake(x, h.at)
	case evGoDestroy, evGoDestroySyscall:
		t.wake(x, h.at)
		delete(t.goroutine, h.g)
	case evGoCreate, evGoCreateBlocked:
		x.creator = t.gen.stack(h.stack).frames
		if f := t.gen.stack(h.other).frames; len(f) > 0 {
			x.start = f[0].Func
		}
	case evGoStatus, evGoStatusStack:
		if h.other == statusWaiting && x.waits == nil && !x.runs {
			t.wait(x, h.at, h.stack, "")
		}
	}
	x.runs = true
}

func (t *traceData) wait(x *traced, at, stack uint64, reason string) {
	known := t.gen.stack(stack)
	key := blockKey{known.key, reason}
	b := t.blocks[key]
	if b == nil {
		b = &Block{Frames: known.frames, Reason: reason}
		t.blocks[key] = b
		t.order = append(t.order, key)
	}
	b.Count++
	b.Still++
	x.waits, x.since = b, at
}

func (t *traceData) wake(x *traced, at uint64) {
	if x.waits != nil {
		x.waits.Still--
		x.waits.Total += t.span(x.since, at)
		x.waits = nil
	}
}

func (t *traceData) span(from, to uint64) time.Duration {
	if to < from {
		return 0
	}
	return time.Duration(float64(to-from) / float64(t.freq) * 1e9)
}

// stack returns a stack without the runtime's machinery of waiting.
func (g *generation) stack(id uint64) *knownStack {
	if k := g.known[id]; k != nil {
		return k
	}
	raw := g.stacks[id]
	k := &knownStack{frames: make([]Frame, 0, len(raw))}
	for _, f := range raw {
		name := g.strings[f.fn]
		if len(k.frames) == 0 && isWaiting(name) {
			continue
		}
		k.frames = append(k.frames, Frame{name, g.strings[f.file], int(f.line)})
	}
	k.key = keyOf(k.frames)
	g.known[id] = k
	return k
}

// summary gathers what was read. What still waits has waited until the end.
func (t *traceData) summary() *TraceSummary {
	creates := map[string]*Create{}
	s := &TraceSummary{}
	for _, x := range t.goroutine {
		if x.waits != nil {
			x.waits.Total += t.span(x.since, t.ended)
		}
		if x.start == "" {
			continue
		}
		key := x.start + keyOf(x.creator)
		c := creates[key]
		if c == nil {
			c = &Create{Start: x.start, Frames: x.creator}
			creates[key] = c
		}
		c.Count++
		if x.waits != nil {
			c.Still++
		}
	}
	for _, c := range creates {
		s.Creates = append(s.Creates, *c)
	}
	for _, key := range t.order {
		s.Blocks = append(s.Blocks, *t.blocks[key])
	}
	slices.SortFunc(s.Creates, func(a, b Create) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Start, b.Start)) })
	slices.SortStableFunc(s.Blocks, func(a, b Block) int { return cmp.Compare(b.Total, a.Total) })
	return s
}

// cursor reads from the front of b; once bad it stays so and gives zeros.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) empty() bool { return len(c.b) == 0 }

func (c *cursor) byte() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) take(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}
