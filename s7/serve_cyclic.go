package s7

import (
	"bytes"
	"context"
	"sync"
	"time"

	"millrace/wire"
)

// maxJobs is how many cyclic jobs a connection may have.
const maxJobs = 8

// cyclicJobs are the cyclic jobs of a connection. One alarm serves them all, so that a client which does not read blocks one goroutine at most, and
// for no longer than the write deadline, which then ends the connection.
type cyclicJobs struct {
	c      *ServerConn
	cancel context.CancelFunc // ends what a handler does for a push

	// mu is held while a push is read and written: behind the answer that ends a job comes no push of it.
	mu   sync.Mutex
	over bool
	due  alarm
	ring func() // what due does
	jobs []cyclicJob

	req   Request // handed to the handler again and again, as piece is
	piece Item
	buf   []byte // the frame of a push
}

// cyclicJob is a job. Its id is the sequence number of the answer that set it up, and of its pushes.
type cyclicJob struct {
	id     uint8
	change bool
	cycle  time.Duration
	next   time.Time
	items  []Item
	last   []byte // change: what was sent last
}

func (c *ServerConn) serveCyclic(ctx context.Context, p *PDU, u *Userdata) ErrorCode {
	switch u.Sub {
	case SubCyclicSubscribe, SubCyclicChange:
		return c.subscribe(ctx, p, u)
	case SubCyclicUnsubscribe:
		return c.unsubscribe(p, u)
	}
	return ErrServiceUnknown
}

func (c *ServerConn) subscribe(ctx context.Context, p *PDU, u *Userdata) ErrorCode {
	var m SubscribeRequest
	if code := m.Decode(u); code != 0 {
		return code
	}
	if cyclicBytes(m.Items) > MaxUserdata(c.pdu) {
		return ErrFrame
	}
	j := c.cyclicJobs(ctx)
	id := c.services.newSeq()
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.jobs) >= maxJobs {
		return ErrCyclicFull
	}
	job := cyclicJob{id: id, change: m.Change, cycle: m.Cycle(), items: keepItems(m.Items)}
	r := u.Reply()
	r.Seq = job.id
	b := r.Begin(BeginFrame(c.out), p.Ref)
	data := len(b)
	b = j.read(ctx, &job, b)
	job.sent(b[data:])
	c.endReply(b)
	job.next = time.Now().Add(job.cycle)
	j.jobs = append(j.jobs, job)
	j.arm()
	return 0
}

// cyclicBytes returns the most that an answer's data take.
func cyclicBytes(items []Item) int {
	n, odd := 2, false
	for i := range items {
		n, odd = addData(n, odd, cyclicLen(&items[i]))
	}
	return n
}

// cyclicLen returns the bytes of an item's data.
func cyclicLen(it *Item) int {
	if it.Syntax != SyntaxDBRead {
		return it.Len()
	}
	c, ok := it.dbPieces()
	n := 0
	for ok && c.Left() > 0 {
		p := dbPiece(&c)
		n += int(p.Len)
	}
	return n
}

// checkPieces is Check for an item of several pieces.
func (m *Item) checkPieces() ReturnCode {
	c, ok := m.dbPieces()
	if !ok || c.Left() == 0 {
		return ReturnAddress
	}
	for c.Left() > 0 {
		if p := dbPiece(&c); p.Len == 0 {
			return ReturnAddress
		}
	}
	return ReturnOK
}

// keepItems copies items out of the buffer that they alias.
func keepItems(items []Item) []Item {
	kept := append([]Item(nil), items...)
	for i := range kept {
		kept[i].Spec = bytes.Clone(kept[i].Spec)
	}
	return kept
}

// sent remembers what went out, data of an answer.
func (job *cyclicJob) sent(data []byte) {
	if job.change {
		job.last = append(job.last[:0], data...)
	}
}

func (c *ServerConn) unsubscribe(p *PDU, u *Userdata) ErrorCode {
	var m UnsubscribeRequest
	if code := m.Decode(u); code != 0 {
		return code
	}
	// m.Function says what began the job. Its number says enough.
	if c.services == nil || c.services.cyclic == nil || !c.services.cyclic.drop(m.Job) {
		return ErrCyclicNoJob
	}
	c.confirm(p, u)
	return 0
}

// drop ends a job and reports whether it was there.
func (j *cyclicJobs) drop(id uint8) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range j.jobs {
		if j.jobs[i].id == id {
			last := len(j.jobs) - 1
			j.jobs[i] = j.jobs[last]
			j.jobs[last] = cyclicJob{}
			j.jobs = j.jobs[:last]
			return true
		}
	}
	return false
}

