package opcua

import (
	"testing"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// fuzzedService is a service, and a response to decode what it answers.
type fuzzedService struct {
	serve    service
	response func() ua.Message
}

func fuzzedServices(s *Server) []fuzzedService {
	return []fuzzedService{
		{s.serveRead, func() ua.Message { return new(ua.ReadResponse) }},
		{s.serveWrite, func() ua.Message { return new(ua.WriteResponse) }},
		{s.serveBrowse, func() ua.Message { return new(ua.BrowseResponse) }},
		{s.serveBrowseNext, func() ua.Message { return new(ua.BrowseNextResponse) }},
		{s.serveTranslateBrowsePaths, func() ua.Message { return new(ua.TranslateBrowsePathsToNodeIdsResponse) }},
		{s.serveRegisterNodes, func() ua.Message { return new(ua.RegisterNodesResponse) }},
		{s.serveUnregisterNodes, func() ua.Message { return new(ua.UnregisterNodesResponse) }},
		{s.serveCall, func() ua.Message { return new(ua.CallResponse) }},
		{s.serveHistoryRead, func() ua.Message { return new(ua.HistoryReadResponse) }},
	}
}

// The first byte selects a service, the rest is its request behind the header. Two requests are served on one session, so that continuation points and
// registered nodes of the first meet the second. Whatever comes, what is answered with Good can be decoded and is no longer than allowed.
func FuzzNodeServices(f *testing.F) {
	s := adder(f)
	zoo(f, s)
	seed := func(service byte, m ua.Message) { f.Add(append([]byte{service}, request(f, m).Rest()...)) }
	seed(0, readOf(2, ua.StringId(1, "variable"), ua.StringId(memoryNamespace, "v0"), stdId(ns0.Server), ua.GuidId(1, ua.Guid{D1: 4}), ua.OpaqueId(1, []byte("x")), ua.NumericId(aliasNamespace, 0)))
	seed(0, &ua.ReadRequest{NodesToRead: []ua.ReadValueId{{NodeId: ua.StringId(1, "variable"), AttributeId: 13, IndexRange: "1:2", DataEncoding: named(0, "Default Binary")}}})
	seed(1, &ua.WriteRequest{NodesToWrite: []ua.WriteValue{writeOf(ua.StringId(1, "variable"), ua.DoubleArray([]float64{1})), writeOf(ua.StringId(memoryNamespace, "v0"), ua.Double(1))}})
	seed(2, browseOf(1, stdId(ns0.ObjectsFolder), ua.StringId(memoryNamespace, "folder")))
	seed(2, &ua.BrowseRequest{View: ua.ViewDescription{ViewId: ua.StringId(1, "view")}, NodesToBrowse: browseOf(0, ua.StringId(1, "view")).NodesToBrowse})
	point := pointId(1)
	seed(3, &ua.BrowseNextRequest{ContinuationPoints: [][]byte{point[:], nil}})
	seed(4, &ua.TranslateBrowsePathsToNodeIdsRequest{BrowsePaths: []ua.BrowsePath{pathOf(stdId(ns0.RootFolder), named(0, "Objects"), named(2, "Memory"), named(2, "v0"))}})
	seed(5, &ua.RegisterNodesRequest{NodesToRegister: []ua.NodeId{ua.StringId(1, "variable")}})
	seed(6, &ua.UnregisterNodesRequest{NodesToUnregister: []ua.NodeId{ua.NumericId(aliasNamespace, 0)}})
	seed(7, &ua.CallRequest{MethodsToCall: []ua.CallMethodRequest{{ObjectId: ua.StringId(1, "machine"), MethodId: ua.StringId(1, "type.add"), InputArguments: []ua.Variant{ua.Int32(1), ua.Int32(2)}}}})
	seed(8, historyOf(ua.ReadRawModifiedDetails{StartTime: 1, EndTime: 2}, ua.StringId(1, "variable"), nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		k := deskFor(t, s)
		list := fuzzedServices(k.server)
		x := list[int(b[0])%len(list)]
		for range 2 {
			d := ua.NewDecoder(b[1:], ua.Limits{})
			d.Alias = true
			var h ua.ResponseHeader
			out, status := x.serve(t.Context(), k.call, &d, h.AppendTo(nil))
			if status != ua.Good {
				continue
			}
			if len(out) > responseRoom+1<<16 {
				t.Errorf("%d bytes", len(out))
			}
			back := ua.NewDecoder(out, ua.Limits{})
			x.response().DecodeFrom(&back)
			if err := back.Done(); err != nil {
				t.Errorf("service %d: %v", b[0], err)
			}
		}
	})
}
