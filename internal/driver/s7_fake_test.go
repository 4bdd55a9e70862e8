package driver

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"millrace/internal/device"
	"millrace/internal/listen/listentest"
	"millrace/internal/tag"
	"millrace/s7"
)

// plc is a PLC on loopback: s7.Memory behind s7.Server, with what a test wants to be wrong.
type plc struct {
	s7.Memory
	addr string

	mu      sync.Mutex
	holes   []device.Span // refused
	code    s7.ReturnCode // why
	refuse  s7.ErrorCode  // every request of variables
	over    int           // requests of more variables are refused with 8500; 0 never
	mute    bool          // no answers
	items   []string      // asked for since the last take, as addresses with | before the first of a request
	pdu     int           // granted
	quiet   bool          // nothing is wrong and nothing noted, so that it does not allocate
	written []string
}

// newPLC has DB1 to DB4, I, Q, M and P of 8,192 bytes each, filled by s7Byte, and 512 timers and counters.
func newPLC(t testing.TB, pdu int) *plc {
	t.Helper()
	f := &plc{code: s7.ReturnAddress, pdu: pdu}
	for db := range uint16(4) {
		if err := f.AddDB(db+1, s7Bytes(s7.AreaDB, db+1, 0, 8192)); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range []s7.Area{s7.AreaInputs, s7.AreaOutputs, s7.AreaMarkers, s7.AreaPeripheral} {
		if err := f.SetArea(a, s7Bytes(a, 0, 0, 8192)); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range []s7.Area{s7.AreaTimer, s7.AreaCounter} {
		if err := f.SetArea(a, s7Bytes(a, 0, 0, 1200)); err != nil {
			t.Fatal(err)
		}
	}
	f.OnWrite = func(_ context.Context, _ *s7.Request, it *s7.Item, src []byte) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.written = append(f.written, fmt.Sprintf("%v % x", it, src))
	}
	f.serve(t)
	return f
}

func (f *plc) serve(t testing.TB) {
	t.Helper()
	srv, err := s7.NewServer(s7.ServerConfig{Open: func(*s7.ServerConn) (s7.Service, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.quiet {
			return s7.Service{Handler: &f.Memory, PDU: f.pdu}, nil
		}
		return s7.Service{Handler: f, Intercept: f, PDU: f.pdu}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	f.addr = listentest.Serve(t, srv).Addr
}

// set changes what is wrong.
func (f *plc) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *plc) ReadItem(ctx context.Context, r *s7.Request, it *s7.Item, dst []byte) s7.ReturnCode {
	if code := f.look(r, it); code != s7.ReturnOK {
		return code
	}
	return f.Memory.ReadItem(ctx, r, it, dst)
}

func (f *plc) WriteItem(ctx context.Context, r *s7.Request, it *s7.Item, src []byte) s7.ReturnCode {
	if code := f.look(r, it); code != s7.ReturnOK {
		return code
	}
	return f.Memory.WriteItem(ctx, r, it, src)
}

// look notes an item and says whether there is a hole.
func (f *plc) look(r *s7.Request, it *s7.Item) s7.ReturnCode {
	f.mu.Lock()
	defer f.mu.Unlock()
	line := it.String()
	if r.Index == 0 {
		line = "|" + line
	}
	f.items = append(f.items, line)
	from, n := it.Range()
	if it.Area.Numbered() {
		from, n = int(it.Address), int(it.Count)
	}
	at := uint32(it.DB)<<16 + uint32(from)
	for _, h := range f.holes {
		if h.Area == uint8(it.Area) && h.From <= at+uint32(n)-1 && at <= h.To {
			return f.code
		}
	}
	return s7.ReturnOK
}

func (f *plc) Request(_ context.Context, _ *s7.ServerConn, request []byte) (s7.ErrorCode, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn := s7.Function(request[s7.FrameBytes+10])
	if fn != s7.FuncRead && fn != s7.FuncWrite {
		return 0, nil
	}
	if f.refuse != 0 {
		f.items = append(f.items, "|refused")
		return f.refuse, nil
	}
	if n := int(request[s7.FrameBytes+11]); f.over > 0 && n > f.over {
		return s7.ErrFrame, nil
	}
	return 0, nil
}

func (f *plc) Answer(_ context.Context, c *s7.ServerConn, _, answer []byte) error {
	f.mu.Lock()
	mute := f.mute
	f.mu.Unlock()
	if !mute {
		c.Send(answer)
	}
	return nil
}

// take returns what was asked for since the last take.
func (f *plc) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.items
	f.items = nil
	return out
}

func (f *plc) address(options map[string]string) device.Addr {
	return device.Addr{Scheme: "s7", Host: f.addr, Options: options}
}

func openS7(t testing.TB, a device.Addr, o device.Observer) *s7Session {
	t.Helper()
	s, err := S7{}.Open(context.Background(), a, device.Limits{}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.(*s7Session)
}

// readS7 reads addresses once under lim and returns the rows.
func readS7(t *testing.T, s *s7Session, a device.Addr, lim device.Limits, addresses ...string) map[tag.ID]string {
	t.Helper()
	var b tag.Batch
	if err := s.Read(context.Background(), mustS7Plan(t, a, lim, addresses...), &b); err != nil {
		t.Fatal(err)
	}
	return rows(t, &b)
}

// modelRow is what rows gives of an address of the model's memory.
func modelRow(t testing.TB, address string) string {
	t.Helper()
	p, err := parseS7(address)
	if err != nil {
		t.Fatal(err)
	}
	v, q := decodeS7(t, address, s7Bytes(p.area, p.db, p.at, p.bytes()))
	if q != tag.Good {
		return q.String()
	}
	return v.String()
}

func modelRows(t testing.TB, addresses ...string) []string {
	out := make([]string, len(addresses))
	for i, a := range addresses {
		out[i] = modelRow(t, a)
	}
	return out
}

func dbSpan(db, from, to uint32) device.Span {
	return device.Span{Area: uint8(s7.AreaDB), From: db<<16 | from, To: db<<16 | to}
}
