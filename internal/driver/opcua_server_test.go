package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/listen/listentest"
	"millrace/internal/tag"
	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// uaServer is an OPC UA server on loopback, with what a test wants to be wrong.
type uaServer struct {
	t      testing.TB
	space  *opcua.Space
	server *opcua.Server
	ns     uint16 // of urn:plant
	addr   string
	stop   func()

	mu     sync.Mutex
	once   map[uint32]ua.StatusCode // by service: its next answer
	refuse map[uint32]ua.StatusCode // by service: its answers
	asked  map[uint32]int
}

const plantURI = "urn:plant"

// newUA serves a folder Plant with variables of several types, after f has had its way with what the server is made with.
func newUA(t testing.TB, f func(c *opcua.ServerConfig)) *uaServer {
	t.Helper()
	s := &uaServer{t: t, refuse: map[uint32]ua.StatusCode{}, asked: map[uint32]int{}}
	var err error
	if s.space, err = opcua.NewSpace(opcua.SpaceConfig{ApplicationURI: "urn:test"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.space.AddNamespace("urn:in:between"); err != nil {
		t.Fatal(err)
	}
	if s.ns, err = s.space.AddNamespace(plantURI); err != nil {
		t.Fatal(err)
	}
	s.fill()
	s.serve("127.0.0.1:0", f)
	t.Cleanup(func() { s.stop() })
	return s
}

// serve serves the space on addr until stop.
func (s *uaServer) serve(addr string, f func(c *opcua.ServerConfig)) {
	s.t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.serveOn(ln, f)
}

func (s *uaServer) serveOn(ln net.Listener, f func(c *opcua.ServerConfig)) {
	s.t.Helper()
	cfg := opcua.ServerConfig{Space: s.space, Intercept: s, AnonymousRoles: opcua.RoleRead | opcua.RoleWrite, DrainTimeout: time.Second}
	if f != nil {
		f(&cfg)
	}
	srv, err := opcua.NewServer(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	serving := listentest.On(s.t, srv, ln)
	s.server, s.addr, s.stop = srv, serving.Addr, serving.End
}

func (s *uaServer) Request(_ context.Context, r *opcua.ServerRequest) (ua.StatusCode, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[r.Service]++
	if status, ok := s.once[r.Service]; ok {
		delete(s.once, r.Service)
		return status, nil
	}
	return s.refuse[r.Service], nil
}

func (s *uaServer) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *uaServer) times(service uint32) (n int) {
	s.set(func() { n = s.asked[service] })
	return n
}

func (s *uaServer) id(name string) ua.NodeId { return ua.StringId(s.ns, name) }

// uaValues are the variables of Plant by their names. Those that begin with rw may be written.
func uaValues() map[string]ua.Variant {
	return map[string]ua.Variant{
		"level": ua.Double(1.5), "count": ua.Int32(-7), "name": ua.String("Kessel"), "running": ua.Bool(true), "bytes": ua.ByteString([]byte{1, 2}),
		"when": ua.DateTimeValue(ua.DateTimeOf(time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC))), "row": ua.Int16Array([]int16{10, 20, 30, 40}),
		"rw.bool": ua.Bool(false), "rw.sbyte": ua.SByte(0), "rw.byte": ua.Byte(0), "rw.int16": ua.Int16(0), "rw.uint16": ua.UInt16(0), "rw.int32": ua.Int32(0),
		"rw.uint32": ua.UInt32(0), "rw.int64": ua.Int64(0), "rw.uint64": ua.UInt64(0), "rw.float": ua.Float(0), "rw.double": ua.Double(0), "rw.string": ua.String(""),
		"rw.time": ua.DateTimeValue(0), "rw.bytes": ua.ByteString(nil), "rw.text": ua.LocalizedTextValue(ua.LocalizedText{}), "rw.row": ua.Int32Array([]int32{1, 2, 3}),
		"rw.names": ua.StringArray([]string{"a"}), "rw.any": ua.Float(2), "rw.enum": ua.Int32(1), "rw.status": ua.StatusValue(0),
		"rw.matrix": ua.Matrix([]uint32{2, 3}, ua.Int16Array(make([]int16, 6))),
	}
}

func (s *uaServer) fill() {
	s.t.Helper()
	folder := s.id("plant")
	must := func(err error) {
		if err != nil {
			s.t.Fatal(err)
		}
	}
	must(s.space.Add(ua.NumericId(0, ns0.ObjectsFolder), ua.NumericId(0, ns0.Organizes), opcua.Node{Id: folder, Class: ua.NodeClassObject,
		BrowseName: ua.QualifiedName{NamespaceIndex: s.ns, Name: "Plant"}, TypeDefinition: ua.NumericId(0, ns0.FolderType)}))
	mode := s.id("ModeType")
	must(s.space.Add(ua.NumericId(0, ns0.Enumeration), ua.NumericId(0, ns0.HasSubtype), opcua.Node{Id: mode, Class: ua.NodeClassDataType, BrowseName: ua.QualifiedName{NamespaceIndex: s.ns, Name: "ModeType"}}))
	for name, v := range uaValues() {
		n := opcua.Node{Id: s.id(name), Class: ua.NodeClassVariable, BrowseName: ua.QualifiedName{NamespaceIndex: s.ns, Name: name}, DataType: ua.NumericId(0, uint32(v.Type())), ValueRank: -1,
			AccessLevel: opcua.AccessCurrentRead, Value: ua.DataValue{Value: v, SourceTimestamp: ua.DateTimeOfUnixNano(stamp), Has: ua.HasValue}}
		if v.IsArray() {
			n.ValueRank = max(1, int32(len(v.Dims())))
		}
		if len(name) > 2 && name[:3] == "rw." {
			n.AccessLevel |= opcua.AccessCurrentWrite
		}
		switch name {
		case "rw.any":
			n.DataType = ua.NumericId(0, ns0.Number)
		case "rw.enum":
			n.DataType = mode
		}
		must(s.space.Add(folder, ua.NumericId(0, ns0.HasComponent), n))
	}
}

func (s *uaServer) url(query string) string { return "opc.tcp://" + s.addr + query }

// openUA opens a session to s without security.
func (s *uaServer) open(o device.Observer, query string) *opcuaSession {
	s.t.Helper()
	got, err := OPCUA{}.Open(context.Background(), addrOPCUA(s.t, s.url(query)), device.Limits{}, o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = got.Close() })
	return got.(*opcuaSession)
}

