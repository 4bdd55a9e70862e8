package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"millrace/s7"
)

// readBytes is what a read of the S7 benchmarks asks for: the first bytes of DB 1, byte i of which holds i mod 251.
const readBytes = 200

// dbRead asks an S7 server for them. What it sends and compares it has made before: the load shares the machine with the server.
type dbRead struct{}

// connect is CR, CC and Setup.
func (dbRead) connect(addr string) (net.Conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := handshake(c); err != nil {
		c.Close()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return c, nil
}

const (
	confirmBytes = 22 // a CC with size and two TSAPs
	setupBytes   = 27
)

func handshake(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	cr := s7.Connect{Code: s7.TPDUConnectRequest, SrcRef: 1, Size: s7.TPDUSize1024, Calling: []byte{1, 0}, Called: s7.AppendTSAP(nil, s7.ConnectOP, 0, 2)}
	if _, err := exchangeFrame(c, cr.AppendTo(nil), confirmBytes); err != nil {
		return err
	}
	ask := s7.SetupRequest{Setup: s7.Setup{Calling: 8, Called: 8, PDU: 480}}
	answer, err := exchangeFrame(c, s7.EndFrame(ask.AppendTo(s7.BeginFrame(nil), 1), 0), setupBytes)
	if err != nil {
		return err
	}
	p, err := s7.DecodePDU(answer[s7.FrameBytes:])
	if err != nil {
		return err
	}
	var granted s7.SetupResponse
	if err := granted.Decode(&p); err != nil {
		return err
	}
	return c.SetDeadline(time.Time{})
}

func exchangeFrame(c net.Conn, ask []byte, answer int) ([]byte, error) {
	if _, err := c.Write(ask); err != nil {
		return nil, err
	}
	b := make([]byte, answer)
	_, err := io.ReadFull(c, b)
	return b, err
}

// refAt is where a frame has its reference.
const refAt = s7.FrameBytes + 4

func (dbRead) ask(c net.Conn, depth int, until time.Time) (uint64, error) {
	request := s7.ReadRequest{Items: []s7.Item{s7.Bytes(s7.AreaDB, 1, 0, readBytes)}}
	one := s7.EndFrame(request.AppendTo(s7.BeginFrame(nil), 0), 0)
	want := dbAnswer()
	in := bufio.NewReaderSize(c, 16<<10)
	reply, out := make([]byte, len(want)), []byte(nil)
	var n uint64
	for ref := uint16(0); time.Now().Before(until); {
		out = out[:0]
		for i := range depth {
			at := len(out)
			out = append(out, one...)
			binary.BigEndian.PutUint16(out[at+refAt:], ref+uint16(i))
		}
		if _, err := c.Write(out); err != nil {
			return n, err
		}
		for range depth {
			if _, err := io.ReadFull(in, reply); err != nil {
				return n, err
			}
			binary.BigEndian.PutUint16(want[refAt:], ref)
			if string(reply) != string(want) {
				return n, fmt.Errorf("answer to %d is wrong: % x", ref, reply[:32])
			}
			ref++
			n++
		}
	}
	return n, nil
}

// dbAnswer is the frame of the right answer, but for its reference.
func dbAnswer() []byte {
	item := s7.DataItem{Code: s7.ReturnOK, Size: s7.DataByte, Data: dbBytes(readBytes)}
	answer := s7.ReadResponse{Items: []s7.DataItem{item}}
	return s7.EndFrame(answer.AppendTo(s7.BeginFrame(nil), 0), 0)
}

func dbBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}
