package driver

import "errors"

// explain adds to an error of the S7 client what it is a sign of and what can be done about it, when that is known.
func explain(err error) error {
	var e interface{ Hint() string }
	if !errors.As(err, &e) {
		return err
	}
	if h := e.Hint(); h != "" {
		return &HintError{err, h}
	}
	return err
}
