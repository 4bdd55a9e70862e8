package sim

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// OPCUAConfig says which OPC UA servers to simulate.
type OPCUAConfig struct {
	Listen  string  // address of the first device, in 127.0.0.0/8, with a port; default 127.0.0.1:4840. Port 0 takes a free one
	Devices int     // default 1, at most MaxDevices, or with ByPort as many as there are ports
	ByPort  bool    // device i is at the same address and i ports higher, where 127.0.0.0/8 has only one address
	Faults  []Fault // in order
	Seed    uint64  // of the faults' dice

	Nodes int // live values, v0 and so on; default 100, at most 1,000,000
}

func (c OPCUAConfig) site() site { return site{c.Listen, c.Devices, c.ByPort, c.Faults, c.Seed} }

const (
	opcuaNodes    = 100
	maxOPCUANodes = 1_000_000
)

func (c OPCUAConfig) withDefaults() (OPCUAConfig, netip.AddrPort, error) {
	s, at, err := c.site().withDefaults(ProtocolOPCUA)
	c.Listen, c.Devices = s.Listen, s.Devices
	if c.Nodes == 0 {
		c.Nodes = opcuaNodes
	}
	if err == nil && (c.Nodes < 1 || c.Nodes > maxOPCUANodes) {
		err = fmt.Errorf("sim: %d nodes; there may be 1 to %d", c.Nodes, maxOPCUANodes)
	}
	return c, at, err
}

// OPCUA simulates OPC UA servers. They share one address space: what a client writes at one of them is written at all. Make it with NewOPCUA, then Listen, then Run;
// any goroutine may call the other methods.
type OPCUA struct {
	fleet
	nodes int
	lives [allLives]*opcuaLife // nil where no fault leads to
}

// life is what a server is after a restart: bits. While a fault lasts its device is in another life, with a Server of its own that knows nothing of the sessions
// of the one before.
type life uint8

const (
	newCertificate life = 1 << iota // it has another certificate
	newNamespace                    // a namespace has come in front of the simulator's own

	allLives life = 1 << iota
)

// lifeOf are the faults that make a device another server.
var lifeOf = map[Kind]life{CertificateChange: newCertificate, StaleNamespace: newNamespace}

// opcuaLife is the server of all devices that are in that life.
type opcuaLife struct {
	m      *OPCUA
	life   life
	server *opcua.Server
}

