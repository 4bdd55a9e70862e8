package s7

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
)

// badServices are requests with nonsense in them, and the whole PDU that answers each. None of them is a reason to hang up.
func badServices() []struct{ name, ask, want string } {
	bad := []struct{ name, ask, want string }{
		{"parameters of 4 bytes", "3207 0000 0001 0004 0004 00011204 0A000000", "3207 0000 0001 000C 0004 0001120812800000 00008500 0A000000"},
		{"no parameters", "3207 0000 0001 0000 0000", "3207 0000 0001 000C 0004 0001120812800000 00008500 0A000000"},
		{"parameters of another length than they say", "3207 0000 0001 0009 0004 0001120411440100 00 0A000000", "3207 0000 0001 000C 0004 0001120812800000 00008500 0A000000"},
		{"data shorter than they say", "3207 0000 0001 0008 0007 0001120411440100 FF090004 001100", "3207 0000 0001 000C 0004 0001120812840100 0000D405 0A000000"},
		{"bsend shorter than it says", "3207 0000 0001 000C 0007 0001120812460100 01000000 FF09000D 120613", "3207 0000 0001 000C 0004 0001120812860100 00008500 0A000000"},
		{"data longer than they say", "3207 0000 0001 0008 000A 0001120411440100 FF090004 001100010000", "3207 0000 0001 000C 0004 0001120812840100 00008500 0A000000"},
		{"a list of half an id", "3207 0000 0001 0008 0005 0001120411440100 FF090001 00", "3207 0000 0001 000C 0004 0001120812840100 0000D405 0A000000"},
		{"a list without an id", "3207 0000 0001 0008 0004 0001120411440100 0A000000", "3207 0000 0001 000C 0004 0001120812840100 0000D405 0A000000"},
		{"a push", "3207 0000 0001 000C 000B 0001120812020101 00000000 FF090007 0001 FF040008 2A", "3207 0000 0001 000C 0004 0001120812820101 00008104 0A000000"},
		{"an answer", "3207 0000 0001 000C 0004 0001120812840101 00000000 0A000000", "3207 0000 0001 000C 0004 0001120812840101 00008104 0A000000"},
		{"a type of nothing", "3207 0000 0001 0008 0004 0001120411F40100 0A000000", "3207 0000 0001 000C 0004 0001120812840100 00008104 0A000000"},
		{"a list of blocks, followed up without a first", "3207 0000 0001 000C 0004 0001120812430201 00000000 0A000000", "3207 0000 0001 000C 0004 0001120812830201 00008401 0A000000"},
		{"a list of blocks of letters", "3207 0000 0001 0008 0006 0001120411430200 FF090002 3058", "3207 0000 0001 000C 0004 0001120812830200 0000D20E 0A000000"},
		{"block number ABCDE", "3207 0000 0001 0008 000C 0001120411430300 FF090008 3041414243444541", "3207 0000 0001 000C 0004 0001120812830300 0000D201 0A000000"},
		{"block info without a block", "3207 0000 0001 0008 0004 0001120411430300 0A000000", "3207 0000 0001 000C 0004 0001120812830300 0000D405 0A000000"},
		{"31 february", "3207 0000 0001 0008 000E 0001120411470200 FF09000A 0019 2402311234567895", "3207 0000 0001 000C 0004 0001120812870200 0000DC01 0A000000"},
		{"a clock of letters", "3207 0000 0001 0008 000E 0001120411470200 FF09000A 0019 AA02281234567895", "3207 0000 0001 000C 0004 0001120812870200 0000DC01 0A000000"},
		{"a password of no bytes", "3207 0000 0001 0008 0004 0001120411450100 0A000000", "3207 0000 0001 000C 0004 0001120812850100 0000D601 0A000000"},
		{"a password of 255 bytes", "3207 0000 0001 0008 0103 0001120411450100 FF0900FF" + padded("", 255, 0x55), "3207 0000 0001 000C 0004 0001120812850100 0000D601 0A000000"},
		{"cyclic with factor 0", "3207 0000 0001 0008 0014 0001120411420100 FF090010 0001 00 00 120A1002 0001 0001 84 000000", "3207 0000 0001 000C 0004 0001120812820100 0000D804 0A000000"},
		{"cyclic with more items than there are", "3207 0000 0001 0008 0014 0001120411420100 FF090010 FFFF 00 01 120A1002 0001 0001 84 000000", "3207 0000 0001 000C 0004 0001120812820100 0000D405 0A000000"},
		{"the end of a job of nobody's", "3207 0000 0001 0008 0006 0001120411420400 FF090002 0105", "3207 0000 0001 000C 0004 0001120812820400 0000D802 0A000000"},
		{"bsend of half a specification", "3207 0000 0001 000C 0007 0001120812460100 01000000 FF090003 120613", "3207 0000 0001 000C 0004 0001120812860100 00008104 0A000000"},

		{"upload of an id that was never given", "3201 0000 0001 0008 0000 1E 00 0000 DEADBEEF", "3202 0000 0001 0000 0000 8401"},
		{"end of such an upload", "3201 0000 0001 0008 0000 1F 00 0000 DEADBEEF", "3202 0000 0001 0000 0000 8401"},
		{"upload of half an id", "3201 0000 0001 0006 0000 1E 00 0000 DEAD", "3202 0000 0001 0000 0000 8500"},
		{"upload of a name of no length", "3201 0000 0001 0009 0000 1D 00 0000 00000000 00", "3202 0000 0001 0000 0000 D201"},
		{"upload of a name of 255 bytes", "3201 0000 0001 0012 0000 1D 00 0000 00000000 FF 5F3041303030303141", "3202 0000 0001 0000 0000 8500"},
		{"upload of letters", "3201 0000 0001 0012 0000 1D 00 0000 00000000 09 5F304158585858583F", "3202 0000 0001 0000 0000 D201"},
		{"upload with a byte too many", "3201 0000 0001 0013 0000 1D 00 0000 00000000 09 5F3041303030303141 00", "3202 0000 0001 0000 0000 8500"},
		{"download of a name of no length", "3201 0000 0001 0017 0000 1A 00 0100 00000000 00 0D 31 303030313032 303030303130", "3202 0000 0001 0000 0000 D201"},
		{"download of a name of 255 bytes", "3201 0000 0001 0020 0000 1A 00 0100 00000000 FF 5F3041303030303150 0D 31 303030313032 303030303130", "3202 0000 0001 0000 0000 8500"},
		{"download of lengths of letters", "3201 0000 0001 0020 0000 1A 00 0100 00000000 09 5F3041303030303150 0D 31 414141414141 303030303130", "3202 0000 0001 0000 0000 D219"},
		{"download of 999999 bytes", "3201 0000 0001 0020 0000 1A 00 0100 00000000 09 5F3041303030303150 0D 31 393939393939 303030303130", "3202 0000 0001 0000 0000 D20F"},
		{"a slice that nobody asked for, as a job", "3201 0000 0001 0012 0000 1B 00 0000 00000000 09 5F3041303030303150", "3202 0000 0001 0000 0000 8104"},
		{"the end of a download, as a job", "3201 0000 0001 0012 0000 1C 00 0000 00000000 09 5F3041303030303150", "3202 0000 0001 0000 0000 8104"},

		{"pi name past the end", "3201 0000 0001 0010 0000 28 000000000000 FD 0000 FF 5F47415242", "3202 0000 0001 0000 0000 8500"},
		{"pi parameters past the end", "3201 0000 0001 0010 0000 28 000000000000 FD FFFF 05 5F47415242", "3202 0000 0001 0000 0000 8500"},
		{"pi without anything", "3201 0000 0001 0001 0000 28", "3202 0000 0001 0000 0000 8500"},
		{"pi of an unknown name", "3201 0000 0001 0010 0000 28 000000000000 FD 0000 05 5F58595A5F", "3202 0000 0001 0000 0000 8104"},
		{"pi with data", "3201 0000 0001 0010 0001 28 000000000000 FD 0000 05 5F47415242 00", "3202 0000 0001 0000 0000 8500"},
		{"delete without blocks", "3201 0000 0001 0010 0000 28 000000000000 FD 0000 05 5F44454C45", "3202 0000 0001 0000 0000 D202"},
		{"delete of 255 blocks that are one", "3201 0000 0001 001A 0000 28 000000000000 FD 000A FF00 3041303030303142 05 5F44454C45", "3202 0000 0001 0000 0000 D202"},
		{"stop of no name", "3201 0000 0001 0007 0000 29 0000000000 00", "3202 0000 0001 0000 0000 D202"},
		{"stop name past the end", "3201 0000 0001 0007 0000 29 0000000000 09", "3202 0000 0001 0000 0000 8500"},
	}
	for _, group := range []int{0, 1, 8, 9, 10, 11, 12, 13, 14, 15} {
		bad = append(bad, struct{ name, ask, want string }{fmt.Sprintf("group %d", group),
			fmt.Sprintf("3207 0000 0001 0008 0004 00011204114%X0100 0A000000", group), fmt.Sprintf("3207 0000 0001 000C 0004 00011208128%X0100 00008104 0A000000", group)})
	}
	for group := 2; group <= 7; group++ {
		for _, sub := range []int{0, 255} {
			bad = append(bad, struct{ name, ask, want string }{fmt.Sprintf("group %d, subfunction %d", group, sub),
				fmt.Sprintf("3207 0000 0001 0008 0004 00011204114%X%02X00 0A000000", group, sub),
				fmt.Sprintf("3207 0000 0001 000C 0004 00011208128%X%02X00 00008104 0A000000", group, sub)})
		}
	}
	for _, f := range []int{0x00, 0x06, 0x20, 0x27, 0x2A, 0x31, 0xEF, 0xFF} {
		bad = append(bad, struct{ name, ask, want string }{fmt.Sprintf("function %02x", f),
			fmt.Sprintf("3201 0000 0001 0002 0000 %02X 00", f), "3202 0000 0001 0000 0000 8104"})
	}
	return bad
}

