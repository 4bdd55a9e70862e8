package s7

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// userdataPLC answers each Userdata request with what answer makes of it and of its number.
func userdataPLC(answer func(n int, u *Userdata) Userdata) func(p *fakePLC) {
	return func(p *fakePLC) {
		for n := 0; ; n++ {
			pdu, ok := p.next()
			var u Userdata
			if !ok || u.Decode(&pdu) != nil {
				return
			}
			r := answer(n, &u)
			if !p.reply(r.AppendTo(nil, pdu.Ref)) {
				return
			}
		}
	}
}

func dataOf(u *Userdata, data []byte, more bool) Userdata {
	r := u.Reply()
	r.Seq, r.Data, r.More = 7, data, more
	return r
}

var diagnosing = Config{Timeout: plenty, Diagnostics: true}

func TestClientUserdataThatIsBad(t *testing.T) {
	list := func(id uint16, record int, n int) []byte {
		return (&SZL{ID: id, RecordLen: uint16(record), Records: make([]byte, record*n)}).AppendTo(nil)
	}
	second := func(_ any, err error) error { return err }
	for what, x := range map[string]struct {
		ask    func(ctx context.Context, c *Client) error
		answer func(n int, u *Userdata) Userdata
		words  string
		closed bool
	}{
		"parts for ever":       {func(ctx context.Context, c *Client) error { return second(c.Modules(ctx)) }, func(_ int, u *Userdata) Userdata { return dataOf(u, []byte{0}, true) }, "too many parts", false},
		"bytes for ever":       {func(ctx context.Context, c *Client) error { return second(c.Modules(ctx)) }, func(_ int, u *Userdata) Userdata { return dataOf(u, make([]byte, 900), true) }, "too many parts", false},
		"a part of another":    {func(ctx context.Context, c *Client) error { return second(c.Modules(ctx)) }, func(n int, u *Userdata) Userdata { r := dataOf(u, []byte{0}, true); r.Seq = uint8(n); return r }, "part of another answer", false},
		"another list":         {func(ctx context.Context, c *Client) error { return second(c.Modules(ctx)) }, func(_ int, u *Userdata) Userdata { return dataOf(u, list(SZLMode, 20, 1), false) }, "the list 0x0424", false},
		"no list":              {func(ctx context.Context, c *Client) error { return second(c.Modules(ctx)) }, func(_ int, u *Userdata) Userdata { return dataOf(u, []byte{1, 2}, false) }, "szl", false},
		"more than there is":   {func(ctx context.Context, c *Client) error { return second(c.Modules(ctx)) }, func(_ int, u *Userdata) Userdata { return dataOf(u, list(SZLModule, 28, 1)[:20], false) }, "szl", false},
		"other records":        {func(ctx context.Context, c *Client) error { return second(c.Modules(ctx)) }, func(_ int, u *Userdata) Userdata { return dataOf(u, list(SZLModule, 27, 1), false) }, "szl record", false},
		"no record":            {func(ctx context.Context, c *Client) error { return second(c.Mode(ctx)) }, func(_ int, u *Userdata) Userdata { return dataOf(u, list(SZLMode, 20, 0), false) }, "no record", false},
		"records of no length": {func(ctx context.Context, c *Client) error { return second(c.Mode(ctx)) }, func(_ int, u *Userdata) Userdata { return dataOf(u, list(SZLMode, 0, 5), false) }, "no record", false},
		"no data":              {func(ctx context.Context, c *Client) error { return second(c.Mode(ctx)) }, func(_ int, u *Userdata) Userdata { return u.Confirm() }, "object does not exist", false},
		"a refusal":            {func(ctx context.Context, c *Client) error { return second(c.Mode(ctx)) }, func(_ int, u *Userdata) Userdata { return u.Refuse(ErrNotSupported) }, "0x8702", false},
		"refused in the middle": {func(ctx context.Context, c *Client) error { return second(c.Mode(ctx)) }, func(n int, u *Userdata) Userdata {
			if n == 2 {
				return u.Refuse(ErrInfoNotNow)
			}
			return dataOf(u, []byte{0}, true)
		}, "0xD406", false},
		"another service": {func(ctx context.Context, c *Client) error { return second(c.Mode(ctx)) }, func(_ int, u *Userdata) Userdata { r := u.Reply(); r.Sub++; return r }, "foreign answer (service)", true},
		"another group":   {func(ctx context.Context, c *Client) error { return second(c.Mode(ctx)) }, func(_ int, u *Userdata) Userdata { r := u.Reply(); r.Group++; return r }, "foreign answer (service)", true},
		"half a count":    {func(ctx context.Context, c *Client) error { return second(c.BlockCounts(ctx)) }, func(_ int, u *Userdata) Userdata { return dataOf(u, []byte{0x30, 0x41, 0}, false) }, "block counts", false},
		"counts of what":  {func(ctx context.Context, c *Client) error { return second(c.BlockCounts(ctx)) }, func(_ int, u *Userdata) Userdata { return dataOf(u, []byte{0x31, 0x41, 0, 1}, false) }, "block counts", false},
		"half a block":    {func(ctx context.Context, c *Client) error { return second(c.BlockList(ctx, BlockDB)) }, func(_ int, u *Userdata) Userdata { return dataOf(u, []byte{0, 1, 2}, false) }, "block list", false},
		"half an info":    {func(ctx context.Context, c *Client) error { return second(c.BlockInfo(ctx, BlockDB, 1)) }, func(_ int, u *Userdata) Userdata { return dataOf(u, make([]byte, 77), false) }, "block info", false},
		"31 February":     {func(ctx context.Context, c *Client) error { return second(c.ReadClock(ctx)) }, func(_ int, u *Userdata) Userdata { return dataOf(u, unhex("0020 310231 000000 0000"), false) }, "clock", false},
		"no BCD":          {func(ctx context.Context, c *Client) error { return second(c.ReadClock(ctx)) }, func(_ int, u *Userdata) Userdata { return dataOf(u, unhex("0020 3101AA 000000 0000"), false) }, "clock", false},
		"bad date": {func(ctx context.Context, c *Client) error {
			return c.SetClock(ctx, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
		}, func(_ int, u *Userdata) Userdata { return u.Refuse(ErrDateTime) }, "set clock: refused: 0xDC01", false},
		"no password set": {func(ctx context.Context, c *Client) error { return c.ClearPassword(ctx) }, func(_ int, u *Userdata) Userdata { return u.Refuse(ErrNoPassword) }, "clear password: refused: 0xD605", false},
	} {
		c := withPLC(t, diagnosing, userdataPLC(x.answer))
		err := x.ask(t.Context(), c)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), x.words) || (c.Err() != nil) != x.closed || e.MayHaveHappened() || !e.Sent {
			t.Errorf("%s: %v; client %v", what, err, c.Err())
		}
	}
}

