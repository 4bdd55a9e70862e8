package driver

import "millrace/internal/tag"

// Description says what an address is.
type Description struct {
	Address string   // canonical
	Kind    tag.Kind // of the raw values, before scaling
}

// Describe returns what address is in its one form, without the attributes of the tag that it may carry, and the kind of its values.
func (Modbus) Describe(address string) (Description, error) {
	p, err := parseModbus(address)
	if err != nil {
		return Description{}, err
	}
	kind := p.typ.kind()
	if p.count > 0 {
		kind |= tag.Array
	}
	return Description{Address: p.String(), Kind: kind}, nil
}
