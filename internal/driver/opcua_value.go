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

// parseScalar reads a text as a value of type t.
func parseScalar(s string, t ua.TypeId) (tag.Value, bool) {
	switch t {
	case ua.TypeBoolean:
		return parseBool(s)
	case ua.TypeDateTime:
		return parseDateTime(s)
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

// parseElements reads [1,2,3] or ["a","b"] as texts.
func parseElements(s string) (tag.Value, bool) {
	if !strings.HasPrefix(s, "[") || !strings.HasSuffix(s, "]") {
		return tag.Value{}, false
	}
	out := tag.Value{Kind: tag.String | tag.Array}
	if strings.TrimSpace(s[1:len(s)-1]) == "" {
		return out, true
	}
	for _, e := range elements(s) {
		out.Aux = append(binary.AppendUvarint(out.Aux, uint64(len(e))), e...)
	}
	return out, true
}