// A service is patient, and is never sent again.
func TestClientServicesAreNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		cfg := Config{Diagnostics: true, Retries: 3, Hooks: Hooks{Timeout: func() time.Duration { return 50 * time.Millisecond }}}
		c := withPLC(t, cfg, func(p *fakePLC) {
			for _, ok := p.next(); ok; _, ok = p.next() {
				asked++
			}
		})
		for _, x := range []struct {
			ask     func(ctx context.Context) error
			takes   time.Duration
			happens bool
		}{
			{func(ctx context.Context) error { _, err := c.ReadSZL(ctx, 0, 0); return err }, servicePatience, false},
			{func(ctx context.Context) error { _, err := c.Upload(ctx, BlockDB, 1); return err }, servicePatience, false},
			{func(ctx context.Context) error { return c.SetClock(ctx, time.Now()) }, servicePatience, true},
			{c.Stop, controlPatience, true},
			{c.Compress, controlPatience, true},
		} {
			began, before := time.Now(), asked
			err := x.ask(t.Context())
			synctest.Wait()
			var e *Error
			if !errors.As(err, &e) || !e.Timeout() || time.Since(began) != x.takes || asked != before+1 || e.MayHaveHappened() != x.happens {
				t.Errorf("%v after %v, asked %d times", err, time.Since(began), asked-before)
			}
		}
	})
}

