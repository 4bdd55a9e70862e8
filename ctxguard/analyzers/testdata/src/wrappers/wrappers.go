// Package wrappers uses what another package hands out.
package wrappers

import (
	"context"
	"os"

	"lib"
)

func dropped(ctx context.Context) context.Context {
	child, _ := lib.Limited(ctx) // want `the cancel function of context.WithTimeout can never be called, since it is thrown away.*call it`
	return child
}

func twice(ctx context.Context, fail bool) context.Context {
	child, stop := lib.Twice(ctx) // want `is not called on the path fail \(line 18\) to the return in line 19`
	if fail {
		return nil
	}
	stop()
	return child
}

func session(ctx context.Context) (string, error) {
	s, err := lib.Open(ctx) // want `a lib.Session, whose cancel holds .* is not closed on the path to the return in line 30: .*call Close on this path`
	if err != nil {
		return "", err
	}
	return s.Name(), nil
}

func closed(ctx context.Context) (string, error) {
	s, err := lib.Open(ctx)
	if err != nil {
		return "", err
	}
	defer s.Close()
	return s.Name(), nil
}

func handedOn(ctx context.Context) (*lib.Session, error) { return lib.Open(ctx) }

func borrowed(name string) int64 {
	f, err := os.Open(name) // want `a file is not closed on the path to the return in line 49`
	if err != nil {
		return 0
	}
	return lib.Size(f)
}

func kept(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	lib.Keep(f)
	return nil
}

func ignored(ctx context.Context) context.Context {
	child, cancel := context.WithCancel(ctx) // want "is not called"
	lib.Ignore(cancel)
	return child
}

// The paths that hold a thing are told apart by its error, by flags and by nil.
func flagged(name string, open bool) error {
	var f *os.File
	var err error
	if open {
		f, err = os.Open(name)
		if err != nil {
			return err
		}
	}
	println(name)
	if open {
		return f.Close()
	}
	return nil
}

func opened(have *os.File, name string) error {
	f, own := have, false
	if f == nil {
		var err error
		if f, err = os.Open(name); os.IsNotExist(err) {
			return nil
		} else if err != nil {
			return err
		}
		own = true
	}
	err := f.Sync()
	if own {
		f.Close()
	}
	return err
}

func retried(name string) (err error) {
	var f *os.File
	for range 3 {
		if f, err = os.Open(name); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	return f.Sync()
}

func promised(name string) error {
	var f *os.File
	defer func() {
		if f != nil {
			f.Close()
		}
	}()
	var err error
	f, err = os.Open(name)
	return err
}
