package s7

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// drain feeds in to a Stream in pieces of at most step bytes, as a connection does, and returns what came out in words, then why it ended.
func drain(s *Stream, in []byte, step int) (out []string, err error) {
	var buf []byte
	for len(in) > 0 {
		n := min(step, len(in))
		buf, in = append(buf, in[:n]...), in[n:]
		for {
			m, n, err := s.Next(buf)
			if err != nil {
				return out, err
			}
			if n == 0 {
				break
			}
			buf = buf[n:]
			switch m.Code {
			case 0:
			case TPDUData:
				out = append(out, m.PDU.Kind.String()+" "+unhexed(m.PDU.Param)+" "+unhexed(m.PDU.Data))
			default:
				out = append(out, m.Code.String()+" "+unhexed(m.TPDU))
			}
		}
	}
	if len(buf) > 0 {
		return out, frameError(FramePartial, uint16(len(buf)))
	}
	return out, nil
}

func unhexed(b []byte) string {
	const digit = "0123456789abcdef"
	var s strings.Builder
	for _, x := range b {
		s.WriteByte(digit[x>>4])
		s.WriteByte(digit[x&15])
	}
	return s.String()
}

func frameOf(pdu []byte) []byte { return EndFrame(append(BeginFrame(nil), pdu...), 0) }

func goldenFrame(name string) []byte {
	for _, g := range goldenMessages {
		if g.name == name {
			return frameOf(unhex(g.hex))
		}
	}
	panic(name)
}

// nmap 7.93, s7-info.nse.
const (
	nmapConnect = "0300001611e00000001400c1020100c2020102c0010a"
	nmapSetup   = "0300001902f08032010000000000080000f0000001000101e0"
	nmapSZL     = "0300002102f080320700000000000800080001120411440100ff09000400110001"
)

// TestNmapConversation cuts what nmap sends at every place and encodes the same.
func TestNmapConversation(t *testing.T) {
	in := unhex(nmapConnect + nmapSetup + nmapSZL)
	want := []string{"CR 11e00000001400c1020100c2020102c0010a", "Job f0000001000101e0 ", "Userdata 0001120411440100 ff09000400110001"}
	for step := 1; step <= len(in); step++ {
		got, err := drain(NewStream(StreamConfig{}), in, step)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("pieces of %d: %q, %v", step, got, err)
		}
	}
	setup, szl := SetupRequest{Setup{1, 1, 480}}, SZLRequest{SZLModule, 1}
	again := EndFrame(setup.AppendTo(BeginFrame(nil), 0), 0)
	at := len(again)
	again = EndFrame(szl.AppendTo(BeginFrame(again), 0), at)
	if !bytes.Equal(again, unhex(nmapSetup+nmapSZL)) {
		t.Fatalf("encoded %x", again)
	}
}

