package shapes

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

func compute() int { return 42 }

// 40: the receiver has gone when its time was up.

func leak40(d time.Duration) int {
	ch := make(chan int)
	go func() { ch <- compute() }() // want "ctxguard/chanleak"
	select {
	case v := <-ch:
		return v
	case <-time.After(d):
		return 0
	}
}

func mend40(d time.Duration) int {
	ch := make(chan int, 1)
	go func() { ch <- compute() }()
	select {
	case v := <-ch:
		return v
	case <-time.After(d):
		return 0
	}
}

// 41: the receiver returns early.

func leak41(fail bool) (int, error) {
	ch := make(chan int)
	go func() { ch <- compute() }() // want "ctxguard/chanleak"
	if fail {
		return 0, errFailed
	}
	return <-ch, nil
}

func mend41(fail bool) (int, error) {
	if fail {
		return 0, errFailed
	}
	ch := make(chan int)
	go func() { ch <- compute() }()
	return <-ch, nil
}

// 42: a return is missing behind the first send.

func leak42(fail bool) int {
	ch := make(chan int)
	go func() {
		if fail {
			ch <- 0
		}
		ch <- compute() // want "ctxguard/chanleak"
	}()
	return <-ch
}

func mend42(fail bool) int {
	ch := make(chan int)
	go func() {
		if fail {
			ch <- 0
			return
		}
		ch <- compute()
	}()
	return <-ch
}

// 43: many send, and only the first is heard.

func leak43(n int) int {
	ch := make(chan int)
	for range n {
		go func() { ch <- compute() }() // want "ctxguard/chanleak"
	}
	return <-ch
}

func mend43(n int) int {
	ch := make(chan int, n)
	for range n {
		go func() { ch <- compute() }()
	}
	return <-ch
}

// 44: a range over a channel that nobody closes.

func leak44(items []int) {
	ch := make(chan int)
	go func() {
		for v := range ch { // want "ctxguard/chanleak"
			println(v)
		}
	}()
	for _, v := range items {
		ch <- v
	}
}

func mend44(items []int) {
	ch := make(chan int)
	go func() {
		for v := range ch {
			println(v)
		}
	}()
	for _, v := range items {
		ch <- v
	}
	close(ch)
}

// 45: it is closed, but not on the path that fails.

func leak45(items []int) error {
	ch := make(chan int)
	go func() {
		for v := range ch { // want "ctxguard/chanleak"
			println(v)
		}
	}()
	for _, v := range items {
		if v < 0 {
			return errFailed
		}
		ch <- v
	}
	close(ch)
	return nil
}

func mend45(items []int) error {
	ch := make(chan int)
	defer close(ch)
	go func() {
		for v := range ch {
			println(v)
		}
	}()
	for _, v := range items {
		if v < 0 {
			return errFailed
		}
		ch <- v
	}
	return nil
}

// 46: a goroutine that works for ever.

func leak46() {
	go func() {
		for {
			compute()
			time.Sleep(time.Second) // want "ctxguard/loopexit"
		}
	}()
}

func mend46(ctx context.Context) {
	go func() {
		for ctx.Err() == nil {
			compute()
			time.Sleep(time.Second)
		}
	}()
}

// 47: a select that knows of no end.

func leak47(in <-chan int, tick <-chan time.Time) {
	go func() {
		for {
			select { // want "ctxguard/loopexit"
			case v := <-in:
				println(v)
			case <-tick:
				compute()
			}
		}
	}()
}

func mend47(ctx context.Context, in <-chan int, tick <-chan time.Time) {
	go func() {
		for {
			select {
			case v := <-in:
				println(v)
			case <-tick:
				compute()
			case <-ctx.Done():
				return
			}
		}
	}()
}

// 48: a range over a ticker, whose channel is never closed.

func leak48() {
	t := time.NewTicker(time.Second)
	go func() {
		for range t.C { // want "ctxguard/loopexit"
			compute()
		}
	}()
}

func mend48(stop <-chan struct{}) {
	t := time.NewTicker(time.Second)
	go func() {
		defer t.Stop()
		for {
			select {
			case <-t.C:
				compute()
			case <-stop:
				return
			}
		}
	}()
}

// 49: a loop that has a context and never asks it.

func leak49(ctx context.Context) {
	for {
		compute()
		time.Sleep(time.Second) // want "ctxguard/loopexit"
	}
}

func mend49(ctx context.Context) {
	for {
		compute()
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
	}
}

// 50: nobody receives.

type leak50 struct{ events chan int }

func newLeak50() *leak50 { return &leak50{events: make(chan int)} }

func (l *leak50) emit() { l.events <- compute() } // want "ctxguard/chanleak"

type mend50 struct{ events chan int }

func newMend50() *mend50 { return &mend50{events: make(chan int)} }

func (m *mend50) emit() { m.events <- compute() }

