package why

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"millrace/internal/device"
	"millrace/modbus"
	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
	"millrace/s7"
)

// findOwnLimit: the gateway itself had nothing left.
func findOwnLimit(f *Facts, x *Finding) bool {
	of := f.failingBy(device.FaultOwn)
	if of == nil {
		return false
	}
	x.Title = "The gateway has no connection left for " + f.Device.Name
	x.fault(f, of)
	open, all := 0, 0
	for d := range f.All {
		all++
		if s := d.State; s == device.Ready || s == device.Degraded || s == device.Suspect {
			open++
		}
	}
	x.add("%d of %s are connected", open, many(all, "device"))
	x.add("its endpoint may hold %s", many(f.Device.Slots, "connection"))
	return true
}

// togetherWithin is by how much devices that went down together may differ: their timeouts and schedules do.
const togetherWithin = 30 * time.Second

// findSubnet: several devices of one subnet, with connections of their own, are down at once.
func findSubnet(f *Facts, x *Finding) bool {
	of := f.failingBy(device.FaultNoAnswer, device.FaultRoute, device.FaultTimeout, device.FaultUnheard, device.FaultMute)
	here, ok := subnetOf(f.Device.Endpoint)
	if of == nil || !ok || f.Device.DownSince.IsZero() {
		return false
	}
	down, well, others := map[string]string{}, map[string]bool{}, 0
	for o := range f.All {
		net, ok := subnetOf(o.Endpoint)
		switch up := o.State == device.Ready || o.State == device.Degraded; {
		case !ok || net != here:
			if up {
				others++
			}
		case up:
			well[o.Shares] = true
		case !o.DownSince.IsZero() && o.DownSince.Sub(f.Device.DownSince).Abs() <= togetherWithin:
			down[o.Shares] = o.Name
		}
	}
	if len(down) < 3 || len(down) < len(well) {
		return false
	}
	names := sortedValues(down)
	x.Title = fmt.Sprintf("%d devices of %s went down together: look at what they have in common, a switch or an uplink", len(down), here)
	x.fault(f, of)
	x.add("down within %s of one another: %s", short(togetherWithin), list(names, 8))
	x.add("%s of that subnet answer, and %d elsewhere", many(len(well), "device"), others)
	if others == 0 && len(well) == 0 {
		x.Title = fmt.Sprintf("All %d devices went down together: look at the gateway's own network connection first", len(down))
	}
	return true
}

// subnetOf returns the /24, or /64, of an endpoint that is given as an address.
func subnetOf(endpoint string) (netip.Prefix, bool) {
	h, _ := hostOf(endpoint)
	a, err := netip.ParseAddr(h)
	if err != nil {
		return netip.Prefix{}, false
	}
	bits := 24
	if a = a.Unmap(); a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	return p, err == nil
}

// findUnit: one unit behind a connection on which others answer.
func findUnit(f *Facts, x *Finding) bool {
	of := f.failingBy(device.FaultTimeout)
	if of == nil {
		return false
	}
	var answer []string
	units := 0
	for i := range f.sharers {
		o := &f.sharers[i]
		if o.Name == f.Device.Name {
			continue
		}
		units++
		if o.State == device.Ready || o.State == device.Degraded {
			answer = append(answer, o.Name)
		}
	}
	e := notReached(of.Err)
	switch {
	case len(answer) == 0 && e == nil:
		return false
	case len(answer) == 0:
		x.Title = fmt.Sprintf("%s answers, and does not reach unit %d behind it", f.address(), e.Unit)
		x.first("compare the unit id in the address with those that the gateway in front of it knows")
	default:
		x.Title = fmt.Sprintf("Only this unit is silent: %d of the %d others behind the same connection answer", len(answer), units)
	}
	x.fault(f, of)
	if len(answer) > 0 {
		x.add("behind %s answer %s", f.address(), list(answer, 5))
	}
	if e != nil {
		x.add("the gateway in front of it says exception %d (%s)", uint8(e.Exception), e.Exception)
		x.Confidence = Certain
	}
	return true
}

// notReached returns the exception by which a gateway says that it does not reach a unit, nil when err is none.
func notReached(err error) *modbus.Error {
	var e *modbus.Error
	if errors.As(err, &e) && (e.Exception == modbus.GatewayPathUnavailable || e.Exception == modbus.GatewayTargetFailed) {
		return e
	}
	return nil
}

func findName(f *Facts, x *Finding) bool {
	of := f.failingBy(device.FaultName)
	if of == nil {
		return false
	}
	h, _ := f.host()
	var dns *net.DNSError
	if errors.As(of.Err, &dns) && dns.Name != "" {
		h = dns.Name
	}
	x.Title = fmt.Sprintf("The name %s does not resolve", h)
	x.fault(f, of)
	if dns != nil {
		x.add("the resolver says: %s (not found %t, timeout %t, server %q)", dns.Err, dns.IsNotFound, dns.IsTimeout, dns.Server)
	}
	x.first("try it on the gateway: getent hosts " + h)
	return true
}

