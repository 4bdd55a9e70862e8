package opcua

import (
	"bytes"
	"context"
	"math"
	"strings"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// clientSession is a session as the client knows it. It outlives the connection in which it was made.
type clientSession struct {
	id      ua.NodeId
	token   ua.NodeId // secret
	nonce   []byte    // the server's last
	key     []byte    // the server's last ephemeral key, for a password with ECC
	timeout time.Duration
	server  []byte // certificate, DER
}

const (
	productURI = "urn:millrace"
	nonceBytes = 32
	// longestSession is what a session's time-out counts as at most; servers send infinity and more.
	longestSession = 24 * time.Hour
)

// createSession makes a session in a connection [OPC 10000-4 5.7.2].
func createSession(ctx context.Context, c *clientConn, url string, ch *clientChoice) (*clientSession, error) {
	cfg, nonce := c.cfg, uasc.NewNonce(nonceBytes)
	ask := ua.CreateSessionRequest{
		ClientDescription: ua.ApplicationDescription{
			ApplicationUri: cfg.ApplicationURI, ProductUri: productURI, ApplicationType: ua.ApplicationTypeClient, ApplicationName: ua.LocalizedText{Text: cfg.ApplicationName},
		},
		EndpointUrl: url, SessionName: cfg.SessionName, ClientNonce: nonce, RequestedSessionTimeout: float64(cfg.SessionTimeout / time.Millisecond),
		MaxResponseMessageSize: uint32(c.channel.Limits().ReceiveMessage),
	}
	if id := ch.identity(cfg); id != nil {
		ask.ClientCertificate = id.Chain
	}
	var got ua.CreateSessionResponse
	if err := c.doWith(ctx, ch.keyRequest(&cfg.User), &ask, &got, 0); err != nil {
		return nil, err
	}
	if err := checkSession(c, ch, nonce, &got); err != nil {
		return nil, err
	}
	s := &clientSession{id: keptId(got.SessionId), token: keptId(got.AuthenticationToken), nonce: got.ServerNonce, timeout: sessionTimeout(got.RevisedSessionTimeout), server: ch.endpoint.ServerCertificate}
	if len(s.server) == 0 {
		s.server = got.ServerCertificate
	}
	return s, s.takeKey(&got.ResponseHeader.AdditionalHeader, c, ch)
}

// keptId lets go of the message that an id came in.
func keptId(id ua.NodeId) ua.NodeId {
	id.Text = strings.Clone(id.Text)
	return id
}

// sessionTimeout bounds what a server grants: nothing here is to tick by less than a third of ten seconds, whatever it says.
func sessionTimeout(ms float64) time.Duration {
	switch {
	case math.IsNaN(ms) || ms < float64(minSessionTimeout/time.Millisecond):
		return minSessionTimeout
	case ms > float64(longestSession/time.Millisecond):
		return longestSession
	}
	return time.Duration(ms * float64(time.Millisecond))
}

// checkSession makes sure that it is the server of the channel that answers, and that discovery told the truth. Without security there is nothing to be sure of.
func checkSession(c *clientConn, ch *clientChoice, nonce []byte, got *ua.CreateSessionResponse) error {
	switch {
	case got.AuthenticationToken.IsNull():
		return &SessionError{Status: ua.BadSessionIdInvalid, What: "the server gave no authentication token"}
	case !ch.secured():
		return nil
	case !bytes.Equal(uasc.Leaf(got.ServerCertificate), uasc.Leaf(ch.endpoint.ServerCertificate)):
		return &SessionError{Status: ua.BadCertificateInvalid, What: "the server's certificate is not that of the channel"}
	}
	if err := ch.security.Policy.VerifySession(c.channel.Remote(), c.cfg.identity(ch.security.Policy), nonce, got.ServerSignature.Signature); err != nil {
		return &SessionError{Status: ua.BadApplicationSignatureInvalid, What: "the server's signature is wrong: " + err.Error()}
	}
	if ch.offered != ([len(ch.offered)]byte{}) && ch.offered != digest(got.ServerEndpoints) {
		return &SessionError{Status: ua.BadSecurityChecksFailed, What: "the server has other endpoints than discovery returned: somebody may have left the stronger ones out"}
	}
	return nil
}

// SessionError says why a session that a server has made is not used.
type SessionError struct {
	Status ua.StatusCode
	What   string
}

func (e *SessionError) Error() string { return e.What }

// Unwrap returns the status.
func (e *SessionError) Unwrap() error { return e.Status }

// Retryable is false.
func (e *SessionError) Retryable() bool { return false }

// activate binds the session to the connection and says who the user is [OPC 10000-4 5.7.3].
func (s *clientSession) activate(ctx context.Context, c *clientConn, ch *clientChoice) error {
	c.token = ua.AppendNodeId(nil, s.token)
	ask := ua.ActivateSessionRequest{LocaleIds: c.cfg.Locales}
	if ch.secured() {
		sig, err := ch.security.Policy.SignSession(c.cfg.identity(ch.security.Policy), s.server, s.nonce)
		if err != nil {
			return err
		}
		ask.ClientSignature = ua.SignatureData{Algorithm: ch.security.Policy.SignatureURI(), Signature: sig}
	}
	if err := s.identify(&ask, c.cfg, ch); err != nil {
		return err
	}
	var got ua.ActivateSessionResponse
	if err := c.doWith(ctx, ch.keyRequest(&c.cfg.User), &ask, &got, 0); err != nil {
		return err
	}
	s.nonce = got.ServerNonce
	return s.takeKey(&got.ResponseHeader.AdditionalHeader, c, ch)
}

// identify puts the user's token into the request.
func (s *clientSession) identify(ask *ua.ActivateSessionRequest, cfg *Config, ch *clientChoice) error {
	u := &cfg.User
	p, ok := ch.tokenSecurity()
	if !ok {
		return &ArgumentError{What: "unknown security policy of the user token: " + ch.token.SecurityPolicyUri}
	}
	switch u.kind() {
	case ua.UserTokenTypeUserName:
		t, err := s.nameToken(cfg, p, ch)
		if err != nil {
			return err
		}
		ask.UserIdentityToken = ua.Wrap(t)
	case ua.UserTokenTypeCertificate:
		ask.UserIdentityToken = ua.Wrap(&ua.X509IdentityToken{PolicyId: ch.token.PolicyId, CertificateData: u.Certificate})
		return s.signUser(ask, u, p)
	default:
		ask.UserIdentityToken = ua.Wrap(&ua.AnonymousIdentityToken{PolicyId: ch.token.PolicyId})
	}
	return nil
}

// nameToken returns the token of a user with a password.
func (s *clientSession) nameToken(cfg *Config, p uasc.Policy, ch *clientChoice) (*ua.UserNameIdentityToken, error) {
	u := &cfg.User
	t := &ua.UserNameIdentityToken{PolicyId: ch.token.PolicyId, UserName: u.Name, EncryptionAlgorithm: p.EncryptionURI()}
	if p == uasc.None {
		if ch.security.Mode != ua.MessageSecurityModeSignAndEncrypt && !u.ClearPassword {
			return nil, &ArgumentError{What: "the server would have the password in the clear, which User.ClearPassword does not permit"}
		}
		t.Password = []byte(u.Password)
		return t, nil
	}
	if p.Ephemeral() {
		var err error
		t.Password, err = s.sealPassword(cfg, p)
		return t, err
	}
	cert, err := uasc.ParseCertificate(s.server)
	if err != nil {
		return nil, err
	}
	t.Password, err = p.EncryptSecret(cert, []byte(u.Password), s.nonce)
	return t, err
}

// signUser proves that the user has the key of the certificate.
func (s *clientSession) signUser(ask *ua.ActivateSessionRequest, u *User, p uasc.Policy) error {
	cert, err := uasc.ParseCertificate(u.Certificate)
	if err != nil {
		return err
	}
	sig, err := p.SignSession(&uasc.Identity{Certificate: *cert, Signer: u.Key}, s.server, s.nonce)
	if err != nil {
		return err
	}
	ask.UserTokenSignature = ua.SignatureData{Algorithm: p.SignatureURI(), Signature: sig}
	return nil
}
