package s7

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// mailbox is a CPU that takes blocks of other PLCs; R_ID 13 is refused.
type mailbox struct {
	*CPU
	got map[uint32][]byte
}

func (m *mailbox) ReceiveBlock(_ context.Context, _ *Request, rid uint32, data []byte) ErrorCode {
	if rid == 13 {
		return ErrNotPerformed
	}
	m.got[rid] = bytes.Clone(data)
	return 0
}

// bsendAll sends a block and returns the first refusal.
func (k *talk) bsendAll(rid uint32, data []byte, pdu int) ErrorCode {
	k.Helper()
	total := uint16(len(data))
	if n := MaxBSend(pdu, true); len(data) <= n {
		return k.refusal(&bsend{BSendPart{true, rid, total, data}, 0, false})
	}
	for unit := uint8(1); ; unit = nextUnit(unit) {
		first := len(data) == int(total)
		n := min(len(data), MaxBSend(pdu, first))
		if code := k.refusal(&bsend{BSendPart{first, rid, total, data[:n]}, unit, n < len(data)}); code != 0 {
			return code
		}
		if data = data[n:]; len(data) == 0 {
			return 0
		}
	}
}

func TestBSend(t *testing.T) {
	m := &mailbox{testCPU(t, CPUConfig{}), map[uint32][]byte{}}
	s := serve(t, ServerConfig{Handler: m})
	for _, pdu := range []uint16{112, 240, 480, 960} {
		k := s.talk(pdu)
		for rid, n := range map[uint32]int{1: 0, 2: 1, 3: 300, 4: 0xFFFF} {
			if code := k.bsendAll(rid, patterned(n), int(pdu)); code != 0 || !bytes.Equal(m.got[rid], patterned(n)) {
				t.Errorf("PDU %d, %d bytes: %v", pdu, n, code)
			}
		}
		if code := k.bsendAll(13, patterned(500), int(pdu)); code != ErrNotPerformed {
			t.Errorf("a receiver that refuses: %v", code)
		}
	}
	if held := s.transfers.taken.Load(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}

func TestBSendTranscript(t *testing.T) {
	m := &mailbox{testCPU(t, CPUConfig{}), map[uint32][]byte{}}
	k := serve(t, ServerConfig{Handler: m}).talk(240)
	for _, x := range []struct{ ask, want string }{
		{"3207 0000 0001 000C 0011 0001120812460100 01010000 FF09000D 12061300 00000007 0005 010203", "3207 0000 0001 000C 0004 0001120812860100 00000000 0A000000"},
		{"3207 0000 0002 000C 000E 0001120812460100 02000000 FF09000A 12061300 00000007 0405", "3207 0000 0002 000C 0004 0001120812860100 00000000 0A000000"},
		{"3207 0000 0003 000C 000E 0001120812460100 03000000 FF09000A 12061300 00000007 0405", "3207 0000 0003 000C 0004 0001120812860100 00008401 0A000000"},
	} {
		k.write(frameOf(unhex(x.ask)))
		p := k.pdu()
		if got := appendPDU(nil, &p); !bytes.Equal(got, unhex(x.want)) {
			t.Errorf("%x, want %s", got, x.want)
		}
	}
	if !bytes.Equal(m.got[7], []byte{1, 2, 3, 4, 5}) {
		t.Errorf("received %x", m.got[7])
	}
}

// Blocks of several R_IDs come at the same time, and one begins anew.
func TestBSendInterleaved(t *testing.T) {
	m := &mailbox{testCPU(t, CPUConfig{}), map[uint32][]byte{}}
	k := serve(t, ServerConfig{Handler: m}).talk(240)
	part := func(rid uint32, unit uint8, more bool, data ...byte) encoder {
		return &bsend{BSendPart{unit == 1, rid, 4, data}, unit, more}
	}
	for rid := range uint32(maxSends) {
		k.wantRefusal("first", part(rid, 1, true, byte(rid), 1), 0)
	}
	k.wantRefusal("one too many", part(99, 1, true, 9), ErrNoResource)
	k.wantRefusal("anew", part(0, 1, true, 100, 1), 0)
	for rid := range uint32(maxSends) {
		k.wantRefusal("out of order", part(rid, 3, true, 0), ErrSequence)
		k.wantRefusal("second", part(rid, 2, false, 2, 3), 0)
	}
	for rid, want := range map[uint32][]byte{0: {100, 1, 2, 3}, 1: {1, 1, 2, 3}, 3: {3, 1, 2, 3}} {
		if !bytes.Equal(m.got[rid], want) {
			t.Errorf("R_ID %d: %v", rid, m.got[rid])
		}
	}
	k.wantRefusal("first", part(5, 1, true, 0, 1), 0)
	k.wantRefusal("more than announced", part(5, 2, true, 2, 3, 4), ErrUserdataSyntax)
	k.wantRefusal("it is gone", part(5, 2, true, 2), ErrSequence)
	k.wantRefusal("first", part(5, 1, true, 0, 1), 0)
	k.wantRefusal("less than announced", part(5, 2, false, 2), ErrUserdataSyntax)
	k.wantRefusal("another subfunction", raw(unhex("3207 0000 0000 0008 0004 0001120411460200 0A000000")), ErrServiceUnknown)
}

func TestBSendExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mailbox{testCPU(t, CPUConfig{}), map[uint32][]byte{}}
		s, _, k := bubble(t, ServerConfig{Handler: m}, 240)
		k.wantRefusal("first", &bsend{BSendPart{true, 1, 9, []byte{1}}, 1, true}, 0)
		time.Sleep(transferTime + time.Second)
		synctest.Wait()
		if held := s.transfers.taken.Load(); held != 0 {
			t.Errorf("%d bytes are held", held)
		}
		k.wantRefusal("second", &bsend{BSendPart{false, 1, 0, []byte{2}}, 2, true}, ErrSequence)
	})
}