func findRoute(f *Facts, x *Finding) bool {
	of := f.failingBy(device.FaultRoute)
	if of == nil {
		return false
	}
	h, _ := f.host()
	x.Title = "There is no route to " + h
	x.fault(f, of)
	x.first("look at the gateway's routes: ip route get " + h)
	return true
}

func findNoAnswer(f *Facts, x *Finding) bool {
	of := f.failingBy(device.FaultNoAnswer)
	if of == nil {
		return false
	}
	h, port := f.host()
	x.Title = fmt.Sprintf("Nothing answers at %s: the device is off, unplugged, or a firewall swallows port %s", f.address(), port)
	x.fault(f, of)
	x.add("the request for a connection (SYN) had no answer, neither yes nor no")
	x.first(fmt.Sprintf("ping %s: an answer says that a firewall, or the device's own access list, swallows port %s; silence says that the device or its network is off", h, port))
	return true
}

func findUnheard(f *Facts, x *Finding) bool {
	of := f.failingBy(device.FaultUnheard)
	if of == nil {
		return false
	}
	x.Title = "The device is gone from the network: not even its system acknowledges what was sent"
	x.fault(f, of)
	f.addTCP(x)
	return true
}

func findRefused(f *Facts, x *Finding) bool {
	of := f.failingBy(device.FaultRefused)
	if of == nil {
		return false
	}
	h, port := f.host()
	x.Title = fmt.Sprintf("%s is there, and nothing listens on port %s", h, port)
	x.fault(f, of)
	x.add("the request for a connection was answered with a reset (ECONNREFUSED)")
	return true
}

// findHungUp: it takes connections, and ends them before it has said anything.
func findHungUp(f *Facts, x *Finding) bool {
	of := f.failingBy(device.FaultHungUp, device.FaultReset, device.FaultClosed)
	if of == nil {
		return false
	}
	x.Title = fmt.Sprintf("%s takes the connection and hangs up at once: its connections are used up, or it does not let this gateway in", f.address())
	x.fault(f, of)
	how := "closed (FIN)"
	if of.Kind == device.FaultReset || errors.Is(of.Err, syscall.ECONNRESET) {
		how = "reset (RST)"
	}
	x.add("the connection was %s by the other side %s before anything was read", how, times(of.Count))
	f.addSlots(x)
	return true
}

func findMute(f *Facts, x *Finding) bool {
	of := f.failingBy(device.FaultMute)
	if of == nil {
		return false
	}
	x.Title = fmt.Sprintf("%s takes the connection and does not answer the handshake", f.address())
	x.fault(f, of)
	return true
}

// findSilent: it takes connections, and answers no request.
func findSilent(f *Facts, x *Finding) bool {
	of := f.failingBy(device.FaultTimeout)
	if late := f.recent(device.FaultLate); of == nil || late != nil && !late.Last.Before(f.Device.DownSince) || notReached(of.Err) != nil {
		return false // what answers late is not silent, nor is what says that it does not reach a unit
	}
	x.Title = fmt.Sprintf("%s takes the connection and stays silent: no request is answered", f.address())
	x.fault(f, of)
	x.add("%s without an answer so far, each waited for up to %s", times(f.Device.Timeouts), short(f.Device.Timeout))
	f.addTCP(x)
	if t := f.tcp(); t != nil && t.Unacked == 0 && t.Resent == 0 {
		x.add("TCP acknowledges what is sent: the device's system lives, its server does not answer")
	}
	return true
}

func findCertificate(f *Facts, x *Finding) bool {
	of := f.failingBy(device.FaultHandshake)
	if of == nil || !certificateFault(of.Err) {
		return false
	}
	x.Title = "The certificates do not fit: " + certificateTitle(of.Err)
	x.fault(f, of)
	var d *opcua.DialError
	if errors.As(of.Err, &d) {
		x.add("at %s, status %v", d.Stage, d.Status)
		if d.Fingerprint != "" {
			x.add("this gateway's certificate has the fingerprint %s", d.Fingerprint)
		}
		if d.Server != "" {
			x.add("the server's certificate has the fingerprint %s", d.Server)
		}
	}
	return true
}

func certificateFault(err error) bool {
	var own *uasc.CertificateError
	var verify *tls.CertificateVerificationError
	var alert tls.AlertError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	if errors.As(err, &own) || errors.As(err, &verify) || errors.As(err, &alert) || errors.As(err, &unknown) || errors.As(err, &host) || errors.As(err, &invalid) {
		return true
	}
	var d *opcua.DialError
	if !errors.As(err, &d) {
		return false
	}
	switch d.Status {
	case ua.BadSecurityChecksFailed, ua.BadCertificateUntrusted, ua.BadCertificateInvalid, ua.BadCertificateUseNotAllowed, ua.BadCertificateTimeInvalid, ua.BadCertificateUriInvalid,
		ua.BadCertificateHostNameInvalid, ua.BadCertificateIssuerTimeInvalid, ua.BadApplicationSignatureInvalid:
		return true
	}
	return false
}

