package s7

import (
	"bytes"
	"strings"
	"testing"
)

// padded is the hex of a text filled up to n bytes.
func padded(text string, n int, fill byte) string {
	return unhexed(appendPadded(nil, []byte(text), n, fill))
}

// The lists of a CPU 315-2 PN/DP, byte for byte.
var (
	order315     = padded("6ES7 315-2EH14-0AB0", 20, ' ')
	modules315   = "0001" + order315 + "00C0 0004 0001" + "0006" + order315 + "00C0 0004 0001" + "0007" + padded("", 20, ' ') + "00C0 56030206"
	component315 = "0001" + padded("SIMATIC 300(1)", 32, 0) + "0002" + padded("CPU 315-2 PN/DP", 32, 0) + "0003" + padded("", 32, 0) +
		"0004" + padded("Original Siemens Equipment", 32, 0) + "0005" + padded("S C-C2UR28922012", 32, 0) + "0007" + padded("CPU 315-2 PN/DP", 32, 0)
)

// szlFrames are what nmap, snap7 and plcscan ask for, and the whole frame that they get.
var szlFrames = []struct{ name, ask, want string }{
	{"nmap: module", nmapSZL, "0300007D 02F080 3207 0000 0000 000C 0060 0001120812840100 00000000 FF09005C 0011 0001 001C 0003" + modules315},
	{"nmap: names", "03000021 02F080 3207 0000 0000 0008 0008 0001120411440100 FF090004 001C 0001",
		"030000F5 02F080 3207 0000 0000 000C 00D8 0001120812840100 00000000 FF0900D4 001C 0001 0022 0006" + component315},
	{"snap7: order code", "03000021 02F080 3207 0000 0500 0008 0008 0001120411440100 FF090004 0011 0000",
		"0300007D 02F080 3207 0000 0500 000C 0060 0001120812840100 00000000 FF09005C 0011 0000 001C 0003" + modules315},
	{"snap7: cpu info", "03000021 02F080 3207 0000 0600 0008 0008 0001120411440100 FF090004 001C 0000",
		"030000F5 02F080 3207 0000 0600 000C 00D8 0001120812840100 00000000 FF0900D4 001C 0000 0022 0006" + component315},
	{"snap7: cp info", "03000021 02F080 3207 0000 0700 0008 0008 0001120411440100 FF090004 0131 0001",
		"03000051 02F080 3207 0000 0700 000C 0034 0001120812840100 00000000 FF090030 0131 0001 0028 0001" +
			"0001 00F0 0010 0002DC6C 00B71B00" + padded("", 26, 0)},
	{"snap7: plc status", "03000021 02F080 3207 0000 0800 0008 0008 0001120411440100 FF090004 0424 0000",
		"0300003D 02F080 3207 0000 0800 000C 0020 0001120812840100 00000000 FF09001C 0424 0000 0014 0001" + "5144FF08 0000000000000000 ????????????????"},
	{"snap7: protection", "03000021 02F080 3207 0000 0900 0008 0008 0001120411440100 FF090004 0232 0004",
		"03000051 02F080 3207 0000 0900 000C 0034 0001120812840100 00000000 FF090030 0232 0004 0028 0001" +
			"0004 0001 0000 0001 0001 0000" + padded("", 28, 0)},
	{"snap7: directory", "03000021 02F080 3207 0000 0A00 0008 0008 0001120411440100 FF090004 0000 0000",
		"03000039 02F080 3207 0000 0A00 000C 001C 0001120812840100 00000000 FF090018 0000 0000 0002 0008" + "0000 0011 001C 0111 011C 0131 0232 0424"},
	{"one module record", "03000021 02F080 3207 0000 0000 0008 0008 0001120411440100 FF090004 0111 0006",
		"03000045 02F080 3207 0000 0000 000C 0028 0001120812840100 00000000 FF090024 0111 0006 001C 0001" + "0006" + order315 + "00C0 0004 0001"},
	{"a list that there is none of", "03000021 02F080 3207 0000 0000 0008 0008 0001120411440100 FF090004 00A0 0000",
		"03000021 02F080 3207 0000 0000 000C 0004 0001120812840100 0000D402 0A000000"},
	{"a record that there is none of", "03000021 02F080 3207 0000 0000 0008 0008 0001120411440100 FF090004 0111 0002",
		"03000021 02F080 3207 0000 0000 000C 0004 0001120812840100 0000D402 0A000000"},
	{"another index", "03000021 02F080 3207 0000 0000 0008 0008 0001120411440100 FF090004 0131 0002",
		"03000021 02F080 3207 0000 0000 000C 0004 0001120812840100 0000D402 0A000000"},
}

