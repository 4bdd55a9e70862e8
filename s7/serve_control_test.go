package s7

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/listen/listentest"
)

// start, cold and the others are what the PI services of a CPU are asked by.
var (
	start    = &PIServiceRequest{Service: []byte(PIProgram)}
	cold     = &PIServiceRequest{Service: []byte(PIProgram), Param: []byte(PIColdStart)}
	compress = &PIServiceRequest{Service: []byte(PICompress)}
	copyROM  = &PIServiceRequest{Service: []byte(PICopyROM), Param: []byte(PIToEPROM)}
	stopCPU  = &StopRequest{Service: []byte(PIProgram)}
)

func TestControl(t *testing.T) {
	var heard []string
	c, k := talkTo(t, CPUConfig{OnControl: func(what Control, mode Mode) { heard = append(heard, fmt.Sprint(what, mode)) }}, 240)
	mode := func() Mode {
		data, _, _ := k.gather(&SZLRequest{SZLMode, 0})
		var list SZL
		var m ModeRecord
		if list.Decode(data) != nil || list.Len() != 1 || m.Decode(list.Record(0)) != nil || m.At.IsZero() {
			t.Fatalf("%x", data)
		}
		return m.Mode
	}
	for _, x := range []struct {
		name string
		ask  encoder
		want string
		mode Mode
	}{
		{"start of a CPU that runs", start, "3203 0000 4711 0002 0000 8404 28 03", ModeRun},
		{"cold start of a CPU that runs", cold, "3203 0000 4711 0002 0000 8404 28 03", ModeRun},
		{"stop", stopCPU, "3203 0000 4711 0001 0000 0000 29", ModeStop},
		{"stop of a CPU that stands", stopCPU, "3203 0000 4711 0002 0000 8404 29 07", ModeStop},
		{"start", start, "3203 0000 4711 0001 0000 0000 28", ModeRun},
		{"stop again", stopCPU, "3203 0000 4711 0001 0000 0000 29", ModeStop},
		{"cold start", cold, "3203 0000 4711 0001 0000 0000 28", ModeRun},
		{"compress", compress, "3203 0000 4711 0001 0000 0000 28", ModeRun},
		{"copy", copyROM, "3203 0000 4711 0001 0000 0000 28", ModeRun},
		{"a name that there is none of", &PIServiceRequest{Service: []byte("_N_LOGIN")}, "3202 0000 4711 0000 0000 8104", ModeRun},
		{"no name", &PIServiceRequest{}, "3202 0000 4711 0000 0000 8104", ModeRun},
		{"a start of no kind", &PIServiceRequest{Service: []byte(PIProgram), Param: []byte("X ")}, "3202 0000 4711 0000 0000 D202", ModeRun},
		{"compress with the parameter of a copy", &PIServiceRequest{Service: []byte(PICompress), Param: []byte("EP")}, "3202 0000 4711 0000 0000 D202", ModeRun},
		{"a stop of another name", &StopRequest{Service: []byte("Q_PROGRAM")}, "3202 0000 4711 0000 0000 D202", ModeRun},
		{"insert", insert(BlockFile{BlockDB, 1, FilePassive}), "3202 0000 4711 0000 0000 D241", ModeRun},
		{"delete", remove(BlockFile{BlockDB, 1, FileBoth}), "3202 0000 4711 0000 0000 D241", ModeRun},
		{"insert of nothing", insert(), "3202 0000 4711 0000 0000 D202", ModeRun},
		{"delete of a block of letters", &PIServiceRequest{Service: []byte(PIDelete), Param: []byte("\x01\x000Axxxxx0")}, "3202 0000 4711 0000 0000 D201", ModeRun},
	} {
		p := k.ask(x.ask)
		if got := appendPDU(nil, &p); !bytes.Equal(got, unhex(x.want)) {
			t.Errorf("%s: %x, want %s", x.name, got, x.want)
		}
		if got := mode(); got != x.mode {
			t.Errorf("%s: mode %d, want %d", x.name, got, x.mode)
		}
	}
	if want := []string{"2 4", "0 8", "2 4", "1 8", "3 8", "4 8"}; !reflect.DeepEqual(heard, want) {
		t.Errorf("heard %v, want %v", heard, want)
	}
	if _, ok := c.Size(AreaDB, 1); !ok {
		t.Error("DB 1 is gone")
	}
}

