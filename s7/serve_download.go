package s7

import (
	"context"
	"time"
)

// BlockWriter is a BlockKeeper that takes blocks. Without it a download, and linking and deleting of blocks, are refused with ErrProtected, as
// by a CPU whose switch is in the wrong place.
type BlockWriter interface {
	// AcceptBlock says whether an image of load bytes, 1..MaxBlock, may come: 0, or why not.
	AcceptBlock(ctx context.Context, r *Request, f BlockFile, load int) ErrorCode
	// WriteBlock takes a whole image. It is not in force before it is inserted.
	WriteBlock(ctx context.Context, r *Request, f BlockFile, image []byte) ErrorCode
	// InsertBlock puts a block in force that WriteBlock took.
	InsertBlock(ctx context.Context, r *Request, f BlockFile) ErrorCode
	DeleteBlock(ctx context.Context, r *Request, f BlockFile) ErrorCode
}

// sliceTime is how long a client may take for the answer to one Job of a download.
const sliceTime = 10 * time.Second

// download is a block on its way from the client. The roles are turned round: the Jobs are ours.
//
//	request download ─► asking ─── the last slice ──► ending ─── answered ──► over
//	                    ▲    │ more                     ▲
//	                    └────┘             failed ──────┘ with the reason
//
// One whose Job is not answered in time is forgotten, but for the reference, so that the answer is no reason to hang up when it comes after all.
type download struct {
	file      BlockFile
	load      int // declared
	image     []byte
	ending    bool
	forgotten bool
	ref       uint16 // of the Job that is out
	until     time.Time
}

func (c *ServerConn) startDownload(ctx context.Context, p *PDU) ErrorCode {
	var m DownloadRequest
	code := m.Decode(p)
	switch {
	case code != 0:
		return code
	case c.faces.writer == nil || c.Level() >= levelWrite:
		return ErrProtected
	case m.LoadLen == 0:
		return ErrBlockLength
	case m.LoadLen > MaxBlock:
		return ErrBlockTooLong
	}
	if code = c.faces.writer.AcceptBlock(ctx, &c.req, m.File, int(m.LoadLen)); code != 0 {
		return code
	}
	t := c.transfers()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.download != nil && !t.download.forgotten:
		return ErrRulesViolated
	case !t.budget.take(int(m.LoadLen)):
		return ErrNoResource
	}
	t.download = &download{file: m.File, load: int(m.LoadLen)}
	c.done(p)
	c.askSlice(t)
	return 0
}

// askSlice sends the Job for the next slice.
func (c *ServerConn) askSlice(t *transfers) {
	t.newJob()
	start := len(c.out)
	m := DownloadBlockRequest{t.download.file}
	c.out = EndFrame(m.AppendTo(BeginFrame(c.out), t.download.ref), start)
}

// endDownload sends the Job that ends the download, with the reason when it failed. What came is no longer held.
func (c *ServerConn) endDownload(t *transfers, reason ErrorCode) {
	t.newJob()
	d := t.download
	d.ending, d.image = true, nil
	start := len(c.out)
	m := DownloadEndedRequest{File: d.file, Reason: reason}
	c.out = EndFrame(m.AppendTo(BeginFrame(c.out), d.ref), start)
}

func (t *transfers) newJob() {
	t.lastRef++
	t.download.ref = t.lastRef
	t.download.until = time.Now().Add(sliceTime)
	t.watch()
}

// downloadAnswer takes the client's answer to the Job that is out.
func (c *ServerConn) downloadAnswer(ctx context.Context, p *PDU) error {
	t := c.transfers()
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.download
	if d == nil || d.ref != p.Ref {
		return errUnasked
	}
	if d.forgotten || d.ending {
		t.dropDownload()
		return nil
	}
	m := Slice{Function: FuncDownloadBlock}
	if err := m.Decode(p); err != nil || m.Failed {
		t.dropDownload() // the client has given up, or does not know how
		return nil
	}
	more, code := d.take(&m)
	switch {
	case code != 0:
		c.endDownload(t, code)
	case more:
		c.askSlice(t)
	default:
		c.endDownload(t, c.faces.writer.WriteBlock(ctx, &c.req, d.file, d.image))
	}
	return nil
}

// take adds a slice. One that is empty, and not the last, brings nobody forward.
func (d *download) take(m *Slice) (more bool, code ErrorCode) {
	if len(d.image)+len(m.Data) > d.load || m.More && len(m.Data) == 0 {
		return false, ErrBlockLength
	}
	d.image = append(d.image, m.Data...)
	return m.More, 0
}

// forgetDownload gives up waiting for the client.
func (t *transfers) forgetDownload() {
	t.budget.give(t.download.load)
	*t.download = download{forgotten: true, ref: t.download.ref}
}

func (t *transfers) dropDownload() {
	if t.download != nil {
		t.budget.give(t.download.load)
		t.download = nil
	}
}