// jobPLC answers each Job with what answer makes of it.
func jobPLC(answer func(pdu *PDU) []byte) func(p *fakePLC) {
	return func(p *fakePLC) {
		for {
			pdu, ok := p.next()
			if !ok || !p.reply(answer(&pdu)) {
				return
			}
		}
	}
}

func TestClientUploadsThatAreBad(t *testing.T) {
	for what, x := range map[string]struct {
		slice Slice
		words string
	}{
		"an empty slice":  {Slice{Function: FuncUpload, More: true}, "an empty slice"},
		"without an end":  {Slice{Function: FuncUpload, More: true, Data: make([]byte, 940)}, "without an end"},
		"broken off":      {Slice{Function: FuncUpload, Failed: true}, "broke the upload off"},
		"broken, and yet": {Slice{Function: FuncUpload, Failed: true, More: true, Data: []byte{1}}, "broke the upload off"},
	} {
		var ends []UploadEndRequest
		c := withWays(t, "tcp", diagnosing, plcWays{}, jobPLC(func(pdu *PDU) []byte {
			var end UploadEndRequest
			switch {
			case pdu.Function() == FuncUploadStart:
				return (&UploadStartResponse{ID: 5, Length: 10}).AppendTo(nil, pdu.Ref)
			case end.Decode(pdu) == 0:
				ends = append(ends, end)
				return (&Done{Function: FuncUploadEnd}).AppendTo(nil, pdu.Ref)
			}
			return x.slice.AppendTo(nil, pdu.Ref)
		}))
		_, err := c.Upload(t.Context(), BlockDB, 1)
		if err == nil || !strings.Contains(err.Error(), x.words) || len(ends) != 1 || ends[0].ID != 5 || ends[0].Reason == 0 || c.Err() != nil {
			t.Errorf("%s: %v, ends %+v", what, err, ends)
		}
	}
	for what, x := range map[string]struct {
		answer func(pdu *PDU) []byte
		words  string
	}{
		"refused":          {func(p *PDU) []byte { return AppendRefusal(nil, p.Ref, ErrNoFurtherUpload) }, "0x8304"},
		"another function": {func(p *PDU) []byte { return (&Done{Function: FuncUploadEnd}).AppendTo(nil, p.Ref) }, "foreign answer (function)"},
		"no id":            {func(p *PDU) []byte { return (&Done{Function: FuncUploadStart}).AppendTo(nil, p.Ref) }, "upload length"},
	} {
		c := withPLC(t, diagnosing, jobPLC(x.answer))
		if _, err := c.Upload(t.Context(), BlockDB, 1); err == nil || !strings.Contains(err.Error(), x.words) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

var nine = BlockFile{Type: BlockDB, Number: 9, System: FilePassive}

func imageOf(n int) []byte {
	b := NewDataBlock(9, make([]byte, n))
	return b.AppendTo(nil)
}

// downloadPLC takes the announcement and does then as script says; what the client answers to Jobs comes by next.
func downloadPLC(script func(p *fakePLC)) func(p *fakePLC) {
	return func(p *fakePLC) {
		if pdu, ok := p.next(); ok && p.reply((&Done{Function: FuncDownloadRequest}).AppendTo(nil, pdu.Ref)) {
			script(p)
		}
	}
}

func block(f BlockFile, ref uint16) []byte {
	return (&DownloadBlockRequest{File: f}).AppendTo(nil, ref)
}

func ended(reason ErrorCode) []byte {
	return (&DownloadEndedRequest{File: nine, Reason: reason}).AppendTo(nil, 0x4711)
}

func TestClientDownloadsThatAreBad(t *testing.T) {
	other := BlockFile{Type: BlockDB, Number: 8, System: FilePassive}
	for what, x := range map[string]struct {
		script  func(p *fakePLC)
		words   string
		happens bool
		closed  bool
	}{
		"for another block": {func(p *fakePLC) { p.reply(block(other, 3)); p.next(); p.next() }, "another block", true, false},
		"for more":          {func(p *fakePLC) { p.reply(block(nine, 3)); p.next(); p.reply(block(nine, 4)); p.next(); p.next() }, "more than there is", true, false},
		"ended early":       {func(p *fakePLC) { p.reply(ended(0)); p.next(); p.next() }, "before the last slice", true, false},
		"ended for a reason": {func(p *fakePLC) {
			p.reply(block(nine, 3))
			p.next()
			p.reply(ended(ErrBlockLength))
			p.next()
			p.next()
		}, "0xD219", false, false},
		"another Job": {func(p *fakePLC) {
			p.reply((&ReadRequest{Items: []Item{Bytes(AreaDB, 1, 0, 1)}}).AppendTo(nil, 3))
			p.next()
			p.next()
		}, "belongs to no download", true, false},
		"hung up":      {func(p *fakePLC) { p.reply(block(nine, 3)); p.next() }, "EOF", true, true},
		"many at once": {func(p *fakePLC) { p.reply(slices.Repeat([][]byte{block(nine, 3)}, 50)...); p.next(); p.next() }, "foreign answer (unasked)", true, true},
	} {
		c := withWays(t, "mem", diagnosing, plcWays{}, downloadPLC(x.script))
		err := c.Download(t.Context(), BlockDB, 9, imageOf(10))
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), x.words) || e.MayHaveHappened() != x.happens {
			t.Errorf("%s: %v, may have happened %v", what, err, e.MayHaveHappened())
		}
		if x.closed {
			<-c.Done()
		} else if c.Err() != nil {
			t.Errorf("%s: client %v", what, c.Err())
		}
	}
}

