package s7

import (
	"bytes"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/listen/listentest"
)

func TestBlockServices(t *testing.T) {
	c, k := talkTo(t, CPUConfig{}, 240)
	c.born = blockEpoch.Add(366 * day)
	counts, _, code := k.gather(BlockCountsRequest{})
	got, err := BlockCounts(counts, nil)
	want := []BlockCount{{BlockOB, 0}, {BlockDB, 4}, {BlockSDB, 0}, {BlockFC, 0}, {BlockSFC, 0}, {BlockFB, 0}, {BlockSFB, 0}}
	if code != 0 || err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("counts %v, %v, %v", got, code, err)
	}
	list, _, code := k.gather(&BlockListRequest{BlockDB})
	if code != 0 || !bytes.Equal(list, unhex("0001 22 05 0002 22 05 0007 22 05 FFFF 22 05")) {
		t.Errorf("list %x, %v", list, code)
	}
	k.wantRefusal("no OB", &BlockListRequest{BlockOB}, ErrNoBlock)
	k.wantRefusal("no type", &BlockListRequest{'9'}, ErrNoBlock)
	info, _, code := k.gather(&BlockInfoRequest{BlockFile{BlockDB, 2, FileActive}})
	if wantInfo := unhex("0100 004A 2200 7070 01 01 05 0A 0002 00000066 00000000 00000000 016E 00000000 016E 0014 0000 0000 000A" +
		"4D494C4C52414345 0000000000000000 0000000000000000 01 00 C241 0000000000000000"); code != 0 || !bytes.Equal(info, wantInfo) {
		t.Errorf("info %x, %v", info, code)
	}
	k.wantRefusal("a missing DB", &BlockInfoRequest{BlockFile{BlockDB, 3, FileActive}}, ErrBlockNotFound)
	k.wantRefusal("an FB", &BlockInfoRequest{BlockFile{BlockFB, 1, FileActive}}, ErrBlockNotFound)
	k.wantRefusal("a number beyond all", &BlockInfoRequest{BlockFile{BlockDB, 99999, FileActive}}, ErrBlockNotFound)
	k.wantRefusal("a passive one", &BlockInfoRequest{BlockFile{BlockDB, 1, FilePassive}}, ErrBlockNotFound)
}

