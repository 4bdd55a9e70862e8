package opcua

import (
	"encoding/binary"
	"sync"
	"time"

	"millrace/opcua/uasc"
)

// clientInbox is what came and was not handed out yet. The room for it is lent while something is in it.
type clientInbox struct {
	rooms    sync.Pool
	room     *clientRoom // nil when nothing is here
	at, have int
	usual    int // room that came of use the last time
}

// clientRoom is room for a chunk.
type clientRoom struct{ b []byte }

// smallRoom is for a connection on which nothing long comes: the answer to a read of a few values fits.
const smallRoom = 1 << 10

// rest returns what was not handed out.
func (in *clientInbox) rest() []byte {
	if in.room == nil {
		return nil
	}
	return in.room.b[in.at:in.have]
}

// lend returns room for the next read. What came the last time says how much it is.
func (in *clientInbox) lend() []byte {
	if in.room == nil {
		in.room = in.roomFor(max(in.usual, smallRoom))
	}
	return in.room.b[in.have:]
}

// giveBack lets go of the room if nothing is in it.
func (in *clientInbox) giveBack() {
	if in.room == nil || in.have > 0 {
		return
	}
	in.rooms.Put(in.room)
	in.room = nil
}

// roomFor returns room for n bytes. One that is too small for them is left to the collector, so that there is one that is large enough after a while.
func (in *clientInbox) roomFor(n int) *clientRoom {
	if r, _ := in.rooms.Get().(*clientRoom); r != nil && len(r.b) >= n {
		return r
	}
	size := smallRoom
	for size < n {
		size *= 2
	}
	return &clientRoom{make([]byte, size)}
}

// makeRoom prepares for the next read: what is left of a chunk moves to the front of a room in which all of it fits.
func (in *clientInbox) makeRoom() {
	rest := in.rest()
	if len(rest) == 0 {
		in.usual = in.have
		in.at, in.have = 0, 0
		in.giveBack()
		return
	}
	if size := chunkSize(rest); size > len(in.room.b) {
		in.room = in.roomFor(size)
	}
	in.at, in.have = 0, copy(in.room.b, rest)
}

// chunkSize returns how long the chunk is that begins with b; 0 where that is not known yet. The channel has looked at the size before.
func chunkSize(b []byte) int {
	if len(b) < 8 {
		return 0
	}
	return int(binary.LittleEndian.Uint32(b[4:]))
}

// next returns the next message, which is good until the call after. It reads when it has to.
func (c *clientConn) next() (uasc.Message, time.Time, error) {
	for {
		now := time.Now()
		if rest := c.in.rest(); len(rest) > 0 {
			used, m, err := c.channel.Next(rest, now)
			c.in.at += used
			if err != nil || m.Kind != 0 {
				return m, now, err
			}
		}
		c.in.makeRoom()
		n, err := c.conn.Receive()
		c.in.have += n
		c.count(func(s *Stats) { s.BytesIn += uint64(n) })
		if err != nil && n == 0 {
			return uasc.Message{}, now, err
		}
	}
}
