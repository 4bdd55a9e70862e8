package why

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/modbus"
	"millrace/s7"
)

func sortedValues(m map[string]string) []string { return slices.Sorted(maps.Values(m)) }

// of returns the tags whose quality is one of q, and how many there are beside them.
func (f *Facts) of(q ...tag.Quality) (names []string, others int) {
	for i := range f.Tags {
		if slices.Contains(q, f.Tags[i].Quality) {
			names = append(names, f.Tags[i].Name)
		} else {
			others++
		}
	}
	return names, others
}

// addRefusal appends what the device said of it last.
func (f *Facts) addRefusal(x *Finding) {
	if of := f.refusal(); of != nil {
		x.fault(f, of)
		x.Since = of.First
		var s *s7.Error
		var m *modbus.Error
		switch {
		case errors.As(of.Err, &s) && s.Refused != 0:
			x.add("error 0x%04X for the whole request", uint16(s.Refused))
		case errors.As(of.Err, &s) && s.Code != 0:
			x.add("return code 0x%02X", uint8(s.Code))
		case errors.As(of.Err, &m) && m.Exception != 0:
			x.add("exception %d", uint8(m.Exception))
		}
	}
	for _, g := range f.Device.Groups {
		if of := f.refusal(); g.Refusal != "" && (of == nil || of.Err == nil || of.Err.Error() != g.Refusal) {
			x.add("group %s: %s", g.Name, g.Refusal)
		}
	}
	x.add("%s refused so far", many(int(f.Device.Refused), "request"))
}

// refusal returns the last one, however long ago: what was learned by it is not asked again.
func (f *Facts) refusal() *device.Fault {
	for i := range f.Evidence.Faults {
		if f.Evidence.Faults[i].Kind == device.FaultRefusal {
			return &f.Evidence.Faults[i]
		}
	}
	return nil
}

// findDenied: the device knows the address and does not let us.
func findDenied(f *Facts, x *Finding) bool {
	names, others := f.of(tag.BadUserAccessDenied, tag.BadNotReadable)
	if !f.polled() || len(names) == 0 {
		return false
	}
	x.Title = fmt.Sprintf("The device denies access to %s of %d", many(len(names), "tag"), len(names)+others)
	if f.Device.Protocol == "s7" && others == 0 {
		x.Title += ": PUT/GET is off, or the CPU is protected"
	}
	x.add("denied: %s", list(names, 5))
	f.addRefusal(x)
	return true
}

// findGroup: of a group nothing is given.
func findGroup(f *Facts, x *Finding) bool {
	if !f.polled() {
		return false
	}
	for _, g := range f.Device.Groups {
		bad, all, q := 0, 0, tag.Good
		for i := range f.Tags {
			if t := &f.Tags[i]; t.Group == g.Name && !t.OutOfService {
				all++
				if isRefusal(t.Quality) {
					bad++
					q = t.Quality
				}
			}
		}
		if all < 2 || bad < all {
			continue
		}
		x.Title = fmt.Sprintf("The device gives nothing of group %s: all %d tags are refused, %s", g.Name, all, q)
		f.addRefusal(x)
		return true
	}
	return false
}

// isRefusal says whether a quality is one that a device gives by refusing.
func isRefusal(q tag.Quality) bool {
	switch q {
	case tag.BadNodeIDUnknown, tag.BadOutOfRange, tag.BadNotSupported, tag.BadTypeMismatch, tag.BadNotReadable, tag.BadUserAccessDenied:
		return true
	}
	return false
}

// findMissing: some addresses do not exist in the device.
func findMissing(f *Facts, x *Finding) bool {
	names, others := f.of(tag.BadNodeIDUnknown, tag.BadOutOfRange)
	if !f.polled() || len(names) == 0 {
		return false
	}
	x.Title = fmt.Sprintf("The device has no such address: %s of %d", many(len(names), "tag"), len(names)+others)
	if f.Device.Protocol == "s7" {
		x.Title += ", or the DB is optimised"
	}
	x.add("refused: %s", list(names, 5))
	f.addHoles(x)
	f.addRefusal(x)
	return true
}

func (f *Facts) addHoles(x *Finding) {
	h := f.Device.Limits.Holes
	if len(h) == 0 {
		return
	}
	var s []string
	for _, span := range h {
		s = append(s, holeWords(f.Device.Protocol, span))
	}
	x.add("%s learned, and not asked for again: %s", many(len(h), "hole"), list(s, 5))
}

// holeWords writes a span as the protocol's users do.
func holeWords(protocol string, h device.Span) string {
	if protocol == "s7" && h.Area == uint8(s7.AreaDB) {
		return fmt.Sprintf("DB%d bytes %d-%d", h.From>>16, h.From&0xFFFF, h.To&0xFFFF)
	}
	return fmt.Sprintf("area %d, %d-%d", h.Area, h.From, h.To)
}