// The parameters of a service are as long as those of another one: it is known by its name.
func TestServicesAreKnownByName(t *testing.T) {
	_, k := talkTo(t, CPUConfig{}, 240)
	k.wantRefusal("16 bytes of parameters, the length of a compress", &PIServiceRequest{Service: []byte("_MODX")}, ErrServiceUnknown)
	k.wantRefusal("22 bytes, the length of a cold start", &PIServiceRequest{Service: []byte("P_PROGRAMXX")}, ErrServiceUnknown)
	long := &PIServiceRequest{Service: bytes.Repeat([]byte("N"), 200)}
	k.wantRefusal("a long name", long, ErrServiceUnknown)
}

// A cold start brings back what was copied to ROM, a warm one leaves data alone.
func TestColdStart(t *testing.T) {
	c, k := talkTo(t, CPUConfig{}, 240)
	change := func(v byte) { c.Update(AreaDB, 1, func(data []byte) { data[0] = v }) }
	holds := func(when string, want byte) {
		t.Helper()
		c.View(AreaDB, 1, func(data []byte) {
			if data[0] != want {
				t.Errorf("%s: %d, want %d", when, data[0], want)
			}
		})
	}
	restart := func(m encoder) {
		t.Helper()
		k.wantRefusal("stop", stopCPU, 0)
		k.wantRefusal("start", m, 0)
	}
	change(1)
	restart(cold)
	holds("cold start without a copy", 1)
	k.wantRefusal("copy", copyROM, 0)
	change(2)
	restart(start)
	holds("warm start", 2)
	restart(cold)
	holds("cold start", 1)
	if err := c.ReplaceDB(1, []byte{3, 3}); err != nil {
		t.Fatal(err)
	}
	restart(cold)
	holds("cold start with a DB of another length", 3)
}

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := listentest.NewPipes()
		c := testCPU(t, CPUConfig{})
		serveOn(t, ServerConfig{Handler: c}, ln)
		k := talkOver(t, ln.Dial(), 240)
		read := func(want time.Time) {
			t.Helper()
			data, _, code := k.gather(ReadClockRequest{})
			var m Clock
			if err := m.Decode(data); code != 0 || err != nil || !m.Time.Equal(want) {
				t.Errorf("%v, %v, %v; want %v", m.Time, code, err, want)
			}
		}
		read(time.Now())
		k.wantRefusal("set", &SetClockRequest{Clock{noon}}, 0)
		time.Sleep(1500 * time.Millisecond)
		read(noon.Add(1500 * time.Millisecond))
		if !c.Now().Equal(noon.Add(1500 * time.Millisecond)) {
			t.Errorf("now %v", c.Now())
		}
		p := k.ask(raw(unhex("3207 0000 0000 0008 0004 0001120411470300 0A000000")))
		want := "3207 0000 4711 000C 000E 0001120812870300 00000000 FF09000A 0020 24022912345828 95"
		if got := appendPDU(nil, &p); !bytes.Equal(got, unhex(want)) {
			t.Errorf("the other form: %x", got)
		}
		for what, data := range map[string]string{
			"31 february": "0019 2402311234567895", "letters": "0019 2A02281234567895", "hour 24": "0019 2402282434567895", "milliseconds": "0019 24022812345678A5",
		} {
			k.wantRefusal(what, raw(unhex("3207 0000 0000 0008 000E 0001120411470200 FF09000A"+data)), ErrDateTime)
		}
		k.wantRefusal("too short", raw(unhex("3207 0000 0000 0008 0005 0001120411470200 FF090001 00")), ErrUserdataSyntax)
		k.wantRefusal("the last century", &SetClockRequest{Clock{time.Date(1995, 6, 7, 8, 9, 10, 11e6, time.UTC)}}, 0)
		read(time.Date(1995, 6, 7, 8, 9, 10, 11e6, time.UTC))
		c.offset.Store(int64(100 * 365 * day))
		k.wantRefusal("a clock beyond its range", ReadClockRequest{}, ErrInfoNotNow)
	})
}

func password(p string) encoder {
	m := NewPasswordRequest(p)
	return &m
}

