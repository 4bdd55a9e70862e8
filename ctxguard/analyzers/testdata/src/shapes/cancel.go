// Package shapes is a list of 83 ways to leak, a function for each, and the mended form beside it. What belongs to shape 7 has leak07 or mend07
// in its name.
package shapes

import (
	"context"
	"errors"
	"iter"
	"os"
	"os/signal"
	"time"
)

var errFailed = errors.New("failed")

func work(ctx context.Context) error { return ctx.Err() }

// 01: the cancel function is thrown away.

func leak01(ctx context.Context) error {
	child, _ := context.WithCancel(ctx) // want "ctxguard/release"
	return work(child)
}

func mend01(ctx context.Context) error {
	child, cancel := context.WithCancel(ctx)
	defer cancel()
	return work(child)
}

// 02: it is not called on an early return.

func leak02(ctx context.Context, n int) error {
	child, cancel := context.WithTimeout(ctx, time.Second) // want "ctxguard/release"
	if n == 0 {
		return errFailed
	}
	err := work(child)
	cancel()
	return err
}

func mend02(ctx context.Context, n int) error {
	child, cancel := context.WithTimeout(ctx, time.Second)
	if n == 0 {
		cancel()
		return errFailed
	}
	err := work(child)
	cancel()
	return err
}

// 03: it is assigned to nothing, so that the compiler is content.

func leak03(ctx context.Context) error {
	child, cancel := context.WithCancel(ctx) // want "ctxguard/release"
	_ = cancel
	return work(child)
}

func mend03(ctx context.Context) error {
	child, cancel := context.WithCancel(ctx)
	stop := cancel
	defer stop()
	return work(child)
}

// 04: the variable gets another one before it is called.

func leak04(ctx context.Context) error {
	first, cancel := context.WithCancel(ctx) // want "ctxguard/release"
	if err := work(first); err == nil {
		return nil2(cancel)
	}
	second, cancel := context.WithCancel(ctx)
	defer cancel()
	return work(second)
}

func nil2(stop func()) error { stop(); return nil }

func mend04(ctx context.Context) error {
	first, cancel := context.WithCancel(ctx)
	if err := work(first); err == nil {
		return nil2(cancel)
	}
	cancel()
	second, cancel := context.WithCancel(ctx)
	defer cancel()
	return work(second)
}

// 05: it is put into a field that nobody calls.

type leak05 struct{ cancel context.CancelFunc }

func newLeak05(ctx context.Context) *leak05 {
	_, cancel := context.WithCancel(ctx)
	return &leak05{cancel: cancel} // want "ctxguard/cancelfield"
}

type mend05 struct{ cancel context.CancelFunc }

func newMend05(ctx context.Context) *mend05 {
	_, cancel := context.WithCancel(ctx)
	return &mend05{cancel: cancel}
}

func (m *mend05) Close() { m.cancel() }

// 06: a reconnect puts another one in its place.

type leak06 struct {
	ctx    context.Context
	cancel context.CancelFunc
}

func (l *leak06) reconnect(ctx context.Context) {
	l.ctx, l.cancel = context.WithCancel(ctx) // want "ctxguard/cancelfield"
}

func (l *leak06) Close() { l.cancel() }

type mend06 struct {
	ctx    context.Context
	cancel context.CancelFunc
}

func (m *mend06) reconnect(ctx context.Context) {
	if m.cancel != nil {
		m.cancel()
	}
	m.ctx, m.cancel = context.WithCancel(ctx)
}

func (m *mend06) Close() { m.cancel() }

// 07: there is a Close that calls it, and the caller never calls Close.

func leak07(ctx context.Context) bool {
	j := newMend05(ctx) // want "ctxguard/release"
	return j != nil
}

func mend07(ctx context.Context) bool {
	j := newMend05(ctx)
	defer j.Close()
	return j != nil
}

// 08: it is handed to a function that does nothing with it.

func leak08(ctx context.Context) error {
	child, cancel := context.WithCancel(ctx) // want "ctxguard/release"
	leak08ignores(cancel)
	return work(child)
}

func leak08ignores(stop func()) {
	if stop == nil {
		panic("no stop")
	}
}

func mend08(ctx context.Context) error {
	child, cancel := context.WithCancel(ctx)
	mend08calls(cancel)
	return work(child)
}

func mend08calls(stop func()) { time.AfterFunc(time.Minute, stop) }

// 09: the closure that calls it is never run.

func leak09(ctx context.Context) error {
	child, cancel := context.WithCancel(ctx) // want "ctxguard/release"
	stop := func() { cancel() }
	_ = stop
	return work(child)
}

func mend09(ctx context.Context) error {
	child, cancel := context.WithCancel(ctx)
	stop := func() { cancel() }
	defer stop()
	return work(child)
}

// 10: the function comes out of a wrapper, which vet does not know.

func limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, time.Second)
}

func leak10(ctx context.Context) error {
	child, _ := limited(ctx) // want "ctxguard/release"
	return work(child)
}

func mend10(ctx context.Context) error {
	child, cancel := limited(ctx)
	defer cancel()
	return work(child)
}

// 11: the signals stay caught.

func leak11(ctx context.Context) error {
	child, _ := signal.NotifyContext(ctx, os.Interrupt) // want "ctxguard/release"
	return work(child)
}