func TestConnect(t *testing.T) {
	cr := Connect{Code: TPDUConnectRequest, SrcRef: 1, Size: TPDUSize1024, Calling: unhex("0100"), Called: AppendTSAP(nil, ConnectPG, 0, 1)}
	if got := cr.AppendTo(nil); !bytes.Equal(got, unhex("0300 0016 11E0 0000 0001 00 C0010A C1020100 C2020101")) {
		t.Errorf("CR %x", got)
	}
	cc := cr.Confirm(6, TPDUSize8192)
	want := unhex("0300 0016 11D0 0001 0006 00 C0010A C1020100 C2020101") // PLCSIM Advanced
	if got := cc.AppendTo(nil); !bytes.Equal(got, want) {
		t.Errorf("CC %x", got)
	}
	var m Connect
	if err := m.Decode(want[4:]); err != nil || !reflect.DeepEqual(m, cc) {
		t.Errorf("%+v, %v", m, err)
	}
	if err := m.Decode(unhex(nmapConnect)[4:]); err != nil || m.SrcRef != 0x14 || m.Size != TPDUSize1024 || !bytes.Equal(m.Called, []byte{1, 2}) {
		t.Errorf("nmap's: %+v, %v", m, err)
	}
	if err := m.Decode(unhex("0fe0 0000 0014 00 f0 02 0102 c0 01 09 c2 00")); err != nil || m.Size != TPDUSize512 || len(m.Called) != 0 {
		t.Errorf("an unknown parameter: %+v, %v", m, err)
	}
	if s := TPDUSizeFor(960); s != TPDUSize1024 || TPDUSizeFor(1021) != s || TPDUSizeFor(1022) != TPDUSize2048 || TPDUSizeFor(65000) != TPDUSize8192 {
		t.Errorf("size for 960: %v", s)
	}
	bare := Connect{Code: TPDUConnectRequest, SrcRef: 9}
	if cc := bare.Confirm(1, TPDUSize2048); cc.Size != TPDUSize2048 || cc.DstRef != 9 {
		t.Errorf("without parameters: %+v", cc)
	}
	for _, bad := range []string{
		"11e0 0000000000000000 0000000000000000", // 16 zeros: half a parameter at the end
		"0ae0 0000 0001 00 c0010a c1",            // cut
		"09e0 0000 0001 00 c1ff01",               // beyond the end
		"09e0 0000 0001 00 c00100", "09e0 0000 0001 00 c00106", "09e0 0000 0001 00 c0010e", "09e0 0000 0001 00 c001ff",
		"19e0 0000 0001 00 c111" + strings.Repeat("00", 17),
		"05e0 0000 0001", "06f0 0000 0001 00",
	} {
		var fe *FrameError
		if err := m.Decode(unhex(bad)); !errors.As(err, &fe) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestDisconnectAndError(t *testing.T) {
	dr := Disconnect{1, 2, DisconnectNegotiationFailed}
	var dr2 Disconnect
	if b := dr.AppendTo(nil); !bytes.Equal(b, unhex("0300000B 06 80 0001 0002 82")) || dr2.Decode(b[4:]) != nil || dr2 != dr {
		t.Errorf("DR %x %+v", b, dr2)
	}
	dc := DisconnectConfirm{1, 2}
	var dc2 DisconnectConfirm
	if b := dc.AppendTo(nil); !bytes.Equal(b, unhex("0300000A 05 C0 0001 0002")) || dc2.Decode(b[4:]) != nil || dc2 != dc {
		t.Errorf("DC %x %+v", b, dc2)
	}
	er := TransportError{1, 2}
	var er2 TransportError
	if b := er.AppendTo(nil); !bytes.Equal(b, unhex("03000009 04 70 0001 02")) || er2.Decode(b[4:]) != nil || er2 != er {
		t.Errorf("ER %x %+v", b, er2)
	}
	if dr.Decode(unhex("0580 0001 0002")) == nil || dc.Decode(unhex("04C0 0001 00")) == nil || er.Decode(unhex("0370 0001")) == nil || er.Decode(unhex("0570 0001 02")) == nil {
		t.Error("a short TPDU was taken")
	}
}

// TestBadStreams: each at once and byte by byte, with the same verdict.
func TestBadStreams(t *testing.T) {
	for _, x := range []struct {
		name string
		hex  string
		want FrameReason
	}{
		{"version 0", "0000 0016", FrameVersion}, {"version 2", "02", FrameVersion}, {"http", unhexed([]byte("GET / HTTP/1.1")), FrameVersion},
		{"modbus", "0001 0000 0006 01 03 0000 0001", FrameVersion}, {"tls", "1603 0100", FrameTLSHello},
		{"length 0", "0300 0000", FrameTPKTShort}, {"length 6", "0300 0006 02F0", FrameTPKTShort}, {"length 65535", "0300 FFFF 02", FrameTPKTLong},
		{"beyond the pdu", "0300 0108 02 F0 80", FrameTPKTLong}, {"pdu+8", "0300 00F8 02 F0 80", FrameTPKTLong},
		{"li 0", "0300 0007 00 F0 80", FrameTPDUHeader}, {"li 255", "0300 0020 FF", FrameTPDUHeader}, {"li beyond", "0300 0007 03 F0", FrameTPDUHeader},
		{"li of dt", "0300 0008 03 F0", FrameTPDUHeader}, {"ed", "0300 0007 02 10", FrameTPDUCode}, {"unknown", "0300 0007 02 00", FrameTPDUCode},
		{"s7comm-plus", "0300 0020 02F080 72", FrameS7Plus}, {"ff", "0300 0020 02F080 FF", FrameS7Protocol},
		{"rosctr 0", "0300 0020 02F080 32 00", FrameS7Kind}, {"rosctr 5", "0300 0020 02F080 32 05", FrameS7Kind}, {"rosctr 255", "0300 0020 02F080 32 FF", FrameS7Kind},
		{"parlen lies", "0300 0019 02F080 3201 0000 0000 0009 0000", FrameS7Length}, {"datlen ffff", "0300 0019 02F080 3201 0000 0000 0008 FFFF", FrameS7Length},
		{"sum overflow", "0300 0019 02F080 3201 0000 0000 8004 8004", FrameS7Length}, {"short header", "0300 000F 02F080 3201 0000 0000 00 00", FrameS7Length},
		{"ack of 10", "0300 0011 02F080 3202 0000 0000 0000 0000", FrameS7Length},
		{"half", "0300 0019 02F0", FramePartial},
		{"interleaved", "0300 0008 02F000 32" + nmapConnect, FrameInterleaved},
		{"fragments of 1", strings.Repeat("0300 0008 02F000 32", 65), FrameFragments},
		{"empty fragments", strings.Repeat("0300 0007 02F000", 65), FrameFragments},
		{"fragments over the pdu", strings.Repeat("0300 0080 02F000"+strings.Repeat("32", 121), 2), FrameFragments},
		{"fragments of nonsense", "0300 0008 02F000 32 0300 0008 02F080 01", FrameS7Length},
	} {
		in := unhex(x.hex)
		for _, step := range []int{1, 2, 7, len(in)} {
			_, err := drain(NewStream(StreamConfig{PDU: 240}), in, step)
			var fe *FrameError
			if !errors.As(err, &fe) || fe.Reason != x.want {
				t.Errorf("%s in pieces of %d: %v, want %v", x.name, step, err, x.want)
			}
		}
	}
}

func TestFragments(t *testing.T) {
	pdu := unhex("3201 0000 0102 000E 0000 0401 120A1002 0010 0001 84 000000")
	want, err := drain(NewStream(StreamConfig{}), frameOf(pdu), MaxTPKT)
	if err != nil || len(want) != 1 {
		t.Fatal(want, err)
	}
	if whole := AppendFragments(nil, pdu, 128); !bytes.Equal(whole, frameOf(pdu)) {
		t.Errorf("one fragment %x", whole)
	}
	for size := 4; size < len(pdu)+4; size++ {
		in := append(AppendFragments(nil, pdu, size), frameOf(pdu)...)
		if frames := (len(in) - 2*len(pdu)) / FrameBytes; frames != (len(pdu)+size-4)/(size-3)+1 {
			t.Errorf("size %d: %d frames", size, frames)
		}
		for _, step := range []int{1, 5, len(in)} {
			got, err := drain(NewStream(StreamConfig{}), in, step)
			if err != nil || !reflect.DeepEqual(got, []string{want[0], want[0]}) {
				t.Fatalf("size %d in pieces of %d: %q, %v", size, step, got, err)
			}
		}
	}
	s := NewStream(StreamConfig{})
	if _, err := drain(s, unhex("0300 0008 02F000 32"), 100); err != nil || !s.Assembling() {
		t.Error("not assembling", err)
	}
}

func TestEmptyDataIsSkipped(t *testing.T) {
	s := NewStream(StreamConfig{})
	in := append(bytes.Repeat(unhex("0300 0007 02F080"), 100), unhex(nmapSetup)...)
	if got, err := drain(s, in, len(in)); err != nil || len(got) != 1 || s.Stats().Empty != 100 {
		t.Fatal(got, err, s.Stats())
	}
}

// A granted PDU makes the limit of data smaller, and none of a CR's.
func TestSetPDU(t *testing.T) {
	s := NewStream(StreamConfig{PDU: 240})
	s.SetPDU(17)
	if got, err := drain(s, unhex(nmapConnect), 99); err != nil || len(got) != 1 {
		t.Error(got, err)
	}
	var fe *FrameError
	if _, err := drain(s, unhex(nmapSetup), 1); !errors.As(err, &fe) || fe.Reason != FrameTPKTLong {
		t.Error(err)
	}
}

func TestResync(t *testing.T) {
	good := goldenFrame("read")
	lied := bytes.Clone(good) // as long as a legal one, so that it would swallow the next
	lied[3] += 20
	noise := unhex("00 03 00 03 00 00 40 02 F0 80 32 01 00 00")
	for _, x := range []struct {
		name    string
		mode    Resync
		in      [][]byte
		frames  int
		resyncs uint64
		skipped uint64
		lost    bool
	}{
		{"off", ResyncOff, [][]byte{good, noise, good}, 1, 0, 0, true},
		{"once", ResyncOnce, [][]byte{good, noise, good}, 2, 1, uint64(len(noise)), false},
		{"a length that lies", ResyncOnce, [][]byte{lied, good}, 1, 1, uint64(len(lied)), false},
		{"once, twice", ResyncOnce, [][]byte{noise, good, noise, good}, 1, 1, uint64(len(noise)), true},
		{"always", ResyncAlways, [][]byte{noise, good, noise, good}, 2, 2, 2 * uint64(len(noise)), false},
		{"within the budget", ResyncAlways, [][]byte{make([]byte, 247), good}, 1, 1, 247, false},
		{"beyond the budget", ResyncAlways, [][]byte{make([]byte, 248), good}, 0, 0, 248, true},
		{"in a fragment", ResyncAlways, [][]byte{unhex("0300 0008 02F000 32"), noise, good}, 1, 1, uint64(len(noise)), false},
	} {
		in := bytes.Join(x.in, nil)
		for _, step := range []int{1, 3, 16, 17, 18, len(in)} {
			s := NewStream(StreamConfig{PDU: 240, Resync: x.mode})
			got, err := drain(s, in, step)
			st := s.Stats()
			if len(got) != x.frames || (err != nil) != x.lost || st.Resyncs != x.resyncs || st.Skipped != x.skipped {
				t.Errorf("%s in pieces of %d: %d frames, %v, %+v", x.name, step, len(got), err, st)
			}
		}
	}
}

func TestStreamDoesNotAllocate(t *testing.T) {
	pdu := goldenFrame("read answer")
	in := append(append(AppendFragments(nil, pdu[FrameBytes:], 10), pdu...), unhex(nmapConnect)...)
	s := NewStream(StreamConfig{})
	if n := testing.AllocsPerRun(100, func() {
		messages := 0
		for buf := in; len(buf) > 0; {
			m, n, err := s.Next(buf)
			if err != nil || n == 0 {
				t.Fatal(n, err)
			}
			if m.Code != 0 {
				messages++
			}
			buf = buf[n:]
		}
		if messages != 3 {
			t.Fatal(messages)
		}
	}); n != 0 {
		t.Errorf("%v allocs", n)
	}
	var m Connect
	buf := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		if m.Decode(in[len(in)-18:]) != nil {
			t.Fatal("CR")
		}
		cc := m.Confirm(1, TPDUSize1024)
		buf = cc.AppendTo(buf[:0])
	}); n != 0 {
		t.Errorf("connect: %v allocs", n)
	}
}
