// Command gen writes ns0.bin, the compact form of namespace 0 that package nodeset embeds, from the NodeSet2 file of an npm package. It is run by go
// generate in opcua/nodeset.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"millrace/opcua/nodeset"
	"millrace/opcua/ua/gen/source"
)

func main() {
	out := flag.String("out", "ns0.bin", "file to write")
	cache := flag.String("cache", source.DefaultCache(), "directory that keeps the fetched packages")
	flag.Parse()
	if err := run(*out, *cache); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(out, cache string) error {
	dir, err := source.Nodesets.Fetch(cache)
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(dir, "nodesets", "Opc.Ua.NodeSet2.xml"))
	if err != nil {
		return err
	}
	defer f.Close()
	set, err := nodeset.ReadXML(f, nodeset.Options{})
	if err != nil {
		return err
	}
	b := set.AppendTo(nil)
	if old, err := os.ReadFile(out); err == nil && bytes.Equal(old, b) {
		return nil
	}
	return os.WriteFile(out, b, 0o644)
}
