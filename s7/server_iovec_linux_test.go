package s7

import (
	"fmt"
	"net"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// BenchmarkGather is why answers are copied into one buffer, and not handed to the kernel as header and data apart: one iteration sends the answers to a window
// of reads of n bytes of a DB, once each way. With copy they go through the DB's lock into the buffer and out by one write; with iovec the write itself
// takes them from the DB, whose lock is held meanwhile, as it must be for one snapshot an item. 942 bytes is the most that PLCs grant, 8,170 what a TPDU holds. What is reported is the processor time of the sender: the median
// of rounds in turn, and the ratio.
func BenchmarkGather(b *testing.B) {
	for _, window := range []int{1, 8} {
		for _, n := range []int{4, 200, 942, 4000, 8170, 64_900} {
			b.Run(fmt.Sprintf("window=%d/bytes=%d", window, n), func(b *testing.B) { benchGather(b, n, window) })
		}
	}
}

func benchGather(b *testing.B, n, window int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	g := &gatherer{c: sink(b), n: n, window: window, it: Bytes(AreaDB, 1, 0, uint16(n))}
	if err := g.m.AddDB(1, make([]byte, 1<<16)); err != nil {
		b.Fatal(err)
	}
	ways := []func(b *testing.B){g.copies, g.iovecs}
	var took [2][]float64
	const round = 100
	for done := 0; done < b.N; done += round {
		for w, send := range ways {
			begin := threadTime(b)
			for range round {
				send(b)
			}
			took[w] = append(took[w], float64(threadTime(b)-begin)/round)
		}
	}
	var median [2]float64
	for w := range took {
		slices.Sort(took[w])
		median[w] = took[w][len(took[w])/2]
	}
	b.ReportMetric(median[0], "copy-ns")
	b.ReportMetric(median[1], "iovec-ns")
	b.ReportMetric(median[1]/median[0], "iovec/copy")
	b.ReportMetric(0, "ns/op")
}

// threadTime is the processor time of this thread.
func threadTime(b *testing.B) time.Duration {
	const threadClock = 3 // CLOCK_THREAD_CPUTIME_ID; getrusage counts in ticks
	var t syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, threadClock, uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		b.Fatal(errno)
	}
	return time.Duration(t.Nano())
}

// sink is a connection whose other end reads and forgets.
func sink(b *testing.B) net.Conn {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 1<<18)
		for err == nil {
			_, err = c.Read(buf)
		}
	}()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close(); ln.Close(); <-done })
	return c
}

type gatherer struct {
	c         net.Conn
	m         Memory
	it        Item
	n, window int
	out       []byte
	vecs      net.Buffers
}

func (g *gatherer) copies(b *testing.B) {
	g.out = g.out[:0]
	for range g.window {
		frame := len(g.out)
		out := BeginFrame(g.out)
		start := len(out)
		grown, dst := GrowReadItem(BeginReadResponse(out, 1, 1), start, DataOctet, g.n)
		g.m.ReadItem(b.Context(), nil, &g.it, dst)
		g.out = EndFrame(EndReadResponse(grown, start), frame)
	}
	if _, err := g.c.Write(g.out); err != nil {
		b.Fatal(err)
	}
}

func (g *gatherer) iovecs(b *testing.B) {
	var err error
	g.m.View(AreaDB, 1, func(data []byte) {
		g.out, g.vecs = g.out[:0], g.vecs[:0]
		for range g.window {
			frame := len(g.out)
			out := BeginFrame(g.out)
			start := len(out)
			out, _ = GrowReadItem(BeginReadResponse(out, 1, 1), start, DataOctet, 0)
			g.out = EndFrame(EndReadResponse(out, start), frame) // the lengths would be others, the work is the same
			g.vecs = append(g.vecs, g.out[frame:], data[:g.n])
		}
		vecs := g.vecs
		_, err = vecs.WriteTo(g.c)
	})
	if err != nil {
		b.Fatal(err)
	}
}
