package driver

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"millrace/internal/device"
)

// OPCUA reads, writes and subscribes to OPC UA servers. It holds no state.
type OPCUA struct {
	// PKI is the folder of our own certificate and of the trust list, for devices whose options name none; "" for none. It is made when it is needed.
	PKI string
}

const schemeOPCUA = "opc.tcp"

// Ports returns the scheme that OPCUA takes, with its default port.
func (OPCUA) Ports() map[string]int { return map[string]int{schemeOPCUA: 4840} }

// Patience returns how long Open may take: small controllers are seconds over the keys of a session.
func (d OPCUA) Patience(a device.Addr) time.Duration {
	if o, err := d.parseOptions(a); err == nil && o.dialTimeout > 0 {
		return o.dialTimeout
	}
	return opcuaPatience
}

// opcuaPatience is how long a connection may take with all that belongs to a session, unless dial_timeout says it.
const opcuaPatience = 15 * time.Second

// Endpoint returns what devices share a session by: the URL, and all options that a session is made with. An address with bad options has an endpoint of its
// own, and Open refuses it. The password is in it as a digest.
func (d OPCUA) Endpoint(a device.Addr) string {
	o, err := d.parseOptions(a)
	if err != nil {
		return a.String()
	}
	key := o.url
	for _, name := range slices.Sorted(maps.Keys(a.Options)) {
		v := a.Options[name]
		if slices.Contains(opcuaPlanOptions, name) {
			continue
		}
		if name == "password" {
			sum := sha256.Sum256([]byte(strings.Join([]string{o.url, o.user, v}, "\x00")))
			v = hex.EncodeToString(sum[:4])
		}
		key += " " + name + "=" + v
	}
	return key
}
