package driver

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/internal/device"
	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// opcuaMode is how the values of a device are got.
type opcuaMode uint8

const (
	opcuaAuto      opcuaMode = iota // by subscription, and by polling what the server does not monitor
	opcuaPoll                       // by reads alone
	opcuaSubscribe                  // by subscription, or not at all
)

// opcuaOptions is what a device's address and options say.
type opcuaOptions struct {
	host string // host:port
	url  string // that is dialled

	mode     opcuaMode
	policy   string // short name; "" the strongest
	security ua.MessageSecurityMode
	user     string
	password string
	userCert string
	userKey  string
	cert     string
	key      string
	pki      string
	trustAny bool
	server   string     // file of the only certificate that the server may have
	skip     uasc.Check // checks of the server's certificate that may fail

	publishing     time.Duration // 0 is how often the group is read
	sampling       time.Duration // 0 is the same, negative the server's fastest
	queue          int
	deadband       opcuaDeadband
	keepAlive      time.Duration
	sessionTimeout time.Duration
	dialTimeout    time.Duration
	session        string
	window         int
	maxItems       int
}

// opcuaDeadband is what the server is asked to hold back.
type opcuaDeadband struct {
	tags    bool // what each tag says, where the server can do it
	value   float64
	percent bool // of the node's EURange
}

// opcuaOptionTable has each option with how it is read.
var opcuaOptionTable = map[string]func(o *opcuaOptions, v string) error{
	"mode":            func(o *opcuaOptions, v string) error { return o.setMode(v) },
	"security":        func(o *opcuaOptions, v string) error { return o.setSecurity(v) },
	"user":            func(o *opcuaOptions, v string) error { o.user = v; return nil },
	"password":        func(o *opcuaOptions, v string) error { o.password = v; return nil },
	"user_cert":       func(o *opcuaOptions, v string) error { o.userCert = v; return nil },
	"user_key":        func(o *opcuaOptions, v string) error { o.userKey = v; return nil },
	"cert":            func(o *opcuaOptions, v string) error { o.cert = v; return nil },
	"key":             func(o *opcuaOptions, v string) error { o.key = v; return nil },
	"pki":             func(o *opcuaOptions, v string) error { o.pki = v; return nil },
	"trust":           func(o *opcuaOptions, v string) error { return o.setTrust(v) },
	"server_cert":     func(o *opcuaOptions, v string) error { o.server = v; return nil },
	"skip_checks":     func(o *opcuaOptions, v string) error { return o.setSkip(v) },
	"publishing":      func(o *opcuaOptions, v string) error { return durationOption(&o.publishing, v) },
	"sampling":        func(o *opcuaOptions, v string) error { return o.setSampling(v) },
	"queue":           func(o *opcuaOptions, v string) error { return intOption(&o.queue, v, 1, maxQueue) },
	"deadband":        func(o *opcuaOptions, v string) error { return o.setDeadband(v) },
	"keep_alive":      func(o *opcuaOptions, v string) error { return durationOption(&o.keepAlive, v) },
	"session_timeout": func(o *opcuaOptions, v string) error { return atLeastOption(&o.sessionTimeout, v, minSessionTimeout) },
	"dial_timeout":    func(o *opcuaOptions, v string) error { return durationOption(&o.dialTimeout, v) },
	"session":         func(o *opcuaOptions, v string) error { o.session = v; return nil },
	"window":          func(o *opcuaOptions, v string) error { return intOption(&o.window, v, 1, opcua.MaxWindow) },
	"max_items":       func(o *opcuaOptions, v string) error { return intOption(&o.maxItems, v, 1, maxNodes) },
}

// opcuaPlanOptions are the options that say what is done over a session, and not how it is made: devices that differ in them share one.
var opcuaPlanOptions = []string{"mode", "publishing", "sampling", "queue", "deadband", "keep_alive"}

// opcuaPushOptions are the options that mean something with subscriptions only.
var opcuaPushOptions = []string{"publishing", "sampling", "queue", "deadband", "keep_alive"}

const (
	maxQueue          = 10_000
	maxNodes          = 100_000
	minSessionTimeout = 10 * time.Second
	// defaultNodes is how many nodes a request has for the plan, until a server said or showed that it takes others.
	defaultNodes = 1000
)

func atLeastOption(p *time.Duration, v string, least time.Duration) error {
	if err := durationOption(p, v); err != nil {
		return err
	}
	if *p < least {
		return errors.New("shorter than " + least.String())
	}
	return nil
}

func (o *opcuaOptions) setMode(v string) error {
	switch v {
	case "auto":
		o.mode = opcuaAuto
	case "poll":
		o.mode = opcuaPoll
	case "subscribe":
		o.mode = opcuaSubscribe
	default:
		return errors.New("not one of auto, poll, subscribe")
	}
	return nil
}

// setSecurity reads auto, none, sign, encrypt, Basic256Sha256, Basic256Sha256/sign.
func (o *opcuaOptions) setSecurity(v string) error {
	policy, mode, both := strings.Cut(v, "/")
	if !both {
		if m, ok := securityModes[strings.ToLower(v)]; ok {
			o.security = m
			if m == ua.MessageSecurityModeNone {
				o.policy = uasc.None.String()
			}
			return nil
		}
	}
	p, ok := policyNamed(policy)
	if !ok {
		return errors.New("not one of auto, none, sign, encrypt, " + strings.Join(policyNames(), ", ") + ", nor a policy and a mode as in Basic256Sha256/sign")
	}
	o.policy = p.String()
	if !both {
		return nil
	}
	m, ok := securityModes[strings.ToLower(mode)]
	if !ok || m < ua.MessageSecurityModeSign || p == uasc.None {
		return errors.New("behind the policy stands sign or encrypt")
	}
	o.security = m
	return nil
}

