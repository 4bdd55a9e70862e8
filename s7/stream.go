package s7

import "millrace/wire"

// Resync says what a Stream does about bytes that are no frame.
type Resync uint8

// The ways. A search slides byte by byte to the next place where the headers of TPKT, COTP and S7 agree with each other, and gives up when
// it has passed over more bytes than one frame may have.
const (
	ResyncOff    Resync = iota // the connection ends
	ResyncOnce                 // one search in the life of the connection
	ResyncAlways               // a search whenever the stream is lost
)

// StreamConfig sets a Stream up; the zero value is the usual one.
type StreamConfig struct {
	PDU          int    // longest PDU that is taken, until SetPDU; 0 is DefaultPDU, at most MaxTPKT-FrameBytes
	MaxFragments int    // fragments of one PDU; 0 is 64. A PDU of 960 bytes in TPDUs of 128 has 8
	Resync       Resync // 0 is ResyncOff
}

// StreamStats counts what a Stream met.
type StreamStats struct {
	Resyncs uint64 // searches that found a frame
	Skipped uint64 // bytes that searches passed over, the failed one included
	Empty   uint64 // data TPDUs without data, which are legal and mean nothing
}

// Stream cuts TPDUs off a byte stream and puts the fragments of PDUs together. It judges every header field as soon as its bytes are there and
// before it waits for more, so that a length that lies is seen at once. It is used by one goroutine.
type Stream struct {
	limit        int
	longest      int // PDU that is taken, limit or more
	maxFragments int
	resync       Resync

	assembly  []byte // the fragments so far; the last whole PDU when there are none
	fragments int

	lost    *FrameError // what the search is for; nil in step
	skipped int         // in the present search
	stats   StreamStats
}

const defaultFragments = 64

// NewStream returns a Stream at the beginning of a connection.
func NewStream(cfg StreamConfig) *Stream {
	if cfg.PDU == 0 {
		cfg.PDU = DefaultPDU
	}
	if cfg.MaxFragments == 0 {
		cfg.MaxFragments = defaultFragments
	}
	s := &Stream{maxFragments: cfg.MaxFragments, resync: cfg.Resync}
	s.SetPDU(cfg.PDU)
	return s
}

// SetPDU sets the longest PDU that is taken from now on: the granted one after Setup.
func (s *Stream) SetPDU(n int) { s.setPDU(n, n) }

// setPDU takes PDUs of up to longest bytes, so that those beyond n, which may not be, can be refused in words.
func (s *Stream) setPDU(n, longest int) {
	s.limit, s.longest = min(n, MaxTPKT-FrameBytes), min(max(n, longest), MaxTPKT-FrameBytes)
}

// Stats returns the counters.
func (s *Stream) Stats() StreamStats { return s.stats }

// Assembling reports whether fragments wait for more: the time that a peer has for the rest is the caller's to keep.
func (s *Stream) Assembling() bool { return s.fragments > 0 }

// Searching reports whether the stream is lost and a frame is searched for.
func (s *Stream) Searching() bool { return s.lost != nil }

// Message is what a Stream cut off.
type Message struct {
	Code TPDUCode // 0: bytes were consumed that mean nothing by themselves, as a fragment
	TPDU []byte   // the whole TPDU when Code is not TPDUData; aliases the stream's buffer
	PDU  PDU      // when Code is TPDUData; aliases the stream's buffer or the Stream, and holds until the next call of Next
}

// Next looks at buf, the bytes of the stream that were not consumed yet. n is how many it consumed now; n = 0 without an error means that more
// bytes are needed. The error is a *FrameError and final.
func (s *Stream) Next(buf []byte) (m Message, n int, err error) {
	if s.lost != nil {
		return s.search(buf, 0)
	}
	m, n, bad := s.cut(buf)
	if bad == nil {
		return m, n, nil
	}
	s.assembly, s.fragments = s.assembly[:0], 0
	if s.resync == ResyncOff || s.resync == ResyncOnce && s.stats.Resyncs > 0 {
		return Message{}, 0, bad
	}
	s.lost, s.skipped = bad, 0
	return s.search(buf, 1)
}

