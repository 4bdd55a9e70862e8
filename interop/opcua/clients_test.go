package opcua

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"millrace/interop/capture"
	"millrace/interop/outside"
	ours "millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

const simURI = "urn:millrace:sim"

// security is a row of the matrix.
type security struct{ policy, mode string }

var securities = []security{
	{"None", "None"}, {"Basic256Sha256", "Sign"}, {"Basic256Sha256", "SignAndEncrypt"}, {"Aes128_Sha256_RsaOaep", "SignAndEncrypt"}, {"Aes256_Sha256_RsaPss", "SignAndEncrypt"},
}

var users = []string{"anonymous", "operator:simulator", "certificate"}

// asker answers the lines of a script, through one session with a server.
type asker interface{ ask(line string) string }

// ourServer runs the simulator and returns its address.
func ourServer(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "millrace")
	build := exec.Command("go", "build", "-o", bin, "./cmd/millrace")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	ctx, cancel := context.WithCancel(context.Background())
	addr := "127.0.0.1:" + strconv.Itoa(freePort(t))
	sim := exec.CommandContext(ctx, bin, "sim", "opcua", "--listen", addr, "--nodes", "1000")
	sim.Cancel = func() error { return sim.Process.Signal(syscall.SIGTERM) }
	var log strings.Builder
	sim.Stderr = &log
	if err := sim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		sim.Wait()
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return addr
		}
		<-tick.C
	}
	t.Fatalf("the simulator does not listen: %s", log.String())
	return ""
}