func TestSZLOfACPU(t *testing.T) {
	_, k := talkTo(t, CPUConfig{Model: Model300}, 480)
	for _, x := range szlFrames {
		ask := unhex(strings.ReplaceAll(x.ask, " ", ""))
		k.write(ask)
		m := k.pdu()
		got := unhexed(frameOf(appendPDU(nil, &m)))
		if want := strings.ToLower(strings.ReplaceAll(x.want, " ", "")); !matches(got, want) {
			t.Errorf("%s:\n%s, want\n%s", x.name, got, want)
		}
	}
}

// matches compares; a question mark stands for anything.
func matches(got, want string) bool {
	for i := range want {
		if len(got) != len(want) || want[i] != '?' && want[i] != got[i] {
			return false
		}
	}
	return len(got) == len(want)
}

// What readers look for at fixed places.
func TestSZLPlaces(t *testing.T) {
	c := testCPU(t, CPUConfig{Model: Model400, Identity: Identity{System: "Mill", Serial: "S 1", Firmware: [3]uint8{7, 8, 9}}})
	k := serve(t, ServerConfig{Handler: c}).talk(480)
	szl := func(id, index uint16) []byte {
		p := k.ask(&SZLRequest{id, index})
		return frameOf(appendPDU(nil, &p))
	}
	if f := szl(SZLModule, 1); len(f) < 125 || string(f[43:62]) != "6ES7 414-3EM06-0AB0" || f[63] != 0 || !bytes.Equal(f[122:125], []byte{7, 8, 9}) {
		t.Errorf("nmap's module: %x", f)
	}
	f := szl(SZLComponents, 1)
	for i, want := range []string{"Mill", "CPU 414-3 PN/DP", "", "Original Siemens Equipment", "S 1"} {
		if text, _, _ := bytes.Cut(f[43+i*ComponentRecordBytes:], []byte{0}); len(f) < 180 || string(text) != want {
			t.Errorf("nmap's name %d: %q, want %q", i, text, want)
		}
	}
	c.SetMode(ModeStop)
	if f := szl(SZLMode, 0); f[FrameBytes+jobHeader+userdataLong+15] != byte(ModeStop) {
		t.Errorf("snap7's status: %x", f)
	}
}

func TestSZLInParts(t *testing.T) {
	c := testCPU(t, CPUConfig{Model: Model1500})
	s := serve(t, ServerConfig{Handler: c})
	for pdu, want := range map[uint16]int{112: 3, 240: 1, 480: 1, 960: 1} {
		data, parts, code := s.talk(pdu).gather(&SZLRequest{SZLComponents, 0})
		var list SZL
		if err := list.Decode(data); code != 0 || err != nil || list.Len() != 6 || parts != want {
			t.Errorf("PDU %d: %d records in %d parts, %v, %v", pdu, list.Len(), parts, code, err)
		}
	}
}

