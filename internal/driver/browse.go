package driver

import (
	"context"
	"strings"
	"time"
	"unicode"

	"millrace/internal/device"
)

// Browser is a driver whose devices can be asked what they are and what is in them.
type Browser interface {
	// Browse opens a connection, asks and closes it. What a device refuses to say is named in the survey; an error is the transport's, or that the
	// address does not allow to ask. timeout is for connecting and for each answer; services that take a device longer have longer.
	Browse(ctx context.Context, a device.Addr, timeout time.Duration) (Survey, error)
}

// Survey is what a device said of itself, in the order in which people want to read it.
type Survey struct {
	Facts   []Fact
	Objects []Object
	Nodes   []Node   // each before what is below it
	Refused []string // what it did not say, and why

	OnlyOpen bool // it offers no session with security, and says so
}

// Node is a node of a device that has its values in a tree.
type Node struct {
	Depth    int    // 0 at the top
	Name     string // as the device shows it
	Address  string // canonical
	Kind     string // the type of its value as the device calls it; of a node without one what it is
	Writable bool   // by who asked
	Tag      string // what a tag of it may be called: the names from the top with / between them; "" when it cannot be read or only describes another one
}

// Fact is one thing known of a device.
type Fact struct{ Name, Value string }

// Object is something in a device that can be read or uploaded.
type Object struct {
	Name  string // DB1
	Kind  string // what it was written in
	Bytes int    // of its data; -1 when it is not said
}

// say adds a fact that is not empty.
func (s *Survey) say(name, value string) {
	if value != "" {
		s.Facts = append(s.Facts, Fact{name, value})
	}
}

// printable returns what a device says of itself without what a terminal would take for commands.
func printable(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s))
}
