package opcua

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// askFor creates a session with an additional header, and returns what the server has in its own.
func (p *peer) askFor(header ua.ExtensionObject) (ua.ExtensionObject, error) {
	p.t.Helper()
	req, resp := p.createRequest(), ua.CreateSessionResponse{}
	p.last++
	req.RequestHeader = ua.RequestHeader{Timestamp: ua.DateTimeOf(time.Now()), RequestHandle: p.last, AdditionalHeader: header}
	p.sendBody(p.last, ua.AppendMessage(nil, req))
	got, err := p.next()
	if err != nil {
		return ua.ExtensionObject{}, err
	}
	d := ua.NewDecoder(got.Body, ua.Limits{})
	if id := d.EncodingId(); id != resp.EncodingId() {
		var f ua.ServiceFault
		f.DecodeFrom(&d)
		return ua.ExtensionObject{}, f.ResponseHeader.ServiceResult
	}
	resp.DecodeFrom(&d)
	p.token, p.nonce = resp.AuthenticationToken, bytes.Clone(resp.ServerNonce)
	return resp.ResponseHeader.AdditionalHeader, d.Done()
}

// Who asks for a key gets one of the channel's policy, or is told that there is none of that policy; whatever else a header says is nobody's business.
func TestServerGivesKeys(t *testing.T) {
	s := serveUA(t, withUsers(t))
	junk := ua.Wrap(&ua.AdditionalParametersType{})
	junk.Body = []byte{0xFF, 0xFF, 0xFF, 0x7F}
	for name, tc := range map[string]struct {
		security uasc.Security
		header   ua.ExtensionObject
		want     any // the type or the status of the answer; nil for none
	}{
		"asked for":             {curved, keyParameters(uasc.ECCNistP256.URI()), ua.ExtensionObject{}},
		"not asked for":         {curved, ua.ExtensionObject{}, nil},
		"of RSA":                {curved, keyParameters(uasc.Basic256Sha256.URI()), ua.BadSecurityPolicyRejected},
		"of no policy":          {curved, keyParameters(strings.Repeat("x", 50_000)), ua.BadSecurityPolicyRejected},
		"of nothing":            {curved, keyParameters(""), ua.BadSecurityPolicyRejected},
		"on a channel with RSA": {sealed, keyParameters(uasc.ECCNistP256.URI()), ua.BadSecurityPolicyRejected},
		"without security":      {plain, keyParameters(uasc.ECCNistP256.URI()), ua.BadSecurityPolicyRejected},
		"by junk":               {curved, junk, nil},
		"by another structure":  {curved, ua.Wrap(&ua.Argument{Name: keyPolicyName}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := s.open(tc.security)
			p.t = t
			header, err := p.askFor(tc.header)
			if err != nil {
				t.Fatal(err)
			}
			v, given := keyParameter(&header, keyName, ua.Limits{})
			switch want := tc.want.(type) {
			case nil:
				if !header.IsNull() {
					t.Errorf("answered %+v", header)
				}
			case ua.StatusCode:
				if got, ok := v.Any().(ua.StatusCode); !given || !ok || got != want {
					t.Errorf("answered %v", v)
				}
			default:
				var k ua.EphemeralKeyType
				x, ok := v.Any().(ua.ExtensionObject)
				if !ok || x.Decode(&k, ua.Limits{}) != nil || len(k.PublicKey) != 64 || len(k.Signature) != 64 {
					t.Errorf("answered %v", v)
				}
			}
		})
	}
}

