package rule

import (
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Values gives a condition what it asks for, while it runs. Nothing is asked for that the condition does not look at.
type Values interface {
	// Value returns the variable name, or of a variable with keys the one called key. The zero Value says that it has none now.
	Value(name, key string) Value
}

// Fields is the value of a variable with fields.
type Fields interface {
	// Field returns the field at place i of the Object's Fields.
	Field(i int) Value
}

// Items is the value of a list.
type Items interface {
	Len() int
	Item(i int) Value
}

// Value is one value for a condition. The zero Value is none: a condition that needs it fails.
type Value struct{ v ref.Val }

// The functions below make values of each Kind.

func OfBool(v bool) Value { return Value{types.Bool(v)} }

func OfInt(v int64) Value { return Value{types.Int(v)} }

func OfDouble(v float64) Value { return Value{types.Double(v)} }

func OfString(v string) Value { return Value{types.String(v)} }

func OfDuration(v time.Duration) Value { return Value{types.Duration{Duration: v}} }

func OfTime(v time.Time) Value { return Value{types.Timestamp{Time: v}} }

// OfFields returns f as a value of the kind o.
func OfFields(o *Object, f Fields) Value { return Value{&object{o, f}} }

// OfTexts returns texts by names as a value of the kind Map: the what ("label") of an object ("device"). It is not changed afterwards. A condition that needs one that is not there
// fails with a MissingError.
func OfTexts(object, what string, m map[string]string) Value { return Value{newTexts(object, what, m)} }

// OfItems returns a list.
func OfItems(i Items) Value { return Value{newList(i)} }

// String returns v as a person reads it: 120ms, true, 0.05; "not known" for the zero Value.
func (v Value) String() string {
	switch x := v.v.(type) {
	case nil:
		return "not known"
	case types.Duration:
		return x.Duration.String()
	case *list:
		return "a list"
	case *object:
		return "a " + x.of.Name
	case *texts:
		return x.String()
	}
	s, ok := v.v.ConvertToType(types.StringType).(types.String)
	if !ok {
		return "?"
	}
	return string(s)
}