// securityModes are the modes by the names of the option; SignAndEncrypt is the specification's name of one.
var securityModes = map[string]ua.MessageSecurityMode{
	"auto": 0, "none": ua.MessageSecurityModeNone, "sign": ua.MessageSecurityModeSign,
	"encrypt": ua.MessageSecurityModeSignAndEncrypt, "signandencrypt": ua.MessageSecurityModeSignAndEncrypt,
}

// opcuaPolicies are the policies that the option may name.
var opcuaPolicies = [...]uasc.Policy{uasc.None, uasc.Basic256Sha256, uasc.Aes128Sha256RsaOaep, uasc.Aes256Sha256RsaPss, uasc.ECCNistP256}

// policyNamed returns the policy of that short name, in any case, with or without its underscores.
func policyNamed(name string) (uasc.Policy, bool) {
	plain := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }
	for _, p := range opcuaPolicies {
		if plain(p.String()) == plain(name) {
			return p, true
		}
	}
	return 0, false
}

func policyNames() []string {
	var out []string
	for _, p := range opcuaPolicies[1:] {
		out = append(out, p.String())
	}
	return out
}

func (o *opcuaOptions) setTrust(v string) error {
	if v != "any" && v != "list" {
		return errors.New("neither list, for the folder of trusted certificates, nor any")
	}
	o.trustAny = v == "any"
	return nil
}

func (o *opcuaOptions) setSkip(v string) error {
	for name := range strings.SplitSeq(v, ",") {
		c, ok := uasc.ParseCheck(strings.TrimSpace(name))
		if !ok {
			return errors.New("there is no check " + strconv.Quote(name))
		}
		o.skip |= c
	}
	return nil
}

func (o *opcuaOptions) setSampling(v string) error {
	if v == "fastest" {
		o.sampling = -1
		return nil
	}
	return durationOption(&o.sampling, v)
}

// setDeadband reads off, tags, 0.5 and 2%.
func (o *opcuaOptions) setDeadband(v string) error {
	switch v {
	case "off":
		return nil
	case "tags":
		o.deadband.tags = true
		return nil
	}
	digits, percent := strings.CutSuffix(v, "%")
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(f > 0) || f > 1e300 || percent && f > 100 {
		return errors.New("not off, tags, a number such as 0.5 or a percentage such as 2%")
	}
	o.deadband = opcuaDeadband{value: f, percent: percent}
	return nil
}

// parseOptions reads and checks all of a.
func (d OPCUA) parseOptions(a device.Addr) (opcuaOptions, error) {
	if a.Scheme != schemeOPCUA {
		return opcuaOptions{}, &OptionError{"address", a.String(), "the scheme is not " + schemeOPCUA}
	}
	o := opcuaOptions{host: withPort(a.Host, strconv.Itoa(d.Ports()[schemeOPCUA])), pki: d.PKI}
	if a.Host == "" {
		return o, &OptionError{"address", a.String(), "there is no host"}
	}
	o.url = schemeOPCUA + "://" + o.host
	if a.Path != "" {
		o.url += "/" + a.Path
	}
	names := make([]string, 0, len(a.Options))
	for name := range a.Options {
		names = append(names, name)
	}
	slices.Sort(names) // the first error is the same each time
	for _, name := range names {
		set, ok := opcuaOptionTable[name]
		if !ok {
			return o, &OptionError{Option: name, What: "there is no such option" + suggestOption(name, opcuaOptionTable)}
		}
		if a.Options[name] == "" {
			return o, &OptionError{Option: name, What: "it is empty"}
		}
		if err := set(&o, a.Options[name]); err != nil {
			return o, &OptionError{name, a.Options[name], err.Error()}
		}
	}
	return o, o.together(a.Options)
}

// together checks what options say together.
func (o *opcuaOptions) together(said map[string]string) error {
	for _, pair := range [...][2]string{{"cert", "key"}, {"user_cert", "user_key"}} {
		if (said[pair[0]] == "") != (said[pair[1]] == "") {
			return &OptionError{Option: pair[0], What: pair[0] + " and " + pair[1] + " belong together"}
		}
	}
	switch {
	case o.password != "" && o.user == "":
		return &OptionError{Option: "password", What: "it has no effect without user"}
	case o.user != "" && o.userCert != "":
		return &OptionError{Option: "user_cert", What: "a user has a name or a certificate, not both"}
	case o.trustAny && (o.server != "" || o.skip != 0):
		return &OptionError{"trust", "any", "every certificate is accepted so: server_cert and skip_checks have no effect"}
	case o.policy == uasc.None.String() && (o.trustAny || o.server != "" || o.skip != 0):
		return &OptionError{"security", "none", "without security the server has no certificate to look at: trust, server_cert and skip_checks have no effect"}
	}
	for _, name := range opcuaPushOptions {
		if v, set := said[name]; set && o.mode == opcuaPoll {
			return &OptionError{name, v, "it has no effect with mode poll"}
		}
	}
	return nil
}

// nodes returns how many nodes one request has at most, as far as is known.
func (o *opcuaOptions) nodes(lim device.Limits) int {
	if n := lesser(lesser(lim.MaxItems, o.maxItems), lim.MaxTags); n > 0 {
		return n
	}
	return defaultNodes
}

// checkOneConnection refuses a pool: the requests of one session run at once already.
func checkOneConnection(lim device.Limits) error {
	if lim.Connections > 1 {
		return &OptionError{"pool", strconv.Itoa(lim.Connections), "an OPC UA server is read over one session, with as many requests in flight as window says"}
	}
	return nil
}
