package sim

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"millrace/s7"
)

var (
	stopRequest  = (&s7.StopRequest{Service: []byte(s7.PIProgram)}).AppendTo(nil, 9)
	startRequest = (&s7.PIServiceRequest{Service: []byte(s7.PIProgram)}).AppendTo(nil, 9)
)

// A client stops the CPU: it says so, its waves stand still, variables are read and written all the same, and another start has them move on.
func TestStopAndStartByAClient(t *testing.T) {
	m := startS7(t, S7Config{})
	p, other := dialS7(t, m, 1), dialS7(t, m, 1)
	wave := func() []byte { return p.bytes(s7.AreaDB, 2, 0, 16) }
	if mode := p.mode(); mode != s7.ModeRun {
		t.Fatal(mode)
	}
	if code := p.control(startRequest); code != s7.ErrNotPerformed {
		t.Errorf("start in RUN: %v", code)
	}
	if code := p.control(stopRequest); code != 0 || other.mode() != s7.ModeStop {
		t.Errorf("stop: %v", code)
	}
	was := wave()
	<-time.After(5 * time.Millisecond)
	if !bytes.Equal(wave(), was) {
		t.Error("the waves move in STOP")
	}
	if code := p.write(s7.Bytes(s7.AreaMarkers, 0, 0, 1), 3); code != s7.ReturnOK {
		t.Error(code)
	}
	if code := other.control(startRequest); code != 0 || p.mode() != s7.ModeRun {
		t.Errorf("start: %v", code)
	}
	for n := 0; bytes.Equal(wave(), was); n++ {
		if n == 1_000_000 {
			t.Fatal("the waves do not move in RUN")
		}
	}
}

func TestStopByAFault(t *testing.T) {
	m := startS7(t, S7Config{Devices: 2, ByPort: true}, "stop,devices=1")
	p := dialS7(t, m, 1)
	if mode := p.mode(); mode != s7.ModeStop {
		t.Error(mode)
	}
	if code := p.control(startRequest); code != s7.ErrNotPerformed {
		t.Errorf("start: %v", code)
	}
	if code := p.control(stopRequest); code != s7.ErrNotPerformed {
		t.Errorf("stop: %v", code)
	}
	if mode := dialS7(t, m, 2).mode(); mode != s7.ModeRun {
		t.Errorf("a device without the fault: %v", mode)
	}
}

// A CPU says which one it is, and what its model is.
func TestS7Identity(t *testing.T) {
	for _, model := range S7ModelNames() {
		m := startS7(t, S7Config{Devices: 2, ByPort: true, Model: model})
		p := dialS7(t, m, 2)
		list := p.szl(s7.SZLComponents, 0)
		var c s7.ComponentRecord
		if err := c.Decode(list.Record(0)); err != nil || string(c.Text) != "sim-00002" {
			t.Errorf("%s: %q, %v", model, c.Text, err)
		}
		list = p.szl(s7.SZLModule, 0)
		var o s7.ModuleRecord
		if err := o.Decode(list.Record(0)); err != nil || !strings.HasPrefix(string(o.Order), "6ES7 ") {
			t.Errorf("%s: %q, %v", model, o.Order, err)
		}
		list = p.szl(s7.SZLComm, 1)
		var r s7.CommRecord
		if err := r.Decode(list.Record(0)); err != nil || int(r.PDU) != m.model.pdu || int(r.Connections) != m.model.resources {
			t.Errorf("%s: %+v, %v", model, r, err)
		}
	}
}