// findType: the device has the address, and not of that type or by that function.
func findType(f *Facts, x *Finding) bool {
	names, others := f.of(tag.BadTypeMismatch, tag.BadNotSupported, tag.BadDecodingError)
	if !f.polled() || len(names) == 0 {
		return false
	}
	x.Title = fmt.Sprintf("%s of %d cannot be read the way they are configured: type or area", many(len(names), "tag"), len(names)+others)
	x.add("refused: %s", list(names, 5))
	f.addRefusal(x)
	return true
}

// findDeviceFailure: the device says itself that something in it is wrong.
func findDeviceFailure(f *Facts, x *Finding) bool {
	names, others := f.of(tag.BadDeviceFailure, tag.BadSensorFailure, tag.BadResourceUnavailable)
	if !f.polled() || len(names) == 0 {
		return false
	}
	x.Title = fmt.Sprintf("The device reports a failure of its own for %s of %d", many(len(names), "tag"), len(names)+others)
	x.add("affected: %s", list(names, 5))
	f.addRefusal(x)
	return true
}

// findPartial: a part of what is asked comes.
func findPartial(f *Facts, x *Finding) bool {
	if f.Device.State != device.Degraded || f.Device.Degraded.Level != device.DegradeNone {
		return false // who is asked for less at once is in that state too
	}
	names, others := f.of(tag.UncertainLastUsable, tag.BadNoCommunication)
	x.Title = fmt.Sprintf("Only a part of each read comes: %s of %d keep their last value", many(len(names), "tag"), len(names)+others)
	x.Since = f.Device.Since
	x.add("%s", sentence(f.Device.Reason))
	x.add("without a new value: %s", list(names, 5))
	if of := f.recent(device.FaultTimeout); of != nil {
		x.add("%s without an answer, the last %s ago", many(int(of.Count), "request"), short(f.Now.Sub(of.Last)))
	}
	return true
}

// findTag is for a tag: what its own quality says, when the device says it.
func findTag(f *Facts, x *Finding) bool {
	t := f.Tag
	if t == nil || !f.polled() || t.Quality.IsGood() {
		return false
	}
	switch t.Quality {
	case tag.BadOutOfService, tag.BadConfigurationError, tag.BadWaitingForInitialData, tag.UncertainLastUsable, tag.BadNoCommunication:
		return false // have rows of their own
	}
	x.Title = fmt.Sprintf("The device answers for %s: %s", t.Name, t.Quality)
	t.addTo(x, f)
	f.addHoles(x)
	if of := f.refusal(); of != nil {
		x.Since = of.First // the tag's own time is that of its last read
		said := false
		for _, g := range f.Device.Groups {
			if g.Name == t.Group && g.Refusal != "" {
				x.add("what it refused of group %s last: %s", g.Name, g.Refusal)
				said = true
			}
		}
		if !said {
			x.add("what it refused last, %s ago: %v", short(f.Now.Sub(of.Last)), of.Err)
		}
		if h := hint(of.Err); h != "" {
			x.first(h)
		}
	}
	x.first(tagHint(t.Quality)...)
	return true
}

// tagHint says what a quality asks for.
func tagHint(q tag.Quality) []string {
	switch q {
	case tag.BadNodeIDUnknown, tag.BadOutOfRange:
		return []string{"compare the address with the device's documentation or program: it does not exist there"}
	case tag.BadTypeMismatch, tag.BadNotSupported, tag.BadDecodingError:
		return []string{"compare the tag's type and area with the device's documentation"}
	case tag.BadUserAccessDenied, tag.BadNotReadable:
		return []string{"let the gateway read it: rights of the user, protection of the CPU, PUT/GET"}
	case tag.BadDeviceFailure, tag.BadSensorFailure, tag.BadResourceUnavailable:
		return []string{"look at the device's own diagnostics: it says itself that something in it is wrong"}
	}
	return nil
}

// addTo appends what is known of the tag.
func (t *TagState) addTo(x *Finding, f *Facts) {
	x.add("%s is %s, quality %s", t.Address, orNothing(t.Value), t.Quality)
	if t.At.IsZero() {
		x.add("it was never read")
	} else {
		x.add("its time is %s ago", short(f.Now.Sub(t.At)))
	}
	same := 0
	for i := range f.Tags {
		if o := &f.Tags[i]; o.Quality == t.Quality {
			same++
		}
	}
	x.add("%d of the device's %s have that quality", same, many(len(f.Tags), "tag"))
}

func orNothing(s string) string {
	if s == "" {
		return "without a value"
	}
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "..."
	}
	return s
}
