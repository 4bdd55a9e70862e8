package modbus_test

import (
	"fmt"
	"strings"
)

// image is the plant that every server of this suite shows: holding register a holds a, input register a holds 65535-a, coil a is set
// when a divides by 3, discrete input a when it divides by 5. Writes change it.
type image struct {
	holding [65536]uint16
	coils   [65536]bool
}

func newImage() *image {
	m := &image{}
	for a := range m.holding {
		m.holding[a] = uint16(a)
		m.coils[a] = a%3 == 0
	}
	return m
}

// transcript is what a client that asks everything must print: one line an answer. The foreign clients of peers/ print it.
func transcript() []string {
	m := newImage()
	var out []string
	line := func(what string, a, n int, value func(i int) int) {
		var b strings.Builder
		fmt.Fprintf(&b, "%s %d %d:", what, a, n)
		for i := range n {
			fmt.Fprintf(&b, " %d", value(i))
		}
		out = append(out, b.String())
	}
	holding := func(a, n int) { line("holding", a, n, func(i int) int { return int(m.holding[a+i]) }) }
	coil := func(a, n int) { line("coil", a, n, func(i int) int { return bit(m.coils[a+i]) }) }
	done := func(what string, a, n int) { out = append(out, fmt.Sprintf("%s %d %d: ok", what, a, n)) }

	for _, a := range []int{0, 1, 100, 9999, 65535 - 124} {
		for _, n := range []int{1, 2, 7, 124, 125} {
			holding(a, n)
			line("input", a, n, func(i int) int { return 65535 - a - i })
		}
	}
	for _, a := range []int{0, 1, 100, 9999} {
		for _, n := range []int{1, 8, 9, 1999, 2000} {
			coil(a, n)
			line("discrete", a, n, func(i int) int { return bit((a+i)%5 == 0) })
		}
	}
	out = append(out, "holding 65535 2: error 2")

	m.holding[500] = 12345
	done("write register", 500, 1)
	holding(499, 3)
	m.coils[501], m.coils[502] = false, true
	done("write coil", 501, 1)
	done("write coil", 502, 1)
	coil(500, 4)
	for i := range 123 {
		m.holding[600+i] = uint16(40000 + i)
	}
	done("write registers", 600, 123)
	holding(599, 125)
	for i := range 1968 {
		m.coils[3000+i] = i%2 == 1
	}
	done("write coils", 3000, 1968)
	coil(2999, 1970)
	m.holding[500] = m.holding[500]&0x00F2 | 0x0025&^0x00F2
	done("mask", 500, 1)
	holding(500, 1)
	for i := range 121 {
		m.holding[700+i] = uint16(50000 + i)
	}
	line("read-write", 698, 125, func(i int) int { return int(m.holding[698+i]) })
	return out
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