// read reads a plan once and returns its rows by tag.
func (s *uaServer) read(x *opcuaSession, p device.Plan) map[tag.ID]string {
	s.t.Helper()
	var b tag.Batch
	if err := x.Read(context.Background(), p, &b); err != nil {
		s.t.Fatal(err)
	}
	return rowsOf(&b)
}

// rowsOf returns the last row of each tag: its value, or its quality when that is not good.
func rowsOf(b *tag.Batch) map[tag.ID]string {
	out := map[tag.ID]string{}
	for i := range b.ID {
		out[b.ID[i]] = b.Value(i).String()
		if b.Quality[i] != tag.Good {
			out[b.ID[i]] = b.Quality[i].String()
		}
	}
	return out
}

func TestOPCUAReads(t *testing.T) {
	s, w := newUA(t, nil), newWatcher()
	x := s.open(w, "")
	addresses := []string{"nsu=urn:plant;s=level", fmt.Sprintf("ns=%d;s=count", s.ns), "/Objects/nsu=urn:plant;Plant/nsu=urn:plant;name", fmt.Sprintf("/Objects/%d:Plant/%d:running", s.ns, s.ns),
		"nsu=urn:plant;s=bytes", "nsu=urn:plant;s=when", "nsu=urn:plant;s=row", "nsu=urn:plant;s=row;[1:2]", "nsu=urn:plant;s=row;[3]", "nsu=urn:plant;s=level;DisplayName", "i=2255;[0]",
		"nsu=urn:nowhere;s=x", "nsu=urn:plant;s=nothing", "/Objects/Nothing", "/Objects/nsu=urn:nowhere;X", "nsu=urn:plant;s=row;[9]", "nsu=urn:plant;s=plant"}
	want := []string{"1.5", "-7", "Kessel", "true", `"AQI="`, `"2025-03-01T00:00:00Z"`, "[10,20,30,40]", "[20,30]", "40", "level", "http://opcfoundation.org/UA/",
		"bad (no such address)", "bad (no such address)", "bad (no such address)", "bad (no such address)", tag.Quality(ua.BadIndexRangeNoData).String(), tag.Quality(ua.BadAttributeIdInvalid).String()}
	p := planOPCUA(t, s.url(""), specs(addresses...))
	for range 2 {
		got := s.read(x, p)
		for i, a := range addresses {
			if got[tag.ID(i+1)] != want[i] {
				t.Errorf("%s is %s, want %s", a, got[tag.ID(i+1)], want[i])
			}
		}
	}
	if len(w.refused) != 6 || w.replied == 0 {
		t.Errorf("%d refusals in two reads, %d replies", len(w.refused), w.replied)
	}
	var b tag.Batch
	if err := x.Read(context.Background(), planOPCUA(t, s.url(""), specs("nsu=urn:plant;s=level")), &b); err != nil || b.TS[0] != stamp {
		t.Errorf("%v, source time %d", err, b.TS[0])
	}
}