func mend11(ctx context.Context) error {
	child, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	return work(child)
}

// 12: the registration with a long-lived context stays.

func leak12(ctx context.Context, f *os.File) error {
	context.AfterFunc(ctx, func() { f.Close() }) // want "ctxguard/release"
	return work(ctx)
}

func mend12(ctx context.Context, f *os.File) error {
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	return work(ctx)
}

// 13: a sequence that is pulled is never stopped.

func leak13(seq iter.Seq[int]) int {
	next, _ := iter.Pull(seq) // want "ctxguard/release"
	v, _ := next()
	return v
}

func mend13(seq iter.Seq[int]) int {
	next, stop := iter.Pull(seq)
	defer stop()
	v, _ := next()
	return v
}

// 14: an error path behind a deadline.

func leak14(ctx context.Context) error {
	child, cancel := context.WithDeadlineCause(ctx, time.Now().Add(time.Hour), errFailed) // want "ctxguard/release"
	if err := work(child); err != nil {
		return err
	}
	cancel()
	return nil
}

func mend14(ctx context.Context) error {
	child, cancel := context.WithDeadlineCause(ctx, time.Now().Add(time.Hour), errFailed)
	defer cancel()
	if err := work(child); err != nil {
		return err
	}
	return nil
}

// 15: one case of a switch forgets it.

func leak15(ctx context.Context, n int) error {
	child, cancel := context.WithCancel(ctx) // want "ctxguard/release"
	switch {
	case n < 0:
		cancel()
		return errFailed
	case n == 0:
		return work(child)
	}
	cancel()
	return nil
}

func mend15(ctx context.Context, n int) error {
	child, cancel := context.WithCancel(ctx)
	switch {
	case n < 0:
		cancel()
		return errFailed
	case n == 0:
		defer cancel()
		return work(child)
	}
	cancel()
	return nil
}

// 16: it is called only when things went well.

func leak16(ctx context.Context) error {
	child, cancel := context.WithCancelCause(ctx) // want "ctxguard/release"
	err := work(child)
	if err == nil {
		cancel(nil)
	}
	return err
}

func mend16(ctx context.Context) error {
	child, cancel := context.WithCancelCause(ctx)
	err := work(child)
	if err == nil {
		cancel(nil)
	} else {
		cancel(err)
	}
	return err
}

// 17: a turn of a loop goes on without it.

func leak17(ctx context.Context, jobs []int) {
	for _, j := range jobs {
		child, cancel := context.WithTimeout(ctx, time.Second) // want "ctxguard/release"
		if work(child) != nil {
			continue
		}
		_ = j
		cancel()
	}
}

func mend17(ctx context.Context, jobs []int) {
	for _, j := range jobs {
		child, cancel := context.WithTimeout(ctx, time.Second)
		err := work(child)
		cancel()
		if err != nil {
			continue
		}
		_ = j
	}
}

// 36: it is put into a global variable that nobody calls.

var leak36cancel context.CancelFunc

func leak36(ctx context.Context) {
	_, leak36cancel = context.WithCancel(ctx) // want "ctxguard/cancelfield"
}

var mend36cancel context.CancelFunc

func mend36(ctx context.Context) {
	_, mend36cancel = context.WithCancel(ctx)
}

func mend36stop() { mend36cancel() }

// 37: a loop that connects again puts another one in its place.

type leak37 struct{ cancel context.CancelFunc }

func (l *leak37) run(ctx context.Context) {
	for ctx.Err() == nil {
		var child context.Context
		child, l.cancel = context.WithCancel(ctx) // want "ctxguard/cancelfield"
		<-child.Done()
	}
}

func (l *leak37) Close() { l.cancel() }

type mend37 struct{ cancel context.CancelFunc }

func (m *mend37) run(ctx context.Context) {
	for ctx.Err() == nil {
		var child context.Context
		child, m.cancel = context.WithCancel(ctx)
		<-child.Done()
		m.cancel()
	}
}

func (m *mend37) Close() { m.cancel() }

// 38: a function that cleans up is dropped on an error path.

func opened(ctx context.Context) (context.Context, func(), error) {
	child, cancel := context.WithCancel(ctx)
	if child.Err() != nil {
		cancel()
		return nil, nil, child.Err()
	}
	return child, func() { cancel() }, nil
}

func leak38(ctx context.Context) error {
	child, cleanup, err := opened(ctx) // want "ctxguard/release"
	if err != nil {
		return err
	}
	if err := work(child); err != nil {
		return err
	}
	cleanup()
	return nil
}

func mend38(ctx context.Context) error {
	child, cleanup, err := opened(ctx)
	if err != nil {
		return err
	}
	defer cleanup()
	return work(child)
}

// 39: a context grows by one in each turn of a loop.

func leak39(ctx context.Context, n int) error {
	var cancel context.CancelFunc
	for range n {
		ctx, cancel = context.WithTimeout(ctx, time.Second) // want "ctxguard/release"
		if err := work(ctx); err != nil {
			break
		}
	}
	if cancel != nil {
		cancel()
	}
	return nil
}

func mend39(ctx context.Context, n int) error {
	for range n {
		child, cancel := context.WithTimeout(ctx, time.Second)
		err := work(child)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}
