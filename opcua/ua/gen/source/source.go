// Package source fetches the npm packages that the generators read, and checks them against the sums that are written here.
package source

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// Package is a package of npm, exactly.
type Package struct {
	name    string
	version string
	sha512  string // of the .tgz
}

// The inputs: the NodeSet and the binary schema; the ids of all nodes, of which the NodeSet lacks those of messages; the status codes.
// A new version changes both lines and what is generated, in one commit.
var (
	Nodesets = Package{
		"node-opcua-nodesets", "2.185.0",
		"eea0f0764611288191064d202a16390b7a25434c111d30a8663e056f30f51a65c5e7119a65cbff39ab6f15aef71fbcb2ab72f15b14ca56d7842e56dbcb38b22e",
	}
	Constants = Package{
		"node-opcua-constants", "2.185.0",
		"d07fc8b78eb764a960cd09ebb0619cb2423ddf7bc618f99fe330b23391dbda39a5ac89aaa67337f3164c062ed90c7ccad9a6d46dec00ef719fb52b65b9b46f78",
	}
	StatusCodes = Package{
		"node-opcua-status-code", "2.186.1",
		"18859731f9ab4c64bf24e7c249f07aa8fbdad8dc5f574f764748f92e49ec1f8426f808594724539c86067e93fc7647f2c369fe26807101abf6f1673f985a0bae",
	}
)

// DefaultCache returns the directory that keeps fetched packages: within the user's cache.
func DefaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "millrace-opcua")
}

// Dir returns the directory within cache that Fetch unpacks the package to.
func (p Package) Dir(cache string) string { return filepath.Join(cache, p.name+"-"+p.version) }

// Fetch returns the directory of the unpacked package, which it fetches into cache if it is not there.
func (p Package) Fetch(cache string) (string, error) {
	dir := p.Dir(cache)
	if _, err := os.Stat(filepath.Join(dir, "package.json")); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	cmd := exec.Command("npm", "pack", "--silent", "--pack-destination", cache, p.name+"@"+p.version)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("npm pack %s@%s: %w", p.name, p.version, err)
	}
	tgz := dir + ".tgz"
	if err := p.check(tgz); err != nil {
		return "", err
	}
	tmp := dir + ".tmp"
	if err := errors.Join(os.RemoveAll(tmp), unpack(tgz, tmp), os.RemoveAll(dir)); err != nil {
		return "", err
	}
	return dir, os.Rename(tmp, dir)
}

func (p Package) check(tgz string) error {
	b, err := os.ReadFile(tgz)
	if err != nil {
		return err
	}
	sum := sha512.Sum512(b)
	if got := hex.EncodeToString(sum[:]); got != p.sha512 {
		return fmt.Errorf("%s: SHA-512 is %s, want %s", tgz, got, p.sha512)
	}
	return nil
}

// unpack writes the regular files below package/ of a .tgz into dir.
func unpack(tgz, dir string) error {
	f, err := os.Open(tgz)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name, ok := strings.CutPrefix(path.Clean(h.Name), "package/")
		if h.Typeflag != tar.TypeReg || !ok || !filepath.IsLocal(name) {
			continue
		}
		if err := unpackFile(filepath.Join(dir, name), r); err != nil {
			return err
		}
	}
}

func unpackFile(name string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
