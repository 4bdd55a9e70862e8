package ctxguard

import (
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

// stacks is one stack, walked along the frame pointers and as runtime.Callers has it.
type stacks struct{ walked, known []Frame }

// take fills s with the stack of its caller.
//
//go:noinline
func (s *stacks) take() {
	for _, into := range []*[]Frame{&s.walked, &s.known} {
		var pcs [inlineDepth]uintptr
		c := core{walks: into == &s.walked}
		*into = framesOf(pcs[:asWith(&c, &pcs)])
	}
}

// wrong says how the two differ. Where the compiler or reflect has put calls of their own in between, a walk of eight calls ends earlier; where calls are
// inlined, it goes further.
func (s *stacks) wrong() string {
	n := min(len(s.walked), len(s.known))
	if n < 2 || n < 4 && len(s.walked) != len(s.known) || !slices.Equal(s.walked[:n], s.known[:n]) {
		return fmt.Sprintf("walked\n%s\nruntime.Callers\n%s", lines(s.walked), lines(s.known))
	}
	return ""
}

func lines(f []Frame) (out string) {
	for _, x := range f {
		out += "    " + x.String() + "\n"
	}
	return out
}

type shape interface{ area(s *stacks) }

type square struct{ pad [8]int }

func (q square) area(s *stacks) { s.take() } // through a pointer, a wrapper calls it

func inlinedInto(s *stacks) { innermost(s) }
func innermost(s *stacks)   { s.take() }

//go:noinline
func generic[T any](s *stacks, _ T) { s.take() }

//go:noinline
func panics(s *stacks) {
	defer func() {
		_ = recover()
		s.take() // behind a recover
	}()
	defer func() { s.take() }() // while it panics
	var nobody *square
	_ = nobody.pad[3] // a signal
}

// Wherever a context may be made, the walk sees what runtime.Callers sees.
func TestWalkSeesWhatCallersSees(t *testing.T) {
	if !walksWell() {
		t.Skip("stacks come from runtime.Callers on this machine")
	}
	for name, f := range map[string]func(s *stacks){
		"a function":     func(s *stacks) { s.take() },
		"inlined":        func(s *stacks) { inlinedInto(s) },
		"generic":        func(s *stacks) { generic(s, "") },
		"a method value": func(s *stacks) { square{}.area(s) },
		"an interface":   func(s *stacks) { shape.area(&square{}, s) },
		"reflect":        func(s *stacks) { reflect.ValueOf(s.take).Call(nil) },
		"a made function": func(s *stacks) {
			f := reflect.MakeFunc(reflect.TypeFor[func()](), func([]reflect.Value) []reflect.Value { s.take(); return nil })
			f.Interface().(func())()
		},
		"deferred":  func(s *stacks) { defer s.take() },
		"panicking": panics,
		"a callback": func(s *stacks) {
			sort.Slice([]int{2, 1}, func(i, j int) bool { s.take(); return false })
		},
		"a once": func(s *stacks) { new(sync.Once).Do(s.take) },
		"an iterator": func(s *stacks) {
			for range slices.Collect(func(yield func(int) bool) { s.take(); yield(1) }) {
			}
		},
		"a coroutine": func(s *stacks) {
			next, stop := iter.Pull(func(yield func(int) bool) { s.take(); yield(1) })
			defer stop()
			next()
		},
		"a timer": func(s *stacks) {
			done := make(chan bool)
			time.AfterFunc(0, func() { s.take(); close(done) })
			<-done
		},
		"a goroutine's first call": func(s *stacks) {
			done := make(chan bool)
			go func() { s.take(); close(done) }()
			<-done
		},
		"labels": func(s *stacks) {
			pprof.Do(context.Background(), pprof.Labels("a", "b"), func(context.Context) { s.take() })
		},
		"deep": func(s *stacks) { climb(100, func() int { s.take(); return 0 }) },
	} {
		t.Run(name, func(t *testing.T) {
			var s stacks
			f(&s)
			if w := s.wrong(); w != "" {
				t.Error(w)
			}
		})
	}
}

// big makes a frame large.
type big [64]uint64

// grow calls itself with large frames, so that the stack grows and moves, and takes the stack on the way down and up.
//
//go:noinline
func grow(t *testing.T, depth int, pad big) uint64 {
	var s stacks
	s.take()
	if w := s.wrong(); w != "" {
		t.Error(w)
	}
	if depth == 0 {
		return pad[0]
	}
	pad[depth%len(pad)]++
	sum := grow(t, depth-1, pad) + pad[depth%len(pad)]
	s.take()
	if w := s.wrong(); w != "" {
		t.Error(w)
	}
	return sum
}

// Stacks that grow and are moved and shrunk, collections all the time, and signals a hundred times a second do not disturb a walk.
func TestWalkUnderStress(t *testing.T) {
	if !walksWell() {
		t.Skip("stacks come from runtime.Callers on this machine")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	if err := pprof.StartCPUProfile(io.Discard); err == nil {
		defer pprof.StopCPUProfile()
	}
	g := newGuard(t, Config{})
	root, end := context.WithCancel(t.Context())
	defer end()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 20 {
				grow(t, 20*i%97, big{})
				_, cancel := g.WithCancel(root)
				runtime.GC() // shrinks stacks
				cancel()
			}
		})
	}
	wg.Wait()
}

// Whatever the walk is told to skip, and wherever it begins, it stays on its stack.
func TestWalkEndsWithTheStack(t *testing.T) {
	for skip := range 64 {
		var into [inlineDepth]uintptr
		done := make(chan int)
		go func() { done <- framePCs(&into, skip) }()
		n := <-done
		if n > 3 || n < 0 || n > max(0, 3-skip) {
			t.Errorf("skip %d: %d addresses on a stack of a function and goexit", skip, n)
		}
		for _, pc := range into[n:] {
			if pc != 0 {
				t.Errorf("skip %d: something behind the %d addresses", skip, n)
			}
		}
	}
}

// Below C code the frame pointer may be anything: the walk ends where the goroutine's stack does.
func TestWalkBelowC(t *testing.T) {
	if runtime.GOARCH != "amd64" || runtime.GOOS != "linux" {
		t.Skip("the program's assembly is that of Linux on amd64")
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", "./testdata/callback")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	out, err := cmd.CombinedOutput()
	if err != nil && strings.Contains(string(out), "executable file not found") {
		t.Skip("there is no C compiler")
	}
	text := string(out)
	if err != nil || !strings.HasPrefix(text, "main.goCallback ") || !strings.Contains(text, "\nruntime.cgocallback ") || strings.Contains(text, "crosscall2") {
		t.Errorf("%v\n%s", err, text)
	}
}
