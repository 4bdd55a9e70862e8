package s7

import (
	"bytes"
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// plcOf is a CPU behind a server, and a client of it. DB 1 has 8,192 bytes and DB 2 has 300, byte i is byteAt(i), as in the areas.
func plcOf(t testing.TB, cpu CPUConfig, sc ServerConfig, cc Config) (*CPU, *Client) {
	t.Helper()
	truth := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byteAt(i)
		}
		return b
	}
	cpu.Memory = new(Memory)
	err := errors.Join(cpu.Memory.AddDB(1, truth(8192)), cpu.Memory.AddDB(2, truth(300)))
	for a, n := range map[Area]int{AreaInputs: 1024, AreaOutputs: 1024, AreaMarkers: 1024, AreaCounter: 512, AreaTimer: 512} {
		err = errors.Join(err, cpu.Memory.SetArea(a, truth(n)))
	}
	if err != nil {
		t.Fatal(err)
	}
	plc, err := NewCPU(cpu)
	if err != nil {
		t.Fatal(err)
	}
	sc.Handler = plc
	s := serve(t, sc)
	cc.Timeout = cmp.Or(cc.Timeout, plenty)
	c, err := Dial(t.Context(), s.Addr, cc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return plc, c
}

// serverItem is a variable that a PLC of plcOf has.
func serverItem(rng *rand.Rand) Item {
	switch rng.IntN(8) {
	case 0:
		return Bit(AreaMarkers, 0, uint32(rng.IntN(1024)), uint8(rng.IntN(8)))
	case 1:
		return Counters(uint32(rng.IntN(200)), uint16(1+rng.IntN(56)))
	case 2:
		return Timers(uint32(rng.IntN(200)), uint16(1+rng.IntN(56)))
	case 3:
		return Bytes(AreaInputs, 0, uint32(rng.IntN(1000)), uint16(1+rng.IntN(24)))
	case 4:
		return Item{Syntax: SyntaxAny, Size: SizeReal, Count: uint16(1 + rng.IntN(300)), DB: 1, Area: AreaDB, Address: uint32(rng.IntN(6000)) << addressShift}
	case 5:
		return Bytes(AreaDB, 1, uint32(rng.IntN(4000)), uint16(1+rng.IntN(4000)))
	}
	return Bytes(AreaDB, 1, uint32(rng.IntN(8000)), uint16(1+rng.IntN(9)))
}

// Random sets against our own server, at every PDU length, window and cap of items: each is read as it is, and written so that it is read back.
func TestClientAgainstServer(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, pdu := range planPDUs {
		for _, window := range []int{1, 3, 8} {
			for _, most := range []int{0, 20, 1} {
				_, c := plcOf(t, CPUConfig{}, ServerConfig{PDU: pdu, Window: window}, Config{MaxItems: most})
				if c.PDU() != pdu || c.Window() != window {
					t.Fatalf("PDU %d, window %d", c.PDU(), c.Window())
				}
				items := make([]Item, 60)
				for i := range items {
					items[i] = serverItem(rng)
				}
				wantTruth(t, c, items...)
				writesAndReadsBack(t, c, rng)
				if s := c.Stats(); s.Sent != s.Replied || s.Refused != 0 {
					t.Errorf("%+v", s)
				}
			}
		}
	}
}

func writesAndReadsBack(t *testing.T, c *Client, rng *rand.Rand) {
	t.Helper()
	vars := []Var{{Item: Bytes(AreaDB, 1, 0, 3000)}, {Item: Bit(AreaMarkers, 0, 7, 3)}, {Item: Timers(5, 120)}, {Item: Bytes(AreaOutputs, 0, 1, 3)},
		{Item: Item{Syntax: SyntaxAny, Size: SizeReal, Count: 70, DB: 2, Area: AreaDB, Address: 8 << addressShift}}}
	want := make([][]byte, len(vars))
	for i := range vars {
		b := make([]byte, vars[i].Item.Len())
		for k := range b {
			b[k] = byte(rng.Uint32())
		}
		if vars[i].Item.Size == SizeBit {
			b[0] &= 1
		}
		vars[i].Data, want[i] = b, slices.Clone(b)
	}
	if err := c.Write(t.Context(), vars); err != nil {
		t.Fatal(err)
	}
	for i := range vars {
		if vars[i].Err != nil {
			t.Errorf("write %v: %v", &vars[i].Item, vars[i].Err)
		}
		vars[i].Data = nil
	}
	if err := c.Read(t.Context(), vars); err != nil {
		t.Fatal(err)
	}
	for i := range vars {
		if !bytes.Equal(vars[i].Data, want[i]) {
			t.Errorf("%v is not what was written: %v", &vars[i].Item, vars[i].Err)
		}
	}
}

