package sim

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"millrace/modbus"
)

// session is one connection to a device: its memory for modbus.Server, and the faults on the way back.
type session struct {
	m *Modbus
	d *device

	// Of the request at hand; they belong to the connection's goroutine.
	now    time.Time
	effect effect

	late sync.WaitGroup // late replies that wait or are being sent
	mu   sync.Mutex
	wait map[*time.Timer]struct{} // of those that wait
}

// open is modbus.ServerConfig.Open.
func (m *Modbus) open(c *modbus.ServerConn) (modbus.Service, error) {
	s := &session{m: m, d: m.deviceAt(c.LocalAddr())}
	remote := c.RemoteAddr()
	return modbus.Service{Handler: s, Intercept: s, Closed: func() {
		s.end()
		s.d.leave(remote)
	}}, nil
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

// servedUnit says whether the devices answer for a unit id; the others are behind a gateway that has no path to them.
func servedUnit(unit uint8) bool { return unit >= 1 && unit <= 247 || unit == 255 }

// Request decides what is to become of the request.
func (s *session) Request(_ context.Context, c *modbus.ServerConn, frame []byte) (modbus.ExceptionCode, error) {
	s.now = time.Now()
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	s.d.stats.Requests++
	s.effect = s.d.effectOf(s.elapsed(), c.Burst())
	switch {
	case s.effect.exception != 0:
		return modbus.ExceptionCode(s.effect.exception), nil
	case !servedUnit(frame[s.m.unitAt()]):
		return modbus.GatewayPathUnavailable, nil
	}
	return 0, nil
}

func (s *session) elapsed() time.Duration { return s.now.Sub(s.m.started) }

// Answer sends the answer as the faults will have it.
func (s *session) Answer(ctx context.Context, c *modbus.ServerConn, _, answer []byte) error {
	e := &s.effect
	if e.delay > 0 {
		if err := c.Pause(ctx, e.delay); err != nil {
			return err
		}
	}
	if e.wrongID {
		// The highest bit: an id near the one asked for might be another request's, and then no client could tell.
		answer[0] ^= 0x80
	}
	if e.wrongFunc {
		answer[s.m.unitAt()+1] ^= 0x07 // 03 and 04 change places, 01 becomes 06
	}
	switch {
	case e.silence:
		return nil
	case e.reset:
		return &modbus.HangUpError{Reason: "fault", Reset: true}
	case e.cut:
		c.Send(answer[:len(answer)/2])
		return &modbus.HangUpError{Reason: "fault"}
	case e.late > 0:
		s.later(c, e.late, append([]byte(nil), answer...))
		return nil
	case e.trickle > 0:
		return trickle(ctx, c, e.trickle, answer)
	case e.duplicate:
		c.Send(answer)
	}
	c.Send(answer)
	return nil
}

// later sends an answer when it is too late.
func (s *session) later(c *modbus.ServerConn, d time.Duration, answer []byte) {
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
		_, _ = c.Write(answer) // on a connection that ended it fails, which is as late as can be
	})
	s.wait[t] = struct{}{}
}

// trickle sends an answer byte by byte.
func trickle(ctx context.Context, c *modbus.ServerConn, each time.Duration, answer []byte) error {
	for i := range answer {
		c.Send(answer[i : i+1])
		if err := c.Pause(ctx, each); err != nil {
			return err
		}
	}
	return nil
}

var areaOf = [...]area{modbus.Coils: coils, modbus.DiscreteInputs: discretes, modbus.InputRegisters: inputs, modbus.HoldingRegisters: holdings}

// deny returns the exception for what r asks for, or 0. The caller holds d.mu.
func (s *session) deny(r *modbus.Request, reading bool) modbus.ExceptionCode {
	return s.d.deny(s.elapsed(), reading, areaOf[r.Table], int(r.Address), int(r.Quantity))
}

// ReadBits is of modbus.Handler.
func (s *session) ReadBits(_ context.Context, r *modbus.Request, dst []byte) modbus.ExceptionCode {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if code := s.deny(r, true); code != 0 {
		return code
	}
	s.d.mem.bits(r.Unit, areaOf[r.Table], int(r.Address), int(r.Quantity), dst)
	return 0
}

// ReadRegisters is of modbus.Handler.
func (s *session) ReadRegisters(_ context.Context, r *modbus.Request, dst []byte) modbus.ExceptionCode {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	return s.read(r, dst)
}

func (s *session) read(r *modbus.Request, dst []byte) modbus.ExceptionCode {
	if code := s.deny(r, true); code != 0 {
		return code
	}
	s.d.mem.registers(r.Unit, areaOf[r.Table], int(r.Address), s.now, dst)
	return 0
}

// WriteCoils is of modbus.Handler.
func (s *session) WriteCoils(_ context.Context, r *modbus.Request, src []byte) modbus.ExceptionCode {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if code := s.deny(r, false); code != 0 {
		return code
	}
	for i := range int(r.Quantity) {
		s.d.mem.set(r.Unit, coils, int(r.Address)+i, uint16(src[i/8]>>(i%8))&1)
	}
	return 0
}

// WriteRegisters is of modbus.Handler.
func (s *session) WriteRegisters(_ context.Context, r *modbus.Request, src []byte) modbus.ExceptionCode {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	return s.write(r, src)
}

func (s *session) write(r *modbus.Request, src []byte) modbus.ExceptionCode {
	if code := s.deny(r, false); code != 0 {
		return code
	}
	for i := range int(r.Quantity) {
		s.d.mem.set(r.Unit, holdings, int(r.Address)+i, binary.BigEndian.Uint16(src[2*i:]))
	}
	return 0
}

// MaskWrite is of modbus.MaskWriter.
func (s *session) MaskWrite(_ context.Context, r *modbus.Request, and, or uint16) modbus.ExceptionCode {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if code := s.deny(r, false); code != 0 {
		return code
	}
	var old [2]byte
	s.d.mem.registers(r.Unit, holdings, int(r.Address), s.now, old[:])
	s.d.mem.set(r.Unit, holdings, int(r.Address), binary.BigEndian.Uint16(old[:])&and|or&^and)
	return 0
}

// ReadWrite is of modbus.ReadWriter.
func (s *session) ReadWrite(_ context.Context, write *modbus.Request, src []byte, read *modbus.Request, dst []byte) modbus.ExceptionCode {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if code := s.deny(read, true); code != 0 {
		return code
	}
	if code := s.write(write, src); code != 0 {
		return code
	}
	return s.read(read, dst)
}

// DeviceObject is of modbus.Identifier.
func (s *session) DeviceObject(_ context.Context, _ *modbus.Request, id uint8) (string, bool) {
	switch id {
	case modbus.ObjectVendorName:
		return "Millrace", true
	case modbus.ObjectProductCode:
		return "SIM", true
	case modbus.ObjectRevision:
		return "1", true
	case modbus.ObjectModelName:
		return DeviceID(s.d.mem.device), true
	}
	return "", false
}
