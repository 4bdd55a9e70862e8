package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const registers = 100

// load is what a load run counted.
type load struct {
	requests uint64
	elapsed  time.Duration
	cpu      float64 // seconds of the process that was asked
}

func (l load) perCPU() float64 { return float64(l.requests) / l.cpu }
func (l load) rate() float64   { return float64(l.requests) / l.elapsed.Seconds() }

// asker is the client's side of a protocol in a load run.
type asker interface {
	connect(addr string) (net.Conn, error)
	// ask sends bursts of depth requests and reads their answers until the time is over. It returns how many there were, and an error if one is not
	// the answer to its request.
	ask(c net.Conn, depth int, until time.Time) (uint64, error)
}

// run asks process pid at addr from conns connections, depth requests in flight on each, for d. What it takes to connect does not count.
func run(addr string, pid int, a asker, conns, depth int, d time.Duration) (load, error) {
	var wg sync.WaitGroup
	var total atomic.Uint64
	errs := make(chan error, conns) // one at most from each connection
	cs := make([]net.Conn, conns)
	for i := range cs {
		c, err := a.connect(addr)
		if err != nil {
			return load{}, err
		}
		defer c.Close()
		cs[i] = c
	}
	before, err := cpuSeconds(pid)
	if err != nil {
		return load{}, err
	}
	start := time.Now()
	for _, c := range cs {
		wg.Go(func() {
			n, err := a.ask(c, depth, start.Add(d))
			total.Add(n)
			if err != nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	after, err := cpuSeconds(pid)
	close(errs)
	return load{total.Load(), elapsed, after - before}, errors.Join(<-errs, err)
}

// holding asks a Modbus server for 100 holding registers.
type holding struct{}

func (holding) connect(addr string) (net.Conn, error) { return net.Dial("tcp", addr) }

func (holding) ask(c net.Conn, depth int, until time.Time) (uint64, error) {
	const answer = 9 + 2*registers
	in := bufio.NewReaderSize(c, 64<<10)
	var out, reply []byte
	reply = make([]byte, answer)
	var n uint64
	for id := uint16(0); time.Now().Before(until); {
		out = out[:0]
		for i := range depth {
			out = binary.BigEndian.AppendUint16(out, id+uint16(i))
			out = append(out, 0, 0, 0, 6, 1, 3, 0, 0, 0, registers)
		}
		if _, err := c.Write(out); err != nil {
			return n, err
		}
		for range depth {
			if _, err := io.ReadFull(in, reply); err != nil {
				return n, err
			}
			if binary.BigEndian.Uint16(reply) != id || reply[7] != 3 || binary.BigEndian.Uint16(reply[answer-2:]) != registers-1 {
				return n, fmt.Errorf("answer to %d is wrong: % x", id, reply[:12])
			}
			id++
			n++
		}
	}
	return n, nil
}

// peakMemory and memory return the resident set of process pid in bytes: the highest so far, and now.
func peakMemory(pid int) (int64, error) { return statusField(pid, "VmHWM:") }
func memory(pid int) (int64, error)     { return statusField(pid, "VmRSS:") }

func statusField(pid int, field string) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, field); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status: no %s", pid, field)
}
