package driver

import (
	"context"
	"strings"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/s7"
)

func TestS7Writes(t *testing.T) {
	f := newPLC(t, 240)
	a := f.address(nil)
	w := []Assignment{{"DB1.DBW0:INT", "-42"}, {"DB1.DBD4:REAL", "1.5"}, {"DB1.DBX8.3", "true"}, {"DB1.DBX8.4", "false"}, {"DB1.DBX10.6:BOOL[12]", "[1,1,1,1,1,1,1,1,1,1,0,1]"},
		{"DB1.DBB20:STRING[10]", "ab"}, {"DB1.DBB40:STRING[3][2]", "[abc,d]"}, {"T5", "2s"}, {"C5", "7"}, {"PQW4:INT", "3"}, {"DB1.DBB60:DTL", "2025-03-01 12:30:00"}, {"DB1.DBD80:DINT[3]", "[1,2,3]"}}
	results, err := WriteOnce(context.Background(), S7{}, a, w, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Err != nil || r.MayHaveHappened {
			t.Errorf("%v: %+v", w[i], r)
		}
	}
	readings, err := ReadOnce(context.Background(), S7{}, a, []string{"DB1.DBW0:INT", "DB1.DBD4:REAL", "DB1.DBX8.3", "DB1.DBX8.4", "DB1.DBX10.6:BOOL[12]", "DB1.DBB20:STRING[10]",
		"DB1.DBB40:STRING[3][2]", "T5", "C5", "PIW4:INT", "DB1.DBB60:DTL", "DB1.DBD80:DINT[3]", "DB1.DBB23"}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range readings {
		got = append(got, r.Value.String())
	}
	want := `-42 1.5 true false [true,true,true,true,true,true,true,true,true,true,false,true] ab ["abc","d"] 2000 7 3 "2025-03-01T12:30:00Z" [1,2,3] ` + "98"
	if strings.Join(got, " ") != want {
		t.Errorf("read back %v", got)
	}
	if old := s7Byte(s7.AreaDB, 1, 24); old == 0 {
		t.Fatal("the test needs a byte that is not 0")
	}
	if behind, _ := ReadOnce(context.Background(), S7{}, a, []string{"DB1.DBB24"}, time.Second); behind[0].Value.Bits != uint64(s7Byte(s7.AreaDB, 1, 24)) {
		t.Error("what is behind a text was written")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if all := strings.Join(f.written, "\n"); !strings.Contains(all, "DB1.8.3 BIT*1 01") || !strings.Contains(all, "DB1.8.4 BIT*1 00") ||
		!strings.Contains(all, "DB1.10.6 BIT*1 01\nDB1.10.7 BIT*1 01\nDB1.11 BYTE*1 ff\nDB1.12.0 BIT*1 00\nDB1.12.1 BIT*1 01") || strings.Count(all, "\n") != 16-1 {
		t.Errorf("written:\n%s", all)
	}
}

func TestRefusedS7Writes(t *testing.T) {
	f := newPLC(t, 240)
	f.code, f.holes = s7.ReturnAccess, []device.Span{dbSpan(2, 0, 65535)}
	a := f.address(nil)
	s := openS7(t, a, newWatcher())
	p := mustS7Plan(t, a, device.Limits{})
	i16 := tag.Value{Kind: tag.Int16, Bits: 1}
	long := tag.Value{Kind: tag.Array | tag.Uint8, Aux: make([]byte, 213)}
	for _, c := range []struct {
		address string
		v       tag.Value
		want    string
	}{
		{"PIW5", i16, "are the module's"},
		{"DB1.DBW5[2]", i16, "it has 2 elements"},
		{"DB1,ISTRING5.3", i16, "did you mean DB1,STRING5.3?"},
		{"DB1.DBB5:BYTE[213]", long, "one request takes 212"},
		{"DB2.DBW0:INT", i16, "access"},
		{"DB8.DBW0:INT", i16, "optimised block access"},
	} {
		r := []device.Result{{}}
		err := s.Write(context.Background(), p, []device.Write{{Tag: device.TagSpec{Address: c.address}, Value: c.v}}, r)
		if err != nil || r[0].Err == nil || !strings.Contains(r[0].Err.Error(), c.want) || r[0].MayHaveHappened {
			t.Errorf("%s: %v, %+v", c.address, err, r[0])
		}
	}
	// One that is refused keeps no other from being written; half of an array of bits may have been.
	w := []device.Write{{Tag: device.TagSpec{Address: "DB2.DBW0:INT"}, Value: i16}, {Tag: device.TagSpec{Address: "DB1.DBW0:INT"}, Value: i16}}
	r := make([]device.Result, 2)
	if err := s.Write(context.Background(), p, w, r); err != nil || r[0].Err == nil || r[1].Err != nil {
		t.Errorf("%v, %+v", err, r)
	}
	f.set(func() { f.holes = []device.Span{dbSpan(1, 1, 1)} })
	bits := tag.Value{Kind: tag.Array | tag.Bool, Aux: []byte{1, 1}}
	if err := s.Write(context.Background(), p, []device.Write{{Tag: device.TagSpec{Address: "DB1.DBX0.7[2]"}, Value: bits}}, r[:1]); err != nil || r[0].Err == nil || !r[0].MayHaveHappened {
		t.Errorf("%v, %+v", err, r[0])
	}
}

func TestAnS7WriteWithoutAnAnswerMayHaveHappened(t *testing.T) {
	f, w := newPLC(t, 240), newWatcher()
	a := f.address(nil)
	s := openS7(t, a, w)
	w.hear(func() { w.timeout = 20 * time.Millisecond })
	f.set(func() { f.mute = true })
	// Two requests: 212 bytes go into one.
	v := tag.Value{Kind: tag.Array | tag.Uint8, Aux: make([]byte, 200)}
	one := device.Write{Tag: device.TagSpec{Address: "DB1.DBB0:BYTE[200]"}, Value: v}
	r := make([]device.Result, 2)
	err := s.Write(context.Background(), mustS7Plan(t, a, device.Limits{}), []device.Write{one, one}, r)
	if err == nil || r[0].Err == nil || !r[0].MayHaveHappened {
		t.Errorf("%v, %+v", err, r[0])
	}
	if r[1].Err == nil || r[1].MayHaveHappened || !strings.Contains(r[1].Err.Error(), "not sent") {
		t.Errorf("%+v", r[1])
	}
	if got := f.take(); len(got) != 1 {
		t.Errorf("%q", got)
	}
}
