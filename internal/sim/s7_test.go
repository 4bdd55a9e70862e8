package sim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"millrace/internal/listen/listentest"
	"millrace/s7"
)

func TestTheS7ImageOfAllBytes(t *testing.T) {
	p := dialS7(t, startS7(t, S7Config{}), 1)
	ramp := make([]byte, 8192)
	for i := range ramp {
		ramp[i] = byte(i % 251)
	}
	if got := p.bytes(s7.AreaDB, 1, 0, 8192); !bytes.Equal(got, ramp) {
		t.Error("DB 1 is not byte i = i modulo 251")
	}
	if got := p.bytes(s7.AreaInputs, 0, 0, 1024); !bytes.Equal(got, ramp[:1024]) {
		t.Error("I is not byte i = i modulo 251")
	}
	for _, a := range []s7.Area{s7.AreaMarkers, s7.AreaOutputs} {
		if got := p.bytes(a, 0, 0, 1024); !bytes.Equal(got, make([]byte, 1024)) {
			t.Errorf("%v is not zeros", a)
		}
	}
	if got := p.bytes(s7.AreaDB, 3, 0, len(variables)); string(got) != variables {
		t.Error("DB 3 is not the variables")
	}
	// An item that begins and ends anywhere is a part of the whole.
	for _, x := range [][2]int{{1, 1}, {63, 2}, {250, 3}, {8191, 1}, {7, 942}} {
		if got := p.bytes(s7.AreaDB, 1, x[0], x[1]); !bytes.Equal(got, ramp[x[0]:x[0]+x[1]]) {
			t.Errorf("DB 1 from %d: % x", x[0], got)
		}
	}
}

