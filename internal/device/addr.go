package device

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// ParseAddr reads a device address: modbus://10.0.0.5:1502/3?option=value. ports names the schemes that are known, each with the
// port to take when the address has none; port 0 means that the address must have one.
func ParseAddr(s string, ports map[string]int) (Addr, error) {
	u, err := url.Parse(s)
	if err != nil {
		return Addr{}, fmt.Errorf("address %q: %w", withoutUser(s), cause(err))
	}
	port, known := ports[u.Scheme]
	switch {
	case u.Scheme == "" || u.Opaque != "":
		return Addr{}, fmt.Errorf("address %q: it must begin with one of %s", s, schemes(ports))
	case !known:
		return Addr{}, fmt.Errorf("address %q: unknown scheme %q, known are %s", s, u.Scheme, schemes(ports))
	case u.User != nil:
		return Addr{}, fmt.Errorf("address %q: names and passwords do not belong in an address", u.Redacted())
	case u.Fragment != "":
		return Addr{}, fmt.Errorf("address %q: nothing may follow a #", s)
	}
	a := Addr{Scheme: u.Scheme, Path: strings.Trim(u.Path, "/")}
	if a.Host, err = hostPort(u, port); err != nil {
		return Addr{}, fmt.Errorf("address %q: %w", s, err)
	}
	if a.Options, err = options(u.RawQuery); err != nil {
		return Addr{}, fmt.Errorf("address %q: %w", s, err)
	}
	return a, nil
}

// withoutUser hides what may be a password in an address that cannot be parsed.
func withoutUser(s string) string {
	if i := strings.LastIndex(s, "@"); i >= 0 {
		return "..." + s[i:]
	}
	return s
}

// cause strips the "parse URL:" that url.Parse puts before what is wrong.
func cause(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

func schemes(ports map[string]int) string {
	names := slices.Sorted(maps.Keys(ports))
	for i, n := range names {
		names[i] = n + "://"
	}
	return strings.Join(names, ", ")
}

// hostPort returns host and port in one form for all ways to write them: who shares a connection is found by it.
func hostPort(u *url.URL, port int) (string, error) {
	host := strings.ToLower(u.Hostname())
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		host = ip.String()
	}
	if host == "" {
		return "", errors.New("the host is missing")
	}
	if p := u.Port(); p != "" {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 || n > 65535 {
			return "", fmt.Errorf("port %s is not 1 to 65535", p)
		}
		port = n
	}
	if port == 0 {
		return "", errors.New("the port is missing")
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// options returns the key=value pairs behind the question mark, nil when there are none.
func options(raw string) (map[string]string, error) {
	q, err := url.ParseQuery(raw)
	if err != nil || len(q) == 0 {
		return nil, err
	}
	o := make(map[string]string, len(q))
	for k, v := range q {
		if len(v) > 1 {
			return nil, fmt.Errorf("option %s is there %d times", k, len(v))
		}
		o[k] = v[0]
	}
	return o, nil
}
