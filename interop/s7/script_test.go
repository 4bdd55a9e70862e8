package s7_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// The items of one request stay within what every peer can ask of a PDU of 240 bytes.
const (
	mostItems   = 18 // (240 - 12) / 12 = 19; snap7's own limit is 20
	mostAnswer  = 240 - 14
	mostRequest = 240 - 12
)

// reads are the lines that read: every area, every size, bits, odd lengths, the limits of PDUs of 240, 480 and 960 bytes and far beyond, what is
// not there, and random sets of them in one request.
func reads() []string {
	var out []string
	line := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, area := range []string{"DB 1", "I 0", "Q 0", "M 0", "DB 3"} {
		for _, at := range []int{0, 1, 17} {
			for _, n := range []int{1, 2, 3, 7, 8, 80} {
				line("read %s %d BYTE %d", area, at, n)
			}
		}
	}
	for _, n := range []int{211, 212, 213, 221, 222, 223, 224, 444, 445, 461, 462, 463, 931, 932, 933, 941, 942, 943, 2000, 8191, 8192} {
		line("read DB 1 0 BYTE %d", n)
		line("read DB 1 %d BYTE %d", 8192-n, n)
	}
	for bit := range 8 {
		line("read I 0 85.%d BIT 1", bit)
		line("vars DB 1 170.%d BIT 1;I 0 85.%d BIT 1", bit, 7-bit)
	}
	for _, size := range []string{"BYTE", "CHAR", "WORD", "INT", "DWORD", "DINT", "REAL"} {
		for _, n := range []int{1, 3, 10} {
			line("vars DB 1 100 %s %d", size, n)
			line("vars I 0 40 %s %d;DB 3 3 %s %d;DB 1 9 BYTE 1", size, n, size, n)
		}
	}
	for _, q := range []string{"C 0 0 COUNTER 1", "C 0 7 COUNTER 3", "C 0 200 COUNTER 56", "T 0 0 TIMER 1", "T 0 7 TIMER 3", "T 0 200 TIMER 56"} {
		line("read %s", q)
		line("vars %s;DB 1 1 BYTE 1", q)
	}
	for _, q := range []string{"DB 9 0 BYTE 1", "DB 65535 0 BYTE 4", "DB 1 8192 BYTE 1", "DB 1 8190 BYTE 5", "DB 3 98 WORD 1", "I 0 256 BYTE 1", "M 0 1023 DWORD 1"} {
		if strings.Contains(q, "BYTE") {
			line("read %s", q)
		}
		line("vars %s", q)
		line("vars DB 1 3 BYTE 3;%s;M 0 0 BYTE 1;%s;DB 1 5 WORD 2", q, q)
	}
	return append(out, randomReads(60)...)
}

// randomReads are n requests of many items, of which some are not there.
func randomReads(n int) []string {
	r := rand.New(rand.NewPCG(7, 3)) // the same ones in every run
	var out []string
	for range n {
		request, answer := 0, 0
		var items []string
		for range 1 + r.IntN(mostItems) {
			q := randomItem(r)
			request, answer = request+12, answer+4+q.len()+1
			if request > mostRequest || answer > mostAnswer {
				break
			}
			items = append(items, q.String())
		}
		out = append(out, "vars "+strings.Join(items, ";"))
	}
	return out
}

func randomItem(r *rand.Rand) question {
	areas := []question{{area: "DB", db: 1, at: 8192}, {area: "DB", db: 3, at: 99}, {area: "I", at: 256}, {area: "M", at: 1024}, {area: "DB", db: 77, at: 10}}
	q := areas[r.IntN(len(areas))]
	q.at = r.IntN(q.at + 2) // one past the end, at times
	sizes := []string{"BIT", "BYTE", "BYTE", "CHAR", "WORD", "INT", "DWORD", "DINT", "REAL"}
	q.size, q.count = sizes[r.IntN(len(sizes))], 1+r.IntN(9)
	if q.size == "BIT" {
		q.bit, q.count = r.IntN(8), 1
	}
	return q
}

// writes are the lines that write, each with one that reads the place and its neighbours back.
func writes() []string {
	var out []string
	line := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, area := range []string{"DB 2", "Q 0", "M 0"} {
		for _, n := range []int{1, 2, 3, 8, 33, 211, 212, 213, 451, 452, 453, 931, 932, 933} {
			line("write %s 40 BYTE %d %x", area, n, pattern(n + 1)[1:])
			line("read %s 38 BYTE %d", area, n+4)
		}
	}
	for bit := range 8 {
		line("write M 0 3.%d BIT 1 01", bit)
		line("read M 0 2 BYTE 3")
		line("writevars DB 2 5.%d BIT 1 01;M 0 3.%d BIT 1 00", bit, bit)
		line("vars DB 2 4 BYTE 3;M 0 2 BYTE 3")
	}
	for i, size := range []string{"BYTE", "CHAR", "WORD", "INT", "DWORD", "DINT", "REAL"} {
		for _, n := range []int{1, 3} {
			line("writevars DB 2 200 %s %d %x", size, n, pattern(99)[i+1:][:n*widths[size]])
			line("read DB 2 198 BYTE 20")
		}
	}
	line("writevars DB 2 300 BYTE 3 0a0b0c;M 0 300 WORD 2 01020304;DB 2 310.2 BIT 1 01;Q 0 300 BYTE 1 ff;DB 2 320 DWORD 1 deadbeef")
	line("vars DB 2 298 BYTE 30;M 0 298 BYTE 8;Q 0 299 BYTE 3")
	line("writevars DB 2 1023 BYTE 2 0102;DB 2 400 BYTE 2 0304;DB 66 0 BYTE 1 05;M 0 400 BYTE 1 06")
	line("vars DB 2 399 BYTE 4;M 0 399 BYTE 3")
	line("write DB 66 0 BYTE 4 01020304")
	line("write DB 2 1022 BYTE 4 01020304")
	line("read DB 2 1020 BYTE 4")
	for _, q := range []string{"C 0 10 COUNTER", "T 0 10 TIMER"} {
		line("write %s 2 01230999", q)
		line("read %s 3", q)
	}
	return out
}

// reals are writes of REALs before other items, whose lengths count bytes where those of others count bits.
func reals() []string {
	return []string{
		"writevars DB 2 500 REAL 1 3f800000;DB 2 510 BYTE 2 0102", "vars DB 2 498 BYTE 16",
		"writevars M 0 500 REAL 3 3f8000004000000040400000;M 0 520 REAL 1 40800000;M 0 530.1 BIT 1 01", "vars M 0 498 BYTE 34",
	}
}

// manyNumbers are more counters and timers than go into one PDU. snap7's client, and gos7, which cannot ask for so many in one request, are not asked: snap7 goes on
// two numbers further for each that it has read.
func manyNumbers() []string { return []string{"read C 0 0 COUNTER 256", "read T 0 3 TIMER 253"} }
