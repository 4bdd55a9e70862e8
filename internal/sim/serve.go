package sim

import (
	"context"
	"io"
	"sync"
	"time"

	"millrace/internal/listen"
	"millrace/modbus"
)

// The reasons of this package for which a connection ends.
const (
	reasonFrame listen.Reason = "cannot frame"
	reasonFault listen.Reason = "fault"
)

// maxGathered bounds the answers that go out in one write.
const maxGathered = 16 << 10

// session is one connection to a device. It is the listen.Protocol of that connection.
type session struct {
	m *Modbus
	d *device
	c *listen.Conn

	late sync.WaitGroup // late replies that wait or are being sent
	mu   sync.Mutex
	wait map[*time.Timer]struct{} // of those that wait
}

// serve runs one connection until it ends.
func (m *Modbus) serve(ctx context.Context, c *listen.Conn) error {
	s := &session{m: m, d: m.deviceAt(c.LocalAddr()), c: c}
	defer s.end()
	c.Established()
	return c.Loop(ctx, s)
}

// end stops what waits and waits for what runs.
func (s *session) end() {
	s.mu.Lock()
	for t := range s.wait {
		if t.Stop() {
			s.late.Done()
		}
	}
	s.mu.Unlock()
	s.late.Wait()
}

// Serve answers the frames at the front of in.
func (s *session) Serve(ctx context.Context, in, out []byte) (used int, _ []byte, err error) {
	for len(out) < maxGathered {
		fr, n, err := modbus.FramingTCP.NextRequest(in[used:])
		if err != nil {
			return used, out, &listen.Error{Reason: reasonFrame, Err: err}
		}
		if n == 0 {
			return used, out, nil
		}
		used += n
		start := len(out)
		e := s.execute(fr, &out)
		if e.alone() {
			// What was gathered before goes first, and the delay is the device's: nothing else is served meanwhile.
			if err := s.slowly(ctx, e, out, start); err != nil {
				return used, nil, err
			}
			return used, out[:0], nil
		}
		if out, err = s.apply(e, out, start); err != nil {
			return used, out, err
		}
	}
	return used, out, nil
}

// execute appends the right answer to out and returns what is to become of it.
func (s *session) execute(fr modbus.Frame, out *[]byte) effect {
	now := time.Now()
	elapsed := now.Sub(s.m.started)
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.Requests++
	e := d.effectOf(elapsed)
	start := len(*out)
	*out = modbus.FramingTCP.Begin(*out, fr.Transaction, fr.Unit)
	if e.exception != 0 {
		x := modbus.ExceptionResponse{Function: fr.Function(), Code: modbus.ExceptionCode(e.exception)}
		*out = x.AppendTo(*out)
	} else {
		reading := !fr.Function().Writes()
		r := request{d: d, unit: fr.Unit, pdu: fr.PDU, now: now, out: *out, deny: func(a area, addr, n int) modbus.ExceptionCode {
			return d.deny(elapsed, reading, a, addr, n)
		}}
		*out = r.execute()
	}
	*out = modbus.FramingTCP.End(*out, start)
	return e
}

// apply does to the reply out[start:] what e says.
func (s *session) apply(e effect, out []byte, start int) ([]byte, error) {
	reply := out[start:]
	if e.wrongID {
		// The highest bit: an id near the one asked for might be another request's, and then no client could tell.
		reply[0] ^= 0x80
	}
	if e.wrongFunc {
		const functionAt = 7
		reply[functionAt] ^= 0x07 // 03 and 04 change places, 01 becomes 06
	}
	switch {
	case e.silence:
		return out[:start], nil
	case e.reset:
		return out[:start], &listen.Error{Reason: reasonFault, Reset: true}
	case e.cut:
		return out[:start+len(reply)/2], io.EOF
	case e.late > 0:
		s.later(e.late, append([]byte(nil), reply...))
		return out[:start], nil
	case e.duplicate:
		return append(out, reply...), nil
	}
	return out, nil
}

// later sends a reply when it is too late.
func (s *session) later(d time.Duration, reply []byte) {
	s.late.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wait == nil {
		s.wait = map[*time.Timer]struct{}{}
	}
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		defer s.late.Done()
		s.mu.Lock()
		delete(s.wait, t)
		s.mu.Unlock()
		_, _ = s.c.Write(reply) // to a connection that ended it fails, which is as late as can be
	})
	s.wait[t] = struct{}{}
}

// slowly sends what was gathered, then the reply out[start:] after its delay, byte by byte when it trickles.
func (s *session) slowly(ctx context.Context, e effect, out []byte, start int) error {
	if start > 0 {
		if _, err := s.c.Write(out[:start]); err != nil {
			return err
		}
	}
	if err := sleep(ctx, e.delay); err != nil {
		return err
	}
	out, err := s.apply(e, out, start)
	reply := out[start:]
	if e.trickle == 0 || len(reply) == 0 {
		return s.send(reply, err)
	}
	for i := range reply {
		if serr := s.send(reply[i:i+1], nil); serr != nil {
			return serr
		}
		if serr := sleep(ctx, e.trickle); serr != nil {
			return serr
		}
	}
	return err
}

// send writes b, and returns after when that went well.
func (s *session) send(b []byte, after error) error {
	if len(b) > 0 {
		if _, err := s.c.Write(b); err != nil {
			return err
		}
	}
	return after
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
