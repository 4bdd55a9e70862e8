package opcua

import (
	"fmt"
	"testing"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// variables adds n variables s=v0 ... to namespace 1, all in one store, below Objects.
func variables(t testing.TB, s *Space, n int) *memory {
	t.Helper()
	m := newMemory(n)
	nodes := make([]Node, n)
	for i := range nodes {
		name := fmt.Sprintf("v%d", i)
		nodes[i] = Node{
			Id: ua.StringId(1, name), Class: ua.NodeClassVariable, BrowseName: ua.QualifiedName{NamespaceIndex: 1, Name: name},
			DataType: stdId(11), ValueRank: -1, AccessLevel: AccessCurrentRead | AccessCurrentWrite, Store: m, Key: uint64(i),
		}
	}
	if err := s.Add(stdId(ns0.ObjectsFolder), stdId(ns0.Organizes), nodes...); err != nil {
		t.Fatal(err)
	}
	return m
}

func readOf(stamps ua.TimestampsToReturn, ids ...ua.NodeId) *ua.ReadRequest {
	r := &ua.ReadRequest{TimestampsToReturn: stamps}
	for _, id := range ids {
		r.NodesToRead = append(r.NodesToRead, ua.ReadValueId{NodeId: id, AttributeId: ua.AttributeValue})
	}
	return r
}

func textIds(ns uint16, n int) []ua.NodeId {
	ids := make([]ua.NodeId, n)
	for i := range ids {
		ids[i] = ua.StringId(ns, fmt.Sprintf("v%d", i))
	}
	return ids
}

func TestReadAnswersInOrderAndAsksOnce(t *testing.T) {
	s, far := mounted(t, 1000)
	near := variables(t, s, 1000)
	k := deskFor(t, s)
	for ns, m := range map[uint16]*memory{1: near, memoryNamespace: far} {
		r, status := ask[ua.ReadResponse](k, k.server.serveRead, readOf(ua.TimestampsToReturnBoth, textIds(ns, 1000)...))
		if status != ua.Good || len(r.Results) != 1000 || m.batches != 1 {
			t.Fatalf("namespace %d: %v, %d results in %d batches", ns, status, len(r.Results), m.batches)
		}
		for i := range r.Results {
			v := &r.Results[i]
			if f, ok := v.Value.Float64(); !ok || f != float64(i) || v.SourceTimestamp != ua.DateTime(1e17+int64(i)) || v.ServerTimestamp == 0 || v.Status != ua.Good {
				t.Fatalf("namespace %d, %d: %+v", ns, i, v)
			}
		}
	}
}

func TestReadDoesNotAllocate(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	s, _ := mounted(t, 1000)
	variables(t, s, 1000)
	k := deskFor(t, s)
	out := make([]byte, 0, 1<<17)
	for _, ns := range []uint16{1, memoryNamespace} {
		for _, n := range []int{1, 1000} {
			d := request(t, readOf(ua.TimestampsToReturnBoth, textIds(ns, n)...))
			got := testing.AllocsPerRun(100, func() {
				again := *d
				if _, status := k.server.serveRead(t.Context(), k.call, &again, out); status != ua.Good {
					t.Fatal(status)
				}
			})
			if got != 0 {
				t.Errorf("namespace %d: a Read of %d allocates %v times", ns, n, got)
			}
		}
	}
}

func BenchmarkRead(b *testing.B) {
	s, _ := mounted(b, 1000)
	variables(b, s, 1000)
	k := deskFor(b, s)
	out := make([]byte, 0, 1<<17)
	for _, bench := range []struct {
		name string
		ns   uint16
		n    int
	}{{"1000 texts", 1, 1000}, {"1000 texts of a NodeStore", memoryNamespace, 1000}, {"one text", 1, 1}} {
		b.Run(bench.name, func(b *testing.B) {
			d := request(b, readOf(ua.TimestampsToReturnBoth, textIds(bench.ns, bench.n)...))
			b.ReportAllocs()
			for b.Loop() {
				again := *d
				if _, status := k.server.serveRead(b.Context(), k.call, &again, out); status != ua.Good {
					b.Fatal(status)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(bench.n), "ns/value")
		})
	}
}