// has reports whether there is a job of that id.
func (j *cyclicJobs) has(id uint8) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range j.jobs {
		if j.jobs[i].id == id {
			return true
		}
	}
	return false
}

// arm sets the alarm to the next push. The lock is held.
func (j *cyclicJobs) arm() {
	if len(j.jobs) == 0 || j.over {
		return
	}
	next := j.jobs[0].next
	for i := range j.jobs {
		if j.jobs[i].next.Before(next) {
			next = j.jobs[i].next
		}
	}
	j.due.set(time.Until(next), j.ring)
}

// push serves the jobs that are due.
func (j *cyclicJobs) push(ctx context.Context) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := 0; i < len(j.jobs) && !j.over; i++ {
		job := &j.jobs[i]
		if job.next.After(time.Now()) {
			continue
		}
		if j.send(ctx, job) != nil {
			return // the connection is over
		}
		job.next = job.next.Add(job.cycle)
		if late := time.Since(job.next); late > 0 { // pushes do not pile up
			missed := late/job.cycle + 1
			job.next = job.next.Add(missed * job.cycle)
			j.c.srv.pushes.skipped.Add(uint64(missed))
		}
	}
	j.arm()
}

// send sends a push, unless it would say nothing new.
func (j *cyclicJobs) send(ctx context.Context, job *cyclicJob) error {
	r := Userdata{Type: UserdataPush, Group: GroupCyclic, Sub: job.sub(), Seq: job.id, Long: true, Code: ReturnOK, Size: DataOctet}
	b := r.Begin(BeginFrame(j.buf[:0]), 0)
	data := len(b)
	b = j.read(ctx, job, b)
	j.buf = b
	if job.change && bytes.Equal(b[data:], job.last) {
		return nil
	}
	job.sent(b[data:])
	b = EndFrame(EndUserdata(b, FrameBytes), 0)
	if j.c.tpdu < len(b)-tpktBytes {
		b = refragment(b, 0, j.c.tpdu)
	}
	j.c.srv.pushes.sent.Add(1)
	if _, err := j.c.conn.Write(b); err != nil {
		return err
	}
	j.c.session.touch() // who only listens is not idle
	return nil
}

func (job *cyclicJob) sub() uint8 {
	if job.change {
		return SubCyclicChange
	}
	return SubCyclicSubscribe
}

// read appends the data of an answer or a push: the count and an item for each that the job has.
func (j *cyclicJobs) read(ctx context.Context, job *cyclicJob, b []byte) []byte {
	j.req = Request{Conn: j.c, Items: len(job.items)}
	b = wire.AppendU16(b, uint16(len(job.items)))
	start := len(b)
	for i := range job.items {
		j.req.Index = i
		b = j.readItem(ctx, &job.items[i], b, start)
	}
	return b
}

// readItem appends an item to the data items that begin at b[start:].
func (j *cyclicJobs) readItem(ctx context.Context, it *Item, b []byte, start int) []byte {
	size, n := dataSize(it), cyclicLen(it)
	code := it.Check()
	if it.Syntax == SyntaxDBRead {
		size, code = DataByte, it.checkPieces()
	}
	if code == ReturnOK && j.c.Level() >= levelRead {
		code = ReturnAccess
	}
	if code == ReturnOK {
		grown, dst := growDataItem(b, start, size, n)
		clear(dst)
		if code = j.fill(ctx, it, dst); code == ReturnOK {
			return grown
		}
	}
	j.c.srv.counts.items[code].Add(1)
	m := DataItem{Code: code}
	return m.appendTo(b, start)
}

// fill reads an item; of several pieces one behind the other, which are one snapshot each.
func (j *cyclicJobs) fill(ctx context.Context, it *Item, dst []byte) ReturnCode {
	if it.Syntax != SyntaxDBRead {
		return j.c.faces.ReadItem(ctx, &j.req, it, dst)
	}
	for c, _ := it.dbPieces(); c.Left() > 0; {
		p := dbPiece(&c)
		j.piece = Bytes(AreaDB, p.DB, uint32(p.Start), uint16(p.Len))
		if code := j.c.faces.ReadItem(ctx, &j.req, &j.piece, dst[:p.Len]); code != ReturnOK {
			return code
		}
		dst = dst[p.Len:]
	}
	return ReturnOK
}

// end ends all jobs, at the end of the connection.
func (j *cyclicJobs) end() {
	j.cancel()
	j.mu.Lock()
	j.over, j.jobs = true, nil
	j.due.stop()
	j.mu.Unlock()
	j.due.wait()
}
