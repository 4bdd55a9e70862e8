package s7

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

type (
	encoder        interface{ AppendTo([]byte, uint16) []byte }
	jobDecoder     interface{ Decode(*PDU) ErrorCode }
	answerDecoder  interface{ Decode(*PDU) error }
	serviceDecoder interface{ Decode(*Userdata) ErrorCode }
)

// bsend carries what BSendPart takes as arguments.
type bsend struct {
	Part BSendPart
	Unit uint8
	More bool
}

func (m *bsend) AppendTo(b []byte, ref uint16) []byte { return m.Part.AppendTo(b, ref, m.Unit, m.More) }

func (m *bsend) Decode(u *Userdata) ErrorCode {
	m.Unit, m.More = u.Unit, u.More
	return m.Part.Decode(u, u.Unit <= 1)
}

// decode has the message into read p; u is room for the envelope of a service.
func decode(into any, p *PDU, u *Userdata) error {
	var code ErrorCode
	switch m := into.(type) {
	case jobDecoder:
		code = m.Decode(p)
	case answerDecoder:
		return m.Decode(p)
	case serviceDecoder:
		if err := u.Decode(p); err != nil {
			return err
		}
		code = m.Decode(u)
	default:
		panic("no decoder")
	}
	if code != 0 {
		return &RefusedError{Code: code}
	}
	return nil
}

const goldenRef = 0x0102

var noon = time.Date(2024, 2, 29, 12, 34, 56, 789*int(time.Millisecond), time.UTC) // a Thursday

