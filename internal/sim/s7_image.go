package sim

import (
	"math"
	"time"

	"millrace/s7"
)

// S7Waves is how many live values an S7 device has: DB 2 is so many REALs.
const S7Waves = 256

// s7Region is a stretch of a CPU's memory: an area, or a DB.
type s7Region uint8

const (
	regionInputs s7Region = iota
	regionOutputs
	regionMarkers
	regionTimers
	regionCounters
	regionDB1
	regionDB2
	regionDB3
	s7Regions // how many there are
)

const (
	s7Process   = 1024       // bytes of I, of Q and of M
	s7Numbered  = 256 * 2    // bytes of 256 timers, and of 256 counters
	s7Ramp      = 8192       // bytes of DB 1
	maxDownload = 2 * s7Ramp // bytes that DB 1 may have after a program download
	rampPeriod  = 251        // byte i of DB 1 and of I is i modulo this: a prime, so that no power of two hides a shift
)

// regions is the table of a device's memory. A region that cannot be written answers 03.
var regions = [s7Regions]struct {
	name     string // in faults
	area     s7.Area
	db       uint16
	size     int
	writable bool
}{
	regionInputs:   {"i", s7.AreaInputs, 0, s7Process, false},
	regionOutputs:  {"q", s7.AreaOutputs, 0, s7Process, true},
	regionMarkers:  {"m", s7.AreaMarkers, 0, s7Process, true},
	regionTimers:   {"t", s7.AreaTimer, 0, s7Numbered, true},
	regionCounters: {"c", s7.AreaCounter, 0, s7Numbered, true},
	regionDB1:      {"db1", s7.AreaDB, 1, s7Ramp, true},
	regionDB2:      {"db2", s7.AreaDB, 2, S7Waves * 4, false},
	regionDB3:      {"db3", s7.AreaDB, 3, len(variables), true},
}

// regionOf returns the region of an area, or of a DB. The number of a DB counts in area DB alone.
func regionOf(a s7.Area, db uint16) (s7Region, bool) {
	for i := range regions {
		if r := &regions[i]; r.area == a && (a != s7.AreaDB || r.db == db) {
			return s7Region(i), true
		}
	}
	return 0, false
}

func regionNamed(name string) (s7Region, bool) {
	for i := range regions {
		if regions[i].name == name {
			return s7Region(i), true
		}
	}
	return 0, false
}

// fill writes what a device has from byte at on where nobody has written. All of it is of one moment, so that no wave is torn.
func (r s7Region) fill(device, at int, now time.Time, dst []byte) {
	switch r {
	case regionInputs, regionDB1:
		for i := range dst {
			dst[i] = byte((at + i) % rampPeriod)
		}
	case regionTimers, regionCounters:
		for i := range dst {
			dst[i] = digits((at+i)/2, (at+i)%2 == 0)
		}
	case regionDB2:
		fillWaves(device, at, now, dst)
	case regionDB3:
		copy(dst, variables[at:])
	default:
		clear(dst)
	}
}

// digits returns a byte of what timer or counter n holds: n as three BCD digits, which as a time counts 10 ms.
func digits(n int, high bool) byte {
	if high {
		return byte(n / 100 % 10)
	}
	return byte(n/10%10<<4 | n%10)
}

// fillWaves writes the REALs that lie from byte at of DB 2 on, of which the first and the last may be cut.
func fillWaves(device, at int, now time.Time, dst []byte) {
	var bits uint32
	for i := range dst {
		k, part := (at+i)/4, (at+i)%4
		if i == 0 || part == 0 {
			bits = math.Float32bits(Wave(device, k, now))
		}
		dst[i] = byte(bits >> (24 - 8*part))
	}
}

