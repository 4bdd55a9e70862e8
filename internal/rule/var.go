package rule

import (
	"fmt"
	"slices"
	"strconv"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Kind is what a value is.
type Kind uint8

const (
	Bool Kind = iota + 1
	Int
	Double
	String
	Duration
	Time
	Struct // a value with fields: those of Var.Object
	Map    // texts by names: labels.site, labels["site"], "site" in labels
)

// Var is a variable of an Env, or a field of an Object.
type Var struct {
	Name   string
	Kind   Kind
	Object *Object // of a Struct
	List   bool    // a list of what Kind says
	Max    int     // of a list: most elements that it has, with which the cost is reckoned; 0 is 10,000

	// Key makes of a variable a family of them: a condition writes name("key"), with a text and no other expression between the brackets, and Key
	// says of what kind that value is. Its error is reported at that place. Kind, Object and List are not used then.
	Key func(key string) (Kind, error)

	Doc string // a sentence for a reference
}

// Object is a kind with fields. Two with one name are the same kind.
type Object struct {
	Name   string
	Fields []Var
}

const defaultMax = 10_000

func (v Var) max() uint64 {
	if v.Max > 0 {
		return uint64(v.Max)
	}
	return defaultMax
}

func (v Var) celType() *types.Type {
	t := v.Kind.celType()
	if v.Kind == Struct {
		t = types.NewObjectType(v.Object.Name)
	}
	if v.List {
		return types.NewListType(t)
	}
	return t
}

func (k Kind) celType() *types.Type {
	switch k {
	case Bool:
		return types.BoolType
	case Int:
		return types.IntType
	case Double:
		return types.DoubleType
	case String:
		return types.StringType
	case Duration:
		return types.DurationType
	case Time:
		return types.TimestampType
	case Map:
		return types.NewMapType(types.StringType, types.StringType)
	}
	return types.ErrorType
}

// registry is CEL's own, which has the objects of an Env in addition.
type registry struct {
	*types.Registry
	objects map[string]*Object
}

func newRegistry() (*registry, error) {
	r, err := types.NewRegistry()
	if err != nil {
		return nil, fmt.Errorf("rule: %w", err)
	}
	return &registry{r, map[string]*Object{}}, nil
}

// add notes the objects of v, and those of their fields.
func (r *registry) add(v Var) error {
	if v.Kind != Struct || v.Key != nil {
		return nil
	}
	if v.Object == nil {
		return fmt.Errorf("rule: %s has fields and no object that says which", v.Name)
	}
	if r.objects[v.Object.Name] != nil {
		return nil
	}
	r.objects[v.Object.Name] = v.Object
	for _, f := range v.Object.Fields {
		if err := r.add(f); err != nil {
			return err
		}
	}
	return nil
}

func (r *registry) FindStructType(name string) (*types.Type, bool) {
	if r.objects[name] == nil {
		return r.Registry.FindStructType(name)
	}
	return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
}

func (r *registry) FindStructFieldNames(name string) ([]string, bool) {
	o := r.objects[name]
	if o == nil {
		return r.Registry.FindStructFieldNames(name)
	}
	names := make([]string, len(o.Fields))
	for i, f := range o.Fields {
		names[i] = f.Name
	}
	return names, true
}

// FindStructFieldType gives access by the field's place, so that none is looked for when a condition runs.
func (r *registry) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	o := r.objects[name]
	if o == nil {
		return r.Registry.FindStructFieldType(name, field)
	}
	i := o.field(field)
	if i < 0 {
		return nil, false
	}
	get := func(target any) Value {
		f, ok := target.(Fields)
		if !ok {
			return Value{}
		}
		return f.Field(i)
	}
	return &types.FieldType{
		Type:  o.Fields[i].celType(),
		IsSet: func(target any) bool { return get(target).v != nil },
		GetFrom: func(target any) (any, error) {
			if v := get(target).v; v != nil {
				return v, nil
			}
			return nil, &MissingError{name, field}
		},
	}, true
}

func (r *registry) NewValue(name string, fields map[string]ref.Val) ref.Val {
	if r.objects[name] != nil {
		return types.NewErr("a condition makes no %s", name)
	}
	return r.Registry.NewValue(name, fields)
}

func (o *Object) field(name string) int {
	return slices.IndexFunc(o.Fields, func(f Var) bool { return f.Name == name })
}

var kindNames = [...]string{"none", "bool", "int", "double", "string", "duration", "timestamp", "struct", "map"}

// String returns the kind as CEL calls it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}
