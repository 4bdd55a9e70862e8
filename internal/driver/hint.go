package driver

// HintError is an error with what there is to be done about it.
type HintError struct {
	Err  error
	Hint string
}

func (e *HintError) Error() string { return e.Err.Error() + "; " + e.Hint }

// Unwrap returns the error.
func (e *HintError) Unwrap() error { return e.Err }
