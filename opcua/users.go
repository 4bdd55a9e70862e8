package opcua

import (
	"context"

	"millrace/opcua/ua"
)

// Roles is what a user may do.
type Roles uint8

// The roles. Each stands for itself: who may write does not thereby read. Only ParseRoles gives an admin all of them.
const (
	RoleRead  Roles = 1 << iota // browse, read, subscribe
	RoleWrite                   // write values, call methods
	RoleAdmin                   // see the diagnostics of all sessions
)

// UserTokens is a set of kinds of user tokens.
type UserTokens uint8

// The kinds.
const (
	TokenAnonymous UserTokens = 1 << iota
	TokenPassword
	TokenCertificate
)

// Credentials are what a client says about its user. Password and Certificate are valid during the call only.
type Credentials struct {
	Kind        ua.UserTokenType // Anonymous, UserName or Certificate
	User        string
	Password    []byte
	Certificate []byte // DER; its chain and the user's signature have been verified

	ApplicationURI    string // of the client; proven only when the channel is signed
	ClientCertificate []byte // DER of the client application, nil on policy None
}

// Authenticator says what a user may do. Several goroutines call it. Any error refuses the user with BadUserAccessDenied; roles of 0 do as well. An answer about a
// password should take as long for a user who is not there as for a wrong password.
type Authenticator interface {
	Authenticate(ctx context.Context, c Credentials) (Roles, error)
}
