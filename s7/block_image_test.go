package s7

import (
	"bytes"
	"reflect"
	"testing"
	"time"
)

func TestBlockImage(t *testing.T) {
	m := NewDataBlock(7, unhex("0102030405"))
	m.Code, m.Interface = blockEpoch.Add(day+time.Millisecond), blockEpoch.Add(3*day)
	copy(m.Author[:], "MILLRACE")
	m.Version = 0x12
	want := unhex("7070 01 01 05 0A 0007 00000061 00000000 00000001 0001 00000000 0003 0014 0000 0000 0005" +
		"0102030405" + "0000000000000000000000000000000000000000" +
		"4D494C4C52414345 0000000000000000 0000000000000000 12 00 9304 0000000000000000")
	got := m.AppendTo([]byte{0xAA})
	if !bytes.Equal(got[1:], want) || len(want) != 5+92 {
		t.Fatalf("%d bytes %x, want %x", len(got)-1, got[1:], want)
	}
	var back Block
	if code := back.Decode(want); code != 0 || !reflect.DeepEqual(back, m) {
		t.Errorf("%v: %+v, want %+v", code, back, m)
	}
	info := m.BlockInfo.AppendTo(nil)
	if !bytes.Equal(info[6:42], want[:36]) || !bytes.Equal(info[42:], want[len(want)-36:]) {
		t.Errorf("a block's info is not its head and foot: %x", info)
	}
	var same BlockInfo
	if err := same.Decode(info); err != nil || same != m.BlockInfo {
		t.Errorf("%v: %+v", err, same)
	}
}

// A time of day beyond midnight on the last day that there is: FuzzBlock, past_midnight.
func TestBlockTimePastMidnight(t *testing.T) {
	m := NewDataBlock(1, nil)
	image := m.AppendTo(nil)
	copy(image[22:], unhex("05265C00 FFFF"))
	var back Block
	want := blockEpoch.Add(0xFFFF * day)
	if code := back.Decode(image); code != 0 || !back.Interface.Equal(want) {
		t.Errorf("%v, %v", code, back.Interface)
	}
}

// CRC-16/CCITT-FALSE of "123456789" is its published check value.
func TestBlockChecksum(t *testing.T) {
	if got := blockChecksum([]byte("123456789")); got != 0x29B1 {
		t.Errorf("%04x", got)
	}
}

func TestBlockImagesThatAreNone(t *testing.T) {
	block := NewDataBlock(1, unhex("0102"))
	good := block.AppendTo(nil)
	change := func(at int, v byte) []byte {
		b := bytes.Clone(good)
		b[at] = v
		return b
	}
	for _, x := range []struct {
		name  string
		image []byte
		want  ErrorCode
	}{
		{"nothing", nil, ErrBlockHeader}, {"half a head", good[:35], ErrBlockHeader}, {"no mark", change(0, 0), ErrBlockHeader},
		{"load length", change(11, 93), ErrBlockLength}, {"cut", good[:len(good)-1], ErrBlockLength}, {"body beyond the end", change(34, 0xFF), ErrBlockLength},
	} {
		var m Block
		if code := m.Decode(x.image); code != x.want || m.Body != nil {
			t.Errorf("%s: %v, want %v", x.name, code, x.want)
		}
	}
	short := append(bytes.Clone(good[:38]), 9)
	short[11] = 39
	var m Block
	if code := m.Decode(short); code != 0 || !bytes.Equal(m.Body, unhex("0102")) || !bytes.Equal(m.Rest, []byte{9}) || m.Checksum != 0 {
		t.Errorf("without a foot: %v, %+v", code, m)
	}
}

func FuzzBlock(f *testing.F) {
	m := NewDataBlock(1, unhex("010203"))
	f.Add(m.AppendTo(nil))
	f.Fuzz(func(t *testing.T, image []byte) {
		var m, back Block
		if m.Decode(image) != 0 {
			return
		}
		again := m.AppendTo(nil)
		if len(again) == len(image)+blockFootBytes { // it had no foot
			return
		}
		if code := back.Decode(again); code != 0 || !reflect.DeepEqual(m, back) {
			t.Fatalf("%+v encodes to %x, which is %+v (%v)", m, again, back, code)
		}
	})
}