var goldenMessages = []struct {
	name string
	hex  string // PDU; reference 0102
	msg  encoder
	into any
}{
	{"setup", "3201 0000 0102 0008 0000 F000 0001 0001 01E0", &SetupRequest{Setup{1, 1, 480}}, new(SetupRequest)},
	{"setup answer", "3203 0000 0102 0008 0000 0000 F000 0001 0001 00F0", &SetupResponse{Setup{1, 1, 240}}, new(SetupResponse)},
	{"read", "3201 0000 0102 000E 0000 0401 120A1002 0010 0001 84 000000", &ReadRequest{[]Item{Bytes(AreaDB, 1, 0, 16)}}, new(ReadRequest)},
	{"read four", "3201 0000 0102 0032 0000 0404 120A1001 0001 0000 83 000053 120A101C 0001 0000 1C 000005 120A101D 0002 0000 1D 000007 120A1008 0001 0003 84 0000A0",
		&ReadRequest{[]Item{Bit(AreaMarkers, 0, 10, 3), Counters(5, 1), Timers(7, 2),
			{Syntax: SyntaxAny, Size: SizeReal, Count: 1, DB: 3, Area: AreaDB, Address: 160}}}, new(ReadRequest)},
	{"read of other syntaxes", "3201 0000 0102 001E 0000 0403 1207B0 01 04 0001 0010 00 1203B2 0102 00 120A1002 0001 0000 81 000000",
		&ReadRequest{[]Item{DBRead(AppendDBPieces(nil, DBPiece{4, 1, 16})), {Syntax: 0xB2, Spec: unhex("0102")}, Bytes(AreaInputs, 0, 0, 1)}}, new(ReadRequest)},
	{"read answer", "3203 0000 0102 0002 001D 0000 0405 FF0400082A00 FF030001 0100 0A000000 FF070004 3F800000 FF090001 33",
		&ReadResponse{[]DataItem{{ReturnOK, DataByte, unhex("2A")}, {ReturnOK, DataBit, unhex("01")}, {ReturnNoObject, DataNone, []byte{}},
			{ReturnOK, DataReal, unhex("3F800000")}, {ReturnOK, DataOctet, unhex("33")}}}, new(ReadResponse)},
	{"write", "3201 0000 0102 001A 000D 0502 120A1001 0001 0000 83 000053 120A1002 0003 0001 84 000020 00030001 0100 00040018 010203",
		&WriteRequest{[]Item{Bit(AreaMarkers, 0, 10, 3), Bytes(AreaDB, 1, 4, 3)},
			[]DataItem{{0, DataBit, unhex("01")}, {0, DataByte, unhex("010203")}}}, new(WriteRequest)},
	{"write answer", "3203 0000 0102 0002 0002 0000 0502 FF05", &WriteResponse{Codes: unhex("FF05")}, new(WriteResponse)},
	{"szl", "3207 0000 0102 0008 0008 0001120411440100 FF090004 0011 0001", &SZLRequest{SZLModule, 1}, new(SZLRequest)},
	{"block list", "3207 0000 0102 0008 0006 0001120411430200 FF090002 3041", &BlockListRequest{BlockDB}, new(BlockListRequest)},
	{"block info", "3207 0000 0102 0008 000C 0001120411430300 FF090008 3041303030303141",
		&BlockInfoRequest{BlockFile{BlockDB, 1, FileActive}}, new(BlockInfoRequest)},
	{"set clock", "3207 0000 0102 0008 000E 0001120411470200 FF09000A 0019 24022912345678 95", &SetClockRequest{Clock{noon}}, new(SetClockRequest)},
	{"password", "3207 0000 0102 0008 000C 0001120411450100 FF090008 2534504125345041",
		func() encoder { m := NewPasswordRequest("pa"); return &m }(), new(PasswordRequest)},
	{"cyclic", "3207 0000 0102 0008 0014 0001120411420100 FF090010 0001 01 05 120A1002 0002 0001 84 000008",
		&SubscribeRequest{Base: TimeBase1s, Factor: 5, Items: []Item{Bytes(AreaDB, 1, 1, 2)}}, new(SubscribeRequest)},
	{"cyclic change", "3207 0000 0102 0008 0014 0001120411420500 FF090010 0001 00 02 120A1002 0002 0001 84 000008",
		&SubscribeRequest{Change: true, Factor: 2, Items: []Item{Bytes(AreaDB, 1, 1, 2)}}, new(SubscribeRequest)},
	{"uncyclic", "3207 0000 0102 0008 0006 0001120411420400 FF090002 0107", &UnsubscribeRequest{SubCyclicSubscribe, 7}, new(UnsubscribeRequest)},
	{"bsend", "3207 0000 0102 000C 0011 0001120812460100 01010000 FF09000D 12061300 00000007 0005 010203",
		&bsend{BSendPart{true, 7, 5, unhex("010203")}, 1, true}, new(bsend)},
	{"bsend end", "3207 0000 0102 000C 000E 0001120812460100 02000000 FF09000A 12061300 00000007 0405",
		&bsend{BSendPart{false, 7, 0, unhex("0405")}, 2, false}, new(bsend)},
	{"stop", "3201 0000 0102 0010 0000 29 0000000000 09 505F50524F4752414D", &StopRequest{[]byte(PIProgram)}, new(StopRequest)},
	{"warm start", "3201 0000 0102 0014 0000 28 000000000000 FD 0000 09 505F50524F4752414D",
		&PIServiceRequest{[]byte(PIProgram), []byte{}}, new(PIServiceRequest)},
	{"cold start", "3201 0000 0102 0016 0000 28 000000000000 FD 0002 4320 09 505F50524F4752414D",
		&PIServiceRequest{[]byte(PIProgram), []byte(PIColdStart)}, new(PIServiceRequest)},
	{"copy ram to rom", "3201 0000 0102 0012 0000 28 000000000000 FD 0002 4550 05 5F4D4F4455",
		&PIServiceRequest{[]byte(PICopyROM), []byte(PIToEPROM)}, new(PIServiceRequest)},
	{"compress", "3201 0000 0102 0010 0000 28 000000000000 FD 0000 05 5F47415242", &PIServiceRequest{[]byte(PICompress), []byte{}}, new(PIServiceRequest)},
	{"insert", "3201 0000 0102 001A 0000 28 000000000000 FD 000A 0100 3041303030303150 05 5F494E5345",
		&PIServiceRequest{[]byte(PIInsert), AppendPIBlocks(nil, BlockFile{BlockDB, 1, FilePassive})}, new(PIServiceRequest)},
	{"pi answer", "3203 0000 0102 0001 0000 0000 28", &Done{FuncPIService}, &Done{FuncPIService}},
	{"start upload", "3201 0000 0102 0012 0000 1D 00 0000 00000000 09 5F3041303030303141", &UploadStartRequest{BlockFile{BlockDB, 1, FileActive}}, new(UploadStartRequest)},
	{"start upload answer", "3203 0000 0102 0010 0000 0000 1D 00 0100 00000007 07 30303030313930", &UploadStartResponse{7, 190}, new(UploadStartResponse)},
	{"upload", "3201 0000 0102 0008 0000 1E 00 0000 00000007", &UploadRequest{7}, new(UploadRequest)},
	{"upload answer", "3203 0000 0102 0002 0007 0000 1E 01 0003 00FB 010203", &Slice{FuncUpload, true, false, unhex("010203")}, &Slice{Function: FuncUpload}},
	{"end upload", "3201 0000 0102 0008 0000 1F 00 0000 00000007", &UploadEndRequest{ID: 7}, new(UploadEndRequest)},
	{"request download", "3201 0000 0102 0020 0000 1A 00 0100 00000000 09 5F3041303030303150 0D 31 303030313032 303030303130",
		&DownloadRequest{BlockFile{BlockDB, 1, FilePassive}, 102, 10}, new(DownloadRequest)},
	{"download block", "3201 0000 0102 0012 0000 1B 00 0000 00000000 09 5F3041303030303150", &DownloadBlockRequest{BlockFile{BlockDB, 1, FilePassive}}, new(DownloadBlockRequest)},
	{"download block answer", "3203 0000 0102 0002 0006 0000 1B 00 0002 00FB 0102", &Slice{FuncDownloadBlock, false, false, unhex("0102")}, &Slice{Function: FuncDownloadBlock}},
	{"download ended", "3201 0000 0102 0012 0000 1C 00 0000 00000000 09 5F3041303030303150", &DownloadEndedRequest{File: BlockFile{BlockDB, 1, FilePassive}}, new(DownloadEndedRequest)},
	{"userdata answer", "3207 0000 0102 000C 0006 0001120812840107 0001D402 FF090002 0102",
		&Userdata{Type: UserdataResponse, Group: GroupCPU, Sub: SubSZL, Seq: 7, Long: true, More: true, Err: ErrNoSZL, Code: ReturnOK, Size: DataOctet, Data: unhex("0102")}, new(Userdata)},
}

