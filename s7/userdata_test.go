package s7

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"
)

// goldenPayloads are the data of answers, which are written and read without their envelope.
var goldenPayloads = []struct {
	name string
	hex  string
	msg  payload
	into payload
}{
	{"szl", "0011 0001 0002 0002 0102 0304", &SZL{SZLModule, 1, 2, unhex("01020304")}, new(SZL)},
	{"module", "0001 364553372033 31352D324548313420202020 2020 00C0 56030206",
		&ModuleRecord{ModuleOrder, []byte("6ES7 315-2EH14"), 0xC0, [4]byte{'V', 3, 2, 6}}, new(ModuleRecord)},
	{"component", "0005 5320 43 000000000000000000000000000000000000000000000000000000 0000", &ComponentRecord{ComponentSerial, []byte("S C")}, new(ComponentRecord)},
	{"comm", "0001 01E0 0010 0002DC6C 0002DC6C 0000000000000000000000000000000000000000000000000000", &CommRecord{1, 480, 16, 187500, 187500}, new(CommRecord)},
	{"protection", "0004 0001 0000 0002 0003 0001 00000000000000000000000000000000000000000000000000000000",
		&ProtectionRecord{4, 1, 0, 2, SelectorStop, 1}, new(ProtectionRecord)},
	{"mode", "5144FF08 0000000000000000 2402291234567895", &ModeRecord{ModeRun, noon}, new(ModeRecord)},
	{"mode without a time", "5144FF04 0000000000000000 0000000000000000", &ModeRecord{Mode: ModeStop}, new(ModeRecord)},
	{"clock", "00 20 2402291234567895", &Clock{noon}, new(Clock)},
	{"clock of the last century", "00 19 9902281234567891", &Clock{time.Date(1999, 2, 28, 12, 34, 56, 789e6, time.UTC)}, new(Clock)},
	{"block info", "0100 004A 2200 7070 01 01 05 0A 0007 00000066 00000003 00000001 0001 05265BFF 0002 0001 0002 0003 000A" +
		"5349454D454E532046414D494C5920204E414D4520202020 10 00 1234 0000000000000000",
		&BlockInfo{1, LanguageDB, 0x0A, 7, 102, 3, blockEpoch.Add(day + time.Millisecond), blockEpoch.Add(3*day - time.Millisecond), 1, 2, 3, 10,
			[8]byte([]byte("SIEMENS ")), [8]byte([]byte("FAMILY  ")), [8]byte([]byte("NAME    ")), 0x10, 0x1234}, new(BlockInfo)},
	{"cyclic", "0002 FF040018 010203 00 FF030001 01",
		&CyclicData{[]DataItem{{ReturnOK, DataByte, unhex("010203")}, {ReturnOK, DataBit, unhex("01")}}}, new(CyclicData)},
}

type payload interface {
	AppendTo([]byte) []byte
	Decode([]byte) error
}