func TestBlockListInParts(t *testing.T) {
	m := &Memory{}
	for n := 1; n <= 0xFFFF; n += 5 {
		if err := m.AddDB(uint16(n), []byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	s := serve(t, ServerConfig{Handler: testCPU(t, CPUConfig{Memory: m})})
	const all = (0xFFFF-1)/5 + 1
	for _, pdu := range []uint16{112, 240, 480, 960} {
		k := s.talk(pdu)
		u := k.askUserdata(&BlockListRequest{BlockDB})
		var list []BlockEntry
		for parts := 1; ; parts++ {
			var err error
			if list, err = BlockList(u.Data, list); err != nil || len(u.Data) > MaxUserdata(int(pdu)) || parts > all {
				t.Fatal(len(list), err)
			}
			if !u.More {
				if fit := MaxUserdata(int(pdu)) / blockEntry; parts != (all+fit-1)/fit {
					t.Errorf("PDU %d: %d parts", pdu, parts)
				}
				break
			}
			next := u.FollowUp()
			u = k.askUserdata(&next)
		}
		if len(list) != all {
			t.Fatalf("PDU %d: %d blocks", pdu, len(list))
		}
		for i, b := range list {
			if int(b.Number) != 1+5*i {
				t.Fatalf("PDU %d: block %d is %d", pdu, i, b.Number)
			}
		}
	}
}

// A list whose blocks go away between its parts ends in an empty part.
func TestBlockListThatShrinks(t *testing.T) {
	m := &Memory{}
	for n := range uint16(300) {
		if err := m.AddDB(n+1, nil); err != nil {
			t.Fatal(err)
		}
	}
	_, k := talkTo(t, CPUConfig{Memory: m}, 240)
	u := k.askUserdata(&BlockListRequest{BlockDB})
	for n := range uint16(300) {
		m.DeleteDB(n + 1)
	}
	next := u.FollowUp()
	if u = k.askUserdata(&next); u.Err != 0 || u.More || len(u.Data) != 0 {
		t.Errorf("%+v", u)
	}
}

// upload takes a whole block and returns its image and the length that was announced.
func (k *talk) upload(f BlockFile) (image []byte, length uint32, code ErrorCode) {
	k.Helper()
	p := k.ask(&UploadStartRequest{f})
	if p.Err != 0 {
		return nil, 0, p.Err
	}
	var r UploadStartResponse
	if err := r.Decode(&p); err != nil {
		k.Fatal(err)
	}
	for more := true; more; {
		p = k.ask(&UploadRequest{r.ID})
		m := Slice{Function: FuncUpload}
		if err := m.Decode(&p); err != nil || m.Failed {
			k.Fatalf("%+v, %v", m, err)
		}
		image, more = append(image, m.Data...), m.More
	}
	k.wantRefusal("behind the last slice", &UploadRequest{r.ID}, ErrSequence)
	k.wantRefusal("end", &UploadEndRequest{ID: r.ID}, 0)
	k.wantRefusal("behind the end", &UploadRequest{r.ID}, ErrSequence)
	k.wantRefusal("end, again", &UploadEndRequest{ID: r.ID}, ErrSequence)
	return image, r.Length, 0
}

func TestUpload(t *testing.T) {
	c := testCPU(t, CPUConfig{})
	s := serve(t, ServerConfig{Handler: c})
	for _, pdu := range []uint16{112, 240, 480, 960} {
		k := s.talk(pdu)
		for n, size := range map[uint32]int{1: 8192, 7: 0, 65535: 1} {
			image, length, code := k.upload(BlockFile{BlockDB, n, FileActive})
			var b Block
			if code != 0 || b.Decode(image) != 0 || int(length) != len(image) || len(image) != size+92 || !bytes.Equal(b.Body, patterned(size)) {
				t.Errorf("PDU %d, DB %d: %d bytes, %v", pdu, n, len(image), code)
			}
		}
		_, _, code := k.upload(BlockFile{BlockDB, 3, FileActive})
		_, _, code2 := k.upload(BlockFile{BlockOB, 1, FileActive})
		if code != ErrBlockNotFound || code2 != ErrBlockNotFound {
			t.Errorf("missing blocks: %v, %v", code, code2)
		}
	}
	if held := s.transfers.taken.Load(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}

// The bytes of an upload, and two at once.
func TestUploadTranscript(t *testing.T) {
	c, k := talkTo(t, CPUConfig{}, 240)
	c.born = blockEpoch
	say := func(ask, want string) {
		t.Helper()
		k.write(frameOf(unhex(ask)))
		p := k.pdu()
		if got := unhexed(appendPDU(nil, &p)); got != unhexed(unhex(want)) {
			t.Errorf("answer %s, want %s", got, want)
		}
	}
	say("3201 0000 0001 0012 0000 1D 00 0000 00000000 09 5F3041303030303241", "3203 0000 0001 0010 0000 0000 1D 00 0100 00000001 07 30303030313032")
	say("3201 0000 0002 0012 0000 1D 00 0000 00000000 09 5F3041303030303141", "3203 0000 0002 0010 0000 0000 1D 00 0100 00000002 07 30303038323834")
	say("3201 0000 0003 0008 0000 1E 00 0000 00000001", "3203 0000 0003 0002 006A 0000 1E 00 0066 00FB"+
		"7070 01 01 05 0A 0002 00000066 00000000 00000000 0000 00000000 0000 0014 0000 0000 000A 00010203040506070809"+padded("", 20, 0)+
		"4D494C4C52414345 0000000000000000 0000000000000000 01 00 C241 0000000000000000")
	say("3201 0000 0004 0008 0000 1E 00 0000 00000002", "3203 0000 0004 0002 00E2 0000 1E 01 00DE 00FB"+
		"7070 01 01 05 0A 0001 0000205C 00000000 00000000 0000 00000000 0000 0014 0000 0000 2000"+unhexed(patterned(222-36)))
	say("3201 0000 0005 0008 0000 1F 00 0000 00000002", "3203 0000 0005 0001 0000 0000 1F")
	say("3201 0000 0006 0008 0000 1E 00 0000 00000002", "3202 0000 0006 0000 0000 8401")
	say("3201 0000 0007 0008 0000 1F 00 0000 00000001", "3203 0000 0007 0001 0000 0000 1F")
}

func TestUploadsAreFewAndExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := listentest.NewPipes()
		s := serveOn(t, ServerConfig{Handler: testCPU(t, CPUConfig{})}, ln)
		k := talkOver(t, ln.Dial(), 240)
		start := &UploadStartRequest{BlockFile{BlockDB, 1, FileActive}}
		for range maxUploads {
			k.wantRefusal("one of a few", start, 0)
		}
		k.wantRefusal("one too many", start, ErrNoFurtherUpload)
		time.Sleep(transferTime - time.Second)
		k.wantRefusal("a slice", &UploadRequest{2}, 0)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if held := s.transfers.taken.Load(); held != 8192+92 {
			t.Errorf("%d bytes are held", held)
		}
		k.wantRefusal("one that nobody asked for", &UploadRequest{1}, ErrSequence)
		k.wantRefusal("one that was asked for", &UploadRequest{2}, 0)
		for range maxUploads - 1 {
			k.wantRefusal("another", start, 0)
		}
		k.Close()
		synctest.Wait()
		if held := s.transfers.taken.Load(); held != 0 {
			t.Errorf("%d bytes are held after the end", held)
		}
	})
}

