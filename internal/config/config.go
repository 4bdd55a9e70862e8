// Package config reads a gateway's configuration: one YAML file, with lists in CSV files and secrets in the environment or in files.
// It is strict, says everything that is wrong at once, each with its line and column, and gives back what is ready to run.
package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
)

// Config is a configuration that was loaded and checked. It is not changed after Assign.
type Config struct {
	Path    string // the file it is from
	Files   []File // every file it was made from, Path first: what Watch should look at
	Gateway Gateway
	Journal Journal
	Devices []device.Spec // in the order of the file; their Number and the IDs of their tags are 0 until Assign
	Sinks   []Sink
	Notify  []Notify
	Serve   []Serve
	Heal    Heal
	Write   Write

	// Overrides are the environment variables that replaced values of the file, sorted.
	Overrides []string

	// Warnings are things that are allowed and probably not meant.
	Warnings Errors
}

// File is a file that a configuration was made from, as Load found it. The zero Digest is that of a file that could not be read.
type File struct {
	Path   string
	Digest Digest
}

// Digest is the SHA-256 of a file's content.
type Digest [sha256.Size]byte

// Gateway is what concerns the process as a whole.
type Gateway struct {
	Name     string
	Data     string // directory, relative to the working directory or absolute
	Listen   string // host:port of the web page and API, "" when it is off
	DialRate int    // new connections per second over all devices

	Shedding device.Shedding

	AllowCommands bool // rules may run programs
}

// Journal says how much is kept, and how soon it is safe.
type Journal struct {
	MaxBytes     int64
	MaxAge       time.Duration
	FlushEvery   time.Duration
	SegmentBytes int64
	QueueBytes   int64
}

// Sink is a consumer of the journal. Fields that do not go with its Type are zero. Sinks compare with ==.
type Sink struct {
	ID   string
	Type string // postgres or file
	From string // where a new sink begins: end or oldest

	URL    Secret // postgres
	Schema string // postgres
	Table  string // postgres

	Dir         string // file; relative to the working directory or absolute
	RotateBytes int64  // file
	RotateEvery time.Duration
	MaxFiles    int
	Gzip        bool
}

// Notify is one receiver of notifications.
type Notify struct {
	ID   string
	Type string // webhook
	URL  Secret
	On   []string // the events it wants
}

// Serve is one server that offers the gateway's tags to others.
type Serve struct {
	ID          string
	Type        string   // opcua
	Listen      string   // host:port
	Security    []string // names of OPC UA's policies, each offered with Sign and SignAndEncrypt; None without
	Anonymous   bool     // clients need no user
	Users       string   // file of users, "" without; relative to the working directory or absolute
	AnyClient   bool     // every client's certificate is good
	MaxSessions int
}

// DeviceNames returns the names of the devices, in the order that Assign expects their numbers in.
func (c *Config) DeviceNames() []string {
	names := make([]string, len(c.Devices))
	for i := range c.Devices {
		names[i] = c.Devices[i].Name
	}
	return names
}

// TagNames returns the full names of all tags, in the order that Assign expects their IDs in.
func (c *Config) TagNames() []string {
	names := make([]string, 0, c.tags())
	for i := range c.Devices {
		for _, g := range c.Devices[i].Groups {
			for j := range g.Tags {
				names = append(names, g.Tags[j].Name)
			}
		}
	}
	return names
}

func (c *Config) tags() int {
	n := 0
	for i := range c.Devices {
		for _, g := range c.Devices[i].Groups {
			n += len(g.Tags)
		}
	}
	return n
}

// Assign gives each device its number and each tag its ID: numbers[i] belongs to DeviceNames()[i], ids[i] to TagNames()[i].
func (c *Config) Assign(numbers []uint32, ids []tag.ID) error {
	if n, t := len(c.Devices), c.tags(); n != len(numbers) || t != len(ids) {
		return fmt.Errorf("config: %d numbers and %d ids for %d devices and %d tags", len(numbers), len(ids), n, t)
	}
	next := 0
	for i := range c.Devices {
		c.Devices[i].Number = numbers[i]
		for _, g := range c.Devices[i].Groups {
			for j := range g.Tags {
				g.Tags[j].ID = ids[next]
				next++
			}
		}
	}
	return nil
}

// AsErrors returns the list inside an error of Load, nil when there is none.
func AsErrors(err error) Errors {
	var list Errors
	errors.As(err, &list)
	return list
}
