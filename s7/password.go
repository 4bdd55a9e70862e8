package s7

// Subfunctions of GroupSecurity.
const (
	SubPasswordEnter = 0x01
	SubPasswordClear = 0x02
)

// passwordBytes is the length of every password: shorter ones are filled up with blanks.
const passwordBytes = 8

// PasswordRequest raises the rights of a connection. What goes over the wire is disguised, not encrypted: whoever sees it knows the password.
type PasswordRequest struct{ Password [passwordBytes]byte }

// NewPasswordRequest returns the request for a password of at most 8 bytes, filled up with blanks; more are cut off.
func NewPasswordRequest(password string) PasswordRequest {
	var m PasswordRequest
	n := copy(m.Password[:], password)
	for i := n; i < passwordBytes; i++ {
		m.Password[i] = ' '
	}
	return m
}

const passwordMask = 0x55

// AppendTo appends the PDU.
func (m *PasswordRequest) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	u := request(GroupSecurity, SubPasswordEnter)
	b = u.Begin(b, ref)
	at := len(b)
	for i, p := range m.Password {
		e := p ^ passwordMask
		if i >= 2 {
			e ^= b[at+i-2]
		}
		b = append(b, e)
	}
	return EndUserdata(b, start)
}

// Decode reads a request. It answers the error that it deserves, or 0.
func (m *PasswordRequest) Decode(u *Userdata) ErrorCode {
	c, code := u.requestData(GroupSecurity, SubPasswordEnter)
	if code != 0 {
		return code
	}
	e := c.Bytes(passwordBytes)
	if !c.Complete() {
		return ErrSecuritySyntax
	}
	for i := range m.Password {
		m.Password[i] = e[i] ^ passwordMask
		if i >= 2 {
			m.Password[i] ^= e[i-2]
		}
	}
	return 0
}

// ClearPasswordRequest takes the rights back.
type ClearPasswordRequest struct{}

// AppendTo appends the PDU.
func (ClearPasswordRequest) AppendTo(b []byte, ref uint16) []byte {
	u := bareRequest(GroupSecurity, SubPasswordClear)
	return u.AppendTo(b, ref)
}
