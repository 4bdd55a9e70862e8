package ua

import "strconv"

// enumNumber is what an enumeration prints for a value that it does not know.
func enumNumber(name string, v int32) string { return name + "(" + strconv.Itoa(int(v)) + ")" }
