package s7

import (
	"bytes"
	"context"
	"crypto/subtle"
	"time"
)

// Now returns the time on the PLC's clock: the machine's as UTC until a client sets it.
func (c *CPU) Now() time.Time { return time.Now().UTC().Add(time.Duration(c.offset.Load())) }

// ReadClock is TimeKeeper's.
func (c *CPU) ReadClock(context.Context, *Request) (time.Time, ErrorCode) { return c.Now(), 0 }

// SetClock is TimeKeeper's. The machine's clock stays as it is: the PLC's is apart from it by an offset from then on.
func (c *CPU) SetClock(_ context.Context, _ *Request, t time.Time) ErrorCode {
	c.offset.Store(int64(time.Until(t)))
	return 0
}

// ProtectionLevel is Guard's.
func (c *CPU) ProtectionLevel() uint8 { return c.cfg.Level }

// CheckPassword is Guard's.
func (c *CPU) CheckPassword(_ context.Context, _ *Request, password []byte) ErrorCode {
	switch {
	case c.cfg.Password == "":
		return ErrNoPassword
	case subtle.ConstantTimeCompare(password, c.password[:]) != 1:
		return ErrWrongPassword
	}
	return 0
}

// Mode returns what the CPU is doing, and since when on its clock.
func (c *CPU) Mode() (m Mode, since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mode, c.since
}

// SetMode has the CPU do something, ModeRun or ModeStop, as its switch would.
func (c *CPU) SetMode(m Mode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.become(m)
}

// become is the only change of mode. c.mu is held.
func (c *CPU) become(m Mode) {
	if c.mode != m {
		c.mode, c.since = m, c.Now()
	}
}

// Control is Controller's. A CPU that runs cannot be started, nor one that stands be stopped. A cold start gives DBs that were copied to ROM, and
// are as long as then, the data of that time. Memory has no gaps, so that there is nothing to compress.
func (c *CPU) Control(_ context.Context, _ *Request, what Control) (code ErrorCode, detail uint8) {
	if code, detail = c.do(what); code == 0 && c.cfg.OnControl != nil {
		mode, _ := c.Mode()
		c.cfg.OnControl(what, mode)
	}
	return code, detail
}

func (c *CPU) do(what Control) (code ErrorCode, detail uint8) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch what {
	case ControlStart, ControlColdStart:
		if c.mode == ModeRun {
			return ErrNotPerformed, DetailRunning
		}
		if what == ControlColdStart {
			c.fromROM()
		}
		c.become(ModeRun)
	case ControlStop:
		if c.mode != ModeRun {
			return ErrNotPerformed, DetailStopped
		}
		c.become(ModeStop)
	case ControlCopyToROM:
		c.toROM()
	case ControlCompress:
	default:
		return ErrServiceUnknown, 0
	}
	return 0, 0
}

func (c *CPU) toROM() {
	c.rom = make(map[uint16][]byte)
	for _, n := range c.DBs(nil) {
		c.View(AreaDB, n, func(data []byte) { c.rom[n] = bytes.Clone(data) })
	}
}

func (c *CPU) fromROM() {
	for n, kept := range c.rom {
		c.Update(AreaDB, n, func(data []byte) {
			if len(data) == len(kept) {
				copy(data, kept)
			}
		})
	}
}
