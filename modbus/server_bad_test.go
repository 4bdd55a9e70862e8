package modbus

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"millrace/internal/listen/listentest"
)

// badInput is what a client sends and what it must get. An empty reason means that the connection lives, otherwise it ends and this is counted.
type badInput struct {
	name   string
	send   string
	want   string
	reason string
}

// badInputs are the fourteen that were measured with six other servers, and more of their kind.
var badInputs = []badInput{
	{"three requests in one segment",
		"0001 0000 0006 01 03 0001 0001  0002 0000 0006 01 03 0002 0001  0003 0000 0006 01 03 0003 0001",
		"0001 0000 0005 01 03 02 0001  0002 0000 0005 01 03 02 0002  0003 0000 0005 01 03 02 0003", ""},
	{"protocol id 1", "0001 0001 0006 01 03 0001 0001", "", "protocol id"},
	{"length 0", "0001 0000 0000 01 03 0001 0001", "", "length 0"},
	{"length 1", "0001 0000 0001 01 03 0001 0001", "", "length 1"},
	{"length 255", "0001 0000 00FF 01 03 0001 0001", "", "length over 254"},
	{"length 65535", "0001 0000 FFFF 01 03 0001 0001", "", "length over 254"},
	{"length too short, the rest is a frame",
		"0001 0000 0002 01 03  0002 0000 0006 01 03 0001 0001", "0001 0000 0003 01 83 03  0002 0000 0005 01 03 02 0001", ""},
	{"length too short, the rest is none", "0001 0000 0002 01 03 0001 0001", "0001 0000 0003 01 83 03", "protocol id"},
	{"length too long by one", "0001 0000 0007 01 03 0001 0001 00", "0001 0000 0003 01 83 03", ""},
	{"quantity 0", "0001 0000 0006 01 03 0001 0000", "0001 0000 0003 01 83 03", ""},
	{"quantity 126", "0001 0000 0006 01 03 0001 007E", "0001 0000 0003 01 83 03", ""},
	{"2001 coils", "0001 0000 0006 01 01 0001 07D1", "0001 0000 0003 01 81 03", ""},
	{"address 65535 quantity 2", "0001 0000 0006 01 03 FFFF 0002", "0001 0000 0003 01 83 02", ""},
	{"function 0", "0001 0000 0006 01 00 0001 0001", "0001 0000 0003 01 80 01", ""},
	{"function 0x83", "0001 0000 0006 01 83 0001 0001", "0001 0000 0003 01 83 01", ""},
	{"function 0xFF", "0001 0000 0002 01 FF", "0001 0000 0003 01 FF 01", ""},
	{"function 0x11 is not served", "0001 0000 0002 01 11", "0001 0000 0003 01 91 01", ""},
	{"0x10 byte count lies low", "0001 0000 000B 01 10 0001 0002 02 0001 0002", "0001 0000 0003 01 90 03", ""},
	{"0x10 byte count lies high", "0001 0000 000B 01 10 0001 0002 06 0001 0002", "0001 0000 0003 01 90 03", ""},
	{"0x10 quantity lies", "0001 0000 000B 01 10 0001 0003 04 0001 0002", "0001 0000 0003 01 90 03", ""},
	{"0x0F byte count lies", "0001 0000 0008 01 0F 0001 0009 01 FF", "0001 0000 0003 01 8F 03", ""},
	{"0x05 value 1234", "0001 0000 0006 01 05 0001 1234", "0001 0000 0003 01 85 03", ""},
	{"0x10 to a read-only range", "0001 0000 000B 01 10 03E7 0002 04 0001 0002", "0001 0000 0003 01 90 02", ""},
	{"0x17 with short write data", "0001 0000 000D 01 17 0001 0001 0002 0002 04 0001", "0001 0000 0003 01 97 03", ""},
	{"0x17 without write data", "0001 0000 0004 01 17 0200", "0001 0000 0003 01 97 03", ""},
	{"0x17 reads over the end", "0001 0000 000D 01 17 FFFF 0002 0002 0001 02 0001", "0001 0000 0003 01 97 02", ""},
	{"0x18 queue of 32", "0001 0000 0004 01 18 0020", "0001 0000 0003 01 98 03", ""},
	{"0x2B other MEI type", "0001 0000 0005 01 2B 0D 01 00", "0001 0000 0003 01 AB 01", ""},
	{"0x2B code 0", "0001 0000 0005 01 2B 0E 00 00", "0001 0000 0003 01 AB 03", ""},
	{"0x2B code 5", "0001 0000 0005 01 2B 0E 05 00", "0001 0000 0003 01 AB 03", ""},
	{"0x2B one object beyond the end", "0001 0000 0005 01 2B 0E 04 90", "0001 0000 0003 01 AB 02", ""},
	{"0x2B stream from beyond the end starts anew", "0001 0000 0005 01 2B 0E 01 90",
		"0001 0000 001E 01 2B 0E 01 83 00 00 03 00 08 4D696C6C72616365 01 05 706C616E74 02 03 312E30", ""},
	{"the id of a request in flight again", "0005 0000 0006 01 03 0001 0001  0005 0000 0006 01 03 0002 0001",
		"0005 0000 0005 01 03 02 0001  0005 0000 0005 01 03 02 0002", ""},
	{"TLS hello", "16 03 01 00 F8 01 00 00 F4 03 03", "", "tls hello"},
	{"RTU frame", "11 03 006B 0003 7687", "", "protocol id"},
	{"HTTP", fmt.Sprintf("%X", "GET / HTTP/1.1\r\n\r\n"), "", "protocol id"},
	{"three good requests and a bad one",
		"0001 0000 0006 01 03 0001 0001  0002 0000 0006 01 03 0002 0001  0003 0000 0006 01 03 0003 0001  0004 0000 0000 01",
		"0001 0000 0005 01 03 02 0001  0002 0000 0005 01 03 02 0002  0003 0000 0005 01 03 02 0003", "length 0"},
	{"unit 0", "0001 0000 0006 00 03 0001 0001", "0001 0000 0005 00 03 02 0001", ""},
	{"unit 248", "0001 0000 0006 F8 03 0001 0001", "0001 0000 0003 F8 83 0A", ""},
	{"unit 254", "0001 0000 0006 FE 03 0001 0001", "0001 0000 0003 FE 83 0A", ""},
	{"unit 255", "0001 0000 0006 FF 03 0001 0001", "0001 0000 0005 FF 03 02 0001", ""},
}

