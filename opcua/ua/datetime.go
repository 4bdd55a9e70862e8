package ua

import (
	"math"
	"time"
)

// DateTime is a point in time as it is on the wire: 100 ns ticks since 1601-01-01 UTC [OPC 10000-6 5.2.2.5]. 0 is null, the largest
// number is the end of time.
type DateTime int64

const (
	ticksToUnix    = 116444736000000000 // 1601-01-01 to 1970-01-01: 134774 days
	ticksPerSecond = 10_000_000
	maxTicks       = 2650467743990000000 // 9999-12-31 23:59:59

	// MaxDateTime is what stands for every time after the year 9999.
	MaxDateTime DateTime = math.MaxInt64
)

// DateTimeOf returns t, cut to 100 ns and clamped to 1601 (null) and 9999 (MaxDateTime). The zero time.Time is null.
func DateTimeOf(t time.Time) DateTime {
	if t.IsZero() {
		return 0
	}
	s := t.Unix()
	switch {
	case s < -ticksToUnix/ticksPerSecond:
		return 0
	case s > (maxTicks-ticksToUnix)/ticksPerSecond:
		return MaxDateTime
	}
	return DateTime(s*ticksPerSecond + int64(t.Nanosecond())/100 + ticksToUnix)
}

// DateTimeOfUnixNano returns the time ns nanoseconds after 1970-01-01 UTC, cut to 100 ns. Every int64 is within 1601 and 9999.
func DateTimeOfUnixNano(ns int64) DateTime {
	ticks := ns / 100
	if ns%100 < 0 {
		ticks--
	}
	return DateTime(ticks + ticksToUnix)
}

// IsNull reports whether t says nothing: 0, or before 1601.
func (t DateTime) IsNull() bool { return t <= 0 }

// Time returns t in UTC; null is the zero time.Time, and what lies after 9999 is the last second of that year.
func (t DateTime) Time() time.Time {
	if t <= 0 {
		return time.Time{}
	}
	u := min(int64(t), maxTicks) - ticksToUnix
	s, rest := u/ticksPerSecond, u%ticksPerSecond
	return time.Unix(s, rest*100).UTC()
}

// UnixNano returns the nanoseconds since 1970-01-01 UTC, clamped to what an int64 holds (1677 to 2262); null is 0.
func (t DateTime) UnixNano() int64 {
	if t <= 0 {
		return 0
	}
	u := int64(t) - ticksToUnix
	return min(max(u, math.MinInt64/100), math.MaxInt64/100) * 100
}

// String returns t in RFC 3339, "null" for null.
func (t DateTime) String() string {
	if t.IsNull() {
		return "null"
	}
	return t.Time().Format("2006-01-02T15:04:05.9999999Z07:00")
}
