package driver

import (
	"context"
	"errors"
	"fmt"

	"millrace/internal/device"
	"millrace/s7"
)

// Write writes all items in order, each once, packed into as few requests as a PDU has room for. One bit is written as a bit, which leaves the others of its byte
// alone; an array of bits that begins or ends within a byte is several variables, which the PLC may see one before the other. Items behind an error of the transport are
// not sent.
func (s *s7Session) Write(ctx context.Context, p device.Plan, w []device.Write, r []device.Result) error {
	if _, ok := p.(*s7Plan); !ok {
		return &S7PlanError{p}
	}
	var vars []s7.Var
	var whose []int
	for i := range w {
		r[i] = device.Result{}
		mine, err := s.varsOf(&w[i])
		if err != nil {
			r[i].Err = err
			continue
		}
		for _, v := range mine {
			vars, whose = append(vars, v), append(whose, i)
		}
	}
	if len(vars) == 0 {
		return nil
	}
	err := s.client.Write(ctx, vars)
	done := make([]bool, len(w)) // something of it is written
	for k := range vars {
		s.written(&vars[k], &r[whose[k]], &done[whose[k]])
	}
	return err
}

// written adds what became of one variable to the result of its item.
func (s *s7Session) written(v *s7.Var, r *device.Result, done *bool) {
	if v.Err == nil {
		*done = true
	} else {
		var e *s7.Error
		if errors.As(v.Err, &e) {
			r.MayHaveHappened = r.MayHaveHappened || e.MayHaveHappened()
		}
		if r.Err == nil {
			r.Err = s.notWritten(v, e)
		}
	}
	r.MayHaveHappened = r.MayHaveHappened || r.Err != nil && *done
}

// notWritten says why v is not written.
func (s *s7Session) notWritten(v *s7.Var, e *s7.Error) error {
	switch {
	case answered(v):
		return explain(v.Err)
	case e != nil && !e.Sent:
		return fmt.Errorf("not sent: %w", v.Err)
	}
	return v.Err
}

// varsOf makes the variables that write w.
func (s *s7Session) varsOf(w *device.Write) ([]s7.Var, error) {
	p, err := parseS7(w.Tag.Address)
	if err != nil {
		return nil, &device.TagError{Tag: w.Tag.Name, Address: w.Tag.Address, Err: err}
	}
	if err := p.canBeWritten(); err != nil {
		return nil, err
	}
	data, err := p.encode(nil, w.Value)
	if err != nil {
		return nil, err
	}
	if p.typ == s7.TypeBool {
		return p.bitVars(data), nil
	}
	data = p.trim(data)
	if most := s7.MaxWriteData(s.client.PDU()); len(data) > most {
		return nil, &WriteError{p.String(), fmt.Sprintf("it has %d bytes, and one request takes %d; in two it would be half written for a while", len(data), most)}
	}
	return []s7.Var{{Item: p.item(len(data)), Data: data}}, nil
}

// trim leaves out what is behind the text of a STRING or WSTRING: nobody reads it.
func (p *s7Point) trim(data []byte) []byte {
	switch {
	case p.count > 0:
		return data
	case p.typ == s7.TypeString:
		return data[:2+int(data[1])]
	case p.typ == s7.TypeWString:
		return data[:4+2*(int(data[2])<<8|int(data[3]))]
	}
	return data
}

// item returns the variable of n bytes at p.
func (p *s7Point) item(n int) s7.Item {
	switch p.area {
	case s7.AreaCounter:
		return s7.Counters(uint32(p.at), uint16(n/2))
	case s7.AreaTimer:
		return s7.Timers(uint32(p.at), uint16(n/2))
	}
	return s7.Bytes(p.area, p.db, uint32(p.at), uint16(n))
}

// bitVars makes the variables that write bools, one byte each in data: whole bytes as such, other bits one by one.
func (p *s7Point) bitVars(data []byte) []s7.Var {
	var out []s7.Var
	for i := 0; i < len(data); {
		at := p.at + (p.bit+i)/8
		bit := uint8((p.bit + i) % 8)
		if n := (len(data) - i) / 8; bit == 0 && n > 0 {
			out = append(out, s7.Var{Item: s7.Bytes(p.area, p.db, uint32(at), uint16(n)), Data: packBits(data[i : i+8*n])})
			i += 8 * n
			continue
		}
		out = append(out, s7.Var{Item: s7.Bit(p.area, p.db, uint32(at), bit), Data: data[i : i+1]})
		i++
	}
	return out
}

// packBits puts bools, one byte each, into bits, the lowest first.
func packBits(bools []byte) []byte {
	out := make([]byte, len(bools)/8)
	for i, b := range bools {
		out[i/8] |= b << (i % 8)
	}
	return out
}
