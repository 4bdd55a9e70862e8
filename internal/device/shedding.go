package device

import (
	"fmt"
	"math/bits"
	"time"
)

// Shedding says from when on intervals are stretched for want of time, of a connection or of the gateway, and how far. The zero value is a good one.
type Shedding struct {
	Crowded  float64       // load of a connection from which on it is said who takes its time; 0 is 0.8. It has time again a tenth below
	Overload float64       // load above which intervals on it are stretched; 0 is 1. They are until it is a tenth below, and come back where it stays three tenths below
	Late     float64       // how late the gateway itself looks at groups, on average, as a share of the shortest interval, when all intervals are stretched; 0 is 0.25
	After    time.Duration // that it must be so before; 0 is 5 s
	Back     time.Duration // that there must be room before an interval comes back; 0 is 30 s
	Most     int           // times its configured length that an interval may have: 1 for never stretched, 2, 4, 8...; 0 is 8
}

// mostMost is the largest Most.
const mostMost = 64

func (s Shedding) withDefaults() (Shedding, error) {
	or := func(v *float64, preset float64) {
		if *v == 0 {
			*v = preset
		}
	}
	or(&s.Crowded, 0.8)
	or(&s.Overload, 1)
	or(&s.Late, 0.25)
	if s.After == 0 {
		s.After = 5 * time.Second
	}
	if s.Back == 0 {
		s.Back = 30 * time.Second
	}
	if s.Most == 0 {
		s.Most = 8
	}
	if err := s.Check(); err != nil {
		return s, fmt.Errorf("device: %w", err)
	}
	return s, nil
}

// Check says what is wrong with s, whose zero fields are left to their defaults.
func (s Shedding) Check() error {
	switch {
	case s.Crowded < 0 || s.Overload < 0 || s.Late < 0:
		return fmt.Errorf("shares of time must not be below 0: %v, %v, %v", s.Crowded, s.Overload, s.Late)
	case s.After < 0 || s.Back < 0:
		return fmt.Errorf("it cannot take %v, or %v, until something is done", s.After, s.Back)
	case s.Most < 0 || s.Most > mostMost || bits.OnesCount(uint(s.Most)) > 1:
		return fmt.Errorf("an interval may have 1, 2, 4 and so on up to %d times its length, not %d", mostMost, s.Most)
	}
	return nil
}

// The shares that follow from those that are set: each lies as far from the one that begins something as keeps it from beginning again at once.

func (s *Shedding) roomyAt() float64  { return s.Crowded - 0.1 }
func (s *Shedding) shedTo() float64   { return 0.9 * s.Overload }
func (s *Shedding) returnTo() float64 { return 0.7 * s.Overload } // with the interval that comes back
func (s *Shedding) lateAt() float64   { return 0.4 * s.Late }     // it is said

// doublings is how often an interval may be doubled.
func (s *Shedding) doublings() int { return bits.Len(uint(s.Most)) - 1 }

// looks is how many looks a time is.
func looks(d time.Duration) int { return max(int(d/loadLook), 1) }
