package nodeset

import (
	"bytes"
	"runtime"
	"slices"
	"testing"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

func loadNS0(t testing.TB) *Set {
	t.Helper()
	s, err := NS0()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func find(s *Set, id ua.NodeId) *Node {
	for i := range s.Nodes {
		if s.Nodes[i].Id == id {
			return &s.Nodes[i]
		}
	}
	return nil
}

func TestNS0IsComplete(t *testing.T) {
	s := loadNS0(t)
	if len(s.Nodes) != 5476 {
		t.Fatalf("%d nodes", len(s.Nodes))
	}
	if m := s.Models; len(m) != 1 || m[0].Uri != NamespaceUA || m[0].Version != "1.05.07" {
		t.Fatalf("models %+v", m)
	}
	classes := map[ua.NodeClass]int{}
	values := 0
	for i := range s.Nodes {
		n := &s.Nodes[i]
		classes[n.Class]++
		if !n.Value.IsNull() {
			values++
		}
		if x, ok := n.Value.ExtensionObject(); ok && x.Xml {
			t.Errorf("the value of %s is still XML", n.Id)
		}
	}
	t.Log(classes, values, "values")
	checkServerArray(t, s)
	checkMethod(t, s)
	checkDefinitions(t, s)
}

func checkServerArray(t *testing.T, s *Set) {
	t.Helper()
	n := find(s, ua.NumericId(0, ns0.Server_NamespaceArray))
	if n.BrowseName.Name != "NamespaceArray" || n.Class != ua.NodeClassVariable || n.DataType != ua.NumericId(0, ns0.String) || n.ValueRank != 1 || n.AccessLevel != 1 {
		t.Fatalf("NamespaceArray is %+v", n)
	}
	up := Reference{Type: ua.NumericId(0, ns0.HasProperty), Target: ua.NumericId(0, ns0.Server)}
	if !slices.Contains(n.References, up) {
		t.Fatalf("references %v", n.References)
	}
}

func checkMethod(t *testing.T, s *Set) {
	t.Helper()
	n := find(s, ua.NumericId(0, ns0.Server_GetMonitoredItems_InputArguments))
	args, ok := ua.ArrayOf[ua.ExtensionObject](n.Value)
	if !ok || len(args) != 1 {
		t.Fatalf("value %v", n.Value)
	}
	var a ua.Argument
	if err := args[0].Decode(&a, ua.Limits{}); err != nil {
		t.Fatal(err)
	}
	if a.Name != "SubscriptionId" || a.DataType != ua.NumericId(0, ns0.UInt32) || a.ValueRank != -1 {
		t.Fatalf("argument %+v", a)
	}
}

func checkDefinitions(t *testing.T, s *Set) {
	t.Helper()
	token := find(s, ua.NumericId(0, ns0.UserNameIdentityToken)).Structure
	var names []string
	for _, f := range token.Fields {
		names = append(names, f.Name)
	}
	if !slices.Equal(names, []string{"PolicyId", "UserName", "Password", "EncryptionAlgorithm"}) {
		t.Fatalf("fields %v", names)
	}
	if token.DefaultEncodingId != ua.NumericId(0, ns0.UserNameIdentityToken_Encoding_DefaultBinary) {
		t.Fatalf("encoding %v", token.DefaultEncodingId)
	}
	state := find(s, ua.NumericId(0, ns0.ServerState)).Enum
	if len(state.Fields) != 8 || state.Fields[1].Name != "Failed" || state.Fields[1].Value != 1 {
		t.Fatalf("ServerState %+v", state)
	}
}

func TestCompactFormReadsAsItWasWritten(t *testing.T) {
	s := loadNS0(t)
	if b := s.AppendTo(nil); !bytes.Equal(b, []byte(ns0Binary)) {
		t.Fatalf("%d bytes, not the %d that were loaded", len(b), len(ns0Binary))
	}
}

func TestCost(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	s := loadNS0(t)
	took := time.Since(start)
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d nodes of %d bytes in %v: %d kB live, %d kB allocated", len(s.Nodes), len(ns0Binary), took,
		(after.HeapAlloc-before.HeapAlloc)>>10, (after.TotalAlloc-before.TotalAlloc)>>10)
	if live := after.HeapAlloc - before.HeapAlloc; live > 15<<20 {
		t.Errorf("%d bytes live", live)
	}
	runtime.KeepAlive(s)
}
