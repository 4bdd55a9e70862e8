package config

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const (
	maxConfigBytes = 64 << 20  // the file and each CSV file
	maxSecretBytes = 64 << 10  // what ${file:P} may be
	maxTags        = 4_000_000 // over all devices
)

// hidden is a text that came from outside the file, and what stood for it.
type hidden struct {
	text      string
	reference string
}

func hasReference(s string) bool { return strings.Contains(s, "${") }

// expand replaces ${env:NAME} and ${file:PATH}. ${param.NAME} stays, and $${ becomes ${.
func (l *loader) expand(s string, at Place) (string, bool) {
	if !hasReference(s) {
		return s, true
	}
	var out strings.Builder
	for rest := s; ; {
		before, after, found := strings.Cut(rest, "${")
		if !found {
			out.WriteString(rest)
			return out.String(), true
		}
		if escaped, ok := strings.CutSuffix(before, "$"); ok {
			out.WriteString(escaped + "${")
			rest = after
			continue
		}
		name, tail, closed := strings.Cut(after, "}")
		if !closed {
			l.failf(at, "%q has a ${ without a }; write $${ for the characters themselves", s)
			return "", false
		}
		v, err := l.lookUp(name)
		if err != nil {
			l.failf(at, "%v", err)
			return "", false
		}
		out.WriteString(before + v)
		rest = tail
	}
}

// lookUp returns what the reference ${name} stands for.
func (l *loader) lookUp(name string) (string, error) {
	kind, arg, _ := strings.Cut(name, ":")
	var v string
	switch {
	case strings.HasPrefix(name, "param."):
		return "${" + name + "}", nil
	case kind == "env" && arg != "":
		var ok bool
		if v, ok = os.LookupEnv(arg); !ok {
			return "", fmt.Errorf("${env:%s}: the environment variable is not set", arg)
		}
	case kind == "file" && arg != "":
		b, err := l.readFile(arg, maxSecretBytes)
		if err != nil {
			return "", fmt.Errorf("${file:%s}: %w", arg, err)
		}
		v = strings.TrimRight(string(b), "\r\n")
	default:
		return "", fmt.Errorf("${%s} is unknown; there are ${env:NAME}, ${file:PATH} and, in templates, ${param.NAME}; write $${ for the characters themselves", name)
	}
	if len(v) > 2 {
		l.hidden = append(l.hidden, hidden{v, "${" + name + "}"})
	}
	return v, nil
}

// conceal puts references back in place of what they stand for, so that no message shows a secret.
func (l *loader) conceal(msg string) string {
	for _, h := range l.hidden {
		msg = strings.ReplaceAll(msg, h.text, h.reference)
		msg = strings.ReplaceAll(msg, strings.Trim(fmt.Sprintf("%q", h.text), `"`), h.reference)
	}
	return msg
}

// relative returns path as seen from the configuration file.
func (l *loader) relative(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(l.dir, path)
}

// readFile reads a file that the configuration names. Each is read once.
func (l *loader) readFile(path string, most int64) ([]byte, error) {
	path = l.relative(path)
	if b, ok := l.read[path]; ok {
		return b, nil
	}
	b, err := l.note(path, most)
	if err != nil {
		return nil, err
	}
	l.read[path] = b
	return b, nil
}

// note reads a file, without a byte order mark, and remembers that the configuration depends on it as it is now, whether it can be read
// or not.
func (l *loader) note(path string, most int64) ([]byte, error) {
	b, err := readBounded(path, most)
	if !l.noted[path] {
		l.noted[path] = true
		f := File{path, sha256.Sum256(b)}
		if err != nil {
			f.Digest = versionOf(path, version{}).sum
		}
		l.files = append(l.files, f)
	}
	return bytes.TrimPrefix(b, []byte("\xEF\xBB\xBF")), err
}

func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.IsDir() {
		return nil, errors.New("it is a directory")
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("it is larger than %s", FormatSize(most))
	}
	return b, nil
}

// withoutPath strips the operation and path from a file's error: the message has the path already.
func withoutPath(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
