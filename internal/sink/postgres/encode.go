package postgres

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"millrace/internal/sink"
	"millrace/internal/tag"
)

// copyHeader begins the binary form of COPY: signature, flags, length of the header extension [PostgreSQL, COPY, Binary Format].
const copyHeader = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"

// pgEpoch is 2000-01-01 in microseconds since 1970: 10957 days.
const pgEpoch = 10957 * 86400 * 1e6

// encoder writes rows in the binary form of COPY. A value goes where its kind says:
//
//	bool and integers          value_int, a bool as 0 or 1
//	uint64 beyond 2^63-1       value_text its decimal digits, value_double the nearest number
//	float32, float64           value_double, a float32 widened; NaN and the infinities as they are
//	datetime                   value_int, nanoseconds since 1970
//	string                     value_text; one that PostgreSQL cannot hold as text (a NUL, or not UTF-8) value_bytes, as it is
//	bytes                      value_bytes
//	array                      value_text as JSON, NaN and the infinities as strings; value_bytes when a text in it is not UTF-8
//	null                       none
//
// ts and received are cut to whole microseconds, downwards: order stays, and equal stamps are told apart by the offset. quality is
// the whole status code, whose class is quality >> 30 (0 good, 1 uncertain, else bad). epoch has the bits of the unsigned number.
type encoder struct {
	buf []byte
	tmp []byte
}

// encode fills e.buf with the rows of r, and returns their number.
func (e *encoder) encode(r sink.Range, rows []sink.Rows, names func(tag.ID) string) (int, error) {
	e.buf = append(e.buf[:0], copyHeader...)
	n := 0
	var poison []sink.Poison
	for _, v := range rows {
		for i := v.First; i < v.End; i++ {
			name := names(v.Batch.ID[i])
			if reason := badName(name, v.Batch.ID[i]); reason != "" {
				poison = append(poison, sink.Poison{Offset: v.Offset + uint64(i-v.First), Reason: reason})
				continue
			}
			e.row(name, v.Batch, i, r.Epoch, v.Offset+uint64(i-v.First))
			n++
		}
	}
	if poison != nil {
		return 0, &sink.PartialError{Range: r, Rows: poison}
	}
	e.buf = binary.BigEndian.AppendUint16(e.buf, math.MaxUint16) // -1: no more rows
	return n, nil
}

func badName(name string, id tag.ID) string {
	switch {
	case name == "":
		return fmt.Sprintf("tag %d has no name", id)
	case !isText(name):
		return fmt.Sprintf("the name %q of tag %d is not text", name, id)
	}
	return ""
}

// isText says whether PostgreSQL can hold s as text.
func isText[T string | []byte](s T) bool {
	for i := range len(s) {
		if c := s[i]; c == 0 || c >= utf8.RuneSelf {
			return utf8.ValidString(string(s)) && bytes.IndexByte([]byte(s), 0) < 0
		}
	}
	return true
}

func (e *encoder) row(name string, b *tag.Batch, i int, epoch, offset uint64) {
	e.buf = binary.BigEndian.AppendUint16(e.buf, uint16(len(valueColumns)))
	e.buf = binary.BigEndian.AppendUint32(e.buf, uint32(len(name)))
	e.buf = append(e.buf, name...)
	e.int8(microseconds(b.TS[i]))
	e.int8(microseconds(b.Received))
	e.value(b.Value(i))
	e.int8(int64(b.Quality[i]))
	e.int8(int64(epoch))
	e.int8(int64(offset))
}

func microseconds(ns int64) int64 {
	us := ns / 1000
	if ns%1000 < 0 {
		us--
	}
	return us - pgEpoch
}

// value appends the four value columns.
func (e *encoder) value(v tag.Value) {
	switch v.Kind {
	case tag.Null:
		e.null(4)
	case tag.Bool, tag.Int8, tag.Uint8, tag.Int16, tag.Uint16, tag.Int32, tag.Uint32, tag.Int64, tag.DateTime:
		e.null(1)
		e.int8(int64(v.Bits))
		e.null(2)
	case tag.Uint64:
		e.uint64(v.Bits)
	case tag.Float32, tag.Float64:
		f, _ := v.Float()
		e.int8(int64(math.Float64bits(f)))
		e.null(3)
	case tag.String:
		e.text(v.Aux, isText(v.Aux))
	case tag.ByteString:
		e.text(v.Aux, false)
	default: // arrays
		var ok bool
		e.tmp, ok = sink.AppendValue(e.tmp[:0], v)
		e.text(e.tmp, ok)
	}
}

func (e *encoder) uint64(u uint64) {
	if u <= math.MaxInt64 {
		e.null(1)
		e.int8(int64(u))
		e.null(2)
		return
	}
	e.int8(int64(math.Float64bits(float64(u))))
	e.null(1)
	e.tmp = strconv.AppendUint(e.tmp[:0], u, 10)
	e.bytes(e.tmp)
	e.null(1)
}

// text appends the value columns of p, as text or as bytes.
func (e *encoder) text(p []byte, asText bool) {
	e.null(2)
	if asText {
		e.bytes(p)
		e.null(1)
		return
	}
	e.null(1)
	e.bytes(p)
}

func (e *encoder) null(n int) {
	for range n {
		e.buf = binary.BigEndian.AppendUint32(e.buf, math.MaxUint32) // length -1
	}
}

func (e *encoder) int8(v int64) {
	e.buf = binary.BigEndian.AppendUint32(e.buf, 8)
	e.buf = binary.BigEndian.AppendUint64(e.buf, uint64(v))
}

func (e *encoder) bytes(p []byte) {
	e.buf = binary.BigEndian.AppendUint32(e.buf, uint32(len(p)))
	e.buf = append(e.buf, p...)
}
