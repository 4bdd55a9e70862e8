package s7

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/listen/listentest"
)

// push waits for a push of a job and returns its items.
func (k *talk) push(id uint8) []DataItem {
	k.Helper()
	p := k.pdu()
	var u Userdata
	var m CyclicData
	if err := u.Decode(&p); err != nil || u.Type != UserdataPush || u.Group != GroupCyclic || u.Seq != id || u.Err != 0 || p.Ref != 0 {
		k.Fatalf("no push of %d: %+v, %v", id, u, err)
	}
	if err := m.Decode(u.Data); err != nil {
		k.Fatal(err)
	}
	return m.Items
}

// subscribe sets up a job and returns its id and what came at once.
func (k *talk) subscribe(m *SubscribeRequest) (id uint8, items []DataItem) {
	k.Helper()
	u := k.askUserdata(m)
	var data CyclicData
	if err := data.Decode(u.Data); err != nil || u.Err != 0 || u.Seq == 0 {
		k.Fatalf("%+v, %v", u, err)
	}
	return u.Seq, data.Items
}

// bubble serves a CPU in memory to one client, within a bubble of time.
func bubble(t *testing.T, cfg ServerConfig, pdu uint16) (*serving, *listentest.Pipes, *talk) {
	t.Helper()
	ln := listentest.NewPipes()
	s := serveOn(t, cfg, ln)
	k := talkOver(t, ln.Dial(), pdu)
	t.Cleanup(func() { k.Close() })
	return s, ln, k
}

func TestCyclicTranscript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, k := bubble(t, ServerConfig{Handler: testCPU(t, CPUConfig{})}, 240)
		want := func(hex string) {
			t.Helper()
			p := k.pdu()
			if got := appendPDU(nil, &p); !bytes.Equal(got, unhex(hex)) {
				t.Fatalf("%x, want %s", got, hex)
			}
		}
		k.write(frameOf(unhex("3207 0000 0005 0008 002C 0001120411420100 FF090028 0003 00 05 120A1002 0003 0001 84 000008 120A1002 0001 0063 84 000000 120A101D 0001 0000 1D 000002")))
		want("3207 0000 0005 000C 0018 0001120812820101 00000000 FF090014 0003 FF040018 010203 00 0A000000 FF090002 0405")
		for range 3 {
			began := time.Now()
			want("3207 0000 0000 000C 0018 0001120812020101 00000000 FF090014 0003 FF040018 010203 00 0A000000 FF090002 0405")
			if d := time.Since(began); d != 500*time.Millisecond {
				t.Errorf("a push came after %v", d)
			}
		}
		k.write(frameOf(unhex("3207 0000 0006 0008 0006 0001120411420400 FF090002 0101")))
		want("3207 0000 0006 000C 0004 0001120812820400 00000000 0A000000")
		k.nothing(time.Minute)
		k.write(frameOf(unhex("3207 0000 0007 0008 0006 0001120411420400 FF090002 0101")))
		want("3207 0000 0007 000C 0004 0001120812820400 0000D802 0A000000")
	})
}

// DBREAD items come as the pieces one behind the other.
func TestCyclicDBRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, k := bubble(t, ServerConfig{Handler: testCPU(t, CPUConfig{})}, 240)
		item := DBRead(AppendDBPieces(nil, DBPiece{3, 1, 16}, DBPiece{2, 2, 4}))
		missing := DBRead(AppendDBPieces(nil, DBPiece{1, 1, 0}, DBPiece{1, 99, 0}))
		beyond := DBRead(AppendDBPieces(nil, DBPiece{2, 2, 9}))
		id, first := k.subscribe(&SubscribeRequest{Factor: 1, Items: []Item{
			item, missing, beyond, DBRead([]byte{2, 1}), DBRead(nil), DBRead(AppendDBPieces(nil, DBPiece{0, 1, 0})), Bytes(AreaDB, 1, 0, 1),
		}})
		for _, items := range [][]DataItem{first, k.push(id), k.push(id)} {
			want := []ReturnCode{ReturnOK, ReturnNoObject, ReturnAddress, ReturnAddress, ReturnAddress, ReturnAddress, ReturnOK}
			for i := range want {
				if len(items) != len(want) || items[i].Code != want[i] {
					t.Fatalf("item %d: %+v", i, items)
				}
			}
			if !bytes.Equal(items[0].Data, []byte{16, 17, 18, 4, 5}) || items[0].Size != DataByte || !bytes.Equal(items[6].Data, []byte{0}) {
				t.Errorf("%+v", items)
			}
		}
	})
}

func TestCyclicChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cpu := testCPU(t, CPUConfig{})
		_, _, k := bubble(t, ServerConfig{Handler: cpu}, 240)
		id, first := k.subscribe(&SubscribeRequest{Change: true, Factor: 2, Items: []Item{Bytes(AreaDB, 1, 0, 2), Bytes(AreaMarkers, 0, 0, 1)}})
		if !bytes.Equal(first[0].Data, []byte{0, 1}) {
			t.Errorf("first %+v", first)
		}
		k.nothing(time.Minute)
		cpu.Update(AreaDB, 1, func(data []byte) { data[1] = 77 })
		began := time.Now()
		if items := k.push(id); len(items) != 2 || !bytes.Equal(items[0].Data, []byte{0, 77}) || time.Since(began) > 200*time.Millisecond {
			t.Errorf("%+v after %v", items, time.Since(began))
		}
		k.nothing(time.Minute)
		cpu.DeleteDB(1)
		if items := k.push(id); items[0].Code != ReturnNoObject || items[1].Code != ReturnOK {
			t.Errorf("%+v", items)
		}
		k.nothing(time.Minute)
	})
}

// Jobs of several cycles keep their times, and ids are each connection's own.
func TestCyclicJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ln, k := bubble(t, ServerConfig{Handler: testCPU(t, CPUConfig{})}, 240)
		item := []Item{Bytes(AreaDB, 1, 0, 1)}
		fast, _ := k.subscribe(&SubscribeRequest{Factor: 3, Items: item})
		slow, _ := k.subscribe(&SubscribeRequest{Base: TimeBase1s, Factor: 1, Items: item})
		began := time.Now()
		got := map[uint8][]time.Duration{}
		for range 13 {
			p := k.pdu()
			var u Userdata
			if err := u.Decode(&p); err != nil {
				t.Fatal(err)
			}
			got[u.Seq] = append(got[u.Seq], time.Since(began))
		}
		for id, cycle := range map[uint8]time.Duration{fast: 300 * time.Millisecond, slow: time.Second} {
			for i, at := range got[id] {
				if at != time.Duration(i+1)*cycle {
					t.Errorf("job %d: push %d at %v", id, i, at)
				}
			}
		}
		if len(got[fast]) != 10 || len(got[slow]) != 3 {
			t.Errorf("%d and %d pushes", len(got[fast]), len(got[slow]))
		}
		other := talkOver(t, ln.Dial(), 240)
		other.wantRefusal("a foreign job", &UnsubscribeRequest{SubCyclicSubscribe, fast}, ErrCyclicNoJob)
		mine, _ := other.subscribe(&SubscribeRequest{Base: TimeBase10s, Factor: 1, Items: item})
		other.wantRefusal("its own", &UnsubscribeRequest{SubCyclicSubscribe, mine}, 0)
		other.Close()
		k.Close()
		if st := s.ended(); st.Pushes < 13 || st.Skipped != 0 {
			t.Errorf("counted %d pushes, %d skipped", st.Pushes, st.Skipped)
		}
	})
}

func TestCyclicRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, k := bubble(t, ServerConfig{Handler: testCPU(t, CPUConfig{})}, 240)
		one := []Item{Bytes(AreaDB, 1, 0, 1)}
		for _, x := range []struct {
			name string
			ask  encoder
			want ErrorCode
		}{
			{"factor 0", &SubscribeRequest{Items: one}, ErrCyclicTime},
			{"no such base", &SubscribeRequest{Base: 3, Factor: 1, Items: one}, ErrCyclicTime},
			{"no items", &SubscribeRequest{Factor: 1}, ErrUserdataSyntax},
			{"an answer that does not fit", &SubscribeRequest{Factor: 1, Items: []Item{Bytes(AreaDB, 1, 0, 209)}}, ErrFrame},
			{"an answer that is no answer", &SubscribeRequest{Factor: 1, Items: []Item{{Syntax: SyntaxAny, Size: SizeDWord, Count: 0xFFFF, Area: AreaDB, DB: 1}}}, ErrFrame},
			{"the end of none", &UnsubscribeRequest{SubCyclicSubscribe, 1}, ErrCyclicNoJob},
			{"another subfunction", raw(unhex("3207 0000 0000 0008 0004 0001120411420800 0A000000")), ErrServiceUnknown},
			{"an end of half a job", raw(unhex("3207 0000 0000 0008 0005 0001120411420400 FF090001 01")), ErrUserdataSyntax},
		} {
			k.wantRefusal(x.name, x.ask, x.want)
		}
		long := &SubscribeRequest{Base: TimeBase10s, Factor: 255, Items: []Item{Bytes(AreaDB, 1, 0, 208)}}
		for range maxJobs {
			k.wantRefusal("one of a few", long, 0)
		}
		for range 1000 {
			k.wantRefusal("one too many", long, ErrCyclicFull)
		}
		k.wantRefusal("the end of one", &UnsubscribeRequest{SubCyclicSubscribe, 3}, 0)
		k.wantRefusal("its place", long, 0)
	})
}

