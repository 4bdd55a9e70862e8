package web

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"millrace/internal/tag"
)

// index finds tags. It is built anew when the source hands out another slice of tags.
type index struct {
	mu  sync.Mutex
	now *tagIndex
}

// tagIndex belongs to one slice of tags and never changes.
type tagIndex struct {
	tags     []Tag
	byID     map[tag.ID]int
	byName   map[string]int
	byDevice map[string][]tag.ID
	text     []string // what a search looks at, in lower case
}

func (x *index) of(tags []Tag) *tagIndex {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.now != nil && len(x.now.tags) == len(tags) && (len(tags) == 0 || &x.now.tags[0] == &tags[0]) {
		return x.now
	}
	t := &tagIndex{
		tags: tags, byID: make(map[tag.ID]int, len(tags)), byName: make(map[string]int, len(tags)),
		byDevice: map[string][]tag.ID{}, text: make([]string, len(tags)),
	}
	for i := range tags {
		g := &tags[i]
		t.byID[g.ID], t.byName[g.Name] = i, i
		t.byDevice[g.Device] = append(t.byDevice[g.Device], g.ID)
		t.text[i] = strings.ToLower(g.Name + " " + g.Address + " " + g.Type + " " + g.Unit)
	}
	x.now = t
	return t
}

// search returns the positions of the tags of device (all devices when empty) that hold every word of text.
func (t *tagIndex) search(text, device string) []int {
	words := strings.Fields(strings.ToLower(text))
	found := []int{}
	for i := range t.tags {
		if (device == "" || t.tags[i].Device == device) && holdsAll(t.text[i], words) {
			found = append(found, i)
		}
	}
	return found
}

// named returns the positions of the tags of those names; others are left out.
func (t *tagIndex) named(names []string) []int {
	found := []int{}
	for _, n := range names {
		if i, ok := t.byName[n]; ok {
			found = append(found, i)
		}
	}
	return found
}

func holdsAll(s string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(s, w) {
			return false
		}
	}
	return true
}

func (t *tagIndex) name(id tag.ID) string {
	if i, ok := t.byID[id]; ok {
		return t.tags[i].Name
	}
	return ""
}

// maxIDs is the most tags that one request may name by number.
const maxIDs = 5000

// parseIDs reads numbers and ranges: 1,4-9,30.
func parseIDs(s string) ([]tag.ID, error) {
	ids := []tag.ID{}
	if s == "" {
		return ids, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		from, to, isRange := strings.Cut(part, "-")
		a, err := strconv.ParseUint(from, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is no tag number", part)
		}
		b := a
		if isRange {
			if b, err = strconv.ParseUint(to, 10, 32); err != nil || b < a {
				return nil, fmt.Errorf("%q is no range of tag numbers", part)
			}
		}
		if b-a >= maxIDs || len(ids)+int(b-a) >= maxIDs {
			return nil, fmt.Errorf("more than %d tags", maxIDs)
		}
		for ; a <= b; a++ {
			ids = append(ids, tag.ID(a))
		}
	}
	return ids, nil
}
