package s7

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"
)

func TestItemCheck(t *testing.T) {
	item := func(s TransportSize, n uint16, a Area, address uint32) Item {
		return Item{Syntax: SyntaxAny, Size: s, Count: n, DB: 1, Area: a, Address: address}
	}
	for _, x := range []struct {
		item Item
		want ReturnCode
	}{
		{Bytes(AreaDB, 1, 2097151, 65535), ReturnOK}, {Bit(AreaMarkers, 0, 10, 7), ReturnOK}, {Counters(65535, 1), ReturnOK}, {Timers(3, 2), ReturnOK},
		{item(SizeReal, 4, AreaDB, 160), ReturnOK}, {item(SizeWord, 1, AreaPeripheral, 8), ReturnOK},
		{Item{Syntax: 0xB2, Spec: []byte{1}}, ReturnTypeUnsupported}, {Item{}, ReturnTypeUnsupported},
		{item(SizeByte, 1, 0x88, 0), ReturnNoObject}, {item(0, 1, 0, 0), ReturnNoObject},
		{item(0, 1, AreaDB, 0), ReturnTypeUnsupported}, {item(255, 1, AreaDB, 0), ReturnTypeUnsupported},
		{item(SizeByte, 1, AreaTimer, 0), ReturnAddress}, {item(SizeByte, 1, AreaCounter, 0), ReturnAddress},
		{item(SizeTimer, 1, AreaDB, 0), ReturnAddress}, {item(SizeCounter, 1, AreaTimer, 0), ReturnAddress},
		{item(SizeIECTimer, 1, AreaIECTimer200, 0), ReturnOK}, {item(SizeIECTimer, 1, AreaDB, 0), ReturnAddress},
		{item(SizeWord, 1, AreaIECTimer200, 0), ReturnAddress}, {item(SizeIECCount, 1, AreaIECTimer200, 0), ReturnAddress},
		{item(SizeByte, 0, AreaDB, 0), ReturnAddress}, {item(SizeBit, 0, AreaDB, 0), ReturnAddress}, {item(SizeBit, 8, AreaDB, 0), ReturnAddress},
		{item(SizeByte, 1, AreaDB, 1), ReturnAddress}, {item(SizeByte, 1, AreaDB, 0xFFFFFF), ReturnAddress},
	} {
		if got := x.item.Check(); got != x.want {
			t.Errorf("%v: %v, want %v", &x.item, got, x.want)
		}
	}
	m := item(SizeDWord, 0xFFFF, AreaDB, 8)
	if from, n := m.Range(); from != 1 || n != 262140 {
		t.Errorf("range %d+%d", from, n)
	}
	m = Timers(7, 2)
	if from, n := m.Range(); from != 14 || n != 4 {
		t.Errorf("timers %d+%d", from, n)
	}
}

func TestItemCheckWrite(t *testing.T) {
	word, bit := Bytes(AreaDB, 1, 0, 2), Bit(AreaDB, 1, 0, 3)
	for _, x := range []struct {
		item Item
		data DataItem
		want ReturnCode
	}{
		{word, DataItem{Size: DataByte, Data: []byte{1, 2}}, ReturnOK}, {word, DataItem{Size: DataOctet, Data: []byte{1, 2}}, ReturnOK},
		{word, DataItem{Size: DataByte, Data: []byte{1}}, ReturnTypeMismatch}, {word, DataItem{Size: DataByte, Data: []byte{1, 2, 3}}, ReturnTypeMismatch},
		{bit, DataItem{Size: DataBit, Data: []byte{1}}, ReturnOK}, {bit, DataItem{Size: DataByte, Data: []byte{1}}, ReturnTypeMismatch},
		{Bytes(AreaDB, 1, 0, 1), DataItem{Size: DataBit, Data: []byte{1}}, ReturnTypeMismatch},
	} {
		if got := x.item.CheckWrite(&x.data); got != x.want {
			t.Errorf("%v with %+v: %v, want %v", &x.item, x.data, got, x.want)
		}
	}
}

