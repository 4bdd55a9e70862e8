package driver

import (
	"encoding/pem"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"millrace/internal/device"
	"millrace/opcua"
	"millrace/opcua/uasc"
)

// Where our own certificate lies in the folder of the trust list.
const (
	ownCert = "own/cert.der"
	ownKey  = "own/key.pem"
)

// config turns the options into a client's.
func (o *opcuaOptions) config(lim device.Limits) (opcua.Config, error) {
	cfg := opcua.Config{
		Policy: o.policy, Mode: o.security, SessionName: o.session, DialTimeout: o.dialTimeout, SessionTimeout: o.sessionTimeout,
		Window: o.inFlight(), MaxOperations: o.maxItems, AnyServer: o.trustAny,
		Learned: opcua.Learned{Operations: opcua.Operations{Read: lim.MaxItems}},
		User:    opcua.User{Name: o.user, Password: o.password},
	}
	var err error
	if o.userCert != "" {
		id, err := uasc.LoadIdentity(o.userCert, o.userKey)
		if err != nil {
			return cfg, &OptionError{"user_cert", o.userCert, err.Error()}
		}
		cfg.User.Certificate, cfg.User.Key = id.Raw, id.Signer
	}
	if o.policy == uasc.None.String() {
		return cfg, nil
	}
	if cfg.Identity, err = o.identity(); err != nil || cfg.Identity == nil {
		return cfg, err
	}
	return cfg, o.trust(&cfg)
}

// inFlight returns how many requests are on their way at once.
func (o *opcuaOptions) inFlight() int {
	if o.window > 0 {
		return o.window
	}
	return opcuaWindow
}

// identity returns our certificate and key, nil without. That of the folder is made when it is not there.
func (o *opcuaOptions) identity() (*uasc.Identity, error) {
	switch {
	case o.cert != "":
		id, err := uasc.LoadIdentity(o.cert, o.key)
		if err != nil {
			return nil, &OptionError{"cert", o.cert, err.Error()}
		}
		return id, nil
	case o.pki != "":
		return EnsureIdentity(o.pki)
	case o.policy != "" || o.security != 0:
		return nil, &OptionError{Option: "security", What: "it takes a certificate of our own: add pki, the folder of it and of the trust list, or cert and key"}
	}
	return nil, nil
}

// NeedsIdentity returns the folder of the certificate that a session to a is made with; false when there is none, or the options name its files.
func (d OPCUA) NeedsIdentity(a device.Addr) (pki string, ok bool) {
	o, err := d.parseOptions(a)
	return o.pki, err == nil && o.pki != "" && o.cert == "" && o.policy != uasc.None.String()
}

// EnsureIdentity returns our own certificate in the folder pki, which is made where it is not there: valid for 20 years, with the names and addresses of
// this host, and those of hosts, under which clients find our servers.
func EnsureIdentity(pki string, hosts ...string) (*uasc.Identity, error) {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	cert, key := filepath.Join(pki, ownCert), filepath.Join(pki, ownKey)
	if err := os.MkdirAll(filepath.Dir(cert), 0o700); err != nil {
		return nil, &OptionError{"pki", pki, err.Error()}
	}
	id, _, err := uasc.LoadOrCreateIdentity(cert, key, uasc.IdentityConfig{
		ApplicationName: "Millrace", ApplicationURI: "urn:" + strings.ToLower(host) + ":millrace", Hosts: ownHosts(host, hosts), Now: time.Now(),
	})
	if err != nil {
		return nil, &OptionError{"pki", pki, err.Error()}
	}
	return id, nil
}

// mostOwnHosts bounds the names in our certificate: a host of containers has many addresses, and peers refuse long certificates.
const mostOwnHosts = 32

// ownHosts lists name, more and the addresses of this host's interfaces. Link-local ones need a zone, which a certificate has no room for.
func ownHosts(name string, more []string) []string {
	hosts := append([]string{name, "localhost"}, more...)
	addrs, _ := net.InterfaceAddrs() // without them there are names
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
			hosts = append(hosts, p.Addr().String())
		}
	}
	out := hosts[:0]
	for _, h := range hosts {
		if !slices.Contains(out, h) && len(out) < mostOwnHosts {
			out = append(out, h)
		}
	}
	return out
}

// trust says whose certificates are accepted.
func (o *opcuaOptions) trust(cfg *opcua.Config) error {
	switch {
	case o.trustAny:
		return nil
	case o.server != "":
		b, err := os.ReadFile(o.server)
		if err != nil {
			return &OptionError{"server_cert", o.server, err.Error()}
		}
		if block, _ := pem.Decode(b); block != nil {
			b = block.Bytes
		}
		c, err := uasc.ParseCertificate(b)
		if err != nil {
			return &OptionError{"server_cert", o.server, err.Error()}
		}
		cfg.ServerCertificate = c.Raw
		return nil
	case o.pki == "":
		return &OptionError{Option: "pki", What: "without the folder of the trust list, trust or server_cert must say which servers are meant"}
	}
	store, err := uasc.OpenTrustStore(o.pki, uasc.TrustStoreConfig{})
	if err != nil {
		return &OptionError{"pki", o.pki, err.Error()}
	}
	cfg.Trust = uasc.NewValidator(uasc.ValidatorConfig{Store: store, Skip: o.skip})
	return nil
}
