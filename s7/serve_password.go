package s7

import "context"

// Guard is a Handler that is protected by a password. The server asks for the level when a connection opens, and holds the connection to it:
// from level 2 on nothing may be changed, from level 3 on nothing may be read; identification and diagnostics are open always. Without
// it a password is refused with ErrNoPassword.
type Guard interface {
	// ProtectionLevel is what holds without a password, 1..3.
	ProtectionLevel() uint8
	// CheckPassword answers 0 when a password of 8 bytes, filled up with blanks, is the right one, else ErrWrongPassword, or ErrNoPassword when there
	// is none. It takes the same time whatever is wrong with it.
	CheckPassword(ctx context.Context, r *Request, password []byte) ErrorCode
}

const levelOpen = 1 // everything is allowed

// protection returns the level that a connection has without the password.
func (f *handlers) protection() uint8 {
	if f.guard == nil {
		return levelOpen
	}
	return min(max(f.guard.ProtectionLevel(), levelOpen), levelRead)
}

func (c *ServerConn) servePassword(ctx context.Context, p *PDU, u *Userdata) ErrorCode {
	switch u.Sub {
	case SubPasswordEnter:
		return c.enterPassword(ctx, p, u)
	case SubPasswordClear:
		return c.clearPassword(p, u)
	}
	return ErrServiceUnknown
}

// enterPassword raises what the connection may do. A password that is right and not needed is refused by the reason: the connection has
// given it already, or nothing is protected.
func (c *ServerConn) enterPassword(ctx context.Context, p *PDU, u *Userdata) ErrorCode {
	var m PasswordRequest
	if code := m.Decode(u); code != 0 {
		return code
	}
	if c.faces.guard == nil {
		return ErrNoPassword
	}
	if code := c.faces.guard.CheckPassword(ctx, &c.req, m.Password[:]); code != 0 {
		return code
	}
	if c.Level() == levelOpen {
		if c.services != nil && c.services.locked != 0 {
			return ErrAlreadyLegitimised
		}
		return ErrAlreadyEnabled
	}
	c.service().locked = c.Level()
	c.setLevel(levelOpen)
	c.confirm(p, u)
	return 0
}

// clearPassword takes back what the password gave. Without one there is nothing to take back, which is no reason to refuse.
func (c *ServerConn) clearPassword(p *PDU, u *Userdata) ErrorCode {
	if s := c.services; s != nil && s.locked != 0 {
		c.setLevel(s.locked)
		s.locked = 0
	}
	c.confirm(p, u)
	return 0
}
