package opcua

import (
	"bytes"
	"context"
	"strings"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

const (
	sessionNonce   = 32  // bytes of a server nonce, and the fewest of a client's on a secured channel
	maxSessionName = 512 // bytes that are kept
	maxLocales     = 16
	maxKeptText    = 4096 // bytes of each text that a session keeps of its client's description
)

// serveCreateSession makes a session that waits for its activation on this channel [OPC 10000-4 5.7.2].
func (s *Server) serveCreateSession(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	var req ua.CreateSessionRequest
	decodeCreate(d, &req)
	status := decoded(d)
	if status == ua.Good {
		status = s.checkCreate(c.conn, &req)
	}
	if status != ua.Good {
		s.rejected(status)
		return out, status
	}
	x := s.newSession(c, &req)
	signature, status := s.signServer(ctx, c.conn, &req)
	if status != ua.Good {
		return out, status
	}
	if out, status = s.giveKey(ctx, c, x, out); status != ua.Good {
		return out, status
	}
	if status = s.admitSession(x, c.conn); status != ua.Good { // last, so that nothing is left of a session whose client is refused
		s.rejected(status)
		return out, status
	}
	return s.appendCreated(out, x, c.conn, s.endpoints(s.endpointURL(c.conn, req.EndpointUrl)), signature), ua.Good
}

// decodeCreate reads the request from behind its header on.
func decodeCreate(d *ua.Decoder, req *ua.CreateSessionRequest) {
	req.ClientDescription.DecodeFrom(d)
	req.ServerUri = d.String()
	req.EndpointUrl = d.String()
	req.SessionName = d.String()
	req.ClientNonce = d.Bytes()
	req.ClientCertificate = d.Bytes()
	req.RequestedSessionTimeout = d.F64()
	req.MaxResponseMessageSize = d.U32()
}

// appendCreated appends the response from behind its header on.
func (s *Server) appendCreated(out []byte, x *session, c *serverConn, endpoints []ua.EndpointDescription, signature ua.SignatureData) []byte {
	out = ua.AppendNodeId(out, x.id)
	out = ua.AppendNodeId(out, x.token.nodeID())
	out = ua.AppendDouble(out, float64(x.timeout)/float64(time.Millisecond))
	out = ua.AppendByteString(out, x.nonce)
	var certificate []byte
	if id := s.cfg.identity(c.channel.Policy()); id != nil {
		certificate = id.Chain
	}
	out = ua.AppendByteString(out, certificate)
	out = ua.AppendCount(out, len(endpoints), false)
	for i := range endpoints {
		out = endpoints[i].AppendTo(out)
	}
	out = ua.AppendCount(out, 0, false) // ServerSoftwareCertificates, which are no more
	out = signature.AppendTo(out)
	return ua.AppendUInt32(out, uint32(c.channel.Limits().ReceiveMessage))
}

// rejected counts a session that was not made.
func (s *Server) rejected(status ua.StatusCode) {
	p := s.sessions
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rejected++
	switch status {
	case ua.BadCertificateInvalid, ua.BadCertificateUriInvalid, ua.BadNonceInvalid:
		p.rejectedSecurity++
	}
}

// checkCreate holds what the client says of itself to what its channel proved.
func (s *Server) checkCreate(c *serverConn, req *ua.CreateSessionRequest) ua.StatusCode {
	peer := c.channel.Remote()
	switch {
	case req.ServerUri != "" && req.ServerUri != s.applicationURI():
		return ua.BadServerUriInvalid
	case peer == nil:
		return ua.Good
	case len(req.ClientNonce) < sessionNonce:
		return ua.BadNonceInvalid
	case !bytes.Equal(uasc.Leaf(req.ClientCertificate), peer.Raw):
		return ua.BadCertificateInvalid
	case req.ClientDescription.ApplicationUri != peer.ApplicationURI:
		return ua.BadCertificateUriInvalid
	}
	return ua.Good
}

func (s *Server) newSession(c *call, req *ua.CreateSessionRequest) *session {
	x := &session{
		token: newSessionToken(), name: clipped(req.SessionName, maxSessionName), created: c.received,
		timeout: s.cfg.SessionTimeout.grant(milliseconds(req.RequestedSessionTimeout)), maxResponse: req.MaxResponseMessageSize,
		nonce: uasc.NewNonce(sessionNonce),
		client: sessionClient{
			application: keptDescription(&req.ClientDescription), serverURI: clipped(req.ServerUri, maxKeptText), endpointURL: clipped(req.EndpointUrl, maxKeptText),
			policy: c.conn.channel.Policy(), mode: c.conn.channel.Mode(),
		},
	}
	if peer := c.conn.channel.Remote(); peer != nil {
		x.client.certificate = peer.Raw
	}
	x.caller, x.aliases.session = &Caller{}, x
	x.touch(s.now())
	return x
}

// clipped returns a copy of s of at most n bytes, which does not hold the message that s is part of.
func clipped(s string, n int) string { return strings.Clone(s[:min(len(s), n)]) }

// keptDescription is what a session keeps of what its client says that it is.
func keptDescription(a *ua.ApplicationDescription) ua.ApplicationDescription {
	return ua.ApplicationDescription{
		ApplicationUri: clipped(a.ApplicationUri, maxKeptText), ProductUri: clipped(a.ProductUri, maxKeptText), ApplicationType: a.ApplicationType,
		ApplicationName: ua.LocalizedText{Locale: clipped(a.ApplicationName.Locale, maxKeptText), Text: clipped(a.ApplicationName.Text, maxKeptText)},
	}
}

// signServer proves to the client that it talks to the holder of our key. On policy None there is nothing to prove.
func (s *Server) signServer(ctx context.Context, c *serverConn, req *ua.CreateSessionRequest) (sig ua.SignatureData, status ua.StatusCode) {
	policy := c.channel.Policy()
	if policy == uasc.None {
		return sig, ua.Good
	}
	if status := s.keys.enter(ctx, true); status != ua.Good {
		return sig, status
	}
	defer s.keys.leave()
	bytes, err := policy.SignSession(s.cfg.identity(policy), req.ClientCertificate, req.ClientNonce)
	if err != nil {
		return sig, ua.BadInternalError
	}
	return ua.SignatureData{Algorithm: policy.SignatureURI(), Signature: bytes}, ua.Good
}

// admitSession takes the session in. When there are too many, the oldest that was never activated makes room.
func (s *Server) admitSession(x *session, c *serverConn) ua.StatusCode {
	perChannel := int(s.cfg.Quotas.SessionsPerChannel)
	idle, status := s.sessions.add(x, c, perChannel)
	if idle == nil || !s.endIdle(idle, true) {
		return status
	}
	_, status = s.sessions.add(x, c, perChannel)
	return status
}
