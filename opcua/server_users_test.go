package opcua

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// cheap is a file of users whose hashes take little: m=8 KiB, one pass.
func cheapUsers(t testing.TB, names ...string) *Users {
	t.Helper()
	var file strings.Builder
	for _, name := range names {
		h := argonHash{argonCost: argonCost{memory: 8, time: 1, threads: 1}, salt: []byte("salt of " + name)}
		h.key = h.of([]byte(name+"'s secret"), 32)
		file.WriteString("\n# " + name + "\n" + name + " read,write " + h.String() + "\n")
	}
	u, err := ReadUsers(strings.NewReader(file.String()))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func withUsers(t testing.TB) ServerConfig {
	cfg := secured(t)
	cfg.Users, cfg.UserTokens, cfg.UserTrust = certUsers{cheapUsers(t, "anna", "bert")}, TokenAnonymous|TokenPassword|TokenCertificate, trustsAll{}
	return cfg
}

// certUsers lets the owner of one certificate in besides the users of a file.
type certUsers struct{ *Users }

func (u certUsers) Authenticate(ctx context.Context, c Credentials) (Roles, error) {
	if c.Kind == ua.UserTokenTypeCertificate {
		cert, err := uasc.ParseCertificate(c.Certificate)
		if err != nil || cert.ApplicationURI != "urn:test:user" {
			return 0, errors.New("not this one")
		}
		return RoleRead | RoleAdmin, nil
	}
	return u.Users.Authenticate(ctx, c)
}

// password is a token as a client of p's policy makes it.
func (p *peer) password(name, secret string) *ua.UserNameIdentityToken {
	p.t.Helper()
	policy := p.channel.Policy()
	if policy == uasc.None {
		policy = uasc.Basic256Sha256
	}
	var cipher []byte
	var err error
	if policy.Ephemeral() {
		cipher, err = policy.SealSecret(p.id, p.key, p.nonce, []byte(secret), time.Now())
	} else {
		cipher, err = policy.EncryptSecret(&testIdentity(p.t, "server").Certificate, []byte(secret), p.nonce)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return &ua.UserNameIdentityToken{PolicyId: "username_" + p.channel.Policy().String(), UserName: name, Password: cipher, EncryptionAlgorithm: policy.EncryptionURI()}
}

// asUser is an activation with a user's certificate.
func (p *peer) asUser(name string) *ua.ActivateSessionRequest {
	p.t.Helper()
	policy := p.channel.Policy()
	if policy == uasc.None {
		policy = uasc.Basic256Sha256
	}
	id := testIdentityFor(p.t, name, policy)
	req := p.activation(&ua.X509IdentityToken{PolicyId: "certificate_" + p.channel.Policy().String(), CertificateData: id.Raw})
	sig, err := policy.SignSession(id, testIdentityFor(p.t, "server", policy).Raw, p.nonce)
	if err != nil {
		p.t.Fatal(err)
	}
	req.UserTokenSignature = ua.SignatureData{Algorithm: policy.SignatureURI(), Signature: sig}
	return req
}

func (s *servingUA) created(t testing.TB, sec uasc.Security) *peer {
	t.Helper()
	p := s.open(sec)
	p.t = t
	if err := p.create(); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestServerUsers(t *testing.T) {
	s := serveUA(t, withUsers(t))
	for _, sec := range allSecurity {
		t.Run(sec.Policy.String()+" "+sec.Mode.String(), func(t *testing.T) {
			p := s.created(t, sec)
			wantStatus(t, "anonymous, who has no roles", p.activate(nil), ua.BadUserAccessDenied)
			wantStatus(t, "before anybody was let in", p.alive(), ua.BadSessionNotActivated)
			wantStatus(t, "a wrong password", p.activate(p.password("anna", "bert's secret")), ua.BadUserAccessDenied)
			wantStatus(t, "no such user", p.activate(p.password("carl", "carl's secret")), ua.BadUserAccessDenied)
			wantStatus(t, "anna", p.activate(p.password("anna", "anna's secret")), ua.Good)
			p.wantAlive()
			wantStatus(t, "bert, on the same channel", p.activate(p.password("bert", "bert's secret")), ua.Good)
			wantStatus(t, "a wrong certificate", p.activateRequest(p.asUser("other")), ua.BadUserAccessDenied)
			wantStatus(t, "a certificate", p.activateRequest(p.asUser("user")), ua.Good)
			p.wantAlive()
			x := s.sessions.all()[0]
			if who := x.who(); who.roles != RoleRead|RoleAdmin || !strings.Contains(who.name, "user") || !x.allows(RoleAdmin) || x.allows(RoleWrite) || x.caller.Roles != who.roles {
				t.Errorf("it is %+v", who)
			}
			wantStatus(t, "close", p.call(&ua.CloseSessionRequest{}, &ua.CloseSessionResponse{}), ua.Good)
		})
	}
}

// Passwords that are not encrypted as they should be, and certificates that somebody else sent: all refused, and as a wrong password is.
func TestServerBadUserTokens(t *testing.T) {
	s := serveUA(t, withUsers(t))
	p := s.created(t, sealed)
	wrong := func(change func(*ua.UserNameIdentityToken)) ua.Message {
		m := p.password("anna", "anna's secret")
		change(m)
		return m
	}
	stale := p.password("anna", "anna's secret")
	wantStatus(t, "anna", p.activate(stale), ua.Good)
	for name, tc := range map[string]struct {
		token  ua.Message
		status ua.StatusCode
	}{
		"a password of the last nonce": {stale, ua.BadUserAccessDenied},
		"plain":                        {wrong(func(m *ua.UserNameIdentityToken) { m.Password, m.EncryptionAlgorithm = []byte("anna's secret"), "" }), ua.BadUserAccessDenied},
		"none":                         {wrong(func(m *ua.UserNameIdentityToken) { m.Password = nil }), ua.BadUserAccessDenied},
		"half":                         {wrong(func(m *ua.UserNameIdentityToken) { m.Password = m.Password[:128] }), ua.BadUserAccessDenied},
		"a bit changed":                {wrong(func(m *ua.UserNameIdentityToken) { m.Password[9] ^= 1 }), ua.BadUserAccessDenied},
		"20 KiB":                       {wrong(func(m *ua.UserNameIdentityToken) { m.Password = make([]byte, 20<<10) }), ua.BadUserAccessDenied},
		"another algorithm":            {wrong(func(m *ua.UserNameIdentityToken) { m.EncryptionAlgorithm = "rot13" }), ua.BadUserAccessDenied},
		"another policy id":            {wrong(func(m *ua.UserNameIdentityToken) { m.PolicyId = "username_None" }), ua.BadIdentityTokenRejected},
		"no name":                      {wrong(func(m *ua.UserNameIdentityToken) { m.UserName = "" }), ua.BadIdentityTokenInvalid},
		"a name with a line in it":     {wrong(func(m *ua.UserNameIdentityToken) { m.UserName = "anna\nroot" }), ua.BadIdentityTokenInvalid},
		"a name that is no text":       {wrong(func(m *ua.UserNameIdentityToken) { m.UserName = "anna\xFF" }), ua.BadIdentityTokenInvalid},
		"a token of an issuer":         {&ua.IssuedIdentityToken{PolicyId: "x", TokenData: []byte("{}")}, ua.BadIdentityTokenInvalid},
		"no token":                     {&ua.SignatureData{}, ua.BadIdentityTokenInvalid},
	} {
		wantStatus(t, name, p.activate(tc.token), tc.status)
		p.wantAlive() // who was there before still is
	}
	req := p.asUser("user")
	req.UserTokenSignature.Signature[3] ^= 1
	wantStatus(t, "a user's signature that is none", p.activateRequest(req), ua.BadUserSignatureInvalid)
	req = p.asUser("user")
	req.UserIdentityToken = ua.Wrap(&ua.X509IdentityToken{CertificateData: testIdentity(t, "other").Raw})
	wantStatus(t, "another's certificate", p.activateRequest(req), ua.BadUserSignatureInvalid)
	req = p.asUser("user")
	req.UserIdentityToken = ua.Wrap(&ua.X509IdentityToken{CertificateData: []byte("no certificate")})
	wantStatus(t, "no certificate", p.activateRequest(req), ua.BadIdentityTokenInvalid)
	req = p.activation(nil)
	req.ClientSignature.Signature = nil
	wantStatus(t, "no signature of the application", p.activateRequest(req), ua.BadApplicationSignatureInvalid)
}

// Who is anonymous may name the offer of any endpoint, as Apache PLC4X does, but it has to be one.
func TestServerAnonymousPolicyIds(t *testing.T) {
	cfg := secured(t)
	cfg.Users, cfg.UserTokens = rolesByName{"": RoleRead}, TokenAnonymous|TokenPassword
	s := serveUA(t, cfg)
	p := s.created(t, plain)
	for id, want := range map[string]ua.StatusCode{
		"": ua.Good, "anonymous_None": ua.Good, "anonymous_Basic256Sha256": ua.Good,
		"username_None": ua.BadIdentityTokenRejected, "anonymous": ua.BadIdentityTokenRejected,
	} {
		wantStatus(t, strconv.Quote(id), p.activate(&ua.AnonymousIdentityToken{PolicyId: id}), want)
	}
	p.wantAlive()
}

// The user of a session is changed on its own channel alone.
func TestServerUserStaysOnAnotherChannel(t *testing.T) {
	s := serveUA(t, withUsers(t))
	old := s.created(t, sealed)
	wantStatus(t, "anna", old.activate(old.password("anna", "anna's secret")), ua.Good)
	p := s.open(sealed)
	p.token, p.nonce = old.token, old.nonce
	wantStatus(t, "as bert", p.activate(p.password("bert", "bert's secret")), ua.BadIdentityTokenRejected)
	wantStatus(t, "as anna", p.activate(p.password("anna", "anna's secret")), ua.Good)
	p.wantAlive()
}

// What CreateSession must not say.
func TestServerBadCreateSession(t *testing.T) {
	s := serveUA(t, secured(t))
	p := s.open(sealed)
	for name, tc := range map[string]struct {
		change func(*ua.CreateSessionRequest)
		status ua.StatusCode
	}{
		"a short nonce":       {func(m *ua.CreateSessionRequest) { m.ClientNonce = make([]byte, 31) }, ua.BadNonceInvalid},
		"no nonce":            {func(m *ua.CreateSessionRequest) { m.ClientNonce = nil }, ua.BadNonceInvalid},
		"another certificate": {func(m *ua.CreateSessionRequest) { m.ClientCertificate = testIdentity(t, "other").Raw }, ua.BadCertificateInvalid},
		"no certificate":      {func(m *ua.CreateSessionRequest) { m.ClientCertificate = nil }, ua.BadCertificateInvalid},
		"another application": {func(m *ua.CreateSessionRequest) { m.ClientDescription.ApplicationUri = "urn:test:other" }, ua.BadCertificateUriInvalid},
		"another server":      {func(m *ua.CreateSessionRequest) { m.ServerUri = "urn:other" }, ua.BadServerUriInvalid},
	} {
		req := p.createRequest()
		tc.change(req)
		wantStatus(t, name, p.call(req, &ua.CreateSessionResponse{}), tc.status)
	}
	if n := s.Sessions(); n != 0 {
		t.Errorf("%d sessions", n)
	}
	wantStatus(t, "as it should be", p.create(), ua.Good)
	if st := s.Stats(); st.Rejected != 6 {
		t.Errorf("%d rejected", st.Rejected)
	}
}

func TestUsersFile(t *testing.T) {
	hash, err := HashPassword([]byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	u, err := ReadUsers(strings.NewReader("# comment\n\nanna\tread,write " + hash + "\nroot admin " + hash))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, password string
		roles          Roles
	}{{"anna", "correct horse", RoleRead | RoleWrite}, {"root", "correct horse", RoleRead | RoleWrite | RoleAdmin}, {"anna", "wrong", 0}, {"anna", "", 0}, {"carl", "correct horse", 0}} {
		roles, err := u.Authenticate(t.Context(), Credentials{Kind: ua.UserTokenTypeUserName, User: tc.name, Password: []byte(tc.password)})
		if roles != tc.roles || (err == nil) != (tc.roles != 0) {
			t.Errorf("%s with %q: %v, %v", tc.name, tc.password, roles, err)
		}
	}
	if _, err := u.Authenticate(t.Context(), Credentials{Kind: ua.UserTokenTypeCertificate}); err == nil {
		t.Error("a certificate was let in")
	}
	for _, bad := range []string{
		"anna read", "anna read " + hash + " more", "anna fly " + hash, "anna read $2a$10$bcrypt", "anna read " + hash + "\nanna read " + hash,
		"anna read " + strings.Replace(hash, "v=19", "v=16", 1), "anna read " + strings.Replace(hash, "m=19456", "m=999999999", 1),
		"anna read " + strings.Replace(hash, "t=2", "t=99", 1), "anna read " + strings.Replace(hash, "p=1", "p=0", 1), "anna read " + strings.Replace(hash, "m=19456,", "", 1),
		"anna read " + hash[:len(hash)-1] + "!", "anna read $argon2id$v=19$m=8,t=1,p=1$AAAA$AAAAAAAAAAAAAAAAAAAAAA",
	} {
		if _, err := ReadUsers(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	if _, err := HashPassword(nil); err == nil {
		t.Error("an empty password was hashed")
	}
	if _, err := LoadUsers(t.TempDir() + "/none"); err == nil {
		t.Error("users were loaded from nowhere")
	}
}

func TestRolesText(t *testing.T) {
	for text, want := range map[string]Roles{"read": RoleRead, "read,write": RoleRead | RoleWrite, "admin": RoleRead | RoleWrite | RoleAdmin} {
		if got, err := ParseRoles(text); got != want || err != nil {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if _, err := ParseRoles(""); err == nil {
		t.Error("no roles were parsed")
	}
	if s := (RoleRead | RoleWrite).String() + " " + Roles(0).String(); s != "read,write none" {
		t.Error(s)
	}
}
