package tag

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

// everyKind is a batch with a row of every kind and of an array of every kind, with values at their ends.
func everyKind() *Batch {
	b := &Batch{Device: 7, Received: 1_000_000_000, Flags: FlagClockStepped}
	values := []uint64{0, 1, math.MaxUint64}
	for k := range Kind(64) {
		if !k.Valid() {
			continue
		}
		for i, v := range values {
			id, ts := ID(k)*10+ID(i), b.Received-int64(i)*1000
			if k.Width() == 0 {
				b.AppendAux(id, ts, Good, k, bytes.Repeat([]byte{byte(v)}, i*100))
				continue
			}
			b.Append(id, ts, BadTimeout, k, loadBits(k, AppendElem(nil, k, v)))
		}
		if a := k | Array; a.Valid() {
			b.AppendAux(ID(k), b.Received, Uncertain, a, nil)
			b.AppendAux(ID(k), b.Received, Uncertain, a, bytes.Repeat([]byte{3, 1, 2}, 16))
		}
	}
	b.AppendString(math.MaxUint32, math.MinInt64, math.MaxUint32, "größe")
	b.Append(0, math.MaxInt64, Good, Float64, math.Float64bits(math.NaN()))
	return b
}

// cycle is n Float32 rows of one poll: consecutive tags, one time, all good.
func cycle(n int) *Batch {
	b := &Batch{Device: 1, Received: 1_800_000_000_000_000_000}
	for i := range n {
		b.Append(ID(i+100), b.Received, Good, Float32, uint64(math.Float32bits(float32(i)*0.1)))
	}
	return b
}

// sameRows says in what two batches differ. Aux may be laid out differently.
func sameRows(a, b *Batch) error {
	if a.Device != b.Device || a.Received != b.Received || a.Flags != b.Flags || a.Len() != b.Len() {
		return fmt.Errorf("headers %d %d %d %d and %d %d %d %d", a.Device, a.Received, a.Flags, a.Len(), b.Device, b.Received, b.Flags, b.Len())
	}
	for i := range a.Len() {
		x, y := a.Value(i), b.Value(i)
		if a.ID[i] != b.ID[i] || a.TS[i] != b.TS[i] || a.Quality[i] != b.Quality[i] || x.Kind != y.Kind || x.Bits != y.Bits || !bytes.Equal(x.Aux, y.Aux) {
			return fmt.Errorf("row %d: %d %d %v %v and %d %d %v %v", i, a.ID[i], a.TS[i], a.Quality[i], x, b.ID[i], b.TS[i], b.Quality[i], y)
		}
	}
	return nil
}

func TestEncodeRoundTrip(t *testing.T) {
	few := func(f func(b *Batch)) *Batch {
		b := &Batch{}
		f(b)
		return b
	}
	for _, c := range []struct {
		name string
		b    *Batch
	}{
		{"empty", &Batch{Device: 1, Received: -1, Flags: 9}},
		{"every kind", everyKind()},
		{"cycle", cycle(1000)},
		{"one row", cycle(1)},
		{"ids down", few(func(b *Batch) {
			for _, id := range []ID{math.MaxUint32, 0, math.MaxUint32, 5, 4} {
				b.Append(id, 0, Good, Bool, 1)
			}
		})},
		{"ids that wrap", few(func(b *Batch) {
			b.Append(math.MaxUint32, 0, Good, Bool, 1)
			b.Append(0, 0, Good, Bool, 0)
		})},
		{"times far apart", few(func(b *Batch) {
			b.Received = math.MinInt64
			for _, ts := range []int64{math.MaxInt64, math.MinInt64, 0, -1} {
				b.Append(1, ts, Good, Int8, math.MaxUint64)
			}
		})},
		{"a row that points outside Aux", few(func(b *Batch) { b.Append(1, 0, Good, String, 5<<32|7) })},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.b.AppendTo([]byte("before"))[len("before"):]
			got := &Batch{Aux: []byte("left over")}
			if err := got.DecodeFrom(p); err != nil {
				t.Fatal(err)
			}
			if err := sameRows(c.b, got); err != nil {
				t.Error(err)
			}
			if n, ok := EncodedRows(p); n != c.b.Len() || !ok || EncodedReceived(p) != c.b.Received {
				t.Errorf("header: %d rows, %v, received %d", n, ok, EncodedReceived(p))
			}
			clear(p) // nothing in got may point into it
			if err := sameRows(c.b, got); err != nil {
				t.Errorf("after p was overwritten: %v", err)
			}
		})
	}
}

