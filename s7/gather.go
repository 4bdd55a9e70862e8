package s7

// Gather puts the parts of a Userdata answer together. The zero value takes 256 parts and 65,536 bytes.
type Gather struct {
	MaxParts int // 0 is 256
	MaxBytes int // 0 is 65,536

	first Userdata
	parts int
	data  []byte
}

const (
	defaultParts = 256
	defaultBytes = 1 << 16
)

// Add takes a part and reports whether it was the last; otherwise u.FollowUp asks for the next. A refusal is a *RefusedError. After an
// error or the last part the next Add begins anew.
func (g *Gather) Add(u *Userdata) (done bool, err error) {
	if g.parts == 0 {
		g.first, g.data = *u, g.data[:0]
		g.first.Data = nil
	}
	if err := g.check(u); err != nil {
		g.parts = 0
		return false, err
	}
	g.data = append(g.data, u.Data...)
	if g.parts++; u.More {
		return false, nil
	}
	g.parts = 0
	return true, nil
}

func (g *Gather) check(u *Userdata) error {
	maxParts, maxBytes := g.MaxParts, g.MaxBytes
	if maxParts == 0 {
		maxParts = defaultParts
	}
	if maxBytes == 0 {
		maxBytes = defaultBytes
	}
	switch {
	case u.Err != 0:
		return &RefusedError{Code: u.Err}
	case u.Group != g.first.Group, u.Sub != g.first.Sub, u.Seq != g.first.Seq:
		return malformedData(u.Data, "a part of another answer")
	case g.parts+1 > maxParts || len(g.data)+len(u.Data) > maxBytes:
		return malformedData(u.Data, "too many parts")
	}
	return nil
}

// Data returns what the parts hold; it is reused by the next answer.
func (g *Gather) Data() []byte { return g.data }
