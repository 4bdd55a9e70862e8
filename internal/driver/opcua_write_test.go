package driver

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// Values are written as the type that the node has, and come back.
func TestOPCUAWrites(t *testing.T) {
	s := newUA(t, nil)
	for _, c := range []struct{ address, value, want string }{
		{"nsu=urn:plant;s=rw.bool", "true", "true"},
		{"nsu=urn:plant;s=rw.sbyte", "-5", "-5"},
		{"nsu=urn:plant;s=rw.byte", "200", "200"},
		{"nsu=urn:plant;s=rw.int16", "-300", "-300"},
		{"nsu=urn:plant;s=rw.uint16", "65535", "65535"},
		{"nsu=urn:plant;s=rw.int32", "-70000", "-70000"},
		{"nsu=urn:plant;s=rw.uint32", "4294967295", "4294967295"},
		{"nsu=urn:plant;s=rw.int64", "-9223372036854775808", "-9223372036854775808"},
		{"nsu=urn:plant;s=rw.uint64", "18446744073709551615", "18446744073709551615"},
		{"nsu=urn:plant;s=rw.float", "1.5", "1.5"},
		{"nsu=urn:plant;s=rw.double", "-2.25", "-2.25"},
		{"nsu=urn:plant;s=rw.string", "007", "007"},
		{"nsu=urn:plant;s=rw.time", "2025-03-01", `"2025-03-01T00:00:00Z"`},
		{"nsu=urn:plant;s=rw.bytes", "0x0102", `"AQI="`},
		{"nsu=urn:plant;s=rw.text", "Kessel", "Kessel"},
		{"nsu=urn:plant;s=rw.row", "[7,8]", "[7,8]"},
		{"nsu=urn:plant;s=rw.names", `["x","y"]`, `["x","y"]`},
		{"nsu=urn:plant;s=rw.any", "3.5", "3.5"},
		{"nsu=urn:plant;s=rw.status", "BadNoCommunication", "2150694912"},
		{"nsu=urn:plant;s=rw.matrix", "[[1,2,3],[4,5,6]]", "[1,2,3,4,5,6]"},
		{"nsu=urn:plant;s=rw.matrix", "[6,5,4,3,2,1]", "[6,5,4,3,2,1]"},
		{"nsu=urn:plant;s=rw.enum", "4", "4"},
		{"/Objects/nsu=urn:plant;Plant/nsu=urn:plant;rw.int32", "5", "5"},
		{"nsu=urn:plant;s=rw.int32;Int32", "6", "6"},
	} {
		a := addrOPCUA(t, s.url(""))
		results, err := WriteOnce(context.Background(), OPCUA{}, a, []Assignment{{c.address, c.value}}, time.Second)
		if err != nil || results[0].Err != nil {
			t.Errorf("%s=%s: %v, %+v", c.address, c.value, err, results)
			continue
		}
		got, err := ReadOnce(context.Background(), OPCUA{}, a, []string{c.address}, time.Second)
		if err != nil || got[0].Value.String() != c.want || got[0].Kind == tag.Null {
			t.Errorf("%s is %s (%v), %v", c.address, got[0].Value, got[0].Kind, err)
		}
	}
}

// A matrix that does not have as many rows and columns as the server's has is refused here, with words.
func TestOPCUAMatricesThatDoNotFit(t *testing.T) {
	s := newUA(t, nil)
	a := addrOPCUA(t, s.url(""))
	for value, want := range map[string]string{"[1,2,3]": "3 values for a matrix of 2x3", "[[[1,2,3],[4,5,6]]]": "a matrix of 2 dimensions"} {
		results, err := WriteOnce(context.Background(), OPCUA{}, a, []Assignment{{"nsu=urn:plant;s=rw.matrix", value}}, time.Second)
		if err != nil || results[0].Err == nil || results[0].MayHaveHappened || !strings.Contains(results[0].Err.Error(), want) {
			t.Errorf("%s: %v, %+v; want %q", value, err, results, want)
		}
	}
}

