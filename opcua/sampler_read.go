package opcua

import (
	"context"

	"millrace/opcua/ua"
)

// samplerSource is where the value of a sampler was in some version of the Space: under a key of a ValueStore, or, when there is no store, to be read by itself. A group has
// those of its samplers in one row, so that a reading goes neither to their nodes nor to the samplers themselves.
type samplerSource struct {
	store   ValueStore
	key     uint64
	version uint64
}

// sourceOf looks where the value of a sampler is now.
func (p *samplers) sourceOf(s *sampler) samplerSource {
	from := samplerSource{version: p.space.version.Load()} // before the node is looked at: what changes meanwhile is looked at again
	if s.key.attribute == ua.AttributeValue && !s.shaped() {
		it := readItem{ref: s.ref(), attribute: ua.AttributeValue}
		from.store, from.key = p.space.batchable(everyRole, &it)
	}
	return from
}

// update looks again where the values of list are if the Space has changed since.
func (p *samplers) update(list []*sampler, from []samplerSource) {
	version := p.space.version.Load()
	for i := range from {
		if from[i].version != version {
			from[i] = p.sourceOf(list[i])
		}
	}
}

// samplerScratch is what a reading works in. Between two readings there is nothing in it that would be kept alive.
type samplerScratch struct {
	list   [samplerChunk]*sampler
	from   [samplerChunk]samplerSource
	keys   [samplerChunk]uint64
	values [samplerChunk]ua.DataValue
	pushes [samplerChunk]uint32
}

// done empties what n samplers were read with.
func (x *samplerScratch) done(n int) {
	clear(x.list[:n])
	clear(x.from[:n])
	clear(x.values[:n])
}

// readAll reads what the first n samplers of x look at: the values of one ValueStore that follow each other with one call.
func (p *samplers) readAll(ctx context.Context, x *samplerScratch, n int) {
	for i := 0; i < n; {
		store := x.from[i].store
		if store == nil {
			p.readOne(ctx, x.list[i], &x.values[i])
			i++
			continue
		}
		x.keys[i] = x.from[i].key
		j := i + 1
		for ; j < n && x.from[j].store == store; j++ {
			x.keys[j] = x.from[j].key
		}
		store.ReadValues(ctx, x.keys[i:j], x.values[i:j])
		i = j
	}
}

// readOne reads what is not in a ValueStore, or not simply a value of one.
func (p *samplers) readOne(ctx context.Context, s *sampler, v *ua.DataValue) {
	one := readItem{attribute: ua.AttributeValue}
	if s.shaped() {
		one = *s.read
	}
	one.ref = s.ref()
	p.space.readItem(ctx, everyRole, &one, v)
	if s.shaped() {
		one.shape(v)
	}
}

// take gives the samplers from i on that have the lock of the first what was read for them, and returns where others begin.
func (x *samplerScratch) take(i, n int, now ua.DateTime) int {
	var l subLock
	mu := x.list[i].mu
	mu.Lock()
	for ; i < n && x.list[i].mu == mu; i++ {
		if s := x.list[i]; len(s.items) > 0 {
			s.take(&x.values[i], now, &l)
		}
	}
	l.unlock()
	mu.Unlock()
	return i
}