// units is every one that a plant serves here: itself under 0 and 255, and the addresses of a line.
func units() (u []uint8) {
	for i := range 248 {
		u = append(u, uint8(i))
	}
	return append(u, 255)
}

func TestServerBadInput(t *testing.T) {
	p := newPlant()
	p.units = units()
	for _, tc := range badInputs {
		for _, split := range []string{"at once", "byte by byte"} {
			t.Run(tc.name+", "+split, func(t *testing.T) {
				s := serve(t, ServerConfig{Handler: p})
				c := s.Dial()
				if split == "at once" {
					sendHex(t, c, tc.send)
				} else {
					dribble(c, unhex(tc.send))
				}
				wantHex(t, c, tc.want)
				if tc.reason == "" {
					wantAlive(t, c)
				} else {
					wantHungUp(t, c)
				}
				st := s.ended()
				if tc.reason != "" && st.Ended[tc.reason] != 1 {
					t.Errorf("counted %v %v, want %q", st.Refused, st.Ended, tc.reason)
				}
			})
		}
	}
}

// dribble writes b byte by byte. The server may hang up on the way.
func dribble(c net.Conn, b []byte) {
	for i := range b {
		if _, err := c.Write(b[i : i+1]); err != nil {
			return
		}
	}
}

func TestServerBadInputRTU(t *testing.T) {
	frame := func(unit byte, pdu string) string {
		return fmt.Sprintf("%X", FramingRTU.Append(nil, Frame{Unit: unit, PDU: unhex(pdu)}))
	}
	for _, tc := range []badInput{
		{"two requests in one segment", frame(1, "03 0001 0001") + frame(1, "03 0002 0001"), frame(1, "03 02 0001") + frame(1, "03 02 0002"), ""},
		{"checksum", "01 03 0001 0001 0000", "", "crc"},
		{"quantity 126", frame(1, "03 0001 007E"), frame(1, "83 03"), ""},
		{"unknown function", frame(1, "41 0102"), frame(1, "C1 01"), ""},
		{"broadcast", frame(0, "06 0001 1234") + frame(0, "03 0001 0001") + frame(1, "03 0001 0001"), frame(1, "03 02 1234"), ""},
		{"MBAP", "0001 0000 0006 01 03 0001 0001", "", "partial frame timeout"}, // 01 is read coils of unit 0 there
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := ServerConfig{Handler: newPlant(), Framing: FramingRTU}
			if tc.reason == "partial frame timeout" {
				cfg.FrameTimeout = 20 * time.Millisecond
				tc.reason = ""
			}
			s := serve(t, cfg)
			c := s.Dial()
			sendHex(t, c, tc.send)
			if tc.name == "MBAP" {
				wantHungUp(t, c)
				return
			}
			wantHex(t, c, tc.want)
			if tc.reason == "" {
				sendHex(t, c, frame(7, "04 0002 0001"))
				wantHex(t, c, frame(7, "04 02 FFFD"))
				return
			}
			wantHungUp(t, c)
			if st := s.ended(); st.Ended[tc.reason] != 1 {
				t.Errorf("counted %v, want %q", st.Ended, tc.reason)
			}
		})
	}
}