// The blocks are the DBs, as long as they are now and with what is in them now.
func TestS7Blocks(t *testing.T) {
	m := startS7(t, S7Config{Devices: 2, ByPort: true}, "download:100,devices=2", "unmapped:db3,devices=2")
	for n, want := range []map[uint16]uint16{{1: 8192, 2: 1024, 3: uint16(len(variables))}, {1: 100, 2: 1024}} {
		p := dialS7(t, m, n+1)
		data, err := p.userdata((&s7.BlockListRequest{Type: s7.BlockDB}).AppendTo(nil, 1))
		if err != nil {
			t.Fatal(err)
		}
		list, err := s7.BlockList(data, nil)
		if err != nil || len(list) != len(want) {
			t.Errorf("device %d: %+v, %v", n+1, list, err)
		}
		for _, b := range list {
			data, err := p.userdata((&s7.BlockInfoRequest{File: s7.BlockFile{Type: s7.BlockDB, Number: uint32(b.Number), System: s7.FileActive}}).AppendTo(nil, 1))
			var info s7.BlockInfo
			if err == nil {
				err = info.Decode(data)
			}
			if err != nil || info.MC7Len != want[b.Number] || info.Number != b.Number {
				t.Errorf("device %d: %+v, %v", n+1, info, err)
			}
		}
	}
	p := dialS7(t, m, 1)
	p.write(s7.Bytes(s7.AreaDB, 3, 1, 1), 0x77)
	b := p.upload(s7.BlockFile{Type: s7.BlockDB, Number: 3, System: s7.FileActive})
	if b.Number != 3 || string(b.Body) != variables[:1]+"\x77"+variables[2:] {
		t.Errorf("%+v", b.BlockInfo)
	}
	if _, err := p.userdata((&s7.BlockInfoRequest{File: s7.BlockFile{Type: s7.BlockDB, Number: 4, System: s7.FileActive}}).AppendTo(nil, 1)); refused(err) != s7.ErrBlockNotFound {
		t.Error(err)
	}
	code := p.control((&s7.DownloadRequest{File: s7.BlockFile{Type: s7.BlockDB, Number: 5, System: s7.FilePassive}, LoadLen: 200, CodeLen: 100}).AppendTo(nil, 1))
	if code != s7.ErrProtected {
		t.Errorf("a download: %v", code)
	}
}

// upload reads a block.
func (p *peer) upload(f s7.BlockFile) (b s7.Block) {
	p.t.Helper()
	a, err := p.ask((&s7.UploadStartRequest{File: f}).AppendTo(nil, 1))
	var start s7.UploadStartResponse
	if err == nil {
		err = start.Decode(&a)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	var image []byte
	for more := true; more; {
		a, err := p.ask((&s7.UploadRequest{ID: start.ID}).AppendTo(nil, 1))
		slice := s7.Slice{Function: s7.FuncUpload}
		if err == nil {
			err = slice.Decode(&a)
		}
		if err != nil {
			p.t.Fatal(err)
		}
		image, more = append(image, slice.Data...), slice.More
	}
	if code := b.Decode(image); code != 0 {
		p.t.Fatal(code)
	}
	return b
}

// A cyclic job pushes waves, is silent in a black hole, and goes on behind it.
func TestCyclicPushesStopInABlackHole(t *testing.T) {
	m := startS7(t, S7Config{Model: "300"})
	p := dialS7(t, m, 1)
	if _, err := p.userdata((&s7.SubscribeRequest{Base: s7.TimeBase100ms, Factor: 1, Items: []s7.Item{s7.Bytes(s7.AreaDB, 2, 0, 4)}}).AppendTo(nil, 1)); err != nil {
		t.Fatal(err)
	}
	push := func() []byte {
		t.Helper()
		got, err := p.next()
		var u s7.Userdata
		if err == nil {
			err = u.Decode(&got.PDU)
		}
		var d s7.CyclicData
		if err == nil {
			err = d.Decode(u.Data)
		}
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Clone(d.Items[0].Data)
	}
	if a, b := push(), push(); bytes.Equal(a, b) {
		t.Errorf("% x again after 100 ms", a)
	}
	if err := m.Stop(1, BlackHole); err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ { // one may be on its way
		if _, err := p.within(300 * time.Millisecond); errors.Is(err, errSilent) {
			break
		}
		if n == 2 {
			t.Fatal("it pushes from a black hole")
		}
	}
	if err := m.Start(1); err != nil {
		t.Fatal(err)
	}
	push()
}