func TestGoldenPayloads(t *testing.T) {
	buf := make([]byte, 0, 128)
	for _, g := range goldenPayloads {
		want := unhex(g.hex)
		if got := g.msg.AppendTo([]byte{0xAA}); !bytes.Equal(got[1:], want) {
			t.Errorf("%s: encoded %x, want %x", g.name, got[1:], want)
		}
		if err := g.into.Decode(want); err != nil || !reflect.DeepEqual(g.into, g.msg) {
			t.Errorf("%s: decoded %+v (%v), want %+v", g.name, g.into, err, g.msg)
		}
		var pe *PDUError
		for n := range want {
			if err := g.into.Decode(want[:n:n]); !errors.As(err, &pe) {
				t.Errorf("%s: %d of %d bytes: %v", g.name, n, len(want), err)
			}
		}
		if n := testing.AllocsPerRun(100, func() {
			buf = g.msg.AppendTo(buf[:0])
			if g.into.Decode(want) != nil {
				t.Fatal(g.name)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocs", g.name, n)
		}
	}
}

// TestNmapReadsTheModule builds the answers that nmap's script reads at fixed places.
func TestNmapReadsTheModule(t *testing.T) {
	var records []byte
	for _, i := range []uint16{ModuleOrder, ModuleHardware, ModuleFirmware} {
		m := ModuleRecord{Index: i, Order: []byte("6ES7 315-2EH14-0AB0"), Version: [4]byte{'V', 3, 2, byte(i)}}
		records = m.AppendTo(records)
	}
	frame := szlFrame(SZL{ID: SZLModule, Index: 1, RecordLen: ModuleRecordBytes, Records: records})
	if len(frame) != 125 || !bytes.Equal(frame[122:125], []byte{3, 2, 7}) {
		t.Errorf("%d bytes, version %x", len(frame), frame[122:])
	}
	if order := frame[43:63]; string(order) != "6ES7 315-2EH14-0AB0 " || frame[63] != 0 {
		t.Errorf("order %q", order)
	}
	records = nil
	for _, i := range []uint16{ComponentSystem, ComponentModule, ComponentPlant, ComponentCopyright, ComponentSerial, ComponentType} {
		m := ComponentRecord{Index: i, Text: []byte("x")}
		records = m.AppendTo(records)
	}
	list := SZL{ID: SZLComponents, RecordLen: ComponentRecordBytes, Records: records}
	// 41 bytes before the records and 204 of them: 238 of PDU, 245 with TPKT and COTP.
	if frame := szlFrame(list); len(frame) != 7+238 || list.Len() != 6 || list.Record(4)[1] != ComponentSerial {
		t.Errorf("%d bytes, %d records", len(frame), list.Len())
	}
	mode := ModeRecord{Mode: ModeRun}
	frame = szlFrame(SZL{ID: SZLMode, RecordLen: ModeRecordBytes, Records: mode.AppendTo(nil)})
	if status := frame[FrameBytes+jobHeader+userdataLong+15]; status != byte(ModeRun) {
		t.Errorf("status %d", status)
	}
}

func szlFrame(list SZL) []byte {
	asked := request(GroupCPU, SubSZL)
	answer := asked.Reply()
	b := answer.Begin(BeginFrame(nil), 0)
	return EndFrame(EndUserdata(list.AppendTo(b), FrameBytes), 0)
}

// TestRequestThatOverstatesItsData decodes the SZL request of PLC4X 0.12, whose data are said to be 12 bytes and are 4. An answer like that is
// malformed.
func TestRequestThatOverstatesItsData(t *testing.T) {
	frame := unhex("320700000001000800080001120411440100ff09000c00110000")
	p, err := DecodePDU(frame)
	if err != nil {
		t.Fatal(err)
	}
	var u Userdata
	var m SZLRequest
	if err := u.Decode(&p); err != nil || m.Decode(&u) != 0 || m != (SZLRequest{ID: SZLModule}) {
		t.Errorf("decoded %+v, %+v, %v", u, m, err)
	}
	frame[15] = frame[15]&0x0F | byte(UserdataResponse)<<4
	if p, err = DecodePDU(frame); err != nil {
		t.Fatal(err)
	}
	var bad *PDUError
	if err := u.Decode(&p); !errors.As(err, &bad) {
		t.Errorf("an answer that overstates its data: %v", err)
	}
}

func TestEmptySZL(t *testing.T) {
	var m SZL
	if err := m.Decode(unhex("0011 0000 0000 FFFF")); err != nil || m.Len() != 0 {
		t.Error(m, err)
	}
	if got := m.AppendTo(nil); !bytes.Equal(got, unhex("0011 0000 0000 0000")) {
		t.Errorf("%x", got)
	}
}

func TestBlockLists(t *testing.T) {
	counts := []BlockCount{{BlockOB, 1}, {BlockDB, 258}}
	b := AppendBlockCounts(nil, counts...)
	if got, err := BlockCounts(b, nil); !bytes.Equal(b, unhex("3038 0001 3041 0102")) || err != nil || !reflect.DeepEqual(got, counts) {
		t.Errorf("%x %v %v", b, got, err)
	}
	for _, bad := range []string{"30", "304101", "3141 0001", "3041 0001 30"} {
		if got, err := BlockCounts(unhex(bad), nil); err == nil {
			t.Errorf("%s taken as %v", bad, got)
		}
	}
	list := []BlockEntry{{1, 0x22, LanguageDB}, {65535, 0, LanguageAWL}}
	b = AppendBlockList(nil, list...)
	if got, err := BlockList(b, nil); !bytes.Equal(b, unhex("0001 22 05 FFFF 00 01")) || err != nil || !reflect.DeepEqual(got, list) {
		t.Errorf("%x %v %v", b, got, err)
	}
	if got, err := BlockList(unhex("000122"), nil); err == nil {
		t.Errorf("half an entry taken as %v", got)
	}
	for _, letter := range "8ABCDEF" {
		if f := (BlockFile{BlockType(letter), 99999, FileBoth}); !f.decodeFile(f.appendFile(nil)[1:]) || f.Number != 99999 {
			t.Errorf("%v", f)
		}
	}
}

// Service requests with nonsense in them are refused by the right code.
func TestServiceRefusals(t *testing.T) {
	for _, x := range []struct {
		name string
		into serviceDecoder
		g    Group
		sub  uint8
		data string
		want ErrorCode
	}{
		{"block number of letters", new(BlockInfoRequest), GroupBlock, SubBlockInfo, "3041 4142434445 41", ErrBlockNameSyntax},
		{"block type", new(BlockInfoRequest), GroupBlock, SubBlockInfo, "3039 3030303031 41", ErrBlockNameSyntax},
		{"file system", new(BlockInfoRequest), GroupBlock, SubBlockInfo, "3041 3030303031 43", ErrBlockNameSyntax},
		{"list of no type", new(BlockListRequest), GroupBlock, SubBlockList, "3039", ErrNoBlock},
		{"list without a mark", new(BlockListRequest), GroupBlock, SubBlockList, "3141", ErrUserdataSyntax},
		{"31 february", new(SetClockRequest), GroupTime, SubClockSet, "0019 2402311234567895", ErrDateTime},
		{"clock of letters", new(SetClockRequest), GroupTime, SubClockSet, "0019 2A02281234567895", ErrDateTime},
		{"clock cut", new(SetClockRequest), GroupTime, SubClockSet, "0019 24", ErrUserdataSyntax},
		{"the other form", new(SetClockRequest), GroupTime, SubClockSetForm, "0019 2402291234567895", 0},
		{"reading is no setting", new(SetClockRequest), GroupTime, SubClockRead, "0019 2402291234567895", ErrServiceUnknown},
		{"password of nothing", new(PasswordRequest), GroupSecurity, SubPasswordEnter, "", ErrSecuritySyntax},
		{"factor 0", new(SubscribeRequest), GroupCyclic, SubCyclicSubscribe, "0001 00 00 120A1002 0001 0001 84 000000", ErrCyclicTime},
		{"base 3", new(SubscribeRequest), GroupCyclic, SubCyclicSubscribe, "0001 03 01 120A1002 0001 0001 84 000000", ErrCyclicTime},
		{"more items than there are", new(SubscribeRequest), GroupCyclic, SubCyclicSubscribe, "FFFF 00 01 120A1002 0001 0001 84 000000", ErrUserdataSyntax},
		{"no items", new(SubscribeRequest), GroupCyclic, SubCyclicSubscribe, "0000 00 01", ErrUserdataSyntax},
		{"bsend over its total", &bsend{}, GroupBSend, SubBSend, "12061300 00000001 0001 0102", ErrUserdataSyntax},
		{"bsend of other syntax", &bsend{}, GroupBSend, SubBSend, "12061400 00000001 0002 0102", ErrUserdataSyntax},
	} {
		u := request(x.g, x.sub)
		u.Data = unhex(x.data)
		p, err := DecodePDU(u.AppendTo(nil, 1))
		var back Userdata
		if err != nil || back.Decode(&p) != nil {
			t.Fatal(x.name, err)
		}
		if code := x.into.Decode(&back); code != x.want {
			t.Errorf("%s: %v, want %v", x.name, code, x.want)
		}
		back.Type = UserdataPush
		if code := x.into.Decode(&back); code != ErrServiceUnknown {
			t.Errorf("%s, pushed: %v", x.name, code)
		}
	}
}

func TestPasswordIsDisguised(t *testing.T) {
	m := NewPasswordRequest("123456789")
	b := m.AppendTo(nil, 0)
	if bytes.Contains(b, []byte("1234")) || string(m.Password[:]) != "12345678" {
		t.Errorf("%x %q", b, m.Password)
	}
}

func TestGather(t *testing.T) {
	asked := request(GroupCPU, SubSZL)
	part := func(seq uint8, more bool, data string) *Userdata {
		u := asked.Reply()
		u.Seq, u.More, u.Data = seq, more, []byte(data)
		return &u
	}
	var g Gather
	if done, err := g.Add(part(5, true, "ab")); done || err != nil {
		t.Fatal(done, err)
	}
	f := part(5, true, "").FollowUp()
	if f.Type != UserdataRequest || !f.Long || f.Seq != 5 || f.Code != ReturnNoObject || f.Data != nil {
		t.Errorf("follow-up %+v", f)
	}
	if !f.IsFollowUp() || asked.IsFollowUp() || part(5, true, "").IsFollowUp() {
		t.Error("what is a follow-up")
	}
	if done, err := g.Add(part(5, false, "cd")); !done || err != nil || string(g.Data()) != "abcd" {
		t.Fatal(done, err, g.Data())
	}
	if done, err := g.Add(part(9, false, "e")); !done || err != nil || string(g.Data()) != "e" {
		t.Fatal("the next one", done, err, g.Data())
	}
	var refused *RefusedError
	no := asked.Refuse(ErrNoSZL)
	if _, err := g.Add(&no); !errors.As(err, &refused) || refused.Code != ErrNoSZL {
		t.Error(err)
	}
	g.Add(part(1, true, "x"))
	if _, err := g.Add(part(2, true, "y")); err == nil {
		t.Error("a part of another answer was taken")
	}
	for _, small := range []Gather{{MaxParts: 3}, {MaxBytes: 3}} {
		var err error
		n := 0
		for ; err == nil && n < 10; n++ {
			_, err = small.Add(part(1, true, "x"))
		}
		if n != 4 {
			t.Errorf("%d parts", n)
		}
	}
}

func TestPIBlocks(t *testing.T) {
	want := []BlockFile{{BlockDB, 1, FilePassive}, {BlockFC, 20, FileBoth}}
	param := AppendPIBlocks(nil, want...)
	if got, code := PIBlocks(param, nil); code != 0 || !reflect.DeepEqual(got, want) {
		t.Error(got, code)
	}
	for _, x := range []struct {
		hex  string
		want ErrorCode
	}{
		{"", ErrParameterSyntax}, {"0000", ErrParameterSyntax}, {"0100", ErrParameterSyntax}, {"FF00 3041303030303150", ErrParameterSyntax},
		{"0100 3041303030303150 00", ErrParameterSyntax}, {"0100 3041303030303151", ErrBlockNameSyntax},
	} {
		if got, code := PIBlocks(unhex(x.hex), nil); code != x.want {
			t.Errorf("%q: %v %v", x.hex, got, code)
		}
	}
}

// Names of blocks in jobs that are none.
func TestBlockNamesInJobs(t *testing.T) {
	for _, x := range []struct {
		param string
		into  jobDecoder
		want  ErrorCode
	}{
		{"1D 00 0000 00000000 00", new(UploadStartRequest), ErrBlockNameSyntax}, {"1D 00 0000 00000000 FF 5F", new(UploadStartRequest), ErrFrame},
		{"1D 00 0000 00000000 09 243041303030303141", new(UploadStartRequest), ErrBlockNameSyntax},
		{"1A 00 0100 00000000 09 5F3041303030303150 0D 31 303030313032 3030303031FF", new(DownloadRequest), ErrBlockLength},
		{"1A 00 0100 00000000 09 5F3041303030303150 00", new(DownloadRequest), ErrBlockLength},
		{"1A 00 0100 00000000 08 3041303030303150 00", new(DownloadRequest), ErrBlockNameSyntax},
		{"28 000000000000 FD 0000 09 50", new(PIServiceRequest), ErrFrame}, {"28 000000000000 FD FFFF 00", new(PIServiceRequest), ErrFrame},
		{"04 02 120A1002 0001 0001 84 000000", new(ReadRequest), ErrFrame}, {"04 00", new(ReadRequest), ErrFrame}, {"04 01 1200", new(ReadRequest), ErrFrame},
		{"04 01 12FF10 02 0001 0001 84 000000", new(ReadRequest), ErrFrame}, {"04 01 120910 02 0001 0001 84 0000", new(ReadRequest), 0},
	} {
		if code := x.into.Decode(&PDU{Kind: KindJob, Param: unhex(x.param)}); code != x.want {
			t.Errorf("%s: %v, want %v", x.param, code, x.want)
		}
	}
	var m ReadRequest
	p := PDU{Kind: KindJob, Param: unhex("04 02 120910 02 0001 0001 84 0000 00 110A1002 0001 0001 84 000000")}
	if code := m.Decode(&p); code != 0 || m.Items[0].Check() != ReturnTypeUnsupported || m.Items[1].Check() != ReturnTypeUnsupported {
		t.Errorf("items that are no S7ANY: %+v, %v", m.Items, code)
	}
}