func (m *mend50) next() int { return <-m.events }

// 51: nobody sends or closes.

type leak51 struct{ done chan struct{} }

func newLeak51() *leak51 { return &leak51{done: make(chan struct{})} }

func (l *leak51) wait() { <-l.done } // want "ctxguard/chanleak"

type mend51 struct{ done chan struct{} }

func newMend51() *mend51 { return &mend51{done: make(chan struct{})} }

func (m *mend51) wait() { <-m.done }

func (m *mend51) Close() { close(m.done) }

// 52: the channel was never made.

func leak52() int {
	var ch chan int
	return <-ch // want "ctxguard/chanleak"
}

func mend52() int {
	ch := make(chan int, 1)
	ch <- compute()
	return <-ch
}

// 53: a path of a goroutine without Done.

func leak53(items []int) {
	var wg sync.WaitGroup
	for _, v := range items {
		wg.Add(1)
		go func() {
			if v < 0 {
				return // want "ctxguard/groupwait"
			}
			println(v)
			wg.Done()
		}()
	}
	wg.Wait()
}

func mend53(items []int) {
	var wg sync.WaitGroup
	for _, v := range items {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if v < 0 {
				return
			}
			println(v)
		}()
	}
	wg.Wait()
}

// 54: nobody says Done.

func leak54() {
	var wg sync.WaitGroup
	wg.Add(1)
	go func() { compute() }()
	wg.Wait() // want "ctxguard/groupwait"
}

func mend54() {
	var wg sync.WaitGroup
	wg.Go(func() { compute() })
	wg.Wait()
}

// 55: the first turn of a loop waits for what later turns start.

func leak55(items []int) {
	var wg sync.WaitGroup
	wg.Add(len(items))
	for range items {
		go func() {
			defer wg.Done()
			compute()
		}()
		wg.Wait() // want "ctxguard/groupwait"
	}
}

func mend55(items []int) {
	var wg sync.WaitGroup
	wg.Add(len(items))
	for range items {
		go func() {
			defer wg.Done()
			compute()
		}()
	}
	wg.Wait()
}

// 56: a path that keeps the lock.

type leak56 struct {
	mu sync.Mutex
	n  int
}

func (l *leak56) take() error {
	l.mu.Lock() // want "ctxguard/release"
	if l.n == 0 {
		return errFailed
	}
	l.n--
	l.mu.Unlock()
	return nil
}

type mend56 struct {
	mu sync.Mutex
	n  int
}

func (m *mend56) take() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.n == 0 {
		return errFailed
	}
	m.n--
	return nil
}

// 57: a path that keeps the read lock, to the next turn of a loop.

type leak57 struct {
	mu    sync.RWMutex
	names []string
}

func (l *leak57) find(all []string) int {
	for i, want := range all {
		l.mu.RLock() // want "ctxguard/release"
		if len(l.names) == 0 {
			continue
		}
		if l.names[0] == want {
			l.mu.RUnlock()
			return i
		}
		l.mu.RUnlock()
	}
	return -1
}

type mend57 struct {
	mu    sync.RWMutex
	names []string
}

func (m *mend57) find(all []string) int {
	for i, want := range all {
		m.mu.RLock()
		found := len(m.names) > 0 && m.names[0] == want
		m.mu.RUnlock()
		if found {
			return i
		}
	}
	return -1
}

// 58: a method that takes a lock calls another that takes it again.

type leak58 struct {
	mu sync.Mutex
	n  int
}

func (l *leak58) add() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	l.log() // want "ctxguard/lockorder"
}

func (l *leak58) log() {
	l.mu.Lock()
	defer l.mu.Unlock()
	println(l.n)
}

type mend58 struct {
	mu sync.Mutex
	n  int
}

func (m *mend58) add() {
	m.mu.Lock()
	m.n++
	m.mu.Unlock()
	m.log()
}

func (m *mend58) log() {
	m.mu.Lock()
	defer m.mu.Unlock()
	println(m.n)
}

// 59: two locks in both orders.

type leak59 struct{ a, b sync.Mutex }

func (l *leak59) there() {
	l.a.Lock()
	defer l.a.Unlock()
	l.b.Lock() // want "ctxguard/lockorder"
	defer l.b.Unlock()
}

func (l *leak59) back() {
	l.b.Lock()
	defer l.b.Unlock()
	l.a.Lock()
	defer l.a.Unlock()
}

type mend59 struct{ a, b sync.Mutex }

func (m *mend59) there() {
	m.a.Lock()
	defer m.a.Unlock()
	m.b.Lock()
	defer m.b.Unlock()
}

func (m *mend59) back() {
	m.b.Lock()
	m.b.Unlock()
	m.a.Lock()
	defer m.a.Unlock()
}

// 60: a send under a lock that the receiver needs.

type leak60 struct {
	mu sync.Mutex
	ch chan int
	n  int
}

