package ctxguard //ctxguard:allow // these tests hold what people believe against what is so

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// What many texts say of contexts, and what an experiment says. docs/ctxguard.md names these tests.

// "WithTimeout starts a goroutine": it sets a timer, and nobody runs until it fires.
func TestMistakeTimeoutStartsAGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 1000 {
		_, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
	}
	if n := runtime.NumGoroutine() - before; n > 100 { // the runtime may start some of its own
		t.Errorf("a thousand timeouts are %d goroutines", n)
	}
}

// "A timeout that is not cancelled leaks for ever": it stays until its deadline, and is gone then, with its place below its parent.
func TestMistakeUncancelledTimeoutLeaksForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, Config{})
		root, end := context.WithCancel(t.Context())
		defer end()
		_, late := context.WithTimeout(root, time.Minute)
		defer late()
		time.Sleep(time.Minute - 1)
		synctest.Wait()
		if k, _ := g.Census(root); k.Timer != 1 {
			t.Errorf("before its deadline: %+v", k)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if k, _ := g.Census(root); k.Total() != 0 {
			t.Errorf("behind its deadline: %+v", k)
		}
	})
}

// "A WithCancel inside a WithCancel breaks the chain": the inner one hangs on the outer one, and ends with it.
func TestMistakeNestedCancelBreaksTheChain(t *testing.T) {
	request, endRequest := context.WithCancel(t.Context())
	outer, cancelOuter := context.WithCancel(request)
	defer cancelOuter()
	inner, cancelInner := context.WithCancel(context.WithValue(outer, siteKey{}, 1))
	defer cancelInner()
	endRequest()
	if !errors.Is(inner.Err(), context.Canceled) {
		t.Errorf("the inner context: %v", inner.Err())
	}
}

// "go func() { ch <- x }(); <-ch leaks": the receiver takes the value, and the goroutine ends. It does leak when the receiver may leave before.
func TestMistakeSendAndReceiveLeaks(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 1000 {
		ch := make(chan int)
		go func() { ch <- 1 }()
		<-ch
	}
	never := time.NewTimer(10 * time.Second)
	defer never.Stop()
	for runtime.NumGoroutine() > before {
		select {
		case <-never.C:
			t.Fatalf("%d goroutines are left", runtime.NumGoroutine()-before)
		default:
			runtime.Gosched()
		}
	}
}

// "A cancelled context stays in its parent": its cancel takes it out. What stays is what somebody else holds, a map or a field.
func TestMistakeCancelledContextStaysWithItsParent(t *testing.T) {
	g := newGuard(t, Config{})
	root, end := context.WithCancel(t.Context())
	defer end()
	kept := map[int]context.Context{}
	for i := range 100 {
		ctx, cancel := context.WithCancel(root)
		kept[i] = ctx
		cancel()
	}
	if k, _ := g.Census(root); k.Total() != 0 || len(kept) != 100 {
		t.Errorf("%+v", k)
	}
}

// "The goroutineleak profile finds it": not a waiter below a root that lives. Dropped finds that one, and so does a census.
func TestMistakeTheLeakProfileFindsIt(t *testing.T) {
	g := newGuard(t, Config{Heal: true})
	root, end := context.WithCancel(t.Context())
	defer end()
	woken := make(chan struct{})
	waitFor(g, root, woken)
	churn()
	g.collects(t, 1)
	if g.leaks.take != nil {
		if b, err := g.LeakProfile(0); err != nil || len(b) == 0 {
			t.Errorf("%v", err)
		}
	}
	g.Sweep()
	<-woken // by Heal
}
