package driver

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"

	"millrace/internal/tag"
	"millrace/opcua/ua"
)

// ParseValue reads a value for address as people type it. Where the address says no type it stays a text, since only the server knows what it is to be: its node's type is asked
// for before it is written.
func (OPCUA) ParseValue(address, value string) (tag.Value, error) {
	p, err := parseOPCUA(address)
	if err != nil {
		return tag.Value{}, err
	}
	if !canWriteAttribute(p.attr) {
		return tag.Value{}, &WriteError{p.String(), "the attribute " + opcuaAttributes[p.attr] + " is the server's"}
	}
	v := tag.Value{Kind: tag.String, Aux: []byte(value)}
	if p.typ != ua.TypeNull {
		_, err = p.encode(v, p.writeType())
	}
	return v, err
}

// CheckValue says why v cannot be written to an address. What an address without a type takes is known to the server alone.
func (OPCUA) CheckValue(address string, v tag.Value) error {
	p, err := parseOPCUA(address)
	switch {
	case err != nil:
		return err
	case !canWriteAttribute(p.attr):
		return &WriteError{p.String(), "the attribute " + opcuaAttributes[p.attr] + " is the server's"}
	case p.attr == ua.AttributeValue && p.typ != ua.TypeNull:
		_, err = p.encode(v, p.writeType())
	}
	return err
}

// parseScalar reads a text as a value of type t.
func parseScalar(s string, t ua.TypeId) (tag.Value, bool) {
	switch t {
	case ua.TypeBoolean:
		return parseBool(s)
	case ua.TypeDateTime:
		return parseDateTime(s)
	case ua.TypeStatusCode:
		status, ok := ua.ParseStatusCode(s)
		return tag.Value{Kind: tag.Uint32, Bits: uint64(status)}, ok
	case ua.TypeByteString:
		b, ok := parseBytes(s)
		return tag.Value{Kind: tag.ByteString, Aux: b}, ok
	}
	if k := opcuaKind(t); k.Width() > 0 {
		return parseNumber(s)
	}
	return tag.Value{Kind: tag.String, Aux: []byte(s)}, true
}

// parseBytes reads 0x and hexadecimal digits, or base64, which is how bytes are printed.
func parseBytes(s string) ([]byte, bool) {
	if digits, ok := strings.CutPrefix(s, "0x"); ok {
		b, err := hex.DecodeString(digits)
		return b, err == nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	return b, err == nil
}

// parseDateTime reads a date with or without a time of day, in UTC where no zone is said.
func parseDateTime(s string) (tag.Value, bool) {
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return tag.Value{Kind: tag.DateTime, Bits: uint64(t.UnixNano())}, inNanoseconds(t)
		}
	}
	return tag.Value{}, false
}

// maxRank is how many dimensions a matrix may have.
const maxRank = 8

// parseElements reads [1,2,3] or ["a","b"] as texts, and of a matrix, [[1,2],[3,4]], its elements row by row and the lengths of its dimensions.
func parseElements(s string) (tag.Value, []uint32, bool) {
	m := matrixText{out: tag.Value{Kind: tag.String | tag.Array}}
	if !m.take(s, 0) {
		return tag.Value{}, nil, false
	}
	if len(m.dims) < 2 {
		m.dims = nil
	}
	return m.out, m.dims, true
}

// matrixText is what was read of an array so far.
type matrixText struct {
	out  tag.Value
	dims []uint32
}

// take reads the array s, which is depth dimensions deep.
func (m *matrixText) take(s string, depth int) bool {
	s = strings.TrimSpace(s)
	if len(s) < 2 || s[0] != '[' || s[len(s)-1] != ']' || depth == maxRank {
		return false
	}
	if strings.TrimSpace(s[1:len(s)-1]) == "" {
		return depth == 0 // an array of nothing; a matrix has no rows of nothing
	}
	if strings.HasPrefix(strings.TrimSpace(s[1:]), "[") {
		rows := splitRows(s[1 : len(s)-1])
		for _, row := range rows {
			if !m.is(depth, len(rows)) || !m.take(row, depth+1) {
				return false
			}
		}
		return true
	}
	list := elements(s)
	for _, e := range list {
		m.out.Aux = append(binary.AppendUvarint(m.out.Aux, uint64(len(e))), e...)
	}
	return m.is(depth, len(list))
}

// is says whether there may be n in the dimension depth: as many as there were before.
func (m *matrixText) is(depth, n int) bool {
	for len(m.dims) <= depth {
		m.dims = append(m.dims, 0)
	}
	if m.dims[depth] == 0 {
		m.dims[depth] = uint32(n)
	}
	return m.dims[depth] == uint32(n)
}

// splitRows splits at the commas that are outside of brackets and of texts.
func splitRows(s string) (rows []string) {
	from, deep, quoted, escaped := 0, 0, false, false
	for i := range len(s) {
		switch c := s[i]; {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[':
			deep++
		case c == ']':
			deep--
		case c == ',' && deep == 0:
			rows, from = append(rows, s[from:i]), i+1
		}
	}
	return append(rows, s[from:])
}
