package sim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"millrace/s7"
)

func TestS7Faults(t *testing.T) {
	db1 := s7.Bytes(s7.AreaDB, 1, 0, 4)
	for _, x := range []struct {
		fault string
		see   func(t *testing.T, p *peer)
	}{
		{"refusal", func(t *testing.T, p *peer) {
			if _, err := p.items(db1); refused(err) != s7.ErrServiceUnknown {
				t.Error(err)
			}
		}},
		{"refusal:0x8500,every=2", func(t *testing.T, p *peer) {
			for i := range 4 {
				_, err := p.items(db1)
				if want := s7.ErrorCode(i % 2 * 0x8500); refused(err) != want || want == 0 && err != nil {
					t.Errorf("%d: %v", i, err)
				}
			}
		}},
		{"wrong_ref", func(t *testing.T, p *peer) {
			a, err := p.ask(p.request(db1))
			if err != nil || a.Ref != p.ref^0x8000 || a.Function() != s7.FuncRead {
				t.Errorf("%+v, %v", a, err)
			}
		}},
		{"wrong_function", func(t *testing.T, p *peer) {
			a, err := p.ask(p.request(db1))
			if err != nil || a.Ref != p.ref || a.Function() != s7.FuncWrite {
				t.Errorf("%+v, %v", a, err)
			}
		}},
		{"duplicate", func(t *testing.T, p *peer) {
			for range 2 {
				if _, err := p.items(db1); err != nil {
					t.Fatal(err)
				}
				if m, err := p.next(); err != nil || m.PDU.Ref != p.ref {
					t.Errorf("%+v, %v", m.PDU, err)
				}
			}
		}},
		{"late:200ms,every=2", func(t *testing.T, p *peer) {
			p.together(p.request(db1), p.request(db1), p.request(db1))
			var got []uint16
			for range 3 {
				m, err := p.next()
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, m.PDU.Ref)
			}
			if got[0] != 1 || got[1] != 3 || got[2] != 2 {
				t.Errorf("answers came as %v", got)
			}
		}},
		{"latency:5ms", func(t *testing.T, p *peer) {
			from := time.Now()
			if _, err := p.items(db1); err != nil || time.Since(from) < 5*time.Millisecond {
				t.Errorf("after %v: %v", time.Since(from), err)
			}
		}},
		{"jitter:5ms", func(t *testing.T, p *peer) {
			if _, err := p.items(db1); err != nil {
				t.Error(err)
			}
		}},
		{"trickle:50us", func(t *testing.T, p *peer) {
			if _, err := p.items(db1); err != nil {
				t.Error(err)
			}
		}},
		{"silence:every=2", func(t *testing.T, p *peer) {
			if _, err := p.items(db1); err != nil {
				t.Error(err)
			}
			if err := p.send(p.request(db1)); err != nil {
				t.Error(err)
			}
			if m, err := p.within(30 * time.Millisecond); !errors.Is(err, errSilent) {
				t.Errorf("%+v, %v", m, err)
			}
			if _, err := p.items(db1); err != nil {
				t.Error(err)
			}
		}},
		{"cut", func(t *testing.T, p *peer) {
			if _, err := p.items(db1); !ended(err) || len(p.buf) == 0 {
				t.Errorf("%v behind %d bytes", err, len(p.buf))
			}
		}},
		{"rst", func(t *testing.T, p *peer) {
			if _, err := p.items(db1); !ended(err) || len(p.buf) != 0 {
				t.Errorf("%v behind %d bytes", err, len(p.buf))
			}
		}},
		{"serial:2", func(t *testing.T, p *peer) {
			p.together(p.request(db1), p.request(db1), p.request(db1))
			for ref := range uint16(2) {
				if m, err := p.next(); err != nil || m.PDU.Ref != ref+1 {
					t.Errorf("%+v, %v", m.PDU, err)
				}
			}
			if m, err := p.within(30 * time.Millisecond); !errors.Is(err, errSilent) {
				t.Errorf("%+v, %v", m, err)
			}
		}},
		{"denied", func(t *testing.T, p *peer) {
			if _, err := p.items(db1); refused(err) != s7.ErrServiceUnknown {
				t.Error(err)
			}
		}},
		{"denied:db1/8-11", func(t *testing.T, p *peer) {
			codes(t, p, map[uint32]s7.ReturnCode{0: s7.ReturnOK, 4: s7.ReturnOK, 5: s7.ReturnAccess, 11: s7.ReturnAccess, 12: s7.ReturnOK})
			if code := p.write(s7.Bytes(s7.AreaDB, 1, 8, 1), 1); code != s7.ReturnAccess {
				t.Error(code)
			}
		}},
		{"unmapped:db1/8-11", func(t *testing.T, p *peer) {
			codes(t, p, map[uint32]s7.ReturnCode{0: s7.ReturnOK, 4: s7.ReturnOK, 5: s7.ReturnAddress, 11: s7.ReturnAddress, 12: s7.ReturnOK})
		}},
		{"unmapped:db1", func(t *testing.T, p *peer) {
			codes(t, p, map[uint32]s7.ReturnCode{0: s7.ReturnNoObject, 8191: s7.ReturnNoObject})
		}},
		{"unmapped:t/100-109", func(t *testing.T, p *peer) {
			for it, want := range map[uint32]s7.ReturnCode{99: s7.ReturnOK, 100: s7.ReturnAddress, 109: s7.ReturnAddress, 110: s7.ReturnOK} {
				if code := p.code(s7.Timers(it, 1)); code != want {
					t.Errorf("T%d: %v", it, code)
				}
			}
		}},
		{"max_items:2", func(t *testing.T, p *peer) {
			if _, err := p.items(db1, db1); err != nil {
				t.Error(err)
			}
			if _, err := p.items(db1, db1, db1); refused(err) != s7.ErrFrame {
				t.Error(err)
			}
		}},
		{"stop", func(t *testing.T, p *peer) { p.bytes(s7.AreaDB, 2, 0, 4) }},
		{"download:100", func(t *testing.T, p *peer) {
			codes(t, p, map[uint32]s7.ReturnCode{96: s7.ReturnOK, 97: s7.ReturnAddress})
		}},
		{"download:9000", func(t *testing.T, p *peer) {
			codes(t, p, map[uint32]s7.ReturnCode{8996: s7.ReturnOK, 8997: s7.ReturnAddress})
			if got := p.bytes(s7.AreaDB, 1, 8999, 1); got[0] != 8999%251 {
				t.Error(got)
			}
		}},
	} {
		t.Run(x.fault, func(t *testing.T) {
			m := startS7(t, S7Config{Devices: 2, ByPort: true}, x.fault+",devices=1")
			x.see(t, dialS7(t, m, 1))
			f, err := ParseFault(x.fault)
			if err != nil {
				t.Fatal(err)
			}
			if n := m.Stats().Faults[f.Kind]; n == 0 {
				t.Error("the fault was not counted")
			}
			if _, err := dialS7(t, m, 2).items(db1, db1, db1); err != nil {
				t.Errorf("a device without the fault: %v", err)
			}
		})
	}
}

