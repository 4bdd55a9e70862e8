package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"millrace/internal/journal/faultfs"
	"millrace/internal/tag"
)

func TestCheckAndStat(t *testing.T) {
	fs, _ := written(t, true)
	for _, c := range []struct {
		name    string
		bit     int64 // of the first segment; -1 none
		rows    uint64
		damaged uint64
	}{{"sound", -1, 27, 0}, {"a record damaged", 200 * 8, 24, 3}} {
		t.Run(c.name, func(t *testing.T) {
			fs := fs.Snapshot()
			if c.bit >= 0 {
				fs.FlipBit(dir+"/"+segName(1), c.bit)
			}
			r, err := Check(t.Context(), fs, dir)
			if err != nil {
				t.Fatal(err)
			}
			if r.Rows != c.rows || r.Records != c.rows/3 || r.Damaged != c.damaged || r.Sound() != (c.damaged == 0) || r.First != 0 || r.Next != 27 {
				t.Errorf("%+v", r)
			}
			if len(r.Cursors) != 1 || r.Cursors[0] != (CursorReport{"sink", 6, 21}) {
				t.Errorf("cursors %+v", r.Cursors)
			}
			s, err := Stat(t.Context(), fs, dir)
			if err != nil || s.Next != 27 || len(s.Segments) != 2 || !s.Segments[0].Sealed || s.Segments[1].Sealed || s.Rows != 27 || s.Epoch != r.Epoch {
				t.Errorf("stat %+v, %v", s, err)
			}
			var back Report
			if p, err := json.Marshal(r); err != nil || json.Unmarshal(p, &back) != nil || back.Rows != r.Rows {
				t.Errorf("JSON %s, %v", p, err)
			}
		})
	}
	if _, err := Check(t.Context(), faultfs.New(), dir); err == nil {
		t.Error("checked nothing")
	}
}

func TestCheckLeavesALiveJournalAlone(t *testing.T) {
	fs := faultfs.New()
	r := mustOpen(t, fs, nil)
	r.mustAppend(numbered(0, 10))
	steps := fs.Steps()
	rep, err := Check(t.Context(), fs, dir)
	if err != nil || !rep.Sound() || rep.Rows != 10 || fs.Steps() != steps {
		t.Errorf("%+v, %v; %d steps", rep, err, fs.Steps()-steps)
	}
}

func TestReportText(t *testing.T) {
	fs, _ := written(t, true)
	fs.FlipBit(dir+"/"+segName(1), 200*8)
	r, err := Check(t.Context(), fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	r.Epoch = "00000000deadbeef"
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	want := `journal   /data/journal
epoch     00000000deadbeef, format version 1
offsets   0 to 27, 24 rows, 3 damaged
bytes     32768 in 2 segments
segment   0000000001.seg  offsets 0 to 24  800 of 16384 bytes  received 2100-01-01T00:00:00Z to 2100-01-01T00:00:21Z
segment   0000000002.seg  offsets 24 to 27  142 of 16384 bytes  received 2100-01-01T00:01:40Z to 2100-01-01T00:01:40Z
cursor    sink at 6, 21 rows wait
problem   0000000001.seg: offsets 3 to 5 are damaged
`
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
	if err := r.WriteText(failingWriter{}); !errors.Is(err, errNo) {
		t.Errorf("a writer that fails: %v", err)
	}
}

var errNo = errors.New("no")

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errNo }

func TestDump(t *testing.T) {
	fs := faultfs.New()
	r := mustOpen(t, fs, nil)
	var b tag.Batch
	b.Device, b.Received = 4, testStart.UnixNano()
	b.Append(1, b.Received+5, tag.Good, tag.Int64, 1<<60)
	b.AppendString(2, b.Received, tag.UncertainLastUsable, "a\t\"b\"")
	b.Append(3, b.Received, tag.BadTimeout, tag.Null, 0)
	r.mustAppend(&b)
	b.Received += 1e9
	r.mustAppend(&b)
	names := func(id tag.ID) string { return map[tag.ID]string{1: "plc/speed", 2: "plc/name"}[id] }
	devices := func(n uint32) string { return map[uint32]string{4: "plc"}[n] }
	for _, c := range []struct {
		name string
		o    DumpOptions
		want string
	}{
		{"text", DumpOptions{Name: names, Device: devices, To: 3}, "0\t2100-01-01T00:00:00.000000005Z\tplc\tplc/speed\tint64\t1152921504606846976\tgood\n" +
			"1\t2100-01-01T00:00:00Z\tplc\tplc/name\tstring\t\"a\\t\\\"b\\\"\"\tuncertain (last usable value)\n" +
			"2\t2100-01-01T00:00:00Z\tplc\t3\tnull\tnull\tbad (timeout)\n"},
		{"json", DumpOptions{JSON: true, BigAsString: true, Max: 2}, `{"offset":0,"device":"4","tag":"1","time":"2100-01-01T00:00:00.000000005Z","received":"2100-01-01T00:00:00Z","type":"int64","quality":"good","value":"1152921504606846976"}` + "\n" +
			`{"offset":1,"device":"4","tag":"2","time":"2100-01-01T00:00:00Z","received":"2100-01-01T00:00:00Z","type":"string","quality":"uncertain (last usable value)","value":"a\t\"b\""}` + "\n"},
		{"from the middle", DumpOptions{From: 4, Max: 1}, "4\t2100-01-01T00:00:00Z\t4\t2\tstring\t\"a\\t\\\"b\\\"\"\tuncertain (last usable value)\n"},
		{"since", DumpOptions{Since: testStart.Add(1), Max: 1}, "3\t2100-01-01T00:00:00.000000005Z\t4\t1\tint64\t1152921504606846976\tgood\n"},
		{"behind the end", DumpOptions{From: 6}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			if err := Dump(t.Context(), fs, dir, c.o, &out); err != nil || out.String() != c.want {
				t.Errorf("%v; got\n%swant\n%s", err, out.String(), c.want)
			}
		})
	}
}