func TestGoldenMessages(t *testing.T) {
	for _, g := range goldenMessages {
		want := unhex(g.hex)
		if got := g.msg.AppendTo([]byte{0xAA}, goldenRef); !bytes.Equal(got[1:], want) || got[0] != 0xAA {
			t.Errorf("%s: encoded %x, want %x", g.name, got[1:], want)
		}
		p, err := DecodePDU(want)
		if err != nil || p.Ref != goldenRef {
			t.Errorf("%s: %+v, %v", g.name, p, err)
		}
		if err := decode(g.into, &p, new(Userdata)); err != nil || !reflect.DeepEqual(g.into, g.msg) {
			t.Errorf("%s: decoded %+v (%v), want %+v", g.name, g.into, err, g.msg)
		}
	}
}

// Parameters and data that are cut short, or have a byte too many, are refused.
func TestLengthsLie(t *testing.T) {
	for _, g := range goldenMessages {
		p, err := DecodePDU(unhex(g.hex))
		if err != nil {
			t.Fatal(err)
		}
		refused := func(what string, q PDU) {
			if err := decode(g.into, &q, new(Userdata)); err == nil {
				t.Errorf("%s: %s was taken as %+v", g.name, what, g.into)
			}
		}
		for n := range p.Param {
			q := p
			q.Param = p.Param[:n:n]
			if _, ok := g.into.(*UploadStartResponse); ok && n == 8 {
				continue // the length may be left out
			}
			refused("parameters cut", q)
		}
		for n := range p.Data {
			q := p
			q.Data = p.Data[:n:n]
			if _, ok := g.into.(*Userdata); ok && n == 0 {
				continue // data may be left out
			}
			refused("data cut", q)
		}
		if _, ok := g.into.(*Done); ok {
			continue
		}
		q := p
		q.Param = append(bytes.Clone(p.Param), 0)
		refused("a parameter byte too many", q)
		q = p
		q.Data = append(bytes.Clone(p.Data), 0, 0)
		refused("two data bytes too many", q)
	}
}

