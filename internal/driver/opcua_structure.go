package driver

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"millrace/internal/tag"
	"millrace/opcua"
	"millrace/opcua/ua"
)

// opcuaTypes are the structures of a server that a session can read. Whose turn it is learns them; the client's reader looks them up as well.
type opcuaTypes struct {
	known atomic.Pointer[ua.Types] // replaced, never changed

	mu     sync.Mutex
	wanted []ua.NodeId // encodings that came and are not known

	ids   []ua.NodeId        // in known; of whose turn it is, as tried
	tried map[ua.NodeId]bool // data types and encodings that the server was asked for
}

// mostWanted is how many encodings are remembered until the next Read asks for them.
const mostWanted = 16

// append adds the row of a value as appendOPCUA does, and of a structure whose definition is known its fields as JSON.
func (t *opcuaTypes) append(b *tag.Batch, id tag.ID, v *ua.DataValue, element bool) {
	if v.Value.Type() != ua.TypeExtensionObject || v.Status.IsBad() || !t.appendStructure(b, id, v, element) {
		appendOPCUA(b, id, v, element)
	}
}

// appendStructure adds a row of JSON; of an array one of an array of it. It answers false, and has added nothing, when a definition is missing.
func (t *opcuaTypes) appendStructure(b *tag.Batch, id tag.ID, v *ua.DataValue, element bool) bool {
	if x, ok := v.Value.ExtensionObject(); ok && !v.Value.IsArray() {
		text, ok := t.json(nil, &x)
		if ok {
			b.AppendAux(id, timeOfOPCUA(v), tag.Quality(v.Status), tag.String, text)
		}
		return ok
	}
	all, _ := ua.ArrayOf[ua.ExtensionObject](v.Value)
	texts := make([][]byte, len(all))
	for i := range all {
		var ok bool
		if texts[i], ok = t.json(nil, &all[i]); !ok {
			return false
		}
	}
	if element && len(texts) == 1 {
		b.AppendAux(id, timeOfOPCUA(v), tag.Quality(v.Status), tag.String, texts[0])
		return true
	}
	b.AppendAux(id, timeOfOPCUA(v), tag.Quality(v.Status), tag.String|tag.Array, appendTexts(nil, texts))
	return true
}

// json appends the fields of a structure. It answers false when its definition is missing, which the next Read asks for.
func (t *opcuaTypes) json(b []byte, x *ua.ExtensionObject) ([]byte, bool) {
	if x.IsNull() {
		return append(b, "null"...), true
	}
	if known := t.known.Load(); known != nil {
		if s, err := known.Object(*x, ua.Limits{}); err == nil {
			return t.object(b, &s), true
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.wanted) < mostWanted && !slices.Contains(t.wanted, x.TypeId) {
		t.wanted = append(t.wanted, cloneId(x.TypeId))
	}
	return b, false
}

func (t *opcuaTypes) object(b []byte, s *ua.Structure) []byte {
	b = append(b, '{')
	first := true
	for i := range s.Fields {
		f := &s.Fields[i]
		if f.Absent {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(tag.Value{Kind: tag.String, Aux: []byte(f.Name)}.AppendJSON(b, tag.JSONOptions{}), ':')
		b = t.field(b, f)
	}
	return append(b, '}')
}

func (t *opcuaTypes) field(b []byte, f *ua.Field) []byte {
	switch {
	case f.Array || f.Dims != nil:
		b = append(b, '[')
		for i := range f.Nested {
			if i > 0 {
				b = append(b, ',')
			}
			b = t.object(b, &f.Nested[i])
		}
		return append(b, ']')
	case len(f.Nested) == 1:
		return t.object(b, &f.Nested[0])
	}
	return t.value(b, f.Value)
}

// value appends a field that travels as a built-in type.
func (t *opcuaTypes) value(b []byte, v ua.Variant) []byte {
	if x, ok := v.ExtensionObject(); ok && !v.IsArray() {
		if out, ok := t.json(b, &x); ok {
			return out
		}
	}
	var one tag.Batch
	appendOPCUA(&one, 0, &ua.DataValue{Value: v}, false)
	return one.Value(0).AppendJSON(b, tag.JSONOptions{})
}

// cloneId returns id without the message that its text lies in.
func cloneId(id ua.NodeId) ua.NodeId {
	id.Text = strings.Clone(id.Text)
	return id
}

// takeWanted returns the encodings that came and are not known, each once.
func (t *opcuaTypes) takeWanted() []ua.NodeId {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.wanted
	t.wanted = nil
	return w
}

// learnStructures reads the definitions of the data types of nodes that were found, so that their first value can be read. The error is that of the connection.
func (s *opcuaSession) learnStructures(ctx context.Context, st *opcuaState, nodes []int) error {
	var ask []ua.ReadValueId
	for _, n := range nodes {
		if id := &st.ids[n]; id.AttributeId == ua.AttributeValue {
			ask = append(ask, ua.ReadValueId{NodeId: id.NodeId, AttributeId: ua.AttributeDataType})
		}
	}
	if len(ask) == 0 {
		return nil
	}
	var types []ua.NodeId
	seen := map[ua.NodeId]bool{}
	err := s.client.ReadEach(ctx, opcua.NewReadPlan(ask, opcua.ReadOptions{}), func(_ int, v *ua.DataValue) {
		if id, ok := v.Value.NodeId(); ok && !seen[id] {
			id = cloneId(id)
			seen[id] = true
			types = append(types, id)
		}
	})
	if err := s.connectionsFault(err); err != nil {
		return err
	}
	return s.define(ctx, types)
}

// connectionsFault returns err unless the server said it, or something that cannot be decoded.
func (s *opcuaSession) connectionsFault(err error) error {
	var e *opcua.Error
	var t *opcua.TypeError
	if errors.As(err, &t) || errors.As(err, &e) && (e.Answered || e.Status == ua.BadDecodingError) && s.client.Err() == nil {
		return nil
	}
	return err
}

// define reads the definitions of data types or encodings that were not asked for yet. What the server does not define stays bytes. The error is that of the connection.
func (s *opcuaSession) define(ctx context.Context, ids []ua.NodeId) error {
	t := &s.structures
	fresh := slices.DeleteFunc(ids, func(id ua.NodeId) bool {
		_, simple := builtin(id)
		return simple || abstract(id) || t.tried[id]
	})
	if len(fresh) == 0 {
		return nil
	}
	next := ua.NewTypes() // readers have the old ones
	all := slices.Concat(t.ids, fresh)
	for _, id := range all { // one by one: what one of them lacks is no fault of the others
		if err := s.connectionsFault(s.client.ReadTypes(ctx, next, id)); err != nil {
			return err
		}
	}
	for _, id := range fresh {
		t.tried[id] = true
	}
	t.ids = all
	t.known.Store(next)
	return nil
}