// cannedUA answers every read with the same values.
type cannedUA struct {
	opcuaClient
	values []ua.DataValue
}

func (*cannedUA) Namespaces() []string   { return []string{namespace0, "urn:test", plantURI} }
func (*cannedUA) Err() error             { return nil }
func (*cannedUA) Learned() opcua.Learned { return opcua.Learned{} }
func (c *cannedUA) ReadEach(_ context.Context, p *opcua.ReadPlan, f func(int, *ua.DataValue)) error {
	for i := range p.Len() {
		f(i, &c.values[i%len(c.values)])
	}
	return nil
}

func TestOPCUAReadsAllocateNothing(t *testing.T) {
	c := &cannedUA{values: []ua.DataValue{{Value: ua.Double(1)}, {Value: ua.String("text")}, {Status: ua.BadNodeIdUnknown}, {Value: ua.Int16Array([]int16{5})}}}
	x := newOPCUASession(c, deaf(time.Second))
	tags := specs("nsu=urn:plant;s=a", "ns=1;s=b", "nsu=urn:plant;s=c", "nsu=urn:plant;s=d;[2]", "nsu=urn:nowhere;s=e", "nsu=urn:plant;s=f")
	tags[5].OutOfService = true
	p := planOPCUA(t, "opc.tcp://h?mode=poll", tags)
	var b tag.Batch
	if n := testing.AllocsPerRun(200, func() {
		b.Reset()
		if err := x.Read(context.Background(), p, &b); err != nil || b.Len() != 6 {
			t.Fatal(err, b.Len())
		}
	}); n != 0 && !underRace {
		t.Errorf("%v allocations a read", n)
	}
}

// garblingUA is a client that cannot decode what came of some nodes, and says of the others what cannedUA does.
type garblingUA struct {
	cannedUA
	silent bool // the request for the first of them has no answer at all
}

func (c *garblingUA) ReadEach(ctx context.Context, p *opcua.ReadPlan, f func(int, *ua.DataValue)) error {
	_ = c.cannedUA.ReadEach(ctx, p, f)
	if c.silent {
		return &opcua.Error{Service: opcua.ServiceRead, Status: ua.BadTimeout, Sent: true}
	}
	return &opcua.Error{Service: opcua.ServiceRead, Status: ua.BadDecodingError, Sent: true}
}

