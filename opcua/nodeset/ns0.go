package nodeset

import _ "embed"

//go:generate go run ./gen

//go:embed ns0.bin
var ns0Binary string

// NS0 returns namespace 0, model 1.05.07, all of it. Each call makes a set of its own, about 4 MB in some milliseconds: call it once.
func NS0() (*Set, error) { return load(ns0Binary) }
