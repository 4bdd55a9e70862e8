package driver

import (
	"errors"
	"strings"
	"testing"

	"millrace/internal/tag"
	"millrace/opcua/ua"
)

func TestOPCUACanonical(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"i=2258", "i=2258"},
		{" ns=0;i=2258 ", "i=2258"},
		{"ns=2;i=5", "ns=2;i=5"},
		{"ns=2;s=Tank.Level", "ns=2;s=Tank.Level"},
		{"ns=2;s=Main Tank", "ns=2;s=Main Tank"},
		{"nsu=urn:vendor:plc;s=Tank", "nsu=urn:vendor:plc;s=Tank"},
		{"nsu=http://vendor.example/UA/;i=5", "nsu=http://vendor.example/UA/;i=5"},
		{"nsu=urn:a%3Bb%25c;i=5", "nsu=urn:a%3Bb%25c;i=5"},
		{"nsu=urn:50%;i=5", "nsu=urn:50%25;i=5"},
		{"nsu=http://opcfoundation.org/UA/;i=2258", "i=2258"},
		{"ns=1;g=72962b91-fa75-4ae6-8d28-b404dc7daf63", "ns=1;g=72962B91-FA75-4AE6-8D28-B404DC7DAF63"},
		{"ns=1;b=aGVsbG8=", "ns=1;b=aGVsbG8="},
		// ranges
		{"ns=2;s=a;[1:3]", "ns=2;s=a;[1:3]"},
		{"ns=2;s=a[1:3]", "ns=2;s=a;[1:3]"},
		{"ns=2;s=a;[2]", "ns=2;s=a;[2]"},
		{"ns=2;i=5[2]", "ns=2;i=5;[2]"},
		{"nsu=urn:x;i=5[0:1,2]", "nsu=urn:x;i=5;[0:1,2]"},
		{"ns=1;b=aGVsbG8=[007]", "ns=1;b=aGVsbG8=;[7]"},
		{`ns=3;s="DB1"."arr"[3]`, `ns=3;s="DB1"."arr"[3]`},
		{`ns=3;s="DB1"."arr"[3];[1]`, `ns=3;s="DB1"."arr"[3];[1]`},
		{`ns=3;s="DB1"."m"[1,2]`, `ns=3;s="DB1"."m"[1,2]`},
		{"ns=2;s=a[1:3];", "ns=2;s=a[1:3];"},
		{"ns=2;s=a[1:3];;[2]", "ns=2;s=a[1:3];;[2]"},
		{"i=2258[x]", ""},
		// types and attributes
		{"ns=2;s=a;Int16", "ns=2;s=a;Int16"},
		{"ns=2;s=a;int16", "ns=2;s=a;Int16"},
		{"ns=2;s=a;DINT", "ns=2;s=a;Int32"},
		{"ns=2;s=a;float64[]", "ns=2;s=a;Double[]"},
		{"ns=2;s=a;Double;[2]", "ns=2;s=a;[2];Double"},
		{"ns=2;s=a;displayname", "ns=2;s=a;DisplayName"},
		{"ns=2;s=a;Value", "ns=2;s=a"},
		{"ns=2;s=a;NodeId", "ns=2;s=a;NodeId"},
		{"ns=2;s=a;b", "ns=2;s=a;b"},
		{"ns=2;s=a;Int16;", "ns=2;s=a;Int16;"},
		{"ns=2;s=a;Int16;;Int32", "ns=2;s=a;Int16;;Int32"},
		{"ns=2;s=a;;", "ns=2;s=a;;"},
		{"ns=2;s=a ;", "ns=2;s=a ;"},
		{"ns=2;s=a;b;", "ns=2;s=a;b"},
		// browse paths
		{"/0:Objects/2:Tank", "/Objects/2:Tank"},
		{"/Objects/2:Tank", "/Objects/2:Tank"},
		{"/Root/Objects/2:Tank", "/Objects/2:Tank"},
		{"/Objects/nsu=urn:vendor/a;Tank/Level", "/Objects/nsu=urn:vendor/a;Tank/Level"},
		{"/Objects/nsu=http://opcfoundation.org/UA/;Server", "/Objects/Server"},
		{"/Objects/2:a&/b&:c", "/Objects/2:a&/b&:c"},
		{"/Objects/2:a:b", "/Objects/2:a&:b"},
		{"/Objects/0:2&:a", "/Objects/2&:a"},
		{"/Objects/x.y", "/Objects/x.y"},
		{"/Objects/0:nsu=x", "/Objects/0:nsu=x"},
		{"/Objects/0:nsu/a", "/Objects/0:nsu/a"},
		{"/Objects/2:Tank[1:3]", "/Objects/2:Tank;[1:3]"},
		{"/Objects/2:Tank[3]", "/Objects/2:Tank[3]"},
		{"/Objects/2:Tank;[3];UInt32", "/Objects/2:Tank;[3];UInt32"},
		{"/Objects/2:Tank;Int16;", "/Objects/2:Tank;Int16;"},
	} {
		got, err := OPCUA{}.Canonical(c.in)
		if c.want == "" {
			if err == nil {
				t.Errorf("Canonical(%q) = %q", c.in, got)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("Canonical(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
		if again, err := (OPCUA{}).Canonical(c.want); err != nil || again != c.want {
			t.Errorf("Canonical(%q) = %q, %v", c.want, again, err)
		}
	}
}

func TestBadOPCUAAddresses(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "empty"},
		{";", "empty"},
		{";Int16", "empty"},
		{"holding:100", "write nsu=<uri>;s=<name>"},
		{"ns=2,s=a", "did you mean ns=2;s=a?"},
		{"NS=2;s=a", "written small"},
		{"ns=2;S=a", "stands i=, s=, g= or b="},
		{"ns=2;a", "stands i=, s=, g= or b="},
		{"ns=70000;i=1", "no node id"},
		{"i=x", "no node id"},
		{"i=4294967296", "no node id"},
		{"g=1", "no node id"},
		{"b=!", "no node id"},
		{"ns=2;s=", "names nothing"},
		{"i=0", "names nothing"},
		{"nsu=urn:x", "where its URI ends"},
		{"nsu=;i=1", "where its URI ends"},
		{"nsu=urn:x;ns=2;i=1", "two namespaces"},
		{"svr=1;i=5", "another server"},
		{"ns=2;s=" + strings.Repeat("a", 4097), "4096 are the most"},
		{"Objects/2:Tank", "did you mean /Objects/2:Tank?"},
		{"/", "has no name"},
		{"/Objects//a", "has no name"},
		{"/Objects/2:", "has no name"},
		{"/Objects/nsu=urn:x", "where its URI ends"},
		{"/" + strings.Repeat("a/", 64) + "a", "too long"},
		{"/Objects/nsu", "is 0:nsu"},
		{"ns=2;i=5;[3:1]", "no range"},
		{"ns=2;i=5;[a]", "no range"},
		{"ns=2;i=5;[]", "no range"},
		{"ns=2;i=5;[1];[2]", "two ranges"},
		{"ns=2;i=5;Int16;Int32", "two types"},
		{"ns=2;i=5;DisplayName;DataType", "two attributes"},
		{"ns=2;i=5;DisplayName;[1]", "has no elements"},
	} {
		got, err := OPCUA{}.Canonical(c.in)
		var ae *AddressError
		if err == nil || !errors.As(err, &ae) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Canonical(%q) = %q, %v; want an error with %q", c.in, got, err, c.want)
		}
	}
}