// codes reads four bytes from several places of DB 1; those near its end fewer.
func codes(t *testing.T, p *peer, want map[uint32]s7.ReturnCode) {
	t.Helper()
	for at, code := range want {
		n := uint16(4)
		if at == 8191 {
			n = 1
		}
		if got := p.code(s7.Bytes(s7.AreaDB, 1, at, n)); got != code {
			t.Errorf("DB 1 from %d: %v, want %v", at, got, code)
		}
	}
}

// A CPU in STOP reads and writes, and its waves are those of the moment at which it stopped.
func TestStandstill(t *testing.T) {
	m := startS7(t, S7Config{}, "stop")
	p := dialS7(t, m, 1)
	<-time.After(5 * time.Millisecond) // so that a wave which moves has moved
	want := binary.BigEndian.AppendUint32(nil, math.Float32bits(Wave(1, 0, m.started)))
	if got := p.bytes(s7.AreaDB, 2, 0, 4); !bytes.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
	if code := p.write(s7.Bytes(s7.AreaDB, 1, 0, 1), 9); code != s7.ReturnOK {
		t.Error(code)
	}
}

func TestS7Slots(t *testing.T) {
	m := startS7(t, S7Config{}, "slots:1")
	dialS7(t, m, 1)
	var dr *disconnectedError
	if _, err := connectS7(t, m.Addr(1), []byte{2, 1}); !errors.As(err, &dr) || dr.reason != s7.DisconnectRemoteCongestion {
		t.Error(err)
	}
	if s := m.DeviceStats(1); s.Refused != 1 || s.Faults[Slots] != 1 {
		t.Errorf("%+v", s)
	}
}

func TestPDUShrink(t *testing.T) {
	m := startS7(t, S7Config{}, "pdu_shrink:240")
	for i, want := range []uint16{960, 240, 240} {
		p := dialS7(t, m, 1)
		if p.setup.PDU != want {
			t.Errorf("connection %d: PDU %d, want %d", i+1, p.setup.PDU, want)
		}
	}
}

