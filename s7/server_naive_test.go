package s7

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// naive is a server as it is often written: a struct for each header, filled by binary.Read, and a buffer of its own for each layer. It serves one connection
// and reads of DB1, and counts the bytes of data that it moves.
type naive struct {
	mu    sync.Mutex
	db    []byte
	moved atomic.Int64
}

type (
	naiveHeader struct {
		Protocol, Kind uint8
		Reserved, Ref  uint16
		Params, Data   uint16
	}
	naiveAck  struct{ Err uint16 }
	naiveItem struct {
		Spec, Len, Syntax, Size uint8
		Count, DB               uint16
		Area                    uint8
		Address                 [3]uint8
	}
	naiveDataHead struct {
		Code, Size uint8
		Length     uint16
	}
)

// layer returns a copy of b, behind a header.
func (s *naive) layer(header, b []byte) []byte {
	s.moved.Add(int64(len(b)))
	return append(append(make([]byte, 0, len(header)+len(b)), header...), b...)
}

// next reads the PDU of a TPKT.
func (s *naive) next(c net.Conn) ([]byte, error) {
	head := make([]byte, tpktBytes)
	if _, err := io.ReadFull(c, head); err != nil {
		return nil, err
	}
	var h struct {
		Version, Reserved uint8
		Length            uint16
	}
	if err := binary.Read(bytes.NewReader(head), binary.BigEndian, &h); err != nil {
		return nil, err
	}
	payload := make([]byte, h.Length-tpktBytes)
	if _, err := io.ReadFull(c, payload); err != nil {
		return nil, err
	}
	return bytes.Clone(payload[dtBytes:]), nil
}

func (s *naive) answer(pdu []byte) ([]byte, error) {
	r := bytes.NewReader(pdu)
	var h naiveHeader
	if err := binary.Read(r, binary.BigEndian, &h); err != nil {
		return nil, err
	}
	params := make([]byte, h.Params)
	if _, err := io.ReadFull(r, params); err != nil {
		return nil, err
	}
	items, p := make([]naiveItem, params[1]), bytes.NewReader(params[2:])
	var data bytes.Buffer
	for i := range items {
		if err := binary.Read(p, binary.BigEndian, &items[i]); err != nil {
			return nil, err
		}
		if err := s.item(&data, &items[i]); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	for _, v := range []any{naiveHeader{protocolID, uint8(KindAckData), 0, h.Ref, 2, uint16(data.Len())}, naiveAck{}, params[:2]} {
		if err := binary.Write(&out, binary.BigEndian, v); err != nil {
			return nil, err
		}
	}
	s.moved.Add(int64(data.Len()))
	out.Write(data.Bytes())
	return out.Bytes(), nil
}

func (s *naive) item(data *bytes.Buffer, it *naiveItem) error {
	at, n := (int(it.Address[0])<<16|int(it.Address[1])<<8|int(it.Address[2]))/8, int(it.Count)
	s.mu.Lock()
	value := s.layer(nil, s.db[at:at+n])
	s.mu.Unlock()
	s.moved.Add(int64(n))
	if err := binary.Write(data, binary.BigEndian, naiveDataHead{uint8(ReturnOK), uint8(DataByte), uint16(8 * n)}); err != nil {
		return err
	}
	_, err := data.Write(value)
	return err
}

func (s *naive) serve(c net.Conn) {
	for {
		pdu, err := s.next(c)
		if err != nil {
			return
		}
		if pdu, err = s.answer(pdu); err != nil {
			return
		}
		tpdu := s.layer([]byte{dtBytes - 1, byte(TPDUData), eot}, pdu)
		n := len(tpdu) + tpktBytes
		if _, err := c.Write(s.layer([]byte{tpktVersion, 0, byte(n >> 8), byte(n)}, tpdu)); err != nil {
			return
		}
	}
}

// counting is a Memory that counts the bytes that it moves, and where it put them last.
type counting struct {
	*Memory
	moved atomic.Int64
	last  *byte
}

func (m *counting) ReadItem(ctx context.Context, r *Request, it *Item, dst []byte) ReturnCode {
	m.moved.Add(int64(len(dst)))
	m.last = &dst[0]
	return m.Memory.ReadItem(ctx, r, it, dst)
}

// The data of a read are moved once: where the memory puts them, there they are sent from.
func TestReadMovesDataOnce(t *testing.T) {
	m := &counting{Memory: testMemory(t)}
	c := activeConn(t, ServerConfig{Handler: m})
	_, out, err := c.Serve(t.Context(), askBytes(200), make([]byte, 0, serverBuffer))
	if err != nil || m.moved.Load() != 200 {
		t.Fatal(m.moved.Load(), err)
	}
	if at := FrameBytes + readResponseHead + dataHeader; &out[at] != m.last {
		t.Error("the answer is not where the memory put the data")
	}
}

// naivePair is a connection to each kind of server with a PDU that has room for 4 KB, and how many bytes of data it moved.
func naivePair(b *testing.B, kind string) (c net.Conn, moved *atomic.Int64) {
	if kind == "ours" {
		m := &counting{Memory: testMemory(b)}
		s := serve(b, ServerConfig{Handler: m, PDU: 8000})
		c = s.Dial()
		sendHex(b, c, cr("C0010D"+tsaps))
		io.ReadFull(c, make([]byte, 22))
		sendHex(b, c, setup("0001", "1F40"))
		wantHex(b, c, setupGets("0001", "1F40"))
		return c, &m.moved
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s, done := &naive{db: patterned(8192)}, make(chan struct{})
	go func() {
		defer close(done)
		if c, err := ln.Accept(); err == nil {
			defer c.Close()
			s.serve(c)
		}
	}()
	if c, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close(); ln.Close(); <-done })
	return c, &s.moved
}

// BenchmarkNaive compares the naive path with ours: as fast as it goes with 4 KB and with 200 bytes, and at 800 and 8,000 reads of 200 bytes a second. copies
// is how often each byte of data was moved from the memory to the buffer that is sent.
func BenchmarkNaive(b *testing.B) {
	for _, n := range []int{4096, 200} {
		for _, kind := range []string{"ours", "naive"} {
			b.Run(fmt.Sprintf("bytes=%d/%s", n, kind), func(b *testing.B) {
				c, moved := naivePair(b, kind)
				ask, answer := askBytes(uint16(n)), answerBytes(n)
				exchange(b, c, ask, answer)
				begin := moved.Load()
				benchRequests(b, c, ask, answer)
				b.ReportMetric(float64(moved.Load()-begin)/float64(b.N*n), "copies")
			})
		}
	}
	for _, rate := range []int{800, 8000} {
		for _, kind := range []string{"ours", "naive"} {
			b.Run(fmt.Sprintf("rate=%d/%s", rate, kind), func(b *testing.B) {
				c, _ := naivePair(b, kind)
				ask, answer := askBytes(200), answerBytes(200)
				before := memStats()
				b.ResetTimer()
				begin := time.Now()
				for i := range b.N {
					due := begin.Add(time.Duration(i) * time.Second / time.Duration(rate))
					if early := time.Until(due); early > time.Millisecond {
						time.Sleep(early)
					}
					exchange(b, c, ask, answer)
				}
				after := memStats()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
				b.ReportMetric(float64(after.NumGC-before.NumGC)/b.Elapsed().Seconds(), "GCs/s")
				b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(b.N), "B/request")
			})
		}
	}
}
