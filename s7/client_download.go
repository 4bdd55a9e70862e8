package s7

import (
	"context"
	"fmt"
	"time"

	"millrace/internal/inflight"
)

// Download writes the image of a block, as Block appends it, and links it: the block of that type and number is replaced. The roles are turned round meanwhile: the PLC
// asks for the slices. When the *Error says MayHaveHappened, the PLC may have the block.
func (c *Client) Download(ctx context.Context, t BlockType, number uint16, image []byte) error {
	f := BlockFile{Type: t, Number: uint32(number), System: FilePassive}
	s := fileService(FuncDownloadRequest, f)
	if err := c.diagnostics(s); err != nil {
		return err
	}
	var b Block
	if code := b.Decode(image); code != 0 {
		return s.argument("no image of a block: " + code.String())
	}
	if len(image) > MaxBlock {
		return s.argument(fmt.Sprintf("a block of %d bytes, and %d are the most", len(image), MaxBlock))
	}
	jobs, err := c.serveJobs(s)
	if err != nil {
		return err
	}
	defer c.serveNoJobs()
	ask := DownloadRequest{File: f, LoadLen: uint32(len(image)), CodeLen: uint32(b.MC7Len)}
	if err := c.job(ctx, s, &ask, &Done{Function: FuncDownloadRequest}); err != nil {
		return err
	}
	d := &sending{client: c, file: f, rest: image, jobs: jobs}
	if err := d.serve(ctx); err != nil {
		return err
	}
	return c.piBlock(ctx, PIInsert, f)
}

// downloadJobs is how many Jobs of a PLC may wait: one is out at a time.
const downloadJobs = 4

// serveJobs has the Jobs of the PLC go to the channel, until serveNoJobs.
func (c *Client) serveJobs(s service) (<-chan plcJob, error) {
	jobs := make(chan plcJob, downloadJobs)
	busy := false
	c.flight.Locked(func() {
		if busy = c.dialogue.jobs != nil; !busy {
			c.dialogue.jobs = jobs
		}
	})
	if busy {
		return nil, s.argument("another download is under way")
	}
	c.flight.Listen(true)
	return jobs, nil
}

func (c *Client) serveNoJobs() {
	c.flight.Listen(false)
	c.flight.Locked(func() { c.dialogue.jobs = nil })
}

// sending is a block on its way to the PLC.
type sending struct {
	client *Client
	file   BlockFile
	rest   []byte
	ended  bool // the last slice has left
	jobs   <-chan plcJob
}

// serve answers the PLC's Jobs until it says that the download has ended.
func (d *sending) serve(ctx context.Context) error {
	for {
		p, err := d.next(ctx)
		if err != nil {
			return err
		}
		switch p.Function() {
		case FuncDownloadBlock:
			err = d.slice(ctx, &p)
		case FuncDownloadEnded:
			return d.end(ctx, &p)
		default:
			err = d.refuse(ctx, &p, "a Job that belongs to no download")
		}
		if err != nil {
			return err
		}
	}
}

// next waits for a Job.
func (d *sending) next(ctx context.Context) (PDU, error) {
	s := fileService(FuncDownloadBlock, d.file)
	timer := time.NewTimer(s.patience)
	defer timer.Stop()
	select {
	case job := <-d.jobs:
		return job.PDU, nil
	case <-timer.C:
		return PDU{}, s.failed(&TimeoutError{After: s.patience})
	case <-d.client.Done():
		return PDU{}, s.failed(d.client.Err())
	case <-ctx.Done():
		return PDU{}, s.failed(inflight.EndOf(ctx))
	}
}

// slice answers with the next part.
func (d *sending) slice(ctx context.Context, p *PDU) error {
	var m DownloadBlockRequest
	switch code := m.Decode(p); {
	case code != 0 || m.File != d.file:
		return d.refuse(ctx, p, "a Job for another block")
	case d.ended:
		return d.refuse(ctx, p, "a Job for more than there is")
	}
	n := min(len(d.rest), MaxBlockSlice(d.client.pdu))
	answer := Slice{Function: FuncDownloadBlock, Data: d.rest[:n], More: n < len(d.rest)}
	d.rest, d.ended = d.rest[n:], !answer.More
	return d.reply(ctx, p, &answer)
}

// end confirms the end, which may have come early.
func (d *sending) end(ctx context.Context, p *PDU) error {
	var m DownloadEndedRequest
	if code := m.Decode(p); code != 0 || m.File != d.file {
		return d.refuse(ctx, p, "the end of another download")
	}
	if err := d.reply(ctx, p, &Done{Function: FuncDownloadEnded}); err != nil {
		return err
	}
	s := fileService(FuncDownloadEnded, d.file)
	switch {
	case m.Reason != 0:
		return s.failed(&RefusedError{Function: FuncDownloadEnded, Code: m.Reason})
	case !d.ended:
		return s.failed(malformed(p, "the end before the last slice"))
	}
	return nil
}

// refuse answers a Job that has no place here, and ends the download.
func (d *sending) refuse(ctx context.Context, p *PDU, what string) error {
	if err := d.reply(ctx, p, refusedJob(ErrSequence)); err != nil {
		return err
	}
	return fileService(FuncDownloadBlock, d.file).failed(malformed(p, what))
}

// refusedJob appends itself as the answer that refuses a Job.
type refusedJob ErrorCode

// AppendTo appends the PDU.
func (m refusedJob) AppendTo(b []byte, ref uint16) []byte { return AppendRefusal(b, ref, ErrorCode(m)) }

// reply sends the answer to a Job of the PLC, which has its reference.
func (d *sending) reply(ctx context.Context, p *PDU, m message) error {
	k := &call{dialogue: d.client.dialogue, key: jobKey(p.Function(), 0), ask: answerTo{m, p.Ref}}
	if d.client.turn(ctx, k, servicePatience, true); k.err != nil {
		return fileService(FuncDownloadBlock, d.file).failed(k.err)
	}
	return nil
}

// answerTo is a message under somebody else's reference.
type answerTo struct {
	message
	ref uint16
}

// AppendTo appends the PDU.
func (m answerTo) AppendTo(b []byte, _ uint16) []byte { return m.message.AppendTo(b, m.ref) }
