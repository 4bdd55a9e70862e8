package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// hinted is an error that knows what it is a sign of.
type hinted struct {
	error
	hint string
}

func (e hinted) Error() string { return e.error.Error() + "; " + e.hint }
func (e hinted) Unwrap() error { return e.error }
func (e hinted) Hint() string  { return e.hint }

func TestPlainWords(t *testing.T) {
	op := func(err error) error { return fmt.Errorf("modbus: %w", &net.OpError{Op: "dial", Net: "tcp", Err: err}) }
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, "no failure is known"},
		{op(syscall.ECONNREFUSED), "it refuses the connection: nothing listens on that port"},
		{op(syscall.ECONNRESET), "it reset the connection"},
		{op(syscall.EPIPE), "it reset the connection"},
		{op(syscall.EHOSTUNREACH), "there is no route to it"},
		{op(syscall.ENETUNREACH), "there is no route to it"},
		{fmt.Errorf("modbus: %w", io.EOF), "it closed the connection"},
		{op(&net.DNSError{Name: "plc9", Err: "no such host", IsNotFound: true}), "its name plc9 does not resolve"},
		{op(os.ErrDeadlineExceeded), "no answer in time: modbus: dial tcp: i/o timeout"},
		{op(context.DeadlineExceeded), "no answer in time: modbus: dial tcp: context deadline exceeded"},
		{errors.New("a foreign reply"), "a foreign reply"},
		{fmt.Errorf("s7: %w", hinted{io.EOF, "the wrong slot"}), "s7: EOF; the wrong slot"},
		{hinted{io.EOF, ""}, "it closed the connection"},
	} {
		if got := plain(c.err); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}

func TestStateNames(t *testing.T) {
	want := "[idle opening ready degraded suspect cooling out_of_service draining closed]"
	if got := fmt.Sprint(States()); got != want {
		t.Errorf("%s, the metrics and the API know %s", got, want)
	}
	if got := State(77).String(); got != "state 77" {
		t.Error(got)
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for _, d := range []time.Duration{0, 500 * time.Microsecond, 501 * time.Microsecond, 10 * time.Second, 11 * time.Second, time.Hour} {
		h.observe(d)
	}
	s := h.snapshot()
	last := len(s.Counts) - 1
	if len(s.Bounds) != last || s.Counts[0] != 2 || s.Counts[1] != 1 || s.Counts[last-1] != 1 || s.Counts[last] != 2 || s.Count != 6 {
		t.Errorf("%+v", s)
	}
	if s.Sum < 3621.0010 || s.Sum > 3621.0011 || s.Bounds[0] != 0.0005 || s.Bounds[last-1] != 10 {
		t.Errorf("sum %v, bounds %v", s.Sum, s.Bounds)
	}
}