func TestKindsAndFunctionsAreNotMixedUp(t *testing.T) {
	for _, g := range goldenMessages {
		for _, other := range goldenMessages {
			if reflect.TypeOf(g.into) == reflect.TypeOf(other.into) {
				continue
			}
			p, _ := DecodePDU(unhex(other.hex))
			_, envelope := g.into.(*Userdata)
			if err := decode(g.into, &p, new(Userdata)); err == nil && !(envelope && p.Kind == KindUserdata) {
				t.Errorf("%s was taken as %s", other.name, g.name)
			}
		}
	}
}

func TestMessagesDoNotAllocate(t *testing.T) {
	buf := make([]byte, 0, 512)
	var p PDU
	var u Userdata
	for _, g := range goldenMessages {
		want := unhex(g.hex)
		if n := testing.AllocsPerRun(100, func() {
			buf = g.msg.AppendTo(buf[:0], goldenRef)
			var err error
			p, err = DecodePDU(want)
			if err != nil || decode(g.into, &p, &u) != nil {
				t.Fatal(g.name)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocs", g.name, n)
		}
	}
}

func TestRefusals(t *testing.T) {
	plain := unhex("3202 0000 0102 0000 0000 8104") // as real PLCs do it
	if got := AppendRefusal(nil, goldenRef, ErrServiceUnknown); !bytes.Equal(got, plain) {
		t.Errorf("encoded %x", got)
	}
	p, err := DecodePDU(plain)
	if err != nil {
		t.Fatal(err)
	}
	var refused *RefusedError
	for _, m := range []answerDecoder{new(SetupResponse), new(ReadResponse), new(WriteResponse), new(UploadStartResponse), &Slice{Function: FuncUpload}, &Done{FuncStop}} {
		if err := m.Decode(&p); !errors.As(err, &refused) || refused.Code != ErrServiceUnknown || refused.Function != 0 {
			t.Errorf("%T: %v", m, err)
		}
	}
	p, err = DecodePDU(AppendRefusalOf(nil, 1, FuncStop, ErrNotPerformed, DetailStopped))
	if err != nil {
		t.Fatal(err)
	}
	if err := (&Done{FuncStop}).Decode(&p); !errors.As(err, &refused) || *refused != (RefusedError{FuncStop, ErrNotPerformed, DetailStopped}) {
		t.Errorf("stop: %v", err)
	}
	if got := refused.Error(); got != "s7: stop refused: 0x8404 (function cannot be performed)" {
		t.Error(got)
	}
	if got := ErrorCode(0x8777).String(); got != "0x8777 (access)" {
		t.Error(got)
	}
}

// What tells an answer from that to another request.
func TestHeaderFields(t *testing.T) {
	for _, x := range []struct {
		name     string
		function Function
		items    int
	}{{"read four", FuncRead, 4}, {"read answer", FuncRead, 5}, {"write", FuncWrite, 2}, {"write answer", FuncWrite, 2}, {"upload", FuncUpload, 0}, {"szl", 0, 0}} {
		for _, g := range goldenMessages {
			if g.name != x.name {
				continue
			}
			p, err := DecodePDU(unhex(g.hex))
			if err != nil || p.Function() != x.function || p.Items() != x.items {
				t.Errorf("%s: %v, %d items, %v", x.name, p.Function(), p.Items(), err)
			}
		}
	}
}

func TestGrant(t *testing.T) {
	for _, x := range []struct {
		asked Setup
		want  Setup
		code  ErrorCode
	}{
		{Setup{1, 1, 480}, Setup{1, 1, 480}, 0},
		{Setup{20, 3, 65535}, Setup{8, 3, 960}, 0},
		{Setup{1, 1, 112}, Setup{1, 1, 112}, 0},
		{Setup{1, 1, 111}, Setup{}, ErrFrame},
		{Setup{1, 1, 0}, Setup{}, ErrFrame},
		{Setup{0, 1, 240}, Setup{}, ErrFrame},
	} {
		m := SetupRequest{x.asked}
		if got, code := m.Grant(960, 8); got.Setup != x.want || code != x.code {
			t.Errorf("%+v: %+v, %v", x.asked, got, code)
		}
	}
	if w := (&SetupResponse{Setup{8, 3, 240}}).Window(); w != 3 {
		t.Errorf("window %d", w)
	}
	if w := (&SetupResponse{Setup{0, 3, 240}}).Window(); w != 1 {
		t.Errorf("window %d", w)
	}
}