func identity(t *testing.T) *uasc.Identity {
	t.Helper()
	me, err := uasc.NewIdentity(uasc.IdentityConfig{ApplicationURI: "urn:test:peer", Hosts: []string{"localhost"}, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return me
}

// question is a line of a script and what the answer must be.
type question struct{ line, want string }

// numbers are the values that both clients write in the same words.
func numbers() []question {
	return []question{
		{"read static.Boolean", "Boolean true"},
		{"read static.SByte", "SByte -100"},
		{"read static.Byte", "Byte 200"},
		{"read static.Int16", "Int16 -12345"},
		{"read static.UInt16", "UInt16 54321"},
		{"read static.Int32", "Int32 -1234567890"},
		{"read static.UInt32", "UInt32 3456789012"},
		{"read static.Int64", "Int64 -1234567890123456789"},
		{"read static.UInt64", "UInt64 12345678901234567890"},
		{"read static.Double", "Double 2.718281828459045"},
		{"read static.String", "String Grüße Ω"},
		{"read static.DateTime", "DateTime 2026-03-04T05:06:07.089Z"},
		{"read static.Int32Array", "Int32 [-2147483648 0 2147483647]"},
		{"read static.UInt16Array", "UInt16 [0 1 65535]"},
		{"read static.DoubleArray", "Double [-1.5 0 2.25]"},
		{"read nowhere", "BadNodeIdUnknown"},
	}
}

// services are short questions to services beyond Read.
func services() []question {
	return []question{
		{"readmany 500", "500"},
		{"call 2 -5", "-3"},
		{"call 2147483647 1", "BadOutOfRange"},
		{"browse sim", "Add live recipe rw static"},
		{"copy static.Int16 static.Int16", "BadNotWritable"},
		{"copy static.Int16 rw.Double", "BadTypeMismatch"},
		{"subscribe 10", "10"},
	}
}

// ownSession is what the client finds of sessions: its own, since it is no admin.
func ownSession() []question {
	return []question{{"sessions", "1 SessionDiagnostics SessionSecurityDiagnostics SubscriptionDiagnosticsArray 43 9 0 Anonymous"}}
}

// copies has every static value read by the peer and written back: what it decoded and encoded must be what it was.
func copies() []string {
	var out []string
	for _, name := range strings.Fields("Boolean SByte Byte Int16 UInt16 Int32 UInt32 Int64 UInt64 Float Double String DateTime Guid ByteString XmlElement NodeId ExpandedNodeId StatusCode QualifiedName LocalizedText") {
		out = append(out, name, name+"Array")
	}
	return append(out, "DoubleMatrix")
}

// except are copies that a peer cannot make, each for a reason of its own.
type except map[string]string

// client is a foreign client.
type client struct {
	name    string
	connect func(t *testing.T, url string, s security, user string) asker
	except  except
}

func foreignClients(t *testing.T) []client {
	me, n, a := identity(t), nodeClient(t), asyncuaClient(t)
	return []client{
		{name: "node-opcua", connect: func(t *testing.T, url string, s security, user string) asker {
			return connect(t, n, url, s, user, time.Hour)
		}, except: nodeExcept},
		{name: "asyncua", connect: func(t *testing.T, url string, s security, user string) asker {
			return connect(t, a, url, s, user, time.Hour)
		}, except: asyncuaExcept},
		{name: "gopcua", connect: func(t *testing.T, url string, s security, user string) asker {
			return connectGopcua(t, url, s.policy, s.mode, user, me, time.Hour)
		}, except: gopcuaExcept},
	}
}

var (
	nodeExcept    = except{}
	asyncuaExcept = except{}
	gopcuaExcept  = except{"ByteStringArray": "it writes the strings without their lengths, which the dissector calls malformed as our server does"}
)

func compare(t *testing.T, a asker, script []question) int {
	t.Helper()
	for _, q := range script {
		if got := a.ask(q.line); got != q.want {
			t.Errorf("%s: %.200q, want %q", q.line, got, q.want)
		}
	}
	return len(script)
}

// TestForeignClients has each client in with every policy and every kind of user.
func TestForeignClients(t *testing.T) {
	addr := ourServer(t)
	for _, c := range foreignClients(t) {
		for _, s := range securities {
			for _, user := range users {
				if s.policy == "None" && user == "certificate" {
					continue // there is no policy to sign with
				}
				t.Run(fmt.Sprintf("%s/%s/%s/%s", c.name, s.policy, s.mode, strings.Split(user, ":")[0]), func(t *testing.T) {
					a := c.connect(t, "opc.tcp://"+addr, s, user)
					n := compare(t, a, numbers()[:5])
					n += compare(t, a, services()[:2])
					t.Logf("compared: %d answers", n)
				})
			}
		}
	}
}

// TestForeignClientsServices has each client use every service, without security and with the traffic dissected, and once with all of it.
func TestForeignClientsServices(t *testing.T) {
	addr := ourServer(t)
	for _, c := range foreignClients(t) {
		for _, s := range []security{securities[0], securities[len(securities)-1]} {
			t.Run(c.name+"/"+s.policy, func(t *testing.T) {
				proxy := capture.NewProxy(t, addr)
				a := c.connect(t, "opc.tcp://"+proxy.Addr, s, "anonymous")
				n := compare(t, a, numbers()) + compare(t, a, services()) + compare(t, a, ownSession())
				n += compareCopies(t, addr, a, c.except)
				frames := 0
				if s.policy == "None" {
					proxy.Close()
					frames = dissect(t, &proxy.Recording, proxy.Conns())
				}
				t.Logf("compared: %d answers, %d frames dissected", n, frames)
			})
		}
	}
}

// compareCopies has the peer copy each static value to its writable twin, which our client has emptied before and looks at afterwards.
func compareCopies(t *testing.T, addr string, a asker, not except) int {
	t.Helper()
	own, err := ours.Dial(t.Context(), "opc.tcp://"+addr, ours.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	n := 0
	for _, name := range copies() {
		if not[name] != "" {
			continue
		}
		from, to := simNode(t, own, "static."+name), simNode(t, own, "rw."+name)
		want := readOne(t, own, from)
		empty(t, own, to, want.Value)
		if got := a.ask("copy static." + name + " rw." + name); got != "Good" {
			t.Errorf("copy of %s: %s", name, got)
			continue
		}
		if v := readOne(t, own, to); !v.Value.Equal(want.Value) {
			t.Errorf("%s came back as %v, not %v", name, v.Value, want.Value)
		}
		n++
	}
	return n
}

func simNode(t *testing.T, c *ours.Client, text string) ua.NodeId {
	t.Helper()
	id, err := c.ParseNodeId("nsu=" + simURI + ";s=" + text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func readOne(t *testing.T, c *ours.Client, id ua.NodeId) ua.DataValue {
	t.Helper()
	v, err := c.ReadValues(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return v[0]
}

// zeros are the shortest or smallest values of the built-in types as they are encoded.
var zeros = map[ua.TypeId]string{
	ua.TypeBoolean: "\x00", ua.TypeSByte: "\x00", ua.TypeByte: "\x00", ua.TypeInt16: "\x00\x00", ua.TypeUInt16: "\x00\x00", ua.TypeInt32: "\x00\x00\x00\x00",
	ua.TypeUInt32: "\x00\x00\x00\x00", ua.TypeInt64: "\x00\x00\x00\x00\x00\x00\x00\x00", ua.TypeUInt64: "\x00\x00\x00\x00\x00\x00\x00\x00",
	ua.TypeFloat: "\x00\x00\x00\x00", ua.TypeDouble: "\x00\x00\x00\x00\x00\x00\x00\x00", ua.TypeString: "\x00\x00\x00\x00", ua.TypeDateTime: "\x00\x00\x00\x00\x00\x00\x00\x00",
	ua.TypeGuid: strings.Repeat("\x00", 16), ua.TypeByteString: "\x00\x00\x00\x00", ua.TypeXmlElement: "\x00\x00\x00\x00", ua.TypeNodeId: "\x00\x00", ua.TypeExpandedNodeId: "\x00\x00",
	ua.TypeStatusCode: "\x00\x00\x00\x00", ua.TypeQualifiedName: "\x00\x00\x00\x00\x00\x00", ua.TypeLocalizedText: "\x00",
}

// empty writes the zero value of v's type and rank.
func empty(t *testing.T, c *ours.Client, id ua.NodeId, v ua.Variant) {
	t.Helper()
	b := append([]byte{byte(v.Type())}, zeros[v.Type()]...)
	if v.IsArray() {
		b = []byte{byte(v.Type()) | 0x80, 0, 0, 0, 0}
	}
	if len(v.Dims()) > 0 {
		b = ua.AppendVariant(nil, ua.Matrix([]uint32{1, 1}, ua.DoubleArray([]float64{0})))
	}
	d := ua.NewDecoder(b, ua.Limits{})
	zero := d.Variant()
	if d.Err() != nil {
		t.Fatal(d.Err())
	}
	results := make([]ua.StatusCode, 1)
	err := c.Write(t.Context(), []ua.WriteValue{{NodeId: id, AttributeId: ua.AttributeValue, Value: ua.DataValue{Value: zero}}}, results)
	if err != nil || results[0] != ua.Good {
		t.Fatalf("%v cannot be emptied: %v, %v", id, results[0], err)
	}
}

// dissect has Wireshark's dissector read what connections carried and holds its count of chunks against ours.
func dissect(t *testing.T, p *capture.Recording, conns int) int {
	t.Helper()
	outside.NeedTool(t, "tshark")
	want := 0
	for n := 1; n <= conns; n++ {
		for _, fromPeer := range []bool{false, true} {
			want += chunks(t, p.Stream(n, fromPeer))
		}
	}
	got := p.Dissect(t, 4840, "opcua", "opcua.transport.type")
	if got != want || want == 0 {
		t.Errorf("the dissector saw %d chunks of %d", got, want)
	}
	return got
}

// chunks counts the chunks of a stream by their sizes.
func chunks(t *testing.T, b []byte) (n int) {
	t.Helper()
	for len(b) >= 8 {
		size := int(b[4]) | int(b[5])<<8 | int(b[6])<<16 | int(b[7])<<24
		if size < 8 || size > len(b) {
			break // the last one was cut
		}
		b = b[size:]
		n++
	}
	return n
}

// TestForeignClientsRenew has each client read on while its token, which lives for ten seconds, is renewed.
func TestForeignClientsRenew(t *testing.T) {
	addr := ourServer(t)
	me := identity(t)
	s := securities[2]
	for name, connect := range map[string]func(t *testing.T) asker{
		"node-opcua": func(t *testing.T) asker {
			return connect(t, nodeClient(t), "opc.tcp://"+addr, s, "anonymous", 10*time.Second)
		},
		"asyncua": func(t *testing.T) asker {
			return connect(t, asyncuaClient(t), "opc.tcp://"+addr, s, "anonymous", 10*time.Second)
		},
		"gopcua": func(t *testing.T) asker {
			return connectGopcua(t, "opc.tcp://"+addr, s.policy, s.mode, "anonymous", me, 10*time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := connect(t).ask("hold 17000"); got != "renewed" {
				t.Error(got)
			}
			t.Logf("compared: 1 answers")
		})
	}
}

// TestForeignClientTransfers has node-opcua's client take over a subscription of a session that it has closed.
func TestForeignClientTransfers(t *testing.T) {
	addr, p := ourServer(t), nodeClient(t)
	for _, user := range []string{"anonymous", "operator:simulator"} {
		for _, s := range []security{securities[0], securities[2]} {
			connect(t, p, "opc.tcp://"+addr, s, user, time.Hour)
			want := "Good 5 Good"
			if user == "anonymous" && s.policy == "None" {
				want = "BadUserAccessDenied" // nobody has proved to be the one who left it [OPC 10000-4 5.14.7]
			}
			if got := p.ask("transfer 5"); got != want {
				t.Errorf("%v, %s: %s, want %s", s, user, got, want)
			}
			t.Logf("compared: 5 answers")
		}
	}
}
