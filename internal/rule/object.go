package rule

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// object is a variable with fields, as CEL sees it. Its fields are read through the registry, by their place.
type object struct {
	of     *Object
	fields Fields
}

func (o *object) Value() any     { return o.fields }
func (o *object) Type() ref.Type { return types.NewObjectType(o.of.Name) }
func (o *object) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a %s is no %s", o.of.Name, t)
}
func (o *object) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return types.NewObjectType(o.of.Name)
	}
	return types.NewErr("a %s is no %s", o.of.Name, t.TypeName())
}
func (o *object) Equal(other ref.Val) ref.Val {
	p, ok := other.(*object)
	return types.Bool(ok && p.fields == o.fields)
}

// list is a list whose elements are made when they are asked for. What only a list in memory can do is left to one that is made of it.
type list struct{ items Items }

func newList(i Items) *list { return &list{i} }

func (l *list) all() traits.Lister {
	elems := make([]ref.Val, l.items.Len())
	for i := range elems {
		elems[i] = l.items.Item(i).v
	}
	return types.NewRefValList(types.DefaultTypeAdapter, elems)
}

func (l *list) Value() any                                  { return l.items }
func (l *list) Type() ref.Type                              { return types.ListType }
func (l *list) ConvertToNative(t reflect.Type) (any, error) { return l.all().ConvertToNative(t) }
func (l *list) ConvertToType(t ref.Type) ref.Val            { return l.all().ConvertToType(t) }
func (l *list) Equal(o ref.Val) ref.Val                     { return l.all().Equal(o) }
func (l *list) Add(o ref.Val) ref.Val                       { return l.all().Add(o) }
func (l *list) Contains(v ref.Val) ref.Val                  { return l.all().Contains(v) }
func (l *list) Size() ref.Val                               { return types.Int(l.items.Len()) }
func (l *list) Iterator() traits.Iterator                   { return &iterator{l: l} }
func (l *list) Get(index ref.Val) ref.Val {
	i, ok := index.(types.Int)
	if !ok || i < 0 || int(i) >= l.items.Len() {
		return types.NewErr("index %v is outside the list of %d", index, l.items.Len())
	}
	return l.items.Item(int(i)).v
}

type iterator struct {
	l *list
	i int
}

func (it *iterator) HasNext() ref.Val { return types.Bool(it.i < it.l.items.Len()) }
func (it *iterator) Next() ref.Val {
	it.i++
	return it.l.items.Item(it.i - 1).v
}
func (it *iterator) Value() any     { return nil }
func (it *iterator) Type() ref.Type { return types.IteratorType }
func (it *iterator) ConvertToNative(reflect.Type) (any, error) {
	return nil, fmt.Errorf("an iterator is no value")
}
func (it *iterator) ConvertToType(ref.Type) ref.Val { return types.NewErr("an iterator is no value") }
func (it *iterator) Equal(o ref.Val) ref.Val        { return types.Bool(ref.Val(it) == o) }

// texts is a Map, as CEL sees it. It is none of CEL's own maps on purpose: with those a name that is not there is an error like any other, and here it is a value that is missing.
type texts struct {
	object, what string
	m            map[string]string
}

func newTexts(object, what string, m map[string]string) *texts { return &texts{object, what, m} }

func (t *texts) all() traits.Mapper {
	return types.NewStringStringMap(types.DefaultTypeAdapter, t.m)
}

func (t *texts) Value() any                                  { return t.m }
func (t *texts) Type() ref.Type                              { return types.MapType }
func (t *texts) ConvertToNative(x reflect.Type) (any, error) { return t.all().ConvertToNative(x) }
func (t *texts) ConvertToType(x ref.Type) ref.Val            { return t.all().ConvertToType(x) }
func (t *texts) Size() ref.Val                               { return types.Int(len(t.m)) }
func (t *texts) Contains(key ref.Val) ref.Val                { return t.all().Contains(key) }
func (t *texts) Iterator() traits.Iterator                   { return t.all().Iterator() }
func (t *texts) IsSet(key ref.Val) ref.Val                   { return t.Contains(key) }

func (t *texts) Equal(o ref.Val) ref.Val {
	if x, ok := o.(*texts); ok {
		o = x.all()
	}
	return t.all().Equal(o)
}

func (t *texts) Get(key ref.Val) ref.Val {
	k, ok := key.(types.String)
	if !ok {
		return types.NewErr("%v is no name of a %s", key, t.what)
	}
	v, ok := t.m[string(k)]
	if !ok {
		return types.WrapErr(&MissingError{t.object, t.what + " " + string(k)})
	}
	return types.String(v)
}

// String returns "site: north, line: 7", by name.
func (t *texts) String() string {
	if len(t.m) == 0 {
		return "none"
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(t.m)) {
		parts = append(parts, fmt.Sprintf("%s: %s", k, t.m[k]))
	}
	return strings.Join(parts, ", ")
}
