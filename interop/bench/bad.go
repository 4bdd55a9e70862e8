package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"
)

// badInput is what a client sends and all that it may get for it. Without an answer the server hangs up.
type badInput struct {
	name   string
	send   string // as hexadecimal digits
	want   string
	single bool // each byte in a segment of its own
	last   bool // the answer is the last that can be framed
}

// badInputs are what servers in the field serve, answer as if it were good, or never get over.
var badInputs = []badInput{
	{name: "3 requests in one segment",
		send: "0001 0000 0006 01 03 0001 0001  0002 0000 0006 01 03 0002 0001  0003 0000 0006 01 03 0003 0001",
		want: "0001 0000 0005 01 03 02 0001  0002 0000 0005 01 03 02 0002  0003 0000 0005 01 03 02 0003"},
	{name: "byte by byte", send: "0001 0000 0006 01 03 0001 0001", want: "0001 0000 0005 01 03 02 0001", single: true},
	{name: "protocol id 1", send: "0001 0001 0006 01 03 0001 0001"},
	{name: "length 0", send: "0001 0000 0000 01 03 0001 0001"},
	{name: "length 1", send: "0001 0000 0001 01 03 0001 0001"},
	{name: "length 65535", send: "0001 0000 FFFF 01 03 0001 0001"},
	{name: "length 2 too short", send: "0001 0000 0004 01 03 0001 0001", want: "0001 0000 0003 01 83 03", last: true},
	{name: "quantity 0", send: "0001 0000 0006 01 03 0001 0000", want: "0001 0000 0003 01 83 03"},
	{name: "quantity 126", send: "0001 0000 0006 01 03 0001 007E", want: "0001 0000 0003 01 83 03"},
	{name: "address 65535, quantity 2", send: "0001 0000 0006 01 03 FFFF 0002", want: "0001 0000 0003 01 83 02"},
	{name: "function 0", send: "0001 0000 0006 01 00 0001 0001", want: "0001 0000 0003 01 80 01"},
	{name: "function 0x83", send: "0001 0000 0006 01 83 0001 0001", want: "0001 0000 0003 01 83 01"},
	{name: "function 16, byte count lies", send: "0001 0000 000B 01 10 0001 0002 06 0001 0002", want: "0001 0000 0003 01 90 03"},
	{name: "function 5, value 1234", send: "0001 0000 0006 01 05 0001 1234", want: "0001 0000 0003 01 85 03"},
}

var goodRequest = badInput{name: "a good request", send: "0007 0000 0006 01 03 0009 0001", want: "0007 0000 0005 01 03 02 0009"}

const badRounds = 200

// benchBad sends each bad input to our server, on a connection that was served before, and prints how long its answer or its hanging up takes. After
// an answer the connection must be served still.
func benchBad(ctx context.Context, w io.Writer) error {
	srv, addr, err := startSelf(ctx, "millrace")
	if err != nil {
		return err
	}
	defer srv.stop()
	const title = "Modbus server, bad inputs"
	fmt.Fprintf(w, "\n%s\n%s\n%-30s %-24s %10s %10s\n", title, strings.Repeat("-", len(title)), "", "gets", "median µs", "90 % µs")
	for _, in := range append([]badInput{goodRequest}, badInputs...) {
		took := make([]time.Duration, badRounds)
		for i := range took {
			if took[i], err = badRound(addr, in); err != nil {
				return fmt.Errorf("bad input %q: %w", in.name, err)
			}
		}
		slices.Sort(took)
		fmt.Fprintf(w, "%-30s %-24s %10.0f %10.0f\n", in.name, in.gets(), micros(took[badRounds/2]), micros(took[badRounds*9/10]))
	}
	return nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// gets says what the right answer is.
func (in *badInput) gets() string {
	b := unhex(in.want)
	switch {
	case len(b) == 0:
		return "closed"
	case b[7]&0x80 != 0:
		return fmt.Sprintf("%02X, exception %d", b[7], b[8])
	case len(b) > 11:
		return "all answers, in order"
	}
	return "its answer"
}

func badRound(addr string, in badInput) (time.Duration, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return 0, err
	}
	if _, err := exchange(c, goodRequest); err != nil {
		return 0, err
	}
	took, err := exchange(c, in)
	if err != nil || in.want == "" || in.last {
		return took, err
	}
	if _, err := exchange(c, goodRequest); err != nil {
		return 0, fmt.Errorf("a good request after it: %w", err)
	}
	return took, nil
}

// exchange sends what over c and returns how long after its last byte the whole answer was there, or the end of the connection.
func exchange(c net.Conn, what badInput) (time.Duration, error) {
	send, want := unhex(what.send), unhex(what.want)
	for ; what.single && len(send) > 1; send = send[1:] {
		if _, err := c.Write(send[:1]); err != nil {
			return 0, err
		}
	}
	start := time.Now()
	if _, err := c.Write(send); err != nil {
		return 0, err
	}
	got := make([]byte, max(len(want), 1))
	n, err := io.ReadFull(c, got)
	took := time.Since(start)
	switch {
	case len(want) > 0 && (err != nil || !bytes.Equal(got, want)):
		return 0, fmt.Errorf("got % x (%v), not % x", got[:n], err, want)
	case len(want) == 0 && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET):
		return 0, fmt.Errorf("got % x (%v) where the connection should end", got[:n], err)
	}
	return took, nil
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err) // of a table above
	}
	return b
}