// A client that does not read holds one goroutine until the write deadline, which ends the connection; what was due meanwhile is not sent later.
func TestCyclicToAClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ln, k := bubble(t, ServerConfig{Handler: testCPU(t, CPUConfig{}), WriteTimeout: 5 * time.Second}, 240)
		item := []Item{Bytes(AreaDB, 1, 0, 1)}
		for range maxJobs {
			k.subscribe(&SubscribeRequest{Factor: 1, Items: item})
		}
		slow := talkOver(t, ln.Dial(), 240)
		id, _ := slow.subscribe(&SubscribeRequest{Factor: 1, Items: item})
		time.Sleep(4 * time.Second) // the pipe has no room: the first push waits
		synctest.Wait()
		began := time.Now()
		slow.push(id)
		slow.push(id)
		if d := time.Since(began); d > 100*time.Millisecond {
			t.Errorf("two pushes took %v", d)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		slow.push(id)
		slow.Close()
		st := s.ended()
		if st.Ended["write timeout"] != 1 || st.Skipped < 30 {
			t.Errorf("ended %v, %d skipped", st.Ended, st.Skipped)
		}
		k.hungUp()
	})
}

// stuck is a handler whose reads of markers wait for the end.
type stuck struct{ *CPU }

func (s stuck) ReadItem(ctx context.Context, r *Request, it *Item, dst []byte) ReturnCode {
	if it.Area == AreaMarkers {
		<-ctx.Done()
		return ReturnHardware
	}
	return s.CPU.ReadItem(ctx, r, it, dst)
}

// The end of a connection ends what a handler does for its pushes, and waits for it.
func TestCyclicEndsWithItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := stuck{testCPU(t, CPUConfig{})}
		s, _, k := bubble(t, ServerConfig{Handler: h}, 240)
		k.subscribe(&SubscribeRequest{Factor: 1, Items: []Item{Bytes(AreaDB, 1, 0, 1)}})
		k.services(t, s, func(j *cyclicJobs) { j.jobs[0].items[0] = Bytes(AreaMarkers, 0, 0, 1) }) // a subscription would wait for its first data
		time.Sleep(time.Second)
		k.Close()
		if st := s.ended(); st.Ended["peer closed"] != 1 {
			t.Errorf("ended %v", st.Ended)
		}
	})
}

// services reaches for the cyclic jobs of the only connection.
func (k *talk) services(t *testing.T, s *serving, f func(j *cyclicJobs)) {
	t.Helper()
	for _, w := range s.sessions.workers {
		w.seat.Lock()
		for _, c := range w.conns {
			j := c.services.cyclic
			j.mu.Lock()
			f(j)
			j.mu.Unlock()
		}
		w.seat.Unlock()
	}
}

// The drain of a server ends jobs.
func TestCyclicDrains(t *testing.T) {
	s := serve(t, ServerConfig{Handler: testCPU(t, CPUConfig{})})
	clients := make([]*talk, 20)
	for i := range clients {
		clients[i] = s.talk(240)
		clients[i].subscribe(&SubscribeRequest{Factor: 1, Items: []Item{Bytes(AreaDB, 1, 0, 1)}})
	}
	for _, k := range clients {
		k.push(1)
	}
	if st := s.ended(); st.Ended["drained"] != 20 {
		t.Errorf("ended %v", st.Ended)
	}
}

// A subscriber that only listens is not idle.
func TestCyclicKeepsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, k := bubble(t, ServerConfig{Handler: testCPU(t, CPUConfig{}), IdleTimeout: 30 * time.Second}, 240)
		id, _ := k.subscribe(&SubscribeRequest{Base: TimeBase1s, Factor: 20, Items: []Item{Bytes(AreaDB, 1, 0, 1)}})
		for range 20 {
			k.push(id)
		}
		k.wantRefusal("the end", &UnsubscribeRequest{SubCyclicSubscribe, id}, 0)
		began := time.Now()
		k.hungUp()
		if d := time.Since(began); d < 30*time.Second || d > 45*time.Second {
			t.Errorf("idle after %v", d)
		}
	})
}

// A push allocates nothing once its buffer has grown.
func TestPushesDoNotAllocate(t *testing.T) {
	cpu := testCPU(t, CPUConfig{})
	srv, err := NewServer(ServerConfig{Handler: cpu})
	if err != nil {
		t.Fatal(err)
	}
	c := &ServerConn{srv: srv, faces: facesOf(cpu), pdu: 240, tpdu: 1024}
	j := &cyclicJobs{c: c}
	job := cyclicJob{id: 1, change: true, items: []Item{Bytes(AreaDB, 1, 0, 100), DBRead(AppendDBPieces(nil, DBPiece{3, 1, 16}))}}
	job.last = j.read(t.Context(), &job, nil)
	if n := testing.AllocsPerRun(100, func() {
		if j.send(t.Context(), &job) != nil { // nothing changed: all but the write
			t.Fatal("send")
		}
	}); n != 0 {
		t.Errorf("%v allocs", n)
	}
}
