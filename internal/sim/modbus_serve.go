package sim

import (
	"context"
	"encoding/binary"

	"millrace/modbus"
)

// session is one connection to a device: its memory for modbus.Server, and the faults on the way back.
type session struct {
	visit
	m   *Modbus
	mem *memory // under the device's lock
}

// open is modbus.ServerConfig.Open.
func (m *Modbus) open(c *modbus.ServerConn) (modbus.Service, error) {
	d := m.deviceAt(c.LocalAddr())
	s := &session{visit: visit{f: &m.fleet, d: d}, m: m, mem: &m.memories[d.number-1]}
	remote := c.RemoteAddr()
	return modbus.Service{Handler: s, Intercept: s, Closed: func() {
		s.end()
		d.leave(remote)
	}}, nil
}

// servedUnit says whether the devices answer for a unit id; the others are behind a gateway that has no path to them.
func servedUnit(unit uint8) bool { return unit >= 1 && unit <= 247 || unit == 255 }

// Request decides what is to become of the request.
func (s *session) Request(_ context.Context, c *modbus.ServerConn, frame []byte) (modbus.ExceptionCode, error) {
	switch code := s.asked(c); {
	case code != 0:
		return modbus.ExceptionCode(code), nil
	case !servedUnit(frame[s.m.unitAt()]):
		return modbus.GatewayPathUnavailable, nil
	}
	return 0, nil
}

// Answer sends the answer as the faults will have it.
func (s *session) Answer(ctx context.Context, c *modbus.ServerConn, _, answer []byte) error {
	if s.effect.wrongID {
		// The highest bit: an id near the one asked for might be another request's, and then no client could tell.
		answer[0] ^= 0x80
	}
	if s.effect.wrongFunc {
		answer[s.m.unitAt()+1] ^= 0x07 // 03 and 04 change places, 01 becomes 06
	}
	return s.answer(ctx, c, answer, hangUp)
}

func hangUp(reset bool) error { return &modbus.HangUpError{Reason: "fault", Reset: reset} }

var areaOf = [...]area{modbus.Coils: coils, modbus.DiscreteInputs: discretes, modbus.InputRegisters: inputs, modbus.HoldingRegisters: holdings}

// deny returns the exception for addresses that the device lacks or does not give at once, or 0. The caller holds d.mu.
func (s *session) deny(r *modbus.Request, reading bool) modbus.ExceptionCode {
	a, addr, n := areaOf[r.Table], int(r.Address), int(r.Quantity)
	for i := range s.d.faults {
		f := &s.d.faults[i]
		switch {
		case f.Kind == Cap && reading && (a == holdings || a == inputs) && n > f.Count && s.d.hits(f, s.elapsed()):
			return modbus.IllegalDataValue
		case f.Kind == Unmapped && areaByName[f.Area] == a && addr <= f.To && f.From <= addr+n-1 && s.d.hits(f, s.elapsed()):
			return modbus.IllegalDataAddress
		}
	}
	return 0
}

// ReadBits is of modbus.Handler.
func (s *session) ReadBits(_ context.Context, r *modbus.Request, dst []byte) modbus.ExceptionCode {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if code := s.deny(r, true); code != 0 {
		return code
	}
	s.mem.bits(r.Unit, areaOf[r.Table], int(r.Address), int(r.Quantity), dst)
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
	s.mem.registers(s.d.number, r.Unit, areaOf[r.Table], int(r.Address), s.now, dst)
	return 0
}

// refuses says that a write is not done, and with what it is answered. The caller holds d.mu.
func (s *session) refuses(r *modbus.Request) (code modbus.ExceptionCode, skip bool) {
	code = s.deny(r, false)
	return code, code != 0 || s.d.ignores(s.elapsed())
}

// WriteCoils is of modbus.Handler.
func (s *session) WriteCoils(_ context.Context, r *modbus.Request, src []byte) modbus.ExceptionCode {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if code, skip := s.refuses(r); skip {
		return code
	}
	s.d.writes++
	for i := range int(r.Quantity) {
		s.mem.set(r.Unit, coils, int(r.Address)+i, uint16(src[i/8]>>(i%8))&1)
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
	if code, skip := s.refuses(r); skip {
		return code
	}
	s.d.writes++
	for i := range int(r.Quantity) {
		s.mem.set(r.Unit, holdings, int(r.Address)+i, binary.BigEndian.Uint16(src[2*i:]))
	}
	return 0
}

// MaskWrite is of modbus.MaskWriter.
func (s *session) MaskWrite(_ context.Context, r *modbus.Request, and, or uint16) modbus.ExceptionCode {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if code, skip := s.refuses(r); skip {
		return code
	}
	s.d.writes++
	var old [2]byte
	s.mem.registers(s.d.number, r.Unit, holdings, int(r.Address), s.now, old[:])
	s.mem.set(r.Unit, holdings, int(r.Address), binary.BigEndian.Uint16(old[:])&and|or&^and)
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
		return DeviceID(s.d.number), true
	}
	return "", false
}
