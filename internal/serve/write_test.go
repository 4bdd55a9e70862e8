package serve

import (
	"testing"
	"time"

	"millrace/internal/tag"
	"millrace/opcua/ua"
)

// A time that a tag cannot have is refused, alone and in a list: null, and what nanoseconds since 1970 do not hold.
func TestTimesThatNoTagHas(t *testing.T) {
	good := time.Date(2024, 5, 6, 7, 8, 9, 100, time.UTC)
	for name, c := range map[string]struct {
		at ua.DateTime
		ok bool
	}{
		"good": {ua.DateTimeOf(good), true}, "null": {0, false}, "1650": {ua.DateTimeOf(good.AddDate(-374, 0, 0)), false}, "2300": {ua.DateTimeOf(good.AddDate(276, 0, 0)), false},
	} {
		v, ok := valueOf(ua.DateTimeValue(c.at))
		if ok != c.ok || ok && v.Bits != uint64(good.UnixNano()) {
			t.Errorf("%s: %v, %v", name, v, ok)
		}
		v, ok = valueOf(ua.DateTimeArray([]ua.DateTime{ua.DateTimeOf(good), c.at}))
		if ok != c.ok || ok && v.Kind != tag.DateTime|tag.Array {
			t.Errorf("a list with %s: %v, %v", name, v, ok)
		}
	}
}
