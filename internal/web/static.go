package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// dist is what `make ui` builds from ui/.
//
//go:embed all:dist
var dist embed.FS

type asset struct {
	kind  string // content type
	etag  string
	plain []byte
	gzip  []byte // nil where it saves nothing
}

type assets map[string]asset // by URL path

func loadAssets() (assets, error) {
	all := assets{}
	err := fs.WalkDir(dist, "dist", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := dist.ReadFile(p)
		if err != nil {
			return err
		}
		all[strings.TrimPrefix(p, "dist")] = newAsset(p, b)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("web: embedded page: %w", err)
	}
	if _, ok := all["/index.html"]; !ok {
		return nil, fmt.Errorf("web: embedded page: no index.html")
	}
	return all, nil
}

func newAsset(name string, b []byte) asset {
	sum := sha256.Sum256(b)
	a := asset{kind: mime.TypeByExtension(path.Ext(name)), etag: `"` + hex.EncodeToString(sum[:8]) + `"`, plain: b}
	if path.Ext(name) == ".js" { // whatever the machine's table says
		a.kind = "text/javascript; charset=utf-8"
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write(b) // a bytes.Buffer takes everything
	_ = w.Close()
	if z.Len() < len(b) {
		a.gzip = z.Bytes()
	}
	return a
}

func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	p := r.URL.Path
	if p == "/" {
		p = "/index.html"
	}
	a, ok := s.assets[p]
	if !ok {
		writeError(w, http.StatusNotFound, "no such page: "+r.URL.Path, "open /")
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", "no-cache") // names never change, so ask again: the ETag makes it cheap
	h.Set("Vary", "Accept-Encoding")
	body, etag := a.plain, a.etag
	if a.gzip != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body, etag = a.gzip, a.etag[:len(a.etag)-1]+`-gz"`
	}
	h.Set("ETag", etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}