// Downloads that go wrong, each followed by one that goes right on the same connection, unless it is over.
func TestDownloadsThatGoWrong(t *testing.T) {
	f := BlockFile{BlockDB, 5, FilePassive}
	block := NewDataBlock(5, patterned(100))
	image := block.AppendTo(nil)
	begin := func(k *talk, n int) PDU {
		k.Helper()
		k.wantRefusal("begin", &DownloadRequest{File: f, LoadLen: uint32(n), CodeLen: 1}, 0)
		return k.pdu()
	}
	slice := func(more bool, data []byte) *Slice {
		return &Slice{Function: FuncDownloadBlock, More: more, Data: data}
	}
	ends := func(k *talk, want ErrorCode) {
		k.Helper()
		p := k.pdu()
		var m DownloadEndedRequest
		if code := m.Decode(&p); code != 0 || m.Reason != want {
			k.Errorf("ended by %v, want %v (%v)", m.Reason, want, code)
		}
		k.send(&Done{FuncDownloadEnded}, p.Ref)
	}
	for _, x := range []struct {
		name string
		over bool
		do   func(k *talk)
	}{
		{"more than declared", false, func(k *talk) {
			p := begin(k, len(image)-1)
			k.send(slice(false, image), p.Ref)
			ends(k, ErrBlockLength)
		}},
		{"less than the block says", false, func(k *talk) {
			p := begin(k, len(image))
			k.send(slice(false, image[:99]), p.Ref)
			ends(k, ErrBlockLength)
		}},
		{"nothing", false, func(k *talk) { p := begin(k, len(image)); k.send(slice(false, nil), p.Ref); ends(k, ErrBlockHeader) }},
		{"an empty slice and more to come", false, func(k *talk) { p := begin(k, len(image)); k.send(slice(true, nil), p.Ref); ends(k, ErrBlockLength) }},
		{"no block at all", false, func(k *talk) { p := begin(k, 50); k.send(slice(false, patterned(50)), p.Ref); ends(k, ErrBlockHeader) }},
		{"a block of code", false, func(k *talk) {
			code := bytes.Clone(image)
			code[5] = BlockFC.Subtype()
			p := begin(k, len(code))
			k.send(slice(false, code), p.Ref)
			ends(k, ErrBlockHeader)
		}},
		{"the client gives up", false, func(k *talk) { p := begin(k, 50); k.write(frameOf(AppendRefusal(nil, p.Ref, ErrNotPerformed))) }},
		{"the client fails", false, func(k *talk) { p := begin(k, 50); k.send(&Slice{Function: FuncDownloadBlock, Failed: true}, p.Ref) }},
		{"an answer of another function", false, func(k *talk) { p := begin(k, 50); k.send(&Done{FuncUpload}, p.Ref) }},
		{"a second one meanwhile", false, func(k *talk) {
			p := begin(k, len(image))
			k.wantRefusal("second", &DownloadRequest{File: f, LoadLen: 50, CodeLen: 1}, ErrRulesViolated)
			k.send(slice(false, image), p.Ref)
			ends(k, 0)
		}},
		{"999999 bytes", false, func(k *talk) {
			k.wantRefusal("begin", &DownloadRequest{File: f, LoadLen: 999999, CodeLen: 1}, ErrBlockTooLong)
		}},
		{"0 bytes", false, func(k *talk) { k.wantRefusal("begin", &DownloadRequest{File: f}, ErrBlockLength) }},
		{"a function", false, func(k *talk) {
			k.wantRefusal("begin", &DownloadRequest{File: BlockFile{BlockFC, 1, FilePassive}, LoadLen: 50}, ErrNotSupported)
		}},
		{"DB 0", false, func(k *talk) {
			k.wantRefusal("begin", &DownloadRequest{File: BlockFile{BlockDB, 0, FilePassive}, LoadLen: 50}, ErrBlockNumber)
		}},
		{"DB 70000", false, func(k *talk) {
			k.wantRefusal("begin", &DownloadRequest{File: BlockFile{BlockDB, 70000, FilePassive}, LoadLen: 50}, ErrBlockNumber)
		}},
		{"a wrong reference", true, func(k *talk) { p := begin(k, 50); k.send(slice(true, []byte{1}), p.Ref+1) }},
		{"an answer too many", true, func(k *talk) {
			p := begin(k, len(image))
			k.send(slice(false, image), p.Ref)
			ends(k, 0)
			k.send(&Done{FuncDownloadEnded}, p.Ref)
		}},
		{"an answer to nothing", true, func(k *talk) { k.send(slice(true, []byte{1}), 1) }},
		{"the end in the middle", true, func(k *talk) { begin(k, 50); k.Close() }},
	} {
		t.Run(x.name, func(t *testing.T) {
			cpu := testCPU(t, CPUConfig{Programming: true})
			s := serve(t, ServerConfig{Handler: cpu})
			k := s.talk(240)
			x.do(k)
			if x.over {
				if x.name != "the end in the middle" {
					k.hungUp()
				}
				k = s.talk(240)
			}
			if code := k.download(f, image, 60); code != 0 {
				t.Errorf("afterwards: %v", code)
			}
			k.wantRefusal("link", insert(f), 0)
			if st := s.ended(); x.over && x.name != "the end in the middle" && st.Ended["answer to nothing"] != 1 {
				t.Errorf("ended %v", st.Ended)
			}
			if held := s.transfers.taken.Load(); held != 0 {
				t.Errorf("%d bytes are held", held)
			}
		})
	}
}

