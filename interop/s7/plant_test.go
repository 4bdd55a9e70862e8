package s7_test

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// plant is the memory that every server of this suite shows: DB 1 (8,192 bytes), DB 3 (99) and I (256) hold i mod 251 in byte i; DB 2, M and Q
// have 1,024 zeros; counter and timer n hold BCD(n). It answers the questions about memory as a PLC does, and so says what each stack has to say.
type plant struct {
	areas map[string][]byte
	quirks
}

// quirks are what foreign servers do otherwise.
type quirks struct {
	halfNumbers bool // counter and timer n lie at byte n/2, not 2n
	afterReal   bool // what stands behind a REAL in a write of several items is refused with 07
	wholeBytes  bool // a bit is its byte, read and written
	halfWrites  bool // a write beyond an end writes what fits, and is refused with 8404, as is one to what is not there
}

func newPlant(q quirks) plant {
	words := make([]byte, 0, 512)
	for n := range 256 {
		bcd := n/100<<8 | n/10%10<<4 | n%10
		words = append(words, byte(bcd>>8), byte(bcd))
	}
	return plant{map[string][]byte{
		"I": pattern(256), "Q": make([]byte, 1024), "M": make([]byte, 1024), "C": words, "T": append([]byte(nil), words...),
		"DB1": pattern(8192), "DB2": make([]byte, 1024), "DB3": pattern(99),
	}, q}
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

var widths = map[string]int{"BIT": 1, "BYTE": 1, "CHAR": 1, "WORD": 2, "INT": 2, "DWORD": 4, "DINT": 4, "REAL": 4, "COUNTER": 2, "TIMER": 2}

// question is AREA DB START[.BIT] SIZE COUNT [DATA].
type question struct {
	area, size string
	db, at     int
	bit        int
	count      int
	data       []byte
}

func ask(s string) question {
	w := strings.Fields(s)
	at, bit, _ := strings.Cut(w[2], ".")
	q := question{area: w[0], db: number(w[1]), at: number(at), size: w[3], count: number(w[4])}
	if bit != "" {
		q.bit = number(bit)
	}
	if len(w) > 5 {
		q.data, _ = hex.DecodeString(w[5])
	}
	return q
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func (q question) String() string {
	at := strconv.Itoa(q.at)
	if q.size == "BIT" {
		at += "." + strconv.Itoa(q.bit)
	}
	s := fmt.Sprintf("%s %d %s %s %d", q.area, q.db, at, q.size, q.count)
	if q.data != nil {
		s += " " + hex.EncodeToString(q.data)
	}
	return s
}

func (q question) len() int { return q.count * widths[q.size] }

// memory returns the bytes that q names, or a return code.
func (p plant) memory(q question) ([]byte, string) {
	name := q.area
	if name == "DB" {
		name += strconv.Itoa(q.db)
	}
	m, ok := p.areas[name]
	at := q.at
	if q.area == "C" || q.area == "T" {
		if at *= 2; p.halfNumbers {
			at = q.at / 2
		}
	}
	switch {
	case !ok:
		return nil, "!0A"
	case (q.area == "C") != (q.size == "COUNTER"), (q.area == "T") != (q.size == "TIMER"), at+q.len() > len(m):
		return nil, "!05"
	}
	return m[at:][:q.len()], ""
}

func (p plant) read(q question) string {
	m, bad := p.memory(q)
	switch {
	case bad != "":
		return bad
	case q.size == "BIT" && !p.wholeBytes:
		return fmt.Sprintf("%02x", m[0]>>q.bit&1)
	}
	return hex.EncodeToString(m)
}

func (p plant) write(q question) string {
	m, bad := p.memory(q)
	switch {
	case bad == "!05" && p.halfWrites:
		whole := p.areas[q.area+strconv.Itoa(q.db)]
		copy(whole[q.at:], q.data)
		return "!8404"
	case bad != "" && p.halfWrites:
		return "!8404"
	case bad != "":
		return bad
	case q.size != "BIT" || p.wholeBytes:
		copy(m, q.data)
	case q.data[0]&1 != 0:
		m[0] |= 1 << q.bit
	default:
		m[0] &^= 1 << q.bit
	}
	return "ok"
}

// answer is what a client says of a line of the script that reads or writes memory.
func (p plant) answer(line string) string {
	what, rest, _ := strings.Cut(line, " ")
	var out []string
	real := false
	for s := range strings.SplitSeq(rest, ";") {
		switch q := ask(s); {
		case !strings.HasPrefix(what, "write"):
			out = append(out, p.read(q))
		case real && p.afterReal:
			out = append(out, "!07")
		default:
			out = append(out, p.write(q))
			real = real || q.size == "REAL"
		}
	}
	return strings.Join(out, " ")
}
