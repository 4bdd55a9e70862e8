package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"millrace/internal/config"
	"millrace/internal/driver"
	"millrace/internal/serve"
	"millrace/internal/telemetry"
	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// northbound is the servers that offer the gateway's tags to others. All of them show the same tags.
type northbound struct {
	nodes   *serve.Nodes
	servers []northServer
}

type northServer struct {
	id     string
	server *opcua.Server
	ln     net.Listener
}

// openNorthbound makes the servers of cfg and opens their listeners, so that a port that is taken is found at the start. It is nil when there are none.
func (g *gateway) openNorthbound(ctx context.Context, cfg *config.Config) (*northbound, error) {
	if len(cfg.Serve) == 0 {
		return nil, nil
	}
	pki := filepath.Join(cfg.Gateway.Data, pkiFolder)
	own, ecc, err := driver.EnsureIdentities(pki, servedHosts(cfg)...)
	if err != nil {
		return nil, err
	}
	n := &northbound{nodes: serve.NewNodes(g.runtime, g.writes)}
	n.nodes.Set(servedTags(cfg))
	trust, err := uasc.OpenTrustStore(pki, uasc.TrustStoreConfig{})
	if err != nil {
		return nil, err
	}
	for _, c := range cfg.Serve {
		if err := n.open(ctx, g, c, own, ecc, trust); err != nil {
			return nil, errors.Join(fmt.Errorf("serve %s: %w", c.ID, err), n.close())
		}
	}
	return n, nil
}

// open makes the server of c. Each has an address space of its own, since that says how its server is.
func (n *northbound) open(ctx context.Context, g *gateway, c config.Serve, own, ecc *uasc.Identity, trust *uasc.TrustStore) error {
	space, err := opcua.NewSpace(opcua.SpaceConfig{ApplicationURI: own.ApplicationURI})
	if err != nil {
		return err
	}
	if err := n.nodes.Mount(space, "urn:millrace:"+g.config().Gateway.Name+":tags"); err != nil {
		return err
	}
	cfg := opcua.ServerConfig{
		Space: space, Identity: own, ECCIdentity: ecc, ApplicationName: "Millrace " + g.config().Gateway.Name, SoftwareVersion: version,
		Security: securities(c.Security), Trust: clientTrust(g, c, trust), MaxConns: servedConns(c), Quotas: opcua.ServerQuotas{Sessions: uint32(c.MaxSessions)},
		DrainTimeout: time.Second,
	}
	if c.Users != "" {
		users, err := opcua.LoadUsers(c.Users)
		if err != nil {
			return fmt.Errorf("%w; 'millrace user' makes the file", err)
		}
		cfg.UserTokens = opcua.TokenPassword
		if c.Anonymous {
			users.Anonymous = opcua.RoleRead
			cfg.UserTokens |= opcua.TokenAnonymous
		}
		cfg.Users = users
	}
	s, err := opcua.NewServer(cfg)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("%w; set listen to another address", err)
	}
	n.servers = append(n.servers, northServer{c.ID, s, ln})
	var checked []*uasc.Identity
	for _, p := range cfg.Security {
		if id := p.Policy.Pick(own, ecc); id != nil && !slices.Contains(checked, id) {
			checked = append(checked, id)
			g.checkOwnHost(c, id)
		}
	}
	return nil
}

// servedConns is how many connections a server takes: one for each session, and as many for clients that ask for its endpoints or come back.
func servedConns(c config.Serve) int { return 2 * c.MaxSessions }

