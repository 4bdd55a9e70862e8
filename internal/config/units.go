package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// ParseDuration reads a duration as Go writes it (1h30m, 250ms), with days too: 7d, 1d12h. It is never negative.
func ParseDuration(s string) (time.Duration, error) {
	if _, err := strconv.ParseFloat(s, 64); err == nil && s != "0" {
		return 0, fmt.Errorf("duration %s has no unit; write %ss for seconds", s, s)
	}
	var days time.Duration
	rest := s
	if n, after, ok := strings.Cut(s, "d"); ok {
		v, err := strconv.ParseFloat(n, 64)
		if err != nil || !(v >= 0 && v <= 100_000) {
			return 0, badDuration(s)
		}
		days, rest = time.Duration(v*float64(24*time.Hour)), after
		if rest == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || d > math.MaxInt64-days {
		return 0, badDuration(s)
	}
	return days + d, nil
}

func badDuration(s string) error {
	return fmt.Errorf("%q is not a duration; write it like 250ms, 10s, 1h30m or 7d", s)
}

// sizeUnits are the units of sizes; a binary unit is a power of 1024, a decimal one a power of 1000.
var sizeUnits = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
}

// ParseSize reads a number of bytes: 1048576, 64MiB, 1.5GiB, 100MB.
func ParseSize(s string) (int64, error) {
	number, factor := strings.TrimSuffix(s, "B"), 1.0
	for _, u := range sizeUnits {
		if n, ok := strings.CutSuffix(s, u.name); ok {
			number, factor = n, u.bytes
			break
		}
	}
	number = strings.TrimSpace(number)
	if factor == 1 {
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 0 {
			return 0, badSize(s)
		}
		return n, nil
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v >= 0) || v*factor >= math.MaxInt64 {
		return 0, badSize(s)
	}
	return int64(v * factor), nil
}

func badSize(s string) error {
	return fmt.Errorf("%q is not a size; write it like 64MiB, 10GiB or a number of bytes", s)
}

// FormatSize writes n as ParseSize reads it, in the largest binary unit that divides it.
func FormatSize(n int64) string {
	for i := 3; i >= 0; i-- {
		if unit := int64(sizeUnits[i].bytes); n != 0 && n%unit == 0 {
			return strconv.FormatInt(n/unit, 10) + sizeUnits[i].name
		}
	}
	return strconv.FormatInt(n, 10)
}

// parseNumber reads a finite number.
func parseNumber(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return v, nil
}

func parseBool(s string) (bool, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%q is not true or false", s)
}

func nameRune(r rune) bool {
	return r == '_' || r == '-' || r == '.' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)
}

// checkName says what is wrong with s as the name of a device, group, tag, sink or parameter. slash allows a / inside, as tag names
// may have.
func checkName(s string, slash bool) error {
	if s == "" {
		return errors.New("a name may not be empty")
	}
	if len(s) > 200 {
		return fmt.Errorf("name %.20s... is longer than 200 bytes", s)
	}
	for i, r := range s {
		if !nameRune(r) && !(slash && r == '/' && i > 0 && i < len(s)-1) {
			inside := ""
			if slash {
				inside = ", and / inside"
			}
			return fmt.Errorf("name %q may not have %q; letters, digits, _, - and . may stand in it%s", s, r, inside)
		}
	}
	return nil
}