func certificateTitle(err error) string {
	var own *uasc.CertificateError
	if errors.As(err, &own) {
		return "this gateway does not accept the server's (" + own.Reason + ")"
	}
	var d *opcua.DialError
	if errors.As(err, &d) {
		return "the server does not accept this gateway's"
	}
	return "the TLS handshake failed"
}

func findLogin(f *Facts, x *Finding) bool {
	of := f.failingBy(device.FaultHandshake)
	var d *opcua.DialError
	if of == nil || !errors.As(of.Err, &d) || d.Stage < opcua.StageCreate {
		return false
	}
	switch d.Status {
	case ua.BadIdentityTokenInvalid, ua.BadIdentityTokenRejected, ua.BadUserAccessDenied, ua.BadUserSignatureInvalid:
	default:
		return false
	}
	x.Title = fmt.Sprintf("The server does not let this user in (%s)", d.User)
	x.fault(f, of)
	x.add("at %s, status %v", d.Stage, d.Status)
	return true
}

// findFull: the device says that it has no connection, or session, left.
// findOwnSession: it turns us away, and may count a connection of ours that is dead.
func findOwnSession(f *Facts, x *Finding) bool {
	of := f.failingBy(device.FaultRefused, device.FaultHungUp, device.FaultReset, device.FaultClosed, device.FaultHandshake)
	if of == nil || f.Device.HalfOpen == 0 || f.Device.HalfOpenSince.IsZero() || of.Last.Before(f.Device.HalfOpenSince) {
		return false
	}
	var full interface{ Full() bool }
	if of.Kind == device.FaultHandshake && !(errors.As(of.Err, &full) && full.Full()) {
		return false
	}
	ago := short(f.Now.Sub(f.Device.HalfOpenSince))
	x.Title = fmt.Sprintf("%s turns the gateway away, and may still hold the place of our own connection that ended %s ago", f.address(), ago)
	x.fault(f, of)
	x.add("we lost a connection there %s ago, and the device did not let us know that it heard of its end", ago)
	f.addSlots(x)
	return true
}

func findFull(f *Facts, x *Finding) bool {
	of := f.failingBy(device.FaultHandshake)
	if of == nil {
		return false
	}
	var d *opcua.DialError
	var dr *s7.DisconnectedError
	switch {
	case errors.As(of.Err, &dr) && dr.Full():
		x.add("disconnect reason %d (%s)", uint8(dr.Reason), dr.Reason)
	case errors.As(of.Err, &d) && d.Full():
		x.add("at %s, status %v", d.Stage, d.Status)
	default:
		return false
	}
	x.Title = "The device has no connection resource left: others hold them all"
	x.fault(f, of)
	f.addSlots(x)
	return true
}

// addSlots appends how many connections of ours the device may count.
func (f *Facts) addSlots(x *Finding) {
	x.add("the gateway holds %d of the %s that it may", f.Device.SlotsUsed, many(f.Device.Slots, "connection"))
	if n := f.Device.HalfOpen; n > 0 {
		x.add("%s of ours that ended while it was silent it may count still: they come free by themselves", many(n, "connection"))
	}
}

// findProtocol: what answers speaks another language.
func findProtocol(f *Facts, x *Finding) bool {
	of := f.failingBy(device.FaultHandshake, device.FaultOther)
	if of == nil {
		return false
	}
	var m *modbus.FrameError
	var s *s7.FrameError
	var d *opcua.DialError
	switch {
	case errors.As(of.Err, &m), errors.As(of.Err, &s):
	case errors.As(of.Err, &d) && d.Status == ua.BadTcpMessageTypeInvalid:
	default:
		return false
	}
	x.Title = fmt.Sprintf("What answers at %s does not speak %s", f.address(), protocolName(f.Device.Protocol))
	x.fault(f, of)
	return true
}

func protocolName(protocol string) string {
	switch protocol {
	case "modbus":
		return "Modbus TCP"
	case "s7":
		return "S7 (ISO on TCP)"
	case "opcua":
		return "OPC UA over TCP"
	}
	return protocol
}

func findHandshake(f *Facts, x *Finding) bool {
	of := f.failingBy(device.FaultHandshake)
	if of == nil {
		return false
	}
	x.Title = fmt.Sprintf("%s refuses the handshake", f.address())
	var h *s7.HandshakeError
	var dr *s7.DisconnectedError
	var d *opcua.DialError
	switch {
	case errors.As(of.Err, &dr):
		x.Title = "The PLC refuses the connection: wrong rack, slot or TSAP"
		x.add("disconnect reason %d (%s)", uint8(dr.Reason), dr.Reason)
	case errors.As(of.Err, &h) && h.Stage == s7.StageSetup:
		x.Title = "The PLC takes the connection and refuses S7 communication over it"
	case errors.As(of.Err, &d):
		x.Title = fmt.Sprintf("The server refuses at: %s", d.Stage)
		x.add("at %s, status %v", d.Stage, d.Status)
	}
	if errors.As(of.Err, &h) {
		x.add("asked for TSAP %X, at %v", h.Called, h.Stage)
	}
	x.fault(f, of)
	return true
}
