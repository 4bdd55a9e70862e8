package driver

import (
	"errors"
	"testing"

	"millrace/internal/tag"
)

// What an address does not take is known before the device is asked, and is told apart from what the device refuses.
func TestCheckValue(t *testing.T) {
	text := func(s string) tag.Value { return tag.Value{Kind: tag.String, Aux: []byte(s)} }
	number := func(n int) tag.Value { return tag.Value{Kind: tag.Int64, Bits: uint64(n)} }
	for _, c := range []struct {
		d       Dialect
		address string
		v       tag.Value
		good    bool
	}{
		{Modbus{}, "holding:40:string[10]", text("abcdefghij"), true},
		{Modbus{}, "holding:40:string[10]", text("abcdefghijk"), false},
		{Modbus{}, "holding:30:float16", tag.Float64Value(65520), false},
		{Modbus{}, "holding:31.3", tag.Value{Kind: tag.Bool, Bits: 1}, true},
		{Modbus{}, "input:31", number(1), false},
		{Modbus{}, "holding:60:float32[4]", tag.Value{Kind: tag.Float32 | tag.Array}, false},
		{S7{}, "DB3.DBB62:STRING[20]", text("12345678901234567890"), true},
		{S7{}, "DB3.DBB62:STRING[20]", text("123456789012345678901"), false},
		{S7{}, "DB3.DBW164:COUNTER", number(1000), false},
		{S7{}, "PIW256", number(1), false},
		{OPCUA{}, "ns=2;s=Set;Int16", number(1), true},
		{OPCUA{}, "ns=2;s=Set;Int16", number(40000), false},
		{OPCUA{}, "ns=2;s=Set", number(40000), true}, // the server knows
		{OPCUA{}, "ns=2;s=Set;BrowseName", text("x"), false},
	} {
		err := c.d.CheckValue(c.address, c.v)
		if (err == nil) != c.good {
			t.Errorf("%s = %v: %v", c.address, c.v, err)
		}
		var e interface{ Unwritable() bool }
		if err != nil && (!errors.As(err, &e) || !e.Unwritable()) {
			t.Errorf("%s = %v: %T does not say that nothing is sent", c.address, c.v, err)
		}
	}
}
