// Package pairs uses things that only a Config knows of.
package pairs

type Lease struct{ id int }

func (l *Lease) GiveBack() {}

type Pool struct{}

func (p *Pool) Take() (*Lease, error) { return &Lease{}, nil }

func Watch() (int, func()) { return 0, func() {} }

func taken(p *Pool) error {
	l, err := p.Take() // want `what \(\*pairs.Pool\).Take returned is not released on the path l.id == 0 \(line 19\) to the return in line 20`
	if err != nil {
		return err
	}
	if l.id == 0 {
		return nil
	}
	l.GiveBack()
	return nil
}

func watched() int {
	n, stop := Watch() // want "what pairs.Watch returned is not called"
	if n == 0 {
		return 0
	}
	stop()
	return n
}