func TestItemNames(t *testing.T) {
	for want, m := range map[string]Item{
		"DB1.20 BYTE*4": Bytes(AreaDB, 1, 20, 4), "M10.3 BIT*1": Bit(AreaMarkers, 0, 10, 3), "C5 COUNTER*1": Counters(5, 1),
		"I0 BYTE*1": Bytes(AreaInputs, 0, 0, 1), "item of syntax 0xb2": {Syntax: 0xB2},
	} {
		if got := m.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Every size that Bytes knows has a name, and the other way round.
func TestSizesAndAreasAreNamed(t *testing.T) {
	for i := range 256 {
		s, a := TransportSize(i), Area(i)
		if (s.Bytes() > 0) != (s.String()[0] != 's') {
			t.Errorf("%v has %d bytes", s, s.Bytes())
		}
		if a.Known() != (a.String()[0] != 'a') {
			t.Errorf("%v known %v", a, a.Known())
		}
		if f := Function(i); i > 0 && f.Known() == bytes.HasPrefix([]byte(f.String()), []byte("function ")) {
			t.Errorf("%v known %v", f, f.Known())
		}
	}
}

func readAnswer(t *testing.T, count byte, data string) (ReadResponse, error) {
	t.Helper()
	var m ReadResponse
	err := m.Decode(&PDU{Kind: KindAckData, Param: []byte{byte(FuncRead), count}, Data: unhex(data)})
	return m, err
}

// Where stacks disagree about an answer, each of them is understood.
func TestReadAnswersOfOthers(t *testing.T) {
	for _, x := range []struct {
		name  string
		count byte
		data  string
		want  []DataItem
	}{
		{"a fill behind the last", 1, "FF040008 2A 00", []DataItem{{ReturnOK, DataByte, unhex("2A")}}},
		{"dint in bytes", 2, "FF060004 00000001 FF060004 00000002", []DataItem{{ReturnOK, DataDInt, unhex("00000001")}, {ReturnOK, DataDInt, unhex("00000002")}}},
		{"dint in bits", 2, "FF060020 00000001 FF060020 00000002", []DataItem{{ReturnOK, DataDInt, unhex("00000001")}, {ReturnOK, DataDInt, unhex("00000002")}}},
		{"a failure with length 4", 2, "0A000004 FF040008 2A", []DataItem{{ReturnNoObject, DataNone, []byte{}}, {ReturnOK, DataByte, unhex("2A")}}},
		{"a failure with a size", 1, "05040010", []DataItem{{ReturnAddress, DataNone, []byte{}}}},
		{"nothing", 1, "FF000000", []DataItem{{ReturnOK, DataNone, []byte{}}}},
	} {
		if m, err := readAnswer(t, x.count, x.data); err != nil || !reflect.DeepEqual(m.Items, x.want) {
			t.Errorf("%s: %+v, %v", x.name, m.Items, err)
		}
	}
	for _, data := range []string{"", "FF0400", "FF041000 00", "FF040008 2A 00 00", "FF040010 0102 00", "FF06FFFF 00"} {
		if m, err := readAnswer(t, 1, data); err == nil {
			t.Errorf("%s taken as %+v", data, m)
		}
	}
	if m, err := readAnswer(t, 2, "FF040008 2A FF040010 0102"); err == nil {
		t.Errorf("without a fill taken as %+v", m)
	}
	if _, err := readAnswer(t, 0, ""); err == nil {
		t.Error("no items taken")
	}
}

// The answer that is built in place is the one that is appended.
func TestReadAnswerInPlace(t *testing.T) {
	m := ReadResponse{[]DataItem{{ReturnOK, DataByte, unhex("010203")}, {ReturnAddress, DataNone, nil}, {ReturnOK, DataOctet, unhex("0405")}}}
	want := m.AppendTo(nil, 7)
	buf := make([]byte, 0, 128)
	build := func() []byte {
		b := BeginReadResponse(append(buf[:0], 0xAA), 7, len(m.Items))
		for _, item := range m.Items {
			if item.Code != ReturnOK {
				b = AppendReadItem(b, 1, item)
				continue
			}
			var place []byte
			b, place = GrowReadItem(b, 1, item.Size, len(item.Data))
			copy(place, item.Data)
		}
		return EndReadResponse(b, 1)
	}
	if got := build(); !bytes.Equal(got[1:], want) {
		t.Errorf("%x, want %x", got[1:], want)
	}
	if n := testing.AllocsPerRun(100, func() { build() }); n != 0 {
		t.Errorf("%v allocs", n)
	}
	if b, place := GrowReadItem(nil, -ackHeader-varHeader, DataByte, 3000); len(place) != 3000 || len(b) != 3004 || b[2] != 3000*8>>8 {
		t.Errorf("grown to %d with %d", len(b), len(place))
	}
}

func TestBudgetTable(t *testing.T) {
	for _, x := range []struct{ pdu, items, read, write, userdata, slice, bsend int }{
		{240, 19, 222, 212, 214, 222, 204}, {480, 39, 462, 452, 454, 462, 444}, {960, 79, 942, 932, 934, 942, 924}, {0, 0, 0, 0, 0, 0, 0},
	} {
		got := []int{MaxReadItems(x.pdu), MaxReadData(x.pdu), MaxWriteData(x.pdu), MaxUserdata(x.pdu), MaxBlockSlice(x.pdu), MaxBSend(x.pdu, true)}
		if want := []int{x.items, x.read, x.write, x.userdata, x.slice, x.bsend}; !reflect.DeepEqual(got, want) {
			t.Errorf("pdu %d: %v, want %v", x.pdu, got, want)
		}
		if x.pdu == 0 {
			continue
		}
		if r := (ReadCost{}).With(x.read); !r.Fits(x.pdu) || (ReadCost{}).With(x.read+1).Fits(x.pdu) {
			t.Errorf("pdu %d: one read item", x.pdu)
		}
		if w := (WriteCost{}).With(x.write); !w.Fits(x.pdu) || (WriteCost{}).With(x.write+1).Fits(x.pdu) {
			t.Errorf("pdu %d: one write item", x.pdu)
		}
		head := request(GroupCPU, SubSZL)
		u := head.FollowUp()
		u.Data = make([]byte, x.userdata)
		part := BSendPart{First: true, Data: make([]byte, x.bsend)}
		slice := Slice{Data: make([]byte, x.slice)}
		for i, b := range [][]byte{u.AppendTo(nil, 0), part.AppendTo(nil, 0, 1, true), slice.AppendTo(nil, 0)} {
			if len(b) != x.pdu {
				t.Errorf("message %d has %d bytes of %d", i, len(b), x.pdu)
			}
		}
	}
}

// TestCostsAreWhatMessagesTake compares the arithmetic with the encoders, for random items.
func TestCostsAreWhatMessagesTake(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 2000 {
		var read, write = ReadCost{}, WriteCost{}
		var req WriteRequest
		for range 1 + rnd.IntN(40) {
			n := 1 + rnd.IntN(9)
			read, write = read.With(n), write.With(n)
			req.Items = append(req.Items, Bytes(AreaDB, 1, 0, uint16(n)))
			req.Data = append(req.Data, DataItem{Code: ReturnOK, Size: DataByte, Data: make([]byte, n)})
		}
		ask, answer := ReadRequest{req.Items}, ReadResponse{req.Data}
		codes := WriteResponse{make([]byte, len(req.Items))}
		got := [4]int{read.Request(), read.Response(), write.Request(), write.Response()}
		want := [4]int{len(ask.AppendTo(nil, 0)), len(answer.AppendTo(nil, 0)), len(req.AppendTo(nil, 0)), len(codes.AppendTo(nil, 0))}
		if got != want {
			t.Fatalf("seed %d: %v, want %v", seed, got, want)
		}
		if read.Fits(max(want[0], want[1])-1) || !read.Fits(max(want[0], want[1])) || write.Fits(max(want[2], want[3])-1) || !write.Fits(max(want[2], want[3])) {
			t.Fatalf("seed %d: fits", seed)
		}
	}
}

// Nineteen odd items of one packet exceed 960 when their fills are forgotten.
func TestFillsCount(t *testing.T) {
	var c ReadCost
	for range 19 {
		c = c.With(45)
	}
	if c.Response() != 14+19*49+18 || c.Fits(960) || c.Response()-18 > 960 {
		t.Errorf("%d bytes", c.Response())
	}
}