func TestEncodeRandomRoundTrip(t *testing.T) {
	const seed = 20261120
	r := rand.New(rand.NewPCG(seed, 1))
	kinds := everyKind().Kind
	for i := range 500 {
		b, got := &Batch{Device: r.Uint32(), Received: r.Int64(), Flags: r.Uint32()}, &Batch{}
		for range r.IntN(30) {
			k := kinds[r.IntN(len(kinds))]
			if k.Width() == 0 {
				b.AppendAux(ID(r.Uint32()), r.Int64(), Quality(r.Uint32()), k, make([]byte, r.IntN(300)))
			} else {
				b.Append(ID(r.Uint32()), r.Int64(), Quality(r.Uint32()), k, loadBits(k, AppendElem(nil, k, r.Uint64())))
			}
		}
		if err := got.DecodeFrom(b.AppendTo(nil)); err != nil {
			t.Fatalf("seed %d, batch %d: %v", seed, i, err)
		}
		if err := sameRows(b, got); err != nil {
			t.Fatalf("seed %d, batch %d: %v", seed, i, err)
		}
	}
}

// The bytes of version 1 are on disks: this program writes them, and every later one reads them.
func TestEncodingIsFrozen(t *testing.T) {
	mixed := &Batch{Device: 2, Received: 1000, Flags: 1}
	mixed.Append(5, 1000, Good, Uint16, 0x1234)
	mixed.Append(9, 990, BadTimeout, Int8, math.MaxUint64)
	mixed.AppendString(3, 1010, Good, "hi")
	for _, c := range []struct {
		name string
		b    *Batch
		want string
	}{
		{"empty", &Batch{Device: 1}, "01" + "00000000" + "01000000" + "0000000000000000" + "00000000"},
		{"uniform", &Batch{Device: 1, Received: 2, ID: []ID{7, 8}, TS: []int64{3, 3}, Quality: []Quality{Bad, Bad}, Kind: []Kind{Bool, Bool}, Bits: []uint64{1, 0}},
			"01" + "00000000" + "01000000" + "0200000000000000" + "02000000" + "0107000000" + "010300000000000000" + "0100000080" + "0101" + "0100"},
		{"mixed", mixed, "01" + "01000000" + "02000000" + "e803000000000000" + "03000000" + "020a080b" + "02001328" + "00000000000000" + "0a8000000000" + "0005020c" + "3412" + "ff" + "026869"},
		{"raw ids, which older programs may have written", nil, "01" + "00000000" + "01000000" + "0200000000000000" + "01000000" + "0007000000" + "010300000000000000" + "0100000080" + "0101" + "01"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := hex.DecodeString(c.want)
			if err != nil {
				t.Fatal(err)
			}
			if c.b == nil {
				if err := new(Batch).DecodeFrom(p); err != nil {
					t.Error(err)
				}
				return
			}
			if got := hex.EncodeToString(c.b.AppendTo(nil)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			var back Batch
			if err := back.DecodeFrom(p); err != nil {
				t.Fatal(err)
			}
			if err := sameRows(c.b, &back); err != nil {
				t.Error(err)
			}
		})
	}
}