func TestServicesBadInput(t *testing.T) {
	s := serve(t, ServerConfig{Handler: testCPU(t, CPUConfig{Programming: true})})
	other := s.session()
	k := s.talk(960)
	for _, x := range badServices() {
		ask := unhex(x.ask)
		if _, err := DecodePDU(ask); err != nil {
			t.Fatal(x.name, err)
		}
		k.write(frameOf(ask))
		p := k.pdu()
		if got := appendPDU(nil, &p); !bytes.Equal(got, unhex(x.want)) {
			t.Errorf("%s: %x, want %s", x.name, got, x.want)
		}
		wantAlive(t, other)
	}
}

// The same without a PLC behind it: every one is answered all the same.
func TestServicesBadInputWithoutServices(t *testing.T) {
	s := serve(t, ServerConfig{Handler: testMemory(t)})
	other := s.session()
	k := s.talk(960)
	for _, x := range badServices() {
		ask := unhex(x.ask)
		if _, err := DecodePDU(ask); err != nil {
			t.Fatal(x.name, err)
		}
		k.write(frameOf(ask))
		p := k.pdu()
		var u Userdata
		if p.Kind == KindUserdata && u.Decode(&p) != nil || p.Err == 0 && u.Err == 0 {
			t.Errorf("%s: %+v", x.name, p)
		}
		wantAlive(t, other)
	}
}