// What a PLC does not have is said for each variable, beside those that it has.
func TestClientAgainstServerWithBadVariables(t *testing.T) {
	_, c := plcOf(t, CPUConfig{}, ServerConfig{PDU: 240}, Config{})
	vars := []Var{
		{Item: Bytes(AreaDB, 1, 10, 4)}, {Item: Bytes(AreaDB, 3, 10, 4)}, {Item: Bytes(AreaDB, 2, 298, 4)}, {Item: Bytes(AreaPeripheral, 0, 0, 1)},
		{Item: Bytes(AreaDB, 1, 8000, 400)}, {Item: Bytes(AreaDB, 2, 296, 4)},
	}
	if err := c.Read(t.Context(), vars); err != nil {
		t.Fatal(err)
	}
	for i, want := range []ReturnCode{ReturnOK, ReturnNoObject, ReturnAddress, ReturnNoObject, ReturnAddress, ReturnOK} {
		if vars[i].Code != want || (vars[i].Err == nil) != (want == ReturnOK) {
			t.Errorf("%v: %v, %v", &vars[i].Item, vars[i].Code, vars[i].Err)
		}
	}
}

func TestClientOnAProtectedCPU(t *testing.T) {
	_, c := plcOf(t, CPUConfig{Level: 3, Password: "secret"}, ServerConfig{}, Config{Diagnostics: true})
	v := []Var{{Item: Bytes(AreaDB, 1, 10, 4)}}
	var e *Error
	if err := c.Read(t.Context(), v); err != nil || !errors.As(v[0].Err, &e) || e.Code != ReturnAccess || !strings.Contains(e.Hint(), "protection level") {
		t.Fatalf("%v, %v", err, v[0].Err)
	}
	if err := c.EnterPassword(t.Context(), "guess"); !errors.As(err, &e) || e.Refused != ErrWrongPassword || strings.Contains(err.Error(), "guess") {
		t.Errorf("%v", err)
	}
	if err := c.EnterPassword(t.Context(), "secret"); err != nil {
		t.Error(err)
	}
	wantTruth(t, c, v[0].Item)
	if err := c.ClearPassword(t.Context()); err != nil {
		t.Error(err)
	}
	if _ = c.Read(t.Context(), v); v[0].Err == nil {
		t.Error("read without rights")
	}
	if err := c.EnterPassword(t.Context(), "muchtoolong"); !errors.As(err, new(*ArgumentError)) {
		t.Errorf("%v", err)
	}
}