// A password with ECC is good for the key and the nonce that were given last, and from who has the channel.
func TestServerPasswordsWithECC(t *testing.T) {
	s := serveUA(t, withUsers(t))
	p := s.created(t, curved)
	firstKey := p.key
	old := p.password("anna", "anna's secret")
	wantStatus(t, "anna", p.activate(p.password("anna", "anna's secret")), ua.Good)
	if bytes.Equal(p.key, firstKey) {
		t.Error("the same key again")
	}
	seal := func(as string, key, nonce []byte) *ua.UserNameIdentityToken {
		t.Helper()
		b, err := uasc.ECCNistP256.SealSecret(testIdentityFor(t, as, uasc.ECCNistP256), key, nonce, []byte("anna's secret"), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return &ua.UserNameIdentityToken{PolicyId: "username_ECC_nistP256", UserName: "anna", Password: b}
	}
	other, err := uasc.NewEphemeralKey()
	if err != nil {
		t.Fatal(err)
	}
	plainText := p.password("anna", "anna's secret")
	plainText.Password = []byte("anna's secret")
	for name, token := range map[string]*ua.UserNameIdentityToken{
		"of the last key and nonce": old, "for the last key": seal("client", firstKey, p.nonce), "for a key of nobody": seal("client", other.Public(), p.nonce),
		"of another application": seal("other", p.key, p.nonce), "in plain text": plainText,
	} {
		wantStatus(t, name, p.activate(token), ua.BadUserAccessDenied)
		p.wantAlive()
	}
	// A key that was not asked for anew stays: some clients ask once.
	req := p.activation(seal("client", p.key, p.nonce))
	req.RequestHeader = ua.RequestHeader{AuthenticationToken: p.token, RequestHandle: 77}
	p.last++
	p.sendBody(p.last, ua.AppendMessage(nil, req))
	var resp ua.ActivateSessionResponse
	if err := p.receive(p.last, &resp); err != nil || !resp.ResponseHeader.AdditionalHeader.IsNull() {
		t.Fatalf("%+v, %v", resp.ResponseHeader.AdditionalHeader, err)
	}
	p.nonce = bytes.Clone(resp.ServerNonce)
	wantStatus(t, "with the key of before", p.activate(seal("client", p.key, p.nonce)), ua.Good)
	p.wantAlive()
	// Users' certificates are of the same kind.
	rsa := testIdentity(t, "user")
	user := p.asUser("user")
	user.UserIdentityToken = ua.Wrap(&ua.X509IdentityToken{PolicyId: "certificate_ECC_nistP256", CertificateData: rsa.Raw})
	if user.UserTokenSignature.Signature, err = uasc.Basic256Sha256.SignSession(rsa, p.server.Raw, p.nonce); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, "a user with RSA", p.activateRequest(user), ua.BadUserSignatureInvalid)
}

// A server that never asked for a key of its client has no room for what would be encrypted for one.
func TestServerPasswordBeforeAnyKey(t *testing.T) {
	s := serveUA(t, withUsers(t))
	p := s.open(curved)
	p.server = &testIdentityFor(t, "server", uasc.ECCNistP256).Certificate
	if _, err := p.askFor(ua.ExtensionObject{}); err != nil {
		t.Fatal(err)
	}
	key, err := uasc.NewEphemeralKey()
	if err != nil {
		t.Fatal(err)
	}
	p.key = key.Public()
	wantStatus(t, "a key of the client's own", p.activate(p.password("anna", "anna's secret")), ua.BadUserAccessDenied)
	wantStatus(t, "with the key that came meanwhile", p.activate(nil), ua.BadUserAccessDenied)
}

// The two kinds of certificates are told apart before anything is calculated.
func TestServerCertificateOfTheOtherKind(t *testing.T) {
	s := serveUA(t, secured(t))
	rsa, ecc := testIdentity(t, "client"), testIdentityFor(t, "client", uasc.ECCNistP256)
	for policy, client := range map[uasc.Policy]*uasc.Identity{uasc.ECCNistP256: rsa, uasc.Basic256Sha256: ecc} {
		p := s.at(t, atHello)
		p.write([]byte(openHead(policy.URI(), client.Raw, testIdentityFor(t, "server", policy).Thumbprint[:])))
		p.wantERR(ua.BadCertificateInvalid)
	}
}

func TestServerNeedsTheCertificateOfItsPolicy(t *testing.T) {
	rsa, ecc := testIdentity(t, "server"), testIdentityFor(t, "server", uasc.ECCNistP256)
	for name, tc := range map[string]struct {
		cfg  ServerConfig
		want string
	}{
		"ECC with RSA": {ServerConfig{Identity: rsa, Security: []uasc.Security{curved}}, "a key of NIST P-256"},
		"RSA with ECC": {ServerConfig{Identity: ecc, Security: []uasc.Security{sealed}}, "an RSA key"},
		"ECC alone":    {ServerConfig{Identity: ecc, Security: []uasc.Security{curved, plain}}, ""},
	} {
		space, err := NewSpace(SpaceConfig{ApplicationURI: testURI})
		if err != nil {
			t.Fatal(err)
		}
		tc.cfg.Space, tc.cfg.Trust, tc.cfg.Users, tc.cfg.UserTokens, tc.cfg.UserTrust = space, trustsAll{}, rolesByName{"": RoleRead}, TokenAnonymous|TokenPassword|TokenCertificate, trustsAll{}
		s, err := NewServer(tc.cfg)
		if tc.want != "" {
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		// Without RSA there is nothing to encrypt a password for where messages are not secured.
		for _, token := range s.tokens {
			if token.endpoint == uasc.None && token.TokenType != ua.UserTokenTypeAnonymous {
				t.Errorf("%s: without security it offers %v", name, token.TokenType)
			}
		}
	}
}
