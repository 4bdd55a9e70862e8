package audit

import (
	"strings"
	"testing"
)

func FuzzDecode(f *testing.F) {
	b, _, err := appendRecord(nil, record(7), hash{1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	b, _, err = appendRecord(nil, &Record{Seq: 1, Stage: File, Begin: &Begin{Version: 1, Number: 2, PrevHash: "00"}}, hash{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"seq":1,"hash":"` + strings.Repeat("0", 64) + "\"}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := split(text)
		if err != nil {
			return
		}
		r, err := l.record()
		if err != nil {
			return
		}
		again, _, err := appendRecord(nil, &r, hash{})
		if err != nil {
			t.Fatalf("%q was read and cannot be written: %v", text, err)
		}
		if n := len(again) - hashSize - len(hashEnd); string(again[:n]) != string(text[:n]) || len(again) != len(text) {
			t.Fatalf("%q was read, and is written %q", text, again)
		}
	})
}

func FuzzHead(f *testing.F) {
	f.Add(head{seq: 7, file: 2, bytes: 900}.slot())
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, ok := parseSlot(b); ok && string(h.slot()) != string(b) {
			t.Fatalf("%q", b)
		}
	})
}

// What is written can be read again, whatever texts there are.
func FuzzTexts(f *testing.F) {
	f.Add("shift", "recipe 7", "key")
	f.Add("\xff", "half of it: \xc3", "\u2028<&>\x00")
	f.Fuzz(func(t *testing.T, who, why, key string) {
		text, _, err := appendRecord(nil, &Record{Seq: 1, Stage: Done, Who: who, Via: key, From: why, Device: who, Tag: why, OldQuality: key, Why: why, Reason: who, Key: key}, hash{1})
		if err != nil {
			return // too long
		}
		r, err := Decode(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if want := strings.ToValidUTF8(why, "\uFFFD"); r.Why != want {
			t.Errorf("%q, want %q", r.Why, want)
		}
	})
}
