package s7

import (
	"bytes"
	"math"
	"reflect"
	"testing"
)

// fresh returns a new message of the kind that golden message i is of.
func fresh(i int) any {
	m := goldenMessages[i].into
	switch m := m.(type) {
	case *Done:
		return &Done{m.Function}
	case *Slice:
		return &Slice{Function: m.Function}
	}
	return reflect.New(reflect.TypeOf(m).Elem()).Interface()
}

// FuzzMessages: the first byte selects the message, the rest is the PDU. What is taken encodes to something that decodes to the same, and
// reading twice into one message is reading once.
func FuzzMessages(f *testing.F) {
	for i, g := range goldenMessages {
		f.Add(append([]byte{byte(i)}, g.msg.AppendTo(nil, goldenRef)...))
	}
	f.Add(append([]byte{5}, unhex("3203 0000 0102 0002 0010 0000 0402 FF060020 00000001 FF060020 00000002")...))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 || int(in[0]) >= len(goldenMessages) {
			return
		}
		p, err := DecodePDU(in[1:])
		if err != nil {
			return
		}
		m, u := fresh(int(in[0])), new(Userdata)
		if decode(m, &p, u) != nil {
			return
		}
		again := m.(encoder).AppendTo(nil, p.Ref)
		p2, err := DecodePDU(again)
		if err != nil {
			t.Fatalf("%+v encodes to %x: %v", m, again, err)
		}
		m2 := fresh(int(in[0]))
		if err := decode(m2, &p2, u); err != nil || !same(m, m2) {
			t.Fatalf("%+v encodes to %x, which is %+v (%v)", m, again, m2, err)
		}
		if err := decode(m, &p2, u); err != nil || !same(m, m2) {
			t.Fatalf("reused: %+v, fresh %+v (%v)", m, m2, err)
		}
	})
}

// same compares messages by what they encode to: nil and empty slices are the same.
func same(a, b any) bool {
	return bytes.Equal(a.(encoder).AppendTo(nil, 0), b.(encoder).AppendTo(nil, 0))
}

// FuzzPayloads: the first byte selects the payload of a Userdata answer.
func FuzzPayloads(f *testing.F) {
	for i, g := range goldenPayloads {
		f.Add(append([]byte{byte(i)}, g.msg.AppendTo(nil)...))
	}
	f.Add(append([]byte{byte(len(goldenPayloads))}, AppendBlockCounts(nil, BlockCount{BlockDB, 1})...))
	f.Add(append([]byte{byte(len(goldenPayloads) + 1)}, AppendPIBlocks(nil, BlockFile{BlockDB, 1, FilePassive})...))
	f.Add(append([]byte{byte(len(goldenPayloads) + 2)}, AppendDBPieces(nil, DBPiece{4, 1, 2})...))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 {
			return
		}
		which, data := int(in[0]), in[1:]
		if which < len(goldenPayloads) {
			fuzzPayload(t, reflect.New(reflect.TypeOf(goldenPayloads[which].into).Elem()).Interface().(payload), data)
			return
		}
		var again []byte
		switch which - len(goldenPayloads) {
		case 0:
			counts, err := BlockCounts(data, nil)
			if err != nil {
				return
			}
			again = AppendBlockCounts(nil, counts...)
		case 1:
			files, code := PIBlocks(data, nil)
			if code != 0 {
				return
			}
			again = AppendPIBlocks(nil, files...)
			again[1] = data[1] // reserved
		case 2:
			m := DBRead(data)
			pieces, ok := m.DBPieces(nil)
			if !ok {
				return
			}
			again = AppendDBPieces(nil, pieces...)
		default:
			return
		}
		if !bytes.Equal(again, data) {
			t.Fatalf("%x encodes to %x", data, again)
		}
	})
}

func fuzzPayload(t *testing.T, m payload, data []byte) {
	if m.Decode(data) != nil {
		return
	}
	again := m.AppendTo(nil)
	m2 := reflect.New(reflect.TypeOf(m).Elem()).Interface().(payload)
	if err := m2.Decode(again); err != nil || !bytes.Equal(m2.AppendTo(nil), again) {
		t.Fatalf("%+v encodes to %x, which is %+v (%v)", m, again, m2, err)
	}
}

// FuzzStream cuts a stream at once and in pieces: both see the same messages and the same end. The first byte is the mode and the pieces.
func FuzzStream(f *testing.F) {
	good := goldenFrame("read answer")
	for mode := range byte(3) {
		f.Add(append([]byte{mode}, unhex(nmapConnect+nmapSetup+nmapSZL)...))
		f.Add(append([]byte{mode | 8}, bytes.Join([][]byte{AppendFragments(nil, good[FrameBytes:], 9), {3, 0, 1}, good, {3}, good}, nil)...))
		f.Add(append([]byte{mode | 16}, unhex("0300 0007 02F080 0300 000B 06 80 0001 0002 80 0300 0019 02F080 72")...))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 {
			return
		}
		cfg := StreamConfig{PDU: 112, MaxFragments: 8, Resync: Resync(in[0] % 3)}
		whole, pieces := NewStream(cfg), NewStream(cfg)
		got, err := drain(whole, in[1:], len(in))
		got2, err2 := drain(pieces, in[1:], 1+int(in[0]>>3))
		if !reflect.DeepEqual(got, got2) || whole.Stats() != pieces.Stats() || whole.Searching() != pieces.Searching() || whole.Assembling() != pieces.Assembling() {
			t.Fatalf("at once %q, %v, %+v; in pieces %q, %v, %+v", got, err, whole.Stats(), got2, err2, pieces.Stats())
		}
		if !reflect.DeepEqual(err, err2) {
			t.Fatalf("at once %v, in pieces %v", err, err2)
		}
		if st := whole.Stats(); st.Skipped > 0 && cfg.Resync == ResyncOff || st.Resyncs > 1 && cfg.Resync == ResyncOnce {
			t.Fatalf("mode %d: %+v", cfg.Resync, st)
		}
	})
}