// NewOPCUA checks cfg and makes the servers' keys. Nothing is open yet.
func NewOPCUA(cfg OPCUAConfig) (*OPCUA, error) {
	cfg, first, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &OPCUA{nodes: cfg.Nodes}
	m.assemble(ProtocolOPCUA, cfg.site(), first)
	var may life
	for i := range cfg.Faults {
		may |= lifeOf[cfg.Faults[i].Kind]
	}
	certificates := map[life]simIdentities{}
	for l := range allLives {
		if l&^may != 0 {
			continue
		}
		if m.lives[l], err = m.newLife(l, certificates); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// newLife makes the server of a life. Lives that have the same certificate share it; an address space is one server's, since it says how that is.
func (m *OPCUA) newLife(l life, certificates map[life]simIdentities) (*opcuaLife, error) {
	space, err := newOPCUASpace(m.nodes, l&newNamespace != 0)
	if err != nil {
		return nil, err
	}
	id, made := certificates[l&newCertificate]
	if !made {
		if id, err = m.newIdentities(); err != nil {
			return nil, err
		}
		certificates[l&newCertificate] = id
	}
	of := &opcuaLife{m: m, life: l}
	of.server, err = opcua.NewServer(opcua.ServerConfig{
		Space: space, Identity: id.rsa, ECCIdentity: id.ecc, Trust: anybody{}, UserTrust: anybody{}, Security: allSecurity(), ApplicationName: "Millrace simulator",
		Users: opcuaUsers{}, UserTokens: opcua.TokenAnonymous | opcua.TokenPassword | opcua.TokenCertificate, Intercept: of,
		MaxConns: 1 << 20, Quotas: opcua.ServerQuotas{Sessions: 1 << 20}, DrainTimeout: 2 * time.Second,
	})
	return of, err
}

// simIdentities are a server's certificates, of RSA and for elliptic curves.
type simIdentities struct{ rsa, ecc *uasc.Identity }

func (m *OPCUA) newIdentities() (id simIdentities, err error) {
	cfg := uasc.IdentityConfig{
		ApplicationName: "Millrace simulator", ApplicationURI: opcuaServerURI, Hosts: []string{"localhost", m.first.Addr().String()}, Now: time.Now(),
	}
	if id.rsa, err = uasc.NewIdentity(cfg); err != nil {
		return id, err
	}
	cfg.ECC = true
	id.ecc, err = uasc.NewIdentity(cfg)
	return id, err
}

// allSecurity is everything that a server may offer, None included.
func allSecurity() []uasc.Security {
	all := []uasc.Security{{Policy: uasc.None, Mode: ua.MessageSecurityModeNone}}
	for _, p := range []uasc.Policy{uasc.Basic256Sha256, uasc.Aes128Sha256RsaOaep, uasc.Aes256Sha256RsaPss, uasc.ECCNistP256} {
		all = append(all, uasc.Security{Policy: p, Mode: ua.MessageSecurityModeSign}, uasc.Security{Policy: p, Mode: ua.MessageSecurityModeSignAndEncrypt})
	}
	return all
}

// anybody trusts every certificate: a simulator is for trying things out.
type anybody struct{}

// Validate implements uasc.Validator.
func (anybody) Validate(time.Time, []byte, uasc.Use) error { return nil }

// The user that a simulator knows beside anonymous ones and those with a certificate. Both are documented, and secret to nobody.
const (
	OPCUAUser     = "operator"
	OPCUAPassword = "simulator"
)

type opcuaUsers struct{}

// Authenticate implements opcua.Authenticator.
func (opcuaUsers) Authenticate(_ context.Context, c opcua.Credentials) (opcua.Roles, error) {
	switch c.Kind {
	case ua.UserTokenTypeAnonymous, ua.UserTokenTypeCertificate:
		return opcua.RoleRead | opcua.RoleWrite, nil
	case ua.UserTokenTypeUserName:
		if c.User == OPCUAUser && string(c.Password) == OPCUAPassword {
			return opcua.RoleRead | opcua.RoleWrite | opcua.RoleAdmin, nil
		}
	}
	return 0, fmt.Errorf("sim: user %q is not known", c.User)
}

// Run serves until ctx ends, then drains: it closes the sockets, lets requests that are being served end, and returns when all connections
// have. Listen comes first.
func (m *OPCUA) Run(ctx context.Context) error { return m.run(ctx, m.serve) }

// serve gives the connections of a socket to the servers of the lives that their devices are in.
func (m *OPCUA) serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var doors [allLives]*door
	var wg sync.WaitGroup
	var errs [allLives]error
	once := sync.OnceValue(ln.Close)
	for l, of := range m.lives {
		if of == nil {
			continue
		}
		d := &door{Listener: ln, conns: make(chan net.Conn), closed: make(chan struct{}), close: once}
		doors[l] = d
		wg.Go(func() {
			defer cancel()
			errs[l] = of.server.Serve(ctx, d)
		})
	}
	err := m.admit(ctx, ln, &doors)
	cancel()
	wg.Wait()
	for _, e := range errs {
		if e != nil {
			err = e
		}
	}
	return err
}

// admit accepts until the socket is closed, by a server whose ctx has ended.
func (m *OPCUA) admit(ctx context.Context, ln net.Listener, doors *[allLives]*door) error {
	for {
		c, err := ln.Accept()
		if ctx.Err() != nil {
			if err == nil {
				c.Close()
			}
			return nil
		}
		if err != nil {
			return err
		}
		d := m.deviceAt(c.LocalAddr())
		doors[m.lifeNow(d, true)].enter(c)
	}
}

// lifeNow returns the life that d is in. strike counts the faults that it is because of.
func (m *OPCUA) lifeNow(d *device, strike bool) (l life) {
	elapsed := m.elapsed(time.Now())
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.faults {
		f := &d.faults[i]
		if lifeOf[f.Kind] == 0 || !f.active(elapsed) {
			continue
		}
		l |= lifeOf[f.Kind]
		if strike {
			f.struck++
		}
	}
	return l
}

// door is the listener of one life's server: it gets the connections that come for it.
type door struct {
	net.Listener
	conns  chan net.Conn // of size 0: who accepts waits until the server takes it
	closed chan struct{}
	close  func() error
	once   sync.Once
}

func (d *door) enter(c net.Conn) {
	select {
	case d.conns <- c:
	case <-d.closed:
		_ = c.Close()
	}
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. The socket closes with the first door.
func (d *door) Close() error {
	d.once.Do(func() { close(d.closed) })
	return d.close()
}

// Servers returns what the servers counted: one, or one for each life that faults lead to.
func (m *OPCUA) Servers() []opcua.ServerStats {
	var all []opcua.ServerStats
	for _, of := range m.lives {
		if of != nil {
			all = append(all, of.server.Stats())
		}
	}
	return all
}

// EmitConfig writes the gateway configuration that reads the simulated devices: live values, and static ones of which there are as many as numeric types.
func (m *OPCUA) EmitConfig(w io.Writer, o EmitOptions) error {
	numbers := opcuaNumbers()
	return m.emit(w, o, offer{
		protocol: "opcua", waves: m.nodes, statics: len(numbers),
		wave:   func(k int) string { return fmt.Sprintf("nsu=%s;s=v%d", OPCUANamespace, k) },
		static: func(k int) string { return fmt.Sprintf("nsu=%s;s=static.%s", OPCUANamespace, numbers[k]) },
		url:    func(n int) string { return "opc.tcp://" + m.Addr(n) + "?security=None" },
	})
}