func newLeak60() *leak60 {
	l := &leak60{ch: make(chan int)}
	go l.loop()
	return l
}

func (l *leak60) put(v int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ch <- v // want "ctxguard/lockorder"
}

func (l *leak60) loop() {
	for v := range l.ch {
		l.mu.Lock()
		l.n += v
		l.mu.Unlock()
	}
}

func (l *leak60) Close() { close(l.ch) }

type mend60 struct {
	mu sync.Mutex
	ch chan int
	n  int
}

func newMend60() *mend60 {
	m := &mend60{ch: make(chan int)}
	go m.loop()
	return m
}

func (m *mend60) put(v int) { m.ch <- v }

func (m *mend60) loop() {
	for v := range m.ch {
		m.mu.Lock()
		m.n += v
		m.mu.Unlock()
	}
}

func (m *mend60) Close() { close(m.ch) }

// 61: a Wait under a lock that the goroutine needs which is waited for.

type leak61 struct {
	mu sync.Mutex
	wg sync.WaitGroup
	n  int
}

func (l *leak61) start() {
	l.wg.Add(1)
	go func() {
		defer l.wg.Done()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.n++
	}()
}

func (l *leak61) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wg.Wait() // want "ctxguard/lockorder"
}

type mend61 struct {
	mu sync.Mutex
	wg sync.WaitGroup
	n  int
}

func (m *mend61) start() {
	m.wg.Add(1)
	go func() {
		defer m.wg.Done()
		m.mu.Lock()
		defer m.mu.Unlock()
		m.n++
	}()
}

func (m *mend61) Close() {
	m.wg.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n = 0
}

// 62: a read lock within a read lock.

type leak62 struct {
	mu sync.RWMutex
	m  map[string]int
}

func (l *leak62) get(k string) int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.m[k]
}

func (l *leak62) sum(keys []string) (n int) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, k := range keys {
		n += l.get(k) // want "ctxguard/lockorder"
	}
	return n
}

type mend62 struct {
	mu sync.RWMutex
	m  map[string]int
}

func (m *mend62) get(k string) int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.m[k]
}

func (m *mend62) sum(keys []string) (n int) {
	for _, k := range keys {
		n += m.get(k)
	}
	return n
}

// 63: an errgroup that nobody waits for on a path.

func leak63(ctx context.Context, fail bool) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return work(ctx) }) // want "ctxguard/release"
	if fail {
		return errFailed
	}
	return g.Wait()
}

func mend63(ctx context.Context, fail bool) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return work(ctx) })
	err := g.Wait()
	if fail {
		return errFailed
	}
	return err
}

// 64: a semaphore that is not given back when the work fails.

func leak64(ctx context.Context, sem *semaphore.Weighted) error {
	if err := sem.Acquire(ctx, 1); err != nil { // want "ctxguard/release"
		return err
	}
	if err := work(ctx); err != nil {
		return err
	}
	sem.Release(1)
	return nil
}

func mend64(ctx context.Context, sem *semaphore.Weighted) error {
	if err := sem.Acquire(ctx, 1); err != nil {
		return err
	}
	defer sem.Release(1)
	return work(ctx)
}

// 65: the same with a channel.

type leak65 struct{ slots chan struct{} }

func (l *leak65) do(ctx context.Context) error {
	l.slots <- struct{}{} // want "ctxguard/release"
	if err := work(ctx); err != nil {
		return err
	}
	<-l.slots
	return nil
}

type mend65 struct{ slots chan struct{} }

func (m *mend65) do(ctx context.Context) error {
	m.slots <- struct{}{}
	defer func() { <-m.slots }()
	return work(ctx)
}

// 66: a condition that nobody signals.

type leak66 struct {
	mu    sync.Mutex
	cond  *sync.Cond
	ready bool
}

func newLeak66() *leak66 {
	l := &leak66{}
	l.cond = sync.NewCond(&l.mu)
	return l
}

func (l *leak66) wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.ready {
		l.cond.Wait() // want "ctxguard/chanleak"
	}
}

func (l *leak66) set() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ready = true
}

type mend66 struct {
	mu    sync.Mutex
	cond  *sync.Cond
	ready bool
}

func newMend66() *mend66 {
	m := &mend66{}
	m.cond = sync.NewCond(&m.mu)
	return m
}

func (m *mend66) wait() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for !m.ready {
		m.cond.Wait()
	}
}

func (m *mend66) set() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ready = true
	m.cond.Broadcast()
}

// 67: a goroutine waits for an end that nobody announces.

func leak67() {
	done := make(chan struct{})
	go func() {
		<-done // want "ctxguard/chanleak"
		compute()
	}()
	compute()
}

func mend67() {
	done := make(chan struct{})
	go func() {
		<-done
		compute()
	}()
	compute()
	close(done)
}