// What a server holds of blocks is bounded, whoever asks.
func TestUploadBudget(t *testing.T) {
	m := &Memory{}
	if err := m.AddDB(1, make([]byte, 0xFFFF)); err != nil {
		t.Fatal(err)
	}
	s := serve(t, ServerConfig{Handler: testCPU(t, CPUConfig{Memory: m})})
	const image = 0xFFFF + 92
	started := 0
	for refused := false; !refused; {
		k := s.talk(240)
		for range maxUploads {
			switch code := k.refusal(&UploadStartRequest{BlockFile{BlockDB, 1, FileActive}}); code {
			case 0:
				started++
			case ErrNoFurtherUpload:
				refused = true
			default:
				t.Fatal(code)
			}
		}
	}
	if started != maxTransferBytes/image {
		t.Errorf("%d uploads at once", started)
	}
	s.ended()
	if held := s.transfers.taken.Load(); held != 0 {
		t.Errorf("%d bytes are held after the end", held)
	}
}

// download sends an image in slices of at most n bytes, and returns the reason by which the server ended it.
func (k *talk) download(f BlockFile, image []byte, n int) ErrorCode {
	k.Helper()
	if code := k.refusal(&DownloadRequest{File: f, LoadLen: uint32(len(image)), CodeLen: uint32(len(image))}); code != 0 {
		return code
	}
	for {
		p := k.pdu()
		var ended DownloadEndedRequest
		if ended.Decode(&p) == 0 {
			k.send(&Done{FuncDownloadEnded}, p.Ref)
			return ended.Reason
		}
		var block DownloadBlockRequest
		if code := block.Decode(&p); code != 0 || block.File != f {
			k.Fatalf("%v: %+v", code, p)
		}
		n = min(n, len(image))
		k.send(&Slice{Function: FuncDownloadBlock, More: n < len(image), Data: image[:n]}, p.Ref)
		image = image[n:]
	}
}

func insert(f ...BlockFile) encoder {
	return &PIServiceRequest{Service: []byte(PIInsert), Param: AppendPIBlocks(nil, f...)}
}

func remove(f ...BlockFile) encoder {
	return &PIServiceRequest{Service: []byte(PIDelete), Param: AppendPIBlocks(nil, f...)}
}