// What cannot be decoded is a bad tag of a device that is there; what did not come is neither.
func TestOPCUAValuesThatCannotBeDecoded(t *testing.T) {
	c := &garblingUA{cannedUA: cannedUA{values: []ua.DataValue{{Value: ua.Double(1)}, {Status: ua.BadDecodingError}, {Value: ua.Double(2)}}}}
	w := newWatcher()
	x := newOPCUASession(c, w)
	p := planOPCUA(t, "opc.tcp://h?mode=poll", specs("nsu=urn:plant;s=a", "nsu=urn:plant;s=b", "nsu=urn:plant;s=c"))
	for range 2 {
		var b tag.Batch
		err := x.Read(context.Background(), p, &b)
		if got := rowsOf(&b); err != nil || got[1] != "1" || got[2] != tag.Quality(ua.BadDecodingError).String() || got[3] != "2" {
			t.Errorf("%v, %v", got, err)
		}
	}
	if len(w.refused) != 1 {
		t.Errorf("told %d times", len(w.refused))
	}
	c.values[1].Status, c.silent = ua.BadTimeout, true
	var b tag.Batch
	if err := x.Read(context.Background(), p, &b); err == nil || b.Len() != 2 {
		t.Errorf("nothing came of one: %v, %v", rowsOf(&b), err)
	}
}

// Nodes that come with the server's next configuration are found.
func TestOPCUANodesThatComeLater(t *testing.T) {
	s := newUA(t, nil)
	x := s.open(newWatcher(), "")
	p := planOPCUA(t, s.url(""), specs("/Objects/Later", "nsu=urn:plant;s=level"))
	if got := s.read(x, p); got[1] != "bad (no such address)" || got[2] != "1.5" {
		t.Errorf("%v", got)
	}
	if err := s.space.Add(ua.NumericId(0, ns0.ObjectsFolder), ua.NumericId(0, ns0.Organizes), opcua.Node{Id: s.id("later"), Class: ua.NodeClassVariable,
		BrowseName: ua.QualifiedName{Name: "Later"}, DataType: ua.NumericId(0, 6), ValueRank: -1, Value: ua.DataValue{Value: ua.Int32(5)}}); err != nil {
		t.Fatal(err)
	}
	if got := s.read(x, p); got[1] != "bad (no such address)" {
		t.Errorf("%v, at once", got)
	}
	x.states[0].tryAt = time.Now()
	if got := s.read(x, p); got[1] != "5" || got[2] != "1.5" {
		t.Errorf("%v", got)
	}
}

func TestOPCUASilenceIsATimeoutThatLeavesTheSessionUsable(t *testing.T) {
	s, w := newUA(t, nil), newWatcher()
	x := s.open(w, "?mode=poll")
	p := planOPCUA(t, s.url("?mode=poll"), specs("nsu=urn:plant;s=level"))
	s.read(x, p)
	w.hear(func() { w.timeout = 20 * time.Millisecond })
	s.set(func() { s.refuse[ns0.ReadRequest_Encoding_DefaultBinary] = opcua.NoAnswer })
	var b tag.Batch
	err := x.Read(context.Background(), p, &b)
	var ne net.Error
	if !errors.As(err, &ne) || !ne.Timeout() || errors.Is(err, net.ErrClosed) || b.Len() != 0 || w.timedOut != 1 {
		t.Fatalf("%v, %d rows, %d timeouts", err, b.Len(), w.timedOut)
	}
	w.hear(func() { w.timeout = 5 * time.Second })
	s.set(func() { clear(s.refuse) })
	if got := s.read(x, p); got[1] != "1.5" {
		t.Errorf("%v", got)
	}
}

