package ctxguard

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Delta is what has grown between two Snapshots, the most first.
type Delta struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`

	Goroutines []Growth `json:"goroutines"` // by stack
	Contexts   []Growth `json:"contexts"`   // cancelCtx and timerCtx objects by the stack that made them
	Heap       []Growth `json:"heap"`       // other objects
	Guard      []Growth `json:"guard"`      // findings of the Guard by site
	Mem        MemDelta `json:"mem"`
}

// Growth is a stack that has more than before.
type Growth struct {
	Frames []Frame `json:"frames"`
	State  string  `json:"state,omitempty"` // of goroutines
	Kind   string  `json:"kind,omitempty"`  // of contexts
	Before int64   `json:"before"`
	After  int64   `json:"after"`
	Bytes  int64   `json:"bytes,omitempty"` // by which the heap has grown

	// Created is the line that made the contexts which these goroutines most likely wait for: of the contexts that have grown too, in the heap profile or by the
	// Guard's count, those whose creating stack shares most functions with theirs and with the one that started them.
	Created string `json:"created,omitempty"`
	// Started is who started the goroutines, as far as a recording or the name of a function literal says.
	Started string `json:"started,omitempty"`
	// Blocks are the recording's waits at this stack.
	Blocks     int           `json:"blocks,omitempty"`
	BlockedFor time.Duration `json:"blockedFor,omitempty"`
}

// Grown is by how much.
func (g Growth) Grown() int64 { return g.After - g.Before }

// MemDelta is what happened to the heap in between.
type MemDelta struct {
	Seconds      float64       `json:"seconds"`
	Mallocs      int64         `json:"mallocs"`
	MallocsPerS  float64       `json:"mallocsPerS"`
	Live         int64         `json:"live"` // objects more: mallocs without frees
	HeapBytes    int64         `json:"heapBytes"`
	StackBytes   int64         `json:"stackBytes"`
	AllocBytes   int64         `json:"allocBytes"`
	Goroutines   int           `json:"goroutines"`
	GCs          int           `json:"gcs"`
	PauseTotal   time.Duration `json:"pauseTotal"`
	PauseAverage time.Duration `json:"pauseAverage"`
}

// Diff says what grew from before to after. A Trace of after is joined to it.
func Diff(before, after Snapshot) Delta {
	d := Delta{From: before.TakenAt, To: after.TakenAt, Mem: diffMem(before, after)}
	d.Goroutines = grown(countGoroutines(before), countGoroutines(after))
	d.Contexts = grown(countHeap(before, true), countHeap(after, true))
	d.Heap = grown(countHeap(before, false), countHeap(after, false))
	slices.SortStableFunc(d.Heap, func(a, b Growth) int { return cmp.Compare(b.Bytes, a.Bytes) })
	d.Guard = grown(countGuard(before.Guard), countGuard(after.Guard))
	d.join(after.Trace)
	return d
}

func diffMem(before, after Snapshot) MemDelta {
	b, a := before.Mem, after.Mem
	m := MemDelta{
		Seconds: after.TakenAt.Sub(before.TakenAt).Seconds(), Mallocs: int64(a.Mallocs - b.Mallocs), HeapBytes: int64(a.HeapBytes) - int64(b.HeapBytes),
		Live: int64(a.HeapObjects) - int64(b.HeapObjects), StackBytes: int64(a.StackBytes) - int64(b.StackBytes), AllocBytes: int64(a.TotalAlloc - b.TotalAlloc),
		Goroutines: a.Goroutines - b.Goroutines, GCs: int(a.NumGC - b.NumGC), PauseTotal: a.PauseTotal - b.PauseTotal,
	}
	if m.Seconds > 0 {
		m.MallocsPerS = float64(m.Mallocs) / m.Seconds
	}
	if m.GCs > 0 {
		m.PauseAverage = m.PauseTotal / time.Duration(m.GCs)
	}
	return m
}

// tally is the numbers of one snapshot by key.
type tally map[string]*Growth

func (t tally) add(key string, g Growth, n, bytes int64) {
	x := t[key]
	if x == nil {
		x = &g
		t[key] = x
	}
	x.After += n
	x.Bytes += bytes
}

func countGoroutines(s Snapshot) tally {
	t := tally{}
	for _, x := range s.Goroutines {
		t.add(x.State+"\n"+keyOf(x.Frames), Growth{Frames: x.Frames, State: x.State}, x.Count, 0)
	}
	return t
}

func countHeap(s Snapshot, contexts bool) tally {
	t := tally{}
	for _, x := range s.Heap {
		if (x.Kind != "") == contexts {
			t.add(x.Kind+"\n"+keyOf(x.Frames), Growth{Frames: x.Frames, Kind: x.Kind}, x.Objects, x.Bytes)
		}
	}
	return t
}

func countGuard(s *Summary) tally {
	t := tally{}
	if s == nil {
		return t
	}
	for i := range s.Sites {
		x := &s.Sites[i]
		if n := x.Leaks(); n > 0 {
			frames := parseFrames(x.AllocStack)
			t.add(x.Scope+"\n"+keyOf(frames), Growth{Frames: frames, Kind: x.Scope}, int64(n), 0)
		}
	}
	return t
}

// grown lists what after has more than before.
func grown(before, after tally) []Growth {
	var out []Growth
	for key, a := range after {
		g := *a
		if b := before[key]; b != nil {
			g.Before = b.After
			g.Bytes -= b.Bytes
		}
		if g.Grown() > 0 {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b Growth) int {
		return cmp.Or(cmp.Compare(b.Grown(), a.Grown()), cmp.Compare(keyOf(a.Frames), keyOf(b.Frames)))
	})
	return out
}

// keyOf makes a stack comparable.
func keyOf(frames []Frame) string {
	var b strings.Builder
	for _, f := range frames {
		b.WriteString(f.Func)
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(f.Line))
		b.WriteByte('\n')
	}
	return b.String()
}

// parseFrames reads the strings of a Site.
func parseFrames(lines []string) []Frame {
	out := make([]Frame, 0, len(lines))
	for _, l := range lines {
		i, k := strings.LastIndex(l, " "), strings.LastIndex(l, ":")
		if i < 0 || k < i {
			continue
		}
		line, _ := strconv.Atoi(l[k+1:]) // 0 when it is none
		out = append(out, Frame{l[:i], l[i+1 : k], line})
	}
	return out
}

// join tells of each goroutine's stack who started it, how it blocked, and which of the contexts that grew it belongs to.
func (d *Delta) join(t *TraceSummary) {
	for i := range d.Goroutines {
		g := &d.Goroutines[i]
		var starter []Frame
		if t != nil {
			g.addBlocks(t)
			starter = t.starter(g.Frames)
		}
		if len(starter) > 0 {
			g.Started = userFrame(starter).String()
		} else if n := len(g.Frames); n > 0 && enclosing(g.Frames[n-1].Func) != g.Frames[n-1].Func {
			g.Started = enclosing(g.Frames[n-1].Func)
		}
		g.Created = d.creator(g, starter)
	}
}

// addBlocks adds up the recording's waits at g's stack.
func (g *Growth) addBlocks(t *TraceSummary) {
	key := keyOf(g.Frames)
	for _, b := range t.Blocks {
		if keyOf(b.Frames) == key {
			g.Blocks += b.Count
			g.BlockedFor += b.Total
		}
	}
}

// starter is who started the goroutines with that stack, nil when the recording does not know or knows several.
func (t *TraceSummary) starter(frames []Frame) []Frame {
	if len(frames) == 0 {
		return nil
	}
	var found []Frame
	for _, c := range t.Creates {
		if c.Start == frames[len(frames)-1].Func {
			if found != nil {
				return nil
			}
			found = c.Frames
		}
	}
	return found
}

// creator finds the contexts that most likely belong to g: those that share most functions, and of these whose number has grown most alike.
func (d *Delta) creator(g *Growth, starter []Frame) string {
	functions := map[string]bool{}
	for _, f := range append(slices.Clone(g.Frames), starter...) {
		if !ofGo(f.Func) {
			functions[enclosing(f.Func)] = true
		}
	}
	var best Growth
	bestShared := 0
	for _, c := range append(slices.Clone(d.Contexts), d.Guard...) {
		shared := 0
		for _, f := range c.Frames {
			if functions[enclosing(f.Func)] {
				shared++
			}
		}
		if shared > bestShared || shared == bestShared && shared > 0 && apart(c, *g) < apart(best, *g) {
			best, bestShared = c, shared
		}
	}
	if bestShared == 0 {
		return ""
	}
	return userFrame(best.Frames).String()
}

func apart(a, b Growth) int64 {
	if x := a.Grown() - b.Grown(); x >= 0 {
		return x
	}
	return b.Grown() - a.Grown()
}

// enclosing is the function in which a function literal stands: serve.func1 and serve.gowrap2 are of serve.
func enclosing(name string) string {
	dir := strings.LastIndex(name, "/") + 1
	for _, mark := range []string{".func", ".gowrap", ".deferwrap"} {
		if i := strings.Index(name[dir:], mark); i > 0 && len(name) > dir+i+len(mark) && isDigit(name[dir+i+len(mark)]) {
			return name[:dir+i]
		}
	}
	return name
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// ofGo says whether a function is one of those that have made everything, and so tell nothing.
func ofGo(name string) bool {
	return name == "main.main" || strings.HasPrefix(name, "testing.") || maker(name)
}

// maker says whether a function makes contexts for others.
func maker(name string) bool {
	for _, p := range []string{"runtime.", "context.", "sync.", "millrace/ctxguard.(*Guard).", "millrace/ctxguard.With", "millrace/ctxguard.Track"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// userFrame is the innermost frame that is not a maker's.
func userFrame(frames []Frame) Frame {
	for _, f := range frames {
		if !maker(f.Func) {
			return f
		}
	}
	return Frame{}
}

// WriteText prints d for people: at most most stacks of each sort, 0 is all.
func (d *Delta) WriteText(w io.Writer, most int) error {
	var b strings.Builder
	m := d.Mem
	fmt.Fprintf(&b, "in %.1f s: %+d goroutines, %+d objects, %+d bytes of heap, %.0f mallocs/s, %d collections, %v of pauses (%v each)\n",
		m.Seconds, m.Goroutines, m.Live, m.HeapBytes, m.MallocsPerS, m.GCs, m.PauseTotal, m.PauseAverage)
	for _, part := range []struct {
		name string
		list []Growth
	}{{"goroutines", d.Goroutines}, {"contexts", d.Contexts}, {"findings of the guard", d.Guard}, {"other objects on the heap", d.Heap}} {
		list := part.list
		if most > 0 && len(list) > most {
			list = list[:most]
		}
		if len(list) > 0 {
			fmt.Fprintf(&b, "\n%s\n", part.name)
		}
		for _, g := range list {
			g.write(&b)
		}
		if n := len(part.list) - len(list); n > 0 {
			fmt.Fprintf(&b, "  and %d stacks more\n", n)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (g *Growth) write(b *strings.Builder) {
	fmt.Fprintf(b, "  %+d (%d, then %d)", g.Grown(), g.Before, g.After)
	for _, x := range []string{g.Kind, g.State} {
		if x != "" {
			b.WriteString(" " + x)
		}
	}
	if g.Bytes != 0 {
		fmt.Fprintf(b, ", %+d bytes", g.Bytes)
	}
	if g.Blocks > 0 {
		fmt.Fprintf(b, ", blocked %d times in the recording, for %v", g.Blocks, g.BlockedFor.Round(time.Millisecond))
	}
	b.WriteByte('\n')
	if g.Created != "" {
		fmt.Fprintf(b, "    waits for a context made by %s\n", g.Created)
	}
	if g.Started != "" {
		fmt.Fprintf(b, "    started by %s\n", g.Started)
	}
	for _, f := range g.Frames {
		fmt.Fprintf(b, "    %s\n", f)
	}
}