func TestDownload(t *testing.T) {
	for _, pdu := range []uint16{112, 240, 480, 960} {
		c, k := talkTo(t, CPUConfig{Programming: true}, pdu)
		f := BlockFile{BlockDB, 5, FilePassive}
		b := NewDataBlock(9, patterned(3000)) // the number that it has gives way
		copy(b.Name[:], "FLOUR")
		if code := k.download(f, b.AppendTo(nil), MaxBlockSlice(int(pdu))); code != 0 {
			t.Fatal(code)
		}
		if _, ok := c.Size(AreaDB, 5); ok {
			t.Error("the DB is there before it is linked")
		}
		if image, _, code := k.upload(f); code != 0 || len(image) != 3092 {
			t.Errorf("the passive block: %d bytes, %v", len(image), code)
		}
		k.wantRefusal("insert", insert(f), 0)
		k.wantRefusal("insert again", insert(f), ErrBlockNotFound)
		image, _, code := k.upload(BlockFile{BlockDB, 5, FileActive})
		var back Block
		if code != 0 || back.Decode(image) != 0 || back.Number != 5 || string(back.Name[:5]) != "FLOUR" || !bytes.Equal(back.Body, patterned(3000)) {
			t.Errorf("%v: %+v", code, back.BlockInfo)
		}
		// Another one in the place of DB 1, of another length.
		short := NewDataBlock(1, []byte{1, 2, 3})
		one := BlockFile{BlockDB, 1, FilePassive}
		if code := k.download(one, short.AppendTo(nil), 50); code != 0 {
			t.Error(code)
		}
		k.wantRefusal("insert in its place", insert(one), 0)
		if n, _ := c.Size(AreaDB, 1); n != 3 {
			t.Errorf("DB 1 has %d bytes", n)
		}
		k.wantRefusal("delete two", remove(BlockFile{BlockDB, 1, FileBoth}, BlockFile{BlockDB, 5, FileBoth}), 0)
		k.wantRefusal("delete what is not there", remove(BlockFile{BlockDB, 1, FileBoth}), ErrBlockNotFound)
		if got := c.DBs(nil); !reflect.DeepEqual(got, []uint16{2, 7, 65535}) {
			t.Errorf("DBs %v", got)
		}
	}
}

// The bytes of a download: the Jobs and their references are the server's.
func TestDownloadTranscript(t *testing.T) {
	_, k := talkTo(t, CPUConfig{Programming: true}, 240)
	b := NewDataBlock(3, []byte{0xAB})
	image := unhexed(b.AppendTo(nil))
	const file = "09 5F3041303030303350"
	for _, x := range []struct{ send, want string }{
		{"3201 0000 0007 0020 0000 1A 00 0100 00000000 " + file + "0D 31 303030303933 303030303031",
			"3203 0000 0007 0001 0000 0000 1A / 3201 0000 0001 0012 0000 1B 00 0000 00000000 " + file},
		{"3203 0000 0001 0002 0026 0000 1B 01 0022 00FB" + image[:68], "3201 0000 0002 0012 0000 1B 00 0000 00000000 " + file},
		{"3203 0000 0002 0002 003F 0000 1B 00 003B 00FB" + image[68:], "3201 0000 0003 0012 0000 1C 00 0000 00000000 " + file},
		{"3203 0000 0003 0001 0000 0000 1C / 3201 0000 0008 001A 0000 28 000000000000 FD 000A 0100 3041303030303350 05 5F494E5345",
			"3203 0000 0008 0001 0000 0000 28"},
		{"3201 0000 0009 0010 0000 28 000000000000 FD 0000 05 5F47415242", "3203 0000 0009 0001 0000 0000 28"},
	} {
		for _, s := range bytes.Split([]byte(x.send), []byte("/")) {
			k.write(frameOf(unhex(string(s))))
		}
		for _, s := range bytes.Split([]byte(x.want), []byte("/")) {
			p := k.pdu()
			if got := appendPDU(nil, &p); !bytes.Equal(got, unhex(string(s))) {
				t.Fatalf("answer %x, want %s", got, s)
			}
		}
	}
}
