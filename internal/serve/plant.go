// Package serve offers the gateway's tags to others over the protocols that it reads: other systems read the gateway as they would read a
// device.
package serve

import (
	"cmp"
	"slices"
	"strings"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/internal/write"
)

// Source is what is served. Any goroutine may call it; it answers from memory.
type Source interface {
	// Last appends what is known of each of ids, one Last an id and in that order.
	Last(ids []tag.ID, dst []device.Last) []device.Last
	// Device returns how a device is.
	Device(name string) (device.Status, bool)
}

// Tag is a tag as it is served.
type Tag struct {
	ID      tag.ID
	Name    string // full name: device/tag
	Device  string
	Number  uint32   // of the device in the catalog
	Address string   // canonical, with its protocol
	Kind    tag.Kind // of the engineering value; Null when only the device knows
	Unit    string
	Low     float64 // the engineering range, none when both are equal
	High    float64

	Writable bool
	Role     write.Role // that it takes to write it
}

// plant is all that is served: immutable, made anew by a reload.
type plant struct {
	devices []*plantDevice // by name
	numbers map[uint32]*plantDevice
	byName  map[string]uint64 // ids of devices, what hangs on them, and tags
	tags    map[tag.ID]*plantTag
}

type plantDevice struct {
	name string
	tags []*plantTag // by name
}

type plantTag struct {
	Tag
	short  string // behind "device/"
	device *plantDevice
}

// newPlant orders tags by device. Devices without tags are not served.
func newPlant(tags []Tag) *plant {
	p := &plant{numbers: map[uint32]*plantDevice{}, byName: make(map[string]uint64, len(tags)), tags: make(map[tag.ID]*plantTag, len(tags))}
	all := make([]plantTag, len(tags))
	for i, t := range tags {
		d := p.numbers[t.Number]
		if d == nil {
			d = &plantDevice{name: t.Device}
			p.numbers[t.Number] = d
			p.devices = append(p.devices, d)
			p.nameDevice(d, t.Number)
		}
		all[i] = plantTag{t, strings.TrimPrefix(t.Name, t.Device+"/"), d}
		d.tags = append(d.tags, &all[i])
		p.tags[t.ID] = &all[i]
		p.byName[t.Name] = keyOf(ofTag, uint32(t.ID))
	}
	slices.SortFunc(p.devices, func(a, b *plantDevice) int { return cmp.Compare(a.name, b.name) })
	for _, d := range p.devices {
		slices.SortFunc(d.tags, func(a, b *plantTag) int { return cmp.Compare(a.short, b.short) })
	}
	return p
}

func (p *plant) nameDevice(d *plantDevice, number uint32) {
	for k, suffix := range suffixes {
		if suffix.of == ofDevice {
			p.byName[d.name+suffix.text] = keyOf(kind(k), number)
		}
	}
}