// A client that does not answer is given up after a while; its answer is no harm when it comes later.
func TestDownloadExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, k := bubble(t, ServerConfig{Handler: testCPU(t, CPUConfig{Programming: true})}, 240)
		f := BlockFile{BlockDB, 5, FilePassive}
		block := NewDataBlock(5, patterned(100))
		image := block.AppendTo(nil)
		request := &DownloadRequest{File: f, LoadLen: uint32(len(image)), CodeLen: 1}
		k.wantRefusal("begin", request, 0)
		job := k.pdu()
		time.Sleep(sliceTime - time.Second)
		k.send(&Slice{Function: FuncDownloadBlock, More: true, Data: image[:10]}, job.Ref)
		job = k.pdu()
		time.Sleep(sliceTime - time.Second)
		synctest.Wait()
		if held := s.transfers.taken.Load(); held != int64(len(image)) {
			t.Errorf("%d bytes are held", held)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if held := s.transfers.taken.Load(); held != 0 {
			t.Errorf("%d bytes are held of what was given up", held)
		}
		k.send(&Slice{Function: FuncDownloadBlock, More: true, Data: image[10:20]}, job.Ref)
		k.nothing(time.Second)
		if code := k.download(f, image, 60); code != 0 {
			t.Errorf("afterwards: %v", code)
		}
	})
}

// Memory for downloads is bounded: what waits for its link, and what is linked.
func TestDownloadLimits(t *testing.T) {
	cpu, k := talkTo(t, CPUConfig{Programming: true, WorkMemory: 8192 + 10 + 1 + 300}, 960)
	block := NewDataBlock(5, patterned(200))
	image := block.AppendTo(nil)
	file := func(n uint32) BlockFile { return BlockFile{BlockDB, n, FilePassive} }
	for n := range uint32(maxFresh) {
		if code := k.download(file(100+n), image, 900); code != 0 {
			t.Fatal(n, code)
		}
	}
	if code := k.download(file(200), image, 900); code != ErrUnlinkedBlocks {
		t.Errorf("one too many: %v", code)
	}
	if code := k.download(file(100), image, 900); code != 0 {
		t.Errorf("one again: %v", code)
	}
	k.wantRefusal("link", insert(file(100)), 0)
	k.wantRefusal("link beyond the memory", insert(file(101)), ErrNoResource)
	k.wantRefusal("delete one that waits", remove(file(101)), 0)
	k.wantRefusal("delete it again", remove(file(101)), ErrBlockNotFound)
	k.wantRefusal("its link", insert(file(101)), ErrBlockNotFound)
	k.wantRefusal("delete a linked one", remove(BlockFile{BlockDB, 1, FileActive}), 0)
	k.wantRefusal("link now", insert(file(102), file(103)), 0)
	if code := k.download(file(200), image, 900); code != 0 {
		t.Errorf("another: %v", code)
	}
	if n, _ := cpu.Size(AreaDB, 103); n != 200 {
		t.Errorf("DB 103 has %d bytes", n)
	}
}

// Deleting everything there is leaves a server that says so.
func TestDeleteEverything(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	m := &Memory{}
	var files []BlockFile
	for _, n := range rnd.Perm(250) {
		if err := m.AddDB(uint16(n+1), []byte{1}); err != nil {
			t.Fatal(err)
		}
		files = append(files, BlockFile{BlockDB, uint32(n + 1), FileBoth})
	}
	cpu, k := talkTo(t, CPUConfig{Memory: m, Programming: true}, 960)
	for len(files) > 0 {
		n := min(len(files), 110)
		k.wantRefusal("delete many", remove(files[:n]...), 0)
		files = files[n:]
	}
	k.wantRefusal("list", &BlockListRequest{BlockDB}, ErrNoBlock)
	k.wantRefusal("read", &ReadRequest{[]Item{Bytes(AreaDB, 1, 0, 1)}}, 0)
	if left := cpu.DBs(nil); len(left) > 0 {
		t.Errorf("seed %d: %d DBs are left", seed, len(left))
	}
}