func TestOPCUAWritesAnElement(t *testing.T) {
	s := newUA(t, nil)
	a := addrOPCUA(t, s.url(""))
	results, err := WriteOnce(context.Background(), OPCUA{}, a, []Assignment{{"nsu=urn:plant;s=rw.row;[1]", "99"}, {"nsu=urn:plant;s=rw.row;[0:1]", "[5,6]"}}, time.Second)
	got, err2 := ReadOnce(context.Background(), OPCUA{}, a, []string{"nsu=urn:plant;s=rw.row"}, time.Second)
	if err != nil || err2 != nil || results[0].Err != nil || results[1].Err != nil || got[0].Value.String() != "[5,6,3]" {
		t.Errorf("%v, %+v, %s", err, results, got[0].Value)
	}
}

func TestOPCUAWritesThatAreRefused(t *testing.T) {
	s, w := newUA(t, nil), newWatcher()
	x := s.open(w, "")
	p := planOPCUA(t, s.url(""), nil)
	tags := specs("nsu=urn:plant;s=level", "nsu=urn:plant;s=nothing", "nsu=urn:nowhere;s=x", "/Objects/Nothing", "nsu=urn:plant;s=rw.int16", "nsu=urn:plant;s=rw.int16;Double", "nsu=urn:plant;s=rw.double", "nonsense")
	writes := make([]device.Write, len(tags))
	for i := range tags {
		writes[i] = device.Write{Tag: tags[i], Value: tag.Float64Value(2.5)}
	}
	r := make([]device.Result, len(tags))
	if err := x.Write(context.Background(), p, writes, r); err != nil {
		t.Fatal(err)
	}
	var refused *NodeRefusedError
	for i, want := range []ua.StatusCode{ua.BadNotWritable, ua.BadNodeIdUnknown, ua.BadNodeIdUnknown, ua.BadNodeIdUnknown, 0, ua.BadTypeMismatch, 0, 0} {
		if want != 0 && (!errors.As(r[i].Err, &refused) || refused.Status != want) {
			t.Errorf("%s: %v, want %v", tags[i].Address, r[i].Err, want)
		}
		if r[i].MayHaveHappened {
			t.Errorf("%s may have happened", tags[i].Address)
		}
	}
	var ve *ValueError
	if !errors.As(r[4].Err, &ve) || r[6].Err != nil || r[7].Err == nil {
		t.Errorf("%v, %v, %v", r[4].Err, r[6].Err, r[7].Err)
	}
	// No answer: nobody knows.
	w.hear(func() { w.timeout = 20 * time.Millisecond })
	s.set(func() { s.refuse[ns0.WriteRequest_Encoding_DefaultBinary] = opcua.NoAnswer })
	r = make([]device.Result, 1)
	var ne net.Error
	if err := x.Write(context.Background(), p, writes[6:7], r); !errors.As(err, &ne) || !ne.Timeout() || !r[0].MayHaveHappened || r[0].Err == nil {
		t.Errorf("%v, %+v", err, r)
	}
	if n := s.times(ns0.WriteRequest_Encoding_DefaultBinary); n != 2 {
		t.Errorf("%d requests to write", n)
	}
}

func TestOPCUAOpenSaysWhatIsWrong(t *testing.T) {
	s := newUA(t, nil)
	for query, want := range map[string]string{
		"?security=Basic256Sha256": "pki",
		"?user=u&password=p":       "look at user and password",
		"?security=encrypt":        "pki",
		"?nonsense=1":              "no such option",
	} {
		_, err := OPCUA{}.Open(context.Background(), addrOPCUA(t, s.url(query)), device.Limits{}, newWatcher())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", query, err, want)
		}
	}
	_, err := OPCUA{PKI: t.TempDir()}.Open(context.Background(), addrOPCUA(t, s.url("")), device.Limits{}, newWatcher())
	if err == nil || !strings.Contains(err.Error(), "security none") {
		t.Error(err)
	}
}
