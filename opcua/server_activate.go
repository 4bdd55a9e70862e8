package opcua

import (
	"bytes"
	"context"
	"slices"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// serveActivateSession says who the session's user is. It also brings a session to another channel, whose client then has the same certificate, policy and user
// [OPC 10000-4 5.7.3].
func (s *Server) serveActivateSession(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	var req ua.ActivateSessionRequest
	decodeActivate(d, &req)
	if status := decoded(d); status != ua.Good {
		return out, status
	}
	x, here := c.session, c.conn
	if status := s.checkMove(x, here); status != ua.Good {
		return out, status
	}
	if status := s.checkClientSignature(x, here, &req.ClientSignature); status != ua.Good {
		return out, status
	}
	user, status := s.identify(ctx, x, here, &req)
	if status != ua.Good {
		return out, status
	}
	if x.attached() != here && user.key != x.who().key {
		return out, ua.BadIdentityTokenRejected
	}
	if out, status = s.giveKey(ctx, c, x, out); status != ua.Good {
		return out, status
	}
	nonce := uasc.NewNonce(sessionNonce)
	s.activate(x, here, user, nonce, req.LocaleIds)
	out = ua.AppendByteString(out, nonce)
	out = ua.AppendCount(out, 0, false) // Results, of software certificates
	return ua.AppendCount(out, 0, false), ua.Good
}

// decodeActivate reads the request from behind its header on.
func decodeActivate(d *ua.Decoder, req *ua.ActivateSessionRequest) {
	req.ClientSignature.DecodeFrom(d)
	for range d.Count(2 * stringBytes) { // software certificates, which are no more
		var c ua.SignedSoftwareCertificate
		c.DecodeFrom(d)
	}
	for range d.Count(stringBytes) {
		if l := d.String(); len(req.LocaleIds) < maxLocales {
			req.LocaleIds = append(req.LocaleIds, l)
		}
	}
	req.UserIdentityToken = d.ExtensionObject()
	req.UserTokenSignature.DecodeFrom(d)
}

// checkMove says whether a session may be activated on a connection: its own, or when it was activated before any whose channel is secured alike, for the same client.
func (s *Server) checkMove(x *session, c *serverConn) ua.StatusCode {
	if x.attached() == c {
		return ua.Good
	}
	var certificate []byte
	if peer := c.channel.Remote(); peer != nil {
		certificate = peer.Raw
	}
	switch {
	case !x.active.Load():
		return ua.BadSecureChannelIdInvalid
	case x.client.policy != c.channel.Policy() || x.client.mode != c.channel.Mode():
		return ua.BadSecurityChecksFailed
	case !bytes.Equal(x.client.certificate, certificate):
		return ua.BadSecurityChecksFailed
	}
	return ua.Good
}

// checkClientSignature holds the client to the key of its certificate: it signs our last nonce.
func (s *Server) checkClientSignature(x *session, c *serverConn, sig *ua.SignatureData) ua.StatusCode {
	policy := c.channel.Policy()
	if policy == uasc.None {
		return ua.Good
	}
	if err := policy.VerifySession(c.channel.Remote(), s.cfg.identity(policy), x.lastNonce(), sig.Signature); err != nil {
		return ua.BadApplicationSignatureInvalid
	}
	return ua.Good
}

// lastNonce is what the next ActivateSession has to sign.
func (x *session) lastNonce() []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.nonce
}

// activate puts the session on c for a user; for one who has its turn.
func (s *Server) activate(x *session, c *serverConn, user sessionUser, nonce []byte, locales []string) {
	x.mu.Lock()
	x.became(user)
	x.nonce = nonce
	x.locales = keptLocales(locales)
	x.mu.Unlock()
	x.caller = &Caller{Session: x.id, User: user.name, Roles: user.roles}
	x.roles.Store(uint32(user.roles))
	x.active.Store(true)
	c.last = x
	if from, left := s.sessions.move(x, c); from != c {
		left.stop(ua.BadSecureChannelClosed)
		s.subs.detach(x, from)
	}
}

func keptLocales(locales []string) (kept []string) {
	for _, l := range locales {
		kept = append(kept, clipped(l, 64))
	}
	return kept
}

// serveCloseSession ends the session. One that was activated is closed on its own channel alone [OPC 10000-4 5.7.4].
func (s *Server) serveCloseSession(_ context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	deleteSubscriptions := d.Bool()
	if status := decoded(d); status != ua.Good {
		return out, status
	}
	if c.session.attached() != c.conn {
		return out, ua.BadSecureChannelIdInvalid
	}
	s.endSession(c.session, deleteSubscriptions)
	return out, ua.Good
}

// serveCancel gives up requests that wait: Publish, and what the host's code does; all others are served one after the other [OPC 10000-4 5.7.5].
func (s *Server) serveCancel(_ context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	handle := d.U32()
	if status := decoded(d); status != ua.Good {
		return out, status
	}
	n := s.subs.cancel(c.session, handle) + uint32(c.session.work.Load().cancel(handle))
	return ua.AppendUInt32(out, n), ua.Good
}

