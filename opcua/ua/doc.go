// Package ua holds the data types of OPC UA and their binary encoding [OPC 10000-6 5.2]: the 25 built-in types, written by hand, and the
// structures, enumerations and status codes of namespace 0, generated from the specification's machine-readable files.
//
// Writing appends and never fails. Reading goes through a Decoder, which goes bad once and stays bad, and whose Limits bound depth, counts
// and memory before anything is allocated.
package ua

//go:generate go run ./gen
