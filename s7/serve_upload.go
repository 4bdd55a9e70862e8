package s7

import (
	"context"
	"time"
)

// upload is a block on its way to the client: its image as it was when the upload began.
type upload struct {
	id    uint32
	image []byte
	at    int // bytes that were sent
	until time.Time
}

func (c *ServerConn) startUpload(ctx context.Context, p *PDU) ErrorCode {
	var m UploadStartRequest
	code := m.Decode(p)
	switch {
	case code != 0:
		return code
	case c.faces.blocks == nil:
		return ErrServiceUnknown
	case c.Level() >= levelRead:
		return ErrProtected
	}
	t := c.transfers()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.uploads) >= maxUploads {
		return ErrNoFurtherUpload
	}
	image, code := c.faces.blocks.ReadBlock(ctx, &c.req, m.File, nil)
	switch {
	case code != 0:
		return code
	case len(image) > MaxBlock:
		return ErrBlockTooLong
	case !t.budget.take(len(image)):
		return ErrNoFurtherUpload
	}
	t.lastID++
	t.uploads = append(t.uploads, upload{id: t.lastID, image: image, until: time.Now().Add(transferTime)})
	t.watch()
	r := UploadStartResponse{ID: t.lastID, Length: uint32(len(image))}
	start := len(c.out)
	c.out = EndFrame(r.AppendTo(BeginFrame(c.out), p.Ref), start)
	return 0
}

// upload sends the next slice. Behind the last one there is none.
func (c *ServerConn) upload(p *PDU) ErrorCode {
	var m UploadRequest
	if code := m.Decode(p); code != 0 {
		return code
	}
	t := c.transfers()
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.upload(m.ID)
	if i < 0 || t.uploads[i].at == len(t.uploads[i].image) {
		return ErrSequence
	}
	u := &t.uploads[i]
	data := u.image[u.at:min(len(u.image), u.at+MaxBlockSlice(c.pdu))]
	u.at += len(data)
	u.until = time.Now().Add(transferTime)
	r := Slice{Function: FuncUpload, More: u.at < len(u.image), Data: data}
	start := len(c.out)
	c.out = EndFrame(r.AppendTo(BeginFrame(c.out), p.Ref), start)
	return 0
}

func (c *ServerConn) endUpload(p *PDU) ErrorCode {
	var m UploadEndRequest
	if code := m.Decode(p); code != 0 {
		return code
	}
	t := c.transfers()
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.upload(m.ID)
	if i < 0 {
		return ErrSequence
	}
	t.dropUpload(i)
	c.done(p)
	return 0
}

// upload returns the index of an upload, -1 if there is none of that id.
func (t *transfers) upload(id uint32) int {
	for i := range t.uploads {
		if t.uploads[i].id == id {
			return i
		}
	}
	return -1
}

func (t *transfers) dropUpload(i int) {
	t.budget.give(len(t.uploads[i].image))
	last := len(t.uploads) - 1
	t.uploads[i] = t.uploads[last]
	t.uploads[last] = upload{}
	t.uploads = t.uploads[:last]
}