// The client reads the image whole and in every model's pieces, and what it writes is there.
func TestTheImageThroughTheClient(t *testing.T) {
	for _, model := range S7ModelNames() {
		m := startS7(t, S7Config{Model: model})
		c, err := s7.Dial(t.Context(), m.Addr(1), s7.Config{Slot: m.model.slots[0], Timeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sent := bytes.Repeat([]byte{0xA5}, 900)
		if err := c.Write(t.Context(), []s7.Var{{Item: s7.Bytes(s7.AreaMarkers, 0, 50, 900), Data: sent}}); err != nil {
			t.Fatal(err)
		}
		vars := []s7.Var{{Item: s7.Bytes(s7.AreaDB, 1, 0, 8192)}, {Item: s7.Bytes(s7.AreaDB, 3, 0, uint16(len(variables)))}, {Item: s7.Timers(0, 256)},
			{Item: s7.Bytes(s7.AreaMarkers, 0, 50, 900)}, {Item: s7.Bytes(s7.AreaDB, 2, 1024, 1)}, {Item: s7.Bit(s7.AreaInputs, 0, 3, 1)}}
		if err := c.Read(t.Context(), vars); err != nil {
			t.Fatal(err)
		}
		for i, x := range vars[0].Data {
			if int(x) != i%251 {
				t.Fatalf("%s: byte %d of DB 1 is %d", model, i, x)
			}
		}
		timer, err := s7.TypeS5Time.Duration(vars[2].Data[2*255:])
		if string(vars[1].Data) != variables || timer != 2550*time.Millisecond || err != nil || !bytes.Equal(vars[3].Data, sent) || vars[5].Data[0] != 1 {
			t.Errorf("%s: %+v", model, vars)
		}
		if vars[4].Code != s7.ReturnAddress || vars[4].Err == nil {
			t.Errorf("%s: behind DB 2: %+v", model, vars[4])
		}
	}
}

func TestTimersAndCounters(t *testing.T) {
	p := dialS7(t, startS7(t, S7Config{}), 1)
	for n := range 256 {
		d, err := p.items(s7.Timers(uint32(n), 1), s7.Counters(uint32(n), 1))
		if err != nil {
			t.Fatal(err)
		}
		if v, err := s7.TypeS5Time.Duration(d[0].Data); err != nil || v != time.Duration(n)*10*time.Millisecond {
			t.Errorf("T%d is %v, %v", n, v, err)
		}
		if v, err := s7.TypeCounter.Uint(d[1].Data); err != nil || v != uint64(n) {
			t.Errorf("C%d is %d, %v", n, v, err)
		}
	}
	d, err := p.items(s7.Timers(99, 3), s7.Timers(255, 2), s7.Counters(256, 1))
	if err != nil || !bytes.Equal(d[0].Data, []byte{0, 0x99, 1, 0, 1, 1}) || d[1].Code != s7.ReturnAddress || d[2].Code != s7.ReturnAddress {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestS7WavesAreRealsOfTheMoment(t *testing.T) {
	p := dialS7(t, startS7(t, S7Config{Devices: 2}), 2)
	before := time.Now()
	d, err := p.items(s7.Bytes(s7.AreaDB, 2, 0, 8), s7.Bytes(s7.AreaDB, 2, 1020, 4), s7.Bytes(s7.AreaDB, 2, 1022, 2))
	after := time.Now()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(d[1].Data[2:], d[2].Data) {
		t.Errorf("the items of a request are of two moments: % x and % x", d[1].Data, d[2].Data)
	}
	for at := before.Truncate(time.Millisecond); !at.After(after); at = at.Add(time.Millisecond) {
		want := binary.BigEndian.AppendUint32(nil, math.Float32bits(Wave(2, 0, at)))
		want = binary.BigEndian.AppendUint32(want, math.Float32bits(Wave(2, 1, at)))
		last := binary.BigEndian.AppendUint32(nil, math.Float32bits(Wave(2, 255, at)))
		if bytes.Equal(d[0].Data, want) && bytes.Equal(d[1].Data, last) {
			return
		}
	}
	t.Errorf("% x and % x are no waves of any moment of the request", d[0].Data, d[1].Data)
}

func TestS7WritesAreKept(t *testing.T) {
	m := startS7(t, S7Config{Devices: 2})
	p, other := dialS7(t, m, 1), dialS7(t, m, 2)
	for _, x := range []struct {
		it   s7.Item
		data []byte
		want s7.ReturnCode
	}{
		{s7.Bytes(s7.AreaDB, 1, 62, 4), []byte{0xA, 0xB, 0xC, 0xD}, s7.ReturnOK}, // over the border of two pages
		{s7.Bit(s7.AreaDB, 1, 65, 5), []byte{1}, s7.ReturnOK},
		{s7.Bit(s7.AreaDB, 1, 65, 0), []byte{0}, s7.ReturnOK},
		{s7.Bit(s7.AreaMarkers, 0, 10, 5), []byte{1}, s7.ReturnOK},
		{s7.Bytes(s7.AreaOutputs, 0, 1023, 1), []byte{7}, s7.ReturnOK},
		{s7.Bytes(s7.AreaDB, 3, 284, 2), []byte{0x01, 0x23}, s7.ReturnOK},
		{s7.Counters(255, 1), []byte{0x04, 0x56}, s7.ReturnOK},
		{s7.Bytes(s7.AreaInputs, 0, 0, 1), []byte{7}, s7.ReturnAccess},
		{s7.Bytes(s7.AreaDB, 2, 0, 1), []byte{7}, s7.ReturnAccess},
		{s7.Bytes(s7.AreaDB, 4, 0, 1), []byte{7}, s7.ReturnNoObject},
		{s7.Bytes(s7.AreaPeripheral, 0, 0, 1), []byte{7}, s7.ReturnNoObject},
		{s7.Bytes(s7.AreaDB, 1, 8191, 2), []byte{7, 7}, s7.ReturnAddress},
	} {
		if got := p.write(x.it, x.data...); got != x.want {
			t.Errorf("write %v: %v, want %v", &x.it, got, x.want)
		}
	}
	if got, want := p.bytes(s7.AreaDB, 1, 61, 6), []byte{61, 0xA, 0xB, 0xC, 0x2C, 66}; !bytes.Equal(got, want) {
		t.Errorf("DB 1: % x, want % x", got, want)
	}
	if got := p.bytes(s7.AreaMarkers, 0, 9, 3); !bytes.Equal(got, []byte{0, 0x20, 0}) {
		t.Errorf("M: % x", got)
	}
	if d, err := p.items(s7.Bit(s7.AreaMarkers, 0, 10, 5), s7.Bit(s7.AreaMarkers, 0, 10, 4), s7.Counters(254, 2)); err != nil ||
		d[0].Data[0] != 1 || d[1].Data[0] != 0 || !bytes.Equal(d[2].Data, []byte{2, 0x54, 4, 0x56}) {
		t.Errorf("%+v, %v", d, err)
	}
	if got := p.bytes(s7.AreaDB, 3, 280, 6); !bytes.Equal(got, []byte{0x80, 0, 0, 0, 1, 0x23}) {
		t.Errorf("DB 3: % x", got)
	}
	if got := other.bytes(s7.AreaDB, 1, 61, 6); !bytes.Equal(got, []byte{61, 62, 63, 64, 65, 66}) {
		t.Errorf("another device changed: % x", got)
	}
	if a, b := len(m.cpus[0].pages), len(m.cpus[1].pages); a != 6 || b != 0 {
		t.Errorf("%d and %d pages are kept, want 6 of the one that was written to", a, b)
	}
}

// What is not there answers item by item, whatever stands beside it.
func TestS7ItemErrors(t *testing.T) {
	p := dialS7(t, startS7(t, S7Config{}), 1)
	d, err := p.items(s7.Bytes(s7.AreaDB, 1, 8190, 2), s7.Bytes(s7.AreaDB, 1, 8190, 3), s7.Bytes(s7.AreaDB, 9, 0, 1), s7.Bytes(s7.AreaInputs, 0, 1024, 1),
		s7.Bytes(s7.AreaDB, 0, 0, 1), s7.Bytes(s7.AreaInstanceDB, 1, 0, 1), s7.Item{Syntax: s7.SyntaxAny, Size: 0x77, Count: 1, Area: s7.AreaMarkers}, s7.Bytes(s7.AreaMarkers, 0, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []s7.ReturnCode{s7.ReturnOK, s7.ReturnAddress, s7.ReturnNoObject, s7.ReturnAddress, s7.ReturnNoObject, s7.ReturnNoObject, s7.ReturnTypeUnsupported, s7.ReturnOK} {
		if d[i].Code != want {
			t.Errorf("item %d: %v, want %v", i, d[i].Code, want)
		}
	}
}

func TestS7Models(t *testing.T) {
	for _, x := range []struct {
		model       string
		pdu, window uint16
		slot, wrong uint8
		resources   int
	}{{"300", 240, 2, 2, 1, 16}, {"400", 480, 8, 2, 0, 32}, {"1200", 240, 3, 1, 2, 8}, {"1500", 960, 8, 1, 2, 32}, {"", 960, 8, 0, 3, 32}} {
		m := startS7(t, S7Config{Model: x.model})
		at := func(slot uint8) (*peer, error) {
			return connectS7(t, m.Addr(1), s7.AppendTSAP(nil, s7.ConnectOP, 0, slot))
		}
		p, err := at(x.slot)
		if err != nil || p.setup.PDU != x.pdu || p.setup.Calling != x.window {
			t.Errorf("%s: %+v, %v", x.model, p, err)
		}
		var dr *disconnectedError
		if _, err := at(x.wrong); !errors.As(err, &dr) || dr.reason != s7.DisconnectAddressUnknown {
			t.Errorf("%s in slot %d: %v", x.model, x.wrong, err)
		}
		for range x.resources - 1 {
			if _, err := at(x.slot); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := at(x.slot); !errors.As(err, &dr) || dr.reason != s7.DisconnectRemoteCongestion {
			t.Errorf("%s with %d connections: %v", x.model, x.resources+1, err)
		}
		_ = p.conn.Close()
		for n := 0; ; n++ { // the CPU notices the end a moment later
			if _, err := at(x.slot); err == nil {
				break
			}
			if n == 1000 {
				t.Fatal("a connection resource is never free again")
			}
		}
	}
	if _, err := NewS7(S7Config{Model: "200"}); err == nil || !strings.Contains(err.Error(), "there are 300, 400, 1200, 1500") {
		t.Error(err)
	}
}

func TestTenThousandS7Devices(t *testing.T) {
	before := heap()
	m, err := NewS7(S7Config{Listen: "127.0.0.1:0", Devices: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	each := (heap() - before) / 10_000
	t.Logf("%d bytes a device while nobody connects", each)
	if each > 256 || unsafe.Sizeof(device{})+unsafe.Sizeof(s7CPU{}) > 256 {
		t.Errorf("a device takes %d bytes", each)
	}
	listentest.Run(t, m)
	for n, want := range map[int]string{1: "127.0.0.1", 256: "127.0.1.0", 10_000: "127.0.39.16"} {
		host, _, _ := net.SplitHostPort(m.Addr(n))
		if host != want {
			t.Errorf("device %d is at %s, want %s", n, host, want)
		}
		if code := dialS7(t, m, n).code(s7.Bytes(s7.AreaDB, 1, 0, 1)); code != s7.ReturnOK {
			t.Error(code)
		}
		if s := m.DeviceStats(n); s.Requests != 1 || s.Connections != 1 {
			t.Errorf("device %d: %+v", n, s)
		}
	}
	if len(m.lns) != 1 {
		t.Errorf("%d sockets", len(m.lns))
	}
	runtime.KeepAlive(m)
}

// heap returns the bytes in use.
func heap() int {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int(s.HeapAlloc)
}

// A read of a device, dice and all, allocates nothing here or in the client, once it has been done often.
func TestServingAllocatesNothing(t *testing.T) {
	if raced {
		t.Skip("the race detector allocates")
	}
	m := startS7(t, S7Config{}, "silence:p=0.1,after=1h", "unmapped:db1/8000-8191", "stop:after=1h")
	c, err := s7.Dial(t.Context(), m.Addr(1), s7.Config{Slot: 1, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var room [4][512]byte
	vars := []s7.Var{{Item: s7.Bytes(s7.AreaDB, 1, 0, 200)}, {Item: s7.Bytes(s7.AreaDB, 2, 2, 50)}, {Item: s7.Timers(3, 5)}, {Item: s7.Bit(s7.AreaMarkers, 0, 10, 5)}}
	if n := testing.AllocsPerRun(1000, func() {
		for i := range vars {
			vars[i].Data = room[i][:0]
		}
		if err := c.Read(t.Context(), vars); err != nil || vars[1].Err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