// Every prefix of an encoded batch, and every one with a byte too many, is refused, and leaves the batch empty.
func TestDecodeCutShort(t *testing.T) {
	for _, b := range []*Batch{everyKind(), cycle(20)} {
		p := b.AppendTo(nil)
		got := cycle(3)
		for n := range p {
			if err := got.DecodeFrom(p[:n]); !errors.Is(err, ErrEncoding) || got.Len() != 0 {
				t.Fatalf("%d of %d bytes: %v, %d rows", n, len(p), err, got.Len())
			}
		}
		if err := got.DecodeFrom(append(p, 0)); !errors.Is(err, ErrEncoding) {
			t.Errorf("a byte too many: %v", err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := cycle(2).AppendTo(nil)
	for _, c := range []struct {
		name string
		at   int
		v    byte
	}{
		{"another version", 0, 2}, {"rows beyond the bytes", 20, 0xff}, {"more rows", 17, 3}, {"id encoding", encHeader, 9},
		{"time encoding", encHeader + 5, 0}, {"quality encoding", encHeader + 5 + 9, 2}, {"kind encoding", encHeader + 5 + 9 + 5, 2}, {"kind", encHeader + 5 + 9 + 5 + 1, 63},
	} {
		p := bytes.Clone(good)
		p[c.at] = c.v
		if err := new(Batch).DecodeFrom(p); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestBytesPerValue(t *testing.T) {
	const rows, fixed = 1000, encHeader + 5 + 9 + 5 + 2
	if n := len(cycle(rows).AppendTo(nil)); n != 4*rows+fixed {
		t.Errorf("%d Float32 of one poll take %d bytes", rows, n)
	}
	b := cycle(rows) // each with its own time, a microsecond apart, and every other tag only
	for i := range b.TS {
		b.TS[i] += int64(i) * 1000
		b.ID[i] *= 2
	}
	if n := len(b.AppendTo(nil)); n > 8*rows {
		t.Errorf("%d bytes", n)
	}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	for name, b := range map[string]*Batch{"cycle": cycle(1000), "every kind": everyKind()} {
		p := b.AppendTo(nil)
		var got Batch
		if err := got.DecodeFrom(p); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() { p = b.AppendTo(p[:0]) }); n != 0 {
			t.Errorf("%s: encoding allocates %v times", name, n)
		}
		if n := testing.AllocsPerRun(100, func() { _ = got.DecodeFrom(p) }); n != 0 {
			t.Errorf("%s: decoding allocates %v times", name, n)
		}
	}
}

func TestDropFirst(t *testing.T) {
	for _, n := range []int{0, 1, 5, everyKind().Len()} {
		b, want := everyKind(), &Batch{Device: 7, Received: 1_000_000_000, Flags: FlagClockStepped}
		for i := n; i < b.Len(); i++ {
			want.AppendRow(everyKind(), i)
		}
		b.DropFirst(n)
		if err := sameRows(b, want); err != nil {
			t.Errorf("%d dropped: %v", n, err)
		}
	}
}

// What decodes is encoded and decodes to the same again, and takes no more memory than its bytes justify.
func FuzzDecodeFrom(f *testing.F) {
	for _, b := range []*Batch{{}, everyKind(), cycle(3)} {
		f.Add(b.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		var b, again Batch
		if err := b.DecodeFrom(p); err != nil {
			if b.Len() != 0 || !errors.Is(err, ErrEncoding) {
				t.Fatalf("%d rows and %v", b.Len(), err)
			}
			return
		}
		if len(b.Aux) > len(p) || b.Len() > len(p) {
			t.Fatalf("%d rows and %d bytes of Aux out of %d bytes", b.Len(), len(b.Aux), len(p))
		}
		for i := range b.Len() {
			b.Value(i).AppendJSON(nil, JSONOptions{})
		}
		if err := again.DecodeFrom(b.AppendTo(nil)); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(b.Bits, again.Bits) {
			t.Fatal("the values changed")
		}
		if err := sameRows(&b, &again); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	in := cycle(1000)
	p := in.AppendTo(nil)
	for b.Loop() {
		p = in.AppendTo(p[:0])
	}
	b.ReportMetric(float64(len(p))/1000, "B/value")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/value")
}

func BenchmarkDecode(b *testing.B) {
	p := cycle(1000).AppendTo(nil)
	var out Batch
	for b.Loop() {
		if err := out.DecodeFrom(p); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/value")
}
