package tag

import (
	"fmt"
	"slices"
	"sync"
)

// Catalog maps tag names to IDs and back. It is the memory side: what keeps it on disk calls Set for each entry at start, and
// for new names Missing, then writes and syncs them, then Set. Safe for concurrent use; one goroutine at a time adds.
type Catalog struct {
	mu     sync.RWMutex
	names  []string // by ID; names[0] is unused
	byName map[string]ID
}

// NewCatalog returns an empty catalog.
func NewCatalog() *Catalog {
	return &Catalog{names: make([]string, 1), byName: map[string]ID{}}
}

// Len returns the number of tags.
func (c *Catalog) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.byName)
}

// Lookup returns the ID of name, and whether there is one.
func (c *Catalog) Lookup(name string) (ID, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	id, ok := c.byName[name]
	return id, ok
}

// Name returns the name of id, "" when it is unknown.
func (c *Catalog) Name(id ID) string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if int(id) >= len(c.names) {
		return ""
	}
	return c.names[id]
}

// Missing returns those of names that have no ID yet, each once, with the IDs to Set for them.
func (c *Catalog) Missing(names []string) ([]string, []ID) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n := 0
	for _, name := range names {
		if _, ok := c.byName[name]; !ok {
			n++
		}
	}
	if n == 0 {
		return nil, nil
	}
	miss, ids, seen := make([]string, 0, n), make([]ID, 0, n), make(map[string]bool, n)
	next := ID(len(c.names))
	for _, name := range names {
		if _, ok := c.byName[name]; ok || seen[name] {
			continue
		}
		seen[name] = true
		miss, ids = append(miss, name), append(ids, next)
		next++
	}
	return miss, ids
}

// Grow makes room for n more tags at once, where growing step by step would leave several times their size behind.
func (c *Catalog) Grow(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names = slices.Grow(c.names, n)
	if len(c.byName) == 0 {
		c.byName = make(map[string]ID, n)
	}
}

// Set records that name has id. An ID or a name that is taken by another is an error: IDs are never reused.
func (c *Catalog) Set(id ID, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if have, ok := c.byName[name]; ok && have != id {
		return fmt.Errorf("tag: catalog: %q is %d already, not %d", name, have, id)
	}
	if id == 0 || int(id) < len(c.names) && c.names[id] != "" && c.names[id] != name {
		return fmt.Errorf("tag: catalog: id %d cannot be given to %q", id, name)
	}
	for int(id) >= len(c.names) {
		c.names = append(c.names, "")
	}
	c.names[id], c.byName[name] = name, id
	return nil
}
