package opcua

import (
	"errors"
	"strings"
	"testing"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// A client encrypts no password for a key that is not the server's.
func TestClientKeysOfNobody(t *testing.T) {
	server, other := testIdentityFor(t, "server", uasc.ECCNistP256), testIdentityFor(t, "other", uasc.ECCNistP256)
	channel, err := uasc.NewClient(uasc.ClientConfig{Security: curved, Identity: testIdentityFor(t, "client", uasc.ECCNistP256), ServerCertificate: server.Chain})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Config{Policy: "ECC_nistP256", Identity: testIdentityFor(t, "client", uasc.ECCNistP256), User: User{Name: "anna", Password: "secret"}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	key, err := uasc.NewEphemeralKey()
	if err != nil {
		t.Fatal(err)
	}
	c, ch := &clientConn{cfg: &cfg, channel: channel}, &clientChoice{security: curved}
	given := func(v ua.Variant) ua.ExtensionObject {
		return keyParameters(curved.Policy.URI(), ua.KeyValuePair{Key: ua.QualifiedName{Name: keyName}, Value: v})
	}
	signedBy := func(id *uasc.Identity, public []byte) ua.ExtensionObject {
		sig, err := uasc.ECCNistP256.Sign(id, public)
		if err != nil {
			t.Fatal(err)
		}
		return given(ua.ExtensionObjectValue(ua.Wrap(&ua.EphemeralKeyType{PublicKey: public, Signature: sig})))
	}
	junk := ua.Wrap(&ua.EphemeralKeyType{})
	junk.Body = []byte{9}
	for name, tc := range map[string]struct {
		header ua.ExtensionObject
		want   ua.StatusCode
	}{
		"signed by another": {signedBy(other, key.Public()), ua.BadApplicationSignatureInvalid},
		"not signed":        {given(ua.ExtensionObjectValue(ua.Wrap(&ua.EphemeralKeyType{PublicKey: key.Public()}))), ua.BadApplicationSignatureInvalid},
		"refused":           {given(ua.StatusValue(ua.BadSecurityPolicyRejected)), ua.BadSecurityPolicyRejected},
		"of another type":   {given(ua.String("key")), ua.BadDecodingError},
		"malformed":         {given(ua.ExtensionObjectValue(junk)), ua.BadDecodingError},
	} {
		s := &clientSession{}
		if err := s.takeKey(&tc.header, c, ch); !errors.Is(err, tc.want) || s.key != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := &clientSession{}
	none := ua.ExtensionObject{}
	if err := s.takeKey(&none, c, ch); err != nil {
		t.Errorf("none: %v", err)
	}
	if _, err := s.sealPassword(&cfg, uasc.ECCNistP256); err == nil || !strings.Contains(err.Error(), "gave no key") {
		t.Errorf("without a key: %v", err)
	}
	good := signedBy(server, key.Public())
	if err := s.takeKey(&good, c, ch); err != nil || string(s.key) != string(key.Public()) {
		t.Errorf("%v", err)
	}
	if err := s.takeKey(&none, c, ch); err != nil || s.key == nil {
		t.Errorf("the last key is gone: %v", err)
	}
	// One that is signed and no point is refused when it is used.
	s.key = nil
	bad := signedBy(server, make([]byte, 64))
	if err := s.takeKey(&bad, c, ch); err != nil {
		t.Fatal(err)
	}
	if _, err := s.sealPassword(&cfg, uasc.ECCNistP256); !errors.Is(err, ua.BadNonceInvalid) {
		t.Errorf("no point: %v", err)
	}
}

// Which certificate a client has says which policies it takes; of both kinds it takes RSA first.
func TestClientChoosesByItsCertificates(t *testing.T) {
	rsa, ecc := testIdentity(t, "client"), testIdentityFor(t, "client", uasc.ECCNistP256)
	both, curves := serveUA(t, withUsers(t)), withUsers(t)
	curves.Security = []uasc.Security{plain, curved}
	only := serveUA(t, curves)
	aes256 := uasc.Security{Policy: uasc.Aes256Sha256RsaPss, Mode: ua.MessageSecurityModeSignAndEncrypt}
	user := testIdentityFor(t, "user", uasc.ECCNistP256)
	for name, tc := range map[string]struct {
		server *servingUA
		cfg    Config
		want   uasc.Security
		err    string
	}{
		"both":                          {both, Config{Identity: rsa, ECCIdentity: ecc}, aes256, ""},
		"RSA":                           {both, Config{Identity: rsa}, aes256, ""},
		"ECC as the first":              {both, Config{Identity: ecc}, curved, ""},
		"ECC as the second":             {both, Config{ECCIdentity: ecc}, curved, ""},
		"both, and a server of ECC":     {only, Config{Identity: rsa, ECCIdentity: ecc}, curved, ""},
		"RSA, and a server of ECC":      {only, Config{Identity: rsa}, uasc.Security{}, "the server offers None/None"},
		"both, and a user of a curve":   {both, Config{Identity: rsa, ECCIdentity: ecc, User: User{Certificate: user.Raw, Key: user.Signer}}, curved, ""},
		"RSA, and a user of a curve":    {both, Config{Identity: rsa, User: User{Certificate: user.Raw, Key: user.Signer}}, uasc.Security{}, "Certificate (one of the curve P-256)"},
		"ECC named, and no such":        {both, Config{Identity: rsa, Policy: "ECC_nistP256"}, uasc.Security{}, "a key of NIST P-256"},
		"RSA named, and ECC alone":      {both, Config{Identity: ecc, Policy: "Basic256Sha256"}, uasc.Security{}, "an RSA key"},
		"no security, and a password":   {only, Config{Policy: "None", ECCIdentity: ecc, User: User{Name: "anna", Password: "anna's secret"}}, plain, ""},
		"ECC, and a password":           {only, Config{ECCIdentity: ecc, User: User{Name: "anna", Password: "anna's secret"}}, curved, ""},
		"ECC, and a password of bert's": {only, Config{ECCIdentity: ecc, User: User{Name: "anna", Password: "bert's secret"}}, uasc.Security{}, "BadUserAccessDenied"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.cfg.AnyServer = true
			if tc.cfg.User.kind() == ua.UserTokenTypeAnonymous {
				tc.cfg.User = User{Name: "bert", Password: "bert's secret"}
			}
			c, err := Dial(t.Context(), tc.server.url(), tc.cfg)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("%v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Detach()
			if c.Security() != tc.want {
				t.Errorf("%v in place of %v", c.Security(), tc.want)
			}
		})
	}
}
