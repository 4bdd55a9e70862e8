package s7

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
)

// patterned is n bytes of which byte i is i mod 251.
func patterned(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

// testMemory has DB1 (8192 bytes), DB2 (10, read-only), DB65535 (1), DB7 (0), 64 bytes of I, Q and M, 16 timers and counters.
func testMemory(t testing.TB) *Memory {
	t.Helper()
	m := &Memory{}
	for n, size := range map[uint16]int{1: 8192, 2: 10, 65535: 1, 7: 0} {
		if err := m.AddDB(n, patterned(size)); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range []Area{AreaInputs, AreaOutputs, AreaMarkers} {
		if err := m.SetArea(a, patterned(64)); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range []Area{AreaTimer, AreaCounter} {
		if err := m.SetArea(a, patterned(32)); err != nil {
			t.Fatal(err)
		}
	}
	m.SetReadOnly(AreaDB, 2, true)
	return m
}

func TestMemoryItems(t *testing.T) {
	m := testMemory(t)
	real4 := Item{Syntax: SyntaxAny, Size: SizeReal, Count: 2, DB: 1, Area: AreaDB, Address: 8184 << 3}
	for _, tc := range []struct {
		it   Item
		want string // "" is code
		code ReturnCode
	}{
		{Bytes(AreaDB, 1, 0, 4), "00010203", 0},
		{Bytes(AreaInstanceDB, 1, 250, 3), "FA0001", 0},
		{Bytes(AreaDB, 1, 8191, 1), "9F", 0},
		{Bytes(AreaDB, 1, 8191, 2), "", ReturnAddress},
		{Bytes(AreaDB, 1, 8192, 1), "", ReturnAddress},
		{Bytes(AreaDB, 1, 2097151, 0xFFFF), "", ReturnAddress},
		{real4, "98999A9B9C9D9E9F", 0},
		{Bytes(AreaDB, 7, 0, 1), "", ReturnAddress},
		{Bytes(AreaDB, 65535, 0, 1), "00", 0},
		{Bytes(AreaDB, 0, 0, 1), "", ReturnNoObject},
		{Bytes(AreaDB, 3, 0, 1), "", ReturnNoObject},
		{Bytes(AreaDB, 300, 0, 1), "", ReturnNoObject},
		{Bytes(AreaPeripheral, 0, 0, 1), "", ReturnNoObject},
		{Bytes(AreaInputs, 9, 10, 2), "0A0B", 0}, // a DB number beside another area means nothing
		{Bit(AreaMarkers, 0, 3, 1), "01", 0},
		{Bit(AreaMarkers, 0, 3, 2), "00", 0},
		{Bit(AreaMarkers, 0, 64, 0), "", ReturnAddress},
		{Timers(15, 1), "1E1F", 0},
		{Timers(15, 2), "", ReturnAddress},
		{Counters(0, 16), unhexed(patterned(32)), 0},
		{Counters(maxAddress, 1), "", ReturnAddress},
	} {
		dst := make([]byte, tc.it.Len())
		code := m.ReadItem(t.Context(), nil, &tc.it, dst)
		if tc.want == "" && (code != tc.code || m.CheckItem(t.Context(), nil, &tc.it) != tc.code) {
			t.Errorf("%v: %v, want %v", &tc.it, code, tc.code)
		}
		if tc.want != "" && (code != ReturnOK || !strings.EqualFold(unhexed(dst), tc.want)) {
			t.Errorf("%v: %v %x, want %s", &tc.it, code, dst, tc.want)
		}
	}
}

func TestMemoryWrites(t *testing.T) {
	m := testMemory(t)
	type heard struct {
		it  Item
		src string
	}
	var writes []heard
	m.OnWrite = func(_ context.Context, _ *Request, it *Item, src []byte) {
		m.Update(it.Area, it.DB, func([]byte) {}) // no lock is held
		writes = append(writes, heard{*it, unhexed(src)})
	}
	write := func(it Item, src ...byte) ReturnCode { return m.WriteItem(t.Context(), nil, &it, src) }
	for _, tc := range []struct {
		name      string
		got, want ReturnCode
	}{
		{"bytes", write(Bytes(AreaDB, 1, 8, 2), 0xFF, 0x00), ReturnOK},
		{"set a bit", write(Bit(AreaDB, 1, 9, 7), 1), ReturnOK},
		{"clear a bit", write(Bit(AreaDB, 1, 8, 0), 0xFE), ReturnOK}, // the lowest bit alone counts
		{"counter", write(Counters(1, 1), 0x01, 0x23), ReturnOK},
		{"read-only DB", write(Bytes(AreaDB, 2, 0, 1), 1), ReturnAccess},
		{"beyond the end of a read-only DB", write(Bytes(AreaDB, 2, 10, 1), 1), ReturnAddress},
		{"missing", write(Bytes(AreaDB, 3, 0, 1), 1), ReturnNoObject},
		{"beyond the end", write(Bytes(AreaOutputs, 0, 64, 1), 1), ReturnAddress},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, tc.got, tc.want)
		}
	}
	m.View(AreaDB, 1, func(b []byte) {
		if b[8] != 0xFE || b[9] != 0x80 || b[10] != 10 {
			t.Errorf("DB1.8: %x", b[8:11])
		}
	})
	if len(writes) != 4 || writes[0].src != "ff00" || writes[3].it.String() != "C1 COUNTER*1" {
		t.Errorf("heard %v", writes)
	}
}

func TestMemoryChanges(t *testing.T) {
	m := testMemory(t)
	if err := m.AddDB(1, nil); err == nil {
		t.Error("DB1 was added twice")
	}
	for _, n := range []uint16{0, 4} {
		size := 0
		if n != 0 {
			size = maxStore + 1
		}
		if err := m.ReplaceDB(n, make([]byte, size)); err == nil {
			t.Errorf("DB %d of %d bytes", n, size)
		}
	}
	for _, a := range []Area{AreaDB, AreaInstanceDB, 0x99} {
		if err := m.SetArea(a, make([]byte, 1)); err == nil {
			t.Errorf("%v was set", a)
		}
	}
	if got := m.DBs(nil); !slices.Equal(got, []uint16{1, 2, 7, 65535}) {
		t.Errorf("DBs %v", got)
	}
	if !m.DeleteDB(65535) || m.DeleteDB(65535) || m.DeleteDB(3) {
		t.Error("delete")
	}
	if err := m.ReplaceDB(1, []byte{1, 2, 3}); err != nil {
		t.Error(err)
	}
	if n, ok := m.Size(AreaDB, 1); n != 3 || !ok {
		t.Errorf("size %d, %v", n, ok)
	}
	if _, ok := m.Size(AreaDB, 65535); ok || m.View(AreaDB, 65535, nil) || m.Update(AreaLocal, 0, nil) || m.SetReadOnly(0xFF, 0, true) {
		t.Error("what is not there was found")
	}
	if err := m.SetArea(AreaInputs, nil); err != nil {
		t.Error(err)
	}
	if _, ok := m.Size(AreaInputs, 0); ok {
		t.Error("an area that was taken away is there")
	}
}

// Writers fill a DB with one value each while it is replaced, deleted and read; what is read is of one value.
func TestMemorySnapshots(t *testing.T) {
	const size = 900
	m := &Memory{}
	if err := m.AddDB(1, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	it := Bytes(AreaDB, 1, 0, size)
	var wg sync.WaitGroup
	for v := range byte(4) {
		wg.Go(func() {
			src := bytes.Repeat([]byte{v}, size)
			for i := range 500 {
				switch {
				case v == 0 && i%10 == 0:
					m.DeleteDB(1)
				case v == 0 && i%10 == 1:
					m.ReplaceDB(1, bytes.Repeat([]byte{99}, size))
				}
				m.WriteItem(t.Context(), nil, &it, src)
			}
		})
		wg.Go(func() {
			dst := make([]byte, size)
			for range 500 {
				if m.ReadItem(t.Context(), nil, &it, dst) == ReturnOK && bytes.Count(dst, dst[:1]) != size {
					t.Error("a read saw two writes")
					return
				}
			}
		})
	}
	wg.Wait()
}

// Bits of one byte are written by many; each finds its own as it left it.
func TestMemoryBitsDoNotDisturbEachOther(t *testing.T) {
	m := &Memory{}
	if err := m.SetArea(AreaMarkers, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for bit := range uint8(8) {
		wg.Go(func() {
			it, v := Bit(AreaMarkers, 0, 0, bit), []byte{0}
			for i := range byte(200) {
				v[0] = i & 1
				m.WriteItem(t.Context(), nil, &it, v)
				if m.ReadItem(t.Context(), nil, &it, v); v[0] != i&1 {
					t.Errorf("bit %d was changed by another", bit)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestMemoryDoesNotAllocate(t *testing.T) {
	m := testMemory(t)
	it, bit, b := Bytes(AreaDB, 1, 0, 200), Bit(AreaMarkers, 0, 3, 3), make([]byte, 200)
	if n := testing.AllocsPerRun(100, func() {
		m.ReadItem(t.Context(), nil, &it, b)
		m.WriteItem(t.Context(), nil, &bit, b)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkMemory reads 200 bytes of one DB among few and among all.
func BenchmarkMemory(b *testing.B) {
	for name, dbs := range map[string]int{"dbs=1": 1, "dbs=65535": 65535} {
		b.Run(name, func(b *testing.B) {
			m := &Memory{}
			for n := range dbs {
				if err := m.AddDB(uint16(n+1), make([]byte, 200)); err != nil {
					b.Fatal(err)
				}
			}
			dst, n := make([]byte, 200), 0
			for b.Loop() {
				it := Bytes(AreaDB, uint16(1+n), 0, 200)
				if m.ReadItem(b.Context(), nil, &it, dst) != ReturnOK {
					b.Fatal("missing")
				}
				n = (n + 7919) % dbs
			}
		})
	}
}