// How many nodes a server takes in one request is found out, and told, so that the next session knows it.
func TestOPCUALearnsHowManyNodesARequestHas(t *testing.T) {
	s, w := newUA(t, nil), newWatcher()
	x := s.open(w, "?mode=poll")
	p := planOPCUA(t, s.url("?mode=poll"), specs("nsu=urn:plant;s=level", "nsu=urn:plant;s=count", "nsu=urn:plant;s=name", "nsu=urn:plant;s=running"))
	s.read(x, p)
	s.set(func() {
		s.once = map[uint32]ua.StatusCode{ns0.ReadRequest_Encoding_DefaultBinary: ua.BadTooManyOperations}
	})
	if got := s.read(x, p); got[1] != "1.5" || got[2] != "-7" || got[3] != "Kessel" || got[4] != "true" {
		t.Errorf("%v", got)
	}
	if len(w.learned) != 1 || w.learned[0].MaxItems != 2 {
		t.Fatalf("%+v", w.learned)
	}
	a := addrOPCUA(t, s.url("?mode=poll"))
	again, err := OPCUA{}.Open(context.Background(), a, w.learned[0], w)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	before := s.times(ns0.ReadRequest_Encoding_DefaultBinary)
	s.read(again.(*opcuaSession), p) // once for the types of the nodes, once for their values, in two requests each
	if n := s.times(ns0.ReadRequest_Encoding_DefaultBinary) - before; n != 4 {
		t.Errorf("%d requests", n)
	}
}

// What a server refuses as a whole is the quality of all that was asked for.
func TestOPCUARefusalsAreQualities(t *testing.T) {
	s, w := newUA(t, nil), newWatcher()
	x := s.open(w, "?mode=poll")
	p := planOPCUA(t, s.url("?mode=poll"), specs("nsu=urn:plant;s=level", "nsu=urn:plant;s=count"))
	s.set(func() { s.refuse[ns0.ReadRequest_Encoding_DefaultBinary] = ua.BadUserAccessDenied })
	if got := s.read(x, p); got[1] != "bad (access denied)" || got[2] != "bad (access denied)" || w.why == nil {
		t.Errorf("%v, %v", got, w.why)
	}
}

func TestOPCUAServerThatGoes(t *testing.T) {
	s := newUA(t, nil)
	x := s.open(newWatcher(), "?mode=poll")
	p := planOPCUA(t, s.url("?mode=poll"), specs("nsu=urn:plant;s=level"))
	s.read(x, p)
	s.stop()
	var b tag.Batch
	if err := x.Read(context.Background(), p, &b); !errors.Is(err, net.ErrClosed) || b.Len() != 0 {
		t.Errorf("%v, %d rows", err, b.Len())
	}
	r := make([]device.Result, 1)
	if err := x.Write(context.Background(), p, []device.Write{{Tag: specs("nsu=urn:plant;s=rw.double")[0], Value: tag.Float64Value(1)}}, r); !errors.Is(err, net.ErrClosed) || r[0].Err == nil || r[0].MayHaveHappened {
		t.Errorf("%v, %+v", err, r)
	}
}

func TestOPCUAOutOfServiceAndForeignPlans(t *testing.T) {
	s := newUA(t, nil)
	x := s.open(newWatcher(), "")
	tags := specs("nsu=urn:plant;s=level", "nsu=urn:plant;s=count")
	tags[1].OutOfService = true
	if got := s.read(x, planOPCUA(t, s.url(""), tags)); got[1] != "1.5" || got[2] != tag.BadOutOfService.String() {
		t.Errorf("%v", got)
	}
	var b tag.Batch
	var pe *OPCUAPlanError
	if err := x.Read(context.Background(), mustPlan(t, testAddr, device.Limits{}, "holding:0"), &b); !errors.As(err, &pe) {
		t.Error(err)
	}
	if err := x.Write(context.Background(), mustPlan(t, testAddr, device.Limits{}), nil, nil); !errors.As(err, &pe) {
		t.Error(err)
	}
	if got := s.read(x, planOPCUA(t, s.url(""), nil)); len(got) != 0 {
		t.Errorf("%v of nothing", got)
	}
}