// heap returns the bytes that are in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// begun is how often a client begins something that it never ends.
func begun() int {
	if underRace {
		return 10_000
	}
	return 100_000
}

// What a client begins and never ends takes no more memory than what it may have at once.
func TestServicesWithoutEnd(t *testing.T) {
	s := serve(t, ServerConfig{Handler: &mailbox{testCPU(t, CPUConfig{Programming: true}), map[uint32][]byte{}}})
	for _, x := range []struct {
		name string
		ask  encoder
		most int // served
		want ErrorCode
	}{
		{"uploads", &UploadStartRequest{BlockFile{BlockDB, 1, FileActive}}, maxUploads, ErrNoFurtherUpload},
		{"subscriptions", &SubscribeRequest{Base: TimeBase10s, Factor: 255, Items: []Item{Bytes(AreaDB, 1, 0, 200)}}, maxJobs, ErrCyclicFull},
		{"lists in parts", &SZLRequest{SZLComponents, 0}, begun(), 0},
		{"bsends", &bsend{BSendPart{true, 7, 9000, []byte{1}}, 1, true}, begun(), 0},
	} {
		k := s.talk(240)
		if x.name == "lists in parts" {
			k = s.talk(112)
		}
		other := s.session()
		k.refusal(x.ask)
		before, served := heap(), 1
		frame := frameOf(x.ask.AppendTo(nil, 1))
		const burst = 100
		for range begun() / burst {
			k.write(bytes.Repeat(frame, burst))
			for range burst {
				p := k.pdu()
				code := p.Err
				var u Userdata
				if p.Kind == KindUserdata && u.Decode(&p) == nil {
					code = u.Err
				}
				switch code {
				case 0:
					served++
				case x.want:
				default:
					t.Fatal(x.name, code)
				}
			}
		}
		if after := heap(); after > before+1<<20 {
			t.Errorf("%s: %d bytes more", x.name, after-before)
		}
		if served > x.most+1 {
			t.Errorf("%s: %d were served", x.name, served)
		}
		wantAlive(t, other)
	}
}