func TestSZLFollowUps(t *testing.T) {
	_, k := talkTo(t, CPUConfig{}, 112)
	follow := func(seq uint8) encoder {
		return &Userdata{Type: UserdataRequest, Group: GroupCPU, Sub: SubSZL, Seq: seq, Long: true, Code: ReturnNoObject}
	}
	k.wantRefusal("without a first", follow(1), ErrSequence)
	k.wantRefusal("without a first, number 0", follow(0), ErrSequence)
	first := k.askUserdata(&SZLRequest{SZLComponents, 0})
	if !first.More || first.Seq == 0 || first.Unit == 0 {
		t.Fatalf("first part: %+v", first)
	}
	k.wantRefusal("a foreign number", follow(first.Seq+7), ErrSequence)
	if whole := k.askUserdata(&SZLRequest{SZLMode, 0}); whole.More {
		t.Errorf("another list: %+v", whole)
	}
	second := k.askUserdata(&SZLRequest{SZLComponents, 1})
	if second.Seq == first.Seq {
		t.Errorf("two answers have number %d", first.Seq)
	}
	got := [2][]byte{first.Data, second.Data}
	for range 2 {
		for i, seq := range []uint8{first.Seq, second.Seq} {
			u := k.askUserdata(follow(seq))
			if u.Err != 0 || u.Seq != seq || u.Unit != seq {
				t.Fatalf("part of %d: %+v", seq, u)
			}
			got[i] = append(got[i], u.Data...)
		}
	}
	if !bytes.Equal(got[0][8:], got[1][8:]) || len(got[0]) != szlHead+6*ComponentRecordBytes {
		t.Errorf("two lists at once: %x, %x", got[0], got[1])
	}
	k.wantRefusal("behind the last", follow(first.Seq), ErrSequence)
	for range maxParted {
		first = k.askUserdata(&SZLRequest{SZLComponents, 0})
	}
	k.wantRefusal("the last of as many as there may be", follow(first.Seq), 0)
	old := first.Seq - maxParted + 1
	k.askUserdata(&SZLRequest{SZLComponents, 0})
	k.wantRefusal("the oldest of too many", follow(old), ErrSequence)
}

func TestCPUConfigs(t *testing.T) {
	for name, cfg := range map[string]CPUConfig{
		"model": {Model: 200}, "level": {Level: 4}, "password": {Password: "123456789"}, "memory": {WorkMemory: -1},
		"order": {Identity: Identity{Order: strings.Repeat("6", 21)}}, "copyright": {Identity: Identity{Copyright: strings.Repeat("c", 27)}},
		"PDU": {Identity: Identity{PDU: 111}}, "window": {Identity: Identity{Window: -1}}, "connections": {Identity: Identity{Connections: 1 << 16}},
	} {
		if c, err := NewCPU(cfg); err == nil || !strings.HasPrefix(err.Error(), "s7: cpu: ") {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	for m, pdu := range map[Model]int{Model300: 240, Model400: 480, Model1200: 240, Model1500: 960} {
		c := testCPU(t, CPUConfig{Model: m})
		if got, window := c.Limits(); got != pdu || window < 2 || !strings.HasPrefix(c.Identity().Order, "6ES7 ") {
			t.Errorf("model %d: %d, %+v", m, got, c.Identity())
		}
	}
}

// A CPU grants what its model does, and never more than its server.
func TestCPULimits(t *testing.T) {
	for _, x := range []struct {
		cfg         ServerConfig
		model       Model
		pdu, window uint16
	}{
		{ServerConfig{}, Model300, 240, 2}, {ServerConfig{}, Model1200, 240, 3}, {ServerConfig{}, Model1500, 960, 8}, {ServerConfig{PDU: 200, Window: 1}, Model400, 200, 1},
	} {
		x.cfg.Handler = testCPU(t, CPUConfig{Model: x.model})
		c := serve(t, x.cfg).Dial()
		sendHex(t, c, askConnect)
		wantHex(t, c, "03000016 11D0 0001 0002 00 C0010A C1020100 C2020102")
		sendHex(t, c, "03000019 02F080 32010000010000080000 F000 0064 0064 2328")
		m := SetupResponse{Setup{x.window, x.window, x.pdu}}
		wantHex(t, c, unhexed(frameOf(m.AppendTo(nil, 0x0100))))
	}
}
