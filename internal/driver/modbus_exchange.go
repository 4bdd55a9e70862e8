package driver

import (
	"context"
	"errors"
	"net"
	"time"

	"millrace/modbus"
)

// exchange runs the calls of a Read of plan, as many at once as the window allows. A trial of a larger window that fails costs time, not values:
// what it left is asked for again, one request at a time.
func (s *modbusSession) exchange(ctx context.Context, plan *modbusPlan) error {
	if !plan.auto {
		s.setWindow(plan.window)
		return s.send(ctx, s.calls)
	}
	l := &s.learner
	s.setWindow(l.begin(plan, s.each(len(s.calls))))
	trial := l.onTrial()
	before := s.disorder(trial)
	err := s.send(ctx, s.calls)
	if ctx.Err() != nil {
		return err
	}
	left := err != nil || trial && s.spoiled()
	fault := l.disturbed() || left || s.disorder(trial) != before
	if learned := l.end(fault, time.Now()); learned.Window > 0 {
		s.obs.Learned(learned)
	}
	if !trial || !left || errors.Is(err, net.ErrClosed) {
		return err
	}
	return s.again(ctx)
}

func (s *modbusSession) setWindow(n int) {
	if s.window == n {
		return
	}
	s.window = n
	if s.pool == nil {
		s.client.SetWindow(n)
	} else {
		s.pool.window = n
	}
}

// each returns how many of n requests one connection gets.
func (s *modbusSession) each(n int) int {
	if s.pool == nil {
		return n
	}
	return (n + s.pool.size - 1) / s.pool.size
}

// disorder counts replies out of their order and connections of a pool that ended; 0 when nobody wants to know.
func (s *modbusSession) disorder(wanted bool) uint64 {
	switch {
	case !wanted:
		return 0
	case s.pool != nil:
		return s.pool.disorder
	}
	return s.client.Stats().Overtook
}

// spoiled says whether a call has to be made again.
func (s *modbusSession) spoiled() bool {
	for i := range s.calls {
		if spoiled(&s.calls[i]) {
			return true
		}
	}
	return false
}

// spoiled says whether a call may have failed because others were in flight with it: without an answer, or by an exception with which
// devices and gateways refuse what is too much for them.
func spoiled(c *modbus.Call) bool {
	if c.Err == nil {
		return false
	}
	switch exceptionOf(c.Err) {
	case 0, modbus.ServerDeviceBusy, modbus.GatewayPathUnavailable, modbus.GatewayTargetFailed:
		return true
	}
	return false
}

// again makes the calls that a trial has spoiled, one after the other. When the device does not answer these either, the connection may be stuck
// with the trial, so that it is ended: a new one costs less than the time-outs until the device counts as down.
func (s *modbusSession) again(ctx context.Context) error {
	s.setWindow(1)
	for i := range s.calls {
		if !spoiled(&s.calls[i]) {
			continue
		}
		if err := s.send(ctx, s.calls[i:i+1]); err != nil {
			if ctx.Err() == nil {
				_ = s.Close()
				err = &modbus.ClosedError{Err: err}
			}
			return err
		}
	}
	return nil
}