func TestS7RefusesAndStops(t *testing.T) {
	m := startS7(t, S7Config{}, "refuse:p=1,after=1h")
	p := dialS7(t, m, 1)
	if err := m.Stop(1, Refusing); err != nil {
		t.Fatal(err)
	}
	if _, err := p.items(s7.Bytes(s7.AreaDB, 1, 0, 1)); !ended(err) {
		t.Errorf("a connection to a device that was stopped: %v", err)
	}
	wantReset(t, m.Addr(1))
	if err := m.Start(1); err != nil {
		t.Fatal(err)
	}
	p = dialS7(t, m, 1)
	if err := m.Stop(1, BlackHole); err != nil {
		t.Fatal(err)
	}
	if err := p.send(p.request(s7.Bytes(s7.AreaDB, 1, 0, 1))); err != nil {
		t.Fatal(err)
	}
	if _, err := p.within(30 * time.Millisecond); !errors.Is(err, errSilent) {
		t.Error(err)
	}
	// A new connection is taken, and its CR is not answered.
	conn, err := net.Dial("tcp", m.Addr(1))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	q := &peer{t: t, conn: conn, stream: s7.NewStream(s7.StreamConfig{})}
	if _, err := conn.Write((&s7.Connect{Code: s7.TPDUConnectRequest, SrcRef: 1, Called: []byte{2, 1}}).AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	if m, err := q.within(30 * time.Millisecond); !errors.Is(err, errSilent) {
		t.Errorf("%+v, %v", m, err)
	}
	if err := m.Start(1); err != nil {
		t.Fatal(err)
	}
	if _, err := p.items(s7.Bytes(s7.AreaDB, 1, 0, 1)); err != nil {
		t.Errorf("a connection that outlived a black hole: %v", err)
	}
}

// A download is the end of all connections and another length of DB 1, and so is the way back.
func TestDownload(t *testing.T) {
	m := startS7(t, S7Config{Devices: 2, ByPort: true}, "download:100,after=20ms,for=20ms,period=40ms,devices=1")
	other := dialS7(t, m, 2)
	seen := map[s7.ReturnCode]int{}
	var p *peer
	for n, resets := 0, 0; resets < 4 || seen[s7.ReturnOK] == 0 || seen[s7.ReturnAddress] == 0; n++ {
		if n == 1_000_000 {
			t.Fatalf("%d resets, %v", resets, seen)
		}
		if p == nil {
			p, _ = connectS7(t, m.Addr(1), []byte{2, 1}) // which a reset may hit too
			continue
		}
		d, err := p.items(s7.Bytes(s7.AreaDB, 1, 8191, 1))
		switch {
		case err == nil:
			seen[d[0].Code]++
		case ended(err):
			resets++
			p = nil
		default:
			t.Fatal(err)
		}
	}
	if code := other.code(s7.Bytes(s7.AreaDB, 1, 8191, 1)); code != s7.ReturnOK {
		t.Errorf("a device without the fault: %v", code)
	}
}

// Downloads strike on time and only where they should, and nothing is left of them at the end.
func TestDownloadsStrikeOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, err := ParseFault("download:after=10s,for=2s,period=5s,devices=1")
		if err != nil {
			t.Fatal(err)
		}
		m, err := NewS7(S7Config{Devices: 2, Faults: []Fault{f}})
		if err != nil {
			t.Fatal(err)
		}
		m.started = time.Now()
		defer m.downloads()()
		for _, step := range []struct {
			wait time.Duration
			cut  bool
		}{{9 * time.Second, false}, {2 * time.Second, true}, {500 * time.Millisecond, false}, {time.Second, true}, {2 * time.Second, false}, {time.Second, true}, {2 * time.Second, true}} {
			var far [2]net.Conn
			for i := range far {
				var near net.Conn
				near, far[i] = net.Pipe()
				m.devices[i].mu.Lock()
				m.devices[i].conns = []net.Conn{near}
				m.devices[i].mu.Unlock()
			}
			time.Sleep(step.wait)
			synctest.Wait()
			for i := range far {
				_ = far[i].SetReadDeadline(time.Now())
				_, err := far[i].Read(make([]byte, 1))
				if cut := errors.Is(err, io.EOF); cut != (step.cut && i == 0) {
					t.Errorf("%v after the start, device %d: %v", time.Since(m.started), i+1, err)
				}
			}
		}
	})
}
