package why

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"millrace/internal/device"
	"millrace/internal/driver"
)

// short writes a duration to three digits at most.
func short(d time.Duration) string {
	a := max(d, -d)
	switch {
	case a >= time.Hour:
		return d.Round(time.Minute).String()
	case a >= time.Minute:
		return d.Round(time.Second).String()
	case a >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case a >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case a >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case a >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

// percent writes a share.
func percent(share float64) string { return fmt.Sprintf("%.3g %%", 100*share) }

// times writes a count.
func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// many writes a count with its noun.
func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// host returns host and port of the device's address, port "" where it has none.
func (f *Facts) host() (host, port string) { return hostOf(f.Device.Endpoint) }

func hostOf(endpoint string) (host, port string) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return endpoint, ""
	}
	return u.Hostname(), u.Port()
}

// address returns host:port of the device.
func (f *Facts) address() string {
	h, p := f.host()
	if p == "" {
		return h
	}
	return net.JoinHostPort(h, p)
}

// add appends a fact.
func (x *Finding) add(format string, a ...any) {
	x.Evidence = append(x.Evidence, fmt.Sprintf(format, a...))
}

// first puts a step in front of those of the table.
func (x *Finding) first(steps ...string) {
	x.Todo = append(steps, x.Todo...)
}

// fault fills in what a fault of the transport tells: since when, how often, and in whose words.
func (x *Finding) fault(f *Facts, of *device.Fault) {
	x.Since = f.since(of)
	last := f.Now.Sub(of.Last)
	x.add("failed so %s, first %s ago, last %s ago", times(of.Count), short(f.Now.Sub(of.First)), short(last))
	if of.Err != nil {
		x.add("in its own words: %s", of.Err)
	}
	f.addRoutes(x)
	if h := hint(of.Err); h != "" {
		x.first(h)
	}
}

// hint returns what an error says is to be done.
func hint(err error) string {
	var own interface{ Hint() string }
	var known *driver.HintError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &known):
		return sentence(known.Hint)
	case errors.As(err, &own):
		return sentence(own.Hint())
	}
	return ""
}

func sentence(s string) string { return strings.TrimSuffix(strings.TrimSpace(s), ".") }

// list writes names, at most n of them.
func list(names []string, n int) string {
	if len(names) <= n {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:n], ", "), len(names)-n)
}
