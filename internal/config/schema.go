package config

import (
	"encoding/json"
	"strings"
)

// SchemaName is the name under which `millrace check --schema` output is meant to be kept beside a configuration.
const SchemaName = "millrace.schema.json"

// Schema returns the JSON Schema (draft 2020-12) of the file. Whatever Load accepts, the schema accepts; beyond it Load checks
// addresses, references, names that must be unique, and what keys say together.
func Schema() []byte {
	s := schema{defs: object{}}
	root := s.mapping(&rootKeys)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Millrace configuration"
	root["$defs"] = s.defs
	b, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // strings, numbers and booleans in maps and lists always marshal
	}
	return append(b, '\n')
}

type object = map[string]any

// schema gathers the definitions of the mappings that were met.
type schema struct{ defs object }

const (
	refPattern       = `\$\{` // ${env:X} or ${file:P} somewhere: the value is known at load time
	paramPattern     = `\{`   // a template's parameter too
	durationPattern  = `^([0-9.]+d)?([0-9.]+(ns|us|µs|ms|s|m|h))*$`
	sizePattern      = `^[0-9.]+ ?([kKMGT]B|[KMGT]iB|B)?$`
	namePattern      = `^[\p{L}\p{N}\p{M}_.-]+$`
	tagNamePattern   = `^[\p{L}\p{N}\p{M}_.-]([\p{L}\p{N}\p{M}_./-]*[\p{L}\p{N}\p{M}_.-])?$`
	paramNamePattern = `^[A-Za-z_][A-Za-z0-9_]*$`
)

// ref returns a reference to the definition of t, which it makes at the first use.
func (s *schema) ref(t table) object {
	name, _ := t.what()
	if s.defs[name] == nil {
		s.defs[name] = object{} // so that it is not begun again inside itself
		s.defs[name] = s.mapping(t)
	}
	return object{"$ref": "#/$defs/" + name}
}

func (s *schema) mapping(t table) object {
	_, doc := t.what()
	props, required, byType := object{}, []string{}, map[string]object{}
	open := t == table(&optionKeys)
	for _, f := range t.facts() {
		v := s.value(&f, open)
		v["description"] = f.doc
		if f.preset != "" && f.form != formChoices {
			v["default"] = f.preset
		}
		props[f.name] = v
		if f.required && f.only == "" {
			required = append(required, f.name)
		}
	}
	out := object{"type": []string{"object", "null"}, "properties": props, "additionalProperties": false}
	if open {
		out["additionalProperties"] = scalars()
	}
	if doc != "" {
		out["description"] = doc
	}
	if len(required) > 0 {
		out["required"] = required
		out["type"] = "object"
	}
	if one := t.either(); len(one) > 0 {
		var alternatives []object
		for _, name := range one {
			alternatives = append(alternatives, object{"required": []string{name}})
		}
		out["oneOf"] = alternatives
	}
	if conditions := perType(t, byType); len(conditions) > 0 {
		out["allOf"] = conditions
	}
	return out
}

// perType says which keys go with which value of the key type.
func perType(t table, byType map[string]object) []object {
	var out []object
	for _, f := range t.facts() {
		if f.only == "" || byType[f.only] != nil {
			continue
		}
		required, refused := []string{}, object{}
		for _, g := range t.facts() {
			switch {
			case g.only == f.only && g.required:
				required = append(required, g.name)
			case g.only != "" && g.only != f.only:
				refused[g.name] = false
			}
		}
		byType[f.only] = object{
			"if":   object{"properties": object{"type": object{"const": f.only}}, "required": []string{"type"}},
			"then": object{"required": required, "properties": refused},
		}
		out = append(out, byType[f.only])
	}
	return out
}

// value returns the schema of a key's value. inOptions says that parameters may stand in it.
func (s *schema) value(f *facts, inOptions bool) object {
	indirect := object{"type": "string", "pattern": refPattern}
	if inOptions {
		indirect["pattern"] = refPattern + "|" + paramPattern
	}
	either := func(direct ...object) object {
		list := []any{}
		for _, d := range direct {
			list = append(list, d)
		}
		return object{"anyOf": append(list, indirect)}
	}
	switch f.form {
	case formText, formSecret, formFile, formTag:
		return object{"type": []string{"string", "number"}}
	case formDuration:
		return either(object{"type": "string", "pattern": durationPattern})
	case formSize:
		return either(object{"type": "integer", "minimum": 0}, object{"type": "string", "pattern": sizePattern})
	case formInteger:
		return either(bounded(object{"type": "integer"}, f), object{"type": "string", "pattern": `^[+-]?[0-9]+$`})
	case formNumber:
		return either(bounded(object{"type": "number"}, f), object{"type": "string", "pattern": `^[+-]?[0-9.eE+-]+$`})
	case formBool:
		return either(object{"type": "boolean"}, object{"enum": []string{"true", "false"}})
	case formChoice:
		return either(object{"enum": f.choices})
	case formChoices:
		return object{"type": []string{"array", "null"}, "uniqueItems": true, "items": either(object{"enum": f.choices})}
	case formMapping, formOptions:
		return s.ref(f.of)
	case formProfile:
		return either(object{"enum": f.choices}, s.ref(f.of))
	case formTexts:
		return object{"type": []string{"array", "null"}, "items": object{"type": []string{"string", "number"}}}
	case formActions:
		return object{"type": []string{"array", "null"}, "items": either(object{"enum": f.choices}, s.ref(f.of))}
	case formList:
		return object{"type": []string{"array", "null"}, "items": s.ref(f.of)}
	case formNamed:
		return object{"type": []string{"object", "null"}, "propertyNames": object{"pattern": namePattern}, "additionalProperties": s.ref(f.of)}
	case formTags:
		return object{"type": []string{"object", "null"}, "propertyNames": object{"pattern": tagNamePattern},
			"additionalProperties": object{"type": []string{"string", "number"}, "description": "address, then any of " + strings.Join(tagKeys.names(), ", ")}}
	case formLabels:
		return object{"type": []string{"object", "null"}, "propertyNames": object{"pattern": namePattern}, "additionalProperties": scalars()}
	case formParams:
		return object{"type": []string{"object", "null"}, "propertyNames": object{"pattern": paramNamePattern}, "additionalProperties": object{"type": []string{"string", "number", "boolean", "null"}}}
	}
	return scalars()
}

func scalars() object { return object{"type": []string{"string", "number", "boolean"}} }

func bounded(o object, f *facts) object {
	if f.min != 0 || f.max != 0 {
		o["minimum"] = f.min
	}
	if f.max != 0 {
		o["maximum"] = f.max
	}
	return o
}
