package opcua

import (
	"testing"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// BenchmarkServer is a server's whole part of a Read but for the socket: chunk, token, session, service, seal.
func BenchmarkServer(b *testing.B) {
	for _, sec := range []uasc.Security{plain, sealed} {
		for _, n := range []int{1, 1000} {
			name := sec.Policy.String() + map[int]string{1: " one value", 1000: " 1000 values"}[n]
			b.Run(name, func(b *testing.B) { benchServer(b, sec, n) })
		}
	}
}

func benchServer(b *testing.B, sec uasc.Security, n int) {
	space, err := NewSpace(SpaceConfig{ApplicationURI: testURI})
	if err != nil {
		b.Fatal(err)
	}
	variables(b, space, n)
	cfg := secured(b)
	cfg.Space = space
	s := newTestServer(b, cfg)
	c := &bareClient{t: b, c: protocol{s.newConn(bareServerConn(b))}, id: testIdentity(b, "client")}
	clientConfig := uasc.ClientConfig{Security: sec}
	if sec.Policy != uasc.None {
		clientConfig.Identity, clientConfig.ServerCertificate = c.id, testIdentity(b, "server").Chain
	}
	if c.channel, err = uasc.NewClient(clientConfig); err != nil {
		b.Fatal(err)
	}
	c.reach(atSession)
	req := readOf(ua.TimestampsToReturnSource, textIds(1, n)...)
	req.RequestHeader.AuthenticationToken = c.token
	body := ua.AppendMessage(nil, req)
	in, out := make([]byte, 0, 1<<17), make([]byte, 0, 1<<17)
	var spent time.Duration
	b.ReportAllocs()
	for b.Loop() {
		c.last++
		if in, err = c.channel.End(append(c.channel.Begin(in[:0], c.last), body...), 0, uasc.KindMessage, time.Now()); err != nil {
			b.Fatal(err)
		}
		from := time.Now()
		used, answers, err := c.c.Serve(b.Context(), in, out[:0])
		c.c.Sent()
		spent += time.Since(from)
		if err != nil || used != len(in) || len(answers) < 10*n {
			b.Fatal(used, len(answers), err)
		}
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N)/float64(n), "server-ns/value")
}
