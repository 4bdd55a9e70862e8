package ctxguard

import (
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Frame is one call of a stack.
type Frame struct {
	Func string `json:"func"`
	File string `json:"file"`
	Line int    `json:"line"`
}

func (f Frame) String() string { return f.Func + " " + f.File + ":" + strconv.Itoa(f.Line) }

func framesOf(stack []uintptr) []Frame {
	if len(stack) == 0 {
		return nil
	}
	var out []Frame
	frames := runtime.CallersFrames(stack)
	for {
		f, more := frames.Next()
		if f.Function != "runtime.goexit" {
			out = append(out, Frame{f.Function, f.File, f.Line})
		}
		if !more {
			return out
		}
	}
}

// siteKey tells creating lines apart. Two stacks of one hash would count as one site: 64 bits make that no concern.
type siteKey struct {
	scope string
	stack uint64
}

func hashOf(stack []uintptr) uint64 {
	h := uint64(14695981039346656037) // FNV-1a, a word at a time
	for _, pc := range stack {
		h = (h ^ uint64(pc)) * 1099511628211
	}
	return h
}

// site is what was reported of one creating line.
type site struct {
	key    siteKey
	stack  []uintptr
	found  [findings]uint64
	healed uint64
	first  int64
	last   int64
	oldest time.Duration // greatest age at a report
	labels string        // of the last
	gid    uint64        // of the last
	said   [findings]uint64
	saidAt int64
}

// siteOf returns the site of key. c.mu is held.
func (c *core) siteOf(key siteKey, stack []uintptr) *site {
	if s := c.sites[key]; s != nil {
		return s
	}
	if len(c.sites) >= c.cfg.MaxSites {
		key, stack = siteKey{scope: "other"}, nil
		if s := c.sites[key]; s != nil {
			return s
		}
	}
	s := &site{key: key, stack: slices.Clone(stack), first: c.now()}
	c.sites[key] = s
	return s
}

func (s *site) add(r Report, now int64) {
	n := uint64(1)
	if r.Finding == LeftBehind {
		n = uint64(r.Children)
	}
	s.found[r.Finding] += n
	s.last = now
	s.oldest = max(s.oldest, r.Age)
	s.labels, s.gid = r.Labels, r.GoroutineID
	if r.Healed {
		s.healed++
	}
}

// speak logs what sites have to say: at once when a finding is the first of its kind there, otherwise what came since, once in LogEvery.
func (c *core) speak(now int64) {
	if c.cfg.Log == nil {
		return
	}
	for _, x := range c.sayings(now) {
		c.cfg.Log.Warn("contexts leak", x...)
	}
}

// sayings returns the attributes of a log line for each site that has something to say.
func (c *core) sayings(now int64) [][]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out [][]any
	for _, s := range c.sites {
		if s.hasNews(now, int64(c.cfg.LogEvery)) {
			out = append(out, s.attrs())
			s.said, s.saidAt = s.found, now
		}
	}
	return out
}

func (s *site) hasNews(now, every int64) bool {
	for f, n := range s.found {
		if n > 0 && s.said[f] == 0 {
			return true
		}
	}
	return s.found != s.said && now-s.saidAt >= every
}

func (s *site) attrs() []any {
	attrs := []any{slog.String("scope", s.key.scope)}
	for f, n := range s.found {
		if d := n - s.said[f]; d > 0 {
			attrs = append(attrs, slog.Uint64(findingNames[f], d))
		}
	}
	attrs = append(attrs, slog.Duration("oldest", s.oldest.Round(time.Millisecond)))
	if s.labels != "" {
		attrs = append(attrs, slog.String("labels", s.labels))
	}
	if f := framesOf(s.stack); len(f) > 0 {
		attrs = append(attrs, slog.String("site", topFrame(f).String()), slog.String("stack", strings.Join(stringsOf(f), " < ")))
	}
	return attrs
}

// topFrame is the innermost frame that is not part of the machinery that made the context.
func topFrame(f []Frame) Frame {
	for _, x := range f {
		if !strings.HasPrefix(x.Func, "context.") && !strings.HasPrefix(x.Func, "runtime.") {
			return x
		}
	}
	return f[0]
}

func stringsOf(f []Frame) []string {
	out := make([]string, len(f))
	for i, x := range f {
		out[i] = x.String()
	}
	return out
}