// levelAsks are requests, and from which level on each is refused, and how.
var levelAsks = []struct {
	name  string
	ask   encoder
	level uint8
	want  string // the answer then
}{
	{"read", &ReadRequest{[]Item{Bytes(AreaDB, 1, 0, 1), Bytes(AreaMarkers, 0, 0, 1)}}, 3, "3203 0000 4711 0002 0008 0000 0402 03000000 03000000"},
	{"write", &WriteRequest{[]Item{Bytes(AreaDB, 1, 0, 1)}, []DataItem{{0, DataByte, []byte{0}}}}, 2, "3203 0000 4711 0002 0001 0000 0501 03"},
	{"stop", stopCPU, 2, "3202 0000 4711 0000 0000 D241"},
	{"start", start, 2, "3202 0000 4711 0000 0000 D241"},
	{"compress", compress, 2, "3202 0000 4711 0000 0000 D241"},
	{"insert", insert(BlockFile{BlockDB, 1, FilePassive}), 2, "3202 0000 4711 0000 0000 D241"},
	{"delete", remove(BlockFile{BlockDB, 9, FileBoth}), 2, "3202 0000 4711 0000 0000 D241"},
	{"download", &DownloadRequest{BlockFile{BlockDB, 1, FilePassive}, 102, 10}, 2, "3202 0000 4711 0000 0000 D241"},
	{"set the clock", &SetClockRequest{Clock{noon}}, 2, "3207 0000 4711 000C 0004 0001120812870200 0000D241 0A000000"},
	{"upload", &UploadStartRequest{BlockFile{BlockDB, 7, FileActive}}, 3, "3202 0000 4711 0000 0000 D241"},
	{"cyclic", &SubscribeRequest{Factor: 255, Items: []Item{Bytes(AreaDB, 1, 0, 1)}}, 3, "3207 0000 4711 000C 000A 00011208128201?? 00000000 FF090006 0001 03000000"},
	{"identity", &SZLRequest{SZLModule, 0}, 9, ""},
	{"mode", &SZLRequest{SZLMode, 0}, 9, ""},
	{"blocks", &BlockListRequest{BlockDB}, 9, ""},
	{"block info", &BlockInfoRequest{BlockFile{BlockDB, 1, FileActive}}, 9, ""},
	{"clock", ReadClockRequest{}, 9, ""},
}

func TestProtectionLevels(t *testing.T) {
	for level := uint8(1); level <= 3; level++ {
		cpu := testCPU(t, CPUConfig{Level: level, Password: "mill", Programming: true})
		s := serve(t, ServerConfig{Handler: cpu})
		refusals := func(k *talk, level uint8) {
			t.Helper()
			for _, x := range levelAsks {
				cpu.SetMode(ModeRun)
				p := k.ask(x.ask)
				got := unhexed(appendPDU(nil, &p))
				if (level >= x.level) != matches(got, hexOf(x.want)) {
					t.Errorf("level %d, %s: %s", level, x.name, got)
				}
				if x.name == "download" && level < x.level { // it has begun
					job := k.pdu()
					k.write(frameOf(AppendRefusal(nil, job.Ref, ErrNotPerformed)))
				}
			}
		}
		shown := func(k *talk) (set, effective uint16) {
			t.Helper()
			data, _, _ := k.gather(&SZLRequest{SZLProtection, 4})
			var list SZL
			var m ProtectionRecord
			if list.Decode(data) != nil || m.Decode(list.Record(0)) != nil {
				t.Fatalf("%x", data)
			}
			return m.Parameter, m.Effective
		}
		k := s.talk(240)
		refusals(k, level)
		if set, now := shown(k); set != uint16(level) || now != uint16(level) {
			t.Errorf("level %d: shown as %d, %d", level, set, now)
		}
		if level == 1 {
			k.wantRefusal("a password that nobody needs", password("mill"), ErrAlreadyEnabled)
			k.wantRefusal("a wrong one", password("mills"), ErrWrongPassword)
			continue
		}
		for _, wrong := range []string{"", "mil", "mills", "MILL", "llim"} {
			k.wantRefusal("wrong password", password(wrong), ErrWrongPassword)
		}
		refusals(k, level)
		other := s.talk(240)
		k.wantRefusal("password", password("mill"), 0)
		k.wantRefusal("password again", password("mill"), ErrAlreadyLegitimised)
		k.wantRefusal("a wrong one in between", password("mill?"), ErrWrongPassword)
		refusals(k, 1)
		if set, now := shown(k); set != uint16(level) || now != 1 {
			t.Errorf("level %d with the password: shown as %d, %d", level, set, now)
		}
		refusals(other, level)
		k.wantRefusal("clear", ClearPasswordRequest{}, 0)
		refusals(k, level)
		k.wantRefusal("clear again", ClearPasswordRequest{}, 0)
		k.wantRefusal("password once more", password("mill"), 0)
		k.wantRefusal("the other still has none", stopCPU, 0)
		refusals(other, level)
	}
}