// The answers to the PLC's Jobs have its references, and its slices are as long as the PDU allows.
func TestClientAnswersJobsOfADownload(t *testing.T) {
	type answer struct {
		ref  uint16
		n    int
		more bool
	}
	var got []answer
	var inserted string
	c := withWays(t, "mem", diagnosing, plcWays{pdu: 240}, downloadPLC(func(p *fakePLC) {
		for ref := uint16(0xFF00); ; ref++ {
			p.reply(block(nine, ref))
			pdu, ok := p.next()
			m := Slice{Function: FuncDownloadBlock}
			if !ok || m.Decode(&pdu) != nil {
				return
			}
			if got = append(got, answer{pdu.Ref, len(m.Data), m.More}); !m.More {
				break
			}
		}
		p.reply(ended(0))
		p.next()
		pdu, _ := p.next()
		var pi PIServiceRequest
		if pi.Decode(&pdu) == 0 {
			inserted = string(pi.Param) + string(pi.Service)
		}
		p.reply((&Done{Function: FuncPIService}).AppendTo(nil, pdu.Ref))
		p.next()
	}))
	if err := c.Download(t.Context(), BlockDB, 9, imageOf(500)); err != nil {
		t.Fatal(err)
	}
	if want := []answer{{0xFF00, 222, true}, {0xFF01, 222, true}, {0xFF02, 148, false}}; !slices.Equal(got, want) || inserted != "\x01\x000A00009P_INSE" {
		t.Errorf("%v, %q", got, inserted)
	}
}

// A PLC that announces nothing more is waited for as long as for any service; a second download meanwhile is refused.
func TestClientDownloadTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := withWays(t, "mem", diagnosing, plcWays{}, downloadPLC(func(p *fakePLC) { p.next() }))
		began := time.Now()
		time.AfterFunc(time.Second, func() {
			if err := c.Download(t.Context(), BlockDB, 9, imageOf(10)); !errors.As(err, new(*ArgumentError)) {
				t.Errorf("the second: %v", err)
			}
		})
		var e *Error
		if err := c.Download(t.Context(), BlockDB, 9, imageOf(10)); !errors.As(err, &e) || !e.Timeout() || time.Since(began) != servicePatience {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c := withWays(t, "mem", diagnosing, plcWays{}, downloadPLC(func(p *fakePLC) { p.next() }))
		ctx, cancel := contextFor(t, time.Second)
		defer cancel()
		if err := c.Download(ctx, BlockDB, 9, imageOf(10)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cancelled: %v", err)
		}
		time.AfterFunc(time.Second, func() { _ = c.Close() })
		if err := c.Download(t.Context(), BlockDB, 9, imageOf(10)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}
