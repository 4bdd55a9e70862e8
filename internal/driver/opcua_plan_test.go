package driver

import (
	"errors"
	"strings"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/opcua/ua"
)

func addrOPCUA(t testing.TB, url string) device.Addr {
	t.Helper()
	a, err := device.ParseAddr(url, OPCUA{}.Ports())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func planOPCUA(t testing.TB, url string, tags []device.TagSpec) *opcuaPlan {
	t.Helper()
	p, err := OPCUA{}.Compile(addrOPCUA(t, url), tags, device.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return p.(*opcuaPlan)
}

func TestOPCUAOptions(t *testing.T) {
	o, err := OPCUA{PKI: "pki"}.parseOptions(addrOPCUA(t, "opc.tcp://h/a/b?mode=poll&security=aes128sha256rsaoaep/Encrypt&user=u&password=p&window=3&max_items=9"))
	if err != nil || o.url != "opc.tcp://h:4840/a/b" || o.policy != "Aes128_Sha256_RsaOaep" || o.security != ua.MessageSecurityModeSignAndEncrypt || o.mode != opcuaPoll || o.pki != "pki" || o.inFlight() != 3 {
		t.Errorf("%+v, %v", o, err)
	}
	for v, want := range map[string]struct {
		policy string
		mode   ua.MessageSecurityMode
	}{
		"auto": {"", 0}, "none": {"None", ua.MessageSecurityModeNone}, "sign": {"", ua.MessageSecurityModeSign}, "encrypt": {"", ua.MessageSecurityModeSignAndEncrypt},
		"None": {"None", ua.MessageSecurityModeNone}, "Basic256Sha256": {"Basic256Sha256", 0}, "Aes256_Sha256_RsaPss/sign": {"Aes256_Sha256_RsaPss", ua.MessageSecurityModeSign},
		"ecc_nistp256/encrypt": {"ECC_nistP256", ua.MessageSecurityModeSignAndEncrypt},
	} {
		if o, err := (OPCUA{}).parseOptions(addrOPCUA(t, "opc.tcp://h?security="+v)); err != nil || o.policy != want.policy || o.security != want.mode {
			t.Errorf("%s: %q %v, %v", v, o.policy, o.security, err)
		}
	}
}

func TestBadOPCUAOptions(t *testing.T) {
	for query, want := range map[string]string{
		"mod=poll":                      "did you mean mode?",
		"mode=push":                     "auto, poll, subscribe",
		"security=tls":                  "Basic256Sha256",
		"security=none/sign":            "sign or encrypt",
		"security=Basic256Sha256/none":  "sign or encrypt",
		"password=p":                    "without user",
		"cert=c":                        "belong together",
		"user_key=c":                    "belong together",
		"user=u&user_cert=c&user_key=k": "not both",
		"trust=all":                     "nor any",
		"trust=any&server_cert=x":       "have no effect",
		"security=none&trust=any":       "have no effect",
		"skip_checks=colour":            "no check",
		"mode=poll&publishing=1s":       "no effect with mode poll",
		"queue=0":                       "from 1 to",
		"sampling=-1s":                  "duration",
		"deadband=-1":                   "percentage",
		"deadband=NaN":                  "percentage",
		"deadband=101%25":               "percentage",
		"session_timeout=1s":            "shorter than 10s",
		"window=65":                     "from 1 to 64",
		"user=":                         "empty",
	} {
		_, err := OPCUA{}.Compile(addrOPCUA(t, "opc.tcp://h?"+query), nil, device.Limits{})
		var oe *OptionError
		if !errors.As(err, &oe) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", query, err, want)
		}
	}
	if _, err := (OPCUA{}).Compile(addrOPCUA(t, "opc.tcp://h"), nil, device.Limits{Connections: 2}); err == nil || !strings.Contains(err.Error(), "one session") {
		t.Error(err)
	}
	if _, err := (OPCUA{}).Compile(device.Addr{Scheme: "s7", Host: "h"}, nil, device.Limits{}); err == nil {
		t.Error("an address of another scheme")
	}
}

// What says how a session is made keeps devices apart, what says what is done over it does not, and no password is in it.
func TestOPCUAEndpoint(t *testing.T) {
	key := func(url string) string { return OPCUA{}.Endpoint(addrOPCUA(t, url)) }
	one := key("opc.tcp://h?user=u&password=secret1&mode=poll")
	if strings.Contains(one, "secret1") || one != key("opc.tcp://h:4840?user=u&password=secret1&publishing=1s&deadband=tags") {
		t.Error(one)
	}
	for _, other := range []string{"opc.tcp://h?user=u&password=secret2", "opc.tcp://h?user=v&password=secret1", "opc.tcp://h/x?user=u&password=secret1", "opc.tcp://h", "opc.tcp://i?user=u&password=secret1"} {
		if key(other) == one {
			t.Errorf("%s shares a session with %s", other, one)
		}
	}
	if got := key("opc.tcp://h?nonsense=1"); got != "opc.tcp://h:4840" {
		t.Error(got)
	}
}

func TestOPCUAPlan(t *testing.T) {
	tags := specs("ns=2;s=a", "nonsense", "ns=2;i=5;Int16", "/Objects/2:X", "ns=2;s=b;DisplayName", "i=1;DataType")
	tags[2].OutOfService = true
	tags[5].Writable = true
	got, err := OPCUA{}.Compile(addrOPCUA(t, "opc.tcp://h?mode=poll"), tags, device.Limits{MaxItems: 2})
	p := got.(*opcuaPlan)
	if err == nil || strings.Count(err.Error(), "tag ") != 2 || !strings.Contains(err.Error(), "nonsense") || !strings.Contains(err.Error(), "DataType") {
		t.Error(err)
	}
	if len(p.Tags()) != 4 || len(p.nodes) != 3 || len(p.out) != 1 {
		t.Errorf("%d tags, %d nodes, %d out of service", len(p.Tags()), len(p.nodes), len(p.out))
	}
	r := p.Requests()
	if len(r) != 2 || r[0].Op != "read" || r[0].From != 1 || r[0].To != 2 || r[1].From != 3 || r[1].Tags != 1 || r[0].BytesOut < 100 || r[0].BytesIn < 60 {
		t.Errorf("%+v", r)
	}
	if pace := p.Pace(); pace.Window != 4 || pace.Connections != 1 {
		t.Errorf("%+v", pace)
	}
	if r := planOPCUA(t, "opc.tcp://h", specs("ns=2;s=a")).Requests(); len(r) != 1 || r[0].Op != "publish" {
		t.Errorf("%+v", r)
	}
}

func TestOPCUADeadbands(t *testing.T) {
	tags := specs("i=1", "i=2", "i=3", "i=4")
	tags[0].Shared = &device.Terms{Deadband: device.Deadband{Abs: 0.5}}
	tags[1].Shared = &device.Terms{Deadband: device.Deadband{Abs: 0.5}, Scale: -0.1}
	tags[2].Shared = &device.Terms{Deadband: device.Deadband{Every: true}}
	tags[3].Shared = &device.Terms{Deadband: device.Deadband{Percent: 2}}
	for query, want := range map[string][4]float64{
		"":               {0, 0, 0, 0},
		"?deadband=off":  {0, 0, 0, 0},
		"?deadband=tags": {0.5, 5, 0, 0},
		"?deadband=3":    {3, 3, 0, 3},
		"?deadband=2%25": {2, 2, 0, 2},
	} {
		p := planOPCUA(t, "opc.tcp://h"+query, tags)
		for i := range p.nodes {
			if p.nodes[i].deadband != want[i] || p.nodes[i].every != (i == 2) {
				t.Errorf("%s: tag %d has %g, %v", query, i, p.nodes[i].deadband, p.nodes[i].every)
			}
		}
	}
}

// How often a server looks and sends, by what is said.
func TestOPCUASampling(t *testing.T) {
	for _, c := range []struct {
		query      string
		every      time.Duration
		publishing time.Duration
		alive      uint32
		sampling   time.Duration
		queue      uint32
	}{
		{"", time.Second, 500 * time.Millisecond, 10, time.Second, 1},
		{"", 80 * time.Millisecond, 50 * time.Millisecond, 100, 80 * time.Millisecond, 1},
		{"", 20 * time.Millisecond, 20 * time.Millisecond, 250, 20 * time.Millisecond, 1},
		{"", time.Minute, 5 * time.Second, 1, time.Minute, 1},
		{"?publishing=200ms", time.Second, 200 * time.Millisecond, 25, 200 * time.Millisecond, 1},
		{"?sampling=50ms", time.Second, 500 * time.Millisecond, 10, 50 * time.Millisecond, 10},
		{"?sampling=1ms", time.Second, 500 * time.Millisecond, 10, time.Millisecond, 100},
		{"?sampling=fastest", time.Second, 500 * time.Millisecond, 10, -1, 10},
		{"?sampling=fastest&queue=7", time.Second, 500 * time.Millisecond, 10, -1, 7},
		{"?keep_alive=300ms", time.Second, 300 * time.Millisecond, 1, time.Second, 1},
		{"?publishing=10s&keep_alive=30s", time.Second, 10 * time.Second, 3, 10 * time.Second, 1},
	} {
		st := &opcuaState{plan: planOPCUA(t, "opc.tcp://h"+c.query, specs("i=1")), every: c.every}
		sub := st.subscription(&opcuaFeed{})
		sampling, queue := st.sampling()
		if sub.Interval != c.publishing || sub.KeepAlive != c.alive || sampling != c.sampling || queue != c.queue {
			t.Errorf("%s every %v: publishing %v, keep-alive %d, sampling %v, queue %d", c.query, c.every, sub.Interval, sub.KeepAlive, sampling, queue)
		}
	}
}

func TestOPCUAPatience(t *testing.T) {
	for url, want := range map[string]time.Duration{"opc.tcp://h": 15 * time.Second, "opc.tcp://h?dial_timeout=40s": 40 * time.Second, "opc.tcp://h?nonsense=1": 15 * time.Second} {
		if got := (OPCUA{}).Patience(addrOPCUA(t, url)); got != want {
			t.Errorf("%s: %v", url, got)
		}
	}
}

func TestOPCUAPlansThatAreTheSame(t *testing.T) {
	a, b := planOPCUA(t, "opc.tcp://h", specs("i=1", "i=2")), planOPCUA(t, "opc.tcp://h", specs("i=1", "i=2"))
	other := planOPCUA(t, "opc.tcp://h", specs("i=1", "i=3"))
	later := specs("i=9")
	later[0].ID = 77
	if !a.sameNodes(b) || a.sameNodes(other) || !a.overlaps(other) || a.overlaps(planOPCUA(t, "opc.tcp://h", later)) {
		t.Error("plans are not told apart")
	}
	if a.sameNodes(planOPCUA(t, "opc.tcp://h?mode=poll", specs("i=1", "i=2"))) {
		t.Error("another mode is the same")
	}
}