// hexOf is unhex with question marks.
func hexOf(s string) string {
	var b []byte
	for _, x := range []byte(s) {
		if x != ' ' {
			b = append(b, bytes.ToLower([]byte{x})...)
		}
	}
	return string(b)
}

func TestPasswordOfNone(t *testing.T) {
	_, k := talkTo(t, CPUConfig{Level: 2}, 240)
	k.wantRefusal("no password is set", password(""), ErrNoPassword)
	k.wantRefusal("nor any other", password("mill"), ErrNoPassword)
	k.wantRefusal("clear", ClearPasswordRequest{}, 0)
	k.wantRefusal("no bytes", raw(unhex("3207 0000 0000 0008 0004 0001120411450100 0A000000")), ErrSecuritySyntax)
	k.wantRefusal("another service", raw(unhex("3207 0000 0000 0008 0004 0001120411450300 0A000000")), ErrServiceUnknown)
}

// Open says of a connection what the handler says of all, and the stricter holds.
func TestLevelOfOpen(t *testing.T) {
	cpu := testCPU(t, CPUConfig{Level: 2, Password: "mill"})
	s := serve(t, ServerConfig{Open: func(*ServerConn) (Service, error) { return Service{Handler: cpu, Level: 3}, nil }})
	k := s.talk(240)
	k.wantRefusal("upload at level 3", &UploadStartRequest{BlockFile{BlockDB, 7, FileActive}}, ErrProtected)
	k.wantRefusal("password", password("mill"), 0)
	k.wantRefusal("upload", &UploadStartRequest{BlockFile{BlockDB, 7, FileActive}}, 0)
	k.wantRefusal("clear", ClearPasswordRequest{}, 0)
	k.wantRefusal("upload at level 3 again", &UploadStartRequest{BlockFile{BlockDB, 7, FileActive}}, ErrProtected)
}

// A handler that is a memory and nothing else refuses every service, and says which way.
func TestServicesThatAreNotThere(t *testing.T) {
	k := serve(t, ServerConfig{Handler: testMemory(t)}).talk(240)
	for _, x := range []struct {
		name string
		ask  encoder
		want ErrorCode
	}{
		{"szl", &SZLRequest{SZLModule, 1}, ErrNoSZL}, {"block counts", BlockCountsRequest{}, ErrServiceUnknown}, {"block list", &BlockListRequest{BlockDB}, ErrServiceUnknown},
		{"block info", &BlockInfoRequest{BlockFile{BlockDB, 1, FileActive}}, ErrServiceUnknown}, {"clock", ReadClockRequest{}, ErrServiceUnknown},
		{"set clock", &SetClockRequest{Clock{noon}}, ErrServiceUnknown}, {"password", password("x"), ErrNoPassword}, {"stop", stopCPU, ErrServiceUnknown},
		{"start", start, ErrServiceUnknown}, {"insert", insert(BlockFile{BlockDB, 1, FilePassive}), ErrProtected},
		{"upload", &UploadStartRequest{BlockFile{BlockDB, 1, FileActive}}, ErrServiceUnknown},
		{"download", &DownloadRequest{BlockFile{BlockDB, 1, FilePassive}, 102, 10}, ErrProtected},
		{"bsend", &bsend{BSendPart{true, 7, 1, []byte{1}}, 0, false}, ErrServiceUnknown},
		{"cyclic", &SubscribeRequest{Factor: 1, Items: []Item{Bytes(AreaDB, 1, 0, 1)}}, 0}, // that is memory
	} {
		k.wantRefusal(x.name, x.ask, x.want)
	}
}
