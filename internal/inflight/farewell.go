package inflight

import (
	"errors"
	"net"
	"os"
	"time"
)

const (
	// maxFarewell bounds how long the end of a connection waits for the peer.
	maxFarewell = time.Second
	// nudge is how often a reader is told to end, until it does.
	nudge = 10 * time.Millisecond
)

// farewell ends the connection in order: it says goodbye, closes the sending side, and waits until the peer has closed its own. A PLC has few connections, and one whose end it has
// not heard of stays taken. sending says that a frame is being written, which a goodbye may not come into.
func (c *Conn) farewell(sending bool) error {
	conn, ok := c.conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	patience := min(c.answerTime(), maxFarewell)
	by := time.Now().Add(patience)
	if len(c.cfg.Goodbye) > 0 && !sending {
		_ = conn.SetWriteDeadline(by)
		_, _ = conn.Write(c.cfg.Goodbye) // the end of the stream says it too
	}
	if conn.CloseWrite() != nil {
		return nil // it has ended already
	}
	if !c.readerEnds(conn, by) || hears(conn, by) {
		return nil
	}
	return &UnconfirmedError{After: patience}
}

// answerTime returns how long an answer is waited for now.
func (c *Conn) answerTime() time.Duration {
	if f := c.cfg.Hooks.Timeout; f != nil {
		if d := f(); d > 0 {
			return d
		}
	}
	return c.cfg.Timeout
}

// readerEnds has whoever reads stop, and says whether the stream goes on: when the reader saw its end there is nothing to wait for. A reader may just be about to clear its deadline, so
// that it is told again.
func (c *Conn) readerEnds(conn *net.TCPConn, by time.Time) bool {
	t := time.NewTicker(nudge)
	defer t.Stop()
	for time.Now().Before(by) {
		if conn.SetReadDeadline(time.Unix(1, 0)) != nil {
			return false
		}
		select {
		case <-c.done:
			return true
		case <-t.C:
		}
	}
	return true
}

// hears reads what still comes, for nobody, and says whether the peer closed its side.
func hears(conn *net.TCPConn, by time.Time) bool {
	if conn.SetReadDeadline(by) != nil {
		return true
	}
	var rest [512]byte
	for {
		if _, err := conn.Read(rest[:]); err != nil {
			return !errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
}