// FuzzTPDU: the code in the second byte selects the TPDU.
func FuzzTPDU(f *testing.F) {
	f.Add(unhex(nmapConnect)[tpktBytes:])
	for _, m := range []tpdu{&Connect{Code: TPDUConnectConfirm, SrcRef: 1, Size: TPDUSize1024, Calling: []byte{1, 0}}, &Disconnect{1, 2, 3}, &DisconnectConfirm{1, 2}, &TransportError{1, 2}} {
		f.Add(m.AppendTo(nil)[tpktBytes:])
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) < 2 {
			return
		}
		m, m2 := tpduOf(in[1]), tpduOf(in[1])
		if m == nil || m.Decode(in) != nil {
			return
		}
		again := m.AppendTo(nil)
		if err := m2.Decode(again[tpktBytes:]); err != nil || !bytes.Equal(m2.AppendTo(nil), again) {
			t.Fatalf("%+v encodes to %x, which is %+v (%v)", m, again, m2, err)
		}
		if n, bad := tpktLength(again, MaxTPKT); bad != nil || n != len(again) {
			t.Fatalf("TPKT %x: %v", again, bad)
		}
	})
}

type tpdu interface {
	AppendTo([]byte) []byte
	Decode([]byte) error
}

func tpduOf(code byte) tpdu {
	switch TPDUCode(code & codeMask) {
	case TPDUConnectRequest, TPDUConnectConfirm:
		return new(Connect)
	case TPDUDisconnectRequest:
		return new(Disconnect)
	case TPDUDisconnectConfirm:
		return new(DisconnectConfirm)
	case TPDUError:
		return new(TransportError)
	}
	return nil
}

// FuzzDataTypes: the first byte selects the type. What reads as a value writes as bytes that read as the same value; where every byte means
// something they are the same bytes.
func FuzzDataTypes(f *testing.F) {
	for typ := TypeBool; typ <= TypeCounter; typ++ {
		f.Add(append([]byte{byte(typ)}, make([]byte, typ.Size(2))...))
		b := make([]byte, 1, 32)
		b[0] = byte(typ)
		b = b[:1+len(written(typ))]
		copy(b[1:], written(typ))
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 {
			return
		}
		typ, b := DataType(in[0]), in[1:]
		again, loose := rewrite(t, typ, b)
		if again != nil && !loose && !bytes.Equal(again, b) {
			t.Fatalf("%v %x writes %x", typ, b, again)
		}
		if again == nil {
			return
		}
		if third, _ := rewrite(t, typ, again); !bytes.Equal(third, again) {
			t.Fatalf("%v %x writes %x and then %x", typ, b, again, third)
		}
	})
}

// written returns some variable of typ.
func written(typ DataType) []byte {
	var b []byte
	switch typ.Class() {
	case ClassInt:
		b, _ = typ.AppendInt(nil, -5)
	case ClassUint:
		b, _ = typ.AppendUint(nil, 5)
	case ClassFloat:
		b, _ = typ.AppendFloat(nil, 1.5)
	case ClassDuration:
		b, _ = typ.AppendDuration(nil, 90000000)
	case ClassTime:
		b, _ = typ.AppendTime(nil, noon)
	case ClassText:
		b, _ = typ.AppendText(nil, "ä", 3)
	}
	return b
}

// rewrite reads b and writes what it read; nil when b is no value. loose says that several bytes mean the same.
func rewrite(t *testing.T, typ DataType, b []byte) (again []byte, loose bool) {
	var read, write error
	switch typ.Class() {
	case ClassInt:
		var v int64
		v, read = typ.Int(b)
		again, write = typ.AppendInt(nil, v)
	case ClassUint:
		var v uint64
		v, read = typ.Uint(b)
		again, write = typ.AppendUint(nil, v)
		loose = typ == TypeCounter
	case ClassFloat:
		var v float64
		v, read = typ.Float(b)
		again, write = typ.AppendFloat(nil, v)
		loose = math.IsNaN(v) // a signalling NaN becomes a quiet one
	case ClassDuration:
		v, err := typ.Duration(b)
		read = err
		again, write = typ.AppendDuration(nil, v)
		loose = typ == TypeS5Time
	case ClassTime:
		v, err := typ.Time(b)
		read = err
		again, write = typ.AppendTime(nil, v)
		loose = typ == TypeDT || typ == TypeDTL // the day of the week
	case ClassText:
		return rewriteText(t, typ, b)
	default:
		return nil, true
	}
	if read != nil {
		return nil, true
	}
	if write != nil {
		t.Fatalf("%v %x reads, but does not write: %v", typ, b, write)
	}
	return again, loose
}

func rewriteText(t *testing.T, typ DataType, b []byte) (again []byte, loose bool) {
	text, err := typ.Text(nil, b)
	chars := 0
	switch typ {
	case TypeString:
		chars = len(b) - stringHead
	case TypeWString:
		chars = (len(b) - wstringHead) / 2
	}
	if err != nil || chars > MaxString && typ == TypeString || chars > MaxWString || bytes.Contains(text, []byte("\uFFFD")) {
		return nil, true
	}
	again, err = typ.AppendText(nil, string(text), chars)
	if err != nil {
		t.Fatalf("%v %x reads %q, but does not write: %v", typ, b, text, err)
	}
	return again, true // what is behind the text, and the declared length
}