func TestServerWriteStorm(t *testing.T) {
	p := newPlant()
	s := serve(t, ServerConfig{Handler: p, WriteTimeout: 30 * time.Millisecond})
	c := s.Dial()
	c.(*net.TCPConn).SetReadBuffer(4096)
	storm := bytes.Repeat(unhex("0001 0000 0006 01 04 0001 007D"), 300)
	for {
		if _, err := c.Write(storm); err != nil {
			break // the server has hung up
		}
	}
	if st := s.ended(); st.Ended["write timeout"] != 1 {
		t.Errorf("counted %v", st.Ended)
	}
}

// The server answers depth requests of one read in one write.
func TestServerGathersAnswers(t *testing.T) {
	ln := listentest.NewPipes()
	serveOn(t, ServerConfig{Handler: newPlant()}, ln)
	c := ln.Dial()
	const depth = 16
	var ask, want []string
	for i := range depth {
		ask = append(ask, fmt.Sprintf("%04X 0000 0006 01 03 %04X 0064", i, i))
		want = append(want, fmt.Sprintf("%04X 0000 00CB 01 03 C8 %s", i, registersFrom(i, 100)))
	}
	sendHex(t, c, strings.Join(ask, ""))
	got := make([]byte, 1<<16)
	n, err := c.Read(got) // a pipe hands over one write, or less
	if err != nil || !bytes.Equal(got[:n], unhex(strings.Join(want, ""))) {
		t.Errorf("one read gave %d bytes, %v", n, err)
	}
}

func registersFrom(addr, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%04X", addr+i)
	}
	return b.String()
}

// A write of more answers than are gathered goes out in several writes, in order.
func TestServerBoundsGathering(t *testing.T) {
	s := serve(t, ServerConfig{Handler: newPlant()})
	c := s.Dial()
	const depth = 300
	var ask []byte
	for i := range depth {
		ask = append(ask, unhex(fmt.Sprintf("%04X 0000 0006 01 03 %04X 007D", i, i))...)
	}
	c.Write(ask)
	for i := range depth {
		wantHex(t, c, fmt.Sprintf("%04X 0000 00FD 01 03 FA %s", i, registersFrom(i, 125)))
	}
}
