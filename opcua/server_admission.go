package opcua

import (
	"cmp"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"
)

// Admission bounds what new channels may cost. An RSA operation with a private key takes a processor about a millisecond, and a secured session needs four: 10,000
// clients that come back at once are let in one after the other, and told BadTcpServerTooBusy when they would wait for long, so that they come again instead of waiting
// for answers that are late. The zero value is a good default.
type Admission struct {
	RSAAtOnce int           // operations with the private key at the same time; default the processors but one, and two at least where there are two
	Patience  time.Duration // how long an OpenSecureChannel may have to wait for its turn, by what those before it took; default 2 s
	Waiting   int           // OpenSecureChannel requests that wait for their turn, at most; default 1,024

	OpenRate     float64 // channels opened a second, renewals included; default 1,000
	OpenBurst    int     // at once; default 2,000
	PerAddrRate  float64 // of one remote address; default 500
	PerAddrBurst int     // default 1,000

	PasswordsAtOnce int // passwords checked at the same time, each of which may take 19 MiB; default 2
}

func (a Admission) withDefaults() Admission {
	procs := runtime.GOMAXPROCS(0)
	a.RSAAtOnce = cmp.Or(a.RSAAtOnce, min(procs, max(2, procs-1)))
	a.Patience = cmp.Or(a.Patience, 2*time.Second)
	a.Waiting = cmp.Or(a.Waiting, 1024)
	a.OpenRate = cmp.Or(a.OpenRate, 1000)
	a.OpenBurst = cmp.Or(a.OpenBurst, 2000)
	a.PerAddrRate = cmp.Or(a.PerAddrRate, 500)
	a.PerAddrBurst = cmp.Or(a.PerAddrBurst, 1000)
	a.PasswordsAtOnce = cmp.Or(a.PasswordsAtOnce, 2)
	return a
}

// bucket is a token bucket: so many at once, and so many a second.
type bucket struct {
	level float64 // tokens there at the time of at
	at    time.Duration
}

func (b *bucket) take(now time.Duration, rate float64, burst int) bool {
	if now > b.at { // two that come at once may have looked at the clock in the other order
		b.level = min(b.level+rate*(now-b.at).Seconds(), float64(burst))
		b.at = now
	}
	if b.level < 1 {
		return false
	}
	b.level--
	return true
}

// openings are the buckets for new channels: one for all and one for each remote address that came lately.
type openings struct {
	cfg Admission

	mu     sync.Mutex
	all    bucket
	byAddr map[netip.Addr]*bucket
}

// mostAddrs bounds the buckets that are kept. With more addresses than that, those whose bucket is full again are forgotten, and if none is, all are.
const mostAddrs = 4096

func newOpenings(cfg Admission) *openings {
	return &openings{cfg: cfg, all: bucket{level: float64(cfg.OpenBurst)}, byAddr: make(map[netip.Addr]*bucket)}
}

// take says whether one more channel may be opened from remote. Connections without an IP address (a pipe) have no bucket of their own.
func (o *openings) take(remote net.Addr, now time.Duration) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if t, ok := remote.(*net.TCPAddr); ok && !o.ofAddr(hostNet(t.AddrPort().Addr()), now).take(now, o.cfg.PerAddrRate, o.cfg.PerAddrBurst) {
		return false
	}
	return o.all.take(now, o.cfg.OpenRate, o.cfg.OpenBurst)
}

// hostNet returns what one host may be assumed to have: an address, or a /64 of IPv6.
func hostNet(a netip.Addr) netip.Addr {
	const bits = 64
	if a = a.Unmap().WithZone(""); a.Is6() {
		p, _ := a.Prefix(bits) // fails only on addresses that are none
		return p.Addr()
	}
	return a
}

func (o *openings) ofAddr(a netip.Addr, now time.Duration) *bucket {
	b := o.byAddr[a]
	if b == nil {
		if len(o.byAddr) >= mostAddrs {
			o.forget(now)
		}
		b = &bucket{level: float64(o.cfg.PerAddrBurst), at: now}
		o.byAddr[a] = b
	}
	return b
}

// forget makes room. A bucket that is full says no more than none.
func (o *openings) forget(now time.Duration) {
	for a, b := range o.byAddr {
		if b.level+o.cfg.PerAddrRate*(now-b.at).Seconds() >= float64(o.cfg.PerAddrBurst) {
			delete(o.byAddr, a)
		}
	}
	if len(o.byAddr) >= mostAddrs {
		clear(o.byAddr)
	}
}