func TestClientIdentifiesACPU(t *testing.T) {
	cpu, c := plcOf(t, CPUConfig{Model: Model300}, ServerConfig{PDU: 112}, Config{Diagnostics: true})
	ctx := t.Context()
	modules, err := c.Modules(ctx)
	if err != nil || len(modules) != 3 || modules[0].Index != ModuleOrder || string(modules[0].Order) != cpu.Identity().Order || modules[2].Index != ModuleFirmware {
		t.Errorf("%+v, %v", modules, err)
	}
	components, err := c.Components(ctx) // 208 bytes in three parts
	if err != nil || len(components) != 6 || string(components[4].Text) != cpu.Identity().Serial || components[5].Index != ComponentType {
		t.Errorf("%+v, %v", components, err)
	}
	pdu, _ := cpu.Limits()
	if m, err := c.Communication(ctx); err != nil || int(m.PDU) != pdu || m.Index != 1 {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := c.Protection(ctx); err != nil || m.Index != 4 || m.Selector != SelectorRun {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := c.Mode(ctx); err != nil || m.Mode != ModeRun || m.At.IsZero() {
		t.Errorf("%+v, %v", m, err)
	}
	list, err := c.ReadSZL(ctx, SZLDirectory, 0)
	if err != nil || list.Len() < 6 || list.RecordLen != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	var e *Error
	if _, err := c.ReadSZL(ctx, 0x00A0, 0); !errors.As(err, &e) || e.Refused != ErrNoSZL || e.Hint() == "" || e.Error() != "s7: read SZL 0x00A0/0x0000: refused: 0xD402 (information function unavailable)" {
		t.Errorf("%v", err)
	}
}

func TestClientClock(t *testing.T) {
	_, c := plcOf(t, CPUConfig{}, ServerConfig{}, Config{Diagnostics: true})
	for _, at := range []time.Time{time.Date(2031, 2, 28, 23, 59, 58, 0, time.UTC), time.Date(1999, 12, 31, 1, 2, 3, 0, time.UTC)} {
		if err := c.SetClock(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		if got, err := c.ReadClock(t.Context()); err != nil || got.Sub(at) < 0 || got.Sub(at) > time.Minute {
			t.Errorf("%v, %v; want %v", got, err, at)
		}
	}
	if err := c.SetClock(t.Context(), time.Date(1989, 1, 1, 0, 0, 0, 0, time.UTC)); !errors.As(err, new(*ArgumentError)) {
		t.Errorf("%v", err)
	}
}

func TestClientControlsACPU(t *testing.T) {
	_, c := plcOf(t, CPUConfig{Programming: true}, ServerConfig{}, Config{Diagnostics: true})
	ctx := t.Context()
	mode := func() Mode {
		m, err := c.Mode(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return m.Mode
	}
	refused := func(what string, err error, detail uint8, hint string) {
		t.Helper()
		var e *Error
		if !errors.As(err, &e) || e.Detail != detail || e.MayHaveHappened() || !strings.Contains(e.Hint(), hint) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("start", c.Start(ctx), DetailRunning, "runs already")
	if err := c.Stop(ctx); err != nil || mode() != ModeStop {
		t.Errorf("stop: %v", err)
	}
	refused("stop", c.Stop(ctx), DetailStopped, "stands already")
	if err := c.ColdStart(ctx); err != nil || mode() != ModeRun {
		t.Errorf("cold start: %v", err)
	}
	if err := errors.Join(c.Stop(ctx), c.Start(ctx)); err != nil || mode() != ModeRun {
		t.Errorf("start: %v", err)
	}
	if err := errors.Join(c.Compress(ctx), c.CopyRAMToROM(ctx), c.DeleteBlock(ctx, BlockDB, 2)); err != nil {
		t.Error(err)
	}
	v := []Var{{Item: Bytes(AreaDB, 2, 0, 1)}}
	if err := c.Read(ctx, v); err != nil || v[0].Code != ReturnNoObject {
		t.Errorf("a DB that was deleted: %v", v[0].Err)
	}
}

func TestClientBlocks(t *testing.T) {
	for _, pdu := range planPDUs {
		_, c := plcOf(t, CPUConfig{Programming: true}, ServerConfig{PDU: pdu}, Config{Diagnostics: true})
		ctx := t.Context()
		counts, err := c.BlockCounts(ctx)
		if err != nil || !slices.Contains(counts, BlockCount{Type: BlockDB, Count: 2}) {
			t.Errorf("%v, %v", counts, err)
		}
		list, err := c.BlockList(ctx, BlockDB)
		if err != nil || len(list) != 2 || list[0].Number != 1 {
			t.Errorf("%v, %v", list, err)
		}
		if list, err := c.BlockList(ctx, BlockSFB); err != nil || len(list) != 0 {
			t.Errorf("none: %v, %v", list, err)
		}
		if m, err := c.BlockInfo(ctx, BlockDB, 1); err != nil || m.MC7Len != 8192 || m.Number != 1 {
			t.Errorf("%+v, %v", m, err)
		}
		var e *Error
		if _, err := c.BlockInfo(ctx, BlockDB, 77); !errors.As(err, &e) || e.Refused != ErrBlockNotFound || !strings.Contains(err.Error(), "block info DB77") {
			t.Errorf("%v", err)
		}
		image, err := c.Upload(ctx, BlockDB, 1)
		var b Block
		if err != nil || b.Decode(image) != 0 || len(b.Body) != 8192 || b.Body[300] != byteAt(300) {
			t.Errorf("%d bytes, %v", len(image), err)
		}
		if _, err := c.Upload(ctx, BlockDB, 77); !errors.As(err, &e) || e.Refused == 0 || !strings.Contains(err.Error(), "start upload DB77") {
			t.Errorf("%v", err)
		}
		downloads(t, c)
	}
}

func downloads(t *testing.T, c *Client) {
	t.Helper()
	data := bytes.Repeat([]byte{1, 2, 3, 5, 7}, 500)
	b := NewDataBlock(9, data)
	if err := c.Download(t.Context(), BlockDB, 9, b.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	v := []Var{{Item: Bytes(AreaDB, 9, 0, 2500)}}
	if err := c.Read(t.Context(), v); err != nil || !bytes.Equal(v[0].Data, data) {
		t.Errorf("what was downloaded: %v, %v", err, v[0].Err)
	}
	if err := c.Download(t.Context(), BlockDB, 9, []byte("no block")); !errors.As(err, new(*ArgumentError)) {
		t.Errorf("%v", err)
	}
}

// Reads go on while a block is downloaded.
func TestClientDownloadsBesideReads(t *testing.T) {
	_, c := plcOf(t, CPUConfig{Programming: true}, ServerConfig{PDU: 112}, Config{Diagnostics: true})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for at := range uint32(200) {
				wantTruth(t, c, Bytes(AreaDB, 1, at, 8))
			}
		})
	}
	downloads(t, c)
	wg.Wait()
}

func TestClientDownloadIsRefused(t *testing.T) {
	_, c := plcOf(t, CPUConfig{}, ServerConfig{}, Config{Diagnostics: true})
	b := NewDataBlock(9, []byte{1})
	var e *Error
	if err := c.Download(t.Context(), BlockDB, 9, b.AppendTo(nil)); !errors.As(err, &e) || e.Refused != ErrProtected || e.MayHaveHappened() || !strings.Contains(err.Error(), "request download DB9") {
		t.Errorf("%v", err)
	}
	wantTruth(t, c, Bytes(AreaDB, 1, 1, 8))
}

// Without Config.Diagnostics nothing of the kind is sent.
func TestClientDiagnosticsAreOptIn(t *testing.T) {
	c := withPLC(t, Config{}, func(p *fakePLC) {
		if pdu, ok := p.next(); ok {
			t.Errorf("sent %+v", pdu)
		}
	})
	ctx := t.Context()
	second := func(_ any, err error) error { return err }
	for what, err := range map[string]error{
		"szl": second(c.ReadSZL(ctx, 0, 0)), "modules": second(c.Modules(ctx)), "components": second(c.Components(ctx)), "communication": second(c.Communication(ctx)),
		"protection": second(c.Protection(ctx)), "mode": second(c.Mode(ctx)), "counts": second(c.BlockCounts(ctx)), "list": second(c.BlockList(ctx, BlockDB)),
		"info": second(c.BlockInfo(ctx, BlockDB, 1)), "upload": second(c.Upload(ctx, BlockDB, 1)), "download": c.Download(ctx, BlockDB, 1, nil),
		"clock": second(c.ReadClock(ctx)), "set clock": c.SetClock(ctx, time.Now()), "password": c.EnterPassword(ctx, "x"), "clear": c.ClearPassword(ctx),
		"start": c.Start(ctx), "cold": c.ColdStart(ctx), "stop": c.Stop(ctx), "compress": c.Compress(ctx), "copy": c.CopyRAMToROM(ctx), "delete": c.DeleteBlock(ctx, BlockDB, 1),
	} {
		var arg *ArgumentError
		var e *Error
		if !errors.As(err, &arg) || !strings.Contains(arg.What, "diagnostics") || !errors.As(err, &e) || e.Sent || e.MayHaveHappened() {
			t.Errorf("%s: %v", what, err)
		}
	}
	if s := c.Stats(); s.Sent != 0 {
		t.Errorf("%+v", s)
	}
}