func TestOPCUAKinds(t *testing.T) {
	for typ := ua.TypeBoolean; typ <= ua.TypeDiagnosticInfo; typ++ {
		if k := opcuaKind(typ); k == tag.Null || !k.Valid() {
			t.Errorf("%v has no kind", typ)
		}
	}
	for in, want := range map[string]tag.Kind{
		"i=1": tag.Null, "i=1;Int16": tag.Int16, "i=1;Guid": tag.String, "i=1;Double[]": tag.Float64 | tag.Array, "i=1;StatusCode": tag.Uint32, "i=1;bytes": tag.ByteString,
	} {
		if d, err := (OPCUA{}).Describe(in); err != nil || d.Kind != want {
			t.Errorf("%s is %v, %v; want %v", in, d.Kind, err, want)
		}
	}
}

// What is written behind an address, with or without a type, is told apart at the right =.
func TestOPCUAAssignments(t *testing.T) {
	for in, want := range map[string]Assignment{
		"ns=2;s=a=42":                  {"ns=2;s=a", "42"},
		"ns=2;s=a;Int16=42":            {"ns=2;s=a;Int16", "42"},
		"nsu=http://x/?q=1;s=a=x=y":    {"nsu=http://x/?q=1;s=a", "x=y"},
		"/Objects/2:Tank;[1]=7":        {"/Objects/2:Tank;[1]", "7"},
		"/Objects/nsu=urn:x;Tank=true": {"/Objects/nsu=urn:x;Tank", "true"},
		"ns=1;b=aGVsbG8==5":            {"ns=1;b=aGVsbG8=", "5"},
		"ns=2;i=7;String[]=[\"a\"]":    {"ns=2;i=7;String[]", `["a"]`},
	} {
		if got, err := ParseAssignment(OPCUA{}, in); err != nil || got != want {
			t.Errorf("%s is %+v, %v", in, got, err)
		}
	}
}

func FuzzOPCUAAddress(f *testing.F) {
	for _, s := range []string{"nsu=urn:x;s=a;[1:3]", "ns=2;i=5[2];Int16", "/Objects/2:a&/b/nsu=urn:y;c;", `ns=3;s="DB1"."a"[3]`, "ns=1;g=72962b91-fa75-4ae6-8d28-b404dc7daf63",
		"ns=1;b=aGVsbG8=", "ns=2;s=a;Int16;;Int32", "ns=2;s=a ;", "/0:nsu=x", "i=1;DisplayName"} {
		f.Add(s)
	}
	f.Add("/a" + strings.Repeat(":", maxNodeText-2)) // too long when it is escaped
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parseOPCUA(s)
		if err != nil {
			return
		}
		again, err := parseOPCUA(p.String())
		if err != nil || again != p {
			t.Errorf("%q is %+v, and %q is %+v, %v", s, p, p.String(), again, err)
		}
		if p.path != "" {
			if steps, err := pathSteps(p.path); err != nil || len(steps) == 0 {
				t.Errorf("%q has the path %q: %v", s, p.path, err)
			}
		}
	})
}