// identify finds out who the user is and what he may do.
func (s *Server) identify(ctx context.Context, x *session, c *serverConn, req *ua.ActivateSessionRequest) (sessionUser, ua.StatusCode) {
	t, status := s.readToken(c, &req.UserIdentityToken)
	if status != ua.Good {
		return sessionUser{}, status
	}
	cred := Credentials{Kind: t.offer.TokenType, ApplicationURI: x.client.application.ApplicationUri, ClientCertificate: x.client.certificate}
	user := sessionUser{kind: t.offer.TokenType}
	switch t.offer.TokenType {
	case ua.UserTokenTypeUserName:
		if !validUser(t.name.UserName) {
			return user, ua.BadIdentityTokenInvalid
		}
		if cred.Password, status = s.readPassword(ctx, x, c, &t); status != ua.Good {
			return user, status
		}
		cred.User = t.name.UserName
		user.name = clipped(cred.User, maxUserName)
		user.key = "name:" + user.name
	case ua.UserTokenTypeCertificate:
		cert, status := s.readCertificate(x, c, &t, &req.UserTokenSignature)
		if status != ua.Good {
			return user, status
		}
		cred.Certificate = cert.Raw
		user.name, user.key = clipped(cert.Subject, maxUserName), "certificate:"+string(cert.Thumbprint[:])
	}
	roles, status := s.authenticate(ctx, cred)
	user.roles = roles
	return user, status
}

// authenticate asks who knows the users. Passwords are checked a few at a time, because each takes memory and a processor.
func (s *Server) authenticate(ctx context.Context, cred Credentials) (Roles, ua.StatusCode) {
	if cred.Kind == ua.UserTokenTypeUserName {
		if status := s.passwords.enter(ctx, false); status != ua.Good {
			return 0, ua.BadTooManyOperations
		}
		defer s.passwords.leave()
	}
	roles, err := s.cfg.Users.Authenticate(ctx, cred)
	if err != nil || roles == 0 {
		return 0, ua.BadUserAccessDenied
	}
	return roles, ua.Good
}

// userToken is a token as it came, and the offer that it takes up.
type userToken struct {
	offer *tokenPolicy
	name  ua.UserNameIdentityToken
	x509  ua.X509IdentityToken
}

// readToken decodes a token and finds its offer among those of the channel's policy. No token at all is anonymous.
func (s *Server) readToken(c *serverConn, token *ua.ExtensionObject) (t userToken, status ua.StatusCode) {
	var anonymous ua.AnonymousIdentityToken
	var m ua.Message
	id, kind := &anonymous.PolicyId, ua.UserTokenTypeAnonymous
	switch {
	case token.IsNull():
	case token.Is(&anonymous):
		m = &anonymous
	case token.Is(&t.name):
		m, id, kind = &t.name, &t.name.PolicyId, ua.UserTokenTypeUserName
	case token.Is(&t.x509):
		m, id, kind = &t.x509, &t.x509.PolicyId, ua.UserTokenTypeCertificate
	default:
		return t, ua.BadIdentityTokenInvalid
	}
	if m != nil && token.Decode(m, s.cfg.Limits) != nil {
		return t, ua.BadIdentityTokenInvalid
	}
	offered := *id == "" || kind == ua.UserTokenTypeAnonymous && s.offers(kind, *id)
	i := slices.IndexFunc(s.tokens, func(p tokenPolicy) bool {
		return p.endpoint == c.channel.Policy() && p.TokenType == kind && (p.PolicyId == *id || offered)
	})
	if i < 0 {
		return t, ua.BadIdentityTokenRejected
	}
	t.offer = &s.tokens[i]
	return t, ua.Good
}

// offers says whether any endpoint has a token policy of that kind and id. Who is anonymous proves nothing, and so may name the offer of another endpoint: Apache PLC4X does.
func (s *Server) offers(kind ua.UserTokenType, id string) bool {
	return slices.ContainsFunc(s.tokens, func(p tokenPolicy) bool { return p.TokenType == kind && p.PolicyId == id })
}

// readPassword decrypts a password. Whatever is wrong with it, the answer is that of a wrong one.
func (s *Server) readPassword(ctx context.Context, x *session, c *serverConn, t *userToken) ([]byte, ua.StatusCode) {
	p := t.offer.policy
	if p != uasc.None {
		if status := s.keys.enter(ctx, true); status != ua.Good {
			return nil, status
		}
		defer s.keys.leave()
	}
	password, err := s.decrypt(p, x, c, t)
	if err != nil {
		return nil, ua.BadUserAccessDenied
	}
	return password, ua.Good
}

// decrypt returns the password of a token with a policy of p. One with ECC names no algorithm, and what some clients put there says nothing.
func (s *Server) decrypt(p uasc.Policy, x *session, c *serverConn, t *userToken) ([]byte, error) {
	if p.Ephemeral() {
		return p.OpenSecret(c.channel.Remote(), x.lastKey(), t.name.Password, x.lastNonce())
	}
	return p.DecryptSecret(s.cfg.identity(p), t.name.EncryptionAlgorithm, t.name.Password, x.lastNonce())
}

// readCertificate checks a user's certificate, and that the user has its key.
func (s *Server) readCertificate(x *session, c *serverConn, t *userToken, sig *ua.SignatureData) (*uasc.Certificate, ua.StatusCode) {
	cert, err := uasc.ParseCertificate(t.x509.CertificateData)
	if err != nil {
		return nil, ua.BadIdentityTokenInvalid
	}
	p := t.offer.policy
	if err := s.cfg.UserTrust.Validate(time.Now(), cert.Chain, uasc.Use{Policy: p, By: s.cfg.ApplicationName, Peer: c.remoteAddr().String()}); err != nil {
		return nil, ua.BadIdentityTokenRejected
	}
	if err := p.VerifySession(cert, s.cfg.identity(p), x.lastNonce(), sig.Signature); err != nil {
		return nil, ua.BadUserSignatureInvalid
	}
	return cert, ua.Good
}

// anonymous lets everybody in with its roles.
type anonymous Roles

// Authenticate is of Authenticator.
func (a anonymous) Authenticate(context.Context, Credentials) (Roles, error) { return Roles(a), nil }
