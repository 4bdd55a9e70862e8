package ua

import (
	"errors"
	"testing"
)

func TestParseNumericRange(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "0": "0", "3:4": "3:4", "1,2:3": "1,2:3", "0:4294967295": "0:4294967295", "007": "7",
		"1:1": "bad", "2:1": "bad", "-1": "bad", "+1": "bad", " 1": "bad", "1:": "bad", ":1": "bad", ",": "bad", "1,": "bad", "1:2:3": "bad", "4294967296": "bad", "x": "bad",
		"0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0": "bad",
	} {
		r, err := ParseNumericRange(in)
		got := r.String()
		if err != nil {
			got = "bad"
			if !errors.Is(err, BadIndexRangeInvalid) {
				t.Errorf("%q: %v", in, err)
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// numbers 0 to 11 as a matrix of 3 rows.
func twelve() Variant {
	return Matrix([]uint32{3, 4}, Int32Array([]int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}))
}

func TestApplyRange(t *testing.T) {
	five := DoubleArray([]float64{0, 1, 2, 3, 4})
	texts := StringArray([]string{"zero", "one", "zwölf"})
	for _, c := range []struct {
		v      Variant
		r      string
		want   Variant
		status StatusCode
	}{
		{five, "", five, Good},
		{five, "1", DoubleArray([]float64{1}), Good},
		{five, "1:3", DoubleArray([]float64{1, 2, 3}), Good},
		{five, "3:9", DoubleArray([]float64{3, 4}), Good},
		{five, "5", Variant{}, BadIndexRangeNoData},
		{five, "1,1", Variant{}, BadIndexRangeNoData},
		{twelve(), "1,2", Matrix([]uint32{1, 1}, Int32Array([]int32{6})), Good},
		{twelve(), "0:1,1:2", Matrix([]uint32{2, 2}, Int32Array([]int32{1, 2, 5, 6})), Good},
		{twelve(), "2,3:9", Matrix([]uint32{1, 1}, Int32Array([]int32{11})), Good},
		{twelve(), "1", Variant{}, BadIndexRangeNoData},
		{twelve(), "3,0", Variant{}, BadIndexRangeNoData},
		{String("zwölf"), "1:3", String("wöl"), Good},
		{String("zwölf"), "5", Variant{}, BadIndexRangeNoData},
		{ByteString([]byte{1, 2, 3}), "1:7", ByteString([]byte{2, 3}), Good},
		{texts, "1:2", StringArray([]string{"one", "zwölf"}), Good},
		{texts, "1:2,0:1", StringArray([]string{"on", "zw"}), Good},
		{texts, "0:2,3", Variant{}, BadIndexRangeNoData},
		{Double(1), "0", Variant{}, BadIndexRangeNoData},
		{Variant{}, "0", Variant{}, BadIndexRangeNoData},
		{DoubleArray(nil), "0", Variant{}, BadIndexRangeNoData},
	} {
		r, err := ParseNumericRange(c.r)
		if err != nil {
			t.Fatal(err)
		}
		got, status := c.v.ApplyRange(r)
		if status != c.status || status == Good && !got.Equal(c.want) {
			t.Errorf("%v[%s]: %v %v, want %v %v", c.v, c.r, got, status, c.want, c.status)
		}
	}
}

func TestSplice(t *testing.T) {
	five := DoubleArray([]float64{0, 1, 2, 3, 4})
	for _, c := range []struct {
		v      Variant
		r      string
		part   Variant
		want   Variant
		status StatusCode
	}{
		{five, "1:2", DoubleArray([]float64{8, 9}), DoubleArray([]float64{0, 8, 9, 3, 4}), Good},
		{five, "", String("x"), String("x"), Good},
		{five, "4:5", DoubleArray([]float64{8, 9}), five, BadIndexRangeNoData},
		{five, "1:2", DoubleArray([]float64{8}), five, BadIndexRangeDataMismatch},
		{five, "1", Double(8), five, BadIndexRangeDataMismatch},
		{five, "1:2", FloatArray([]float32{8, 9}), five, BadTypeMismatch},
		{twelve(), "1:2,0:1", Matrix([]uint32{2, 2}, Int32Array([]int32{-1, -2, -3, -4})), Matrix([]uint32{3, 4}, Int32Array([]int32{0, 1, 2, 3, -1, -2, 6, 7, -3, -4, 10, 11})), Good},
		{twelve(), "1:2,0:1", Matrix([]uint32{1, 4}, Int32Array([]int32{-1, -2, -3, -4})), twelve(), BadIndexRangeDataMismatch},
		{String("zwölf"), "1:2", String("ab"), String("zablf"), Good},
		{String("zwölf"), "1:2", String("a"), String("zwölf"), BadIndexRangeNoData},
		{ByteString([]byte{1, 2, 3}), "0", ByteString([]byte{9}), ByteString([]byte{9, 2, 3}), Good},
		{StringArray([]string{"abc", "def"}), "1,0:1", StringArray([]string{"xy"}), StringArray([]string{"abc", "xyf"}), Good},
	} {
		r, err := ParseNumericRange(c.r)
		if err != nil {
			t.Fatal(err)
		}
		before := c.v.String()
		got, status := c.v.Splice(r, c.part)
		if status != c.status || status == Good && !got.Equal(c.want) {
			t.Errorf("%v[%s] = %v: %v %v, want %v %v", c.v, c.r, c.part, got, status, c.want, c.status)
		}
		if c.v.String() != before {
			t.Errorf("%s was changed to %v", before, c.v)
		}
	}
}
