package driver

import (
	"cmp"
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

// Where our own certificates lie in the folder of the trust list: one of RSA, and one for elliptic curves.
const (
	ownCert    = "own/cert.der"
	ownKey     = "own/key.pem"
	ownECCCert = "own/cert-ecc.der"
	ownECCKey  = "own/key-ecc.pem"
)

// config turns the options into a client's.
func (o *opcuaOptions) config(lim device.Limits) (opcua.Config, error) {
	cfg := opcua.Config{
		Policy: o.policy, Mode: o.security, SessionName: o.session, DialTimeout: o.dialTimeout, SessionTimeout: o.sessionTimeout,
		Window: o.inFlight(), MaxOperations: o.maxItems, AnyServer: o.trustAny,
		User: opcua.User{Name: o.user, Password: o.password},
	}
	cfg.Known, cfg.Learned = keptOf(lim.Server, o.url)
	if lim.MaxItems > 0 {
		cfg.Learned.Operations.Read = lim.MaxItems
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
	if cfg.Identity, cfg.ECCIdentity, err = o.identities(); err != nil || cfg.Identity == nil {
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

// identities returns our certificates and keys, nil without. Those of the folder are made when they are not there. One of cert and key is of either kind, and
// alone: what it is not for is not offered.
func (o *opcuaOptions) identities() (id, ecc *uasc.Identity, err error) {
	switch {
	case o.cert != "":
		if id, err = uasc.LoadIdentity(o.cert, o.key); err != nil {
			return nil, nil, &OptionError{"cert", o.cert, err.Error()}
		}
		return id, nil, o.fits(id)
	case o.pki != "":
		return EnsureIdentities(o.pki)
	case o.policy != "" || o.security != 0:
		return nil, nil, &OptionError{Option: "security", What: "it takes a certificate of our own: add pki, the folder of it and of the trust list, or cert and key"}
	}
	return nil, nil, nil
}

// fits reports whether the certificate of cert goes with the policy of security.
func (o *opcuaOptions) fits(id *uasc.Identity) error {
	p, named := uasc.ParsePolicy(o.policy)
	if !named || p.Takes(id.Key) {
		return nil
	}
	return &OptionError{"cert", o.cert, "it has " + uasc.KeyName(id.Key) + ", and " + p.String() + " works with " + p.KeyName() + ": name another certificate, or leave cert and key out for the one that millrace makes itself"}
}

// NeedsIdentity returns the folder of the certificate that a session to a is made with; false when there is none, or the options name its files.
func (d OPCUA) NeedsIdentity(a device.Addr) (pki string, ok bool) {
	o, err := d.parseOptions(a)
	return o.pki, err == nil && o.pki != "" && o.cert == "" && o.policy != uasc.None.String()
}

// EnsureIdentities returns our own certificates in the folder pki, of RSA and for elliptic curves, each of which is made where it is not there: valid for 20 years, with
// the names and addresses of this host, and those of hosts, under which clients find our servers. Both are of one application, whatever this host is called by now. Beside one of RSA
// that was there, the other one is nil when it cannot be saved: a folder that nothing can be written to did until there were curves.
func EnsureIdentities(pki string, hosts ...string) (rsa, ecc *uasc.Identity, err error) {
	cfg := identityConfig(hosts)
	rsa, before, err := ensureIdentity(pki, ownCert, ownKey, cfg)
	if err != nil {
		return nil, nil, err
	}
	cfg.ECC, cfg.ApplicationURI = true, cmp.Or(rsa.ApplicationURI, cfg.ApplicationURI)
	ecc, there, err := ensureIdentity(pki, ownECCCert, ownECCKey, cfg)
	if err != nil && before && !there {
		return rsa, nil, nil
	}
	return rsa, ecc, err
}

// identityConfig says what our certificates are made with.
func identityConfig(hosts []string) uasc.IdentityConfig {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	return uasc.IdentityConfig{ApplicationName: "Millrace", ApplicationURI: "urn:" + strings.ToLower(host) + ":millrace", Hosts: ownHosts(host, hosts), Now: time.Now()}
}

// ensureIdentity returns one certificate of the folder, and whether it was there, or is there and cannot be read.
func ensureIdentity(pki, cert, key string, cfg uasc.IdentityConfig) (id *uasc.Identity, there bool, err error) {
	cert, key = filepath.Join(pki, cert), filepath.Join(pki, key)
	if err := os.MkdirAll(filepath.Dir(cert), 0o700); err != nil {
		return nil, false, &OptionError{"pki", pki, err.Error()}
	}
	id, made, err := uasc.LoadOrCreateIdentity(cert, key, cfg)
	if err != nil {
		return nil, !made, &OptionError{"pki", pki, err.Error()}
	}
	return id, !made, nil
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