// cut takes one TPKT.
func (s *Stream) cut(buf []byte) (Message, int, *FrameError) {
	n, bad := s.judge(buf)
	if bad != nil || n == 0 || len(buf) < n {
		return Message{}, 0, bad
	}
	tpdu := buf[tpktBytes:n:n]
	code := TPDUCode(tpdu[1] & codeMask)
	if code == TPDUData {
		m, bad := s.data(tpdu[dtBytes:], tpdu[dtBytes-1]&eot != 0)
		return m, n, bad
	}
	if s.fragments > 0 {
		return Message{}, 0, frameError(FrameInterleaved, uint16(code))
	}
	return Message{Code: code, TPDU: tpdu}, n, nil
}

// judge looks at the headers as far as they are there and returns the length of the TPKT, or 0 when it is not known yet. The checks are
// in the order of the bytes, so that the verdict does not depend on how many of them came together.
func (s *Stream) judge(buf []byte) (int, *FrameError) {
	// A TPDU that is no DT is as long as its length indicator can say, however small the PDU.
	n, bad := tpktLength(buf, max(s.longest+FrameBytes, tpktBytes+1+liMax))
	if bad != nil || n == 0 {
		return 0, bad
	}
	tpdu := buf[tpktBytes:]
	if bad := tpduHeader(tpdu, n-tpktBytes); bad != nil {
		return 0, bad
	}
	if len(tpdu) < dtBytes || TPDUCode(tpdu[1]&codeMask) != TPDUData {
		return n, nil
	}
	if n > s.longest+FrameBytes {
		return 0, frameError(FrameTPKTLong, uint16(n))
	}
	if tpdu[dtBytes-1]&eot == 0 || s.fragments > 0 || n == FrameBytes {
		return n, nil
	}
	return n, pduHeader(tpdu[dtBytes:min(len(tpdu), n-tpktBytes)], n-FrameBytes)
}

// data takes what a DT holds.
func (s *Stream) data(data []byte, last bool) (Message, *FrameError) {
	if s.fragments > 0 || !last {
		s.fragments++
		if s.fragments > s.maxFragments || len(s.assembly)+len(data) > s.limit {
			return Message{}, frameError(FrameFragments, uint16(s.fragments))
		}
		if s.assembly = append(s.assembly, data...); !last {
			return Message{}, nil
		}
		data, s.assembly, s.fragments = s.assembly, s.assembly[:0], 0
	}
	if len(data) == 0 {
		s.stats.Empty++
		return Message{}, nil
	}
	p, bad := decodePDU(data)
	if bad != nil {
		return Message{}, bad
	}
	return Message{Code: TPDUData, PDU: p}, nil
}

// search slides from buf[at] on to the next place that may be a frame. It consumes what it passed over.
func (s *Stream) search(buf []byte, at int) (Message, int, error) {
	budget := s.limit + FrameBytes - s.skipped
	for ; at < len(buf) && at <= budget; at++ {
		if match, whole := s.agrees(buf[at:]); match && whole {
			return s.found(buf, at)
		} else if match {
			break
		}
	}
	s.skipped += at
	s.stats.Skipped += uint64(at)
	if at > budget {
		s.lost.Skipped = s.skipped
		return Message{}, 0, s.lost
	}
	return Message{}, at, nil
}

func (s *Stream) found(buf []byte, at int) (Message, int, error) {
	s.lost = nil
	s.stats.Resyncs++
	s.stats.Skipped += uint64(at)
	if at > 0 {
		return Message{}, at, nil
	}
	return s.Next(buf)
}

// agrees reports whether what is there of buf may be the head of a frame with a whole PDU, and whether all that tells is there:
// 03 00 length(2), 02 F0 80, 32 kind 00 00 reference(2) lengths(4). Reserved bytes, which Next ignores, must be 0 here.
func (s *Stream) agrees(buf []byte) (match, whole bool) {
	const fixed = "\x03\x00LL\x02\xF0\x80\x32K\x00\x00RRPPDD"
	for i := range min(len(buf), len(fixed)) {
		switch i {
		case 2, 3, 8, 11, 12, 13, 14, 15, 16:
		default:
			if buf[i] != fixed[i] {
				return false, false
			}
		}
	}
	if len(buf) > 8 && !Kind(buf[8]).Known() {
		return false, false
	}
	c := wire.Over(buf)
	c.Skip(tpktLengthAt)
	if n := int(c.U16()); !c.Bad() && (n < FrameBytes+jobHeader || n > s.longest+FrameBytes) {
		return false, false
	} else if len(buf) < len(fixed) {
		return true, false
	} else {
		return pduHeader(buf[FrameBytes:len(fixed)], n-FrameBytes) == nil, true
	}
}