// variables is DB 3: a variable of each type, then the odd ones. docs/simulator.md has the same table in words.
const variables = "\x85\xA5" + // 0 BOOL 0.0, 0.2, 0.7; 1 BYTE
	"\xCA\xFE" + // 2 WORD
	"\xDE\xAD\xBE\xEF" + // 4 DWORD
	"\x01\x23\x45\x67\x89\xAB\xCD\xEF" + // 8 LWORD
	"\x9C\xC8" + // 16 SINT; 17 USINT
	"\xCF\xC7\xD4\x31" + // 18 INT; 20 UINT
	"\xB6\x69\xFD\x2E\xCE\x0A\x6A\x14" + // 22 DINT; 26 UDINT
	"\xEE\xDD\xEF\x0B\x82\x16\x7E\xEB" + // 30 LINT
	"\xAB\x54\xA9\x8C\xEB\x1F\x0A\xD2" + // 38 ULINT
	"\x40\x49\x0F\xDB" + // 46 REAL
	"\x40\x05\xBF\x0A\x8B\x14\x57\x69" + // 50 LREAL
	"S\x00" + // 58 CHAR
	"\x03\xA9" + // 60 WCHAR
	"\x14\x08Millrace\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + // 62 STRING[20]
	"\x00\x0A\x00\x07\x00G\x00r\x00\xFC\x00\xDF\x00e\x00 \x03\xA9\x00\x00\x00\x00\x00\x00" + // 84 WSTRING[10]
	"\x30\xBD" + // 108 DATE
	"\x02\xD7\x2A\xFE" + // 110 TOD
	"\xFF\xC7\x31\x04" + // 114 TIME
	"\x00\x00\x03\x62\xD4\x17\xAE\x04" + // 118 LTIME
	"\x00\x00\x4E\x94\x91\x4E\xFF\xFF" + // 126 LTOD
	"\x17\xB8\x57\xAC\x11\x4E\x93\x15" + // 134 LDT
	"\x24\x02\x29\x13\x14\x15\x67\x85" + // 142 DT
	"\x07\xE8\x02\x1D\x05\x0D\x0E\x0F\x07\x5B\xCD\x15" + // 150 DTL
	"\x11\x23" + // 162 S5TIME
	"\x09\x87" + // 164 COUNTER
	"\x0A\xC80123456789" + // 166 STRING[10] of 200 characters
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + // 178 STRING[10] that nobody has written to
	"\x00\x04\x00\x09\x00a\x00b\x00c\x00d" + // 190 WSTRING[4] of 9 characters
	"\xD8\x34" + // 202 WCHAR, half a pair
	"\x0F\xFF\x0A\xBC" + // 204 S5TIME, 206 COUNTER, no digits
	"\x24\x02\x31\x00\x00\x00\x00\x07" + // 208 DT of 31 February
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + // 216 DTL of the year 0
	"\x7F\xC0\x00\x00\x7F\x80\x00\x00\x80\x00\x00\x00" + // 228 REAL NaN, 232 +Inf, 236 -0
	"\x00\x00\x00\x00\x00\x00\x00\x01" + // 240 LREAL, the smallest
	"\x05\x26\x5C\x00" + // 248 TOD, 24 hours
	"\xFF\xFF" + // 252 DATE, the last
	"\x90\x01\x01\x00\x00\x00\x00\x02" + // 254 DT, the first
	"\x04\x04\xD6l\xB0C" + // 262 STRING[4] in Latin-1
	"\x00\x04\x00\x02\xD8\x34\xDD\x1E\x00\x00\x00\x00" + // 268 WSTRING[4], one character of two units
	"\x80\x00\x00\x00" + // 280 TIME, the least
	"\x39\x99" // 284 S5TIME, the longest

// s7PageBytes is how much of a region is kept once a byte of it was written.
const s7PageBytes = 64

// s7Memory is what was written to a device: whole pages, the rest is the image. Its owner locks it.
type s7Memory struct {
	pages map[s7Page]*[s7PageBytes]byte // nil until something is
}

// s7Page names a page: its region and its number there.
type s7Page struct {
	region s7Region
	number uint8
}

// read fills dst from byte at of a region on.
func (m *s7Memory) read(r s7Region, device, at int, now time.Time, dst []byte) {
	r.fill(device, at, now, dst)
	if m.pages == nil {
		return
	}
	for i := 0; i < len(dst); {
		n := s7PageBytes - (at+i)%s7PageBytes
		if p := m.pages[s7Page{r, uint8((at + i) / s7PageBytes)}]; p != nil {
			n = copy(dst[i:], p[s7PageBytes-n:])
		}
		i += n
	}
}

// write puts src from byte at of a region on.
func (m *s7Memory) write(r s7Region, device, at int, now time.Time, src []byte) {
	for len(src) > 0 {
		from := at % s7PageBytes
		n := copy(m.page(r, device, at, now)[from:], src)
		at, src = at+n, src[n:]
	}
}

// setBit sets a bit of byte at and leaves its neighbours.
func (m *s7Memory) setBit(r s7Region, device, at int, now time.Time, bit uint8, v bool) {
	p := m.page(r, device, at, now)
	p[at%s7PageBytes] = s7.PutBool(p[at%s7PageBytes], bit, v)
}

// page returns the page with byte at, from the image when it is new. The last one of a region may reach behind its end, where nobody reads.
func (m *s7Memory) page(r s7Region, device, at int, now time.Time) *[s7PageBytes]byte {
	key := s7Page{r, uint8(at / s7PageBytes)}
	p := m.pages[key]
	if p != nil {
		return p
	}
	if m.pages == nil {
		m.pages = map[s7Page]*[s7PageBytes]byte{}
	}
	p = new([s7PageBytes]byte)
	first := at / s7PageBytes * s7PageBytes
	r.fill(device, first, now, p[:])
	m.pages[key] = p
	return p
}