// servedHosts returns the hosts that the servers of cfg listen at, but for those that stand for every address.
func servedHosts(cfg *config.Config) (hosts []string) {
	for _, c := range cfg.Serve {
		if h := servedHost(c); h != "" {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

func servedHost(c config.Serve) string {
	host, _, err := net.SplitHostPort(c.Listen)
	if a, bad := netip.ParseAddr(host); err != nil || bad == nil && a.IsUnspecified() {
		return ""
	}
	return host
}

// checkOwnHost warns of a certificate that was made before its server had the address: clients that look at it would refuse it without a word here.
func (g *gateway) checkOwnHost(c config.Serve, identity *uasc.Identity) {
	leaf, err := x509.ParseCertificate(uasc.Leaf(identity.Raw))
	host := servedHost(c)
	if err != nil || host == "" || leaf.VerifyHostname(host) == nil {
		return
	}
	own := filepath.Join(g.config().Gateway.Data, pkiFolder, "own")
	g.log.Warn("the gateway's own certificate is not for this address; clients that look at it refuse it", "server", c.ID, "address", c.Listen,
		"todo", "remove "+own+" and start again; clients and servers have to trust the new one")
}

// clientTrust judges clients' certificates, and says in the log how one that was refused is let in.
func clientTrust(g *gateway, c config.Serve, trust *uasc.TrustStore) uasc.Validator {
	v := uasc.ValidatorConfig{Store: trust, OnReject: func(r uasc.Rejection) {
		g.log.Warn("a client's certificate was refused", "server", c.ID, "peer", r.Peer, "reason", r.Reason, "todo", "millrace trust accept "+r.Thumbprint+" --pki "+pkiOf(g.config()))
	}}
	if c.AnyClient {
		v.Skip = uasc.CheckTrust
	}
	return uasc.NewValidator(v)
}

// securities returns each policy with signed and with encrypted messages. The names were checked by the configuration.
func securities(names []string) []uasc.Security {
	var out []uasc.Security
	for _, name := range names {
		p, _ := uasc.ParsePolicy(name)
		if p == uasc.None {
			out = append(out, uasc.Security{Policy: p, Mode: ua.MessageSecurityModeNone})
			continue
		}
		out = append(out, uasc.Security{Policy: p, Mode: ua.MessageSecurityModeSign}, uasc.Security{Policy: p, Mode: ua.MessageSecurityModeSignAndEncrypt})
	}
	return out
}

// run serves until ctx ends. A server that cannot go on ends the others with end.
func (n *northbound) run(ctx context.Context, wg *sync.WaitGroup, errs *errorList, end func()) {
	if n == nil {
		return
	}
	for _, s := range n.servers {
		wg.Go(func() {
			as(ctx, "server", func() {
				if err := s.server.Serve(ctx, s.ln); err != nil {
					errs.add(fmt.Errorf("serve %s: %w", s.id, err))
					end()
				}
			}, "server", s.id)
		})
	}
}

func (n *northbound) close() error {
	var errs []error
	for _, s := range n.servers {
		errs = append(errs, s.ln.Close())
	}
	return errors.Join(errs...)
}

// follow shows the tags of a configuration that was loaded anew.
func (n *northbound) follow(cfg *config.Config) {
	if n != nil {
		n.nodes.Set(servedTags(cfg))
	}
}

// stats returns what the servers counted.
func (n *northbound) stats() []telemetry.Server {
	if n == nil {
		return nil
	}
	out := make([]telemetry.Server, len(n.servers))
	for i, s := range n.servers {
		out[i] = opcuaServer(s.server.Stats())
		out[i].Name = s.id
	}
	return out
}

func opcuaServer(x opcua.ServerStats) telemetry.Server {
	return telemetry.Server{
		Sessions: map[string]int{"open": x.Sessions}, Accepted: x.Accepted, Refused: labels(x.Refused), Ended: labels(x.Ended),
		Requests: map[string]uint64{"all": x.Requests}, Refusals: map[string]uint64{"all": x.Faults},
	}
}

// servedTags lists the tags of cfg with what clients may know of them.
func servedTags(cfg *config.Config) []serve.Tag {
	known := dialects()
	var list []serve.Tag
	for _, d := range cfg.Devices {
		for _, g := range d.Groups {
			for _, t := range g.Tags {
				terms := t.Terms()
				s := serve.Tag{ID: t.ID, Name: t.Name, Device: d.Name, Number: d.Number, Unit: terms.Unit, Low: terms.Deadband.Low, High: terms.Deadband.High}
				s.Address, s.Kind = described(known[d.Driver], t)
				if t.Writable {
					s.Writable, s.Role = true, roleFor(cfg, terms.WriteRule)
				}
				s.Address = strings.TrimSpace(d.Addr.String() + " " + s.Address)
				list = append(list, s)
			}
		}
	}
	return list
}
