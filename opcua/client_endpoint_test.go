package opcua

import (
	"testing"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// A token policy without a URI is that of the channel, also once the message that it came in is let go.
func TestATokenPolicyWithoutAURIIsTheChannels(t *testing.T) {
	id := testIdentityFor(t, "client", uasc.Basic256Sha256)
	c, err := choose([]ua.EndpointDescription{{
		SecurityPolicyUri: uasc.Basic256Sha256.URI(), SecurityMode: ua.MessageSecurityModeSign,
		UserIdentityTokens: []ua.UserTokenPolicy{{PolicyId: "name", TokenType: ua.UserTokenTypeUserName}},
	}}, &Config{Identity: id, User: User{Name: "joe", Password: "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := c.tokenSecurity(); !ok || p != uasc.Basic256Sha256 || c.endpoint.UserIdentityTokens[0].SecurityPolicyUri != "" {
		t.Errorf("passwords go by %v, %v; the endpoint is %+v", p, ok, c.endpoint)
	}
}
