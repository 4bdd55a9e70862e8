package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"millrace/internal/write"
)

// guard decides who may ask. A page of another site reaches a gateway in two ways, both refused here: by a name of its own that it lets
// point to the gateway's address (the Host header then has that name), and by posting across origins (the Origin header tells).
type guard struct {
	hosts map[string]bool // configured, lower case
	token [sha256.Size]byte
	open  bool // there is a token
}

func newGuard(cfg Config) guard {
	g := guard{hosts: map[string]bool{}, token: sha256.Sum256([]byte(cfg.Token)), open: cfg.Token != ""}
	for _, h := range cfg.Hosts {
		g.hosts[strings.ToLower(h)] = true
	}
	return g
}

// hostAllowed takes localhost, configured names, and every IP address: no name service can point an address elsewhere.
func (g *guard) hostAllowed(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(host, "]"), "["), ".")
	if host = strings.ToLower(host); host == "localhost" || g.hosts[host] {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// originAllowed takes requests without an Origin (no browser), those of the page itself, and those of it under a configured name: a
// proxy in front may ask by another.
func (g *guard) originAllowed(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		return false
	}
	o := r.Header.Get("Origin")
	if o == "" {
		return true
	}
	u, err := url.Parse(o)
	return err == nil && u.Host != "" && (strings.EqualFold(u.Host, r.Host) || g.hosts[strings.ToLower(u.Hostname())])
}

// tokenRight compares in constant time, whatever the lengths.
func (g *guard) tokenRight(r *http.Request) bool {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(given)))
	return ok && g.open && subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1
}

const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guarded sets the security headers and checks Host and Origin. Probes come by any name: they tell nothing worth stealing.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		probe := r.URL.Path == "/livez" || r.URL.Path == "/readyz"
		if !probe && !s.guard.hostAllowed(r.Host) {
			s.counts.hostRefused.Add(1)
			writeError(w, http.StatusMisdirectedRequest, "the host name "+r.Host+" is not one of this gateway's",
				"ask by IP address, by localhost, or by the name that its machine has")
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead && !s.guard.originAllowed(r) {
			s.counts.originRefused.Add(1)
			writeError(w, http.StatusForbidden, "requests of other sites are refused", "use the gateway's own page, or a client that sends no Origin")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// authorized lets a request through whose bearer token is the gateway's, or that of somebody who has the role admin.
func (s *Server) authorized(next func(w http.ResponseWriter, r *http.Request, c write.Caller)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.guard.open {
			writeError(w, http.StatusForbidden, "changes are closed: this gateway has no token", "configure a web token and use it as Authorization: Bearer TOKEN")
			return
		}
		c, ok := s.caller(r)
		switch {
		case !ok:
			s.refuseToken(w, r, "send Authorization: Bearer TOKEN with the gateway's token, or that of somebody who has the role admin")
		case !c.Role.Has(write.RoleAdmin):
			writeError(w, http.StatusForbidden, "it takes the role admin, which "+c.User+" has not", "ask somebody who has it; millrace token makes a token for each")
		default:
			next(w, r, c)
		}
	}
}

// refuseToken answers a request whose token is nobody's.
func (s *Server) refuseToken(w http.ResponseWriter, r *http.Request, todo string) {
	s.counts.tokenRefused.Add(1)
	s.cfg.Log.Warn("token refused", "path", r.URL.Path, "remote", r.RemoteAddr)
	w.Header().Set("WWW-Authenticate", `Bearer realm="millrace"`)
	writeError(w, http.StatusUnauthorized, "the token is missing or wrong", todo)
}

// by names whoever has switched something, and where from.
func by(c *write.Caller) string { return c.User + " (" + c.From + ")" }
